/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 5.10.6): each packet has its effect once, on the connection that it names, and the host's
 * applications and its administrator are told what happened: who connected, how much came, how a connection ended,
 * what was refused. (host/peer/proto.h says which numbers a peer in the device has.)
 *
 * How hosts break it: a packet is handled again when the buffer of its answer comes late, or when a loop goes over a
 * ring once more; an application takes a reset for the end of data, and thinks that it has everything
 * (cloud-hypervisor 8372); counters that only logs show have never been looked at.
 *
 * How it is seen here: the guest counts what it sends and gets, and compares with what the peer in the device says.
 */
#include <errno.h>
#include <string.h>

#include "drivers/virtio/virtqueue.h"
#include "lib/errname.h"
#include "tests/vsock/packet.h"
#include "tests/vsock/pair.h"

#define OWNER	    "vsock device back end"
#define NEEDS	    (NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL)
#define BOTH	    (VSOCK_SHUTDOWN_RCV | VSOCK_SHUTDOWN_SEND)
#define PROTO	    "host/peer/proto.h: "
#define SERVER_PORT 7401u
#define LOCAL_PORT  55001u
#define FIRST	    8u	   /* notifications when the device comes up, and of events */
#define NOBODY	    64999u /* no peer listens there */

static void settle(struct test_ctx *t, struct vsock_env *e)
{
	CTL_OK(t, ctl_barrier(e->ctl));
	CTL_OK(t, ctl_barrier(e->ctl));
}

/* --- a connection ------------------------------------------------------------------------------ */

TEST(record_connection,
     .id = "vsock.record.connection",
     .clause = "virtio 1.4, 5.10.6: each packet of a connection is handled once; 5.10.6.3: the credit that it tells is taken",
     .owner = OWNER,
     .needs = NEEDS | NEED_PEER_CREDIT)
{
	enum {
		ROOM = 5000,
		UPDATES = 3,
		REQUESTS = 2,
		PACKETS = 4,
		EACH = 100,
		TO_GUEST = 7
	};
	struct pair *p = pair_open(t, .guest_buf = ROOM);
	const struct ctl_report first = host_report(p);
	struct vsock_credit k;
	struct ctl_report r;
	unsigned int i;

	expect_eq(t, first.rx_packets, 1, "packets from the guest behind its REQUEST");
	expect_eq(t, first.tx_packets, 1, "packets to the guest behind the RESPONSE");
	expect_eq(t, first.guest_buf_alloc, ROOM, "buf_alloc of the REQUEST");
	host_send(p, TO_GUEST);
	guest_expects(p, TO_GUEST);
	for (i = 0; i < UPDATES; i++)
		guest_packet(p, VSOCK_OP_CREDIT_UPDATE, 0, 0);
	for (i = 0; i < REQUESTS; i++) {
		vsock_credit_request(p->conn);
		settle(t, p->env);
	}
	for (i = 0; i < PACKETS; i++)
		guest_packet(p, VSOCK_OP_RW, 0, EACH);
	host_expects(p);
	settle(t, p->env);
	k = credit_of(p);
	r = host_report(p);
	expect_eq(t, r.rx_packets, 1 + UPDATES + REQUESTS + PACKETS, "packets from the guest");
	expect_eq(t, r.credit_updates, UPDATES, "CREDIT_UPDATEs from the guest");
	expect_eq(t, r.credit_requests, REQUESTS, "CREDIT_REQUESTs from the guest");
	expect_eq(t, r.tx_packets, 2 + k.updates + k.requests,
		  "packets to the guest: RESPONSE, %u bytes, and those about credit", TO_GUEST);
	expect_eq(t, r.guest_buf_alloc, ROOM, "buf_alloc of the guest");
	expect_eq(t, r.guest_fwd_cnt, TO_GUEST, "fwd_cnt of the guest");
	expect_eq(t, r.host_fwd_cnt, PACKETS * EACH, "fwd_cnt of the host");
	expect_eq(t, r.host_buf_alloc, k.peer_buf_alloc, "buf_alloc of the host");
	expect_eq(t, r.flags & CTL_CONN_OVERRUN, 0, "whether the guest overran the host");
	pair_close(p);
}

