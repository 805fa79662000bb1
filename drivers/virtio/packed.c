/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packed virtqueue (2.8). Driver and device write to the same descriptors, so private memory holds all that was
 * posted, and of a descriptor that the device has only id, len and flags are read, each once, and each checked.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/chain.h"
#include "drivers/virtio/packed.h"
#include "drivers/virtio/split.h"
#include "drivers/virtio/vq_impl.h"
#include "lib/mmio.h"

#define MAX_SIZE 32768 /* 2.8 */

struct pos {
	uint16_t slot;
	bool wrap;
};

struct sent { /* a buffer that was made available */
	uint16_t id, descs;
};

struct vq_packed {
	struct virtqueue vq;
	/* Shared with the device. */
	struct pvring_desc *desc;
	struct pvring_event *driver_event; /* ours */
	struct pvring_event *device_event; /* the device's */
	/* Private. */
	struct chains chains; /* by buffer id */
	uint16_t *next_id;    /* list of free ids */
	uint16_t free_id, free_count, in_flight;
	struct pos avail, used;
	unsigned int added; /* descriptors since the last look whether the device wants to be told */
	/* Buffers in the order of posting, for IN_ORDER and the raw door: `size` of them, from first on. */
	struct sent *sent;
	uint16_t sent_first, sent_count;
	uint16_t *raw_descs; /* by id: of the last chain that the raw door posted */
	/* IN_ORDER: buffers that the last used descriptor told of and that nobody took; the last one's len. */
	uint16_t batch;
	uint32_t batch_len;
	bool indirect, event_idx, in_order, want_irq;
};

static struct vq_packed *to_packed(const struct virtqueue *vq)
{
	return (struct vq_packed *)((uintptr_t)vq - offsetof(struct vq_packed, vq));
}

/* --- positions --------------------------------------------------------------------------- */

/* 2.8.1: the wrap counter changes behind the last descriptor. by is at most the size. */
static void advance(const struct vq_packed *p, struct pos *at, uint16_t by)
{
	const uint32_t slot = (uint32_t)at->slot + by;

	if (slot >= p->vq.size)
		at->wrap = !at->wrap;
	at->slot = (uint16_t)(slot >= p->vq.size ? slot - p->vq.size : slot);
}

static uint16_t pack(struct pos at)
{
	return (uint16_t)(at.slot | (at.wrap ? PVRING_WRAP : 0));
}

static uint16_t available_at(bool wrap)
{
	return wrap ? PVRING_DESC_F_AVAIL : PVRING_DESC_F_USED;
}

static uint16_t used_at(bool wrap)
{
	return wrap ? PVRING_DESC_F_AVAIL | PVRING_DESC_F_USED : 0;
}

static uint16_t state_of(const struct vq_packed *p, uint16_t slot)
{
	return le16_to_cpu(READ_ONCE(p->desc[slot].flags)) &
	       (PVRING_DESC_F_AVAIL | PVRING_DESC_F_USED);
}

static bool is_used(const struct vq_packed *p, struct pos at)
{
	return state_of(p, at.slot) == used_at(at.wrap);
}

/* --- descriptors ------------------------------------------------------------------------- */

/* All but the flags, which hand it over. */
static void write_desc(struct pvring_desc *d, uint64_t addr, uint32_t len, uint16_t id)
{
	WRITE_ONCE(d->addr, cpu_to_le64(addr));
	WRITE_ONCE(d->len, cpu_to_le32(len));
	WRITE_ONCE(d->id, cpu_to_le16(id));
}

static void set_flags(struct pvring_desc *d, uint16_t flags)
{
	WRITE_ONCE(d->flags, cpu_to_le16(flags));
}

