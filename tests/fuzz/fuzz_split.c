/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * split.c facing a device that writes anything at any time into what it may
 * write: the used ring, its index, its flags, avail_event; also into the rest of
 * the shared memory, which split.c must not read back. What holds all the same:
 * a token comes back at most once for each post, with no more bytes than it has
 * room for, and a broken queue stays broken.
 */
#include <stdint.h>

#include "tests/fuzz/tokens.h"

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

static void step(struct fake_device *f, struct virtqueue *vq, struct input *in, bool *lied)
{
	struct fake_queue *q = &f->q[0];
	const size_t table = q->size * sizeof(struct vring_desc);

	switch (u8(in) % 10) {
	case 0:
	case 1:
		tokens_add(vq, in);
		break;
	case 2:
		tokens_get(vq);
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
	bool lied = false;
	struct virtqueue *vq;
	uint64_t features = 0;

	features |= how & 1 ? VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) : 0;
	features |= how & 2 ? VIRTIO_BIT(VIRTIO_F_EVENT_IDX) : 0;
	vq = tokens_start(&f, features, (uint16_t)(1 << (how >> 2 & 7)));
	while (in.n)
		step(&f, vq, &in, &lied);
	tokens_end(&f);
	return 0;
}
