/* SPDX-License-Identifier: BSD-2-Clause */
/* packed.c facing an obedient device, and one that writes nonsense. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/transport.h"
#include "tests/unit/fake_packed.h"
#include "tests/unit/one_queue.h"

#define INDIRECT VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC)
#define EVENT	 VIRTIO_BIT(VIRTIO_F_EVENT_IDX)
#define IN_ORDER VIRTIO_BIT(VIRTIO_F_IN_ORDER)
#define BOTH	 (PVRING_DESC_F_AVAIL | PVRING_DESC_F_USED)

static struct fake_packed ring;

static struct virtqueue *start(uint64_t features, uint16_t size)
{
	struct virtqueue *vq = start_queue(VIRTIO_BIT(VIRTIO_F_RING_PACKED) | features, size);

	fake_packed_start(&ring, &dev, 0);
	return vq;
}

static uint16_t flags_at(uint16_t slot)
{
	return le16_to_cpu(ring.desc[slot].flags);
}

static void one_buffer(void **state)
{
	struct virtqueue *vq = start(0, 6);
	char out[4] = "abc", in[8] = { 0 }, seen[4];
	const struct vq_seg o = { out, 4 }, i = { in, 8 };
	struct fake_chain c;
	void *token;
	uint32_t len;

	(void)state;
	assert_int_equal(vq_size(vq), 6);
	assert_int_equal(vq_get(vq, &token, &len), 0);
	assert_int_equal(vq_add(vq, &o, 1, &i, 1, tokens), 0);
	assert_int_equal(flags_at(0), PVRING_DESC_F_AVAIL | VRING_DESC_F_NEXT);
	assert_int_equal(flags_at(1), PVRING_DESC_F_AVAIL | VRING_DESC_F_WRITE);
	assert_int_equal(vq_free_count(vq), 4);
	assert_int_equal(vq_in_flight(vq), 1);
	assert_int_equal(fake_packed_pop(&ring, &c), 2);
	assert_int_equal(c.readable, 4);
	assert_int_equal(c.writable, 8);
	fake_copy_out(&c, seen, 4);
	assert_memory_equal(seen, "abc", 4);
	fake_copy_in(&c, "12345", 5);
	assert_false(vq_pending(vq));
	fake_packed_push(&ring, c.head, 5, 2);
	assert_true(vq_pending(vq));
	assert_int_equal(vq_get(vq, &token, &len), 1);
	assert_ptr_equal(token, tokens);
	assert_int_equal(len, 5);
	assert_memory_equal(in, "12345", 5);
	assert_int_equal(vq_free_count(vq), 6);
	assert_int_equal(vq_in_flight(vq), 0);
	assert_false(vq_pending(vq));
	stop();
}

static void sizes(void **state)
{
	(void)state;
	start(0, 3);
	assert_null(vq_create(&dev.vdev, 0, 0));
	assert_null(vq_create(&dev.vdev, 0, 32769));
	stop();
	assert_int_equal(vq_size(start(0, 32768)), 32768);
	stop();
}

static void ring_full(void **state)
{
	struct virtqueue *vq = start(0, 3);
	char b[8];
	const struct vq_seg s = { b, 8 };
	const struct vq_seg two[2] = { s, s };
	struct fake_chain c;
	void *token;
	uint32_t len;

	(void)state;
	assert_int_equal(vq_add(vq, two, 2, NULL, 0, &tokens[0]), 0);
	assert_int_equal(vq_add(vq, two, 2, NULL, 0, &tokens[1]), -ENOSPC);
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, &tokens[1]), 0);
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, &tokens[2]), -ENOSPC);
	assert_int_equal(fake_packed_pop(&ring, &c), 2);
	fake_packed_push(&ring, c.head, 0, 2);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	assert_ptr_equal(token, &tokens[0]);
	/* Over the end of the ring: the second one has the other counter. */
	assert_int_equal(vq_add(vq, two, 2, NULL, 0, &tokens[2]), 0);
	assert_int_equal(flags_at(0), PVRING_DESC_F_USED | VRING_DESC_F_NEXT);
	assert_int_equal(flags_at(1), PVRING_DESC_F_USED);
	stop();
}

