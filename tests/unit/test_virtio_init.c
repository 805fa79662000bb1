/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio.c: the initialisation's order and its ways to fail; rng.c on top of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/rng.h"
#include "drivers/virtio/transport.h"
#include "lib/time.h"
#include "tests/unit/fake_virtio.h"

#define V1 VIRTIO_BIT(VIRTIO_F_VERSION_1)

static struct fake_device dev;
static struct fake_device rng_dev; /* registered: stays */

static void order(void **state)
{
	static const uint8_t want[] = { 0, 1, 1 | 2, 1 | 2 | 8, 1 | 2 | 8 | 4, 0 };

	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, V1, 2, false);
	assert_int_equal(virtio_negotiate(&dev.vdev, VIRTIO_RING_FEATURES), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, 2, 0), 0);
	assert_int_equal(virtio_driver_ok(&dev.vdev), 0);
	assert_int_equal(virtio_reset(&dev.vdev), 0);
	assert_int_equal(dev.num_status, sizeof(want));
	assert_memory_equal(dev.status_log, want, sizeof(want));
	assert_int_equal(fake_pages_out(), 0);
}

static void only_offered_and_known(void **state)
{
	const uint64_t always = V1 | VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM);
	const uint64_t none = VIRTIO_BIT(VIRTIO_F_SR_IOV), own = VIRTIO_BIT(3);

	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, ~0ull, 1, false);
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(dev.accepted & always, always);
	/* Wanted, but there is no code for it; of the device's own bits only the wanted ones. */
	assert_int_equal(virtio_negotiate(&dev.vdev, none | own | VIRTIO_BIT(42)), 0);
	assert_int_equal(dev.accepted & none, 0);
	assert_int_equal(dev.accepted & own, own);
	assert_true(dev.accepted & VIRTIO_BIT(42));
	assert_int_equal(dev.accepted & VIRTIO_BIT(4), 0);
	assert_int_equal(dev.accepted & VIRTIO_BIT(30), 0);
	assert_int_equal(dev.accepted & VIRTIO_BIT(43), 0);
	assert_int_equal(dev.accepted, dev.vdev.accepted);
	dev.offered = V1;
	assert_int_equal(virtio_negotiate(&dev.vdev, ~0ull), 0);
	assert_int_equal(dev.accepted, V1);
}

/* A split ring's driver has no code for IN_ORDER. ring=split leaves the packed one out. */
static void layouts(void **state)
{
	const uint64_t packed = VIRTIO_BIT(VIRTIO_F_RING_PACKED),
		       in_order = VIRTIO_BIT(VIRTIO_F_IN_ORDER);

	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, V1 | packed | in_order, 1, false);
	assert_int_equal(virtio_negotiate(&dev.vdev, VIRTIO_RING_FEATURES), 0);
	assert_int_equal(dev.accepted, V1 | packed | in_order);
	assert_int_equal(virtio_negotiate(&dev.vdev, in_order), 0);
	assert_int_equal(dev.accepted, V1);
	fake_cmdline_key = "ring";
	fake_cmdline_value = "split";
	assert_int_equal(virtio_negotiate(&dev.vdev, VIRTIO_RING_FEATURES), 0);
	assert_int_equal(dev.accepted, V1);
	/* Who chooses bit by bit gets what it chose. */
	assert_int_equal(virtio_accept(&dev.vdev, V1 | packed), 0);
	assert_int_equal(dev.accepted, V1 | packed);
	dev.offered |= 1;
	assert_int_equal(virtio_accept(&dev.vdev, V1 | 1 | in_order), 0);
	assert_int_equal(dev.accepted, V1 | 1 | in_order);
	fake_cmdline_key = NULL;
	dev.offered = V1 | in_order;
	assert_int_equal(virtio_negotiate(&dev.vdev, VIRTIO_RING_FEATURES), 0);
	assert_int_equal(dev.accepted, V1);
	assert_int_equal(virtio_reset(&dev.vdev), 0);
}

static void no_version_1(void **state)
{
	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, VIRTIO_BIT(VIRTIO_F_EVENT_IDX), 1, false);
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), -ENODEV);
	assert_int_equal(dev.status, 1 | 2 | VIRTIO_S_FAILED);
	assert_non_null(strstr(dev.vdev.error, "VERSION_1"));
}

