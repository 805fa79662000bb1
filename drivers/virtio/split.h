/* SPDX-License-Identifier: BSD-2-Clause */
/* The split virtqueue's layout in shared memory (2.7); split.c and the fake device of the unit tests. */
#ifndef DRIVERS_VIRTIO_SPLIT_H
#define DRIVERS_VIRTIO_SPLIT_H

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

#endif