/* Lists of 1 to 5 segments, in each order of completion, many times round the ring. */
static void rounds(uint64_t features, uint16_t size, bool reorder)
{
	struct virtqueue *vq = start(features, size);
	char b[8];
	const struct vq_seg s[6] = { { b, 1 }, { b, 2 }, { b, 3 }, { b, 4 }, { b, 5 }, { b, 6 } };
	struct fake_chain c[2];
	uint16_t descs[2];
	unsigned int round, n, k, got;
	uint32_t len;
	void *token;

	for (round = 0; round < 3000; round++) {
		for (n = 0; n < 2; n++) {
			const unsigned int out = round % 3, in = 1 + (round + n) % 2;

			if (vq_add(vq, s, out, s + out, in, &tokens[n]))
				break;
		}
		assert_true(n > 0 || size < 4);
		for (k = 0; k < n; k++)
			descs[k] = fake_packed_pop(&ring, &c[k]);
		for (k = 0; k < n; k++) {
			const unsigned int which = reorder ? n - 1 - k : k;

			assert_true(descs[which] > 0);
			fake_packed_push(&ring, c[which].head, c[which].writable, descs[which]);
		}
		for (got = 0; got < n; got++) {
			const unsigned int which = reorder ? n - 1 - got : got;

			assert_int_equal(vq_get(vq, &token, &len), 1);
			assert_ptr_equal(token, &tokens[which]);
			assert_int_equal(len, c[which].writable);
		}
		assert_int_equal(vq_get(vq, &token, &len), 0);
		assert_int_equal(vq_free_count(vq), size);
	}
	stop();
}

static void wraps(void **state)
{
	uint16_t size;

	(void)state;
	for (size = 1; size < 12; size++) {
		rounds(0, size, false);
		rounds(EVENT, size, true);
		rounds(INDIRECT | EVENT, size, true);
		rounds(IN_ORDER | INDIRECT, size, false);
		rounds(IN_ORDER, size, false);
	}
}

/* 2.8.7: entries one after the other, no flag but WRITE. */
static void tables(void **state)
{
	struct virtqueue *vq = start(INDIRECT, 8);
	char b[8];
	const struct vq_seg s[6] = { { b, 1 }, { b, 2 }, { b, 3 }, { b, 4 }, { b, 5 }, { b, 6 } };
	const struct pvring_desc *e;
	unsigned int n, i;

	(void)state;
	for (n = 2; n <= 6; n += 4) { /* in the pool, and in memory of its own */
		const uint16_t slot = (uint16_t)(n == 2 ? 0 : 1);

		assert_int_equal(vq_add(vq, s, 1, s + 1, n - 1, &tokens[n]), 0);
		assert_int_equal(flags_at(slot), PVRING_DESC_F_AVAIL | VRING_DESC_F_INDIRECT);
		assert_int_equal(le32_to_cpu(ring.desc[slot].len), 16 * n);
		e = (const struct pvring_desc *)(uintptr_t)le64_to_cpu(ring.desc[slot].addr);
		for (i = 0; i < n; i++) {
			assert_int_equal(le16_to_cpu(e[i].flags), i ? VRING_DESC_F_WRITE : 0);
			assert_int_equal(le32_to_cpu(e[i].len), i + 1);
			assert_int_equal(le16_to_cpu(e[i].id), 0); /* 2.8.7: reserved */
		}
	}
	assert_int_equal(vq_add(vq, s, 1, NULL, 0, tokens), 0);
	assert_int_equal(flags_at(2), PVRING_DESC_F_AVAIL);
	assert_int_equal(vq_free_count(vq), 5);
	/* A table takes the last descriptor as well. */
	while (vq_free_count(vq) > 1)
		assert_int_equal(vq_add(vq, s, 1, NULL, 0, tokens), 0);
	assert_int_equal(vq_add(vq, s, 1, s + 1, 2, tokens), 0);
	assert_int_equal(vq_free_count(vq), 0);
	assert_int_equal(vq_add(vq, s, 1, s + 1, 2, tokens), -ENOSPC);
	assert_int_equal(vq_add(vq, s, 1, NULL, 0, tokens), -ENOSPC);
	stop();
}

/* --- nonsense --------------------------------------------------------------------------- */

static struct virtqueue *with_two(uint64_t features)
{
	struct virtqueue *vq = start(features, 4);
	static char b[8];
	const struct vq_seg s = { b, 8 };

	assert_int_equal(vq_add(vq, NULL, 0, &s, 1, &tokens[0]), 0);
	assert_int_equal(vq_add(vq, NULL, 0, &s, 1, &tokens[1]), 0);
	return vq;
}

