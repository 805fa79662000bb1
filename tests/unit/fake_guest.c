/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake_guest.h"

#include <assert.h>
#include <endian.h>
#include <string.h>
#include <sys/mman.h>

#define RX_BUFS (FG_HIGH_GPA)
#define GUARD	4096u
#define TX_BUFS (FG_LOW_GPA + 0x100000)

/*
 * Guest memory comes from mmap(): pages that a test does not touch cost nothing (a fuzzer makes thousands of guests a
 * second), and a page that cannot be touched stands on either side.
 */
static uint8_t *region_new(size_t size)
{
	uint8_t *p = mmap(NULL, size + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert(p != MAP_FAILED);
	assert(mprotect(p + GUARD, size, PROT_READ | PROT_WRITE) == 0);
	return p + GUARD;
}

static void region_free(uint8_t *p, size_t size)
{
	if (p)
		munmap(p - GUARD, size + 2 * GUARD);
}

void fg_memory(struct fake_guest *g, struct guest_mem *m)
{
	memset(g, 0, sizeof(*g));
	g->rx_len = FG_RX_SIZE;
	g->low = region_new(FG_LOW_SIZE);
	g->high = region_new(FG_HIGH_SIZE);
	assert(mem_add_host(m, FG_LOW_GPA, FG_LOW_SIZE, FG_UVA + FG_LOW_GPA, g->low) == 0);
	assert(mem_add_host(m, FG_HIGH_GPA, FG_HIGH_SIZE, FG_UVA + FG_HIGH_GPA, g->high) == 0);
}

void fg_free(struct fake_guest *g)
{
	region_free(g->low, FG_LOW_SIZE);
	region_free(g->high, FG_HIGH_SIZE);
	g->low = g->high = NULL;
}

void *fg_at(struct fake_guest *g, uint64_t gpa)
{
	return gpa >= FG_HIGH_GPA ? g->high + (gpa - FG_HIGH_GPA) : g->low + (gpa - FG_LOW_GPA);
}

void fg_ring_setup(struct fake_guest *g, struct ring *r, unsigned int q, uint16_t num)
{
	struct fg_ring *f = &g->ring[q];

	*f = (struct fg_ring){ .num = num };
	f->desc = FG_LOW_GPA + 0x10000 * q;
	f->avail = f->desc + 0x8000;
	f->used = f->desc + 0xa000;
	memset(fg_at(g, f->desc), 0, sizeof(struct vring_desc) * num);
	memset(fg_at(g, f->avail), 0, sizeof(struct vring_avail) + 2u * num + 2);
	memset(fg_at(g, f->used), 0,
	       sizeof(struct vring_used) + sizeof(struct vring_used_elem) * num + 2);
	r->num = num;
	r->desc_uva = FG_UVA + f->desc;
	r->avail_uva = FG_UVA + f->avail;
	r->used_uva = FG_UVA + f->used;
}

void fg_desc(struct fake_guest *g, unsigned int q, uint16_t i, uint64_t addr, uint32_t len,
	     uint16_t flags, uint16_t next)
{
	struct vring_desc *d = (struct vring_desc *)fg_at(g, g->ring[q].desc) + i;

	d->addr = htole64(addr);
	d->len = htole32(len);
	d->flags = htole16(flags);
	d->next = htole16(next);
}

void fg_avail(struct fake_guest *g, unsigned int q, uint16_t head)
{
	struct vring_avail *a = fg_at(g, g->ring[q].avail);

	a->ring[g->ring[q].avail_idx++ % g->ring[q].num] = htole16(head);
	__atomic_store_n(&a->idx, htole16(g->ring[q].avail_idx), __ATOMIC_RELEASE);
}

uint16_t fg_used_idx(struct fake_guest *g, unsigned int q)
{
	const struct vring_used *u = fg_at(g, g->ring[q].used);

	return le16toh(u->idx);
}

void fg_used(struct fake_guest *g, unsigned int q, uint16_t slot, uint32_t *id, uint32_t *len)
{
	const struct vring_used *u = fg_at(g, g->ring[q].used);

	*id = le32toh(u->ring[slot % g->ring[q].num].id);
	*len = le32toh(u->ring[slot % g->ring[q].num].len);
}

void fg_device(struct fake_guest *g, const struct device_params *p, uint64_t features)
{
	struct device *d = device_new(p);

	assert(d);
	fg_memory(g, &d->mem);
	g->d = d;
	device_set_features(d, features);
	for (unsigned int q = 0; q < DEV_QUEUES; q++) {
		fg_ring_setup(g, &d->ring[q], q, FG_QSIZE);
		assert(device_ring_start(d, q, 0) == 0);
	}
}

void fg_device_free(struct fake_guest *g)
{
	device_free(g->d);
	fg_free(g);
}

void fg_post_rx(struct fake_guest *g, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		fg_desc(g, DEV_RX, (uint16_t)i, RX_BUFS + i * 16384ull, g->rx_len,
			VRING_DESC_F_WRITE, 0);
		fg_avail(g, DEV_RX, (uint16_t)i);
	}
}

