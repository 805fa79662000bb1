/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 2.8): a packed ring is one array of descriptors, to which both sides write. Wrap counters tell
 * what is new, ids which buffer it is, and each list of descriptors comes back by one used descriptor. Tables have
 * their entries one after the other; two small structures say who wants to be told of what.
 *
 * How real hosts break it: code for split rings is bent to the other layout. Sizes must be powers of two, NEXT is
 * looked for in tables, WRITE is missing in used descriptors (QEMU), counters change one descriptor early or late, or
 * survive a reset, positions of events are compared without their counter.
 *
 * How the test sees it: descriptors are written as the clause has them, at each place of the ring, and read back where
 * the device must have written or must not. What both layouts promise is in ring.c, shapes.c and irq.c.
 */
#include <stdio.h>
#include <string.h>

#include "tests/virtio/util.h"

#define INDIRECT    VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC)
#define EVENT	    VIRTIO_BIT(VIRTIO_F_EVENT_IDX)
#define IN_ORDER    VIRTIO_BIT(VIRTIO_F_IN_ORDER)
#define DATA	    1024u /* where in an actor's memory pieces begin */
#define TABLE	    4096u
#define APART	    64u
#define MAX_LIST    128u
#define MAX_AT_ONCE 128u

#define BOTH (PVRING_DESC_F_AVAIL | PVRING_DESC_F_USED)

static const struct bring_up poll_plain = { .irq = VIRTIO_IRQ_POLL };

static uint16_t slot_of(uint16_t pos)
{
	return pos & 0x7fff;
}

/* The request cut into n pieces: the first ones have one byte, or a few where there are few of them. */
static uint32_t piece_len(const struct actor *a, uint16_t k, uint16_t n)
{
	const uint32_t each = n <= 8 ? 5 : 1;

	if (k + 1 < n)
		return each;
	return each * (n - 1u) < a->len ? a->len - each * (n - 1u) : 1;
}

static uint32_t piece_off(uint16_t k)
{
	return DATA + k * APART % (TABLE - DATA - APART);
}

/* Cuts the prepared request into a list; d has room for n. All have this id. */
static void cut(struct actor *a, struct vq_packed_desc *d, uint16_t n, uint16_t id)
{
	uint32_t done = 0, len;
	uint8_t whole[64];
	uint16_t k;

	memcpy(whole, a->mem, a->len);
	for (k = 0; k < n; k++, done += len) {
		len = piece_len(a, k, n);
		if (done + len <= a->len)
			memcpy(a->mem + piece_off(k), whole + done, len);
		d[k] = (struct vq_packed_desc){
			.addr = a->addr + piece_off(k),
			.len = len,
			.id = id,
			.flags = (uint16_t)(actor_flags(a) | (k + 1 < n ? VRING_DESC_F_NEXT : 0)),
		};
	}
	if (!a->writes)
		memset(a->mem, 0xee, a->len); /* a device that looks only here finds no request */
}

static void gather(struct actor *a, uint16_t n)
{
	uint32_t done = 0, len;
	uint16_t k;

	for (k = 0; a->writes && k < n; k++, done += len) {
		len = piece_len(a, k, n);
		memcpy(a->mem + done, a->mem + piece_off(k), len);
	}
}

/* Waits for the one buffer that is out, and takes it. The descriptor as the device left it. */
static struct vq_packed_desc one_used(struct test_ctx *t, struct actor *a, const char *what)
{
	struct vq_packed *p = actor_packed(a);
	const uint16_t pos = vq_packed_next_used(p);
	struct vq_packed_desc d;

	require(t, actor_wait(a, 1, ANSWER_NS) == 1,
		"%s: queue size %u, %s at slot %u, wrap counter %u: not used in time", vt_who(a->d),
		vq_size(a->vq), what, slot_of(pos), !!(pos & PVRING_WRAP));
	vq_packed_desc(p, slot_of(pos), &d);
	actor_done(a, 1);
	return d;
}