static void bad_ids(void **state)
{
	static const uint16_t ids[] = { 2, 3, 4, 0x8000, 0xffff };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct virtqueue *vq = with_two(i % 2 ? IN_ORDER : 0);

		fake_packed_push(&ring, ids[i], 1, 1);
		expect_broken(vq, "not a buffer in flight");
	}
}

static void used_twice(void **state)
{
	struct virtqueue *vq = with_two(0);
	uint32_t len;
	void *token;

	(void)state;
	fake_packed_push(&ring, 0, 8, 1);
	fake_packed_push(&ring, 0, 8, 1);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	expect_broken(vq, "queue 0: used descriptor 1 has id 0, not a buffer in flight");
}

static void used_unasked(void **state)
{
	struct virtqueue *vq = with_two(0);
	uint32_t len;
	void *token;

	(void)state;
	fake_packed_push(&ring, 1, 8, 1);
	fake_packed_push(&ring, 0, 8, 1);
	fake_packed_push(&ring, 0, 8, 1);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	expect_broken(vq, "queue 0: descriptor 2 is used, with no buffer in flight");
}

static void len_too_long(void **state)
{
	struct virtqueue *vq = with_two(0);

	(void)state;
	fake_packed_push(&ring, 1, 9, 1);
	expect_broken(vq, "used descriptor 0 (id 1): len 9, the buffer has 8 writable bytes");
}

/* At counter 1 neither of these is available, or used. */
static void flags_nonsense(void **state)
{
	static const uint16_t flags[] = { 0, PVRING_DESC_F_USED, VRING_DESC_F_WRITE };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct virtqueue *vq = with_two(0);

		ring.desc[0].flags = cpu_to_le16(flags[i]);
		expect_broken(vq, "neither available nor used");
	}
}

/* The words name queue, place and id, each as it is; of a queue that has two descriptors behind it. */
static void words(void **state)
{
	static const struct {
		uint16_t id;
		uint32_t len;
		int flags; /* -1: used */
		const char *text;
	} k[] = {
		{ 0, 1, 0,
		  "queue 0: descriptor 2 has flags AVAIL 0, USED 0 at wrap counter 1: neither "
		  "available nor used" },
		{ 0, 1, PVRING_DESC_F_USED,
		  "queue 0: descriptor 2 has flags AVAIL 0, USED 1 at wrap counter 1: neither "
		  "available nor used" },
		{ 3, 1, -1, "queue 0: used descriptor 2 has id 3, not a buffer in flight" },
		{ 1, 9, -1,
		  "queue 0: used descriptor 2 (id 1): len 9, the buffer has 8 writable bytes" },
	};
	static char b[8];
	const struct vq_seg s = { b, 8 };
	unsigned int i, n;
	uint32_t len;
	void *token;

	(void)state;
	for (i = 0; i < sizeof(k) / sizeof(k[0]); i++) {
		struct virtqueue *vq = with_two(0);

		for (n = 0; n < 2; n++) {
			fake_packed_push(&ring, (uint16_t)n, 8, 1);
			assert_int_equal(vq_get(vq, &token, &len), 1);
		}
		assert_int_equal(vq_add(vq, NULL, 0, &s, 1, tokens),
				 0); /* id 1: the last one back */
		fake_packed_push(&ring, k[i].id, k[i].len, 1);
		if (k[i].flags >= 0)
			ring.desc[2].flags = cpu_to_le16((uint16_t)k[i].flags);
		expect_broken(vq, k[i].text);
	}
}

/* --- in order ---------------------------------------------------------------------------- */

