/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams: connect and refuse, data of every size unchanged and in order, both
 * directions closed one at a time, resets, many connections at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/virtqueue.h"
#include "tests/support/crc32.h"
#include "tests/vsock/env.h"

#define OWNER "vsock device back end"

static struct vsock_conn *connect_to(struct test_ctx *t, struct vsock_env *e, uint32_t port)
{
	struct vsock_conn *c;
	const int ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(0), host_port(port), CONNECT_NS,
				      &c);

	require(t, ret == 0, "connect to host port %u: errno %d", (unsigned int)port, -ret);
	return c;
}

TEST(stream_connect, .id = "vsock.stream.connect",
     .clause = "virtio 1.4, 5.10.6.5: REQUEST to a listener is answered by RESPONSE",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct vsock_conn *c = connect_to(t, e, ASSAY_ECHO_PORT);
	struct vsock_credit k;

	vsock_conn_credit(c, &k);
	expect(t, k.peer_buf_alloc > 0, "RESPONSE carries buf_alloc 0: nothing could ever be sent");
	expect_eq(t, k.peer_fwd_cnt, 0, "fwd_cnt of RESPONSE");
	expect_eq(t, vsock_conn_close(c, IO_NS), 0,
		  "orderly close: SHUTDOWN of both is answered by RST");
}

TEST(stream_refused, .id = "vsock.stream.refused",
     .clause = "virtio 1.4, 5.10.6.5: REQUEST where nobody listens is answered by RST",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct vsock_conn *c;
	const int ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(0), host_port(64999),
				      CONNECT_NS, &c);

	expect(t, ret == -ECONNREFUSED, "connect to a closed port: errno %d instead of a refusal",
	       -ret);
}

/* Sends n bytes and takes the echo at the same time: more than fits into buffers on the way. */
static void echo(struct test_ctx *t, struct vsock_conn *c, uint8_t *buf, size_t n, uint32_t seed)
{
	uint8_t in[4096];
	size_t sent = 0, got = 0;
	deadline_t end = deadline_in(IO_NS);
	uint32_t crc_out, crc_in = 0;

	pattern_fill(buf, n, seed, 0);
	crc_out = crc32_update(0, buf, n);
	while (got < n && !deadline_passed(end)) {
		if (sent < n && sent - got < 32768) {
			const size_t k = n - sent < 24001 ? n - sent : 24001;
			const ssize_t s = vsock_send(c, buf + sent, k, IO_NS);

			require(t, s > 0, "send at %llu of %llu: errno %d",
				(unsigned long long)sent, (unsigned long long)n, (int)-s);
			sent += (size_t)s;
			continue;
		}
		{
			const ssize_t r = vsock_recv(c, in, sizeof(in), IO_NS);

			require(t, r > 0, "receive at %llu of %llu: %s %d", (unsigned long long)got,
				(unsigned long long)n, r ? "errno" : "end of data", (int)-r);
			crc_in = crc32_update(crc_in, in, (size_t)r);
			if (memcmp(in, buf + got, (size_t)r) != 0)
				test_note(t, "the echo differs from offset %lld on",
					  (long long)pattern_check(in, (size_t)r, seed, got));
			got += (size_t)r;
			end = deadline_in(IO_NS);
		}
	}
	expect_eq(t, got, n, "bytes that came back");
	expect_eq(t, crc_in, crc_out, "CRC-32 of %llu bytes that came back", (unsigned long long)n);
}

TEST(stream_echo, .id = "vsock.stream.echo",
     .clause = "virtio 1.4, 5.10.6: a stream is reliable and keeps its order", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER, .timeout = 20 * SEC)
{
	static const size_t sizes[] = { 1,     2,     3,     63,    64,	    65,
					1000,  4051,  4052,  4096,  4097,   16384,
					65535, 65536, 65537, 99991, 262144, 1048576 };
	struct vsock_env *e = vsock_env_ctl(t);
	uint8_t *buf = malloc(1048576);
	struct vsock_conn *c = connect_to(t, e, ASSAY_ECHO_PORT);
	size_t i;

	if (!buf)
		test_skip(t, "needs 1 MiB of heap");
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		echo(t, c, buf, sizes[i], (uint32_t)i);
	vsock_conn_close(c, IO_NS);
	free(buf);
}

