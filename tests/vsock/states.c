/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 5.10.6.5): each packet means something in each state of a connection, and nothing else:
 * RESPONSE alone accepts, SHUTDOWN ends the directions that it names, for good, RST ends everything, and what
 * was sent before an end arrives. Once a connection has ended nothing of it is left.
 *
 * How hosts break it: data that waits is dropped when either end closes (Firecracker 65c2ec472, libkrun
 * 328d8d77); the second half of a close is not answered (cloud-hypervisor 8372); a record of each refused or
 * reset connection stays (Linux 52bcb57a4e8a); ports are not free after RST (Linux fcdd2242c023); an answer
 * for which there is no receive buffer is lost (vhost-device 6feb938).
 *
 * How it is seen here: tables of packets and orders; the host's application stops reading, or the guest's
 * receive queue is full, so that data surely waits when the end comes.
 */
#include <errno.h>

#include "drivers/virtio/virtqueue.h"
#include "lib/errname.h"
#include "tests/vsock/packet.h"
#include "tests/vsock/pair.h"

#define OWNER	    "vsock device back end"
#define NEEDS	    (NEED_VSOCK | NEED_PEER)
#define BOTH	    (VSOCK_SHUTDOWN_RCV | VSOCK_SHUTDOWN_SEND)
#define NOBODY	    64999u /* no peer listens there */
#define LOCAL_PORT  52001u
#define SERVER_PORT 7301u

/* Up to here all that was sent either way has been read. */
static void settle(struct test_ctx *t, struct vsock_env *e)
{
	CTL_OK(t, ctl_barrier(e->ctl));
	CTL_OK(t, ctl_barrier(e->ctl));
}

/* --- packets of no connection --------------------------------------------------------------- */

static void is_refused(struct test_ctx *t, struct vsock_env *e, struct packet p)
{
	static const uint8_t payload[8];
	const struct vsock_hdr h = packet_header(&p);
	struct vsock_hdr a = { 0 };

	vsock_strays_clear(e->vs);
	packet_raw(t, e, &h, payload, p.len);
	settle(t, e);
	if (!packet_answered(e, &p, &a)) {
		expect(t, p.op != VSOCK_OP_REQUEST,
		       "REQUEST of type %u from CID %llu to a closed port: nothing came", p.type,
		       (unsigned long long)p.from.cid);
		test_note(t, "%s (operation %u) of no connection is not answered", packet_op(p.op),
			  p.op);
		return;
	}
	expect(t, le16_to_cpu(a.op) == VSOCK_OP_RST, "%s of no connection: expected RST, %s came",
	       packet_op(p.op), packet_op(le16_to_cpu(a.op)));
	expect(t,
	       le64_to_cpu(a.dst_cid) == p.from.cid && le64_to_cpu(a.src_cid) == p.to.cid &&
		       le16_to_cpu(a.type) == p.type && !a.len && !a.flags,
	       "RST for %s from CID %llu, type %u: it goes to CID %llu, type %u, len %u, flags 0x%x",
	       packet_op(p.op), (unsigned long long)p.from.cid, p.type,
	       (unsigned long long)le64_to_cpu(a.dst_cid), le16_to_cpu(a.type),
	       (unsigned int)le32_to_cpu(a.len), (unsigned int)le32_to_cpu(a.flags));
}

TEST(states_none,
     .id = "vsock.states.no_connection",
     .clause = "virtio 1.4, 5.10.6.5: RST, with the packet's addresses and type, refuses a REQUEST; nothing else answers what has no connection",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 15 * SEC)
{
	static const struct packet kinds[] = {
		{ .op = VSOCK_OP_REQUEST },
		{ .op = VSOCK_OP_RESPONSE },
		{ .op = VSOCK_OP_SHUTDOWN, .flags = BOTH },
		{ .op = VSOCK_OP_SHUTDOWN, .flags = VSOCK_SHUTDOWN_SEND },
		{ .op = VSOCK_OP_RW, .len = 8 },
		{ .op = VSOCK_OP_RW, .len = 8, .flags = VSOCK_SEQ_EOM },
		{ .op = VSOCK_OP_RW },
		{ .op = VSOCK_OP_CREDIT_UPDATE },
		{ .op = VSOCK_OP_CREDIT_REQUEST },
		{ .op = VSOCK_OP_CREDIT_REQUEST + 1 },
		{ .op = 0xffff },
	};
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	uint32_t port = LOCAL_PORT, cid;
	unsigned int i, type;

	for (cid = 0; cid<cfg->num_guest; cid += cfg->num_guest> 2 ? cfg->num_guest - 1 : 1)
		for (type = VSOCK_STREAM; type <= VSOCK_SEQPACKET; type++)
			for (i = 0; i < COUNT_OF(kinds); i++) {
				struct packet p = kinds[i];

				p.from = (struct vsock_addr){ cfg->guest[cid], port++ };
				p.to = host_port(NOBODY);
				p.type = (uint16_t)type;
				if (has_type(e, type))
					is_refused(t, e, p);
			}
}

/* --- packets of a connection that the host has asked for -------------------------------------- */

TEST(states_offered,
     .id = "vsock.states.only_response_accepts",
     .clause = "virtio 1.4, 5.10.6.5: RESPONSE accepts a connection, and no other packet does",
     .owner = OWNER,
     .needs = NEEDS | NEED_HOST_CONNECT,
     .timeout = 15 * SEC)
{
	static const struct packet kinds[] = {
		{ .op = VSOCK_OP_RW, .len = 8 },
		{ .op = VSOCK_OP_CREDIT_UPDATE },
		{ .op = VSOCK_OP_CREDIT_REQUEST },
		{ .op = VSOCK_OP_SHUTDOWN, .flags = VSOCK_SHUTDOWN_SEND },
		{ .op = VSOCK_OP_RST },
	};
	static const uint8_t payload[8];
	struct vsock_env *e = vsock_env_ctl(t);
	unsigned int i;

	vsock_hold_requests(e->vs, true);
	for (i = 0; i < COUNT_OF(kinds); i++) {
		const struct vsock_addr to = { vsock_config(e->vs)->guest[0], SERVER_PORT + i };
		struct packet p = kinds[i];
		struct ctl_report r;
		struct vsock_hdr h;
		int ret;

		vsock_strays_clear(e->vs);
		CTL_OK(t, ctl_connect_begin(e->ctl, ASSAY_CID_ANY, to, VSOCK_STREAM, CTL_SVC_NONE,
					    test_ms() / 4));
		p.from = to;
		p.to = packet_request(t, e, to);
		p.type = VSOCK_STREAM;
		h = packet_header(&p);
		vsock_strays_clear(e->vs);
		packet_raw(t, e, &h, payload, p.len);
		ret = ctl_connect_end(e->ctl, &r);
		expect(t, ret != 0, "%s instead of RESPONSE: the host's application is connected",
		       packet_op(p.op));
		settle(t, e);
		expect(t, p.op != VSOCK_OP_RST || packet_answer(e, &p) == PACKET_NONE,
		       "RST refuses the host's REQUEST: expected nothing, %s came",
		       packet_op(packet_answer(e, &p)));
		p = (struct packet){
			.from = p.from, .to = p.to, .type = p.type, .op = VSOCK_OP_RST
		};
		h = packet_header(&p);
		packet_raw(t, e, &h, NULL, 0);
		settle(t, e);
	}
	vsock_hold_requests(e->vs, false);
}