/* One used descriptor for three buffers: those before the last were used completely. */
static void batch(void **state)
{
	struct virtqueue *vq = start(IN_ORDER, 8);
	char b[8];
	const struct vq_seg s = { b, 8 };
	const struct vq_seg two[2] = { s, s };
	unsigned int round, k;
	uint32_t len;
	void *token;
	struct fake_chain c;

	(void)state;
	for (round = 0; round < 50; round++) {
		assert_int_equal(vq_add(vq, NULL, 0, &s, 1, &tokens[0]), 0);
		assert_int_equal(vq_add(vq, &s, 1, two, 2, &tokens[1]), 0);
		assert_int_equal(vq_add(vq, NULL, 0, &s, 1, &tokens[2]), 0);
		for (k = 0; k < 3; k++)
			assert_true(fake_packed_pop(&ring, &c));
		fake_packed_push(&ring, c.head, 3, 5);
		for (k = 0; k < 3; k++) {
			assert_true(vq_pending(vq));
			assert_int_equal(vq_get(vq, &token, &len), 1);
			assert_ptr_equal(token, &tokens[k]);
			assert_int_equal(len, k == 0 ? 8 : k == 1 ? 16 : 3);
		}
		assert_false(vq_pending(vq));
		assert_int_equal(vq_get(vq, &token, &len), 0);
		assert_int_equal(vq_free_count(vq), 8);
	}
	stop();
}

/* --- notifications ------------------------------------------------------------------------ */

static void wish(uint16_t slot, bool wrap, uint16_t flags)
{
	ring.device->desc = cpu_to_le16((uint16_t)(slot | (wrap ? PVRING_WRAP : 0)));
	ring.device->flags = cpu_to_le16(flags);
}

/* Adds one buffer, or a list of two, lets the device use it at once; whether it was told. */
static bool told(struct virtqueue *vq, unsigned int n)
{
	static char b[8];
	const struct vq_seg s[2] = { { b, 4 }, { b, 4 } };
	const unsigned int before = dev.q[0].notifies;
	struct fake_chain c;
	uint32_t len;
	void *token;

	assert_int_equal(vq_add(vq, s, n, NULL, 0, tokens), 0);
	vq_kick(vq);
	assert_int_equal(fake_packed_pop(&ring, &c), n);
	fake_packed_push(&ring, c.head, 0, (uint16_t)n);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	return dev.q[0].notifies != before;
}

static void kick_flags(void **state)
{
	struct virtqueue *vq = start(VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA), 3);

	(void)state;
	assert_true(told(vq, 1));
	assert_int_equal(dev.q[0].notify_data, (PVRING_WRAP | 1) << 16);
	wish(0, 0, PVRING_EVENT_DISABLE);
	assert_false(told(vq, 1));
	wish(0, 0, PVRING_EVENT_DESC); /* not without EVENT_IDX: told rather than stuck */
	assert_true(told(vq, 1));
	assert_int_equal(dev.q[0].notify_data, 0);
	wish(0, 0, 3);
	assert_true(told(vq, 1));
	wish(0, 0, PVRING_EVENT_ENABLE);
	vq_kick(vq); /* nothing new */
	assert_int_equal(dev.q[0].notifies, 3);
	vq_notify(vq);
	assert_int_equal(dev.q[0].notifies, 4);
	stop();
}

static void kick_event(void **state)
{
	struct virtqueue *vq = start(EVENT, 5);

	(void)state;
	wish(1, true, PVRING_EVENT_DESC);
	assert_false(told(vq, 1)); /* 0 */
	assert_true(told(vq, 1));  /* 1 */
	assert_false(told(vq, 1)); /* 2 */
	wish(4, true, PVRING_EVENT_DESC);
	assert_true(told(vq, 2)); /* 3 and 4: over the end */
	wish(0, true, PVRING_EVENT_DESC);
	assert_false(told(vq, 1)); /* 0, counter 0 */
	wish(1, false, PVRING_EVENT_DESC);
	assert_true(told(vq, 2)); /* 1 and 2 */
	wish(0, true, PVRING_EVENT_DESC);
	assert_false(told(vq, 1)); /* 3 */
	assert_true(told(vq, 2));  /* 4 and 0, counter 1 */
	wish(0, true, PVRING_EVENT_DISABLE);
	assert_false(told(vq, 1));
	wish(0x7fff, true, PVRING_EVENT_DESC);
	assert_false(told(vq, 1));
	wish(0, true, PVRING_EVENT_ENABLE);
	assert_true(told(vq, 1));
	stop();
}

static void interrupts(void **state)
{
	struct virtqueue *vq = with_two(0);

	(void)state;
	assert_int_equal(le16_to_cpu(ring.driver->flags), PVRING_EVENT_ENABLE);
	assert_false(vq_interrupts(vq, false));
	assert_int_equal(le16_to_cpu(ring.driver->flags), PVRING_EVENT_DISABLE);
	fake_packed_push(&ring, 0, 0, 1);
	assert_false(vq_interrupts(vq, false)); /* who wants none need not look again */
	assert_true(vq_interrupts(vq, true));
	assert_int_equal(le16_to_cpu(ring.driver->flags), PVRING_EVENT_ENABLE);
	stop();
}

