/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packed layout (2.8). A chain that is malformed, and whose end can be told, is given back with length 0; one that
 * goes on into descriptors that are not available breaks the queue.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "host/ref/dev/chaos.h"
#include "host/ref/dev/faults.h"
#include "host/ref/dev/log.h"
#include "host/ref/dev/ring_impl.h"

#define AVAIL	 (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED	 (1u << VRING_PACKED_DESC_F_USED)
#define TWICE_NS 10000000 /* fault hostile.list_read_twice: between two looks */
#define LATE_MS	 3	  /* fault packed.flags_before_id: between flags and the rest */

static size_t desc_bytes(const struct ring *r)
{
	return sizeof(*r->pdesc) * r->num;
}

/* Fault packed.size_power: a size that a split ring cannot have. */
static bool size_refused(const struct ring *r)
{
	return (r->num & (r->num - 1)) && fault(F_PACKED_SIZE_POWER);
}

/* 2.8.10.1 MUST of the driver: what a device does with another size is its choice. */
static bool packed_size_wrong(const struct ring *r)
{
	return r->num == 0 || r->num > RING_MAX_SIZE;
}

/* The same of the alignments of the three parts. */
static bool packed_misaligned(const struct ring *r)
{
	return (uintptr_t)r->pdesc % 16 || (uintptr_t)r->driver_event % 4 ||
	       (uintptr_t)r->device_event % 4;
}

int packed_map(struct ring *r)
{
	const size_t event = sizeof(*r->driver_event);
	int ret;

	r->pdesc = NULL;
	r->driver_event = r->device_event = NULL;
	if (packed_size_wrong(r) || size_refused(r))
		return -EINVAL;
	ret = ring_area(r, r->desc_uva, desc_bytes(r), true, (void **)&r->pdesc, &r->desc_gpa);
	if (!ret)
		ret = ring_area(r, r->avail_uva, event, false, (void **)&r->driver_event,
				&r->avail_gpa);
	if (!ret)
		ret = ring_area(r, r->used_uva, event, true, (void **)&r->device_event,
				&r->used_gpa);
	if (ret)
		return ret;
	if (packed_misaligned(r))
		return -EINVAL;
	return 0;
}

bool packed_memory_ok(struct ring *r)
{
	const size_t event = sizeof(*r->driver_event);

	return ring_may_touch(r, r->desc_gpa, desc_bytes(r), CTL_MEM_RING) &&
	       ring_may_touch(r, r->avail_gpa, event, CTL_MEM_RING) &&
	       ring_may_touch(r, r->used_gpa, event, CTL_MEM_RING);
}

static struct ring_pos unpack(uint32_t base)
{
	return (struct ring_pos){ .slot = base & 0x7fff, .wrap = base & 0x8000 };
}

static uint16_t pack(struct ring_pos at)
{
	return (uint16_t)(at.slot | (at.wrap ? 0x8000 : 0));
}

/* A VMM that works hands a position over as it was. */
static bool position_wrong(const struct ring *r, struct ring_pos at)
{
	return at.slot >= r->num;
}

int packed_start(struct ring *r, uint32_t base)
{
	const struct ring_pos avail = unpack(base), used = unpack(base >> 16);
	const struct ring_pos old = r->next_used;

	if (position_wrong(r, avail) || position_wrong(r, used))
		return -EINVAL;
	r->next_avail = r->before_pop = avail;
	r->next_used = used;
	r->num_done = 0;
	r->shown_last = used.slot;
	if (!old.wrap && old.slot && fault(F_PACKED_COUNTER_KEPT))
		r->next_used.wrap = false;
	return 0;
}

/* 2.8.1: the wrap counter changes behind the last descriptor. */
static void advance(const struct ring *r, struct ring_pos *at, unsigned int by)
{
	if (by == r->num && fault(F_PACKED_WHOLE_RING))
		return;
	for (by += at->slot; by >= r->num; by -= r->num)
		at->wrap = !at->wrap;
	at->slot = (uint16_t)by;
}

/* --- available ------------------------------------------------------------------------------ */

