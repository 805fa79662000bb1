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

TEST(credit_host_respects,
     .id = "vsock.credit.host_respects",
     .clause = "virtio 1.4, 5.10.6.3.2 MUST: OP_RW only when the peer has sufficient free buffer space",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	const uint32_t room = 8192;
	struct pair *p = pair_open(t, .guest_buf = room);

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
	/* With credit given back the rest follows. */
	vsock_conn_hold_credit(p->conn, false);
	guest_expects(p, 5 * room);
	expect_eq(t, credit_of(p).overruns, 0,
		  "packets beyond the credit, over the whole transfer");
	pair_close(p);
}

#define ASK_NS (20 * MSEC)
#define MANY   (4u << 20) /* a larger buffer is not filled: that takes too long */

/*
 * The host has read all that was sent, and its fwd_cnt says so: asked again and again, since it may
 * not have yet.
 */
static bool all_returned(struct pair *p)
{
	const deadline_t end = deadline_in(2 * test_sec());

	do {
		vsock_credit_request(p->conn);
		wait_for((vsock_poll(p->env->vs), credit_of(p).peer_fwd_cnt == credit_of(p).tx_cnt),
			 ASK_NS);
	} while (credit_of(p).peer_fwd_cnt != credit_of(p).tx_cnt && !deadline_passed(end));
	return credit_of(p).peer_fwd_cnt == credit_of(p).tx_cnt;
}

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

static uint64_t packets_received(struct pair *p)
{
	struct vsock_stats s;

	vsock_stats(p->env->vs, &s);
	return s.rx_packets;
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
	before = packets_received(source);
	vsock_hold_rx(sink->env->vs, false);
	/* What was not read yet may be all that the source has credit for. */
	expect(t, pair_waits(source, (read_some(source), packets_received(source) > before), 2),
	       "nothing comes in after rx got buffers again");
	pair_drop(source);
	pair_close(sink);
}