TEST(record_overrun,
     .id = "vsock.record.overrun",
     .clause = "virtio 1.4, 5.10.6.3: what is beyond the host's buffer is none of its application's data; what fills it is",
     .owner = OWNER,
     .needs = NEEDS | NEED_PEER_CREDIT)
{
	const uint32_t room = 16384;
	struct pair *p = pair_open(t, .host_buf = room);

	host_pauses(p);
	settle(t, p->env);
	guest_send(p, credit_of(p).peer_free);
	settle(t, p->env);
	expect_eq(t, host_report(p).flags & CTL_CONN_OVERRUN, 0, "overrun by a full buffer");
	guest_packet(p, VSOCK_OP_RW, 0, 1);
	settle(t, p->env);
	expect(t, host_report(p).flags & CTL_CONN_OVERRUN,
	       "a byte beyond the buffer: the host does not say that the guest overran it");
	host_goes_on(p);
	settle(t, p->env);
	expect_eq(t, host_report(p).rx_bytes, room, "bytes that the application got");
	pair_drop(p);
}

/* The host has made its buffer smaller; the guest, which has not heard of it yet, may count on the old one. */
TEST(record_shrunk,
     .id = "vsock.record.shrunk",
     .clause = "virtio 1.4, 5.10.6.3: buf_alloc may change; the guest knows of it once it was told, and then counts on no more",
     .owner = OWNER,
     .needs = NEEDS | NEED_PEER_CREDIT)
{
	enum {
		ROOM = 20000,
		LESS = 8000,
		SENT = 15000
	};
	struct pair *p = pair_open(t, .host_buf = ROOM);

	host_pauses(p);
	settle(t, p->env);
	guest_send(p, SENT);
	CTL_OK(t, ctl_conn(p->env->ctl, CTL_SET_BUF, p->host, LESS, NULL));
	guest_packet(p, VSOCK_OP_RW, 0, ROOM - SENT);
	settle(t, p->env);
	expect_eq(t, host_report(p).flags & CTL_CONN_OVERRUN, 0,
		  "overrun by what the buffer of before had room for");
	host_goes_on(p);
	host_expects(p);
	expect(t, all_returned(p), "fwd_cnt once all was read: expected %u, seen %u",
	       (unsigned int)credit_of(p).tx_cnt, (unsigned int)credit_of(p).peer_fwd_cnt);
	expect_eq(t, credit_of(p).peer_buf_alloc, LESS, "buf_alloc of the smaller buffer");
	host_pauses(p);
	guest_packet(p, VSOCK_OP_RW, 0, LESS);
	guest_packet(p, VSOCK_OP_RW, 0, 1);
	settle(t, p->env);
	expect(t, host_report(p).flags & CTL_CONN_OVERRUN,
	       "a byte beyond the smaller buffer: the host does not say that the guest overran it");
	pair_drop(p);
}

/* What comes behind an end of data is thrown away. It takes no room, and no application gets it. */
static void is_swallowed(struct test_ctx *t, struct pair *p, const char *end)
{
	const uint64_t got = host_report(p).rx_bytes;
	const uint32_t updates = credit_of(p).updates;
	unsigned int i;

	guest_packet(p, VSOCK_OP_RW, 0, 8000);
	expect(t, pair_waits(p, credit_of(p).updates > updates, 1),
	       "8000 bytes behind %s: no credit comes unasked", end);
	for (i = 0; i < 4; i++) {
		guest_packet(p, VSOCK_OP_RW, 0, 8000);
		expect(t, all_returned(p), "fwd_cnt behind %s: expected %u, seen %u", end,
		       (unsigned int)credit_of(p).tx_cnt, (unsigned int)credit_of(p).peer_fwd_cnt);
	}
	expect_eq(t, host_report(p).rx_bytes, got, "bytes that the application got behind %s", end);
	expect_eq(t, host_report(p).flags & CTL_CONN_OVERRUN, 0, "overrun behind %s", end);
	pair_drop(p);
}

