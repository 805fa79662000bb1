/* SPDX-License-Identifier: BSD-2-Clause */
/* line.c: interrupt lines that devices share, one that is stuck, and an I/O APIC that refuses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drivers/virtio/transport.h"
#include "lib/irq.h"
#include "tests/unit/fake_irq.h"

#define MAX_USERS 8 /* of a line, and so many lines */

static struct virtio_device dev[MAX_USERS + 1];
static unsigned int asked[MAX_USERS + 1];
static bool cause[MAX_USERS + 1]; /* the device says that it raised the line */

static bool handler(struct virtio_device *d)
{
	asked[d - dev]++;
	return cause[d - dev];
}

static bool other_handler(struct virtio_device *d)
{
	(void)d;
	return false;
}

static int fresh(void **state)
{
	unsigned int i;

	(void)state;
	fake_irq_clear();
	for (i = 0; i <= MAX_USERS; i++) {
		dev[i] = (struct virtio_device){ .id = i };
		asked[i] = 0;
		cause[i] = false;
	}
	return 0;
}

/* Lines are static in line.c: each test gives back what it took. */
static int given_back(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i <= MAX_USERS; i++)
		virtio_line_detach(&dev[i]);
	assert_true(irq_enabled());
	assert_int_equal(fake_irq_vectors(), 0);
	return 0;
}

static int attach(unsigned int i, uint32_t gsi)
{
	const int ret = virtio_line_attach(&dev[i], gsi, true, true, handler);

	assert_true(irq_enabled());
	return ret;
}

static void raise(uint32_t gsi)
{
	assert_false(fake_line[gsi].masked);
	fake_irq_raise(fake_line[gsi].vector);
}

static void one_device(void **state)
{
	(void)state;
	assert_int_equal(virtio_line_attach(&dev[0], 5, false, true, handler), 0);
	assert_int_equal(fake_irq_saves, 1);
	assert_int_equal(fake_line[5].cpu, 0);
	assert_false(fake_line[5].level);
	assert_true(fake_line[5].active_low);
	cause[0] = true;
	raise(5);
	assert_int_equal(asked[0], 1);
	assert_int_equal(dev[0].irqs.unexpected, 0);
	virtio_line_detach(&dev[0]);
	assert_int_equal(fake_irq_saves, 3); /* beside the interrupt's own */
	assert_true(irq_enabled());
	assert_true(fake_line[5].masked);
	assert_int_equal(fake_irq_vectors(), 0);
	assert_int_equal(virtio_line_attach(&dev[0], 5, true, false, handler), 0);
	assert_true(fake_line[5].level);
	assert_false(fake_line[5].active_low);
}

/* Each is asked, whoever was the cause; one that leaves is asked no more, and the line stays for the other. */
static void shared(void **state)
{
	(void)state;
	assert_int_equal(attach(0, 7), 0);
	assert_int_equal(attach(1, 7), 0);
	assert_int_equal(fake_irq_vectors(), 1);
	cause[0] = true;
	raise(7);
	assert_int_equal(asked[0], 1);
	assert_int_equal(asked[1], 1);
	assert_int_equal(dev[1].irqs.unexpected, 0);
	virtio_line_detach(&dev[0]);
	raise(7);
	assert_int_equal(asked[0], 1);
	assert_int_equal(asked[1], 2);
	assert_int_equal(dev[0].irqs.unexpected, 0);
	assert_int_equal(dev[1].irqs.unexpected, 1);
	virtio_line_detach(&dev[1]);
	assert_true(fake_line[7].masked);
	assert_int_equal(fake_irq_vectors(), 0);
}

/* The first user's way out leaves a gap, which the next one takes; devices of other lines hear nothing. */
static void gap(void **state)
{
	(void)state;
	assert_int_equal(attach(0, 7), 0);
	assert_int_equal(attach(1, 7), 0);
	assert_int_equal(attach(2, 9), 0);
	assert_int_equal(fake_irq_vectors(), 2);
	virtio_line_detach(&dev[0]);
	assert_int_equal(attach(3, 7), 0);
	raise(7);
	assert_int_equal(asked[1], 1);
	assert_int_equal(asked[3], 1);
	assert_int_equal(asked[2], 0);
	raise(9);
	assert_int_equal(asked[2], 1);
	assert_int_equal(asked[1], 1);
}

static void rooms(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < MAX_USERS; i++)
		assert_int_equal(attach(i, 3), 0);
	assert_int_equal(attach(MAX_USERS, 3), -ENOSPC);
	raise(3);
	for (i = 0; i < MAX_USERS; i++) {
		assert_int_equal(asked[i], 1);
		assert_int_equal(dev[i].irqs.unexpected, 1);
		virtio_line_detach(&dev[i]);
	}
	for (i = 0; i < MAX_USERS; i++)
		assert_int_equal(attach(i, i), 0);
	assert_int_equal(attach(MAX_USERS, MAX_USERS), -ENOSPC);
	assert_int_equal(fake_irq_vectors(), MAX_USERS);
	/* The last line still finds its own, GSI 0 too; one that is given up is free for another. */
	assert_int_equal(attach(MAX_USERS, MAX_USERS - 1), 0);
	virtio_line_detach(&dev[0]);
	assert_int_equal(attach(0, MAX_USERS), 0);
}

