/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that a transport's own probing finds, for the tests of a transport. virtio.c stands in front of this header, in
 * the test's file, since its list of devices is private.
 */
#ifndef TESTS_UNIT_PROBED_H
#define TESTS_UNIT_PROBED_H

#include "lib/init.h"
#include "tests/unit/fake_irq.h"
#include "tests/unit/fake_virtio.h"
#include "tests/unit/fake_window.h"

extern const init_fn __start_assay_init[], __stop_assay_init[];

static void probe_devices(void)
{
	const init_fn *f;

	for (f = __start_assay_init; f < __stop_assay_init; f++)
		(*f)();
}

/* What a test leaves behind: devices, known or refused, and their interrupts. */
static void remove_devices(void)
{
	unsigned int i;

	fake_window_truth();
	for (i = 0; i < virtio.count; i++) {
		assert_int_equal(virtio_reset(virtio.dev[i]), 0);
		virtio.dev[i]->ops->remove(virtio.dev[i]);
	}
	for (i = 0; i < virtio.refusals; i++)
		if (virtio.refused[i].dev)
			virtio.refused[i].dev->ops->remove(virtio.refused[i].dev);
	memset(&virtio, 0, sizeof(virtio));
	assert_int_equal(fake_irq_vectors(), 0);
}

/* What the device's interrupts told of. */
static unsigned int on_queue, on_config;
static uint16_t last_queue;

static void see_queue(struct virtio_device *d, uint16_t queue)
{
	(void)d;
	on_queue++;
	last_queue = queue;
}

static void see_config(struct virtio_device *d)
{
	(void)d;
	on_config++;
}

static void listen_to(struct virtio_device *d)
{
	d->on_queue = see_queue;
	d->on_config = see_config;
	on_queue = on_config = 0;
}

#endif
