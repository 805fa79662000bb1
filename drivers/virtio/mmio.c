/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio over MMIO (virtio 1.4, 4.2), version 2. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/mmio.h"
#include "drivers/virtio/registry.h"
#include "lib/acpi.h"
#include "lib/cmdline.h"
#include "lib/irq.h"
#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/test.h"
#include "lib/time.h"

OPTION("virtio_mmio.device", "SIZE@BASE:IRQ[:ID], as Linux: a virtio-mmio device; may be repeated");

static struct virtio_mmio *mmio_of(const struct virtio_device *d)
{
	return d->transport;
}

struct virtio_mmio *virtio_mmio_get(const struct virtio_device *d)
{
	return strcmp(d->ops->name, "mmio") == 0 ? d->transport : NULL;
}

static uint32_t rd(const struct virtio_device *d, unsigned int reg)
{
	return mmio_read32(mmio_of(d)->regs + reg);
}

static void wr(const struct virtio_device *d, unsigned int reg, uint32_t v)
{
	mmio_write32(mmio_of(d)->regs + reg, v);
}

static uint8_t get_status(struct virtio_device *d)
{
	return (uint8_t)rd(d, MMIO_STATUS);
}

static void set_status(struct virtio_device *d, uint8_t s)
{
	wr(d, MMIO_STATUS, s);
}

static uint32_t device_features_sel(struct virtio_device *d, uint32_t sel)
{
	wr(d, MMIO_DEVICE_FEATURES_SEL, sel);
	return rd(d, MMIO_DEVICE_FEATURES);
}

static uint64_t device_features(struct virtio_device *d)
{
	return device_features_sel(d, 0) | (uint64_t)device_features_sel(d, 1) << 32;
}

static void driver_features(struct virtio_device *d, uint64_t f)
{
	wr(d, MMIO_DRIVER_FEATURES_SEL, 0);
	wr(d, MMIO_DRIVER_FEATURES, (uint32_t)f);
	wr(d, MMIO_DRIVER_FEATURES_SEL, 1);
	wr(d, MMIO_DRIVER_FEATURES, (uint32_t)(f >> 32));
}

static uint32_t config_generation(struct virtio_device *d)
{
	return rd(d, MMIO_CONFIG_GENERATION);
}

static uint32_t config_len(struct virtio_device *d)
{
	return mmio_of(d)->size - MMIO_CONFIG;
}

static int config_read(struct virtio_device *d, uint32_t off, void *buf, uint32_t len)
{
	volatile uint8_t *c = mmio_of(d)->regs + MMIO_CONFIG;
	uint8_t *out = buf;

	if (off > config_len(d) || len > config_len(d) - off)
		return -ERANGE;
	while (len) { /* 4.2.2.2: natural width */
		const uint32_t n = !(off & 3) && len >= 4 ? 4 : !(off & 1) && len >= 2 ? 2 : 1;
		const uint32_t v = n == 4 ? mmio_read32(c + off) :
				   n == 2 ? mmio_read16(c + off) :
					    mmio_read8(c + off);

		memcpy(out, &v, n);
		out += n;
		off += n;
		len -= n;
	}
	return 0;
}

static int config_write(struct virtio_device *d, uint32_t off, const void *buf, uint32_t len)
{
	volatile uint8_t *c = mmio_of(d)->regs + MMIO_CONFIG;
	uint32_t v;

	if (off > config_len(d) || len > config_len(d) - off)
		return -ERANGE;
	if (len == 4 && !(off & 3)) {
		memcpy(&v, buf, 4);
		mmio_write32(c + off, v);
		return 0;
	}
	for (v = 0; v < len; v++)
		mmio_write8(c + off + v, ((const uint8_t *)buf)[v]);
	return 0;
}

static uint16_t queue_max(struct virtio_device *d, uint16_t q)
{
	const uint32_t max = (wr(d, MMIO_QUEUE_SEL, q), rd(d, MMIO_QUEUE_SIZE_MAX));

	return max > 32768 ? 0 : (uint16_t)max;
}

