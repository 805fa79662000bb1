/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every CID that a device lists is an address of the guest of its own: connections
 * go out from each, come in on each, and stay apart. Hosts break this by checking
 * only the first CID (patch 1 of the 2021 series does), by looking connections up
 * without the local CID, or by answering from an address that was not asked.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/vsock/env.h"

#define OWNER	  "vsock device back end"
#define ACCEPT_MS 5 /* for a peer that learns of connections through a socket */

static uint64_t unlisted_cid(const struct vsock_config *cfg)
{
	uint64_t cid = 0x7ffffff0;
	uint32_t i;

	for (i = 0; i < cfg->num_guest; i++)
		if (cfg->guest[i] == cid)
			cid--;
	return cid;
}

TEST(cids_connect_each, .id = "vsock.cids.connect_each",
     .clause = "multi-cid P2: any listed source CID is accepted", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	static const char hello[] = "each CID";
	char back[sizeof(hello)];
	struct vsock_conn *c;
	uint32_t i;
	int ret;

	for (i = 0; i < cfg->num_guest; i++) {
		ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(cfg->guest[i]),
				    host_port(ASSAY_ECHO_PORT), CONNECT_NS, &c);
		expect(t, ret == 0, "connect from CID %llu: errno %d",
		       (unsigned long long)cfg->guest[i], -ret);
		if (ret)
			continue;
		expect_eq(t, vsock_send(c, hello, sizeof(hello), IO_NS), sizeof(hello),
			  "bytes sent from CID %llu", (unsigned long long)cfg->guest[i]);
		ret = recv_exact(c, back, sizeof(back), IO_NS);
		expect(t, ret == 0 && memcmp(back, hello, sizeof(hello)) == 0,
		       "echo to CID %llu: errno %d", (unsigned long long)cfg->guest[i], -ret);
		vsock_conn_close(c, IO_NS);
	}
}

TEST(cids_source_seen, .id = "vsock.cids.source_seen",
     .clause = "multi-cid P2: the host sees the source CID that the guest chose", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_GUEST_ADDRS)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	struct ctl_report r;
	struct vsock_conn *c;
	uint32_t i, port = 0;
	int ret;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	for (i = 0; i < cfg->num_guest; i++) {
		ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(cfg->guest[i]), host_port(port),
				    CONNECT_NS, &c);
		expect(t, ret == 0, "connect from CID %llu: errno %d",
		       (unsigned long long)cfg->guest[i], -ret);
		if (ret)
			continue;
		CTL_OK(t, ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_STREAM, 1000, &r));
		expect_eq(t, le64_to_cpu(r.guest.cid), cfg->guest[i],
			  "source CID that the host saw");
		expect_eq(t, le32_to_cpu(r.guest.port), vsock_conn_local(c).port,
			  "source port that the host saw");
		vsock_conn_close(c, IO_NS);
	}
}

TEST(cids_default_source, .id = "vsock.cids.default_source",
     .clause = "multi-cid P2: a client that chooses no CID uses cids[0]; virtio 1.4, 5.10.6.4.1",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER | NEED_GUEST_ADDRS)
{
	struct vsock_env *e = vsock_env_ctl(t);
	uint32_t port = 0;
	struct ctl_report r;
	struct vsock_conn *c;
	int ret;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(0), host_port(port), CONNECT_NS, &c);
	require(t, ret == 0, "connect: errno %d", -ret);
	CTL_OK(t, ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_STREAM, 1000, &r));
	expect_eq(t, le64_to_cpu(r.guest.cid), vsock_config(e->vs)->guest[0],
		  "source CID that the host saw");
	vsock_conn_close(c, IO_NS);
}

#define SERVER_PORT 7001

