/* SPDX-License-Identifier: BSD-2-Clause */
/* host/peer: control protocol and services over a transport that this file plays. */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <zlib.h>

#include "host/peer/peer.h"

#define PIPE (1u << 20)

/* A connection: what the guest sent and the peer did not read yet, and what the peer sent. */
struct tconn {
	struct tconn *next;
	struct peer_conn *pc;
	uint8_t in[PIPE], out[PIPE];
	size_t in_len, in_eom, out_len, out_eom; /* in_eom: bytes of the first message, 0: none */
	size_t room;				 /* that the guest gives us */
	bool eof, reset_by_peer;
	unsigned int shut;
	uint32_t buf;
	struct ctl_addr local, remote;
};

static struct {
	struct tconn *conns; /* not closed by the peer */
	unsigned int listeners, closed, resets;
	uint32_t busy_port; /* listen() says that it is taken */
	int connect_error;
	uint32_t connect_buf;
	uint16_t device_op;
} be;
static struct peer *peer;
static struct tconn *control;
static uint32_t seq;

/* --- the transport ------------------------------------------------------------------------ */

static int t_listen(void *arg, uint64_t cid, uint32_t port, uint16_t type)
{
	(void)type;
	assert_ptr_equal(arg, &be);
	assert_int_not_equal(port, 0);
	if (port == be.busy_port || cid == 666)
		return -EADDRINUSE;
	be.listeners++;
	return 0;
}

static void t_unlisten(void *arg, uint64_t cid, uint32_t port, uint16_t type)
{
	(void)arg;
	(void)cid;
	(void)port;
	(void)type;
	be.listeners--;
}

static struct tconn *tconn_new(void)
{
	struct tconn *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->room = PIPE;
	c->next = be.conns;
	be.conns = c;
	return c;
}

static int t_connect(void *arg, struct ctl_addr local, struct ctl_addr remote, uint16_t type,
		     uint32_t buf, struct peer_conn *pc, struct tconn **out)
{
	(void)arg;
	(void)type;
	if (be.connect_error)
		return be.connect_error;
	*out = tconn_new();
	(*out)->pc = pc;
	(*out)->local = local;
	(*out)->remote = remote;
	be.connect_buf = buf;
	return 0;
}

static ssize_t t_send(struct tconn *c, const void *buf, size_t len, bool eom)
{
	const size_t n = len < c->room ? len : c->room;

	if (c->shut & 2)
		return -EPIPE;
	if (len && !n)
		return -EAGAIN;
	assert_true(c->out_len + n <= PIPE);
	memcpy(c->out + c->out_len, buf, n);
	c->out_len += n;
	c->room -= n;
	c->out_eom += eom && n == len;
	return (ssize_t)n;
}

static ssize_t t_recv(struct tconn *c, void *buf, size_t len, bool *eom)
{
	size_t n = c->in_len;

	*eom = false;
	if (n == 0)
		return c->reset_by_peer ? -ECONNRESET : c->eof ? 0 : -EAGAIN;
	if (c->in_eom && c->in_eom < n)
		n = c->in_eom;
	if (n > len)
		n = len;
	memcpy(buf, c->in, n);
	memmove(c->in, c->in + n, c->in_len - n);
	c->in_len -= n;
	if (c->in_eom) {
		c->in_eom -= n;
		*eom = c->in_eom == 0;
	}
	return (ssize_t)n;
}

static void t_shutdown(struct tconn *c, unsigned int how)
{
	c->shut |= how;
}

static void t_reset(struct tconn *c)
{
	(void)c;
	be.resets++;
}

static void t_close(struct tconn *c)
{
	struct tconn **p = &be.conns;

	while (*p && *p != c)
		p = &(*p)->next;
	assert_non_null(*p); /* closed once */
	*p = c->next;
	be.closed++;
	if (c == control)
		control = NULL;
	free(c);
}

static void t_report(struct tconn *c, struct ctl_report *r)
{
	r->host_buf_alloc = htole32(c->buf);
	r->guest_buf_alloc = htole32(4711);
}

static int t_set_buf(struct tconn *c, uint32_t bytes)
{
	c->buf = bytes;
	return 0;
}

static int t_device_op(void *arg, uint16_t op, const void *req, size_t len, void *reply,
		       size_t *reply_len)
{
	(void)arg;
	be.device_op = op;
	if (op == 99)
		return -EOPNOTSUPP;
	memcpy(reply, req, len);
	*reply_len = op == 98 ? ASSAY_CTL_MAX + 1 : len;
	return 0;
}

static const struct peer_transport_ops ops = {
	.name = "unit",
	.caps = CTL_CAP_SEQPACKET | CTL_CAP_HOST_CONNECT | CTL_CAP_DEVICE,
	.listen = t_listen,
	.unlisten = t_unlisten,
	.connect = t_connect,
	.send = t_send,
	.recv = t_recv,
	.shutdown = t_shutdown,
	.reset = t_reset,
	.close = t_close,
	.report = t_report,
	.set_buf = t_set_buf,
	.device_op = t_device_op,
};

