/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices whatever their transport: registry, initialisation (3.1.1), environment lines. */
#include "drivers/virtio/virtio.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers/virtio/transport.h"
#include "drivers/virtio/vq_impl.h"
#include "lib/cmdline.h"
#include "lib/mmio.h"
#include "lib/env.h"
#include "lib/time.h"

OPTION("ring",
       "split: packed rings are used by tests about them only; else wherever they are offered");
OPTION("irq", "the best kind of interrupt to use: msix, msix1 (one vector), intx or poll");

#define MAX_DEVICES   32
#define MAX_REFUSALS  32
#define RESET_TIMEOUT (2 * time_sec())
#define CONFIG_TRIES  100

/* What the rings and transports have code for; other bits from 24 up are never accepted (2.2.1). */
#define GENERIC_KNOWN                                                                              \
	(VIRTIO_RING_FEATURES | VIRTIO_BIT(VIRTIO_F_VERSION_1) |                                   \
	 VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM) | VIRTIO_BIT(VIRTIO_F_ORDER_PLATFORM) |              \
	 VIRTIO_BIT(VIRTIO_F_NOTIF_CONFIG_DATA) | VIRTIO_BIT(VIRTIO_F_RING_RESET) |                \
	 VIRTIO_BIT(VIRTIO_F_SUSPEND))
/* 2.2: 24 to 40 and 43 are queues' and negotiation's, 44 to 49 reserved; the rest belongs to the device. */
#define GENERIC_MASK 0x0003f9ffff000000ull
/* Accepted wherever they are offered. */
#define ALWAYS                                                                                     \
	(VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM) |                   \
	 VIRTIO_BIT(VIRTIO_F_ORDER_PLATFORM))

static struct {
	struct virtio_device *dev[MAX_DEVICES];
	unsigned int count;
	struct virtio_refusal refused[MAX_REFUSALS];
	unsigned int refusals, refusals_lost;
} virtio;

static void (*watch)(struct virtio_device *d, const char *what);

void virtio_watch(void (*fn)(struct virtio_device *d, const char *what))
{
	watch = fn;
}

void virtio_tell(struct virtio_device *d, const char *what)
{
	if (watch)
		watch(d, what);
}

struct virtio_device *virtio_get(unsigned int n)
{
	return n < virtio.count ? virtio.dev[n] : NULL;
}

struct virtio_device *virtio_find(uint32_t id, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < virtio.count; i++)
		if (virtio.dev[i]->id == id && n-- == 0)
			return virtio.dev[i];
	return NULL;
}

int virtio_error(struct virtio_device *d, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->error, sizeof(d->error), fmt, ap);
	va_end(ap);
	return err;
}

void virtio_refuse(const char *name, enum virtio_refusal_kind kind, struct virtio_device *dev,
		   const char *fmt, ...)
{
	struct virtio_refusal *r = &virtio.refused[virtio.refusals];
	va_list ap;

	if (virtio.refusals == MAX_REFUSALS) {
		virtio.refusals_lost++;
		return;
	}
	virtio.refusals++;
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->kind = kind;
	r->dev = dev;
	va_start(ap, fmt);
	vsnprintf(r->reason, sizeof(r->reason), fmt, ap);
	va_end(ap);
}

enum virtio_refusal_kind virtio_refusal_of(int err)
{
	return err == -ETIMEDOUT ? VIRTIO_REFUSED_RESET : VIRTIO_REFUSED_RESOURCE;
}

const struct virtio_refusal *virtio_refused(unsigned int n)
{
	return n < virtio.refusals ? &virtio.refused[n] : NULL;
}

unsigned int virtio_refusals_lost(void)
{
	return virtio.refusals_lost;
}

uint32_t virtio_access_width(uint32_t off, uint32_t len)
{
	if (len >= 4 && off % 4 == 0)
		return 4;
	return len >= 2 && off % 2 == 0 ? 2 : 1;
}

int virtio_config_in(const volatile uint8_t *cfg, uint32_t size, uint32_t off, void *buf,
		     uint32_t len)
{
	uint8_t *out = buf;
	uint32_t v, w;

	if (off > size || len > size - off)
		return -ERANGE;
	for (; len; off += w, out += w, len -= w) {
		w = virtio_access_width(off, len);
		v = w == 4 ? mmio_read32(cfg + off) :
		    w == 2 ? mmio_read16(cfg + off) :
			     mmio_read8(cfg + off);
		v = cpu_to_le32(v);
		memcpy(out, &v, w);
	}
	return 0;
}

