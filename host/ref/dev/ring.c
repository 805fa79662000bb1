/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/ring.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/ref/dev/chaos.h"
#include "host/ref/dev/faults.h"
#include "host/ref/dev/log.h"
#include "host/ref/dev/ring_impl.h"

#define WISH_NS	 500000 /* outside3.vs_wish_before_index */
#define HDR_SIZE 44	/* of a vsock packet: tells header from payload in violations */

void ring_init(struct ring *r, unsigned int index, const char *name, const struct guest_mem *mem)
{
	memset(r, 0, sizeof(*r));
	r->index = index;
	r->name = name;
	r->mem = mem;
	r->kick_fd = r->call_fd = r->err_fd = -1;
}

static size_t avail_bytes(const struct ring *r)
{
	return sizeof(struct vring_avail) + 2u * r->num + (r->event_idx ? 2 : 0);
}

static size_t used_bytes(const struct ring *r)
{
	return sizeof(struct vring_used) + sizeof(struct vring_used_elem) * r->num +
	       (r->event_idx ? 2 : 0);
}

/* Fault outside.vs_event_avail_cached: the address of the ring is the one that was looked up at first. */
static uint64_t avail_at(struct ring *r)
{
	if (fault(F_AREAS_BEHIND))
		return r->desc_uva + ((sizeof(struct vring_desc) * r->num + 63) & ~63ull);
	if (!r->first_avail_uva)
		r->first_avail_uva = r->avail_uva;
	if (r->index == EVENT && r->first_avail_uva != r->avail_uva &&
	    fault(F_OUTSIDE_VS_EVENT_AVAIL_CACHED))
		return r->first_avail_uva;
	return r->avail_uva;
}

/* 2.7 MUST of the driver: what a device does with another size is its choice. */
static bool split_size_wrong(const struct ring *r)
{
	return r->num == 0 || r->num > RING_MAX_SIZE || (r->num & (r->num - 1));
}

/* The same of the alignments of the three parts. */
static bool split_misaligned(const struct ring *r)
{
	return (uintptr_t)r->desc % 16 || (uintptr_t)r->avail % 2 || (uintptr_t)r->used % 4 ||
	       (r->used_uva % 64 && fault(F_AREAS_LINE)) ||
	       (r->avail_uva % 8 && fault(F_AREAS_WORD));
}

int ring_area(struct ring *r, uint64_t addr, size_t len, bool write, void **p, uint64_t *gpa)
{
	uint8_t *at = NULL;
	int ret = 0;

	if (r->mem->tlb)
		ret = dma_range(r->mem, addr, len, write && !fault(F_IOTLB_RING_ASKED_TO_READ), &at,
				gpa);
	else
		at = mem_at_uva(r->mem, addr, len, gpa);
	*p = at;
	return ret ? ret : at ? 0 : -EFAULT;
}

/* Fault: a part of the ring that ends with a region of memory is taken for one that does not fit. */
static bool ends_region(const struct ring *r)
{
	uint64_t one = 1;

	return fault_on(F_AREAS_REGION_END) && r->desc &&
	       !mem_at(r->mem, r->desc_gpa + sizeof(struct vring_desc) * r->num, &one) &&
	       fault(F_AREAS_REGION_END);
}

/* Fault hostile.end_sticks: each part begins in memory, so that one ends behind it. */
static bool ends_outside(const struct ring *r)
{
	uint64_t gpa;

	return mem_at_uva(r->mem, r->desc_uva, 1, &gpa) &&
	       mem_at_uva(r->mem, r->avail_uva, 1, &gpa) &&
	       mem_at_uva(r->mem, r->used_uva, 1, &gpa);
}

int ring_map(struct ring *r)
{
	int ret;

	r->desc = NULL;
	r->avail = NULL;
	r->used = NULL;
	if (r->packed)
		return packed_map(r);
	if (split_size_wrong(r) || (r->num < 4 && fault(F_OUTSIDE_VS_QUEUE_TINY)))
		return -EINVAL;
	ret = ring_area(r, r->desc_uva, sizeof(struct vring_desc) * r->num, false,
			(void **)&r->desc, &r->desc_gpa);
	if (!ret)
		ret = ring_area(r, avail_at(r), avail_bytes(r), false, (void **)&r->avail,
				&r->avail_gpa);
	if (!ret)
		ret = ring_area(r, r->used_uva, used_bytes(r), true, (void **)&r->used,
				&r->used_gpa);
	if (ret == -EAGAIN)
		return ret;
	if (ret || ends_region(r)) {
		if (fault(F_HOSTILE_ADDRESS_STICKS) ||
		    (ends_outside(r) && fault(F_HOSTILE_END_STICKS)))
			r->lame = true;
		return -EFAULT;
	}
	if (split_misaligned(r))
		return -EINVAL;
	return 0;
}

/* Faults of the indexes that a queue starts with. used: the index in front of this start. */
static void start_elsewhere(struct ring *r, uint16_t base, uint16_t used)
{
	const uint16_t avail = le16toh(r->avail->idx);

	if (r->index != EVENT || base)
		return;
	if (avail && fault(F_OUTSIDE_VS_EVENT_BASE_AVAIL))
		r->last_avail = avail;
	if (used != r->used_idx && fault(F_OUTSIDE_VS_EVENT_USED_KEPT))
		r->used_idx = used;
}

