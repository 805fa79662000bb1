/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.ring.*: a device takes each buffer that is made available, however its descriptors lie, and gives it back once,
 * with the number of bytes that it wrote (virtio 1.4, 2.7 for split virtqueues, 2.8 for packed ones; packed.c has what
 * only those have).
 *
 * How hosts break it: vhost-device-vsock drops a request whose header lies in more than one descriptor, QEMU's devices
 * look for an indirect table at the head of a chain only (docs/known-hosts.md for both); OpenVMM took the longest chain
 * for a loop (openvmm #2986); vhost-vsock reported used lengths of bytes that nobody wrote (Linux 49d8c5ffad07).
 *
 * How it is seen here: through devices that act on what they are given. An rng fills a writable buffer; vsock takes a
 * packet, and answers a request to a closed port with an RST. Descriptors are written by hand, so that each layout is
 * the one that the clause speaks of. Interrupts are off: the ring is polled.
 */
#include <stdio.h>
#include <string.h>

#include "tests/support/cpus.h"
#include "tests/virtio/util.h"

#define INDIRECT VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC)
#define EVENT	 VIRTIO_BIT(VIRTIO_F_EVENT_IDX)
#define TABLE	 4096u /* where in an actor's memory indirect tables are */

static const struct bring_up poll_plain = { .irq = VIRTIO_IRQ_POLL };

/* Makes the chain from head available and waits for it. false: it is not used in time, a FAIL. */
static bool chain_used(struct test_ctx *t, struct actor *a, uint16_t head, const char *what,
		       uint32_t *id, uint32_t *len)
{
	bool ok;

	actor_post(a, head);
	vq_notify(a->vq);
	ok = actor_wait(a, 1, ANSWER_NS) == 1;
	expect(t, ok, "%s: %s: the buffer is not used in time (status 0x%02x)", vt_who(a->d), what,
	       a->d->ops->get_status(a->d));
	if (!ok)
		return false;
	actor_used(a, 0, id, len);
	actor_done(a, 1);
	return true;
}

static void expect_understood(struct test_ctx *t, struct actor *a, const char *what, uint32_t len)
{
	expect(t, actor_understood(a, len), "%s: %s: %s", vt_who(a->d), what,
	       a->writes ? "none of the bytes was written" :
			   "the request was not answered with RST");
}

/* A chain that is used in time, with a sane element, by a device that understood it. */
static bool send_chain(struct test_ctx *t, struct actor *a, uint16_t head, uint32_t writable,
		       const char *what)
{
	uint32_t id, len;

	if (!chain_used(t, a, head, what, &id, &len))
		return false;
	expect_eq(t, id, head, "%s: %s: used id", vt_who(a->d), what);
	expect(t, len <= writable, "%s: %s: used len %u, the buffer has %u writable bytes",
	       vt_who(a->d), what, len, writable);
	expect_understood(t, a, what, len);
	return true;
}

/* --- message framing --------------------------------------------------------------------- */

/* The same bytes cut in several ways; each piece lies elsewhere in memory, to be sure. */
static const struct cut {
	const char *name;
	uint8_t n;
	uint8_t len[12]; /* the last one takes what is left */
} cuts[] = {
	{ "one descriptor", 1, { 0 } },
	{ "1 byte, rest", 2, { 1, 0 } },
	{ "rest, 1 byte", 2, { 43, 0 } },
	{ "two halves", 2, { 22, 0 } },
	{ "through a field", 3, { 17, 9, 0 } },
	{ "eleven times 4", 11, { 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 0 } },
};

/* Writes the pieces from descriptor (or table entry) `first` on. Returns bytes in all. */
static void cut_up(struct actor *a, const struct cut *c, uint8_t *table)
{
	uint32_t done = 0, len, off;
	uint8_t whole[64];
	unsigned int i;
	uint16_t flags;

	memcpy(whole, a->mem, a->len);
	for (i = 0; i < c->n; i++, done += len) {
		len = i + 1 < c->n ? c->len[i] : a->len - done;
		off = 512 + i * 128 + i; /* apart, and not aligned */
		memcpy(a->mem + off, whole + done, len);
		flags = (uint16_t)(actor_flags(a) | (i + 1 < c->n ? VRING_DESC_F_NEXT : 0));
		if (table)
			actor_entry(a, table, (uint16_t)i, off, len, flags, (uint16_t)(i + 1));
		else
			actor_desc(a, (uint16_t)i, off, len, flags, (uint16_t)(i + 1));
	}
	if (!a->writes)
		memset(a->mem, 0xee, a->len); /* a device that looks only here finds no request */
}

/* Puts together what came into the pieces, at mem. */
static void gather(struct actor *a, const struct cut *c)
{
	uint32_t done = 0, len;
	unsigned int i;

	for (i = 0; a->writes && i < c->n; i++, done += len) {
		len = i + 1 < c->n ? c->len[i] : a->len - done;
		memcpy(a->mem + done, a->mem + 512 + i * 129, len);
	}
}

static void one_cut(struct test_ctx *t, struct actor *a, const struct cut *c)
{
	uint32_t id, len;

	actor_prepare(a, false);
	cut_up(a, c, NULL);
	if (!chain_used(t, a, 0, c->name, &id, &len))
		return;
	gather(a, c);
	expect_eq(t, id, 0, "%s: %s: used id", vt_who(a->d), c->name);
	expect(t, len <= (a->writes ? a->len : 0), "%s: %s: used len %u", vt_who(a->d), c->name,
	       len);
	expect_understood(t, a, c->name, len);
}

/*
 * Hosts that take the first descriptor for the header, or want a header and a payload descriptor, fail
 * here. A host may bound the length of chains; 11 is below any reasonable bound.
 */
TEST(ring_framing,
     .id = "virtio.ring.framing",
     .clause = "virtio 1.4, 2.7.4.1 MUST NOT: the device depends on how a buffer is cut into descriptors",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	struct actor a;
	unsigned int i, k;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++)
		for (k = 0; k < sizeof(cuts) / sizeof(cuts[0]); k++) {
			/* Anew each time: a device that broke over one layout is not judged by the next. */
			actor_up(t, &a, &poll_plain);
			if (cuts[k].n > vq_size(a.vq))
				test_note(t, "%s: queue size %u is too small for %u descriptors",
					  vt_who(a.d), vq_size(a.vq), cuts[k].n);
			else
				one_cut(t, &a, &cuts[k]);
		}
}