int virtio_config_out(volatile uint8_t *cfg, uint32_t size, uint32_t off, const void *buf,
		      uint32_t len)
{
	const uint8_t *in = buf;
	uint32_t v, w;

	if (off > size || len > size - off)
		return -ERANGE;
	for (; len; off += w, in += w, len -= w) {
		v = 0;
		w = virtio_access_width(off, len);
		memcpy(&v, in, w);
		v = le32_to_cpu(v);
		if (w == 4)
			mmio_write32(cfg + off, v);
		else if (w == 2)
			mmio_write16(cfg + off, (uint16_t)v);
		else
			mmio_write8(cfg + off, (uint8_t)v);
	}
	return 0;
}

/* --- initialisation -------------------------------------------------------------------- */

static void free_queues(struct virtio_device *d)
{
	unsigned int i;

	for (i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		vq_audit(d->vq[i]);
		vq_destroy(d->vq[i]);
		d->vq[i] = NULL;
	}
	d->num_queues = 0;
}

int virtio_reset(struct virtio_device *d)
{
	d->ops->set_status(d, 0);
	/* 2.4.2: complete when it reads 0. Until then the device may still use the rings. */
	if (!wait_for(d->ops->get_status(d) == 0, RESET_TIMEOUT))
		return virtio_error(d, -ETIMEDOUT,
				    "reset: device status still reads 0x%02x after %u ms",
				    d->ops->get_status(d), (unsigned int)(RESET_TIMEOUT / MSEC));
	d->ops->irq_teardown(d);
	free_queues(d);
	d->accepted = 0;
	d->place = VIRTIO_PLACE_TOGETHER;
	return 0;
}

/* Adds one bit: step by step, never clearing one (2.1.1). */
static void add_status(struct virtio_device *d, uint8_t bit)
{
	d->ops->set_status(d, d->ops->get_status(d) | bit);
}

/* needs_packed: of the features, those that are accepted with RING_PACKED only. */
static int agree(struct virtio_device *d, uint64_t features, uint64_t needs_packed)
{
	int ret = virtio_reset(d);

	if (ret)
		return ret;
	ret = device_attach(&d->dev);
	if (ret)
		return virtio_error(d, ret, "its DMA or interrupts cannot be set up");
	add_status(d, VIRTIO_S_ACKNOWLEDGE);
	add_status(d, VIRTIO_S_DRIVER);
	d->offered = d->ops->device_features(d) & ~virtio_left_out(d->id);
	if (!(d->offered & VIRTIO_BIT(VIRTIO_F_VERSION_1))) {
		add_status(d, VIRTIO_S_FAILED);
		return virtio_error(d, -ENODEV,
				    "VIRTIO_F_VERSION_1 is not offered (features 0x%llx)",
				    (unsigned long long)d->offered);
	}
	/* An IOMMU is behind none itself: it takes physical addresses, those of shared pages as well. */
	if (dma_restricted(&d->dev) && d->id != VIRTIO_ID_IOMMU &&
	    !(d->offered & VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM))) {
		/* 6.2: without it the device may reach any address, and protected memory is not any. */
		add_status(d, VIRTIO_S_FAILED);
		return virtio_error(d, -EPERM,
				    "memory is protected, and VIRTIO_F_ACCESS_PLATFORM is "
				    "not offered (features 0x%llx)",
				    (unsigned long long)d->offered);
	}
	d->accepted = d->offered & features;
	if (!virtio_has(d, VIRTIO_F_RING_PACKED))
		d->accepted &= ~needs_packed;
	d->ops->driver_features(d, d->accepted);
	add_status(d, VIRTIO_S_FEATURES_OK);
	if (!(d->ops->get_status(d) & VIRTIO_S_FEATURES_OK)) {
		ret = virtio_error(d, -EINVAL,
				   "FEATURES_OK does not stick: offered 0x%llx, accepted 0x%llx",
				   (unsigned long long)d->offered, (unsigned long long)d->accepted);
		add_status(d, VIRTIO_S_FAILED);
		d->accepted = 0;
	}
	return ret;
}

int virtio_accept(struct virtio_device *d, uint64_t features)
{
	return agree(d, features, 0);
}

bool virtio_packed_wanted(void)
{
	const char *want = cmdline_get("ring");

	return !want || strcmp(want, "split") != 0;
}

