/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 5.10.6.3): neither side sends more than the other has room for; both say
 * truthfully, in each packet, how much room that is and what they consumed; a reader that stalls
 * stops no other traffic.
 *
 * How hosts break it: data beyond the guest's credit overruns its buffers; credit that is not given
 * back stops a stream for good; a fwd_cnt that counts headers, or more than was sent, has the guest
 * overrun the host; a device that stops taking tx while it waits for rx buffers deadlocks with a
 * guest that does the same.
 *
 * How it is seen here: the guest grants little, or does not give back what it read, and counts what
 * comes; it sends more than the host's buffer, to an application that reads or does not, and
 * watches the host's numbers.
 */
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/virtqueue.h"
#include "tests/vsock/pair.h"

#define OWNER "vsock device back end (credit)"

#define PATIENCE 10u /* round trips */

TEST(credit_host_respects,
     .id = "vsock.credit.host_respects",
     .clause = "virtio 1.4, 5.10.6.3.2 MUST: OP_RW only when the peer has sufficient free buffer space",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	const uint32_t room = 8192;
	struct pair *p = pair_open(t, .guest_buf = room);
	unsigned int i;
	uint32_t asked;

	vsock_conn_hold_credit(p->conn, true);
	host_send(p, 5 * room);
	pair_waits(p, vsock_readable(p->conn) >= room, 1);
	/* Two round trips: a host that does not look at credit has sent more by then. */
	CTL_OK(t, ctl_barrier(p->env->ctl));
	CTL_OK(t, ctl_barrier(p->env->ctl));
	expect_eq(t, credit_of(p).overruns, 0, "packets beyond buf_alloc %u", (unsigned int)room);
	expect(t, credit_of(p).rx_cnt > 0 && credit_of(p).rx_cnt <= room,
	       "%u bytes came in for a buffer of %u", (unsigned int)credit_of(p).rx_cnt,
	       (unsigned int)room);
	/* A host that asks, and hears that nothing is free, need not ask again: each answer would bring a question. */
	asked = credit_of(p).requests;
	for (i = 0; i < PATIENCE; i++)
		CTL_OK(t, ctl_barrier(p->env->ctl));
	if (credit_of(p).requests - asked > PATIENCE / 2)
		test_note(t, "%u CREDIT_REQUESTs in %u round trips, though each is answered",
			  (unsigned int)(credit_of(p).requests - asked), PATIENCE);
	/* With credit given back the rest follows. */
	vsock_conn_hold_credit(p->conn, false);
	guest_expects(p, 5 * room);
	expect_eq(t, credit_of(p).overruns, 0,
		  "packets beyond the credit, over the whole transfer");
	pair_close(p);
}

#define MANY (4u << 20) /* a larger buffer is not filled: that takes too long */

TEST(credit_returned,
     .id = "vsock.credit.returned",
     .clause = "virtio 1.4, 5.10.6.3.2 MUST: buf_alloc and fwd_cnt are valid in every packet",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 10 * SEC)
{
	struct pair *p = pair_open(t, .at = ASSAY_SINK_PORT);
	const uint64_t room = credit_of(p).peer_buf_alloc;
	/*
	 * Three times its buffer, where that is not too much: only a host that gives credit back
	 * takes it all.
	 */
	const uint64_t total = 3 * room < MANY ? 3 * room : MANY;
	struct vsock_credit k;

	require(t, room > 0, "the host's buf_alloc is 0");
	while (p->out.pos < total)
		guest_send(p, 16384);
	guest_send(p, 1001); /* no multiple of anything */
	/* However large its buffer is: what was read counts, and nothing else. */
	expect(t, all_returned(p), "fwd_cnt of an application that reads all: expected %u, seen %u",
	       (unsigned int)credit_of(p).tx_cnt, (unsigned int)credit_of(p).peer_fwd_cnt);
	k = credit_of(p);
	expect_eq(t, k.bad_credit, 0, "packets whose fwd_cnt is beyond what was sent (%u bytes)",
		  (unsigned int)k.tx_cnt);
	if (k.late_credit)
		test_note(t, "%u packets came with a fwd_cnt older than the one before",
			  (unsigned int)k.late_credit);
	pair_close(p);
}

