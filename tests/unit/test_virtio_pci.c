/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.c on a function that this file makes: configuration space, BARs, common configuration, MSI-X table. Each number
 * comes from the host, so that each check has a case here that it alone catches.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Their lists of devices and functions are private; each test starts anew. */
#include "drivers/virtio/virtio.c" /* NOLINT(bugprone-suspicious-include) */
#include "lib/pci.c"		   /* NOLINT(bugprone-suspicious-include) */

#include "drivers/virtio/pci.h"
#include "tests/unit/probed.h"

#define AT(field)  ((uint32_t)offsetof(struct virtio_pci_common_cfg, field))
#define V1	   VIRTIO_BIT(VIRTIO_F_VERSION_1)
#define RESET	   VIRTIO_BIT(VIRTIO_F_RING_RESET)
#define DESC	   0x1122334455667788ull
#define DRIVER	   0x99aabbccddeeff00ull
#define DEVICE	   0x0123456789abcdefull
#define REGS_PA	   0xfe000000u
#define NOTIFY_PA  0x800000000ull
#define MSIX_PA	   0xfe010000u
#define LATE_RESET 5 /* loads of queue_reset until it reads 0 */
#define MAX_QUEUE  9

enum { /* of BAR 0 */
	ISR_AT = 0x100,
	DEVICE_AT = 0x200,
	DEVICE_LEN = 0x18,
	/* of BAR 2 */
	NOTIFY_AT = 0x1000,
	NOTIFY_LEN = 0x20,
	/* of BAR 4 */
	PBA_AT = 0x800,
};

/* --- the function at 00:03.0 ------------------------------------------------------------------------- */

static struct fake_window *cfg, *bar0, *bar2, *bar4;
static uint8_t writable[256]; /* bits of configuration space */
static unsigned int cap_at[16], last_cap, next_cap;
static uint32_t gsi;

const struct pci_range arch_pci_hole = { 0,
					 0 }; /* what firmware left without an address stays so */

bool arch_pci_present(void)
{
	return true;
}

uint32_t arch_pci_read(const struct pci_dev *d, unsigned int off, unsigned int size)
{
	if (d->bus || d->fn || (d->dev && d->dev != 3))
		return UINT32_MAX;
	if (d->dev == 0) /* the host bridge */
		return off == 0 ? 0x29c08086 : 0;
	return (uint32_t)fake_window_load(cfg->mem + off, size);
}

void arch_pci_write(const struct pci_dev *d, unsigned int off, unsigned int size, uint32_t v)
{
	if (d->dev == 3)
		fake_window_store(cfg->mem + off, size, v);
}

uint32_t arch_pci_intx(const struct pci_dev *d)
{
	(void)d;
	return gsi;
}

unsigned int acpi_mcfg(struct acpi_mcfg *m, unsigned int max)
{
	(void)m;
	(void)max;
	return 0;
}

static void set(unsigned int off, unsigned int size, uint64_t v)
{
	fake_window_set(cfg, off, size, v);
}

static uint32_t get(unsigned int off, unsigned int size)
{
	return (uint32_t)fake_window_get(cfg, off, size);
}

static void store_config(uint32_t off, unsigned int size, uint64_t v)
{
	unsigned int i;

	for (i = 0; i < size; i++, v >>= 8)
		set(off + i, 1, (get(off + i, 1) & ~writable[off + i]) | (v & writable[off + i]));
}

/* flags: the read-only low bits; 4 is a 64-bit one. */
static void add_bar(unsigned int i, uint64_t size, uint32_t flags, uint64_t at)
{
	const uint64_t mask = ~(size - 1);
	const unsigned int off = CFG_BAR0 + 4 * i;

	set(off, flags & 4 ? 8 : 4, at | flags);
	memcpy(writable + off, &mask, flags & 4 ? 8 : 4);
	writable[off] &= (uint8_t)~15;
}

static unsigned int add_cap(uint8_t id, unsigned int len)
{
	const unsigned int at = next_cap;

	assert_true(at + len <= 256);
	set(last_cap ? last_cap + 1 : CFG_CAPS, 1, at);
	set(at, 1, id);
	last_cap = at;
	next_cap += (len + 3) & ~3u;
	return at;
}

static unsigned int add_virtio_cap(uint8_t type, uint8_t bar, uint32_t off, uint32_t len,
				   uint8_t cap_len)
{
	const unsigned int at = add_cap(0x09, cap_len < 16 ? 16 : cap_len);

	set(at + 2, 1, cap_len);
	set(at + 3, 1, type);
	set(at + 4, 1, bar);
	set(at + 8, 4, off);
	set(at + 12, 4, len);
	return cap_at[type] = at;
}

/* --- its common configuration --------------------------------------------------------------------------- */

static struct {
	uint32_t device_sel, driver_sel;
	uint64_t offered, accepted;
	uint8_t status, isr, generation;
	uint16_t config_vector, num_queues, sel;
	struct {
		uint16_t size, vector, enabled, notify_off, notify_data;
	} q[MAX_QUEUE];
	unsigned int resetting;
	uint16_t worst_vector; /* from this on vectors are refused */
} regs;

static unsigned int width_of(uint32_t off)
{
	if (off < AT(config_msix_vector))
		return 4;
	if (off == AT(device_status) || off == AT(config_generation))
		return 1;
	return off >= AT(queue_desc_lo) && off < AT(queue_notif_config_data) ? 4 : 2;
}

static uint64_t load_regs(uint32_t off, unsigned int size)
{
	const uint16_t i = regs.sel < MAX_QUEUE ? regs.sel : MAX_QUEUE - 1;

	if (off >= ISR_AT)
		return fake_window_get(bar0, off, size);
	assert_int_equal(size, width_of(off)); /* 4.1.3.1 */
	if (off == AT(device_feature))
		return regs.device_sel > 1 ? 0 : (uint32_t)(regs.offered >> 32 * regs.device_sel);
	if (off == AT(config_msix_vector))
		return regs.config_vector;
	if (off == AT(num_queues))
		return regs.num_queues;
	if (off == AT(device_status))
		return regs.status;
	if (off == AT(config_generation))
		return regs.generation;
	if (off == AT(queue_size))
		return regs.q[i].size;
	if (off == AT(queue_msix_vector))
		return regs.q[i].vector;
	if (off == AT(queue_enable))
		return regs.q[i].enabled;
	if (off == AT(queue_notify_off))
		return regs.q[i].notify_off;
	if (off == AT(queue_notif_config_data))
		return regs.q[i].notify_data;
	if (off == AT(queue_reset))
		return regs.resetting ? regs.resetting-- > 0 : 0;
	return fake_window_get(bar0, off, size);
}

static uint16_t vector(uint64_t v)
{
	return v < regs.worst_vector ? (uint16_t)v : VIRTIO_NO_VECTOR;
}