/* A request in a list, used by one descriptor with the right id and understood. */
static struct vq_packed_desc send_list(struct test_ctx *t, struct actor *a,
				       const struct vq_packed_desc *d, uint16_t n, uint16_t id,
				       const char *what)
{
	struct vq_packed_desc used;

	vq_packed_post(actor_packed(a), d, n);
	vq_notify(a->vq);
	used = one_used(t, a, what);
	expect_eq(t, used.id, id, "%s: %s: used id", vt_who(a->d), what);
	expect(t, used.len <= (a->writes ? a->len + n : 0), "%s: %s: used len %u", vt_who(a->d),
	       what, used.len);
	return used;
}

/* --- wrap counters, sizes ------------------------------------------------------------------- */

/* n plain buffers at once, with ids from 0 on; all are used, each once, with these flags. */
static void use(struct test_ctx *t, struct actor *a, uint16_t n)
{
	struct vq_packed_desc d = { a->addr, a->writes ? 1 : a->len, 0, actor_flags(a) };
	struct vq_packed *p = actor_packed(a);
	uint8_t seen[MAX_AT_ONCE] = { 0 };
	uint16_t pos;

	actor_prepare(a, true);
	for (; d.id < n; d.id++)
		vq_packed_post(p, &d, 1);
	vq_notify(a->vq);
	for (; n; n--) {
		pos = vq_packed_next_used(p);
		d = one_used(t, a, "a buffer");
		expect_eq(t, d.flags & BOTH, pos & PVRING_WRAP ? BOTH : 0,
			  "%s: queue size %u, slot %u: AVAIL and USED of a used descriptor",
			  vt_who(a->d), vq_size(a->vq), slot_of(pos));
		require(t, d.id < MAX_AT_ONCE && !seen[d.id],
			"%s: queue size %u, slot %u: used id %u, or that twice", vt_who(a->d),
			vq_size(a->vq), slot_of(pos), d.id);
		seen[d.id] = 1;
	}
}

/* Three times round the ring. */
static void go_round(struct test_ctx *t, struct actor *a, uint16_t at_once)
{
	const uint16_t size = vq_size(a->vq);
	unsigned int done;

	for (done = 0; done <= 3u * size; done += at_once)
		use(t, a, at_once);
	expect_eq(t, vq_raw_used_count(a->vq), 0, "%s: queue size %u: more used than posted",
		  vt_who(a->d), size);
}

TEST(packed_wraps,
     .id = "virtio.ring.packed_wraps",
     .clause = "virtio 1.4, 2.8.1, 2.8.10.1: wrap counters change behind the last descriptor, in a queue of any size",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED,
     .timeout = 20 * SEC)
{
	static const uint16_t sizes[] = { 1, 2, 3, 5, 8, 13, 0 };
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i, k;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++)
		for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			how.size = sizes[k] ? sizes[k] : (uint16_t)(a.d->max_size[a.queue] - 1);
			how.features = VIRTIO_BIT(VIRTIO_F_RING_PACKED);
			require(t, vt_try_up(a.d, &how) == 0, "%s: queues of %u entries: %s",
				vt_who(a.d), how.size, a.d->error);
			actor_up(t, &a, &how);
			if (vq_size(a.vq) < 16)
				go_round(t, &a, 1);
			go_round(t, &a, vq_size(a.vq) < MAX_AT_ONCE ? vq_size(a.vq) : MAX_AT_ONCE);
		}
}

/* An odd number of rounds leaves the counters at 0; a queue that is made anew starts with 1. */
TEST(packed_reset,
     .id = "virtio.ring.packed_reset",
     .clause = "virtio 1.4, 2.8.1, 2.4.1: after a reset both wrap counters are 1, and the ring begins at its first descriptor",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED,
     .timeout = 20 * SEC)
{
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL, .size = 8 };
	unsigned int i, k, n;
	struct actor a;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++)
		for (n = 1; n <= 20; n += 3) {
			actor_up(t, &a, &how);
			for (k = 0; k < n; k++)
				actor_one(t, &a);
		}
}

/* --- lists ------------------------------------------------------------------------------------ */

