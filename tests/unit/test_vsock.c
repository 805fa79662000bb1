/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vsock.c and vsock_conn.c facing a host that this file plays: it sees each
 * packet that the driver sends, and puts any bytes into the receive buffers.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/vsock_internal.h"
#include "tests/unit/fake_virtio.h"

#define BASE	 (VIRTIO_BIT(VIRTIO_F_VERSION_1) | FAKE_RING_FEATURES)
#define SEQ	 VIRTIO_BIT(VSOCK_F_SEQPACKET)
#define ANY	 VSOCK_PORT_ANY
#define BOTH	 (VSOCK_SHUTDOWN_RCV | VSOCK_SHUTDOWN_SEND)
#define MAX_SEEN 10000

static struct fake_device dev; /* registered: stays */
static struct vsock *vs;

/* What the driver sent. */
static struct sent {
	struct vsock_hdr h;
	uint32_t len; /* bytes behind the header */
	uint32_t sum;
} sent[MAX_SEEN];
static unsigned int num_sent;

/* The host's side of every connection; what it answers by itself. */
static struct {
	enum {
		SILENT,
		ACCEPTS,
		REFUSES,
		CONFUSES /* by an operation that there is not */
	} request;
	bool answers_shutdown, reads, stuck;
	uint32_t buf, fwd;
} host;

/* --- the host -------------------------------------------------------------------------- */

static uint32_t sum_of(const uint8_t *p, size_t n)
{
	uint32_t s = 0;

	while (n--)
		s = s * 31 + *p++;
	return s;
}

/* used: bytes that the device says it wrote. */
static void inject_bytes(const void *p, uint32_t n, uint32_t used)
{
	struct fake_chain c;

	assert_true(fake_pop(&dev, VQ_RX, &c));
	fake_copy_in(&c, p, n);
	fake_push(&dev, VQ_RX, c.head, used);
}

static void inject(const struct vsock_hdr *h, const void *data, uint32_t n)
{
	uint8_t b[sizeof(*h) + 16384];

	assert_true(n <= 16384);
	memcpy(b, h, sizeof(*h));
	if (n)
		memcpy(b + sizeof(*h), data, n);
	inject_bytes(b, (uint32_t)sizeof(*h) + n, (uint32_t)sizeof(*h) + n);
}

/* A packet of the host to the sender of `to`. */
static struct vsock_hdr answer(const struct vsock_hdr *to, enum vsock_op op)
{
	return (struct vsock_hdr){
		.src_cid = to->dst_cid,
		.dst_cid = to->src_cid,
		.src_port = to->dst_port,
		.dst_port = to->src_port,
		.type = to->type,
		.op = op,
		.buf_alloc = host.buf,
		.fwd_cnt = host.fwd,
	};
}

static void reply(const struct vsock_hdr *to, enum vsock_op op)
{
	const struct vsock_hdr h = answer(to, op);

	inject(&h, NULL, 0);
}

static void on_packet(const struct vsock_hdr *h)
{
	if (h->op == VSOCK_OP_REQUEST && host.request == ACCEPTS)
		reply(h, VSOCK_OP_RESPONSE);
	else if (h->op == VSOCK_OP_REQUEST && host.request == REFUSES)
		reply(h, VSOCK_OP_RST);
	else if (h->op == VSOCK_OP_REQUEST && host.request == CONFUSES)
		reply(h, (enum vsock_op)8);
	else if (h->op == VSOCK_OP_SHUTDOWN && h->flags == BOTH && host.answers_shutdown)
		reply(h, VSOCK_OP_RST);
	else if (h->op == VSOCK_OP_RW && host.reads) {
		host.fwd += h->len;
		reply(h, VSOCK_OP_CREDIT_UPDATE);
	}
}

static void take_sent(void)
{
	static uint8_t b[sizeof(struct vsock_hdr) + VSOCK_TX_PAYLOAD];
	struct fake_chain c;
	struct sent *s;
	uint32_t n;

	while (fake_pop(&dev, VQ_TX, &c)) {
		n = fake_copy_out(&c, b, sizeof(b));
		assert_true(n >= sizeof(struct vsock_hdr));
		assert_true(num_sent < MAX_SEEN);
		s = &sent[num_sent++];
		memcpy(&s->h, b, sizeof(s->h));
		s->len = n - (uint32_t)sizeof(s->h);
		assert_int_equal(s->len, s->h.len);
		/* 5.10.6: flags mean something in these only. */
		if (s->h.op != VSOCK_OP_SHUTDOWN && s->h.op != VSOCK_OP_RW)
			assert_int_equal(s->h.flags, 0);
		s->sum = sum_of(b + sizeof(s->h), s->len);
		fake_push(&dev, VQ_TX, c.head, 0);
		on_packet(&s->h);
	}
}

static void on_notify(struct fake_device *f, uint16_t queue)
{
	(void)f;
	if (queue == VQ_TX && !host.stuck)
		take_sent();
}

static const struct sent *last(void)
{
	assert_true(num_sent > 0);
	return &sent[num_sent - 1];
}

static unsigned int count_op(enum vsock_op op)
{
	unsigned int i, n = 0;

	for (i = 0; i < num_sent; i++)
		n += sent[i].h.op == op;
	return n;
}

/* --- up and down ------------------------------------------------------------------------ */

static void set_cids(const uint64_t *cids, uint32_t n)
{
	memset(dev.config, 0, sizeof(dev.config));
	memcpy(dev.config, &n, 4);
	memcpy(dev.config + 4, cids, 8 * n);
	dev.config_len = 4 + 8 * n;
}

static void prepare(uint64_t features)
{
	static const uint64_t cids[] = { 3, 4, 5 };
	static bool registered;

	fake_init(&dev, VIRTIO_ID_VSOCK, BASE | features, 3, !registered);
	registered = true;
	set_cids(cids, 3);
	dev.on_notify = on_notify;
	memset(&host, 0, sizeof(host));
	host.request = ACCEPTS;
	host.answers_shutdown = true;
	host.buf = 65536;
	num_sent = 0;
}

static void open_with(uint64_t features)
{
	prepare(features);
	assert_int_equal(vsock_open(0, 0, &vs), 0);
}

static int up(void **state)
{
	(void)state;
	open_with(VIRTIO_BIT(VSOCK_F_STREAM) | SEQ);
	return 0;
}

static int down(void **state)
{
	(void)state;
	vsock_close(vs);
	vs = NULL;
	assert_int_equal(fake_pages_out(), 0);
	assert_int_equal(fake_maps_out(), 0);
	return 0;
}

static struct vsock_conn *connect_from(enum vsock_type type, uint64_t cid, uint32_t port,
				       uint32_t to)
{
	const struct vsock_addr l = { cid, port }, r = { VSOCK_CID_HOST, to };
	struct vsock_conn *c;

	assert_int_equal(vsock_connect(vs, type, l, r, SEC, &c), 0);
	assert_int_equal(vsock_conn_state(c), VSOCK_ESTABLISHED);
	return c;
}

static struct vsock_conn *connected(enum vsock_type type)
{
	return connect_from(type, 0, ANY, 1234);
}

/* A packet of the host on connection c. */
static struct vsock_hdr packet(const struct vsock_conn *c, enum vsock_op op, uint32_t len)
{
	const struct vsock_addr l = vsock_conn_local(c), r = vsock_conn_remote(c);

	return (struct vsock_hdr){
		.src_cid = r.cid,
		.dst_cid = l.cid,
		.src_port = r.port,
		.dst_port = l.port,
		.len = len,
		.type = c->type,
		.op = op,
		.buf_alloc = host.buf,
		.fwd_cnt = host.fwd,
	};
}

static void host_sends(const struct vsock_conn *c, const void *data, uint32_t n, uint32_t flags)
{
	struct vsock_hdr h = packet(c, VSOCK_OP_RW, n);

	h.flags = flags;
	inject(&h, data, n);
}

/* n packets of the host, and perhaps buffers that it gave back. */
static void polled(int n)
{
	assert_true(vsock_poll(vs) >= n);
}

static void host_op(const struct vsock_conn *c, enum vsock_op op, uint32_t flags)
{
	struct vsock_hdr h = packet(c, op, 0);

	h.flags = flags;
	inject(&h, NULL, 0);
	polled(1);
}

static struct vsock_stats stats(void)
{
	struct vsock_stats s;

	vsock_stats(vs, &s);
	return s;
}

static struct vsock_credit credit(const struct vsock_conn *c)
{
	struct vsock_credit k;

	vsock_conn_credit(c, &k);
	return k;
}

static void expect_data(struct vsock_conn *c, const char *text)
{
	char b[64] = "";

	assert_int_equal(vsock_recv(c, b, sizeof(b) - 1, MSEC), strlen(text));
	assert_string_equal(b, text);
}

/* --- the device -------------------------------------------------------------------------- */

static void opens(void **state)
{
	(void)state;
	assert_int_equal(vsock_count(), 1);
	assert_ptr_equal(vsock_device(vs), &dev.vdev);
	assert_int_equal(vsock_config(vs)->layout, VSOCK_LAYOUT_MULTI);
	assert_int_equal(vsock_config(vs)->num_guest, 3);
	assert_true(vsock_is_local(vs, 5));
	assert_false(vsock_is_local(vs, 6));
	assert_false(vsock_is_local(vs, 2));
	assert_string_equal(vsock_config_error(vs), "");
	assert_int_equal(dev.status & VIRTIO_S_DRIVER_OK, VIRTIO_S_DRIVER_OK);
	/* Receive buffers are there before the device is told that it may use them. */
	assert_true(dev.q[VQ_RX].notifies > 0 && dev.q[VQ_EVENT].notifies > 0);
	assert_int_equal(dev.q[VQ_RX].avail->idx, 48);
	assert_int_equal(dev.q[VQ_EVENT].avail->idx, 8);
}

static void open_fails(void **state)
{
	static const uint64_t twice[] = { 3, 3 };
	struct vsock *other = (void *)&dev; /* anything but NULL */

	(void)state;
	prepare(0);
	assert_int_equal(vsock_open(1, 0, &other), -ENODEV);
	assert_null(other);
	set_cids(twice, 2);
	assert_int_equal(vsock_open(1, 0, &vs), -ENODEV);
	assert_null(vs);
	assert_int_equal(vsock_open(0, 0, &vs), -EPROTO);
	assert_non_null(strstr(vsock_config_error(vs), "listed twice"));
	assert_false(dev.status & VIRTIO_S_DRIVER_OK);
	vsock_close(vs);
	prepare(0);
	dev.refuse_features_ok = true;
	assert_int_equal(vsock_open(0, 0, &vs), -EINVAL);
	vsock_close(vs);
	dev.refuse_features_ok = false;
	set_cids(twice, 2);
	fake_cmdline_key = "vsock.layout";
	fake_cmdline_value = "nonsense";
	assert_int_equal(vsock_open(0, 0, &vs), -EINVAL);
	assert_non_null(strstr(vsock_config_error(vs), "nonsense"));
	vsock_close(vs);
	fake_cmdline_value = "upstream";
	assert_int_equal(vsock_open(0, 0, &vs), -EPROTO);
	vsock_close(vs);
	fake_cmdline_key = NULL;
	dev.q[2].max = 0; /* no event queue */
	set_cids(twice, 1);
	assert_int_equal(vsock_open(0, 0, &other), -ENODEV);
	vsock_close(other);
	vsock_close(NULL);
	prepare(0);
	dev.refuse_driver_ok = true;
	assert_int_equal(vsock_open(0, 0, &vs), -EIO);
}

static void only_asked_features(void **state)
{
	(void)state;
	prepare(VIRTIO_BIT(VSOCK_F_STREAM) | SEQ | VIRTIO_BIT(VSOCK_F_NO_IMPLIED_STREAM));
	assert_int_equal(vsock_open(0, SEQ, &vs), 0);
	assert_true(dev.accepted & SEQ);
	assert_false(dev.accepted & VIRTIO_BIT(VSOCK_F_STREAM));
	assert_false(dev.accepted & VIRTIO_BIT(VSOCK_F_NO_IMPLIED_STREAM));
}

/* --- connecting --------------------------------------------------------------------------- */

static void connects(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	const struct vsock_hdr *h = &sent[0].h;

	(void)state;
	assert_int_equal(num_sent, 1);
	assert_int_equal(h->src_cid, 3); /* cids[0] */
	assert_int_equal(h->dst_cid, 2);
	assert_true(h->src_port >= 49152);
	assert_int_equal(h->dst_port, 1234);
	assert_int_equal(h->op, VSOCK_OP_REQUEST);
	assert_int_equal(h->type, VSOCK_STREAM);
	assert_int_equal(h->len, 0);
	assert_int_equal(h->flags, 0);
	assert_int_equal(h->buf_alloc, VSOCK_DEFAULT_BUF);
	assert_int_equal(h->fwd_cnt, 0);
	assert_int_equal(credit(c).peer_buf_alloc, host.buf);
	assert_int_equal(stats().conns, 1);
	assert_int_equal(vsock_conn_close(c, SEC), 0);
	assert_int_equal(last()->h.op, VSOCK_OP_SHUTDOWN);
	assert_int_equal(last()->h.flags, BOTH);
	assert_int_equal(stats().conns, 0);
}