static void store_regs(uint32_t off, unsigned int size, uint64_t v)
{
	const uint16_t i = regs.sel < MAX_QUEUE ? regs.sel : MAX_QUEUE - 1;
	unsigned int n;

	if (off >= ISR_AT) {
		fake_window_set(bar0, off, size, v);
		return;
	}
	assert_int_equal(size, width_of(off));
	if (off == AT(device_feature_select)) {
		regs.device_sel = (uint32_t)v;
	} else if (off == AT(driver_feature_select)) {
		regs.driver_sel = (uint32_t)v;
	} else if (off == AT(driver_feature)) {
		assert_in_range(regs.driver_sel, 0, 1);
		regs.accepted &= regs.driver_sel ? UINT32_MAX : ~(uint64_t)UINT32_MAX;
		regs.accepted |= v << 32 * regs.driver_sel;
	} else if (off == AT(config_msix_vector)) {
		regs.config_vector = vector(v);
	} else if (off == AT(device_status)) {
		regs.status = (uint8_t)v;
		for (n = 0; v == 0 && n < MAX_QUEUE; n++)
			regs.q[n].enabled = 0;
	} else if (off == AT(queue_select)) {
		regs.sel = (uint16_t)v;
	} else if (off == AT(queue_size)) {
		regs.q[i].size = (uint16_t)v;
	} else if (off == AT(queue_msix_vector)) {
		regs.q[i].vector = vector(v);
	} else if (off == AT(queue_enable)) {
		regs.q[i].enabled = (uint16_t)v;
	} else if (off == AT(queue_reset)) {
		regs.q[i].enabled = 0;
		regs.resetting = LATE_RESET;
	} else {
		fake_window_set(bar0, off, size, v);
	}
}

/* --- words ------------------------------------------------------------------------------------------------ */

static int end(void **state)
{
	(void)state;
	remove_devices();
	while (pci.count)
		free(pci.dev[--pci.count]);
	free(pci.dev);
	memset(&pci, 0, sizeof(pci));
	return 0;
}

static void make_function(void)
{
	set(0, 4, 0x10441af4);
	set(CFG_STATUS, 2, STATUS_CAPS);
	set(0x2c, 4, 0x00041af4);
	set(CFG_IRQ_LINE + 1, 1, 1);
	memset(writable + CFG_COMMAND, 0xff, 2);
	add_bar(0, 0x1000, 0, REGS_PA);
	add_bar(1, 0x1000, 0, 0); /* not assigned */
	add_bar(2, 0x4000, 12, NOTIFY_PA);
	add_bar(4, 0x1000, 0, MSIX_PA);
	add_bar(5, 0x100, 1, 0xc000);
	next_cap = 0x40;
	cap_at[0] = add_cap(CAP_MSIX, 12);
	set(cap_at[0] + 2, 2, 8); /* 9 entries */
	set(cap_at[0] + 4, 4, 4);
	set(cap_at[0] + 8, 4, PBA_AT | 4);
	writable[cap_at[0] + 3] = 0xc0;
	add_virtio_cap(VIRTIO_PCI_CAP_COMMON_CFG, 0, 0, 64, 16);
	add_virtio_cap(VIRTIO_PCI_CAP_NOTIFY_CFG, 2, NOTIFY_AT, NOTIFY_LEN, 20);
	set(cap_at[VIRTIO_PCI_CAP_NOTIFY_CFG] + 16, 4, 4);
	add_virtio_cap(VIRTIO_PCI_CAP_ISR_CFG, 0, ISR_AT, 1, 16);
	add_virtio_cap(VIRTIO_PCI_CAP_DEVICE_CFG, 0, DEVICE_AT, DEVICE_LEN, 16);
	add_virtio_cap(VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0, 20);
	memset(writable + cap_at[VIRTIO_PCI_CAP_PCI_CFG] + 4, 0xff, 16);
}

static int fresh(void **state)
{
	unsigned int i;

	end(state);
	fake_windows_clear();
	fake_irq_clear();
	memset(&regs, 0, sizeof(regs));
	memset(writable, 0, sizeof(writable));
	memset(cap_at, 0, sizeof(cap_at));
	last_cap = 0;
	gsi = 10;
	cfg = fake_window_add(0, 256);
	cfg->store = store_config;
	cfg->name = 'c';
	bar0 = fake_window_add(REGS_PA, 0x1000);
	bar0->load = load_regs;
	bar0->store = store_regs;
	bar2 = fake_window_add(NOTIFY_PA, 0x4000);
	bar2->name = 'n';
	bar4 = fake_window_add(MSIX_PA, 0x1000);
	bar4->name = 'm';
	make_function();
	regs.offered = V1;
	regs.num_queues = 2;
	regs.config_vector = VIRTIO_NO_VECTOR;
	regs.worst_vector = VIRTIO_NO_VECTOR;
	for (i = 0; i < MAX_QUEUE; i++) {
		regs.q[i].size = 64;
		regs.q[i].vector = VIRTIO_NO_VECTOR; /* 4.1.4.3: until a driver maps it */
		regs.q[i].notify_off = (uint16_t)i;
		regs.q[i].notify_data = (uint16_t)(0x50 + i);
		fake_window_set(bar4, 16 * i + 12, 4, 1); /* masked */
	}
	for (i = 0; i < 64; i++)
		fake_window_set(bar0, DEVICE_AT + i, 1, i);
	return 0;
}

static void probe_all(void)
{
	assert_int_equal(pci_init(), 2);
	probe_devices();
}

static struct virtio_device *device(void)
{
	probe_all();
	assert_int_equal(virtio.refusals, 0);
	assert_int_equal(virtio.count, 1);
	(void)fake_window_stores();
	return virtio_get(0);
}

static struct virtio_device *negotiated(uint64_t features)
{
	struct virtio_device *d;

	regs.offered |= features;
	d = device();
	assert_int_equal(virtio_negotiate(d, features), 0);
	(void)fake_window_stores();
	return d;
}

/* Nothing is driven, and this is why. The function stays known, without bus mastering. */
static const struct virtio_pci *refused(enum virtio_refusal_kind kind, const char *why)
{
	probe_all();
	assert_int_equal(virtio.count, 0);
	assert_int_equal(virtio.refusals, 1);
	assert_string_equal(virtio_refused(0)->name, "pci 00:03.0");
	assert_int_equal(virtio_refused(0)->kind, kind);
	assert_non_null(strstr(virtio_refused(0)->reason, why));
	assert_int_equal(get(CFG_COMMAND, 2) & (CMD_MEM | CMD_MASTER), CMD_MEM);
	return virtio_pci(virtio_refused(0)->dev);
}

#define NO_COMMON "no COMMON_CFG inside of an assigned memory BAR"
#define NO_NOTIFY "no NOTIFY_CFG inside of an assigned memory BAR"

/* --- which functions are virtio devices ---------------------------------------------------------------------- */

static void found(void **state)
{
	struct virtio_device *d = device();
	const struct virtio_pci *p = virtio_pci(d);
	static struct fake_device other;

	(void)state;
	assert_string_equal(d->name, "pci 00:03.0");
	assert_string_equal(d->ops->name, "pci");
	assert_string_equal(d->irq_info, "9 MSI-X vectors, INTx at GSI 10");
	assert_int_equal(d->id, VIRTIO_ID_RNG);
	assert_int_equal(d->dev.bus, DEVICE_PCI);
	assert_int_equal(d->dev.requester, 3 << 3);
	assert_int_equal(d->max_queues, 2);
	assert_int_equal(p->num_caps, 5);
	assert_ptr_equal(p->common, bar0->mem);
	assert_ptr_equal(p->isr, bar0->mem + ISR_AT);
	assert_ptr_equal(p->device, bar0->mem + DEVICE_AT);
	assert_ptr_equal(p->notify, bar2->mem + NOTIFY_AT);
	assert_int_equal(p->notify_cap->multiplier, 4);
	assert_int_equal(p->window_cap->at, cap_at[VIRTIO_PCI_CAP_PCI_CFG]);
	assert_int_equal(get(CFG_COMMAND, 2), CMD_MEM | CMD_MASTER | CMD_INTX_OFF);
	fake_init(&other, VIRTIO_ID_RNG, V1, 1, false);
	assert_null(virtio_pci(&other.vdev));
	d->ops->remove(d);
	virtio.count = 0;
	assert_int_equal(get(CFG_COMMAND, 2), CMD_MEM | CMD_INTX_OFF);
}