TEST(packed_lists,
     .id = "virtio.ring.packed_lists",
     .clause = "virtio 1.4, 2.8.18 MUST: a list chained by NEXT is used in the order in which it was made available, at any place of the ring",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED,
     .timeout = 20 * SEC)
{
	static struct vq_packed_desc d[MAX_LIST];
	static const uint16_t sizes[] = { 7, 16, 0 };
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, k;
	struct actor a;
	uint16_t n, size, top;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++)
		for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			how.size = sizes[k];
			actor_up(t, &a, &how);
			size = vq_size(a.vq);
			top = size < MAX_LIST ? size : MAX_LIST;
			/* Sums of these lengths come to each place of a short ring. */
			for (n = 1; n <= top; n = n < 8 || n == top ? (uint16_t)(n + 1) : top) {
				actor_prepare(&a, false);
				cut(&a, d, n, n);
				send_list(t, &a, d, n, n, "a list");
				gather(&a, n);
				expect(t, actor_understood(&a, a.len),
				       "%s: queue size %u, a list of %u: %s", vt_who(a.d), size, n,
				       a.writes ? "none of the bytes was written" :
						  "no RST answers the request");
			}
		}
}

/* The id is the driver's number for the buffer; where it is no last descriptor's it means nothing. */
TEST(packed_ids,
     .id = "virtio.ring.packed_ids",
     .clause = "virtio 1.4, 2.8.6, 2.8.13: a list's id is that of its last descriptor, any 16 bits",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED)
{
	static const uint16_t ids[] = { 0, 1, 127, 128, 255, 256, 0x7fff, 0x8000, 0xffff };
	struct vq_packed_desc d[3];
	struct actor a;
	unsigned int i, k;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++) {
		actor_up(t, &a, &poll_plain);
		if (vq_size(a.vq) < 3)
			continue;
		for (k = 0; k < sizeof(ids) / sizeof(ids[0]); k++) {
			actor_prepare(&a, true);
			cut(&a, d, 3, 0x5a5a);
			d[2].id = ids[k];
			send_list(t, &a, d, 3, ids[k], "a list of three");
		}
	}
}

/* One used descriptor for the whole list, at the list's first place; the others stay as the driver wrote them. */
TEST(packed_one_used,
     .id = "virtio.ring.packed_one_used",
     .clause = "virtio 1.4, 2.8.15 MUST NOT, 2.8.6: a list is used by a single descriptor; no other one is changed",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED)
{
	struct vq_packed_desc d[4], seen, used, before = { 0 };
	struct vq_packed *p;
	unsigned int i, round, k;
	struct actor a;
	uint16_t pos, at, last = 0;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++) {
		actor_up(t, &a, &poll_plain);
		p = actor_packed(&a);
		if (vq_size(a.vq) < 8)
			continue;
		for (round = 0; round < 40; round++) {
			actor_prepare(&a, true);
			cut(&a, d, 4, 3);
			pos = vq_packed_next_avail(p);
			used = send_list(t, &a, d, 4, 3, "a list of four");
			vq_packed_desc(p, slot_of(last), &seen);
			expect(t, !round || memcmp(&before, &seen, sizeof(seen)) == 0,
			       "%s: a used descriptor changed later: len %u, was %u", vt_who(a.d),
			       seen.len, before.len);
			before = used;
			last = pos;
			for (k = 1; k < 4; k++) {
				at = vq_packed_behind(p, pos, (uint16_t)k);
				vq_packed_desc(p, slot_of(at), &seen);
				d[k].flags |= vq_packed_avail_flags(at);
				expect(t, memcmp(&d[k], &seen, sizeof(seen)) == 0,
				       "%s: descriptor %u of a list changed: flags 0x%04x, were 0x%04x",
				       vt_who(a.d), k + 1, seen.flags, d[k].flags);
			}
		}
	}
}

/* --- what is not available ------------------------------------------------------------------ */

/* A descriptor at the next position, in full but for these bits: whether it stays as it is. */
static bool is_left_alone(struct actor *a, uint16_t pos, uint16_t bits)
{
	struct vq_packed *p = actor_packed(a);
	const struct vq_packed_desc d = { a->addr, a->len, 5, (uint16_t)(actor_flags(a) | bits) };
	struct vq_packed_desc seen;

	actor_prepare(a, true);
	vq_packed_set_desc(p, slot_of(pos), &d);
	vq_notify(a->vq);
	(void)wait_for(false, QUIET_NS / 4);
	vq_packed_desc(p, slot_of(pos), &seen);
	return memcmp(&d, &seen, sizeof(d)) == 0;
}

