/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Credit (5.10.6.3): neither side sends more than the other has room for, both say
 * truthfully what they consumed, and a stalled reader does not stop other traffic.
 * A host that ignores the guest's credit overruns its buffers; one that never
 * returns its own stops the stream for good.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/virtqueue.h"
#include "tests/vsock/env.h"

#define OWNER "vsock device back end (credit)"

struct pair {
	struct vsock_conn *c;
	uint32_t conn; /* the peer's number */
};

static struct pair open_pair(struct test_ctx *t, struct vsock_env *e, uint32_t host_buf)
{
	uint32_t port = 0;
	struct ctl_report r;
	struct pair p;
	int ret;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, host_buf));
	ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(0), host_port(port), CONNECT_NS, &p.c);
	require(t, ret == 0, "connect: errno %d", -ret);
	CTL_OK(t, ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_STREAM, 1000, &r));
	p.conn = le32_to_cpu(r.conn);
	return p;
}

TEST(credit_host_respects, .id = "vsock.credit.host_respects",
     .clause =
	     "virtio 1.4, 5.10.6.3.2 MUST: OP_RW only when the peer has sufficient free buffer space",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const uint32_t room = 8192;
	struct vsock_credit k;
	struct ctl_report r;
	uint8_t buf[4096];
	struct pair p;
	size_t got = 0;

	vsock_set_buf(e->vs, room);
	p = open_pair(t, e, 0);
	vsock_conn_hold_credit(p.c, true);
	CTL_OK(t, ctl_send(e->ctl, p.conn, 1, 5 * room, 0, true, &r));
	/* Time enough for a host that does not look at credit to send more. */
	wait_for((vsock_poll(e->vs), vsock_readable(p.c) > room), 20 * MSEC);
	CTL_OK(t, ctl_barrier(e->ctl));
	CTL_OK(t, ctl_barrier(e->ctl));
	vsock_conn_credit(p.c, &k);
	expect_eq(t, k.overruns, 0, "packets beyond buf_alloc %u", (unsigned int)room);
	expect(t, k.rx_cnt <= room, "%u bytes came in for a buffer of %u", (unsigned int)k.rx_cnt,
	       (unsigned int)room);
	expect(t, k.rx_cnt > 0, "nothing came in at all");
	/* With credit given back the rest follows. */
	vsock_conn_hold_credit(p.c, false);
	while (got < 5 * room) {
		const ssize_t n = vsock_recv(p.c, buf, sizeof(buf), IO_NS);

		require(t, n > 0, "the host stopped at %llu of %u bytes: errno %d",
			(unsigned long long)got, 5 * room, (int)-n);
		expect(t, pattern_check(buf, (size_t)n, 1, got) < 0, "damaged near %llu",
		       (unsigned long long)got);
		got += (size_t)n;
	}
	vsock_conn_credit(p.c, &k);
	expect_eq(t, k.overruns, 0, "packets beyond the credit, over the whole transfer");
	vsock_conn_close(p.c, IO_NS);
}

TEST(credit_returned, .id = "vsock.credit.returned",
     .clause = "virtio 1.4, 5.10.6.3.2 MUST: buf_alloc and fwd_cnt are valid in every packet",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER, .timeout = 10 * SEC)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct vsock_conn *c;
	struct vsock_credit k;
	uint8_t buf[16384];
	size_t sent = 0, total;
	ssize_t n;
	int ret;

	ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(0), host_port(ASSAY_SINK_PORT),
			    CONNECT_NS, &c);
	require(t, ret == 0, "connect: errno %d", -ret);
	vsock_conn_credit(c, &k);
	require(t, k.peer_buf_alloc > 0, "the host's buf_alloc is 0");
	/* Three times its buffer: only a host that gives credit back takes it all. */
	total = 3ul * k.peer_buf_alloc;
	if (total > 4u << 20)
		total = 4u << 20;
	memset(buf, 0x5c, sizeof(buf));
	while (sent < total) {
		n = vsock_send(c, buf, sizeof(buf), 2 * SEC);
		vsock_conn_credit(c, &k);
		require(t, n > 0,
			"stuck at %llu of %llu bytes: peer_buf_alloc %u, peer_fwd_cnt %u, sent %u",
			(unsigned long long)sent, (unsigned long long)total,
			(unsigned int)k.peer_buf_alloc, (unsigned int)k.peer_fwd_cnt,
			(unsigned int)k.tx_cnt);
		sent += (size_t)n;
	}
	/* Once it has read all, fwd_cnt is what was sent. */
	vsock_credit_request(c);
	wait_for((vsock_poll(e->vs), vsock_conn_credit(c, &k), k.peer_fwd_cnt >= k.tx_cnt), SEC);
	expect_eq(t, k.bad_credit, 0,
		  "packets whose fwd_cnt goes back or beyond what was sent (last %u of %u)",
		  (unsigned int)k.peer_fwd_cnt, (unsigned int)k.tx_cnt);
	vsock_conn_close(c, IO_NS);
}