/* --- the guest ------------------------------------------------------------------------------ */

static struct tconn *accepted_by(uint32_t port, uint32_t from, uint16_t type)
{
	struct tconn *c = tconn_new();
	const struct ctl_addr l = { 2, port, 0 }, r = { 3, from, 0 };

	c->pc = peer_on_accept(peer, c, l, r, type);
	if (c->pc)
		return c;
	be.conns = c->next; /* refused: it stays ours */
	free(c);
	return NULL;
}

static void put(struct tconn *c, const void *p, size_t n)
{
	assert_true(c->in_len + n <= PIPE);
	memcpy(c->in + c->in_len, p, n);
	c->in_len += n;
}

static uint32_t crc_of(struct ctl_header h, const void *p, size_t n)
{
	uLong c;

	h.crc = 0;
	c = crc32(0, (const Bytef *)&h, sizeof(h));
	return (uint32_t)(n ? crc32(c, p, (uInt)n) : c);
}

static struct ctl_header request(uint16_t op, const void *p, size_t n)
{
	struct ctl_header h = {
		.magic = htole32(ASSAY_CTL_MAGIC),
		.version = htole16(ASSAY_CTL_VERSION),
		.op = htole16(op),
		.seq = htole32(++seq),
		.len = htole32((uint32_t)n),
	};

	h.crc = htole32(crc_of(h, p, n));
	return h;
}

static void order(uint16_t op, const void *p, size_t n)
{
	const struct ctl_header h = request(op, p, n);

	put(control, &h, sizeof(h));
	if (n)
		put(control, p, n);
	peer_on_readable(control->pc);
}

/* Takes the next reply, if there is one; its payload goes to out (at most size bytes). */
static bool next_reply(struct ctl_header *h, void *out, size_t size)
{
	size_t n;

	memset(h, 0, sizeof(*h));
	memset(out, 0, size);
	if (control->out_len < sizeof(*h))
		return false;
	memcpy(h, control->out, sizeof(*h));
	n = le32toh(h->len);
	assert_int_equal(le32toh(h->magic), ASSAY_CTL_MAGIC);
	assert_true(control->out_len >= sizeof(*h) + n);
	assert_int_equal(le32toh(h->crc), crc_of(*h, control->out + sizeof(*h), n));
	memcpy(out, control->out + sizeof(*h), n < size ? n : size);
	control->out_len -= sizeof(*h) + n;
	memmove(control->out, control->out + sizeof(*h) + n, control->out_len);
	return true;
}

static struct ctl_report report; /* of the last reply that had one */

/* An order that is answered at once: its status. */
static int call_with(uint16_t op, const void *p, size_t n, void *out, size_t size)
{
	struct ctl_header h;

	order(op, p, n);
	assert_true(next_reply(&h, out, size));
	assert_int_equal(le16toh(h.op), op);
	assert_int_equal(le32toh(h.seq), seq);
	return (int32_t)le32toh((uint32_t)h.status);
}

static int call(uint16_t op, const void *p, size_t n)
{
	memset(&report, 0, sizeof(report));
	return call_with(op, p, n, &report, sizeof(report));
}

static int conn_call(uint16_t op, uint32_t conn, uint32_t arg)
{
	const struct ctl_conn_arg a = { htole32(conn), htole32(arg) };

	return call(op, &a, sizeof(a));
}

static bool no_reply(void)
{
	struct ctl_header h;
	uint8_t b[1];

	return !next_reply(&h, b, 1);
}

static int reply_status(void)
{
	struct ctl_header h;

	memset(&report, 0, sizeof(report));
	assert_true(next_reply(&h, &report, sizeof(report)));
	return (int32_t)le32toh((uint32_t)h.status);
}

static int up(void **state)
{
	const struct peer_config cfg = { .ops = &ops, .be = &be };

	(void)state;
	memset(&be, 0, sizeof(be));
	peer = peer_new(&cfg);
	assert_non_null(peer);
	control = accepted_by(ASSAY_CTL_PORT, 1000, 1);
	assert_non_null(control);
	return 0;
}

static int down(void **state)
{
	(void)state;
	peer_free(peer);
	assert_null(be.conns);
	assert_int_equal(be.listeners, 0);
	return 0;
}

/* A connection on a listener made for it; its number. */
static uint32_t data_conn(struct tconn **c, uint16_t type)
{
	struct ctl_listen l = { .cid = htole64(ASSAY_CID_ANY), .type = htole16(type) };
	struct ctl_listen made;

	assert_int_equal(call_with(CTL_LISTEN, &l, sizeof(l), &made, sizeof(made)), 0);
	l.port = made.port;
	*c = accepted_by(le32toh(made.port), 5000, type);
	assert_non_null(*c);
	assert_int_equal(call(CTL_ACCEPT, &l, sizeof(l)), 0);
	return le32toh(report.conn);
}

