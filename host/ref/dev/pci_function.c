/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/pci_function.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "host/ref/dev/faults.h"
#include "host/ref/dev/log.h"
#include "host/ref/dev/usock.h"

enum {
	CAP_ID_PM = 0x01,
	CAP_ID_EXPRESS = 0x10,
	CAP_ID_MSIX = 0x11,
	PM_STATE = 3,
	PM_NO_SOFT_RESET = 1 << 3,
	EXPRESS_RC_ENDPOINT = 9,
	EXPRESS_FLR_CAPABLE = 1 << 28,
	EXPRESS_ROLE_BASED = 1 << 15, /* Role-Based Error Reporting: of each since PCIe 1.1 */
	EXPRESS_FLR = 1 << 15,
	MSIX_CONTROL = PCI_CAP_MSIX + 2,
	PM_CONTROL = PCI_CAP_PM + 4,
	EXPRESS_CONTROL = PCI_CAP_EXPRESS + 8,
	BAR_64 = 4,
	BAR_PREFETCH = 8,
};

/* --- registers --- */

uint16_t pci_get16(const struct pci_function *f, unsigned int at)
{
	return (uint16_t)(f->config[at] | f->config[at + 1] << 8);
}

void pci_put16(struct pci_function *f, unsigned int at, uint16_t v)
{
	f->config[at] = (uint8_t)v;
	f->config[at + 1] = (uint8_t)(v >> 8);
}

uint32_t pci_get32(const struct pci_function *f, unsigned int at)
{
	return pci_get16(f, at) | (uint32_t)pci_get16(f, at + 2) << 16;
}

void pci_put32(struct pci_function *f, unsigned int at, uint32_t v)
{
	pci_put16(f, at, (uint16_t)v);
	pci_put16(f, at + 2, (uint16_t)(v >> 16));
}

static void allow16(struct pci_function *f, unsigned int at, uint16_t bits)
{
	f->writable[at] = (uint8_t)bits;
	f->writable[at + 1] = (uint8_t)(bits >> 8);
}