/* Ports that are taken are passed over; the last but one is followed by the first. */
static void chooses_ports(void **state)
{
	struct vsock_conn *c, *d, *e;

	(void)state;
	vs->next_port = 60000;
	c = connect_from(VSOCK_STREAM, 3, 60001, 1234);
	d = connected(VSOCK_STREAM);
	e = connected(VSOCK_STREAM);
	assert_int_equal(vsock_conn_local(c).port, 60001);
	assert_int_equal(vsock_conn_local(d).port, 60000);
	assert_int_equal(vsock_conn_local(e).port, 60002);
	vs->next_port = UINT32_MAX - 3;
	c = connected(VSOCK_STREAM);
	d = connected(VSOCK_STREAM);
	e = connected(VSOCK_STREAM);
	assert_int_equal(vsock_conn_local(c).port, UINT32_MAX - 3);
	assert_int_equal(vsock_conn_local(d).port, UINT32_MAX - 2);
	assert_int_equal(vsock_conn_local(e).port, 49152);
}

static void connect_refused(void **state)
{
	const struct vsock_addr l = { 4, 77 }, r = { 2, 1 };
	struct vsock_conn *c;

	(void)state;
	host.request = REFUSES;
	assert_int_equal(vsock_connect(vs, VSOCK_STREAM, l, r, SEC, &c), -ECONNREFUSED);
	assert_null(c);
	assert_int_equal(stats().conns, 0);
	assert_int_equal(num_sent, 1); /* an RST is not answered */
	host.request = SILENT;
	assert_int_equal(vsock_connect(vs, VSOCK_STREAM, l, r, MSEC, &c), -ETIMEDOUT);
	assert_int_equal(last()->h.op, VSOCK_OP_RST); /* so that the host forgets it too */
	assert_int_equal(stats().conns, 0);
	host.request = ACCEPTS;
	host.request = CONFUSES;
	num_sent = 0;
	assert_int_equal(vsock_connect(vs, VSOCK_STREAM, l, r, SEC, &c), -ECONNRESET);
	assert_null(c);
	assert_int_equal(num_sent, 2); /* the REQUEST, and one RST */
	assert_int_equal(stats().conns, 0);
	host.request = ACCEPTS;
	assert_int_equal(vsock_connect(vs, VSOCK_STREAM, l, r, SEC, &c), 0);
}

static void bad_addresses(void **state)
{
	const struct vsock_addr l = { 4, 77 }, r = { 2, 1 }, not_ours = { 6, ANY };
	struct vsock_conn *c, *d;

	(void)state;
	assert_int_equal(vsock_connect(vs, VSOCK_STREAM, not_ours, r, SEC, &c), -EADDRNOTAVAIL);
	assert_int_equal(vsock_connect(vs, VSOCK_STREAM, l, r, SEC, &c), 0);
	assert_int_equal(vsock_connect(vs, VSOCK_STREAM, l, r, SEC, &d), -EADDRINUSE);
	assert_int_equal(num_sent, 1);
	assert_int_equal(vsock_conn_state(c), VSOCK_ESTABLISHED);
}

/* 5.10.3.1 */
static void types_offered(void **state)
{
	static const struct {
		uint64_t features;
		int stream, seqpacket;
	} cases[] = {
		{ 0, 0, -EOPNOTSUPP },
		{ VIRTIO_BIT(VSOCK_F_STREAM), 0, -EOPNOTSUPP },
		{ SEQ, 0, 0 },
		{ VIRTIO_BIT(VSOCK_F_STREAM) | SEQ, 0, 0 },
		{ SEQ | VIRTIO_BIT(VSOCK_F_NO_IMPLIED_STREAM), -EOPNOTSUPP, 0 },
		{ VIRTIO_BIT(VSOCK_F_NO_IMPLIED_STREAM), 0, -EOPNOTSUPP },
	};
	const struct vsock_addr l = { 0, ANY }, r = { 2, 1 };
	struct vsock_listener *n;
	struct vsock_conn *c;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		open_with(cases[i].features);
		assert_int_equal(vsock_connect(vs, VSOCK_STREAM, l, r, SEC, &c), cases[i].stream);
		assert_int_equal(vsock_connect(vs, VSOCK_SEQPACKET, l, r, SEC, &c),
				 cases[i].seqpacket);
		assert_int_equal(vsock_listen(vs, VSOCK_SEQPACKET,
					      (struct vsock_addr){ VSOCK_CID_ANY, 5 }, 1, &n),
				 cases[i].seqpacket);
		if (i + 1 < sizeof(cases) / sizeof(cases[0]))
			down(state);
	}
}

/* Equal in all but one of local CID, local port, remote port, remote CID, type. */
static void told_apart(void **state)
{
	static const struct {
		enum vsock_type type;
		struct vsock_addr l, r;
		const char *text;
	} k[] = {
		{ VSOCK_STREAM, { 3, 10 }, { 2, 20 }, "zero" },
		{ VSOCK_STREAM, { 4, 10 }, { 2, 20 }, "local cid" },
		{ VSOCK_STREAM, { 3, 11 }, { 2, 20 }, "local port" },
		{ VSOCK_STREAM, { 3, 10 }, { 2, 21 }, "remote port" },
		{ VSOCK_STREAM, { 3, 10 }, { 9, 20 }, "remote cid" },
		{ VSOCK_SEQPACKET, { 3, 10 }, { 2, 20 }, "type" },
	};
	struct vsock_conn *c[6];
	int i;

	(void)state;
	for (i = 0; i < 6; i++)
		assert_int_equal(vsock_connect(vs, k[i].type, k[i].l, k[i].r, SEC, &c[i]), 0);
	for (i = 5; i >= 0; i--)
		host_sends(c[i], k[i].text, (uint32_t)strlen(k[i].text), VSOCK_SEQ_EOM);
	for (i = 0; i < 6; i++)
		expect_data(c[i], k[i].text);
	host_op(c[0], VSOCK_OP_RST, 0);
	vsock_conn_close(c[1], SEC);
	for (i = 0; i < 6; i++)
		if (i != 1)
			assert_int_equal(vsock_conn_state(c[i]),
					 i == 0 ? VSOCK_RESET : VSOCK_ESTABLISHED);
	assert_int_equal(vsock_strays(vs, NULL, 0), 0);
}

static void thousand(void **state)
{
	enum {
		N = 1500
	};
	static struct vsock_conn *c[N];
	uint32_t i, k, got;

	(void)state;
	for (i = 0; i < N; i++)
		c[i] = connect_from(VSOCK_STREAM, 3 + i % 3, 1000 + i, 50 + i % 7);
	assert_int_equal(stats().conns, N);
	for (i = 0; i < N; i += 40) {
		for (k = i; k < i + 40 && k < N; k++)
			host_sends(c[k], &k, sizeof(k), 0);
		polled(1);
	}
	for (i = N; i-- > 0;) {
		assert_int_equal(vsock_recv(c[i], &got, sizeof(got), MSEC), sizeof(got));
		assert_int_equal(got, i);
	}
	for (i = 0; i < N; i += 2)
		assert_int_equal(vsock_conn_close(c[i], SEC), 0);
	assert_int_equal(stats().conns, N / 2);
	for (i = 1; i < N; i += 2)
		assert_int_equal(vsock_conn_state(c[i]), VSOCK_ESTABLISHED);
}

/* --- listening ---------------------------------------------------------------------------- */

static void request(uint64_t cid, uint32_t port, uint32_t from, enum vsock_type type)
{
	const struct vsock_hdr h = {
		.src_cid = 2,
		.dst_cid = cid,
		.src_port = from,
		.dst_port = port,
		.type = type,
		.op = VSOCK_OP_REQUEST,
		.buf_alloc = 4096,
	};

	inject(&h, NULL, 0);
	polled(1);
	assert_int_equal(last()->h.src_cid, cid);
	assert_int_equal(last()->h.src_port, port);
	assert_int_equal(last()->h.dst_cid, 2);
	assert_int_equal(last()->h.dst_port, from);
	assert_int_equal(last()->h.type, type);
}

static struct vsock_listener *listen_at(uint64_t cid, uint32_t port, unsigned int backlog)
{
	struct vsock_listener *l;

	assert_int_equal(
		vsock_listen(vs, VSOCK_STREAM, (struct vsock_addr){ cid, port }, backlog, &l), 0);
	return l;
}

static void listens_on_one(void **state)
{
	struct vsock_listener *l = listen_at(4, 80, 8);
	struct vsock_conn *c, *d;

	(void)state;
	assert_int_equal(vsock_accept(l, MSEC, &c), -ETIMEDOUT);
	assert_null(c);
	request(3, 80, 1000, VSOCK_STREAM);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
	request(4, 81, 1000, VSOCK_STREAM);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
	request(4, 80, 1000, VSOCK_SEQPACKET);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
	request(4, 80, 1000, VSOCK_STREAM);
	assert_int_equal(last()->h.op, VSOCK_OP_RESPONSE);
	assert_int_equal(last()->h.flags, 0);
	assert_int_equal(last()->h.buf_alloc, VSOCK_DEFAULT_BUF);
	request(4, 80, 1001, VSOCK_STREAM);
	assert_int_equal(vsock_accept(l, MSEC, &c), 0);
	assert_int_equal(vsock_accept(l, MSEC, &d), 0); /* the oldest first */
	assert_int_equal(vsock_conn_remote(c).port, 1000);
	assert_int_equal(vsock_conn_remote(d).port, 1001);
	assert_int_equal(vsock_conn_local(c).cid, 4);
	assert_int_equal(credit(c).peer_buf_alloc, 4096);
	assert_int_equal(vsock_accept(l, MSEC, &c), -ETIMEDOUT);
}

static void listens_on_all(void **state)
{
	struct vsock_listener *l = listen_at(VSOCK_CID_ANY, 80, 8);
	struct vsock_conn *c;
	uint64_t cid;

	(void)state;
	for (cid = 3; cid <= 5; cid++) {
		request(cid, 80, 1000, VSOCK_STREAM);
		assert_int_equal(last()->h.op, VSOCK_OP_RESPONSE);
		assert_int_equal(last()->h.flags, 0);
		assert_int_equal(vsock_accept(l, MSEC, &c), 0);
		assert_int_equal(vsock_conn_local(c).cid, cid);
	}
}

static void listen_conflicts(void **state)
{
	const struct vsock_addr any = { VSOCK_CID_ANY, 80 }, one = { 4, 80 }, far = { 9, 80 };
	struct vsock_listener *l = listen_at(4, 80, 1), *m;

	(void)state;
	assert_int_equal(vsock_listen(vs, VSOCK_STREAM, any, 1, &m), -EADDRINUSE);
	assert_int_equal(vsock_listen(vs, VSOCK_STREAM, one, 1, &m), -EADDRINUSE);
	assert_int_equal(vsock_listen(vs, VSOCK_STREAM, far, 1, &m), -EADDRNOTAVAIL);
	assert_int_equal(vsock_listen(vs, VSOCK_SEQPACKET, one, 1, &m), 0);
	vsock_unlisten(m);
	vsock_unlisten(l);
	assert_int_equal(stats().listeners, 0);
	assert_int_equal(vsock_listen(vs, VSOCK_STREAM, any, 1, &m), 0);
	assert_int_equal(vsock_listen(vs, VSOCK_STREAM, one, 1, &l), -EADDRINUSE);
}

static void backlog(void **state)
{
	struct vsock_listener *l = listen_at(4, 80, 2);
	struct vsock_conn *c;
	uint32_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		request(4, 80, 1000 + i, VSOCK_STREAM);
		assert_int_equal(last()->h.op, i < 2 ? VSOCK_OP_RESPONSE : VSOCK_OP_RST);
	}
	assert_int_equal(vsock_accept(l, MSEC, &c), 0);
	request(4, 80, 2000, VSOCK_STREAM);
	assert_int_equal(last()->h.op, VSOCK_OP_RESPONSE);
	assert_int_equal(last()->h.flags, 0);
	/* Those that nobody accepted are reset; the accepted one stays. */
	num_sent = 0;
	vsock_unlisten(l);
	assert_int_equal(count_op(VSOCK_OP_RST), 2);
	assert_int_equal(num_sent, 2);
	assert_int_equal(stats().conns, 1);
	assert_int_equal(vsock_conn_state(c), VSOCK_ESTABLISHED);
	request(4, 80, 3000, VSOCK_STREAM);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
}

/* A connection that ends before it is accepted is still handed out, with its data. */
static void ended_in_backlog(void **state)
{
	struct vsock_listener *l = listen_at(4, 80, 2);
	struct vsock_hdr h;
	struct vsock_conn *c;
	char b[8];

	(void)state;
	request(4, 80, 1000, VSOCK_STREAM);
	h = answer(&last()->h, VSOCK_OP_RW);
	h.len = 3;
	inject(&h, "abc", 3);
	reply(&last()->h, VSOCK_OP_RST);
	polled(2);
	assert_int_equal(vsock_accept(l, MSEC, &c), 0);
	assert_int_equal(vsock_conn_state(c), VSOCK_RESET);
	assert_int_equal(vsock_recv(c, b, sizeof(b), MSEC), 3);
	assert_int_equal(vsock_recv(c, b, sizeof(b), MSEC), -ECONNRESET);
}

/* --- ending ------------------------------------------------------------------------------- */