/* --- indirect descriptors ------------------------------------------------------------------ */

static bool has_feature(const struct actor *a, unsigned int bit)
{
	return a->d->offered & VIRTIO_BIT(bit);
}

static void need_feature(struct test_ctx *t, unsigned int bit, const char *name)
{
	struct actor a;
	unsigned int i;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++)
		if (has_feature(&a, bit))
			return;
	test_skip(t, "no rng or vsock device offers %s (bit %u)", name, bit);
}

static void indirect_cut(struct test_ctx *t, struct actor *a, const struct cut *c,
			 uint16_t more_flags, const char *how)
{
	uint32_t id, len;
	char what[48];

	snprintf(what, sizeof(what), "%s, %s", how, c->name);
	actor_prepare(a, false);
	cut_up(a, c, a->mem + TABLE);
	actor_desc(a, 0, TABLE, (uint32_t)(c->n * sizeof(struct vring_desc)),
		   (uint16_t)(VRING_DESC_F_INDIRECT | more_flags), 0);
	if (!chain_used(t, a, 0, what, &id, &len))
		return;
	gather(a, c);
	expect_eq(t, id, 0, "%s: %s: used id", vt_who(a->d), what);
	expect_understood(t, a, what, len);
}

TEST(ring_indirect,
     .id = "virtio.ring.indirect",
     .clause = "virtio 1.4, 2.7.5.3, 2.8.7 and 2.7.4.1 MUST NOT: a buffer in an indirect table is taken as one in the ring",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .features = INDIRECT, .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i, k;

	need_feature(t, VIRTIO_F_INDIRECT_DESC, "INDIRECT_DESC");
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++)
		for (k = 0;
		     has_feature(&a, VIRTIO_F_INDIRECT_DESC) && k < sizeof(cuts) / sizeof(cuts[0]);
		     k++) {
			actor_up(t, &a, &how);
			/* 2.7.5.3.1: never more than the queue has entries. */
			if (cuts[k].n <= vq_size(a.vq))
				indirect_cut(t, &a, &cuts[k], 0, "indirect");
		}
}