/*
 * A descriptor of an earlier round looks available to whoever compares AVAIL with USED alone. One that is written in
 * full, but for the counter, must wait.
 */
TEST(packed_not_available,
     .id = "virtio.ring.packed_not_available",
     .clause = "virtio 1.4, 2.8.15 MUST NOT: a descriptor is used unless its AVAIL bit is seen to change",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED)
{
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL, .size = 8 };
	unsigned int i, round, k;
	struct actor a;
	uint16_t pos, wrong;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++) {
		actor_up(t, &a, &how);
		for (round = 0; round < 2; round++) {
			pos = vq_packed_next_avail(actor_packed(&a));
			for (k = 0; k < 2; k++) {
				/* AVAIL is as it was in the round before. */
				wrong = (uint16_t)((pos & PVRING_WRAP ? 0 : PVRING_DESC_F_AVAIL) |
						   (k ? PVRING_DESC_F_USED : 0));
				expect(t, is_left_alone(&a, pos, wrong),
				       "%s: a descriptor with AVAIL %u, USED %u was used at wrap counter %u",
				       vt_who(a.d), !!(wrong & PVRING_DESC_F_AVAIL),
				       !!(wrong & PVRING_DESC_F_USED), !!(pos & PVRING_WRAP));
			}
			for (k = 0; k < vq_size(a.vq); k++)
				actor_one(t, &a);
		}
		/* No driver writes one that is used by its bits (2.8.1); a device that took it would see none of its own. */
		pos = vq_packed_next_avail(actor_packed(&a));
		if (!is_left_alone(&a, pos, pos & PVRING_WRAP ? BOTH : 0))
			test_note(t, "%s: a descriptor that is marked as used is taken",
				  vt_who(a.d));
	}
}

/* Lists of an odd length: what is left of one lies where later ones begin, with its old counter. */
TEST(packed_left_over,
     .id = "virtio.ring.packed_left_over",
     .clause = "virtio 1.4, 2.8.1, 2.8.15 MUST NOT: what a list leaves in the ring is not available in the next round",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED)
{
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL, .size = 7 };
	struct vq_packed_desc d[3];
	struct actor a;
	unsigned int i, round;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++) {
		actor_up(t, &a, &how);
		if (vq_size(a.vq) < 3)
			continue;
		for (round = 0; round < 30; round++) {
			actor_prepare(&a, true);
			cut(&a, d, 3, 2);
			send_list(t, &a, d, 3, 2, "a list of three");
			vq_notify(a.vq);
			expect_eq(t, actor_wait(&a, 1, QUIET_NS / 32), 0,
				  "%s: round %u: used, though nothing is available", vt_who(a.d),
				  round);
		}
	}
}

/* --- tables ----------------------------------------------------------------------------------- */

/* What is reserved in a table's entries has any value. */
static const struct table {
	const char *name;
	uint16_t n, more, pointer;
} tables[] = {
	{ "a table of one entry", 1, 0, 0 },
	{ "a table of three entries", 3, 0, 0 },
	{ "a table whose entries have NEXT", 3, VRING_DESC_F_NEXT, 0 },
	{ "a table whose entries have INDIRECT", 2, VRING_DESC_F_INDIRECT, 0 },
	{ "a table whose entries have AVAIL and USED", 4, BOTH, 0 },
	{ "a table behind a pointer with WRITE", 3, 0, VRING_DESC_F_WRITE },
};