TEST(record_swallowed,
     .id = "vsock.record.behind_the_end",
     .clause = "virtio 1.4, 5.10.6.5: SHUTDOWN is permanent: what comes behind it is nobody's; 5.10.6.3: it takes no room",
     .owner = OWNER,
     .needs = NEEDS | NEED_HALF_CLOSE | NEED_PEER_CREDIT)
{
	struct pair *p = pair_open(t, .host_buf = 16384);

	guest_send(p, 100);
	host_expects(p);
	host_shuts(p, VSOCK_SHUTDOWN_RCV);
	is_swallowed(t, p, "the host's SHUTDOWN of receiving");
	p = pair_open(t, .host_buf = 16384);
	guest_send(p, 100);
	host_expects(p);
	guest_shuts(p, VSOCK_SHUTDOWN_SEND);
	host_expects_end(p);
	is_swallowed(t, p, "the guest's SHUTDOWN of sending");
}

/* A message of no bytes is unread as well. */
TEST(record_empty,
     .id = "vsock.record.empty_unread",
     .clause = "virtio 1.4, 5.10.6.6: a message is read though it is empty; 5.10.6.5: what came before SHUTDOWN is read",
     .owner = OWNER,
     .needs = NEEDS | NEED_SEQPACKET)
{
	static const unsigned int sizes[][2] = { { 0, 0 }, { 9, 0 }, { 0, 9 } };
	unsigned int i;

	for (i = 0; i < COUNT_OF(sizes); i++) {
		struct pair *p = pair_open(t, .type = VSOCK_SEQPACKET);

		host_pauses(p);
		guest_send(p, sizes[i][0]);
		guest_send(p, sizes[i][1]);
		guest_shuts(p, BOTH);
		CTL_OK(t, ctl_barrier(p->env->ctl));
		host_goes_on(p);
		host_expects(p);
		expect(t, pair_waits(p, vsock_conn_state(p->conn) > VSOCK_CLOSING, 1),
		       "the host has read all behind a SHUTDOWN of both directions: no RST comes");
		pair_close(p);
	}
}

/* --- ends --------------------------------------------------------------------------------------- */

static uint32_t end_of(struct pair *p)
{
	host_expects_reset(p); /* it has ended, in whichever way */
	return host_report(p).flags & (CTL_CONN_RESET | CTL_CONN_CLOSED);
}

TEST(record_ends,
     .id = "vsock.record.ends",
     .clause = "virtio 1.4, 5.10.6.5: RST ends a connection at once, SHUTDOWN of both directions in order; the application learns which",
     .owner = OWNER,
     .needs = NEEDS)
{
	struct pair *p = pair_open(t);

	guest_resets(p);
	expect_eq(t, end_of(p), CTL_CONN_CLOSED | CTL_CONN_RESET, "flags after the guest's RST");
	p = pair_open(t);
	guest_shuts(p, VSOCK_SHUTDOWN_SEND);
	host_expects_end(p);
	guest_resets(p);
	expect_eq(t, end_of(p), CTL_CONN_CLOSED | CTL_CONN_RESET,
		  "flags after the guest's RST behind its end of data");
	p = pair_open(t);
	guest_shuts(p, BOTH);
	expect_eq(t, end_of(p), CTL_CONN_CLOSED, "flags after the guest's SHUTDOWN");
	p = pair_open(t);
	host_shuts(p, BOTH);
	expect_eq(t, end_of(p), CTL_CONN_CLOSED, "flags after the host's SHUTDOWN and its answer");
	/* 100 bytes are unread, so that the host has not answered by RST yet. */
	p = pair_open(t);
	host_pauses(p);
	guest_send(p, 100);
	guest_shuts(p, BOTH);
	guest_resets(p);
	expect_eq(t, end_of(p), CTL_CONN_CLOSED, "flags after SHUTDOWN of both directions and RST");
}

