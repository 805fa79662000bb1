/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (multi-CID series of 2021; virtio 1.4, 5.10.6.4): every CID that a device lists is an
 * address of the guest of its own: connections go out from each, come in on each, and stay apart;
 * what comes from, or goes to, a CID that is not listed is dropped.
 *
 * How hosts break it: they check packets against the first CID only, look connections up without
 * the local CID, answer from an address that was not asked, or keep the old CIDs after a change.
 *
 * How it is seen here: the guest opens connections from each CID and the host to each; both ends
 * say which addresses they see, and data is a pattern of its connection's own.
 */
#include <errno.h>

#include "lib/errname.h"
#include "tests/vsock/packet.h"
#include "tests/vsock/pair.h"

#define OWNER	    "vsock device back end"
#define SERVER_PORT 7001u
#define STRANGER    0x7ffffff0ull /* a CID that no host gives to a guest, and ... */
#define NOT_GRANTED 0x7ffffe00ull /* ... one that no host has */

TEST(cids_connect_each,
     .id = "vsock.cids.connect_each",
     .clause = "multi-cid P2: any listed source CID is accepted",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	const struct vsock_config *cfg = vsock_config(vsock_env_ctl(t)->vs);
	uint32_t i;

	for (i = 0; i < cfg->num_guest; i++) {
		struct pair *p = pair_try(t, .local = cfg->guest[i], .at = ASSAY_ECHO_PORT);

		if (!p)
			continue;
		echo(p, 1000);
		pair_close(p);
	}
}

TEST(cids_source_seen,
     .id = "vsock.cids.source_seen",
     .clause = "multi-cid P2: the host sees the source CID that the guest chose",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_GUEST_ADDRS)
{
	const struct vsock_config *cfg = vsock_config(vsock_env_ctl(t)->vs);
	uint32_t i;

	for (i = 0; i < cfg->num_guest; i++) {
		struct pair *p = pair_try(t, .local = cfg->guest[i]);

		if (!p)
			continue;
		expect_eq(t, host_report(p).guest.cid, cfg->guest[i],
			  "source CID that the host saw");
		expect_eq(t, host_report(p).guest.port, p->local.port,
			  "source port that the host saw");
		pair_close(p);
	}
}

TEST(cids_default_source,
     .id = "vsock.cids.default_source",
     .clause = "multi-cid P2: a client that chooses no CID uses cids[0]; virtio 1.4, 5.10.6.4.1",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_GUEST_ADDRS)
{
	struct pair *p = pair_open(t);

	expect_eq(t, host_report(p).guest.cid, vsock_config(p->env->vs)->guest[0],
		  "source CID that the host saw");
	pair_close(p);
}

TEST(cids_host_connects,
     .id = "vsock.cids.host_connects",
     .clause = "virtio 1.4, 5.10.6: the host connects to a listening port of the guest",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_HOST_CONNECT)
{
	struct pair *p = pair_open(t, .host_connects = true);

	host_send(p, 777);
	guest_expects(p, 777);
	guest_send(p, 777);
	host_expects(p);
	pair_close(p);
}

TEST(cids_host_connects_each,
     .id = "vsock.cids.host_connects_each",
     .clause = "multi-cid P1: the host reaches the guest at each listed CID",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_HOST_CONNECT | NEED_GUEST_ADDRS)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	struct vsock_listener *l = guest_listens(t, e, VSOCK_CID_ANY, SERVER_PORT);
	uint32_t i;

	for (i = 0; i < cfg->num_guest; i++) {
		const struct vsock_addr to = { cfg->guest[i], SERVER_PORT };
		struct pair *p;
		const int ret = host_connects(t, e, to, &p);

		expect(t, ret == 0, "the host's connect to CID %llu: %s",
		       (unsigned long long)to.cid, err_text(ret));
		if (ret)
			continue;
		guest_accepts(p, l);
		host_send(p, 1000);
		guest_expects(p, 1000);
		pair_close(p);
	}
}

TEST(cids_bound_listener,
     .id = "vsock.cids.bound_listener",
     .clause = "multi-cid P2: a server bound to one CID is reached there only; bound to ANY, on all",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_MULTI_CID | NEED_HOST_CONNECT | NEED_GUEST_ADDRS)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	const uint64_t bound = cfg->guest[cfg->num_guest - 1];
	struct vsock_listener *l = guest_listens(t, e, bound, SERVER_PORT);
	struct pair *p;
	uint32_t i;
	int ret;

	for (i = 0; i + 1 < cfg->num_guest; i++) {
		ret = host_connects(t, e, ((struct vsock_addr){ cfg->guest[i], SERVER_PORT }), &p);
		expect(t, ret == -ECONNREFUSED || ret == -ECONNRESET,
		       "the host's connect to CID %llu, on which nobody listens: expected a refusal, %s",
		       (unsigned long long)cfg->guest[i], ret ? err_text(ret) : "it is connected");
	}
	ret = host_connects(t, e, ((struct vsock_addr){ bound, SERVER_PORT }), &p);
	require(t, ret == 0, "the host's connect to the bound CID %llu: %s",
		(unsigned long long)bound, err_text(ret));
	guest_accepts(p, l);
	pair_close(p);
}