static void features_refused(void **state)
{
	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, V1, 1, false);
	dev.refuse_features_ok = true;
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), -EINVAL);
	assert_int_equal(dev.status, 1 | 2 | VIRTIO_S_FAILED);
	assert_int_equal(dev.vdev.accepted, 0);
	assert_non_null(strstr(dev.vdev.error, "FEATURES_OK"));
}

static void driver_refused(void **state)
{
	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, V1, 1, false);
	dev.refuse_driver_ok = true;
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(virtio_driver_ok(&dev.vdev), -EIO);
	assert_string_equal(dev.vdev.error, "status reads 0x4f after DRIVER_OK was set");
	dev.refuse_driver_ok = false;
	dev.drop_driver_ok = true;
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(virtio_driver_ok(&dev.vdev), -EIO);
	assert_string_equal(dev.vdev.error, "status reads 0x0b after DRIVER_OK was set");
}

static void reset_waits(void **state)
{
	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, V1, 1, false);
	dev.slow_reset = 1000;
	assert_int_equal(virtio_reset(&dev.vdev), 0);
	assert_int_equal(dev.resetting, 0);
}

static void reset_times_out(void **state)
{
	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, V1, 1, false);
	dev.status = VIRTIO_S_ACKNOWLEDGE;
	dev.never_resets = true;
	assert_int_equal(virtio_reset(&dev.vdev), -ETIMEDOUT);
	assert_non_null(strstr(dev.vdev.error, "0x01"));
}

/* Where the command line calls the host slow, an answer that is late has more time. */
static void reset_of_a_slow_host(void **state)
{
	const uint64_t step = fake_time_step;

	(void)state;
	fake_time_step = MSEC;
	fake_init(&dev, VIRTIO_ID_RNG, V1, 1, false);
	dev.slow_reset = 3000;
	assert_int_equal(virtio_reset(&dev.vdev), -ETIMEDOUT);
	fake_sec = 2 * SEC;
	fake_init(&dev, VIRTIO_ID_RNG, V1, 1, false);
	dev.slow_reset = 3000;
	assert_int_equal(virtio_reset(&dev.vdev), 0);
	fake_sec = SEC;
	fake_time_step = step;
}

static void queue_sizes(void **state)
{
	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, V1, 2, false);
	dev.q[0].max = 100; /* no power of two: cut */
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, 2, 0), 0);
	assert_int_equal(dev.q[0].size, 64);
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, 2, 7), 0);
	assert_int_equal(dev.q[1].size, 4);
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, 3, 0), -ENODEV);
	assert_int_equal(virtio_reset(&dev.vdev), 0);
	assert_int_equal(fake_pages_out(), 0);
}

static void irq_falls_back(void **state)
{
	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, V1, 1, false);
	dev.best_irq = VIRTIO_IRQ_MSIX1;
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, 1, 0), 0);
	assert_int_equal(dev.vdev.irq_mode, VIRTIO_IRQ_MSIX1);
	fake_cmdline_key = "irq";
	fake_cmdline_value = "intx";
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, 1, 0), 0);
	assert_int_equal(dev.vdev.irq_mode, VIRTIO_IRQ_INTX);
	fake_cmdline_value = "poll";
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, 1, 0), 0);
	assert_int_equal(dev.vdev.irq_mode, VIRTIO_IRQ_POLL);
	assert_int_equal(dev.irq_asked, VIRTIO_IRQ_POLL); /* the transport hears of it */
	fake_cmdline_key = NULL;
	assert_int_equal(virtio_reset(&dev.vdev), 0);
}

static unsigned int tells;

static void tell(struct virtio_device *d, const char *what)
{
	assert_ptr_equal(d, &dev.vdev);
	assert_non_null(strstr(what, "queue 1: 2 notifications before DRIVER_OK"));
	tells++;
}

static void silent_before_driver_ok(void **state)
{
	unsigned int early;

	(void)state;
	virtio_watch(tell);
	for (early = 0; early < 2; early++) {
		fake_init(&dev, VIRTIO_ID_RNG, V1, 2, false);
		assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
		assert_int_equal(virtio_queues_setup(&dev.vdev, 2, 0), 0);
		if (early) {
			virtio_irq_queue(&dev.vdev, 1);
			virtio_irq_queue(&dev.vdev, 1);
		}
		assert_int_equal(virtio_driver_ok(&dev.vdev), 0);
		virtio_irq_queue(&dev.vdev, 0);
		assert_int_equal(tells, early);
		assert_int_equal(virtio_reset(&dev.vdev), 0);
	}
	virtio_watch(NULL);
}

