/* SPDX-License-Identifier: BSD-2-Clause */
/* The control protocol (proto.h): requests in, replies out, waits in between. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "host/peer/internal.h"

#ifndef ASSAY_VERSION
#define ASSAY_VERSION "unknown"
#endif

#define MAX_OUT (1u << 20)

static uint32_t message_crc(struct ctl_header h, const void *payload, size_t len)
{
	uLong crc;

	h.crc = 0;
	crc = crc32(0, (const Bytef *)&h, sizeof(h));
	return (uint32_t)(len ? crc32(crc, payload, (uInt)len) : crc);
}

/* --- replies -------------------------------------------------------------------------------- */

static void flush_out(struct peer_conn *c)
{
	ssize_t n;

	while (c->t && c->out_off < c->out_used) {
		n = c->p->cfg.ops->send(c->t, c->out + c->out_off, c->out_used - c->out_off, false);
		if (n <= 0)
			return;
		c->out_off += (size_t)n;
	}
	c->out_used = 0;
	c->out_off = 0;
}

/* Replies that the guest does not read are kept up to MAX_OUT; beyond that it is not a partner any more. */
static void put_out(struct peer_conn *c, const void *p, size_t n)
{
	if (c->out_used + n > c->out_size) {
		const size_t size = (c->out_used + n) * 2;
		uint8_t *more = size <= MAX_OUT ? realloc(c->out, size) : NULL;

		if (!more) {
			c->broken = true;
			return;
		}
		c->out = more;
		c->out_size = size;
	}
	memcpy(c->out + c->out_used, p, n);
	c->out_used += n;
}

static void reply(struct peer_conn *c, const struct ctl_header *req, int status,
		  const void *payload, size_t len)
{
	struct ctl_header h = *req;

	h.magic = htole32(ASSAY_CTL_MAGIC);
	h.version = htole16(ASSAY_CTL_VERSION);
	h.len = htole32((uint32_t)len);
	h.status = (int32_t)htole32((uint32_t)status);
	h.crc = htole32(message_crc(h, payload, len));
	if (c->broken)
		return;
	put_out(c, &h, sizeof(h));
	if (len && !c->broken)
		put_out(c, payload, len);
	if (!c->broken)
		flush_out(c);
}

static void reply_report(struct peer_conn *c, const struct ctl_header *req, int status,
			 struct peer_conn *about)
{
	struct ctl_report r;

	if (!about) {
		reply(c, req, status, NULL, 0);
		return;
	}
	peer_conn_report(about, &r);
	reply(c, req, status, &r, sizeof(r));
}

/* --- waits ------------------------------------------------------------------------------------ */

static struct wait *wait_new(struct peer_conn *c, const struct ctl_header *req, uint32_t ms)
{
	struct wait *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->control = c;
	w->req = *req;
	w->deadline = peer_now_ns() + (int64_t)ms * 1000000;
	w->next = c->p->waits;
	c->p->waits = w;
	c->p->check_waits = true;
	return w;
}

static struct peer_conn *next_accepted(struct peer *p, const struct wait *w)
{
	struct peer_conn *c;

	for (c = p->conns; c; c = c->next)
		if (c->unreported && c->host.port == w->port && c->type == w->type &&
		    (w->cid == ASSAY_CID_ANY || c->host.cid == w->cid))
			return c;
	return NULL;
}

/* 1: holds now; 0: not yet; negative: never will. */
static int condition(const struct wait *w, const struct peer_conn *c)
{
	bool met = false;

	switch (w->what) {
	case CTL_WAIT_RX:
		met = c->rx_bytes >= w->value;
		break;
	case CTL_WAIT_RX_MSGS:
		met = c->rx_msgs >= w->value;
		break;
	case CTL_WAIT_FLAGS:
		met = (c->flags & w->value) == w->value;
		break;
	case CTL_WAIT_TX:
		met = c->tx_bytes >= w->value;
		break;
	default:
		return -EINVAL;
	}
	if (met)
		return 1;
	return c->t ? 0 : -ECONNRESET;
}

