/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vsock.devices.*: several devices, each with CIDs of its own, instead of one device with several: what the
 * reviewers of 2021 asked for, and what the RFC of 2024 makes of it. An address belongs to one device; what
 * happens on one leaves the others alone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/vsock/env.h"

#define OWNER	 "the host's vsock devices"
#define CLAUSE	 "virtio 1.4, 5.10.4 and multi-devices RFC (2024): "
#define DEVICES	 4 /* at most so many are opened */
#define ALONE_MS 50

/* Owner: the fixture. [0] is the device of vsock_env(). */
static struct {
	struct vsock *vs[DEVICES];
	struct ctl *ctl[DEVICES];
	unsigned int n;
} all;

static bool several(char *why, size_t size)
{
	if (vsock_count() > 1)
		return true;
	snprintf(why, size, "needs several vsock devices: there %s",
		 vsock_count() ? "is one" : "is none");
	return false;
}
NEED(vsock_devices, NEED_VSOCK_DEVICES, "several vsock devices", several);

static void close_rest(void)
{
	unsigned int i;

	for (i = 1; i < all.n; i++) {
		if (all.ctl[i])
			ctl_close(all.ctl[i]);
		vsock_close(all.vs[i]);
	}
	memset(&all, 0, sizeof(all));
}

FIXTURE(vsock_devices, .suite = "vsock.devices.", .teardown = close_rest);

/* Opens the others beside the fixture's own, each with a control connection. */
static void open_rest(struct test_ctx *t)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const unsigned int count = vsock_count();
	unsigned int i;
	int ret;

	all.vs[0] = e->vs;
	all.ctl[0] = e->ctl;
	for (i = all.n = 1; i < count && i < DEVICES; i++) {
		ret = vsock_open(i, 0, &all.vs[i]);
		all.n += all.vs[i] != NULL;
		require(t, ret == 0, "device %u does not come up: errno %d %s", i, -ret,
			all.vs[i] ? vsock_config_error(all.vs[i]) : "");
		CTL_OK(t, ctl_open(all.vs[i], &all.ctl[i]));
	}
}

static uint64_t cid_of(unsigned int i)
{
	return vsock_config(all.vs[i])->guest[0];
}

static struct vsock_conn *connect_on(struct test_ctx *t, unsigned int i, uint32_t local_port,
				     uint32_t port)
{
	struct vsock_conn *c;
	const int ret = vsock_connect(all.vs[i], VSOCK_STREAM, (struct vsock_addr){ 0, local_port },
				      host_port(port), CONNECT_NS, &c);

	require(t, ret == 0, "connect through device %u (CID %llu): errno %d", i,
		(unsigned long long)cid_of(i), -ret);
	return c;
}

TEST(devices_distinct, .id = "vsock.devices.distinct",
     .clause = CLAUSE "a CID names one device of the guest, and no other", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_VSOCK_DEVICES)
{
	unsigned int a, b;
	uint32_t k;

	open_rest(t);
	for (a = 0; a < all.n; a++) {
		for (b = 0; b < a; b++) {
			for (k = 0; k < vsock_config(all.vs[a])->num_guest; k++) {
				const uint64_t cid = vsock_config(all.vs[a])->guest[k];

				expect(t, !vsock_is_local(all.vs[b], cid),
				       "devices %u and %u both list CID %llu", b, a,
				       (unsigned long long)cid);
			}
		}
	}
}