uint32_t ring_new_base(const struct ring *r)
{
	return r->packed ? RING_BASE_PACKED : RING_BASE_SPLIT;
}

static uint16_t packed_base(struct ring_pos at)
{
	return (uint16_t)(at.slot | (at.wrap ? 0x8000 : 0));
}

uint32_t ring_base(const struct ring *r)
{
	if (!r->packed)
		return r->last_avail;
	return packed_base(r->next_avail) | (uint32_t)packed_base(r->next_used) << 16;
}

static void start_split(struct ring *r, uint16_t base)
{
	const uint16_t used = r->used_idx;

	r->last_avail = base;
	r->used_idx = base;
	/* The page may be private; then the first pop finds out. */
	if (mem_allowed(r->mem, r->used_gpa, used_bytes(r), NULL))
		r->used_idx = le16toh(__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE));
	if (mem_allowed(r->mem, r->avail_gpa, avail_bytes(r), NULL))
		start_elsewhere(r, base, used);
	r->old_event = base;
	r->published = r->used_idx;
	/* Resumed, not new: what the driver was told before is not known. */
	if (!fault(F_IRQ_WISH_KEPT))
		r->signalled = r->used_idx;
	r->signalled_valid = base == 0 && !fault(F_IRQ_FIRST_UNASKED);
}

int ring_start(struct ring *r, uint32_t base)
{
	int ret;

	r->running = false;
	r->broken = r->broken && fault(F_OUTSIDE_VS_BROKEN_KEPT);
	ret = ring_map(r);
	if (ret)
		return ret;
	if (r->packed) {
		ret = packed_start(r, base);
		if (ret)
			return ret;
	}
	r->kick_wanted = true;
	r->trips = 0;
	r->calls_since_start = 0;
	r->was_silenced = false;
	r->running = true;
	if (!r->packed)
		start_split(r, (uint16_t)base);
	return 0;
}

void ring_stop(struct ring *r)
{
	r->running = false;
}

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	/* Full (EAGAIN) is signalled already; a VMM that is gone does not matter. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) != sizeof(one))
		rd_debug("eventfd %d: %s", fd, strerror(errno));
}

void ring_break(struct ring *r, const char *why, unsigned int value)
{
	rd_log("queue %u (%s) stops: %s (%u)", r->index, r->name, why, value);
	r->broken = true;
	r->bad_chains++;
	signal_fd(r->err_fd);
}

/* Fault outside3.vs_private_cached: whether all of it was allowed once. now: it is. */
static bool allowed_before(const struct ring *r, uint64_t gpa, uint64_t len, bool now)
{
	static uint8_t *seen;
	const struct page_states *ps = &r->mem->ps;
	uint64_t frame, last = (gpa + len - 1) >> PAGE_STATE_SHIFT;

	if (!fault_on(F_OUTSIDE3_VS_PRIVATE_CACHED) || !ps->file || !page_states_protected(ps) ||
	    last >= ps->file->frames)
		return false;
	if (!seen)
		seen = calloc(1, ps->file->frames);
	for (frame = gpa >> PAGE_STATE_SHIFT; seen && frame <= last; frame++) {
		if (!now && !seen[frame])
			return false;
		seen[frame] |= now;
	}
	return seen;
}

bool ring_may_touch(struct ring *r, uint64_t gpa, uint64_t len, enum ctl_mem_reason reason)
{
	uint64_t bad = gpa;

	if (mem_allowed(r->mem, gpa, len, &bad)) {
		allowed_before(r, gpa, len, true);
		return true;
	}
	if (fault(F_MEM_PRIVATE_ALLOWED) ||
	    (mem_allowed(r->mem, gpa, len - 1, NULL) && fault(F_MEM_PRIVATE_LAST_BYTE)) ||
	    (allowed_before(r, gpa, len, false) && fault(F_OUTSIDE3_VS_PRIVATE_CACHED)) ||
	    (reason == CTL_MEM_RING && fault(F_MEM_PRIVATE_RING_ALLOWED)) ||
	    (reason == CTL_MEM_INDIRECT && fault(F_MEM_PRIVATE_INDIRECT_ALLOWED)) ||
	    (reason == CTL_MEM_INDIRECT &&
	     mem_allowed(r->mem, gpa, sizeof(struct vring_desc), NULL) &&
	     fault(F_MEM_PRIVATE_TABLE_END)))
		return true;
	r->broken = true;
	if (r->violation)
		r->violation(r->arg, r, bad < gpa ? gpa : bad, reason);
	signal_fd(r->err_fd);
	return false;
}

bool ring_memory_ok(struct ring *r)
{
	if (!r->mem->ps.file)
		return true;
	if (r->packed)
		return packed_memory_ok(r);
	return ring_may_touch(r, r->desc_gpa, sizeof(struct vring_desc) * r->num, CTL_MEM_RING) &&
	       ring_may_touch(r, r->avail_gpa, avail_bytes(r), CTL_MEM_RING) &&
	       ring_may_touch(r, r->used_gpa, used_bytes(r), CTL_MEM_RING);
}

