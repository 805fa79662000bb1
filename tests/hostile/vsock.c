/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostile.vsock.*: what a malicious guest sends to a vsock device. It may lose its own connections by that. The host
 * promises the rest: no component crashes or hangs, its applications get no byte that was not sent, and other
 * connections go on. Hosts broke it by lengths that they believed, by a credit that went below zero, by a table of
 * connections that a flood of requests filled for good, by one bad packet that ended the worker of the device. Seen by
 * a connection beside, which echoes throughout, and by what the host's application says that it received.
 */
#include "tests/vsock/packet.h"
#include "tests/vsock/pair.h"

#define OWNER "vsock device back end"
#define NEEDS (NEED_VSOCK | NEED_PEER)
#define CLAUSE                                                                                     \
	"virtio 1.4, 5.10.6: a packet has an effect on the connection that it names, and on no other"

#define PORT_BASE   0x60000000u /* of forged connections: no driver chooses ports there */
#define NOBODY_PORT 0xfffffff0u
#define FLOOD	    2000u
#define HALF_OPEN   400u
#define SOME	    256u /* bytes */

/* A header from the CID of that pair which names no connection of ours; `port` makes it one of its own. */
static struct vsock_hdr forged(const struct pair *beside, uint32_t port, uint16_t op, uint32_t len)
{
	const struct packet p = {
		.from = { beside->local.cid, PORT_BASE + port },
		.to = { VSOCK_CID_HOST, NOBODY_PORT },
		.type = VSOCK_STREAM,
		.op = op,
		.len = len,
	};

	return packet_header(&p);
}

static uint8_t junk[SOME];

static void sends(struct test_ctx *t, struct vsock_env *e, const struct vsock_hdr *h,
		  uint32_t bytes)
{
	packet_raw(t, e, h, bytes ? junk : NULL, bytes);
	vsock_poll(e->vs);
	vsock_strays_clear(e->vs);
}

static const uint64_t cids[] = {
	0, 1, 2, 0x7fffffff, 0xffffffff, 0x100000003ull, 1ull << 63, ~0ull
};
static const uint32_t ports[] = { 0, 1, 0x7fffffff, 0x80000000u, 0xfffffffeu, 0xffffffffu };
static const uint16_t shorts[] = { 0, 3, 8, 255, 256, 0x8000, 0xffff };
static const uint32_t words[] = { 0, 1, 0x7fffffff, 0x80000000u, 0xfffffffeu, 0xffffffffu };

/* The n-th header with one field out of any order; false past the last. */
static bool odd_header(unsigned int n, struct vsock_hdr *h)
{
	if (n < COUNT_OF(cids)) {
		h->src_cid = cpu_to_le64(cids[n]);
		return true;
	}
	n -= COUNT_OF(cids);
	if (n < COUNT_OF(cids)) {
		h->dst_cid = cpu_to_le64(cids[n]);
		return true;
	}
	n -= COUNT_OF(cids);
	if (n < COUNT_OF(ports)) {
		h->dst_port = cpu_to_le32(ports[n]);
		return true;
	}
	n -= COUNT_OF(ports);
	if (n < COUNT_OF(shorts)) {
		h->type = cpu_to_le16(shorts[n]);
		return true;
	}
	n -= COUNT_OF(shorts);
	if (n < COUNT_OF(shorts)) {
		h->op = cpu_to_le16(shorts[n]);
		return true;
	}
	n -= COUNT_OF(shorts);
	if (n < COUNT_OF(words)) {
		h->flags = cpu_to_le32(words[n]);
		return true;
	}
	n -= COUNT_OF(words);
	if (n < COUNT_OF(words)) {
		h->buf_alloc = cpu_to_le32(words[n]);
		return true;
	}
	n -= COUNT_OF(words);
	if (n < COUNT_OF(words)) {
		h->fwd_cnt = cpu_to_le32(words[n]);
		return true;
	}
	return false;
}

TEST(hostile_fields,
     .id = "hostile.vsock.fields",
     .clause = CLAUSE,
     .owner = OWNER,
     .needs = NEEDS,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	struct pair *beside = pair_open(t, .at = ASSAY_ECHO_PORT);
	struct vsock_env *e = beside->env;
	struct vsock_hdr h;
	unsigned int op, n;

	for (op = VSOCK_OP_REQUEST; op <= VSOCK_OP_CREDIT_REQUEST; op++) {
		for (n = 0;; n++) {
			const uint32_t bytes = op == VSOCK_OP_RW ? SOME : 0;

			h = forged(beside, op << 16 | n, (uint16_t)op, bytes);
			if (!odd_header(n, &h))
				break;
			sends(t, e, &h, bytes);
		}
		echo(beside, 1000);
	}
	pair_close(beside);
}