TEST(states_cancelled,
     .id = "vsock.states.cancelled_request",
     .clause = "virtio 1.4, 5.10.6.5: a connection that the host has given up does not come up (a REQUEST that is sent all the same is noted)",
     .owner = OWNER,
     .needs = NEEDS | NEED_HOST_CONNECT | NEED_DEVICE_CTL)
{
	struct pair *filler = pair_open(t, .at = ASSAY_SINK_PORT);
	struct vsock_env *e = filler->env;
	struct packet p = { .from = { vsock_config(e->vs)->guest[0], SERVER_PORT },
			    .type = VSOCK_STREAM,
			    .op = VSOCK_OP_RESPONSE };
	struct vsock_stray s[16];
	unsigned int i, n;
	int op = PACKET_NONE;

	vsock_hold_requests(e->vs, true);
	rx_is_full(filler);
	ctl_ahead(e->ctl, true);
	CTL_OK(t, ctl_connect_begin(e->ctl, ASSAY_CID_ANY, p.from, VSOCK_STREAM, CTL_SVC_NONE,
				    test_ms()));
	CTL_OK(t, ctl_forget_all(e->ctl));
	ctl_ahead(e->ctl, false);
	rx_has_room(filler);
	settle(t, e);
	n = vsock_strays(e->vs, s, COUNT_OF(s));
	for (i = 0; i < n; i++)
		if (le16_to_cpu(s[i].hdr.op) == VSOCK_OP_REQUEST) {
			test_note(t, "a REQUEST comes for a connection that was given up");
			p.to = (struct vsock_addr){ le64_to_cpu(s[i].hdr.src_cid),
						    le32_to_cpu(s[i].hdr.src_port) };
			packet_send(t, e, &p);
			settle(t, e);
			op = packet_answer(e, &p);
		}
	expect(t, op == PACKET_NONE || op == VSOCK_OP_RST, "RESPONSE to it: expected RST, %s came",
	       packet_op(op));
	vsock_hold_requests(e->vs, false);
}

TEST(states_given_up,
     .id = "vsock.states.given_up",
     .clause = "virtio 1.4, 5.10.6.5: a connection whose REQUEST the host has given up does not come up by a late RESPONSE (when no RST tells the guest, this is noted)",
     .owner = OWNER,
     .needs = NEEDS | NEED_HOST_CONNECT)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct packet p = { .from = { vsock_config(e->vs)->guest[0], SERVER_PORT },
			    .type = VSOCK_STREAM,
			    .op = VSOCK_OP_RESPONSE };
	struct vsock_stray s[4];
	struct ctl_report r;
	int op;

	vsock_hold_requests(e->vs, true);
	vsock_strays_clear(e->vs);
	CTL_OK(t, ctl_connect_begin(e->ctl, ASSAY_CID_ANY, p.from, VSOCK_STREAM, CTL_SVC_NONE,
				    test_ms() / 20));
	p.to = packet_request(t, e, p.from);
	expect_eq(t, ctl_connect_end(e->ctl, &r), -ETIMEDOUT,
		  "what the host's application is told of a REQUEST without an answer");
	settle(t, e);
	if (vsock_strays(e->vs, s, COUNT_OF(s)) < 2)
		test_note(t, "the host has given up its REQUEST, and no RST says so");
	packet_send(t, e, &p);
	settle(t, e);
	op = packet_answer(e, &p);
	expect(t, op == PACKET_NONE || op == VSOCK_OP_RST,
	       "RESPONSE that comes too late: expected RST, %s came", packet_op(op));
	vsock_hold_requests(e->vs, false);
}

/* The host's end of a packet of this operation that came for the port, and that nobody took. */
static bool find_stray(struct vsock_env *e, uint32_t port, enum vsock_op op,
		       struct vsock_addr *from)
{
	struct vsock_stray s[16];
	const unsigned int n = vsock_strays(e->vs, s, COUNT_OF(s));
	unsigned int i;

	for (i = 0; i < n && i < COUNT_OF(s); i++) {
		if (le16_to_cpu(s[i].hdr.op) != op || le32_to_cpu(s[i].hdr.dst_port) != port)
			continue;
		*from = (struct vsock_addr){ le64_to_cpu(s[i].hdr.src_cid),
					     le32_to_cpu(s[i].hdr.src_port) };
		return true;
	}
	return false;
}

/* Whether the host's REQUEST to that port has come; then RST answers it. */
static bool refuses_request(struct vsock_env *e, struct vsock_addr to)
{
	struct packet p = { .from = to, .type = VSOCK_STREAM, .op = VSOCK_OP_RST };
	struct vsock_hdr h;

	if (!find_stray(e, to.port, VSOCK_OP_REQUEST, &p.to))
		return false;
	h = packet_header(&p);
	return vsock_send_raw(e->vs, &h, NULL, 0) == 0;
}

/* The first one is answered last. */
TEST(states_offered_at_once,
     .id = "vsock.states.requests_at_once",
     .clause = "virtio 1.4, 5.10.6: connections are independent: the host's REQUEST waits for no answer to another",
     .owner = OWNER,
     .needs = NEEDS | NEED_HOST_CONNECT)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const uint64_t cid = vsock_config(e->vs)->guest[0];
	const struct vsock_addr to[] = { { cid, SERVER_PORT }, { cid, SERVER_PORT + 1 } };
	struct ctl_report r;
	unsigned int i;

	vsock_hold_requests(e->vs, true);
	vsock_strays_clear(e->vs);
	for (i = 0; i < 2; i++)
		CTL_OK(t, ctl_connect_begin(e->ctl, ASSAY_CID_ANY, to[i], VSOCK_STREAM,
					    CTL_SVC_NONE, test_ms()));
	for (i = 2; i-- > 0;)
		expect(t, wait_for((vsock_poll(e->vs), refuses_request(e, to[i])), test_sec() / 2),
		       "the host makes two connections at once: the REQUEST of number %u does not come",
		       i + 1);
	(void)ctl_connect_end(e->ctl, &r);
	vsock_hold_requests(e->vs, false);
	settle(t, e);
}

#define BEHIND 300u

