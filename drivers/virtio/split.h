/* SPDX-License-Identifier: BSD-2-Clause */
/* The split virtqueue's layout in shared memory (2.7); split.c and the fake device of the unit tests. */
#ifndef DRIVERS_VIRTIO_SPLIT_H
#define DRIVERS_VIRTIO_SPLIT_H

#include "drivers/virtio/virtqueue.h"
#include "lib/endian.h"

enum vring_desc_flags { /* 2.7.5 */
	VRING_DESC_F_NEXT = 1,
	VRING_DESC_F_WRITE = 2,
	VRING_DESC_F_INDIRECT = 4,
};

#define VRING_AVAIL_F_NO_INTERRUPT 1 /* 2.7.6 */
#define VRING_USED_F_NO_NOTIFY	   1 /* 2.7.8 */

struct vring_desc { /* 2.7.5 */
	le64 addr;
	le32 len;
	le16 flags;
	le16 next;
};
_Static_assert(sizeof(struct vring_desc) == 16, "2.7.5");

struct vring_avail { /* 2.7.6; used_event follows the ring */
	le16 flags;
	le16 idx;
	le16 ring[];
};

struct vring_used_elem { /* 2.7.8 */
	le32 id;
	le32 len;
};

struct vring_used { /* avail_event follows the ring */
	le16 flags;
	le16 idx;
	struct vring_used_elem ring[];
};

/*
 * What only a split ring has, for tests of clauses about it. NULL: the queue has another layout. As with
 * the raw door nothing is checked; table and ring positions are taken modulo the size.
 */
struct vq_split;
struct vq_split *vq_split(struct virtqueue *vq);
/* An entry of the descriptor table, past what is staged. */
void vq_split_set_desc(struct vq_split *s, uint16_t i, const struct vq_raw_desc *d);
/* Reads it back, to see that the device left it alone (2.7.5.1). */
void vq_split_desc(struct vq_split *s, uint16_t i, struct vq_raw_desc *d);
/* Whatever the ring holds; what is posted next follows it. */
void vq_split_set_avail_idx(struct vq_split *s, uint16_t idx);
void vq_split_set_avail_flags(struct vq_split *s, uint16_t flags);
void vq_split_set_used_event(struct vq_split *s, uint16_t value);
uint16_t vq_split_used_idx(struct vq_split *s);
uint16_t vq_split_used_flags(struct vq_split *s);
uint16_t vq_split_avail_event(struct vq_split *s);
void vq_split_used(struct vq_split *s, uint16_t slot, uint32_t *id, uint32_t *len);

#endif
