/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the drivers find wrong on the way, whatever the test is about: a used element that names no
 * buffer in flight, or one twice, or more bytes than it has; an index that runs ahead; a
 * notification before DRIVER_OK. The test that ran is a FAIL, in every suite. What tests post
 * through the raw door is theirs to judge.
 */
#include <stdio.h>

#include "drivers/virtio/virtio.h"
#include "lib/test.h"

#define MAX 4

/* Owner: the fixture below. Interrupts write it, too. */
static struct {
	unsigned int n; /* atomic */
	char text[MAX][160];
} seen;

static void on_breach(struct virtio_device *d, const char *what)
{
	const unsigned int i = __atomic_fetch_add(&seen.n, 1, __ATOMIC_RELAXED);

	if (i < MAX)
		snprintf(seen.text[i], sizeof(seen.text[i]), "%s: %s", d->name, what);
}

static int begin(void)
{
	seen.n = 0;
	virtio_watch(on_breach);
	return 0;
}

static void end(void)
{
	unsigned int i;

	virtio_watch(NULL);
	for (i = 0; i < seen.n && i < MAX; i++)
		test_fail_around("the device breaks a ring: %s", seen.text[i]);
}

FIXTURE(virtio_watch, .suite = "", .outermost = true, .setup = begin, .teardown = end);