int virtio_negotiate(struct virtio_device *d, uint64_t wanted)
{
	if (!virtio_packed_wanted())
		wanted &= ~VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	return agree(d, (wanted | ALWAYS) & (GENERIC_KNOWN | ~GENERIC_MASK),
		     VIRTIO_BIT(VIRTIO_F_IN_ORDER));
}

const char *virtio_irq_name(enum virtio_irq_mode mode)
{
	static const char *const name[] = {
		[VIRTIO_IRQ_POLL] = "poll",
		[VIRTIO_IRQ_INTX] = "intx",
		[VIRTIO_IRQ_MSIX1] = "msix1",
		[VIRTIO_IRQ_MSIX] = "msix",
	};

	return name[mode];
}

/* irq= names the best one allowed. */
static enum virtio_irq_mode best_irq_mode(void)
{
	const char *want = cmdline_get("irq");
	int m;

	for (m = VIRTIO_IRQ_POLL; want && m <= VIRTIO_IRQ_MSIX; m++)
		if (strcmp(want, virtio_irq_name((enum virtio_irq_mode)m)) == 0)
			return (enum virtio_irq_mode)m;
	return VIRTIO_IRQ_MSIX;
}

static void setup_irqs(struct virtio_device *d)
{
	int m = best_irq_mode();

	memset(&d->irqs, 0, sizeof(d->irqs));
	while (m > VIRTIO_IRQ_POLL && d->ops->irq_setup(d, (enum virtio_irq_mode)m))
		m--;
	if (m == VIRTIO_IRQ_POLL)
		d->ops->irq_setup(d, VIRTIO_IRQ_POLL);
	d->irq_mode = (enum virtio_irq_mode)m;
}

static uint16_t power_of_two(uint16_t n)
{
	uint16_t p = 1;

	while (p <= n / 2)
		p = (uint16_t)(p * 2);
	return p;
}

int virtio_queue_setup(struct virtio_device *d, uint16_t i, uint16_t size)
{
	const uint16_t max = d->ops->queue_max(d, i);
	dma_addr_t desc, driver, device;
	int ret;

	if (max == 0)
		return virtio_error(d, -ENODEV, "queue %u does not exist", i);
	if (d->ops->queue_enabled(d, i))
		return virtio_error(d, -EIO, "queue %u is enabled before its set-up", i);
	size = size && size < max ? size : max;
	if (!virtio_has(d, VIRTIO_F_RING_PACKED))
		size = power_of_two(size);
	d->vq[i] = vq_create(d, i, size);
	if (!d->vq[i])
		return virtio_error(d, -ENOMEM, "no memory for queue %u of %u entries", i, size);
	vq_addresses(d->vq[i], &desc, &driver, &device);
	ret = d->ops->queue_enable(d, i, size, desc, driver, device);
	if (ret) {
		vq_destroy(d->vq[i]);
		d->vq[i] = NULL;
	}
	return ret;
}

int virtio_queues_setup(struct virtio_device *d, uint16_t n, uint16_t size)
{
	uint16_t i;
	int ret = 0;

	if (n > VIRTIO_MAX_QUEUES)
		return virtio_error(d, -ENOSPC, "%u queues wanted, %u are supported", n,
				    VIRTIO_MAX_QUEUES);
	d->num_queues = n;
	setup_irqs(d);
	for (i = 0; i < n && !ret; i++)
		ret = virtio_queue_setup(d, i, size);
	return ret;
}

/* 2.1.2 MUST NOT: used-buffer notifications before DRIVER_OK. Only an own vector tells a queue's. */
static void check_silence(struct virtio_device *d)
{
	char text[80];
	uint16_t i;

	for (i = 0; i < d->num_queues; i++) {
		const uint64_t n = __atomic_load_n(&d->irqs.queue[i], __ATOMIC_RELAXED);

		if (!n)
			continue;
		snprintf(text, sizeof(text), "queue %u: %llu notifications before DRIVER_OK", i,
			 (unsigned long long)n);
		virtio_tell(d, text);
	}
}

int virtio_driver_ok(struct virtio_device *d)
{
	uint8_t s;

	check_silence(d);
	add_status(d, VIRTIO_S_DRIVER_OK);
	s = d->ops->get_status(d);
	if (!(s & VIRTIO_S_DRIVER_OK) || (s & VIRTIO_S_NEEDS_RESET))
		return virtio_error(d, -EIO, "status reads 0x%02x after DRIVER_OK was set", s);
	return 0;
}