TEST(credit_guest_stops,
     .id = "vsock.credit.full_buffer",
     .clause = "virtio 1.4, 5.10.6.3: a peer that does not read leaves its buffer full, and no more is lost",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_PEER_CREDIT)
{
	const uint32_t room = 16384;
	struct pair *p = pair_open(t, .host_buf = room);

	host_pauses(p);
	pair_waits(p, credit_of(p).peer_buf_alloc == room, 1);
	require_eq(t, credit_of(p).peer_buf_alloc, room, "buf_alloc of a buffer that was set");
	guest_send(p, credit_of(p).peer_free);
	vsock_credit_request(p->conn);
	nothing_comes(p);
	expect_eq(t, credit_of(p).peer_free, 0, "credit while a full buffer is not read");
	host_goes_on(p);
	host_expects(p);
	guest_send(p, 4096);
	host_expects(p);
	pair_close(p);
}

TEST(credit_request,
     .id = "vsock.credit.request_answered",
     .clause = "virtio 1.4, 5.10.6.3: CREDIT_REQUEST is answered by CREDIT_UPDATE",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	struct pair *p = pair_open(t);
	const uint32_t before = credit_of(p).updates;

	vsock_credit_request(p->conn);
	pair_waits(p, credit_of(p).updates > before, 1);
	expect(t, credit_of(p).updates > before,
	       "CREDIT_REQUEST: expected CREDIT_UPDATE, nothing came");
	expect(t, credit_of(p).peer_buf_alloc > 0, "buf_alloc 0 in the answer");
	pair_close(p);
}

TEST(credit_buf_change,
     .id = "vsock.credit.buf_change",
     .clause = "virtio 1.4, 5.10.6.3: buf_alloc may change during the life of a connection",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	static const uint32_t rooms[] = { 4096, 12000 };
	struct pair *p = pair_open(t, .guest_buf = rooms[0]);
	unsigned int i;

	vsock_conn_hold_credit(p->conn, true);
	host_send(p, 12000);
	for (i = 0; i < COUNT_OF(rooms); i++) {
		vsock_conn_set_buf(p->conn, rooms[i]);
		pair_waits(p, vsock_readable(p->conn) >= rooms[i], 1);
		expect_eq(t, vsock_readable(p->conn), rooms[i], "bytes for a buffer of %u",
			  (unsigned int)rooms[i]);
	}
	expect_eq(t, credit_of(p).overruns, 0, "packets beyond the credit");
	guest_expects(p, 12000);
	pair_close(p);
}

/* Reads what came on p, if anything, and throws it away. */
static void read_some(struct pair *p)
{
	uint8_t buf[4096];

	vsock_recv(p->conn, buf, sizeof(buf), 0);
}

/*
 * 5.10.6.1.2: with no receive buffer left the device goes on with tx, as far as its resources
 * reach.
 */
TEST(credit_tx_while_rx_full,
     .id = "vsock.credit.tx_while_rx_full",
     .clause = "virtio 1.4, 5.10.6.1.2 MUST: tx is processed while rx has no buffers, given resources",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 10 * SEC)
{
	const uint32_t room = 256u << 10;
	struct pair *sink = pair_open(t, .at = ASSAY_SINK_PORT);
	struct pair *source = pair_open(t, .at = ASSAY_SOURCE_PORT, .guest_buf = room);
	struct virtio_device *d = vsock_device(sink->env->vs);
	uint64_t before;

	vsock_hold_rx(sink->env->vs, true);
	/* Credit for less than the queue holds, as Linux uses it at most: reading gives it back. */
	if (!pair_waits(source, (read_some(source), vq_in_flight(d->vq[0]) == 0), 4))
		test_error(t, "the source does not fill the receive queue: %u buffers are left",
			   vq_in_flight(d->vq[0]));
	guest_send(sink, 4096);
	expect(t, pair_waits(sink, vq_in_flight(d->vq[1]) == 0, 2),
	       "%u tx buffers are not used while rx has no buffer", vq_in_flight(d->vq[1]));
	before = vsock_received(source->env);
	vsock_hold_rx(sink->env->vs, false);
	/* What was not read yet may be all that the source has credit for. */
	expect(t, pair_waits(source, (read_some(source), vsock_received(source->env) > before), 2),
	       "nothing comes in after rx got buffers again");
	pair_drop(source);
	pair_close(sink);
}

