/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio over PCI (4.1), modern interface only; transitional devices through it as well. */
#include "drivers/virtio/pci.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/transport.h"
#include "drivers/virtio/virtqueue.h"
#include "lib/init.h"
#include "lib/irq.h"
#include "lib/mmio.h"
#include "lib/time.h"

#define QUEUE_RESET_TIMEOUT time_sec()

enum {
	PCI_CAP_VENDOR = 0x09,
	CAP_LEN_MIN = 16,
	CAP_LEN_NOTIFY = 20,
	CAP_LEN_WINDOW = 20,
	CAP_LEN_SHM = 24,
	CONFIG_SPACE = 256, /* capabilities of the list lie below */
	ISR_QUEUE = 1,
	ISR_CONFIG = 2,
	IRQ_CONFIG = -1,
	IRQ_ALL = -2,
};

static const struct virtio_transport_ops pci_ops;

struct virtio_pci *virtio_pci(struct virtio_device *d)
{
	return d->ops == &pci_ops ? d->transport : NULL;
}

static struct virtio_pci *to_pci(struct virtio_device *d)
{
	return d->transport;
}

/* --- status, features, config ---------------------------------------------------------- */

static uint8_t pci_get_status(struct virtio_device *d)
{
	return mmio_read8(&to_pci(d)->common->device_status);
}

static void pci_set_status(struct virtio_device *d, uint8_t status)
{
	mmio_write8(&to_pci(d)->common->device_status, status);
}

static uint32_t pci_features_sel(struct virtio_device *d, uint32_t sel)
{
	volatile struct virtio_pci_common_cfg *c = to_pci(d)->common;

	mmio_write32(&c->device_feature_select, sel);
	return mmio_read32(&c->device_feature);
}

static uint64_t pci_device_features(struct virtio_device *d)
{
	const uint64_t low = pci_features_sel(d, 0);

	return (uint64_t)pci_features_sel(d, 1) << 32 | low;
}

static void pci_driver_features(struct virtio_device *d, uint64_t features)
{
	volatile struct virtio_pci_common_cfg *c = to_pci(d)->common;

	mmio_write32(&c->driver_feature_select, 0);
	mmio_write32(&c->driver_feature, (uint32_t)features);
	mmio_write32(&c->driver_feature_select, 1);
	mmio_write32(&c->driver_feature, (uint32_t)(features >> 32));
}

static uint32_t pci_config_generation(struct virtio_device *d)
{
	return mmio_read8(&to_pci(d)->common->config_generation);
}

static uint32_t pci_config_len(struct virtio_device *d)
{
	const struct virtio_pci_cap_info *cap = to_pci(d)->device_cap;

	return cap ? (uint32_t)cap->length : 0;
}

static int pci_config_read(struct virtio_device *d, uint32_t off, void *buf, uint32_t len)
{
	return virtio_config_in(to_pci(d)->device, pci_config_len(d), off, buf, len);
}

static int pci_config_write(struct virtio_device *d, uint32_t off, const void *buf, uint32_t len)
{
	return virtio_config_out(to_pci(d)->device, pci_config_len(d), off, buf, len);
}

/* --- queues ---------------------------------------------------------------------------- */

static void select_queue(struct virtio_pci *p, uint16_t queue)
{
	mmio_write16(&p->common->queue_select, queue);
}

static uint16_t pci_queue_max(struct virtio_device *d, uint16_t queue)
{
	struct virtio_pci *p = to_pci(d);
	uint16_t max;

	if (queue >= mmio_read16(&p->common->num_queues))
		return 0;
	select_queue(p, queue);
	max = mmio_read16(&p->common->queue_size);
	return max <= 32768 ? max : 0; /* 2.7: larger ones do not exist */
}

static bool pci_queue_enabled(struct virtio_device *d, uint16_t queue)
{
	select_queue(to_pci(d), queue);
	return mmio_read16(&to_pci(d)->common->queue_enable) == 1;
}

static void write_addr(volatile le32 *lo, volatile le32 *hi, dma_addr_t addr)
{
	mmio_write32(lo, (uint32_t)addr); /* 4.1.3.1: a 64-bit field as two halves */
	mmio_write32(hi, (uint32_t)(addr >> 32));
}

/* Whether the common configuration is so long that a field of a later version is in it. */
#define has_field(p, field)                                                                        \
	((p)->common_cap->length >=                                                                \
	 offsetof(struct virtio_pci_common_cfg, field) + sizeof((p)->common->field))

