/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's queues when memory runs out, at the wrap of indexes, and with a device that writes less than it may. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/transport.h"
#include "drivers/virtio/vq_impl.h"
#include "lib/mem.h"
#include "tests/unit/one_queue.h"

#define BASE	 (VIRTIO_BIT(VIRTIO_F_VERSION_1))
#define INDIRECT VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC)
#define PACKED	 VIRTIO_BIT(VIRTIO_F_RING_PACKED)

static char bytes[16];

static void negotiate(uint64_t features)
{
	fake_init(&dev, VIRTIO_ID_RNG, BASE | features, 1, false);
	assert_int_equal(virtio_negotiate(&dev.vdev, features), 0);
}

/* Whatever cannot be allocated: an error, nothing that stays, and no queue that the device has. */
static void set_up_without_memory(void **state)
{
	static const struct {
		uint64_t features;
		unsigned int allocations;
	} c[] = {
		{ 0, 6 }, /* queue, chains, maps, links, rings */
		{ INDIRECT, 7 },
		{ PACKED, 8 }, /* queue, ids, what was sent, lists, chains, maps, ring */
		{ PACKED | INDIRECT, 9 },
	};
	unsigned int f, n;
	int ret;

	(void)state;
	for (f = 0; f < 4; f++) {
		for (n = 1;; n++) {
			negotiate(c[f].features);
			fake_fail = n;
			ret = virtio_queues_setup(&dev.vdev, 1, 8);
			if (fake_fail)
				break;
			assert_int_equal(ret, -ENOMEM);
			assert_non_null(strstr(dev.vdev.error, "no memory for queue 0 of 8"));
			assert_null(dev.vdev.vq[0]);
			assert_false(dev.q[0].enabled);
			stop();
		}
		fake_fail = 0;
		assert_int_equal(ret, 0);
		assert_int_equal(n, c[f].allocations);
		stop();
	}
}

/* The same for a chain that has a table of its own: then the queue is as it was, and the chain can be posted. */
static void add_without_memory(uint64_t features)
{
	struct virtqueue *vq = start_queue(features, 8);
	struct vq_seg s[6];
	struct fake_chain c;
	unsigned int n, i;
	void *token;
	uint32_t len;
	int ret;

	for (i = 0; i < 6; i++)
		s[i] = (struct vq_seg){ &bytes[i], 1 };
	(void)fake_synced();
	for (n = 1;; n++) {
		fake_fail = n;
		ret = vq_add(vq, s, 3, s + 3, 3, tokens);
		if (fake_fail)
			break;
		assert_int_equal(ret, n == 1 || n == 8 ? -ENOMEM : -EIO);
		assert_int_equal(vq_free_count(vq), 8);
		assert_int_equal(vq_in_flight(vq), 0);
		assert_int_equal(fake_maps_out(), 0);
		assert_int_equal(fake_synced(), 0); /* no device wrote anything */
		assert_false(features & PACKED ? dev.q[0].desc->flags : dev.q[0].avail->idx);
	}
	fake_fail = 0;
	assert_int_equal(ret, 0);
	assert_int_equal(n, 9); /* maps, six mappings, the table */
	if (features & PACKED) {
		assert_int_equal(vq_free_count(vq), 7);
		stop();
		return;
	}
	assert_true(fake_pop(&dev, 0, &c));
	assert_int_equal(c.n, 6);
	assert_int_equal(c.writable, 3);
	fake_push(&dev, 0, c.head, 3);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	stop();
}

static void adds_without_memory(void **state)
{
	(void)state;
	add_without_memory(INDIRECT);
	add_without_memory(INDIRECT | PACKED);
}

/* A failure halfway through the segments posts no shorter chain. */
static void direct_add_fails(void **state)
{
	static const uint64_t layouts[] = { 0, PACKED };
	const struct vq_seg s[2] = { { bytes, 1 }, { bytes + 1, 1 } };
	struct virtqueue *vq;
	unsigned int i, n;

	(void)state;
	for (i = 0; i < 2; i++) {
		vq = start_queue(layouts[i], 8);
		for (n = 1; n <= 4; n++) {
			fake_fail = n;
			assert_int_equal(vq_add(vq, s, 2, s, 2, tokens), -EIO);
			assert_int_equal(fake_maps_out(), 0);
			assert_int_equal(vq_free_count(vq), 8);
			assert_int_equal(vq_in_flight(vq), 0);
		}
		assert_int_equal(vq_add(vq, s, 2, s, 2, tokens), 0);
		assert_int_equal(vq_free_count(vq), 4);
		stop();
	}
}