/* A driver need not wait for anything between the two. */
TEST(states_data_behind,
     .id = "vsock.states.data_behind_response",
     .clause = "virtio 1.4, 5.10.6.5, 5.10.6.6: behind RESPONSE the connection stands: data that comes with it arrives",
     .owner = OWNER,
     .needs = NEEDS | NEED_HOST_CONNECT)
{
	static const uint8_t bytes[BEHIND] = "behind RESPONSE";
	struct vsock_env *e = vsock_env_ctl(t);
	struct packet p = { .from = { vsock_config(e->vs)->guest[0], SERVER_PORT },
			    .type = VSOCK_STREAM,
			    .op = VSOCK_OP_RESPONSE };
	struct vsock_addr echo;
	struct ctl_report r;
	struct vsock_hdr h;

	vsock_hold_requests(e->vs, true);
	vsock_strays_clear(e->vs);
	CTL_OK(t, ctl_connect_begin(e->ctl, ASSAY_CID_ANY, p.from, VSOCK_STREAM, CTL_SVC_ECHO,
				    test_ms()));
	require(t,
		wait_for((vsock_poll(e->vs), find_stray(e, SERVER_PORT, VSOCK_OP_REQUEST, &p.to)),
			 test_sec()),
		"the host's REQUEST does not come");
	(void)wait_for(false, MSEC); /* the device rests: it sees both at once */
	vsock_hold_tx(e->vs, true);
	packet_send(t, e, &p);
	p.op = VSOCK_OP_RW;
	p.len = BEHIND;
	h = packet_header(&p);
	packet_raw(t, e, &h, bytes, BEHIND);
	vsock_hold_tx(e->vs, false);
	CTL_OK(t, ctl_connect_end(e->ctl, &r));
	expect(t,
	       wait_for((vsock_poll(e->vs), find_stray(e, SERVER_PORT, VSOCK_OP_RW, &echo)),
			test_sec()),
	       "RESPONSE and %u bytes came together to an end that echoes: nothing comes back",
	       BEHIND);
	p.op = VSOCK_OP_RST;
	p.len = 0;
	packet_send(t, e, &p);
	settle(t, e);
	vsock_hold_requests(e->vs, false);
}

/* The application may as well order this of a connection that the guest has not accepted yet. */
TEST(states_before,
     .id = "vsock.states.nothing_before_response",
     .clause = "virtio 1.4, 5.10.6.5: RESPONSE accepts a connection: before it the host sends nothing but its REQUEST",
     .owner = OWNER,
     .needs = NEEDS | NEED_HOST_CONNECT | NEED_DEVICE_CTL)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct packet p = { .from = { vsock_config(e->vs)->guest[0], SERVER_PORT },
			    .type = VSOCK_STREAM,
			    .op = VSOCK_OP_RST };
	struct vsock_stray s[4];
	struct ctl_report r;

	vsock_hold_requests(e->vs, true);
	vsock_strays_clear(e->vs);
	CTL_OK(t, ctl_connect_begin(e->ctl, ASSAY_CID_ANY, p.from, VSOCK_STREAM, CTL_SVC_NONE,
				    test_ms()));
	require(t,
		wait_for((vsock_poll(e->vs), find_stray(e, SERVER_PORT, VSOCK_OP_REQUEST, &p.to)),
			 test_sec()),
		"the host's REQUEST does not come");
	CTL_OK(t, ctl_find_at(e->ctl, p.to, p.from, VSOCK_STREAM, &r));
	CTL_OK(t, ctl_conn(e->ctl, CTL_SET_BUF, r.conn, 20000, NULL));
	CTL_OK(t, ctl_send(e->ctl, r.conn, 1, 1000, 0, true, &r));
	settle(t, e);
	expect_eq(
		t, vsock_strays(e->vs, s, COUNT_OF(s)), 1,
		"packets for a connection that is not accepted: the REQUEST, and none about credit or data");
	packet_send(t, e, &p);
	settle(t, e);
	vsock_hold_requests(e->vs, false);
}

#define REFUSED 100u

TEST(states_refused_often,
     .id = "vsock.states.host_refused_often",
     .clause = "virtio 1.4, 5.10.6.5: after RST nothing of a connection is left, of one that the host asked for as well",
     .owner = OWNER,
     .needs = NEEDS | NEED_HOST_CONNECT,
     .timeout = 20 * SEC)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_addr to = { vsock_config(e->vs)->guest[0], SERVER_PORT };
	struct ctl_report r;
	struct pair *p;
	unsigned int i;
	int ret;

	for (i = 0; i < REFUSED; i++) {
		ret = ctl_connect(e->ctl, ASSAY_CID_ANY, to, VSOCK_STREAM, CTL_SVC_NONE, test_ms(),
				  &r);
		require(t, ret == -ECONNREFUSED || ret == -ECONNRESET,
			"the host's connect number %u to a closed port: %s", i + 1, err_text(ret));
	}
	p = pair_open(t, .host_connects = true);
	guest_send(p, 100);
	host_expects(p);
	pair_close(p);
}

/* --- packets of a connection that stands ------------------------------------------------------ */

TEST(states_open,
     .id = "vsock.states.open",
     .clause = "virtio 1.4, 5.10.6.5: no packet but SHUTDOWN and RST ends a connection, none begins it anew",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 15 * SEC)
{
	static const struct {
		uint16_t op;
		bool legal; /* else the host may answer it by RST */
		uint32_t flags;
	} kinds[] = {
		{ VSOCK_OP_RW, true, 0 }, /* of 0 bytes */
		{ VSOCK_OP_CREDIT_UPDATE, true, 0 },
		{ VSOCK_OP_CREDIT_REQUEST, true, 0 },
		{ VSOCK_OP_SHUTDOWN, true, 0 }, /* of neither direction */
		/* The flags of SHUTDOWN mean nothing where credit is told. */
		{ VSOCK_OP_CREDIT_UPDATE, true, BOTH },
		{ VSOCK_OP_CREDIT_REQUEST, true, BOTH },
		{ VSOCK_OP_REQUEST, false, 0 },
		{ VSOCK_OP_RESPONSE, false, 0 },
		{ VSOCK_OP_CREDIT_REQUEST + 1, false, 0 },
	};
	unsigned int i;

	for (i = 0; i < COUNT_OF(kinds); i++) {
		struct pair *p = pair_open(t, .at = ASSAY_ECHO_PORT);

		test_note(t, "%s (operation %u), flags %u", packet_op(kinds[i].op), kinds[i].op,
			  (unsigned int)kinds[i].flags);
		echo(p, 1000);
		require(t, all_returned(p), "fwd_cnt after 1000 bytes: %u",
			(unsigned int)credit_of(p).peer_fwd_cnt);
		guest_packet(p, kinds[i].op, kinds[i].flags, 0);
		settle(t, p->env);
		if (!kinds[i].legal && has_ended(p)) {
			pair_drop(p);
			continue;
		}
		expect(t, !has_ended(p) && !vsock_peer_shutdown(p->conn),
		       "%s with flags %u and no payload ends the connection",
		       packet_op(kinds[i].op), (unsigned int)kinds[i].flags);
		echo(p, 500);
		expect(t, all_returned(p), "fwd_cnt after %s: expected 1500, seen %u",
		       packet_op(kinds[i].op), (unsigned int)credit_of(p).peer_fwd_cnt);
		pair_close(p);
	}
}

/* --- ends --------------------------------------------------------------------------------------- */

