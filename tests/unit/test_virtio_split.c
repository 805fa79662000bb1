/* SPDX-License-Identifier: BSD-2-Clause */
/* split.c and vq.c facing an obedient device, and one that writes nonsense. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/transport.h"
#include "drivers/virtio/vq_impl.h"
#include "tests/unit/one_queue.h"

static void one_buffer(void **state)
{
	struct virtqueue *vq = start_queue(0, 8);
	char out[4] = "abc", in[8] = { 0 }, seen[4];
	const struct vq_seg o = { out, 4 }, i = { in, 8 };
	struct fake_chain c;
	void *token;
	uint32_t len;

	(void)state;
	assert_int_equal(vq_get(vq, &token, &len), 0);
	assert_int_equal(vq_add(vq, &o, 1, &i, 1, tokens), 0);
	assert_int_equal(vq_free_count(vq), 6);
	assert_int_equal(vq_in_flight(vq), 1);
	assert_true(fake_pop(&dev, 0, &c));
	assert_false(c.indirect);
	assert_int_equal(c.n, 2);
	assert_int_equal(le16_to_cpu(dev.q[0].desc[0].next), 1);
	assert_int_equal(le16_to_cpu(dev.q[0].desc[1].next), 0); /* there is none */
	assert_int_equal(c.readable, 4);
	assert_int_equal(c.writable, 8);
	fake_copy_out(&c, seen, 4);
	assert_memory_equal(seen, "abc", 4);
	fake_copy_in(&c, "12345", 5);
	assert_false(vq_pending(vq));
	fake_push(&dev, 0, c.head, 5);
	assert_true(vq_pending(vq));
	assert_int_equal(vq_get(vq, &token, &len), 1);
	assert_ptr_equal(token, tokens);
	assert_int_equal(len, 5);
	assert_memory_equal(in, "12345", 5);
	assert_int_equal(dev.q[0].avail->ring[8], 0); /* there is no used_event */
	assert_int_equal(vq_free_count(vq), 8);
	assert_int_equal(vq_in_flight(vq), 0);
	stop();
}

static void bad_arguments(void **state)
{
	struct virtqueue *vq = start_queue(0, 4);
	char b[8];
	const struct vq_seg ok = { b, 8 }, empty = { b, 0 }, null = { NULL, 8 };
	const struct vq_seg five[5] = { ok, ok, ok, ok, ok };

	(void)state;
	assert_int_equal(vq_add(vq, &ok, 1, NULL, 0, NULL), -EINVAL);
	assert_int_equal(vq_add(vq, NULL, 0, NULL, 0, tokens), -EINVAL);
	assert_int_equal(vq_add(vq, &empty, 1, NULL, 0, tokens), -EINVAL);
	assert_int_equal(vq_add(vq, NULL, 0, &null, 1, tokens), -EINVAL);
	assert_int_equal(vq_add(vq, &null, 1, NULL, 0, tokens), -EINVAL);
	assert_int_equal(vq_add(vq, NULL, 0, &empty, 1, tokens), -EINVAL);
	assert_int_equal(vq_add(vq, &ok, 1, &empty, 1, tokens), -EINVAL);
	assert_int_equal(vq_add(vq, five, 5, NULL, 0, tokens), -EINVAL);
	assert_null(vq_create(&dev.vdev, 0, 0));
	assert_null(vq_create(&dev.vdev, 0, 3));
	stop();
}

static void ring_full(void **state)
{
	struct virtqueue *vq = start_queue(0, 4);
	char b[8];
	const struct vq_seg s = { b, 8 };
	const struct vq_seg two[2] = { s, s };
	struct fake_chain c;
	void *token;
	uint32_t len;
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(vq_add(vq, &s, 1, NULL, 0, &tokens[i]), 0);
	assert_int_equal(vq_add(vq, two, 2, NULL, 0, &tokens[3]), -ENOSPC);
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, &tokens[3]), 0);
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, &tokens[4]), -ENOSPC);
	assert_true(fake_pop(&dev, 0, &c));
	fake_push(&dev, 0, c.head, 0);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	assert_ptr_equal(token, &tokens[0]);
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, &tokens[4]), 0);
	stop();
}