/* 4.1.2: vendor and device IDs; a transitional device has its id in the subsystem. */
static void identity(void **state)
{
	static const struct {
		uint16_t vendor, device, subdevice;
		int id; /* -1: no virtio device */
	} c[] = {
		{ 0x1af4, 0x0fff, 4, -1 }, { 0x1af4, 0x1000, 1, 1 },  { 0x1af4, 0x103f, 19, 19 },
		{ 0x1af4, 0x1040, 4, 0 },  { 0x1af4, 0x1053, 0, 19 }, { 0x1af4, 0x107f, 4, 0x3f },
		{ 0x1af4, 0x1080, 4, -1 }, { 0x1af5, 0x1044, 4, -1 }, { 0x8086, 0x1044, 4, -1 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		fresh(state);
		set(0, 4, c[i].vendor | (uint32_t)c[i].device << 16);
		set(0x2e, 2, c[i].subdevice);
		probe_all();
		assert_int_equal(virtio.count, c[i].id >= 0);
		assert_int_equal(virtio.refusals, 0);
		if (c[i].id >= 0)
			assert_int_equal(virtio_get(0)->id, c[i].id);
	}
}

static void no_capabilities(void **state)
{
	const unsigned int msix = cap_at[0];

	set(msix + 1, 1, 0);
	refused(VIRTIO_REFUSED_LAYOUT, "rng (1af4:1044): no COMMON_CFG capability");
	fresh(state);
	set(msix + 1, 1, 0);
	set(2, 2, 0x1003);
	set(0x2e, 2, 3);
	refused(VIRTIO_REFUSED_LEGACY, "console (1af4:1003): legacy only");
	fresh(state); /* the last one that may be legacy, and the first that may not */
	set(msix + 1, 1, 0);
	set(2, 2, 0x103f);
	refused(VIRTIO_REFUSED_LEGACY, "legacy only");
	fresh(state);
	set(msix + 1, 1, 0);
	set(2, 2, 0x1040);
	refused(VIRTIO_REFUSED_LAYOUT, "no COMMON_CFG capability");
	fresh(state); /* who has any capability of virtio is no legacy device */
	set(2, 2, 0x1003);
	set(cap_at[VIRTIO_PCI_CAP_COMMON_CFG] + 3, 1, 9);
	refused(VIRTIO_REFUSED_LAYOUT, "no COMMON_CFG capability");
	fresh(state);
	set(CFG_STATUS, 2, 0);
	refused(VIRTIO_REFUSED_LAYOUT, "no COMMON_CFG capability");
}

static void no_memory(void **state)
{
	(void)state;
	assert_int_equal(pci_init(), 2);
	fake_fail = 1;
	probe_devices();
	assert_int_equal(virtio.count, 0);
	assert_int_equal(virtio.refusals, 1);
	assert_string_equal(virtio_refused(0)->name, "pci 00:03.0");
	assert_int_equal(virtio_refused(0)->kind, VIRTIO_REFUSED_RESOURCE);
	assert_string_equal(virtio_refused(0)->reason, "no memory");
	assert_null(virtio_refused(0)->dev);
}

static void reset_that_never_ends(void **state)
{
	(void)state;
	fake_window_lie(bar0, AT(device_status), 0, 0x0f);
	refused(VIRTIO_REFUSED_RESET, "rng (1af4:1044): reset: device status still reads 0x0f");
}

/* --- capabilities ------------------------------------------------------------------------------------------------ */

/* A structure that does not lie in a memory BAR that is mapped is none, however its numbers overflow. */
static void common_outside(void **state)
{
	static const struct {
		uint8_t bar;
		uint32_t off, len;
		uint8_t cap_len;
		bool good;
	} c[] = {
		{ 0, 0, 64, 16, true },
		{ 0, 0, 56, 16, true }, /* virtio 1.0's */
		{ 0, 0, 55, 16, false },
		{ 0, 0, 0, 16, false },
		{ 0, 0, 0x1000, 16, true },
		{ 0, 0, 0x1001, 16, false },
		{ 0, 0, UINT32_MAX, 16, false },
		{ 0, 0xfc8, 56, 16, true }, /* up to its end */
		{ 0, 0xfcc, 56, 16, false },
		{ 0, 0x1000, 56, 16, false },
		{ 0, 0x1004, 0, 16, false },
		{ 0, 0xfffffff8, 64, 16, false }, /* the sum is small in 32 bits */
		{ 0, 0, 64, 15, false },
		{ 0, 0, 64, 0, false },
		{ 0, 0, 64, 17, true },
		{ 1, 0, 64, 16, false }, /* no address */
		{ 3, 0, 64, 16, false }, /* the upper half of BAR 2 */
		{ 5, 0, 64, 16, false }, /* I/O */
		{ 6, 0, 64, 16, false }, /* reserved */
		{ 255, 0, 64, 16, false },
	};
	const struct virtio_pci *p;
	unsigned int i, at;

	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		fresh(state);
		at = cap_at[VIRTIO_PCI_CAP_COMMON_CFG];
		set(at + 2, 1, c[i].cap_len);
		set(at + 4, 1, c[i].bar);
		set(at + 8, 4, c[i].off);
		set(at + 12, 4, c[i].len);
		if (!c[i].good) {
			p = refused(VIRTIO_REFUSED_LAYOUT, NO_COMMON);
			assert_null(p->common_cap);
			continue;
		}
		bar0->load = NULL; /* memory, which is 0 where the structure stands */
		bar0->store = NULL;
		probe_all();
		p = virtio_pci(virtio.count ? virtio_get(0) : virtio_refused(0)->dev);
		assert_ptr_equal(p->common, bar0->mem + c[i].off);
		assert_int_equal(p->common_cap->length, c[i].len);
	}
}

/* Of each type the first that can be used; what else there is does not matter. */
static void first_usable(void **state)
{
	const struct virtio_pci *p;
	unsigned int good;

	(void)state;
	set(cap_at[VIRTIO_PCI_CAP_ISR_CFG] + 4, 1, 6);
	add_virtio_cap(VIRTIO_PCI_CAP_ISR_CFG, 0, 0x108, 0, 16); /* too short */
	good = add_virtio_cap(VIRTIO_PCI_CAP_ISR_CFG, 0, 0x104, 1, 16);
	add_virtio_cap(VIRTIO_PCI_CAP_ISR_CFG, 0, 0x100, 1, 16);
	p = virtio_pci(device());
	assert_int_equal(p->isr_cap->at, good);
	assert_ptr_equal(p->isr, bar0->mem + 0x104);
	assert_int_equal(p->num_caps, 8);
}