static void staging_without_memory(void **state)
{
	struct virtqueue *vq = start_queue(0, 8);
	const struct vq_raw_desc d = { 1, 2, 0, 0 };

	(void)state;
	fake_fail = 1;
	assert_int_equal(vq_raw_stage(vq, 7, &d), -ENOMEM);
	assert_int_equal(vq_raw_stage(vq, 7, &d), 0);
	stop();
}

/* Of what a device may write, only the bytes that it says it wrote are taken, the first segments before the others. */
static void takes_what_was_written(void **state)
{
	static const uint32_t written[] = { 0, 1, 4, 5, 8, 12 };
	struct virtqueue *vq = start_queue(INDIRECT, 8);
	const struct vq_seg out = { bytes, 4 };
	const struct vq_seg in[] = { { bytes + 4, 4 }, { bytes + 8, 4 }, { bytes + 12, 4 } };
	struct fake_chain c;
	unsigned int i;
	void *token;
	uint32_t len;

	(void)state;
	for (i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		assert_int_equal(vq_add(vq, &out, 1, in, 3, tokens), 0);
		assert_true(fake_pop(&dev, 0, &c));
		fake_push(&dev, 0, c.head, written[i]);
		(void)fake_synced();
		assert_int_equal(vq_get(vq, &token, &len), 1);
		assert_int_equal(len, written[i]);
		assert_int_equal(fake_synced(), written[i]);
	}
	assert_int_equal(vq_add(vq, &out, 1, in, 3, tokens), 0);
	stop(); /* never used: nothing is taken */
	assert_int_equal(fake_synced(), 0);
}

/* A list has room of its own, however long it is: what is posted beside it leaves it alone. */
static void rooms_of_chains(void **state)
{
	const struct vq_seg out = { bytes, 16 };
	struct fake_chain c;
	struct vq_seg in[8];
	struct virtqueue *vq;
	unsigned int n;
	uint32_t len;
	void *token;

	(void)state;
	for (n = 0; n < 8; n++)
		in[n] = (struct vq_seg){ bytes + n, 1 };
	for (n = 1; n <= 8; n++) {
		vq = start_queue(INDIRECT, 8);
		while (vq_free_count(vq)) {
			assert_int_equal(vq_add(vq, &out, 1, NULL, 0, tokens), 0);
			assert_int_equal(vq_add(vq, NULL, 0, in, n, tokens), 0);
		}
		(void)fake_synced();
		while (fake_pop(&dev, 0, &c))
			fake_push(&dev, 0, c.head, c.writable);
		while (vq_in_flight(vq))
			assert_int_equal(vq_get(vq, &token, &len), 1);
		assert_int_equal(fake_synced(), 4 * n);
		assert_int_equal(fake_maps_out(), 0);
		stop();
	}
}

/* A table of exactly one page, and what is more. */
static void tables_of_pages(void **state)
{
	static const uint64_t layouts[] = { INDIRECT, INDIRECT | PACKED };
	static struct vq_seg in[512];
	struct virtqueue *vq;
	unsigned int i, n;
	size_t before;

	(void)state;
	for (n = 0; n < 512; n++)
		in[n] = (struct vq_seg){ bytes + n % 16, 1 };
	for (i = 0; i < 2; i++) {
		for (n = 255; n <= 257; n++) {
			vq = start_queue(layouts[i], 512);
			before = fake_pages_out();
			assert_int_equal(vq_add(vq, NULL, 0, in, n, tokens), 0);
			assert_int_equal(fake_pages_out() - before, n > 256 ? 8192 : 4096);
			stop();
		}
	}
}

/* A buffer of more than 2^32 bytes in all may be used with any length. */
static void writable_saturates(void **state)
{
	struct virtqueue *vq = start_queue(0, 8);
	const struct vq_seg in[] = { { bytes, 0xffffffff }, { bytes, 16 } };
	struct fake_chain c;
	void *token;
	uint32_t len;

	(void)state;
	assert_int_equal(vq_add(vq, NULL, 0, in, 2, tokens), 0);
	assert_true(fake_pop(&dev, 0, &c));
	fake_push(&dev, 0, c.head, 0xffffffff);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	assert_int_equal(len, 0xffffffff);
	stop();
}