static void pause_ms(long ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* --- the protocol --------------------------------------------------------------------------- */

static void hello(void **state)
{
	const struct ctl_hello a = { htole32(1) };
	struct ctl_hello_reply r;
	struct ctl_time t;

	(void)state;
	assert_int_equal(be.listeners, 7); /* control, three services of both types */
	assert_int_equal(call_with(CTL_HELLO, &a, sizeof(a), &r, sizeof(r)), 0);
	assert_int_equal(le32toh(r.version), ASSAY_CTL_VERSION);
	assert_int_equal(le32toh(r.caps), ops.caps | CTL_CAP_TIME);
	assert_non_null(strstr(r.name, "unit"));
	assert_int_equal(le64toh(r.control_guest.cid), 3);
	assert_int_equal(le32toh(r.control_guest.port), 1000);
	assert_int_equal(call_with(CTL_TIME, NULL, 0, &t, sizeof(t)), 0);
	assert_true(llabs((long long)le64toh(t.seconds) - (long long)time(NULL)) < 60);
	assert_int_equal(call(CTL_BARRIER, NULL, 0), 0);
}

/* In pieces, several at once, and each byte for itself. */
static void framing(void **state)
{
	struct ctl_header h = request(CTL_BARRIER, NULL, 0), r;
	const uint8_t *b = (const uint8_t *)&h;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(h); i++) {
		assert_true(no_reply());
		put(control, b + i, 1);
		peer_on_readable(control->pc);
	}
	assert_int_equal(reply_status(), 0);
	for (i = 0; i < 100; i++)
		put(control, &h, sizeof(h));
	put(control, &h, 5);
	peer_on_readable(control->pc);
	for (i = 0; i < 100; i++)
		assert_int_equal(reply_status(), 0);
	put(control, b + 5, sizeof(h) - 5);
	peer_on_readable(control->pc);
	assert_true(next_reply(&r, &i, sizeof(i)));
	assert_int_equal(r.seq, h.seq);
	assert_true(no_reply());
}

/* What is no partner any more: reset and closed, and nothing is carried out. */
static void nonsense(void **state)
{
	struct ctl_header h;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		h = request(CTL_BARRIER, NULL, 0);
		if (i == 0)
			h.magic ^= 1;
		else if (i == 1)
			h.crc ^= 0x10000;
		else if (i == 2)
			h.len = htole32(ASSAY_CTL_MAX + 1);
		else
			h.status = 5; /* not covered by the checksum that was made */
		put(control, &h, sizeof(h));
		peer_on_readable(control->pc);
		assert_null(control);
		assert_int_equal(be.resets, 1);
		assert_int_equal(be.closed, 1);
		down(state);
		up(state);
	}
	/* Another version gets an answer: the guest shall say what is wrong. */
	h = request(CTL_BARRIER, NULL, 0);
	h.version = htole16(2);
	h.crc = htole32(crc_of(h, NULL, 0));
	put(control, &h, sizeof(h));
	peer_on_readable(control->pc);
	assert_int_equal(reply_status(), -EPROTONOSUPPORT);
	/* Orders that are unknown, or shorter than their arguments. */
	assert_int_equal(call(19, NULL, 0), -EOPNOTSUPP);
	assert_int_equal(call(0, NULL, 0), -EOPNOTSUPP);
	for (i = CTL_HELLO; i <= CTL_FORGET; i++)
		assert_int_equal(call((uint16_t)i, "123", 3), -EINVAL);
	assert_int_equal(call(CTL_BARRIER, NULL, 0), 0);
}

static void gone(void **state)
{
	const struct ctl_listen l = { .timeout_ms = htole32(1000), .type = htole16(1) };

	(void)state;
	order(CTL_ACCEPT, &l, sizeof(l));
	assert_true(peer_next_timeout_ns(peer) >= 0);
	control->eof = true;
	peer_on_readable(control->pc);
	assert_null(control);
	assert_int_equal(peer_next_timeout_ns(peer), -1); /* its waits went with it */
	control = accepted_by(ASSAY_CTL_PORT, 1001, 1);
	peer_on_closed(control->pc, -ECONNRESET);
	assert_null(control);
	control = accepted_by(ASSAY_CTL_PORT, 1002, 1);
	assert_int_equal(call(CTL_BARRIER, NULL, 0), 0);
	peer_on_device_reset(peer);
	assert_null(be.conns);
	assert_null(accepted_by(ASSAY_CTL_PORT, 1003, 2)); /* control is a stream */
}

