/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * split.c facing a device that writes anything at any time into what it may
 * write: the used ring, its index, its flags, avail_event; also into the rest of
 * the shared memory, which split.c must not read back. What holds all the same:
 * a token comes back at most once for each post, with no more bytes than it has
 * room for, and a broken queue stays broken.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/input.h"
#include "tests/unit/fake_virtio.h"

#define MAX_TOKENS 64
#define ROOM	   64

static struct token {
	bool posted;
	uint32_t writable;
	uint8_t buf[ROOM];
} tokens[MAX_TOKENS];

static void add(struct virtqueue *vq, struct input *in)
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

static void get(struct virtqueue *vq, bool *broken)
{
	struct token *t;
	uint32_t len;
	void *token;
	const int ret = vq_get(vq, &token, &len);

	must(!*broken || ret < 0);
	if (ret < 0) {
		must(vq_error(vq)[0] != '\0');
		*broken = true;
		return;
	}
	if (ret == 0)
		return;
	t = token;
	must(t >= tokens && t < tokens + MAX_TOKENS && t->posted);
	must(len <= t->writable);
	t->posted = false;
}

static void write_used(struct fake_queue *q, struct input *in)
{
	struct vring_used_elem *e = &q->used->ring[u8(in) & (q->size - 1)];
	const uint8_t how = u8(in);

	e->id = cpu_to_le32(how & 1 ? u16(in) | (uint32_t)u16(in) << 16 : u8(in));
	e->len = cpu_to_le32(how & 2 ? u16(in) | (uint32_t)u16(in) << 16 : u8(in));
	if (how & 4)
		q->used->idx = cpu_to_le16((uint16_t)(le16_to_cpu(q->used->idx) + 1));
}

static void obey(struct fake_device *f)
{
	struct fake_chain c;

	if (fake_pop(f, 0, &c))
		fake_push(f, 0, c.head, c.writable);
}

static void step(struct fake_device *f, struct virtqueue *vq, struct input *in, bool *broken,
		 bool *lied)
{
	struct fake_queue *q = &f->q[0];
	const size_t table = q->size * sizeof(struct vring_desc);

	switch (u8(in) % 10) {
	case 0:
	case 1:
		add(vq, in);
		break;
	case 2:
		get(vq, broken);
		break;
	case 3:
		write_used(q, in);
		*lied = true;
		break;
	case 4:
		q->used->idx = cpu_to_le16(u16(in));
		*lied = true;
		break;
	case 5:
		q->used->flags = cpu_to_le16(u16(in));
		*(le16 *)&q->used->ring[q->size] = cpu_to_le16(u16(in));
		break;
	case 6:
		vq_kick(vq);
		break;
	case 7:
		vq_interrupts(vq, u8(in) & 1);
		vq_pending(vq);
		break;
	case 8: /* the device is not to write there; the driver does not care */
		((uint8_t *)q->desc)[u16(in) % table] = u8(in);
		q->avail->idx = cpu_to_le16(u16(in));
		*lied = true;
		break;
	default:
		if (!*lied) /* it would follow descriptors that it gave back already */
			obey(f);
	}
	must(vq_free_count(vq) <= vq_size(vq));
	must(vq_in_flight(vq) <= vq_size(vq));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_device f;
	struct input in = { data, size };
	const uint8_t how = u8(&in);
	bool broken = false, lied = false;
	uint64_t features = VIRTIO_BIT(VIRTIO_F_VERSION_1);

	features |= how & 1 ? VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) : 0;
	features |= how & 2 ? VIRTIO_BIT(VIRTIO_F_EVENT_IDX) : 0;
	fake_init(&f, VIRTIO_ID_RNG, features, 1, false);
	memset(tokens, 0, sizeof(tokens));
	if (virtio_negotiate(&f.vdev, features) ||
	    virtio_queues_setup(&f.vdev, 1, (uint16_t)(1 << (how >> 2 & 7))) ||
	    virtio_driver_ok(&f.vdev))
		abort();
	while (in.n)
		step(&f, f.vdev.vq[0], &in, &broken, &lied);
	must(virtio_reset(&f.vdev) == 0);
	must(fake_pages_out() == 0 && fake_maps_out() == 0);
	return 0;
}