static bool is_available(const struct ring *r, struct ring_pos at)
{
	const uint16_t flags = le16toh(__atomic_load_n(&r->pdesc[at.slot].flags, __ATOMIC_ACQUIRE));
	const bool avail = flags & AVAIL, used = flags & USED;
	const bool right = avail == at.wrap && used != at.wrap;

	return right || (avail != used && fault(F_PACKED_STALE_AVAILABLE)) ||
	       (avail == at.wrap && fault(F_PACKED_USED_AVAILABLE));
}

bool packed_pending(const struct ring *r)
{
	return is_available(r, r->next_avail);
}

/* Faults: entries of a table that a device does not take: those behind entry i. */
static bool table_ends(const struct vring_packed_desc *e, uint32_t i, uint32_t count)
{
	return (i == 0 && count > 1 && !(le16toh(e->flags) & VRING_DESC_F_NEXT) &&
		fault(F_PACKED_TABLE_NEXT_NEEDED)) ||
	       (i + 2 == count && fault(F_PACKED_TABLE_LAST_LOST));
}

/* 2.8.7 MUST NOT of the driver: a table that was not negotiated, has a part of an entry, or more than any queue. */
static bool packed_table_forbidden(const struct ring *r, uint32_t bytes)
{
	return !r->indirect_ok || bytes % sizeof(struct vring_packed_desc) ||
	       bytes / sizeof(struct vring_packed_desc) > RING_MAX_PIECES;
}

/* 2.8.7: the table's length tells how many entries there are; of their flags only WRITE counts. */
static int walk_table(struct ring *r, struct ring_chain *c, const struct vring_packed_desc *d)
{
	const uint64_t gpa = le64toh(d->addr);
	const uint32_t bytes = le32toh(d->len), count = bytes / sizeof(*d);
	const uint32_t end = fault(F_PACKED_TABLE_ONE_MORE) ? count + 1 : count;
	static struct vring_packed_desc table[RING_MAX_PIECES + 1]; /* one more for a fault */
	int ret;

	if (packed_table_forbidden(r, bytes) || count == 0)
		return -EBADMSG;
	ret = ring_read_table(r, gpa, table, end * sizeof(table[0]));
	if (ret)
		return ret;
	c->indirect = true;
	for (uint32_t i = 0; i < end; i++) {
		const struct vring_packed_desc *const e = &table[i];

		if (le16toh(e->flags) & (VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT) &&
		    fault(F_PACKED_TABLE_FLAGS_JUDGED))
			return -EBADMSG;
		if (le16toh(e->id) != c->head && fault(F_PACKED_TABLE_ID))
			c->head = le16toh(e->id);
		ret = ring_add_buffer(r, c, le64toh(e->addr), le32toh(e->len),
				      le16toh(e->flags) & VRING_DESC_F_WRITE);
		if (ret || table_ends(e, i, count))
			return ret;
	}
	return 0;
}

/* Faults: chains that a device refuses. */
static bool chain_refused(const struct ring *r, const struct ring_chain *c, struct ring_pos at)
{
	return (c->descs && at.slot == 0 && fault(F_PACKED_CHAIN_OVER_END)) ||
	       (c->descs && c->descs + 1 == r->num && fault(F_PACKED_CHAIN_FULL));
}

/* 2.8.19 MUST NOT of the driver. */
static bool table_in_list(const struct ring_chain *c, uint16_t flags)
{
	return c->descs || (flags & VRING_DESC_F_NEXT);
}

/*
 * Fault hostile.list_read_twice: what is checked is not what is used. Where the descriptor becomes another one meanwhile the
 * queue is spoilt for good.
 */
static void read_again(struct ring *r, uint16_t slot, const struct vring_packed_desc *d)
{
	const int64_t end = rd_now_ns() + TWICE_NS;

	while (fault_on(F_HOSTILE_LIST_READ_TWICE) && r->index == TX && rd_now_ns() < end)
		if (memcmp(d, &r->pdesc[slot], sizeof(*d)) && fault(F_HOSTILE_LIST_READ_TWICE)) {
			r->lame = true;
			return;
		}
}