/* A guest that reads no replies is kept up to a limit. */
static void replies_unread(void **state)
{
	const struct ctl_hello a = { htole32(1) };
	struct ctl_header h = request(CTL_HELLO, &a, sizeof(a));
	unsigned int i;

	(void)state;
	control->room = 10;
	for (i = 0; i < 200; i++) {
		put(control, &h, sizeof(h));
		put(control, &a, sizeof(a));
	}
	peer_on_readable(control->pc);
	assert_non_null(control);
	assert_int_equal(control->out_len, 10);
	control->room = PIPE;
	peer_on_writable(control->pc);
	for (i = 0; i < 200; i++)
		assert_int_equal(reply_status(), 0);
	assert_true(no_reply());
	control->room = 0;
	for (i = 0; i < 20000 && control; i++) {
		put(control, &h, sizeof(h));
		put(control, &a, sizeof(a));
		peer_on_readable(control->pc);
	}
	assert_null(control);
	assert_true(i < 20000);
	assert_int_equal(be.resets, 1);
}

static void listeners(void **state)
{
	struct ctl_listen l = { .cid = htole64(2), .port = htole32(9000), .type = htole16(1) };
	struct ctl_listen r;

	(void)state;
	assert_int_equal(call_with(CTL_LISTEN, &l, sizeof(l), &r, sizeof(r)), 0);
	assert_int_equal(le32toh(r.port), 9000);
	assert_int_equal(call(CTL_LISTEN, &l, sizeof(l)), -EADDRINUSE);
	l.cid = htole64(ASSAY_CID_ANY);
	assert_int_equal(call(CTL_LISTEN, &l, sizeof(l)), -EADDRINUSE);
	assert_int_equal(call(CTL_UNLISTEN, &l, sizeof(l)), -ENOENT); /* it was bound to CID 2 */
	l.cid = htole64(100);
	assert_int_equal(call(CTL_LISTEN, &l, sizeof(l)), 0);
	l.type = htole16(2);
	assert_int_equal(call(CTL_LISTEN, &l, sizeof(l)), 0);
	l.type = htole16(3);
	assert_int_equal(call(CTL_LISTEN, &l, sizeof(l)), -EINVAL);
	l.type = htole16(1);
	l.service = htole16(4);
	assert_int_equal(call(CTL_LISTEN, &l, sizeof(l)), -EINVAL);
	l.service = 0;
	l.port = 0; /* the peer chooses, past ports that are taken */
	be.busy_port = 20000;
	assert_int_equal(call_with(CTL_LISTEN, &l, sizeof(l), &r, sizeof(r)), 0);
	assert_int_equal(le32toh(r.port), 20001);
	l.cid = htole64(666);
	assert_int_equal(call(CTL_LISTEN, &l, sizeof(l)), -EADDRINUSE); /* none is free: it ends */
	assert_int_equal(be.listeners, 7 + 4);
	l.cid = htole64(2);
	l.port = htole32(9000);
	assert_int_equal(call(CTL_UNLISTEN, &l, sizeof(l)), 0);
	assert_null(accepted_by(9000, 1, 1)); /* CID 100 has it still, but not CID 2 */
	l.port = htole32(ASSAY_ECHO_PORT);
	l.cid = htole64(ASSAY_CID_ANY);
	assert_int_equal(call(CTL_UNLISTEN, &l, sizeof(l)), -ENOENT); /* not made through control */
	assert_int_equal(call(CTL_FORGET_ALL, NULL, 0), 0);
	assert_int_equal(be.listeners, 7);
}

static void accepts(void **state)
{
	struct ctl_listen l = { .cid = htole64(ASSAY_CID_ANY),
				.port = htole32(9000),
				.type = htole16(1),
				.timeout_ms = htole32(60000),
				.buf = htole32(777) };
	struct tconn *c, *d;

	(void)state;
	assert_int_equal(call(CTL_LISTEN, &l, sizeof(l)), 0);
	order(CTL_ACCEPT, &l, sizeof(l));
	assert_true(no_reply()); /* it waits */
	c = accepted_by(9000, 50, 1);
	assert_int_equal(c->buf, 777);
	peer_run_timers(peer);
	assert_int_equal(reply_status(), 0);
	assert_int_equal(le64toh(report.guest.cid), 3);
	assert_int_equal(le32toh(report.guest.port), 50);
	assert_int_equal(le32toh(report.host.port), 9000);
	assert_int_equal(le32toh(report.flags), CTL_CONN_CONNECTED);
	assert_int_equal(le32toh(report.guest_buf_alloc), 4711);
	/* Told once; the oldest first, also one that is over already. */
	c = accepted_by(9000, 51, 1);
	d = accepted_by(9000, 52, 1);
	assert_ptr_not_equal(c, d);
	peer_on_closed(c->pc, -ECONNRESET);
	assert_int_equal(call(CTL_ACCEPT, &l, sizeof(l)), 0);
	assert_int_equal(le32toh(report.guest.port), 51);
	assert_int_equal(le32toh(report.flags), CTL_CONN_RESET | CTL_CONN_CLOSED);
	assert_int_equal(call(CTL_ACCEPT, &l, sizeof(l)), 0);
	assert_int_equal(le32toh(report.guest.port), 52);
	l.timeout_ms = htole32(1);
	order(CTL_ACCEPT, &l, sizeof(l));
	pause_ms(5);
	assert_int_equal(peer_next_timeout_ns(peer), 0);
	peer_run_timers(peer);
	assert_int_equal(reply_status(), -ETIMEDOUT);
	assert_int_equal(peer_next_timeout_ns(peer), -1);
}

