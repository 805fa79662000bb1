/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest made of memory: regions, split rings and a driver that does just
 * what a test asks, right or wrong. For tests of host/ref/dev.
 */
#ifndef TESTS_UNIT_FAKE_GUEST_H
#define TESTS_UNIT_FAKE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/ref/dev/device.h"

#define FG_LOW_GPA   0x100000ull
#define FG_LOW_SIZE  0x200000ull
#define FG_HIGH_GPA  (FG_LOW_GPA + FG_LOW_SIZE) /* the next region, elsewhere in the host */
#define FG_HIGH_SIZE 0x100000ull
#define FG_UVA	     0x7f0000000000ull /* of gpa 0 in the VMM */
#define FG_QSIZE     64
#define FG_RX_SIZE   4096 /* bytes of an rx buffer by default */

struct fg_ring {
	uint64_t desc, avail, used; /* gpa */
	uint16_t num, avail_idx, used_seen;
};

struct fg_seg {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags; /* VRING_DESC_F_WRITE, or 0 */
};

struct fg_packet {
	struct virtio_vsock_hdr h;
	uint32_t used_len, payload_len;
	uint8_t payload[65536];
};

struct fake_guest {
	uint8_t *low, *high;
	struct device *d;
	struct fg_ring ring[DEV_QUEUES];
	uint32_t rx_len;
	uint64_t tx_buf; /* where the next packet is put */
};

/* Regions added to m; the memory is zero. */
void fg_memory(struct fake_guest *g, struct guest_mem *m);
void fg_free(struct fake_guest *g);
/* Host pointer of guest memory. */
void *fg_at(struct fake_guest *g, uint64_t gpa);
/* Places ring q and gives the device its addresses. Rings lie at FG_LOW_GPA + 0x10000 * q. */
void fg_ring_setup(struct fake_guest *g, struct ring *r, unsigned int q, uint16_t num);
/* Writes descriptor i. */
void fg_desc(struct fake_guest *g, unsigned int q, uint16_t i, uint64_t addr, uint32_t len,
	     uint16_t flags, uint16_t next);
/* Makes descriptor `head` available. */
void fg_avail(struct fake_guest *g, unsigned int q, uint16_t head);
uint16_t fg_used_idx(struct fake_guest *g, unsigned int q);
void fg_used(struct fake_guest *g, unsigned int q, uint16_t slot, uint32_t *id, uint32_t *len);

/* A device with memory and running queues, features as acknowledged. */
void fg_device(struct fake_guest *g, const struct device_params *p, uint64_t features);
void fg_device_free(struct fake_guest *g);
/* Posts n rx buffers of g->rx_len bytes. Descriptors 0..n-1, buffers in the high region. */
void fg_post_rx(struct fake_guest *g, unsigned int n);
/* Runs the device until it has nothing more to do. */
void fg_run(struct fake_guest *g);
/* Sends a packet; the header's len is payload's. pieces: descriptors to spread it over (1..FG_QSIZE). */
void fg_send(struct fake_guest *g, struct virtio_vsock_hdr h, const void *payload, uint32_t len,
	     unsigned int pieces);
/* The next packet that the device delivered; its buffer is posted again. False: none. */
bool fg_receive(struct fake_guest *g, struct fg_packet *p);
/* A header in the protocol's byte order. */
struct virtio_vsock_hdr fg_hdr(uint64_t src_cid, uint32_t src_port, uint64_t dst_cid,
			       uint32_t dst_port, uint16_t type, uint16_t op);

#endif