TEST(cids_host_connects_each, .id = "vsock.cids.host_connects_each",
     .clause = "multi-cid P1: the host reaches the guest at each listed CID", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_HOST_CONNECT | NEED_GUEST_ADDRS)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	struct vsock_listener *l;
	struct ctl_report r;
	struct vsock_conn *c;
	uint8_t buf[1000];
	uint32_t i;
	int ret;

	ret = vsock_listen(e->vs, VSOCK_STREAM, (struct vsock_addr){ VSOCK_CID_ANY, SERVER_PORT },
			   4, &l);
	if (ret)
		test_error(t, "listen: errno %d", -ret);
	for (i = 0; i < cfg->num_guest; i++) {
		const struct vsock_addr to = { cfg->guest[i], SERVER_PORT };

		ret = ctl_connect(e->ctl, ASSAY_CID_ANY, to, VSOCK_STREAM, CTL_SVC_NONE, 1000, &r);
		expect(t, ret == 0, "the host's connect to CID %llu: errno %d",
		       (unsigned long long)to.cid, -ret);
		if (ret)
			continue;
		ret = vsock_accept(l, IO_NS, &c);
		require(t, ret == 0, "no connection came in on CID %llu",
			(unsigned long long)to.cid);
		expect_eq(t, vsock_conn_local(c).cid, to.cid, "CID that the connection came in on");
		expect_eq(t, vsock_conn_remote(c).cid, VSOCK_CID_HOST, "source CID of the host");
		CTL_OK(t, ctl_send(e->ctl, le32_to_cpu(r.conn), i, sizeof(buf), 0, true, &r));
		ret = recv_exact(c, buf, sizeof(buf), IO_NS);
		expect(t, ret == 0, "data to CID %llu: errno %d", (unsigned long long)to.cid, -ret);
		expect(t, ret || pattern_check(buf, sizeof(buf), i, 0) < 0,
		       "data to CID %llu is damaged", (unsigned long long)to.cid);
		vsock_conn_close(c, IO_NS);
	}
	vsock_unlisten(l);
}

TEST(cids_host_connects, .id = "vsock.cids.host_connects",
     .clause = "virtio 1.4, 5.10.6: the host connects to a listening port of the guest",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER | NEED_HOST_CONNECT)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_addr at = { vsock_config(e->vs)->guest[0], SERVER_PORT };
	struct vsock_listener *l;
	struct ctl_report r;
	struct vsock_conn *c;
	uint8_t buf[777];
	int ret;

	ret = vsock_listen(e->vs, VSOCK_STREAM, at, 4, &l);
	if (ret)
		test_error(t, "listen: errno %d", -ret);
	ret = ctl_connect(e->ctl, ASSAY_CID_ANY, at, VSOCK_STREAM, CTL_SVC_NONE, 1000, &r);
	require(t, ret == 0, "the host's connect: errno %d", -ret);
	require(t, vsock_accept(l, IO_NS, &c) == 0, "no connection came in");
	CTL_OK(t, ctl_send(e->ctl, le32_to_cpu(r.conn), 9, sizeof(buf), 0, true, &r));
	ret = recv_exact(c, buf, sizeof(buf), IO_NS);
	expect(t, ret == 0, "receive: errno %d", -ret);
	expect(t, ret || pattern_check(buf, sizeof(buf), 9, 0) < 0, "the data is damaged");
	vsock_conn_close(c, IO_NS);
}