static void connects(void **state)
{
	struct ctl_connect a = { .local = { htole64(ASSAY_CID_ANY), 0, 0 },
				 .remote = { htole64(3), htole32(80), 0 },
				 .type = htole16(1),
				 .timeout_ms = htole32(60000),
				 .buf = htole32(99) };
	struct tconn *c;

	(void)state;
	order(CTL_CONNECT, &a, sizeof(a));
	assert_true(no_reply());
	c = be.conns;
	assert_int_equal(c->local.cid, 2);
	assert_int_not_equal(c->local.port, 0);
	assert_int_equal(c->remote.cid, 3);
	assert_int_equal(c->remote.port, 80);
	assert_int_equal(be.connect_buf, 99);
	peer_on_connected(c->pc);
	assert_int_equal(reply_status(), 0);
	assert_int_equal(le32toh(report.flags), CTL_CONN_CONNECTED);
	assert_int_equal(le32toh(report.host.port), c->local.port);
	/* Refused, refused at once, and no answer at all. */
	order(CTL_CONNECT, &a, sizeof(a));
	peer_on_closed(be.conns->pc, -ECONNREFUSED);
	assert_int_equal(reply_status(), -ECONNREFUSED);
	be.connect_error = -ENETUNREACH;
	assert_int_equal(call(CTL_CONNECT, &a, sizeof(a)), -ENETUNREACH);
	be.connect_error = 0;
	a.timeout_ms = htole32(1);
	order(CTL_CONNECT, &a, sizeof(a));
	pause_ms(5);
	be.closed = 0;
	peer_run_timers(peer);
	assert_int_equal(reply_status(), -ETIMEDOUT);
	assert_int_equal(be.closed, 1);
	assert_true(le32toh(report.flags) & CTL_CONN_CONNECTED ? false : true);
}

static void finds(void **state)
{
	struct tconn *c, *d;
	const uint32_t id = data_conn(&c, 1), other = data_conn(&d, 2);
	struct ctl_find f = { .host = { htole64(ASSAY_CID_ANY), 0, 0 },
			      .guest = { htole64(3), htole32(5000), 0 },
			      .type = htole16(1) };

	(void)state;
	assert_int_equal(call(CTL_FIND, &f, sizeof(f)), 0);
	assert_int_equal(le32toh(report.conn), id);
	f.type = htole16(2);
	assert_int_equal(call(CTL_FIND, &f, sizeof(f)), 0);
	assert_int_equal(le32toh(report.conn), other);
	f.guest.cid = htole64(4);
	assert_int_equal(call(CTL_FIND, &f, sizeof(f)), -ENOENT);
	f.guest.cid = htole64(ASSAY_CID_ANY);
	f.guest.port = htole32(5001);
	assert_int_equal(call(CTL_FIND, &f, sizeof(f)), -ENOENT);
	assert_int_equal(conn_call(CTL_REPORT, 4000000, 0), -ENOENT);
	assert_int_equal(conn_call(CTL_FORGET, id, 0), 0);
	assert_int_equal(conn_call(CTL_REPORT, id, 0), -ENOENT);
	assert_int_equal(conn_call(CTL_REPORT, other, 0), 0);
	/* The control connection is none of them. */
	assert_int_equal(conn_call(CTL_RESET, 1, 0), -ENOENT);
}

/* --- what is sent and received ------------------------------------------------------------------ */

static void counts_what_comes(void **state)
{
	struct tconn *c;
	const uint32_t id = data_conn(&c, 1);
	struct ctl_wait w = { .conn = htole32(id),
			      .what = htole32(CTL_WAIT_RX),
			      .value = htole64(6),
			      .timeout_ms = htole32(60000) };

	(void)state;
	put(c, "abc", 3);
	peer_on_readable(c->pc);
	order(CTL_WAIT, &w, sizeof(w));
	assert_true(no_reply());
	put(c, "def", 3);
	peer_on_readable(c->pc);
	assert_int_equal(reply_status(), 0);
	assert_int_equal(le64toh(report.rx_bytes), 6);
	assert_int_equal(le32toh(report.rx_crc), crc32(0, (const Bytef *)"abcdef", 6));
	assert_int_equal(le64toh(report.rx_msgs), 0);
	/* While it is paused nothing is read: the guest gets no credit. */
	assert_int_equal(conn_call(CTL_PAUSE, id, 1), 0);
	put(c, "ghi", 3);
	peer_on_readable(c->pc);
	assert_int_equal(c->in_len, 3);
	assert_int_equal(conn_call(CTL_REPORT, id, 0), 0);
	assert_int_equal(le64toh(report.rx_bytes), 6);
	assert_true(le32toh(report.flags) & CTL_CONN_PAUSED);
	assert_int_equal(conn_call(CTL_PAUSE, id, 0), 0);
	assert_int_equal(le64toh(report.rx_bytes), 9);
	/* What cannot be waited for. */
	w.what = htole32(77);
	assert_int_equal(call(CTL_WAIT, &w, sizeof(w)), -EINVAL);
	w.conn = htole32(4000000);
	assert_int_equal(call(CTL_WAIT, &w, sizeof(w)), -ENOENT);
	w.conn = htole32(id);
	w.what = htole32(CTL_WAIT_RX);
	w.value = htole64(1000);
	order(CTL_WAIT, &w, sizeof(w));
	peer_on_closed(c->pc, -ECONNRESET);
	assert_int_equal(reply_status(), -ECONNRESET); /* it can never come true */
	assert_int_equal(le64toh(report.rx_bytes), 9);
	assert_true(le32toh(report.flags) & CTL_CONN_RESET);
	assert_int_equal(conn_call(CTL_PAUSE, id, 1), -ENOTCONN);
}