TEST(states_guest_shuts,
     .id = "vsock.states.guest_shuts",
     .clause = "virtio 1.4, 5.10.6.5: SHUTDOWN flags are permanent; RST answers when both directions are shut, in any order",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE,
     .timeout = 15 * SEC)
{
	static const uint8_t orders[][4] = {
		{ BOTH },
		{ VSOCK_SHUTDOWN_RCV, VSOCK_SHUTDOWN_SEND },
		{ VSOCK_SHUTDOWN_SEND, VSOCK_SHUTDOWN_RCV },
		{ VSOCK_SHUTDOWN_RCV, BOTH },
		{ VSOCK_SHUTDOWN_SEND, BOTH },
		{ VSOCK_SHUTDOWN_SEND, VSOCK_SHUTDOWN_SEND, VSOCK_SHUTDOWN_RCV },
		{ VSOCK_SHUTDOWN_RCV, VSOCK_SHUTDOWN_RCV, VSOCK_SHUTDOWN_SEND },
		/* Flags that there are not say nothing. */
		{ VSOCK_SHUTDOWN_RCV | 0xf4, VSOCK_SHUTDOWN_SEND | 0xf8 },
	};
	unsigned int i, k, shut;

	for (i = 0; i < COUNT_OF(orders); i++) {
		struct pair *p = pair_open(t);

		guest_send(p, 300);
		for (k = shut = 0; k < COUNT_OF(orders[i]) && shut != BOTH; k++) {
			guest_packet(p, VSOCK_OP_SHUTDOWN, orders[i][k], 0);
			shut |= orders[i][k] & BOTH;
			if (shut == BOTH)
				break;
			settle(t, p->env);
			expect(t, !has_ended(p), "SHUTDOWN of flags %u ends the connection", shut);
			if (!(shut & VSOCK_SHUTDOWN_SEND)) {
				guest_send(p, 200);
				host_expects(p);
			} else if (!(shut & VSOCK_SHUTDOWN_RCV)) {
				host_expects_end(p);
				host_send(p, 200);
				guest_expects(p, 200);
			}
		}
		expect(t, pair_waits(p, has_ended(p), 1), "SHUTDOWN of flags %u%s: no RST comes",
		       orders[i][0], k ? ", then of the other direction" : "");
		host_expects(p);
		pair_drop(p);
	}
}

/* The host's data waits for credit; that the host receives no more does not wait for it. */
static void shuts_beside_waiting(struct test_ctx *t)
{
	struct pair *p = pair_open(t);
	struct ctl *ctl = p->env->ctl;

	rx_is_full(p);
	ctl_ahead(ctl, true);
	host_send(p, 2000);
	ctl_ahead(ctl, false);
	vsock_conn_set_buf(p->conn, 0);
	pair_waits(p, !vq_in_flight(vsock_device(p->env->vs)->vq[1]), 1);
	rx_has_room(p);
	settle(t, p->env);
	host_shuts(p, VSOCK_SHUTDOWN_RCV);
	expect(t, pair_waits(p, vsock_peer_shutdown(p->conn) == VSOCK_SHUTDOWN_RCV, 1),
	       "the host shuts receiving while its data waits for credit: no SHUTDOWN of that direction comes, the flags are %u",
	       vsock_peer_shutdown(p->conn));
	vsock_conn_set_buf(p->conn, 65536);
	guest_expects(p, 2000);
	pair_drop(p);
}

TEST(states_host_shuts,
     .id = "vsock.states.host_shuts",
     .clause = "virtio 1.4, 5.10.6.5: the guest is told of each direction that the host shuts",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE)
{
	static const uint8_t first[] = { VSOCK_SHUTDOWN_RCV, VSOCK_SHUTDOWN_SEND };
	unsigned int i;

	for (i = 0; i < COUNT_OF(first); i++) {
		struct pair *p = pair_open(t);

		host_shuts(p, first[i]);
		expect(t, pair_waits(p, vsock_peer_shutdown(p->conn), 1),
		       "the host shuts direction %u: no SHUTDOWN comes", first[i]);
		host_shuts(p, BOTH & ~first[i]);
		expect(t, pair_waits(p, vsock_peer_shutdown(p->conn) == BOTH || has_ended(p), 1),
		       "the host shuts direction %u after %u: no SHUTDOWN comes", BOTH & ~first[i],
		       first[i]);
		pair_drop(p);
	}
	shuts_beside_waiting(t);
}

TEST(states_guest_ends_unread,
     .id = "vsock.states.guest_ends_unread",
     .clause = "virtio 1.4, 5.10.6.5: SHUTDOWN says that no more comes; what came before it is read",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE)
{
	static const uint8_t how[] = { VSOCK_SHUTDOWN_SEND, BOTH };
	enum vsock_type type;
	unsigned int i;

	for (type = VSOCK_STREAM; type <= VSOCK_SEQPACKET; type++)
		for (i = 0; i < COUNT_OF(how) && has_type(vsock_env_ctl(t), type); i++) {
			/* So small that the read bytes are worth a CREDIT_UPDATE, for which it is too late. */
			struct pair *p = pair_open(
				t, .type = type,
				.host_buf = ctl_can(vsock_env_ctl(t)->ctl, CTL_CAP_CREDIT) ? 16384 :
											     0);

			host_pauses(p);
			guest_send(p, 5000);
			guest_send(p, 7);
			guest_shuts(p, how[i]);
			settle(t, p->env);
			host_goes_on(p);
			host_expects(p);
			if (how[i] == BOTH)
				expect(t, pair_waits(p, has_ended(p), 1),
				       "the host has read all behind a SHUTDOWN of both directions: no RST comes");
			pair_close(p);
		}
}

/* The application does not read. All that it has not read is a packet without bytes. */
TEST(states_nothing_unread,
     .id = "vsock.states.nothing_unread",
     .clause = "virtio 1.4, 5.10.6.5: RST answers SHUTDOWN of both directions; 5.10.6.6: a stream has no messages, so that nothing is unread where no byte is",
     .owner = OWNER,
     .needs = NEEDS)
{
	/* EOM means something in messages only. */
	static const uint32_t flags[] = { 0, VSOCK_SEQ_EOM };
	const unsigned int n = ctl_can(vsock_env_ctl(t)->ctl, CTL_CAP_DEVICE) ? 2 : 1;
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct pair *p = pair_open(t);

		guest_send(p, 100);
		host_expects(p);
		host_pauses(p);
		guest_packet(p, VSOCK_OP_RW, flags[i], 0);
		guest_shuts(p, BOTH);
		expect(t, pair_waits(p, has_ended(p), 1),
		       "SHUTDOWN of both directions behind a RW of 0 bytes, flags %u: no RST comes",
		       (unsigned int)flags[i]);
		pair_drop(p);
	}
}

/* With `credit` the guest takes its credit back before there is a buffer, so that the data goes on waiting. */
static void ends_with_data_queued(struct test_ctx *t, enum vsock_type type, bool close, bool credit)
{
	struct pair *p = pair_open(t, .type = type);
	struct ctl *ctl = p->env->ctl;

	rx_is_full(p);
	ctl_ahead(ctl, true);
	host_send(p, 2000);
	if (close)
		host_closes(p);
	else
		host_shuts(p, VSOCK_SHUTDOWN_SEND);
	ctl_ahead(ctl, false);
	if (credit) {
		vsock_conn_set_buf(p->conn, 0);
		pair_waits(p, !vq_in_flight(vsock_device(p->env->vs)->vq[1]), 1);
	}
	rx_has_room(p);
	settle(t, p->env);
	expect(t,
	       !(vsock_peer_shutdown(p->conn) & VSOCK_SHUTDOWN_SEND) ||
		       vsock_readable(p->conn) == 2000,
	       "SHUTDOWN overtakes data that waits for %s", credit ? "credit" : "rx buffers");
	if (credit)
		vsock_conn_set_buf(p->conn, 65536);
	guest_expects(p, 2000);
	if (close)
		expect(t, pair_waits(p, has_ended(p), 1),
		       "the host's application closes: no SHUTDOWN comes behind the data");
	else
		guest_expects_end(p);
	pair_drop(p);
}