TEST(devices_source_seen, .id = "vsock.devices.source_seen",
     .clause = CLAUSE "what goes out through a device comes from its CID", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_VSOCK_DEVICES | NEED_GUEST_ADDRS)
{
	struct vsock_conn *c;
	struct ctl_report r;
	unsigned int i;
	uint32_t port;

	open_rest(t);
	for (i = 0; i < all.n; i++) {
		port = 0;
		CTL_OK(t,
		       ctl_listen(all.ctl[i], ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
		c = connect_on(t, i, VSOCK_PORT_ANY, port);
		CTL_OK(t, ctl_accept(all.ctl[i], ASSAY_CID_ANY, port, VSOCK_STREAM, 1000, &r));
		expect_eq(t, le64_to_cpu(r.guest.cid), cid_of(i),
			  "device %u: source CID that the host saw", i);
		vsock_conn_close(c, IO_NS);
	}
}

TEST(devices_host_connects, .id = "vsock.devices.host_connects",
     .clause = CLAUSE "a connection to a CID comes in on its device only", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_VSOCK_DEVICES | NEED_HOST_CONNECT)
{
	const struct vsock_addr any = { VSOCK_CID_ANY, 7201 };
	struct vsock_listener *l[DEVICES];
	struct vsock_conn *c;
	struct ctl_report r;
	unsigned int i, k;
	int ret;

	open_rest(t);
	for (i = 0; i < all.n; i++) {
		ret = vsock_listen(all.vs[i], VSOCK_STREAM, any, 4, &l[i]);
		if (ret)
			test_error(t, "listen on device %u: errno %d", i, -ret);
	}
	for (i = 0; i < all.n; i++) {
		const struct vsock_addr to = { cid_of(i), any.port };

		ret = ctl_connect(all.ctl[i], ASSAY_CID_ANY, to, VSOCK_STREAM, CTL_SVC_NONE, 1000,
				  &r);
		expect(t, ret == 0, "the host's connect to CID %llu of device %u: errno %d",
		       (unsigned long long)to.cid, i, -ret);
		ret = vsock_accept(l[i], IO_NS, &c);
		require(t, ret == 0, "nothing came in on device %u", i);
		expect_eq(t, vsock_conn_local(c).cid, to.cid, "CID that it came in on");
		vsock_conn_close(c, IO_NS);
		for (k = 0; k < all.n; k++)
			expect(t, k == i || vsock_accept(l[k], ALONE_MS * MSEC, &c) == -ETIMEDOUT,
			       "a connection to device %u came in on device %u, too", i, k);
	}
}

/* The same ports on each device: only the CIDs differ. */
static void twins(struct test_ctx *t, struct vsock_conn **c)
{
	unsigned int i;

	for (i = 0; i < all.n; i++)
		c[i] = connect_on(t, i, 51000, ASSAY_ECHO_PORT);
}

static void expect_echo(struct test_ctx *t, struct vsock_conn *c, unsigned int i, uint32_t seed)
{
	uint8_t out[333], in[333];
	int ret;

	pattern_fill(out, sizeof(out), seed, 0);
	ret = (int)vsock_send(c, out, sizeof(out), IO_NS);
	expect(t, ret == sizeof(out), "send through device %u: errno %d", i, -ret);
	ret = recv_exact(c, in, sizeof(in), IO_NS);
	expect(t, ret == 0 && memcmp(in, out, sizeof(in)) == 0,
	       "echo through device %u: errno %d, or data of another connection", i, -ret);
}

TEST(devices_stay_apart, .id = "vsock.devices.stay_apart",
     .clause = CLAUSE "connections of the same ports on two devices are two", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_VSOCK_DEVICES)
{
	struct vsock_conn *c[DEVICES];
	unsigned int i;

	open_rest(t);
	twins(t, c);
	for (i = 0; i < all.n; i++)
		expect_echo(t, c[i], i, 100 + i);
	vsock_conn_close(c[0], IO_NS);
	for (i = 1; i < all.n; i++) {
		expect_echo(t, c[i], i, 200 + i);
		vsock_conn_close(c[i], IO_NS);
	}
}

TEST(devices_reset_one, .id = "vsock.devices.reset_one",
     .clause = "virtio 1.4, 2.4: a reset is that of one device", .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_VSOCK_DEVICES)
{
	struct vsock_conn *c[DEVICES] = { NULL };
	unsigned int i;
	int ret;

	open_rest(t);
	twins(t, c);
	vsock_env_drop(); /* resets the first */
	for (i = 1; i < all.n; i++)
		expect_echo(t, c[i], i, 300 + i);
	ret = vsock_env_open();
	require(t, ret == 0, "the device that was reset does not come up again: errno %d", -ret);
	for (i = 1; i < all.n; i++) {
		expect_echo(t, c[i], i, 400 + i);
		vsock_conn_close(c[i], IO_NS);
	}
}

TEST(devices_foreign_source, .id = "vsock.devices.foreign_source",
     .clause = "virtio 1.4, 5.10.6.4.1 and multi-devices RFC (2024): a device takes packets of its own CID only",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER | NEED_VSOCK_DEVICES | NEED_GUEST_ADDRS)
{
	struct vsock_hdr h = { .dst_cid = cpu_to_le64(VSOCK_CID_HOST),
			       .src_port = cpu_to_le32(52000),
			       .type = cpu_to_le16(VSOCK_STREAM),
			       .op = cpu_to_le16(VSOCK_OP_REQUEST),
			       .buf_alloc = cpu_to_le32(4096) };
	struct ctl_report r;
	unsigned int i;
	uint32_t port = 0;
	int ret;

	open_rest(t);
	CTL_OK(t, ctl_listen(all.ctl[0], ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	h.dst_port = cpu_to_le32(port);
	for (i = 1; i < all.n; i++) {
		h.src_cid = cpu_to_le64(cid_of(i));
		ret = vsock_send_raw(all.vs[0], &h, NULL, 0);
		if (ret)
			test_error(t, "send: errno %d", -ret);
		/* Goes the same way, so that the packet before it was looked at. */
		CTL_OK(t, ctl_barrier(all.ctl[0]));
		ret = ctl_accept(all.ctl[0], ASSAY_CID_ANY, port, VSOCK_STREAM, ALONE_MS, &r);
		expect(t, ret == -ETIMEDOUT,
		       "a request from CID %llu of device %u was accepted on device 0 (errno %d)",
		       (unsigned long long)cid_of(i), i, -ret);
	}
}