int virtio_config_read(struct virtio_device *d, uint32_t off, void *buf, uint32_t len)
{
	uint32_t before, after;
	unsigned int i;
	int ret;

	for (i = 0; i < CONFIG_TRIES; i++) { /* 2.5.1 */
		before = d->ops->config_generation(d);
		ret = d->ops->config_read(d, off, buf, len);
		if (ret)
			return virtio_error(d, ret, "config space: %u bytes at %u of %u", len, off,
					    d->ops->config_len(d));
		after = d->ops->config_generation(d);
		if (before == after)
			return 0;
	}
	return virtio_error(d, -EAGAIN, "config generation changed in each of %u reads",
			    CONFIG_TRIES);
}

/* --- interrupts ------------------------------------------------------------------------ */

static void count(uint64_t *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
}

static void tell_queue(struct virtio_device *d, uint16_t queue)
{
	if (d->on_queue)
		d->on_queue(d, queue);
}

void virtio_irq_queue(struct virtio_device *d, uint16_t queue)
{
	count(&d->irqs.queue[queue]);
	if (d->vq[queue] && d->vq[queue]->unwanted)
		count(&d->irqs.unwanted);
	tell_queue(d, queue);
}

void virtio_irq_shared(struct virtio_device *d)
{
	uint16_t i;

	count(&d->irqs.shared);
	for (i = 0; i < d->num_queues; i++)
		tell_queue(d, i);
}

void virtio_irq_config(struct virtio_device *d)
{
	count(&d->irqs.config);
	if (d->on_config)
		d->on_config(d);
}

/* --- registry -------------------------------------------------------------------------- */

int virtio_add(struct virtio_device *d)
{
	uint16_t i;
	int ret;

	if (virtio.count == MAX_DEVICES)
		return virtio_error(d, -ENOSPC, "more than %u devices", MAX_DEVICES);
	ret = virtio_reset(d);
	if (ret)
		return ret;
	add_status(d, VIRTIO_S_ACKNOWLEDGE);
	add_status(d, VIRTIO_S_DRIVER);
	d->offered = d->ops->device_features(d) & ~virtio_left_out(d->id);
	for (i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		d->max_size[i] = d->ops->queue_max(d, i);
		if (d->max_size[i])
			d->max_queues = (uint16_t)(i + 1);
	}
	d->more_queues = d->ops->queue_max(d, VIRTIO_MAX_QUEUES) > 0;
	ret = virtio_reset(d);
	if (!ret)
		virtio.dev[virtio.count++] = d;
	return ret;
}

/* --- environment ----------------------------------------------------------------------- */

struct bit_name {
	uint8_t bit;
	const char *name;
};

static const struct bit_name generic_bits[] = {
	{ VIRTIO_F_INDIRECT_DESC, "INDIRECT_DESC" },
	{ VIRTIO_F_EVENT_IDX, "EVENT_IDX" },
	{ 30, "(30: vhost-user)" },
	{ VIRTIO_F_VERSION_1, "VERSION_1" },
	{ VIRTIO_F_ACCESS_PLATFORM, "ACCESS_PLATFORM" },
	{ VIRTIO_F_RING_PACKED, "RING_PACKED" },
	{ VIRTIO_F_IN_ORDER, "IN_ORDER" },
	{ VIRTIO_F_ORDER_PLATFORM, "ORDER_PLATFORM" },
	{ VIRTIO_F_SR_IOV, "SR_IOV" },
	{ VIRTIO_F_NOTIFICATION_DATA, "NOTIFICATION_DATA" },
	{ VIRTIO_F_NOTIF_CONFIG_DATA, "NOTIF_CONFIG_DATA" },
	{ VIRTIO_F_RING_RESET, "RING_RESET" },
	{ VIRTIO_F_ADMIN_VQ, "ADMIN_VQ" },
	{ VIRTIO_F_SUSPEND, "SUSPEND" },
};

static const struct bit_name vsock_bits[] = {
	/* 5.10.3 */
	{ 0, "STREAM" },
	{ 1, "SEQPACKET" },
	{ 2, "NO_IMPLIED_STREAM" },
	{ 50, "INDEXED_CID(experimental)" },
};

static const struct bit_name iommu_bits[] = {
	/* 5.13.3 */
	{ 0, "INPUT_RANGE" }, { 1, "DOMAIN_RANGE" }, { 2, "MAP_UNMAP" },     { 3, "BYPASS" },
	{ 4, "PROBE" },	      { 5, "MMIO" },	     { 6, "BYPASS_CONFIG" },
};