TEST(record_connects,
     .id = "vsock.record.connects",
     .clause = "virtio 1.4, 5.10.6.5: RST refuses the host's REQUEST, RESPONSE accepts it, and any other packet breaks it; the application learns which",
     .owner = OWNER,
     .needs = NEEDS | NEED_HOST_CONNECT,
     .timeout = 10 * SEC)
{
	static const struct {
		uint16_t op;
		int err;
	} answers[] = {
		{ VSOCK_OP_RST, -ECONNREFUSED },
		{ VSOCK_OP_SHUTDOWN, -ECONNRESET },
		{ VSOCK_OP_CREDIT_UPDATE, -ECONNRESET },
	};
	struct vsock_env *e = vsock_env_ctl(t);
	unsigned int i;

	vsock_hold_requests(e->vs, true);
	for (i = 0; i < COUNT_OF(answers); i++) {
		struct packet p = { .from = { vsock_config(e->vs)->guest[0], SERVER_PORT + i },
				    .type = VSOCK_STREAM,
				    .op = answers[i].op,
				    .flags = answers[i].op == VSOCK_OP_SHUTDOWN ? BOTH : 0 };
		struct vsock_stray s;
		struct ctl_report r;
		int ret;

		vsock_strays_clear(e->vs);
		CTL_OK(t, ctl_connect_begin(e->ctl, ASSAY_CID_ANY, p.from, VSOCK_STREAM,
					    CTL_SVC_NONE, test_ms() / 4));
		require(t,
			wait_for((vsock_poll(e->vs), vsock_strays(e->vs, &s, 1) > 0), test_sec()),
			"the host connects to the guest: no REQUEST comes");
		p.to = (struct vsock_addr){ le64_to_cpu(s.hdr.src_cid),
					    le32_to_cpu(s.hdr.src_port) };
		packet_send(t, e, &p);
		ret = ctl_connect_end(e->ctl, &r);
		expect(t, ret == answers[i].err, "REQUEST and %s: expected %s, the host says %s",
		       packet_op(p.op), err_text(answers[i].err), err_text(ret));
	}
	vsock_hold_requests(e->vs, false);
}

/* --- the device ---------------------------------------------------------------------------------- */

/* A packet of fewer bytes than a header has. */
static void send_short(struct test_ctx *t, struct vsock_env *e)
{
	static uint8_t buf[20];
	const struct vq_seg seg = { buf, sizeof(buf) };
	struct virtqueue *tx = vsock_device(e->vs)->vq[1];

	wait_for((vsock_poll(e->vs), vq_in_flight(tx) == 0), test_sec());
	if (vq_add(tx, &seg, 1, NULL, 0, buf))
		test_error(t, "a short packet cannot be posted");
	vq_kick(tx);
	require(t, vsock_raw_end(e->vs, buf, IO_NS) == 0, "a packet of %u bytes is not used",
		(unsigned int)sizeof(buf));
}

/* What the device counts of the driver's packets, and the driver of the device's. */
static struct ctl_dev_info compare(struct test_ctx *t, struct vsock_env *e)
{
	static struct ctl_dev_info info;
	struct vsock_stats before, after;

	CTL_OK(t, ctl_barrier(e->ctl));
	vsock_stats(e->vs, &before);
	CTL_OK(t, ctl_dev_info(e->ctl, &info));
	vsock_stats(e->vs, &after);
	expect(t, info.rx_packets > before.tx_packets && info.rx_packets <= after.tx_packets,
	       "packets from the guest: it sent %u to %u, the device counts %u",
	       (unsigned int)before.tx_packets + 1, (unsigned int)after.tx_packets,
	       (unsigned int)info.rx_packets);
	expect(t, info.tx_packets >= before.rx_packets && info.tx_packets <= after.rx_packets,
	       "packets to the guest: it got %u to %u, the device counts %u",
	       (unsigned int)before.rx_packets, (unsigned int)after.rx_packets,
	       (unsigned int)info.tx_packets);
	expect(t, info.kicks && info.kicks <= after.tx_packets + after.rx_packets + FIRST,
	       "notifications for %u packets out and %u packets in: the device counts %u",
	       (unsigned int)after.tx_packets, (unsigned int)after.rx_packets,
	       (unsigned int)info.kicks);
	expect(t, info.calls <= after.tx_packets + after.rx_packets + FIRST,
	       "interrupts for %u packets out and %u packets in: the device counts %u",
	       (unsigned int)after.tx_packets, (unsigned int)after.rx_packets,
	       (unsigned int)info.calls);
	return info;
}