/* The flag on the pointer says nothing about the table's entries. */
TEST(ring_indirect_write,
     .id = "virtio.ring.indirect_write_flag",
     .clause = "virtio 1.4, 2.7.5.3.2 MUST: ignore the WRITE flag of the descriptor that refers to an indirect table",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .features = INDIRECT, .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i;

	need_feature(t, VIRTIO_F_INDIRECT_DESC, "INDIRECT_DESC");
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		if (!has_feature(&a, VIRTIO_F_INDIRECT_DESC))
			continue;
		actor_up(t, &a, &how);
		indirect_cut(t, &a, &cuts[3], VRING_DESC_F_WRITE, "WRITE on the pointer");
		indirect_cut(t, &a, &cuts[3], 0, "no WRITE on the pointer");
	}
}

/*
 * Two plain descriptors, then one that refers to a table with the rest. Few drivers do this; hosts that
 * look for INDIRECT in the head only take the table for data.
 */
TEST(ring_chain_indirect,
     .id = "virtio.ring.chain_then_indirect",
     .clause = "virtio 1.4, 2.7.5.3.2 MUST: normal chained descriptors followed by a single INDIRECT one are handled",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .features = INDIRECT, .irq = VIRTIO_IRQ_POLL };
	const uint16_t next = VRING_DESC_F_NEXT;
	static uint8_t copy[2 * sizeof(struct vring_desc)];
	struct actor a;
	unsigned int i;
	uint16_t f;

	need_feature(t, VIRTIO_F_INDIRECT_DESC, "INDIRECT_DESC");
	for (i = 0; actor_of(i, RINGS_SPLIT, &a); i++) {
		if (!has_feature(&a, VIRTIO_F_INDIRECT_DESC))
			continue;
		actor_up(t, &a, &how);
		if (vq_size(a.vq) < 4)
			continue;
		actor_prepare(&a, false);
		f = actor_flags(&a);
		actor_entry(&a, a.mem + TABLE, 0, 20, 8, f | next, 1);
		actor_entry(&a, a.mem + TABLE, 1, 28, a.len - 28, f, 0);
		memcpy(copy, a.mem + TABLE, sizeof(copy));
		actor_desc(&a, 0, 0, 8, f | next, 1);
		actor_desc(&a, 1, 8, 12, f | next, 2);
		actor_desc(&a, 2, TABLE, sizeof(copy), VRING_DESC_F_INDIRECT, 0);
		send_chain(t, &a, 0, a.writes ? a.len : 0, "two descriptors and a table");
		expect(t, memcmp(copy, a.mem + TABLE, sizeof(copy)) == 0,
		       "%s: the indirect table was written", vt_who(a.d));
	}
}

/* --- what a device must leave alone --------------------------------------------------------- */

TEST(ring_readable,
     .id = "virtio.ring.readable_untouched",
     .clause = "virtio 1.4, 2.7.5.1, 2.8.15 MUST NOT: the device writes to a device-readable buffer",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO)
{
	static uint8_t before[512];
	struct actor a;
	unsigned int i, tried = 0;

	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		/* 5.4.6.1: a driver gives an entropy device no readable buffer. */
		if (a.writes)
			continue;
		tried++;
		actor_up(t, &a, &poll_plain);
		actor_prepare(&a, false);
		memcpy(a.mem + 1024, a.mem, sizeof(before));
		actor_desc(&a, 0, 1024, a.len, 0, 0);
		memcpy(before, a.mem + 1024, sizeof(before));
		if (send_chain(t, &a, 0, 0, "readable buffer"))
			expect(t, memcmp(before, a.mem + 1024, sizeof(before)) == 0,
			       "%s: the readable buffer changed", vt_who(a.d));
	}
	if (!tried)
		test_skip(t, "no vsock device; an entropy device reads nothing");
}

