/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio over MMIO (4.2), version 2: devices of the command line and of ACPI (LNRO0005). */
#include "drivers/virtio/mmio.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/transport.h"
#include "drivers/virtio/virtqueue.h"
#include "lib/acpi.h"
#include "lib/cmdline.h"
#include "lib/init.h"
#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/time.h"

OPTION("virtio_mmio.device", "SIZE@BASE:IRQ[:ID], as Linux: a virtio-mmio device; may be repeated");

#define QUEUE_RESET_TIMEOUT time_sec()
#define MAX_WINDOW	    0x10000u
#define MAX_ROUNDS	    100 /* of one interrupt */

static const struct virtio_transport_ops mmio_ops;

struct virtio_mmio *virtio_mmio(struct virtio_device *d)
{
	return d->ops == &mmio_ops ? d->transport : NULL;
}

static struct virtio_mmio *to_mmio(struct virtio_device *d)
{
	return d->transport;
}

static uint32_t reg_read(struct virtio_device *d, unsigned int reg)
{
	return mmio_read32(to_mmio(d)->regs + reg); /* 4.2.2.2: control registers by 32 bits only */
}

static void reg_write(struct virtio_device *d, unsigned int reg, uint32_t v)
{
	mmio_write32(to_mmio(d)->regs + reg, v);
}

/* --- status, features, config ---------------------------------------------------------- */

static uint8_t mmio_get_status(struct virtio_device *d)
{
	return (uint8_t)reg_read(d, VIRTIO_MMIO_STATUS);
}

static void mmio_set_status(struct virtio_device *d, uint8_t status)
{
	reg_write(d, VIRTIO_MMIO_STATUS, status);
}

static uint32_t mmio_features_sel(struct virtio_device *d, uint32_t sel)
{
	reg_write(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, sel);
	return reg_read(d, VIRTIO_MMIO_DEVICE_FEATURES);
}

static uint64_t mmio_device_features(struct virtio_device *d)
{
	const uint64_t low = mmio_features_sel(d, 0);

	return (uint64_t)mmio_features_sel(d, 1) << 32 | low;
}

