/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 5.10.6): a connection is its type, both CIDs and both ports, each with all of its bits.
 * Whatever comes for one, data, credit, an end, changes that one only; a listener is found by type, CID and
 * port, likewise.
 *
 * How hosts break it: they look up data by the whole address, and other packets by less; they keep 16 or 31
 * bits of a port; a listener takes what comes for its neighbour (cloud-hypervisor 8894; mvm 1401: credit of
 * one connection was another's).
 *
 * How it is seen here: two connections that differ in one field only, each kind of packet on one of them, and
 * a look at both; requests to each address that is one bit away from a listener's.
 */
#include <errno.h>

#include "drivers/virtio/virtqueue.h"
#include "tests/vsock/packet.h"
#include "tests/vsock/pair.h"

#define OWNER	   "vsock device back end"
#define NEEDS	   (NEED_VSOCK | NEED_PEER)
#define LOCAL_PORT 53003u
#define ROOM	   2000u

/* What the second connection has otherwise than the first. */
enum field {
	GUEST_PORT,
	GUEST_PORT_HIGH,
	GUEST_PORT_TOP,
	HOST_PORT,
	TYPE,
	GUEST_CID,
	HOST_CID,
	FIELDS
};
static const char *const field_name[] = {
	"bit 0 of the guest's port",
	"bit 16 of the guest's port",
	"bit 31 of the guest's port",
	"the host's port",
	"the type",
	"the guest's CID",
	"the host's CID",
};

static bool open_two(struct test_ctx *t, enum field f, struct pair *p[2])
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	struct pair_options o = { .local_port = LOCAL_PORT, .guest_buf = ROOM };

	if ((f == TYPE && (!virtio_has(vsock_device(e->vs), VSOCK_F_SEQPACKET) ||
			   !ctl_can(e->ctl, CTL_CAP_SEQPACKET))) ||
	    (f == GUEST_CID && cfg->num_guest < 2) || (f == HOST_CID && cfg->num_host < 1))
		return false;
	p[0] = pair_open_(t, __FILE__, __LINE__ | TEST_FATAL, &o);
	if (f == TYPE) {
		o.beside = p[0];
		o.type = VSOCK_SEQPACKET;
	} else if (f != HOST_PORT) {
		o.port_of = p[0];
	}
	if (f == GUEST_PORT)
		o.local_port ^= 1;
	else if (f == GUEST_PORT_HIGH)
		o.local_port ^= 1u << 16;
	else if (f == GUEST_PORT_TOP)
		o.local_port ^= 1u << 31;
	else if (f == GUEST_CID)
		o.local = cfg->guest[1];
	else if (f == HOST_CID)
		o.remote = cfg->host[0];
	p[1] = pair_open_(t, __FILE__, __LINE__ | TEST_FATAL, &o);
	return true;
}

static void settle(struct test_ctx *t, struct pair *p)
{
	CTL_OK(t, ctl_barrier(p->env->ctl));
	CTL_OK(t, ctl_barrier(p->env->ctl));
}

/* Both get data, and each its own. */
static void data_is_apart(struct pair *const p[2])
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		guest_send(p[i], 300 + i);
		host_expects(p[0]);
		host_expects(p[1]);
	}
	for (i = 0; i < 2; i++) {
		host_send(p[i], 200 + i);
		guest_expects(p[i], 200 + i);
		nothing_comes(p[1 - i]);
	}
}

static void answers_are_apart(struct test_ctx *t, struct pair *a, struct pair *b, const char *what)
{
	const uint32_t mine = credit_of(a).updates, other = credit_of(b).updates;

	vsock_credit_request(a->conn);
	expect(t, pair_waits(a, credit_of(a).updates > mine, 1),
	       "connections that differ in %s: CREDIT_REQUEST of one is not answered", what);
	settle(t, b);
	expect_eq(t, credit_of(b).updates, other, "CREDIT_UPDATEs of the other (%s)", what);
}

/* Both have data that waits for credit; what a is given is a's. */
static void credit_is_apart(struct test_ctx *t, struct pair *a, struct pair *b, const char *what)
{
	struct pair *const p[2] = { a, b };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		vsock_conn_hold_credit(p[i]->conn, true);
		vsock_conn_set_buf(p[i]->conn, ROOM);
		host_send(p[i], 2 * ROOM);
		pair_waits(p[i], vsock_readable(p[i]->conn) == ROOM, 1);
	}
	settle(t, a);
	vsock_conn_set_buf(a->conn, 2 * ROOM);
	expect(t, pair_waits(a, vsock_readable(a->conn) == 2 * ROOM, 1),
	       "connections that differ in %s: credit for one brings %u bytes of %u", what,
	       (unsigned int)vsock_readable(a->conn), 2 * ROOM);
	settle(t, b);
	expect_eq(t, vsock_readable(b->conn), ROOM, "bytes of the other, which got none (%s)",
		  what);
	guest_expects(a, 2 * ROOM);
	vsock_conn_set_buf(b->conn, 2 * ROOM);
	guest_expects(b, 2 * ROOM);
}