static void config_generation(void **state)
{
	uint64_t v = 0;

	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, V1, 1, false);
	memcpy(dev.config, "abcdefgh", 8);
	dev.torn_reads = 5;
	assert_int_equal(virtio_config_read(&dev.vdev, 0, &v, 8), 0);
	assert_memory_equal(&v, "abcdefgh", 8);
	assert_int_equal(dev.torn_reads, 0);
	dev.torn_reads = 99;
	assert_int_equal(virtio_config_read(&dev.vdev, 0, &v, 8), 0);
	dev.torn_reads = 1000;
	assert_int_equal(virtio_config_read(&dev.vdev, 0, &v, 8), -EAGAIN);
	assert_int_equal(dev.torn_reads, 900);
	assert_string_equal(dev.vdev.error, "config generation changed in each of 100 reads");
	dev.config_len = 4;
	assert_int_equal(virtio_config_read(&dev.vdev, 2, &v, 8), -ERANGE);
	assert_string_equal(dev.vdev.error, "config space: 8 bytes at 2 of 4");
	assert_int_equal(virtio_config_read(&dev.vdev, 0, &v, 8), -ERANGE);
	assert_int_equal(virtio_config_read(&dev.vdev, 0xffffffff, &v, 8), -ERANGE);
}

static void access_width(void **state)
{
	(void)state;
	assert_int_equal(virtio_access_width(0, 8), 4);
	assert_int_equal(virtio_access_width(0, 4), 4);
	assert_int_equal(virtio_access_width(20, 4), 4);
	assert_int_equal(virtio_access_width(5, 4), 1);
	assert_int_equal(virtio_access_width(10, 2), 2);
	assert_int_equal(virtio_access_width(4, 3), 2);
	assert_int_equal(virtio_access_width(2, 8), 2);
	assert_int_equal(virtio_access_width(1, 8), 1);
	assert_int_equal(virtio_access_width(0, 1), 1);
}

/* Each byte once, in its place, and nothing behind the end. */
static void config_copies(void **state)
{
	static const uint8_t pattern[] = "0123456789abcdef";
	uint8_t cfg[16], b[18];
	uint32_t off, len;

	(void)state;
	for (off = 0; off <= 16; off++) {
		for (len = 0; len <= 17; len++) {
			memset(b, 0xee, sizeof(b));
			memcpy(cfg, pattern, sizeof(cfg));
			if (off + len > 16) {
				assert_int_equal(virtio_config_in(cfg, 16, off, b, len), -ERANGE);
				assert_int_equal(virtio_config_out(cfg, 16, off, b, len), -ERANGE);
				continue;
			}
			assert_int_equal(virtio_config_in(cfg, 16, off, b + 1, len), 0);
			assert_memory_equal(b + 1, pattern + off, len);
			assert_int_equal(b[0], 0xee);
			assert_int_equal(b[len + 1], 0xee);
			memset(cfg, 0xdd, sizeof(cfg));
			assert_int_equal(virtio_config_out(cfg, 16, off, pattern + off, len), 0);
			memset(b, 0xdd, sizeof(b));
			memcpy(b + off, pattern + off, len);
			assert_memory_equal(cfg, b, 16);
		}
	}
	assert_int_equal(virtio_config_in(cfg, 16, 17, b, 0), -ERANGE);
	assert_int_equal(virtio_config_out(cfg, 16, 17, b, 0), -ERANGE);
	assert_int_equal(virtio_config_out(cfg, 16, 0xffffffff, b, 2), -ERANGE);
	assert_int_equal(virtio_config_out(cfg, 16, 2, b, 0xffffffff), -ERANGE);
	assert_int_equal(virtio_config_in(cfg, 16, 0xffffffff, b, 2), -ERANGE);
	assert_int_equal(virtio_config_in(cfg, 16, 2, b, 0xffffffff), -ERANGE);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(virtio_id_name(VIRTIO_ID_VSOCK), "vsock");
	assert_string_equal(virtio_id_name(77), "id 77");
	assert_string_equal(virtio_feature_name(VIRTIO_ID_VSOCK, 1), "SEQPACKET");
	assert_string_equal(virtio_feature_name(VIRTIO_ID_RNG, VIRTIO_F_VERSION_1), "VERSION_1");
	assert_null(virtio_feature_name(VIRTIO_ID_RNG, 1));
}

