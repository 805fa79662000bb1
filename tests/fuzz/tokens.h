/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One queue of the driver, for fuzzers that play its device: buffers that know whether they are posted. What holds
 * whatever the device writes: a token comes back at most once for each post, with no more bytes than it has room for,
 * and a broken queue stays broken.
 */
#ifndef TESTS_FUZZ_TOKENS_H
#define TESTS_FUZZ_TOKENS_H

#include "tests/fuzz/input.h"
#include "tests/unit/fake_virtio.h"

/* A device with these features and VERSION_1, and its queue of `size` entries. */
struct virtqueue *tokens_start(struct fake_device *f, uint64_t features, uint16_t size);
/* Resets it; nothing of the driver's stays. */
void tokens_end(struct fake_device *f);

/* Posts a buffer of some segments, readable and writable, that the input says. */
void tokens_add(struct virtqueue *vq, struct input *in);
/* Takes one, if there is one. */
void tokens_get(struct virtqueue *vq);

#endif