TEST(stream_from_host, .id = "vsock.stream.from_host",
     .clause = "virtio 1.4, 5.10.6: a stream is reliable and keeps its order", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	enum {
		TOTAL = 200001
	};
	struct vsock_env *e = vsock_env_ctl(t);
	struct vsock_conn *c = connect_to(t, e, ASSAY_SOURCE_PORT);
	const uint32_t local = vsock_conn_local(c).port;
	uint8_t buf[3001];
	size_t got = 0;

	/* The source's seed is our port as it sees it; without addresses it is 0. */
	while (got < TOTAL) {
		const ssize_t n = vsock_recv(c, buf, sizeof(buf), IO_NS);

		require(t, n > 0, "receive at %llu: errno %d", (unsigned long long)got, (int)-n);
		if (pattern_check(buf, (size_t)n, local, got) >= 0 &&
		    pattern_check(buf, (size_t)n, 0, got) >= 0) {
			expect(t, false, "damaged at offset %lld",
			       (long long)pattern_check(buf, (size_t)n, local, got));
			break;
		}
		got += (size_t)n;
	}
	expect(t, got >= TOTAL, "%llu of %d bytes were right", (unsigned long long)got, TOTAL);
	vsock_conn_close(c, 0);
}

TEST(stream_to_host, .id = "vsock.stream.to_host",
     .clause = "virtio 1.4, 5.10.6: a stream is reliable and keeps its order", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	enum {
		TOTAL = 300007
	};
	struct vsock_env *e = vsock_env_ctl(t);
	uint32_t port = 0, crc = 0;
	uint8_t buf[5003];
	struct ctl_report r;
	struct vsock_conn *c;
	size_t sent = 0;
	int ret;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	c = connect_to(t, e, port);
	CTL_OK(t, ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_STREAM, 1000, &r));
	while (sent < TOTAL) {
		const size_t n = TOTAL - sent < sizeof(buf) ? TOTAL - sent : sizeof(buf);

		pattern_fill(buf, n, 77, sent);
		crc = crc32_update(crc, buf, n);
		require_eq(t, vsock_send(c, buf, n, IO_NS), n, "bytes sent at %llu",
			   (unsigned long long)sent);
		sent += n;
	}
	/* Too few bytes are told below. */
	ret = ctl_wait(e->ctl, le32_to_cpu(r.conn), CTL_WAIT_RX, TOTAL, 2000, &r);
	if (ret)
		CTL_OK(t, ctl_find(e->ctl, c, VSOCK_STREAM, &r));
	expect_eq(t, le64_to_cpu(r.rx_bytes), TOTAL, "bytes that the host received");
	expect_eq(t, le32_to_cpu(r.rx_crc), crc, "CRC-32 of what the host received");
	vsock_conn_close(c, IO_NS);
}

static void many(struct test_ctx *t, struct vsock_env *e, unsigned int n)
{
	struct vsock_conn **c = calloc(n, sizeof(struct vsock_conn *));
	unsigned int i, up = 0;
	uint8_t out[16], in[16];
	int ret;

	if (!c)
		test_error(t, "no memory");
	for (i = 0; i < n; i++) {
		ret = vsock_connect_start(e->vs, VSOCK_STREAM, any_port(0),
					  host_port(ASSAY_ECHO_PORT), &c[i]);
		if (ret)
			test_error(t, "connection %u: errno %d", i, -ret);
	}
	for (i = 0; i < n; i++) {
		wait_for((vsock_poll(e->vs), vsock_conn_state(c[i]) != VSOCK_CONNECTING), 2 * SEC);
		up += vsock_conn_state(c[i]) == VSOCK_ESTABLISHED;
	}
	require_eq(t, up, n, "connections that came up at once");
	for (i = 0; i < n; i++) {
		pattern_fill(out, sizeof(out), i, 0);
		ret = (int)vsock_send(c[i], out, sizeof(out), IO_NS);
		require(t, ret == sizeof(out), "send on connection %u: errno %d", i, -ret);
	}
	for (i = 0; i < n; i++) {
		ret = recv_exact(c[i], in, sizeof(in), IO_NS);
		require(t, ret == 0 && pattern_check(in, sizeof(in), i, 0) < 0,
			"echo on connection %u: errno %d or foreign data", i, -ret);
	}
	for (i = 0; i < n; i++)
		vsock_conn_close(c[i], 0);
	free(c);
}

