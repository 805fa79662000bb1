/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 5.10.4; multi-devices RFC of 2024): with several vsock devices each has CIDs
 * of its own; an address belongs to one device, and what happens on one leaves the others alone. It
 * is what the reviewers of 2021 asked for instead of one device with several CIDs.
 *
 * How hosts break it: state that should be a device's is the process's: connections are looked up
 * without the device, the first device's CID is every device's, a reset of one resets all.
 *
 * How it is seen here: all of them are open at a time, with the same ports on each, so that only
 * the device tells connections apart.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/errname.h"
#include "tests/vsock/packet.h"
#include "tests/vsock/pair.h"
#include "tests/vsock/watch.h"

#define OWNER	    "the host's vsock devices"
#define CLAUSE	    "virtio 1.4, 5.10.4 and multi-devices RFC (2024): "
#define NEEDS	    (NEED_VSOCK | NEED_PEER | NEED_VSOCK_DEVICES)
#define DEVICES	    4 /* at most so many are opened */
#define ALONE_MS    50
#define LOCAL_PORT  51000u
#define SERVER_PORT 7201u

/* Owner: the fixture. dev[0] is vsock_env() as it was when they were opened. */
static struct {
	struct vsock_env dev[DEVICES];
	struct pair *twin[DEVICES]; /* of the same ports on each device: only the CIDs differ */
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
		if (all.dev[i].ctl && !ctl_lost(all.dev[i].ctl) && !vsock_error(all.dev[i].vs)[0] &&
		    vsock_watch_audit(&all.dev[i]))
			test_fail_around("device %u does not answer any more", i);
		ctl_close(all.dev[i].ctl);
		vsock_close(all.dev[i].vs);
	}
	memset(&all, 0, sizeof(all));
}

FIXTURE(vsock_devices, .suite = "vsock.devices.", .teardown = close_rest);

/* Opens the others beside the fixture's own, each with a control connection. */
static void open_rest(struct test_ctx *t)
{
	const unsigned int count = vsock_count();
	enum ctl_stage stage;
	unsigned int i;
	int ret;

	all.dev[0] = *vsock_env_ctl(t);
	for (i = all.n = 1; i < count && i < DEVICES; i++) {
		struct vsock_env *e = &all.dev[i];

		ret = vsock_open(i, 0, &e->vs);
		all.n += e->vs != NULL;
		require(t, ret == 0, "device %u does not come up: %s %s", i, err_text(ret),
			e->vs ? vsock_config_error(e->vs) : "");
		ret = ctl_open(e->vs, 2 * test_sec(), &stage, &e->ctl);
		require(t, ret == 0, "the peer is not reached through device %u: %s", i,
			err_text(ret));
	}
}

static uint64_t cid_of(unsigned int i)
{
	return vsock_config(all.dev[i].vs)->guest[0];
}

static bool share_a_cid(const struct vsock *a, const struct vsock *b, uint64_t *cid)
{
	const struct vsock_config *cfg = vsock_config(a);
	uint32_t k;

	for (k = 0; k < cfg->num_guest; k++) {
		*cid = cfg->guest[k];
		if (vsock_is_local(b, *cid))
			return true;
	}
	return false;
}

TEST(devices_distinct,
     .id = "vsock.devices.distinct",
     .clause = CLAUSE "a CID names one device of the guest, and no other",
     .owner = OWNER,
     .needs = NEEDS)
{
	uint64_t cid = 0;
	unsigned int a, b;

	open_rest(t);
	for (a = 0; a < all.n; a++)
		for (b = 0; b < a; b++)
			expect(t, !share_a_cid(all.dev[a].vs, all.dev[b].vs, &cid),
			       "devices %u and %u both list CID %llu", b, a,
			       (unsigned long long)cid);
}

TEST(devices_source_seen,
     .id = "vsock.devices.source_seen",
     .clause = CLAUSE "what goes out through a device comes from its CID",
     .owner = OWNER,
     .needs = NEEDS | NEED_GUEST_ADDRS)
{
	unsigned int i;

	open_rest(t);
	for (i = 0; i < all.n; i++) {
		struct pair *p = pair_open(t, .on = &all.dev[i]);

		expect_eq(t, host_report(p).guest.cid, cid_of(i),
			  "device %u: source CID that the host saw", i);
		pair_close(p);
	}
}

TEST(devices_host_connects,
     .id = "vsock.devices.host_connects",
     .clause = CLAUSE "a connection to a CID comes in on its device only",
     .owner = OWNER,
     .needs = NEEDS | NEED_HOST_CONNECT)
{
	struct vsock_listener *l[DEVICES] = { NULL };
	struct vsock_conn *c;
	struct pair *p;
	unsigned int i, k;
	int ret;

	open_rest(t);
	for (i = 0; i < all.n; i++)
		l[i] = guest_listens(t, &all.dev[i], VSOCK_CID_ANY, SERVER_PORT);
	for (i = 0; i < all.n; i++) {
		ret = host_connects(t, &all.dev[i], ((struct vsock_addr){ cid_of(i), SERVER_PORT }),
				    &p);
		require(t, ret == 0, "the host's connect to CID %llu of device %u: %s",
			(unsigned long long)cid_of(i), i, err_text(ret));
		guest_accepts(p, l[i]);
		pair_close(p);
		for (k = 0; k < all.n; k++)
			expect(t, k == i || vsock_accept(l[k], ALONE_MS * MSEC, &c) == -ETIMEDOUT,
			       "a connection to device %u came in on device %u, too", i, k);
	}
}

