/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's side of a virtqueue, split (2.7) or packed (2.8, ring_packed.c). Whatever the driver
 * writes, nothing outside of the guest's memory is touched and every walk
 * ends: a malformed chain is given back with length 0 and counted; an avail
 * index or head that makes no sense, or memory that is private, breaks the
 * queue until it is started anew.
 *
 * Users see chains only, whatever the layout.
 */
#ifndef HOST_REF_DEV_RING_H
#define HOST_REF_DEV_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "host/peer/proto.h"
#include "host/ref/dev/mem.h"

#define RING_MAX_SIZE	1024 /* entries of a queue */
#define RING_MAX_PIECES 1024 /* of a chain, direct or indirect, cut at region borders */

/*
 * Where a queue starts that nobody used: indexes in split rings; in packed ones slots of available and of used
 * descriptors, each with its wrap counter in bit 15.
 */
#define RING_BASE_SPLIT	 0u
#define RING_BASE_PACKED 0x80008000u

struct ring_piece {
	uint8_t *p;
	uint32_t len;
	uint64_t gpa;
};

struct ring_chain {
	uint16_t head;	/* packed: the buffer's id */
	uint16_t tail;	/* the last descriptor of the table in the queue, for faults */
	uint16_t descs; /* packed: that it takes of the ring */
	bool indirect;
	unsigned int n_out, n_in; /* pieces: readable ones first */
	uint64_t out_len, in_len;
	struct ring_piece piece[RING_MAX_PIECES];
};

/* A slot of a packed ring, and the wrap counter there. */
struct ring_pos {
	uint16_t slot;
	bool wrap;
};

/* A buffer of a packed ring that was used, and is not shown yet. */
struct ring_done {
	uint16_t id, descs;
	uint32_t len;
	bool complete; /* all that may be written is */
};

struct ring {
	unsigned int index;
	const char *name;
	const struct guest_mem *mem;
	/* A private page was about to be touched (protected memory). */
	void (*violation)(void *arg, struct ring *r, uint64_t gpa, enum ctl_mem_reason reason);
	void *arg;

	uint16_t num;
	uint64_t desc_uva, avail_uva, used_uva; /* packed: ring, driver area, device area */
	bool packed;
	bool enabled, running, broken;
	/* Its memory is not translated, or not there: it starts, or goes on, from there once it is. */
	enum {
		RING_WAITS_NOT,
		RING_WAITS_TO_START,
		RING_WAITS_TO_GO_ON
	} waits;
	uint32_t wait_base;
	bool event_idx, indirect_ok;
	bool batches; /* IN_ORDER: one used element for all that is published at once (2.7.9, 2.8.8) */
	int kick_fd, call_fd, err_fd; /* -1: none */
	/* Instead of call_fd; or NULL. */
	void (*interrupt)(void *arg, unsigned int queue);
	void *interrupt_arg;

	uint64_t desc_gpa, avail_gpa, used_gpa;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t last_avail; /* next avail entry to take */
	uint16_t used_idx;   /* next used entry to write; published up to published */
	uint16_t published, signalled;
	bool signalled_valid, kick_wanted;

	/* Of a packed ring. */
	struct vring_packed_desc *pdesc;
	struct vring_packed_desc_event *driver_event, *device_event;
	struct ring_pos next_avail, before_pop, next_used;
	uint16_t shown_last; /* fault packed.touched_after: the slot */
	struct ring_done done[RING_MAX_SIZE];
	unsigned int num_done;

	uint64_t kicks, calls, chains, bad_chains;
	uint64_t calls_since_start;
	unsigned int trips; /* victims seen since start: when a fault strikes */
	int64_t again_ns;   /* an injected extra notification is due */
	unsigned int due;   /* notifications that were due, those not sent included */
	struct ring *other; /* the queue that a fault takes this one for */
	/* What faults remember. */
	uint16_t old_event;	  /* used_event as it was read last */
	bool was_silenced;	  /* the driver has set NO_INTERRUPT since the queue started */
	uint64_t first_avail_uva; /* where the available ring lay at first */
	unsigned int again;
	bool lame; /* takes nothing any more, not even after a reset */
};

void ring_init(struct ring *r, unsigned int index, const char *name, const struct guest_mem *mem);
/* Looks the addresses up (also after the memory map changed). 0, -EFAULT, -EINVAL (size, alignment), -EAGAIN (not translated yet). */
int ring_map(struct ring *r);
/* From `base` on, see RING_BASE_*. As ring_map(). */
int ring_start(struct ring *r, uint32_t base);
/* Where a queue starts that is new. */
uint32_t ring_new_base(const struct ring *r);
/* Where it goes on after a stop. */
uint32_t ring_base(const struct ring *r);
void ring_stop(struct ring *r);

/*
 * Takes the next chain: 1, 0 (none), -EIO (the queue is broken or does not run), -EAGAIN (its addresses are not translated
 * yet: it stays). Malformed ones are
 * given back on the way.
 */
int ring_pop(struct ring *r, struct ring_chain *c);
/* Undoes the last ring_pop(). */
void ring_unpop(struct ring *r);
/*
 * Whether behind what was popped a buffer of more than this many writable bytes is available. If not, the driver is asked to
 * notify of the next one.
 */
bool ring_has_larger(struct ring *r, uint64_t bytes);
/* Gives a chain back; published later. victim: faults may strike here. */
void ring_push(struct ring *r, const struct ring_chain *c, uint32_t len, bool victim);
/* Shows what was pushed, and notifies the driver if it wants that. */
void ring_publish(struct ring *r);
/* Whether there is an available buffer. */
bool ring_pending(const struct ring *r);
/* The driver shall notify or need not. on: true if buffers came in meanwhile. */
bool ring_want_kicks(struct ring *r, bool on);
/* Signals the call eventfd whatever the driver asked for. */
void ring_signal(struct ring *r);

/* Copies at most len bytes from/to offset off of the readable/writable part; bytes copied. */
size_t chain_read(const struct ring_chain *c, uint64_t off, void *buf, size_t len);
size_t chain_write(const struct ring_chain *c, uint64_t off, const void *buf, size_t len);

#endif
