/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-rng (5.4): the simplest real device, a second consumer of the virtqueue. */
#ifndef DRIVERS_VIRTIO_RNG_H
#define DRIVERS_VIRTIO_RNG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct rng;

/* Brings the n-th up. 0, -ENODEV, as virtio.h. */
int rng_open(unsigned int n, struct rng **out);
void rng_close(struct rng *r);
/* Random bytes, at most len. > 0, -ETIMEDOUT, -EPROTO. */
ssize_t rng_read(struct rng *r, void *buf, size_t len, uint64_t ns);

#endif
