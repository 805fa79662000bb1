/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's side of a packed ring of fake_virtio.h's device, obedient or not. For unit tests and fuzzers. */
#ifndef TESTS_UNIT_FAKE_PACKED_H
#define TESTS_UNIT_FAKE_PACKED_H

#include "drivers/virtio/packed.h"
#include "tests/unit/fake_virtio.h"

struct fake_packed {
	uint16_t size;
	struct pvring_desc *desc;
	struct pvring_event *driver, *device;
	uint16_t avail, used; /* slots */
	bool avail_wrap, used_wrap;
};

/* A queue that was just enabled. */
void fake_packed_start(struct fake_packed *p, const struct fake_device *f, uint16_t queue);
/* Takes the next available buffer, whose id is c->head. Descriptors that it takes of the ring, 0: none. */
uint16_t fake_packed_pop(struct fake_packed *p, struct fake_chain *c);
/* Writes a used descriptor and skips that many; nothing is checked. */
void fake_packed_push(struct fake_packed *p, uint16_t id, uint32_t len, uint16_t descs);

#endif