TEST(stream_hundred, .id = "vsock.stream.hundred",
     .clause = "virtio 1.4, 5.10.6: connections are told apart by both addresses and ports",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER)
{
	many(t, vsock_env_ctl(t), 100);
}

TEST(stream_thousand, .id = "vsock.stream.thousand",
     .clause = "virtio 1.4, 5.10.6: connections are told apart by both addresses and ports",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL, .timeout = 15 * SEC)
{
	many(t, vsock_env_ctl(t), 1024);
}

TEST(stream_guest_half_close, .id = "vsock.stream.guest_half_close",
     .clause = "virtio 1.4, 5.10.6.5: SHUTDOWN of sending ends one direction only", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_HALF_CLOSE)
{
	struct vsock_env *e = vsock_env_ctl(t);
	uint32_t port = 0;
	uint8_t buf[600];
	struct ctl_report r;
	struct vsock_conn *c;
	int ret;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	c = connect_to(t, e, port);
	CTL_OK(t, ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_STREAM, 1000, &r));
	pattern_fill(buf, 100, 5, 0);
	expect_eq(t, vsock_send(c, buf, 100, IO_NS), 100, "bytes sent before the end");
	vsock_shutdown(c, VSOCK_SHUTDOWN_SEND);
	ret = ctl_wait(e->ctl, le32_to_cpu(r.conn), CTL_WAIT_FLAGS, CTL_CONN_GUEST_SHUT_SEND, 1000,
		       &r);
	expect(t, ret == 0, "the host does not see the guest's end of data: errno %d", -ret);
	expect_eq(t, le64_to_cpu(r.rx_bytes), 100, "bytes before the end of data");
	ret = ctl_send(e->ctl, le32_to_cpu(r.conn), 6, sizeof(buf), 0, true, &r);
	expect(t, ret == 0, "the host can no longer send: errno %d", -ret);
	ret = recv_exact(c, buf, sizeof(buf), IO_NS);
	expect(t, ret == 0 && pattern_check(buf, sizeof(buf), 6, 0) < 0,
	       "data after our end of data: errno %d", -ret);
	vsock_conn_close(c, IO_NS);
}

TEST(stream_stops_receiving, .id = "vsock.stream.guest_stops_receiving",
     .clause = "virtio 1.4, 5.10.6.5: no data comes after SHUTDOWN of receiving; the other direction goes on",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER | NEED_HALF_CLOSE)
{
	struct vsock_env *e = vsock_env_ctl(t);
	uint32_t port = 0;
	uint8_t buf[100] = { 1 };
	struct vsock_credit k;
	struct ctl_report r;
	struct vsock_conn *c;
	int ret;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	c = connect_to(t, e, port);
	CTL_OK(t, ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_STREAM, 1000, &r));
	vsock_shutdown(c, VSOCK_SHUTDOWN_RCV);
	CTL_OK(t, ctl_barrier(e->ctl));
	/* An error of the host's socket, or bytes that it swallows: either is fine. */
	ret = ctl_send(e->ctl, le32_to_cpu(r.conn), 6, 600, 0, true, &r);
	test_note(t, "the host's send: errno %d", -ret);
	CTL_OK(t, ctl_barrier(e->ctl));
	vsock_conn_credit(c, &k);
	expect_eq(t, k.rx_cnt, 0, "bytes that came after SHUTDOWN of receiving");
	expect_eq(t, vsock_send(c, buf, sizeof(buf), IO_NS), sizeof(buf), "bytes sent afterwards");
	CTL_OK(t, ctl_find(e->ctl, c, VSOCK_STREAM, &r));
	ret = ctl_wait(e->ctl, le32_to_cpu(r.conn), CTL_WAIT_RX, sizeof(buf), 1000, &r);
	expect(t, ret == 0, "the host does not get what is sent afterwards: errno %d", -ret);
	vsock_conn_close(c, IO_NS);
}

