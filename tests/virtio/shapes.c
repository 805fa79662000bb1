/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 2.7.5, 2.7.5.3): a chain has up to Queue Size descriptors, in the order that next gives;
 * an indirect table lies anywhere, its entries are chained by next, and one without NEXT ends the chain.
 * 2.7.7.2, 2.7.10: where a side wants to be told, it is told, after 65536 buffers as after one, and whatever was
 * before a reset.
 *
 * How real hosts broke it: a full chain was taken for a loop (openvmm 2986, Linux's vringh), all entries of a table
 * were taken (openvmm 2983), tables had to be aligned (vm-virtio 220), or to lie in one page (cloud-hypervisor
 * 8512); used_event was kept (Linux 809ecb9bca), or compared with a wider counter (crosvm 1f4797875).
 *
 * How the test sees it: one request, laid out in each of these ways, is used and understood. Notifications are
 * counted where one is due.
 */
#include <string.h>

#include "tests/virtio/util.h"

#define INDIRECT VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC)
#define EVENT	 VIRTIO_BIT(VIRTIO_F_EVENT_IDX)
#define DATA	 1024u /* where in an actor's memory pieces begin */
#define TABLE	 7168u /* where a table is at first: a page's end lies 1024 bytes behind it */
#define APART	 40u   /* from one piece to the next */
#define ALL	 0u    /* as many descriptors as the queue has */

enum order {
	FORTH, /* descriptor 0, 1, 2 ... */
	BACK,  /* the last one is the head */
	ODDS,  /* 0, 2, 4 ..., then 1, 3, 5 ... */
};

static const struct layout {
	const char *name;
	unsigned int n;	      /* descriptors of the chain */
	bool table;	      /* in a table, whose other entries are traps */
	unsigned int entries; /* of the table, ALL or more than n */
	unsigned int off;     /* of the table behind TABLE */
	enum order order;
} layouts[] = {
	{ "three descriptors, the last one first", 3, false, 0, 0, BACK },
	{ "six descriptors out of order", 6, false, 0, 0, ODDS },
	{ "as many descriptors as the queue", ALL, false, 0, 0, FORTH },
	{ "as many descriptors as the queue, from the last one on", ALL, false, 0, 0, BACK },
	{ "a table that is not aligned", 3, true, 3, 8, FORTH },
	{ "a table at an odd address", 3, true, 3, 5, FORTH },
	{ "a table in two pages", 4, true, 4, 1024 - 24, FORTH },
	{ "a table as long as the queue", ALL, true, ALL, 0, FORTH },
	{ "a table as long as the queue, in two pages", ALL, true, ALL, 1024 - 16, FORTH },
	{ "a table with entries behind the end", 2, true, 5, 0, FORTH },
};
#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

/* Which descriptor, or entry, comes k-th. A table begins at entry 0, so there BACK is no order. */
static uint16_t place(enum order order, unsigned int k, unsigned int n)
{
	const unsigned int even = (n + 1) / 2;

	if (order == BACK)
		return (uint16_t)(n - 1 - k);
	if (order == ODDS)
		return (uint16_t)(k < even ? 2 * k : 2 * (k - even) + 1);
	return (uint16_t)k;
}

/*
 * The k-th piece of n. All but the last have one byte, or a few where there are few: what the last one of many holds
 * behind the request is no part of it.
 */
static uint32_t piece_len(const struct actor *a, unsigned int k, unsigned int n)
{
	const uint32_t each = n <= 8 ? 5 : 1;

	if (k + 1 < n)
		return each;
	return each * (n - 1) < a->len ? a->len - each * (n - 1) : 1;
}

/* Traps: whoever takes such an entry finds no memory. */
static void set_traps(struct actor *a, const struct layout *l, unsigned int entries)
{
	const struct vq_raw_desc trap = { 0xfffffffffffff000ull, 64, actor_flags(a), 0 };
	unsigned int i;

	for (i = 0; i < entries; i++)
		vq_raw_entry(a->vq, a->mem + TABLE + l->off, (uint16_t)i, &trap);
}

static uint16_t lay_out(struct actor *a, const struct layout *l, unsigned int n,
			unsigned int entries)
{
	uint8_t whole[64];
	uint32_t done = 0, len, off;
	unsigned int k;

	memcpy(whole, a->mem, a->len);
	if (l->table)
		set_traps(a, l, entries);
	for (k = 0; k < n; k++, done += len) {
		const bool more = k + 1 < n;
		const uint16_t at = place(l->order, k, n);
		const uint16_t next = more ? place(l->order, k + 1, n) : 0;
		const uint16_t flags = (uint16_t)(actor_flags(a) | (more ? VRING_DESC_F_NEXT : 0));

		len = piece_len(a, k, n);
		off = DATA + k * APART % (TABLE - DATA - APART);
		if (done + len <= a->len)
			memcpy(a->mem + off, whole + done, len);
		if (l->table)
			actor_entry(a, a->mem + TABLE + l->off, at, off, len, flags, next);
		else
			actor_desc(a, at, off, len, flags, next);
	}
	if (!a->writes)
		memset(a->mem, 0xee, a->len);
	if (!l->table)
		return place(l->order, 0, n);
	actor_desc(a, 0, TABLE + l->off, (uint32_t)(entries * sizeof(struct vring_desc)),
		   VRING_DESC_F_INDIRECT, 0);
	return 0;
}

/* The pieces' bytes to where actor_understood() looks. */
static void gather(struct actor *a, unsigned int n)
{
	uint32_t done = 0, len;
	unsigned int k;

	for (k = 0; a->writes && k < n; k++, done += len) {
		len = piece_len(a, k, n);
		memcpy(a->mem + done, a->mem + DATA + k * APART % (TABLE - DATA - APART), len);
	}
}

static void one_layout(struct test_ctx *t, struct actor *a, const struct layout *l)
{
	const unsigned int size = vq_size(a->vq), n = l->n == ALL ? size : l->n;
	const unsigned int entries = l->entries == ALL ? size : l->entries;
	uint32_t id, len;
	uint16_t head;
	bool ok;

	if (n > size || entries > size || n > 128 || n < 2)
		return;
	/* Of a packed ring a table's length says where it ends. */
	if (a->packed && l->table && entries != n)
		return;
	actor_prepare(a, false);
	head = lay_out(a, l, n, entries);
	actor_post(a, head);
	vq_notify(a->vq);
	ok = actor_wait(a, 1, ANSWER_NS) == 1;
	expect(t, ok, "%s: %s: the buffer is not used in time", vt_who(a->d), l->name);
	if (!ok)
		return;
	actor_used(a, 0, &id, &len);
	actor_done(a, 1);
	gather(a, n);
	expect_eq(t, id, head, "%s: %s: used id", vt_who(a->d), l->name);
	expect(t, len <= (a->writes ? a->len + n : 0), "%s: %s: used len %u", vt_who(a->d), l->name,
	       len);
	expect(t, actor_understood(a, len), "%s: %s: %s", vt_who(a->d), l->name,
	       a->writes ? "none of the bytes was written" : "no RST answers the request");
}

TEST(ring_layouts,
     .id = "virtio.ring.layouts",
     .clause = "virtio 1.4, 2.7.5, 2.7.5.3.1, 2.7.5.3.2: up to Queue Size descriptors, chained by next, in the ring or in a table anywhere",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 30 * SEC)
{
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i, k;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++)
		for (k = 0; k < LAYOUTS; k++) {
			how.features = layouts[k].table ? INDIRECT : 0;
			if (how.features & ~a.d->offered)
				continue;
			actor_up(t, &a, &how);
			one_layout(t, &a, &layouts[k]);
		}
}

