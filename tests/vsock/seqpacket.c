/* SPDX-License-Identifier: BSD-2-Clause */
/* Seqpackets: messages keep their boundaries, whatever packets they travel in. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/crc32.h"
#include "tests/vsock/env.h"

#define OWNER "vsock device back end (seqpacket)"
#define NEEDS (NEED_VSOCK | NEED_PEER | NEED_SEQPACKET)

static struct vsock_conn *connect_echo(struct test_ctx *t, struct vsock_env *e)
{
	struct vsock_conn *c;
	uint32_t port = 0;
	int ret;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_SEQPACKET, CTL_SVC_ECHO, 0));
	ret = vsock_connect(e->vs, VSOCK_SEQPACKET, any_port(0), host_port(port), CONNECT_NS, &c);
	require(t, ret == 0, "connect: errno %d", -ret);
	return c;
}

TEST(seq_echo, .id = "vsock.seqpacket.echo",
     .clause = "virtio 1.4, 5.10.6: a seqpacket message ends with EOM and comes back whole",
     .owner = OWNER, .needs = NEEDS)
{
	static const size_t sizes[] = { 1, 2, 64, 1000, 4096, 4097, 16000, 40000 };
	struct vsock_env *e = vsock_env_ctl(t);
	struct vsock_conn *c = connect_echo(t, e);
	uint8_t *out = malloc(40000), *in = malloc(40000);
	size_t i, len;
	ssize_t n;

	if (!out || !in)
		test_error(t, "no memory");
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		pattern_fill(out, sizes[i], (uint32_t)i, 0);
		require_eq(t, vsock_send(c, out, sizes[i], IO_NS), sizes[i],
			   "bytes of message %llu", (unsigned long long)i);
		n = vsock_recv_msg(c, in, 40000, IO_NS, &len, NULL);
		require(t, n >= 0, "message %llu did not come back: errno %d",
			(unsigned long long)i, (int)-n);
		expect_eq(t, len, sizes[i], "length of message %llu", (unsigned long long)i);
		expect(t, pattern_check(in, (size_t)n, (uint32_t)i, 0) < 0,
		       "message %llu is damaged", (unsigned long long)i);
	}
	vsock_conn_close(c, IO_NS);
	free(out);
	free(in);
}

TEST(seq_boundaries_to_host, .id = "vsock.seqpacket.boundaries_to_host",
     .clause = "virtio 1.4, 5.10.6: message boundaries are preserved towards the host",
     .owner = OWNER, .needs = NEEDS)
{
	enum {
		COUNT = 20
	};
	struct vsock_env *e = vsock_env_ctl(t);
	uint32_t port = 0, lens = 0;
	uint8_t buf[1000];
	struct ctl_report r;
	struct vsock_conn *c;
	unsigned int i;
	int ret;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_SEQPACKET, CTL_SVC_NONE, 0));
	ret = vsock_connect(e->vs, VSOCK_SEQPACKET, any_port(0), host_port(port), CONNECT_NS, &c);
	require(t, ret == 0, "connect: errno %d", -ret);
	CTL_OK(t, ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_SEQPACKET, 1000, &r));
	for (i = 0; i < COUNT; i++) {
		const uint32_t len = 1 + i * 47;
		const le32 le = cpu_to_le32(len);

		pattern_fill(buf, len, i, 0);
		require_eq(t, vsock_send(c, buf, len, IO_NS), len, "bytes of message %u", i);
		lens = crc32_update(lens, &le, sizeof(le));
	}
	ret = ctl_wait(e->ctl, le32_to_cpu(r.conn), CTL_WAIT_RX_MSGS, COUNT, 2000, &r);
	expect_eq(t, le64_to_cpu(r.rx_msgs), COUNT, "messages that the host received (errno %d)",
		  -ret);
	expect_eq(t, le32_to_cpu(r.rx_msgs_crc), lens, "CRC-32 of their lengths");
	vsock_conn_close(c, IO_NS);
}

TEST(seq_boundaries_from_host, .id = "vsock.seqpacket.boundaries_from_host",
     .clause = "virtio 1.4, 5.10.6: message boundaries are preserved towards the guest",
     .owner = OWNER, .needs = NEEDS)
{
	enum {
		MSG = 1500,
		COUNT = 10
	};
	struct vsock_env *e = vsock_env_ctl(t);
	uint32_t port = 0;
	uint8_t buf[4 * MSG];
	struct ctl_report r;
	struct vsock_conn *c;
	unsigned int i;
	size_t len;
	ssize_t n;
	int ret;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_SEQPACKET, CTL_SVC_NONE, 0));
	ret = vsock_connect(e->vs, VSOCK_SEQPACKET, any_port(0), host_port(port), CONNECT_NS, &c);
	require(t, ret == 0, "connect: errno %d", -ret);
	CTL_OK(t, ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_SEQPACKET, 1000, &r));
	CTL_OK(t, ctl_send(e->ctl, le32_to_cpu(r.conn), 4, MSG * COUNT, MSG, true, &r));
	for (i = 0; i < COUNT; i++) {
		n = vsock_recv_msg(c, buf, sizeof(buf), IO_NS, &len, NULL);
		require(t, n >= 0, "message %u: errno %d", i, (int)-n);
		expect_eq(t, len, MSG, "length of message %u", i);
		expect(t, n != MSG || pattern_check(buf, MSG, 4, (uint64_t)i * MSG) < 0,
		       "message %u is damaged", i);
	}
	vsock_conn_close(c, IO_NS);
}

TEST(seq_beside_stream, .id = "vsock.seqpacket.beside_stream",
     .clause =
	     "virtio 1.4, 5.10.6: streams and seqpackets with equal ports are different connections",
     .owner = OWNER, .needs = NEEDS)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_addr local = { vsock_config(e->vs)->guest[0], 50999 };
	struct vsock_conn *s, *q;
	uint8_t a[100], b[100], in[100];
	uint32_t port = 0;
	int ret;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_ECHO, 0));
	ret = ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_SEQPACKET, CTL_SVC_ECHO, 0);
	if (ret == -EADDRINUSE)
		test_skip(t, "the host's sockets take a port for one type only");
	require(t, ret == 0, "listening: errno %d", -ret);
	ret = vsock_connect(e->vs, VSOCK_STREAM, local, host_port(port), CONNECT_NS, &s);
	require(t, ret == 0, "stream: errno %d", -ret);
	ret = vsock_connect(e->vs, VSOCK_SEQPACKET, local, host_port(port), CONNECT_NS, &q);
	require(t, ret == 0, "seqpacket with the stream's ports: errno %d", -ret);
	pattern_fill(a, sizeof(a), 1, 0);
	pattern_fill(b, sizeof(b), 2, 0);
	vsock_send(s, a, sizeof(a), IO_NS);
	vsock_send(q, b, sizeof(b), IO_NS);
	ret = recv_exact(s, in, sizeof(in), IO_NS);
	expect(t, ret == 0 && memcmp(in, a, sizeof(in)) == 0, "the stream's echo: errno %d", -ret);
	ret = (int)vsock_recv_msg(q, in, sizeof(in), IO_NS, NULL, NULL);
	expect(t, ret == sizeof(in) && memcmp(in, b, sizeof(in)) == 0, "the seqpacket's echo: %d",
	       ret);
	vsock_conn_close(s, IO_NS);
	vsock_conn_close(q, IO_NS);
}