static void goes_on(struct test_ctx *t, struct pair *b, const char *what)
{
	settle(t, b);
	expect_eq(t, host_report(b).flags & (CTL_CONN_GUEST_SHUT_SEND | CTL_CONN_CLOSED), 0,
		  "flags of the other after an end of one (%s)", what);
	guest_send(b, 77);
	host_expects(b);
}

#define each_field_both_ways(f, i)                                                                 \
	for (enum field f = 0; f < FIELDS; f++)                                                    \
		for (unsigned int i = 0; i < 2; i++)

TEST(mixing_data,
     .id = "vsock.mixing.data_and_credit",
     .clause = "virtio 1.4, 5.10.6: connections are told apart by type, both CIDs and both ports, in each kind of packet",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 20 * SEC)
{
	struct pair *p[2];

	each_field_both_ways(f, i)
	{
		if (!open_two(t, f, p))
			continue;
		test_note(t, "two that differ in %s", field_name[f]);
		data_is_apart(p);
		answers_are_apart(t, p[i], p[1 - i], field_name[f]);
		if (f != TYPE) /* messages have another size of what waits */
			credit_is_apart(t, p[i], p[1 - i], field_name[f]);
		pair_drop(p[0]);
		pair_drop(p[1]);
	}
}

TEST(mixing_ends,
     .id = "vsock.mixing.ends",
     .clause = "virtio 1.4, 5.10.6.5: SHUTDOWN and RST end the connection of their addresses and type, and no other",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE,
     .timeout = 30 * SEC)
{
	struct pair *p[2];
	unsigned int how;

	each_field_both_ways(f, i) for (how = 0; how < 3; how++)
	{
		if (!open_two(t, f, p))
			continue;
		test_note(t, "two that differ in %s", field_name[f]);
		if (how == 0) {
			guest_shuts(p[i], VSOCK_SHUTDOWN_SEND);
			host_expects_end(p[i]);
		} else if (how == 1) {
			guest_resets(p[i]);
			host_expects_reset(p[i]);
		} else {
			guest_shuts(p[i], VSOCK_SHUTDOWN_SEND | VSOCK_SHUTDOWN_RCV);
			expect(t, pair_waits(p[i], vsock_conn_state(p[i]->conn) > VSOCK_CLOSING, 1),
			       "SHUTDOWN of both directions: no RST comes");
		}
		goes_on(t, p[1 - i], field_name[f]);
		pair_drop(p[0]);
		pair_drop(p[1]);
	}
}

/* Ports without an order, of which no hash function makes a pattern. */
static uint32_t scattered(uint32_t i)
{
	uint32_t x = i + 1;

	x = (x ^ x >> 16) * 0x7feb352du;
	x = (x ^ x >> 15) * 0x846ca68bu;
	return (x ^ x >> 16) & ~1u; /* never VSOCK_PORT_ANY */
}

static void scatter(struct test_ctx *t, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		pair_start(t, .at = ASSAY_ECHO_PORT, .local_port = scattered(i));
	pairs_echo();
}

TEST(mixing_scattered,
     .id = "vsock.mixing.scattered_ports",
     .clause = "virtio 1.4, 5.10.6: a guest port is any of 32 bits, however many there are",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 20 * SEC)
{
	/* With a device of its own the peer takes more connections than file descriptors allow. */
	scatter(t, ctl_can(vsock_env_ctl(t)->ctl, CTL_CAP_DEVICE) ? 1024 : 100);
}

/* They differ in the host's port alone, so that whatever table there is has some of them side by side. */
TEST(mixing_host_ports,
     .id = "vsock.mixing.scattered_host_ports",
     .clause = "virtio 1.4, 5.10.6: connections are told apart by both ports: one port of the guest's has any number of connections",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 20 * SEC)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const unsigned int n = ctl_can(e->ctl, CTL_CAP_DEVICE) ? 200 : 20;
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint32_t port = scattered(i) | 1u << 20; /* Linux keeps low ports for itself */

		CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_ECHO, 0));
		pair_start(t, .at = port, .local_port = LOCAL_PORT);
	}
	pairs_echo();
}