static void one_table(struct test_ctx *t, struct actor *a, const struct table *l)
{
	struct vq_packed_desc d[4], pointer;
	struct pvring_desc e;
	uint16_t k;

	actor_prepare(a, false);
	cut(a, d, l->n, 9);
	for (k = 0; k < l->n; k++) {
		e = (struct pvring_desc){ cpu_to_le64(d[k].addr), cpu_to_le32(d[k].len),
					  cpu_to_le16((uint16_t)(0x4000 + k)),
					  cpu_to_le16(actor_flags(a) | l->more) };
		memcpy(a->mem + TABLE + k * sizeof(e), &e, sizeof(e));
	}
	/* A trap: whoever takes one entry more finds no memory. */
	e = (struct pvring_desc){ .addr = cpu_to_le64(0xfffffffffffff000ull),
				  .len = cpu_to_le32(64),
				  .flags = cpu_to_le16(actor_flags(a)) };
	memcpy(a->mem + TABLE + k * sizeof(e), &e, sizeof(e));
	pointer = (struct vq_packed_desc){ a->addr + TABLE, l->n * (uint32_t)sizeof(e), 9,
					   (uint16_t)(VRING_DESC_F_INDIRECT | l->pointer) };
	send_list(t, a, &pointer, 1, 9, l->name);
	gather(a, l->n);
	expect(t, actor_understood(a, a->len), "%s: %s: %s", vt_who(a->d), l->name,
	       a->writes ? "none of the bytes was written" : "no RST answers the request");
}

TEST(packed_tables,
     .id = "virtio.ring.packed_tables",
     .clause = "virtio 1.4, 2.8.7: the entries of a table follow each other; but for WRITE their flags are ignored, and their ids",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED)
{
	const struct bring_up how = { .features = INDIRECT, .irq = VIRTIO_IRQ_POLL, .size = 5 };
	unsigned int i, k, round, tried = 0;
	struct actor a;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++) {
		if (INDIRECT & ~a.d->offered)
			continue;
		tried++;
		actor_up(t, &a, &how);
		/* Twice, so that each stands elsewhere in the ring, with a list between them. */
		for (round = 0; round < 2; round++)
			for (k = 0; k < sizeof(tables) / sizeof(tables[0]); k++) {
				one_table(t, &a, &tables[k]);
				actor_one(t, &a);
			}
	}
	actor_tried(t, tried, "with RING_PACKED and INDIRECT_DESC");
}

/* --- used descriptors -------------------------------------------------------------------------- */

/* What a vsock device wrote into its receive queue: the oldest used descriptor there. */
static void look_at_rx(struct test_ctx *t, struct actor *a)
{
	struct virtqueue *rx = a->d->vq[0];
	struct vq_packed *p = vq_packed(rx);
	struct vq_packed_desc d;

	if (!wait_for(vq_pending(rx), ANSWER_NS))
		return;
	vq_packed_desc(p, slot_of(vq_packed_next_used(p)), &d);
	expect(t, d.len >= 44 && (d.flags & VRING_DESC_F_WRITE),
	       "%s: rx: a used descriptor with len %u and flags 0x%04x, without WRITE",
	       vt_who(a->d), d.len, d.flags);
}

TEST(packed_write_flag,
     .id = "virtio.ring.packed_write_flag",
     .clause = "virtio 1.4, 2.8.3, 2.8.4: WRITE of a used descriptor says whether something was written; without it len is ignored",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED)
{
	struct vq_packed_desc d, used;
	unsigned int i;
	struct actor a;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++) {
		actor_up(t, &a, &poll_plain);
		actor_prepare(&a, false);
		d = (struct vq_packed_desc){ a.addr, a.len, 1, actor_flags(&a) };
		vq_packed_post(actor_packed(&a), &d, 1);
		vq_notify(a.vq);
		used = one_used(t, &a, "a buffer");
		if (a.writes)
			expect(t, used.flags & VRING_DESC_F_WRITE,
			       "%s: a used descriptor with len %u and flags 0x%04x, without WRITE",
			       vt_who(a.d), used.len, used.flags);
		else
			expect(t, !(used.flags & VRING_DESC_F_WRITE) && used.len == 0,
			       "%s: tx: a used descriptor with len %u and flags 0x%04x: nothing could be written",
			       vt_who(a.d), used.len, used.flags);
		if (!a.writes && !a.mute)
			look_at_rx(t, &a);
	}
}