TEST(cids_bound_listener, .id = "vsock.cids.bound_listener",
     .clause = "multi-cid P2: a server bound to one CID is reached there only; bound to ANY, on all",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_MULTI_CID | NEED_HOST_CONNECT | NEED_GUEST_ADDRS)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	const struct vsock_addr at = { cfg->guest[cfg->num_guest - 1], SERVER_PORT };
	struct vsock_listener *l;
	struct vsock_conn *c;
	struct ctl_report r;
	uint32_t i;
	int ret;

	ret = vsock_listen(e->vs, VSOCK_STREAM, at, 4, &l);
	if (ret)
		test_error(t, "listen: errno %d", -ret);
	for (i = 0; i < cfg->num_guest; i++) {
		const struct vsock_addr to = { cfg->guest[i], SERVER_PORT };

		ret = ctl_connect(e->ctl, ASSAY_CID_ANY, to, VSOCK_STREAM, CTL_SVC_NONE, 1000, &r);
		if (to.cid == at.cid)
			expect(t, ret == 0, "connect to the bound CID %llu: errno %d",
			       (unsigned long long)to.cid, -ret);
		else
			expect(t, ret == -ECONNREFUSED || ret == -ECONNRESET,
			       "connect to CID %llu, not bound: errno %d instead of a refusal",
			       (unsigned long long)to.cid, -ret);
	}
	require(t, vsock_accept(l, IO_NS, &c) == 0, "nothing to accept on the bound CID");
	expect_eq(t, vsock_conn_local(c).cid, at.cid, "CID that the connection came in on");
	vsock_conn_close(c, IO_NS);
	vsock_unlisten(l);
}

/* Two connections with the same ports and peer, from two CIDs. */
TEST(cids_stay_apart, .id = "vsock.cids.stay_apart",
     .clause = "multi-cid P2: connections are told apart by the full local address", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_MULTI_CID)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	struct vsock_conn *c[2];
	uint8_t out[2][512], in[512];
	unsigned int i;
	int ret;

	for (i = 0; i < 2; i++) {
		const struct vsock_addr local = { cfg->guest[i], 50007 };

		ret = vsock_connect(e->vs, VSOCK_STREAM, local, host_port(ASSAY_ECHO_PORT),
				    CONNECT_NS, &c[i]);
		require(t, ret == 0, "connection %u from CID %llu port 50007: errno %d", i,
			(unsigned long long)cfg->guest[i], -ret);
		pattern_fill(out[i], sizeof(out[i]), 100 + i, 0);
	}
	for (i = 0; i < 2; i++)
		expect_eq(t, vsock_send(c[i], out[i], sizeof(out[i]), IO_NS), sizeof(out[i]),
			  "bytes sent on connection %u", i);
	for (i = 0; i < 2; i++) {
		ret = recv_exact(c[i], in, sizeof(in), IO_NS);
		expect(t, ret == 0, "echo on connection %u: errno %d", i, -ret);
		expect(t, ret || memcmp(in, out[i], sizeof(in)) == 0,
		       "connection %u got what was sent on another", i);
	}
	expect(t, vsock_readable(c[0]) == 0 && vsock_readable(c[1]) == 0, "bytes beyond the echo");
	/* Closing one leaves the other. */
	vsock_reset(c[0]);
	expect_eq(t, vsock_send(c[1], out[1], sizeof(out[1]), IO_NS), sizeof(out[1]),
		  "bytes sent after the other was reset");
	ret = recv_exact(c[1], in, sizeof(in), IO_NS);
	expect(t, ret == 0 && memcmp(in, out[1], sizeof(in)) == 0,
	       "echo after the other was reset: errno %d", -ret);
	vsock_conn_close(c[0], 0);
	vsock_conn_close(c[1], IO_NS);
}

/*
 * A REQUEST with forged addresses: whether anything (RESPONSE, data) came back or the host's listener got a
 * connection. The control connection's packets follow it through the same queues: once they were answered,
 * so would it have been.
 */
static bool answered(struct test_ctx *t, struct vsock_env *e, uint64_t src, uint64_t dst,
		     uint32_t port)
{
	const struct vsock_hdr h = {
		.src_cid = cpu_to_le64(src),
		.dst_cid = cpu_to_le64(dst),
		.src_port = cpu_to_le32(50555),
		.dst_port = cpu_to_le32(port),
		.type = cpu_to_le16(VSOCK_STREAM),
		.op = cpu_to_le16(VSOCK_OP_REQUEST),
		.buf_alloc = cpu_to_le32(65536),
	};
	struct vsock_stray s[16];
	struct ctl_report r;
	unsigned int n, i;
	int ret;

	vsock_strays_clear(e->vs);
	vsock_send_raw(e->vs, &h, NULL, 0);
	ret = ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_STREAM, ACCEPT_MS, &r);
	if (ret && ret != -ETIMEDOUT)
		test_error(t, "control: accept: errno %d", -ret);
	CTL_OK(t, ctl_barrier(e->ctl));
	n = vsock_strays(e->vs, s, 16);
	for (i = 0; i < n; i++)
		if (le32_to_cpu(s[i].hdr.dst_port) == 50555 &&
		    le16_to_cpu(s[i].hdr.op) != VSOCK_OP_RST)
			return true;
	return ret == 0;
}