static void mmio_driver_features(struct virtio_device *d, uint64_t features)
{
	reg_write(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	reg_write(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	reg_write(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	reg_write(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
}

static uint32_t mmio_config_generation(struct virtio_device *d)
{
	return reg_read(d, VIRTIO_MMIO_CONFIG_GENERATION);
}

static uint32_t mmio_config_len(struct virtio_device *d)
{
	return to_mmio(d)->size - VIRTIO_MMIO_CONFIG;
}

static int mmio_config_read(struct virtio_device *d, uint32_t off, void *buf, uint32_t len)
{
	return virtio_config_in(to_mmio(d)->regs + VIRTIO_MMIO_CONFIG, mmio_config_len(d), off, buf,
				len);
}

static int mmio_config_write(struct virtio_device *d, uint32_t off, const void *buf, uint32_t len)
{
	return virtio_config_out(to_mmio(d)->regs + VIRTIO_MMIO_CONFIG, mmio_config_len(d), off,
				 buf, len);
}

/* --- queues ---------------------------------------------------------------------------- */

static uint16_t mmio_queue_max(struct virtio_device *d, uint16_t queue)
{
	uint32_t max;

	reg_write(d, VIRTIO_MMIO_QUEUE_SEL, queue);
	max = reg_read(d, VIRTIO_MMIO_QUEUE_SIZE_MAX);
	return max <= 32768 ? (uint16_t)max : 0; /* 2.7: larger ones do not exist */
}

static bool mmio_queue_enabled(struct virtio_device *d, uint16_t queue)
{
	reg_write(d, VIRTIO_MMIO_QUEUE_SEL, queue);
	return reg_read(d, VIRTIO_MMIO_QUEUE_READY) != 0;
}

static void write_addr(struct virtio_device *d, unsigned int reg, dma_addr_t addr)
{
	reg_write(d, reg, (uint32_t)addr);
	reg_write(d, reg + 4, (uint32_t)(addr >> 32));
}

static int mmio_queue_enable(struct virtio_device *d, uint16_t queue, uint16_t size,
			     dma_addr_t desc, dma_addr_t driver, dma_addr_t device)
{
	/* 4.2.2.2: size and addresses are not touched while QueueReady is set. */
	if (mmio_queue_enabled(d, queue))
		return virtio_error(d, -EIO, "queue %u: QueueReady is set before its set-up",
				    queue);
	reg_write(d, VIRTIO_MMIO_QUEUE_SIZE, size);
	write_addr(d, VIRTIO_MMIO_QUEUE_DESC, desc);
	write_addr(d, VIRTIO_MMIO_QUEUE_DRIVER, driver);
	write_addr(d, VIRTIO_MMIO_QUEUE_DEVICE, device);
	reg_write(d, VIRTIO_MMIO_QUEUE_READY, 1);
	if (reg_read(d, VIRTIO_MMIO_QUEUE_READY) != 1)
		return virtio_error(d, -EIO, "queue %u: QueueReady reads 0x%x after 1 was written",
				    queue, (unsigned int)reg_read(d, VIRTIO_MMIO_QUEUE_READY));
	return 0;
}

static int mmio_queue_reset(struct virtio_device *d, uint16_t queue)
{
	if (!virtio_has(d, VIRTIO_F_RING_RESET))
		return -EOPNOTSUPP;
	reg_write(d, VIRTIO_MMIO_QUEUE_SEL, queue);
	reg_write(d, VIRTIO_MMIO_QUEUE_RESET, 1);
	if (!wait_for(reg_read(d, VIRTIO_MMIO_QUEUE_RESET) == 0, QUEUE_RESET_TIMEOUT))
		return virtio_error(d, -ETIMEDOUT, "queue %u: QueueReset still reads 0x%x", queue,
				    (unsigned int)reg_read(d, VIRTIO_MMIO_QUEUE_RESET));
	if (reg_read(d, VIRTIO_MMIO_QUEUE_READY) != 0)
		return virtio_error(d, -EIO, "queue %u: QueueReady is set after a queue reset",
				    queue);
	return 0;
}

static void mmio_notify(struct virtio_device *d, uint16_t queue, uint32_t data)
{
	reg_write(d, VIRTIO_MMIO_QUEUE_NOTIFY,
		  virtio_has(d, VIRTIO_F_NOTIFICATION_DATA) ? data : queue);
}

/* --- interrupts ------------------------------------------------------------------------ */

/*
 * One line for all causes (4.2.3.4). It goes until InterruptStatus is 0: behind an edge-triggered pin a
 * line that stays up raises no further interrupt.
 */
static bool on_line(struct virtio_device *d)
{
	bool any = false;
	unsigned int i;
	uint32_t why;

	for (i = 0; i < MAX_ROUNDS; i++) {
		why = reg_read(d, VIRTIO_MMIO_INTERRUPT_STATUS) &
		      (VIRTIO_MMIO_INT_USED | VIRTIO_MMIO_INT_CONFIG);
		if (!why)
			break;
		any = true;
		reg_write(d, VIRTIO_MMIO_INTERRUPT_ACK, why); /* 4.2.2.2: only what is handled */
		if (why & VIRTIO_MMIO_INT_CONFIG)
			virtio_irq_config(d);
		if (why & VIRTIO_MMIO_INT_USED)
			virtio_irq_shared(d);
	}
	return any;
}

static int mmio_irq_setup(struct virtio_device *d, enum virtio_irq_mode mode)
{
	struct virtio_mmio *m = to_mmio(d);
	int ret = 0;

	if (mode >= VIRTIO_IRQ_MSIX1)
		return -EOPNOTSUPP;
	if (mode == VIRTIO_IRQ_INTX && !m->gsi)
		return -EOPNOTSUPP;
	if (mode == VIRTIO_IRQ_INTX)
		ret = virtio_line_attach(d, m->gsi, m->level, m->active_low, on_line);
	if (!ret)
		d->irq_mode = mode;
	return ret;
}

static int mmio_irq_ctl(struct virtio_device *d, enum virtio_irq_ctl what, int event,
			unsigned int arg)
{
	const uint32_t why = reg_read(d, VIRTIO_MMIO_INTERRUPT_STATUS);

	(void)event; /* one line for all */
	if (d->irq_mode != VIRTIO_IRQ_INTX)
		return -EOPNOTSUPP;
	if (what != VIRTIO_IRQ_ACK)
		return virtio_line_ctl(d, what, arg);
	reg_write(d, VIRTIO_MMIO_INTERRUPT_ACK,
		  why & (VIRTIO_MMIO_INT_USED | VIRTIO_MMIO_INT_CONFIG));
	return (int)why;
}

static void mmio_irq_teardown(struct virtio_device *d)
{
	virtio_line_detach(d);
}

static void mmio_remove(struct virtio_device *d)
{
	free(to_mmio(d));
}

static const struct virtio_transport_ops mmio_ops = {
	.name = "mmio",
	.get_status = mmio_get_status,
	.set_status = mmio_set_status,
	.device_features = mmio_device_features,
	.driver_features = mmio_driver_features,
	.device_features_sel = mmio_features_sel,
	.config_generation = mmio_config_generation,
	.config_read = mmio_config_read,
	.config_write = mmio_config_write,
	.config_len = mmio_config_len,
	.queue_max = mmio_queue_max,
	.queue_enable = mmio_queue_enable,
	.queue_enabled = mmio_queue_enabled,
	.queue_reset = mmio_queue_reset,
	.notify = mmio_notify,
	.irq_setup = mmio_irq_setup,
	.irq_teardown = mmio_irq_teardown,
	.irq_ctl = mmio_irq_ctl,
	.remove = mmio_remove,
};

/* --- probing --------------------------------------------------------------------------- */

struct slot {
	uint64_t base, size;
	uint32_t gsi;
	bool level, active_low;
};

static bool known(uint64_t base)
{
	const struct virtio_refusal *r;
	struct virtio_device *d;
	unsigned int i;

	for (i = 0; (d = virtio_get(i)); i++)
		if (virtio_mmio(d) && virtio_mmio(d)->base == base)
			return true;
	for (i = 0; (r = virtio_refused(i)); i++)
		if (r->dev && virtio_mmio(r->dev) && virtio_mmio(r->dev)->base == base)
			return true;
	return false;
}

/* Magic, version, DeviceID, in this order (4.2.3.1.1). false: nothing usable there. */
static bool usable(const char *name, volatile uint8_t *regs)
{
	const uint32_t magic = mmio_read32(regs + VIRTIO_MMIO_MAGIC_VALUE);
	uint32_t version, id;

	if (magic != VIRTIO_MMIO_MAGIC) {
		virtio_refuse(name, VIRTIO_REFUSED_LAYOUT, NULL, "the magic value reads 0x%08x",
			      (unsigned int)magic);
		return false;
	}
	version = mmio_read32(regs + VIRTIO_MMIO_VERSION);
	id = mmio_read32(regs + VIRTIO_MMIO_DEVICE_ID);
	if (id == 0) /* an empty slot: not a word about it */
		return false;
	if (version == 2)
		return true;
	virtio_refuse(name, version == 1 ? VIRTIO_REFUSED_LEGACY : VIRTIO_REFUSED_LAYOUT, NULL,
		      "%s, version %u: %s", virtio_id_name(id), (unsigned int)version,
		      version == 1 ? "legacy only" : "unknown");
	return false;
}

static void probe_slot(const struct slot *s)
{
	const uint32_t size = s->size < MAX_WINDOW ? (uint32_t)s->size : MAX_WINDOW;
	volatile uint8_t *regs;
	struct virtio_mmio *m;
	char name[32];
	int ret;

	if (known(s->base))
		return;
	snprintf(name, sizeof(name), "mmio 0x%llx", (unsigned long long)s->base);
	if (s->size <= VIRTIO_MMIO_CONFIG || s->base % 4 || s->base + s->size < s->base) {
		virtio_refuse(name, VIRTIO_REFUSED_LAYOUT, NULL, "a window of %llu bytes",
			      (unsigned long long)s->size);
		return;
	}
	regs = mmio_map(s->base, size);
	if (!regs) {
		virtio_refuse(name, VIRTIO_REFUSED_LAYOUT, NULL, "the window cannot be mapped");
		return;
	}
	if (!usable(name, regs))
		return;
	m = calloc(1, sizeof(*m));
	if (!m) {
		virtio_refuse(name, VIRTIO_REFUSED_RESOURCE, NULL, "no memory");
		return;
	}
	m->regs = regs;
	m->base = s->base;
	m->size = size;
	m->gsi = s->gsi;
	m->level = s->level;
	m->active_low = s->active_low;
	m->vdev.ops = &mmio_ops;
	m->vdev.transport = m;
	m->vdev.id = mmio_read32(regs + VIRTIO_MMIO_DEVICE_ID);
	device_init_mmio(&m->vdev.dev, s->base);
	m->vdev.name = m->vdev.dev.name;
	snprintf(m->vdev.irq_info, sizeof(m->vdev.irq_info), "GSI %u", (unsigned int)s->gsi);
	ret = virtio_add(&m->vdev);
	if (ret)
		virtio_refuse(name, virtio_refusal_of(ret), &m->vdev, "%s", m->vdev.error);
}

static uint64_t number_with_suffix(const char *s, char **end)
{
	static const char suffix[] = "kmg";
	const uint64_t n = strtoull(s, end, 0);
	const char *p = **end ? strchr(suffix, **end | 0x20) : NULL;

	if (!p)
		return n;
	(*end)++;
	return n << 10 * (p - suffix + 1);
}

static bool parse_slot(const char *text, struct slot *s)
{
	char *end;

	s->size = number_with_suffix(text, &end);
	if (end == text || *end != '@')
		return false;
	text = end + 1;
	s->base = strtoull(text, &end, 0);
	if (end == text || *end != ':')
		return false;
	text = end + 1;
	s->gsi = (uint32_t)strtoul(text, &end, 0);
	return end != text && (*end == '\0' || *end == ':');
}

static void probe_cmdline(void)
{
	const char *text;
	unsigned int i;

	for (i = 0; (text = cmdline_get_nth("virtio_mmio.device", i)); i++) {
		/* Linux takes the platform's default for these: edge, active high. */
		struct slot s = { .level = false };

		if (parse_slot(text, &s))
			probe_slot(&s);
		else
			virtio_refuse("virtio_mmio.device=", VIRTIO_REFUSED_LAYOUT, NULL,
				      "\"%.40s\" is not SIZE@BASE:IRQ[:ID]", text);
	}
}

/* --- AML: a look through a table's bytes for Device objects that say LNRO0005 ------------ */

struct bytes {
	const uint8_t *p;
	size_t n;
};

/* PkgLength (ACPI 20.2.4) at b: the package's length, itself included; *used: its own bytes. 0: cut off. */
static size_t pkg_length(struct bytes b, size_t *used)
{
	size_t n, i, extra;

	if (b.n == 0)
		return 0;
	extra = b.p[0] >> 6;
	if (b.n < 1 + extra)
		return 0;
	*used = 1 + extra;
	if (extra == 0)
		return b.p[0] & 0x3f;
	n = b.p[0] & 0x0f;
	for (i = 0; i < extra; i++)
		n |= (size_t)b.p[1 + i] << (4 + 8 * i);
	return n;
}

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static bool contains(struct bytes b, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i + len <= b.n; i++)
		if (memcmp(b.p + i, text, len) == 0)
			return true;
	return false;
}

/* The first Memory32Fixed (0x86) and extended interrupt (0x89) descriptors: ACPI 6.4.3. */
static bool find_resources(struct bytes b, struct slot *s)
{
	bool memory = false;
	size_t i;

	for (i = 0; i + 12 <= b.n && !memory; i++) {
		if (b.p[i] != 0x86 || b.p[i + 1] != 9 || b.p[i + 2] != 0)
			continue;
		s->base = u32_at(b.p + i + 4);
		s->size = u32_at(b.p + i + 8);
		memory = true;
		i += 11;
	}
	for (; memory && i + 9 <= b.n; i++) {
		if (b.p[i] != 0x89 || b.p[i + 1] < 6 || b.p[i + 2] != 0 || b.p[i + 4] == 0)
			continue;
		s->level = !(b.p[i + 3] & 2);
		s->active_low = b.p[i + 3] & 4;
		s->gsi = u32_at(b.p + i + 5);
		return true;
	}
	return memory;
}

static void probe_aml(const struct acpi_header *t)
{
	const struct bytes all = { (const uint8_t *)(t + 1), t->length - sizeof(*t) };
	size_t i, len, used = 0;

	for (i = 0; i + 4 < all.n; i++) {
		struct bytes b = { all.p + i + 2, all.n - i - 2 };
		struct slot s = { 0 };

		if (all.p[i] != 0x5b || all.p[i + 1] != 0x82) /* DeviceOp */
			continue;
		len = pkg_length(b, &used);
		if (len < used || len > b.n)
			continue;
		b.n = len;
		if (contains(b, "LNRO0005", 9) && find_resources(b, &s))
			probe_slot(&s);
	}
}

static void probe_mmio(void)
{
	const struct acpi_header *t;
	unsigned int i;

	probe_cmdline();
	for (i = 0; (t = acpi_table("DSDT", i)); i++)
		probe_aml(t);
	for (i = 0; (t = acpi_table("SSDT", i)); i++)
		probe_aml(t);
}
INIT(virtio_mmio, probe_mmio);