/* Each used descriptor is read the moment that its flags say so. */
TEST(packed_flags_last,
     .id = "virtio.ring.packed_flags_last",
     .clause = "virtio 1.4, 2.8.2, 2.8.22: id and len of a used descriptor are there once its flags say that it is used",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED)
{
	struct vq_packed_desc d, used;
	unsigned int i, k;
	struct actor a;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++) {
		actor_up(t, &a, &poll_plain);
		for (k = 0; k < 200; k++) {
			actor_prepare(&a, true);
			/* The slot holds another id and length until the device writes its own. */
			d = (struct vq_packed_desc){ a.addr, a.writes ? 1 : a.len, 0x100,
						     actor_flags(&a) | VRING_DESC_F_NEXT };
			const struct vq_packed_desc list[2] = {
				d, { a.addr + DATA, 1, 7, actor_flags(&a) }
			};

			vq_packed_post(actor_packed(&a), list, 2);
			vq_notify(a.vq);
			used = one_used(t, &a, "a list of two");
			require(t, used.id == 7 && used.len <= (a.writes ? 2 : 0),
				"%s: used descriptor %u has id 0x%x and len %u when its flags say so",
				vt_who(a.d), k, used.id, used.len);
		}
	}
}

/* --- in order --------------------------------------------------------------------------------- */

/* The request where it lies, in n descriptors. */
static void slice(const struct actor *a, struct vq_packed_desc *d, uint16_t n, uint16_t id)
{
	uint32_t done = 0;
	uint16_t k;

	for (k = 0; k < n; k++, done += 8)
		d[k] = (struct vq_packed_desc){
			.addr = a->addr + done,
			.len = k + 1 < n ? 8 : a->len - done,
			.id = id,
			.flags = (uint16_t)(actor_flags(a) | (k + 1 < n ? VRING_DESC_F_NEXT : 0)),
		};
}

/*
 * Lists of one to three descriptors, as many at once as there is room for; whatever the device tells of together, the
 * next used descriptor stands behind all of it.
 */
TEST(packed_in_order,
     .id = "virtio.ring.packed_in_order",
     .clause = "virtio 1.4, 2.8.8, 2.8.12 MUST: with IN_ORDER descriptors are processed in ring order; one used descriptor may tell of a batch, all of which the device skips",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED)
{
	const struct bring_up how = { .features = IN_ORDER, .irq = VIRTIO_IRQ_POLL, .size = 32 };
	unsigned int i, round, tried = 0;
	struct vq_packed_desc d[3];
	struct actor a;
	uint16_t k, m;
	uint32_t used, len;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++) {
		if (IN_ORDER & ~a.d->offered)
			continue;
		tried++;
		actor_up(t, &a, &how);
		for (round = 0; round < 12; round++) {
			const uint16_t n = (uint16_t)(1 + round % (vq_size(a.vq) / 3));

			actor_prepare(&a, true);
			for (k = 0; k < n; k++) {
				m = (uint16_t)(1 + (k + round) % 3);
				slice(&a, d, m, (uint16_t)(100 + k));
				vq_packed_post(actor_packed(&a), d, m);
			}
			vq_notify(a.vq);
			require(t, actor_wait(&a, n, ANSWER_NS) == n,
				"%s: round %u: of %u lists not all are used", vt_who(a.d), round,
				n);
			for (k = 0; k < n; k++) {
				actor_used(&a, k, &used, &len);
				require(t, used >= 100u + k && used < 100u + n,
					"%s: list %u of %u is used by id %u", vt_who(a.d), k + 100,
					n, used);
			}
			actor_done(&a, n);
		}
	}
	actor_tried(t, tried, "with RING_PACKED and IN_ORDER");
}

/* --- the device's wish ------------------------------------------------------------------------ */

static void check_device_event(struct test_ctx *t, struct actor *a, bool event_idx)
{
	uint16_t pos, flags;

	vq_packed_device_event(actor_packed(a), &pos, &flags);
	expect(t, flags <= (event_idx ? PVRING_EVENT_DESC : PVRING_EVENT_DISABLE),
	       "%s: the device's event flags are 0x%04x %s EVENT_IDX", vt_who(a->d), flags,
	       event_idx ? "with" : "without");
	expect(t, flags != PVRING_EVENT_DESC || slot_of(pos) < vq_size(a->vq),
	       "%s: the device's event is at slot %u of %u", vt_who(a->d), slot_of(pos),
	       vq_size(a->vq));
}