static void host_shuts_sending(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	char b[8];

	(void)state;
	host_sends(c, "abc", 3, 0);
	host_op(c, VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_SEND);
	assert_int_equal(vsock_peer_shutdown(c), VSOCK_SHUTDOWN_SEND);
	assert_int_equal(vsock_recv(c, b, 2, MSEC), 2);
	assert_int_equal(vsock_recv(c, b, 8, MSEC), 1);
	assert_int_equal(vsock_recv(c, b, 8, MSEC), 0);
	assert_int_equal(vsock_recv(c, b, 8, MSEC), 0);
	/* The other direction stays. */
	assert_int_equal(vsock_conn_state(c), VSOCK_ESTABLISHED);
	assert_int_equal(vsock_send(c, "xyz", 3, MSEC), 3);
	/* Hints are permanent, flags that are unknown do not count. */
	host_op(c, VSOCK_OP_SHUTDOWN, 0xfffffffc);
	assert_int_equal(vsock_peer_shutdown(c), VSOCK_SHUTDOWN_SEND);
	assert_int_equal(vsock_conn_state(c), VSOCK_ESTABLISHED);
	host_op(c, VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_RCV);
	assert_int_equal(vsock_conn_state(c), VSOCK_CLOSED_ORDERLY);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
	assert_int_equal(vsock_send(c, "xyz", 3, MSEC), -EPIPE);
}

/* Over several packets, never more than there is room for. */
static void reads_in_pieces(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM), *d = connected(VSOCK_SEQPACKET);
	char b[9] = "########";
	size_t len;

	(void)state;
	host_sends(c, "abc", 3, 0);
	host_sends(c, "defgh", 5, 0);
	polled(2);
	assert_int_equal(vsock_recv(c, b, 5, MSEC), 5);
	assert_string_equal(b, "abcde###");
	assert_int_equal(vsock_readable(c), 3);
	assert_int_equal(vsock_recv(c, b, 2, MSEC), 2);
	assert_string_equal(b, "fgcde###");
	expect_data(c, "h");
	host_sends(d, "123", 3, 0);
	host_sends(d, "45678", 5, VSOCK_SEQ_EOM);
	assert_int_equal(vsock_recv_msg(d, b, 4, MSEC, &len, NULL), 4);
	assert_string_equal(b, "1234e###");
	assert_int_equal(len, 8);
	assert_int_equal(vsock_readable(d), 0);
}

/* The host's RST is the end that was agreed on, or not. */
static void rst_after_shutdown(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM), *d = connected(VSOCK_STREAM);

	(void)state;
	host.answers_shutdown = false;
	vsock_shutdown(c, BOTH);
	assert_int_equal(vsock_send(c, "x", 1, MSEC), -EPIPE);
	host_op(c, VSOCK_OP_RST, 0);
	assert_int_equal(vsock_conn_state(c), VSOCK_CLOSED_ORDERLY);
	host_sends(d, "abc", 3, 0);
	host_op(d, VSOCK_OP_SHUTDOWN, BOTH);
	host_op(d, VSOCK_OP_RST, 0); /* it does not wait for ours */
	assert_int_equal(vsock_conn_state(d), VSOCK_CLOSED_ORDERLY);
	expect_data(d, "abc");
	assert_int_equal(stats().rst_sent, 0);
}

static void host_shuts_receiving(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);

	(void)state;
	host_op(c, VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_RCV);
	assert_int_equal(vsock_send(c, "xyz", 3, MSEC), -EPIPE);
	assert_int_equal(count_op(VSOCK_OP_RW), 0);
	host_sends(c, "abc", 3, 0);
	expect_data(c, "abc");
	/* Both ways, and data that is not read yet: the end comes after it. */
	host_sends(c, "rest", 4, 0);
	host_op(c, VSOCK_OP_SHUTDOWN, BOTH);
	assert_int_equal(vsock_conn_state(c), VSOCK_ESTABLISHED);
	assert_int_equal(count_op(VSOCK_OP_RST), 0);
	expect_data(c, "rest");
	assert_int_equal(vsock_conn_state(c), VSOCK_CLOSED_ORDERLY);
	assert_int_equal(count_op(VSOCK_OP_RST), 1);
}

static void we_shut(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);

	(void)state;
	assert_int_equal(vsock_shutdown(c, VSOCK_SHUTDOWN_SEND), 0);
	assert_int_equal(last()->h.op, VSOCK_OP_SHUTDOWN);
	assert_int_equal(last()->h.flags, VSOCK_SHUTDOWN_SEND);
	assert_int_equal(vsock_send(c, "xyz", 3, MSEC), -EPIPE);
	host_sends(c, "abc", 3, 0);
	expect_data(c, "abc");
	host.answers_shutdown = false;
	assert_int_equal(vsock_shutdown(c, VSOCK_SHUTDOWN_RCV), 0);
	assert_int_equal(last()->h.flags, BOTH); /* what was shut stays shut */
	assert_int_equal(vsock_conn_state(c), VSOCK_CLOSING);
	assert_int_equal(vsock_shutdown(c, BOTH), -ENOTCONN);
	/* No RST comes: we send one, and it is over for us. */
	assert_int_equal(vsock_conn_close(c, MSEC), -ETIMEDOUT);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
	assert_int_equal(stats().conns, 0);
}

static void resets(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM), *d = connected(VSOCK_STREAM);
	char b[8];

	(void)state;
	host_sends(c, "abc", 3, 0);
	host_op(c, VSOCK_OP_RST, 0);
	assert_int_equal(vsock_conn_state(c), VSOCK_RESET);
	assert_int_equal(vsock_send(c, "xyz", 3, MSEC), -ECONNRESET);
	expect_data(c, "abc");
	assert_int_equal(vsock_recv(c, b, 8, MSEC), -ECONNRESET);
	assert_int_equal(vsock_shutdown(c, BOTH), -ENOTCONN);
	num_sent = 0;
	vsock_reset(c); /* over already: nothing is sent */
	assert_int_equal(num_sent, 0);
	vsock_reset(d);
	assert_int_equal(num_sent, 1);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
	assert_int_equal(vsock_recv(d, b, 8, MSEC), -ECONNRESET);
	/* Data for what is over is dropped without an answer on this connection. */
	host_sends(d, "late", 4, 0);
	polled(1);
	assert_int_equal(vsock_readable(d), 0);
	assert_int_equal(vsock_conn_close(d, 0), 0);
	assert_int_equal(vsock_conn_close(c, SEC), 0);
	assert_int_equal(stats().conns, 0);
}

/* --- credit -------------------------------------------------------------------------------- */

static void sends_within_credit(void **state)
{
	static uint8_t b[200000];
	struct vsock_conn *c;
	uint32_t total = 0;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i * 7 + i / 256);
	host.buf = 100;
	c = connected(VSOCK_STREAM);
	assert_int_equal(vsock_send(c, b, 250, 50 * MSEC), 100); /* all that there is room for */
	assert_int_equal(count_op(VSOCK_OP_RW), 1);
	assert_true(count_op(VSOCK_OP_CREDIT_REQUEST) >= 1);
	assert_int_equal(credit(c).peer_free, 0);
	assert_int_equal(vsock_send(c, b, 1, MSEC), -ETIMEDOUT);
	host.fwd = 60;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(credit(c).peer_free, 60);
	assert_int_equal(credit(c).updates, 1);
	num_sent = 0;
	assert_int_equal(vsock_send(c, b, 60, MSEC), 60);
	assert_int_equal(sent[0].sum, sum_of(b, 60));
	/* With a host that reads, everything arrives, in packets of bounded size. */
	host.fwd = 160;
	host.buf = 100000;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	host.reads = true;
	num_sent = 0;
	assert_int_equal(vsock_send(c, b, sizeof(b), SEC), sizeof(b));
	for (i = 0; i < num_sent; i++) {
		if (sent[i].h.op != VSOCK_OP_RW)
			continue;
		assert_true(sent[i].len <= VSOCK_TX_PAYLOAD);
		assert_int_equal(sent[i].sum, sum_of(b + total, sent[i].len));
		total += sent[i].len;
	}
	assert_int_equal(total, sizeof(b));
	assert_int_equal(credit(c).tx_cnt, 160 + sizeof(b));
}