/* Descriptors that come back go in front of the free ones, wherever they lay. */
static void gaps(void **state)
{
	struct virtqueue *vq = start_queue(0, 4);
	char b[4];
	const struct vq_seg s[2] = { { b, 1 }, { b, 2 } };
	struct fake_chain c;
	unsigned int i;
	void *token;
	uint32_t len;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(vq_add(vq, s, 1, NULL, 0, &tokens[i]), 0);
	for (i = 0; i < 3; i++)
		assert_true(fake_pop(&dev, 0, &c));
	fake_push(&dev, 0, 0, 0);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	assert_int_equal(vq_add(vq, s, 2, NULL, 0, &tokens[3]),
			 0); /* in 0 and 3: the others are in flight */
	assert_true(fake_pop(&dev, 0, &c));
	assert_int_equal(c.n, 2);
	assert_int_equal(c.readable, 3);
	assert_int_equal(le32_to_cpu(dev.q[0].desc[1].len), 1);
	assert_int_equal(le32_to_cpu(dev.q[0].desc[3].len), 2);
	stop();
}

/* Completion in another order, over more than 2^16 buffers, chains of 1 to 5 segments. */
static void wraps(uint64_t features)
{
	struct virtqueue *vq = start_queue(features, 16);
	char b[8];
	const struct vq_seg s[6] = { { b, 1 }, { b, 2 }, { b, 3 }, { b, 4 }, { b, 5 }, { b, 6 } };
	struct fake_chain c[3];
	bool seen[3];
	void *token;
	uint32_t len;
	unsigned int i, k, n;

	for (i = 0; i < 30000; i++) {
		memset(seen, 0, sizeof(seen));
		for (k = 0; k < 3; k++) {
			n = 1 + (i + k) % 5;
			assert_int_equal(vq_add(vq, s, n / 2, s + n / 2, n - n / 2, &tokens[k]), 0);
		}
		vq_kick(vq);
		for (k = 0; k < 3; k++)
			assert_true(fake_pop(&dev, 0, &c[k]));
		for (k = 3; k-- > 0;)
			fake_push(&dev, 0, c[k].head, c[k].writable);
		for (k = 0; k < 3; k++) {
			assert_int_equal(vq_get(vq, &token, &len), 1);
			n = (unsigned int)((char *)token - tokens);
			assert_true(n < 3 && !seen[n]);
			seen[n] = true;
			assert_int_equal(len, c[n].writable);
		}
		assert_int_equal(vq_free_count(vq), 16);
	}
	stop();
}

static void wraps_direct(void **state)
{
	(void)state;
	wraps(0);
}

static void wraps_indirect(void **state)
{
	(void)state;
	wraps(VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_EVENT_IDX));
}

static void indirect_long(void **state)
{
	struct virtqueue *vq = start_queue(VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC), 32);
	const struct vring_desc *table;
	struct vq_seg s[32];
	struct fake_chain c;
	char b[32];
	unsigned int i;
	void *token;
	uint32_t len;

	(void)state;
	for (i = 0; i < 32; i++)
		s[i] = (struct vq_seg){ &b[i], 1 };
	assert_int_equal(vq_add(vq, s, 20, s + 20, 12, tokens), 0);
	assert_int_equal(vq_free_count(vq), 31);
	assert_true(fake_pop(&dev, 0, &c));
	assert_true(c.indirect);
	assert_int_equal(c.n, 32);
	table = (const struct vring_desc *)(uintptr_t)le64_to_cpu(dev.q[0].desc[c.head].addr);
	for (i = 0; i < 32; i++) {
		assert_ptr_equal(c.seg[i].p, &b[i]);
		assert_int_equal(c.seg[i].write, i >= 20);
		assert_int_equal(le16_to_cpu(table[i].next), i < 31 ? i + 1 : 0);
	}
	fake_push(&dev, 0, c.head, 12);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	stop();
}

/* A single segment needs no table. */
static void indirect_single(void **state)
{
	struct virtqueue *vq = start_queue(VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC), 4);
	char b[4];
	const struct vq_seg s = { b, 4 };
	struct vq_raw_desc d;

	(void)state;
	assert_int_equal(vq_add(vq, NULL, 0, &s, 1, tokens), 0);
	vq_split_desc(vq_split(vq), 0, &d);
	assert_int_equal(d.flags, VRING_DESC_F_WRITE);
	assert_int_equal(d.len, 4);
	stop();
}

