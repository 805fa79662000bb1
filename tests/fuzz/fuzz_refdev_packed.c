/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reference device's packed ring facing a hostile guest: the input is a program of writes to the ring, to tables
 * and to the driver's wish. Nothing may be touched outside of the guest's memory, and every walk ends.
 */
#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "tests/fuzz/input.h"
#include "tests/unit/fake_guest.h"

#define TABLE	(FG_LOW_GPA + 0x80000)
#define AVAIL	(1u << VRING_PACKED_DESC_F_AVAIL)
#define USED	(1u << VRING_PACKED_DESC_F_USED)
#define ENTRIES 64

/* Often inside of what exists, now and then anywhere. */
static uint64_t address(struct input *in)
{
	const uint8_t kind = u8(in);

	if (kind < 128)
		return FG_LOW_GPA + 0x100000 + 64u * kind;
	if (kind < 200)
		return TABLE + 16u * (kind % ENTRIES);
	if (kind < 230)
		return FG_HIGH_GPA + FG_HIGH_SIZE - u8(in);
	return (uint64_t)u16(in) << 48 | (uint64_t)u16(in) << 32 | u16(in);
}

static uint32_t length(struct input *in)
{
	const uint8_t kind = u8(in);

	return kind < 200 ? kind :
	       kind < 240 ? 16u * (kind - 199) :
			    (uint32_t)u16(in) << 16 | u16(in);
}

static struct vring_packed_desc descriptor(struct input *in)
{
	return (struct vring_packed_desc){
		.addr = htole64(address(in)),
		.len = htole32(length(in)),
		.id = htole16(u16(in)),
		.flags = htole16(u8(in) & 7),
	};
}

static void step(struct fake_guest *g, struct ring *r, struct ring_chain *c, struct input *in)
{
	struct vring_packed_desc *ring = fg_at(g, g->ring[1].desc), d;
	struct vring_packed_desc_event *wish = fg_at(g, g->ring[1].avail);
	uint8_t byte = 0x55;

	switch (u8(in) % 10) {
	case 0:
	case 1: /* where the device looks next, available or nearly so */
	case 2:
		d = descriptor(in);
		d.flags |= htole16(
			(uint16_t)(u8(in) < 230 ? (r->next_avail.wrap ? AVAIL : USED) : u16(in)));
		ring[u8(in) < 200 ? r->next_avail.slot : u8(in) % r->num] = d;
		break;
	case 3:
		d = descriptor(in);
		memcpy(fg_at(g, TABLE + 16u * (u8(in) % ENTRIES)), &d, sizeof(d));
		break;
	case 4:
		wish->off_wrap = htole16(u16(in));
		wish->flags = htole16(u8(in) & 3);
		break;
	case 5:
		if (ring_pop(r, c) == 1)
			ring_unpop(r);
		break;
	case 6:
		ring_publish(r);
		break;
	case 7:
		(void)ring_want_kicks(r, u8(in) & 1);
		break;
	case 8:
		if (u8(in) > 32)
			break;
		ring_stop(r);
		(void)ring_start(r,
				 u8(in) & 1 ? ring_new_base(r) : (uint32_t)u16(in) << 16 | u16(in));
		break;
	default:
		if (ring_pop(r, c) != 1)
			break;
		must(c->descs > 0 && c->descs <= r->num);
		must(chain_write(c, u8(in), &byte, 1) <= 1 && chain_read(c, u8(in), &byte, 1) <= 1);
		ring_push(r, c, u8(in) & 1 ? (uint32_t)c->in_len : 0, true);
	}
	must(!r->running || (r->next_avail.slot < r->num && r->next_used.slot < r->num));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ring_chain c;
	static struct ring r;
	struct guest_mem mem = { 0 };
	struct fake_guest g;
	struct input in = { data, size };
	const uint8_t how = u8(&in);

	fg_memory(&g, &mem);
	ring_init(&r, 1, "tx", &mem);
	r.packed = true;
	r.indirect_ok = how & 1;
	r.event_idx = how & 2;
	r.batches = how & 4;
	fg_ring_setup(&g, &r, 1, (uint16_t)(1 + u8(&in) % 40));
	(void)ring_start(&r, RING_BASE_PACKED);
	while (in.n)
		step(&g, &r, &c, &in);
	ring_publish(&r);
	fg_free(&g);
	return 0;
}
