/* SPDX-License-Identifier: BSD-2-Clause */
/* One queue of a fake device, for tests of the rings: from its start to its reset, and what breaks it. */
#ifndef TESTS_UNIT_ONE_QUEUE_H
#define TESTS_UNIT_ONE_QUEUE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fake_virtio.h"

static struct fake_device dev;
static char tokens[64];

/* A queue of at most `size` entries; the device offers these features and VERSION_1. */
static struct virtqueue *start_queue(uint64_t features, uint16_t size)
{
	features |= VIRTIO_BIT(VIRTIO_F_VERSION_1);
	fake_init(&dev, VIRTIO_ID_RNG, features, 1, false);
	dev.q[0].max = 32768;
	assert_int_equal(virtio_negotiate(&dev.vdev, features), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, 1, size), 0);
	assert_int_equal(virtio_driver_ok(&dev.vdev), 0);
	return dev.vdev.vq[0];
}

/* Resets the device; nothing of the queue's stays. */
static void stop(void)
{
	assert_int_equal(virtio_reset(&dev.vdev), 0);
	assert_int_equal(fake_pages_out(), 0);
	assert_int_equal(fake_maps_out(), 0);
}

/* Of what the device wrote nothing is taken, and this is why; the queue stays broken. Ends with stop(). */
static inline void expect_broken(struct virtqueue *vq, const char *text)
{
	const struct vq_seg s = { tokens, 4 };
	void *token;
	uint32_t len;

	assert_true(vq_pending(vq));
	assert_int_equal(vq_get(vq, &token, &len), -EPROTO);
	if (!strstr(vq_error(vq), text))
		fail_msg("\"%s\" is not in \"%s\"", text, vq_error(vq));
	assert_int_equal(vq_get(vq, &token, &len), -EPROTO);
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, tokens), -EPROTO);
	stop();
}

#endif