/* --- nonsense from the device ----------------------------------------------------------- */

static struct virtqueue *with_one(void)
{
	static char b[16];
	const struct vq_seg o = { b, 8 }, i = { b + 8, 8 };
	struct virtqueue *vq = start_queue(0, 8);

	assert_int_equal(vq_add(vq, &o, 1, &i, 1, tokens), 0);
	return vq;
}

static void used_id_too_large(void **state)
{
	struct virtqueue *vq = with_one();

	(void)state;
	fake_push(&dev, 0, 8, 0);
	expect_broken(vq, "id 8, the queue has 8 descriptors");
}

static void used_id_huge(void **state)
{
	struct virtqueue *vq = with_one();

	(void)state;
	fake_push(&dev, 0, 0xffffffff, 0);
	expect_broken(vq, "id 4294967295");
}

/* The second descriptor of a chain is not a head. */
static void used_id_not_head(void **state)
{
	struct virtqueue *vq = with_one();

	(void)state;
	fake_push(&dev, 0, 1, 0);
	expect_broken(vq, "not a buffer in flight");
}

static void used_twice(void **state)
{
	struct virtqueue *vq = with_one();
	char b[4];
	const struct vq_seg s = { b, 4 };
	void *token;
	uint32_t len;

	(void)state;
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, tokens), 0);
	fake_push(&dev, 0, 0, 0);
	fake_push(&dev, 0, 0, 0);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	expect_broken(vq, "queue 0: used element 1 has id 0, not a buffer in flight");
}

static void used_len_too_long(void **state)
{
	struct virtqueue *vq = with_one();

	(void)state;
	fake_push(&dev, 0, 0, 9);
	expect_broken(vq, "len 9, the buffer has 8 writable bytes");
}

static void used_index_jumps(void **state)
{
	struct virtqueue *vq = with_one();

	(void)state;
	dev.q[0].used->idx = cpu_to_le16(2);
	expect_broken(vq, "jumped from 0 to 2 with 1 buffers in flight");
}

static void used_index_back(void **state)
{
	struct virtqueue *vq = with_one();

	(void)state;
	dev.q[0].used->idx = cpu_to_le16(0xffff);
	expect_broken(vq, "jumped from 0 to 65535");
}

/* The words name queue, place and id, each as it is; of a queue that has three elements behind it. */
static void words(void **state)
{
	static const struct {
		uint16_t jump; /* of the index, beside the element */
		uint32_t id, len;
		const char *taken, *audited;
	} k[] = {
		{ 0, 8, 0, "queue 0: used element 3 has id 8, the queue has 8 descriptors",
		  "queue 0: used element 3, the last before a reset, has id 8, not a buffer in flight" },
		{ 0, 5, 0, "queue 0: used element 3 has id 5, not a buffer in flight",
		  "queue 0: used element 3, the last before a reset, has id 5, not a buffer in flight" },
		{ 0, 0, 9, "queue 0: used element 3 (id 0): len 9, the buffer has 8 writable bytes",
		  "queue 0: used element 3 (id 0): len 9, the buffer has 8 writable bytes" },
		{ 4, 0, 0, "queue 0: used.idx jumped from 3 to 8 with 1 buffers in flight",
		  "queue 0: used.idx jumped from 3 to 8 with 1 buffers in flight" },
	};
	static char b[8];
	const struct vq_seg s = { b, 8 };
	unsigned int i, n, audited;
	struct fake_chain c;
	uint32_t len;
	void *token;

	(void)state;
	for (i = 0; i < 2 * sizeof(k) / sizeof(k[0]); i++) {
		struct virtqueue *vq = start_queue(0, 8);

		audited = i % 2;
		for (n = 0; n < 3; n++) {
			assert_int_equal(vq_add(vq, NULL, 0, &s, 1, tokens), 0);
			assert_true(fake_pop(&dev, 0, &c));
			fake_push(&dev, 0, c.head, 8);
			assert_int_equal(vq_get(vq, &token, &len), 1);
		}
		assert_int_equal(vq_add(vq, NULL, 0, &s, 1, tokens), 0);
		fake_push(&dev, 0, k[i / 2].id, k[i / 2].len);
		dev.q[0].used->idx = cpu_to_le16((uint16_t)(4 + k[i / 2].jump));
		if (audited)
			vq_audit(vq);
		else
			assert_int_equal(vq_get(vq, &token, &len), -EPROTO);
		assert_string_equal(vq_error(vq), audited ? k[i / 2].audited : k[i / 2].taken);
		stop();
	}
}