/* What the header says of the length, and what there is. */
TEST(hostile_lengths,
     .id = "hostile.vsock.lengths",
     .clause = "virtio 1.4, 5.10.6: len is that of the payload; what was not sent reaches nobody",
     .owner = OWNER,
     .needs = NEEDS,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	static const uint32_t lens[] = { 0,	1,	    SOME - 1,	 SOME + 1,   4096,
					 65536, 0x7fffffff, 0x80000000u, 0xffffffffu };
	struct pair *beside = pair_open(t, .at = ASSAY_ECHO_PORT), *victim;
	unsigned int i;

	for (i = 0; i < COUNT_OF(lens); i++) {
		struct vsock_hdr h;
		uint64_t got;

		victim = pair_open(t);
		h = forged(victim, 0, VSOCK_OP_RW, lens[i]);
		h.src_port = cpu_to_le32(victim->local.port);
		h.dst_port = cpu_to_le32(victim->remote.port);
		sends(t, victim->env, &h, SOME);
		echo(beside, 100);
		got = host_report(victim).rx_bytes;
		expect(t, got <= SOME && (lens[i] > SOME || got <= lens[i]),
		       "len %u with %u bytes: the host's application got %llu", lens[i], SOME,
		       (unsigned long long)got);
		pair_drop(victim);
	}
	pair_close(beside);
}

/* A connection's credit as no honest driver tells it, while the host has much to send. */
TEST(hostile_credit,
     .id = "hostile.vsock.credit",
     .clause = CLAUSE,
     .owner = OWNER,
     .needs = NEEDS,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	static const struct {
		uint32_t buf_alloc, fwd_cnt;
	} lies[] = {
		{ 0, 0 },	   { 0, 0xffffffff }, { 1, 0x80000000u }, { 65536, 0xffff0000u },
		{ 0xffffffff, 1 }, { 16, 1000000 },
	};
	struct pair *beside = pair_open(t, .at = ASSAY_ECHO_PORT), *victim;
	unsigned int i;

	for (i = 0; i < COUNT_OF(lies); i++) {
		struct vsock_hdr h;

		victim = pair_open(t);
		h = forged(victim, 0, VSOCK_OP_CREDIT_UPDATE, 0);
		h.src_port = cpu_to_le32(victim->local.port);
		h.dst_port = cpu_to_le32(victim->remote.port);
		h.buf_alloc = cpu_to_le32(lies[i].buf_alloc);
		h.fwd_cnt = cpu_to_le32(lies[i].fwd_cnt);
		sends(t, victim->env, &h, 0);
		echo(beside, 1000);
		pair_drop(victim);
	}
	echo(beside, 10000);
	pair_close(beside);
}

TEST(hostile_floods,
     .id = "hostile.vsock.floods",
     .clause = CLAUSE,
     .owner = OWNER,
     .needs = NEEDS,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	struct pair *beside = pair_open(t, .at = ASSAY_ECHO_PORT), *more;
	struct vsock_env *e = beside->env;
	static const uint16_t ops[] = { VSOCK_OP_REQUEST, VSOCK_OP_RST, VSOCK_OP_SHUTDOWN };
	unsigned int i, k;

	for (k = 0; k < COUNT_OF(ops); k++) {
		for (i = 0; i < FLOOD; i++) {
			const struct vsock_hdr h = forged(beside, k << 20 | i, ops[k], 0);

			sends(t, e, &h, 0);
		}
		echo(beside, 1000);
	}
	more = pair_open(t, .at = ASSAY_ECHO_PORT);
	echo(more, 1000);
	pair_close(more);
	pair_close(beside);
}

#define SMALL_BUF 4096u
#define EMPTY	  10000u
#define PIECE	  250u

/*
 * Messages without data take no credit, and the host's application reads none of them. A host that keeps each of them runs
 * out of memory by and by.
 */
TEST(hostile_empty,
     .id = "hostile.vsock.empty_messages",
     .clause = CLAUSE,
     .owner = OWNER,
     .needs = NEEDS | NEED_SEQPACKET,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	struct pair *beside = pair_open(t, .at = ASSAY_ECHO_PORT);
	struct pair *p = pair_open(t, .type = VSOCK_SEQPACKET, .host_buf = SMALL_BUF);
	unsigned int i;

	host_pauses(p);
	for (i = 1; i <= EMPTY && vsock_conn_state(p->conn) == VSOCK_ESTABLISHED; i++) {
		guest_packet(p, VSOCK_OP_RW, VSOCK_SEQ_EOM, 0);
		/* Behind all of them an answer would come late on a slow host. */
		if (i % PIECE == 0)
			echo(beside, 100);
	}
	echo(beside, 1000);
	if (vsock_conn_state(p->conn) == VSOCK_ESTABLISHED)
		test_note(t, "%u messages without data are kept unread beside a buffer of %u bytes",
			  EMPTY, SMALL_BUF);
	pair_drop(p);
	pair_close(beside);
}

/* Connections that are opened and then forgotten by the guest, and reset in the end. */
TEST(hostile_half_open,
     .id = "hostile.vsock.forgotten",
     .clause = CLAUSE,
     .owner = OWNER,
     .needs = NEEDS,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	struct pair *beside = pair_open(t, .at = ASSAY_ECHO_PORT), *more;
	struct vsock_env *e = beside->env;
	unsigned int i, k;

	for (k = 0; k < 2; k++) {
		for (i = 0; i < HALF_OPEN; i++) {
			struct vsock_hdr h = forged(beside, i, k ? VSOCK_OP_RST : VSOCK_OP_REQUEST,
						    0);

			h.dst_port = cpu_to_le32(ASSAY_SINK_PORT);
			sends(t, e, &h, 0);
		}
		echo(beside, 1000);
	}
	more = pair_open(t, .at = ASSAY_ECHO_PORT);
	echo(more, 1000);
	pair_close(more);
	pair_close(beside);
}
