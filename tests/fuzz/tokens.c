/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fuzz/tokens.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TOKENS 64
#define ROOM	   64

static struct token {
	bool posted;
	uint32_t writable;
	uint8_t buf[ROOM];
} tokens[MAX_TOKENS];
static bool broken;

struct virtqueue *tokens_start(struct fake_device *f, uint64_t features, uint16_t size)
{
	features |= VIRTIO_BIT(VIRTIO_F_VERSION_1);
	memset(tokens, 0, sizeof(tokens));
	broken = false;
	fake_init(f, VIRTIO_ID_RNG, features, 1, false);
	if (virtio_negotiate(&f->vdev, features) || virtio_queues_setup(&f->vdev, 1, size) ||
	    virtio_driver_ok(&f->vdev))
		abort();
	return f->vdev.vq[0];
}

void tokens_end(struct fake_device *f)
{
	must(virtio_reset(&f->vdev) == 0);
	must(fake_pages_out() == 0 && fake_maps_out() == 0);
}

void tokens_add(struct virtqueue *vq, struct input *in)
{
	struct vq_seg seg[16];
	const unsigned int n_out = u8(in) & 7, n_in = u8(in) & 7;
	unsigned int i, t;

	for (t = 0; t < MAX_TOKENS && tokens[t].posted; t++)
		;
	if (t == MAX_TOKENS)
		return;
	tokens[t].writable = 0;
	for (i = 0; i < n_out + n_in; i++) {
		seg[i] = (struct vq_seg){ tokens[t].buf, u8(in) & (ROOM - 1) };
		if (i >= n_out)
			tokens[t].writable += seg[i].len;
	}
	if (vq_add(vq, seg, n_out, seg + n_out, n_in, &tokens[t]) == 0)
		tokens[t].posted = true;
}

void tokens_get(struct virtqueue *vq)
{
	struct token *t;
	uint32_t len;
	void *token;
	const int ret = vq_get(vq, &token, &len);

	must(!broken || ret < 0);
	if (ret < 0) {
		must(vq_error(vq)[0] != '\0');
		broken = true;
		return;
	}
	if (ret == 0)
		return;
	t = token;
	must(t >= tokens && t < tokens + MAX_TOKENS && t->posted);
	must(len <= t->writable);
	t->posted = false;
}