/* Each has something to send while the device has no receive buffer. */
TEST(mixing_many_wait,
     .id = "vsock.mixing.many_wait",
     .clause = "virtio 1.4, 5.10.6.3: credit is what a connection waits for, however many others wait for a receive buffer",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 20 * SEC)
{
	const unsigned int n = ctl_can(vsock_env_ctl(t)->ctl, CTL_CAP_DEVICE) ? 600 : 100;
	struct pair *first = pair_open(t), *p;
	struct virtqueue *tx = vsock_device(first->env->vs)->vq[1];
	unsigned int i;

	for (i = 0; i < n; i++)
		pair_start(t, .at = ASSAY_ECHO_PORT);
	for (p = pair_newest(); p != first; p = p->next)
		pair_up(p);
	rx_is_full(first);
	for (p = pair_newest(); p != first; p = p->next)
		guest_packet(p, VSOCK_OP_RW, 0, 16);
	/* A device without the resources may stop here, and goes on later. */
	pair_waits(first, vq_in_flight(tx) == 0, 1);
	rx_has_room(first);
	for (p = pair_newest(); p != first; p = p->next)
		guest_expects(p, 16);
	for (p = pair_newest(); p != first; p = p->next)
		pair_drop(p);
}

TEST(mixing_edge_ports,
     .id = "vsock.mixing.edge_ports",
     .clause = "virtio 1.4, 5.10.6: a port has 32 bits, and the specification reserves none",
     .owner = OWNER,
     .needs = NEEDS)
{
	static const uint32_t ports[] = { 0, 1, 1023, 0x7fffffff, 0x80000000, 0xfffffffe };
	struct vsock_env *e = vsock_env_ctl(t);
	struct packet request = { .from = { vsock_config(e->vs)->guest[0], 0 },
				  .to = { VSOCK_CID_HOST, host_listens(t, e) },
				  .type = VSOCK_STREAM,
				  .op = VSOCK_OP_REQUEST };
	unsigned int i;
	int op;

	for (i = 0; i < COUNT_OF(ports); i++) {
		request.from.port = ports[i];
		request.op = VSOCK_OP_REQUEST;
		op = packet_ask(t, e, &request);
		expect(t, op == VSOCK_OP_RESPONSE,
		       "REQUEST from port 0x%x to a listener: expected RESPONSE, %s came",
		       (unsigned int)ports[i], packet_op(op));
		request.op = VSOCK_OP_RST;
		packet_send(t, e, &request);
		CTL_OK(t, ctl_barrier(e->ctl));
		vsock_strays_clear(e->vs);
	}
}

/* --- listeners ---------------------------------------------------------------------------------- */

static void nobody_at(struct test_ctx *t, struct vsock_addr to, enum vsock_type type,
		      const char *what)
{
	static uint32_t port = 54000;
	struct vsock_env *e = vsock_env_ctl(t);
	const struct packet request = { .from = { vsock_config(e->vs)->guest[0], port++ },
					.to = to,
					.type = (uint16_t)type,
					.op = VSOCK_OP_REQUEST };
	const int op = packet_ask(t, e, &request);

	require(t, op == VSOCK_OP_RST,
		"REQUEST to %llu:%u, which differs from a listener in %s: %s",
		(unsigned long long)to.cid, (unsigned int)to.port, what, packet_op(op));
}

TEST(mixing_listener_port,
     .id = "vsock.mixing.listener_port",
     .clause = "virtio 1.4, 5.10.6: ports have 32 bits; REQUEST where nobody listens is answered by RST",
     .owner = OWNER,
     .needs = NEEDS)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_addr at = { VSOCK_CID_HOST, host_listens(t, e) };
	unsigned int bit;
	uint32_t port;

	for (bit = 0; bit < 32; bit++) {
		port = at.port ^ 1u << bit;
		/* The peer's own services listen, and its port may be one bit from theirs. */
		if (port < ASSAY_CTL_PORT || port > ASSAY_SOURCE_PORT)
			nobody_at(t, (struct vsock_addr){ at.cid, port }, VSOCK_STREAM,
				  "one bit of the port");
	}
}