/* Whether w is answered (and may be freed). */
static bool try_wait(struct peer *p, struct wait *w)
{
	const uint16_t op = le16toh(w->req.op);
	struct peer_conn *c;
	int ret;

	if (op == CTL_ACCEPT) {
		c = next_accepted(p, w);
		if (!c)
			return false;
		c->unreported = false;
		reply_report(w->control, &w->req, 0, c);
		return true;
	}
	c = peer_conn_by_id(p, w->conn);
	if (!c) {
		reply(w->control, &w->req, -ENOENT, NULL, 0);
		return true;
	}
	if (op == CTL_CONNECT)
		ret = c->flags & CTL_CONN_CONNECTED ? 1 : c->t ? 0 : c->err ? c->err : -ECONNRESET;
	else if (op == CTL_SEND)
		ret = c->send_left == 0 ? 1 : c->t ? 0 : -EPIPE;
	else
		ret = condition(w, c);
	if (ret == 0)
		return false;
	reply_report(w->control, &w->req, ret > 0 ? 0 : ret, c);
	return true;
}

static void time_out(struct peer *p, const struct wait *w)
{
	struct peer_conn *c = w->conn ? peer_conn_by_id(p, w->conn) : NULL;

	reply_report(w->control, &w->req, -ETIMEDOUT, c);
	if (c && le16toh(w->req.op) == CTL_CONNECT)
		peer_conn_abandon(c);
}

void peer_check_waits(struct peer *p)
{
	const int64_t now = peer_now_ns();
	struct wait **at = &p->waits, *w;

	p->check_waits = false;
	while ((w = *at)) {
		if (!try_wait(p, w)) {
			if (w->deadline > now) {
				at = &w->next;
				continue;
			}
			time_out(p, w);
		}
		*at = w->next;
		free(w);
	}
}

void peer_control_gone(struct peer *p, struct peer_conn *c)
{
	struct wait **at = &p->waits, *w;

	while ((w = *at)) {
		if (w->control != c) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		free(w);
	}
}

/* --- operations --------------------------------------------------------------------------------- */

static void op_hello(struct peer_conn *c, const struct ctl_header *req)
{
	const struct peer_transport_ops *ops = c->p->cfg.ops;
	struct ctl_hello_reply r = {
		.version = htole32(ASSAY_CTL_VERSION),
		.caps = htole32(ops->caps | CTL_CAP_TIME),
		.max_conns = htole32(4096),
	};

	snprintf(r.name, sizeof(r.name), "assay %.20s %.16s", ASSAY_VERSION, ops->name);
	peer_conn_snapshot(c);
	r.default_buf = c->r.host_buf_alloc;
	r.control_guest.cid = htole64(c->guest.cid);
	r.control_guest.port = htole32(c->guest.port);
	reply(c, req, 0, &r, sizeof(r));
}

static void op_time(struct peer_conn *c, const struct ctl_header *req)
{
	const struct ctl_time now = { htole64((uint64_t)time(NULL)) };

	reply(c, req, 0, &now, sizeof(now));
}

static void op_listen(struct peer_conn *c, const struct ctl_header *req, struct ctl_listen *a)
{
	const struct listener l = {
		.cid = le64toh(a->cid),
		.port = le32toh(a->port),
		.type = le16toh(a->type),
		.service = le16toh(a->service),
		.buf = le32toh(a->buf),
		.dynamic = true,
	};
	uint32_t port = 0;
	int ret = -EINVAL;

	if (l.service <= CTL_SVC_SOURCE && (l.type == 1 || l.type == 2))
		ret = peer_listen(c->p, &l, &port);
	a->port = htole32(port);
	reply(c, req, ret, a, sizeof(*a));
}

