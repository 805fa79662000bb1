/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packed.c facing a device that writes anything at any time into what both may write: descriptors, and both event
 * structures. What holds all the same: a token comes back at most once for each post, with no more bytes than it has
 * room for, and a broken queue stays broken. Then the raw door, which ends whatever it reads.
 */
#include <stdint.h>

#include "tests/fuzz/tokens.h"
#include "tests/unit/fake_packed.h"

/* A used descriptor, right or wrong in any part. */
static void write_used(struct fake_packed *p, struct input *in)
{
	const uint8_t how = u8(in);
	struct pvring_desc *d = &p->desc[how & 1 ? u8(in) % p->size : p->used];

	d->id = cpu_to_le16(how & 2 ? u16(in) : u8(in) % p->size);
	d->len = cpu_to_le32(how & 4 ? u16(in) | (uint32_t)u16(in) << 16 : u8(in));
	if (how & 8)
		d->flags = cpu_to_le16(u16(in));
	else
		fake_packed_push(p, le16_to_cpu(d->id), le32_to_cpu(d->len), u8(in) % 8);
}

static void obey(struct fake_packed *p)
{
	struct fake_chain c;
	const uint16_t descs = fake_packed_pop(p, &c);

	if (descs)
		fake_packed_push(p, c.head, c.writable, descs);
}

static void step(struct fake_packed *p, struct virtqueue *vq, struct input *in, bool *lied)
{
	switch (u8(in) % 9) {
	case 0:
	case 1:
		tokens_add(vq, in);
		break;
	case 2:
		tokens_get(vq);
		break;
	case 3:
		write_used(p, in);
		*lied = true;
		break;
	case 4:
		p->device->desc = cpu_to_le16(u16(in));
		p->device->flags = cpu_to_le16(u16(in));
		break;
	case 5:
		vq_kick(vq);
		break;
	case 6:
		vq_interrupts(vq, u8(in) & 1);
		vq_pending(vq);
		break;
	case 7: /* the device is not to write there; the driver does not care */
		((uint8_t *)p->desc)[u16(in) % (p->size * sizeof(*p->desc))] = u8(in);
		p->driver->desc = cpu_to_le16(u16(in));
		*lied = true;
		break;
	default:
		if (!*lied) /* it would follow descriptors that are none */
			obey(p);
	}
	must(vq_free_count(vq) <= vq_size(vq));
	must(vq_in_flight(vq) <= vq_size(vq));
}

/* Whatever lies in the ring by now. */
static void raw(struct virtqueue *vq, struct input *in)
{
	const struct vq_raw_desc d = { u16(in), u8(in), u16(in), u8(in) };
	const uint16_t heads[2] = { u8(in), u16(in) };
	uint32_t id, len;
	unsigned int n;

	(void)vq_raw_stage(vq, d.next % vq_size(vq), &d);
	vq_raw_post(vq, heads, u8(in) % 3);
	(void)vq_raw_want_nth(vq, u8(in));
	n = vq_raw_used_count(vq);
	must(n <= 2u * vq_size(vq));
	vq_raw_used(vq, u8(in), &id, &len);
	vq_raw_take(vq, u8(in) % (n + 1));
	(void)vq_raw_kick_wanted(vq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_device f;
	struct input in = { data, size };
	const uint8_t how = u8(&in);
	const uint16_t entries = (uint16_t)(1 + u8(&in) % 20);
	bool lied = false;
	struct fake_packed p;
	struct virtqueue *vq;
	uint64_t features = VIRTIO_BIT(VIRTIO_F_RING_PACKED);

	features |= how & 1 ? VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) : 0;
	features |= how & 2 ? VIRTIO_BIT(VIRTIO_F_EVENT_IDX) : 0;
	features |= how & 4 ? VIRTIO_BIT(VIRTIO_F_IN_ORDER) : 0;
	vq = tokens_start(&f, features, entries);
	fake_packed_start(&p, &f, 0);
	while (in.n > (how & 8 ? 64u : 0u))
		step(&p, vq, &in, &lied);
	while (in.n)
		raw(vq, &in);
	tokens_end(&f);
	return 0;
}