static bool stuck(const struct ring *r)
{
	return r->lame || (r->index == 1 && r->last_avail >= 256 && fault(F_RING_INDEX_WRAP));
}

/* Faults: comparisons of indexes that find nothing behind a wrap, or not the last buffer. */
static bool hidden_by_wrap(const struct ring *r, uint16_t avail)
{
	if (r->index == RX)
		return (avail < r->last_avail && fault(F_OUTSIDE_VS_RX_AVAIL_WRAP)) ||
		       ((uint16_t)(avail - r->last_avail) == 1 &&
			fault(F_OUTSIDE_VS_RX_LAST_BUFFER));
	return r->index == TX &&
	       ((avail < r->last_avail && fault(F_OUTSIDE_VS_TX_AVAIL_WRAP)) ||
		((int16_t)avail < (int16_t)r->last_avail && fault(F_OUTSIDE_VS_TX_AVAIL_SIGNED)));
}

bool ring_pending(const struct ring *r)
{
	uint16_t avail;

	if (!r->running || r->broken || stuck(r))
		return false;
	if (r->packed)
		return packed_pending(r);
	avail = le16toh(__atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE));
	return avail != r->last_avail && !hidden_by_wrap(r, avail);
}

/* Faults: buffers that a device refuses for where they lie. */
static bool buffer_refused(const struct ring *r, uint64_t gpa, uint64_t len)
{
	uint64_t here = len, one_more = len + 1;
	const bool known = !r->mem->tlb && mem_at(r->mem, gpa, &here) &&
			   mem_at(r->mem, gpa, &one_more);

	return (gpa < 0xa0000 && fault(F_OUTSIDE_VS_LOW_MEMORY)) ||
	       (len > 64u << 20 && fault(F_RING_HUGE_REFUSED)) ||
	       (known && here < len && fault(F_OUTSIDE_VS_TWO_REGIONS)) ||
	       (known && here == len && one_more == len && fault(F_OUTSIDE_VS_LAST_BYTE_OF_RAM));
}

/* Fault ring.rx_one_region: what of a buffer for rx lies in the VMM's next memory region is not taken for a part of it. */
static uint64_t length_taken(const struct ring *r, uint64_t gpa, uint64_t len, bool writable)
{
	uint64_t here = len;

	if (writable && r->index == RX && !r->mem->tlb && mem_at(r->mem, gpa, &here) &&
	    here < len && fault(F_RING_RX_ONE_REGION))
		return here;
	return len;
}

/* Translations are of pages: what lies behind the last piece, and is of its kind, is a part of it. */
static bool goes_on(const struct ring_chain *c, const uint8_t *p, uint64_t gpa, bool writable)
{
	const struct ring_piece *last = &c->piece[c->n_out + c->n_in - 1];

	return (writable ? c->n_in : c->n_out) && last->p + last->len == p &&
	       last->gpa + last->len == gpa;
}

int ring_add_buffer(struct ring *r, struct ring_chain *c, uint64_t gpa, uint64_t left,
		    bool writable)
{
	const uint64_t before = writable ? 0 : c->out_len;

	if (gpa >> 32 && fault(F_RING_DESC_HIGH))
		gpa = (uint32_t)gpa;
	if (left > UINT16_MAX && fault(F_OUTSIDE_VS_DESC_LEN_16))
		left &= UINT16_MAX;
	if (r->index == RX && gpa % 4 && fault(F_OUTSIDE_VS_RX_UNALIGNED))
		return -EBADMSG;
	if (buffer_refused(r, gpa, left))
		return -EBADMSG;
	left = length_taken(r, gpa, left, writable);
	if (!writable && c->n_in && !fault(F_HOSTILE_ORDER_TAKEN))
		return -EBADMSG; /* 2.7.4.2: readable descriptors come first */
	while (left) {
		uint64_t len = left, at;
		struct ring_piece *piece;
		uint8_t *p;
		const int ret = dma_at(r->mem, gpa, writable, &p, &at, &len);

		if (ret == -EAGAIN)
			return ret;
		if (ret || c->n_out + c->n_in == RING_MAX_PIECES)
			return -EBADMSG;
		if (!ring_may_touch(r, at, len,
				    before < HDR_SIZE ? CTL_MEM_HEADER : CTL_MEM_PAYLOAD))
			return -EIO;
		if (r->mem->tlb && goes_on(c, p, at, writable)) {
			c->piece[c->n_out + c->n_in - 1].len += (uint32_t)len;
			*(writable ? &c->in_len : &c->out_len) += len;
			gpa += len;
			left -= len;
			continue;
		}
		piece = &c->piece[c->n_out + c->n_in];
		*piece = (struct ring_piece){ .p = p, .len = (uint32_t)len, .gpa = at };
		if (writable) {
			c->n_in++;
			c->in_len += len;
		} else {
			c->n_out++;
			c->out_len += len;
		}
		gpa += len;
		left -= len;
	}
	return 0;
}