void fg_run(struct fake_guest *g)
{
	unsigned int calm = 0;

	/* A peer with timers due may need some rounds. */
	for (unsigned int i = 0; i < 10000 && calm < 3; i++)
		calm = device_run(g->d) || device_timeout_ns(g->d) == 0 ? 0 : calm + 1;
}

void fg_send(struct fake_guest *g, struct virtio_vsock_hdr h, const void *payload, uint32_t len,
	     unsigned int pieces)
{
	const uint32_t total = (uint32_t)sizeof(h) + len;
	const uint64_t gpa = TX_BUFS;
	uint32_t off = 0;

	memcpy(fg_at(g, gpa), &h, sizeof(h));
	if (len)
		memcpy((uint8_t *)fg_at(g, gpa) + sizeof(h), payload, len);
	for (unsigned int i = 0; i < pieces; i++) {
		const bool last = i + 1 == pieces;
		const uint32_t part = last ? total - off : 1;

		fg_desc(g, DEV_TX, (uint16_t)i, gpa + off, part, last ? 0 : VRING_DESC_F_NEXT,
			(uint16_t)(i + 1));
		off += part;
	}
	fg_avail(g, DEV_TX, 0);
	device_kick(g->d, DEV_TX);
	fg_run(g);
}

bool fg_receive(struct fake_guest *g, struct fg_packet *p)
{
	struct fg_ring *f = &g->ring[DEV_RX];
	const uint8_t *buf;
	uint32_t id;

	if (f->used_seen == fg_used_idx(g, DEV_RX))
		return false;
	fg_used(g, DEV_RX, f->used_seen++, &id, &p->used_len);
	buf = fg_at(g, RX_BUFS + id * 16384ull);
	memcpy(&p->h, buf, sizeof(p->h));
	p->payload_len = p->used_len > sizeof(p->h) ? p->used_len - (uint32_t)sizeof(p->h) : 0;
	assert(p->payload_len <= sizeof(p->payload));
	memcpy(p->payload, buf + sizeof(p->h), p->payload_len);
	fg_avail(g, DEV_RX, (uint16_t)id);
	device_kick(g->d, DEV_RX);
	return true;
}

struct virtio_vsock_hdr fg_hdr(uint64_t src_cid, uint32_t src_port, uint64_t dst_cid,
			       uint32_t dst_port, uint16_t type, uint16_t op)
{
	return (struct virtio_vsock_hdr){
		.src_cid = htole64(src_cid),
		.dst_cid = htole64(dst_cid),
		.src_port = htole32(src_port),
		.dst_port = htole32(dst_port),
		.type = htole16(type),
		.op = htole16(op),
		.buf_alloc = htole32(262144),
	};
}