/* Linux's vhost takes the entries as they lie, so this has a test of its own. */
TEST(ring_table_order,
     .id = "virtio.ring.table_order",
     .clause = "virtio 1.4, 2.7.5.3: the entries of an indirect table are chained by next",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO)
{
	static const struct layout l = {
		"a table whose entries are not in order", 6, true, 6, 0, ODDS
	};
	const struct bring_up how = { .features = INDIRECT, .irq = VIRTIO_IRQ_POLL };
	unsigned int i, tried = 0;
	struct actor a;

	for (i = 0; actor_of(i, RINGS_SPLIT, &a); i++) {
		if (INDIRECT & ~a.d->offered)
			continue;
		tried++;
		actor_up(t, &a, &how);
		one_layout(t, &a, &l);
	}
	actor_tried(t, tried, "with INDIRECT_DESC");
}

/* --- notifications --------------------------------------------------------------------------- */

/* n buffers at once; the k-th is the one whose use is to be told. */
static void told_of(struct test_ctx *t, struct actor *a, uint16_t n, uint16_t k)
{
	uint64_t before;
	uint16_t i;

	actor_prepare(a, true);
	for (i = 0; i < n; i++)
		actor_desc(a, i, 0, a->writes ? 1 : a->len, actor_flags(a), 0);
	vq_raw_want_nth(a->vq, k);
	before = actor_interrupts(a);
	actor_post_batch(a, n);
	vq_notify(a->vq);
	require(t, actor_wait(a, n, ANSWER_NS) == n, "%s: queue size %u: not all of %u are used",
		actor_who(a), vq_size(a->vq), n);
	expect(t, wait_for(actor_interrupts(a) > before, ANSWER_NS),
	       "%s: queue size %u: %u buffers at once, used_event at number %u of them: no interrupt",
	       actor_who(a), vq_size(a->vq), n, k);
	actor_done(a, n);
}

