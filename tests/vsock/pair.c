/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vsock/pair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/virtqueue.h"
#include "lib/errname.h"
#include "tests/support/crc32.h"

#define ECHO_STEP   24001u /* of a stream: no multiple of anything */
#define ECHO_WINDOW 32768u /* bytes on their way at a time: less than any buffer between the ends */
#define ECHO_WHOLE  65536u /* the peer's end echoes messages up to this */

/* Owner: the fixture below. */
static struct {
	struct pair *pairs;
	uint8_t *buf; /* what is sent or received, one step at a time */
	size_t size;
	uint32_t seed;
} words;

static void release(void)
{
	struct pair *p;

	/* Connections are the driver's: they end with the device. */
	while ((p = words.pairs)) {
		words.pairs = p->next;
		free(p);
	}
	free(words.buf);
	words.buf = NULL;
	words.size = 0;
}

FIXTURE(pairs, .suite = "", .teardown = release);

static uint8_t *buffer(struct test_ctx *t, size_t n)
{
	if (n <= words.size)
		return words.buf;
	free(words.buf);
	words.size = 0;
	words.buf = malloc(n);
	if (!words.buf)
		test_error(t, "no memory for %u bytes", (unsigned int)n);
	words.size = n;
	return words.buf;
}

/* --- checks ------------------------------------------------------------------------------- */

static const char *name_of(const struct pair *p)
{
	static char text[80];

	snprintf(text, sizeof(text), "guest %llu:%u, host %llu:%u",
		 (unsigned long long)p->local.cid, (unsigned int)p->local.port,
		 (unsigned long long)p->remote.cid, (unsigned int)p->remote.port);
	return text;
}