/* A descriptor at p->avail; that of `first` waits for its flags. Returns those. */
static uint16_t put_desc(struct vq_packed *p, uint16_t first, uint64_t addr, uint32_t len,
			 uint16_t id, uint16_t flags)
{
	struct pvring_desc *d = &p->desc[p->avail.slot];

	flags |= available_at(p->avail.wrap);
	write_desc(d, addr, len, id);
	if (p->avail.slot != first)
		set_flags(d, flags);
	advance(p, &p->avail, 1);
	p->added++;
	return flags;
}

/* 2.8.7: entries are taken as they lie; of their flags only WRITE counts. */
static int fill_table(struct vq_packed *p, uint16_t id, dma_addr_t *addr)
{
	const struct chain *c = &p->chains.chain[id];
	struct pvring_desc *t = chain_table(&p->chains, id, addr);
	unsigned int i;

	if (!t)
		return -ENOMEM;
	for (i = 0; i < c->segs; i++) {
		write_desc(&t[i], c->seg[i].addr, c->seg[i].len, 0);
		set_flags(&t[i], chain_flags(c, i) & VRING_DESC_F_WRITE);
	}
	return 0;
}

/* Where the k-th oldest of the buffers posted stands, k at most the size. */
static struct sent *sent_at(const struct vq_packed *p, unsigned int k)
{
	const unsigned int at = p->sent_first + k;

	return &p->sent[at < p->vq.size ? at : at - p->vq.size];
}

static void drop_sent(struct vq_packed *p, uint16_t n)
{
	p->sent_first = (uint16_t)(sent_at(p, n) - p->sent);
	p->sent_count = (uint16_t)(p->sent_count - n);
}

static void push_sent(struct vq_packed *p, uint16_t id, uint16_t descs)
{
	if (p->sent_count == p->vq.size) /* raw: more than a ring holds */
		drop_sent(p, 1);
	*sent_at(p, p->sent_count) = (struct sent){ id, descs };
	p->sent_count++;
}

static void pop_sent(struct vq_packed *p, uint16_t n)
{
	drop_sent(p, n < p->sent_count ? n : p->sent_count);
}

/* How many buffers from the k-th oldest on lead up to this id, itself counted; 0: it is none of them. */
static uint16_t count_to(const struct vq_packed *p, uint16_t k, uint32_t id)
{
	uint16_t i;

	for (i = k; i < p->sent_count; i++)
		if (sent_at(p, i)->id == id)
			return (uint16_t)(i + 1 - k);
	return 0;
}

/* --- ops --------------------------------------------------------------------------------- */

static void post(struct vq_packed *p, uint16_t id, const struct chain *c)
{
	const uint16_t first = p->avail.slot;
	uint16_t flags, first_flags = 0;
	unsigned int i;

	for (i = 0; i < c->segs; i++) {
		flags = put_desc(p, first, c->seg[i].addr, c->seg[i].len, id, chain_flags(c, i));
		if (i == 0)
			first_flags = flags;
	}
	wmb(); /* 2.8.17, 2.8.21.1.1: the first one's flags only after all of the list */
	set_flags(&p->desc[first], first_flags);
}

static void post_table(struct vq_packed *p, uint16_t id, dma_addr_t table, uint32_t entries)
{
	const uint16_t first = p->avail.slot;
	const uint16_t flags = put_desc(p, first, table, entries * CHAIN_ENTRY, id,
					VRING_DESC_F_INDIRECT);

	wmb(); /* the table, too, comes first */
	set_flags(&p->desc[first], flags);
}