TEST(irq_event_in_batch,
     .id = "virtio.irq.event_in_batch",
     .clause = "virtio 1.4, 2.7.7.2 MUST: with EVENT_IDX, notify when used_event is passed, wherever in a batch, in a queue of any size",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 30 * SEC)
{
	static const uint16_t sizes[] = { 1, 2, 4, 16, 0 };
	struct bring_up how = { .features = EVENT };
	struct actor a;
	unsigned int i, k, tried = 0;
	uint16_t n;

	actor_need(t);
	for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		how.size = sizes[k];
		for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
			tried++;
			for (n = 1; n <= vq_size(a.vq) && n <= 128; n = (uint16_t)(2 * n)) {
				told_of(t, &a, n, 1);
				told_of(t, &a, n, (uint16_t)((n + 1) / 2));
				told_of(t, &a, n, n);
			}
		}
	}
	actor_tried(t, tried, "with EVENT_IDX whose interrupts can be set up");
}

/* used_event was far ahead, and one buffer came; now it is moved back to the next one. */
TEST(irq_event_moved_back,
     .id = "virtio.irq.event_moved_back",
     .clause = "virtio 1.4, 2.7.7.2 MUST: with EVENT_IDX, used_event counts as it is when used.idx is written",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .features = EVENT };
	struct actor a;
	unsigned int i, k;
	uint64_t before;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++)
		for (k = 0; k < 6; k++) {
			vq_raw_want_nth(a.vq, vq_size(a.vq) / 2);
			actor_one(t, &a);
			vq_raw_want_nth(a.vq, 1);
			before = actor_interrupts(&a);
			actor_one(t, &a);
			expect(t, wait_for(actor_interrupts(&a) > before, ANSWER_NS),
			       "%s: used_event moved back to the next buffer: no interrupt",
			       actor_who(&a));
		}
	actor_tried(t, i, "with EVENT_IDX whose interrupts can be set up");
}

/* What an earlier driver agreed on, with EVENT_IDX, is over. */
TEST(irq_flag_cleared,
     .id = "virtio.irq.flag_cleared",
     .clause = "virtio 1.4, 2.7.7.2 MUST: without EVENT_IDX, notify while avail.flags is 0, though it was 1 before",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { 0 };
	struct actor a;
	unsigned int i, k;
	uint64_t before;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++)
		for (k = 0; k < 4; k++) {
			(void)vq_interrupts(a.vq, false);
			actor_one(t, &a);
			(void)vq_interrupts(a.vq, true);
			before = actor_interrupts(&a);
			actor_one(t, &a);
			expect(t, wait_for(actor_interrupts(&a) > before, ANSWER_NS),
			       "%s: avail.flags is 0 again: no interrupt", actor_who(&a));
		}
	actor_tried(t, i, "whose interrupts can be set up");
}

/* `total` plain buffers in batches; what the device uses in time. */
static unsigned int use_many(struct actor *a, unsigned int total, deadline_t end)
{
	const uint16_t size = vq_size(a->vq) < 128 ? vq_size(a->vq) : 128;
	unsigned int done = 0;
	uint16_t n, i;

	actor_prepare(a, true);
	for (i = 0; i < size; i++)
		actor_desc(a, i, 0, a->writes ? 1 : a->len, actor_flags(a), 0);
	while (done < total && !deadline_passed(end)) {
		n = total - done < size ? (uint16_t)(total - done) : size;
		actor_post_batch(a, n);
		vq_notify(a->vq);
		if (actor_wait(a, n, ANSWER_NS) != n)
			break;
		actor_done(a, n);
		done += n;
	}
	return done;
}

/* Told exactly when the device wants it, once it had time to rest, and each use wanted to be told. */
static void both_are_told(struct test_ctx *t, struct actor *a, unsigned int rounds,
			  const char *when)
{
	unsigned int k;
	uint64_t before;
	bool told;

	for (k = 0; k < rounds; k++) {
		actor_prepare(a, true);
		actor_desc(a, 0, 0, a->writes ? 1 : a->len, actor_flags(a), 0);
		(void)vq_raw_want_nth(a->vq, 1); /* without EVENT_IDX: avail.flags are 0 */
		before = actor_interrupts(a);
		if (k + 4 > rounds)
			(void)wait_for(false, QUIET_NS / 10);
		actor_post(a, 0);
		told = vq_raw_kick_wanted(a->vq);
		if (told)
			vq_notify(a->vq);
		require(t, actor_wait(a, 1, ANSWER_NS) == 1,
			"%s: %s: buffer %u is not used (told: %u)", actor_who(a), when, k, told);
		actor_done(a, 1);
		require(t, wait_for(actor_interrupts(a) > before, ANSWER_NS),
			"%s: %s: used buffer %u is not notified", actor_who(a), when, k);
	}
}

