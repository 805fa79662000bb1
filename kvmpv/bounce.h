/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bounce buffers: devices see only a pool that is shared once. Rings live in it; payload is copied in and
 * out. A mapping takes whole 2 KiB slots and keeps the buffer's offset in a slot, so that alignment
 * survives and no slot is ever shared with anything else; it is scrubbed when it goes back.
 */
#ifndef KVMPV_BOUNCE_H
#define KVMPV_BOUNCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOUNCE_SLOT 2048u

/* Takes and shares the pool, and makes it the default of new devices. 0, -ENOMEM, -EIO (sharing refused). */
int bounce_init(void);

struct bounce_stats {
	size_t slots, used, peak;
	uint64_t maps, full; /* attempts that found no room */
	uint64_t base, size; /* of the pool, physical */
};
void bounce_stats(struct bounce_stats *out);
/* Whether every slot that is free now reads as zeros. */
bool bounce_scrubbed(void);

#endif