TEST(stream_host_half_close, .id = "vsock.stream.host_half_close",
     .clause = "virtio 1.4, 5.10.6.5: SHUTDOWN of sending ends one direction only", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_HALF_CLOSE)
{
	struct vsock_env *e = vsock_env_ctl(t);
	uint32_t port = 0;
	struct ctl_report r;
	struct vsock_conn *c;
	uint8_t buf[200];
	ssize_t n;
	int ret;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	c = connect_to(t, e, port);
	CTL_OK(t, ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_STREAM, 1000, &r));
	CTL_OK(t, ctl_conn(e->ctl, CTL_SHUTDOWN, le32_to_cpu(r.conn), VSOCK_SHUTDOWN_SEND, &r));
	n = vsock_recv(c, buf, sizeof(buf), IO_NS);
	expect(t, n == 0, "end of data from the host: got %d", (int)n);
	expect_eq(t, vsock_peer_shutdown(c), VSOCK_SHUTDOWN_SEND,
		  "directions that the host shut down");
	pattern_fill(buf, sizeof(buf), 8, 0);
	expect_eq(t, vsock_send(c, buf, sizeof(buf), IO_NS), sizeof(buf), "bytes sent afterwards");
	ret = ctl_wait(e->ctl, le32_to_cpu(r.conn), CTL_WAIT_RX, sizeof(buf), 1000, &r);
	expect(t, ret == 0, "the host got %llu of %d bytes sent after its end of data",
	       (unsigned long long)le64_to_cpu(r.rx_bytes), (int)sizeof(buf));
	vsock_conn_close(c, IO_NS);
}

TEST(stream_guest_reset, .id = "vsock.stream.guest_reset",
     .clause = "virtio 1.4, 5.10.6.5: RST ends the connection at once", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	struct vsock_env *e = vsock_env_ctl(t);
	uint32_t port = 0;
	struct ctl_report r;
	struct vsock_conn *c;
	int ret;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	c = connect_to(t, e, port);
	CTL_OK(t, ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_STREAM, 1000, &r));
	vsock_strays_clear(e->vs);
	vsock_reset(c);
	ret = ctl_wait(e->ctl, le32_to_cpu(r.conn), CTL_WAIT_FLAGS, CTL_CONN_CLOSED, 1000, &r);
	expect(t, ret == 0, "the host's end is still open after RST: flags 0x%x",
	       (unsigned int)le32_to_cpu(r.flags));
	vsock_conn_close(c, 0);
}

TEST(stream_host_reset, .id = "vsock.stream.host_reset",
     .clause = "virtio 1.4, 5.10.6.5: RST ends the connection at once", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_PEER_RESET)
{
	struct vsock_env *e = vsock_env_ctl(t);
	uint32_t port = 0;
	struct ctl_report r;
	struct vsock_conn *c;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	c = connect_to(t, e, port);
	CTL_OK(t, ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_STREAM, 1000, &r));
	CTL_OK(t, ctl_conn(e->ctl, CTL_RESET, le32_to_cpu(r.conn), 0, &r));
	wait_for((vsock_poll(e->vs), vsock_conn_state(c) > VSOCK_CLOSING), SEC);
	expect_eq(t, vsock_conn_state(c), VSOCK_RESET, "state after the host's reset");
	vsock_conn_close(c, 0);
}

/* The op of what came in as an answer to this header, -1: nothing so far. */
static int stray_op(struct vsock_env *e, const struct vsock_hdr *h)
{
	struct vsock_stray s[16];
	const unsigned int n = vsock_strays(e->vs, s, 16);
	unsigned int i;

	for (i = 0; i < n; i++)
		if (s[i].hdr.dst_port == h->src_port && s[i].hdr.src_port == h->dst_port)
			return le16_to_cpu(s[i].hdr.op);
	return -1;
}

/* Sends one header and returns the op of the answer to its source port, -1: none within 1 s. */
static int answer_op(struct vsock_env *e, const struct vsock_hdr *h)
{
	vsock_strays_clear(e->vs);
	vsock_send_raw(e->vs, h, NULL, 0);
	wait_for((vsock_poll(e->vs), stray_op(e, h) >= 0), SEC);
	return stray_op(e, h);
}