TEST(irq_long_run,
     .id = "virtio.irq.long_run",
     .clause = "virtio 1.4, 2.7.7.2 MUST, 2.7.10: who wants to be told is told, with and without EVENT_IDX, also after 65536 buffers",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 60 * SEC)
{
	const struct virtio_device *slow = NULL; /* so it is with each kind of interrupt */
	struct bring_up how = { 0 };
	struct actor a;
	unsigned int i, e, many, tried = 0;

	actor_need(t);
	/* EVENT_IDX first: what one driver took says nothing about the next one. */
	for (e = 2; e-- > 0;) {
		how.features = e ? EVENT : 0;
		for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
			tried++;
			both_are_told(t, &a, 80, e ? "with EVENT_IDX" : "without EVENT_IDX");
			if (a.d == slow)
				continue;
			(void)vq_interrupts(a.vq, false);
			/* The index of a split ring wraps while each use is told. */
			many = 65536 - 5 - a.posted;
			if (use_many(&a, many, deadline_in(test_time_left(t) / 6)) < many) {
				test_note(t, "%s: too slow for 65536 buffers", actor_who(&a));
				slow = a.d;
				continue;
			}
			(void)vq_interrupts(a.vq, true);
			both_are_told(t, &a, 15, "around the 65536th buffer");
		}
	}
	actor_tried(t, tried, "whose interrupts can be set up");
}

/* --- resets ---------------------------------------------------------------------------------- */

/* A head beyond the queue is the driver's mistake. The device may stop at it, until the reset. */
TEST(ring_reset_cures,
     .id = "virtio.ring.reset_cures",
     .clause = "virtio 1.4, 2.4.1, 3.1.1: a reset starts the queues anew, also one that stopped for what the driver did",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up plain = { .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_SPLIT, &a); i++) {
		actor_up(t, &a, &plain);
		actor_post(&a, 0xffff);
		vq_notify(a.vq);
		(void)wait_for(false, QUIET_NS / 2);
		actor_up(t, &a, &plain);
		actor_one(t, &a);
	}
}

/* --- what was written ---------------------------------------------------------------------------- */

#define ROOM   64u /* behind the request */
#define TRIALS 4   /* a byte may be what was there before, but not each time */

/* The device says that it wrote len bytes. Of these, those that were changed are added to `changed`. */
static uint32_t trial(struct test_ctx *t, struct actor *a, unsigned int k, bool changed[ROOM])
{
	const uint8_t pattern = (uint8_t)(0x5a + 17 * k);
	uint32_t id, len, i;

	actor_prepare(a, true);
	memset(a->mem + DATA, pattern, ROOM);
	if (a->writes) {
		actor_desc(a, 0, DATA, ROOM, VRING_DESC_F_WRITE, 0);
	} else {
		actor_desc(a, 0, 0, a->len, VRING_DESC_F_NEXT, 1);
		actor_desc(a, 1, DATA, ROOM, VRING_DESC_F_WRITE, 0);
	}
	actor_post(a, 0);
	vq_notify(a->vq);
	/* A tx queue has no use for it: some devices leave it for good. */
	if (actor_wait(a, 1, a->writes ? ANSWER_NS : QUIET_NS) != 1)
		return UINT32_MAX;
	actor_used(a, 0, &id, &len);
	actor_done(a, 1);
	require(t, len <= ROOM, "%s: used length %u, %u bytes were writable", vt_who(a->d),
		(unsigned int)len, ROOM);
	for (i = 0; i < ROOM; i++)
		changed[i] |= a->mem[DATA + i] != pattern;
	return len;
}

TEST(shapes_written,
     .id = "virtio.ring.len_was_written",
     .clause = "virtio 1.4, 2.7.8.2 MUST: at least len bytes are written to the writable part of a buffer",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, k, tried = 0;
	struct actor a;
	uint32_t len, least, n;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++) {
		bool changed[ROOM] = { false };

		actor_up(t, &a, &how);
		for (k = 0, least = ROOM; k < TRIALS && least != UINT32_MAX; k++) {
			len = trial(t, &a, k, changed);
			least = len == UINT32_MAX || len < least ? len : least;
		}
		tried++;
		if (least == UINT32_MAX) {
			test_note(t, "%s: leaves a packet with room behind it", vt_who(a.d));
			actor_up(t, &a, &how);
			continue;
		}
		for (n = 0; n < least && changed[n]; n++)
			;
		expect(t, n == least, "%s: used length %u, of which %u bytes were written",
		       vt_who(a.d), (unsigned int)least, (unsigned int)n);
	}
	actor_tried(t, tried, "");
}
