/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 5.10.6): whatever connections do beside each other and after each other, each delivers what was
 * sent on it, in order, ends as it was told to end, and leaves nothing behind.
 *
 * How hosts break it: in states that nobody thought of, since each test has one story: the third connection on a port
 * that a half-closed one had, a message into a buffer that was made small while another connection waits for credit.
 *
 * How it is seen here: a walk at random, a dozen connections, each with a note of what is due; each step carries its own
 * check, and the oracle watches all packets. The numbers come from shuffle= and are the same each time. Each round has
 * another driver: its own features, sizes of queues and buffers; between rounds the device is reset, with connections
 * open or with none.
 */
#include "drivers/virtio/virtqueue.h"
#include "lib/cmdline.h"
#include "lib/errname.h"
#include "tests/vsock/pair.h"

OPTION("walk.steps", "how many steps each round of vsock.walk.random has");

#define OWNER	     "vsock device back end"
#define ROUNDS	     6u
#define STEPS	     150u
#define ENDS	     12u
#define FIRST_PORT   0x51000000u /* one for each place, so that ports come back soon */
#define GUEST_LISTEN 7100u
#define MESSAGE_MAX  65536u
#define PACKET_MAX   4000u
#define TRICKLE	     40u /* as many buffers full are sent at a time, at most */

/* A connection, and what is due on it. */
struct end {
	struct pair *p; /* NULL: none */
	size_t due;	/* bytes that the guest has not read yet, of a stream */
	size_t message; /* of a seqpacket: the size of each message */
	unsigned int messages;
	bool paused, guest_done, host_done;
};

static struct walk {
	struct test_ctx *t;
	struct vsock_env *e;
	struct end end[ENDS];
	struct pair *anchor[2]; /* by type - 1: whose host port the others ask */
	struct vsock_listener *listener;
} walk;

static unsigned int opened;

static unsigned int draw(unsigned int n)
{
	return test_draw(walk.t, n);
}

static bool peer_can(enum ctl_cap cap)
{
	return ctl_can(walk.e->ctl, cap);
}

/* One of the edges, from 1 to max; max itself more often. */
static size_t some_size(size_t max)
{
	size_t n;

	if (draw(6) == 0)
		return max;
	do {
		n = edge_sizes[draw(COUNT_OF(edge_sizes))];
	} while (n > 70000);
	return n < 1 || n > max ? 1 + draw((unsigned int)max) : n;
}

/* --- steps: each is taken where the connection's state allows it, else nothing happens --------- */

static void host_asks(struct end *x, const struct vsock_addr *to)
{
	const int ret = host_connects(walk.t, walk.e, *to, &x->p);

	require(walk.t, !ret, "the host's connect to CID %llu port %u: %s",
		(unsigned long long)to->cid, (unsigned int)to->port, err_text(ret));
	guest_accepts(x->p, walk.listener);
}

static void opens(struct end *x)
{
	static const uint32_t bufs[] = { 0, 0, 0, 1000, 4096, 65536, 300000 };
	const struct vsock_config *c = vsock_config(walk.e->vs);
	const uint64_t local = c->guest[draw(c->num_guest)];
	enum vsock_type type = draw(2) ? VSOCK_SEQPACKET : VSOCK_STREAM;

	if (!has_type(walk.e, type))
		type = VSOCK_STREAM;
	*x = (struct end){ 0 };
	opened++;
	if (walk.listener && type == VSOCK_STREAM && draw(3) == 0) {
		host_asks(x, &(struct vsock_addr){ local, GUEST_LISTEN });
		return;
	}
	x->p = pair_open(walk.t, .type = type, .port_of = walk.anchor[type - 1], .local = local,
			 .local_port = draw(2) ? FIRST_PORT + (uint32_t)(x - walk.end) : 0,
			 .guest_buf = bufs[draw(COUNT_OF(bufs))]);
}

static void guest_sends(struct end *x)
{
	const struct vsock_credit k = credit_of(x->p);
	size_t max = x->paused ? k.peer_free : (size_t)k.peer_buf_alloc * TRICKLE;

	if (x->p->type == VSOCK_SEQPACKET)
		max = max < k.peer_buf_alloc ? max : k.peer_buf_alloc;
	max = max < MESSAGE_MAX ? max : MESSAGE_MAX;
	if (max && !x->guest_done)
		guest_send(x->p, some_size(max));
}