TEST(packed_device_event,
     .id = "virtio.ring.packed_device_event",
     .clause = "virtio 1.4, 2.8.10, 2.8.14: the device's wish has flags 0, 1 or, with EVENT_IDX, 2, and an offset within the ring; who is told as it says is enough",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED,
     .timeout = 20 * SEC)
{
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL, .size = 6 };
	unsigned int i, k, e;
	struct actor a;
	bool told;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++)
		for (e = 0; e < (a.d->offered & EVENT ? 2u : 1u); e++) {
			how.features = e ? EVENT : 0;
			actor_up(t, &a, &how);
			actor_desc(&a, 0, 0, a.writes ? 1 : a.len, actor_flags(&a), 0);
			for (k = 0; k < 60; k++) {
				actor_prepare(&a, true);
				/* Now and then it has rested, and waits to be told; at the ring's end each time. */
				if (k % 4 == 3 || k % how.size == 0) {
					(void)wait_for(false, MSEC);
					check_device_event(t, &a, e);
				}
				actor_post(&a, 0);
				told = vq_raw_kick_wanted(a.vq);
				if (told)
					vq_notify(a.vq);
				require(t, actor_wait(&a, 1, ANSWER_NS) == 1,
					"%s: buffer %u is not used (told: %u, as the device's wish says)",
					vt_who(a.d), k, told);
				actor_done(&a, 1);
				check_device_event(t, &a, e);
			}
		}
}

/* 4.1.5.2: whatever a device does with the position in a notification, it uses what is there. */
TEST(ring_notification_data,
     .id = "virtio.ring.notification_data",
     .clause = "virtio 1.4, 2.9, 4.1.5.2: with NOTIFICATION_DATA a notification says where the driver stands, and the device looks",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .features = VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA),
				      .irq = VIRTIO_IRQ_POLL,
				      .size = 8 };
	unsigned int i, k, tried = 0;
	struct actor a;

	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		if (how.features & ~a.d->offered)
			continue;
		tried++;
		actor_up(t, &a, &how);
		for (k = 0; k < 40; k++) {
			/* A device that rests looks only where it is told. */
			(void)wait_for(false, k < 20 ? MSEC / 4 : 0);
			actor_one(t, &a);
		}
	}
	actor_tried(t, tried, "with NOTIFICATION_DATA");
}

/* --- the driver's wish ------------------------------------------------------------------------ */

static uint64_t count(const struct actor *a)
{
	return __atomic_load_n(&a->d->irqs.shared, __ATOMIC_RELAXED) +
	       __atomic_load_n(&a->d->irqs.queue[a->queue], __ATOMIC_RELAXED);
}

static void is_told(struct test_ctx *t, struct actor *a, uint64_t before, uint16_t pos,
		    const char *what)
{
	require(t, wait_for(count(a) > before, ANSWER_NS),
		"%s: queue size %u, slot %u, wrap counter %u: %s: no interrupt", actor_who(a),
		vq_size(a->vq), slot_of(pos), !!(pos & PVRING_WRAP), what);
}

/* The event at the second of two buffers that are used one after the other. */
static void not_before(struct test_ctx *t, struct actor *a, unsigned int *early)
{
	struct vq_packed *p = actor_packed(a);
	const uint16_t pos = vq_packed_behind(p, vq_packed_next_used(p), 1);
	uint64_t before;

	vq_packed_set_driver_event(p, pos, PVRING_EVENT_DESC);
	before = count(a);
	use(t, a, 1);
	(void)wait_for(count(a) > before, QUIET_NS / 4);
	*early += (unsigned int)(count(a) - before);
	before = count(a);
	use(t, a, 1);
	is_told(t, a, before, pos, "the event's descriptor is used, behind another one");
}

/*
 * The event at the first, a middle and the last of n buffers, at each place of the ring. Then one that is a whole round
 * ahead: it has the slot of the next buffer, and the other counter.
 */