/*
 * Takes the chain's descriptors, to its end even if it is malformed. 0, -EBADMSG (malformed), -EIO (private), -ELOOP:
 * no end.
 */
static int walk(struct ring *r, struct ring_chain *c)
{
	struct ring_pos at = r->next_avail;
	uint16_t first_id = 0;
	int bad = 0;

	for (c->descs = 0; c->descs < r->num;) {
		struct vring_packed_desc d;
		uint16_t flags;
		int ret = 0;

		if (!is_available(r, at))
			return -ELOOP;
		memcpy(&d, &r->pdesc[at.slot], sizeof(d));
		read_again(r, at.slot, &d);
		flags = le16toh(d.flags);
		c->head = le16toh(d.id); /* the last one's counts */
		if (c->descs == 0)
			first_id = c->head;
		if (chain_refused(r, c, at))
			bad = -EBADMSG;
		if (bad)
			; /* only its end is looked for */
		else if (!(flags & VRING_DESC_F_INDIRECT))
			ret = ring_add_buffer(r, c, le64toh(d.addr), le32toh(d.len),
					      flags & VRING_DESC_F_WRITE);
		else if (table_in_list(c, flags))
			ret = -EBADMSG;
		else
			ret = walk_table(r, c, &d);
		if (ret == -EIO || ret == -EAGAIN)
			return ret;
		bad = bad ? bad : ret;
		c->descs++;
		advance(r, &at, 1);
		if (!(flags & VRING_DESC_F_NEXT)) {
			r->next_avail = at;
			if (first_id != c->head && fault(F_PACKED_ID_OF_FIRST))
				c->head = first_id;
			return bad;
		}
	}
	return -ELOOP;
}

int packed_pop(struct ring *r, struct ring_chain *c)
{
	int ret;

	while (is_available(r, r->next_avail)) {
		r->before_pop = r->next_avail;
		ring_chain_begin(c);
		ret = walk(r, c);
		if (ret == -ELOOP) {
			ring_break(r, "a chain without end", r->before_pop.slot);
			return -EIO;
		}
		if (ret == -EIO || ret == -EAGAIN)
			return ret;
		if (r->next_avail.wrap != r->before_pop.wrap && fault(F_PACKED_AVAIL_WRAP))
			r->next_avail.wrap = r->before_pop.wrap;
		r->chains++;
		if (!ret || (c->n_out && fault(F_HOSTILE_BAD_LIST_TAKEN)))
			return 1;
		ring_count_bad(r, c);
		if (c->descs > 1 && fault(F_OUTSIDE3_VS_PACKED_BAD_LIST_SKIP))
			c->descs = 1;
		packed_push(r, c, 0);
	}
	return 0;
}

int packed_skip(struct ring *r, struct ring_chain *c)
{
	if (walk(r, c)) /* then it stands still */
		c->in_len = UINT64_MAX;
	return 1;
}

void packed_unpop(struct ring *r)
{
	r->next_avail = r->before_pop;
}

/* --- used ------------------------------------------------------------------------------------- */

void packed_push(struct ring *r, const struct ring_chain *c, uint32_t len)
{
	struct ring_done done = {
		.id = c->head,
		.descs = c->descs,
		.len = len,
		.complete = len == c->in_len,
	};

	if (r->num_done == RING_MAX_SIZE)
		packed_publish(r);
	if (c->descs > 1 && fault(F_PACKED_SKIP_ONE))
		done.descs = 1;
	if (c->indirect && c->n_out + c->n_in > 1 && fault(F_PACKED_SKIP_ENTRIES))
		done.descs = (uint16_t)(c->n_out + c->n_in);
	if (c->out_len && fault(F_PACKED_LEN_READABLE))
		done.len += (uint32_t)c->out_len;
	if (done.id >= r->num && fault(F_PACKED_ID_MODULO))
		done.id %= r->num;
	r->done[r->num_done++] = done;
}