TEST(cids_stay_apart,
     .id = "vsock.cids.stay_apart",
     .clause = "multi-cid P2: connections are told apart by the full local address",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_MULTI_CID)
{
	const struct vsock_config *cfg = vsock_config(vsock_env_ctl(t)->vs);
	struct pair *a = pair_open(t, .local = cfg->guest[0], .local_port = 50007,
				   .at = ASSAY_ECHO_PORT);
	struct pair *b = pair_open(t, .local = cfg->guest[1], .local_port = 50007,
				   .at = ASSAY_ECHO_PORT);

	guest_send(a, 512);
	guest_send(b, 512);
	guest_expects(a, 512);
	guest_expects(b, 512);
	nothing_comes(a);
	nothing_comes(b);
	guest_resets(a);
	echo(b, 512);
	pair_close(b);
}

#define ACCEPT_MS 5 /* for a peer that learns of connections through a socket */

/*
 * A REQUEST with forged addresses is dropped: nothing but RST comes back, and the host's
 * application gets no connection. The barrier follows it through the same queues: once it was
 * answered, the REQUEST would have been.
 */
static void is_dropped(struct test_ctx *t, uint64_t from, uint64_t to)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct packet request = { .from = { from, 50555 },
					.to = { to, host_listens(t, e) },
					.type = VSOCK_STREAM,
					.op = VSOCK_OP_REQUEST };
	int op;

	packet_send(t, e, &request);
	expect(t, !host_accepted(t, e, request.to.port, ACCEPT_MS),
	       "REQUEST from CID %llu to CID %llu: the host's application has a connection",
	       (unsigned long long)from, (unsigned long long)to);
	CTL_OK(t, ctl_barrier(e->ctl));
	op = packet_answer(e, &request);
	expect(t, op == PACKET_NONE || op == VSOCK_OP_RST,
	       "REQUEST from CID %llu to CID %llu: expected nothing, %s came",
	       (unsigned long long)from, (unsigned long long)to, packet_op(op));
}

/*
 * For devices that list their CIDs. Of one with guest_cid alone virtio 1.4, 5.10.6.4.1 demands
 * nothing here: it is the driver that must use its CID.
 */
TEST(cids_unlisted_dropped,
     .id = "vsock.cids.unlisted_dropped",
     .clause = "multi-cid P1: packets from a CID that is not listed are dropped",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_CID_LIST)
{
	const struct vsock_config *cfg = vsock_config(vsock_env_ctl(t)->vs);
	uint64_t cid = STRANGER;
	uint32_t i;

	while (vsock_is_local(vsock_env()->vs, cid))
		cid--;
	is_dropped(t, cid, VSOCK_CID_HOST);
	/* One of ours, but for the upper half. */
	is_dropped(t, cfg->guest[0] | 1ull << 32, VSOCK_CID_HOST);
	/* What may stand behind the last one of a list, and the host's. */
	is_dropped(t, 0, VSOCK_CID_HOST);
	is_dropped(t, VSOCK_CID_HOST, VSOCK_CID_HOST);
	for (i = 0; i < cfg->num_host; i++)
		is_dropped(t, cfg->host[i], VSOCK_CID_HOST);
}

TEST(cids_ungranted_host_cid,
     .id = "vsock.cids.ungranted_host_cid",
     .clause = "multi-cid P4: packets to a host CID that is neither 2 nor listed are dropped",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_CID_LIST)
{
	const struct vsock_config *cfg = vsock_config(vsock_env_ctl(t)->vs);
	const uint64_t cid = cfg->guest[0];

	is_dropped(t, cid, NOT_GRANTED);
	is_dropped(t, cid, VSOCK_CID_HOST | 1ull << 32);
	is_dropped(t, cid, 0);
	/* The guest's own, of which the last stands before the host's in a list. */
	is_dropped(t, cid, cid);
	is_dropped(t, cid, cfg->guest[cfg->num_guest - 1]);
}

TEST(cids_host_cids,
     .id = "vsock.cids.host_cids",
     .clause = "multi-cid P4: the guest reaches each listed host CID",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_HOST_CIDS)
{
	const struct vsock_config *cfg = vsock_config(vsock_env_ctl(t)->vs);
	uint32_t i;

	for (i = 0; i < cfg->num_host; i++) {
		struct pair *p = pair_try(t, .remote = cfg->host[i], .at = ASSAY_ECHO_PORT);

		if (!p)
			continue;
		echo(p, 300);
		pair_close(p);
	}
}

TEST(cids_change,
     .id = "vsock.cids.change_followed",
     .clause = "virtio 1.4, 5.10.6.7: after TRANSPORT_RESET the CID is read anew, connections are gone",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL,
     .timeout = 10 * SEC)
{
	const uint64_t by = 100;
	struct pair *p = pair_open(t, .at = ASSAY_SINK_PORT);
	const struct vsock_config was = *vsock_config(p->env->vs);

	vsock_change_cids(t, &was, by);
	expect(t, vsock_conn_state(p->conn) == VSOCK_TRANSPORT_RESET,
	       "a connection from before the event goes on");
	pair_drop(p);
	/* The device works under its new names, and not under the old ones. */
	p = pair_try(t, .local = was.guest[was.num_guest - 1] + by, .at = ASSAY_ECHO_PORT);
	if (p)
		pair_close(p);
	is_dropped(t, was.guest[0], VSOCK_CID_HOST);
	/* As it was, for the tests that follow. */
	vsock_change_cids(t, &was, 0);
}