static int queue_enable(struct virtio_device *d, uint16_t q, uint16_t size, dma_addr_t desc,
			dma_addr_t driver, dma_addr_t device)
{
	wr(d, MMIO_QUEUE_SEL, q);
	wr(d, MMIO_QUEUE_SIZE, size);
	wr(d, MMIO_QUEUE_DESC, (uint32_t)desc);
	wr(d, MMIO_QUEUE_DESC + 4, (uint32_t)(desc >> 32));
	wr(d, MMIO_QUEUE_DRIVER, (uint32_t)driver);
	wr(d, MMIO_QUEUE_DRIVER + 4, (uint32_t)(driver >> 32));
	wr(d, MMIO_QUEUE_DEVICE, (uint32_t)device);
	wr(d, MMIO_QUEUE_DEVICE + 4, (uint32_t)(device >> 32));
	wr(d, MMIO_QUEUE_READY, 1);
	return rd(d, MMIO_QUEUE_READY) == 1 ? 0 : -EIO;
}

static bool queue_enabled(struct virtio_device *d, uint16_t q)
{
	wr(d, MMIO_QUEUE_SEL, q);
	return rd(d, MMIO_QUEUE_READY);
}

static int queue_reset(struct virtio_device *d, uint16_t q)
{
	if (!virtio_has(d, VIRTIO_F_RING_RESET))
		return -EOPNOTSUPP;
	wr(d, MMIO_QUEUE_SEL, q);
	wr(d, MMIO_QUEUE_RESET, 1);
	return wait_for(rd(d, MMIO_QUEUE_RESET) == 0, 2 * SEC) ? 0 : -ETIMEDOUT;
}

static void notify(struct virtio_device *d, uint16_t q, uint32_t data)
{
	mb();
	wr(d, MMIO_QUEUE_NOTIFY, virtio_has(d, VIRTIO_F_NOTIFICATION_DATA) ? data : q);
}

/* One line for everything: InterruptStatus says why (4.2.3.4). */
static void on_line(void *arg)
{
	struct virtio_device *d = arg;
	const uint32_t why = rd(d, MMIO_INTERRUPT_STATUS);
	unsigned int q;

	wr(d, MMIO_INTERRUPT_ACK, why & 3);
	if (why & 1) {
		__atomic_fetch_add(&d->irqs.shared, 1, __ATOMIC_RELAXED);
		for (q = 0; d->on_queue && q < d->num_queues; q++)
			d->on_queue(d, (uint16_t)q);
	}
	if (why & 2) {
		__atomic_fetch_add(&d->irqs.config, 1, __ATOMIC_RELAXED);
		if (d->on_config)
			d->on_config(d);
	}
	if (!(why & 3))
		__atomic_fetch_add(&d->irqs.unexpected, 1, __ATOMIC_RELAXED);
}

static void irq_teardown(struct virtio_device *d)
{
	struct virtio_mmio *m = mmio_of(d);

	if (m->irq <= 0)
		return;
	irq_gsi_mask(m->gsi, true);
	irq_free(m->irq);
	m->irq = 0;
}

static int irq_setup(struct virtio_device *d, enum virtio_irq_mode mode)
{
	struct virtio_mmio *m = mmio_of(d);
	int ret;

	irq_teardown(d);
	if (mode == VIRTIO_IRQ_POLL)
		return 0;
	if (mode != VIRTIO_IRQ_INTX || m->gsi == 0)
		return -ENODEV;
	m->irq = irq_alloc(on_line, d);
	if (m->irq < 0)
		return m->irq;
	/* QEMU's lines are active high and edge-like behind its I/O APIC; level is what the spec has. */
	ret = irq_gsi_route(m->gsi, m->irq, 0, true, false);
	if (!ret)
		ret = irq_gsi_mask(m->gsi, false);
	if (ret)
		irq_teardown(d);
	return ret;
}

static void remove_device(struct virtio_device *d)
{
	irq_teardown(d);
}

static const struct virtio_transport_ops mmio_ops = {
	.name = "mmio",
	.get_status = get_status,
	.set_status = set_status,
	.device_features = device_features,
	.driver_features = driver_features,
	.device_features_sel = device_features_sel,
	.config_generation = config_generation,
	.config_read = config_read,
	.config_write = config_write,
	.config_len = config_len,
	.queue_max = queue_max,
	.queue_enable = queue_enable,
	.queue_enabled = queue_enabled,
	.queue_reset = queue_reset,
	.notify = notify,
	.irq_setup = irq_setup,
	.irq_teardown = irq_teardown,
	.remove = remove_device,
};