/* Where this queue is notified, inside of the capability's range (4.1.4.4). */
static int find_notify(struct virtio_pci *p, uint16_t queue)
{
	const uint32_t width = virtio_has(&p->vdev, VIRTIO_F_NOTIFICATION_DATA) ? 4 : 2;
	const uint16_t off = mmio_read16(&p->common->queue_notify_off);
	const uint64_t at = (uint64_t)off * p->notify_cap->multiplier;
	const bool own_data = virtio_has(&p->vdev, VIRTIO_F_NOTIF_CONFIG_DATA);

	if (at + width > p->notify_cap->length)
		return virtio_error(
			&p->vdev, -EIO,
			"queue %u: queue_notify_off %u * multiplier %u is outside of the notify capability's %llu bytes",
			queue, off, p->notify_cap->multiplier,
			(unsigned long long)p->notify_cap->length);
	if (own_data && !has_field(p, queue_notif_config_data))
		return virtio_error(
			&p->vdev, -EIO,
			"queue %u: no queue_notif_config_data in %llu bytes of common configuration",
			queue, (unsigned long long)p->common_cap->length);
	p->notify_at[queue] = p->notify + at;
	p->notify_data[queue] = own_data ? mmio_read16(&p->common->queue_notif_config_data) : queue;
	return 0;
}

uint16_t virtio_pci_set_config_vector(struct virtio_pci *p, uint16_t entry)
{
	mmio_write16(&p->common->config_msix_vector, entry);
	return mmio_read16(&p->common->config_msix_vector);
}

uint16_t virtio_pci_set_queue_vector(struct virtio_pci *p, uint16_t queue, uint16_t entry)
{
	select_queue(p, queue);
	mmio_write16(&p->common->queue_msix_vector, entry);
	return mmio_read16(&p->common->queue_msix_vector);
}

static int map_queue_vector(struct virtio_pci *p, uint16_t queue)
{
	const uint16_t entry = p->vdev.irq_mode == VIRTIO_IRQ_MSIX ? (uint16_t)(queue + 1) : 0;
	uint16_t got;

	if (p->vdev.irq_mode < VIRTIO_IRQ_MSIX1)
		return 0;
	got = virtio_pci_set_queue_vector(p, queue, entry);
	if (got == entry) /* 4.1.5.1.2.2: read back */
		return 0;
	return virtio_error(&p->vdev, -EIO, "queue %u: MSI-X entry %u refused, reads 0x%04x", queue,
			    entry, got);
}

static int pci_queue_enable(struct virtio_device *d, uint16_t queue, uint16_t size, dma_addr_t desc,
			    dma_addr_t driver, dma_addr_t device)
{
	struct virtio_pci *p = to_pci(d);
	volatile struct virtio_pci_common_cfg *c = p->common;
	uint16_t got;
	int ret;

	select_queue(p, queue);
	mmio_write16(&c->queue_size, size);
	got = mmio_read16(&c->queue_size);
	if (got != size)
		return virtio_error(d, -EIO, "queue %u: size %u written, reads %u", queue, size,
				    got);
	ret = find_notify(p, queue);
	if (!ret)
		ret = map_queue_vector(p, queue);
	if (ret)
		return ret;
	write_addr(&c->queue_desc_lo, &c->queue_desc_hi, desc);
	write_addr(&c->queue_driver_lo, &c->queue_driver_hi, driver);
	write_addr(&c->queue_device_lo, &c->queue_device_hi, device);
	mmio_write16(&c->queue_enable, 1); /* 4.1.4.3.2: after all other fields */
	got = mmio_read16(&c->queue_enable);
	if (got != 1)
		return virtio_error(d, -EIO, "queue %u: queue_enable reads %u after 1 was written",
				    queue, got);
	return 0;
}

static int pci_queue_reset(struct virtio_device *d, uint16_t queue)
{
	struct virtio_pci *p = to_pci(d);
	volatile struct virtio_pci_common_cfg *c = p->common;
	uint16_t got;

	if (!virtio_has(d, VIRTIO_F_RING_RESET) || !has_field(p, queue_reset))
		return -EOPNOTSUPP;
	select_queue(p, queue);
	mmio_write16(&c->queue_reset, 1);
	if (!wait_for(mmio_read16(&c->queue_reset) == 0, QUEUE_RESET_TIMEOUT))
		return virtio_error(d, -ETIMEDOUT, "queue %u: queue_reset still reads %u", queue,
				    mmio_read16(&c->queue_reset));
	got = mmio_read16(&c->queue_enable);
	if (got != 0)
		return virtio_error(d, -EIO, "queue %u: queue_enable reads %u after a queue reset",
				    queue, got);
	return 0;
}