TEST(ring_bounds,
     .id = "virtio.ring.writable_bounds",
     .clause = "virtio 1.4, 2.7.5: a buffer has the length that its descriptor gives; what lies behind is not the device's",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO)
{
	struct actor a;
	unsigned int i, k;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		actor_up(t, &a, &poll_plain);
		/* Each receive buffer of a vsock device gets its answer. */
		for (k = 0; k < 4; k++) {
			actor_prepare(&a, false);
			require(t, actor_round(&a) && actor_understood(&a, a.len),
				"%s: request %u is not answered", vt_who(a.d), k);
			expect(t, actor_in_bounds(&a), "%s: bytes behind a writable buffer changed",
			       vt_who(a.d));
		}
	}
}

TEST(ring_table,
     .id = "virtio.ring.table_untouched",
     .clause = "virtio 1.4, 2.7.5.1 MUST NOT: the device writes to a descriptor table entry",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO)
{
	struct vq_raw_desc want, seen;
	struct vq_split *s;
	struct actor a;
	unsigned int i, round;
	uint16_t k;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_SPLIT, &a); i++) {
		actor_up(t, &a, &poll_plain);
		s = actor_split(&a);
		for (k = 1; k < vq_size(a.vq); k++)
			vq_split_set_desc(s, k,
					  &(const struct vq_raw_desc){
						  a.addr + 0x111u * k, 0x1000u + k,
						  VRING_DESC_F_NEXT, (uint16_t)(k ^ 1) });
		for (round = 0; round < 20; round++) {
			actor_prepare(&a, true);
			require(t, actor_round(&a), "%s: buffer %u is not used", vt_who(a.d),
				round);
		}
		for (k = 1; k < vq_size(a.vq); k++) {
			want = (struct vq_raw_desc){ a.addr + 0x111u * k, 0x1000u + k,
						     VRING_DESC_F_NEXT, (uint16_t)(k ^ 1) };
			vq_split_desc(s, k, &seen);
			expect(t, memcmp(&want, &seen, sizeof(want)) == 0,
			       "%s: descriptor %u changed", vt_who(a.d), k);
		}
		want = (struct vq_raw_desc){ a.addr, a.len, actor_flags(&a), 0 };
		vq_split_desc(s, 0, &seen);
		expect(t, memcmp(&want, &seen, sizeof(want)) == 0,
		       "%s: the descriptor in use changed", vt_who(a.d));
	}
}

TEST(ring_used_len,
     .id = "virtio.ring.used_len",
     .clause = "virtio 1.4, 2.7.8.2 MUST: at least len bytes are written, from the first writable one, before used.idx moves",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO)
{
	uint32_t id, len, n, k, changed;
	struct actor a;
	unsigned int i;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		actor_up(t, &a, &poll_plain);
		for (n = 1; n <= 4096; n *= 4) {
			actor_prepare(&a, true);
			actor_desc(&a, 0, 0, a.writes ? n : a.len, actor_flags(&a), 0);
			actor_post(&a, 0);
			vq_notify(a.vq);
			require(t, actor_wait(&a, 1, ANSWER_NS) == 1,
				"%s: a buffer of %u is not used", vt_who(a.d), n);
			actor_used(&a, 0, &id, &len);
			actor_done(&a, 1);
			expect(t, len <= (a.writes ? n : 0),
			       "%s: used len %u, %u bytes were writable", vt_who(a.d), len,
			       a.writes ? n : 0);
			/* One byte in 256 is the pattern by chance: a quarter of them all is not. */
			for (k = changed = 0; a.writes && k < len && k < 4096; k++)
				changed += a.mem[k] != 0xa5;
			expect(t, !a.writes || len < 64 || changed > len - len / 4,
			       "%s: len %u, but only %u bytes differ from before", vt_who(a.d), len,
			       changed);
		}
	}
}