static int packed_add(struct virtqueue *vq, const struct vq_seg *out, unsigned int n_out,
		      const struct vq_seg *in, unsigned int n_in, void *token)
{
	struct vq_packed *p = to_packed(vq);
	const unsigned int n = n_out + n_in;
	const bool indirect = p->indirect && n > 1;
	const uint16_t id = p->free_id;
	struct chain *c = &p->chains.chain[id];
	dma_addr_t table = 0;
	int ret;

	if (p->free_count < (indirect ? 1 : n))
		return -ENOSPC;
	ret = chain_map(&p->chains, id, out, n_out, in, n_in);
	if (!ret && indirect)
		ret = fill_table(p, id, &table);
	if (ret) {
		chain_release(&p->chains, id, 0);
		return ret;
	}
	c->token = token;
	c->descs = (uint16_t)(indirect ? 1 : n);
	p->free_id = p->next_id[id];
	p->free_count = (uint16_t)(p->free_count - c->descs);
	p->in_flight++;
	if (p->in_order)
		push_sent(p, id, c->descs);
	if (indirect)
		post_table(p, id, table, c->segs);
	else
		post(p, id, c);
	return 0;
}

static bool packed_kick_needed(struct virtqueue *vq)
{
	struct vq_packed *p = to_packed(vq);
	const unsigned int added = p->added;
	uint16_t flags;
	uint32_t event;
	int32_t at;

	mb(); /* 2.8.21.3.1: the flags are visible before the device's wish is read */
	p->added = 0;
	if (!added)
		return false;
	/* Both fields at once: the position is that of these flags. */
	event = le32_to_cpu(READ_ONCE(*(const le32 *)(const void *)p->device_event));
	flags = (uint16_t)(event >> 16) & 3;
	if (flags != PVRING_EVENT_DESC || !p->event_idx)
		return flags != PVRING_EVENT_DISABLE;
	/* 2.8.10: tell if the descriptor is one of those just added. One of the other counter is a round behind. */
	at = (int32_t)(event & 0x7fff);
	if (!!(event & PVRING_WRAP) != p->avail.wrap)
		at -= vq->size;
	return at < p->avail.slot && at >= (int32_t)p->avail.slot - (int32_t)added;
}

static uint16_t packed_next_off(const struct virtqueue *vq)
{
	return pack(to_packed(vq)->avail);
}

/*
 * What the device wrote at `at`, when `in_flight` buffers are to be used there or behind: 1 and a checked id and len,
 * 0: nothing, or vq_break()'s.
 */
static int look(struct vq_packed *p, struct pos at, uint16_t in_flight, uint16_t *id, uint32_t *len)
{
	struct virtqueue *vq = &p->vq;
	const struct pvring_desc *d = &p->desc[at.slot];
	const uint16_t state = state_of(p, at.slot);

	if (state != used_at(at.wrap)) {
		/* The oldest descriptor of a buffer in flight is as it was posted. */
		if (in_flight == 0 || state == available_at(at.wrap))
			return 0;
		return vq_break(
			vq,
			"queue %u: descriptor %u has flags AVAIL %u, USED %u at wrap counter %u: neither "
			"available nor used",
			vq->index, at.slot, !!(state & PVRING_DESC_F_AVAIL),
			!!(state & PVRING_DESC_F_USED), at.wrap);
	}
	if (in_flight == 0)
		return vq_break(vq, "queue %u: descriptor %u is used, with no buffer in flight",
				vq->index, at.slot);
	rmb(); /* id and len only after the flags */
	*id = le16_to_cpu(READ_ONCE(d->id));
	*len = le32_to_cpu(READ_ONCE(d->len));
	if (!chain_posted(&p->chains, *id))
		return vq_break(vq,
				"queue %u: used descriptor %u has id %u, not a buffer in flight",
				vq->index, at.slot, *id);
	if (*len > p->chains.chain[*id].writable)
		return vq_break(
			vq,
			"queue %u: used descriptor %u (id %u): len %u, the buffer has %u writable bytes",
			vq->index, at.slot, *id, *len, p->chains.chain[*id].writable);
	return 1;
}

static void write_driver_event(struct vq_packed *p, uint16_t pos)
{
	WRITE_ONCE(p->driver_event->desc, cpu_to_le16(pos));
}