/* The host's application sends and ends at once, while no receive buffer is there. */
TEST(states_host_ends_queued,
     .id = "vsock.states.host_ends_queued",
     .clause = "virtio 1.4, 5.10.6.5: SHUTDOWN says that no more comes; what was sent before it comes first",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE,
     .timeout = 20 * SEC)
{
	/* A peer that has sockets keeps what waits for credit to itself: the kernel has not taken it. */
	const unsigned int n = ctl_can(vsock_env_ctl(t)->ctl, CTL_CAP_DEVICE) ? 4 : 2;
	enum vsock_type type;
	unsigned int i;

	for (type = VSOCK_STREAM; type <= VSOCK_SEQPACKET; type++)
		for (i = 0; i < n && has_type(vsock_env_ctl(t), type); i++)
			ends_with_data_queued(t, type, i & 1, i & 2);
}

/* The guest ends its direction while the host's data waits for a receive buffer. */
TEST(states_guest_shuts_queued,
     .id = "vsock.states.guest_shuts_beside_queued",
     .clause = "virtio 1.4, 5.10.6.5: a guest that sends no more still receives what the host has for it",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE,
     .timeout = 15 * SEC)
{
	enum vsock_type type;

	for (type = VSOCK_STREAM; type <= VSOCK_SEQPACKET && has_type(vsock_env_ctl(t), type);
	     type++) {
		struct pair *p = pair_open(t, .type = type);
		struct ctl *ctl = p->env->ctl;

		rx_is_full(p);
		ctl_ahead(ctl, true);
		host_send(p, 2000);
		ctl_ahead(ctl, false);
		guest_packet(p, VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_SEND, 0);
		rx_has_room(p);
		CTL_OK(t, ctl_barrier(ctl));
		guest_expects(p, 2000);
		host_expects_end(p);
		pair_drop(p);
	}
}

/* The guest stops receiving while n bytes, or a message of them, wait for a receive buffer. */
static void stops_beside_queued(struct test_ctx *t, enum vsock_type type, uint32_t n)
{
	struct pair *p = pair_open(t, .type = type, .service = CTL_SVC_ECHO);
	const bool in_device = ctl_can(p->env->ctl, CTL_CAP_DEVICE);
	size_t len;
	bool eor;

	rx_is_full(p);
	guest_send(p, n);
	guest_packet(p, VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_RCV, 0);
	pair_waits(p, !vq_in_flight(vsock_device(p->env->vs)->vq[1]), 1);
	rx_has_room(p);
	settle(t, p->env);
	/* Packets that other hosts have made already go out all the same. */
	expect(t, !in_device || !credit_of(p).rx_cnt,
	       "%u bytes of %u came behind our SHUTDOWN of receiving",
	       (unsigned int)credit_of(p).rx_cnt, (unsigned int)n);
	expect(t, n || vsock_recv_msg(p->conn, NULL, 0, 0, &len, &eor) == -ETIMEDOUT,
	       "an empty message came behind our SHUTDOWN of receiving");
	host_closes(p);
	expect(t, pair_waits(p, vsock_peer_shutdown(p->conn) == BOTH || has_ended(p), 1),
	       "the host's application closes, with %u bytes for nobody: neither SHUTDOWN nor RST comes",
	       (unsigned int)n);
	pair_drop(p);
}

TEST(states_stops_queued,
     .id = "vsock.states.guest_stops_beside_queued",
     .clause = "virtio 1.4, 5.10.6.5: SHUTDOWN of receiving: what waits for the guest is nobody's, and holds the host's own end back no longer",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE,
     .timeout = 15 * SEC)
{
	stops_beside_queued(t, VSOCK_STREAM, 2000);
	if (!has_type(vsock_env_ctl(t), VSOCK_SEQPACKET))
		return;
	stops_beside_queued(t, VSOCK_SEQPACKET, 2000);
	/* Linux's sockets have no empty messages. */
	if (ctl_can(vsock_env_ctl(t)->ctl, CTL_CAP_DEVICE))
		stops_beside_queued(t, VSOCK_SEQPACKET, 0);
}

/*
 * Each side has sent SHUTDOWN and waits for the other's RST. 5.10.6.5 lets both send RST after a time of their
 * choice, as Linux does.
 */
TEST(states_crossed,
     .id = "vsock.states.crossed_shutdown",
     .clause = "virtio 1.4, 5.10.6.5: RST ends a connection that both sides have shut (when it comes late, this is noted)",
     .owner = OWNER,
     .needs = NEEDS)
{
	static const uint32_t unread[] = { 0, 50 }; /* by the application, when it closes */
	unsigned int i;

	for (i = 0; i < COUNT_OF(unread); i++) {
		struct pair *p = pair_open(t);

		if (unread[i]) {
			host_pauses(p);
			guest_send(p, unread[i]);
		}
		host_send(p, 100);
		pair_waits(p, vsock_readable(p->conn) == 100, 1);
		host_closes(p);
		/* 100 bytes are unread, so the driver does not answer yet. */
		require(t, pair_waits(p, vsock_peer_shutdown(p->conn) == BOTH || has_ended(p), 1),
			"the host's application closes: neither SHUTDOWN of both directions nor RST comes");
		if (has_ended(p)) {
			test_note(
				t,
				"the host's application closes with %u bytes unread, and RST comes: no SHUTDOWNs cross",
				(unsigned int)unread[i]);
			pair_drop(p);
			continue;
		}
		guest_shuts(p, BOTH);
		/* A host that waits for ours gives up later than that. */
		if (!wait_for((vsock_poll(p->env->vs), has_ended(p)), test_sec() / 3))
			test_note(
				t,
				"no RST in time where the SHUTDOWNs of both sides cross, %u bytes unread",
				(unsigned int)unread[i]);
		pair_drop(p);
	}
}

/* The other direction is over already: the guest has nobody else to tell it. */
TEST(states_host_closes,
     .id = "vsock.states.host_closes_half",
     .clause = "virtio 1.4, 5.10.6.5: the guest is told when the host's application closes what the guest has half closed",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE)
{
	static const uint8_t first[] = { VSOCK_SHUTDOWN_RCV, VSOCK_SHUTDOWN_SEND };
	unsigned int i;

	for (i = 0; i < 2 * COUNT_OF(first); i++) {
		const bool waits = i >= COUNT_OF(first);
		struct pair *p = pair_open(t, .guest_buf = waits ? 1000 : 0);

		if (waits) { /* the host has more to send than the guest has room for */
			vsock_conn_hold_credit(p->conn, true);
			host_send(p, 3000);
			pair_waits(p, vsock_readable(p->conn) == 1000, 1);
			vsock_conn_set_told(p->conn, 500);
		}
		guest_shuts(p, first[i % COUNT_OF(first)]);
		settle(t, p->env);
		host_closes(p);
		expect(t, pair_waits(p, vsock_peer_shutdown(p->conn) == BOTH || has_ended(p), 1),
		       "the host's application closes behind our SHUTDOWN of flags %u%s: neither SHUTDOWN nor RST comes",
		       first[i % COUNT_OF(first)], waits ? ", with data that waits" : "");
		if (waits) { /* room for what nobody sends any more */
			vsock_conn_set_buf(p->conn, 5000);
			settle(t, p->env);
		}
		pair_drop(p);
	}
}

