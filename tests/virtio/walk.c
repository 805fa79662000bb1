/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 2.7, 2.8): whichever descriptors a driver takes for a buffer, and however many it makes available
 * at once, each buffer is used once, by its id, and nothing but the buffer is read or written.
 *
 * How hosts break it: in combinations. A table is right alone and wrong behind a chain of three in the same batch; a
 * position wraps in the middle of a batch; a driver is told that it need not notify just when it had to.
 *
 * How it is seen here: a walk at random over batches, chains, tables, cuts and places, with queues of several sizes and
 * with and without EVENT_IDX. The device is notified only where it wants to be. The numbers come from shuffle=.
 */
#include <string.h>

#include "tests/virtio/util.h"

#define ROUNDS	  4u
#define BATCHES	  60u
#define CHAINS	  5u   /* of a batch, at most */
#define PIECES	  6u   /* of a chain, at most */
#define SLOT	  128u /* memory of one piece, and what must stay as it is around it */
#define TABLE	  (PIECES * (uint32_t)sizeof(struct vring_desc))
#define SPACE	  (CHAINS * (PIECES * SLOT + TABLE))
#define UNTOUCHED 0x6b
#define INDIRECT  VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC)
#define EVENT	  VIRTIO_BIT(VIRTIO_F_EVENT_IDX)

static struct walk {
	struct test_ctx *t;
	struct actor *a;
	uint8_t *mem; /* pieces, then tables */
	dma_addr_t addr;
	uint16_t place[32768]; /* descriptors in the order in which this batch takes them */
	unsigned int taken;    /* of them */
	struct chain {
		uint16_t head;
		unsigned int n;
		struct {
			uint32_t off, len;
		} piece[PIECES];
	} chain[CHAINS];
} walk;

static unsigned int draw(unsigned int n)
{
	return test_draw(walk.t, n);
}

static void shuffle_places(void)
{
	const unsigned int n = vq_size(walk.a->vq);
	unsigned int i, k;

	for (i = 0; i < n; i++) {
		k = draw(i + 1);
		walk.place[i] = walk.place[k];
		walk.place[k] = (uint16_t)i;
	}
	walk.taken = 0;
}

/* The request, cut at random into pieces at random places. */
static void cut(struct chain *c, unsigned int number)
{
	uint32_t done = 0, left = walk.a->len, len;
	unsigned int k;

	for (k = 0; k < c->n; k++, done += len, left -= len) {
		len = k + 1 < c->n ? 1 + draw(left - (c->n - k - 1)) : left;
		c->piece[k].len = len;
		c->piece[k].off = (number * PIECES + k) * SLOT + 1 + draw(SLOT - len - 2);
		if (!walk.a->writes)
			memcpy(walk.mem + c->piece[k].off, walk.a->mem + done, len);
	}
}

static struct vq_raw_desc piece(const struct chain *c, unsigned int k, uint16_t next)
{
	return (struct vq_raw_desc){
		.addr = walk.addr + c->piece[k].off,
		.len = c->piece[k].len,
		.flags = (uint16_t)(actor_flags(walk.a) | (k + 1 < c->n ? VRING_DESC_F_NEXT : 0)),
		.next = next,
	};
}

static void stage_table(struct chain *c, unsigned int number)
{
	const uint32_t at = CHAINS * PIECES * SLOT + number * TABLE;
	struct vq_raw_desc d;
	unsigned int k;

	for (k = 0; k < c->n; k++) {
		d = piece(c, k, (uint16_t)(k + 1));
		vq_raw_entry(walk.a->vq, walk.mem + at, (uint16_t)k, &d);
	}
	d = (struct vq_raw_desc){ walk.addr + at, (uint32_t)(c->n * sizeof(struct vring_desc)),
				  VRING_DESC_F_INDIRECT, 0 };
	c->head = walk.place[walk.taken++];
	(void)vq_raw_stage(walk.a->vq, c->head, &d);
}

static void stage_chain(struct chain *c)
{
	const uint16_t *at = &walk.place[walk.taken];
	struct vq_raw_desc d;
	unsigned int k;

	c->head = at[0];
	for (k = 0; k < c->n; k++) {
		d = piece(c, k, k + 1 < c->n ? at[k + 1] : 0);
		(void)vq_raw_stage(walk.a->vq, at[k], &d);
	}
	walk.taken += c->n;
}

/* One more chain into the batch; false: the queue has no room for it. */
static bool add_chain(unsigned int number)
{
	const bool table = virtio_has(walk.a->d, VIRTIO_F_INDIRECT_DESC) && draw(2);
	const unsigned int room = vq_size(walk.a->vq) - walk.taken;
	struct chain *c = &walk.chain[number];

	c->n = 1 + draw(PIECES);
	/* 2.7.5.3.1: no table has more entries than the queue. */
	if (c->n > vq_size(walk.a->vq) || (table ? 1 : c->n) > room)
		return false;
	cut(c, number);
	if (table)
		stage_table(c, number);
	else
		stage_chain(c);
	return true;
}