static const struct {
	uint32_t id;
	const char *name;
	const struct bit_name *bits;
	unsigned int num_bits;
} ids[] = {
	/* 5 */
	{ VIRTIO_ID_NET, "net", NULL, 0 },
	{ VIRTIO_ID_BLOCK, "block", NULL, 0 },
	{ 3, "console", NULL, 0 },
	{ VIRTIO_ID_RNG, "rng", NULL, 0 },
	{ 5, "balloon", NULL, 0 },
	{ 8, "scsi", NULL, 0 },
	{ 9, "9p", NULL, 0 },
	{ 16, "gpu", NULL, 0 },
	{ 18, "input", NULL, 0 },
	{ VIRTIO_ID_VSOCK, "vsock", vsock_bits, sizeof(vsock_bits) / sizeof(vsock_bits[0]) },
	{ 20, "crypto", NULL, 0 },
	{ VIRTIO_ID_IOMMU, "iommu", iommu_bits, sizeof(iommu_bits) / sizeof(iommu_bits[0]) },
	{ 24, "mem", NULL, 0 },
	{ 26, "fs", NULL, 0 },
	{ 27, "pmem", NULL, 0 },
};

#define NUM_IDS (sizeof(ids) / sizeof(ids[0]))

const char *virtio_id_name(uint32_t id)
{
	static char other[24];
	unsigned int i;

	for (i = 0; i < NUM_IDS; i++)
		if (ids[i].id == id)
			return ids[i].name;
	snprintf(other, sizeof(other), "id %u", (unsigned int)id);
	return other;
}

static const char *find_bit(const struct bit_name *b, unsigned int n, unsigned int bit)
{
	for (; n--; b++)
		if (b->bit == bit)
			return b->name;
	return NULL;
}

const char *virtio_feature_name(uint32_t id, unsigned int bit)
{
	const char *name = find_bit(generic_bits, sizeof(generic_bits) / sizeof(generic_bits[0]),
				    bit);
	unsigned int i;

	for (i = 0; !name && i < NUM_IDS; i++)
		if (ids[i].id == id)
			name = find_bit(ids[i].bits, ids[i].num_bits, bit);
	return name;
}

static void append(char *text, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *fmt, ...)
{
	const size_t n = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + n, size - n, fmt, ap);
	va_end(ap);
}

static void env_device(struct virtio_device *d)
{
	char features[256] = "", queues[64] = "", key[24];
	struct virtio_device *dev = virtio_find(d->id, 0);
	unsigned int i, n = 0;

	for (i = 0; i < 64; i++) {
		const char *name = virtio_feature_name(d->id, i);

		if (!(d->offered & VIRTIO_BIT(i)))
			continue;
		if (name)
			append(features, sizeof(features), " %s", name);
		else
			append(features, sizeof(features), " %u", i);
	}
	for (i = 0; i < d->max_queues; i++)
		append(queues, sizeof(queues), "%s%u", i ? "," : "", d->max_size[i]);
	if (d->more_queues)
		append(queues, sizeof(queues), " and more, not used");
	while (dev && dev != d)
		dev = virtio_find(d->id, ++n);
	snprintf(key, sizeof(key), "virtio %s%u", virtio_id_name(d->id), n);
	env_line(key, "%s; queues %s; %s; config %u bytes; features 0x%llx:%s", d->name, queues,
		 d->irq_info, (unsigned int)d->ops->config_len(d), (unsigned long long)d->offered,
		 features);
}

static void warn_of_irq(void)
{
	const char *want = cmdline_get("irq");

	if (want && strcmp(want, virtio_irq_name(best_irq_mode())) != 0)
		printf("# warning: irq=%s: msix, msix1, intx or poll is wanted\n", want);
}

static void env_virtio(void)
{
	unsigned int i;

	warn_of_irq();

	for (i = 0; i < virtio.count; i++)
		env_device(virtio.dev[i]);
	for (i = 0; i < virtio.refusals; i++)
		env_line("virtio not used", "%s: %s", virtio.refused[i].name,
			 virtio.refused[i].reason);
	if (virtio.refusals_lost)
		env_line("virtio not used", "%u more functions", virtio.refusals_lost);
	if (virtio.count == 0)
		env_line("virtio", "no modern device on PCI or MMIO");
}
ENV(virtio_devices, env_virtio);