/* In packets of the test's own, within what the host is known to have free; a message in several of them. */
static void guest_sends_packets(struct end *x)
{
	const bool message = x->p->type == VSOCK_SEQPACKET;
	unsigned int i, n = 1 + draw(4);
	uint32_t each = credit_of(x->p).peer_free / n;

	if (x->guest_done || !each)
		return;
	each = 1 + draw(each < PACKET_MAX ? each : PACKET_MAX);
	for (i = 0; i < n; i++)
		guest_packet(x->p, VSOCK_OP_RW,
			     !message || i + 1 < n ? 0 :
			     draw(2)		   ? VSOCK_SEQ_EOM :
						     VSOCK_SEQ_EOM | VSOCK_SEQ_EOR,
			     each);
}

static void guest_has_more_room(struct end *x)
{
	vsock_conn_set_buf(x->p->conn, credit_of(x->p).buf_alloc + 1 + draw(9000));
}

static void host_has_more_room(struct end *x)
{
	if (peer_can(CTL_CAP_CREDIT))
		host_sets_buffer(x->p, credit_of(x->p).peer_buf_alloc + 1 + draw(9000));
}

static void host_sends(struct end *x)
{
	const uint32_t buf = credit_of(x->p).buf_alloc;
	size_t max = (size_t)buf * (x->p->type == VSOCK_SEQPACKET ? 1 : TRICKLE);

	if (x->host_done || x->due || x->messages)
		return;
	max = max < MESSAGE_MAX ? max : MESSAGE_MAX;
	if (x->p->type == VSOCK_STREAM) {
		x->due = some_size(max);
		host_send(x->p, x->due);
		return;
	}
	/* See vsock.seqpacket.waits_for_credit. */
	if (!peer_can(CTL_CAP_DEVICE))
		max = max < buf / 2 ? max : buf / 2;
	x->message = some_size(max);
	x->messages = 1 + draw(4);
	if (!peer_can(CTL_CAP_DEVICE) && x->messages * x->message > max)
		x->messages = 1;
	host_send_messages(x->p, x->messages, x->message);
}

static void guest_reads(struct end *x)
{
	size_t n;

	if (x->messages) {
		guest_expects(x->p, x->message);
		x->messages--;
	} else if (x->due) {
		n = 1 + draw((unsigned int)x->due);
		guest_expects(x->p, n);
		x->due -= n;
	}
}

static void reads_all(struct end *x)
{
	for (; x->messages; x->messages--)
		guest_expects(x->p, x->message);
	if (x->due)
		guest_expects(x->p, x->due);
	x->due = 0;
}

static void host_checks(struct end *x)
{
	if (!x->paused)
		host_expects(x->p);
}

static void turns_reading(struct end *x)
{
	if (x->paused)
		host_goes_on(x->p);
	else
		host_pauses(x->p);
	x->paused = !x->paused;
}

/* Sockets that both ends have shut are hung up (EPOLLHUP), and a peer that has sockets closes them. */
static bool can_shut(bool one, bool other)
{
	return !one && (!other || peer_can(CTL_CAP_DEVICE)) && peer_can(CTL_CAP_HALF_CLOSE);
}

static void guest_ends_sending(struct end *x)
{
	if (x->paused || !can_shut(x->guest_done, x->host_done))
		return;
	guest_shuts(x->p, VSOCK_SHUTDOWN_SEND);
	x->guest_done = true;
	host_expects(x->p);
	host_expects_end(x->p);
}

static void host_ends_sending(struct end *x)
{
	if (x->due || x->p->type != VSOCK_STREAM || !can_shut(x->host_done, x->guest_done))
		return;
	host_shuts(x->p, VSOCK_SHUTDOWN_SEND);
	x->host_done = true;
	guest_expects_end(x->p);
}

static void asks_for_credit(struct end *x)
{
	if (x->paused)
		return;
	host_expects(x->p);
	expect(walk.t, all_returned(x->p),
	       "guest port %u: of %u bytes that the host has read, fwd_cnt has %u",
	       (unsigned int)x->p->local.port, (unsigned int)credit_of(x->p).tx_cnt,
	       (unsigned int)credit_of(x->p).peer_fwd_cnt);
}

static void is_silent(struct end *x)
{
	if (!x->due && !x->messages)
		nothing_comes(x->p);
}

/* The connection's end, in one of four ways. */
static void ends(struct end *x)
{
	const unsigned int how = draw(peer_can(CTL_CAP_RESET) ? 4 : 3);

	switch (how) {
	case 0:
		pair_close(x->p);
		x->p = NULL;
		return;
	case 1:
		guest_resets(x->p);
		host_expects_reset(x->p);
		break;
	case 2:
		reads_all(x); /* the driver answers when nothing is unread */
		host_closes(x->p);
		require(walk.t, pair_waits(x->p, has_ended(x->p), 1),
			"guest port %u: the host's application closes, no SHUTDOWN of both directions comes",
			(unsigned int)x->p->local.port);
		break;
	default:
		host_resets(x->p);
		guest_expects_reset(x->p);
		break;
	}
	pair_drop(x->p);
	x->p = NULL;
}