int ring_read_table(struct ring *r, uint64_t gpa, void *to, size_t n)
{
	uint64_t len, at;
	uint8_t *p;

	for (size_t done = 0; done < n; done += len) {
		int ret;

		len = n - done;
		ret = dma_at(r->mem, gpa + done, false, &p, &at, &len);
		if (ret)
			return ret == -EAGAIN ? ret : -EBADMSG;
		if (len < n - done && fault(F_IOTLB_TABLE_IN_ONE_PAGE))
			return -EBADMSG;
		if (!ring_may_touch(r, at, len, CTL_MEM_INDIRECT))
			return -EIO;
		memcpy((uint8_t *)to + done, p, len);
	}
	return 0;
}

static int chain_add(struct ring *r, struct ring_chain *c, const struct vring_desc *d,
		     bool writable)
{
	return ring_add_buffer(r, c, le64toh(d->addr), le32toh(d->len), writable);
}

/* Faults: indirect tables that a device refuses, though each is one that a driver may make. */
static bool table_refused(const struct ring *r, uint64_t gpa, uint32_t count)
{
	return (gpa % sizeof(struct vring_desc) && fault(F_OUTSIDE_VS_TABLE_UNALIGNED)) ||
	       (count > 1 && count == r->num && fault(F_OUTSIDE_VS_TABLE_FULL)) ||
	       (gpa % 4096 + count * sizeof(struct vring_desc) > 4096 &&
		fault(F_OUTSIDE_VS_TABLE_CROSSES_PAGE)) ||
	       (r->index == RX && count > 16 && fault(F_OUTSIDE_VS_RX_TABLE_LONG));
}

/* Faults: the entry of an indirect table that a device takes behind entry i, or count for none. */
static uint32_t entry_behind(const struct vring_desc *e, uint32_t i, uint32_t count)
{
	if (!(le16toh(e->flags) & VRING_DESC_F_NEXT))
		return i + 1 < count && fault(F_OUTSIDE_VS_TABLE_ALL_ENTRIES) ? i + 1 : count;
	if (le16toh(e->next) != i + 1 && fault(F_OUTSIDE_VS_TABLE_NEXT_IGNORED))
		return i + 1;
	return le16toh(e->next);
}

/* 2.7.5.3.1 MUST NOT of the driver: a table that was not negotiated, is followed, has a part of an entry, or more than any queue. */
static bool split_table_forbidden(const struct ring *r, const struct vring_desc *d)
{
	const bool followed = le16toh(d->flags) & VRING_DESC_F_NEXT;

	return !r->indirect_ok || (followed && !fault(F_HOSTILE_FOLLOWED_TABLE_TAKEN)) ||
	       le32toh(d->len) % sizeof(*d) || le32toh(d->len) / sizeof(*d) > RING_MAX_PIECES;
}

static int walk_indirect(struct ring *r, struct ring_chain *c, const struct vring_desc *d)
{
	const uint64_t addr = le64toh(d->addr);
	const uint64_t gpa = addr >> 32 && fault(F_OUTSIDE_VS_TABLE_HIGH) ? (uint32_t)addr : addr;
	const uint32_t bytes = le32toh(d->len), count = bytes / sizeof(*d);
	const bool all_writable = (le16toh(d->flags) & VRING_DESC_F_WRITE) &&
				  fault(F_RING_INDIRECT_WRITE_FLAG_HONOURED);
	static struct vring_desc table[RING_MAX_PIECES];
	unsigned int seen = 0;
	uint32_t i = 0;
	int ret;

	if (!count || split_table_forbidden(r, d) || table_refused(r, gpa, count))
		return -EBADMSG;
	ret = ring_read_table(r, gpa, table, bytes);
	if (ret)
		return ret;
	c->indirect = true;
	if (c->out_len + c->in_len && fault(F_OUTSIDE_VS_BEFORE_TABLE_LOST)) {
		c->n_out = c->n_in = 0;
		c->out_len = c->in_len = 0;
	}
	for (;;) {
		const struct vring_desc *e;

		if (i >= count || seen++ >= count)
			return -EBADMSG;
		e = &table[i];
		if (le16toh(e->flags) & VRING_DESC_F_INDIRECT)
			return -EBADMSG;
		ret = chain_add(r, c, e, all_writable || (le16toh(e->flags) & VRING_DESC_F_WRITE));
		if (ret)
			return ret;
		if ((le16toh(e->flags) & VRING_DESC_F_NEXT) && fault(F_RING_INDIRECT_FIRST_ONLY))
			return 0;
		i = entry_behind(e, i, count);
		if (!(le16toh(e->flags) & VRING_DESC_F_NEXT) && i >= count)
			return 0;
	}
}

/* Faults: direct chains that a device refuses at descriptor `seen`, from 0 on. */
static bool chain_refused(const struct ring *r, unsigned int seen)
{
	return (!r->indirect_ok && seen >= 2 && fault(F_OUTSIDE_VS_DIRECT_TWO)) ||
	       (seen && seen + 1 == r->num && fault(F_OUTSIDE_VS_CHAIN_FULL));
}