TEST(mixing_listener_type,
     .id = "vsock.mixing.listener_type",
     .clause = "virtio 1.4, 5.10.6: a listener takes requests of its type; the end of one leaves the other type's alone",
     .owner = OWNER,
     .needs = NEEDS | NEED_SEQPACKET)
{
	static const enum vsock_type types[] = { VSOCK_STREAM, VSOCK_SEQPACKET };
	struct ctl *ctl = vsock_env_ctl(t)->ctl;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		const enum vsock_type stays = types[i & 1], other = types[1 - (i & 1)];
		struct vsock_addr at = { VSOCK_CID_HOST, 0 };
		struct pair *p;
		int ret;

		CTL_OK(t, ctl_listen(ctl, ASSAY_CID_ANY, &at.port, i < 2 ? stays : other,
				     CTL_SVC_NONE, 0));
		nobody_at(t, at, i < 2 ? other : stays, "the type");
		ret = ctl_listen(ctl, ASSAY_CID_ANY, &at.port, i < 2 ? other : stays, CTL_SVC_NONE,
				 0);
		if (ret == -EADDRINUSE && !ctl_can(ctl, CTL_CAP_DEVICE))
			test_skip(t, "the host's sockets take a port for one type only");
		require(t, ret != -EADDRINUSE, "a listener of one type takes the port for both");
		CTL_OK(t, ret);
		CTL_OK(t, ctl_unlisten(ctl, ASSAY_CID_ANY, at.port, other));
		nobody_at(t, at, other, "the type");
		p = pair_open(t, .type = stays, .at = at.port);
		pair_drop(p);
		CTL_OK(t, ctl_unlisten(ctl, ASSAY_CID_ANY, at.port, stays));
		nobody_at(t, at, stays, "that it is no more");
	}
}

TEST(mixing_listener_cid,
     .id = "vsock.mixing.listener_cid",
     .clause = "multi-cid P4: an address of the host is CID and port: a listener on one CID is reached there, and there only",
     .owner = OWNER,
     .needs = NEEDS | NEED_DEVICE_CTL)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	uint32_t i, k;

	for (i = 0; i <= cfg->num_host; i++) {
		const uint64_t cid = i ? cfg->host[i - 1] : VSOCK_CID_HOST;
		uint32_t port = 0;
		struct pair *p;

		CTL_OK(t, ctl_listen(e->ctl, cid, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
		for (k = 0; k <= cfg->num_host; k++)
			if (k != i)
				nobody_at(t,
					  (struct vsock_addr){
						  k ? cfg->host[k - 1] : VSOCK_CID_HOST, port },
					  VSOCK_STREAM, "the CID");
		p = pair_open(t, .remote = cid, .at = port);
		pair_drop(p);
	}
}

/* Reads what the flood brings, until so many bytes have come to the other connection, or the flood is n bytes longer. */
static bool flows(struct pair *flood, struct pair *other, uint32_t bytes, uint64_t n)
{
	static uint8_t junk[65536];
	const deadline_t end = deadline_in(test_sec());
	uint64_t got = 0;
	ssize_t ret;

	while (vsock_readable(other->conn) < bytes && got < n && !deadline_passed(end)) {
		vsock_poll(flood->env->vs);
		ret = vsock_readable(flood->conn) ? vsock_recv(flood->conn, junk, sizeof(junk), 0) :
						    0;
		got += ret > 0 ? (uint64_t)ret : 0;
	}
	return vsock_readable(other->conn) >= bytes;
}

/*
 * A source without end is read all the time, by a driver that has few receive buffers: less than the host holds for it.
 * What it has more is no reason to pass over the other connection.
 */
TEST(mixing_flood,
     .id = "vsock.mixing.beside_a_flood",
     .clause = "virtio 1.4, 5.10.6.3: credit is what a connection waits for, not the end of another one's data",
     .owner = OWNER,
     .needs = NEEDS)
{
	enum {
		BUFFERS = 4,
		BYTES = 900,
		ROUNDS = 4,
		MUCH = 64 << 10, /* the flood runs by then */
	};
	const struct vsock_manner few = { .rx_count = BUFFERS };
	struct pair *flood, *other;
	unsigned int i;

	vsock_set_manner(&few);
	require(t, vsock_env_reopen(t, 0) == 0, "the device does not come up: %s",
		vsock_env_device_error());
	CTL_OK(t, vsock_env_reconnect());
	other = pair_open(t);
	flood = pair_open(t, .at = ASSAY_SOURCE_PORT, .guest_buf = 1u << 20);
	for (i = 0; i < ROUNDS; i++) {
		(void)flows(flood, other, BYTES, MUCH);
		/* The answer to the order waits for the flood as well. */
		ctl_ahead(flood->env->ctl, true);
		host_send(other, BYTES);
		ctl_ahead(flood->env->ctl, false);
		require(t, flows(flood, other, BYTES, UINT64_MAX),
			"beside a connection with data without end another one gets %u bytes of %u",
			(unsigned int)vsock_readable(other->conn), BYTES);
		guest_expects(other, BYTES);
	}
	pair_drop(flood);
	CTL_OK(t, ctl_barrier(other->env->ctl));
	pair_drop(other);
	vsock_set_manner(NULL);
}
