/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bounce buffers: devices see only a pool of pages that are shared with the host once. Rings live in the pool;
 * payload is copied into it and out of it. A mapping takes whole slots of 2 KiB, so that two mappings never share
 * one, and keeps the buffer's offset in its slot, so that alignment survives. A slot is scrubbed when it is given
 * back.
 */
#ifndef KVMPV_BOUNCE_H
#define KVMPV_BOUNCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOUNCE_SLOT 2048u

/*
 * Takes the pool, shares its pages with the host by share() (0: done), and gives new devices this back end. 0,
 * -ENOMEM, -EIO (sharing is refused).
 */
int bounce_init(int64_t (*share)(uint64_t gfn, uint64_t npages));

struct bounce_stats {
	size_t slots, used;  /* but by devices that stay up (lib/device.h) */
	uint64_t full;	     /* attempts that found no room */
	uint64_t base, size; /* of the pool, physical */
};
void bounce_stats(struct bounce_stats *out);
/* Whether every free slot reads as zeros. */
bool bounce_scrubbed(void);

#endif
