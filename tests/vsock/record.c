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

#include "drivers/virtio/split.h"
#include "lib/errname.h"
#include "lib/mem.h"
#include "tests/vsock/packet.h"
#include "tests/vsock/pair.h"

#define OWNER	    "vsock device back end"
#define NEEDS	    (NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL)
#define BOTH	    (VSOCK_SHUTDOWN_RCV | VSOCK_SHUTDOWN_SEND)
#define PROTO	    "host/peer/proto.h: "
#define SERVER_PORT 7401u
#define LOCAL_PORT  55001u
#define FIRST	    8u		 /* notifications when the device comes up, and of events */
#define NOBODY	    64999u	 /* no peer listens there */
#define NOWHERE	    (1ull << 45) /* physical: no machine has memory there */

static void settle(struct test_ctx *t, struct vsock_env *e)
{
	CTL_OK(t, ctl_barrier(e->ctl));
	CTL_OK(t, ctl_barrier(e->ctl));
}

/* What the device counts. */
static struct ctl_dev_info device_says(struct test_ctx *t)
{
	struct ctl_dev_info info;

	CTL_OK(t, ctl_dev_info(vsock_env_ctl(t)->ctl, &info));
	return info;
}

/* The device is reset and comes up with these features (0: all), and the peer answers again. */
static struct vsock_env *start_anew(struct test_ctx *t, uint64_t features)
{
	if (vsock_env_reopen(t, features))
		test_error(t, "the device does not come up: %s", vsock_env_device_error());
	CTL_OK(t, vsock_env_reconnect());
	return vsock_env_ctl(t);
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
	host_sets_buffer(p, LESS);
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
	/* It is bound by the same credit. */
	guest_packet(p, VSOCK_OP_RW, 0, credit_of(p).peer_free + 1);
	settle(t, p->env);
	expect(t, host_report(p).flags & CTL_CONN_OVERRUN,
	       "a byte beyond the buffer behind %s: the host does not say that the guest overran it",
	       end);
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

/*
 * More than a device holds for one connection, and less than the credit: no packet of ours goes out meanwhile. Linux has
 * no more under way than its own buffer has room for, which nobody forbids.
 */
TEST(record_enough,
     .id = "vsock.record.without_a_word",
     .clause = "virtio 1.4, 5.10.6.3: the host sends within the credit that it was given, and needs to hear of no more for that",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 10 * SEC)
{
	const uint32_t bytes = 600000;
	struct pair *p = pair_open(t, .guest_buf = 1u << 20), *filler = pair_open(t);

	rx_is_full(filler);
	ctl_ahead(p->env->ctl, true);
	host_send(p, bytes);
	ctl_ahead(p->env->ctl, false);
	pair_waits(p, !vq_in_flight(vsock_device(p->env->vs)->vq[1]), 1);
	rx_has_room(filler);
	guest_waits_silently(p, bytes);
	settle(t, p->env);
	guest_expects(p, bytes);
	pair_close(p);
	pair_close(filler);
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

TEST(record_one_rst,
     .id = "vsock.record.one_rst",
     .clause = "virtio 1.4, 5.10.6.5: one RST answers SHUTDOWN of both directions, whatever the application does when it hears of that",
     .owner = OWNER,
     .needs = NEEDS)
{
	/* Of these, the control port's closes by itself. */
	const uint32_t ports[] = { ctl_port(), ASSAY_ECHO_PORT, ASSAY_SINK_PORT,
				   ASSAY_SOURCE_PORT };
	static struct ctl_dev_info was, now;
	struct vsock_env *e = vsock_env_ctl(t);
	unsigned int i;

	for (i = 0; i < COUNT_OF(ports); i++) {
		struct pair *p = pair_open(t, .at = ports[i]);

		was = device_says(t);
		pair_close(p);
		settle(t, e);
		now = device_says(t);
		expect_eq(t, now.rst_sent - was.rst_sent, 1,
			  "RSTs for a SHUTDOWN of both directions to port %u",
			  (unsigned int)ports[i]);
	}
}

TEST(record_connects,
     .id = "vsock.record.connects",
     .clause = "virtio 1.4, 5.10.6.5: RST refuses the host's REQUEST, RESPONSE accepts it, and any other packet breaks it; the application learns which",
     .owner = OWNER,
     .needs = NEEDS | NEED_HOST_CONNECT,
     .timeout = 20 * SEC)
{
	/* Of the last ones a packet comes right behind the answer, by which the connection has ended. */
	static const struct {
		uint16_t op;
		int err;
		uint16_t behind;
	} answers[] = {
		{ VSOCK_OP_RST, -ECONNREFUSED, 0 },
		{ VSOCK_OP_SHUTDOWN, -ECONNRESET, 0 },
		{ VSOCK_OP_CREDIT_UPDATE, -ECONNRESET, 0 },
		{ VSOCK_OP_RST, -ECONNREFUSED, VSOCK_OP_SHUTDOWN },
		{ VSOCK_OP_RST, -ECONNREFUSED, VSOCK_OP_RESPONSE },
	};
	struct vsock_env *e = vsock_env_ctl(t);
	unsigned int i;

	vsock_hold_requests(e->vs, true);
	for (i = 0; i < COUNT_OF(answers); i++) {
		struct packet p = { .from = { vsock_config(e->vs)->guest[0], SERVER_PORT + i },
				    .type = VSOCK_STREAM,
				    .op = answers[i].op,
				    .flags = answers[i].op == VSOCK_OP_SHUTDOWN ? BOTH : 0 };
		struct ctl_report r;
		int ret;

		vsock_strays_clear(e->vs);
		CTL_OK(t, ctl_connect_begin(e->ctl, ASSAY_CID_ANY, p.from, VSOCK_STREAM,
					    CTL_SVC_NONE, 2 * test_ms()));
		p.to = packet_request(t, e, p.from);
		vsock_hold_tx(e->vs, true);
		packet_send(t, e, &p);
		if (answers[i].behind) {
			p.op = answers[i].behind;
			p.flags = p.op == VSOCK_OP_SHUTDOWN ? BOTH : 0;
			packet_send(t, e, &p);
		}
		vsock_hold_tx(e->vs, false);
		ret = ctl_connect_end(e->ctl, &r);
		expect(t, ret == answers[i].err,
		       "REQUEST and %s%s%s: expected %s, the host says %s",
		       packet_op(answers[i].op), answers[i].behind ? " in front of " : "",
		       answers[i].behind ? packet_op(answers[i].behind) : "",
		       err_text(answers[i].err), err_text(ret));
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
	require(t, wait_for((vsock_poll(e->vs), vq_in_flight(tx) == 0), IO_NS),
		"a packet of %u bytes is not used", (unsigned int)sizeof(buf));
}

/* What the device counts of the driver's packets, and the driver of the device's. */
static struct ctl_dev_info compare(struct test_ctx *t, struct vsock_env *e)
{
	static struct ctl_dev_info info;
	struct vsock_stats before, after;

	CTL_OK(t, ctl_barrier(e->ctl));
	vsock_stats(e->vs, &before);
	info = device_says(t);
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

/* Packets that lie where no memory is: the device gives their buffers back, and counts them. */
static void send_nowhere(struct test_ctx *t, struct vsock_env *e, unsigned int times)
{
	static uint8_t tokens[8];
	const struct vq_seg seg = { phys_to_virt(NOWHERE), 64 };
	struct virtqueue *tx = vsock_device(e->vs)->vq[1];
	unsigned int i;

	for (i = 0; i < times; i++) {
		wait_for((vsock_poll(e->vs), vq_in_flight(tx) == 0), test_sec());
		if (vq_add(tx, &seg, 1, NULL, 0, &tokens[i]))
			test_error(t, "a chain cannot be posted");
		vq_kick(tx);
		require(t, vsock_raw_end(e->vs, &tokens[i], IO_NS) == 0,
			"a chain at an address without memory is not used");
	}
}

static void counts_malformed(struct test_ctx *t, struct vsock_env *e, uint64_t before)
{
	enum {
		TIMES = 3
	};
	static struct ctl_dev_info info;

	send_nowhere(t, e, TIMES);
	info = device_says(t);
	expect_eq(t, info.chains_bad - before, TIMES, "malformed chains");
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
	/* A driver that goes through an IOMMU or bounce buffers does not give out such an address. */
	if (!virtio_has(vsock_device(e->vs), VIRTIO_F_ACCESS_PLATFORM))
		counts_malformed(t, e, was.chains_bad);
	now = compare(t, start_anew(t, 0));
	expect_eq(t, now.resets, was.resets + 1, "resets, and the driver did one");
	expect_eq(t, now.conns, 1, "connections: the control connection alone");
	expect_eq(t, now.rst_sent, 0, "RSTs since the reset");
	expect_eq(t, now.chains_bad, 0, "malformed chains since the reset");
}

static uint64_t rx_interrupts(const struct vsock_env *e)
{
	const struct virtio_irq_counts *n = &vsock_device(e->vs)->irqs;

	return __atomic_load_n(&n->shared, __ATOMIC_RELAXED) +
	       __atomic_load_n(&n->queue[0], __ATOMIC_RELAXED);
}

/* An answer comes with an interrupt. The driver does not look meanwhile: one that has seen the answer wants none. */
static void interrupts_once(struct test_ctx *t, struct pair *p)
{
	struct virtqueue *rx = vsock_device(p->env->vs)->vq[0];
	const uint64_t before = rx_interrupts(p->env);

	require(t, wait_for(!vq_interrupts(rx, true) || vsock_poll(p->env->vs) < 0, test_sec()),
		"used rx buffers that do not end, while nobody sends");
	if (vsock_credit_request(p->conn))
		test_error(t, "CREDIT_REQUEST cannot be sent");
	require(t, wait_for(rx_interrupts(p->env) > before, 2 * test_sec()),
		"a used rx buffer is not notified");
	vsock_poll(p->env->vs);
}

static uint64_t packets_of(const struct vsock_env *e)
{
	struct vsock_stats s;

	vsock_stats(e->vs, &s);
	return s.tx_packets + s.rx_packets;
}

/*
 * Notifications of rx, until the device has counted more than one for each packet, which is the most that the driver gives
 * of itself. Those that come together count once, so that it takes more of them where the host is slow.
 */
static bool rx_notifications_count(struct test_ctx *t, struct vsock_env *e)
{
	enum {
		FEW = 16,
		MANY = 1024
	};
	const uint64_t packets = packets_of(e);
	static struct ctl_dev_info was, now;
	unsigned int i, n;

	was = device_says(t);
	for (n = FEW; n <= MANY; n *= 2) {
		for (i = 0; i < n; i++) {
			vq_notify(vsock_device(e->vs)->vq[0]);
			(void)wait_for(false, test_sec() / 5000);
		}
		now = device_says(t);
		if (now.kicks - was.kicks > packets_of(e) - packets)
			return true;
	}
	return false;
}

TEST(record_notified,
     .id = "vsock.record.notified",
     .clause = PROTO "the device counts the notifications of each queue, and the interrupts; virtio 1.4, 2.9: it takes a notification of each",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 40 * SEC)
{
	enum {
		TIMES = 30
	};
	struct vsock_env *e = vsock_env_ctl(t);
	struct virtio_device *d = vsock_device(e->vs);
	static struct ctl_dev_info was, now;
	struct pair *p;
	unsigned int i;

	expect(t, rx_notifications_count(t, e),
	       "thousands of notifications of rx: the device counts no more than those of packets");
	was = device_says(t);
	if (d->irq_mode != VIRTIO_IRQ_POLL) {
		p = pair_open(t, .at = ASSAY_SINK_PORT);
		for (i = 0; i < TIMES; i++)
			interrupts_once(t, p);
		(void)vq_interrupts(d->vq[0], false);
		now = device_says(t);
		expect(t, now.calls - was.calls >= TIMES,
		       "%u interrupts of rx: the device counts %u", TIMES,
		       (unsigned int)(now.calls - was.calls));
	}
	/* So many more than packets would be seen, if they were counted still. */
	(void)compare(t, start_anew(t, 0));
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
	now = device_says(t);
	expect_eq(t, now.rst_sent - was.rst_sent, TIMES, "RSTs for REQUESTs to a closed port");
	expect_eq(t, now.dropped_src - was.dropped_src, TIMES, "dropped for their source");
	expect_eq(t, now.dropped_dst - was.dropped_dst, TIMES, "dropped for their destination");
	expect_eq(t, now.dropped_malformed - was.dropped_malformed, 2 * TIMES,
		  "dropped for their length");
	expect_eq(t, now.chains_bad, was.chains_bad, "chains that are malformed, and none is");
}

/* A table with a part of an entry, which no device can take. It comes back, with nothing written. */
static void send_malformed(struct test_ctx *t, struct vsock_env *e)
{
	struct virtqueue *tx = vsock_device(e->vs)->vq[1];
	const struct vq_raw_desc d = { .len = 17, .flags = VRING_DESC_F_INDIRECT };
	const uint16_t head = (uint16_t)(vq_size(tx) - 1);
	uint32_t id, len;

	wait_for((vsock_poll(e->vs), vq_in_flight(tx) == 0), test_sec());
	if (vq_raw_stage(tx, head, &d))
		test_error(t, "no memory for a descriptor");
	vq_raw_post(tx, &head, 1);
	vq_notify(tx);
	require(t, wait_for(vq_raw_used_count(tx) > 0, IO_NS),
		"a malformed chain does not come back");
	vq_raw_used(tx, 0, &id, &len);
	vq_raw_take(tx, 1);
	expect_eq(t, id, head, "used id of a malformed chain");
	expect_eq(t, len, 0, "bytes written to a malformed chain");
}

TEST(record_chains,
     .id = "vsock.record.bad_chains",
     .clause = PROTO "chains_bad: malformed chains are given back and counted since the reset, and what is behind them is served",
     .owner = OWNER,
     .needs = NEEDS)
{
	enum {
		TIMES = 3
	};
	struct vsock_env *e = vsock_env_ctl(t);
	const struct ctl_dev_info was = compare(t, e);
	static struct ctl_dev_info now;
	unsigned int i;

	for (i = 0; i < TIMES; i++)
		send_malformed(t, e);
	now = device_says(t);
	expect_eq(t, now.chains_bad - was.chains_bad, TIMES, "malformed chains");
	start_anew(t, 0);
	now = device_says(t);
	expect_eq(t, now.chains_bad, 0, "malformed chains since the reset");
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

		start_anew(t, wanted[i]);
		d = vsock_device(vsock_env()->vs);
		info = device_says(t);
		/* The VMM may keep some of the device's from the driver. */
		expect_eq(t, d->offered & own & ~info.features_offered, 0,
			  "features that the driver is offered, and not by the device");
		expect_eq(t, info.features_acked & own, d->accepted & own, "features accepted");
		expect_eq(t, info.features_acked & ~d->accepted, 0,
			  "features that the device takes for accepted, and not the driver");
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

/* The newest packet of all is the order itself, which is longer than the one in front of it. */
static void ends_with_the_order(struct test_ctx *t, struct vsock_env *e)
{
	static struct ctl_headers_reply r;
	struct vsock_hdr h;

	CTL_OK(t, ctl_barrier(e->ctl));
	CTL_OK(t, ctl_headers(e->ctl, 0, 0, false, &r));
	require(t, r.count > 0, "headers told of any port: none");
	memcpy(&h, r.hdr[r.count - 1], sizeof(h));
	expect_eq(t, le16_to_cpu(h.op), VSOCK_OP_RW, "operation of the newest header");
	expect_eq(t, le32_to_cpu(h.len), sizeof(struct ctl_header) + sizeof(struct ctl_headers),
		  "bytes of the newest packet, which is the order");
}

TEST(record_headers,
     .id = "vsock.record.headers",
     .clause = "virtio 1.4, 5.10.6: the header that the driver wrote is the one that the device reads, in the order of the ring",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 60 * SEC)
{
	enum {
		FEW = 12,
		MORE = 600,
		MANY = 9000, /* more than a device remembers */
		ENOUGH = 8000
	};
	struct vsock_env *e = vsock_env_ctl(t);
	static struct ctl_headers_reply r;
	uint32_t n;

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
	ends_with_the_order(t, e);
	send_numbered(t, e, FEW, MORE);
	CTL_OK(t, ctl_headers(e->ctl, 0, NOBODY, false, &r));
	expect_eq(t, r.total, (MORE - FEW) / 2, "headers to one port since then");
	expect_eq(t, r.count, CTL_HEADERS_MAX, "headers told of more than a reply holds");
	are_recorded(t, e, &r, MORE, 2);
	/* A piece at a time: an order behind all of them waits for long on a slow host. */
	for (n = MORE; n < MANY; n += MORE) {
		send_numbered(t, e, n, n + MORE);
		CTL_OK(t, ctl_barrier(e->ctl));
	}
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

static bool connects_to(struct test_ctx *t, struct vsock_env *e, struct vsock_addr to,
			enum vsock_type type)
{
	static uint32_t from = LOCAL_PORT + 100;
	const struct packet request = { .from = { vsock_config(e->vs)->guest[0], from++ },
					.to = to,
					.type = (uint16_t)type,
					.op = VSOCK_OP_REQUEST };

	return packet_ask(t, e, &request) == VSOCK_OP_RESPONSE;
}

static bool connects(struct test_ctx *t, struct vsock_env *e, uint32_t port, enum vsock_type type)
{
	return connects_to(t, e, host_port(port), type);
}

/* Two listeners on one port, each on a CID of its own. The older one ends first, or the younger one. */
static void one_of_two_ends(struct test_ctx *t, struct vsock_env *e, const uint64_t cid[2],
			    unsigned int first)
{
	uint32_t port = 0;
	unsigned int i;

	CTL_OK(t, ctl_listen(e->ctl, cid[0], &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	CTL_OK(t, ctl_listen(e->ctl, cid[1], &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	CTL_OK(t, ctl_unlisten(e->ctl, cid[first], port, VSOCK_STREAM));
	for (i = 0; i < 2; i++)
		expect(t,
		       connects_to(t, e, (struct vsock_addr){ cid[i], port }, VSOCK_STREAM) ==
			       (i != first),
		       "of listeners on CIDs %llu and %llu the one on %llu has ended: the one on %llu %s",
		       (unsigned long long)cid[0], (unsigned long long)cid[1],
		       (unsigned long long)cid[first], (unsigned long long)cid[i],
		       i == first ? "accepts" : "does not accept");
	CTL_OK(t, ctl_unlisten(e->ctl, cid[1 - first], port, VSOCK_STREAM));
	expect(t, !connects_to(t, e, (struct vsock_addr){ cid[1 - first], port }, VSOCK_STREAM),
	       "a listener on CID %llu that has ended accepts", (unsigned long long)cid[1 - first]);
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
	if (vsock_config(e->vs)->num_host) {
		const uint64_t cid[] = { VSOCK_CID_HOST, vsock_config(e->vs)->host[0] };

		one_of_two_ends(t, e, cid, 0);
		one_of_two_ends(t, e, cid, 1);
	}
}

static int order_guests(struct vsock_env *e, const struct vsock_config *c, const uint64_t *cids,
			uint32_t n)
{
	return ctl_set_cids(e->ctl, cids, n, c->host, c->num_host, false);
}

/* CIDs that no configuration can show, or that this one has no room for. */
static void cids_are_refused(struct test_ctx *t, struct vsock_env *e, const struct vsock_config *c)
{
	static const uint64_t reserved[] = {
		0, 1, VSOCK_CID_HOST, UINT32_MAX, 1ull << 32 | 5, UINT64_MAX
	};
	uint64_t cids[CTL_MAX_CIDS + 1];
	unsigned int i;

	for (i = 0; i < COUNT_OF(reserved); i++) {
		memcpy(cids, c->guest, c->num_guest * sizeof(cids[0]));
		cids[c->num_guest - 1] = reserved[i];
		test_note(t, "a guest CID of 0x%llx", (unsigned long long)reserved[i]);
		is_refused(t, order_guests(e, c, cids, c->num_guest), -EINVAL, "a reserved CID");
	}
	is_refused(t, order_guests(e, c, cids, 0), -EINVAL, "no guest CID");
	cids[0] = cids[1] = c->guest[0];
	is_refused(t, order_guests(e, c, cids, 2), -EINVAL, "a CID that is there twice");
	if ((c->layout != VSOCK_LAYOUT_MULTI && c->layout != VSOCK_LAYOUT_MULTI_HOST) ||
	    c->num_guest + c->num_host >= CTL_MAX_CIDS)
		return;
	for (i = 0; i < CTL_MAX_CIDS; i++)
		cids[i] = 100000 + i;
	is_refused(t, order_guests(e, c, cids, CTL_MAX_CIDS - c->num_host), -ENOSPC,
		   "more CIDs than the configuration has room for");
	/* The space has as many bytes as the CIDs take that the host began with. */
	is_refused(t, order_guests(e, c, cids, c->num_guest + 1), -ENOSPC,
		   "a guest CID more than the configuration has room for");
}

/* Numbers of CIDs that no order has room for, or whose sum is a small one in 32 bits. The CIDs themselves are good ones. */
static void counts_are_refused(struct test_ctx *t, struct vsock_env *e)
{
	static const uint32_t counts[][2] = {
		{ CTL_MAX_CIDS + 1, 0 }, { 1, CTL_MAX_CIDS },	     { UINT32_MAX, 2 },
		{ 1, UINT32_MAX },	 { UINT32_MAX, UINT32_MAX }, { 0x80000001u, 0x80000000u },
	};
	static struct ctl_set_cids order;
	unsigned int i;

	for (i = 0; i < CTL_MAX_CIDS; i++)
		order.cids[i] = cpu_to_le64(100000 + i);
	for (i = 0; i < COUNT_OF(counts); i++) {
		order.num_guest = cpu_to_le32(counts[i][0]);
		order.num_host = cpu_to_le32(counts[i][1]);
		test_note(t, "%u guest CIDs and %u of the host", (unsigned int)counts[i][0],
			  (unsigned int)counts[i][1]);
		is_refused(t, ctl_any(e->ctl, CTL_SET_CIDS, &order, sizeof(order)), -EINVAL,
			   "more CIDs than an order has room for");
	}
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
	static const uint16_t types[] = { 0, 3, 0xffff };
	struct ctl_report r;
	unsigned int i;

	is_refused(t,
		   ctl_connect(e->ctl, ASSAY_CID_ANY, stranger, VSOCK_STREAM, CTL_SVC_NONE,
			       test_ms() / 4, &r),
		   -ENETUNREACH, "a connect to a CID that is none of the guest's");
	is_refused(t,
		   ctl_connect(e->ctl, 0x7ffffe00, to, VSOCK_STREAM, CTL_SVC_NONE, test_ms() / 4,
			       &r),
		   -EADDRNOTAVAIL, "a connect from a CID that is none of the host's");
	for (i = 0; i < COUNT_OF(types); i++)
		is_refused(t,
			   ctl_connect(e->ctl, ASSAY_CID_ANY, to, (enum vsock_type)types[i],
				       CTL_SVC_NONE, test_ms() / 4, &r),
			   -EOPNOTSUPP, "a connect of a type that there is not");
	cids_are_refused(t, e, &was);
	counts_are_refused(t, e);
	/* Once the first change is ordered a second one waits for nothing. */
	CTL_OK(t, ctl_config_notice(e->ctl, was.guest, was.num_guest, was.host, was.num_host,
				    test_ms() / 20));
	is_refused(t,
		   ctl_config_notice(e->ctl, was.guest, was.num_guest, was.host, was.num_host, 1),
		   -EBUSY, "a second change while one is due");
	(void)wait_for((vsock_poll(e->vs), false), test_sec() / 10);
	start_anew(t, VIRTIO_BIT(VSOCK_F_STREAM));
	is_refused(t,
		   ctl_connect(vsock_env()->ctl, ASSAY_CID_ANY, to, VSOCK_SEQPACKET, CTL_SVC_NONE,
			       test_ms() / 4, &r),
		   -EOPNOTSUPP, "a connect of a type that is not negotiated");
}

/* The same addresses are free again once that connection has ended. */
TEST(record_connect_from,
     .id = "vsock.record.connect_from",
     .clause = PROTO "a connection that the host makes has the port and the buffer that were asked for; addresses that are in use are refused",
     .owner = OWNER,
     .needs = NEEDS | NEED_HOST_CONNECT,
     .timeout = 10 * SEC)
{
	enum {
		FROM = 30001,
		ROOM = 12345
	};
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_addr to = { vsock_config(e->vs)->guest[0], SERVER_PORT };
	struct vsock_listener *l = guest_listens(t, e, VSOCK_CID_ANY, SERVER_PORT);
	struct vsock_credit k;
	struct vsock_conn *c;
	struct ctl_report r;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		CTL_OK(t,
		       ctl_connect_from(e->ctl, FROM, to, VSOCK_STREAM, ROOM + i, test_ms(), &r));
		expect(t, r.host.cid == VSOCK_CID_HOST && r.host.port == FROM,
		       "the host's end of its connect: %llu:%u", (unsigned long long)r.host.cid,
		       (unsigned int)r.host.port);
		expect(t, r.guest.cid == to.cid && r.guest.port == to.port,
		       "the guest's end of it: %llu:%u", (unsigned long long)r.guest.cid,
		       (unsigned int)r.guest.port);
		if (vsock_accept(l, IO_NS, &c))
			test_error(t, "the host is connected, and the guest is not");
		vsock_conn_credit(c, &k);
		expect_eq(t, k.peer_buf_alloc, ROOM + i, "buf_alloc of the host's REQUEST");
		expect_eq(t, vsock_conn_remote(c).port, FROM, "port of the host's REQUEST");
		is_refused(t,
			   ctl_connect_from(e->ctl, FROM, to, VSOCK_STREAM, 0, test_ms() / 4, &r),
			   -EADDRINUSE, "a second connect with the same addresses");
		vsock_conn_close(c, 0);
		CTL_OK(t, ctl_barrier(e->ctl));
	}
	vsock_unlisten(l);
}

/* The device's own orders, without the bytes that they need. */
static void need_bytes(struct test_ctx *t, struct vsock_env *e)
{
	static const struct {
		uint16_t op;
		uint16_t len;
	} orders[] = {
		{ CTL_DEV_INFO, 4 }, { CTL_SET_CIDS, 0 }, { CTL_SET_CIDS, 16 },
		{ CTL_HEADERS, 0 },  { CTL_HEADERS, 16 },
	};
	static const uint8_t bytes[16];
	unsigned int i;

	for (i = 0; i < COUNT_OF(orders); i++) {
		test_note(t, "operation %u with %u bytes", orders[i].op, orders[i].len);
		is_refused(t, ctl_any(e->ctl, orders[i].op, bytes, orders[i].len), -EINVAL,
			   "an order of the wrong length");
	}
}

/* What the peer can look for in shared memory: 16 to 64 bytes. */
static void scans(struct test_ctx *t, struct vsock_env *e)
{
	static const uint8_t bytes[64] = "vsock.record.unknown_orders: this is nowhere else";
	struct ctl_mem_scan longer = { .len = cpu_to_le32(65) };
	struct ctl_mem_scan_reply r;
	struct ctl_mem_state s;

	CTL_OK(t, ctl_mem_state(e->ctl, &s));
	is_refused(t, ctl_mem_scan(e->ctl, bytes, 0, &r), -EINVAL, "a scan for 0 bytes");
	is_refused(t, ctl_mem_scan(e->ctl, bytes, 15, &r), -EINVAL, "a scan for 15 bytes");
	is_refused(t, ctl_any(e->ctl, CTL_MEM_SCAN, &longer, sizeof(longer)), -EINVAL,
		   "a scan for 65 bytes");
	CTL_OK(t, ctl_mem_scan(e->ctl, bytes, 16, &r));
	CTL_OK(t, ctl_mem_scan(e->ctl, bytes, 64, &r));
	expect(t, r.scanned_pages && (!s.protected_mode || r.scanned_pages <= s.shared_pages),
	       "pages that were scanned: %llu, of %llu that are shared",
	       (unsigned long long)r.scanned_pages, (unsigned long long)s.shared_pages);
}

TEST(record_unknown,
     .id = "vsock.record.unknown_orders",
     .clause = PROTO "a peer refuses orders that it does not know, that are not whole, or that it does not say it can carry out",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 30 * SEC) /* it looks through all of memory */
{
	static const uint16_t unknown[] = { 0, CTL_DEV_INFO - 1, 34, 38, 0xffff };
	struct vsock_env *e = vsock_env_ctl(t);
	unsigned int i;

	for (i = 0; i < COUNT_OF(unknown); i++) {
		test_note(t, "operation %u", unknown[i]);
		is_refused(t, ctl_any(e->ctl, unknown[i], NULL, 0), -EOPNOTSUPP,
			   "an order that there is not");
	}
	if (!ctl_can(e->ctl, CTL_CAP_DEVICE))
		is_refused(t, ctl_any(e->ctl, CTL_DEV_INFO, NULL, 0), -EOPNOTSUPP,
			   "an order to the device");
	else
		need_bytes(t, e);
	if (!ctl_can(e->ctl, CTL_CAP_MEM_STATE))
		is_refused(t, ctl_any(e->ctl, CTL_MEM_STATE, NULL, 0), -EOPNOTSUPP,
			   "an order about the states of pages");
	else
		scans(t, e);
	CTL_OK(t, ctl_barrier(e->ctl));
}

/* Boundaries of messages are offsets in what passes. */
static void advance_messages(struct test_ctx *t, uint32_t by)
{
	struct pair *p = pair_open(t, .type = VSOCK_SEQPACKET);
	unsigned int i;

	CTL_OK(t, ctl_conn(p->env->ctl, CTL_ADVANCE, p->host, by, NULL));
	vsock_conn_advance(p->conn, by);
	for (i = 1; i <= 3; i++) {
		guest_send(p, 100 * i);
		guest_send(p, 7);
		host_expects(p);
		host_send_messages(p, 2, 300 * i);
		guest_expects(p, 300 * i);
		guest_expects(p, 300 * i);
	}
	pair_close(p);
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
	if (has_type(vsock_env_ctl(t), VSOCK_SEQPACKET))
		advance_messages(t, 100000);
}