/* As the specification numbers them (5, 6, 5.10.3, 5.13.3). */
static void all_names(void **state)
{
	static const struct {
		uint32_t id;
		const char *name;
	} ids[] = {
		{ 1, "net" },	  { 2, "block" },  { 3, "console" }, { 4, "rng" },
		{ 5, "balloon" }, { 8, "scsi" },   { 9, "9p" },	     { 16, "gpu" },
		{ 18, "input" },  { 19, "vsock" }, { 20, "crypto" }, { 23, "iommu" },
		{ 24, "mem" },	  { 26, "fs" },	   { 27, "pmem" },   { 28, "id 28" },
	};
	static const struct {
		uint32_t id;
		unsigned int bit;
		const char *name;
	} bits[] = {
		{ 4, 28, "INDIRECT_DESC" },
		{ 4, 29, "EVENT_IDX" },
		{ 4, 30, "(30: vhost-user)" },
		{ 4, 32, "VERSION_1" },
		{ 4, 33, "ACCESS_PLATFORM" },
		{ 4, 34, "RING_PACKED" },
		{ 4, 35, "IN_ORDER" },
		{ 4, 36, "ORDER_PLATFORM" },
		{ 4, 37, "SR_IOV" },
		{ 4, 38, "NOTIFICATION_DATA" },
		{ 4, 39, "NOTIF_CONFIG_DATA" },
		{ 4, 40, "RING_RESET" },
		{ 4, 41, "ADMIN_VQ" },
		{ 19, 0, "STREAM" },
		{ 19, 1, "SEQPACKET" },
		{ 19, 2, "NO_IMPLIED_STREAM" },
		{ 19, 3, NULL },
		{ 19, 50, "INDEXED_CID(experimental)" },
		{ 23, 0, "INPUT_RANGE" },
		{ 23, 1, "DOMAIN_RANGE" },
		{ 23, 2, "MAP_UNMAP" },
		{ 23, 3, "BYPASS" },
		{ 23, 4, "PROBE" },
		{ 23, 5, "MMIO" },
		{ 23, 6, "BYPASS_CONFIG" },
		{ 23, 7, NULL },
		{ 4, 0, NULL },
	};
	static const char *const modes[] = { "poll", "intx", "msix1", "msix" };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_string_equal(virtio_id_name(ids[i].id), ids[i].name);
		assert_null(virtio_feature_name(ids[i].id, 51)); /* which nobody has */
	}
	for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		if (bits[i].name)
			assert_string_equal(virtio_feature_name(bits[i].id, bits[i].bit),
					    bits[i].name);
		else
			assert_null(virtio_feature_name(bits[i].id, bits[i].bit));
	}
	for (i = 0; i < 4; i++)
		assert_string_equal(virtio_irq_name((enum virtio_irq_mode)i), modes[i]);
}

/* --- what goes wrong on the way up, each with its words ---------------------------------------- */

static void queue_errors(void **state)
{
	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, V1, VIRTIO_MAX_QUEUES, false);
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, VIRTIO_MAX_QUEUES + 1, 0), -ENOSPC);
	assert_string_equal(dev.vdev.error, "9 queues wanted, 8 are supported");
	assert_int_equal(virtio_queues_setup(&dev.vdev, VIRTIO_MAX_QUEUES, 0), 0);
	assert_int_equal(dev.vdev.num_queues, VIRTIO_MAX_QUEUES);
	assert_int_equal(virtio_queue_setup(&dev.vdev, 1, 0), -EIO);
	assert_non_null(strstr(dev.vdev.error, "queue 1 is enabled before"));
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	dev.refuse_enable = true;
	assert_int_equal(virtio_queue_setup(&dev.vdev, 0, 0), -EIO);
	assert_null(dev.vdev.vq[0]);
	dev.refuse_enable = false;
	/* The first that fails is the last. */
	dev.q[0].max = 0;
	assert_int_equal(virtio_queues_setup(&dev.vdev, 2, 0), -ENODEV);
	assert_null(dev.vdev.vq[1]);
	dev.q[1].max = 1;
	assert_int_equal(virtio_queue_setup(&dev.vdev, 1, 0), 0);
	assert_int_equal(dev.q[1].size, 1);
	assert_int_equal(virtio_reset(&dev.vdev), 0);
	assert_int_equal(fake_pages_out(), 0);
}