static void events(struct test_ctx *t, struct actor *a, unsigned int *early)
{
	struct vq_packed *p = actor_packed(a);
	const uint16_t size = vq_size(a->vq);
	uint16_t n, k, pos;
	uint64_t before;
	unsigned int i;

	for (i = 0; i < 2u * size; i++) {
		n = (uint16_t)(1 + i % (size < 5 ? size : 5));
		k = (uint16_t)(i % n);
		pos = vq_packed_behind(p, vq_packed_next_used(p), k);
		vq_packed_set_driver_event(p, pos, PVRING_EVENT_DESC);
		before = count(a);
		use(t, a, n);
		is_told(t, a, before, pos, "the event's descriptor is used");
	}
	for (i = 0; i < 3 && size > 1; i++)
		not_before(t, a, early);
	pos = (uint16_t)(vq_packed_next_used(p) ^ PVRING_WRAP);
	vq_packed_set_driver_event(p, pos, PVRING_EVENT_DESC);
	before = count(a);
	for (i = 0; i < size; i++)
		use(t, a, 1);
	(void)wait_for(count(a) > before, QUIET_NS / 4);
	*early += (unsigned int)(count(a) - before);
	before = count(a);
	use(t, a, 1);
	is_told(t, a, before, pos, "the event's descriptor is used, a round later");
}

TEST(packed_irq_event,
     .id = "virtio.irq.packed_event",
     .clause = "virtio 1.4, 2.8.10: RING_EVENT_FLAGS_DESC: a notification when the descriptor at this offset and wrap counter is used, wherever in a batch",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED,
     .timeout = 20 * SEC)
{
	static const uint16_t sizes[] = { 1, 6, 16 };
	struct bring_up how = { .rings = RINGS_PACKED, .features = EVENT };
	unsigned int i, k, early, tried = 0;
	struct actor a;

	for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		how.size = sizes[k];
		for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
			tried++;
			early = 0;
			events(t, &a, &early);
			/* Nothing forbids it, but the driver asked for one notification, not for this one. */
			if (early)
				test_note(t, "%s: %u interrupts before the event", actor_who(&a),
					  early);
		}
	}
	actor_tried(t, tried, "with RING_PACKED and EVENT_IDX whose interrupts can be set up");
}

/* EVENT_IDX adds a way to ask; the others stay. */
TEST(packed_irq_flags,
     .id = "virtio.irq.packed_flags",
     .clause = "virtio 1.4, 2.8.10: RING_EVENT_FLAGS_ENABLE: each used buffer is notified, with EVENT_IDX as without; RING_EVENT_FLAGS_DISABLE: none",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED,
     .timeout = 20 * SEC)
{
	struct bring_up how = { .rings = RINGS_PACKED, .size = 6 };
	unsigned int i, k, e, extra, tried = 0;
	struct vq_packed *p;
	struct actor a;
	uint64_t before;
	uint16_t pos;

	for (e = 0; e < 2; e++) {
		how.features = e ? EVENT : 0;
		for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
			tried++;
			p = actor_packed(&a);
			extra = 0;
			for (k = 0; k < 20; k++) {
				/* An offset that means nothing with these flags. */
				pos = (uint16_t)(vq_packed_next_used(p) + 3);
				vq_packed_set_driver_event(p, pos, PVRING_EVENT_DISABLE);
				before = count(&a);
				use(t, &a, (uint16_t)(1 + k % 4));
				if (k % 5 == 0)
					(void)wait_for(count(&a) > before, QUIET_NS / 4);
				extra += (unsigned int)(count(&a) - before);
				vq_packed_set_driver_event(p, pos, PVRING_EVENT_ENABLE);
				before = count(&a);
				pos = vq_packed_next_used(p);
				use(t, &a, (uint16_t)(1 + k % 4));
				is_told(t, &a, before, pos, "notifications are enabled");
			}
			if (extra)
				test_note(t, "%s: %u interrupts despite RING_EVENT_FLAGS_DISABLE",
					  actor_who(&a), extra);
		}
	}
	actor_tried(t, tried, "with RING_PACKED whose interrupts can be set up");
}

static bool has_packed(char *why, size_t size)
{
	struct actor a;

	if (actor_of(0, RINGS_PACKED, &a))
		return true;
	snprintf(why, size, "no rng or vsock device offers RING_PACKED (bit 34)");
	return false;
}
NEED(packed, NEED_PACKED, "packed rings", has_packed);