static void op_connect(struct peer_conn *c, const struct ctl_header *req,
		       const struct ctl_connect *a)
{
	struct ctl_addr local = { le64toh(a->local.cid), le32toh(a->local.port), 0 };
	const struct ctl_addr remote = { le64toh(a->remote.cid), le32toh(a->remote.port), 0 };
	struct peer_conn *n;
	struct wait *w;
	int ret;

	/* Orders come from a guest, and this program can reach others that it cannot. */
	if (!peer_serves(c->p, remote.cid)) {
		reply(c, req, -EACCES, NULL, 0);
		return;
	}
	n = peer_conn_new(c->p);
	if (!n) {
		reply(c, req, -ENOMEM, NULL, 0);
		return;
	}
	if (local.cid == ASSAY_CID_ANY)
		local.cid = ASSAY_CID_HOST;
	if (local.port == 0)
		local.port = c->p->next_port++;
	n->host = local;
	n->guest = remote;
	n->type = le16toh(a->type);
	ret = peer_service_start(n, le16toh(a->service));
	if (!ret)
		ret = c->p->cfg.ops->connect(c->p->cfg.be, local, remote, n->type, le32toh(a->buf),
					     n, &n->t);
	w = ret ? NULL : wait_new(c, req, le32toh(a->timeout_ms));
	if (w) {
		w->conn = n->id;
		return;
	}
	peer_conn_free(n);
	reply(c, req, ret ? ret : -ENOMEM, NULL, 0);
}

static void op_accept(struct peer_conn *c, const struct ctl_header *req, const struct ctl_listen *a)
{
	struct wait *w = wait_new(c, req, le32toh(a->timeout_ms));

	if (!w) {
		reply(c, req, -ENOMEM, NULL, 0);
		return;
	}
	w->port = le32toh(a->port);
	w->cid = le64toh(a->cid);
	w->type = le16toh(a->type);
}

static bool addr_matches(const struct ctl_addr *want, const struct ctl_addr *have)
{
	return (le64toh(want->cid) == ASSAY_CID_ANY || le64toh(want->cid) == have->cid) &&
	       (want->port == 0 || le32toh(want->port) == have->port);
}

static void op_find(struct peer_conn *c, const struct ctl_header *req, const struct ctl_find *a)
{
	struct peer_conn *k;

	/* The newest: ports are used again. */
	for (k = c->p->conns_last; k; k = k->prev)
		if (k->role == ROLE_DATA && k->type == le16toh(a->type) &&
		    addr_matches(&a->host, &k->host) && addr_matches(&a->guest, &k->guest))
			break;
	reply_report(c, req, k ? 0 : -ENOENT, k);
}

static void op_send(struct peer_conn *c, const struct ctl_header *req, const struct ctl_send *a)
{
	struct peer_conn *k = peer_conn_by_id(c->p, le32toh(a->conn));
	struct wait *w;

	if (!k || !k->t || (k->flags & CTL_CONN_HOST_SHUT_SEND)) {
		reply_report(c, req, k ? -EPIPE : -ENOENT, k);
		return;
	}
	k->seed = le32toh(a->seed);
	k->send_pos = 0;
	k->send_left = le64toh(a->bytes);
	k->msg_size = le32toh(a->msg);
	k->msg_sent = 0;
	if (!a->async) {
		w = wait_new(c, req, le32toh(a->timeout_ms));
		if (w)
			w->conn = k->id;
	}
	if (a->async)
		reply_report(c, req, 0, k);
	peer_conn_run(k);
}

static void op_wait(struct peer_conn *c, const struct ctl_header *req, const struct ctl_wait *a)
{
	struct wait *w;

	if (!peer_conn_by_id(c->p, le32toh(a->conn))) {
		reply(c, req, -ENOENT, NULL, 0);
		return;
	}
	w = wait_new(c, req, le32toh(a->timeout_ms));
	if (!w) {
		reply(c, req, -ENOMEM, NULL, 0);
		return;
	}
	w->conn = le32toh(a->conn);
	w->what = le32toh(a->what);
	w->value = le64toh(a->value);
}