static void structures_missing(void **state)
{
	struct virtio_device *d;
	uint8_t b = 0x77;

	set(cap_at[VIRTIO_PCI_CAP_NOTIFY_CFG] + 12, 4, 1);
	refused(VIRTIO_REFUSED_LAYOUT, NO_NOTIFY);
	fresh(state);
	set(cap_at[VIRTIO_PCI_CAP_NOTIFY_CFG] + 12, 4, 2);
	device();
	fresh(state);
	bar2->unmappable = true;
	refused(VIRTIO_REFUSED_LAYOUT, NO_NOTIFY);
	fresh(state);
	bar0->unmappable = true;
	refused(VIRTIO_REFUSED_LAYOUT, NO_COMMON);
	fresh(state); /* a device without configuration, ISR and window */
	set(cap_at[VIRTIO_PCI_CAP_ISR_CFG] + 3, 1, 77);
	set(cap_at[VIRTIO_PCI_CAP_DEVICE_CFG] + 3, 1, 0);
	set(cap_at[VIRTIO_PCI_CAP_PCI_CFG] + 3, 1, 255);
	d = device();
	assert_int_equal(d->ops->config_len(d), 0);
	assert_int_equal(d->ops->config_read(d, 0, &b, 1), -ERANGE);
	assert_int_equal(d->ops->config_write(d, 0, &b, 1), -ERANGE);
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_INTX), -EOPNOTSUPP);
}

/* Lists that lead back: so many capabilities are looked at, and what was found before is used. */
static void loops(void **state)
{
	const struct virtio_pci *p;

	set(last_cap + 1, 1, cap_at[VIRTIO_PCI_CAP_COMMON_CFG]);
	p = virtio_pci(device());
	assert_int_equal(p->num_caps, VIRTIO_PCI_MAX_CAPS);
	assert_ptr_equal(p->common_cap, &p->cap[0]);
	assert_int_equal(p->cap[31].type, p->cap[1].type);
	fresh(state);
	set(cap_at[VIRTIO_PCI_CAP_COMMON_CFG] + 1, 1, cap_at[VIRTIO_PCI_CAP_COMMON_CFG]);
	p = refused(VIRTIO_REFUSED_LAYOUT, NO_NOTIFY);
	assert_int_equal(p->num_caps, VIRTIO_PCI_MAX_CAPS);
}

/* One that overlaps the next reads what stands there; one that reaches over the end of configuration space is none. */
static void shared_memory(void **state)
{
	const struct virtio_pci_cap_info *c;
	unsigned int at = add_virtio_cap(VIRTIO_PCI_CAP_SHARED_MEMORY_CFG, 2, 0x2000, 0x2000, 24);
	unsigned int i;

	set(at + 5, 1, 7);
	c = &virtio_pci(device())->cap[5];
	assert_int_equal(c->type, VIRTIO_PCI_CAP_SHARED_MEMORY_CFG);
	assert_int_equal(c->id, 7);
	assert_int_equal(c->bar, 2);
	assert_int_equal(c->offset, 0x2000);
	assert_int_equal(c->length, 0x2000);
	assert_int_equal(c->at, at);
	assert_true(c->in_bar);
	for (i = 0; i < 3;
	     i++) { /* upper halves: of the offset, of the length, none since cap_len is short */
		fresh(state);
		at = add_virtio_cap(VIRTIO_PCI_CAP_SHARED_MEMORY_CFG, 2, 0x2000, 0x2000,
				    i == 2 ? 23 : 24);
		set(at + 16, 4, i != 1 ? 0x91000012 : 0);
		set(at + 20, 4, i != 0 ? 0xa3000034 : 0);
		c = &virtio_pci(device())->cap[5];
		assert_true(c->offset == (i == 0 ? 0x9100001200002000 : 0x2000));
		assert_true(c->length == (i == 1 ? 0xa300003400002000 : 0x2000));
		assert_int_equal(c->in_bar, i == 2);
	}
	for (i = 16; i <= 17; i++) { /* 0xf0 + 16 is the end */
		fresh(state);
		next_cap = 0xf0;
		at = add_virtio_cap(VIRTIO_PCI_CAP_SHARED_MEMORY_CFG, 2, 0, 1, 16);
		set(at + 2, 1, i);
		c = &virtio_pci(device())->cap[5];
		assert_int_equal(c->cap_len, i);
		assert_int_equal(c->in_bar, i == 16);
	}
	fresh(state); /* what a vendor keeps there is his own */
	add_virtio_cap(VIRTIO_PCI_CAP_VENDOR_CFG, 2, 0, 1, 16);
	assert_false(virtio_pci(device())->cap[5].in_bar);
}

static void multiplier(void **state)
{
	set(cap_at[VIRTIO_PCI_CAP_NOTIFY_CFG] + 2, 1, 19); /* too short to have one */
	assert_int_equal(virtio_pci(device())->notify_cap->multiplier, 0);
	fresh(state); /* of another type: no multiplier */
	set(cap_at[VIRTIO_PCI_CAP_ISR_CFG] + 2, 1, 20);
	assert_int_equal(virtio_pci(device())->isr_cap->multiplier, 0);
	fresh(state); /* nor upper halves: what stands there is the next capability's */
	set(cap_at[VIRTIO_PCI_CAP_ISR_CFG] + 2, 1, 24);
	assert_ptr_equal(virtio_pci(device())->isr, bar0->mem + ISR_AT);
}

static void window(void **state)
{
	struct virtio_pci *p = virtio_pci(device());
	const unsigned int at = p->window_cap->at;
	char want[128];
	uint32_t v;

	set(at + 16, 4, 0x11223344);
	assert_int_equal(virtio_pci_window_read(p, 2, 0x1004, 4, &v), 0);
	assert_int_equal(v, 0x11223344);
	snprintf(want, sizeof(want), "c%x:1=2 c%x:4=1004 c%x:4=4", at + 4, at + 8, at + 12);
	assert_string_equal(fake_window_stores(), want);
	assert_int_equal(virtio_pci_window_read(p, 1, 0x1002, 2, &v), 0);
	assert_int_equal(v, 0x3344);
	assert_int_equal(virtio_pci_window_read(p, 1, 0x1003, 1, &v), 0);
	assert_int_equal(v, 0x44);
	(void)fake_window_stores();
	assert_int_equal(virtio_pci_window_write(p, 0, 0x1006, 2, 0x5566), 0);
	snprintf(want, sizeof(want), "c%x:1=0 c%x:4=1006 c%x:4=2 c%x:2=5566", at + 4, at + 8,
		 at + 12, at + 16);
	assert_string_equal(fake_window_stores(), want);
	/* 4.1.4.9.1: 1, 2 or 4 bytes, aligned. */
	assert_int_equal(virtio_pci_window_write(p, 0, 0x1006, 4, 0), -EINVAL);
	assert_int_equal(virtio_pci_window_read(p, 0, 0x1005, 2, &v), -EINVAL);
	assert_int_equal(virtio_pci_window_read(p, 0, 0x1008, 8, &v), -EINVAL);
	assert_int_equal(virtio_pci_window_read(p, 0, 0x1008, 3, &v), -EINVAL);
	assert_int_equal(virtio_pci_window_read(p, 0, 0x1008, 0, &v), -EINVAL);
	assert_string_equal(fake_window_stores(), "");
	fresh(state); /* a capability without the window is not the one; the next is */
	set(cap_at[VIRTIO_PCI_CAP_PCI_CFG] + 2, 1, 19);
	p = virtio_pci(device());
	assert_null(p->window_cap);
	assert_int_equal(virtio_pci_window_read(p, 0, 0, 4, &v), -ENOENT);
	assert_int_equal(virtio_pci_window_write(p, 0, 0, 4, 0), -ENOENT);
	fresh(state);
	set(cap_at[VIRTIO_PCI_CAP_PCI_CFG] + 2, 1, 19);
	add_virtio_cap(VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0, 20);
	add_virtio_cap(VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0, 20);
	assert_int_equal(virtio_pci(device())->window_cap->at, cap_at[VIRTIO_PCI_CAP_PCI_CFG] - 20);
}