static bool is_in(uint32_t at, const struct chain *c)
{
	unsigned int k;

	for (k = 0; k < c->n; k++)
		if (at >= c->piece[k].off && at < c->piece[k].off + c->piece[k].len)
			return true;
	return false;
}

/* What lies around the pieces that a device may write. */
static void check_around(unsigned int chains)
{
	uint32_t at;

	for (at = 0; walk.a->writes && at < chains * PIECES * SLOT; at++)
		if (walk.mem[at] != UNTOUCHED && !is_in(at, &walk.chain[at / (PIECES * SLOT)]))
			require(walk.t, false, "%s: a byte outside of the buffer was written",
				vt_who(walk.a->d));
}

static void check_used(unsigned int chains)
{
	unsigned int seen = 0, i, k;
	uint32_t id, len;

	for (i = 0; i < chains; i++) {
		actor_used(walk.a, i, &id, &len);
		for (k = 0; k < chains && walk.chain[k].head != id; k++)
			;
		require(walk.t, k < chains, "%s: id %u was used, which was not made available",
			vt_who(walk.a->d), (unsigned int)id);
		require(walk.t, !(seen & 1u << k), "%s: id %u was used twice", vt_who(walk.a->d),
			(unsigned int)id);
		seen |= 1u << k;
		require(walk.t, len <= (walk.a->writes ? walk.a->len : 0), "%s: used len %u of %u",
			vt_who(walk.a->d), (unsigned int)len, walk.a->writes ? walk.a->len : 0);
	}
}

static void batch(unsigned int number)
{
	uint16_t heads[CHAINS];
	unsigned int n, k;

	actor_prepare(walk.a, true);
	memset(walk.mem, UNTOUCHED, CHAINS * PIECES * SLOT);
	shuffle_places();
	for (n = 0; n < 1 + draw(CHAINS) && add_chain(n); n++)
		heads[n] = walk.chain[n].head;
	vq_raw_post(walk.a->vq, heads, n);
	if (vq_raw_kick_wanted(walk.a->vq))
		vq_notify(walk.a->vq);
	k = actor_wait(walk.a, n, ANSWER_NS);
	require(walk.t, k == n, "%s: batch %u: %u of %u buffers are used in time",
		vt_who(walk.a->d), number, k, n);
	check_used(n);
	check_around(n);
	actor_done(walk.a, n);
}

/* One request whose answer shows that its bytes arrived. */
static void understood(void)
{
	uint32_t id, len;

	actor_prepare(walk.a, false);
	shuffle_places();
	if (!add_chain(0))
		return;
	vq_raw_post(walk.a->vq, &walk.chain[0].head, 1);
	vq_notify(walk.a->vq);
	require(walk.t, actor_wait(walk.a, 1, ANSWER_NS) == 1, "%s: a request is not used in time",
		vt_who(walk.a->d));
	actor_used(walk.a, 0, &id, &len);
	actor_done(walk.a, 1);
	/* What a device wrote into the pieces, to where it is looked at. */
	if (walk.a->writes)
		memcpy(walk.a->mem, walk.mem + walk.chain[0].piece[0].off,
		       walk.chain[0].piece[0].len);
	expect(walk.t, actor_understood(walk.a, walk.a->writes ? walk.chain[0].piece[0].len : len),
	       "%s: %s", vt_who(walk.a->d),
	       walk.a->writes ? "none of the bytes was written" : "no RST answers the request");
}

static void one_round(struct test_ctx *t, struct actor *a)
{
	/* A device that is given so many bytes a second, such as a limited rng, walks less far. */
	const deadline_t end = deadline_in(test_time_left(t) / ROUNDS);
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i;

	if (draw(2))
		how.features |= a->d->offered & INDIRECT;
	if (draw(2))
		how.features |= a->d->offered & EVENT;
	how.size = draw(2) ? 0 : 8;
	actor_up(t, a, &how);
	walk.mem = vt_dma(t, a->d, SPACE, &walk.addr);
	batch(0);
	for (i = 1; i < BATCHES && !deadline_passed(end); i++)
		batch(i);
	if (i < BATCHES)
		test_note(t, "%s: too slow for %u batches: %u in time", vt_who(a->d), BATCHES, i);
	understood();
	expect(t, !wait_for(vq_raw_used_count(a->vq), QUIET_NS / 4), "%s: a buffer was used twice",
	       vt_who(a->d));
	expect(t, actor_in_bounds(a), "%s: memory was written that no buffer covers", vt_who(a->d));
}

TEST(ring_walk,
     .id = "virtio.ring.walk",
     .clause = "virtio 1.4, 2.7.5, 2.7.8, 2.8: each buffer is used once, by its id, however it is cut and wherever its descriptors are",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 30 * SEC)
{
	unsigned int i, round;
	struct actor a;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		walk = (struct walk){ .t = t, .a = &a };
		for (round = 0; round < ROUNDS; round++)
			one_round(t, &a);
	}
}
