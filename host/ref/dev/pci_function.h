/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI Express function as its guest sees it: configuration space with power management, function-level reset and
 * MSI-X, BARs, and its interrupts. What the BARs hold is the caller's (virtio_pci.c). The MSI-X table is the VMM's: it
 * gives an eventfd for each entry, and masks by itself. Pending bits and Function Mask are kept here.
 */
#ifndef HOST_REF_DEV_PCI_FUNCTION_H
#define HOST_REF_DEV_PCI_FUNCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCI_CONFIG_SIZE 4096 /* the upper 3840 bytes read 0 */
#define PCI_BARS	6
#define PCI_MAX_VECTORS 256

enum pci_register {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09,
	PCI_BAR0 = 0x10,
	PCI_SUBVENDOR = 0x2c,
	PCI_SUBSYSTEM = 0x2e,
	PCI_CAP_POINTER = 0x34,
	PCI_IRQ_LINE = 0x3c,
	PCI_IRQ_PIN = 0x3d,
	/* Capabilities have fixed places. */
	PCI_CAP_PM = 0x40,
	PCI_CAP_EXPRESS = 0x48,
	PCI_CAP_MSIX = 0x5c,
	PCI_CAP_FREE = 0x68, /* from here on the caller's */
};

enum {
	PCI_COMMAND_MEMORY = 1 << 1,
	PCI_COMMAND_MASTER = 1 << 2,
	PCI_COMMAND_INTX_OFF = 1 << 10,
	PCI_STATUS_INTERRUPT = 1 << 3,
	PCI_STATUS_CAPS = 1 << 4,
	PCI_MSIX_FUNCTION_MASK = 1 << 14,
	PCI_MSIX_ENABLE = 1 << 15,
};

struct pci_function;

struct pci_function_ops {
	/* off and len lie inside of the BAR. */
	void (*bar_read)(void *arg, unsigned int bar, uint64_t off, void *buf, uint32_t len);
	void (*bar_write)(void *arg, unsigned int bar, uint64_t off, const void *buf, uint32_t len);
	/* Of the bytes from PCI_CAP_FREE on that the caller has made writable; before a read, after a write. */
	void (*cap_read)(void *arg, unsigned int at, unsigned int len);
	void (*cap_written)(void *arg, unsigned int at, unsigned int len);
	/* Bus mastering, the power state or Function Mask changed. */
	void (*changed)(void *arg);
	/* A function-level reset. */
	void (*reset)(void *arg);
};

struct pci_function {
	const struct pci_function_ops *ops;
	void *arg;
	uint8_t config[PCI_CONFIG_SIZE], initial[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE]; /* bits that a store changes */
	uint64_t bar_size[PCI_BARS];
	unsigned int vectors;
	int vector_fd[PCI_MAX_VECTORS]; /* -1: the VMM has given none */
	bool pending[PCI_MAX_VECTORS];
	bool kept[PCI_MAX_VECTORS]; /* fault outside3.fr_flr_keeps_pending */
	int intx_fd;
	bool level;	  /* what the function wants INTx to be */
	bool line_waits;  /* signalled, and the VMM has not taken note of the end yet */
	uint64_t signals; /* of any kind */
};

void pci_function_init(struct pci_function *f, unsigned int vectors,
		       const struct pci_function_ops *ops, void *arg);
/* A BAR of memory, of a size that is a power of two. is64: it takes the next register as well. */
void pci_function_bar(struct pci_function *f, unsigned int bar, uint64_t size, bool is64,
		      bool prefetch);
/* Everything is as it was at power-on, once all of the above is done. The VMM's eventfds stay. */
void pci_function_power_on(struct pci_function *f);
/* Closes the VMM's eventfds. */
void pci_function_close(struct pci_function *f);

uint16_t pci_get16(const struct pci_function *f, unsigned int at);
void pci_put16(struct pci_function *f, unsigned int at, uint16_t v);
uint32_t pci_get32(const struct pci_function *f, unsigned int at);
void pci_put32(struct pci_function *f, unsigned int at, uint32_t v);

/* off + len is at most PCI_CONFIG_SIZE. */
void pci_config_read(struct pci_function *f, uint32_t off, void *buf, uint32_t len);
void pci_config_write(struct pci_function *f, uint32_t off, const void *buf, uint32_t len);

/* May it read and write memory, and send messages? */
bool pci_masters(const struct pci_function *f);
static inline bool pci_msix_on(const struct pci_function *f)
{
	return pci_get16(f, PCI_CAP_MSIX + 2) & PCI_MSIX_ENABLE;
}

void pci_raise_vector(struct pci_function *f, unsigned int vector);
/* Nothing that is pending is sent any more, and what is under way is taken back. */
void pci_drop_pending(struct pci_function *f);
/* Whether a vector waits. */
bool pci_any_pending(const struct pci_function *f);
void pci_set_intx(struct pci_function *f, bool level);
/* The pending bits as the guest reads them. */
void pci_read_pba(const struct pci_function *f, uint64_t off, uint8_t *buf, uint32_t len);
/* Whether the VMM has taken note of every signal, so that none is under way. */
bool pci_signals_taken(const struct pci_function *f);

/* The VMM's side. fd becomes the function's; -1: none any more. */
void pci_give_vector_fd(struct pci_function *f, unsigned int vector, int fd);
void pci_give_intx_fd(struct pci_function *f, int fd);
/* The guest has looked after the line: it is signalled again if it is still asserted. */
void pci_intx_unmask(struct pci_function *f);

#endif