/* The first of the list may be the one, too. */
static void window_first(void **state)
{
	const unsigned int first = cap_at[VIRTIO_PCI_CAP_COMMON_CFG];

	(void)state;
	set(first + 2, 2, 20 | VIRTIO_PCI_CAP_PCI_CFG << 8);
	add_virtio_cap(VIRTIO_PCI_CAP_COMMON_CFG, 0, 0, 64, 16);
	assert_int_equal(virtio_pci(device())->window_cap->at, first);
}

/* A window that would reach over the end of configuration space is not used. */
static void window_at_the_end(void **state)
{
	struct virtio_pci *p;
	uint32_t v;

	set(cap_at[VIRTIO_PCI_CAP_PCI_CFG] + 3, 1, 0);
	next_cap = 0xec;
	add_virtio_cap(VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0, 20);
	p = virtio_pci(device());
	assert_int_equal(p->window_cap->at, 0xec);
	assert_int_equal(virtio_pci_window_read(p, 0, 0, 4, &v), 0);
	fresh(state);
	set(cap_at[VIRTIO_PCI_CAP_PCI_CFG] + 3, 1, 0);
	next_cap = 0xf0;
	set(add_virtio_cap(VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0, 16) + 2, 1, 20);
	p = virtio_pci(device());
	assert_null(p->window_cap);
}

/* --- features, status, configuration --------------------------------------------------------------------------------- */

static void features(void **state)
{
	struct virtio_device *d;

	(void)state;
	regs.offered = V1 | VIRTIO_BIT(VIRTIO_F_EVENT_IDX) | VIRTIO_BIT(VIRTIO_F_RING_PACKED) | 2;
	d = device();
	assert_int_equal(d->ops->device_features(d), regs.offered);
	assert_int_equal(d->ops->device_features_sel(d, 1), 5);
	assert_int_equal(d->ops->device_features_sel(d, 7), 0);
	assert_int_equal(regs.device_sel, 7);
	(void)fake_window_stores();
	d->ops->driver_features(d, 0x1122334455667788);
	assert_string_equal(fake_window_stores(), "8:4=0 c:4=55667788 8:4=1 c:4=11223344");
	assert_int_equal(virtio_negotiate(d, VIRTIO_RING_FEATURES | 2), 0);
	assert_int_equal(regs.accepted, regs.offered);
	assert_int_equal(regs.status,
			 VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK);
}

static void config(void **state)
{
	struct virtio_device *d = device();
	unsigned int i;
	uint8_t b[8] = { 0 };

	(void)state;
	assert_int_equal(d->ops->config_len(d), DEVICE_LEN);
	assert_int_equal(d->ops->config_read(d, 2, b, 7), 0);
	assert_memory_equal(b, "\x02\x03\x04\x05\x06\x07\x08", 7);
	assert_int_equal(d->ops->config_read(d, DEVICE_LEN - 4, b, 4), 0);
	assert_int_equal(d->ops->config_read(d, DEVICE_LEN - 4, b, 5), -ERANGE);
	assert_int_equal(d->ops->config_write(d, DEVICE_LEN - 3, b, 4), -ERANGE);
	assert_string_equal(fake_window_stores(), "");
	assert_int_equal(d->ops->config_write(d, 1, "\x11\x22\x33", 3), 0);
	assert_string_equal(fake_window_stores(), "201:1=11 202:2=3322");
	/* The generation is read before and after. */
	regs.generation = 3;
	assert_int_equal(virtio_config_read(d, 0, b, 4), 0);
	assert_int_equal(fake_window_loads(bar0, AT(config_generation)), 2);
	fake_window_lie(bar0, AT(config_generation), 1, 4);
	assert_int_equal(virtio_config_read(d, 0, b, 4), 0);
	assert_int_equal(fake_window_loads(bar0, AT(config_generation)), 4);
	for (i = 0; i < 30; i++)
		fake_window_lie(bar0, AT(config_generation), i, i + 5);
	assert_int_equal(virtio_config_read(d, 0, b, 4), 0);
	assert_int_equal(fake_window_loads(bar0, AT(config_generation)), 32);
}

/* --- queues ------------------------------------------------------------------------------------------------------------ */

static void queue_sizes(void **state)
{
	struct virtio_device *d;

	/* Whatever queue_size says of a queue that num_queues does not count. */
	regs.num_queues = 1;
	d = device();
	assert_int_equal(d->max_queues, 1);
	assert_false(d->more_queues);
	(void)fake_window_stores();
	assert_int_equal(d->ops->queue_max(d, 1), 0);
	assert_int_equal(d->ops->queue_max(d, 65535), 0);
	assert_string_equal(fake_window_stores(), "");
	assert_int_equal(d->ops->queue_max(d, 0), 64);
	fresh(state);
	regs.num_queues = 0xffff;
	regs.q[3].size = 0;
	regs.q[8].size = 1; /* beyond those that are driven: there are more, however small */
	d = device();
	assert_int_equal(d->max_queues, VIRTIO_MAX_QUEUES);
	assert_int_equal(d->max_size[3], 0);
	assert_true(d->more_queues);
	fresh(state);
	regs.num_queues = 9; /* one more than are driven */
	assert_true(device()->more_queues);
	fresh(state);
	regs.num_queues = 8;
	assert_false(device()->more_queues);
	/* A split ring is cut to a power of two, and to what there can be. */
	fresh(state);
	regs.q[0].size = 100;
	d = negotiated(0);
	assert_int_equal(virtio_queues_setup(d, 1, 0), 0);
	assert_int_equal(regs.q[0].size, 64);
	fresh(state);
	regs.q[0].size = 0;
	d = negotiated(0);
	assert_int_equal(virtio_queues_setup(d, 1, 0), -ENODEV);
	/* 2.7, 2.8: larger ones do not exist. */
	fresh(state);
	regs.q[0].size = 32768;
	assert_int_equal(device()->max_size[0], 32768);
	fresh(state);
	regs.q[0].size = 32769;
	assert_int_equal(device()->max_size[0], 0);
}

static int enable(struct virtio_device *d)
{
	return d->ops->queue_enable(d, 1, 16, DESC, DRIVER, DEVICE);
}

#define ADDRESSES                                                                                  \
	"20:4=55667788 24:4=11223344 28:4=ddeeff00 2c:4=99aabbcc 30:4=89abcdef 34:4=1234567"

static void queue_enable(void **state)
{
	struct virtio_device *d = negotiated(0);

	(void)state;
	assert_int_equal(enable(d), 0);
	assert_string_equal(fake_window_stores(), "16:2=1 18:2=10 " ADDRESSES " 1c:2=1");
	assert_true(d->ops->queue_enabled(d, 1));
	assert_false(d->ops->queue_enabled(d, 0));
	assert_int_equal(regs.sel, 0);
	fake_window_lie(bar0, AT(queue_enable), 0, 2);
	assert_false(d->ops->queue_enabled(d, 1)); /* 4.1.4.3: 1 means enabled */
}