/* Takes one buffer that is known to be used. */
static void take(struct vq_packed *p, uint16_t id, uint32_t len, void **token, uint32_t *out_len)
{
	const struct chain *c = &p->chains.chain[id];

	*token = c->token;
	*out_len = len;
	advance(p, &p->used, c->descs);
	p->free_count = (uint16_t)(p->free_count + c->descs);
	chain_release(&p->chains, id, len);
	p->next_id[id] = p->free_id;
	p->free_id = id;
	p->in_flight--;
	if (p->event_idx && p->want_irq)
		write_driver_event(p, pack(p->used));
}

/* 2.8.8: one used descriptor may tell of all buffers up to its own; those before it were used completely. */
static int take_in_order(struct vq_packed *p, void **token, uint32_t *len)
{
	uint16_t id;
	int ret;

	if (!p->batch) {
		ret = look(p, p->used, p->in_flight, &id, &p->batch_len);
		if (ret != 1)
			return ret;
		p->batch = count_to(p, 0, id);
		if (!p->batch) /* posted by the raw door, which is no business of vq_get() */
			return vq_break(&p->vq, "queue %u: id %u is not among the buffers posted",
					p->vq.index, id);
	}
	id = p->sent[p->sent_first].id;
	p->batch--;
	pop_sent(p, 1);
	take(p, id, p->batch ? p->chains.chain[id].writable : p->batch_len, token, len);
	return 1;
}

static int packed_get(struct virtqueue *vq, void **token, uint32_t *len)
{
	struct vq_packed *p = to_packed(vq);
	uint32_t written;
	uint16_t id;
	int ret;

	if (p->in_order)
		return take_in_order(p, token, len);
	ret = look(p, p->used, p->in_flight, &id, &written);
	if (ret == 1)
		take(p, id, written, token, len);
	return ret;
}

static bool packed_pending(struct virtqueue *vq)
{
	const struct vq_packed *p = to_packed(vq);

	if (p->batch || is_used(p, p->used))
		return true;
	/* Flags that are neither available nor used count as well: packed_get() reports them as an error. */
	return p->in_flight && state_of(p, p->used.slot) != available_at(p->used.wrap);
}

static void write_wish(struct vq_packed *p, uint16_t pos, uint16_t flags)
{
	write_driver_event(p, pos);
	wmb(); /* the position before the flags that make it count */
	WRITE_ONCE(p->driver_event->flags, cpu_to_le16(flags));
	mb(); /* what the device used before it saw this raises no interrupt: look once more */
}

static bool packed_interrupts(struct virtqueue *vq, bool on)
{
	struct vq_packed *p = to_packed(vq);

	p->want_irq = on;
	write_wish(p, pack(p->used),
		   !on		? PVRING_EVENT_DISABLE :
		   p->event_idx ? PVRING_EVENT_DESC :
				  PVRING_EVENT_ENABLE);
	return on && packed_pending(vq);
}

static uint16_t packed_free_count(const struct virtqueue *vq)
{
	return to_packed(vq)->free_count;
}

static uint16_t packed_in_flight(const struct virtqueue *vq)
{
	return to_packed(vq)->in_flight;
}

static int packed_audit(struct virtqueue *vq)
{
	struct vq_packed *p = to_packed(vq);
	uint16_t left = p->in_flight, id = 0, oldest = 0, n = 1;
	struct pos at = p->used;
	uint32_t len;
	int ret;

	/*
	 * Where a batch was taken in part, p->used is in the middle of it. The device wrote nothing there, so look() finds
	 * nothing used and the audit ends.
	 */
	while ((ret = look(p, at, left, &id, &len)) != 0) {
		if (ret < 0)
			return ret;
		if (p->chains.chain[id].audited)
			return vq_break(
				vq,
				"queue %u: used descriptor %u, the last before a reset, has id %u again",
				vq->index, at.slot, id);
		n = p->in_order ? count_to(p, oldest, id) : 1;
		for (; n; n--, left--) {
			const uint16_t each = p->in_order ? sent_at(p, oldest++)->id : id;

			p->chains.chain[each].audited = true;
			advance(p, &at, p->chains.chain[each].descs);
		}
	}
	return 0;
}