TEST(record_device,
     .id = "vsock.record.device",
     .clause = "virtio 1.4, 2.6 and 5.10.6: each available buffer is handled once; 2.4.1: a reset starts the device anew",
     .owner = OWNER,
     .needs = NEEDS)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct ctl_dev_info was = compare(t, e);
	struct ctl_dev_info now;
	unsigned int i;

	/* Each barrier has both sides notify, so that what is left of it over the reset would be seen. */
	(void)vq_interrupts(vsock_device(e->vs)->vq[0], true);
	for (i = 0; i < 20; i++)
		CTL_OK(t, ctl_barrier(e->ctl));
	now = compare(t, e);
	expect(t, now.calls > was.calls,
	       "20 packets came that the driver wants to be told of: the device counts %u interrupts before, %u behind",
	       (unsigned int)was.calls, (unsigned int)now.calls);
	CTL_OK(t, vsock_env_reopen(t, 0));
	CTL_OK(t, vsock_env_reconnect());
	now = compare(t, vsock_env_ctl(t));
	expect_eq(t, now.resets, was.resets + 1, "resets, and the driver did one");
	expect_eq(t, now.conns, 1, "connections: the control connection alone");
	expect_eq(t, now.rst_sent, 0, "RSTs since the reset");
	expect_eq(t, now.chains_bad, 0, "malformed chains since the reset");
}

TEST(record_dropped,
     .id = "vsock.record.dropped",
     .clause = "multi-cid P1, P4: what comes from, or goes to, a CID that is not listed is dropped; 5.10.6: a packet has a header, and len bytes behind it",
     .owner = OWNER,
     .needs = NEEDS)
{
	enum {
		TIMES = 2
	};
	struct vsock_env *e = vsock_env_ctl(t);
	const uint64_t cid = vsock_config(e->vs)->guest[0];
	const struct packet refused = {
		{ cid, LOCAL_PORT }, host_port(NOBODY), VSOCK_STREAM, VSOCK_OP_REQUEST, 0, 0
	};
	const struct packet from = { { cid | 1ull << 32, LOCAL_PORT },
				     host_port(NOBODY),
				     VSOCK_STREAM,
				     VSOCK_OP_RST,
				     0,
				     0 };
	const struct packet to = {
		{ cid, LOCAL_PORT }, { 0x7ffffe00, NOBODY }, VSOCK_STREAM, VSOCK_OP_RST, 0, 0
	};
	const struct packet len = {
		{ cid, LOCAL_PORT }, host_port(NOBODY), VSOCK_STREAM, VSOCK_OP_RST, 1, 0
	};
	const struct ctl_dev_info was = compare(t, e);
	struct ctl_dev_info now;
	unsigned int i;

	for (i = 0; i < TIMES; i++) {
		packet_send(t, e, &refused);
		packet_send(t, e, &from);
		packet_send(t, e, &to);
		packet_send(t, e, &len);
		send_short(t, e);
	}
	settle(t, e);
	CTL_OK(t, ctl_dev_info(e->ctl, &now));
	expect_eq(t, now.rst_sent - was.rst_sent, TIMES, "RSTs for REQUESTs to a closed port");
	expect_eq(t, now.dropped_src - was.dropped_src, TIMES, "dropped for their source");
	expect_eq(t, now.dropped_dst - was.dropped_dst, TIMES, "dropped for their destination");
	expect_eq(t, now.dropped_malformed - was.dropped_malformed, 2 * TIMES,
		  "dropped for their length");
	expect_eq(t, now.chains_bad, was.chains_bad, "chains that are malformed, and none is");
}