/* Up to here all that was sent either way has been read. */
static void settle(struct test_ctx *t, struct pair *p)
{
	CTL_OK(t, ctl_barrier(p->env->ctl));
	CTL_OK(t, ctl_barrier(p->env->ctl));
}

/* The host has sent `room` bytes, and more waits for credit. */
static struct pair *waits_for_credit(struct test_ctx *t, uint32_t room, size_t all)
{
	struct pair *p = pair_open(t, .guest_buf = room);

	vsock_conn_hold_credit(p->conn, true);
	host_send(p, all);
	pair_waits(p, vsock_readable(p->conn) >= room, 1);
	/* The application tries again, so that a host that asks for credit asks now; then it was answered. */
	host_goes_on(p);
	settle(t, p);
	require_eq(t, vsock_readable(p->conn), room, "bytes for a buffer of %u",
		   (unsigned int)room);
	return p;
}

TEST(credit_any_packet,
     .id = "vsock.credit.any_packet",
     .clause = "virtio 1.4, 5.10.6.3: each packet tells buf_alloc and fwd_cnt, in each state that lets data come",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_HALF_CLOSE,
     .timeout = 15 * SEC)
{
	static const struct {
		enum vsock_op op;
		uint32_t n;
		unsigned int host_shuts, guest_shuts;
	} cases[] = {
		{ VSOCK_OP_CREDIT_UPDATE, 0, 0, 0 },
		{ VSOCK_OP_CREDIT_REQUEST, 0, 0, 0 },
		{ VSOCK_OP_RW, 10, 0, 0 },
		{ VSOCK_OP_SHUTDOWN, 0, 0, VSOCK_SHUTDOWN_SEND },
		{ VSOCK_OP_CREDIT_UPDATE, 0, 0, VSOCK_SHUTDOWN_SEND },
		{ VSOCK_OP_CREDIT_UPDATE, 0, VSOCK_SHUTDOWN_RCV, 0 },
		{ VSOCK_OP_CREDIT_REQUEST, 0, VSOCK_SHUTDOWN_RCV, 0 },
	};
	unsigned int i;

	for (i = 0; i < COUNT_OF(cases); i++) {
		struct pair *p = waits_for_credit(t, 1000, 3000);

		if (cases[i].host_shuts)
			host_shuts(p, cases[i].host_shuts);
		if (cases[i].guest_shuts && cases[i].op != VSOCK_OP_SHUTDOWN)
			guest_packet(p, VSOCK_OP_SHUTDOWN, cases[i].guest_shuts, 0);
		settle(t, p);
		vsock_conn_set_told(p->conn, 3000);
		guest_packet(p, cases[i].op,
			     cases[i].op == VSOCK_OP_SHUTDOWN ? cases[i].guest_shuts : 0,
			     cases[i].n);
		expect(t, pair_waits(p, vsock_readable(p->conn) == 3000, 1),
		       "operation %u tells of room for 3000 bytes (shut: host %u, guest %u): %u came",
		       cases[i].op, cases[i].host_shuts, cases[i].guest_shuts,
		       (unsigned int)vsock_readable(p->conn));
		pair_drop(p);
	}
}