/* 6.2: protected memory needs ACCESS_PLATFORM. */
static void restricted_device(void **state)
{
	const uint64_t platform = VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM);

	(void)state;
	fake_restricted = true;
	fake_init(&dev, VIRTIO_ID_RNG, V1, 1, false);
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), -EPERM);
	assert_int_equal(dev.status, 1 | 2 | VIRTIO_S_FAILED);
	fake_init(&dev, VIRTIO_ID_RNG, V1 | platform, 1, false);
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(dev.accepted, V1 | platform);
	assert_int_equal(virtio_reset(&dev.vdev), 0);
	/* But for an IOMMU, which is behind none. */
	fake_init(&dev, VIRTIO_ID_IOMMU, V1, 1, false);
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	fake_restricted = false;
	assert_int_equal(virtio_reset(&dev.vdev), 0);
}

static unsigned int queue_calls[4], config_calls;

static void note_queue(struct virtio_device *d, uint16_t queue)
{
	assert_ptr_equal(d, &dev.vdev);
	queue_calls[queue]++;
}

static void note_config(struct virtio_device *d)
{
	assert_ptr_equal(d, &dev.vdev);
	config_calls++;
}

/* Each cause is counted as its own, and told to who asked. */
static void interrupts(void **state)
{
	const struct virtio_irq_counts *n = &dev.vdev.irqs;

	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, V1, 3, false);
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, 3, 0), 0);
	assert_int_equal(virtio_driver_ok(&dev.vdev), 0);
	virtio_irq_queue(&dev.vdev, 2); /* nobody asked */
	virtio_irq_shared(&dev.vdev);
	virtio_irq_config(&dev.vdev);
	dev.vdev.on_queue = note_queue;
	dev.vdev.on_config = note_config;
	virtio_irq_queue(&dev.vdev, 1);
	assert_int_equal(queue_calls[1], 1);
	assert_int_equal(queue_calls[0] + queue_calls[2], 0);
	virtio_irq_shared(&dev.vdev);
	virtio_irq_config(&dev.vdev);
	assert_int_equal(queue_calls[0], 1);
	assert_int_equal(queue_calls[1], 2);
	assert_int_equal(queue_calls[2], 1);
	assert_int_equal(queue_calls[3], 0);
	assert_int_equal(config_calls, 1);
	assert_int_equal(n->shared, 2);
	assert_int_equal(n->config, 2);
	assert_int_equal(n->queue[1] + n->queue[2], 2);
	assert_int_equal(virtio_reset(&dev.vdev), 0);
	/* The next set-up counts anew. */
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, 3, 0), 0);
	assert_int_equal(n->shared + n->config + n->queue[1], 0);
	assert_int_equal(virtio_reset(&dev.vdev), 0);
}

/* --- the registry ---------------------------------------------------------------------------------- */

static void refusals(void **state)
{
	unsigned int i;
	char name[16];

	(void)state;
	assert_null(virtio_refused(0));
	for (i = 0; i < 35; i++) {
		snprintf(name, sizeof(name), "pci %u", i);
		virtio_refuse(name, virtio_refusal_of(i == 1 ? -ETIMEDOUT : -ENOSPC),
			      i == 2 ? &dev.vdev : NULL, "because of %u", i);
	}
	assert_int_equal(virtio_refusals_lost(), 3);
	assert_string_equal(virtio_refused(31)->name, "pci 31");
	assert_string_equal(virtio_refused(31)->reason, "because of 31");
	assert_null(virtio_refused(32));
	assert_string_equal(virtio_refused(0)->reason, "because of 0");
	assert_int_equal(virtio_refused(0)->kind, VIRTIO_REFUSED_RESOURCE);
	assert_int_equal(virtio_refused(1)->kind, VIRTIO_REFUSED_RESET);
	assert_ptr_equal(virtio_refused(2)->dev, &dev.vdev);
	assert_null(virtio_refused(1)->dev);
}