/* --- who watches ---------------------------------------------------------------------------- */

static char told[200];
static unsigned int tells;

static void tell(struct virtio_device *d, const char *what)
{
	assert_ptr_equal(d, &dev.vdev);
	strncpy(told, what, sizeof(told) - 1);
	tells++;
}

static void expect_told(unsigned int n, const char *text)
{
	virtio_watch(NULL);
	assert_int_equal(tells, n);
	if (n && !strstr(told, text))
		fail_msg("\"%s\" is not in \"%s\"", text, told);
	tells = 0;
}

static void watcher_is_told(void **state)
{
	struct virtqueue *vq = with_one();

	(void)state;
	virtio_watch(tell);
	fake_push(&dev, 0, 8, 0);
	expect_broken(vq,
		      "id 8"); /* once, however often the driver asks, and not at the reset again */
	expect_told(1, "id 8, the queue has 8 descriptors");
	vq = with_one();
	fake_push(&dev, 0, 8, 0);
	expect_broken(vq, "id 8");
	expect_told(0, NULL); /* nobody watches */
}

/* What was used and not taken is looked at when the device is reset. */
static void audited_at_reset(void **state)
{
	static const struct {
		unsigned int pushes;
		uint32_t id, len;
		const char *text;
	} cases[] = {
		{ 0, 0, 0, NULL },
		{ 1, 0, 8, NULL },
		{ 1, 0, 9, "len 9, the buffer has 8 writable bytes" },
		{ 1, 1, 0, "has id 1, not a buffer in flight" },
		{ 1, 8, 0, "has id 8, not a buffer in flight" },
		{ 2, 0, 0, "has id 0, not a buffer in flight" },
		{ 3, 0, 0, "jumped from 0 to 3 with 2 buffers in flight" },
	};
	static char b[4];
	const struct vq_seg s = { b, 4 };
	unsigned int i, k;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct virtqueue *vq = with_one();

		assert_int_equal(vq_add(vq, &s, 1, NULL, 0, tokens), 0);
		for (k = 0; k < cases[i].pushes; k++)
			fake_push(&dev, 0, cases[i].id, cases[i].len);
		virtio_watch(tell);
		stop();
		expect_told(cases[i].text != NULL, cases[i].text);
	}
}

/* What a test posts through the raw door is its own matter. */
static void raw_is_not_told(void **state)
{
	const struct vq_raw_desc d = { 0x1000, 8, 0, 0 };
	const uint16_t head = 3;
	struct virtqueue *vq = with_one();

	(void)state;
	assert_int_equal(vq_raw_stage(vq, head, &d), 0);
	vq_raw_post(vq, &head, 1);
	fake_push(&dev, 0, head, 0);
	virtio_watch(tell);
	expect_broken(vq, "id 3, not a buffer in flight");
	expect_told(0, NULL);
}

static void unwanted_interrupts(void **state)
{
	struct virtqueue *vq = start_queue(0, 8);

	(void)state;
	vq_interrupts(vq, true);
	virtio_irq_queue(&dev.vdev, 0);
	assert_int_equal(dev.vdev.irqs.unwanted, 0);
	vq_interrupts(vq, false);
	virtio_irq_queue(&dev.vdev, 0);
	assert_int_equal(dev.vdev.irqs.unwanted, 1);
	assert_int_equal(dev.vdev.irqs.queue[0], 2);
	stop();
}