static void packed_destroy(struct virtqueue *vq)
{
	struct vq_packed *p = to_packed(vq);

	chains_free(&p->chains);
	vq_areas_free(vq);
	free(p->next_id);
	free(p->sent);
	free(p->raw_descs);
	free(p);
}

/* --- the raw door ------------------------------------------------------------------------ */

/* Notes how many descriptors a used descriptor with this id will skip. */
static void note_chain(struct vq_packed *p, uint16_t id, uint16_t descs)
{
	push_sent(p, id, descs);
	if (id < p->vq.size)
		p->raw_descs[id] = descs;
}

static uint16_t descs_of(const struct vq_packed *p, uint32_t id)
{
	uint16_t k;

	if (id < p->vq.size)
		return p->raw_descs[id] ? p->raw_descs[id] : 1;
	k = count_to(p, 0, id);
	return k ? sent_at(p, k - 1)->descs : 1;
}

/*
 * Puts the chain of staged descriptors that begins at `head` into the ring. A chain whose `next` is no staged descriptor
 * ends there, and its last descriptor keeps NEXT. A chain that runs in a circle ends after as many descriptors as the
 * ring has. A head that is no staged descriptor becomes the id of the chain that begins at the first one. The flags of
 * the ring's descriptor at `first` go to *first_flags, since the caller writes them last.
 */
static void put_chain(struct vq_packed *p, uint16_t head, uint16_t first, uint16_t *first_flags)
{
	uint16_t at = head < p->vq.size ? head : 0, descs = 0, flags;

	while (p->vq.staged && at < p->vq.size && descs < p->vq.size) {
		const struct vq_raw_desc *d = &p->vq.staged[at];
		const bool is_first = p->avail.slot == first;

		flags = put_desc(p, first, d->addr, d->len, head,
				 d->flags & ~(PVRING_DESC_F_AVAIL | PVRING_DESC_F_USED));
		if (is_first)
			*first_flags = flags;
		descs++;
		if (!(d->flags & VRING_DESC_F_NEXT))
			break;
		at = d->next;
	}
	note_chain(p, head, descs);
}

static void raw_post(struct virtqueue *vq, const uint16_t *heads, unsigned int n)
{
	struct vq_packed *p = to_packed(vq);
	const uint16_t first = p->avail.slot;
	uint16_t flags = available_at(p->avail.wrap);
	unsigned int k;

	for (k = 0; k < n; k++)
		put_chain(p, heads[k], first, &flags);
	wmb();
	if (n)
		set_flags(&p->desc[first], flags);
	mb();
}

/* A walk over used descriptors that takes none. */
struct walk {
	struct pos at;
	uint16_t oldest; /* in p->sent */
	uint32_t left;	 /* descriptors until it has been everywhere */
};

static struct walk walk_from_here(const struct vq_packed *p)
{
	return (struct walk){ .at = p->used, .left = p->vq.size };
}

/* How many buffers the used descriptor tells of; 0: it is not used. */
static uint16_t step(const struct vq_packed *p, struct walk *w, uint32_t *id, uint32_t *len)
{
	const struct pvring_desc *d = &p->desc[w->at.slot];
	uint16_t n = 1, i;
	uint32_t descs;

	if (!w->left || !is_used(p, w->at))
		return 0;
	rmb(); /* id and len only after the flags */
	*id = le16_to_cpu(READ_ONCE(d->id));
	*len = le32_to_cpu(READ_ONCE(d->len));
	descs = descs_of(p, *id);
	if (p->in_order && (n = count_to(p, w->oldest, *id)) > 0)
		for (i = 0, descs = 0; i < n; i++)
			descs += sent_at(p, w->oldest + i)->descs;
	n = n ? n : 1;
	w->oldest = (uint16_t)(w->oldest + n);
	descs = descs < w->left ? descs : w->left;
	w->left -= descs;
	advance(p, &w->at, (uint16_t)descs);
	return n;
}