/* 5.10.6.3: the counters are 32 bits and run over. */
static void credit_wraps(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	static uint8_t b[65536];

	(void)state;
	c->tx_cnt = c->peer_fwd_cnt = host.fwd = 0xffffff00;
	host.buf = 1024;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(credit(c).peer_free, 1024);
	assert_int_equal(vsock_send(c, b, 1000, MSEC), 1000);
	assert_int_equal(credit(c).tx_cnt, 0x2e8);
	assert_int_equal(credit(c).peer_free, 24);
	host.fwd = 0x2e8;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(credit(c).peer_free, 1024);
	assert_int_equal(credit(c).bad_credit, 0);
	/* The receiving side. */
	c->rx_cnt = c->fwd_cnt = c->told_fwd = 0xfffffff0;
	c->told_limit = c->fwd_cnt + c->buf_alloc;
	host_sends(c, b, 16000, 0);
	host_sends(c, b, 16000, 0);
	host_sends(c, b, 16000, 0);
	num_sent = 0;
	assert_int_equal(vsock_recv(c, b, sizeof(b), MSEC), 48000);
	assert_int_equal(credit(c).fwd_cnt, 48000 - 16);
	assert_int_equal(credit(c).overruns, 0);
	assert_int_equal(num_sent, 1);
	assert_int_equal(last()->h.op, VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(last()->h.fwd_cnt, 48000 - 16);
}

static void gives_credit(void **state)
{
	struct vsock_conn *c;
	uint8_t b[4096] = { 1 };

	(void)state;
	vsock_set_buf(vs, 4000);
	c = connected(VSOCK_STREAM);
	assert_int_equal(sent[0].h.buf_alloc, 4000);
	host_sends(c, b, 3000, 0);
	num_sent = 0;
	assert_int_equal(vsock_recv(c, b, 999, MSEC), 999);
	assert_int_equal(num_sent, 0); /* less than a quarter: not worth a packet */
	assert_int_equal(vsock_recv(c, b, 1, MSEC), 1);
	assert_int_equal(num_sent, 1);
	assert_int_equal(last()->h.op, VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(last()->h.fwd_cnt, 1000);
	assert_int_equal(last()->h.buf_alloc, 4000);
	assert_int_equal(vsock_recv(c, b, 500, MSEC), 500);
	assert_int_equal(num_sent, 1); /* it counts from what was told last */
	/* Data packets carry it as well. */
	assert_int_equal(vsock_send(c, b, 10, MSEC), 10);
	assert_int_equal(last()->h.fwd_cnt, 1500);
	/* Kept back while a test says so, and given at once after it. */
	vsock_conn_hold_credit(c, true);
	num_sent = 0;
	assert_int_equal(vsock_recv(c, b, 1500, MSEC), 1500);
	assert_int_equal(num_sent, 0);
	assert_int_equal(credit(c).fwd_cnt, 1500);
	vsock_conn_hold_credit(c, false);
	assert_int_equal(num_sent, 1);
	assert_int_equal(last()->h.op, VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(last()->h.flags, 0);
	assert_int_equal(last()->h.fwd_cnt, 3000);
	host_op(c, VSOCK_OP_CREDIT_REQUEST, 0);
	assert_int_equal(last()->h.op, VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(credit(c).requests, 1);
	vsock_conn_set_buf(c, 8000);
	assert_int_equal(last()->h.op, VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(last()->h.buf_alloc, 8000);
	assert_int_equal(vsock_credit_request(c), 0);
	assert_int_equal(last()->h.op, VSOCK_OP_CREDIT_REQUEST);
	assert_int_equal(credit(c).overruns, 0);
}

/* 40 bytes were read and not told of; a message of all 4000 bytes cannot end before the host knows of them. */
static void gives_all_for_a_message(void **state)
{
	struct vsock_conn *c;
	uint8_t b[4000] = { 1 };
	size_t len;

	(void)state;
	vsock_set_buf(vs, sizeof(b));
	c = connected(VSOCK_SEQPACKET);
	host_sends(c, b, 40, VSOCK_SEQ_EOM);
	assert_int_equal(vsock_recv_msg(c, b, sizeof(b), MSEC, &len, NULL), 40);
	num_sent = 0;
	assert_int_equal(vsock_recv_msg(c, b, sizeof(b), MSEC, &len, NULL), -ETIMEDOUT);
	assert_int_equal(num_sent, 0); /* nothing waits for it */
	host_sends(c, b, 3960, 0);
	assert_int_equal(vsock_recv_msg(c, b, sizeof(b), MSEC, &len, NULL), -ETIMEDOUT);
	assert_int_equal(num_sent, 1); /* and not again and again */
	assert_int_equal(last()->h.op, VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(last()->h.fwd_cnt, 40);
	host_sends(c, b, 40, VSOCK_SEQ_EOM);
	assert_int_equal(vsock_recv_msg(c, b, sizeof(b), MSEC, &len, NULL), 4000);
	assert_int_equal(credit(c).overruns, 0);
}

static void sees_overruns(void **state)
{
	struct vsock_conn *c;
	static uint8_t b[16000];
	unsigned int i;

	(void)state;
	vsock_set_buf(vs, 16000);
	c = connected(VSOCK_STREAM);
	host_sends(c, b, 16000, 0);
	polled(1);
	assert_int_equal(credit(c).overruns, 0);
	host_sends(c, b, 1, 0);
	polled(1);
	assert_int_equal(credit(c).overruns, 1);
	assert_int_equal(vsock_readable(c), 16001);
	/* A flood does not eat the memory. */
	for (i = 0; i < 100; i++) {
		host_sends(c, b, 16000, 0);
		polled(1);
	}
	assert_true(vsock_readable(c) <= 2 * 16000 + 65536);
	assert_int_equal(credit(c).overruns, 101);
	assert_int_equal(credit(c).rx_cnt, 16001 + 100 * 16000);
}

/* What was promised holds: a smaller buffer is no overrun of what the host sent before it knew. */
static void smaller_buffer(void **state)
{
	struct vsock_conn *c;
	static uint8_t b[16000];

	(void)state;
	vsock_set_buf(vs, 16000);
	c = connected(VSOCK_STREAM);
	vsock_conn_set_buf(c, 100);
	host_sends(c, b, 16000, 0);
	polled(1);
	assert_int_equal(credit(c).overruns, 0);
	assert_int_equal(vsock_recv(c, b, 16000, MSEC), 16000);
	host_sends(c, b, 100, 0);
	polled(1);
	assert_int_equal(credit(c).overruns, 0);
	host_sends(c, b, 1, 0);
	polled(1);
	assert_int_equal(credit(c).overruns, 1);
	/* A larger one holds once it was told. */
	vsock_conn_set_buf(c, 5000);
	host_sends(c, b, 4899, 0);
	polled(1);
	assert_int_equal(credit(c).overruns, 1);
}

/* Half of the numbers may be promised. */
static void largest_promise(void **state)
{
	struct vsock_conn *c;

	(void)state;
	vsock_set_buf(vs, 0x80000000);
	c = connected(VSOCK_STREAM);
	host_sends(c, "abc", 3, 0);
	expect_data(c, "abc");
	assert_int_equal(credit(c).overruns, 0);
}

/* Empty messages and single bytes cost memory too. */
static void flood_of_small_packets(void **state)
{
	struct vsock_conn *c;
	const struct chunk *k;
	unsigned int i, n = 0;
	size_t bytes = 0;
	char b[4];

	(void)state;
	vsock_set_buf(vs, 4096);
	c = connected(VSOCK_SEQPACKET);
	for (i = 0; i < 50000; i++) {
		host_sends(c, "", 0, VSOCK_SEQ_EOM);
		polled(1);
	}
	for (k = c->head; k; k = k->next) {
		bytes += sizeof(*k) + k->len;
		n++;
	}
	assert_int_equal(n, 4096);
	assert_true(bytes <= 256 * 1024);
	/* Room again once they are read. */
	for (i = 0; i < 10; i++)
		assert_int_equal(vsock_recv(c, b, sizeof(b), MSEC), 0);
	host_sends(c, "", 0, VSOCK_SEQ_EOM);
	host_sends(c, "abc", 3, VSOCK_SEQ_EOM);
	polled(2);
	while (n-- > 9)
		assert_int_equal(vsock_recv(c, b, sizeof(b), MSEC), 0);
	assert_int_equal(vsock_recv(c, b, sizeof(b), MSEC), 3);
}

static void hostile_credit(void **state)
{
	static const struct {
		uint32_t buf, fwd;
		bool bad, late;
		uint32_t free;
	} cases[] = {
		/* 500 bytes were sent, 200 of them are acknowledged, with a buffer of 1000 */
		{ 1000, 200, false, false, 700 },
		{ 1000, 500, false, false, 1000 },
		{ 1000, 501, true, false, 700 }, /* more than was sent */
		{ 900, 199, false, true,
		  700 }, /* overtaken by the one that said 200: tells nothing */
		{ 900, 0, false, true, 700 },
		{ 1000, 0x80000000, true, false, 700 },
		{ 1000, 0xffffffff, true, false, 700 }, /* before the first byte */
		{ 299, 200, false, false, 0 },		/* less than is on its way */
		{ 0, 200, false, false, 0 },
		{ 0, 500, false, false, 0 },
		{ 0xffffffff, 200, false, false, 0xffffffff - 300 },
		{ 0x80000000, 0xfffffff0, true, false, 0x80000000 - 300 },
	};
	struct vsock_conn *c = connected(VSOCK_STREAM);
	uint8_t b[500] = { 0 };
	unsigned int i;

	(void)state;
	assert_int_equal(vsock_send(c, b, sizeof(b), MSEC), sizeof(b));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		c->peer_fwd_cnt = 200;
		c->acked = 200;
		c->peer_buf_alloc = 1000;
		c->bad_credit = c->late_credit = 0;
		host.buf = cases[i].buf;
		host.fwd = cases[i].fwd;
		host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
		if (credit(c).bad_credit != cases[i].bad ||
		    credit(c).late_credit != cases[i].late || credit(c).peer_free != cases[i].free)
			fail_msg("case %u: bad %u late %u free %u", i, credit(c).bad_credit,
				 credit(c).late_credit, credit(c).peer_free);
	}
}

/* The counters pass 2^32: two packets in the wrong order there are no fault of the host's either. */
static void late_credit_wraps(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);

	(void)state;
	c->tx_cnt = 50;
	c->peer_fwd_cnt = 0xfffffff0;
	c->acked = 0xfffffff0;
	host.fwd = 40;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(credit(c).peer_fwd_cnt, 40);
	host.fwd = 0xfffffff8;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(credit(c).late_credit, 1);
	assert_int_equal(credit(c).peer_fwd_cnt, 40);
	host.fwd = 51;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(credit(c).bad_credit, 1);
}

static void event(uint32_t id, uint32_t used)
{
	struct fake_chain c;

	assert_true(fake_pop(&dev, VQ_EVENT, &c));
	fake_copy_in(&c, &id, sizeof(id));
	fake_push(&dev, VQ_EVENT, c.head, used);
	polled(1);
}

/* --- seqpackets ------------------------------------------------------------------------------ */

static void messages_come_whole(void **state)
{
	struct vsock_conn *c = connected(VSOCK_SEQPACKET);
	char b[16] = "";
	size_t len = 99;
	bool eor = true;

	(void)state;
	host_sends(c, "ab", 2, 0);
	host_sends(c, "cd", 2, 0);
	/* Not before its end is there. */
	assert_int_equal(vsock_recv_msg(c, b, sizeof(b), MSEC, &len, &eor), -ETIMEDOUT);
	host_sends(c, "ef", 2, VSOCK_SEQ_EOM);
	host_sends(c, "second", 6, VSOCK_SEQ_EOM | VSOCK_SEQ_EOR);
	host_sends(c, "", 0, VSOCK_SEQ_EOM);
	host_sends(c, "much too long", 13, VSOCK_SEQ_EOM);
	host_sends(c, "end", 3, VSOCK_SEQ_EOM);
	assert_int_equal(vsock_recv_msg(c, b, sizeof(b), MSEC, &len, &eor), 6);
	assert_memory_equal(b, "abcdef", 6);
	assert_int_equal(len, 6);
	assert_false(eor);
	assert_int_equal(vsock_recv_msg(c, b, sizeof(b), MSEC, &len, &eor), 6);
	assert_memory_equal(b, "second", 6);
	assert_true(eor);
	assert_int_equal(vsock_recv_msg(c, b, sizeof(b), MSEC, &len, &eor), 0);
	assert_int_equal(len, 0);
	/* Cut, its length told; the rest does not come with the next. */
	assert_int_equal(vsock_recv_msg(c, b, 4, MSEC, &len, NULL), 4);
	assert_memory_equal(b, "much", 4);
	assert_int_equal(len, 13);
	expect_data(c, "end");
	assert_int_equal(credit(c).fwd_cnt, 6 + 6 + 13 + 3);
	assert_int_equal(vsock_readable(c), 0);
	/* A message without its end is none. */
	host_sends(c, "half", 4, 0);
	host_op(c, VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_SEND);
	assert_int_equal(vsock_recv_msg(c, b, sizeof(b), MSEC, &len, NULL), -ETIMEDOUT);
}

/* Whole messages come before the end; how the connection ended is said afterwards. */
static void messages_end(void **state)
{
	struct vsock_conn *shut = connected(VSOCK_SEQPACKET), *reset = connected(VSOCK_SEQPACKET),
			  *dropped = connected(VSOCK_SEQPACKET);
	char b[16] = "";
	size_t len = 99;

	(void)state;
	host_sends(shut, "whole", 5, VSOCK_SEQ_EOM);
	host_op(shut, VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_SEND);
	assert_int_equal(vsock_recv_msg(shut, b, sizeof(b), MSEC, &len, NULL), 5);
	assert_int_equal(vsock_recv_msg(shut, b, sizeof(b), MSEC, &len, NULL), -EPIPE);
	assert_int_equal(len, 0);
	assert_int_equal(vsock_recv(shut, b, sizeof(b), MSEC), 0);
	host_op(reset, VSOCK_OP_RST, 0);
	assert_int_equal(vsock_recv_msg(reset, b, sizeof(b), MSEC, NULL, NULL), -ECONNRESET);
	event(0, 4);
	assert_int_equal(vsock_recv_msg(dropped, b, sizeof(b), MSEC, &len, NULL), -ECONNRESET);
}

static void messages_go_whole(void **state)
{
	static uint8_t b[150000];
	struct vsock_conn *c;
	unsigned int i;
	uint32_t total = 0;

	(void)state;
	host.buf = 160000;
	c = connected(VSOCK_SEQPACKET);
	host.reads = true;
	num_sent = 0;
	assert_int_equal(vsock_send(c, b, sizeof(b), SEC), sizeof(b));
	for (i = 0; i < num_sent; i++) {
		if (sent[i].h.op != VSOCK_OP_RW)
			continue;
		total += sent[i].len;
		assert_int_equal(sent[i].h.flags & VSOCK_SEQ_EOM,
				 total == sizeof(b) ? VSOCK_SEQ_EOM : 0);
	}
	assert_int_equal(total, sizeof(b));
	num_sent = 0;
	assert_int_equal(vsock_send(c, b, 0, SEC), 0);
	assert_int_equal(num_sent, 1);
	assert_int_equal(last()->h.op, VSOCK_OP_RW);
	assert_int_equal(last()->h.flags, VSOCK_SEQ_EOM);
	assert_int_equal(last()->len, 0);
	host.buf = 100;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	host.fwd = credit(c).tx_cnt;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(vsock_send(c, b, 101, MSEC), -EMSGSIZE);
	assert_int_equal(num_sent, 1);
	assert_int_equal(vsock_send(c, b, 100, MSEC), 100);
	assert_int_equal(num_sent, 2);
}

/* --- malformed ------------------------------------------------------------------------------- */

static void short_and_long(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	const struct vsock_hdr rst = packet(c, VSOCK_OP_RST, 0);
	struct vsock_hdr h = packet(c, VSOCK_OP_RW, 0);
	struct vsock_stray s[4];
	uint32_t i;

	(void)state;
	num_sent = 0;
	for (i = 0; i < sizeof(h);
	     i++) { /* a header that the device did not say it wrote is none */
		inject_bytes(&rst, sizeof(rst), i);
		polled(1);
		assert_int_equal(vsock_conn_state(c), VSOCK_ESTABLISHED);
	}
	assert_int_equal(stats().rx_malformed, sizeof(h));
	assert_int_equal(vsock_strays(vs, s, 4), 0);
	/* More payload claimed than was written. */
	h.len = 1;
	inject_bytes(&h, sizeof(h), sizeof(h));
	h.len = 0xffffffff;
	inject_bytes(&h, sizeof(h), sizeof(h) + 100);
	h.len = 0xffffffd4; /* with the header's 44 it is 0 */
	inject_bytes(&h, sizeof(h), sizeof(h));
	polled(3);
	assert_int_equal(stats().rx_malformed, sizeof(h) + 3);
	assert_int_equal(vsock_strays(vs, s, 4), 3);
	assert_int_equal(s[1].hdr.len, 0xffffffff);
	assert_int_equal(s[1].used_len, sizeof(h) + 100);
	assert_int_equal(vsock_readable(c), 0);
	assert_int_equal(vsock_conn_state(c), VSOCK_ESTABLISHED);
	assert_int_equal(num_sent, 0);
	/* Less claimed than written: only what is claimed counts. */
	h.len = 2;
	inject_bytes(&h, sizeof(h), sizeof(h) + 7);
	polled(1);
	assert_int_equal(vsock_readable(c), 2);
}

static void unknown_op(void **state)
{
	static const uint16_t ops[] = { VSOCK_OP_INVALID, VSOCK_OP_REQUEST, 8, 0xffff };
	struct vsock_conn *c;
	struct vsock_hdr h;
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		c = connected(VSOCK_STREAM);
		h = packet(c, (enum vsock_op)ops[i], 0);
		num_sent = 0;
		inject(&h, NULL, 0);
		polled(1);
		assert_int_equal(num_sent, 1);
		assert_int_equal(last()->h.op, VSOCK_OP_RST);
		assert_int_equal(vsock_conn_state(c), VSOCK_RESET);
	}
	assert_int_equal(stats().rx_malformed, 4);
}

/* What no connection takes: answered with RST, addresses swapped; an RST never; not ours never. */
static void strays(void **state)
{
	static const struct {
		uint64_t cid;
		uint16_t type, op;
		bool answered;
	} cases[] = {
		{ 3, 1, VSOCK_OP_RW, true },
		{ 3, 2, VSOCK_OP_RESPONSE, true },
		{ 5, 1, VSOCK_OP_SHUTDOWN, true },
		{ 3, 1, VSOCK_OP_REQUEST, true },
		{ 3, 1, VSOCK_OP_RST, false },
		{ 3, 0, VSOCK_OP_REQUEST, true },
		{ 3, 3, VSOCK_OP_RW, true },
		{ 3, 0xffff, VSOCK_OP_RST, false },
		{ 6, 1, VSOCK_OP_REQUEST, false },
		{ 2, 1, VSOCK_OP_REQUEST, false },
		{ 0, 1, VSOCK_OP_RW, false },
		{ UINT64_MAX, 1, VSOCK_OP_RW, false },
		{ 0x100000003, 1, VSOCK_OP_REQUEST, false },
	};
	const unsigned int n = sizeof(cases) / sizeof(cases[0]);
	struct vsock_stray s[16];
	unsigned int i;

	(void)state;
	for (i = 0; i < n; i++) {
		const struct vsock_hdr h = {
			.src_cid = 7,
			.dst_cid = cases[i].cid,
			.src_port = 70,
			.dst_port = 30 + i,
			.type = cases[i].type,
			.op = cases[i].op,
		};

		num_sent = 0;
		inject(&h, NULL, 0);
		polled(1);
		if (num_sent != cases[i].answered)
			fail_msg("case %u: %u packets sent", i, num_sent);
		if (!num_sent)
			continue;
		assert_int_equal(last()->h.op, VSOCK_OP_RST);
		assert_int_equal(last()->h.type, cases[i].type);
		assert_int_equal(last()->h.src_cid, cases[i].cid);
		assert_int_equal(last()->h.dst_cid, 7);
		assert_int_equal(last()->h.src_port, 30 + i);
		assert_int_equal(last()->h.dst_port, 70);
		assert_int_equal(last()->h.buf_alloc, 0);
	}
	assert_int_equal(vsock_strays(vs, s, 16), n);
	for (i = 0; i < n; i++)
		assert_int_equal(s[i].hdr.dst_port, 30 + i);
	/* The newest 16 are kept. */
	for (i = 0; i < 20; i++) {
		const struct vsock_hdr h = {
			.dst_cid = 3, .dst_port = 100 + i, .type = 1, .op = VSOCK_OP_RST
		};

		inject(&h, NULL, 0);
	}
	polled(20);
	assert_int_equal(vsock_strays(vs, s, 16), 16);
	assert_int_equal(s[0].hdr.dst_port, 104);
	assert_int_equal(s[15].hdr.dst_port, 119);
	assert_int_equal(vsock_strays(vs, s, 3), 3);
	vsock_strays_clear(vs);
	assert_int_equal(vsock_strays(vs, s, 16), 0);
}

static void broken_rings(void **state)
{
	static const struct {
		uint16_t queue;
		uint32_t id, len;
	} cases[] = {
		{ VQ_RX, 64, 44 },  { VQ_RX, 0xffffffff, 44 }, { VQ_RX, 0, 16385 },
		{ VQ_RX, 63, 44 },  { VQ_TX, 5, 0 },	       { VQ_EVENT, 0, 5 },
		{ VQ_EVENT, 9, 4 },
	};
	const struct vsock_addr l = { 0, ANY }, r = { 2, 1 };
	struct vsock_conn *c;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_push(&dev, cases[i].queue, cases[i].id, cases[i].len);
		assert_int_equal(vsock_poll(vs), -EPROTO);
		assert_string_not_equal(vsock_error(vs), "");
		assert_int_equal(vsock_poll(vs), -EPROTO);
		assert_int_equal(vsock_connect(vs, VSOCK_STREAM, l, r, SEC, &c), -EPROTO);
		down(state);
		up(state);
	}
	assert_string_equal(vsock_error(vs), "");
}

/* --- events, observation --------------------------------------------------------------------- */

/* Who waits for credit hears of it at once. */
static void broken_while_sending(void **state)
{
	struct vsock_conn *c;

	host.buf = 1;
	c = connected(VSOCK_STREAM);
	assert_int_equal(vsock_send(c, "a", 1, SEC), 1);
	fake_push(&dev, VQ_RX, 64, 44);
	assert_int_equal(vsock_send(c, "b", 1, SEC), -EPROTO);
	down(state);
	up(state);
}

/* 5.10.6.7 */
static void transport_reset(void **state)
{
	static const uint64_t now[] = { 30, 31 };
	struct vsock_listener *l = listen_at(VSOCK_CID_ANY, 80, 4);
	struct vsock_conn *c = connected(VSOCK_STREAM), *d;
	char b[4];

	(void)state;
	event(7, 4); /* unknown */
	event(0, 3); /* short */
	assert_int_equal(stats().rx_malformed, 2);
	assert_int_equal(vsock_conn_state(c), VSOCK_ESTABLISHED);
	set_cids(now, 2);
	num_sent = 0;
	event(0, 4);
	assert_int_equal(stats().transport_resets, 1);
	assert_int_equal(vsock_conn_state(c), VSOCK_TRANSPORT_RESET);
	assert_int_equal(num_sent, 0); /* the host forgot the connection: nothing is told */
	assert_int_equal(vsock_recv(c, b, 4, MSEC), -ECONNRESET);
	assert_int_equal(vsock_send(c, b, 4, MSEC), -ECONNRESET);
	assert_int_equal(vsock_config(vs)->guest[0], 30);
	assert_false(vsock_is_local(vs, 3));
	request(31, 80, 5000, VSOCK_STREAM);
	assert_int_equal(vsock_accept(l, MSEC, &d), 0);
	d = connected(VSOCK_STREAM);
	assert_int_equal(vsock_conn_local(d).cid, 30);
	/* The event's buffers go round for ever. */
	for (int i = 0; i < 20; i++)
		event(0, 4);
	assert_int_equal(stats().transport_resets, 21);
}

static void config_change(void **state)
{
	static const uint64_t now[] = { 3, 9 }, bad[] = { 3, 2 };

	(void)state;
	set_cids(now, 2);
	assert_int_equal(vsock_poll(vs), 0);
	assert_true(vsock_is_local(vs, 4)); /* nobody said that it changed */
	dev.vdev.on_config(&dev.vdev);
	assert_int_equal(vsock_poll(vs), 0);
	assert_int_equal(stats().config_changes, 1);
	assert_true(vsock_is_local(vs, 9));
	assert_false(vsock_is_local(vs, 4));
	set_cids(bad, 2);
	dev.vdev.on_config(&dev.vdev);
	assert_int_equal(vsock_poll(vs), 0);
	assert_non_null(strstr(vsock_config_error(vs), "reserved"));
}

static unsigned int tapped;

static void observe(void *arg, const struct vsock_seen *seen)
{
	assert_ptr_equal(arg, &tapped);
	assert_ptr_equal(seen->vs, vs);
	if (seen->what == VSOCK_SAW_RECEIVED && !seen->hdr) {
		assert_int_equal(seen->used_len, 43);
		tapped += 100;
		return;
	}
	if (seen->what == VSOCK_SAW_RECEIVED && seen->hdr->op == VSOCK_OP_RW) {
		assert_int_equal(seen->used_len, sizeof(*seen->hdr) + 3);
		assert_memory_equal(seen->payload, "abc", 3);
		tapped++;
	}
	if (seen->what == VSOCK_SAW_SENT && seen->hdr->op == VSOCK_OP_CREDIT_REQUEST)
		tapped += 10;
}

static void observer_sees_all(void **state)
{
	static const uint8_t too_short[43];
	struct vsock_conn *c = connected(VSOCK_STREAM);

	(void)state;
	vsock_observe(observe, &tapped);
	host_sends(c, "abc", 3, 0);
	expect_data(c, "abc");
	assert_int_equal(tapped, 1);
	vsock_credit_request(c);
	assert_int_equal(tapped, 11);
	inject_bytes(too_short, sizeof(too_short), sizeof(too_short));
	vsock_poll(vs);
	assert_int_equal(tapped, 111);
	vsock_observe(NULL, NULL);
	host_sends(c, "abc", 3, 0);
	expect_data(c, "abc");
	assert_int_equal(tapped, 111);
}

static struct vsock_seen moments[16];
static unsigned int num_moments;
static struct vsock_hdr last_hdr;

static void remember(void *arg, const struct vsock_seen *seen)
{
	(void)arg;
	if (seen->hdr)
		last_hdr = *seen->hdr;
	if (num_moments < 16)
		moments[num_moments++] = *seen;
}

/* What ends connections, and the rest that is no packet, in its order. */
static void observer_sees_moments(void **state)
{
	static const uint64_t now[] = { 3, 9 };
	static const enum vsock_saw want[] = {
		VSOCK_SAW_BAD_EVENT, VSOCK_SAW_CIDS,	 VSOCK_SAW_TRANSPORT_RESET,
		VSOCK_SAW_CIDS,	     VSOCK_SAW_ADVANCED, VSOCK_SAW_DOWN,
		VSOCK_SAW_UP
	};
	struct vsock_conn *c;
	unsigned int i;

	num_moments = 0;
	vsock_observe(remember, NULL);
	event(7, 4);
	event(0, 4);
	set_cids(now, 2);
	dev.vdev.on_config(&dev.vdev);
	vsock_poll(vs);
	vsock_observe(NULL, NULL);
	c = connected(VSOCK_STREAM);
	vsock_observe(remember, NULL);
	vsock_conn_advance(c, 77);
	down(state);
	up(state);
	vsock_observe(NULL, NULL);
	assert_int_equal(num_moments, sizeof(want) / sizeof(want[0]));
	for (i = 0; i < num_moments; i++) {
		assert_int_equal(moments[i].what, want[i]);
		assert_int_equal(moments[i].hdr != NULL, want[i] == VSOCK_SAW_ADVANCED);
		assert_int_equal(moments[i].payload != NULL, want[i] == VSOCK_SAW_BAD_EVENT);
		if (want[i] != VSOCK_SAW_BAD_EVENT && want[i] != VSOCK_SAW_ADVANCED)
			assert_int_equal(moments[i].used_len, 0);
	}
	assert_int_equal(moments[0].used_len, 4);
	assert_int_equal(moments[4].used_len, 77);
	assert_int_equal(last_hdr.op, VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(last_hdr.fwd_cnt, 0); /* as it was before */
}

/* As if so many bytes had gone each way and been read. */
static void advances(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	const struct vsock_conn was = *c;

	(void)state;
	vsock_conn_advance(c, 0xfffffff0);
	assert_int_equal(c->fwd_cnt - was.fwd_cnt, 0xfffffff0);
	assert_int_equal(c->told_fwd - was.told_fwd, 0xfffffff0);
	assert_int_equal((uint32_t)(c->told_limit - was.told_limit), 0xfffffff0);
	assert_int_equal(c->rx_cnt - was.rx_cnt, 0xfffffff0);
	assert_int_equal(c->tx_cnt - was.tx_cnt, 0xfffffff0);
	assert_int_equal(c->peer_fwd_cnt - was.peer_fwd_cnt, 0xfffffff0);
	assert_int_equal(c->acked - was.acked, 0xfffffff0);
}

static void held_rx(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	struct fake_chain ch;
	unsigned int i, told;

	(void)state;
	vsock_hold_rx(vs, true);
	for (i = 0; i < 48; i++)
		host_sends(c, "x", 1, 0);
	polled(48);
	assert_false(fake_pop(&dev, VQ_RX, &ch));
	assert_int_equal(vsock_readable(c), 48);
	told = dev.q[VQ_RX].notifies;
	vsock_hold_rx(vs, false);
	assert_int_equal(dev.q[VQ_RX].notifies, told + 1);
	for (i = 0; i < 48; i++)
		host_sends(c, "y", 1, 0);
	polled(48);
	assert_int_equal(vsock_readable(c), 96);
}

/* A device that takes nothing: what is to be sent waits, in order, and up to a limit. */
static void stuck_tx(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	struct vsock_hdr h = packet(c, VSOCK_OP_RST, 3);
	uint32_t i, n = 0;
	int ret = 0;

	(void)state;
	host.stuck = true;
	num_sent = 0;
	for (i = 0; i < 10000 && !ret; i++) {
		h.src_port = i;
		ret = vsock_send_raw(vs, &h, "abc", 3);
		n += ret == 0;
	}
	assert_int_equal(ret, -ENOSPC);
	assert_int_equal(n, 8192 + 64); /* that wait, and that the device has */
	assert_int_equal(vsock_send(c, "abc", 3, MSEC), -ETIMEDOUT);
	host.stuck = false;
	take_sent();
	while (num_sent < n)
		polled(1);
	assert_int_equal(num_sent, n);
	for (i = 0; i < n; i++) {
		assert_int_equal(sent[i].h.src_port, i);
		assert_int_equal(sent[i].len, 3);
		assert_int_equal(sent[i].sum, sum_of((const uint8_t *)"abc", 3));
	}
}

/* A test's watchdog leaves vsock_send() by a jump; what was on its stack is something else then. */
static jmp_buf way_out;

static void leave(struct fake_device *f, uint16_t queue)
{
	(void)f;
	if (queue == VQ_TX)
		longjmp(way_out, 1);
}

static void __attribute__((noinline)) send_and_be_left(struct vsock_conn *c)
{
	static const char buf[64] = "left";

	if (setjmp(way_out) == 0) {
		dev.on_notify = leave;
		vsock_send(c, buf, sizeof(buf), SEC);
		fail();
	}
	dev.on_notify = on_notify;
}

static void __attribute__((noinline)) uses_the_stack(void)
{
	volatile uint32_t words[1024];
	unsigned int i;

	for (i = 0; i < 1024; i++)
		words[i] = 0x5a5a5a5a;
	take_sent();
	vsock_poll(vs); /* the packet comes back */
	for (i = 0; i < 1024; i++)
		assert_int_equal(words[i], 0x5a5a5a5a);
}

static void left_while_sending(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);

	(void)state;
	send_and_be_left(c);
	uses_the_stack();
	/* One packet that comes back late is not taken for one of the next send. */
	send_and_be_left(c);
	host.stuck = true;
	assert_int_equal(vsock_send(c, "abc", 3, MSEC), -ETIMEDOUT);
	host.stuck = false;
	take_sent();
	assert_int_equal(vsock_send(c, "abc", 3, MSEC), 3);
}

/* A device that does not end its reset may still write to what it was given. */
static void close_without_reset(void **state)
{
	static void *volatile kept; /* the leak checker finds it here */

	(void)state;
	kept = vs->tx_slots;
	assert_non_null(kept);
	dev.never_resets = true;
	assert_int_equal(vsock_close(vs), -ETIMEDOUT);
	assert_true(fake_pages_out() >= (48 * 4 + 1) * 4096);
	assert_int_equal(fake_pages_kept(), 48 * 4 + 1);
	vs = NULL;
}

/* The device keeps the buffer of a send that gave up: close() takes it back. */
static void closed_while_busy(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	const struct vsock_hdr h = packet(c, VSOCK_OP_RW, 3);

	(void)state;
	host.stuck = true;
	assert_int_equal(vsock_send(c, "abc", 3, MSEC), -ETIMEDOUT);
	assert_int_equal(vsock_send_raw(vs, &h, "abc", 3), 0);
	assert_true(fake_maps_out() > 56);
}

static void own_tx_buffer(void **state)
{
	struct vsock_hdr h = { .src_cid = 3, .dst_cid = 2, .type = 1, .op = VSOCK_OP_RST };
	const struct vq_seg seg[3] = { { &h, 8 },
				       { (uint8_t *)&h + 8, 30 },
				       { (uint8_t *)&h + 38, 6 } };
	struct virtqueue *vq = dev.vdev.vq[VQ_TX];

	(void)state;
	num_moments = 0;
	vsock_observe(remember, NULL);
	vsock_raw_begin(vs, &h);
	vsock_observe(NULL, NULL);
	assert_int_equal(num_moments, 1);
	assert_int_equal(moments[0].what, VSOCK_SAW_SENT);
	assert_ptr_equal(moments[0].hdr, &h);
	assert_null(moments[0].payload);
	assert_int_equal(moments[0].used_len, 0);
	assert_int_equal(vq_add(vq, seg, 3, NULL, 0, &h), 0);
	host.stuck = true;
	assert_int_equal(vsock_raw_end(vs, &h, MSEC), -ETIMEDOUT);
	host.stuck = false;
	take_sent();
	assert_int_equal(vsock_raw_end(vs, &h, MSEC), 0);
	assert_int_equal(num_sent, 1);
	assert_memory_equal(&sent[0].h, &h, sizeof(h));
	/* Whatever its token is that is none of the driver's own. */
	vsock_raw_begin(vs, &h);
	assert_int_equal(vq_add(vq, seg, 3, NULL, 0, vs->tx_slots + vs->tx_count), 0);
	vq_kick(vq);
	assert_int_equal(vsock_raw_end(vs, vs->tx_slots + vs->tx_count, MSEC), 0);
}

/* --- buffers cut in other ways ----------------------------------------------------------------- */

static void open_in_a_manner(const struct vsock_manner *m)
{
	prepare(VIRTIO_BIT(VSOCK_F_STREAM) | SEQ);
	vsock_set_manner(m);
	assert_int_equal(vsock_open(0, 0, &vs), 0);
	vsock_set_manner(NULL);
}

static uint16_t posted(unsigned int queue)
{
	return le16_to_cpu(dev.q[queue].avail->idx);
}

/* rx buffers of five descriptors that begin anywhere in a page: all of them, and what is in each, come whole. */
static void rx_in_pieces(void **state)
{
	static const struct vsock_manner m = { .rx_bytes = 4 * 30 + 7000,
					       .rx_off = 2000,
					       .rx_pieces = 5,
					       .rx_piece = 30,
					       .rx_count = 7 };
	struct fake_chain c;
	unsigned int i, k;

	(void)state;
	open_in_a_manner(&m);
	assert_int_equal(posted(VQ_RX), 7);
	for (i = 0; i < 7; i++) {
		assert_true(fake_pop(&dev, VQ_RX, &c));
		assert_int_equal(c.n, 5);
		assert_int_equal(c.writable, m.rx_bytes);
		assert_int_equal((uintptr_t)c.seg[0].p % 4096, 2000);
		for (k = 0; k < 4; k++) {
			assert_int_equal(c.seg[k].len, 30);
			assert_ptr_equal(c.seg[k].p + 30, c.seg[k + 1].p);
		}
		memset(c.seg[4].p, 0, c.seg[4].len); /* ASan: it is there to its last byte */
	}
	assert_false(fake_pop(&dev, VQ_RX, &c));
}

/* As many pages as a buffer reaches into, and none more. */
static void rx_pages(void **state)
{
	static const struct {
		uint32_t bytes, off, pages;
	} k[] = { { 4096, 0, 1 },  { 4097, 0, 2 }, { 4095, 1, 1 },   { 4096, 1, 2 },
		  { 16384, 0, 4 }, { 100, 0, 1 },  { 100, 3996, 1 }, { 100, 3997, 2 } };
	unsigned int i;

	for (i = 0; i < sizeof(k) / sizeof(k[0]); i++) {
		const struct vsock_manner m = { .rx_bytes = k[i].bytes,
						.rx_off = k[i].off,
						.rx_count = 3 };

		open_in_a_manner(&m);
		assert_int_equal(vs->rx_pages, k[i].pages);
		down(state);
	}
}

/* Without indirect tables fewer of them have room. */
static void direct_pieces(void **state)
{
	static const struct vsock_manner m = { .without = VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC),
					       .queue_size = 32,
					       .rx_pieces = 3,
					       .rx_piece = 16,
					       .ev_first = 1 };
	struct fake_chain c;

	(void)state;
	open_in_a_manner(&m);
	assert_int_equal(dev.accepted & m.without, 0);
	assert_int_equal(dev.q[VQ_RX].size, 32);
	assert_int_equal(posted(VQ_RX), 10);
	assert_int_equal(posted(VQ_EVENT), 8);
	assert_true(fake_pop(&dev, VQ_RX, &c));
	assert_int_equal(c.n, 3);
	assert_int_equal(c.writable, 16384);
	assert_true(fake_pop(&dev, VQ_EVENT, &c));
	assert_int_equal(c.n, 2);
	assert_int_equal(c.seg[0].len, 1);
	assert_int_equal(c.seg[1].len, 3);
	assert_ptr_equal(c.seg[0].p + 1, c.seg[1].p);
}

/* One that is larger than an event: what the device says it wrote beside it, it must have written. */
static void large_events(void **state)
{
	static const struct vsock_manner m = { .ev_bytes = 24, .ev_count = 2 };
	const uint32_t words[6] = { 0, 1, 2, 3, 4, 5 };
	struct fake_chain c;

	(void)state;
	open_in_a_manner(&m);
	assert_int_equal(posted(VQ_EVENT), 2);
	event(0, 4);
	assert_int_equal(stats().transport_resets, 1);
	event(0, 8); /* of which 4 are as the driver left them */
	assert_int_equal(stats().transport_resets, 1);
	assert_int_equal(stats().rx_malformed, 1);
	assert_true(fake_pop(&dev, VQ_EVENT, &c));
	assert_int_equal(c.writable, 24);
	fake_copy_in(&c, words, 24);
	fake_push(&dev, VQ_EVENT, c.head, 24);
	polled(1);
	assert_int_equal(stats().transport_resets, 2);
	assert_true(fake_pop(&dev, VQ_EVENT,
			     &c)); /* all that it says it wrote, and the rest is as it was */
	fake_copy_in(&c, words, 8);
	fake_push(&dev, VQ_EVENT, c.head, 8);
	polled(1);
	assert_int_equal(stats().transport_resets, 3);
}

static void held_events(void **state)
{
	struct fake_chain c;
	unsigned int i, told;

	(void)state;
	vsock_hold_events(vs, true);
	for (i = 0; i < 8; i++)
		event(0, 4);
	assert_int_equal(stats().transport_resets, 8);
	assert_false(fake_pop(&dev, VQ_EVENT, &c));
	told = dev.q[VQ_EVENT].notifies;
	vsock_hold_events(vs, false);
	assert_int_equal(dev.q[VQ_EVENT].notifies, told + 1);
	for (i = 0; i < 20; i++)
		event(0, 4);
	assert_int_equal(stats().transport_resets, 28);
}

static void held_requests(void **state)
{
	struct vsock_listener *l = listen_at(VSOCK_CID_ANY, 80, 4);
	struct vsock_stray s[4];
	struct vsock_conn *c;

	(void)state;
	vsock_hold_requests(vs, true);
	inject(&(struct vsock_hdr){ .src_cid = 2,
				    .src_port = 4999,
				    .dst_cid = 3,
				    .dst_port = 80,
				    .type = VSOCK_STREAM,
				    .op = VSOCK_OP_REQUEST },
	       NULL, 0);
	polled(1);
	assert_int_equal(vsock_accept(l, MSEC, &c), -ETIMEDOUT);
	assert_int_equal(num_sent, 0); /* neither answered nor refused */
	assert_int_equal(vsock_strays(vs, s, 4), 1);
	vsock_hold_requests(vs, false);
	request(3, 80, 5000, VSOCK_STREAM);
	assert_int_equal(vsock_accept(l, MSEC, &c), 0);
	/* What is no REQUEST has its answer meanwhile. */
	vsock_hold_requests(vs, true);
	inject(&(struct vsock_hdr){ .src_cid = 2,
				    .src_port = 4998,
				    .dst_cid = 3,
				    .dst_port = 80,
				    .type = VSOCK_STREAM,
				    .op = VSOCK_OP_RW },
	       NULL, 0);
	polled(1);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
	assert_int_equal(last()->h.dst_port, 4998);
}

/* Connections that differ in one CID are two, also where both are in one bucket, as some of these are. */
static void one_cid_apart(void **state)
{
	struct vsock_conn *a, *b;
	uint32_t port;

	(void)state;
	for (port = 1000; port < 1000 + 5 * VSOCK_BUCKETS; port++) {
		num_sent = 0;
		a = connect_from(VSOCK_STREAM, 3, port, 81);
		b = connect_from(VSOCK_STREAM, 4, port, 81);
		host_sends(a, "three", 5, 0);
		host_sends(b, "four", 4, 0);
		expect_data(a, "three");
		expect_data(b, "four");
		assert_int_equal(vsock_conn_close(a, SEC), 0);
		assert_int_equal(vsock_conn_close(b, SEC), 0);
	}
}

/* Small queues hold fewer buffers; a packet that goes out takes two descriptors, or a table. */
static void small_queues(void **state)
{
	unsigned int indirect;

	for (indirect = 0; indirect < 2; indirect++) {
		prepare(VIRTIO_BIT(VSOCK_F_STREAM));
		if (!indirect)
			dev.offered &= ~VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC);
		dev.q[VQ_RX].max = 32;
		dev.q[VQ_TX].max = 16;
		dev.q[VQ_EVENT].max = 4;
		assert_int_equal(vsock_open(0, 0, &vs), 0);
		assert_int_equal(vs->rx_count, 32);
		assert_int_equal(vs->tx_count, indirect ? 16 : 8);
		assert_int_equal(vq_in_flight(dev.vdev.vq[VQ_RX]), 32);
		assert_int_equal(vq_in_flight(dev.vdev.vq[VQ_EVENT]), 4);
		down(state);
	}
}