static void pci_notify(struct virtio_device *d, uint16_t queue, uint32_t data)
{
	struct virtio_pci *p = to_pci(d);

	if (!p->notify_at[queue])
		return;
	if (virtio_has(d, VIRTIO_F_NOTIFICATION_DATA)) /* 4.1.5.2.1 */
		mmio_write32(p->notify_at[queue], (data & 0xffff0000) | p->notify_data[queue]);
	else
		mmio_write16(p->notify_at[queue], p->notify_data[queue]);
}

/* --- interrupts ------------------------------------------------------------------------ */

static void on_vector(void *arg)
{
	const struct virtio_pci_vector *v = arg;
	struct virtio_pci *p = v->dev;
	uint8_t generation;

	if (v->queue >= 0) {
		virtio_irq_queue(&p->vdev, (uint16_t)v->queue);
		return;
	}
	if (v->queue == IRQ_CONFIG) {
		virtio_irq_config(&p->vdev);
		return;
	}
	/* One vector for all: 4.1.4.5.2 wants no ISR read here, so the generation tells of a change. */
	generation = mmio_read8(&p->common->config_generation);
	if (generation != p->generation) {
		p->generation = generation;
		virtio_irq_config(&p->vdev);
	}
	virtio_irq_shared(&p->vdev);
}

/* INTx: reading ISR also lowers the line (4.1.4.5). */
static bool on_intx(struct virtio_device *d)
{
	const uint8_t isr = mmio_read8(to_pci(d)->isr);

	if (isr & ISR_CONFIG)
		virtio_irq_config(d);
	if (isr & ISR_QUEUE)
		virtio_irq_shared(d);
	return isr != 0;
}

static int add_vector(struct virtio_pci *p, uint16_t entry, int queue)
{
	struct virtio_pci_vector *v = &p->irq[entry];
	uint64_t addr;
	uint32_t data;
	int ret, vector;

	v->dev = p;
	v->queue = queue;
	vector = irq_alloc(on_vector, v);
	if (vector < 0)
		return vector;
	v->vector = vector;
	ret = irq_message(&p->vdev.dev, vector, 0, &addr, &data);
	if (ret)
		return ret;
	pci_msix_set(&p->msix, entry, addr, data);
	pci_msix_mask(&p->msix, entry, false);
	return 0;
}

static int setup_msix(struct virtio_pci *p, enum virtio_irq_mode mode)
{
	const unsigned int entries = mode == VIRTIO_IRQ_MSIX ? p->vdev.num_queues + 1u : 1;
	unsigned int i;
	int ret;

	if (!p->has_msix)
		return -EOPNOTSUPP;
	if (p->msix.count < entries)
		return -ENOSPC;
	pci_intx(p->pci, false);
	/* Enabled first: behind some bridges a table entry that is written before has no effect. */
	pci_msix_enable(p->pci, &p->msix, true);
	pci_msix_function_mask(p->pci, &p->msix, false);
	for (i = 0; i < entries; i++) {
		ret = add_vector(p, (uint16_t)i,
				 mode == VIRTIO_IRQ_MSIX1 ? IRQ_ALL :
				 i			  ? (int)i - 1 :
							    IRQ_CONFIG);
		if (ret)
			return ret;
	}
	p->generation = mmio_read8(&p->common->config_generation);
	return virtio_pci_set_config_vector(p, 0) == 0 ? 0 : -EIO;
}

static int setup_intx(struct virtio_pci *p)
{
	const uint32_t gsi = pci_intx_gsi(p->pci);
	int ret;

	if (gsi == UINT32_MAX || !p->isr)
		return -EOPNOTSUPP;
	ret = virtio_line_attach(&p->vdev, gsi, true, true, on_intx);
	if (!ret)
		pci_intx(p->pci, true);
	return ret;
}