/* What does not read back as it was written. */
static void queue_refused(void **state)
{
	static const uint16_t sizes[] = { 0, 15, 17, 64, 0xffff }, enables[] = { 0, 2, 0xffff };
	struct virtio_device *d;
	char text[80];
	unsigned int i;

	for (i = 0; i < 5; i++) {
		fresh(state);
		d = negotiated(0);
		fake_window_lie(bar0, AT(queue_size), 0, sizes[i]);
		assert_int_equal(enable(d), -EIO);
		snprintf(text, sizeof(text), "queue 1: size 16 written, reads %u", sizes[i]);
		assert_string_equal(d->error, text);
		assert_string_equal(fake_window_stores(), "16:2=1 18:2=10");
	}
	for (i = 0; i < 3; i++) {
		fresh(state);
		d = negotiated(0);
		fake_window_lie(bar0, AT(queue_enable), 0, enables[i]);
		assert_int_equal(enable(d), -EIO);
		snprintf(text, sizeof(text), "queue 1: queue_enable reads %u after 1 was written",
			 enables[i]);
		assert_string_equal(d->error, text);
	}
}

/* 4.1.4.4: queue_notify_off * multiplier, and the width of a notification, lie in the capability. */
static void notify_offsets(void **state)
{
	static const struct {
		uint16_t off;
		uint32_t multiplier, length;
		bool data32;
		int64_t at; /* -1: outside */
	} c[] = {
		{ 7, 4, 0x20, false, 0x1c },
		{ 7, 4, 0x1e, false, 0x1c },
		{ 7, 4, 0x1d, false, -1 },
		{ 7, 4, 0x20, true, 0x1c },
		{ 7, 4, 0x1f, true, -1 },
		{ 8, 4, 0x20, false, -1 },
		{ 0, 4, 2, false, 0 },
		{ 0, 4, 2, true, -1 },
		{ 0xffff, 0, 2, false, 0 },
		{ 0, UINT32_MAX, 2, false, 0 },
		{ 0xffff, UINT32_MAX, 0x3000, false, -1 },
		{ 0x8000, 0x20000, 0x3000, false, -1 }, /* 2^32 */
		{ 1, 0x2ffe, 0x3000, false, 0x2ffe },
	};
	struct virtio_device *d;
	unsigned int i;

	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		fresh(state);
		set(cap_at[VIRTIO_PCI_CAP_NOTIFY_CFG] + 12, 4, c[i].length);
		set(cap_at[VIRTIO_PCI_CAP_NOTIFY_CFG] + 16, 4, c[i].multiplier);
		regs.q[1].notify_off = c[i].off;
		d = negotiated(c[i].data32 ? VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA) : 0);
		if (c[i].at < 0) {
			assert_int_equal(enable(d), -EIO);
			assert_non_null(strstr(d->error, "is outside of the notify capability's"));
			assert_string_equal(fake_window_stores(), "16:2=1 18:2=10");
			d->ops->notify(d, 1, 0);
			assert_string_equal(fake_window_stores(), "");
			continue;
		}
		assert_int_equal(enable(d), 0);
		assert_ptr_equal(virtio_pci(d)->notify_at[1], bar2->mem + NOTIFY_AT + c[i].at);
	}
}

static void notifications(void **state)
{
	struct virtio_device *d = negotiated(0);

	d->ops->notify(d, 1, 0x00050001); /* of a queue that is not enabled: nowhere */
	assert_string_equal(fake_window_stores(), "");
	assert_int_equal(enable(d), 0);
	(void)fake_window_stores();
	d->ops->notify(d, 1, 0x00050001);
	assert_string_equal(fake_window_stores(), "n1004:2=1");
	fresh(state);
	d = negotiated(VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA));
	assert_int_equal(enable(d), 0);
	(void)fake_window_stores();
	d->ops->notify(d, 1, 0x00050001);
	assert_string_equal(fake_window_stores(), "n1004:4=50001");
}

/* NOTIF_CONFIG_DATA: what the device wants to be told; its field must be there. */
static void notify_data(void **state)
{
	const uint64_t both = VIRTIO_BIT(VIRTIO_F_NOTIF_CONFIG_DATA) |
			      VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA);
	struct virtio_device *d = negotiated(VIRTIO_BIT(VIRTIO_F_NOTIF_CONFIG_DATA));
	unsigned int i;

	assert_int_equal(enable(d), 0);
	(void)fake_window_stores();
	d->ops->notify(d, 1, 0x00050001);
	assert_string_equal(fake_window_stores(), "n1004:2=51");
	fresh(state);
	d = negotiated(both);
	assert_int_equal(enable(d), 0);
	(void)fake_window_stores();
	d->ops->notify(d, 1, 0x80050001);
	assert_string_equal(fake_window_stores(), "n1004:4=80050051");
	for (i = 57; i <= 58; i++) {
		fresh(state);
		set(cap_at[VIRTIO_PCI_CAP_COMMON_CFG] + 12, 4, i);
		d = negotiated(both);
		assert_int_equal(enable(d), i == 57 ? -EIO : 0);
		assert_int_equal(fake_window_loads(bar0, AT(queue_notif_config_data)), i == 58);
	}
	fresh(state); /* without the feature nobody misses the field */
	set(cap_at[VIRTIO_PCI_CAP_COMMON_CFG] + 12, 4, 56);
	d = negotiated(0);
	assert_int_equal(enable(d), 0);
}

static void queue_reset(void **state)
{
	struct virtio_device *d = negotiated(0);
	unsigned int i;

	assert_int_equal(d->ops->queue_reset(d, 1), -EOPNOTSUPP);
	assert_string_equal(fake_window_stores(), "");
	for (i = 59; i <= 60; i++) { /* queue_reset is not in the structure, or is its last field */
		fresh(state);
		set(cap_at[VIRTIO_PCI_CAP_COMMON_CFG] + 12, 4, i);
		d = negotiated(RESET);
		assert_int_equal(d->ops->queue_reset(d, 1), i == 59 ? -EOPNOTSUPP : 0);
	}
	fresh(state);
	d = negotiated(RESET);
	assert_int_equal(enable(d), 0);
	(void)fake_window_stores();
	assert_int_equal(d->ops->queue_reset(d, 1), 0);
	assert_string_equal(fake_window_stores(), "16:2=1 3a:2=1");
	assert_int_equal(fake_window_loads(bar0, AT(queue_reset)), LATE_RESET + 1);
	fake_window_lie(bar0, AT(queue_enable), 0, 3);
	assert_int_equal(d->ops->queue_reset(d, 1), -EIO);
	assert_string_equal(d->error, "queue 1: queue_enable reads 3 after a queue reset");
	fake_window_lie(bar0, AT(queue_reset), 0, 0x10);
	assert_int_equal(d->ops->queue_reset(d, 1), -ETIMEDOUT);
	assert_string_equal(d->error, "queue 1: queue_reset still reads 16");
	assert_true(fake_window_loads(bar0, AT(queue_reset)) > 1000);
}

/* --- MSI-X ------------------------------------------------------------------------------------------------------------------ */

static uint32_t entry(unsigned int n, unsigned int off)
{
	return (uint32_t)fake_window_get(bar4, 16 * n + off, 4);
}

static int vector_of(unsigned int n)
{
	assert_int_equal(entry(n, 12) & 1, 0);
	assert_int_equal(entry(n, 4), 0);
	return (int)entry(n, 8);
}

static uint32_t msix_control(void)
{
	return get(cap_at[0] + 2, 2) & 0xc000;
}

/* Two queues, and the best interrupts up to this mode. */
static struct virtio_device *started(const char *mode)
{
	struct virtio_device *d = negotiated(0);

	fake_cmdline_key = mode ? "irq" : NULL;
	fake_cmdline_value = mode;
	assert_int_equal(virtio_queues_setup(d, 2, 0), 0);
	fake_cmdline_key = NULL;
	listen_to(d);
	return d;
}