/* --- memory runs out ----------------------------------------------------------------------------- */

static void open_without_memory(void **state)
{
	unsigned int n;
	int ret;

	for (n = 1;; n++) {
		prepare(VIRTIO_BIT(VSOCK_F_STREAM) | SEQ);
		fake_fail = n;
		ret = vsock_open(0, 0, &vs);
		if (fake_fail)
			break;
		assert_true(ret == -ENOMEM || ret == -EIO);
		assert_int_equal(vs == NULL, n == 1);
		assert_false(dev.status & VIRTIO_S_DRIVER_OK);
		down(state);
	}
	fake_fail = 0;
	assert_int_equal(ret, 0);
	assert_true(n > 3 * 6 + 48 + 8); /* queues, rx buffers, events */
}

/* Nothing stays of a connection, and no place in the queue is lost, however often it fails. */
static void connect_without_memory(void **state)
{
	const struct vsock_addr l = { 0, ANY }, r = { VSOCK_CID_HOST, 1 };
	struct vsock_conn *c;
	unsigned int i;

	(void)state;
	for (i = 0; i < 300; i++) {
		fake_fail = 1 + i % 2; /* the connection, its first packet */
		assert_int_equal(vsock_connect(vs, VSOCK_STREAM, l, r, SEC, &c), -ENOMEM);
		assert_null(c);
		assert_int_equal(stats().conns, 0);
	}
	assert_int_equal(num_sent, 0);
	for (i = 0; i < 100; i++) {
		fake_fail = 3; /* the packet's buffer is not mapped: it waits for another try */
		(void)vsock_connect(vs, VSOCK_STREAM, l, r, MSEC, &c);
		assert_int_equal(fake_fail, 0);
		assert_null(c);
		polled(0);
	}
	connected(VSOCK_STREAM);
}