static int walk(struct ring *r, struct ring_chain *c)
{
	uint16_t i = c->head;

	for (unsigned int seen = 0; seen < r->num; seen++) {
		struct vring_desc d;
		int ret;

		memcpy(&d, &r->desc[i], sizeof(d));
		c->tail = i;
		if (chain_refused(r, seen))
			return -EBADMSG;
		if (le16toh(d.flags) & VRING_DESC_F_INDIRECT) {
			if (seen && fault(F_RING_INDIRECT_HEAD_ONLY))
				return -EBADMSG;
			ret = walk_indirect(r, c, &d);
			if (ret == -EBADMSG && seen && fault(F_HOSTILE_LATE_TABLE_STICKS))
				r->lame = true;
			return ret;
		}
		ret = chain_add(r, c, &d, le16toh(d.flags) & VRING_DESC_F_WRITE);
		if (ret)
			return ret;
		if (!(le16toh(d.flags) & VRING_DESC_F_NEXT))
			return 0;
		i = le16toh(d.next) != i + 1 && fault(F_OUTSIDE_VS_NEXT_IGNORED) ?
			    (uint16_t)(i + 1) :
			    le16toh(d.next);
		if (i >= r->num)
			return -EBADMSG;
	}
	/* A loop. */
	if (c->tail == r->num - 1 ? fault(F_HOSTILE_LONG_LOOP_STICKS) :
				    fault(F_HOSTILE_LOOP_STICKS))
		r->lame = true;
	return -EBADMSG;
}

void ring_chain_begin(struct ring_chain *c)
{
	c->indirect = false;
	c->n_out = c->n_in = 0;
	c->out_len = c->in_len = 0;
}

void ring_count_bad(struct ring *r, const struct ring_chain *c)
{
	if (fault(F_RECORD_CHAIN_UNCOUNTED))
		return;
	if (rd_log_due(++r->bad_chains))
		rd_log("queue %u (%s): malformed chain at %s %u", r->index, r->name,
		       r->packed ? "id" : "descriptor", c->head);
}

static bool works(struct ring *r)
{
	return r->running && !r->broken && ring_memory_ok(r);
}

int ring_pop(struct ring *r, struct ring_chain *c)
{
	for (;;) {
		uint16_t avail, ready;
		int ret;

		if (!works(r))
			return -EIO;
		if (r->packed)
			return stuck(r) ? 0 : packed_pop(r, c);
		avail = le16toh(__atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE));
		ready = (uint16_t)(avail - r->last_avail);
		if (ready == 0 || stuck(r) || hidden_by_wrap(r, avail))
			return 0;
		if (ready > r->num && fault(F_HOSTILE_LEAP_STICKS))
			r->lame = true;
		if ((ready > r->num && !fault(F_HOSTILE_LEAP_TAKEN)) ||
		    (ready == r->num && fault(F_OUTSIDE_VS_FULL_IS_LEAP))) {
			ring_break(r, "the avail index leaps", ready);
			return -EIO;
		}
		c->head = le16toh(__atomic_load_n(&r->avail->ring[r->last_avail & (r->num - 1)],
						  __ATOMIC_RELAXED));
		if (c->head >= r->num) {
			ring_break(r, "a head past the queue size", c->head);
			return -EIO;
		}
		r->last_avail++;
		r->chains++;
		ring_chain_begin(c);
		ret = walk(r, c);
		if (ret == -EAGAIN)
			ring_unpop(r);
		if (ret != -EBADMSG)
			return ret ? ret : 1;
		if (fault(F_HOSTILE_BAD_CHAIN_STOPS)) {
			r->broken = true;
			return -EIO;
		}
		ring_count_bad(r, c);
		ring_push(r, c, 0, false);
		if (r->index == TX && ready > 1 && fault(F_OUTSIDE2_VS_BAD_CHAIN_SKIPS))
			r->last_avail++;
	}
}

void ring_unpop(struct ring *r)
{
	if (r->packed)
		packed_unpop(r);
	else
		r->last_avail--;
	r->chains--;
}

/* Takes the next chain, and leaves it the driver's. What cannot be walked is left to ring_pop(). 1, 0 (none). */
static int skip(struct ring *r, struct ring_chain *c)
{
	if (!ring_pending(r))
		return 0;
	ring_chain_begin(c);
	if (r->packed)
		return packed_skip(r, c);
	c->head = le16toh(r->avail->ring[r->last_avail++ & (r->num - 1)]);
	if (c->head >= r->num || walk(r, c))
		c->in_len = UINT64_MAX;
	return 1;
}

static bool look_for_larger(struct ring *r, uint64_t bytes)
{
	static struct ring_chain c;
	unsigned int seen = 0;

	while (seen++ < r->num && skip(r, &c)) {
		if (c.in_len > bytes)
			return true;
	}
	return false;
}

bool ring_has_larger(struct ring *r, uint64_t bytes)
{
	const uint16_t last_avail = r->last_avail;
	const struct ring_pos next_avail = r->next_avail;
	const bool found = look_for_larger(r, bytes) ||
			   (!(r->index == RX && fault(F_DATA_SMALL_FOR_GOOD)) &&
			    ring_want_kicks(r, true));

	r->last_avail = last_avail;
	r->next_avail = next_avail;
	return found;
}

