/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The split virtqueue (2.7). Private memory holds all that was posted; of the
 * shared memory only what the device must write is read: used.idx, used.flags,
 * avail_event and the used elements, each once, and each checked.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/chain.h"
#include "drivers/virtio/split.h"
#include "drivers/virtio/vq_impl.h"
#include "lib/mmio.h"

struct vq_split {
	struct virtqueue vq;
	/* Shared with the device. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	le16 *used_event;  /* ours: behind avail */
	le16 *avail_event; /* the device's: behind used */
	/* Private. */
	struct chains chains; /* by head descriptor */
	uint16_t *next;	      /* free list, and the order within a chain */
	uint16_t free_head, free_count;
	uint16_t in_flight;
	uint16_t avail_idx, kicked_idx, last_used;
	bool indirect, event_idx, want_irq;
};

static struct vq_split *to_split(const struct virtqueue *vq)
{
	return (struct vq_split *)((uintptr_t)vq - offsetof(struct vq_split, vq));
}

/* --- descriptors ----------------------------------------------------------------------- */

static void write_desc(struct vring_desc *d, const struct chain_seg *m, uint16_t flags,
		       uint16_t next)
{
	WRITE_ONCE(d->addr, cpu_to_le64(m->addr));
	WRITE_ONCE(d->len, cpu_to_le32(m->len));
	WRITE_ONCE(d->flags, cpu_to_le16(flags));
	WRITE_ONCE(d->next, cpu_to_le16(next));
}

static int post_indirect(struct vq_split *s, uint16_t head)
{
	struct chain *c = &s->chains.chain[head];
	struct chain_seg whole = { .len = c->segs * CHAIN_ENTRY };
	struct vring_desc *t = chain_table(&s->chains, head, &whole.addr);
	unsigned int i;

	if (!t)
		return -ENOMEM;
	for (i = 0; i < c->segs; i++)
		write_desc(&t[i], &c->seg[i], chain_flags(c, i),
			   (uint16_t)(i + 1 < c->segs ? i + 1 : 0));
	c->descs = 1;
	/* 2.7.5.3.1: INDIRECT and NEXT are never both set. */
	write_desc(&s->desc[head], &whole, VRING_DESC_F_INDIRECT, 0);
	return 0;
}

static void post_direct(struct vq_split *s, uint16_t head)
{
	struct chain *c = &s->chains.chain[head];
	uint16_t at = head;
	unsigned int i;

	for (i = 0; i < c->segs; i++) {
		write_desc(&s->desc[at], &c->seg[i], chain_flags(c, i),
			   i + 1 < c->segs ? s->next[at] : 0);
		at = s->next[at];
	}
	c->descs = (uint16_t)c->segs;
}

/* Takes the first n of the free list; they keep their links. */
static void take_descs(struct vq_split *s, uint16_t n)
{
	s->free_count = (uint16_t)(s->free_count - n);
	while (n--)
		s->free_head = s->next[s->free_head];
}

static void give_descs(struct vq_split *s, uint16_t head, uint16_t n)
{
	uint16_t last = head;

	s->free_count = (uint16_t)(s->free_count + n);
	while (--n)
		last = s->next[last];
	s->next[last] = s->free_head;
	s->free_head = head;
}

/* --- ops ------------------------------------------------------------------------------- */

static int split_add(struct virtqueue *vq, const struct vq_seg *out, unsigned int n_out,
		     const struct vq_seg *in, unsigned int n_in, void *token)
{
	struct vq_split *s = to_split(vq);
	const unsigned int n = n_out + n_in;
	const bool indirect = s->indirect && n > 1;
	const uint16_t head = s->free_head;
	struct chain *c;
	int ret;

	if (s->free_count < (indirect ? 1 : n))
		return -ENOSPC;
	ret = chain_map(&s->chains, head, out, n_out, in, n_in);
	if (!ret && indirect)
		ret = post_indirect(s, head);
	else if (!ret)
		post_direct(s, head);
	if (ret) {
		chain_release(&s->chains, head, 0);
		return ret;
	}
	c = &s->chains.chain[head];
	c->token = token;
	take_descs(s, c->descs);
	s->in_flight++;
	WRITE_ONCE(s->avail->ring[s->avail_idx & (vq->size - 1)], cpu_to_le16(head));
	s->avail_idx++;
	wmb(); /* 2.7.13.3.1: idx only after the descriptors and the ring */
	WRITE_ONCE(s->avail->idx, cpu_to_le16(s->avail_idx));
	return 0;
}