static bool known(uint64_t base)
{
	const struct virtio_device *d;
	unsigned int i;

	for (i = 0; (d = virtio_get(i)); i++)
		if (d->ops == &mmio_ops && mmio_of(d)->base == base)
			return true;
	return false;
}

static void probe_one(uint64_t base, uint32_t size, uint32_t gsi)
{
	volatile uint8_t *regs = size > MMIO_CONFIG ? mmio_map(base, size) : NULL;
	struct virtio_device *d;
	struct virtio_mmio *m;
	uint32_t id;

	/* 4.2.3.1.1: magic and version first, then DeviceID; 0 is an empty slot. */
	if (!regs || known(base) || mmio_read32(regs + MMIO_MAGIC) != MMIO_MAGIC_VALUE)
		return;
	if (mmio_read32(regs + MMIO_VERSION) != 2) {
		if (mmio_read32(regs + MMIO_DEVICE_ID))
			env_line("virtio skipped", "mmio 0x%llx: version %u, not 2",
				 (unsigned long long)base,
				 (unsigned int)mmio_read32(regs + MMIO_VERSION));
		return;
	}
	id = mmio_read32(regs + MMIO_DEVICE_ID);
	if (id == 0)
		return;
	d = calloc(1, sizeof(*d));
	m = calloc(1, sizeof(*m));
	if (!d || !m)
		goto drop;
	m->regs = regs;
	m->base = base;
	m->size = size;
	m->gsi = gsi;
	d->ops = &mmio_ops;
	d->transport = m;
	d->id = id;
	snprintf(d->name, sizeof(d->name), "mmio 0x%llx", (unsigned long long)base);
	set_status(d, 0);
	dma_dev_init(&d->dma);
	if (virtio_register(d) == 0)
		return;
drop:
	free(d);
	free(m);
}

static uint64_t with_suffix(const char *s, char **end)
{
	uint64_t n = strtoull(s, end, 0);

	switch (tolower((unsigned char)**end)) {
	case 'g':
		n <<= 10; /* fall through */
	case 'm':
		n <<= 10; /* fall through */
	case 'k':
		n <<= 10;
		(*end)++;
		break;
	default:
		break;
	}
	return n;
}

static void probe_option(const char *text)
{
	uint64_t size, base, irq;
	char *end;

	size = with_suffix(text, &end);
	if (*end != '@')
		goto bad;
	base = strtoull(end + 1, &end, 0);
	if (*end != ':')
		goto bad;
	irq = strtoull(end + 1, &end, 0);
	if (*end != '\0' && *end != ':')
		goto bad;
	probe_one(base, (uint32_t)size, (uint32_t)irq);
	return;
bad:
	printf("# warning: virtio_mmio.device=%s: the form is SIZE@BASE:IRQ[:ID]\n", text);
}

/*
 * Devices with _HID "LNRO0005" in the DSDT: after the id, within the same device, a Memory32Fixed
 * descriptor (0x86) and an extended interrupt descriptor (0x89). A bounded look at the bytes, no
 * interpreter.
 */
static void probe_acpi(void)
{
	const struct acpi_header *t = acpi_table("DSDT", 0);
	const uint8_t *b = (const uint8_t *)t;
	uint32_t i, k, base, size, gsi;

	for (i = sizeof(*t); t && i + 8 < t->length; i++) {
		if (memcmp(b + i, "LNRO0005", 8) != 0)
			continue;
		base = 0;
		gsi = 0;
		for (k = i + 8; k + 12 <= t->length && k < i + 96; k++) {
			if (!base && b[k] == 0x86 && b[k + 1] == 9 && b[k + 2] == 0) {
				memcpy(&base, b + k + 4, 4);
				memcpy(&size, b + k + 8, 4);
				k += 11;
			} else if (base && b[k] == 0x89 && b[k + 4] == 1) {
				memcpy(&gsi, b + k + 5, 4);
				break;
			}
		}
		if (base)
			probe_one(base, size, gsi);
	}
}

void virtio_mmio_probe(void)
{
	const char *o;
	unsigned int i;

	for (i = 0; (o = cmdline_get_nth("virtio_mmio.device", i)); i++)
		probe_option(o);
	probe_acpi();
}