TEST(ring_used_flags,
     .id = "virtio.ring.used_flags",
     .clause = "virtio 1.4, 2.7.10.2 MUST: used.flags is 0 or 1, and 0 with EVENT_IDX",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO)
{
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i, k, round;
	uint16_t flags;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_SPLIT, &a); i++)
		for (k = 0; k < (has_feature(&a, VIRTIO_F_EVENT_IDX) ? 2u : 1u); k++) {
			how.features = k ? EVENT : 0;
			actor_up(t, &a, &how);
			for (round = 0; round < 20; round++) {
				actor_prepare(&a, true);
				require(t, actor_round(&a), "%s: buffer %u is not used",
					vt_who(a.d), round);
				flags = vq_split_used_flags(actor_split(&a));
				expect(t, flags <= (k ? 0 : 1),
				       "%s: used.flags 0x%04x %s EVENT_IDX", vt_who(a.d), flags,
				       k ? "with" : "without");
			}
		}
}

/* --- notifications and indexes ---------------------------------------------------------------- */

TEST(ring_spurious_kicks,
     .id = "virtio.ring.spurious_kicks",
     .clause = "virtio 1.4, 2.7.10.2 MUST: the device handles spurious notifications from the driver",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	struct actor a;
	unsigned int i, k;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		actor_up(t, &a, &poll_plain);
		for (k = 0; k < 500; k++)
			vq_notify(a.vq);
		expect_eq(t, actor_wait(&a, 1, QUIET_NS / 4), 0,
			  "%s: buffers used, none was posted", vt_who(a.d));
		actor_prepare(&a, false);
		actor_desc(&a, 0, 0, a.len, actor_flags(&a), 0);
		send_chain(t, &a, 0, a.writes ? a.len : 0, "after 500 kicks for nothing");
		for (k = 0; k < 500; k++)
			vq_notify(a.vq);
		expect_eq(t, actor_wait(&a, 1, QUIET_NS / 4), 0,
			  "%s: more buffers used than posted", vt_who(a.d));
		expect_eq(t, a.d->ops->get_status(a.d), 15, "%s: status", vt_who(a.d));
	}
}

/*
 * How long a device looks by itself before it wants to be told is its own choice. The time between a used buffer and the
 * next one follows it: less after a notification that was wanted, more after one that was not. So most buffers come just
 * when the device makes up its mind, between its last look and its wish.
 */
static uint64_t nearer(uint64_t delay, bool told)
{
	const uint64_t step = USEC;

	if (!told)
		return delay < MSEC ? delay + 3 * step : delay;
	return delay > step ? delay - step : 0;
}

/*
 * Told exactly when the device wants it, nothing may get stuck. How many notifications were wanted, for that many buffers;
 * for fewer of a slow device.
 */
static unsigned int told_when_wanted(struct test_ctx *t, struct actor *a, unsigned int buffers)
{
	const deadline_t end = deadline_in(4 * test_sec());
	unsigned int k, kicks = 0;
	uint64_t delay = 0;
	bool told;

	actor_desc(a, 0, 0, a->writes ? 1 : a->len, actor_flags(a), 0);
	for (k = 0; k < buffers && !deadline_passed(end); k++) {
		actor_prepare(a, true);
		(void)wait_for(false, delay + k % 8 * (USEC / 8));
		actor_post(a, 0);
		told = vq_raw_kick_wanted(a->vq);
		kicks += told;
		if (told)
			vq_notify(a->vq);
		delay = nearer(delay, told);
		require(t, actor_wait(a, 1, ANSWER_NS) == 1, "%s: buffer %u is not used (told: %u)",
			vt_who(a->d), k, told);
		actor_done(a, 1);
	}
	return kicks;
}

