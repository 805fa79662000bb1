/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reference device facing a hostile guest: the input is a program of
 * writes to guest memory (descriptors, indexes, packets), kicks and resets.
 * Nothing may be touched outside of the guest's memory, and every walk ends.
 */
#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "host/ref/dev/faults.h"
#include "tests/unit/fake_guest.h"

#define TX_AREA (FG_LOW_GPA + 0x100000)

struct input {
	const uint8_t *p;
	size_t left;
};

static uint64_t take(struct input *in, unsigned int bytes)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < bytes && in->left; i++, in->p++, in->left--)
		v |= (uint64_t)*in->p << (8 * i);
	return v;
}

/* Often inside of what exists, now and then anywhere. */
static uint64_t address(struct input *in)
{
	const uint8_t kind = (uint8_t)take(in, 1);

	if (kind < 100)
		return TX_AREA + 64 * (kind % 32);
	if (kind < 160)
		return FG_LOW_GPA + 0x80000 + 16 * (kind % 16);
	if (kind < 200)
		return FG_HIGH_GPA - 16 + take(in, 1) % 32;
	if (kind < 230)
		return FG_HIGH_GPA + FG_HIGH_SIZE - take(in, 1);
	return take(in, 8);
}

static uint32_t length(struct input *in)
{
	const uint8_t kind = (uint8_t)take(in, 1);

	if (kind < 128)
		return kind;
	return kind < 240 ? 44u + 16u * kind : (uint32_t)take(in, 4);
}

static void descriptor(struct fake_guest *g, struct input *in)
{
	const unsigned int q = (unsigned int)take(in, 1) % DEV_QUEUES;
	const uint16_t i = (uint16_t)(take(in, 1) % FG_QSIZE);
	const uint64_t addr = address(in);
	const uint32_t len = length(in);
	const uint16_t flags = (uint16_t)(take(in, 1) & 0xf);

	fg_desc(g, q, i, addr, len, flags, (uint16_t)(take(in, 1) % (FG_QSIZE + 2)));
}

static void table_entry(struct fake_guest *g, struct input *in)
{
	struct vring_desc *d = (struct vring_desc *)fg_at(g, FG_LOW_GPA + 0x80000) +
			       take(in, 1) % 32;

	d->addr = htole64(address(in));
	d->len = htole32(length(in));
	d->flags = htole16((uint16_t)(take(in, 1) & 7));
	d->next = htole16((uint16_t)(take(in, 1) % 34));
}

/* A packet that looks like one, with the input's choice of every field. */
static void packet(struct fake_guest *g, struct input *in)
{
	static const uint64_t cids[] = { 3, 4, 5, 2, 0, 6, UINT64_MAX };
	static const uint32_t ports[] = { ASSAY_CTL_PORT, ASSAY_ECHO_PORT, ASSAY_SINK_PORT,
					  ASSAY_SOURCE_PORT, 77 };
	struct virtio_vsock_hdr h = fg_hdr(cids[take(in, 1) % 7], 1000 + (uint32_t)take(in, 1) % 4,
					   take(in, 1) % 8 ? 2 : 9, ports[take(in, 1) % 5],
					   (uint16_t)(take(in, 1) % 4),
					   (uint16_t)(take(in, 1) % 9));
	const uint32_t room = (uint32_t)take(in, 1) * 4;
	uint8_t payload[1024];

	h.len = htole32(take(in, 1) % 8 ? room : length(in));
	h.flags = htole32((uint32_t)take(in, 1) % 5);
	h.buf_alloc = htole32(take(in, 1) % 4 ? 65536 : length(in));
	h.fwd_cnt = htole32((uint32_t)take(in, 2));
	for (uint32_t i = 0; i < room; i++)
		payload[i] = in->left ? in->p[i % in->left] : (uint8_t)i;
	fg_send(g, h, payload, room, 1 + (unsigned int)take(in, 1) % 50);
}

static void scribble(struct fake_guest *g, struct input *in)
{
	const uint64_t at = FG_LOW_GPA + take(in, 3) % 0x30000;
	const size_t n = take(in, 1) % 32;
	uint8_t *p = fg_at(g, at);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)take(in, 1);
}

static void restart(struct fake_guest *g, struct input *in)
{
	for (unsigned int q = 0; q < DEV_QUEUES; q++)
		device_ring_stop(g->d, q);
	device_set_features(g->d, take(in, 1) | take(in, 1) << 28);
	for (unsigned int q = 0; q < DEV_QUEUES; q++) {
		fg_ring_setup(g, &g->d->ring[q], q, FG_QSIZE);
		device_ring_start(g->d, q, 0);
	}
	fg_post_rx(g, 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fg_packet pk;
	const struct device_params params = {
		.name = "fuzz",
		.cids = { .layout = CTL_LAYOUT_MULTI_HOST,
			  .num_guest = 3,
			  .num_host = 1,
			  .cid = { 3, 4, 5, 9 } },
	};
	struct input in = { .p = data, .left = size };
	struct fake_guest g;

	fg_device(&g, &params, 7 | 3ull << 28);
	fg_post_rx(&g, 16);
	while (in.left) {
		switch (take(&in, 1) % 8) {
		case 0:
			descriptor(&g, &in);
			break;
		case 1:
			table_entry(&g, &in);
			break;
		case 2:
		case 3:
			packet(&g, &in);
			break;
		case 4:
			scribble(&g, &in);
			break;
		case 5:
			fg_avail(&g, DEV_TX, (uint16_t)(take(&in, 1) % (FG_QSIZE + 1)));
			device_kick(g.d, DEV_TX);
			fg_run(&g);
			break;
		case 6:
			/* An answer is looked at, its buffer posted again, if the ring is sane. */
			if ((uint16_t)(fg_used_idx(&g, DEV_RX) - g.ring[DEV_RX].used_seen) <= 16) {
				uint32_t id, len;

				fg_used(&g, DEV_RX, g.ring[DEV_RX].used_seen, &id, &len);
				if (id < 32 && len <= sizeof(pk.payload))
					fg_receive(&g, &pk);
				fg_run(&g);
			}
			break;
		default:
			if (take(&in, 1) < 16)
				restart(&g, &in);
			break;
		}
	}
	fg_run(&g);
	fg_device_free(&g);
	return 0;
}