/* Data is unread, so that RST has not answered the guest's SHUTDOWN yet. */
TEST(states_host_closes_unread,
     .id = "vsock.states.host_closes_unread",
     .clause = "virtio 1.4, 5.10.6.5: RST answers SHUTDOWN of both directions, at the latest when the host's application closes",
     .owner = OWNER,
     .needs = NEEDS)
{
	struct pair *p = pair_open(t);

	host_pauses(p);
	guest_send(p, 5000);
	guest_shuts(p, BOTH);
	host_closes(p);
	expect(t, pair_waits(p, has_ended(p), 1),
	       "the host's application closes behind our SHUTDOWN, with data unread: no RST comes");
	/* The driver answers that by an RST of its own. */
	if (vsock_peer_shutdown(p->conn))
		test_note(
			t,
			"SHUTDOWN answers our SHUTDOWN of both directions where the application closes with data unread");
	pair_drop(p);
	/* Without that SHUTDOWN it is the host that shuts, and what nobody read is nobody's any more. */
	p = pair_open(t);
	host_pauses(p);
	guest_send(p, 5000);
	host_closes(p);
	expect(t, pair_waits(p, vsock_peer_shutdown(p->conn) == BOTH || has_ended(p), 1),
	       "the host's application closes with data unread: neither SHUTDOWN nor RST comes");
	pair_drop(p);
}

/* Three connections have data that waits for rx buffers, and one of them ends meanwhile. */
TEST(states_queued_end,
     .id = "vsock.states.end_while_others_wait",
     .clause = "virtio 1.4, 5.10.6.5: RST ends the connection of its addresses, and no other loses what waits for it",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 15 * SEC)
{
	enum {
		PAIRS = 3,
		BYTES = 600
	};
	unsigned int ends, i;

	for (ends = 0; ends < PAIRS; ends++) {
		struct pair *filler = pair_open(t), *p[PAIRS];

		for (i = 0; i < PAIRS; i++)
			p[i] = pair_open(t);
		rx_is_full(filler);
		ctl_ahead(filler->env->ctl, true);
		for (i = 0; i < PAIRS; i++)
			host_send(p[i], BYTES);
		ctl_ahead(filler->env->ctl, false);
		guest_resets(p[ends]);
		pair_waits(filler, !vq_in_flight(vsock_device(filler->env->vs)->vq[1]), 1);
		rx_has_room(filler);
		for (i = 0; i < PAIRS; i++) {
			if (i == ends)
				continue;
			guest_expects(p[i], BYTES);
			host_send(p[i], BYTES);
			guest_expects(p[i], BYTES);
		}
		settle(t, filler->env);
		for (i = 0; i < PAIRS; i++)
			pair_drop(p[i]);
		pair_drop(filler);
	}
}

/* What the host's application has written and the device could not take yet is lost when it shuts sending. */
TEST(states_host_shuts_waiting,
     .id = "vsock.states.host_shuts_waiting",
     .clause = "virtio 1.4, 5.10.6.5: SHUTDOWN of sending is permanent: nothing comes behind it, though it had waited for credit",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE)
{
	const uint32_t room = 2000;
	struct pair *p = pair_open(t, .guest_buf = room);
	uint8_t b[512];
	ssize_t n;

	vsock_conn_hold_credit(p->conn, true);
	host_send(p, 10 * room);
	pair_waits(p, vsock_readable(p->conn) == room, 1);
	host_shuts(p, VSOCK_SHUTDOWN_SEND);
	vsock_conn_hold_credit(p->conn, false);
	vsock_conn_set_buf(p->conn, 20 * room);
	do
		n = vsock_recv(p->conn, b, sizeof(b), IO_NS);
	while (n > 0);
	expect(t, n == 0, "the host shuts sending while data waits for credit: no end comes, %s",
	       err_text((int)n));
	settle(t, p->env);
	guest_send(p, 100);
	host_expects(p);
	pair_drop(p);
}

#define FORGOTTEN_NS (12 * SEC) /* Linux waits for 8 s, Firecracker for 2 */

static void ends_at_last(struct test_ctx *t, struct pair *p, const char *how)
{
	if (!wait_for((vsock_poll(p->env->vs), has_ended(p)), FORGOTTEN_NS))
		test_note(t, "the guest does not answer the host's %s: no RST comes", how);
}

/* 100 bytes are unread, so that the driver does not answer. The third connection goes on meanwhile. */
TEST(states_forgotten,
     .id = "vsock.states.close_unanswered",
     .clause = "virtio 1.4, 5.10.6.5: a host whose SHUTDOWN of both directions is not answered may send RST in time, and holds the connection no longer (when none comes, this is noted)",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE,
     .timeout = 30 * SEC)
{
	struct pair *closed = pair_open(t), *shut = pair_open(t), *other = pair_open(t);

	host_send(closed, 100);
	host_send(shut, 100);
	pair_waits(closed, vsock_readable(closed->conn) == 100, 1);
	pair_waits(shut, vsock_readable(shut->conn) == 100, 1);
	host_closes(closed);
	host_shuts(shut, BOTH);
	settle(t, other->env);
	if (wait_for((vsock_poll(other->env->vs), has_ended(closed) || has_ended(shut)),
		     test_sec() / 3))
		test_note(
			t,
			"the host waits less than 0.3 s for an answer to its SHUTDOWN of both directions");
	ends_at_last(t, closed, "close");
	ends_at_last(t, shut, "SHUTDOWN of both directions");
	if (has_ended(shut) && ctl_can(other->env->ctl, CTL_CAP_DEVICE))
		expect(t, host_report(shut).flags & CTL_CONN_RESET,
		       "a connection that ended without an answer is told as one in order");
	host_send(other, 100);
	guest_expects(other, 100);
	pair_drop(closed);
	pair_drop(shut);
	pair_close(other);
}

/* The guest's packet is on its way when the host's SHUTDOWN is: for the host there is no telling which was first. */
TEST(states_data_crosses,
     .id = "vsock.states.data_crosses_shutdown",
     .clause = "virtio 1.4, 5.10.6.5: SHUTDOWN ends the direction that it names; data that crosses it ends no other",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE)
{
	struct pair *p = pair_open(t);

	host_shuts(p, VSOCK_SHUTDOWN_RCV);
	guest_packet(p, VSOCK_OP_RW, 0, 100);
	settle(t, p->env);
	require(t, !has_ended(p), "data that crosses the host's SHUTDOWN of receiving: RST comes");
	host_send(p, 200);
	guest_expects(p, 200);
	pair_drop(p);
}