TEST(ring_event_idx_kicks,
     .id = "virtio.ring.avail_event",
     .clause = "virtio 1.4, 2.7.10, 2.8.10: a device that wants to be told is told by the notification that it asked for, and no other",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 40 * SEC)
{
	enum {
		BUFFERS = 300
	};
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, e, kicks;
	struct actor a;

	actor_need(t);
	for (e = 0; e < 2; e++)
		for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
			if (e && !has_feature(&a, VIRTIO_F_EVENT_IDX))
				continue;
			how.features = e ? EVENT : 0;
			actor_up(t, &a, &how);
			kicks = told_when_wanted(t, &a, BUFFERS);
			test_note(t, "%s: %s EVENT_IDX %u buffers, %u kicks", vt_who(a.d),
				  e ? "with" : "without", a.taken, kicks);
			expect(t, kicks > 0, "%s: took %u buffers without a notification",
			       vt_who(a.d), a.taken);
		}
}

/* --- a queue that two CPUs keep full ------------------------------------------------------------------ */

#define FLOOD_IDS  256u /* buffers on their way, at most */
#define FLOOD_MANY 4000u
#define FLOOD_ASKS 64u	 /* requests; behind more, a device may wait for room (5.10.6.1.2) */
#define FLOOD_OFF  1024u /* of the packet that nobody answers */

static struct flood {
	struct virtqueue *vq;
	uint16_t id[FLOOD_IDS]; /* to be posted: a ring between the two CPUs */
	uint32_t size, given, posted;
	uint32_t stop;
} flood;

/* CPU 1: whatever is free is available again at once; the device is told when it wants to be. */
static void refill(void *arg)
{
	struct flood *f = arg;
	uint32_t given;

	while (!__atomic_load_n(&f->stop, __ATOMIC_ACQUIRE)) {
		given = __atomic_load_n(&f->given, __ATOMIC_ACQUIRE);
		if (given == f->posted) {
			cpu_relax();
			continue;
		}
		while (f->posted != given) {
			vq_raw_post(f->vq, &f->id[f->posted % FLOOD_IDS], 1);
			__atomic_store_n(&f->posted, f->posted + 1, __ATOMIC_RELEASE);
		}
		if (vq_raw_kick_wanted(f->vq))
			vq_notify(f->vq);
	}
}

static void give(struct flood *f, uint16_t id)
{
	f->id[f->given % FLOOD_IDS] = id;
	__atomic_store_n(&f->given, f->given + 1, __ATOMIC_RELEASE);
}

/* The first buffer is a request, which a vsock device answers each time; the others are quiet ones. */
static void flood_begins(struct test_ctx *t, struct actor *a)
{
	struct flood *f = &flood;
	uint32_t i;

	actor_prepare(a, true);
	memmove(a->mem + FLOOD_OFF, a->mem, a->len);
	actor_prepare(a, false);
	*f = (struct flood){ .vq = a->vq, .size = vq_size(a->vq) };
	f->size = f->size < FLOOD_IDS ? f->size : FLOOD_IDS;
	for (i = 0; i < f->size; i++) {
		actor_desc(a, (uint16_t)i, i ? FLOOD_OFF : 0, a->writes ? 1 : a->len,
			   actor_flags(a), 0);
		give(f, (uint16_t)i);
	}
	CPU_OK(t, 1, smp_call_async(1, refill, f));
}

/* CPU 0: takes what is used. How much of it there was. */
static unsigned int drain(struct test_ctx *t, struct actor *a, bool again)
{
	const unsigned int n = vq_raw_used_count(a->vq);
	unsigned int k;
	uint32_t id, len;

	for (k = 0; k < n; k++) {
		actor_used(a, k, &id, &len);
		require(t, id < flood.size, "%s: used id %u, which is not in flight", vt_who(a->d),
			(unsigned int)id);
		if (again)
			flood.id[(flood.given + k) % FLOOD_IDS] = (uint16_t)id;
	}
	actor_done(a, n);
	if (again)
		__atomic_store_n(&flood.given, flood.given + n, __ATOMIC_RELEASE);
	return n;
}

/*
 * Until many were used, and an answer came, or enough requests have none; the device has a second for that, and
 * for each buffer some time.
 */