static void listen_without_memory(void **state)
{
	const struct vsock_addr at = { VSOCK_CID_ANY, 80 };
	struct vsock_listener *l;

	(void)state;
	fake_fail = 1;
	assert_int_equal(vsock_listen(vs, VSOCK_STREAM, at, 4, &l), -ENOMEM);
	assert_null(l);
	assert_int_equal(stats().listeners, 0);
	listen_at(VSOCK_CID_ANY, 80, 4);
	assert_int_equal(stats().listeners, 1);
}

/* The host is told that a connection failed, and that data was lost. */
static void receive_without_memory(void **state)
{
	struct vsock_listener *l = listen_at(VSOCK_CID_ANY, 80, 4);
	struct vsock_conn *c;

	(void)state;
	inject(&(struct vsock_hdr){ .src_cid = 2,
				    .src_port = 5000,
				    .dst_cid = 3,
				    .dst_port = 80,
				    .type = VSOCK_STREAM,
				    .op = VSOCK_OP_REQUEST },
	       NULL, 0);
	fake_fail = 1;
	polled(1);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
	assert_int_equal(last()->h.dst_port, 5000);
	assert_int_equal(vsock_accept(l, MSEC, &c), -ETIMEDOUT);
	assert_int_equal(stats().conns, 0);
	c = connected(VSOCK_STREAM);
	host_sends(c, "abc", 3, 0);
	fake_fail = 1;
	polled(1);
	assert_int_equal(fake_fail, 0);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
	assert_int_equal(vsock_conn_state(c), VSOCK_RESET);
	assert_int_equal(vsock_readable(c), 0);
}