static void kick_flags(void **state)
{
	struct virtqueue *vq = start_queue(0, 8);
	char b[4];
	const struct vq_seg s = { b, 4 };

	(void)state;
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, tokens), 0);
	vq_kick(vq);
	assert_int_equal(dev.q[0].notifies, 1);
	dev.q[0].used->flags = cpu_to_le16(VRING_USED_F_NO_NOTIFY);
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, tokens), 0);
	vq_kick(vq);
	assert_int_equal(dev.q[0].notifies, 1);
	vq_notify(vq);
	assert_int_equal(dev.q[0].notifies, 2);
	assert_int_equal(dev.q[0].notify_data, 2u << 16);
	dev.q[0].used->flags = 0;
	vq_kick(vq); /* nothing new */
	assert_int_equal(dev.q[0].notifies, 2);
	stop();
}

static void kick_event_idx(void **state)
{
	struct virtqueue *vq = start_queue(VIRTIO_BIT(VIRTIO_F_EVENT_IDX), 8);
	le16 *event = (le16 *)&dev.q[0].used->ring[8];
	char b[4];
	const struct vq_seg s = { b, 4 };

	(void)state;
	/* The device wants to hear of index 2, that is of the third buffer. */
	*event = cpu_to_le16(2);
	dev.q[0].used->flags = cpu_to_le16(VRING_USED_F_NO_NOTIFY); /* ignored with EVENT_IDX */
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, tokens), 0);
	vq_kick(vq);
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, tokens), 0);
	vq_kick(vq);
	assert_int_equal(dev.q[0].notifies, 0);
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, tokens), 0);
	vq_kick(vq);
	assert_int_equal(dev.q[0].notifies, 1);
	vq_kick(vq); /* nothing new */
	assert_int_equal(dev.q[0].notifies, 1);
	stop();
}

static void interrupts_flags(void **state)
{
	struct virtqueue *vq = with_one();

	(void)state;
	assert_int_equal(dev.q[0].avail->flags, 0);
	assert_false(vq_interrupts(vq, false));
	assert_int_equal(dev.q[0].avail->flags, cpu_to_le16(VRING_AVAIL_F_NO_INTERRUPT));
	fake_push(&dev, 0, 0, 0);
	assert_false(vq_interrupts(vq, false)); /* who wants none need not look again */
	assert_true(vq_interrupts(vq, true));
	assert_int_equal(dev.q[0].avail->flags, 0);
	stop();
}

static void interrupts_event_idx(void **state)
{
	struct virtqueue *vq = start_queue(VIRTIO_BIT(VIRTIO_F_EVENT_IDX), 8);
	le16 *event = &dev.q[0].avail->ring[8];
	char b[4];
	const struct vq_seg s = { b, 4 };
	struct fake_chain c;
	void *token;
	uint32_t len;

	(void)state;
	assert_int_equal(*event, 0);
	assert_int_equal(vq_add(vq, &s, 1, NULL, 0, tokens), 0);
	assert_true(fake_pop(&dev, 0, &c));
	fake_push(&dev, 0, c.head, 0);
	assert_int_equal(vq_get(vq, &token, &len), 1);
	assert_int_equal(le16_to_cpu(*event), 1);
	vq_interrupts(vq, false);
	assert_int_equal(le16_to_cpu(*event), 0); /* just passed */
	assert_int_equal(dev.q[0].avail->flags, 0);
	assert_false(vq_interrupts(vq, true));
	assert_int_equal(le16_to_cpu(*event), 1);
	stop();
}

static void polling_starts_suppressed(void **state)
{
	(void)state;
	fake_init(&dev, VIRTIO_ID_RNG, VIRTIO_BIT(VIRTIO_F_VERSION_1), 1, false);
	dev.best_irq = VIRTIO_IRQ_POLL;
	assert_int_equal(virtio_negotiate(&dev.vdev, 0), 0);
	assert_int_equal(virtio_queues_setup(&dev.vdev, 1, 0), 0);
	assert_int_equal(dev.q[0].avail->flags, cpu_to_le16(VRING_AVAIL_F_NO_INTERRUPT));
	stop();
}