void pci_function_init(struct pci_function *f, unsigned int vectors,
		       const struct pci_function_ops *ops, void *arg)
{
	memset(f, 0, sizeof(*f));
	f->ops = ops;
	f->arg = arg;
	f->vectors = vectors;
	f->intx_fd = -1;
	for (unsigned int i = 0; i < PCI_MAX_VECTORS; i++)
		f->vector_fd[i] = -1;
	pci_put16(f, PCI_STATUS, PCI_STATUS_CAPS);
	allow16(f, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
	f->writable[PCI_IRQ_LINE] = fault(F_VFIO_LINE_FIXED) ? 0 : 0xff;
	f->config[PCI_IRQ_PIN] = 1;
	f->config[PCI_CAP_POINTER] = PCI_CAP_PM;

	f->config[PCI_CAP_PM] = CAP_ID_PM;
	f->config[PCI_CAP_PM + 1] = PCI_CAP_EXPRESS;
	pci_put16(f, PCI_CAP_PM + 2, 3); /* version 1.2; D1, D2 and PME# are not there */
	pci_put16(f, PM_CONTROL, PM_NO_SOFT_RESET);
	if (fault(F_VFIO_POWER_VERSION))
		pci_put16(f, PCI_CAP_PM + 2, 0);
	if (!fault(F_VFIO_POWER_FIXED))
		allow16(f, PM_CONTROL, PM_STATE);

	f->config[PCI_CAP_EXPRESS] = CAP_ID_EXPRESS;
	f->config[PCI_CAP_EXPRESS + 1] = PCI_CAP_MSIX;
	pci_put16(f, PCI_CAP_EXPRESS + 2, 1 | EXPRESS_RC_ENDPOINT << 4);
	pci_put32(f, PCI_CAP_EXPRESS + 4, EXPRESS_FLR_CAPABLE | EXPRESS_ROLE_BASED);
	if (fault(F_VFIO_NOT_ROLE_BASED))
		pci_put32(f, PCI_CAP_EXPRESS + 4, EXPRESS_FLR_CAPABLE);
	allow16(f, EXPRESS_CONTROL, 0x7fff);

	f->config[PCI_CAP_MSIX] = CAP_ID_MSIX;
	f->config[PCI_CAP_MSIX + 1] = PCI_CAP_FREE;
	pci_put16(f, MSIX_CONTROL, (uint16_t)(vectors - 1));
	allow16(f, MSIX_CONTROL, PCI_MSIX_FUNCTION_MASK | PCI_MSIX_ENABLE);
}

void pci_function_bar(struct pci_function *f, unsigned int bar, uint64_t size, bool is64,
		      bool prefetch)
{
	const unsigned int at = PCI_BAR0 + 4 * bar;
	const uint64_t mask = ~(size - 1);

	f->bar_size[bar] = size;
	f->config[at] = (uint8_t)((is64 ? BAR_64 : 0) | (prefetch ? BAR_PREFETCH : 0));
	for (unsigned int i = 0; i < (is64 ? 8 : 4); i++)
		f->writable[at + i] = (uint8_t)(mask >> 8 * i);
}

void pci_function_power_on(struct pci_function *f)
{
	if (f->initial[PCI_CAP_POINTER] == 0)
		memcpy(f->initial, f->config, sizeof(f->initial));
	memcpy(f->config, f->initial, sizeof(f->config));
	pci_drop_pending(f);
	pci_set_intx(f, false);
}

void pci_function_close(struct pci_function *f)
{
	for (unsigned int i = 0; i < PCI_MAX_VECTORS; i++)
		usock_close(&f->vector_fd[i]);
	usock_close(&f->intx_fd);
	pci_drop_pending(f);
	f->line_waits = false;
}

bool pci_masters(const struct pci_function *f)
{
	return pci_get16(f, PCI_COMMAND) & PCI_COMMAND_MASTER &&
	       (!(pci_get16(f, PM_CONTROL) & PM_STATE) || fault(F_VFIO_D3_RUNS));
}

void pci_config_read(struct pci_function *f, uint32_t off, void *buf, uint32_t len)
{
	f->ops->cap_read(f->arg, off, len);
	memcpy(buf, f->config + off, len);
}

static bool meets(uint32_t off, uint32_t len, unsigned int at, unsigned int size)
{
	return off < at + size && at < off + len;
}

static void send_pending(struct pci_function *f);
static void update_line(struct pci_function *f);

/* PCIe 6.6.2: all but what only a power cycle changes; nothing of it is sticky here. */
static void function_level_reset(struct pci_function *f)
{
	const bool any = pci_any_pending(f);
	bool pending[PCI_MAX_VECTORS];

	rd_debug("function-level reset");
	memcpy(pending, f->pending, sizeof(pending));
	pci_function_power_on(f);
	f->ops->reset(f->arg);
	if (any && fault(F_OUTSIDE3_FR_FLR_KEEPS_PENDING))
		memcpy(f->kept, pending, sizeof(pending));
}

void pci_config_write(struct pci_function *f, uint32_t off, const void *buf, uint32_t len)
{
	const uint8_t *from = buf;
	const bool was_off = f->config[PM_CONTROL] & PM_STATE;
	bool reset = false;

	for (uint32_t i = 0; i < len; i++) {
		const uint8_t w = f->writable[off + i];

		f->config[off + i] = (uint8_t)((f->config[off + i] & ~w) | (from[i] & w));
		if (off + i == EXPRESS_CONTROL + 1 && from[i] & EXPRESS_FLR >> 8)
			reset = true;
	}
	if (was_off && !(f->config[PM_CONTROL] & PM_STATE) && fault(F_VFIO_D3_STAYS))
		f->config[PM_CONTROL] |= PM_STATE;
	if (reset && !fault(F_VFIO_FLR_IGNORED)) {
		function_level_reset(f);
		return;
	}
	if (was_off && !(f->config[PM_CONTROL] & PM_STATE) && fault(F_VFIO_D3_RESETS)) {
		function_level_reset(f);
		return;
	}
	if (was_off && !(f->config[PM_CONTROL] & PM_STATE) && pci_msix_on(f) &&
	    fault(F_OUTSIDE3_FR_D3_DISABLES_MSIX))
		f->config[MSIX_CONTROL + 1] &= (uint8_t) ~(PCI_MSIX_ENABLE >> 8);
	if (!pci_msix_on(f))
		pci_drop_pending(f);
	if (f->level && meets(off, len, PCI_COMMAND, 2) && fault(F_VFIO_INTX_FORGOTTEN))
		f->line_waits = true;
	f->ops->changed(f->arg);
	send_pending(f);
	update_line(f);
	f->ops->cap_written(f->arg, off, len);
}

/* --- interrupts --- */

static void signal_fd(struct pci_function *f, int fd)
{
	const uint64_t one = 1;

	f->signals++;
	/* A counter that is full is signalled already. */
	if (write(fd, &one, sizeof(one)) != sizeof(one))
		rd_debug("eventfd %d takes no signal", fd);
}

/* Takes a signal back that the VMM has not taken note of yet. False: there is none. */
static bool take_back(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

static bool may_send(const struct pci_function *f, unsigned int vector)
{
	return f->vector_fd[vector] >= 0 && pci_masters(f) &&
	       !(pci_get16(f, MSIX_CONTROL) & PCI_MSIX_FUNCTION_MASK);
}

static void send_pending(struct pci_function *f)
{
	for (unsigned int i = 0; i < f->vectors && pci_msix_on(f); i++) {
		if (!f->pending[i] || !may_send(f, i))
			continue;
		f->pending[i] = false;
		signal_fd(f, f->vector_fd[i]);
	}
}

void pci_raise_vector(struct pci_function *f, unsigned int vector)
{
	if (vector >= f->vectors)
		return;
	f->pending[vector] = true;
	send_pending(f);
}

void pci_drop_pending(struct pci_function *f)
{
	memset(f->pending, 0, sizeof(f->pending));
	for (unsigned int i = 0; i < f->vectors; i++)
		take_back(f->vector_fd[i]);
}

bool pci_any_pending(const struct pci_function *f)
{
	for (unsigned int i = 0; i < f->vectors; i++) {
		if (f->pending[i])
			return true;
	}
	return false;
}

void pci_read_pba(const struct pci_function *f, uint64_t off, uint8_t *buf, uint32_t len)
{
	memset(buf, 0, len);
	if (fault(F_VFIO_PBA_EMPTY))
		return;
	for (uint32_t i = 0; i < 8 * len && off * 8 + i < f->vectors; i++) {
		if ((f->pending[off * 8 + i] || f->kept[off * 8 + i]) &&
		    !(i >= 8 && fault(F_VFIO_PBA_FIRST_BYTE)))
			buf[i / 8] |= (uint8_t)(1 << i % 8);
	}
	if (f->vectors % 64 && off <= f->vectors / 8 && off + len > f->vectors / 8 &&
	    fault(F_VFIO_PBA_BEYOND))
		buf[f->vectors / 8 - off] |= 0x80;
}

/* The VMM takes a signal for the line's assertion, and lowers it itself when the guest has looked after the device. */
static void update_line(struct pci_function *f)
{
	if (!f->level || f->line_waits || f->intx_fd < 0 || pci_msix_on(f) ||
	    pci_get16(f, PCI_COMMAND) & PCI_COMMAND_INTX_OFF)
		return;
	f->line_waits = true;
	signal_fd(f, f->intx_fd);
}

void pci_set_intx(struct pci_function *f, bool level)
{
	f->level = level;
	if (level)
		f->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	else if (!(f->config[PCI_STATUS] & PCI_STATUS_INTERRUPT) || !fault(F_VFIO_STATUS_STUCK))
		f->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	if (!level && f->line_waits && take_back(f->intx_fd))
		f->line_waits = false;
	update_line(f);
}

void pci_intx_unmask(struct pci_function *f)
{
	f->line_waits = false;
	update_line(f);
}

void pci_give_vector_fd(struct pci_function *f, unsigned int vector, int fd)
{
	usock_close(&f->vector_fd[vector]);
	f->vector_fd[vector] = fd;
	send_pending(f);
}

void pci_give_intx_fd(struct pci_function *f, int fd)
{
	usock_close(&f->intx_fd);
	f->intx_fd = fd;
	pci_intx_unmask(f);
}

static bool taken(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return fd < 0 || poll(&p, 1, 0) <= 0;
}

bool pci_signals_taken(const struct pci_function *f)
{
	for (unsigned int i = 0; i < f->vectors; i++) {
		if (!taken(f->vector_fd[i]))
			return false;
	}
	return taken(f->intx_fd);
}