/* The flags of a descriptor that is used at this position. */
static uint16_t used_flags(const struct ring *r, struct ring_pos at, uint32_t len)
{
	uint16_t flags = at.wrap ? AVAIL | USED : 0;

	if (at.slot + 1u == r->num && fault(F_PACKED_WRAP_EARLY))
		flags ^= AVAIL | USED;
	if (!at.wrap && fault(F_PACKED_AVAIL_NOT_CLEARED))
		flags |= AVAIL;
	if (len ? !fault(F_PACKED_WRITE_FLAG_LOST) : fault(F_PACKED_WRITE_FLAG_ALWAYS))
		flags |= VRING_DESC_F_WRITE; /* 2.8.3: something was written */
	return flags;
}

static void put_flags(struct ring *r, uint16_t slot, uint16_t flags)
{
	/* The buffer's bytes, id and len come before. */
	__atomic_store_n(&r->pdesc[slot].flags, htole16(flags), __ATOMIC_RELEASE);
}

/* One descriptor tells of the buffers from `from` on, n of them. Its flags, which are still to be written. */
static uint16_t put_used(struct ring *r, struct ring_pos at, unsigned int from, unsigned int n)
{
	struct vring_packed_desc *d = &r->pdesc[at.slot];
	const struct ring_done *last = &r->done[from + n - 1];
	const uint16_t flags = used_flags(r, at, last->len);
	uint32_t len = last->len;
	uint16_t id = last->id;

	if (chaos_strikes())
		id = (uint16_t)chaos_number(r->num);
	if (chaos_strikes())
		len = chaos_number(len);
	if (n > 1 && fault(F_PACKED_BATCH_FIRST_ID))
		id = r->done[from].id;
	if (fault(F_PACKED_FLAGS_BEFORE_ID)) {
		put_flags(r, at.slot, flags);
		(void)poll(NULL, 0,
			   LATE_MS); /* the guest runs meanwhile, however busy the machine is */
	}
	__atomic_store_n(&d->id, htole16(id), __ATOMIC_RELAXED);
	__atomic_store_n(&d->len, htole32(len), __ATOMIC_RELAXED);
	return chaos_strikes() ? (uint16_t)chaos_number(flags) : flags;
}

/*
 * 2.8.8: a batch ends with the first buffer that was not used completely. A driver that makes more available than the
 * ring holds gets several.
 */
static unsigned int batch_from(const struct ring *r, unsigned int from)
{
	unsigned int n = 1, descs = r->done[from].descs;

	if (!r->batches)
		return n;
	while (from + n < r->num_done &&
	       (r->done[from + n - 1].complete || fault(F_PACKED_BATCH_INCOMPLETE))) {
		descs += r->done[from + n].descs;
		if (descs > r->num)
			break;
		n++;
	}
	return n;
}

/* How many descriptors n buffers take. */
static unsigned int descs_of(const struct ring *r, unsigned int from, unsigned int n)
{
	unsigned int descs = 0;

	for (unsigned int i = from; i < from + n; i++)
		descs += r->done[i].descs;
	if (descs > n && n > 1 && fault(F_PACKED_BATCH_SKIP))
		return n;
	return descs;
}

/* Fault packed.all_marked: each descriptor of a chain is marked. */
static void mark_rest(struct ring *r, struct ring_pos at, unsigned int descs)
{
	while (--descs) {
		advance(r, &at, 1);
		put_flags(r, at.slot, at.wrap ? AVAIL | USED : 0);
	}
}

/* Faults of where the device goes on. */
static void advance_used(struct ring *r, unsigned int descs)
{
	const bool wrap = r->next_used.wrap;

	advance(r, &r->next_used, descs);
	if (r->next_used.wrap != wrap && fault(F_PACKED_USED_WRAP))
		r->next_used.wrap = wrap;
}

/* --- notifications ----------------------------------------------------------------------------- */