TEST(record_features,
     .id = "vsock.record.features",
     .clause = "virtio 1.4, 2.2: the device knows which features the driver accepted of those that it offers",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 10 * SEC)
{
	static const uint64_t wanted[] = { VIRTIO_BIT(VSOCK_F_STREAM), 0 };
	const uint64_t own = VIRTIO_BIT(VSOCK_F_STREAM) | VIRTIO_BIT(VSOCK_F_SEQPACKET) |
			     VIRTIO_BIT(VSOCK_F_NO_IMPLIED_STREAM);
	static struct ctl_dev_info info;
	unsigned int i;

	vsock_env_ctl(t);
	for (i = 0; i < COUNT_OF(wanted); i++) {
		const struct virtio_device *d;

		CTL_OK(t, vsock_env_reopen(t, wanted[i]));
		CTL_OK(t, vsock_env_reconnect());
		d = vsock_device(vsock_env()->vs);
		CTL_OK(t, ctl_dev_info(vsock_env()->ctl, &info));
		/* The VMM may keep some of the device's from the driver. */
		expect_eq(t, d->offered & own & ~info.features_offered, 0,
			  "features that the driver is offered, and not by the device");
		expect_eq(t, info.features_acked & own, d->accepted & own, "features accepted");
		expect_eq(t, info.layout, (uint32_t)vsock_config(vsock_env()->vs)->layout,
			  "layout of the configuration");
	}
}

/* --- headers -------------------------------------------------------------------------------------- */

/* The n-th packet: an RST, which nobody answers, with numbers in fields that an RST does not need. */
static struct vsock_hdr numbered(const struct vsock_env *e, uint32_t n)
{
	const struct packet p = { .from = { vsock_config(e->vs)->guest[0], LOCAL_PORT + n % 3 },
				  .to = host_port(NOBODY + n % 2),
				  .type = VSOCK_STREAM,
				  .op = VSOCK_OP_RST };
	struct vsock_hdr h = packet_header(&p);

	h.flags = cpu_to_le32(~n);
	h.buf_alloc = cpu_to_le32(n << 16 | n >> 16);
	h.fwd_cnt = cpu_to_le32(n);
	return h;
}

static void send_numbered(struct test_ctx *t, struct vsock_env *e, uint32_t from, uint32_t to)
{
	uint32_t n;

	for (n = from; n < to; n++) {
		const struct vsock_hdr h = numbered(e, n);

		packet_raw(t, e, &h, NULL, 0);
		vsock_poll(e->vs);
	}
}

/* Of the packets before `end`, the newest with this remainder, byte by byte, in their order. */
static void are_recorded(struct test_ctx *t, struct vsock_env *e, const struct ctl_headers_reply *r,
			 uint32_t end, uint32_t step)
{
	uint32_t i, n = end;

	for (i = r->count; i-- > 0 && n >= step;) {
		const struct vsock_hdr want = numbered(e, n -= step);

		expect(t, memcmp(r->hdr[i], &want, sizeof(want)) == 0,
		       "header %u of %u is not that of packet %u", (unsigned int)i + 1,
		       (unsigned int)r->count, (unsigned int)n);
	}
}

TEST(record_headers,
     .id = "vsock.record.headers",
     .clause = "virtio 1.4, 5.10.6: the header that the driver wrote is the one that the device reads, in the order of the ring",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 15 * SEC)
{
	enum {
		FEW = 12,
		MORE = 600,
		MANY = 9000, /* more than a device remembers */
		ENOUGH = 8000
	};
	struct vsock_env *e = vsock_env_ctl(t);
	static struct ctl_headers_reply r;

	CTL_OK(t, ctl_headers(e->ctl, 0, 0, true, &r));
	CTL_OK(t, ctl_headers(e->ctl, 0, NOBODY, false, &r));
	expect_eq(t, r.total, 0, "headers to a port that nobody has sent to");
	expect_eq(t, r.count, 0, "headers told of none");
	send_numbered(t, e, 0, FEW);
	CTL_OK(t, ctl_headers(e->ctl, 0, NOBODY, false, &r));
	expect_eq(t, r.total, FEW / 2, "headers to one of two ports");
	expect_eq(t, r.count, FEW / 2, "headers told of those");
	are_recorded(t, e, &r, FEW, 2);
	CTL_OK(t, ctl_headers(e->ctl, LOCAL_PORT, 0, false, &r));
	expect_eq(t, r.total, FEW / 3, "headers from one of three ports");
	are_recorded(t, e, &r, FEW, 3);
	CTL_OK(t, ctl_headers(e->ctl, LOCAL_PORT, NOBODY, true, &r));
	expect_eq(t, r.total, FEW / 6, "headers from one port to another");
	are_recorded(t, e, &r, FEW, 6);
	CTL_OK(t, ctl_headers(e->ctl, 0, NOBODY, false, &r));
	expect_eq(t, r.total, 0, "headers that were to be forgotten");
	send_numbered(t, e, FEW, MORE);
	CTL_OK(t, ctl_headers(e->ctl, 0, NOBODY, false, &r));
	expect_eq(t, r.total, (MORE - FEW) / 2, "headers to one port since then");
	expect_eq(t, r.count, CTL_HEADERS_MAX, "headers told of more than a reply holds");
	are_recorded(t, e, &r, MORE, 2);
	send_numbered(t, e, MORE, MANY);
	CTL_OK(t, ctl_headers(e->ctl, 0, NOBODY, false, &r));
	expect(t, r.total > ENOUGH / 2 && r.total < (MANY - FEW) / 2,
	       "headers of %u packets to one port: %u are remembered", (MANY - FEW) / 2,
	       (unsigned int)r.total);
	are_recorded(t, e, &r, MANY, 2);
}