/* More than the device takes at once: the queue is full, and nothing breaks. */
static void full_tx(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	const uint64_t step = fake_time_step;
	unsigned int i;

	(void)state;
	fake_time_step = SEC; /* each send waits for long */
	host.stuck = true;
	for (i = 0; i < 64; i++)
		assert_int_equal(vsock_send(c, "x", 1, 0), -ETIMEDOUT);
	for (; i < 100; i++)
		assert_int_equal(vsock_send(c, "x", 1, 0), -ETIMEDOUT);
	assert_int_equal(credit(c).tx_cnt, 64);
	host.stuck = false;
	num_sent = 0;
	take_sent();
	assert_int_equal(num_sent, 64);
	fake_time_step = step;
	assert_int_equal(vsock_send(c, "x", 1, MSEC), 1);
}

/* A packet has at most so much, and not less where there is more to send. */
static void packets_are_filled(void **state)
{
	static uint8_t b[3 * VSOCK_TX_PAYLOAD];
	struct vsock_conn *c;

	(void)state;
	host.buf = sizeof(b);
	c = connected(VSOCK_STREAM);
	num_sent = 0;
	assert_int_equal(vsock_send(c, b, 2 * VSOCK_TX_PAYLOAD + 1, SEC), 2 * VSOCK_TX_PAYLOAD + 1);
	assert_int_equal(num_sent, 3);
	assert_int_equal(sent[0].len, VSOCK_TX_PAYLOAD);
	assert_int_equal(sent[1].len, VSOCK_TX_PAYLOAD);
	assert_int_equal(sent[2].len, 1);
	host.buf = VSOCK_TX_PAYLOAD + 1; /* credit for one byte more than a packet has */
	c = connected(VSOCK_STREAM);
	num_sent = 0;
	assert_int_equal(vsock_send(c, b, VSOCK_TX_PAYLOAD + 1, SEC), VSOCK_TX_PAYLOAD + 1);
	assert_int_equal(num_sent, 2);
}

/* A driver without credit asks now and then, and is no flood. */
static void asks_for_credit_at_times(void **state)
{
	struct vsock_conn *c;

	(void)state;
	host.buf = 1;
	c = connected(VSOCK_STREAM);
	assert_int_equal(vsock_send(c, "ab", 2, SEC), 1);
	assert_true(count_op(VSOCK_OP_CREDIT_REQUEST) >= 10);
	assert_true(count_op(VSOCK_OP_CREDIT_REQUEST) <= 50);
}

/* The device is told of the buffers that it has back. */
static void rx_is_notified(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	unsigned int told = dev.q[VQ_RX].notifies;

	(void)state;
	((le16 *)&dev.q[VQ_RX].used->ring[dev.q[VQ_RX].size])[0] = dev.q[VQ_RX].avail->idx;
	host_sends(c, "x", 1, 0);
	((le16 *)&dev.q[VQ_RX].used->ring[dev.q[VQ_RX].size])[0] = dev.q[VQ_RX].avail->idx;
	polled(1);
	assert_int_equal(dev.q[VQ_RX].notifies, told + 1);
	polled(0);
	assert_int_equal(dev.q[VQ_RX].notifies, told + 1);
}

/* 5.10.6.5: the last message of a peer that shut down both ways is read first; then the connection ends. */
static void last_message(void **state)
{
	struct vsock_conn *c = connected(VSOCK_SEQPACKET);
	char b[4];

	(void)state;
	host_sends(c, "abc", 3, VSOCK_SEQ_EOM);
	host_op(c, VSOCK_OP_SHUTDOWN, BOTH);
	assert_int_equal(count_op(VSOCK_OP_RST), 0);
	assert_int_equal(vsock_conn_state(c), VSOCK_ESTABLISHED);
	assert_int_equal(vsock_recv(c, b, 4, MSEC), 3);
	assert_int_equal(count_op(VSOCK_OP_RST), 1);
	assert_int_equal(vsock_conn_state(c), VSOCK_CLOSED_ORDERLY);
}

static void send_without_memory(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	unsigned int i;

	(void)state;
	for (i = 0; i < 200; i++) {
		fake_fail = 1 + i % 2; /* header, payload */
		assert_int_equal(vsock_send(c, "abc", 3, MSEC), -EIO);
		assert_int_equal(credit(c).tx_cnt, 0);
	}
	num_sent = 0;
	assert_int_equal(vsock_send(c, "abc", 3, MSEC), 3);
	assert_int_equal(num_sent, 1);
	fake_fail = 1;
	assert_int_equal(vsock_conn_packet(c, VSOCK_OP_RW, 0, "abc", 3), -ENOMEM);
	assert_int_equal(credit(c).tx_cnt, 3);
	assert_int_equal(vsock_conn_packet(c, VSOCK_OP_RW, 0, "abc", 3), 0);
	assert_int_equal(credit(c).tx_cnt, 6);
}

/* --- what is left of an end, and what a connection does not do any more --------------------------- */

/* What was under way when we closed is taken, and the peer may close as well. */
static void closing(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM), *d = connected(VSOCK_STREAM),
			  *e = connected(VSOCK_STREAM);
	char b[4];

	(void)state;
	host.answers_shutdown = false;
	assert_int_equal(vsock_shutdown(c, 0xff), 0); /* of which two bits mean something */
	assert_int_equal(last()->h.flags, BOTH);
	assert_int_equal(vsock_conn_state(c), VSOCK_CLOSING);
	host_sends(c, "abc", 3, 0);
	host_op(c, VSOCK_OP_RESPONSE, 0); /* it is no answer to anything */
	assert_int_equal(vsock_conn_state(c), VSOCK_CLOSING);
	num_sent = 0;
	vsock_conn_set_buf(c, 4);
	vsock_conn_hold_credit(c, true);
	vsock_conn_hold_credit(c, false);
	expect_data(c, "abc");
	assert_int_equal(num_sent, 0); /* more credit would be of no use */
	host_op(c, VSOCK_OP_SHUTDOWN, BOTH);
	assert_int_equal(vsock_conn_state(c), VSOCK_CLOSED_ORDERLY);
	assert_int_equal(num_sent, 1);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
	host_op(c, VSOCK_OP_SHUTDOWN, BOTH); /* which has its answer */
	assert_int_equal(num_sent, 1);
	host_sends(c, "late", 4, 0);
	polled(1);
	assert_int_equal(vsock_readable(c), 0);
	vsock_reset(c);
	assert_int_equal(num_sent, 1);
	/* An end that was agreed on is the end of data, also where the peer shut nothing. */
	vsock_shutdown(e, BOTH);
	host_op(e, VSOCK_OP_RST, 0);
	assert_int_equal(vsock_conn_state(e), VSOCK_CLOSED_ORDERLY);
	assert_int_equal(vsock_recv(e, b, sizeof(b), MSEC), 0);
	/* A transport reset ends what is closing, and leaves what is over as it was. */
	vsock_shutdown(d, BOTH);
	event(0, 4);
	assert_int_equal(vsock_conn_state(d), VSOCK_TRANSPORT_RESET);
	assert_int_equal(vsock_conn_state(c), VSOCK_CLOSED_ORDERLY);
}

/* By RST alone, whatever its state. */
static void closed_at_once(void **state)
{
	const struct vsock_addr l = { 0, ANY }, r = { VSOCK_CID_HOST, 1 };
	struct vsock_conn *c = connected(VSOCK_STREAM);

	(void)state;
	num_sent = 0;
	assert_int_equal(vsock_conn_close(c, 0), 0);
	assert_int_equal(num_sent, 1);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
	assert_int_equal(stats().rst_sent, 1);
	host.request = SILENT;
	assert_int_equal(vsock_connect_start(vs, VSOCK_STREAM, l, r, &c), 0);
	assert_int_equal(vsock_conn_state(c), VSOCK_CONNECTING);
	num_sent = 0;
	assert_int_equal(vsock_conn_close(c, SEC), 0);
	assert_int_equal(num_sent, 1);
	assert_int_equal(last()->h.op, VSOCK_OP_RST);
	assert_int_equal(stats().rst_sent, 2);
	assert_int_equal(stats().conns, 0);
}

/* A listener in the middle of others; what ended before it was accepted is told nothing. */
static void unlistens_one_of_many(void **state)
{
	struct vsock_listener *l[3];
	struct vsock_conn *c;
	unsigned int i, k;

	(void)state;
	for (k = 0; k < 3; k++) {
		for (i = 0; i < 3; i++)
			l[i] = listen_at(4, 80 + i, 3);
		request(4, 80 + k, 1000 + k, VSOCK_STREAM);
		reply(&last()->h, VSOCK_OP_RST);
		polled(1);
		request(4, 80 + k, 2000 + k, VSOCK_STREAM);
		num_sent = 0;
		vsock_unlisten(l[k]);
		assert_int_equal(num_sent, 1);
		assert_int_equal(last()->h.dst_port, 2000 + k);
		assert_int_equal(stats().listeners, 2);
		assert_int_equal(stats().conns, 0);
		for (i = 0; i < 3; i++) {
			request(4, 80 + i, 3000, VSOCK_STREAM);
			assert_int_equal(last()->h.op, i == k ? VSOCK_OP_RST : VSOCK_OP_RESPONSE);
		}
		for (i = 0; i < 3; i++) {
			if (i == k)
				continue;
			assert_int_equal(vsock_accept(l[i], MSEC, &c), 0);
			assert_int_equal(vsock_conn_close(c, 0), 0);
			vsock_unlisten(l[i]);
		}
		assert_int_equal(stats().listeners, 0);
	}
}

/* A stream has no empty packets to read; with one direction of ours shut, the other goes on. */
static void nothing_to_read(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	char b[4];

	(void)state;
	host_sends(c, "", 0, 0);
	assert_int_equal(vsock_recv(c, b, 4, MSEC), -ETIMEDOUT);
	host_op(c, VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_RCV);
	assert_int_equal(vsock_recv(c, b, 4, MSEC), -ETIMEDOUT);
	host_op(c, VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_SEND);
	assert_int_equal(vsock_recv(c, b, 4, MSEC), 0);
}

/* What an RST says of credit is of no interest. */
static void rst_tells_no_credit(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);

	(void)state;
	host.fwd = 1000;
	host.buf = 1;
	host_op(c, VSOCK_OP_RST, 0);
	assert_int_equal(credit(c).bad_credit, 0);
	assert_int_equal(credit(c).peer_buf_alloc, 65536);
}

/* After its end a connection gives no credit for what is read of it. */
static void no_credit_after_the_end(void **state)
{
	struct vsock_conn *c, *d;
	uint8_t b[4000] = { 0 };

	(void)state;
	vsock_set_buf(vs, sizeof(b));
	c = connected(VSOCK_STREAM);
	d = connected(VSOCK_SEQPACKET);
	host_sends(c, b, 3000, 0);
	host_sends(d, b, 40, VSOCK_SEQ_EOM);
	host_sends(d, b, 3000, 0);
	host_op(c, VSOCK_OP_RST, 0);
	num_sent = 0;
	assert_int_equal(vsock_recv(c, b, sizeof(b), MSEC), 3000);
	assert_int_equal(num_sent, 0);
	/* Nor for part of a message while credit is held, or when it is over. */
	assert_int_equal(vsock_recv(d, b, sizeof(b), MSEC), 40);
	vsock_conn_hold_credit(d, true);
	assert_int_equal(vsock_recv(d, b, sizeof(b), MSEC), -ETIMEDOUT);
	assert_int_equal(num_sent, 0);
	d->hold_credit = false;
	host_op(d, VSOCK_OP_RST, 0);
	assert_int_equal(vsock_recv(d, b, sizeof(b), MSEC), -ETIMEDOUT);
	assert_int_equal(num_sent, 0);
	vsock_set_buf(vs, 0);
	connected(VSOCK_STREAM);
	assert_int_equal(last()->h.buf_alloc, VSOCK_DEFAULT_BUF);
}

/* An old fwd_cnt is one that was true once: all that was acknowledged counts, and less than half of the numbers. */
static void how_late_credit_may_be(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	uint8_t b[500] = { 0 };

	(void)state;
	assert_int_equal(vsock_send(c, b, 500, MSEC), 500);
	host.fwd = 300;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	host.fwd = 100;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(credit(c).late_credit, 1);
	host.fwd = 0;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(credit(c).late_credit, 2);
	host.fwd = 0xffffffff; /* one less than there ever was */
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(credit(c).late_credit, 2);
	assert_int_equal(credit(c).bad_credit, 1);
	c->acked = 1ull << 33;
	host.fwd = 300 - 0x7fffffff;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(credit(c).late_credit, 3);
	host.fwd = 300 - 0x80000000;
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(credit(c).late_credit, 3);
	assert_int_equal(credit(c).bad_credit, 2);
}