static void keep_full(struct test_ctx *t, struct actor *a)
{
	const deadline_t end = deadline_in(test_sec());
	const unsigned int asked = FLOOD_ASKS * flood.size;
	bool answered = a->writes || a->mute;

	while ((a->taken < FLOOD_MANY || (!answered && a->taken < asked)) &&
	       !deadline_passed(end)) {
		if (!wait_for(drain(t, a, true) > 0, ANSWER_NS)) {
			/* A CPU that the host does not run makes nothing available. */
			if (__atomic_load_n(&flood.posted, __ATOMIC_ACQUIRE) == a->taken)
				test_error(t, "CPU 1 does not come to post a buffer behind %u",
					   a->taken);
			require(t, false,
				"%s: %u buffers were used, and none of those that are available behind them",
				vt_who(a->d), a->taken);
		}
		answered = answered || actor_acted(a);
	}
	if (!answered)
		test_note(t, "%s: %u buffers of tx were used, and no answer came meanwhile",
			  vt_who(a->d), a->taken);
}

TEST(ring_two_cpus,
     .id = "virtio.ring.two_cpus",
     .clause = "virtio 1.4, 2.6, 2.7.10: each available buffer is used, by a device that is told when it wants to be; however busy its queue is",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_SMP,
     .timeout = 40 * SEC)
{
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, e;
	struct actor a;

	actor_need(t);
	for (e = 0; e < 2; e++)
		for (i = 0; actor_of(i, RINGS_SPLIT, &a); i++) {
			if (e && !has_feature(&a, VIRTIO_F_EVENT_IDX))
				continue;
			how.features = e ? EVENT : 0;
			actor_up(t, &a, &how);
			flood_begins(t, &a);
			keep_full(t, &a);
			__atomic_store_n(&flood.stop, 1, __ATOMIC_RELEASE);
			CPU_OK(t, 1, smp_wait(1, ANSWER_NS));
			require(t,
				wait_for((drain(t, &a, false), a.taken >= flood.posted), ANSWER_NS),
				"%s: of %u buffers %u are used", vt_who(a.d),
				(unsigned int)flood.posted, a.taken);
			expect(t, !wait_for(vq_raw_used_count(a.vq), QUIET_NS / 4),
			       "%s: %u buffers were used, and more", vt_who(a.d), a.taken);
		}
}

/*
 * Buffers in batches of what fits, each slot and id in turn, until `end` at most: an entropy source may be
 * limited to some bytes a second. Those that were used.
 */
static unsigned int run_many(struct test_ctx *t, struct actor *a, unsigned int total,
			     deadline_t end)
{
	const uint16_t size = vq_size(a->vq);
	static uint8_t seen[4096]; /* per id; a batch is at most this long */
	const unsigned int batch = size < sizeof(seen) ? size : (unsigned int)sizeof(seen);
	unsigned int done = 0, n, k, i;
	uint32_t id, len;

	actor_prepare(a, true);
	for (i = 0; i < batch; i++)
		actor_desc(a, i, 0, a->writes ? 1 : a->len, actor_flags(a), 0);
	while (done < total && !deadline_passed(end)) {
		n = total - done < batch ? total - done : batch;
		for (i = 0; i < n; i++)
			actor_post(a, i);
		vq_notify(a->vq);
		(void)actor_wait(a, n, ANSWER_NS);
		k = actor_wait(a, n + 1, 0);
		require(t, k == n,
			"%s: queue size %u: of %u buffers from number %u on, used.idx counts %u",
			vt_who(a->d), size, n, done, k);
		memset(seen, 0, n);
		for (k = 0; k < n; k++) {
			actor_used(a, k, &id, &len);
			require(t, id < n && !seen[id],
				"%s: queue size %u: used element %u has id %u%s", vt_who(a->d),
				size, done + k, id, id < n ? " again" : "");
			seen[id] = 1;
		}
		actor_done(a, n);
		done += n;
	}
	return done;
}