TEST(cids_unlisted_dropped, .id = "vsock.cids.unlisted_dropped",
     .clause = "multi-cid P1: packets from a CID that is not listed are dropped", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const uint64_t bad = unlisted_cid(vsock_config(e->vs));
	uint32_t port = 0;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	expect(t, !answered(t, e, bad, VSOCK_CID_HOST, port),
	       "a request from CID %llu was accepted", (unsigned long long)bad);
}

TEST(cids_ungranted_host_cid, .id = "vsock.cids.ungranted_host_cid",
     .clause = "multi-cid P4: packets to a host CID that is neither 2 nor listed are dropped",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER)
{
	struct vsock_env *e = vsock_env_ctl(t);
	uint32_t port = 0;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	expect(t, !answered(t, e, vsock_config(e->vs)->guest[0], 0x7ffffe00, port),
	       "a request to host CID 0x7ffffe00 was accepted");
}

TEST(cids_host_cids, .id = "vsock.cids.host_cids",
     .clause = "multi-cid P4: the guest reaches each listed host CID", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_HOST_CIDS)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	uint8_t out[300], in[300];
	struct vsock_conn *c;
	uint32_t i;
	int ret;

	for (i = 0; i < cfg->num_host; i++) {
		const struct vsock_addr to = { cfg->host[i], ASSAY_ECHO_PORT };

		ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(0), to, CONNECT_NS, &c);
		expect(t, ret == 0, "connect to host CID %llu: errno %d",
		       (unsigned long long)to.cid, -ret);
		if (ret)
			continue;
		pattern_fill(out, sizeof(out), i, 0);
		expect_eq(t, vsock_send(c, out, sizeof(out), IO_NS), sizeof(out), "bytes sent");
		ret = recv_exact(c, in, sizeof(in), IO_NS);
		expect(t, ret == 0 && memcmp(in, out, sizeof(in)) == 0,
		       "echo of host CID %llu: errno %d", (unsigned long long)to.cid, -ret);
		vsock_conn_close(c, IO_NS);
	}
}

TEST(cids_change, .id = "vsock.cids.change_followed",
     .clause =
	     "virtio 1.4, 5.10.6.7: after TRANSPORT_RESET the CID is read anew, connections are gone",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL, .timeout = 10 * SEC)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config was = *vsock_config(e->vs);
	struct vsock_conn *c, *n;
	uint32_t port = 0;
	int ret;

	ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(0), host_port(ASSAY_SINK_PORT),
			    CONNECT_NS, &c);
	require(t, ret == 0, "connect: errno %d", -ret);
	vsock_change_cids(t, &was, 100);
	expect_eq(t, vsock_conn_state(c), VSOCK_TRANSPORT_RESET,
		  "state of a connection from before");
	vsock_conn_close(c, 0);
	/* The device works under its new names, and not under the old ones. */
	ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(was.guest[was.num_guest - 1] + 100),
			    host_port(ASSAY_ECHO_PORT), CONNECT_NS, &n);
	expect(t, ret == 0, "connect from the last new CID: errno %d", -ret);
	if (!ret)
		vsock_conn_close(n, IO_NS);
	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	expect(t, !answered(t, e, was.guest[0], VSOCK_CID_HOST, port),
	       "the old CID is still accepted");
	/* As it was, for the tests that follow. */
	vsock_change_cids(t, &was, 0);
}