TEST(states_listener_ends,
     .id = "vsock.states.listener_ends",
     .clause = "virtio 1.4, 5.10.6.5: a connection ends by its own SHUTDOWN or RST, not with the listener that accepted it",
     .owner = OWNER,
     .needs = NEEDS)
{
	struct pair *p = pair_open(t);

	CTL_OK(t, ctl_unlisten(p->env->ctl, ASSAY_CID_ANY, p->remote.port, VSOCK_STREAM));
	settle(t, p->env);
	require(t, !has_ended(p), "the host stops listening: RST comes on what was accepted");
	guest_send(p, 100);
	host_expects(p);
	host_send(p, 100);
	guest_expects(p, 100);
	pair_close(p);
}

/* --- what is left ------------------------------------------------------------------------------- */

static void ends(struct pair *p, unsigned int how)
{
	switch (how) {
	case 0:
		pair_close(p);
		return;
	case 1:
		guest_resets(p);
		break;
	case 2:
		host_closes(p);
		break;
	default:
		host_resets(p);
		break;
	}
	pair_waits(p, has_ended(p), 1);
	pair_drop(p);
}

TEST(states_port_reused,
     .id = "vsock.states.port_reused",
     .clause = "virtio 1.4, 5.10.6.5: after RST the same addresses and ports begin a new connection, whose counters are 0",
     .owner = OWNER,
     .needs = NEEDS | NEED_PEER_RESET,
     .timeout = 15 * SEC)
{
	enum vsock_type type;
	unsigned int how;

	for (type = VSOCK_STREAM; type <= VSOCK_SEQPACKET; type++)
		for (how = 0; how < 4 && has_type(vsock_env_ctl(t), type); how++) {
			const uint32_t port = LOCAL_PORT + how;
			struct pair *a = pair_open(t, .type = type, .service = CTL_SVC_ECHO,
						   .local_port = port);
			struct pair *b;

			echo(a, 1000);
			ends(a, how);
			b = pair_open(t, .type = type, .port_of = a, .local_port = port);
			expect_eq(t, credit_of(b).peer_fwd_cnt, 0,
				  "fwd_cnt of the second connection on its ports");
			echo(b, 600);
			expect(t, all_returned(b), "fwd_cnt after 600 bytes: seen %u",
			       (unsigned int)credit_of(b).peer_fwd_cnt);
			pair_close(b);
		}
}

/* The guest's RST, and a REQUEST with the same addresses behind it: the device finds both together. */
static void begins_anew(struct test_ctx *t, bool host_ends)
{
	struct pair *a = pair_open(t, .service = CTL_SVC_ECHO, .local_port = LOCAL_PORT), *b;
	struct vsock *vs = a->env->vs;

	echo(a, 1000);
	if (host_ends) {
		host_send(a, 100); /* unread, so that the driver does not answer the SHUTDOWN */
		pair_waits(a, vsock_readable(a->conn) == 100, 1);
		host_closes(a);
		require(t, pair_waits(a, vsock_peer_shutdown(a->conn) == BOTH, 1),
			"the host's application closes: no SHUTDOWN of both directions comes");
	}
	(void)wait_for(false, MSEC); /* the device rests */
	vsock_hold_tx(vs, true);
	pair_drop(a);
	b = pair_start(t, .port_of = a, .local_port = LOCAL_PORT);
	vsock_hold_tx(vs, false);
	pair_up(b);
	expect_eq(t, credit_of(b).peer_fwd_cnt, 0, "fwd_cnt of the connection behind the RST");
	echo(b, 600);
	pair_close(b);
}

/* Linux's socket stays in the table until the application has closed it, and refuses what comes before. */
TEST(states_anew,
     .id = "vsock.states.request_behind_rst",
     .clause = "virtio 1.4, 5.10.6.5: RST ends a connection at once: a REQUEST right behind it begins a new one",
     .owner = OWNER,
     .needs = NEEDS | NEED_DEVICE_CTL)
{
	begins_anew(t, false);
	begins_anew(t, true);
}

/* The driver has forgotten the connection, so that it takes what comes for a stray. */
TEST(states_silent,
     .id = "vsock.states.silent_behind_rst",
     .clause = "virtio 1.4, 5.10.6.5: RST ends a connection: the host sends nothing behind it, neither RST nor SHUTDOWN (what comes is noted)",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE | NEED_PEER_RESET)
{
	static const struct {
		unsigned int guest_shuts, host_shuts;
	} before[] = {
		{ 0, 0 },
		{ VSOCK_SHUTDOWN_SEND, 0 },
		{ 0, VSOCK_SHUTDOWN_SEND },
		{ 0, VSOCK_SHUTDOWN_RCV },
	};
	struct vsock_env *e = vsock_env_ctl(t);
	struct pair *p;
	unsigned int i;

	for (i = 0; i < COUNT_OF(before); i++) {
		struct packet sent;
		int op;

		p = pair_open(t);
		sent = (struct packet){ .from = p->local, .to = p->remote };
		if (before[i].guest_shuts)
			guest_shuts(p, before[i].guest_shuts);
		if (before[i].host_shuts)
			host_shuts(p, before[i].host_shuts);
		settle(t, e);
		vsock_strays_clear(e->vs);
		pair_drop(p);
		settle(t, e);
		op = packet_answer(e, &sent);
		if (op != PACKET_NONE)
			test_note(t, "%s comes behind our RST (shut: guest %u, host %u)",
				  packet_op(op), before[i].guest_shuts, before[i].host_shuts);
	}
	/* Of what comes behind its own RST the oracle tells. */
	p = pair_open(t);
	host_resets(p);
	guest_expects_reset(p);
	settle(t, e);
}

#define OPEN 70u

TEST(states_after_reset,
     .id = "vsock.states.after_device_reset",
     .clause = "virtio 1.4, 2.4.1: a reset device is as new; connections from before refuse none",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 20 * SEC)
{
	struct pair *p[OPEN];
	unsigned int i;

	for (i = 0; i < OPEN; i++)
		p[i] = pair_start(t, .at = ASSAY_ECHO_PORT, .local_port = LOCAL_PORT + i);
	for (i = 0; i < OPEN; i++)
		pair_up(p[i]);
	CTL_OK(t, vsock_env_reopen(t, 0));
	CTL_OK(t, vsock_env_reconnect());
	for (i = 0; i < OPEN; i++)
		p[i] = pair_start(t, .at = ASSAY_ECHO_PORT, .local_port = LOCAL_PORT + i);
	for (i = 0; i < OPEN; i++) {
		/* Linux's sockets outlive the device's reset, and pass over a second REQUEST. */
		if (!pair_waits(p[i], vsock_conn_state(p[i]->conn) != VSOCK_CONNECTING, 1))
			test_skip(
				t,
				"the host's sockets outlive a reset of the device: a REQUEST on their ports is not answered");
		pair_up(p[i]);
		pair_drop(p[i]);
	}
}

#define BATCH 100u