/* Each condition: not a byte too early, and as soon as it holds. */
static void waits(void **state)
{
	struct tconn *c;
	const uint32_t id = data_conn(&c, 2);
	struct ctl_wait w = { .conn = htole32(id), .timeout_ms = htole32(60000) };
	const struct ctl_send a = { .conn = htole32(id),
				    .bytes = htole64(10),
				    .async = htole32(1) };

	(void)state;
	assert_int_equal(c->buf, 0); /* no size was asked for */
	w.what = htole32(CTL_WAIT_RX_MSGS);
	w.value = htole64(1);
	order(CTL_WAIT, &w, sizeof(w));
	put(c, "abc", 3);
	peer_on_readable(c->pc);
	assert_true(no_reply());
	put(c, "d", 1);
	c->in_eom = 1;
	peer_on_readable(c->pc);
	assert_int_equal(reply_status(), 0);
	w.what = htole32(CTL_WAIT_TX);
	w.value = htole64(10);
	c->room = 9;
	order(CTL_WAIT, &w, sizeof(w));
	assert_int_equal(call(CTL_SEND, &a, sizeof(a)), 0);
	assert_true(no_reply());
	c->room = 1;
	peer_on_writable(c->pc);
	assert_int_equal(reply_status(), 0);
	w.what = htole32(CTL_WAIT_FLAGS);
	w.value = htole64(CTL_CONN_GUEST_SHUT_SEND | CTL_CONN_GUEST_SHUT_RCV);
	order(CTL_WAIT, &w, sizeof(w));
	assert_true(peer_next_timeout_ns(peer) > 50000000000 &&
		    peer_next_timeout_ns(peer) <= 60000000000);
	peer_on_shutdown(c->pc, 1);
	assert_true(no_reply());
	peer_on_shutdown(c->pc, 2);
	assert_int_equal(reply_status(), 0);
}

static void counts_messages(void **state)
{
	struct tconn *c;
	const uint32_t id = data_conn(&c, 2);
	const uint32_t lens[2] = { htole32(5), htole32(3) };

	(void)state;
	put(c, "12345", 5);
	c->in_eom = 5;
	peer_on_readable(c->pc);
	put(c, "678", 3);
	c->in_eom = 3;
	peer_on_readable(c->pc);
	put(c, "9", 1); /* the message goes on */
	peer_on_readable(c->pc);
	assert_int_equal(conn_call(CTL_REPORT, id, 0), 0);
	assert_int_equal(le64toh(report.rx_msgs), 2);
	assert_int_equal(le64toh(report.last_msg), 3);
	assert_int_equal(le64toh(report.rx_bytes), 9);
	assert_int_equal(le32toh(report.rx_msgs_crc), crc32(0, (const Bytef *)lens, sizeof(lens)));
}

static void check_pattern(const uint8_t *p, size_t n, uint32_t seed)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] != assay_pattern(seed, i))
			fail_msg("byte %zu", i);
}

static void sends(void **state)
{
	struct tconn *c;
	const uint32_t id = data_conn(&c, 1);
	struct ctl_send a = { .conn = htole32(id),
			      .seed = htole32(42),
			      .bytes = htole64(100000),
			      .timeout_ms = htole32(60000) };

	(void)state;
	c->room = 30000;
	order(CTL_SEND, &a, sizeof(a));
	assert_true(no_reply()); /* the guest has no more room */
	assert_int_equal(c->out_len, 30000);
	c->room = 70000;
	peer_on_writable(c->pc);
	assert_int_equal(reply_status(), 0);
	assert_int_equal(le64toh(report.tx_bytes), 100000);
	assert_int_equal(c->out_len, 100000);
	check_pattern(c->out, c->out_len, 42);
	assert_int_equal(le32toh(report.tx_crc), crc32(0, c->out, 100000));
	/* Without waiting; and nothing. */
	c->room = 0;
	a.async = htole32(1);
	assert_int_equal(call(CTL_SEND, &a, sizeof(a)), 0);
	assert_int_equal(le64toh(report.tx_bytes), 100000);
	a.bytes = 0;
	a.async = 0;
	assert_int_equal(call(CTL_SEND, &a, sizeof(a)), 0);
	/* The connection ends while it is sent. */
	a.bytes = htole64(10);
	order(CTL_SEND, &a, sizeof(a));
	peer_on_closed(c->pc, 0);
	assert_int_equal(reply_status(), -EPIPE);
	assert_int_equal(call(CTL_SEND, &a, sizeof(a)), -EPIPE);
	a.conn = htole32(4000000);
	assert_int_equal(call(CTL_SEND, &a, sizeof(a)), -ENOENT);
}