static int conn_op(struct peer_conn *k, uint16_t op, uint32_t arg)
{
	const struct peer_transport_ops *ops = k->p->cfg.ops;

	if (op == CTL_REPORT)
		return 0;
	if (!k->t)
		return -ENOTCONN;
	switch (op) {
	case CTL_PAUSE:
		k->flags = arg == 1 ? k->flags | CTL_CONN_PAUSED :
				      k->flags & ~(uint32_t)CTL_CONN_PAUSED;
		k->read_left = arg > 1 ? arg : 0;
		if (arg != 1)
			peer_conn_run(k);
		return 0;
	case CTL_SHUTDOWN:
		if (arg < 1 || arg > 3)
			return -EINVAL;
		k->flags |= (arg & 1 ? CTL_CONN_HOST_SHUT_RCV : 0) |
			    (arg & 2 ? CTL_CONN_HOST_SHUT_SEND : 0);
		ops->shutdown(k->t, arg);
		return 0;
	case CTL_RESET:
		ops->reset(k->t);
		peer_conn_end(k, 0);
		return 0;
	case CTL_ADVANCE:
		return ops->advance ? ops->advance(k->t, arg) : -EOPNOTSUPP;
	default:
		return ops->set_buf ? ops->set_buf(k->t, arg) : -EOPNOTSUPP;
	}
}

static void op_conn(struct peer_conn *c, const struct ctl_header *req, const struct ctl_conn_arg *a)
{
	const uint16_t op = le16toh(req->op);
	struct peer_conn *k = peer_conn_by_id(c->p, le32toh(a->conn));
	int ret;

	if (!k) {
		reply(c, req, -ENOENT, NULL, 0);
		return;
	}
	if (op == CTL_FORGET) {
		peer_conn_free(k);
		reply(c, req, 0, NULL, 0);
		return;
	}
	ret = conn_op(k, op, le32toh(a->arg));
	reply_report(c, req, ret, k);
}

/* One peer may serve several devices of a guest (AF_VSOCK): each has a control connection of its own. */
static bool of_another_device(const struct peer_conn *c, const struct peer_conn *k)
{
	const struct peer_conn *x;

	for (x = c->p->conns; x; x = x->next)
		if (x->role == ROLE_CONTROL && x->guest.cid == k->guest.cid &&
		    x->guest.cid != c->guest.cid)
			return true;
	return false;
}

static void op_forget_all(struct peer_conn *c, const struct ctl_header *req)
{
	struct peer_conn *k, *next;

	for (k = c->p->conns; k; k = next) {
		next = k->next;
		if (k->role == ROLE_DATA && !of_another_device(c, k))
			peer_conn_free(k);
	}
	peer_unlisten_dynamic(c->p);
	reply(c, req, 0, NULL, 0);
}

static void op_device(struct peer_conn *c, const struct ctl_header *req, const void *a, size_t len)
{
	const struct peer_config *cfg = &c->p->cfg;
	uint8_t out[ASSAY_CTL_MAX];
	size_t n = 0;
	int ret = -EOPNOTSUPP;

	if (cfg->ops->device_op)
		ret = cfg->ops->device_op(cfg->be, le16toh(req->op), a, len, out, &n);
	/* What an operation that failed did not fill in is nobody's. */
	reply(c, req, ret, out, !ret && n <= sizeof(out) ? n : 0);
}

static size_t arg_size(uint16_t op)
{
	switch (op) {
	case CTL_HELLO:
		return sizeof(struct ctl_hello);
	case CTL_LISTEN:
	case CTL_UNLISTEN:
	case CTL_ACCEPT:
		return sizeof(struct ctl_listen);
	case CTL_CONNECT:
		return sizeof(struct ctl_connect);
	case CTL_FIND:
		return sizeof(struct ctl_find);
	case CTL_SEND:
		return sizeof(struct ctl_send);
	case CTL_WAIT:
		return sizeof(struct ctl_wait);
	case CTL_PAUSE:
	case CTL_SHUTDOWN:
	case CTL_RESET:
	case CTL_REPORT:
	case CTL_SET_BUF:
	case CTL_FORGET:
	case CTL_ADVANCE:
		return sizeof(struct ctl_conn_arg);
	default:
		return 0;
	}
}