/* Whether the position that the driver asks for is among the `descs` descriptors before the next used one. */
static bool event_passed(const struct ring *r, uint16_t event, unsigned int descs)
{
	const int32_t end = r->next_used.slot;
	int32_t at = event & 0x7fff;

	if (!!(event & 0x8000) != r->next_used.wrap && !fault(F_PACKED_EVENT_WRAP_IGNORED))
		at -= r->num;
	if (fault(F_PACKED_EVENT_NEXT))
		at++;
	if (at == end && fault(F_PACKED_EVENT_EARLY))
		return true;
	if (at != end - (int32_t)descs && fault(F_PACKED_EVENT_FIRST_ONLY))
		return false;
	return at < end && at >= end - (int32_t)descs;
}

static bool driver_wants(const struct ring *r, unsigned int descs)
{
	uint32_t event;
	uint16_t flags;

	/* The flags must be visible before the driver's wish is read, both halves of it at once. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = le32toh(
		__atomic_load_n((const uint32_t *)(const void *)r->driver_event, __ATOMIC_RELAXED));
	flags = (uint16_t)(event >> 16) & 3;
	if (flags == VRING_PACKED_EVENT_FLAG_DISABLE)
		return fault(F_IRQ_DESPITE_SUPPRESSION) || fault(F_PACKED_DISABLE_IGNORED);
	if (flags == VRING_PACKED_EVENT_FLAG_ENABLE && r->event_idx &&
	    fault(F_PACKED_ENABLE_IGNORED))
		return event_passed(r, (uint16_t)event, descs);
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !r->event_idx)
		return true;
	return event_passed(r, (uint16_t)event, descs) || fault(F_PACKED_EVENT_IGNORED);
}

void packed_publish(struct ring *r)
{
	const struct ring_pos first = r->next_used;
	uint16_t first_flags = 0;
	unsigned int descs = 0, n;
	bool wanted, over_end;

	if (!r->num_done)
		return;
	for (unsigned int i = 0; i < r->num_done; i += n) {
		const struct ring_pos at = r->next_used;
		unsigned int each;
		uint16_t flags;

		n = batch_from(r, i);
		each = descs_of(r, i, n);
		flags = put_used(r, at, i, n);
		/* The driver looks at the first one: it sees all of them, or none. */
		if (i == 0)
			first_flags = flags;
		else
			put_flags(r, at.slot, flags);
		if (each > 1 && fault(F_PACKED_ALL_MARKED))
			mark_rest(r, at, each);
		advance_used(r, each);
		descs += each;
	}
	r->num_done = 0;
	put_flags(r, first.slot, first_flags);
	if (r->shown_last != first.slot && fault(F_PACKED_TOUCHED_AFTER))
		r->pdesc[r->shown_last].len = htole32(1);
	r->shown_last = first.slot;
	wanted = driver_wants(r, descs);
	over_end = r->next_used.slot < first.slot;
	if (wanted && over_end && fault(F_PACKED_LOST_AT_WRAP))
		return;
	ring_notify(r, wanted);
}

/* Where the device wants to be told next; faults of it. */
static uint16_t wanted_at(const struct ring *r)
{
	struct ring_pos at = r->next_avail;

	if (!at.wrap && fault(F_PACKED_DEVICE_WRAP_FIXED))
		at.wrap = true;
	if (at.slot == 0 && r->chains && fault(F_PACKED_DEVICE_SLOT_PAST)) {
		at.slot = r->num;
		at.wrap = !at.wrap;
	}
	return pack(at);
}

void packed_want_kicks(struct ring *r, bool on)
{
	uint16_t flags = on ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE;

	if (on && r->event_idx)
		flags = VRING_PACKED_EVENT_FLAG_DESC;
	if (on && r->chains > r->num && fault(F_PACKED_DEVICE_DISABLED))
		flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	if (fault(F_PACKED_DEVICE_RESERVED))
		flags |= 1 << 2;
	if (on && !r->event_idx && fault(F_PACKED_DEVICE_DESC_UNASKED))
		flags = VRING_PACKED_EVENT_FLAG_DESC;
	/* The position before the flags that make it count. */
	__atomic_store_n(&r->device_event->off_wrap, htole16(wanted_at(r)), __ATOMIC_RELAXED);
	__atomic_store_n(&r->device_event->flags, htole16(flags), __ATOMIC_RELEASE);
}
