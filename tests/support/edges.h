/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizes and cuts at which hosts go wrong: one byte around whatever is a buffer, a page or a header
 * somewhere. One table for all tests, so that an edge found once is tried everywhere.
 */
#ifndef TESTS_SUPPORT_EDGES_H
#define TESTS_SUPPORT_EDGES_H

#include <stddef.h>

#include "drivers/virtio/vsock.h"

#define EDGE_MAX (1u << 20)

/* Bytes of a message, or of one write to a stream; the empty one is for messages only. */
static const size_t edge_sizes[] = {
	0,
	1,
	2,
	3,
	63,
	64,
	65,
	1000,
	4096 - sizeof(struct vsock_hdr) - 1, /* with its header in a page, or just not */
	4096 - sizeof(struct vsock_hdr),
	4096 - sizeof(struct vsock_hdr) + 1,
	4095,
	4096,
	4097,
	VSOCK_RX_PAYLOAD - 1, /* what one of our receive buffers holds */
	VSOCK_RX_PAYLOAD,
	VSOCK_RX_PAYLOAD + 1,
	VSOCK_TX_PAYLOAD - 1, /* what one of our packets carries */
	VSOCK_TX_PAYLOAD,
	VSOCK_TX_PAYLOAD + 1,
	40000,
	65535,
	65536,
	65537, /* more than a Linux packet carries */
	99991,
	262144,
	EDGE_MAX,
};

/*
 * Where a packet of a header and 64 bytes is cut into descriptors: at the header's end, inside of
 * it, behind it.
 */
static const unsigned int edge_cuts[] = {
	sizeof(struct vsock_hdr), sizeof(struct vsock_hdr) - 1, 20, 1, sizeof(struct vsock_hdr) + 4,
};

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#endif