static void sends_messages(void **state)
{
	struct tconn *c;
	const uint32_t id = data_conn(&c, 2);
	const struct ctl_send a = { .conn = htole32(id),
				    .bytes = htole64(1000),
				    .msg = htole32(300),
				    .timeout_ms = htole32(60000) };

	(void)state;
	assert_int_equal(call(CTL_SEND, &a, sizeof(a)), 0);
	assert_int_equal(c->out_len, 1000);
	assert_int_equal(c->out_eom, 4); /* 3 * 300 and 100 */
}

static void ends(void **state)
{
	struct tconn *c;
	uint32_t id = data_conn(&c, 1);
	const struct ctl_send a = { .conn = htole32(id), .bytes = htole64(10) };

	(void)state;
	assert_int_equal(conn_call(CTL_SHUTDOWN, id, 0), -EINVAL);
	assert_int_equal(conn_call(CTL_SHUTDOWN, id, 4), -EINVAL);
	assert_int_equal(c->shut, 0);
	assert_int_equal(conn_call(CTL_SHUTDOWN, id, 2), 0);
	assert_int_equal(c->shut, 2);
	assert_int_equal(le32toh(report.flags), CTL_CONN_CONNECTED | CTL_CONN_HOST_SHUT_SEND);
	assert_int_equal(call(CTL_SEND, &a, sizeof(a)), -EPIPE);
	peer_on_shutdown(c->pc, 1);
	assert_int_equal(conn_call(CTL_REPORT, id, 0), 0);
	assert_true(le32toh(report.flags) & CTL_CONN_GUEST_SHUT_RCV);
	assert_false(le32toh(report.flags) & CTL_CONN_GUEST_SHUT_SEND);
	peer_on_shutdown(c->pc, 2);
	assert_int_equal(conn_call(CTL_SET_BUF, id, 12345), 0);
	assert_int_equal(le32toh(report.host_buf_alloc), 12345);
	assert_true(le32toh(report.flags) & CTL_CONN_GUEST_SHUT_SEND);
	assert_int_equal(conn_call(CTL_RESET, id, 0), 0);
	assert_int_equal(be.resets, 1);
	assert_true(le32toh(report.flags) & CTL_CONN_CLOSED);
	assert_int_equal(conn_call(CTL_RESET, id, 0), -ENOTCONN);
	assert_int_equal(conn_call(CTL_REPORT, id, 0), 0); /* the record stays */
}

/* --- services ----------------------------------------------------------------------------------- */

static void echo(void **state)
{
	static uint8_t b[300000];
	struct tconn *c = accepted_by(ASSAY_ECHO_PORT, 1, 1);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(b); i++)
		b[i] = assay_pattern(9, i);
	c->room = 100000;
	put(c, b, sizeof(b));
	peer_on_readable(c->pc);
	assert_int_equal(c->out_len, 100000);
	assert_true(c->in_len > 100000); /* no more is read than can be returned */
	peer_on_shutdown(c->pc, 2);
	assert_int_equal(c->shut, 0); /* not before all is back */
	c->room = PIPE;
	peer_on_writable(c->pc);
	assert_int_equal(c->out_len, sizeof(b));
	assert_memory_equal(c->out, b, sizeof(b));
	c->eof = true;
	peer_on_readable(c->pc);
	assert_int_equal(c->shut, 2);
}

static void echo_messages(void **state)
{
	struct tconn *c = accepted_by(ASSAY_ECHO_PORT, 1, 2);

	(void)state;
	put(c, "abc", 3);
	c->in_eom = 3;
	peer_on_readable(c->pc);
	assert_int_equal(c->out_len, 3);
	assert_int_equal(c->out_eom, 1);
	put(c, "de", 2); /* half a message */
	peer_on_readable(c->pc);
	assert_int_equal(c->out_len, 5);
	assert_int_equal(c->out_eom, 1);
}