/* --- orders that the host refuses ------------------------------------------------------------------ */

static void is_refused(struct test_ctx *t, int ret, int err, const char *what)
{
	expect(t, ret == err, "%s: expected %s, the host says %s", what, err_text(err),
	       err_text(ret));
}

static bool connects(struct test_ctx *t, struct vsock_env *e, uint32_t port, enum vsock_type type)
{
	static uint32_t from = LOCAL_PORT + 100;
	const struct packet request = { .from = { vsock_config(e->vs)->guest[0], from++ },
					.to = host_port(port),
					.type = (uint16_t)type,
					.op = VSOCK_OP_REQUEST };

	return packet_ask(t, e, &request) == VSOCK_OP_RESPONSE;
}

TEST(record_listeners,
     .id = "vsock.record.listeners",
     .clause = PROTO "a port has one listener of each type; one that the peer chooses is free; none is on a CID that the host has not",
     .owner = OWNER,
     .needs = NEEDS | NEED_SEQPACKET)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct ctl *ctl = e->ctl;
	uint32_t first = 0, taken, port = 0;

	is_refused(t, ctl_listen(ctl, 0x7ffffe00, &port, VSOCK_STREAM, CTL_SVC_NONE, 0),
		   -EADDRNOTAVAIL, "a listener on a CID that is none of the host's");
	CTL_OK(t, ctl_listen(ctl, ASSAY_CID_ANY, &first, VSOCK_STREAM, CTL_SVC_NONE, 0));
	port = first;
	is_refused(t, ctl_listen(ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0),
		   -EADDRINUSE, "a second listener on a port");
	taken = first + 1;
	CTL_OK(t, ctl_listen(ctl, ASSAY_CID_ANY, &taken, VSOCK_STREAM, CTL_SVC_NONE, 0));
	port = 0;
	CTL_OK(t, ctl_listen(ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	expect(t, port != first && port != taken, "port %u is chosen, which is taken",
	       (unsigned int)port);
	expect(t,
	       connects(t, e, first, VSOCK_STREAM) && connects(t, e, taken, VSOCK_STREAM) &&
		       connects(t, e, port, VSOCK_STREAM),
	       "REQUEST to one of three listeners: no RESPONSE");
	CTL_OK(t, ctl_unlisten(ctl, ASSAY_CID_ANY, taken, VSOCK_STREAM));
	expect(t, connects(t, e, first, VSOCK_STREAM) && connects(t, e, port, VSOCK_STREAM),
	       "the end of one listener ends another");
	expect(t, !connects(t, e, taken, VSOCK_STREAM), "a listener that has ended accepts");
	/* Another type on the chosen ports: one that is next, and one that is taken for this type. */
	taken = port + 1;
	CTL_OK(t, ctl_listen(ctl, ASSAY_CID_ANY, &taken, VSOCK_SEQPACKET, CTL_SVC_NONE, 0));
	port = 0;
	CTL_OK(t, ctl_listen(ctl, ASSAY_CID_ANY, &port, VSOCK_SEQPACKET, CTL_SVC_NONE, 0));
	expect(t, port != taken, "port %u is chosen for seqpackets, which is taken",
	       (unsigned int)port);
	expect(t, connects(t, e, port, VSOCK_SEQPACKET) && connects(t, e, taken, VSOCK_SEQPACKET),
	       "REQUEST to one of two listeners for seqpackets: no RESPONSE");
}

TEST(record_refusals,
     .id = "vsock.record.refused_orders",
     .clause = PROTO "what the host's applications and administrator cannot have is refused, and nothing of it comes to the guest",
     .owner = OWNER,
     .needs = NEEDS | NEED_HOST_CONNECT,
     .timeout = 10 * SEC)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config was = *vsock_config(e->vs);
	const struct vsock_addr to = { was.guest[0], SERVER_PORT },
				stranger = { 0x7ffffe00, SERVER_PORT };
	uint64_t cids[VSOCK_MAX_CIDS + 1];
	struct ctl_report r;

	is_refused(t,
		   ctl_connect(e->ctl, ASSAY_CID_ANY, stranger, VSOCK_STREAM, CTL_SVC_NONE,
			       test_ms() / 4, &r),
		   -ENETUNREACH, "a connect to a CID that is none of the guest's");
	is_refused(t,
		   ctl_connect(e->ctl, 0x7ffffe00, to, VSOCK_STREAM, CTL_SVC_NONE, test_ms() / 4,
			       &r),
		   -EADDRNOTAVAIL, "a connect from a CID that is none of the host's");
	memcpy(cids, was.guest, sizeof(was.guest));
	cids[0] = VSOCK_CID_HOST;
	is_refused(t, ctl_set_cids(e->ctl, cids, was.num_guest, was.host, was.num_host, false),
		   -EINVAL, "a guest CID of 2");
	/* Once the first change is ordered a second one waits for nothing. */
	CTL_OK(t, ctl_config_notice(e->ctl, was.guest, was.num_guest, was.host, was.num_host,
				    test_ms() / 20));
	is_refused(t,
		   ctl_config_notice(e->ctl, was.guest, was.num_guest, was.host, was.num_host, 1),
		   -EBUSY, "a second change while one is due");
	(void)wait_for((vsock_poll(e->vs), false), test_sec() / 10);
	CTL_OK(t, vsock_env_reopen(t, VIRTIO_BIT(VSOCK_F_STREAM)));
	CTL_OK(t, vsock_env_reconnect());
	is_refused(t,
		   ctl_connect(vsock_env()->ctl, ASSAY_CID_ANY, to, VSOCK_SEQPACKET, CTL_SVC_NONE,
			       test_ms() / 4, &r),
		   -EOPNOTSUPP, "a connect of a type that is not negotiated");
}