/* Devices stay in the order in which they were found; each has its own number among its kind. */
static void registry(void **state)
{
	static struct fake_device f[33];
	unsigned int i, before = 0;
	uint32_t id;

	(void)state;
	while (virtio_get(before))
		before++;
	for (i = 0; i + before < 32; i++) {
		id = i % 2 ? VIRTIO_ID_BLOCK : VIRTIO_ID_NET;
		fake_init(&f[i], id, V1 | VIRTIO_BIT(i % 24), i % 3 + 1, false);
		if (i == 1)
			f[i].q[1].max = 0;
		f[i].q[0].max = (uint16_t)(i + 2);
		assert_int_equal(virtio_add(&f[i].vdev), 0);
		assert_int_equal(f[i].vdev.offered, f[i].offered);
		assert_int_equal(f[i].vdev.max_queues, i == 1 ? 1 : i % 3 + 1);
		assert_int_equal(f[i].vdev.max_size[0], i + 2);
		assert_false(f[i].vdev.more_queues);
		assert_int_equal(f[i].status, 0);
		assert_int_equal(f[i].status_log[1], 1);
		assert_int_equal(f[i].status_log[2], 3);
		assert_ptr_equal(virtio_get(before + i), &f[i].vdev);
		assert_ptr_equal(virtio_find(id, i / 2), &f[i].vdev);
	}
	assert_null(virtio_get(32));
	assert_null(virtio_find(VIRTIO_ID_NET, 16));
	fake_init(&f[32], VIRTIO_ID_NET, V1, 1, false);
	assert_int_equal(virtio_add(&f[32].vdev), -ENOSPC);
	assert_null(virtio_get(32));
}

static void never_added(void **state)
{
	unsigned int n = 0;

	(void)state;
	while (virtio_get(n))
		n++;
	fake_init(&dev, VIRTIO_ID_NET, V1, 1, false);
	dev.status = 1;
	dev.never_resets = true;
	assert_int_equal(virtio_add(&dev.vdev), -ETIMEDOUT);
	assert_null(virtio_get(n));
	assert_null(virtio_find(VIRTIO_ID_NET, 0));
}

/* --- rng ------------------------------------------------------------------------------- */

static uint32_t rng_len;

static void answer(struct fake_device *f, uint16_t queue)
{
	struct fake_chain c;

	while (fake_pop(f, queue, &c)) {
		fake_copy_in(&c, "random bytes", 12);
		fake_push(f, queue, c.head, rng_len < c.writable ? rng_len : c.writable);
	}
}

static void rng_reads(void **state)
{
	struct rng *r;
	uint64_t start;
	uint16_t posted;
	char b[16];

	(void)state;
	fake_init(&rng_dev, VIRTIO_ID_RNG, V1 | FAKE_RING_FEATURES | 1, 1, true);
	rng_dev.on_notify = answer;
	rng_len = 12;
	assert_int_equal(rng_open(1, &r), -ENODEV);
	assert_int_equal(rng_open(0, &r), 0);
	assert_ptr_equal(rng_dev.vdev.driver, r);
	assert_true(rng_dev.accepted == (V1 | FAKE_RING_FEATURES)); /* it has no bits of its own */
	assert_int_equal(rng_dev.q[0].size, 64);
	assert_int_equal(rng_read(r, b, sizeof(b), SEC), 12);
	assert_memory_equal(b, "random bytes", 12);
	assert_int_equal(rng_read(r, b, 4, SEC), 4);
	rng_len = 0;
	assert_int_equal(rng_read(r, b, 4, SEC), -EPROTO);
	rng_dev.on_notify = NULL;
	start = time_now();
	assert_int_equal(rng_read(r, b, 16, MSEC), -ETIMEDOUT);
	assert_true(time_now() - start >= MSEC);
	assert_int_equal(rng_read(r, b, 0, MSEC), -EINVAL);
	posted = rng_dev.q[0].avail->idx;
	rng_len = 12;
	answer(&rng_dev, 0); /* late: the next read has it, no second buffer is posted */
	assert_int_equal(rng_read(r, b, 4, MSEC), 4);
	assert_int_equal(rng_dev.q[0].avail->idx, posted);
	/* Nothing was posted where it cannot be. */
	fake_fail = 1;
	assert_int_equal(rng_read(r, b, 4, MSEC), -EIO);
	rng_dev.on_notify = answer;
	assert_int_equal(rng_read(r, b, 4, MSEC), 4);
	rng_close(r);
	assert_int_equal(fake_pages_out(), 0);
	assert_int_equal(fake_maps_out(), 0);
}