TEST(credit_in_response,
     .id = "vsock.credit.in_response",
     .clause = "virtio 1.4, 5.10.6.3: RESPONSE tells buf_alloc",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_HOST_CONNECT | NEED_PEER_CREDIT)
{
	struct pair *p;

	vsock_set_buf(vsock_env_ctl(t)->vs, 5000);
	p = pair_open(t, .host_connects = true);
	vsock_set_buf(p->env->vs, 0);
	expect_eq(t, host_report(p).guest_buf_alloc, 5000,
		  "buf_alloc of RESPONSE, as the host took it");
	host_send(p, 3000);
	guest_expects(p, 3000);
	pair_close(p);
}

TEST(credit_large,
     .id = "vsock.credit.large_buf_alloc",
     .clause = "virtio 1.4, 5.10.6.3: buf_alloc has 32 unsigned bits",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	static const uint32_t rooms[] = { 0x7fffffffu, 0x80000000u, 0xfffffff0u, 0xffffffffu };
	unsigned int i;

	for (i = 0; i < COUNT_OF(rooms); i++) {
		struct pair *p = pair_open(t, .guest_buf = rooms[i]);

		host_send(p, 5000);
		guest_expects(p, 5000);
		host_send(p, 700);
		guest_expects(p, 700);
		pair_drop(p);
	}
}

TEST(credit_shrunk,
     .id = "vsock.credit.shrunk_buffer",
     .clause = "virtio 1.4, 5.10.6.3.2 MUST: OP_RW only when the peer has sufficient free buffer space, be it less than what is under way",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	static const uint32_t less[] = { 0, 1, 4095, 7999 };
	unsigned int i;

	for (i = 0; i < COUNT_OF(less); i++) {
		struct pair *p = waits_for_credit(t, 8000, 20000);

		vsock_conn_set_buf(p->conn, less[i]);
		settle(t, p);
		vsock_credit_request(p->conn);
		settle(t, p);
		expect_eq(t, vsock_readable(p->conn), 8000,
			  "bytes after the buffer was made %u bytes small", (unsigned int)less[i]);
		vsock_conn_set_buf(p->conn, 20000);
		guest_expects(p, 20000);
		pair_drop(p);
	}
}

/* All that was under way is read now: the buffer has what its new size says, and no more. */
TEST(credit_shrunk_read,
     .id = "vsock.credit.shrunk_and_read",
     .clause = "virtio 1.4, 5.10.6.3.2 MUST: OP_RW only when the peer has sufficient free buffer space: buf_alloc is what it was told to be last",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	static const uint32_t less[] = { 100, 3000, 7999 };
	unsigned int i;

	for (i = 0; i < COUNT_OF(less); i++) {
		struct pair *p = waits_for_credit(t, 8000, 20000);

		vsock_conn_set_buf(p->conn, less[i]);
		settle(t, p);
		guest_expects(p, 8000);
		vsock_conn_hold_credit(p->conn, false);
		pair_waits(p, vsock_readable(p->conn) >= less[i], 1);
		settle(t, p);
		expect_eq(t, vsock_readable(p->conn), less[i],
			  "bytes for a buffer that was 8000 bytes large");
		vsock_conn_set_buf(p->conn, 20000);
		guest_expects(p, 12000);
		pair_drop(p);
	}
}