TEST(credit_guest_stops, .id = "vsock.credit.full_buffer",
     .clause =
	     "virtio 1.4, 5.10.6.3: a peer that does not read leaves its buffer full, and no more is lost",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER | NEED_PEER_CREDIT)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct pair p = open_pair(t, e, 16384);
	struct vsock_credit k;
	struct ctl_report r;
	uint8_t buf[4096];
	size_t sent = 0;
	ssize_t n;
	int ret;

	CTL_OK(t, ctl_conn(e->ctl, CTL_PAUSE, p.conn, 1, &r));
	vsock_credit_request(p.c);
	vsock_poll(e->vs);
	do {
		pattern_fill(buf, sizeof(buf), 3, sent);
		n = vsock_send(p.c, buf, sizeof(buf), 20 * MSEC);
		sent += n > 0 ? (size_t)n : 0;
	} while (n == sizeof(buf) && sent < (1u << 20));
	vsock_conn_credit(p.c, &k);
	expect(t, sent < (1u << 20), "a paused reader of %u bytes took 1 MiB",
	       (unsigned int)k.peer_buf_alloc);
	CTL_OK(t, ctl_conn(e->ctl, CTL_PAUSE, p.conn, 0, &r));
	ret = ctl_wait(e->ctl, p.conn, CTL_WAIT_RX, sent, 2000, &r);
	expect(t, ret == 0, "the host read %llu of %llu bytes",
	       (unsigned long long)le64_to_cpu(r.rx_bytes), (unsigned long long)sent);
	pattern_fill(buf, sizeof(buf), 3, sent);
	n = vsock_send(p.c, buf, sizeof(buf), IO_NS);
	expect_eq(t, n, sizeof(buf), "bytes sent after the reader went on");
	vsock_conn_close(p.c, IO_NS);
}

TEST(credit_request, .id = "vsock.credit.request_answered",
     .clause = "virtio 1.4, 5.10.6.3: CREDIT_REQUEST is answered by CREDIT_UPDATE", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct pair p = open_pair(t, e, 0);
	struct vsock_credit before, after;

	vsock_conn_credit(p.c, &before);
	vsock_credit_request(p.c);
	wait_for((vsock_poll(e->vs), vsock_conn_credit(p.c, &after),
		  after.updates > before.updates),
		 SEC);
	expect(t, after.updates > before.updates, "no CREDIT_UPDATE in time");
	expect(t, after.peer_buf_alloc > 0, "buf_alloc 0 in the answer");
	vsock_conn_close(p.c, IO_NS);
}

TEST(credit_buf_change, .id = "vsock.credit.buf_change",
     .clause = "virtio 1.4, 5.10.6.3: buf_alloc may change during the life of a connection",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct vsock_credit k;
	struct ctl_report r;
	struct pair p;

	vsock_set_buf(e->vs, 4096);
	p = open_pair(t, e, 0);
	vsock_conn_hold_credit(p.c, true);
	CTL_OK(t, ctl_send(e->ctl, p.conn, 2, 12000, 0, true, &r));
	wait_for((vsock_poll(e->vs), vsock_readable(p.c) >= 4096), SEC);
	expect_eq(t, vsock_readable(p.c), 4096, "bytes for a buffer of 4096");
	vsock_conn_set_buf(p.c, 12000);
	wait_for((vsock_poll(e->vs), vsock_readable(p.c) >= 12000), SEC);
	expect_eq(t, vsock_readable(p.c), 12000, "bytes after it grew to 12000");
	vsock_conn_credit(p.c, &k);
	expect_eq(t, k.overruns, 0, "packets beyond the credit");
	vsock_conn_close(p.c, IO_NS);
}

/*
 * 5.10.6.1.2: with no receive buffer left the device goes on with tx, as far as its resources reach. We
 * keep all rx buffers that come back, and see whether tx buffers are still used.
 */
TEST(credit_tx_while_rx_full, .id = "vsock.credit.tx_while_rx_full",
     .clause =
	     "virtio 1.4, 5.10.6.1.2 MUST: tx is processed while rx has no buffers, given resources",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER, .timeout = 10 * SEC)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct virtio_device *d = vsock_device(e->vs);
	struct vsock_stats before, now;
	struct vsock_conn *src, *sink;
	uint8_t buf[4096] = { 1 };
	ssize_t n;
	int ret;

	vsock_set_buf(e->vs, 256u << 10);
	ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(0), host_port(ASSAY_SINK_PORT),
			    CONNECT_NS, &sink);
	require(t, ret == 0, "connect to the sink: errno %d", -ret);
	ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(0), host_port(ASSAY_SOURCE_PORT),
			    CONNECT_NS, &src);
	require(t, ret == 0, "connect to the source: errno %d", -ret);
	vsock_hold_rx(e->vs, true);
	/* Credit for less than the queue holds, as Linux uses it at most: reading gives it back. */
	if (!wait_for((vsock_poll(e->vs), vsock_recv(src, buf, sizeof(buf), 0),
		       vq_in_flight(d->vq[0]) == 0),
		      4 * SEC))
		test_error(t, "the source does not fill the receive queue: %u buffers are left",
			   vq_in_flight(d->vq[0]));
	n = vsock_send(sink, buf, sizeof(buf), 2 * SEC);
	expect(t, n == (ssize_t)sizeof(buf), "send while rx was full: errno %d", (int)-n);
	expect(t, wait_for((vsock_poll(e->vs), vq_in_flight(d->vq[1]) == 0), 2 * SEC),
	       "%u tx buffers are not used while rx has no buffer", vq_in_flight(d->vq[1]));
	vsock_stats(e->vs, &before);
	vsock_hold_rx(e->vs, false);
	/* What was not read yet may be all that the source has credit for. */
	wait_for((vsock_poll(e->vs), vsock_recv(src, buf, sizeof(buf), 0), vsock_stats(e->vs, &now),
		  now.rx_packets > before.rx_packets),
		 2 * SEC);
	expect(t, now.rx_packets > before.rx_packets,
	       "nothing comes in after rx got buffers again");
	vsock_conn_close(src, 0);
	vsock_conn_close(sink, IO_NS);
}