static void interrupts_event(void **state)
{
	struct virtqueue *vq = with_two(EVENT);
	uint32_t len;
	void *token;

	(void)state;
	assert_int_equal(le16_to_cpu(ring.driver->flags), PVRING_EVENT_DESC);
	assert_int_equal(le16_to_cpu(ring.driver->desc), PVRING_WRAP);
	fake_packed_push(&ring, 0, 0, 1);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	assert_int_equal(le16_to_cpu(ring.driver->desc), PVRING_WRAP | 1);
	vq_interrupts(vq, false);
	assert_int_equal(le16_to_cpu(ring.driver->flags), PVRING_EVENT_DISABLE);
	fake_packed_push(&ring, 1, 0, 1);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	assert_int_equal(le16_to_cpu(ring.driver->desc), PVRING_WRAP | 1);
	assert_false(vq_interrupts(vq, true));
	assert_int_equal(le16_to_cpu(ring.driver->desc), PVRING_WRAP | 2);
	stop();
}

/* --- the audit at a reset ------------------------------------------------------------------ */

static char heard[128];

static void hear(struct virtio_device *d, const char *what)
{
	(void)d;
	strncpy(heard, what, sizeof(heard) - 1);
}

static void audit(void **state)
{
	struct virtqueue *vq;
	uint32_t len;
	void *token;

	(void)state;
	virtio_watch(hear);
	heard[0] = '\0';
	with_two(0);
	fake_packed_push(&ring, 1, 8, 1);
	fake_packed_push(&ring, 0, 8, 1);
	stop();
	assert_string_equal(heard, "");
	with_two(IN_ORDER);
	fake_packed_push(&ring, 1, 8, 2);
	stop();
	assert_string_equal(heard, "");
	/* A batch of which one was taken. */
	vq = with_two(IN_ORDER);
	fake_packed_push(&ring, 1, 8, 2);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	stop();
	assert_string_equal(heard, "");
	with_two(0);
	fake_packed_push(&ring, 1, 8, 1);
	fake_packed_push(&ring, 1, 8, 1);
	stop();
	assert_string_equal(heard,
			    "queue 0: used descriptor 1, the last before a reset, has id 1 again");
	with_two(0);
	fake_packed_push(&ring, 1, 9, 1);
	stop();
	assert_non_null(strstr(heard, "len 9"));
	heard[0] = '\0';
	assert_non_null(vq_packed(with_two(0))); /* what a test does there is its own matter */
	fake_packed_push(&ring, 1, 9, 1);
	stop();
	assert_string_equal(heard, "");
	virtio_watch(NULL);
}

/* --- the raw door ---------------------------------------------------------------------------- */

static void raw_door(void **state)
{
	struct virtqueue *vq = start(EVENT, 5);
	const struct vq_raw_desc a = { 0x1122334455667788ull, 0x99, 0xff78 | VRING_DESC_F_NEXT, 4 };
	const struct vq_raw_desc b = { 0x99, 1, VRING_DESC_F_WRITE, 3 };
	const struct vq_raw_desc out = { 1, 2, VRING_DESC_F_NEXT, 0xffff };
	const uint16_t heads[] = { 3, 2 };
	struct vq_packed *p = vq_packed(vq);
	struct vq_packed_desc d;
	uint32_t id, len;

	(void)state;
	assert_null(vq_split(vq));
	assert_int_equal(vq_raw_stage(vq, 5, &a), -EINVAL);
	assert_int_equal(vq_raw_stage(vq, 3, &a), 0);
	assert_int_equal(vq_raw_stage(vq, 4, &b), 0);
	assert_int_equal(vq_raw_stage(vq, 2, &out), 0);
	vq_raw_post(vq, heads, 2);
	assert_int_equal(vq_packed_next_avail(p), PVRING_WRAP | 3);
	vq_packed_desc(p, 0, &d);
	assert_int_equal(d.addr, a.addr);
	assert_int_equal(d.id, 3);
	assert_int_equal(d.flags, 0x7f78 | VRING_DESC_F_NEXT | PVRING_DESC_F_AVAIL);
	vq_packed_desc(p, 2, &d); /* a list that leaves the table ends with its NEXT */
	assert_int_equal(d.flags, VRING_DESC_F_NEXT | PVRING_DESC_F_AVAIL);
	wish(2, true, PVRING_EVENT_DESC);
	assert_true(vq_raw_kick_wanted(vq));
	assert_false(vq_raw_kick_wanted(vq));
	assert_int_equal(vq_raw_used_count(vq), 0);
	fake_packed_push(&ring, 2, 7, 1);
	fake_packed_push(&ring, 3, 1, 2);
	assert_int_equal(vq_raw_used_count(vq), 2);
	vq_raw_used(vq, 1, &id, &len);
	assert_int_equal(id, 3);
	assert_int_equal(len, 1);
	vq_raw_take(vq, 1);
	assert_int_equal(vq_raw_used_count(vq), 1);
	vq_interrupts(vq, true);
	vq_raw_take(vq, 1);
	assert_int_equal(le16_to_cpu(ring.driver->desc), PVRING_WRAP | 3);
	assert_int_equal(vq_packed_next_used(p), PVRING_WRAP | 3);
	assert_int_equal(vq_raw_want_nth(vq, 3), 0); /* nothing posted: one descriptor each */
	assert_int_equal(le16_to_cpu(ring.driver->desc), 0);
	vq_raw_take(vq, 1);
	assert_int_equal(le16_to_cpu(ring.driver->desc), 0);
	stop();
}