/* Nothing stays of a line that could not be had. */
static void refused(void **state)
{
	(void)state;
	fake_irq_alloc_fail = 1;
	assert_int_equal(attach(0, 7), -ENOSPC);
	assert_int_equal(attach(0, FAKE_IRQ_LINES), -ENODEV);
	assert_int_equal(fake_irq_vectors(), 0);
	fake_irq_mask_fail = 1;
	assert_int_equal(attach(0, 7), -ENODEV);
	virtio_line_detach(&dev[0]);
	assert_int_equal(fake_irq_vectors(), 0);
}

/* A line that stays up though no device says why is masked after 1000 in a row. */
static void stuck(void **state)
{
	unsigned int i;

	(void)state;
	assert_int_equal(attach(0, 7), 0);
	for (i = 0; i < 999; i++)
		raise(7);
	cause[0] = true;
	raise(7);
	cause[0] = false;
	for (i = 0; i < 1000; i++)
		raise(7);
	assert_true(fake_line[7].masked);
	assert_int_equal(dev[0].irqs.unexpected, 1999);
	/* Whoever comes next unmasks it: one more is enough. Once the line was given up, it has another 1000. */
	assert_int_equal(attach(1, 7), 0);
	raise(7);
	assert_true(fake_line[7].masked);
	virtio_line_detach(&dev[0]);
	virtio_line_detach(&dev[1]);
	assert_int_equal(attach(0, 7), 0);
	for (i = 0; i < 1000; i++)
		raise(7);
	assert_true(fake_line[7].masked);
	assert_int_equal(dev[0].irqs.unexpected, 3000);
}

static void controls(void **state)
{
	(void)state;
	assert_int_equal(virtio_line_ctl(&dev[0], VIRTIO_IRQ_MASK, 1), -EOPNOTSUPP);
	assert_int_equal(virtio_line_attach(&dev[1], 6, true, false, other_handler), 0);
	assert_int_equal(attach(0, 7), 0);
	assert_int_equal(virtio_line_ctl(&dev[0], VIRTIO_IRQ_MASK, 1), 0);
	assert_true(fake_line[7].masked);
	assert_false(fake_line[6].masked);
	assert_int_equal(virtio_line_ctl(&dev[0], VIRTIO_IRQ_MASK, 0), 0);
	assert_false(fake_line[7].masked);
	assert_int_equal(virtio_line_ctl(&dev[0], VIRTIO_IRQ_PENDING, 0), -EOPNOTSUPP);
	assert_int_equal(virtio_line_ctl(&dev[0], VIRTIO_IRQ_STEER, 2), 0);
	assert_int_equal(fake_line[7].cpu, 2);
	assert_int_equal(fake_line[6].cpu, 0);
	assert_true(fake_line[7].level && fake_line[7].active_low);
	raise(7);
	assert_int_equal(asked[0], 1);
	assert_int_equal(virtio_line_ctl(&dev[0], VIRTIO_IRQ_STEER, FAKE_IRQ_CPUS), -EINVAL);
	fake_irq_mask_fail = 1;
	assert_int_equal(virtio_line_ctl(&dev[0], VIRTIO_IRQ_STEER, 1), -ENODEV);
}

/* An edge at a masked pin is lost: such a line is not masked. */
static void edge_is_not_masked(void **state)
{
	(void)state;
	assert_int_equal(virtio_line_attach(&dev[0], 7, false, false, handler), 0);
	assert_int_equal(virtio_line_ctl(&dev[0], VIRTIO_IRQ_MASK, 1), -EOPNOTSUPP);
	assert_false(fake_line[7].masked);
	assert_int_equal(virtio_line_ctl(&dev[0], VIRTIO_IRQ_STEER, 3), 0);
	assert_false(fake_line[7].level || fake_line[7].active_low);
	/* Steering keeps what the line is. */
	assert_int_equal(virtio_line_attach(&dev[1], 8, false, true, handler), 0);
	assert_int_equal(virtio_line_ctl(&dev[1], VIRTIO_IRQ_STEER, 3), 0);
	assert_true(!fake_line[8].level && fake_line[8].active_low);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_device, fresh, given_back),
		cmocka_unit_test_setup_teardown(shared, fresh, given_back),
		cmocka_unit_test_setup_teardown(gap, fresh, given_back),
		cmocka_unit_test_setup_teardown(rooms, fresh, given_back),
		cmocka_unit_test_setup_teardown(refused, fresh, given_back),
		cmocka_unit_test_setup_teardown(stuck, fresh, given_back),
		cmocka_unit_test_setup_teardown(controls, fresh, given_back),
		cmocka_unit_test_setup_teardown(edge_is_not_masked, fresh, given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