static void open_twins(struct test_ctx *t)
{
	unsigned int i;

	for (i = 0; i < all.n; i++)
		all.twin[i] = pair_open(t, .on = &all.dev[i], .local_port = LOCAL_PORT,
					.at = ASSAY_ECHO_PORT);
}

TEST(devices_stay_apart,
     .id = "vsock.devices.stay_apart",
     .clause = CLAUSE "connections of the same ports on two devices are two",
     .owner = OWNER,
     .needs = NEEDS)
{
	unsigned int i;

	open_rest(t);
	open_twins(t);
	for (i = 0; i < all.n; i++)
		echo(all.twin[i], 333);
	pair_close(all.twin[0]);
	for (i = 1; i < all.n; i++) {
		echo(all.twin[i], 333);
		pair_close(all.twin[i]);
	}
}

TEST(devices_rst_one,
     .id = "vsock.devices.rst_one",
     .clause = CLAUSE "RST on one device leaves the other's connection of the same ports alone",
     .owner = OWNER,
     .needs = NEEDS)
{
	unsigned int i, k;

	open_rest(t);
	for (i = 0; i < all.n; i++) {
		open_twins(t);
		pair_drop(all.twin[i]);
		for (k = 0; k < all.n; k++) {
			if (k == i)
				continue;
			CTL_OK(t, ctl_barrier(all.dev[i].ctl));
			echo(all.twin[k], 100);
			pair_drop(all.twin[k]);
		}
	}
}

TEST(devices_reset_one,
     .id = "vsock.devices.reset_one",
     .clause = "virtio 1.4, 2.4: a reset is that of one device",
     .owner = OWNER,
     .needs = NEEDS)
{
	unsigned int i;

	open_rest(t);
	open_twins(t);
	vsock_env_drop(); /* resets the first */
	for (i = 1; i < all.n; i++)
		echo(all.twin[i], 333);
	require(t, vsock_env_open() == 0, "the device that was reset does not come up again: %s",
		vsock_env_device_error());
	for (i = 1; i < all.n; i++) {
		echo(all.twin[i], 333);
		pair_close(all.twin[i]);
	}
}

TEST(devices_foreign_source,
     .id = "vsock.devices.foreign_source",
     .clause = "virtio 1.4, 5.10.6.4.1 and multi-devices RFC (2024): a device takes packets of its own CID only",
     .owner = OWNER,
     .needs = NEEDS | NEED_GUEST_ADDRS)
{
	struct packet request = { .type = VSOCK_STREAM, .op = VSOCK_OP_REQUEST };
	unsigned int i;

	open_rest(t);
	request.to = host_port(host_listens(t, &all.dev[0]));
	for (i = 1; i < all.n; i++) {
		request.from = (struct vsock_addr){ cid_of(i), 52000 };
		packet_send(t, &all.dev[0], &request);
		/* Goes the same way, so that the packet before it was looked at. */
		CTL_OK(t, ctl_barrier(all.dev[0].ctl));
		expect(t, !host_accepted(t, &all.dev[0], request.to.port, ALONE_MS),
		       "a request from CID %llu of device %u was accepted on device 0",
		       (unsigned long long)cid_of(i), i);
	}
}

TEST(devices_rx_full,
     .id = "vsock.devices.rx_full",
     .clause = CLAUSE "a device whose rx has no buffer holds up no other",
     .owner = OWNER,
     .needs = NEEDS)
{
	unsigned int i;

	open_rest(t);
	open_twins(t);
	rx_is_full(all.twin[0]);
	guest_send(all.twin[0], 500);
	for (i = 1; i < all.n; i++)
		echo(all.twin[i], 333);
	rx_has_room(all.twin[0]);
	guest_expects(all.twin[0], 500);
	for (i = 0; i < all.n; i++)
		pair_close(all.twin[i]);
}

static uint64_t events_of(struct vsock_env *e)
{
	struct vsock_stats s;

	vsock_poll(e->vs);
	vsock_stats(e->vs, &s);
	return s.transport_resets;
}

/* The other device's, so that the fixture's control connection stays. */
TEST(devices_event_one,
     .id = "vsock.devices.event_one",
     .clause = "virtio 1.4, 5.10.6.7: TRANSPORT_RESET is told by the device that it is about, and by no other",
     .owner = OWNER,
     .needs = NEEDS | NEED_DEVICE_CTL)
{
	const struct vsock_config *c;
	uint64_t before[DEVICES] = { 0 };
	unsigned int i;
	int ret;

	open_rest(t);
	for (i = 0; i < all.n; i++)
		before[i] = events_of(&all.dev[i]);
	c = vsock_config(all.dev[1].vs);
	ret = ctl_set_cids(all.dev[1].ctl, c->guest, c->num_guest, c->host, c->num_host, true);
	if (ret == -EOPNOTSUPP)
		test_skip(t, "the device has no event queue (the VMM keeps it)");
	CTL_OK(t, ret);
	expect(t, wait_for(events_of(&all.dev[1]) != before[1], 2 * test_sec()),
	       "device 1 is told to send TRANSPORT_RESET, and nothing came");
	CTL_OK(t, ctl_barrier(all.dev[0].ctl));
	for (i = 0; i < all.n; i++)
		if (i != 1)
			expect_eq(t, events_of(&all.dev[i]), before[i],
				  "events of device %u after one of device 1", i);
	/* The event has ended this one as well. */
	ctl_close(all.dev[1].ctl);
	all.dev[1].ctl = NULL;
}