static void rng_fails(void **state)
{
	struct rng *r;
	char b[16], big[600];

	(void)state;
	fake_fail = 1;
	assert_int_equal(rng_open(0, &r), -ENOMEM);
	rng_dev.refuse_features_ok = true;
	assert_int_equal(rng_open(0, &r), -EINVAL);
	assert_int_equal(rng_dev.status, 0);
	rng_dev.refuse_features_ok = false;
	rng_dev.q[0].max = 0;
	assert_int_equal(rng_open(0, &r), -ENODEV);
	assert_int_equal(rng_dev.status, 0);
	rng_dev.q[0].max = 64;
	rng_dev.refuse_driver_ok = true;
	assert_int_equal(rng_open(0, &r), -EIO);
	assert_int_equal(rng_dev.status, 0);
	rng_dev.refuse_driver_ok = false;
	assert_int_equal(rng_open(0, &r), 0);
	rng_dev.on_notify = answer;
	rng_len = 600;
	assert_int_equal(rng_read(r, b, 0, SEC), -EINVAL);
	assert_int_equal(rng_read(r, big, sizeof(big), SEC), 512); /* a buffer is not longer */
	rng_dev.on_notify = NULL;
	assert_int_equal(rng_read(r, big, sizeof(big), MSEC), -ETIMEDOUT);
	fake_push(&rng_dev, 0, 77, 4);
	rng_dev.vdev.error[0] = '\0';
	assert_int_equal(rng_read(r, b, 4, MSEC), -EPROTO);
	assert_string_equal(rng_dev.vdev.error, ""); /* the queue's own error says it */
	assert_int_equal(rng_read(r, b, 4, MSEC), -EPROTO);
	rng_close(NULL);
	rng_close(r);
	assert_null(rng_dev.vdev.driver);
	assert_int_equal(fake_pages_out(), 0);
}

/* A device whose reset does not end writes to its buffer later: the sanitizer sees it if that was freed. */
static void rng_late_write(void **state)
{
	static struct rng *r; /* which is kept for good: not a leak */
	char b[16];

	(void)state;
	assert_int_equal(rng_open(0, &r), 0);
	rng_dev.on_notify = NULL;
	assert_int_equal(rng_read(r, b, 16, MSEC), -ETIMEDOUT);
	rng_dev.never_resets = true;
	rng_close(r);
	rng_len = 12;
	answer(&rng_dev, 0);
	rng_dev.never_resets = false;
	assert_int_equal(virtio_reset(&rng_dev.vdev), 0);
	assert_int_equal(fake_pages_out(), 0);
	assert_int_equal(fake_maps_out(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),
		cmocka_unit_test(only_offered_and_known),
		cmocka_unit_test(layouts),
		cmocka_unit_test(no_version_1),
		cmocka_unit_test(features_refused),
		cmocka_unit_test(driver_refused),
		cmocka_unit_test(reset_waits),
		cmocka_unit_test(reset_times_out),
		cmocka_unit_test(reset_of_a_slow_host),
		cmocka_unit_test(queue_sizes),
		cmocka_unit_test(irq_falls_back),
		cmocka_unit_test(silent_before_driver_ok),
		cmocka_unit_test(config_generation),
		cmocka_unit_test(access_width),
		cmocka_unit_test(config_copies),
		cmocka_unit_test(names),
		cmocka_unit_test(all_names),
		cmocka_unit_test(queue_errors),
		cmocka_unit_test(restricted_device),
		cmocka_unit_test(interrupts),
		cmocka_unit_test(refusals),
		cmocka_unit_test(never_added),
		cmocka_unit_test(rng_reads),
		cmocka_unit_test(rng_fails),
		cmocka_unit_test(rng_late_write),
		cmocka_unit_test(registry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