static void sink_and_source(void **state)
{
	struct tconn *c = accepted_by(ASSAY_SINK_PORT, 1, 1);
	uint8_t b[5000] = { 0 };
	unsigned int i;

	(void)state;
	put(c, b, sizeof(b));
	peer_on_readable(c->pc);
	assert_int_equal(c->in_len, 0);
	assert_int_equal(c->out_len, 0);
	c->eof = true;
	peer_on_readable(c->pc);
	assert_int_equal(c->shut, 2);
	c = accepted_by(ASSAY_SOURCE_PORT, 77, 1);
	c->room = 50000;
	peer_on_writable(c->pc);
	assert_int_equal(c->out_len, 50000);
	check_pattern(c->out, c->out_len, 77);
	peer_on_shutdown(c->pc, 1); /* the guest wants no more */
	c->room = 50000;
	peer_on_writable(c->pc);
	assert_int_equal(c->out_len, 50000);
	/* One that would send for ever lets the others have their turn. */
	c = accepted_by(ASSAY_SOURCE_PORT, 78, 1);
	for (i = 0; i < 2; i++) {
		c->room = PIPE;
		c->out_len = 0;
		if (i == 0)
			peer_on_writable(c->pc);
		else
			peer_run_timers(peer);
		assert_int_equal(c->out_len, PIPE);
		assert_int_equal(peer_next_timeout_ns(peer), 0);
	}
}

static void nobody_listens(void **state)
{
	(void)state;
	assert_null(accepted_by(9999, 1, 1));
	assert_null(accepted_by(ASSAY_SOURCE_PORT + 1, 1, 1));
	assert_null(accepted_by(ASSAY_ECHO_PORT, 1, 3));
}

static void device_orders(void **state)
{
	uint8_t b[16] = "0123456789", out[16];

	(void)state;
	assert_int_equal(call_with(CTL_DEV_INFO, b, 10, out, sizeof(out)), 0);
	assert_int_equal(be.device_op, CTL_DEV_INFO);
	assert_memory_equal(out, b, 10);
	assert_int_equal(call(99, NULL, 0), -EOPNOTSUPP);
	assert_int_equal(call(98, NULL, 0), 0); /* a length that is too large is not believed */
}

static void many_ended(void **state)
{
	uint32_t i, last = 0;
	struct tconn *c;

	(void)state;
	for (i = 0; i < 3000; i++) {
		c = accepted_by(ASSAY_SINK_PORT, i, 1);
		assert_non_null(c);
		peer_on_closed(c->pc, 0);
	}
	/* The newest are known, the oldest forgotten: the memory is bounded. */
	for (i = 2; i < 3100; i++)
		if (conn_call(CTL_REPORT, i, 0) == 0)
			last++;
	assert_true(last >= 1000 && last <= 1100);
	assert_int_equal(conn_call(CTL_REPORT, 3001, 0), 0);
}

/* One guest only is served, and connected to. */
static void one_guest(void **state)
{
	const struct peer_config cfg = { .ops = &ops, .be = &be, .guests = { 3, 5 }, .nguests = 2 };
	struct ctl_connect a = { .local = { htole64(ASSAY_CID_ANY), 0, 0 },
				 .remote = { htole64(4), htole32(80), 0 },
				 .type = htole16(1),
				 .timeout_ms = htole32(60000) };
	const struct ctl_addr host = { 2, ASSAY_CTL_PORT, 0 }, stranger = { 4, 1000, 0 };
	struct tconn *c;

	peer_free(peer);
	memset(&be, 0, sizeof(be));
	peer = peer_new(&cfg);
	assert_non_null(peer);
	control = accepted_by(ASSAY_CTL_PORT, 1000, 1);
	assert_non_null(control);
	c = tconn_new();
	assert_null(peer_on_accept(peer, c, host, stranger, 1));
	t_close(c);
	assert_int_equal(call(CTL_CONNECT, &a, sizeof(a)), -EACCES);
	a.remote.cid = htole64(5);
	order(CTL_CONNECT, &a, sizeof(a));
	assert_true(no_reply());
	(void)state;
}

/* A guest cannot have the peer open sockets without end. */
static void many_listeners(void **state)
{
	struct ctl_listen l = { .cid = htole64(ASSAY_CID_ANY), .type = htole16(1) };
	unsigned int i;

	(void)state;
	for (i = 0; i < PEER_LISTENERS_MAX; i++) {
		l.port = htole32(30000 + i);
		assert_int_equal(call(CTL_LISTEN, &l, sizeof(l)), 0);
	}
	l.port = htole32(29999);
	assert_int_equal(call(CTL_LISTEN, &l, sizeof(l)), -ENOSPC);
	l.port = htole32(30000);
	assert_int_equal(call(CTL_UNLISTEN, &l, sizeof(l)), 0);
	assert_int_equal(call(CTL_LISTEN, &l, sizeof(l)), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(hello),	   T(framing),		 T(nonsense),	    T(gone),
		T(replies_unread), T(listeners),	 T(accepts),	    T(connects),
		T(finds),	   T(counts_what_comes), T(waits),	    T(counts_messages),
		T(sends),	   T(sends_messages),	 T(ends),	    T(echo),
		T(echo_messages),  T(sink_and_source),	 T(nobody_listens), T(device_orders),
		T(many_ended),	   T(one_guest),	 T(many_listeners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