static unsigned int raw_used_count(struct virtqueue *vq)
{
	const struct vq_packed *p = to_packed(vq);
	struct walk w = walk_from_here(p);
	unsigned int count = 0, n;
	uint32_t id, len;

	while ((n = step(p, &w, &id, &len)))
		count += n;
	return count;
}

static void raw_used(struct virtqueue *vq, unsigned int k, uint32_t *id, uint32_t *len)
{
	const struct vq_packed *p = to_packed(vq);
	struct walk w = walk_from_here(p);
	unsigned int count = 0, n;

	*id = *len = 0;
	do {
		n = step(p, &w, id, len);
		count += n;
	} while (n && count <= k);
}

static void raw_take(struct virtqueue *vq, unsigned int n)
{
	struct vq_packed *p = to_packed(vq);
	struct walk w = walk_from_here(p);
	unsigned int count = 0, more;
	uint32_t id, len;

	while (count < n && (more = step(p, &w, &id, &len)))
		count += more;
	p->used = w.at;
	pop_sent(p, (uint16_t)count);
	if (p->event_idx && p->want_irq)
		write_driver_event(p, pack(p->used));
}

/* What is not posted yet counts as one descriptor each. */
static int raw_want_nth(struct virtqueue *vq, uint16_t n)
{
	struct vq_packed *p = to_packed(vq);
	struct pos at = p->used;
	uint16_t i;

	if (!p->event_idx)
		return -EOPNOTSUPP;
	p->want_irq = false; /* taking a buffer does not move the event */
	for (i = 0; i + 1 < n; i++)
		advance(p, &at, i < p->sent_count ? sent_at(p, i)->descs : 1);
	write_wish(p, pack(at), PVRING_EVENT_DESC);
	return 0;
}

static void raw_entry(void *table, uint16_t i, const struct vq_raw_desc *d)
{
	struct pvring_desc e = { cpu_to_le64(d->addr), cpu_to_le32(d->len), 0,
				 cpu_to_le16(d->flags & ~VRING_DESC_F_NEXT) };

	memcpy((uint8_t *)table + i * sizeof(e), &e, sizeof(e));
}

static const struct vq_raw_ops raw_ops = {
	.post = raw_post,
	.used_count = raw_used_count,
	.used = raw_used,
	.take = raw_take,
	.want_nth = raw_want_nth,
	.entry = raw_entry,
};

static const struct vq_ops packed_ops = {
	.name = "packed",
	.destroy = packed_destroy,
	.add = packed_add,
	.kick_needed = packed_kick_needed,
	.next_off = packed_next_off,
	.get = packed_get,
	.pending = packed_pending,
	.interrupts = packed_interrupts,
	.free_count = packed_free_count,
	.in_flight = packed_in_flight,
	.raw = &raw_ops,
	.audit = packed_audit,
};

/* --- what only a packed ring has (packed.h) ----------------------------------------------- */

struct vq_packed *vq_packed(struct virtqueue *vq)
{
	vq->raw = true;
	return vq->ops == &packed_ops ? to_packed(vq) : NULL;
}

void vq_packed_set_desc(struct vq_packed *p, uint16_t slot, const struct vq_packed_desc *d)
{
	struct pvring_desc *to = &p->desc[slot % p->vq.size];

	write_desc(to, d->addr, d->len, d->id);
	wmb();
	set_flags(to, d->flags);
	mb();
}

void vq_packed_post(struct vq_packed *p, const struct vq_packed_desc *d, uint16_t n)
{
	const uint16_t first = p->avail.slot;
	uint16_t i, flags, first_flags = 0;

	for (i = 0; i < n; i++) {
		flags = put_desc(p, first, d[i].addr, d[i].len, d[i].id, d[i].flags);
		if (i == 0)
			first_flags = flags;
	}
	note_chain(p, d[n - 1].id, n);
	wmb();
	set_flags(&p->desc[first], first_flags);
	mb();
}