/* Chains are written when they are posted, several become available by one index; where vq_get() stood goes on. */
static void raw_entries(void **state)
{
	struct virtqueue *vq = start_queue(0, 4);
	struct vring_desc table[3] = { 0 };

	(void)state;
	vq_raw_entry(vq, &table[1], 1,
		     &(const struct vq_raw_desc){ 5, 6, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
						  7 });
	assert_int_equal(le64_to_cpu(table[2].addr), 5);
	assert_int_equal(le32_to_cpu(table[2].len), 6);
	assert_int_equal(le16_to_cpu(table[2].flags), VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
	assert_int_equal(le16_to_cpu(table[2].next), 7);
	assert_int_equal(le32_to_cpu(table[0].len), 0);
	stop();
}

static void raw_door(void **state)
{
	struct virtqueue *vq = start_queue(VIRTIO_BIT(VIRTIO_F_EVENT_IDX), 8);
	const struct vq_raw_desc d = { 0x1122334455667788ull, 0x99, 0xfff8 | VRING_DESC_F_NEXT, 4 };
	const struct vq_raw_desc end = { 0x99, 1, VRING_DESC_F_WRITE, 7 };
	const struct vq_raw_desc loop = { 1, 2, VRING_DESC_F_NEXT, 5 }, out = { 1, 2, 1, 0xffff };
	const uint16_t heads[] = { 3, 5, 6 };
	struct vq_raw_desc back;
	uint32_t id, len;

	(void)state;
	assert_int_equal(vq_raw_stage(vq, 8, &d), -EINVAL);
	assert_int_equal(vq_raw_stage(vq, 3, &d), 0);
	assert_int_equal(vq_raw_stage(vq, 4, &end), 0);
	assert_int_equal(vq_raw_stage(vq, 5, &loop), 0);
	assert_int_equal(vq_raw_stage(vq, 6, &out), 0);
	assert_int_equal(vq_raw_stage(vq, 7, &d), 0); /* behind the end, which has no NEXT */
	vq_split_desc(vq_split(vq), 3, &back);
	assert_int_equal(back.addr, 0);
	assert_int_equal(le16_to_cpu(dev.q[0].avail->idx), 0);
	vq_raw_post(vq, heads, 3);
	vq_split_desc(vq_split(vq), 3, &back);
	assert_memory_equal(&d, &back, sizeof(d));
	vq_split_desc(vq_split(vq), 4, &back);
	assert_memory_equal(&end, &back, sizeof(end));
	vq_split_desc(vq_split(vq), 7, &back);
	assert_int_equal(back.addr, 0);
	assert_int_equal(le16_to_cpu(dev.q[0].avail->idx), 3);
	assert_int_equal(le16_to_cpu(dev.q[0].avail->ring[0]), 3);
	assert_int_equal(le16_to_cpu(dev.q[0].avail->ring[1]), 5);
	assert_int_equal(le16_to_cpu(dev.q[0].avail->ring[2]), 6);
	*(le16 *)&dev.q[0].used->ring[8] = cpu_to_le16(2);
	assert_true(vq_raw_kick_wanted(vq)); /* from 0 to 3 passes 2 */
	vq_raw_post(vq, heads, 1);
	assert_false(vq_raw_kick_wanted(vq));
	assert_int_equal(vq_raw_used_count(vq), 0);
	fake_push(&dev, 0, 6, 7);
	fake_push(&dev, 0, 3, 1);
	assert_int_equal(vq_raw_used_count(vq), 2);
	vq_raw_used(vq, 1, &id, &len);
	assert_int_equal(id, 3);
	assert_int_equal(len, 1);
	vq_raw_take(vq, 1);
	assert_int_equal(vq_raw_used_count(vq), 1);
	vq_raw_used(vq, 0, &id, &len);
	assert_int_equal(id, 3);
	vq_interrupts(vq, true);
	vq_raw_take(vq, 1); /* each is wanted: the event follows */
	assert_int_equal(le16_to_cpu(dev.q[0].avail->ring[8]), 2);
	assert_int_equal(vq_raw_want_nth(vq, 3), 0);
	vq_raw_take(vq, 1); /* the third from then on: the event stays */
	assert_int_equal(le16_to_cpu(dev.q[0].avail->ring[8]), 4);
	stop();
}

/* ASan sees what is read behind the staged descriptors. */
static void raw_leaves_the_table(void **state)
{
	struct virtqueue *vq = start_queue(0, 8);
	const struct vq_raw_desc out = { 1, 2, VRING_DESC_F_NEXT, 8 };
	const uint16_t head = 7;

	(void)state;
	assert_int_equal(vq_raw_stage(vq, 7, &out), 0);
	vq_raw_post(vq, &head, 1);
	assert_int_equal(le16_to_cpu(dev.q[0].desc[7].next), 8);
	assert_int_equal(le16_to_cpu(dev.q[0].desc[0].flags), 0);
	stop();
}

static void raw_nth_needs_event_idx(void **state)
{
	struct virtqueue *vq = start_queue(0, 8);

	(void)state;
	assert_int_equal(vq_raw_want_nth(vq, 1), -EOPNOTSUPP);
	stop();
}

/* Read and written as they are. */
static void split_parts(void **state)
{
	struct virtqueue *vq = start_queue(VIRTIO_BIT(VIRTIO_F_EVENT_IDX), 8);
	const struct vq_raw_desc d = { 0x1122334455667788ull, 0x99, 0xffff, 0xabcd };
	struct vq_split *s = vq_split(vq);
	const uint16_t head = 3;
	struct vq_raw_desc back;
	uint32_t id, len;

	(void)state;
	vq_split_set_desc(s, 3, &d);
	vq_split_desc(s, 3, &back);
	assert_memory_equal(&d, &back, sizeof(d));
	vq_split_set_avail_idx(s, 77);
	assert_int_equal(le16_to_cpu(dev.q[0].avail->idx), 77);
	vq_raw_post(vq, &head, 1); /* nothing is staged: the table keeps what was put there */
	assert_int_equal(le16_to_cpu(dev.q[0].avail->ring[77 & 7]), 3);
	assert_int_equal(le16_to_cpu(dev.q[0].avail->idx), 78);
	vq_split_desc(s, 3, &back);
	assert_memory_equal(&d, &back, sizeof(d));
	vq_split_set_avail_flags(s, 0xfffe);
	assert_int_equal(le16_to_cpu(dev.q[0].avail->flags), 0xfffe);
	vq_split_set_used_event(s, 5);
	assert_int_equal(le16_to_cpu(dev.q[0].avail->ring[8]), 5);
	fake_push(&dev, 0, 6, 7);
	assert_int_equal(vq_split_used_idx(s), 1);
	vq_split_used(s, 8, &id, &len);
	assert_int_equal(id, 6);
	assert_int_equal(len, 7);
	dev.q[0].used->flags = cpu_to_le16(0x1234);
	assert_int_equal(vq_split_used_flags(s), 0x1234);
	*(le16 *)&dev.q[0].used->ring[8] = cpu_to_le16(99);
	assert_int_equal(vq_split_avail_event(s), 99);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_buffer),
		cmocka_unit_test(bad_arguments),
		cmocka_unit_test(ring_full),
		cmocka_unit_test(gaps),
		cmocka_unit_test(wraps_direct),
		cmocka_unit_test(wraps_indirect),
		cmocka_unit_test(indirect_long),
		cmocka_unit_test(indirect_single),
		cmocka_unit_test(used_id_too_large),
		cmocka_unit_test(used_id_huge),
		cmocka_unit_test(used_id_not_head),
		cmocka_unit_test(used_twice),
		cmocka_unit_test(used_len_too_long),
		cmocka_unit_test(used_index_jumps),
		cmocka_unit_test(used_index_back),
		cmocka_unit_test(words),
		cmocka_unit_test(watcher_is_told),
		cmocka_unit_test(audited_at_reset),
		cmocka_unit_test(raw_is_not_told),
		cmocka_unit_test(unwanted_interrupts),
		cmocka_unit_test(kick_flags),
		cmocka_unit_test(kick_event_idx),
		cmocka_unit_test(interrupts_flags),
		cmocka_unit_test(interrupts_event_idx),
		cmocka_unit_test(polling_starts_suppressed),
		cmocka_unit_test(raw_entries),
		cmocka_unit_test(raw_door),
		cmocka_unit_test(raw_nth_needs_event_idx),
		cmocka_unit_test(raw_leaves_the_table),
		cmocka_unit_test(split_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