static struct vsock_hdr raw_header(struct vsock_env *e, uint16_t type, uint16_t op)
{
	return (struct vsock_hdr){
		.src_cid = cpu_to_le64(vsock_config(e->vs)->guest[0]),
		.dst_cid = cpu_to_le64(VSOCK_CID_HOST),
		.src_port = cpu_to_le32(51234),
		.dst_port = cpu_to_le32(ASSAY_ECHO_PORT),
		.type = cpu_to_le16(type),
		.op = cpu_to_le16(op),
		.buf_alloc = cpu_to_le32(65536),
	};
}

TEST(stream_unknown_type, .id = "vsock.stream.unknown_type",
     .clause = "virtio 1.4, 5.10.6.4.2 MUST: an unknown type value is answered with RST",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER)
{
	static const uint16_t types[] = { 0, 3, 17, 0xffff };
	struct vsock_env *e = vsock_env_ctl(t);
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const struct vsock_hdr h = raw_header(e, types[i], VSOCK_OP_REQUEST);

		expect_eq(t, answer_op(e, &h), VSOCK_OP_RST, "answer to a request of type %u",
			  (unsigned int)types[i]);
	}
}

TEST(stream_no_connection, .id = "vsock.stream.data_without_connection",
     .clause = "Linux virtio_transport_reset_no_sock(): RST for a packet of no connection (noted; virtio 1.4 demands no answer), never for an RST",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct vsock_hdr h = raw_header(e, VSOCK_STREAM, VSOCK_OP_RW);
	const int op = answer_op(e, &h);

	if (op < 0)
		test_note(t, "data without a connection is not answered");
	else
		expect_eq(t, op, VSOCK_OP_RST, "answer to data without a connection");
	h.op = cpu_to_le16(VSOCK_OP_RST);
	h.src_port = cpu_to_le32(51235);
	vsock_strays_clear(e->vs);
	vsock_send_raw(e->vs, &h, NULL, 0);
	/* The barrier's packets go the same way, behind it: what would come has come. */
	CTL_OK(t, ctl_barrier(e->ctl));
	expect_eq(t, stray_op(e, &h), -1, "answer to an RST");
}

/* 2.7.4.1: the device must not care how a packet is split over descriptors. */
TEST(stream_framing, .id = "vsock.stream.framing",
     .clause = "virtio 1.4, 2.7.4.1 MUST NOT: assume an arrangement of descriptors", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	static const uint32_t cuts[] = { 44, 43, 20, 1, 48 };
	struct vsock_env *e = vsock_env_ctl(t);
	struct virtqueue *tx = vsock_device(e->vs)->vq[1];
	struct vsock_conn *c;
	uint8_t packet[44 + 64], in[64];
	size_t i;
	int ret;

	for (i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		struct vsock_hdr h;
		struct vsock_addr l;
		struct vq_seg seg[3];

		c = connect_to(t, e, ASSAY_ECHO_PORT);
		l = vsock_conn_local(c);
		h = raw_header(e, VSOCK_STREAM, VSOCK_OP_RW);
		h.src_port = cpu_to_le32(l.port);
		h.len = cpu_to_le32(64);
		memcpy(packet, &h, sizeof(h));
		pattern_fill(packet + 44, 64, (uint32_t)i, 0);
		seg[0] = (struct vq_seg){ packet, cuts[i] };
		seg[1] = (struct vq_seg){ packet + cuts[i], 30 };
		seg[2] = (struct vq_seg){ packet + cuts[i] + 30, 44 + 64 - cuts[i] - 30 };
		wait_for((vsock_poll(e->vs), vq_in_flight(tx) == 0), SEC);
		vsock_raw_begin(e->vs);
		ret = vq_add(tx, seg, 3, NULL, 0, packet);
		if (ret)
			test_error(t, "add: errno %d", -ret);
		vq_kick(tx);
		expect(t, vsock_raw_end(e->vs, packet, IO_NS) == 0,
		       "a packet split at %u was not used", (unsigned int)cuts[i]);
		ret = recv_exact(c, in, sizeof(in), IO_NS);
		expect(t, ret == 0 && pattern_check(in, sizeof(in), (uint32_t)i, 0) < 0,
		       "echo of a packet split at %u: errno %d", (unsigned int)cuts[i], -ret);
		vsock_conn_close(c, 0);
	}
}