/* Of what is not used there is nothing to tell; descriptors that skip each other's places for ever are no more than the
 * ring has. */
static void raw_walk_ends(void **state)
{
	static const uint16_t flags[4] = { BOTH, 0, 0, BOTH };
	struct virtqueue *vq = start(0, 4);
	const struct vq_raw_desc list[] = { { 1, 1, VRING_DESC_F_NEXT, 1 },
					    { 1, 1, VRING_DESC_F_NEXT, 2 },
					    { 1, 1, 0, 0 } };
	const uint16_t head = 0;
	uint32_t id = 7, len = 7;
	unsigned int i;

	(void)state;
	vq_raw_used(vq, 0, &id, &len);
	assert_int_equal(id + len, 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(vq_raw_stage(vq, (uint16_t)i, &list[i]), 0);
	vq_raw_post(vq, &head, 1);
	id = len = 7;
	vq_raw_used(vq, 5, &id, &len);
	assert_int_equal(id + len, 0);
	for (i = 0; i < 4; i++) { /* three descriptors each: from 0 to 3, and over the end to 2 */
		ring.desc[i].id = 0;
		ring.desc[i].flags = cpu_to_le16(flags[i]);
	}
	assert_int_equal(vq_raw_used_count(vq), 2);
	stop();
	vq = start(IN_ORDER, 4);
	vq_raw_post(vq, &head, 1);
	fake_packed_push(&ring, 3, 0, 1); /* an id that nobody posted: one descriptor */
	assert_int_equal(vq_raw_used_count(vq), 1);
	stop();
}

/* Whoever takes a buffer of vq_add() through the raw door cannot have it from vq_get() any more. */
static void raw_take_in_order(void **state)
{
	struct virtqueue *vq = with_two(IN_ORDER);

	(void)state;
	fake_packed_push(&ring, 0, 8, 1);
	vq_raw_take(vq, 1);
	fake_packed_push(&ring, 0, 8, 1);
	expect_broken(vq, "id 0 is not among the buffers posted");
}

/* A circle is as long as the ring; a head that is none is an id. */
static void raw_circle(void **state)
{
	struct virtqueue *vq = start(0, 4);
	const struct vq_raw_desc loop = { 1, 2, VRING_DESC_F_NEXT, 0 };
	const uint16_t head = 0, far = 0x7777;
	uint32_t id, len;
	uint16_t i;

	(void)state;
	assert_int_equal(vq_raw_stage(vq, 0, &loop), 0);
	vq_raw_post(vq, &head, 1);
	for (i = 0; i < 4; i++)
		assert_int_equal(flags_at(i), VRING_DESC_F_NEXT | PVRING_DESC_F_AVAIL);
	fake_packed_push(&ring, 0, 0, 4);
	assert_int_equal(vq_raw_used_count(vq), 1);
	vq_raw_take(vq, 1);
	vq_raw_post(vq, &far, 1);
	assert_int_equal(le16_to_cpu(ring.desc[0].id), far);
	fake_packed_push(&ring, far, 0, 4);
	assert_int_equal(vq_raw_used_count(vq), 1);
	vq_raw_used(vq, 0, &id, &len);
	assert_int_equal(id, far);
	vq_raw_take(vq, 1);
	/* The first id that is no number of a descriptor. */
	vq_raw_post(vq, &(const uint16_t){ 4 }, 1);
	fake_packed_push(&ring, 4, 0, 4);
	assert_int_equal(vq_raw_used_count(vq), 1);
	assert_int_equal(vq_raw_want_nth(vq, 1), -EOPNOTSUPP);
	stop();
}

static void raw_batches(void **state)
{
	struct virtqueue *vq = start(IN_ORDER, 8);
	const struct vq_packed_desc d[2] = { { 1, 1, 9, VRING_DESC_F_NEXT }, { 1, 1, 20, 0 } };
	struct vq_packed_desc one = { 1, 1, 21, 0 };
	struct vq_packed *p = vq_packed(vq);
	uint32_t id, len;
	unsigned int round;

	(void)state;
	for (round = 0; round < 20; round++) {
		vq_packed_post(p, d, 2);
		vq_packed_post(p, &one, 1);
		one.id++;
		vq_packed_post(p, d, 2);
		one.id--;
		fake_packed_push(&ring, 21, 0, 3);
		assert_int_equal(vq_raw_used_count(vq), 2);
		vq_raw_used(vq, 0, &id, &len);
		assert_int_equal(id, 21);
		fake_packed_push(&ring, 20, 0, 2);
		assert_int_equal(vq_raw_used_count(vq), 3);
		vq_raw_used(vq, 2, &id, &len);
		assert_int_equal(id, 20);
		vq_raw_take(vq, 3);
		assert_int_equal(vq_raw_used_count(vq), 0);
	}
	stop();
}

/* A ring is told of nothing, of less than is asked, of more than it holds. */
static void raw_numbers(void **state)
{
	const struct vq_packed_desc two[2] = { { 1, 1, 9, VRING_DESC_F_NEXT }, { 1, 1, 200, 0 } };
	const struct vq_raw_desc list[] = { { 1, 1, VRING_DESC_F_NEXT, 1 }, { 1, 1, 0, 0 } };
	const uint16_t head = 0;
	struct virtqueue *vq = start(EVENT, 4);
	struct vq_packed *p = vq_packed(vq);
	struct vq_packed_desc one = { 1, 1, 201, 0 };
	unsigned int i;

	(void)state;
	vq_raw_post(vq, &head, 0);
	assert_int_equal(flags_at(0), 0);
	assert_int_equal(vq_packed_next_avail(p), PVRING_WRAP);
	for (i = 0; i < 2; i++)
		assert_int_equal(vq_raw_stage(vq, (uint16_t)i, &list[i]), 0);
	/* The second buffer from now on lies behind the two descriptors of the first. */
	vq_raw_post(vq, &head, 1);
	assert_int_equal(vq_raw_want_nth(vq, 2), 0);
	assert_int_equal(le16_to_cpu(ring.driver->desc), PVRING_WRAP | 2);
	assert_int_equal(le16_to_cpu(ring.driver->flags), PVRING_EVENT_DESC);
	assert_int_equal(vq_raw_want_nth(vq, 4), 0);
	assert_int_equal(le16_to_cpu(ring.driver->desc), 0);
	fake_packed_push(&ring, 0, 0, 2);
	vq_raw_take(vq, 5);
	assert_int_equal(vq_packed_next_used(p), PVRING_WRAP | 2);
	assert_int_equal(vq_raw_used_count(vq), 0);
	/* Of the oldest of more buffers than descriptors nothing is known any more: it counts as one. */
	vq_packed_post(p, two, 2);
	for (i = 0; i < 4; i++, one.id++)
		vq_packed_post(p, &one, 1);
	fake_packed_push(&ring, 200, 0, 1);
	fake_packed_push(&ring, 203, 0, 1);
	assert_int_equal(vq_raw_used_count(vq), 2);
	vq_raw_take(vq, 2);
	assert_int_equal(vq_packed_next_used(p), 0);
	stop();
}

/* Nothing is in flight: whatever the flags are that are not those of a used descriptor, nobody looks at them. */
static void nothing_in_flight(void **state)
{
	struct virtqueue *vq = start(0, 4);
	uint32_t len;
	void *token;

	(void)state;
	ring.desc[0].flags = cpu_to_le16(PVRING_DESC_F_USED);
	assert_false(vq_pending(vq));
	assert_int_equal(vq_get(vq, &token, &len), 0);
	stop();
	fake_init(&dev, VIRTIO_ID_RNG,
		  VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_RING_PACKED), 1, false);
	dev.best_irq = VIRTIO_IRQ_POLL; /* then it is polled from the start */
	assert_int_equal(virtio_negotiate(&dev.vdev, VIRTIO_BIT(VIRTIO_F_RING_PACKED)), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, 1, 0), 0);
	fake_packed_start(&ring, &dev, 0);
	assert_int_equal(le16_to_cpu(ring.driver->flags), PVRING_EVENT_DISABLE);
	stop();
}