/* With EVENT_IDX each third buffer is told, whatever the index is; it wraps here. */
static void kicks_at_the_wrap(void **state)
{
	struct virtqueue *vq = start_queue(VIRTIO_BIT(VIRTIO_F_EVENT_IDX), 4);
	const struct vq_seg s = { bytes, 4 };
	le16 *event = (le16 *)&dev.q[0].used->ring[4];
	struct fake_chain c;
	unsigned int i;
	void *token;
	uint32_t len;

	(void)state;
	for (i = 0; i < 66000; i++) {
		assert_int_equal(vq_add(vq, NULL, 0, &s, 1, tokens), 0);
		assert_true(fake_pop(&dev, 0, &c)); /* which asks for the next one */
		*event = cpu_to_le16((uint16_t)(i - i % 3 + 2));
		vq_kick(vq);
		assert_int_equal(dev.q[0].notifies, (i + 1) / 3);
		fake_push(&dev, 0, c.head, 4);
		assert_int_equal(vq_get(vq, &token, &len), 1);
		assert_int_equal(le16_to_cpu(dev.q[0].avail->ring[4]), (uint16_t)(i + 1));
	}
	stop();
}

/* The largest queue, and those that are none. */
static void sizes(void **state)
{
	static const uint16_t bad[] = { 0, 3, 5, 6, 65535, 32767 };
	struct virtqueue *vq;
	dma_addr_t desc, driver, device;
	unsigned int i;

	(void)state;
	negotiate(0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(vq_create(&dev.vdev, 0, bad[i]));
	for (i = 1; i <= 32768; i *= 2) {
		vq = vq_create(&dev.vdev, 3, (uint16_t)i);
		assert_non_null(vq);
		assert_int_equal(vq_size(vq), i);
		assert_int_equal(vq_index(vq), 3);
		assert_int_equal(vq_free_count(vq), i);
		vq_addresses(vq, &desc, &driver, &device);
		/* 2.7: 16, 2 and 4; none reaches into the next. */
		assert_int_equal(desc % 16 + driver % 2 + device % 4, 0);
		assert_true(driver >= desc + 16ull * i);
		assert_true(device >= driver + 6 + 2ull * i);
		/* No cache line has two of them, and none is wasted. */
		assert_int_equal(driver % 64 + device % 64, 0);
		assert_true(driver < desc + 16ull * i + 64);
		assert_true(device < driver + 6 + 2ull * i + 64);
		vq_destroy(vq);
	}
	vq_destroy(NULL);
	assert_int_equal(fake_pages_out(), 0);
}

/*
 * Where a test wants the parts of a queue: apart, at the least alignment that is allowed; or each up to the end of a page, or
 * across it, as far as its alignment lets it. The ring works there, and a reset forgets it.
 */
static void places(void **state)
{
	static const struct {
		uint64_t features;
		uint16_t size;
		unsigned int align[3], bytes[3];
	} k[] = {
		{ 0, 8, { 16, 2, 4 }, { 16 * 8, 6 + 2 * 8, 6 + 8 * 8 } },
		{ 0, 512, { 16, 2, 4 }, { 16 * 512, 6 + 2 * 512, 6 + 8 * 512 } },
		{ PACKED, 7, { 16, 4, 4 }, { 16 * 7, 4, 4 } },
		{ PACKED, 256, { 16, 4, 4 }, { 16 * 256, 4, 4 } },
	};
	const struct vq_seg s = { bytes, 4 };
	struct virtqueue *vq;
	dma_addr_t at[3];
	unsigned int i, part, place;

	(void)state;
	for (i = 0; i < sizeof(k) / sizeof(k[0]); i++) {
		for (place = VIRTIO_PLACE_APART; place <= VIRTIO_PLACE_ACROSS; place++) {
			negotiate(k[i].features);
			dev.q[0].max = k[i].size;
			dev.vdev.place = (enum virtio_place)place;
			assert_int_equal(virtio_queues_setup(&dev.vdev, 1, 0), 0);
			vq = dev.vdev.vq[0];
			vq_addresses(vq, &at[0], &at[1], &at[2]);
			for (part = 0; part < 3; part++) {
				const unsigned int a = k[i].align[part], n = k[i].bytes[part];
				const uint64_t end = at[part] + n, page = (end + 4095) & ~4095ull;

				assert_int_equal(at[part] % a, 0);
				if (place == VIRTIO_PLACE_APART)
					assert_int_equal(at[part] % 4096, a);
				else if (place == VIRTIO_PLACE_PAGE_END)
					assert_true(page - end < a);
				else
					assert_int_equal((at[part] + (n / 2 & ~(a - 1))) % 4096, 0);
				memset(phys_to_virt(at[part]), 0, n); /* ASan: it is there */
			}
			assert_true(at[0] >> 12 != at[1] >> 12 && at[1] >> 12 != at[2] >> 12);
			assert_int_equal(virtio_driver_ok(&dev.vdev), 0);
			assert_int_equal(vq_add(vq, &s, 1, NULL, 0, tokens), 0);
			stop();
			assert_int_equal(dev.vdev.place, VIRTIO_PLACE_TOGETHER);
		}
		/* What is missing of one part is missing of all. */
		for (part = 0; part < 3; part++) {
			negotiate(k[i].features);
			dev.vdev.place = VIRTIO_PLACE_APART;
			fake_fail = part + (k[i].features ? 6 : 4);
			assert_int_equal(virtio_queues_setup(&dev.vdev, 1, 8), -ENOMEM);
			assert_int_equal(fake_fail, 0);
			stop();
		}
	}
}

/* A queue tells its own number, and a broken one nothing. */
static void second_queue(void **state)
{
	static const uint64_t layouts[] = { 0, PACKED };
	const struct vq_seg s = { bytes, 4 };
	struct virtqueue *vq;
	unsigned int i, told;

	(void)state;
	for (i = 0; i < 2; i++) {
		fake_init(&dev, VIRTIO_ID_RNG, BASE | layouts[i], 3, false);
		assert_int_equal(virtio_negotiate(&dev.vdev, layouts[i]), 0);
		assert_int_equal(virtio_queues_setup(&dev.vdev, 3, 0), 0);
		assert_int_equal(virtio_driver_ok(&dev.vdev), 0);
		vq = dev.vdev.vq[2];
		assert_int_equal(vq_add(vq, NULL, 0, &s, 1, tokens), 0);
		vq_kick(vq);
		assert_int_equal(dev.q[2].notifies, 1);
		assert_int_equal(dev.q[2].notify_data, (i ? 0x8001u : 1u) << 16 | 2);
		assert_int_equal(vq_add(vq, NULL, 0, &s, 1, tokens), 0);
		assert_int_equal(vq_break(vq, "because of %u", 7), -EPROTO);
		assert_int_equal(vq_break(vq, "and of something else"), -EPROTO);
		assert_string_equal(vq_error(vq), "because of 7");
		assert_true(vq_pending(vq));
		told = dev.q[2].notifies;
		vq_kick(vq);
		assert_int_equal(dev.q[2].notifies, told);
		stop();
	}
}

/* Numbers of segments whose sum is small are not few. */
static void too_many_segments(void **state)
{
	struct virtqueue *vq = start_queue(0, 8);
	const struct vq_seg s[2] = { { bytes, 4 }, { bytes, 4 } };

	(void)state;
	assert_int_equal(vq_add(vq, s, UINT32_MAX, s, 2, tokens), -EINVAL);
	assert_int_equal(vq_add(vq, s, 2, s, UINT32_MAX, tokens), -EINVAL);
	assert_int_equal(vq_add(vq, s, 9, NULL, 0, tokens), -EINVAL);
	assert_int_equal(vq_in_flight(vq), 0);
	stop();
}

/* Each way through the raw door is a test's own matter, of which no watcher hears. */
static unsigned int heard;

static void hear(struct virtio_device *d, const char *what)
{
	(void)d;
	(void)what;
	heard++;
}

static void raw_ways(void **state)
{
	const struct vq_seg s = { bytes, 4 };
	const uint16_t head = 0;
	struct virtqueue *vq;
	unsigned int way;
	uint32_t len;
	void *token;

	(void)state;
	virtio_watch(hear);
	for (way = 0; way < 5; way++) {
		vq = start_queue(0, 8);
		assert_int_equal(vq_add(vq, NULL, 0, &s, 1, tokens), 0);
		if (way == 1)
			vq_raw_post(vq, &head, 1);
		else if (way == 2)
			vq_raw_take(vq, 0);
		else if (way == 3)
			(void)vq_raw_stage(vq, 9, NULL);
		else if (way == 4)
			(void)vq_split(vq);
		fake_push(&dev, 0, 5, 0);
		assert_int_equal(vq_get(vq, &token, &len), -EPROTO);
		assert_int_equal(heard, 1);
		stop();
	}
	virtio_watch(NULL);
	/* Who wants one notification wants some. */
	vq = start_queue(VIRTIO_BIT(VIRTIO_F_EVENT_IDX), 8);
	vq_interrupts(vq, false);
	assert_int_equal(vq_raw_want_nth(vq, 1), 0);
	virtio_irq_queue(&dev.vdev, 0);
	assert_int_equal(dev.vdev.irqs.unwanted, 0);
	stop();
}

/* Every entry of the rings is used, up to the last; ASan watches their ends. */
static void whole_ring(void **state)
{
	const uint64_t features = INDIRECT | VIRTIO_BIT(VIRTIO_F_EVENT_IDX);
	const struct vq_seg s[2] = { { bytes, 4 }, { bytes + 4, 4 } };
	struct fake_chain c;
	unsigned int i, round;
	void *token;
	uint32_t len;
	struct virtqueue *vq;

	(void)state;
	for (round = 0; round < 2; round++) {
		vq = start_queue(round ? features : 0, 64);
		for (i = 0; i < (round ? 64 : 32); i++)
			assert_int_equal(vq_add(vq, s, 1, s + 1, 1, &tokens[i % 8]), 0);
		assert_int_equal(vq_free_count(vq), 0);
		assert_int_equal(vq_add(vq, s, 1, NULL, 0, tokens), -ENOSPC);
		assert_int_equal(vq_add(vq, s, 1, s + 1, 1, tokens), -ENOSPC);
		assert_int_equal(vq_in_flight(vq), i);
		for (i = 0; i < (round ? 64 : 32); i++) {
			assert_true(fake_pop(&dev, 0, &c));
			assert_int_equal(c.n, 2);
			fake_push(&dev, 0, c.head, 4);
		}
		for (i = 0; i < (round ? 64 : 32); i++) {
			assert_int_equal(vq_get(vq, &token, &len), 1);
			assert_ptr_equal(token, &tokens[i % 8]);
		}
		stop();
	}
}

/* What was used before a reset is judged at each place of the ring; what is in flight besides is no matter. */
static void audit_everywhere(void **state)
{
	const struct vq_seg s = { bytes, 4 };
	unsigned int taken, bad, i;
	char text[64];
	struct fake_chain c;
	void *token;
	uint32_t len;

	(void)state;
	for (taken = 0; taken < 6; taken++) {
		for (bad = 0; bad < 3; bad++) {
			struct virtqueue *vq = start_queue(0, 4);

			for (i = 0; i < taken; i++) {
				assert_int_equal(vq_add(vq, NULL, 0, &s, 1, tokens), 0);
				assert_true(fake_pop(&dev, 0, &c));
				fake_push(&dev, 0, c.head, 4);
				assert_int_equal(vq_get(vq, &token, &len), 1);
			}
			for (i = 0; i < 4; i++)
				assert_int_equal(vq_add(vq, NULL, 0, &s, 1, tokens), 0);
			for (i = 0; i < 3; i++) {
				assert_true(fake_pop(&dev, 0, &c));
				fake_push(&dev, 0, c.head, i == bad ? 5 : 4);
			}
			vq_audit(vq);
			snprintf(text, sizeof(text), "queue 0: used element %u (id", taken + bad);
			assert_non_null(strstr(vq_error(vq), text));
			assert_non_null(strstr(vq_error(vq), "len 5, the buffer has 4 writable"));
			stop();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_up_without_memory),
		cmocka_unit_test(adds_without_memory),
		cmocka_unit_test(direct_add_fails),
		cmocka_unit_test(staging_without_memory),
		cmocka_unit_test(takes_what_was_written),
		cmocka_unit_test(rooms_of_chains),
		cmocka_unit_test(tables_of_pages),
		cmocka_unit_test(writable_saturates),
		cmocka_unit_test(kicks_at_the_wrap),
		cmocka_unit_test(sizes),
		cmocka_unit_test(places),
		cmocka_unit_test(second_queue),
		cmocka_unit_test(too_many_segments),
		cmocka_unit_test(raw_ways),
		cmocka_unit_test(whole_ring),
		cmocka_unit_test(audit_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