void vq_packed_desc(struct vq_packed *p, uint16_t slot, struct vq_packed_desc *d)
{
	const struct pvring_desc *from = &p->desc[slot % p->vq.size];

	d->flags = le16_to_cpu(READ_ONCE(from->flags));
	rmb();
	d->addr = le64_to_cpu(READ_ONCE(from->addr));
	d->len = le32_to_cpu(READ_ONCE(from->len));
	d->id = le16_to_cpu(READ_ONCE(from->id));
}

uint16_t vq_packed_next_avail(const struct vq_packed *p)
{
	return pack(p->avail);
}

uint16_t vq_packed_next_used(const struct vq_packed *p)
{
	return pack(p->used);
}

uint16_t vq_packed_behind(const struct vq_packed *p, uint16_t pos, uint16_t by)
{
	struct pos at = { pos & 0x7fff, pos & PVRING_WRAP };

	advance(p, &at, by);
	return pack(at);
}

uint16_t vq_packed_avail_flags(uint16_t pos)
{
	return available_at(pos & PVRING_WRAP);
}

void vq_packed_set_driver_event(struct vq_packed *p, uint16_t pos, uint16_t flags)
{
	p->want_irq = false; /* taking a buffer does not move the event */
	write_wish(p, pos, flags);
}

void vq_packed_device_event(struct vq_packed *p, uint16_t *pos, uint16_t *flags)
{
	const uint32_t event = le32_to_cpu(READ_ONCE(*(const le32 *)(const void *)p->device_event));

	*pos = (uint16_t)event;
	*flags = (uint16_t)(event >> 16);
}

/* --- creation ---------------------------------------------------------------------------- */

static bool alloc_shared(struct vq_packed *p)
{
	/* 2.8: alignment 16, 4 and 4. */
	static const size_t align[VQ_AREAS] = { 16, 4, 4 };
	const size_t bytes[VQ_AREAS] = { p->vq.size * sizeof(struct pvring_desc),
					 sizeof(struct pvring_event), sizeof(struct pvring_event) };

	if (!vq_areas_alloc(&p->vq, bytes, align))
		return false;
	p->desc = (void *)p->vq.area[VQ_DESC].at;
	p->driver_event = (void *)p->vq.area[VQ_DRIVER].at;
	p->device_event = (void *)p->vq.area[VQ_DEVICE].at;
	return true;
}

struct virtqueue *packed_create(struct virtio_device *d, uint16_t index, uint16_t size)
{
	struct vq_packed *p;
	unsigned int i;

	if (size == 0 || size > MAX_SIZE)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->vq = (struct virtqueue){ .ops = &packed_ops, .dev = d, .index = index, .size = size };
	p->indirect = virtio_has(d, VIRTIO_F_INDIRECT_DESC);
	p->event_idx = virtio_has(d, VIRTIO_F_EVENT_IDX);
	p->in_order = virtio_has(d, VIRTIO_F_IN_ORDER);
	p->next_id = calloc(size, sizeof(*p->next_id));
	p->sent = calloc(size, sizeof(*p->sent));
	p->raw_descs = calloc(size, sizeof(*p->raw_descs));
	if (chains_init(&p->chains, &d->dev, size, p->indirect) || !p->next_id || !p->sent ||
	    !p->raw_descs || !alloc_shared(p)) {
		packed_destroy(&p->vq);
		return NULL;
	}
	for (i = 0; i < size; i++)
		p->next_id[i] = (uint16_t)(i + 1);
	p->free_count = size;
	p->avail.wrap = p->used.wrap = true; /* 2.8.1 */
	packed_interrupts(&p->vq, d->irq_mode != VIRTIO_IRQ_POLL);
	return &p->vq;
}
