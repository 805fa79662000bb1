/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single packets, as no connection of ours would send them: with addresses, types and operations of
 * the test's choice. What comes back to the source port, and belongs to no connection, is the
 * answer.
 */
#ifndef TESTS_VSOCK_PACKET_H
#define TESTS_VSOCK_PACKET_H

#include "tests/vsock/env.h"

struct packet { /* in the CPU's order */
	struct vsock_addr from, to;
	uint16_t type; /* VSOCK_STREAM if not given */
	uint16_t op;
	uint32_t len; /* of a payload that the test adds itself */
	uint32_t flags;
};

/* The header that goes on the ring. */
struct vsock_hdr packet_header(const struct packet *p);
/* Sends a header as it is, and len bytes, waiting for room in the queue. A device that makes none FAILs the test. */
void packet_raw(struct test_ctx *t, struct vsock_env *e, const struct vsock_hdr *h,
		const void *payload, uint32_t len);
/* Sends it. It goes out in its turn, before whatever is sent next. */
void packet_send(struct test_ctx *t, struct vsock_env *e, const struct packet *p);
/* The operation of the answer, PACKET_NONE if none came so far. */
#define PACKET_NONE (-1)
int packet_answer(struct vsock_env *e, const struct packet *p);
/* Sends it and waits for the answer, as long as an answer may take. */
int packet_ask(struct test_ctx *t, struct vsock_env *e, const struct packet *p);
/* The header of the answer. false: none came so far. */
bool packet_answered(struct vsock_env *e, const struct packet *p, struct vsock_hdr *h);
/* Waits for the host's REQUEST to this address of the guest, which the driver holds; FAILs without. Where it is from. */
struct vsock_addr packet_request(struct test_ctx *t, struct vsock_env *e, struct vsock_addr to);
/* "RST", "nothing", ...: for "expected RST, %s came". */
const char *packet_op(int op);

#endif