static void msix_each(void **state)
{
	struct virtio_device *d = started(NULL);
	unsigned int i;

	(void)state;
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_MSIX);
	assert_int_equal(fake_irq_vectors(), 3);
	assert_int_equal(msix_control(), MSIX_ENABLE);
	assert_int_equal(get(CFG_COMMAND, 2) & CMD_INTX_OFF, CMD_INTX_OFF);
	assert_int_equal(regs.config_vector, 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(regs.q[i].vector, i + 1);
		assert_int_equal(entry(i + 1, 0), FAKE_IRQ_MESSAGE);
		fake_irq_raise(vector_of(i + 1));
		assert_int_equal(on_queue, i + 1);
		assert_int_equal(last_queue, i);
		assert_int_equal(d->irqs.queue[i], 1);
	}
	assert_int_equal(on_config, 0);
	assert_int_equal(entry(3, 12), 1); /* nobody's stays masked */
	fake_irq_raise(vector_of(0));
	assert_int_equal(on_config, 1);
	assert_int_equal(on_queue, 2);
	assert_int_equal(fake_window_loads(bar0, ISR_AT), 0); /* 4.1.4.5.2 */
	assert_int_equal(virtio_reset(d), 0);
	assert_int_equal(fake_irq_vectors(), 0);
	assert_int_equal(msix_control(), 0);
	for (i = 0; i < 9; i++)
		assert_int_equal(entry(i, 12), 1);
}

/* One vector for all: the generation tells of a change of the configuration. */
static void msix_one(void **state)
{
	struct virtio_device *d;

	(void)state;
	regs.generation = 7;
	d = started("msix1");
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_MSIX1);
	assert_int_equal(fake_irq_vectors(), 1);
	assert_int_equal(regs.config_vector, 0);
	assert_int_equal(regs.q[0].vector, 0);
	assert_int_equal(regs.q[1].vector, 0);
	fake_irq_raise(vector_of(0));
	assert_int_equal(on_config, 0);
	assert_int_equal(on_queue, 2);
	regs.generation = 8;
	fake_irq_raise(vector_of(0));
	fake_irq_raise(vector_of(0));
	assert_int_equal(on_config, 1);
	assert_int_equal(on_queue, 6);
	assert_int_equal(d->irqs.shared, 3);
	assert_int_equal(fake_window_loads(bar0, ISR_AT), 0);
}

/* The order: behind some bridges an entry that is written before the function has MSI-X on has no effect. */
static void msix_order(void **state)
{
	struct virtio_device *d = negotiated(0);

	(void)state;
	set(CFG_COMMAND, 2, CMD_MEM | CMD_MASTER);
	set(cap_at[0] + 2, 2, 8 | MSIX_FUNCTION_MASK);
	d->num_queues = 1;
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_MSIX1), 0);
	assert_string_equal(fake_window_stores(),
			    "c4:2=406 c42:2=c008 c42:2=8008 m0:4=fee00000 m4:4=0 m8:4=30 mc:4=0 "
			    "10:2=0");
	d->ops->irq_teardown(d);
	assert_string_equal(fake_window_stores(),
			    "c4:2=406 mc:4=1 m1c:4=1 m2c:4=1 m3c:4=1 m4c:4=1 m5c:4=1 m6c:4=1 "
			    "m7c:4=1 m8c:4=1 c42:2=8");
}

/* Where vectors are missing or refused, the next best is taken, and nothing stays of the attempt. */
static void msix_refused(void **state)
{
	struct virtio_device *d;

	set(cap_at[0] + 2, 2, 2); /* 3 entries: enough for two queues */
	d = started(NULL);
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_MSIX);
	assert_string_equal(d->irq_info, "3 MSI-X vectors, INTx at GSI 10");
	fake_window_set(bar4, 16 * 3 + 12, 4, 0); /* what stands behind the table is not touched */
	assert_int_equal(virtio_reset(d), 0);
	assert_int_equal(entry(2, 12), 1);
	assert_int_equal(entry(3, 12), 0);
	fresh(state);
	set(cap_at[0] + 2, 2, 1);
	d = started(NULL);
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_MSIX1);
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_MSIX), -ENOSPC);
	fresh(state); /* one entry: enough for all */
	set(cap_at[0] + 2, 2, 0);
	assert_int_equal(started(NULL)->irq_mode, VIRTIO_IRQ_MSIX1);
	fresh(state); /* 4.1.5.1.2.2: the vector of the configuration reads back as none */
	regs.worst_vector = 0;
	d = started(NULL);
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_INTX);
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_MSIX1), -EIO);
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_INTX), 0);
	assert_int_equal(fake_irq_vectors(), 1);
	assert_int_equal(msix_control(), 0);
	fresh(state); /* that of a queue */
	regs.worst_vector = 2;
	d = negotiated(0);
	assert_int_equal(virtio_queues_setup(d, 2, 0), -EIO);
	assert_string_equal(d->error, "queue 1: MSI-X entry 2 refused, reads 0xffff");
	assert_int_equal(regs.q[1].enabled, 0);
	fresh(state); /* another one than was written */
	fake_window_lie(bar0, AT(config_msix_vector), 0, 1);
	assert_int_equal(started(NULL)->irq_mode, VIRTIO_IRQ_INTX);
	fresh(state); /* no capability, or a table outside of its BAR */
	set(cap_at[0], 1, 0x77);
	d = started(NULL);
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_INTX);
	assert_string_equal(d->irq_info, "0 MSI-X vectors, INTx at GSI 10");
	assert_int_equal(virtio_pci(d)->msix_error, -ENOENT);
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_MSIX), -EOPNOTSUPP);
	fresh(state);
	set(cap_at[0] + 4, 4, 0xff8 | 4);
	d = started(NULL);
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_INTX);
	assert_string_equal(d->irq_info, "0 MSI-X vectors, INTx at GSI 10");
	assert_int_equal(virtio_pci(d)->msix_error, -EIO);
}

/* The CPUs' vectors run out, or the interrupt controller has no message. */
static void no_vectors(void **state)
{
	struct virtio_device *d;
	unsigned int n;

	for (n = 1; n <= 4; n++) {
		fresh(state);
		d = negotiated(0);
		d->num_queues = 2;
		fake_irq_alloc_fail = n;
		assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_MSIX), n < 4 ? -ENOSPC : 0);
		assert_int_equal(fake_irq_vectors(), n < 4 ? 0 : 3);
		assert_int_equal(msix_control(), n < 4 ? 0 : MSIX_ENABLE);
		assert_int_equal(d->irq_mode, n < 4 ? VIRTIO_IRQ_POLL : VIRTIO_IRQ_MSIX);
		fresh(state);
		d = negotiated(0);
		d->num_queues = 2;
		fake_irq_message_fail = n;
		assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_MSIX), n < 4 ? -EINVAL : 0);
		assert_int_equal(fake_irq_vectors(), n < 4 ? 0 : 3);
	}
}