TEST(ring_sizes,
     .id = "virtio.ring.sizes",
     .clause = "virtio 1.4, 2.7, 2.8: a virtqueue works with every power of two up to its largest size, and wraps",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 30 * SEC)
{
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i, size;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++)
		for (size = 1; size <= a.d->max_size[a.queue]; size *= 2) {
			how.size = (uint16_t)size;
			actor_up(t, &a, &how);
			require_eq(t, vq_size(a.vq), size, "%s: queue size", vt_who(a.d));
			run_many(t, &a, 3 * size + 1, deadline_in(test_time_left(t)));
			expect_eq(t, a.taken, 3 * size + 1, "%s: buffers used", vt_who(a.d));
		}
}

/* avail.idx and used.idx are 16 bits and never masked by the size. */
TEST(ring_wrap,
     .id = "virtio.ring.index_wrap",
     .clause = "virtio 1.4, 2.7.6, 2.7.8: avail.idx and used.idx run over 65535 to 0",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 60 * SEC)
{
	struct actor a;
	unsigned int i, done, wrapped = 0;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_SPLIT, &a); i++) {
		actor_up(t, &a, &poll_plain);
		done = run_many(t, &a, 65536 + 100, deadline_in(test_time_left(t) / 3));
		if (done < 65536 + 100) {
			test_note(t, "%s: too slow for a wrap: %u buffers in time", vt_who(a.d),
				  done);
			continue;
		}
		wrapped++;
		expect_eq(t, vq_split_used_idx(actor_split(&a)), 100,
			  "%s: used.idx after 65636 buffers", vt_who(a.d));
	}
	if (!wrapped)
		test_skip(t, "no device uses 65636 buffers within the test's time");
}

/*
 * 2.7.9: a device may tell of a batch by one element, of the batch's last buffer, at the slot of its first
 * one; the index moves by the whole batch, and the slots between are not written.
 */
static void walk_batches(struct test_ctx *t, struct actor *a, uint16_t n)
{
	uint32_t id, len;
	uint16_t k;

	for (k = 0; k < n; k = (uint16_t)(id + 1)) {
		actor_used(a, k, &id, &len);
		require(t, id >= k && id < n,
			"%s: used element %u has id %u: buffers %u to %u are not used yet",
			vt_who(a->d), k, (unsigned int)id, k, n - 1u);
	}
}

/*
 * Each batch on a fresh ring, since descriptors are made available from 0 on (2.7.5.2) and what a slot held
 * before must not be taken for an element. An odd number: of pairs in exchanged order each would be a batch.
 */
static void use_batch(struct test_ctx *t, struct actor *a, uint16_t n)
{
	const struct bring_up how = { .features = VIRTIO_BIT(VIRTIO_F_IN_ORDER),
				      .irq = VIRTIO_IRQ_POLL };
	unsigned int round;
	uint16_t k;

	actor_up(t, a, &how);
	actor_prepare(a, true);
	for (k = 0; k < n; k++)
		actor_desc(a, k, 0, a->writes ? 1 : a->len, actor_flags(a), 0);
	/* Large ones until one goes over the end of the ring. */
	for (round = 0; round < (n < 15 ? 2u : vq_size(a->vq) / n + 1u); round++) {
		actor_post_batch(a, n);
		vq_notify(a->vq);
		require(t, actor_wait(a, n, ANSWER_NS) == n, "%s: not all of %u buffers are used",
			vt_who(a->d), n);
		walk_batches(t, a, n);
		actor_done(a, n);
	}
}

TEST(ring_in_order,
     .id = "virtio.ring.in_order",
     .clause = "virtio 1.4, 6.2 MUST: with IN_ORDER buffers are used in the order in which they were made available",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO)
{
	struct actor a;
	unsigned int i;
	uint16_t n;

	need_feature(t, VIRTIO_F_IN_ORDER, "IN_ORDER");
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		if (!has_feature(&a, VIRTIO_F_IN_ORDER))
			continue;
		for (n = 1; n <= a.d->max_size[a.queue]; n = (uint16_t)(2 * n + 1))
			use_batch(t, &a, n);
	}
}