/* Twice the buffer and 64 KiB are kept, and not a byte more. */
static void how_much_is_kept(void **state)
{
	static uint8_t b[16000];
	struct vsock_conn *c;
	unsigned int i;

	(void)state;
	vsock_set_buf(vs, sizeof(b));
	c = connected(VSOCK_STREAM);
	for (i = 0; i < 6; i++)
		host_sends(c, b, 16000, 0);
	polled(6);
	host_sends(c, b, 1537, 0);
	polled(1);
	assert_int_equal(vsock_readable(c), 96000);
	host_sends(c, b, 1536, 0);
	polled(1);
	assert_int_equal(vsock_readable(c), 2 * 16000 + 65536);
	host_sends(c, b, 1, 0);
	polled(1);
	assert_int_equal(vsock_readable(c), 2 * 16000 + 65536);
}

static void counts(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	const struct vsock_stats was = stats();

	(void)state;
	host_sends(c, "abc", 3, 0);
	host_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	assert_int_equal(vsock_send(c, "wxyz", 4, MSEC), 4);
	assert_int_equal(stats().rx_packets, was.rx_packets + 2);
	assert_int_equal(stats().rx_bytes, was.rx_bytes + 3);
	assert_int_equal(stats().tx_packets, was.tx_packets + 1);
	assert_int_equal(stats().tx_bytes, was.tx_bytes + 4);
	assert_int_equal(was.rx_packets, 1);
	assert_int_equal(was.tx_packets, 1);
	assert_int_equal(stats().rst_sent, 0);
	vsock_reset(c);
	assert_int_equal(stats().rst_sent, 1);
	request(3, 81, 1000, VSOCK_STREAM); /* which nobody takes */
	assert_int_equal(stats().rst_sent, 2);
	assert_int_equal(stats().rx_malformed, 0);
}

/* --- the device's side of it -------------------------------------------------------------------- */

/* Packets that wait are made available together, in their order, and nothing overtakes them. */
static void held_tx(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	struct vsock_hdr h = packet(c, VSOCK_OP_RST, 0);
	unsigned int i, told;

	(void)state;
	num_sent = 0;
	vsock_hold_tx(vs, true);
	told = dev.q[VQ_TX].notifies;
	for (i = 0; i < 5; i++) {
		h.src_port = i;
		assert_int_equal(vsock_send_raw(vs, &h, NULL, 0), 0);
	}
	assert_int_equal(vsock_send(c, "abc", 3, MSEC), -ETIMEDOUT);
	take_sent();
	assert_int_equal(num_sent, 0);
	assert_int_equal(credit(c).tx_cnt, 0);
	vsock_hold_tx(vs, false);
	assert_int_equal(num_sent, 5);
	assert_int_equal(dev.q[VQ_TX].notifies, told + 1);
	for (i = 0; i < 5; i++)
		assert_int_equal(sent[i].h.src_port, i);
	assert_int_equal(vsock_send(c, "abc", 3, MSEC), 3);
}

/* A ring that is full of a test's own buffers: what is to be sent waits until it has room. */
static void full_of_others(void **state)
{
	struct virtqueue *vq = dev.vdev.vq[VQ_TX];
	const struct vsock_hdr h = { .src_cid = 3, .dst_cid = 2, .type = 1, .op = VSOCK_OP_RST };
	const struct vq_seg seg = { (void *)(uintptr_t)&h, sizeof(h) };
	struct vsock_hdr mine = h;

	(void)state;
	mine.src_port = 77;
	host.stuck = true;
	num_sent = 0;
	while (vq_free_count(vq))
		assert_int_equal(vq_add(vq, &seg, 1, NULL, 0, (void *)(uintptr_t)&h), 0);
	assert_int_equal(vsock_send_raw(vs, &mine, NULL, 0), 0);
	assert_int_equal(vs->queued_count, 1);
	host.stuck = false;
	take_sent();
	assert_int_equal(num_sent, 64);
	polled(0);
	assert_int_equal(num_sent, 65);
	assert_int_equal(last()->h.src_port, 77);
	assert_int_equal(vs->queued_count, 0);
}

/* Buffers that were held and cannot be mapped are not lost. */
static void held_without_memory(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	unsigned int i, k;

	(void)state;
	for (k = 1; k <= 3; k++) {
		vsock_hold_rx(vs, true);
		vsock_hold_events(vs, true);
		for (i = 0; i < 48; i++)
			host_sends(c, "x", 1, 0);
		polled(48);
		for (i = 0; i < 8; i++)
			event(7, 4);
		fake_fail = k;
		vsock_hold_rx(vs, false);
		assert_int_equal(vs->held_count, 49 - k);
		fake_fail = k;
		vsock_hold_events(vs, false);
		assert_int_equal(vs->held_ev_count, 9 - k);
		vsock_hold_rx(vs, false);
		vsock_hold_events(vs, false);
		assert_int_equal(vs->held_count + vs->held_ev_count, 0);
	}
	for (i = 0; i < 48; i++)
		host_sends(c, "x", 1, 0);
	polled(48);
}

/* A buffer that cannot go back to the device is the end. */
static void posts_without_memory(void **state)
{
	struct fake_chain ch;

	assert_true(fake_pop(&dev, VQ_EVENT, &ch));
	fake_push(&dev, VQ_EVENT, ch.head, 4);
	fake_fail = 1;
	assert_int_equal(vsock_poll(vs), -EPROTO);
	assert_int_equal(fake_fail, 0);
	down(state);
	up(state);
	inject(&(struct vsock_hdr){ .src_cid = 2, .dst_cid = 77 }, NULL, 0);
	fake_fail = 1;
	assert_int_equal(vsock_poll(vs), -EPROTO);
	assert_int_equal(fake_fail, 0);
}

/* A host that answers each packet with another one: a poll comes to its end all the same. */
static unsigned int floods;

static void flood(void *arg, const struct vsock_seen *seen)
{
	static const uint32_t unknown = 7;
	struct fake_chain c;

	(void)arg;
	if (!floods)
		return;
	floods--;
	if (seen->what == VSOCK_SAW_RECEIVED) {
		inject(seen->hdr, NULL, 0);
	} else if (seen->what == VSOCK_SAW_BAD_EVENT) {
		assert_true(fake_pop(&dev, VQ_EVENT, &c));
		fake_copy_in(&c, &unknown, sizeof(unknown));
		fake_push(&dev, VQ_EVENT, c.head, sizeof(unknown));
	}
}

static void one_round_a_poll(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	const struct vsock_hdr h = packet(c, VSOCK_OP_CREDIT_UPDATE, 0);

	(void)state;
	polled(0);
	vsock_observe(flood, NULL);
	floods = 1000;
	inject(&h, NULL, 0);
	assert_int_equal(vsock_poll(vs), 48);
	assert_int_equal(vsock_poll(vs), 48);
	floods = 0;
	assert_int_equal(vsock_poll(vs), 1);
	assert_int_equal(vsock_poll(vs), 0);
	floods = 1000;
	event(7, 4);
	assert_int_equal(stats().rx_malformed, 8);
	floods = 0;
	assert_int_equal(vsock_poll(vs), 1);
	vsock_observe(NULL, NULL);
}

/* The driver polls: it asks for no interrupt of any queue. What is offered and known it takes. */
static void how_it_comes_up(void **state)
{
	const uint64_t own = VIRTIO_BIT(VSOCK_F_STREAM) | SEQ |
			     VIRTIO_BIT(VSOCK_F_NO_IMPLIED_STREAM) |
			     VIRTIO_BIT(VSOCK_F_INDEXED_CID);
	unsigned int i;

	(void)state;
	prepare(own | VIRTIO_BIT(3));
	dev.offered &= ~VIRTIO_BIT(VIRTIO_F_EVENT_IDX);
	(void)vsock_open(0, 0, &vs); /* its configuration is none of that layout */
	assert_true((dev.accepted & (own | VIRTIO_BIT(3))) == own);
	vsock_close(vs);
	prepare(VIRTIO_BIT(VSOCK_F_STREAM));
	dev.offered &= ~VIRTIO_BIT(VIRTIO_F_EVENT_IDX);
	assert_int_equal(vsock_open(0, 0, &vs), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(dev.q[i].avail->flags, 1);
	assert_ptr_equal(dev.vdev.driver, vs);
	vsock_close(vs);
	assert_null(dev.vdev.driver);
	assert_null(dev.vdev.on_config);
	vs = NULL;
}

/* The layout where an index is written before each CID is read. */
static void comes_up_indexed(void **state)
{
	static const uint32_t words[] = { 9, 0, 1, 0, 0xffffffff, 9, 0 };

	(void)state;
	prepare(VIRTIO_BIT(VSOCK_F_STREAM) | VIRTIO_BIT(VSOCK_F_INDEXED_CID));
	memcpy(dev.config, words, sizeof(words));
	dev.config_len = sizeof(words);
	assert_int_equal(vsock_open(0, 0, &vs), 0);
	assert_int_equal(vsock_config(vs)->layout, VSOCK_LAYOUT_INDEXED);
	assert_int_equal(vsock_config(vs)->num_guest, 1);
	assert_true(vsock_is_local(vs, 9));
	assert_memory_equal(dev.config + 8, words + 2, 8);
	assert_memory_equal(dev.config + 20, words + 5, 8);
	dev.config[16] = 1; /* each look writes it anew */
	dev.vdev.on_config(&dev.vdev);
	assert_int_equal(vsock_poll(vs), 0);
	assert_memory_equal(dev.config + 16, "\0\0\0\0", 4);
}

/* How long a send waits for the device to use its packets: as long as it was told, and five seconds at least. */
static void how_long_a_send_waits(void **state)
{
	struct vsock_conn *c = connected(VSOCK_STREAM);
	const uint64_t step = fake_time_step;
	static const struct {
		uint64_t sec, ns, least;
	} k[] = {
		{ SEC, 0, 5000 },
		{ SEC, 8 * SEC, 8000 },
		{ 2 * SEC, 8 * SEC, 10000 },
	};
	uint64_t ms;
	unsigned int i;

	(void)state;
	fake_time_step = MSEC;
	host.stuck = true;
	for (i = 0; i < 3; i++) {
		fake_sec = k[i].sec;
		ms = time_now();
		assert_int_equal(vsock_send(c, "abc", 3, k[i].ns), -ETIMEDOUT);
		ms = (time_now() - ms) / MSEC;
		assert_in_range(ms, k[i].least, k[i].least + 20);
	}
	fake_sec = SEC;
	fake_time_step = step;
	/* Where it is the ring that has no room, no credit is asked for. */
	num_sent = 0;
	while (vq_free_count(dev.vdev.vq[VQ_TX]) && vs->tx_free)
		(void)vsock_send_raw(vs, &(struct vsock_hdr){ .src_cid = 3 }, NULL, 0);
	assert_int_equal(vsock_send(c, "abc", 3, SEC), -ETIMEDOUT);
	assert_int_equal(vs->queued_count, 0);
	host.stuck = false;
	take_sent();
	polled(1);
	assert_int_equal(count_op(VSOCK_OP_CREDIT_REQUEST), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(opens),
		cmocka_unit_test_teardown(open_fails, down),
		cmocka_unit_test_teardown(only_asked_features, down),
		T(connects),
		T(chooses_ports),
		T(connect_refused),
		T(bad_addresses),
		cmocka_unit_test_teardown(types_offered, down),
		T(told_apart),
		T(thousand),
		T(listens_on_one),
		T(listens_on_all),
		T(listen_conflicts),
		T(backlog),
		T(ended_in_backlog),
		T(host_shuts_sending),
		T(host_shuts_receiving),
		T(reads_in_pieces),
		T(rst_after_shutdown),
		T(we_shut),
		T(resets),
		T(sends_within_credit),
		T(credit_wraps),
		T(gives_credit),
		T(gives_all_for_a_message),
		T(sees_overruns),
		T(smaller_buffer),
		T(largest_promise),
		T(flood_of_small_packets),
		T(hostile_credit),
		T(late_credit_wraps),
		T(messages_come_whole),
		T(messages_end),
		T(messages_go_whole),
		T(short_and_long),
		T(unknown_op),
		T(strays),
		T(broken_rings),
		T(broken_while_sending),
		T(transport_reset),
		T(config_change),
		T(observer_sees_all),
		T(observer_sees_moments),
		T(advances),
		T(one_cid_apart),
		T(held_rx),
		T(stuck_tx),
		T(closed_while_busy),
		T(left_while_sending),
		T(own_tx_buffer),
		/* The last one: what it leaves allocated stays so. */
		cmocka_unit_test_teardown(rx_in_pieces, down),
		cmocka_unit_test(rx_pages),
		cmocka_unit_test_teardown(direct_pieces, down),
		cmocka_unit_test_teardown(large_events, down),
		T(held_events),
		T(held_requests),
		cmocka_unit_test_teardown(small_queues, down),
		cmocka_unit_test_teardown(open_without_memory, down),
		T(connect_without_memory),
		T(listen_without_memory),
		T(receive_without_memory),
		T(send_without_memory),
		T(full_tx),
		T(packets_are_filled),
		T(asks_for_credit_at_times),
		T(rx_is_notified),
		T(last_message),
		T(closing),
		T(closed_at_once),
		T(unlistens_one_of_many),
		T(nothing_to_read),
		T(rst_tells_no_credit),
		T(no_credit_after_the_end),
		T(how_late_credit_may_be),
		T(how_much_is_kept),
		T(counts),
		T(held_tx),
		T(full_of_others),
		T(held_without_memory),
		T(posts_without_memory),
		T(one_round_a_poll),
		cmocka_unit_test(how_it_comes_up),
		cmocka_unit_test_teardown(comes_up_indexed, down),
		T(how_long_a_send_waits),
		cmocka_unit_test_setup(close_without_reset, up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