static void entries(void **state)
{
	struct virtqueue *vq = start(0, 4);
	struct pvring_desc table[2] = { 0 };

	(void)state;
	vq_raw_entry(vq, table, 1,
		     &(const struct vq_raw_desc){ 5, 6, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
						  7 });
	assert_int_equal(le64_to_cpu(table[1].addr), 5);
	assert_int_equal(le32_to_cpu(table[1].len), 6);
	assert_int_equal(le16_to_cpu(table[1].flags), VRING_DESC_F_WRITE);
	stop();
}

static void parts(void **state)
{
	struct virtqueue *vq = start(EVENT, 5);
	const struct vq_packed_desc d = { 0x1122334455667788ull, 0x99, 0xabcd, 0xffff };
	struct vq_packed *p = vq_packed(vq);
	struct vq_packed_desc back;
	uint16_t pos, flags;

	(void)state;
	vq_packed_set_desc(p, 7, &d);
	vq_packed_desc(p, 2, &back);
	assert_memory_equal(&d, &back, sizeof(d));
	assert_int_equal(vq_packed_behind(p, PVRING_WRAP | 4, 1), 0);
	assert_int_equal(vq_packed_behind(p, 4, 3), PVRING_WRAP | 2);
	assert_int_equal(vq_packed_behind(p, 3, 1), 4);
	assert_int_equal(vq_packed_behind(p, PVRING_WRAP | 1, 1), PVRING_WRAP | 2);
	assert_int_equal(vq_packed_avail_flags(PVRING_WRAP), PVRING_DESC_F_AVAIL);
	assert_int_equal(vq_packed_avail_flags(0), PVRING_DESC_F_USED);
	vq_packed_set_driver_event(p, 0x8003, PVRING_EVENT_ENABLE);
	assert_int_equal(le16_to_cpu(ring.driver->desc), 0x8003);
	assert_int_equal(le16_to_cpu(ring.driver->flags), PVRING_EVENT_ENABLE);
	fake_packed_push(&ring, 0, 0, 1);
	vq_raw_take(vq, 1); /* what a test wrote stays */
	assert_int_equal(le16_to_cpu(ring.driver->desc), 0x8003);
	wish(4, true, 0x8006);
	vq_packed_device_event(p, &pos, &flags);
	assert_int_equal(pos, 0x8004);
	assert_int_equal(flags, 0x8006);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_buffer),
		cmocka_unit_test(sizes),
		cmocka_unit_test(ring_full),
		cmocka_unit_test(wraps),
		cmocka_unit_test(tables),
		cmocka_unit_test(bad_ids),
		cmocka_unit_test(used_twice),
		cmocka_unit_test(used_unasked),
		cmocka_unit_test(len_too_long),
		cmocka_unit_test(flags_nonsense),
		cmocka_unit_test(words),
		cmocka_unit_test(batch),
		cmocka_unit_test(kick_flags),
		cmocka_unit_test(kick_event),
		cmocka_unit_test(interrupts),
		cmocka_unit_test(interrupts_event),
		cmocka_unit_test(audit),
		cmocka_unit_test(raw_door),
		cmocka_unit_test(raw_walk_ends),
		cmocka_unit_test(raw_take_in_order),
		cmocka_unit_test(raw_circle),
		cmocka_unit_test(raw_batches),
		cmocka_unit_test(entries),
		cmocka_unit_test(raw_numbers),
		cmocka_unit_test(nothing_in_flight),
		cmocka_unit_test(parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