TEST(credit_unasked,
     .id = "vsock.credit.told_unasked",
     .clause = "virtio 1.4, 5.10.6.3: space that is free again is told to a guest that has none left and does not ask, as Linux does not",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_HALF_CLOSE | NEED_PEER_CREDIT,
     .timeout = 15 * SEC)
{
	static const struct {
		uint32_t room, read; /* bytes that the application reads; 0: all */
		unsigned int host_shuts, guest_shuts;
	} cases[] = {
		{ 4096, 0, 0, 0 },
		{ 16384, 0, 0, 0 },
		{ 200000, 0, 0, 0 },
		{ 16384, 12000, 0, 0 },
		{ 200000, 150000, 0, 0 },
		{ 16384, 0, VSOCK_SHUTDOWN_SEND, 0 },
		{ 16384, 0, 0, VSOCK_SHUTDOWN_RCV },
	};
	unsigned int i;

	for (i = 0; i < COUNT_OF(cases); i++) {
		struct pair *p = pair_open(t, .host_buf = cases[i].room);
		uint32_t asked;

		if (cases[i].host_shuts)
			host_shuts(p, cases[i].host_shuts);
		if (cases[i].guest_shuts)
			guest_packet(p, VSOCK_OP_SHUTDOWN, cases[i].guest_shuts, 0);
		host_pauses(p);
		settle(t, p);
		guest_send(p, credit_of(p).peer_free);
		settle(t, p);
		expect_eq(t, credit_of(p).peer_free, 0, "credit of a full buffer of %u",
			  (unsigned int)cases[i].room);
		host_reads(p, cases[i].read);
		expect(t, pair_waits(p, credit_of(p).peer_free > 0, 1),
		       "%u bytes of a full buffer of %u were read (shut: host %u, guest %u): no credit comes unasked",
		       (unsigned int)(cases[i].read ? cases[i].read : cases[i].room),
		       (unsigned int)cases[i].room, cases[i].host_shuts, cases[i].guest_shuts);
		asked = credit_of(p).updates;
		vsock_credit_request(p->conn);
		expect(t, pair_waits(p, credit_of(p).updates > asked, 1),
		       "CREDIT_REQUEST (shut: host %u, guest %u) is not answered",
		       cases[i].host_shuts, cases[i].guest_shuts);
		pair_drop(p);
	}
}

TEST(credit_partly_read,
     .id = "vsock.credit.partly_read",
     .clause = "virtio 1.4, 5.10.6.3: fwd_cnt counts the bytes that were read, buf_alloc is the whole buffer",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_PEER_CREDIT)
{
	static const uint32_t steps[][2] = { /* sent, then read */
					     { 16384, 10000 }, { 9000, 7001 }, { 8000, 14000 },
					     { 12345, 2 },     { 1, 9000 },    { 4000, 5000 }
	};
	const uint32_t room = 16384;
	struct pair *p = pair_open(t, .host_buf = room);
	uint32_t read = 0, before;
	unsigned int i;

	host_pauses(p);
	for (i = 0; i < COUNT_OF(steps); i++) {
		guest_send(p, steps[i][0]);
		host_reads(p, steps[i][1]);
		read += steps[i][1];
		before = credit_of(p).updates;
		vsock_credit_request(p->conn);
		pair_waits(p, credit_of(p).updates > before, 1);
		settle(t, p);
		expect_eq(t, credit_of(p).peer_fwd_cnt, read, "fwd_cnt in step %u", i);
		expect_eq(t, credit_of(p).peer_buf_alloc, room, "buf_alloc in step %u", i);
	}
	host_goes_on(p);
	host_expects(p);
	expect(t, all_returned(p), "fwd_cnt once all was read: expected %u, seen %u",
	       (unsigned int)credit_of(p).tx_cnt, (unsigned int)credit_of(p).peer_fwd_cnt);
	pair_close(p);
}

TEST(credit_grown,
     .id = "vsock.credit.grown_buffer",
     .clause = "virtio 1.4, 5.10.6.3: a buffer that has grown is told to a guest that has no credit left",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_PEER_CREDIT)
{
	static const uint32_t more[] = { 20000, 8193 };
	unsigned int i;

	for (i = 0; i < COUNT_OF(more); i++) {
		struct pair *p = pair_open(t, .host_buf = 8192);

		host_pauses(p);
		settle(t, p);
		guest_send(p, credit_of(p).peer_free);
		host_sets_buffer(p, more[i]);
		expect(t, pair_waits(p, credit_of(p).peer_buf_alloc == more[i], 1),
		       "buf_alloc once the buffer has %u bytes: %u", (unsigned int)more[i],
		       (unsigned int)credit_of(p).peer_buf_alloc);
		guest_send(p, more[i] - 8192);
		host_goes_on(p);
		host_expects(p);
		pair_close(p);
	}
}

