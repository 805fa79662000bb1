/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.pci.registers_apart: a register of the common configuration has a field of its own.
 *
 * A host breaks this when a case of its write function runs into the next one, or when a field is written in a wider or
 * another place than it is read, or takes a value only once. Drivers write all fields in one order, where what was spoilt
 * is written again.
 *
 * Each field that a driver writes gets another value, alone, and the first one again; it shows what was written, and each
 * of the others is read before and after. What is read-only is written as well, and nothing changes.
 */
#include <stddef.h>

#include "drivers/virtio/pci.h"
#include "lib/mmio.h"
#include "tests/virtio/util.h"

enum {
	DEVICE_WORD = 1, /* which word of the features is shown */
	DRIVER_WORD = 2,
	QUEUE = 4, /* which queue is shown */
};

#define FIELD(f)                                                                                   \
	offsetof(struct virtio_pci_common_cfg, f), sizeof(((struct virtio_pci_common_cfg *)0)->f)
#define OF_QUEUE QUEUE, 0

static const struct field {
	const char *name;
	size_t off, bytes;
	unsigned int shown_by; /* writes to that register may change what is read here */
	unsigned int selects;
	bool writable;
	uint32_t first, second;
} fields[] = {
	{ "device_feature_select", FIELD(device_feature_select), 0, DEVICE_WORD, true, 0, 1 },
	{ "device_feature", FIELD(device_feature), DEVICE_WORD, 0, false, 0, 0 },
	{ "driver_feature_select", FIELD(driver_feature_select), 0, DRIVER_WORD, true, 0, 1 },
	{ "driver_feature", FIELD(driver_feature), DRIVER_WORD, 0, true, 0, 0 },
	{ "config_msix_vector", FIELD(config_msix_vector), 0, 0, true, 0, VIRTIO_NO_VECTOR },
	{ "num_queues", FIELD(num_queues), 0, 0, false, 0, 0 },
	{ "device_status", FIELD(device_status), 0, 0, false, 0, 0 },
	{ "config_generation", FIELD(config_generation), 0, 0, false, 0, 0 },
	{ "queue_select", FIELD(queue_select), 0, QUEUE, true, 0, 1 },
	{ "queue_size", FIELD(queue_size), OF_QUEUE, true, 0, 0 },
	{ "queue_msix_vector", FIELD(queue_msix_vector), OF_QUEUE, true, 0, VIRTIO_NO_VECTOR },
	{ "queue_enable", FIELD(queue_enable), OF_QUEUE, false, 0, 0 },
	{ "queue_notify_off", FIELD(queue_notify_off), OF_QUEUE, false, 0, 0 },
	{ "queue_desc, low half", FIELD(queue_desc_lo), OF_QUEUE, true, 0x1000, 0x7001000 },
	{ "queue_desc, high half", FIELD(queue_desc_hi), OF_QUEUE, true, 0, 1 },
	{ "queue_driver, low half", FIELD(queue_driver_lo), OF_QUEUE, true, 0x2000, 0x7002000 },
	{ "queue_driver, high half", FIELD(queue_driver_hi), OF_QUEUE, true, 0, 1 },
	{ "queue_device, low half", FIELD(queue_device_lo), OF_QUEUE, true, 0x3000, 0x7003000 },
	{ "queue_device, high half", FIELD(queue_device_hi), OF_QUEUE, true, 0, 1 },
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* 4.1.4.3: read-only for the driver. */
static const struct field fixed[] = {
	{ "device_feature", FIELD(device_feature), 0, 0, false, 0, 0 },
	{ "num_queues", FIELD(num_queues), 0, 0, false, 0, 0 },
	{ "config_generation", FIELD(config_generation), 0, 0, false, 0, 0 },
	{ "queue_notify_off", FIELD(queue_notify_off), 0, 0, false, 0, 0 },
};
static const struct field fixed_later[] = {
	{ "queue_notif_config_data", FIELD(queue_notif_config_data), 0, 0, false, 0, 0 },
	{ "admin_queue_index", FIELD(admin_queue_index), 0, 0, false, 0, 0 },
	{ "admin_queue_num", FIELD(admin_queue_num), 0, 0, false, 0, 0 },
};

static uint32_t get(const struct virtio_pci *p, const struct field *f)
{
	const volatile uint8_t *const at = (const volatile uint8_t *)p->common + f->off;

	return f->bytes == 4 ? mmio_read32(at) : f->bytes == 2 ? mmio_read16(at) : mmio_read8(at);
}

static void set(const struct virtio_pci *p, const struct field *f, uint32_t v)
{
	volatile uint8_t *const at = (volatile uint8_t *)p->common + f->off;

	if (f->bytes == 4)
		mmio_write32(at, v);
	else if (f->bytes == 2)
		mmio_write16(at, (uint16_t)v);
	else
		mmio_write8(at, (uint8_t)v);
}

/* Of features: those offered of the first word, then none. Of sizes: the largest, then half of it. */
static uint32_t value(const struct virtio_pci *p, const struct field *f, bool second)
{
	if (f->shown_by & DRIVER_WORD)
		return second ? 0 : (uint32_t)p->vdev.offered;
	if (f->off == offsetof(struct virtio_pci_common_cfg, queue_size))
		return p->vdev.max_size[0] / (second && p->vdev.max_size[0] > 1 ? 2 : 1);
	return second ? f->second : f->first;
}

/* Vectors are taken where there is MSI-X, what is a queue's where there is one, and another index where there are two. */
static bool is_register(const struct virtio_pci *p, const struct field *f, bool has_vectors)
{
	if (f->selects == QUEUE && p->vdev.max_queues < 2)
		return false;
	return f->writable && (has_vectors || f->second != VIRTIO_NO_VECTOR) &&
	       (p->vdev.max_size[0] || !(f->shown_by & QUEUE));
}

static void takes(struct test_ctx *t, const struct virtio_pci *p, const struct field *w,
		  bool second)
{
	set(p, w, value(p, w, second));
	expect_eq(t, get(p, w), value(p, w, second), "%s: %s once it was written", p->vdev.name,
		  w->name);
}

static void look(const struct virtio_pci *p, uint32_t now[FIELDS])
{
	unsigned int i;

	for (i = 0; i < FIELDS; i++)
		now[i] = get(p, &fields[i]);
}

/* All but the field that is written, and what it selects. */
static void stay(struct test_ctx *t, const struct virtio_pci *p, const uint32_t before[FIELDS],
		 const struct field *w)
{
	unsigned int i;

	for (i = 0; i < FIELDS; i++)
		if (fields[i].off != w->off && !(fields[i].shown_by & w->selects))
			expect_eq(t, get(p, &fields[i]), before[i], "%s: %s once %s was written",
				  p->vdev.name, fields[i].name, w->name);
}

static void others_stay(struct test_ctx *t, const struct virtio_pci *p, const struct field *w)
{
	uint32_t before[FIELDS];

	look(p, before);
	takes(t, p, w, true);
	stay(t, p, before, w);
	takes(t, p, w, false);
}

/* The first two queues are looked at: an address that is one too far is the next one's size. */
static void all_stay(struct test_ctx *t, const struct virtio_pci *p, const struct field *w)
{
	const uint32_t was = get(p, w), v[] = { 1, ~was };
	uint32_t before[2][FIELDS];
	unsigned int k, q;

	for (k = 0; k < 2; k++) {
		for (q = 2; q-- > 0;) {
			mmio_write16(&p->common->queue_select, (uint16_t)q);
			look(p, before[q]);
		}
		set(p, w, v[k]);
		for (q = 0; q < 2; q++) {
			mmio_write16(&p->common->queue_select, (uint16_t)q);
			stay(t, p, before[q], w);
		}
		mmio_write16(&p->common->queue_select, 0);
		expect_eq(t, get(p, w), was, "%s: %s, which is read-only, once it was written",
			  p->vdev.name, w->name);
	}
}

static void read_only_stays(struct test_ctx *t, const struct virtio_pci *p)
{
	unsigned int k;

	for (k = 0; k < sizeof(fixed) / sizeof(fixed[0]); k++)
		all_stay(t, p, &fixed[k]);
	for (k = 0; k < sizeof(fixed_later) / sizeof(fixed_later[0]); k++)
		if (fixed_later[k].off + fixed_later[k].bytes <= p->common_cap->length)
			all_stay(t, p, &fixed_later[k]);
}

/* The next bit of it, with selectors that are none of its values. */
static void status_alone(struct test_ctx *t, struct virtio_pci *p)
{
	static const struct field status = {
		"device_status", FIELD(device_status), 0, 0, false, 0, 0
	};
	uint32_t before[FIELDS];

	mmio_write16(&p->common->queue_select, 0);
	mmio_write32(&p->common->device_feature_select, 0);
	mmio_write32(&p->common->driver_feature_select, 0);
	look(p, before);
	vt_add_status(&p->vdev, VIRTIO_S_DRIVER);
	stay(t, p, before, &status);
}

TEST(registers_apart,
     .id = "virtio.pci.registers_apart",
     .clause = "virtio 1.4, 4.1.4.3: each field of the common configuration is a register of its own, and has what was written to it, if it is not read-only",
     .owner = "the VMM's virtio-pci front end",
     .needs = NEED_VIRTIO_PCI)
{
	struct virtio_pci *p;
	unsigned int i, k;
	bool has_vectors;

	for (i = 0; (p = vt_pci(i)); i++) {
		vt_add_status(&p->vdev, VIRTIO_S_ACKNOWLEDGE);
		status_alone(t, p);
		has_vectors = p->vdev.ops->irq_setup(&p->vdev, VIRTIO_IRQ_MSIX1) == 0;
		for (k = 0; k < FIELDS; k++)
			if (fields[k].writable)
				set(p, &fields[k], value(p, &fields[k], false));
		for (k = 0; k < FIELDS; k++)
			if (is_register(p, &fields[k], has_vectors))
				others_stay(t, p, &fields[k]);
		read_only_stays(t, p);
		vt_must_reset(t, &p->vdev);
		(void)virtio_reset(&p->vdev);
	}
}