/* All that is due comes, and then it ends. */
static void finishes(struct end *x)
{
	if (x->paused)
		turns_reading(x);
	reads_all(x);
	host_expects(x->p);
	nothing_comes(x->p);
	ends(x);
}

/* It ends with whatever is under way. An end that does not read can not be closed in the orderly way. */
static void breaks_off(struct end *x)
{
	if (x->paused)
		turns_reading(x);
	ends(x);
}

static const struct {
	unsigned int weight;
	void (*take)(struct end *x);
} steps[] = {
	{ 16, guest_sends },	   { 8, guest_sends_packets }, { 2, guest_has_more_room },
	{ 2, host_has_more_room }, { 14, host_sends },	       { 16, guest_reads },
	{ 10, host_checks },	   { 8, turns_reading },       { 3, asks_for_credit },
	{ 3, is_silent },	   { 3, guest_ends_sending },  { 3, host_ends_sending },
	{ 6, finishes },	   { 4, breaks_off },
};

static void step(void)
{
	struct end *x = &walk.end[draw(ENDS)];
	unsigned int i, at, all = 0;

	if (!x->p) {
		opens(x);
		return;
	}
	for (i = 0; i < COUNT_OF(steps); i++)
		all += steps[i].weight;
	at = draw(all);
	for (i = 0; at >= steps[i].weight; i++)
		at -= steps[i].weight;
	steps[i].take(x);
}

/* --- rounds ------------------------------------------------------------------------------------ */

static uint64_t some_features(void)
{
	const uint64_t offered = vsock_device(vsock_env_dev(walk.t)->vs)->offered;

	/* The control connection is a stream: that type stays. */
	return draw(3) ? 0 : offered & ~VIRTIO_BIT(VSOCK_F_SEQPACKET);
}

static void some_manner(struct vsock_manner *m)
{
	static const uint16_t queues[] = { 0, 0, 8, 16, 64 };
	static const uint32_t rx[] = { 0, 0, 1024, 4095, 4096, 65536 };

	*m = (struct vsock_manner){
		.without = (draw(2) ? VIRTIO_BIT(VIRTIO_F_EVENT_IDX) : 0) |
			   (draw(2) ? VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) : 0),
		.queue_size = queues[draw(COUNT_OF(queues))],
		.rx_bytes = rx[draw(COUNT_OF(rx))],
		.rx_count = draw(3) ? 0 : 4,
	};
}

static void begins(unsigned int round)
{
	static struct vsock_manner m;
	enum vsock_type type;

	if (round) {
		const uint64_t features = some_features();

		some_manner(&m);
		vsock_set_manner(&m);
		require(walk.t, vsock_env_reopen(walk.t, features) == 0,
			"round %u: the device does not come up: %s", round,
			vsock_env_device_error());
		require(walk.t, vsock_env_reconnect() == 0, "round %u: the control connection: %s",
			round, vsock_env_peer_error());
	}
	walk.e = vsock_env_ctl(walk.t);
	walk.listener = peer_can(CTL_CAP_HOST_CONNECT) && peer_can(CTL_CAP_ANY_GUEST_PORT) ?
				guest_listens(walk.t, walk.e, VSOCK_CID_ANY, GUEST_LISTEN) :
				NULL;
	for (type = VSOCK_STREAM; type <= VSOCK_SEQPACKET; type++)
		walk.anchor[type - 1] = has_type(walk.e, type) ? pair_open(walk.t, .type = type) :
								 NULL;
}

TEST(walk_random,
     .id = "vsock.walk.random",
     .clause = "virtio 1.4, 5.10.6: each connection delivers what was sent on it and ends as it was told to, whatever others do",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 60 * SEC)
{
	const unsigned int n = (unsigned int)cmdline_get_u64("walk.steps", STEPS);
	unsigned int round, i;

	opened = 0;
	for (round = 0; round < ROUNDS; round++) {
		walk = (struct walk){ .t = t };
		begins(round);
		for (i = 0; i < n; i++)
			step();
		/* Every other device is reset with all of it under way. */
		for (i = 0; round % 2 == 0 && i < ENDS; i++)
			if (walk.end[i].p)
				finishes(&walk.end[i]);
	}
	test_note(t, "%u rounds of %u steps, %u connections", ROUNDS, n, opened);
}