/* What the host has to send waits for the guest, what the guest has to send for the host: one of them has to begin. */
TEST(credit_both_wait,
     .id = "vsock.credit.told_while_data_waits",
     .clause = "virtio 1.4, 5.10.6.3: space that is free again is told to a guest that has none left, also by a host whose own data waits",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_PEER_CREDIT)
{
	struct pair *p = pair_open(t, .guest_buf = 1000, .host_buf = 16384);

	vsock_conn_hold_credit(p->conn, true);
	host_send(p, 3000);
	pair_waits(p, vsock_readable(p->conn) >= 1000, 1);
	host_pauses(p);
	settle(t, p);
	guest_send(p, credit_of(p).peer_free);
	settle(t, p);
	expect_eq(t, credit_of(p).peer_free, 0, "credit of a full buffer");
	host_reads(p, 0);
	expect(t, pair_waits(p, credit_of(p).peer_free > 0, 1),
	       "a full buffer was read: no credit comes unasked while the host's data waits for ours");
	vsock_conn_hold_credit(p->conn, false);
	vsock_conn_set_buf(p->conn, 3000);
	guest_expects(p, 3000);
	pair_drop(p);
}

/* The guest fills the buffer that it knows of, and has not seen yet that it is smaller now. */
TEST(credit_host_shrinks,
     .id = "vsock.credit.host_shrinks",
     .clause = "virtio 1.4, 5.10.6.3, 5.10.6.6: what was sent within the credit that was told arrives, though the host has told of less meanwhile",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_PEER_CREDIT)
{
	static const uint32_t less[] = { 1, 4096, 16000 };
	unsigned int i;

	for (i = 0; i < COUNT_OF(less); i++) {
		struct pair *p = pair_open(t, .host_buf = 16384);
		struct ctl *ctl = p->env->ctl;

		settle(t, p);
		rx_is_full(p);
		ctl_ahead(ctl, true);
		CTL_OK(t, ctl_conn(ctl, CTL_SET_BUF, p->host, less[i], NULL));
		ctl_ahead(ctl, false);
		guest_send(p, credit_of(p).peer_free);
		rx_has_room(p);
		CTL_OK(t, ctl_barrier(ctl));
		host_expects(p);
		expect_eq(t, credit_of(p).peer_buf_alloc, less[i], "buf_alloc once it was read");
		pair_drop(p);
	}
}

/* The numbers that came with the newest packet. */
static void host_tells(struct test_ctx *t, struct pair *p, uint32_t room, uint32_t fwd,
		       const char *what)
{
	expect_eq(t, credit_of(p).peer_fwd_cnt, fwd, "fwd_cnt after %s", what);
	expect_eq(t, credit_of(p).peer_buf_alloc, room, "buf_alloc after %s", what);
	expect_eq(t, credit_of(p).late_credit, 0, "packets with a fwd_cnt of before, up to %s",
		  what);
}

TEST(credit_host_packets,
     .id = "vsock.credit.in_each_host_packet",
     .clause = "virtio 1.4, 5.10.6.3.2 MUST: buf_alloc and fwd_cnt are valid in every packet",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_HALF_CLOSE)
{
	struct pair *p = pair_open(t, .guest_buf = 4000);
	const uint32_t room = credit_of(p).peer_buf_alloc;

	guest_send(p, 1000);
	host_expects(p);
	host_send(p, 10);
	guest_expects(p, 10);
	host_tells(t, p, room, 1000, "data");
	vsock_conn_hold_credit(p->conn, true);
	guest_send(p, 500);
	host_expects(p);
	host_send(p, 12000);
	pair_waits(p, vsock_readable(p->conn) >= 3000, 1);
	host_goes_on(p); /* the application tries again: the host may ask for credit */
	settle(t, p);
	host_tells(t, p, room, 1500, "data that waits for credit");
	vsock_conn_hold_credit(p->conn, false);
	guest_expects(p, 12000);
	vsock_credit_request(p->conn);
	settle(t, p);
	host_shuts(p, VSOCK_SHUTDOWN_SEND);
	guest_expects_end(p);
	settle(t, p);
	host_tells(t, p, room, 1500, "SHUTDOWN of sending");
	pair_drop(p);
}