static bool split_kick_needed(struct virtqueue *vq)
{
	struct vq_split *s = to_split(vq);
	const uint16_t old = s->kicked_idx, now = s->avail_idx;
	uint16_t event;

	mb(); /* 2.7.13.4.1: idx is visible before flags or avail_event are read */
	s->kicked_idx = now;
	if (!s->event_idx)
		return now != old &&
		       !(le16_to_cpu(READ_ONCE(s->used->flags)) & VRING_USED_F_NO_NOTIFY);
	/* 2.7.10.1: tell when the index passed avail_event; all of it modulo 2^16. */
	event = le16_to_cpu(READ_ONCE(*s->avail_event));
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static uint16_t split_next_off(const struct virtqueue *vq)
{
	return to_split(vq)->avail_idx;
}

static uint16_t used_idx(const struct vq_split *s)
{
	return le16_to_cpu(READ_ONCE(s->used->idx));
}

static int split_get(struct virtqueue *vq, void **token, uint32_t *len)
{
	struct vq_split *s = to_split(vq);
	const uint16_t idx = used_idx(s);
	const uint16_t new = (uint16_t)(idx - s->last_used);
	const struct vring_used_elem *e = &s->used->ring[s->last_used & (vq->size - 1)];
	uint32_t id, written;
	uint16_t descs;

	if (new == 0)
		return 0;
	if (new > s->in_flight)
		return vq_break(vq,
				"queue %u: used.idx jumped from %u to %u with %u buffers in flight",
				vq->index, s->last_used, idx, s->in_flight);
	rmb(); /* the element only after the index (2.7.14) */
	id = le32_to_cpu(READ_ONCE(e->id));
	written = le32_to_cpu(READ_ONCE(e->len));
	if (id >= vq->size)
		return vq_break(vq,
				"queue %u: used element %u has id %u, the queue has %u descriptors",
				vq->index, s->last_used, id, vq->size);
	if (!chain_posted(&s->chains, id))
		return vq_break(vq, "queue %u: used element %u has id %u, not a buffer in flight",
				vq->index, s->last_used, id);
	if (written > s->chains.chain[id].writable)
		return vq_break(
			vq,
			"queue %u: used element %u (id %u): len %u, the buffer has %u writable bytes",
			vq->index, s->last_used, id, written, s->chains.chain[id].writable);
	*token = s->chains.chain[id].token;
	*len = written;
	descs = s->chains.chain[id].descs;
	chain_release(&s->chains, (uint16_t)id, written);
	give_descs(s, (uint16_t)id, descs);
	s->in_flight--;
	s->last_used++;
	if (s->event_idx && s->want_irq)
		WRITE_ONCE(*s->used_event, cpu_to_le16(s->last_used));
	return 1;
}

static bool split_pending(struct virtqueue *vq)
{
	const struct vq_split *s = to_split(vq);

	return used_idx(s) != s->last_used;
}

static bool split_interrupts(struct virtqueue *vq, bool on)
{
	struct vq_split *s = to_split(vq);

	s->want_irq = on;
	if (s->event_idx) /* 2.7.7.1: flags stay 0; an event just passed comes again after 2^16 buffers */
		WRITE_ONCE(*s->used_event,
			   cpu_to_le16((uint16_t)(on ? s->last_used : s->last_used - 1)));
	else
		WRITE_ONCE(s->avail->flags, cpu_to_le16(on ? 0 : VRING_AVAIL_F_NO_INTERRUPT));
	mb(); /* what the device used before it saw this raises no interrupt: look once more */
	return on && split_pending(vq);
}

static uint16_t split_free_count(const struct virtqueue *vq)
{
	return to_split(vq)->free_count;
}

static uint16_t split_in_flight(const struct virtqueue *vq)
{
	return to_split(vq)->in_flight;
}

static int audit_element(struct vq_split *s, uint16_t at)
{
	const struct vring_used_elem *e = &s->used->ring[at & (s->vq.size - 1)];
	const uint32_t id = le32_to_cpu(READ_ONCE(e->id)), written = le32_to_cpu(READ_ONCE(e->len));

	if (!chain_posted(&s->chains, id) || s->chains.chain[id].audited)
		return vq_break(
			&s->vq,
			"queue %u: used element %u, the last before a reset, has id %u, not a buffer in flight",
			s->vq.index, at, id);
	if (written > s->chains.chain[id].writable)
		return vq_break(
			&s->vq,
			"queue %u: used element %u (id %u): len %u, the buffer has %u writable bytes",
			s->vq.index, at, id, written, s->chains.chain[id].writable);
	s->chains.chain[id].audited = true;
	return 0;
}

static int split_audit(struct virtqueue *vq)
{
	struct vq_split *s = to_split(vq);
	const uint16_t idx = used_idx(s);
	const uint16_t new = (uint16_t)(idx - s->last_used);
	uint16_t i;
	int ret = 0;

	if (new > s->in_flight)
		return vq_break(vq,
				"queue %u: used.idx jumped from %u to %u with %u buffers in flight",
				vq->index, s->last_used, idx, s->in_flight);
	for (i = 0; i < new && !ret; i++)
		ret = audit_element(s, (uint16_t)(s->last_used + i));
	return ret;
}

static void split_destroy(struct virtqueue *vq)
{
	struct vq_split *s = to_split(vq);

	chains_free(&s->chains);
	vq_areas_free(vq);
	free(s->next);
	free(s);
}

/* --- the raw door ---------------------------------------------------------------------- */

static void put_desc(struct vq_split *s, uint16_t i, const struct vq_raw_desc *d)
{
	const struct chain_seg m = { .addr = d->addr, .len = d->len };

	write_desc(&s->desc[i & (s->vq.size - 1)], &m, d->flags, d->next);
}

/* A chain that leaves the table, or runs in a circle, is written as far as it is one. */
static void put_chain(struct vq_split *s, uint16_t head)
{
	uint16_t at = head, left = s->vq.size;

	while (s->vq.staged && at < s->vq.size && left--) {
		put_desc(s, at, &s->vq.staged[at]);
		if (!(s->vq.staged[at].flags & VRING_DESC_F_NEXT))
			return;
		at = s->vq.staged[at].next;
	}
}

static void raw_post(struct virtqueue *vq, const uint16_t *heads, unsigned int n)
{
	struct vq_split *s = to_split(vq);
	unsigned int k;

	for (k = 0; k < n; k++) {
		put_chain(s, heads[k]);
		WRITE_ONCE(s->avail->ring[s->avail_idx & (vq->size - 1)], cpu_to_le16(heads[k]));
		s->avail_idx++;
	}
	vq_split_set_avail_idx(s, s->avail_idx);
}

static unsigned int raw_used_count(struct virtqueue *vq)
{
	const struct vq_split *s = to_split(vq);
	const uint16_t idx = used_idx(s);

	rmb(); /* the elements only after the index */
	return (uint16_t)(idx - s->last_used);
}

static void raw_used(struct virtqueue *vq, unsigned int k, uint32_t *id, uint32_t *len)
{
	struct vq_split *s = to_split(vq);

	vq_split_used(s, (uint16_t)(s->last_used + k), id, len);
}

static void raw_take(struct virtqueue *vq, unsigned int n)
{
	struct vq_split *s = to_split(vq);

	s->last_used = (uint16_t)(s->last_used + n);
	if (s->event_idx && s->want_irq)
		vq_split_set_used_event(s, s->last_used);
}

static int raw_want_nth(struct virtqueue *vq, uint16_t n)
{
	struct vq_split *s = to_split(vq);

	if (!s->event_idx)
		return -EOPNOTSUPP;
	s->want_irq = false; /* taking a buffer does not move the event */
	vq_split_set_used_event(s, (uint16_t)(s->last_used + n - 1));
	return 0;
}

static void raw_entry(void *table, uint16_t i, const struct vq_raw_desc *d)
{
	const struct vring_desc e = { cpu_to_le64(d->addr), cpu_to_le32(d->len),
				      cpu_to_le16(d->flags), cpu_to_le16(d->next) };

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

static const struct vq_ops split_ops = {
	.name = "split",
	.destroy = split_destroy,
	.add = split_add,
	.kick_needed = split_kick_needed,
	.next_off = split_next_off,
	.get = split_get,
	.pending = split_pending,
	.interrupts = split_interrupts,
	.free_count = split_free_count,
	.in_flight = split_in_flight,
	.raw = &raw_ops,
	.audit = split_audit,
};

/* --- what only a split ring has (split.h) ------------------------------------------------- */

struct vq_split *vq_split(struct virtqueue *vq)
{
	vq->raw = true;
	return vq->ops == &split_ops ? to_split(vq) : NULL;
}

void vq_split_set_desc(struct vq_split *s, uint16_t i, const struct vq_raw_desc *d)
{
	put_desc(s, i, d);
	wmb();
}

void vq_split_desc(struct vq_split *s, uint16_t i, struct vq_raw_desc *d)
{
	const struct vring_desc *v = &s->desc[i & (s->vq.size - 1)];

	rmb();
	d->addr = le64_to_cpu(READ_ONCE(v->addr));
	d->len = le32_to_cpu(READ_ONCE(v->len));
	d->flags = le16_to_cpu(READ_ONCE(v->flags));
	d->next = le16_to_cpu(READ_ONCE(v->next));
}

void vq_split_set_avail_idx(struct vq_split *s, uint16_t idx)
{
	wmb();
	s->avail_idx = idx;
	WRITE_ONCE(s->avail->idx, cpu_to_le16(idx));
	mb();
}

void vq_split_set_avail_flags(struct vq_split *s, uint16_t flags)
{
	WRITE_ONCE(s->avail->flags, cpu_to_le16(flags));
	mb();
}

void vq_split_set_used_event(struct vq_split *s, uint16_t value)
{
	WRITE_ONCE(*s->used_event, cpu_to_le16(value));
	mb();
}

uint16_t vq_split_used_idx(struct vq_split *s)
{
	return used_idx(s);
}

uint16_t vq_split_used_flags(struct vq_split *s)
{
	return le16_to_cpu(READ_ONCE(s->used->flags));
}

uint16_t vq_split_avail_event(struct vq_split *s)
{
	return le16_to_cpu(READ_ONCE(*s->avail_event));
}

void vq_split_used(struct vq_split *s, uint16_t slot, uint32_t *id, uint32_t *len)
{
	const struct vring_used_elem *e = &s->used->ring[slot & (s->vq.size - 1)];

	rmb();
	*id = le32_to_cpu(READ_ONCE(e->id));
	*len = le32_to_cpu(READ_ONCE(e->len));
}

/* --- creation -------------------------------------------------------------------------- */

static bool alloc_shared(struct vq_split *s, uint16_t size)
{
	/* 2.7: alignment 16, 2 and 4. */
	static const size_t align[VQ_AREAS] = { 16, 2, 4 };
	const size_t bytes[VQ_AREAS] = {
		size * sizeof(struct vring_desc),
		sizeof(struct vring_avail) + (size + 1u) * sizeof(le16),
		sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) + sizeof(le16),
	};

	if (!vq_areas_alloc(&s->vq, bytes, align))
		return false;
	s->desc = (void *)s->vq.area[VQ_DESC].at;
	s->avail = (void *)s->vq.area[VQ_DRIVER].at;
	s->used = (void *)s->vq.area[VQ_DEVICE].at;
	s->used_event = &s->avail->ring[size];
	s->avail_event = (le16 *)&s->used->ring[size];
	return true;
}

struct virtqueue *split_create(struct virtio_device *d, uint16_t index, uint16_t size)
{
	struct vq_split *s;
	unsigned int i;

	if (size == 0 || (size & (size - 1))) /* 2.7: powers of two, of which 32768 is the last */
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->vq = (struct virtqueue){ .ops = &split_ops, .dev = d, .index = index, .size = size };
	s->indirect = virtio_has(d, VIRTIO_F_INDIRECT_DESC);
	s->event_idx = virtio_has(d, VIRTIO_F_EVENT_IDX);
	s->next = calloc(size, sizeof(*s->next));
	if (chains_init(&s->chains, &d->dev, size, s->indirect) || !s->next ||
	    !alloc_shared(s, size)) {
		split_destroy(&s->vq);
		return NULL;
	}
	for (i = 0; i < size; i++)
		s->next[i] = (uint16_t)(i + 1);
	s->free_count = size;
	split_interrupts(&s->vq, d->irq_mode != VIRTIO_IRQ_POLL);
	return &s->vq;
}