static void pci_irq_teardown(struct virtio_device *d)
{
	struct virtio_pci *p = to_pci(d);
	unsigned int i;

	pci_intx(p->pci, false);
	virtio_line_detach(d);
	if (!p->has_msix)
		return;
	for (i = 0; i <= VIRTIO_MAX_QUEUES && i < p->msix.count; i++)
		pci_msix_mask(&p->msix, i, true);
	pci_msix_enable(p->pci, &p->msix, false);
	for (i = 0; i <= VIRTIO_MAX_QUEUES; i++) {
		if (p->irq[i].vector > 0)
			irq_free(p->irq[i].vector);
		if (p->irq[i].other > 0)
			irq_free(p->irq[i].other);
		p->irq[i].vector = p->irq[i].other = 0;
	}
}

static int pci_irq_setup(struct virtio_device *d, enum virtio_irq_mode mode)
{
	struct virtio_pci *p = to_pci(d);
	int ret;

	switch (mode) {
	case VIRTIO_IRQ_MSIX:
	case VIRTIO_IRQ_MSIX1:
		ret = setup_msix(p, mode);
		break;
	case VIRTIO_IRQ_INTX:
		ret = setup_intx(p);
		break;
	default:
		ret = 0;
	}
	if (ret)
		pci_irq_teardown(d);
	else
		d->irq_mode = mode;
	return ret;
}

/*
 * To another vector as well, so that address and data change. The old one stays allocated: a message that
 * is on its way finds its handler.
 */
static int steer_entry(struct virtio_pci *p, unsigned int entry, unsigned int cpu)
{
	struct virtio_pci_vector *v = &p->irq[entry];
	const int next = v->other ? v->other : irq_alloc(on_vector, v);
	uint64_t addr;
	uint32_t data;
	int ret;

	if (next < 0)
		return next;
	v->other = next;
	ret = irq_message(&p->vdev.dev, next, cpu, &addr, &data);
	if (ret)
		return ret;
	/* PCIe 6.1.4.2: address and data change only while the entry is masked. */
	pci_msix_mask(&p->msix, entry, true);
	pci_msix_set(&p->msix, entry, addr, data);
	pci_msix_mask(&p->msix, entry, false);
	v->other = v->vector;
	v->vector = next;
	return 0;
}