TEST(credit_others_go_on,
     .id = "vsock.credit.others_go_on",
     .clause = "virtio 1.4, 5.10.6.3: credit is a connection's: one that waits, or is not read, stops no other, and none that is new",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	struct pair *older = pair_open(t), *stuck = waits_for_credit(t, 1000, 3000), *younger,
		    *full;
	struct pair *p[3];
	unsigned int i;

	younger = pair_open(t);
	full = pair_open(t, .host_buf = ctl_can(stuck->env->ctl, CTL_CAP_CREDIT) ? 16384 : 0);
	host_pauses(full);
	settle(t, full);
	if (credit_of(full).peer_free <= MANY)
		guest_send(full, credit_of(full).peer_free);
	settle(t, full);
	p[0] = older;
	p[1] = younger;
	p[2] = pair_open(t);
	for (i = 0; i < COUNT_OF(p); i++) {
		host_send(p[i], 900);
		guest_expects(p[i], 900);
		guest_send(p[i], 900);
		host_expects(p[i]);
	}
	host_goes_on(full);
	host_expects(full);
	vsock_conn_hold_credit(stuck->conn, false);
	vsock_conn_set_buf(stuck->conn, 3000);
	guest_expects(stuck, 3000);
}

/* Both ends go to just before `at`: no gigabytes have to pass. */
static void goes_on_at(struct test_ctx *t, uint64_t at, uint32_t before)
{
	struct pair *p = pair_open(t, .service = CTL_SVC_ECHO);

	CTL_OK(t, ctl_conn(p->env->ctl, CTL_ADVANCE, p->host, (uint32_t)(at - before), NULL));
	vsock_conn_advance(p->conn, (uint32_t)(at - before));
	echo(p, before / 2);
	echo(p, before);
	echo(p, 3 * before);
	expect(t, all_returned(p), "fwd_cnt past 0x%llx: expected 0x%x, seen 0x%x",
	       (unsigned long long)at, (unsigned int)credit_of(p).tx_cnt,
	       (unsigned int)credit_of(p).peer_fwd_cnt);
	expect_eq(t, credit_of(p).bad_credit, 0, "packets whose fwd_cnt is beyond what was sent");
	pair_close(p);
}

/* A guest that has filled the buffer across the wrap, and does not ask. */
static void told_past(struct test_ctx *t, uint64_t at)
{
	const uint32_t room = 16384, before = room / 2;
	struct pair *p = pair_open(t, .host_buf = room);

	CTL_OK(t, ctl_conn(p->env->ctl, CTL_ADVANCE, p->host, (uint32_t)(at - before), NULL));
	vsock_conn_advance(p->conn, (uint32_t)(at - before));
	host_pauses(p);
	settle(t, p);
	guest_send(p, credit_of(p).peer_free);
	settle(t, p);
	host_reads(p, 0);
	expect(t, pair_waits(p, credit_of(p).peer_free > 0, 1),
	       "a buffer that was full at 0x%llx was read: no credit comes unasked",
	       (unsigned long long)at);
	host_goes_on(p);
	host_expects(p);
	pair_close(p);
}

TEST(credit_wraps,
     .id = "vsock.credit.counters_wrap",
     .clause = "virtio 1.4, 5.10.6.3: tx_cnt and fwd_cnt run freely: they wrap at 2^32, and 2^31 is a number like any other",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_PEER_CREDIT)
{
	struct vsock_env *e = vsock_env_ctl(t);

	if (!ctl_can(e->ctl, CTL_CAP_ADVANCE))
		test_skip(t, "the peer cannot set the counters on");
	goes_on_at(t, 1ull << 31, 10000);
	goes_on_at(t, 1ull << 32, 10000);
	told_past(t, 1ull << 31);
	told_past(t, 1ull << 32);
}