TEST(record_advance,
     .id = "vsock.record.advance",
     .clause = PROTO "the counters of credit are set on where nothing is under way",
     .owner = OWNER,
     .needs = NEEDS)
{
	struct pair *p = pair_open(t), *other;

	if (!ctl_can(p->env->ctl, CTL_CAP_ADVANCE))
		test_skip(t, "the peer cannot set the counters on");
	host_pauses(p);
	guest_send(p, 10);
	settle(t, p->env);
	is_refused(t, ctl_conn(p->env->ctl, CTL_ADVANCE, p->host, 1000, NULL), -EBUSY,
		   "the counters are set on with data that is not read");
	pair_drop(p);
	/* It has data for the guest, and then no credit for that. */
	p = pair_open(t);
	other = pair_open(t);
	rx_is_full(other);
	ctl_ahead(p->env->ctl, true);
	host_send(p, 3000);
	ctl_ahead(p->env->ctl, false);
	vsock_conn_set_buf(p->conn, 0);
	(void)pair_waits(p, !vq_in_flight(vsock_device(p->env->vs)->vq[1]), 1);
	rx_has_room(other);
	settle(t, p->env);
	is_refused(t, ctl_conn(p->env->ctl, CTL_ADVANCE, p->host, 1000, NULL), -EBUSY,
		   "the counters are set on with data that waits for credit");
	vsock_conn_set_buf(p->conn, 65536);
	guest_expects(p, 3000);
	pair_close(p);
}