/* n connections to port come to their end, some at a time. */
static void many_end(struct test_ctx *t, unsigned int n, uint32_t port, bool orderly)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct vsock_conn *c[BATCH];
	unsigned int done, i;
	int ret;

	for (done = 0; done < n; done += BATCH) {
		for (i = 0; i < BATCH; i++) {
			ret = vsock_connect_start(e->vs, VSOCK_STREAM, any_port(0), host_port(port),
						  &c[i]);
			if (ret)
				test_error(t, "REQUEST cannot be sent: %s", err_text(ret));
		}
		for (i = 0; i < BATCH; i++) {
			wait_for((vsock_poll(e->vs), vsock_conn_state(c[i]) != VSOCK_CONNECTING),
				 test_sec());
			require(t,
				vsock_conn_state(c[i]) ==
					(port == NOBODY ? VSOCK_REFUSED : VSOCK_ESTABLISHED),
				"REQUEST number %u to port %u: %s", done + i, (unsigned int)port,
				vsock_conn_state(c[i]) == VSOCK_CONNECTING ? "nothing came" :
				port == NOBODY				   ? "RESPONSE came" :
									     "RST came");
			if (orderly)
				vsock_shutdown(c[i], BOTH);
		}
		for (i = 0; i < BATCH; i++)
			vsock_conn_close(c[i], orderly ? IO_NS : 0);
	}
}

TEST(states_many,
     .id = "vsock.states.many_end",
     .clause = "virtio 1.4, 5.10.6.5: after RST nothing of a connection is left; RESPONSE where somebody listens",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 40 * SEC)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const bool fast = ctl_can(e->ctl, CTL_CAP_DEVICE);
	struct pair *p;

	many_end(t, 400, NOBODY, false);
	many_end(t, 400, ASSAY_ECHO_PORT, false);
	many_end(t, fast ? 2100 : 400, ASSAY_ECHO_PORT, true);
	p = pair_open(t, .at = ASSAY_ECHO_PORT);
	echo(p, 100);
	pair_close(p);
}

#define TOO_MANY 5200u

/* In front of its answer may come those of a thousand others: it has time as long as they do. */
static bool is_answered(const struct vsock_env *e, const struct vsock_conn *c)
{
	uint64_t before;

	do {
		before = vsock_received(e);
	} while (vsock_conn_state(c) == VSOCK_CONNECTING &&
		 wait_for(vsock_received(e) != before, test_sec()));
	return vsock_conn_state(c) != VSOCK_CONNECTING;
}

/* Opens as many as the host takes; RST refuses the others. How many are open. */
static unsigned int open_all(struct test_ctx *t, struct vsock_conn **c)
{
	struct vsock_env *e = vsock_env_ctl(t);
	unsigned int i, open = 0;
	int ret;

	for (i = 0; i < TOO_MANY; i++) {
		ret = vsock_connect_start(e->vs, VSOCK_STREAM, any_port(0),
					  host_port(ASSAY_SINK_PORT), &c[i]);
		if (ret)
			test_error(t, "REQUEST cannot be sent: %s", err_text(ret));
		vsock_poll(e->vs);
	}
	for (i = 0; i < TOO_MANY; i++) {
		require(t, is_answered(e, c[i]), "REQUEST number %u of %u: nothing came", i + 1,
			TOO_MANY);
		open += vsock_conn_state(c[i]) == VSOCK_ESTABLISHED;
	}
	return open;
}

/* An application of the host has this one. */
static void is_served(struct test_ctx *t, struct vsock_env *e, struct vsock_conn *c)
{
	static const uint8_t bytes[16];
	struct ctl_report r;
	int ret;

	ret = (int)vsock_send(c, bytes, sizeof(bytes), IO_NS);
	require(t, ret == (int)sizeof(bytes), "one of very many connections takes no data: %s",
		ret < 0 ? err_text(ret) : "no credit");
	ret = ctl_find(e->ctl, c, VSOCK_STREAM, &r);
	require(t, ret == 0, "RESPONSE came, and no application of the host has a connection: %s",
		err_text(ret));
	expect_eq(t, r.rx_bytes, sizeof(bytes), "bytes that the application got");
}

TEST(states_exhausted,
     .id = "vsock.states.exhausted",
     .clause = "virtio 1.4, 5.10.6.5: RESPONSE or RST answers each REQUEST, also those for which the host has no room; what has ended makes room",
     .owner = OWNER,
     .needs = NEEDS | NEED_DEVICE_CTL,
     .timeout = 60 * SEC)
{
	enum {
		STEP = 256
	};
	static struct vsock_conn *c[TOO_MANY];
	struct vsock_env *e = vsock_env_ctl(t);
	const uint32_t most = le32_to_cpu(ctl_hello(e->ctl)->max_conns);
	/* One of those promised is the control connection. */
	const unsigned int promised = most > TOO_MANY ? TOO_MANY : most - 1;
	unsigned int round, i, open, last;

	for (round = 0; round < 2; round++) {
		open = open_all(t, c);
		test_note(t, "%u connections of %u", open, TOO_MANY);
		require(t, open && open >= promised, "%u connections are open, %u were promised",
			open, promised);
		for (i = last = 0; i < TOO_MANY; i++) {
			if (vsock_conn_state(c[i]) != VSOCK_ESTABLISHED)
				continue;
			last = i;
			if (i % STEP == 0)
				is_served(t, e, c[i]);
		}
		if (last % STEP)
			is_served(t, e, c[last]);
		for (i = 0; i < TOO_MANY; i++) {
			vsock_conn_close(c[i], 0);
			vsock_poll(e->vs);
		}
		settle(t, e);
	}
}

TEST(states_answers_wait,
     .id = "vsock.states.answers_wait",
     .clause = "virtio 1.4, 5.10.6.1.2: what the device answers while rx has no buffer comes once it has one",
     .owner = OWNER,
     .needs = NEEDS)
{
	struct pair *p = pair_open(t, .at = ASSAY_ECHO_PORT), *q;
	struct virtqueue *tx = vsock_device(p->env->vs)->vq[1];
	uint32_t before;
	const struct packet refused = { .from = { p->local.cid, LOCAL_PORT },
					.to = host_port(NOBODY),
					.type = VSOCK_STREAM,
					.op = VSOCK_OP_REQUEST };

	rx_is_full(p);
	before = credit_of(p).updates;
	packet_send(t, p->env, &refused);
	vsock_credit_request(p->conn);
	q = pair_start(t, .at = ASSAY_ECHO_PORT);
	/* A device without the resources may stop here, and goes on later. */
	pair_waits(p, vq_in_flight(tx) == 0, 1);
	rx_has_room(p);
	pair_up(q);
	pair_waits(p, credit_of(p).updates > before, 1);
	expect(t, credit_of(p).updates > before,
	       "CREDIT_REQUEST: expected CREDIT_UPDATE, nothing came");
	pair_waits(p, packet_answer(p->env, &refused) != PACKET_NONE, 1);
	expect(t, packet_answer(p->env, &refused) == VSOCK_OP_RST,
	       "REQUEST to a closed port: expected RST, %s came",
	       packet_op(packet_answer(p->env, &refused)));
	pair_close(q);
	pair_close(p);
}
