/* SPDX-License-Identifier: BSD-2-Clause */
/* Between ring.c, which has what both layouts need, and ring_packed.c. */
#ifndef HOST_REF_DEV_RING_IMPL_H
#define HOST_REF_DEV_RING_IMPL_H

#include "host/ref/dev/ring.h"

/* The queues of a vsock device (enum dev_queue), for faults of one of them. */
enum {
	RX,
	TX,
	EVENT
};

/* The queue stops, until it is started anew. */
void ring_break(struct ring *r, const char *why, unsigned int value);
/* False: the page is private; the queue is stopped as a real host's fault would. */
bool ring_may_touch(struct ring *r, uint64_t gpa, uint64_t len, enum ctl_mem_reason reason);
/* A part of the ring, by the address that the VMM gave. 0, -EAGAIN, -EFAULT: dma_range(). */
int ring_area(struct ring *r, uint64_t addr, size_t len, bool write, void **p, uint64_t *gpa);
/* The same of all that the ring consists of. */
bool ring_memory_ok(struct ring *r);
/* Adds one descriptor's buffer to the chain. 0, -EBADMSG, -EIO (private). */
int ring_add_buffer(struct ring *r, struct ring_chain *c, uint64_t gpa, uint64_t left,
		    bool writable);
/*
 * The n bytes of an indirect table, copied once: what is checked is what is used, whatever the guest writes meanwhile. It
 * may lie in several pieces of memory. 0, -EBADMSG (nobody's memory), -EIO (private), -EAGAIN.
 */
int ring_read_table(struct ring *r, uint64_t gpa, void *to, size_t n);
/* An empty chain, which ring_add_buffer() fills. */
void ring_chain_begin(struct ring_chain *c);
/* A malformed one was taken. */
void ring_count_bad(struct ring *r, const struct ring_chain *c);
/* Signals what is wanted. */
void ring_notify(struct ring *r, bool wanted);

int packed_map(struct ring *r);
int packed_start(struct ring *r, uint32_t base);
bool packed_memory_ok(struct ring *r);
bool packed_pending(const struct ring *r);
int packed_pop(struct ring *r, struct ring_chain *c);
void packed_unpop(struct ring *r);
int packed_skip(struct ring *r, struct ring_chain *c);
void packed_push(struct ring *r, const struct ring_chain *c, uint32_t len);
void packed_publish(struct ring *r);
void packed_want_kicks(struct ring *r, bool on);

#endif