static int pci_irq_ctl(struct virtio_device *d, enum virtio_irq_ctl what, int event,
		       unsigned int arg)
{
	struct virtio_pci *p = to_pci(d);
	const unsigned int entry = d->irq_mode == VIRTIO_IRQ_MSIX && event >= 0 ?
					   (unsigned int)event + 1 :
					   0;

	if (d->irq_mode == VIRTIO_IRQ_INTX && what == VIRTIO_IRQ_ACK)
		return mmio_read8(p->isr);
	if (d->irq_mode < VIRTIO_IRQ_MSIX1)
		return virtio_line_ctl(d, what, arg);
	switch (what) {
	case VIRTIO_IRQ_STEER:
		return steer_entry(p, entry, arg);
	case VIRTIO_IRQ_MASK:
		if (event == VIRTIO_EVENT_ALL)
			pci_msix_function_mask(p->pci, &p->msix, arg);
		else
			pci_msix_mask(&p->msix, entry, arg);
		return 0;
	case VIRTIO_IRQ_PENDING:
		return pci_msix_pending(&p->msix, entry);
	case VIRTIO_IRQ_ENABLE:
		pci_msix_enable(p->pci, &p->msix, arg);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* --- the configuration access window --------------------------------------------------- */

static int window_point(struct virtio_pci *p, uint8_t bar, uint32_t off, unsigned int size)
{
	const struct virtio_pci_cap_info *w = p->window_cap;

	if (!w)
		return -ENOENT;
	if ((size != 1 && size != 2 && size != 4) || off % size)
		return -EINVAL;
	pci_write(p->pci, w->at + 4, 1, bar);
	pci_write(p->pci, w->at + 8, 4, off);
	pci_write(p->pci, w->at + 12, 4, size);
	return 0;
}

int virtio_pci_window_read(struct virtio_pci *p, uint8_t bar, uint32_t off, unsigned int size,
			   uint32_t *v)
{
	const int ret = window_point(p, bar, off, size);

	if (!ret)
		*v = pci_read(p->pci, p->window_cap->at + 16, size);
	return ret;
}

int virtio_pci_window_write(struct virtio_pci *p, uint8_t bar, uint32_t off, unsigned int size,
			    uint32_t v)
{
	const int ret = window_point(p, bar, off, size);

	if (!ret)
		pci_write(p->pci, p->window_cap->at + 16, size, v);
	return ret;
}

static void pci_remove(struct virtio_device *d)
{
	struct virtio_pci *p = to_pci(d);

	pci_enable(p->pci, true, false);
	free(p);
}

static const struct virtio_transport_ops pci_ops = {
	.name = "pci",
	.get_status = pci_get_status,
	.set_status = pci_set_status,
	.device_features = pci_device_features,
	.driver_features = pci_driver_features,
	.device_features_sel = pci_features_sel,
	.config_generation = pci_config_generation,
	.config_read = pci_config_read,
	.config_write = pci_config_write,
	.config_len = pci_config_len,
	.queue_max = pci_queue_max,
	.queue_enable = pci_queue_enable,
	.queue_enabled = pci_queue_enabled,
	.queue_reset = pci_queue_reset,
	.notify = pci_notify,
	.irq_setup = pci_irq_setup,
	.irq_teardown = pci_irq_teardown,
	.irq_ctl = pci_irq_ctl,
	.remove = pci_remove,
};

/* --- probing --------------------------------------------------------------------------- */

static void read_cap(struct virtio_pci *p, unsigned int at)
{
	struct virtio_pci_cap_info *c = &p->cap[p->num_caps];
	const struct pci_dev *d = p->pci;
	const struct pci_bar *bar;

	*c = (struct virtio_pci_cap_info){
		.at = at,
		.cap_len = (uint8_t)pci_read(d, at + 2, 1),
		.type = (uint8_t)pci_read(d, at + 3, 1),
	};
	p->num_caps++;
	if (c->cap_len < CAP_LEN_MIN || at + c->cap_len > CONFIG_SPACE ||
	    c->type == VIRTIO_PCI_CAP_VENDOR_CFG)
		return;
	c->bar = (uint8_t)pci_read(d, at + 4, 1);
	c->id = (uint8_t)pci_read(d, at + 5, 1);
	c->offset = pci_read(d, at + 8, 4);
	c->length = pci_read(d, at + 12, 4);
	if (c->type == VIRTIO_PCI_CAP_SHARED_MEMORY_CFG &&
	    c->cap_len >= CAP_LEN_SHM) { /* 4.1.4.7 */
		c->offset |= (uint64_t)pci_read(d, at + 16, 4) << 32;
		c->length |= (uint64_t)pci_read(d, at + 20, 4) << 32;
	}
	if (c->type == VIRTIO_PCI_CAP_NOTIFY_CFG && c->cap_len >= CAP_LEN_NOTIFY)
		c->multiplier = pci_read(d, at + 16, 4);
	if (c->bar > 5) /* 4.1.4.1: reserved values are ignored */
		return;
	bar = &d->bar[c->bar];
	c->in_bar = !bar->io && bar->base && c->offset <= bar->size &&
		    c->length <= bar->size - c->offset;
}

/* Least length of a structure that is used. */
static uint64_t least_length(uint8_t type)
{
	switch (type) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		return VIRTIO_PCI_COMMON_MIN;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		return 2;
	default:
		return 1;
	}
}

/* The first usable one: devices list the best first (4.1.4.1). */
static const struct virtio_pci_cap_info *choose(const struct virtio_pci *p, uint8_t type)
{
	unsigned int i;

	for (i = 0; i < p->num_caps; i++)
		if (p->cap[i].type == type && p->cap[i].in_bar &&
		    p->cap[i].length >= least_length(type))
			return &p->cap[i];
	return NULL;
}

static volatile uint8_t *map_cap(const struct virtio_pci *p, const struct virtio_pci_cap_info *c)
{
	volatile uint8_t *bar = c ? pci_map_bar(p->pci, c->bar) : NULL;

	return bar ? bar + c->offset : NULL;
}

static void find_caps(struct virtio_pci *p)
{
	unsigned int at, i;

	for (at = pci_find_cap(p->pci, PCI_CAP_VENDOR, 0); at && p->num_caps < VIRTIO_PCI_MAX_CAPS;
	     at = pci_find_cap(p->pci, PCI_CAP_VENDOR, at))
		read_cap(p, at);
	p->common_cap = choose(p, VIRTIO_PCI_CAP_COMMON_CFG);
	p->notify_cap = choose(p, VIRTIO_PCI_CAP_NOTIFY_CFG);
	p->isr_cap = choose(p, VIRTIO_PCI_CAP_ISR_CFG);
	p->device_cap = choose(p, VIRTIO_PCI_CAP_DEVICE_CFG);
	for (i = 0; i < p->num_caps && !p->window_cap; i++)
		if (p->cap[i].type == VIRTIO_PCI_CAP_PCI_CFG &&
		    p->cap[i].cap_len >= CAP_LEN_WINDOW &&
		    p->cap[i].at + CAP_LEN_WINDOW <= CONFIG_SPACE)
			p->window_cap = &p->cap[i];
	p->common = (volatile struct virtio_pci_common_cfg *)map_cap(p, p->common_cap);
	p->notify = map_cap(p, p->notify_cap);
	p->isr = map_cap(p, p->isr_cap);
	p->device = map_cap(p, p->device_cap);
}

static bool has_cap(const struct virtio_pci *p, uint8_t type)
{
	unsigned int i;

	for (i = 0; i < p->num_caps; i++)
		if (p->cap[i].type == type)
			return true;
	return false;
}

/* 4.1.2.1: below 0x1040 it may be a legacy device, which has no virtio capability at all. */
static bool virtio_pci_legacy(const struct virtio_pci *p)
{
	return p->pci->device < VIRTIO_PCI_MODERN && p->num_caps == 0;
}

static const char *unusable(const struct virtio_pci *p)
{
	if (virtio_pci_legacy(p))
		return "legacy only";
	if (!has_cap(p, VIRTIO_PCI_CAP_COMMON_CFG))
		return "no COMMON_CFG capability";
	if (!p->common)
		return "no COMMON_CFG inside of an assigned memory BAR";
	if (!p->notify)
		return "no NOTIFY_CFG inside of an assigned memory BAR";
	return NULL;
}

/* Bus mastering is off from here on; the function stays known, for tests that judge what it shows. */
static void refuse(struct virtio_pci *p, enum virtio_refusal_kind kind, const char *why)
{
	virtio_refuse(p->vdev.name, kind, &p->vdev, "%s (%04x:%04x): %s",
		      virtio_id_name(p->vdev.id), p->pci->vendor, p->pci->device, why);
	pci_enable(p->pci, true, false);
}

/* A line that is not known is no SKIP without a word: its tests run on MSI-X only. */
static void describe_irqs(struct virtio_pci *p)
{
	const uint32_t gsi = pci_intx_gsi(p->pci);
	char line[24] = "INTx line not known";

	if (!p->pci->irq_pin)
		snprintf(line, sizeof(line), "no INTx");
	else if (gsi != UINT32_MAX)
		snprintf(line, sizeof(line), "INTx at GSI %u", (unsigned int)gsi);
	snprintf(p->vdev.irq_info, sizeof(p->vdev.irq_info), "%u MSI-X vectors, %s",
		 p->has_msix ? p->msix.count : 0, line);
}

static void probe_one(const struct pci_dev *pci)
{
	struct virtio_pci *p = calloc(1, sizeof(*p));
	struct virtio_device *d;
	const char *why;
	char name[32];
	int ret;

	if (!p) {
		snprintf(name, sizeof(name), "pci %02x:%02x.%u", pci->bus, pci->dev, pci->fn);
		virtio_refuse(name, VIRTIO_REFUSED_RESOURCE, NULL, "no memory");
		return;
	}
	d = &p->vdev;
	p->pci = pci;
	d->ops = &pci_ops;
	d->transport = p;
	/* 4.1.2: transitional devices have the id in the subsystem. */
	d->id = pci->device >= VIRTIO_PCI_MODERN ? (uint32_t)pci->device - VIRTIO_PCI_MODERN :
						   pci->subdevice;
	device_init_pci(&d->dev, pci->segment, pci_requester(pci));
	d->dev.alias = pci_alias(pci);
	d->name = d->dev.name;
	pci_enable(pci, true, true);
	pci_intx(pci, false);
	find_caps(p);
	p->msix_error = pci_msix_init(pci, &p->msix);
	p->has_msix = p->msix_error == 0;
	describe_irqs(p);
	why = unusable(p);
	if (why) {
		refuse(p, virtio_pci_legacy(p) ? VIRTIO_REFUSED_LEGACY : VIRTIO_REFUSED_LAYOUT,
		       why);
		return;
	}
	ret = virtio_add(d);
	if (ret)
		refuse(p, virtio_refusal_of(ret), d->error);
}

static void probe_pci(void)
{
	const struct pci_dev *d;
	unsigned int i;

	for (i = 0; (d = pci_get(i)); i++)
		if (d->vendor == VIRTIO_PCI_VENDOR && d->device >= 0x1000 && d->device <= 0x107f)
			probe_one(d);
}
INIT(virtio_pci, probe_pci);