static void handle(struct peer_conn *c, const struct ctl_header *req, void *a, size_t len)
{
	const uint16_t op = le16toh(req->op);

	if (len < arg_size(op)) {
		reply(c, req, -EINVAL, NULL, 0);
		return;
	}
	switch (op) {
	case CTL_HELLO:
		op_hello(c, req);
		break;
	case CTL_LISTEN:
		op_listen(c, req, a);
		break;
	case CTL_UNLISTEN: {
		const struct ctl_listen *l = a;

		reply(c, req,
		      peer_unlisten(c->p, le64toh(l->cid), le32toh(l->port), le16toh(l->type)),
		      NULL, 0);
		break;
	}
	case CTL_CONNECT:
		op_connect(c, req, a);
		break;
	case CTL_ACCEPT:
		op_accept(c, req, a);
		break;
	case CTL_FIND:
		op_find(c, req, a);
		break;
	case CTL_SEND:
		op_send(c, req, a);
		break;
	case CTL_WAIT:
		op_wait(c, req, a);
		break;
	case CTL_PAUSE:
	case CTL_SHUTDOWN:
	case CTL_RESET:
	case CTL_REPORT:
	case CTL_SET_BUF:
	case CTL_FORGET:
	case CTL_ADVANCE:
		op_conn(c, req, a);
		break;
	case CTL_BARRIER:
		reply(c, req, 0, NULL, 0);
		break;
	case CTL_FORGET_ALL:
		op_forget_all(c, req);
		break;
	case CTL_TIME:
		op_time(c, req);
		break;
	default:
		if (op >= CTL_DEV_INFO)
			op_device(c, req, a, len);
		else
			reply(c, req, -EOPNOTSUPP, NULL, 0);
		break;
	}
	if (c->p->cfg.verbose)
		peer_log(c->p, "control: op %u seq %u", op, le32toh(req->seq));
}

/* One whole request at the start of the buffer: handled and removed. false: more bytes are needed, or
 * the connection is not to be trusted any more (*bad). */
static bool take_request(struct peer_conn *c, bool *bad)
{
	struct ctl_header h;
	uint8_t payload[ASSAY_CTL_MAX];
	size_t len;

	if (c->buf_used < sizeof(h))
		return false;
	memcpy(&h, c->buf, sizeof(h));
	len = le32toh(h.len);
	if (le32toh(h.magic) != ASSAY_CTL_MAGIC || len > ASSAY_CTL_MAX) {
		*bad = true;
		return false;
	}
	if (c->buf_used < sizeof(h) + len)
		return false;
	memcpy(payload, c->buf + sizeof(h), len);
	memmove(c->buf, c->buf + sizeof(h) + len, c->buf_used - sizeof(h) - len);
	c->buf_used -= (uint32_t)(sizeof(h) + len);
	if (le32toh(h.crc) != message_crc(h, payload, len)) {
		*bad = true;
		return false;
	}
	if (le16toh(h.version) != ASSAY_CTL_VERSION) {
		reply(c, &h, -EPROTONOSUPPORT, NULL, 0);
		return true;
	}
	handle(c, &h, payload, len);
	return true;
}

bool peer_control_run(struct peer_conn *c)
{
	struct peer *p = c->p;
	bool eom, bad = false;
	ssize_t n = -EAGAIN;

	flush_out(c);
	while (!bad && !c->broken) {
		n = c->p->cfg.ops->recv(c->t, c->buf + c->buf_used, CONTROL_BUF - c->buf_used,
					&eom);
		if (n <= 0)
			break;
		c->buf_used += (uint32_t)n;
		while (take_request(c, &bad))
			;
	}
	peer_check_waits(p);
	if (!bad && !c->broken && n == -EAGAIN)
		return true;
	if (bad || c->broken) {
		peer_log(p, "control connection closed: %s",
			 bad ? "bad magic, length or checksum" : "replies are not read");
		p->cfg.ops->reset(c->t);
	}
	peer_conn_free(c);
	return false;
}
