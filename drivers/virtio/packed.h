/* SPDX-License-Identifier: BSD-2-Clause */
/* The packed virtqueue's layout in shared memory (2.8); packed.c and the fake device of the unit tests. */
#ifndef DRIVERS_VIRTIO_PACKED_H
#define DRIVERS_VIRTIO_PACKED_H

#include "drivers/virtio/virtqueue.h"
#include "lib/endian.h"

enum pvring_desc_flags { /* 2.8.1; NEXT, WRITE and INDIRECT are those of a split ring */
	PVRING_DESC_F_AVAIL = 1 << 7, /* the driver's wrap counter when it was made available */
	PVRING_DESC_F_USED = 1 << 15, /* its inverse; the device's wrap counter when it was used */
};

enum pvring_event_flags { /* 2.8.10 */
	PVRING_EVENT_ENABLE = 0,
	PVRING_EVENT_DISABLE = 1,
	PVRING_EVENT_DESC = 2, /* with EVENT_IDX only; 3 is reserved */
};

#define PVRING_WRAP 0x8000u /* bit 15 of a position: the wrap counter */

struct pvring_desc { /* 2.8.13 */
	le64 addr;
	le32 len;
	le16 id;
	le16 flags;
};
_Static_assert(sizeof(struct pvring_desc) == 16, "2.8.13");

struct pvring_event { /* 2.8.14 */
	le16 desc;    /* a position */
	le16 flags;
};
_Static_assert(sizeof(struct pvring_event) == 4, "2.8.14");

/*
 * What only a packed ring has, for tests of clauses about it. NULL: the queue has another layout. As with the raw door
 * nothing is checked; slots are taken modulo the size. A position is a slot, and the wrap counter in bit 15.
 */
struct vq_packed;
struct vq_packed *vq_packed(struct virtqueue *vq);
/* flags are as they are in memory, AVAIL and USED among them. They are written last. */
struct vq_packed_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id, flags;
};
void vq_packed_set_desc(struct vq_packed *p, uint16_t slot, const struct vq_packed_desc *d);
void vq_packed_desc(struct vq_packed *p, uint16_t slot, struct vq_packed_desc *d);
/*
 * Makes a list of n descriptors available where vq_raw_post() would, the first one last. AVAIL and USED are put in; the
 * list's id is that of the last one.
 */
void vq_packed_post(struct vq_packed *p, const struct vq_packed_desc *d, uint16_t n);
/* Where the next descriptor is made available, and where the next used one is looked for. */
uint16_t vq_packed_next_avail(const struct vq_packed *p);
uint16_t vq_packed_next_used(const struct vq_packed *p);
/* Position `by` descriptors behind pos. */
uint16_t vq_packed_behind(const struct vq_packed *p, uint16_t pos, uint16_t by);
/* AVAIL and USED of a descriptor that is available at this position. */
uint16_t vq_packed_avail_flags(uint16_t pos);
void vq_packed_set_driver_event(struct vq_packed *p, uint16_t pos, uint16_t flags);
void vq_packed_device_event(struct vq_packed *p, uint16_t *pos, uint16_t *flags);

#endif