/* A check of a step, at the test's line. */
#define check(p, cond, fatal, fmt, ...)                                                            \
	({                                                                                         \
		const bool ok_ = (cond);                                                           \
		test_check((p)->t, ok_, (p)->file, (p)->line | (fatal), "%s: " fmt,                \
			   ok_ ? "" : name_of(p), ##__VA_ARGS__);                                  \
	})
#define must(p, cond, ...) check(p, cond, TEST_FATAL, __VA_ARGS__)

/* The peer's answer counts only when the control connection brought it. */
static int answered(struct pair *p, int ret)
{
	if (ctl_lost(p->env->ctl))
		test_error(p->t, "%s: the control connection fails: %s (line %u)", name_of(p),
			   err_text(ret), p->line & ~TEST_FATAL);
	return ret;
}

/* For orders that the peer cannot but carry out. */
static void ordered(struct pair *p, int ret, const char *what)
{
	if (answered(p, ret))
		test_error(p->t, "%s: the peer does not %s: %s (line %u)", name_of(p), what,
			   err_text(ret), p->line & ~TEST_FATAL);
}

/* --- opening and closing --------------------------------------------------------------------- */

static struct pair *pair_new(struct test_ctx *t, const char *file, unsigned int where,
			     struct vsock_env *e, enum vsock_type type)
{
	struct pair *p = calloc(1, sizeof(*p));

	if (!p)
		test_error(t, "no memory for a connection");
	*p = (struct pair){ .t = t, .file = file, .line = where, .env = e, .next = words.pairs };
	p->type = type;
	/* Odd steps apart: neither another connection's pattern nor the next one of this. */
	p->out.seed = words.seed += 2;
	words.pairs = p;
	return p;
}

bool has_type(const struct vsock_env *e, enum vsock_type type)
{
	return type == VSOCK_STREAM || (virtio_has(vsock_device(e->vs), VSOCK_F_SEQPACKET) &&
					ctl_can(e->ctl, CTL_CAP_SEQPACKET));
}

struct pair *pair_newest(void)
{
	return words.pairs;
}

static uint32_t listen_for(struct pair *p, const struct pair_options *o)
{
	uint32_t port = o->beside ? o->beside->remote.port : 0;
	const int ret = answered(p, ctl_listen(p->env->ctl, ASSAY_CID_ANY, &port, p->type,
					       o->service, o->host_buf));

	/* Linux's are; a device that has its own sockets has no such excuse. */
	if (ret == -EADDRINUSE && o->beside && !ctl_can(p->env->ctl, CTL_CAP_DEVICE))
		test_skip(p->t, "the host's sockets take a port for one type only");
	must(p, ret != -EADDRINUSE || !o->beside, "a host port is taken by the other type");
	ordered(p, ret, "listen");
	return port;
}

struct pair *pair_start_(struct test_ctx *t, const char *file, unsigned int where,
			 const struct pair_options *o)
{
	struct vsock_env *e = o->on ? o->on : vsock_env_ctl(t);
	struct pair *p = pair_new(t, file, where, e, o->type ? o->type : VSOCK_STREAM);
	int ret;

	p->local = (struct vsock_addr){ o->local, o->local_port ? o->local_port : VSOCK_PORT_ANY };
	if (o->beside)
		p->local = o->beside->local;
	p->remote.cid = o->remote ? o->remote : VSOCK_CID_HOST;
	p->remote.port = o->at ? o->at : o->port_of ? o->port_of->remote.port : listen_for(p, o);
	vsock_set_buf(e->vs, o->guest_buf);
	ret = vsock_connect_start(e->vs, p->type, p->local, p->remote, &p->conn);
	vsock_set_buf(e->vs, 0);
	if (ret)
		test_error(t, "%s: REQUEST cannot be sent: %s", name_of(p), err_text(ret));
	p->local = vsock_conn_local(p->conn);
	p->in.seed = p->out.seed;
	if (o->at == ASSAY_SOURCE_PORT)
		p->in.seed = ctl_can(e->ctl, CTL_CAP_GUEST_ADDRS) ? p->local.port : 0;
	return p;
}

static const char *request_met(const struct pair *p)
{
	switch (vsock_conn_state(p->conn)) {
	case VSOCK_ESTABLISHED:
		return "RESPONSE";
	case VSOCK_CONNECTING:
		return vsock_error(p->env->vs)[0] ? vsock_error(p->env->vs) : "nothing";
	case VSOCK_REFUSED:
		return "RST";
	default:
		return "RESPONSE, then RST";
	}
}

static bool comes_up(struct pair *p)
{
	pair_waits(p, vsock_conn_state(p->conn) != VSOCK_CONNECTING, 2);
	check(p, vsock_conn_state(p->conn) == VSOCK_ESTABLISHED, p->line & TEST_FATAL,
	      "REQUEST: expected RESPONSE, %s came", request_met(p));
	return vsock_conn_state(p->conn) == VSOCK_ESTABLISHED;
}

void pair_up_(struct pair *p)
{
	p->line |= TEST_FATAL;
	comes_up(p);
}

/* The application's end of what the device accepted for it. */
static bool host_has_it(struct pair *p)
{
	struct ctl_report r;
	const int ret = answered(p, ctl_accept(p->env->ctl, ASSAY_CID_ANY, p->remote.port, p->type,
					       test_ms(), &r));

	check(p, ret == 0, p->line & TEST_FATAL,
	      "the guest has its RESPONSE, the host's application no connection: %s",
	      err_text(ret));
	p->host = r.conn;
	return ret == 0;
}

static struct pair *open_by_host(struct test_ctx *t, const char *file, unsigned int where,
				 const struct pair_options *o)
{
	struct vsock_env *e = o->on ? o->on : vsock_env_ctl(t);
	const struct vsock_addr to = { o->local ? o->local : vsock_config(e->vs)->guest[0],
				       o->local_port ? o->local_port : 7001 };
	struct vsock_listener *l = guest_listens(t, e, to.cid, to.port);
	struct pair *p;
	const int ret = host_connects_(t, file, where, e, to, o->type ? o->type : VSOCK_STREAM, &p);

	check(p, ret == 0, where & TEST_FATAL, "the host's connect: %s", err_text(ret));
	if (ret)
		return NULL;
	p->line = where;
	guest_accepts_(p, l);
	return p;
}

struct pair *pair_open_(struct test_ctx *t, const char *file, unsigned int where,
			const struct pair_options *o)
{
	struct pair *p;

	if (o->host_connects)
		return open_by_host(t, file, where, o);
	p = pair_start_(t, file, where, o);
	if (!comes_up(p))
		return NULL;
	return o->at || host_has_it(p) ? p : NULL;
}

void pair_close_(struct pair *p)
{
	const int ret = vsock_conn_close(p->conn, IO_NS);

	p->conn = NULL;
	must(p, ret == 0, "SHUTDOWN of both directions: expected RST, %s",
	     ret == -ETIMEDOUT ? "nothing came" : err_text(ret));
}

void pair_drop(struct pair *p)
{
	vsock_conn_close(p->conn, 0);
	p->conn = NULL;
}

/* --- the guest's end ------------------------------------------------------------------------- */

void guest_send_(struct pair *p, size_t n)
{
	uint8_t *buf = buffer(p->t, n);
	const uint32_t len = (uint32_t)n;
	const le32 le = cpu_to_le32(len);
	ssize_t sent;

	pattern_fill(buf, n, p->out.seed, p->out.pos);
	sent = vsock_send(p->conn, buf, n, IO_NS);
	must(p, sent == (ssize_t)n, "the guest sends %u bytes after %llu: %s, %d were taken", len,
	     (unsigned long long)p->out.pos, sent < 0 ? err_text((int)sent) : "no credit in time",
	     sent < 0 ? 0 : (int)sent);
	p->out.crc = crc32_update(p->out.crc, buf, n);
	p->out.lens_crc = crc32_update(p->out.lens_crc, &le, sizeof(le));
	p->out.pos += n;
	p->out.messages++;
}

void guest_packet_(struct pair *p, enum vsock_op op, uint32_t flags, uint32_t n)
{
	uint8_t *buf = buffer(p->t, n + 1);
	int ret;

	pattern_fill(buf, n, p->out.seed, p->out.pos);
	/* The queue has room again once the device has used what lies in it. */
	wait_for((ret = vsock_conn_packet(p->conn, op, flags, buf, n)) != -ENOSPC ||
			 (vsock_poll(p->env->vs), false),
		 2 * test_sec());
	require(p->t, ret != -ENOSPC, "%s: the device takes no packet", name_of(p));
	if (ret)
		test_error(p->t, "%s: a packet cannot be sent: %s", name_of(p), err_text(ret));
	if (op != VSOCK_OP_RW)
		return;
	p->out.crc = crc32_update(p->out.crc, buf, n);
	p->out.pos += n;
	p->out.part += n;
	if (flags & VSOCK_SEQ_EOM) {
		const le32 le = cpu_to_le32(p->out.part);

		p->out.lens_crc = crc32_update(p->out.lens_crc, &le, sizeof(le));
		p->out.messages++;
		p->out.part = 0;
	}
}

#define ASK_NS (20 * MSEC)

bool all_returned(struct pair *p)
{
	const deadline_t end = deadline_in(2 * test_sec());

	do {
		vsock_credit_request(p->conn);
		wait_for((vsock_poll(p->env->vs), credit_of(p).peer_fwd_cnt == credit_of(p).tx_cnt),
			 ASK_NS);
	} while (credit_of(p).peer_fwd_cnt != credit_of(p).tx_cnt && !deadline_passed(end));
	return credit_of(p).peer_fwd_cnt == credit_of(p).tx_cnt;
}

static void check_pattern(struct pair *p, const uint8_t *buf, size_t n)
{
	const int64_t at = pattern_check(buf, n, p->in.seed, p->in.pos);
	const unsigned int off = at < 0 ? 0 : (unsigned int)(at - (int64_t)p->in.pos);

	must(p, at < 0, "byte %lld from the host: expected 0x%02x, seen 0x%02x", (long long)at,
	     assay_pattern(p->in.seed, (uint64_t)at), buf[off]);
	p->in.pos += n;
	p->in.total += n;
}

/* Some bytes of a stream, at most n: how many. */
static size_t receive_some(struct pair *p, size_t n)
{
	const size_t size = n < VSOCK_RX_PAYLOAD ? n : VSOCK_RX_PAYLOAD;
	uint8_t *buf = buffer(p->t, size);
	const ssize_t got = vsock_recv(p->conn, buf, size, IO_NS);

	must(p, got > 0, "%u more bytes are due from the host after %llu: %s", (unsigned int)n,
	     (unsigned long long)p->in.total,
	     got == 0	       ? "end of data" :
	     got == -ETIMEDOUT ? "nothing came" :
				 err_text((int)got));
	check_pattern(p, buf, (size_t)got);
	return (size_t)got;
}

static void receive_message(struct pair *p, size_t n)
{
	uint8_t *buf = buffer(p->t, n + 1);
	size_t len = 0;
	bool eor = false;
	const ssize_t got = vsock_recv_msg(p->conn, buf, n + 1, IO_NS, &len, &eor);

	must(p, got >= 0, "a message of %u bytes is due from the host: %s", (unsigned int)n,
	     got == -ETIMEDOUT ? "no end of one came" : err_text((int)got));
	must(p, !eor,
	     "a message from the host ends a record (EOR), which its application did not ask for");
	must(p, len == n, "a message from the host: expected %u bytes, %u came", (unsigned int)n,
	     (unsigned int)len);
	check_pattern(p, buf, n);
}

void guest_expects_(struct pair *p, size_t n)
{
	if (p->type == VSOCK_SEQPACKET) {
		receive_message(p, n);
		return;
	}
	while (n)
		n -= receive_some(p, n);
}

void echo_(struct pair *p, size_t n)
{
	size_t sent = 0, got = 0;

	if (p->type == VSOCK_SEQPACKET) {
		guest_send_(p, n);
		receive_message(p, n);
		return;
	}
	while (got < n) {
		if (sent < n && sent - got < ECHO_WINDOW) {
			const size_t k = n - sent < ECHO_STEP ? n - sent : ECHO_STEP;

			guest_send_(p, k);
			sent += k;
		} else {
			got += receive_some(p, n - got);
		}
	}
}

#define EACH(p) for (p = pair_newest(); p; p = p->next)

void pairs_echo_(const char *file, unsigned int line)
{
	struct pair *p;

	EACH(p)
		pair_up_(pair_step(p, file, line));
	EACH(p)
		guest_send_(pair_step(p, file, line), 16);
	EACH(p)
		guest_expects_(pair_step(p, file, line), 16);
	EACH(p)
		pair_drop(p);
}

void guest_waits_silently_(struct pair *p, size_t n)
{
	size_t before;

	vsock_hold_tx(p->env->vs, true);
	do
		before = vsock_readable(p->conn);
	while (before < n && pair_waits(p, vsock_readable(p->conn) != before, 1));
	vsock_hold_tx(p->env->vs, false);
	must(p, before == n,
	     "the guest sends nothing, and has told of room: expected %u bytes, %u came",
	     (unsigned int)n, (unsigned int)before);
}

void guest_expects_end_(struct pair *p)
{
	uint8_t b;
	const ssize_t n = vsock_recv(p->conn, &b, 1, IO_NS);
	const unsigned int shut = vsock_peer_shutdown(p->conn);

	must(p, n == 0, "the host's end of data: expected SHUTDOWN, %s came",
	     n > 0	     ? "more data" :
	     n == -ETIMEDOUT ? "nothing" :
			       "RST");
	must(p, shut == VSOCK_SHUTDOWN_SEND,
	     "the host's end of data: expected SHUTDOWN of sending (2), its flags are %u", shut);
}

void guest_expects_reset_(struct pair *p)
{
	pair_waits(p, vsock_conn_state(p->conn) > VSOCK_CLOSING, 1);
	must(p, vsock_conn_state(p->conn) == VSOCK_RESET,
	     "the host's application resets: expected RST, %s",
	     vsock_conn_state(p->conn) > VSOCK_CLOSING ? "an orderly end came" : "nothing came");
}

void guest_shuts_(struct pair *p, unsigned int how)
{
	const int ret = vsock_shutdown(p->conn, how);

	must(p, ret == 0, "SHUTDOWN cannot be sent: %s, the connection has ended", err_text(ret));
}

void nothing_comes_(struct pair *p)
{
	struct vsock_credit k;

	/* The barrier's answer goes the same way, behind all that was sent before. */
	ordered(p, ctl_barrier(p->env->ctl), "answer a barrier");
	k = credit_of(p);
	must(p, k.rx_cnt == (uint32_t)p->in.total, "expected nothing from the host, %u bytes came",
	     (unsigned int)(k.rx_cnt - (uint32_t)p->in.total));
}

void rx_is_full(struct pair *p)
{
	struct virtqueue *rx = vsock_device(p->env->vs)->vq[0];
	unsigned int left;

	vsock_hold_rx(p->env->vs, true);
	while ((left = vq_in_flight(rx))) {
		vsock_credit_request(p->conn);
		if (!pair_waits(p, vq_in_flight(rx) < left, 1))
			test_error(p->t,
				   "%s: the receive queue cannot be filled: %u buffers are left",
				   name_of(p), left);
	}
}

void rx_has_room(struct pair *p)
{
	vsock_hold_rx(p->env->vs, false);
}

struct vsock_credit credit_of(const struct pair *p)
{
	struct vsock_credit k;

	vsock_conn_credit(p->conn, &k);
	return k;
}

/* --- the host's end -------------------------------------------------------------------------- */

int host_tries_to_send_(struct pair *p, size_t n)
{
	struct ctl_report r;

	p->in.seed = ++words.seed;
	words.seed++;
	p->in.pos = 0;
	return answered(p, ctl_send(p->env->ctl, p->host, p->in.seed, n, 0, true, &r));
}

void host_send_(struct pair *p, unsigned int count, size_t n)
{
	const uint32_t message = p->type == VSOCK_SEQPACKET ? (uint32_t)n : 0;
	struct ctl_report r;
	int ret;

	p->in.seed = ++words.seed;
	words.seed++;
	p->in.pos = 0;
	ret = answered(p, ctl_send(p->env->ctl, p->host, p->in.seed, (uint64_t)count * n, message,
				   true, &r));
	must(p, ret == 0, "the host's application cannot send: %s", err_text(ret));
}

void host_expects_(struct pair *p)
{
	const bool messages = p->type == VSOCK_SEQPACKET;
	struct ctl_report r;
	const int ret = answered(
		p, ctl_wait(p->env->ctl, p->host, messages ? CTL_WAIT_RX_MSGS : CTL_WAIT_RX,
			    messages ? p->out.messages : p->out.pos, 2 * test_ms(), &r));

	must(p, r.rx_bytes == p->out.pos, "the guest sent %llu bytes, the host got %llu: %s",
	     (unsigned long long)p->out.pos, (unsigned long long)r.rx_bytes, err_text(ret));
	must(p, r.rx_crc == p->out.crc,
	     "CRC-32 of %llu bytes to the host: expected 0x%08x, seen 0x%08x",
	     (unsigned long long)p->out.pos, (unsigned int)p->out.crc, (unsigned int)r.rx_crc);
	if (!messages)
		return;
	must(p, r.rx_msgs == p->out.messages, "the guest sent %llu messages, the host got %llu",
	     (unsigned long long)p->out.messages, (unsigned long long)r.rx_msgs);
	must(p, r.rx_msgs_crc == p->out.lens_crc,
	     "CRC-32 of the messages' lengths: expected 0x%08x, seen 0x%08x",
	     (unsigned int)p->out.lens_crc, (unsigned int)r.rx_msgs_crc);
}

void host_expects_flag_(struct pair *p, uint32_t flag, const char *what)
{
	struct ctl_report r;
	const int ret = answered(p, ctl_wait(p->env->ctl, p->host, CTL_WAIT_FLAGS, flag, test_ms(),
					     &r));

	must(p, ret == 0, "the host's application does not see %s: %s, flags 0x%x", what,
	     err_text(ret), (unsigned int)r.flags);
}

void host_does_(struct pair *p, enum ctl_op op, uint32_t arg)
{
	const int ret = answered(p, ctl_conn(p->env->ctl, op, p->host, arg, NULL));

	must(p, ret == 0, "the host's end is gone: %s", err_text(ret));
}

struct ctl_report host_report(struct pair *p)
{
	struct ctl_report r;

	ordered(p, ctl_conn(p->env->ctl, CTL_REPORT, p->host, 0, &r), "report");
	return r;
}

/* --- connections that the host makes -------------------------------------------------------- */

struct vsock_listener *guest_listens(struct test_ctx *t, struct vsock_env *e, uint64_t cid,
				     uint32_t port)
{
	struct vsock_listener *l;
	const int ret = vsock_listen(e->vs, VSOCK_STREAM, (struct vsock_addr){ cid, port }, 4, &l);

	if (ret)
		test_error(t, "the guest cannot listen on port %u: %s", (unsigned int)port,
			   err_text(ret));
	return l;
}

int host_connects_(struct test_ctx *t, const char *file, unsigned int line, struct vsock_env *e,
		   struct vsock_addr to, enum vsock_type type, struct pair **out)
{
	struct pair *p = pair_new(t, file, line, e, type);
	struct ctl_report r;
	int ret;

	p->local = to;
	p->remote.cid = VSOCK_CID_HOST;
	ret = answered(p,
		       ctl_connect(e->ctl, ASSAY_CID_ANY, to, type, CTL_SVC_NONE, test_ms(), &r));
	p->host = r.conn;
	*out = p;
	return ret;
}

void guest_accepts_(struct pair *p, struct vsock_listener *l)
{
	const int ret = vsock_accept(l, IO_NS, &p->conn);

	must(p, ret == 0, "the host's application is connected, the guest has no connection: %s",
	     err_text(ret));
	must(p, vsock_conn_local(p->conn).cid == p->local.cid, "the connection came in on CID %llu",
	     (unsigned long long)vsock_conn_local(p->conn).cid);
	must(p, vsock_conn_remote(p->conn).cid == VSOCK_CID_HOST,
	     "the host's source CID: expected 2, seen %llu",
	     (unsigned long long)vsock_conn_remote(p->conn).cid);
	p->remote = vsock_conn_remote(p->conn);
}

uint32_t host_listens(struct test_ctx *t, struct vsock_env *e)
{
	uint32_t port = 0;

	CTL_OK(t, ctl_listen(e->ctl, ASSAY_CID_ANY, &port, VSOCK_STREAM, CTL_SVC_NONE, 0));
	return port;
}

bool host_accepted(struct test_ctx *t, struct vsock_env *e, uint32_t port, uint32_t ms)
{
	const int ret = ctl_accept(e->ctl, ASSAY_CID_ANY, port, VSOCK_STREAM, ms, NULL);

	if (ret && (ret != -ETIMEDOUT || ctl_lost(e->ctl)))
		CTL_OK(t, ret);
	return ret == 0;
}

/* --- edges ----------------------------------------------------------------------------------- */

/*
 * 0 bytes: Linux's sockets neither send nor show a message of none, so only a peer inside of the
 * device takes it.
 */
bool pair_edge(const struct pair *p, size_t *next, size_t *len)
{
	const struct vsock_credit k = credit_of(p);
	const bool messages = p->type == VSOCK_SEQPACKET;
	size_t max = EDGE_MAX;

	if (messages)
		max = k.peer_buf_alloc < ECHO_WHOLE ? k.peer_buf_alloc : ECHO_WHOLE;
	while (*next < COUNT_OF(edge_sizes)) {
		*len = edge_sizes[(*next)++];
		if (*len <= max && (*len || (messages && ctl_can(p->env->ctl, CTL_CAP_DEVICE))))
			return true;
	}
	return false;
}
