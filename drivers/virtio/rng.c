/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/virtio/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/transport.h"
#include "drivers/virtio/virtqueue.h"
#include "lib/time.h"

#define RNG_CHUNK 512

struct rng {
	struct virtio_device *d;
	struct virtqueue *vq;
	uint32_t posted; /* bytes of the buffer that the device has; 0: it has none */
	uint8_t buf[RNG_CHUNK];
};

int rng_open(unsigned int n, struct rng **out)
{
	struct virtio_device *d = virtio_find(VIRTIO_ID_RNG, n);
	struct rng *r;
	int ret;

	if (!d)
		return -ENODEV;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	ret = virtio_negotiate(d, VIRTIO_RING_FEATURES);
	if (!ret)
		ret = virtio_queues_setup(d, 1, 0);
	if (!ret)
		ret = virtio_driver_ok(d);
	if (ret) {
		virtio_reset(d);
		free(r);
		return ret;
	}
	r->d = d;
	r->vq = d->vq[0];
	d->driver = r;
	*out = r;
	return 0;
}

void rng_close(struct rng *r)
{
	if (!r)
		return;
	r->d->driver = NULL;
	/* A device whose reset does not end may still write to the buffer, so then it is never used again. */
	if (virtio_reset(r->d) == 0)
		free(r);
}

static int post(struct rng *r, size_t len)
{
	const struct vq_seg seg = { r->buf, (uint32_t)(len < RNG_CHUNK ? len : RNG_CHUNK) };
	const int ret = vq_add(r->vq, NULL, 0, &seg, 1, r);

	if (ret)
		return ret;
	r->posted = seg.len;
	vq_kick(r->vq);
	return 0;
}

ssize_t rng_read(struct rng *r, void *buf, size_t len, uint64_t ns)
{
	uint32_t got = 0;
	void *token;
	int ret;

	if (len == 0)
		return -EINVAL;
	/* After a timeout the device still has the old buffer: its bytes are as good. */
	ret = r->posted ? 0 : post(r, len);
	if (ret)
		return ret;
	if (!wait_for(vq_pending(r->vq), ns))
		return -ETIMEDOUT;
	ret = vq_get(r->vq, &token, &got);
	if (ret < 0)
		return ret;
	if (ret == 0)
		return -ETIMEDOUT;
	r->posted = 0;
	if (got == 0) /* 5.4.6.2: one or more bytes */
		return virtio_error(r->d, -EPROTO, "rng: a buffer came back with no byte in it");
	if (got > len)
		got = (uint32_t)len;
	memcpy(buf, r->buf, got);
	return (ssize_t)got;
}