static void msix_controls(void **state)
{
	struct virtio_device *d = started(NULL);
	const int first = vector_of(2);
	int second;

	(void)state;
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_MASK, 1, 1), 0);
	assert_int_equal(entry(2, 12), 1);
	assert_int_equal(entry(1, 12), 0);
	assert_int_equal(entry(0, 12), 0);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_MASK, 1, 0), 0);
	assert_int_equal(entry(2, 12), 0);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_MASK, VIRTIO_EVENT_CONFIG, 1), 0);
	assert_int_equal(entry(0, 12), 1);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_MASK, VIRTIO_EVENT_CONFIG, 0), 0);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_MASK, VIRTIO_EVENT_ALL, 1), 0);
	assert_int_equal(msix_control(), MSIX_ENABLE | MSIX_FUNCTION_MASK);
	assert_int_equal(entry(0, 12) | entry(1, 12) | entry(2, 12), 0);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_MASK, VIRTIO_EVENT_ALL, 0), 0);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_ENABLE, 0, 0), 0);
	assert_int_equal(msix_control(), 0);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_ENABLE, 0, 1), 0);
	assert_int_equal(msix_control(), MSIX_ENABLE);
	fake_window_set(bar4, PBA_AT, 4, 4);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_PENDING, 1, 0), 1);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_PENDING, 0, 0), 0);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_PENDING, VIRTIO_EVENT_CONFIG, 0), 0);
	fake_window_set(bar4, PBA_AT, 4, 1);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_PENDING, VIRTIO_EVENT_CONFIG, 0), 1);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_PENDING, VIRTIO_EVENT_ALL, 0), 1);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_ACK, 0, 0), -EOPNOTSUPP);
	/* To another CPU and vector, while masked; the old vector still has its handler. */
	(void)fake_window_stores();
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_STEER, 1, 2), 0);
	assert_string_equal(fake_window_stores(),
			    "m2c:4=1 m20:4=fee02000 m24:4=0 m28:4=33 m2c:4=0");
	second = vector_of(2);
	assert_int_not_equal(second, first);
	assert_int_equal(fake_irq_vectors(), 4);
	fake_irq_raise(first);
	fake_irq_raise(second);
	assert_int_equal(on_queue, 2);
	assert_int_equal(last_queue, 1);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_STEER, 1, 1), 0); /* back to the first one */
	assert_int_equal(vector_of(2), first);
	assert_int_equal(entry(2, 0), FAKE_IRQ_MESSAGE + 4096);
	assert_int_equal(fake_irq_vectors(), 4);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_STEER, 1, FAKE_IRQ_CPUS), -EINVAL);
	assert_int_equal(vector_of(2), first);
	fake_irq_alloc_fail = 1;
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_STEER, 0, 1), -ENOSPC);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_STEER, 0, 1), 0);
	/* The vector that was taken for a message that cannot be made is given back as well. */
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_STEER, VIRTIO_EVENT_CONFIG, FAKE_IRQ_CPUS),
			 -EINVAL);
	assert_int_equal(fake_irq_vectors(), 6);
	assert_int_equal(virtio_reset(d), 0);
	assert_int_equal(fake_irq_vectors(), 0);
}

/* With one vector each event has it. */
static void msix_one_controls(void **state)
{
	struct virtio_device *d = started("msix1");

	(void)state;
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_MASK, 1, 1), 0);
	assert_int_equal(entry(0, 12), 1);
	assert_int_equal(entry(2, 12), 1);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_MASK, 1, 0), 0);
	assert_int_equal(entry(0, 12), 0);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_STEER, 1, 3), 0);
	assert_int_equal(entry(0, 0), FAKE_IRQ_MESSAGE + 3 * 4096);
}

/* --- INTx --------------------------------------------------------------------------------------------------------------------- */

static void intx(void **state)
{
	struct virtio_device *d = started("intx");

	(void)state;
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_INTX);
	assert_int_equal(get(CFG_COMMAND, 2) & CMD_INTX_OFF, 0);
	assert_false(fake_line[10].masked);
	assert_true(fake_line[10].level && fake_line[10].active_low);
	assert_int_equal(fake_window_loads(bar0, AT(queue_msix_vector)), 0);
	fake_window_set(bar0, ISR_AT, 1, 1);
	fake_irq_raise(fake_line[10].vector);
	assert_int_equal(on_queue, 2);
	assert_int_equal(on_config, 0);
	fake_window_set(bar0, ISR_AT, 1, 2);
	fake_irq_raise(fake_line[10].vector);
	assert_int_equal(on_queue, 2);
	assert_int_equal(on_config, 1);
	fake_window_set(bar0, ISR_AT, 1, 3);
	fake_irq_raise(fake_line[10].vector);
	assert_int_equal(on_queue, 4);
	assert_int_equal(on_config, 2);
	assert_int_equal(fake_window_loads(bar0, ISR_AT), 3);
	assert_int_equal(d->irqs.unexpected, 0);
	fake_window_set(bar0, ISR_AT, 1, 0x80); /* its own, though nobody knows what it means */
	fake_irq_raise(fake_line[10].vector);
	assert_int_equal(d->irqs.unexpected, 0);
	fake_window_set(bar0, ISR_AT, 1, 0);
	fake_irq_raise(fake_line[10].vector);
	assert_int_equal(d->irqs.unexpected, 1);
	assert_int_equal(on_queue + on_config, 6);
	fake_window_set(bar0, ISR_AT, 1, 0x83);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_ACK, 0, 0), 0x83);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_MASK, 0, 1), 0);
	assert_true(fake_line[10].masked);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_STEER, 0, 1), 0);
	assert_int_equal(fake_line[10].cpu, 1);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_PENDING, 0, 0), -EOPNOTSUPP);
	assert_int_equal(virtio_reset(d), 0);
	assert_int_equal(get(CFG_COMMAND, 2) & CMD_INTX_OFF, CMD_INTX_OFF);
	assert_true(fake_line[10].masked);
}

static void intx_refused(void **state)
{
	struct virtio_device *d;

	set(CFG_IRQ_LINE + 1, 1, 0);
	d = started("intx");
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_POLL);
	assert_string_equal(d->irq_info, "9 MSI-X vectors, no INTx");
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_ACK, 0, 0), -EOPNOTSUPP);
	fresh(state);
	gsi = UINT32_MAX;
	d = started("intx");
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_POLL);
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_INTX), -EOPNOTSUPP);
	assert_string_equal(d->irq_info, "9 MSI-X vectors, INTx line not known");
	fresh(state);
	set(CFG_IRQ_LINE + 1, 1, 5); /* no such pin */
	d = started("intx");
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_POLL);
	assert_string_equal(d->irq_info, "9 MSI-X vectors, INTx line not known");
	fresh(state); /* no I/O APIC has it: then the line stays off */
	gsi = FAKE_IRQ_LINES;
	d = started("intx");
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_POLL);
	assert_int_equal(get(CFG_COMMAND, 2) & CMD_INTX_OFF, CMD_INTX_OFF);
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_INTX), -ENODEV);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fresh, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(found),
		CASE(identity),
		CASE(no_capabilities),
		CASE(no_memory),
		CASE(reset_that_never_ends),
		CASE(common_outside),
		CASE(first_usable),
		CASE(structures_missing),
		CASE(loops),
		CASE(shared_memory),
		CASE(multiplier),
		CASE(window),
		CASE(window_first),
		CASE(window_at_the_end),
		CASE(features),
		CASE(config),
		CASE(queue_sizes),
		CASE(queue_enable),
		CASE(queue_refused),
		CASE(notify_offsets),
		CASE(notifications),
		CASE(notify_data),
		CASE(queue_reset),
		CASE(msix_each),
		CASE(msix_one),
		CASE(msix_order),
		CASE(msix_refused),
		CASE(no_vectors),
		CASE(msix_controls),
		CASE(msix_one_controls),
		CASE(intx),
		CASE(intx_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