/* 2.7.9: a batch's one element, of its last buffer, stands where the batch begins. */
static uint16_t used_slot(const struct ring *r)
{
	const uint16_t first = r->published & (r->num - 1), own = r->used_idx & (r->num - 1);

	if (!r->batches || fault_on(F_RING_BATCH_AT_END) ||
	    (own < first && fault(F_OUTSIDE_VS_BATCH_OVER_END)))
		return own;
	return first;
}

static void put_used(struct ring *r, uint32_t id, uint32_t len)
{
	struct vring_used_elem *e = &r->used->ring[used_slot(r)];

	if (r->batches && r->used_idx != r->published && fault(F_OUTSIDE_VS_BATCH_FIRST_ID)) {
		r->used_idx++;
		return;
	}
	__atomic_store_n(&e->id, htole32(id), __ATOMIC_RELAXED);
	__atomic_store_n(&e->len, htole32(len), __ATOMIC_RELAXED);
	r->used_idx++;
}

/* The faults of a used element. Those that break the queue strike once, at the fourth victim. */
static void push_faulty(struct ring *r, const struct ring_chain *c, uint32_t len)
{
	const bool strike = r->index == 1 && ++r->trips == 4;
	uint32_t id = c->head;

	if (c->n_out && fault(F_RING_WRITES_READABLE))
		c->piece[c->n_out - 1].p[c->piece[c->n_out - 1].len - 1] ^= 0xff;
	if (fault(F_RING_DESC_TABLE_WRITTEN))
		memset(&r->desc[c->head], 0, sizeof(r->desc[0]));
	if (c->n_in && fault(F_RING_WRITES_PAST_BUFFER)) {
		const struct ring_piece *last = &c->piece[c->n_out + c->n_in - 1];
		uint64_t one = 1;
		uint8_t *p = mem_at(r->mem, last->gpa + last->len, &one);

		if (p)
			*p ^= 0xff;
	}
	if (len && fault(F_RING_USED_LEN_ZERO))
		len = 0;
	if (fault(F_RING_USED_LEN_TOO_LONG))
		len = (uint32_t)c->in_len + 4096;
	if (strike && fault(F_RING_USED_ID_WRONG))
		id = (id + r->num / 2) % r->num;
	if (strike && fault(F_RING_USED_ID_RANGE))
		id = r->num + 1u;
	if (!c->indirect && c->tail != c->head && fault(F_OUTSIDE_VS_USED_ID_TAIL))
		id = c->tail;
	put_used(r, id, len);
	if (strike && fault(F_RING_USED_TWICE))
		put_used(r, id, len);
	if (strike && fault(F_RING_USED_IDX_JUMP))
		r->used_idx = (uint16_t)(r->used_idx + r->num);
}

static void push_chaos(struct ring *r, uint32_t id, uint32_t len)
{
	if (chaos_strikes())
		len = chaos_number(len);
	if (chaos_strikes())
		id = chaos_number(r->num);
	if (chaos_strikes())
		r->used_idx = (uint16_t)(r->used_idx + chaos_number(r->num));
	put_used(r, id, len);
	if (chaos_strikes())
		put_used(r, id, len);
}

void ring_push(struct ring *r, const struct ring_chain *c, uint32_t len, bool victim)
{
	if (!r->running || !ring_memory_ok(r))
		return;
	if (r->packed)
		packed_push(r, c, len);
	else if (chaos_strikes())
		push_chaos(r, c->head, len);
	else if (victim)
		push_faulty(r, c, len);
	else
		put_used(r, c->head, len);
}

void ring_signal(struct ring *r)
{
	const struct ring *to = r->other && fault(F_IRQ_WRONG_QUEUE) ? r->other : r;

	if (chaos_strikes())
		return;
	r->calls++;
	r->calls_since_start++;
	if (to->interrupt)
		to->interrupt(to->interrupt_arg, to->index);
	else
		signal_fd(to->call_fd);
}

/* 2.7.7: used_event stands behind the available ring of this size. */
static uint16_t used_event(const struct ring *r)
{
	const unsigned int at_most = 128;
	const uint8_t *p;
	uint64_t gpa;

	if (r->num < at_most && fault_on(F_OUTSIDE_VS_USED_EVENT_AT_MAX)) {
		p = mem_at_uva(r->mem, r->avail_uva + sizeof(*r->avail) + 2 * at_most, 2, &gpa);
		if (p && fault(F_OUTSIDE_VS_USED_EVENT_AT_MAX))
			return (uint16_t)(p[0] | p[1] << 8);
	}
	return le16toh(__atomic_load_n(&r->avail->ring[r->num], __ATOMIC_RELAXED));
}

/* 2.7.7.2; old, new: used indexes between which buffers were used since the driver was looked after last. */
static bool driver_wants(const struct ring *r, uint16_t old, uint16_t new, bool by_event,
			 unsigned int off_by)
{
	uint16_t event;

	if (!by_event)
		return !(le16toh(__atomic_load_n(&r->avail->flags, __ATOMIC_RELAXED)) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	if (!r->signalled_valid)
		return true;
	event = used_event(r);
	return vring_need_event((uint16_t)(event + off_by), new, old);
}

static bool wants_signal(const struct ring *r, uint16_t old, uint16_t new)
{
	bool right, wrong;

	/* The index must be visible before the driver's wish is read. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	right = driver_wants(r, old, new, r->event_idx, 0);
	if (!right && fault(F_IRQ_DESPITE_SUPPRESSION))
		return true;
	if (fault_on(r->event_idx ? F_IRQ_FLAG_HONOURED : F_IRQ_USED_EVENT_HONOURED)) {
		wrong = driver_wants(r, old, new, !r->event_idx, 0);
		if (wrong != right)
			fault(r->event_idx ? F_IRQ_FLAG_HONOURED : F_IRQ_USED_EVENT_HONOURED);
		return wrong;
	}
	if (r->event_idx && fault_on(F_IRQ_EVENT_OFF_BY_ONE)) {
		wrong = driver_wants(r, old, new, true, 1);
		if (wrong != right)
			fault(F_IRQ_EVENT_OFF_BY_ONE);
		return wrong;
	}
	return right;
}

/*
 * Fault outside.vs_used_event_cached: while used_event as it was read last is ahead of new, it is not read again. It is
 * ahead for as long as it is in the ring's next round.
 */
static bool stale_event_says_no(struct ring *r, uint16_t old, uint16_t new)
{
	if (vring_need_event(r->old_event, (uint16_t)(new + r->num), new) &&
	    !vring_need_event(r->old_event, new, old))
		return true;
	r->old_event = used_event(r);
	return false;
}

/* Faults: a notification that is due, and that is not sent. */
static bool forgotten(struct ring *r, uint16_t old, uint16_t new)
{
	const uint16_t event = r->event_idx ? used_event(r) : (uint16_t)(new - 1);

	if (r->event_idx && event == 0 && fault(F_OUTSIDE_VS_USED_EVENT_ZERO))
		return true;
	if (r->event_idx && new < old && fault(F_OUTSIDE3_VS_IRQ_LOST_AT_WRAP))
		return true;
	if (r->event_idx && r->chains >= 65536 && fault(F_OUTSIDE_VS_USED_EVENT_32))
		return true;
	if (event != (uint16_t)(new - 1) && fault(F_OUTSIDE_VS_USED_EVENT_EQUAL))
		return true;
	if (!r->event_idx && r->was_silenced && fault(F_OUTSIDE_VS_NO_INTERRUPT_STICKY))
		return true;
	return (r->index == TX && fault(F_OUTSIDE_VS_IRQ_TX)) ||
	       (r->index == EVENT && fault(F_OUTSIDE_VS_IRQ_EVENT)) ||
	       ((uint16_t)(new - old) == 32 && fault(F_OUTSIDE_VS_IRQ_BATCH_32));
}

/* Fault ring.not_in_order: the first of a batch is used last. */
static void rotate_used(struct ring *r, uint16_t from)
{
	const struct vring_used_elem first = r->used->ring[from & (r->num - 1)];
	uint16_t i;

	for (i = from; (uint16_t)(i + 1) != r->used_idx; i++)
		r->used->ring[i & (r->num - 1)] = r->used->ring[(i + 1) & (r->num - 1)];
	r->used->ring[i & (r->num - 1)] = first;
}

/* Fault ring.batch_at_end: only the last element of a batch is written, at its own slot. */
static void forget_used(struct ring *r, uint16_t from)
{
	uint16_t i;

	for (i = from; (uint16_t)(i + 1) != r->used_idx; i++)
		r->used->ring[i & (r->num - 1)] = (struct vring_used_elem){ 0 };
}

void ring_notify(struct ring *r, bool wanted)
{
	if (wanted && ++r->due % 7 == 0 && fault(F_IRQ_LOST_SOME))
		return;
	if (!wanted || fault(F_IRQ_LOST) ||
	    (r->calls_since_start >= 31 && fault(F_IRQ_STALLS_AFTER_32)))
		return;
	ring_signal(r);
	if (fault(F_IRQ_DOUBLE)) {
		if (!r->again)
			r->again_ns = rd_now_ns() + 2000000;
		r->again++;
	}
}

/* The elements from `from` on go over the end of the ring. */
static bool over_end(const struct ring *r, uint16_t from)
{
	return ((r->used_idx - 1) & (r->num - 1)) < (from & (r->num - 1));
}

/* Fault outside3.vs_wish_before_index: the driver may change its mind between its wish and the index. */
static bool wish_before_index(const struct ring *r, uint16_t old)
{
	const bool wanted = driver_wants(r, old, r->used_idx, true, 0);
	const uint16_t event = used_event(r);
	const int64_t end = rd_now_ns() + WISH_NS;

	while (!wanted && rd_now_ns() < end && used_event(r) == event)
		;
	return wanted;
}

void ring_publish(struct ring *r)
{
	const uint16_t old = r->published;
	bool wanted, stale = false, early = true;

	if (r->packed) {
		if (r->running && ring_memory_ok(r))
			packed_publish(r);
		return;
	}
	if (!r->running || r->used_idx == old || !ring_memory_ok(r))
		return;
	if ((uint16_t)(r->used_idx - old) > 1 && fault(F_RING_NOT_IN_ORDER))
		rotate_used(r, old);
	if (r->batches && (uint16_t)(r->used_idx - old) > 1 &&
	    (fault(F_RING_BATCH_AT_END) ||
	     (over_end(r, old) && fault(F_OUTSIDE_VS_BATCH_OVER_END))))
		forget_used(r, old);
	if (r->event_idx && fault_on(F_OUTSIDE3_VS_WISH_BEFORE_INDEX))
		early = wish_before_index(r, r->signalled_valid ? r->signalled : old);
	/* 2.7.8: idx only after the elements. */
	__atomic_store_n(&r->used->idx, htole16(r->used_idx), __ATOMIC_RELEASE);
	r->published = r->used_idx;
	wanted = wants_signal(r, r->signalled_valid ? r->signalled : old, r->used_idx);
	if (r->event_idx && fault_on(F_OUTSIDE_VS_USED_EVENT_CACHED))
		stale = stale_event_says_no(r, old, r->used_idx);
	r->signalled = r->used_idx;
	r->signalled_valid = true;
	r->was_silenced |= !wanted;
	if (wanted && !early && fault(F_OUTSIDE3_VS_WISH_BEFORE_INDEX))
		return;
	if (wanted &&
	    ((stale && fault(F_OUTSIDE_VS_USED_EVENT_CACHED)) || forgotten(r, old, r->used_idx)))
		return;
	ring_notify(r, wanted);
}

/* Faults: avail_event of some queue stays what it is. */
static bool event_forgotten(const struct ring *r)
{
	return fault(F_RING_AVAIL_EVENT_STUCK) ||
	       (r->index == RX && fault(F_OUTSIDE_VS_AVAIL_EVENT_RX)) ||
	       (r->index == EVENT && fault(F_OUTSIDE_VS_AVAIL_EVENT_EVENT));
}

/* Off: an index just passed, which comes again after 65535 buffers only. */
static uint16_t avail_event_of(const struct ring *r, bool on)
{
	if (on && r->index == TX && r->chains >= 65536 && fault(F_OUTSIDE_VS_AVAIL_EVENT_SATURATES))
		return UINT16_MAX;
	return on ? r->last_avail : (uint16_t)(r->last_avail - 1);
}

static uint16_t used_flags_of(const struct ring *r, bool on)
{
	uint16_t flags = on ? 0 : VRING_USED_F_NO_NOTIFY;

	if (on && ((r->index == RX && fault(F_OUTSIDE_VS_NO_NOTIFY_RX)) ||
		   (r->index == TX && r->chains >= 64 && fault(F_OUTSIDE_VS_NO_NOTIFY_TX))))
		flags = VRING_USED_F_NO_NOTIFY;
	return fault(F_OUTSIDE_VS_USED_FLAGS_BIT1) ? flags | 2 : flags;
}

bool ring_want_kicks(struct ring *r, bool on)
{
	if (!works(r))
		return false;
	r->kick_wanted = on;
	if (r->packed) {
		packed_want_kicks(r, on);
	} else if (r->event_idx) {
		uint16_t *avail_event = (uint16_t *)(void *)&r->used->ring[r->num];

		if (!event_forgotten(r))
			__atomic_store_n(avail_event, htole16(avail_event_of(r, on)),
					 __ATOMIC_RELAXED);
		if (fault(F_RING_USED_FLAGS))
			__atomic_store_n(&r->used->flags, htole16(VRING_USED_F_NO_NOTIFY),
					 __ATOMIC_RELAXED);
	} else {
		__atomic_store_n(&r->used->flags, htole16(used_flags_of(r, on)), __ATOMIC_RELAXED);
	}
	if (!on)
		return false;
	/* The wish must be visible before the last look. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ring_pending(r);
}

static size_t chain_copy(const struct ring_piece *piece, unsigned int n, uint64_t off, uint8_t *to,
			 const uint8_t *from, size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n; i++) {
		size_t part;

		if (off >= piece[i].len) {
			off -= piece[i].len;
			continue;
		}
		part = piece[i].len - off;
		if (part > len - done)
			part = len - done;
		if (to)
			memcpy(to + done, piece[i].p + off, part);
		else
			memcpy(piece[i].p + off, from + done, part);
		done += part;
		off = 0;
	}
	return done;
}

/* Fault outside.vs_odd_piece: the last byte of each piece of an odd length, but the last, is not copied. */
static void lose_odd_bytes(const struct ring_chain *c, uint64_t off, uint8_t *buf, size_t len)
{
	uint64_t end = 0;

	for (unsigned int i = 0; i + 1 < c->n_out; i++) {
		end += c->piece[i].len;
		if (c->piece[i].len % 2 && end > off && end <= off + len &&
		    fault(F_OUTSIDE_VS_ODD_PIECE))
			buf[end - off - 1] = 0;
	}
}

size_t chain_read(const struct ring_chain *c, uint64_t off, void *buf, size_t len)
{
	const size_t n = chain_copy(c->piece, c->n_out, off, buf, NULL, len);

	if (fault_on(F_OUTSIDE_VS_ODD_PIECE))
		lose_odd_bytes(c, off, buf, n);
	return n;
}

size_t chain_write(const struct ring_chain *c, uint64_t off, const void *buf, size_t len)
{
	return chain_copy(c->piece + c->n_out, c->n_in, off, NULL, buf, len);
}
