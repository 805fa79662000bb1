/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/peer/peer.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "host/peer/internal.h"

#define ECHO_BUF   65536u
#define IO_BUF	   65536u
#define SHARE	   (1u << 20) /* bytes of one connection before the others have their turn */
#define MAX_CONNS  4096
#define MAX_ENDED  1024 /* records kept after the end, for FIND and REPORT */
#define FIRST_PORT 20000u

int64_t peer_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void peer_log(const struct peer *p, const char *fmt, ...)
{
	va_list ap;

	if (!p->cfg.log)
		return;
	fprintf(p->cfg.log, "peer: ");
	va_start(ap, fmt);
	vfprintf(p->cfg.log, fmt, ap);
	va_end(ap);
	fputc('\n', p->cfg.log);
	fflush(p->cfg.log);
}

/* --- records ------------------------------------------------------------------------------- */

static void forget_oldest_ended(struct peer *p)
{
	struct peer_conn *c, *next;

	for (c = p->conns; c && p->ended > MAX_ENDED; c = next) {
		next = c->next;
		if (!c->t && c->role != ROLE_CONTROL)
			peer_conn_free(c);
	}
}

static struct peer_conn *conn_new(struct peer *p, enum role role)
{
	struct peer_conn *c;

	forget_oldest_ended(p);
	if (p->count >= MAX_CONNS + MAX_ENDED)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->p = p;
	c->role = role;
	c->id = ++p->last_id;
	c->r.rx_crc = 0;
	c->prev = p->conns_last;
	if (p->conns_last)
		p->conns_last->next = c;
	else
		p->conns = c;
	p->conns_last = c;
	p->count++;
	return c;
}

struct peer_conn *peer_conn_new(struct peer *p)
{
	return conn_new(p, ROLE_DATA);
}

void peer_conn_free(struct peer_conn *c)
{
	struct peer *p = c->p;

	if (c->t)
		p->cfg.ops->close(c->t);
	else
		p->ended -= c->counted_ended;
	peer_control_gone(p, c);
	if (c == p->conns)
		p->conns = c->next;
	else
		c->prev->next = c->next;
	if (c->next)
		c->next->prev = c->prev;
	else
		p->conns_last = c->prev;
	p->count--;
	free(c->buf);
	free(c->out);
	free(c);
}

static void free_conns(struct peer *p)
{
	struct peer_conn *c, *next;

	for (c = p->conns; c; c = next) {
		next = c->next;
		peer_conn_free(c);
	}
	p->conns = p->conns_last = NULL;
}

struct peer_conn *peer_conn_by_id(struct peer *p, uint32_t id)
{
	struct peer_conn *c;

	for (c = p->conns; c; c = c->next)
		if (c->id == id && c->role != ROLE_CONTROL)
			return c;
	return NULL;
}

static void end(struct peer_conn *c, uint32_t flags)
{
	struct peer *p = c->p;

	if (!c->t)
		return;
	peer_conn_snapshot(c);
	p->cfg.ops->close(c->t);
	c->t = NULL;
	c->flags |= flags | CTL_CONN_CLOSED;
	c->flags &= ~(uint32_t)CTL_CONN_CONNECTED;
	c->counted_ended = 1;
	p->ended++;
	p->check_waits = true;
}

/* The transport's part is gone; the record stays for reports. */
void peer_conn_end(struct peer_conn *c, uint32_t flags)
{
	end(c, flags);
	peer_check_waits(c->p);
}

void peer_conn_abandon(struct peer_conn *c)
{
	end(c, 0);
}

/* Addresses and credit from the transport, while it is there. */
void peer_conn_snapshot(struct peer_conn *c)
{
	if (c->t)
		c->p->cfg.ops->report(c->t, &c->r);
}

void peer_conn_report(struct peer_conn *c, struct ctl_report *out)
{
	peer_conn_snapshot(c);
	*out = c->r;
	out->conn = htole32(c->id);
	out->flags = htole32(c->flags) | c->r.flags; /* the transport's are in order already */
	out->host.cid = htole64(c->host.cid);
	out->host.port = htole32(c->host.port);
	out->guest.cid = htole64(c->guest.cid);
	out->guest.port = htole32(c->guest.port);
	out->type = htole16(c->type);
	out->service = htole16(c->service);
	out->rx_crc = htole32(c->rx_crc);
	out->tx_crc = htole32(c->tx_crc);
	out->rx_msgs_crc = htole32(c->rx_msgs_crc);
	out->rx_bytes = htole64(c->rx_bytes);
	out->rx_msgs = htole64(c->rx_msgs);
	out->last_msg = htole64(c->last_msg);
	out->tx_bytes = htole64(c->tx_bytes);
}

/* --- data ------------------------------------------------------------------------------------ */

static void count_rx(struct peer_conn *c, const uint8_t *buf, size_t n, bool eom)
{
	uint32_t len;

	c->rx_crc = (uint32_t)crc32(c->rx_crc, buf, (uInt)n);
	c->rx_bytes += n;
	c->msg += n;
	if (!eom)
		return;
	c->rx_msgs++;
	c->last_msg = c->msg;
	len = htole32((uint32_t)c->msg);
	c->rx_msgs_crc = (uint32_t)crc32(c->rx_msgs_crc, (const Bytef *)&len, sizeof(len));
	c->msg = 0;
}

static ssize_t conn_send(struct peer_conn *c, const uint8_t *buf, size_t n, bool eom)
{
	const ssize_t sent = c->t ? c->p->cfg.ops->send(c->t, buf, n, eom) : -EPIPE;

	if (sent > 0) {
		c->tx_crc = (uint32_t)crc32(c->tx_crc, buf, (uInt)sent);
		c->tx_bytes += (uint64_t)sent;
	}
	return sent;
}

/* SEND's and SOURCE's pattern, as far as the transport takes it. */
static void pump_pattern(struct peer_conn *c)
{
	uint8_t buf[8192];
	uint64_t left, share = SHARE;
	size_t n, i;
	ssize_t sent;
	bool eom;

	while (c->t && c->send_left && share) {
		n = sizeof(buf);
		left = c->msg_size ? c->msg_size - c->msg_sent : c->send_left;
		if (n > left)
			n = (size_t)left;
		if (n > c->send_left)
			n = (size_t)c->send_left;
		eom = c->msg_size ? n == left || n == c->send_left : n == c->send_left;
		for (i = 0; i < n; i++)
			buf[i] = assay_pattern(c->seed, c->send_pos + i);
		sent = conn_send(c, buf, n, eom);
		if (sent <= 0)
			return;
		c->send_pos += (uint64_t)sent;
		share -= share < (uint64_t)sent ? share : (uint64_t)sent;
		if (c->send_left != UINT64_MAX)
			c->send_left -= (uint64_t)sent;
		c->msg_sent += (uint64_t)sent;
		if (c->msg_size && c->msg_sent >= c->msg_size)
			c->msg_sent = 0;
	}
	if (c->t && c->send_left)
		c->again = c->p->again = true;
}

/* Echo: what is in the buffer goes out before more is read. */
static bool pump_echo(struct peer_conn *c)
{
	ssize_t sent;

	while (c->t && (c->buf_used || c->echo_eom)) {
		sent = conn_send(c, c->buf + c->buf_off, c->buf_used, c->echo_eom);
		if (sent < 0 || (sent == 0 && c->buf_used))
			return false;
		c->buf_off += (uint32_t)sent;
		c->buf_used -= (uint32_t)sent;
		if (c->buf_used == 0)
			c->echo_eom = false;
	}
	c->buf_off = 0;
	return true;
}

static void on_eof(struct peer_conn *c)
{
	if (!c->t || c->eof_done || !(c->flags & CTL_CONN_GUEST_SHUT_SEND))
		return;
	if (c->service == CTL_SVC_ECHO || c->service == CTL_SVC_SINK) {
		c->eof_done = true;
		c->flags |= CTL_CONN_HOST_SHUT_SEND;
		c->p->cfg.ops->shutdown(c->t, 2);
	}
}

static void data_closed(struct peer_conn *c, int err)
{
	c->err = err;
	peer_conn_end(c, err == -ECONNRESET ? CTL_CONN_RESET : 0);
}

static void read_some(struct peer_conn *c)
{
	const struct peer_transport_ops *ops = c->p->cfg.ops;
	uint8_t buf[IO_BUF];
	uint64_t share = SHARE;
	bool eom;
	ssize_t n;

	while (c->t && !(c->flags & CTL_CONN_PAUSED)) {
		if (!share) {
			c->again = c->p->again = true;
			return;
		}
		if (c->service == CTL_SVC_ECHO && !pump_echo(c))
			return;
		eom = false;
		n = ops->recv(c->t, buf,
			      c->read_left && c->read_left < sizeof(buf) ? c->read_left :
									   sizeof(buf),
			      &eom);
		if (n == -EAGAIN)
			return;
		if (n < 0) {
			if (n == -ECONNRESET)
				data_closed(c, -ECONNRESET);
			return;
		}
		if (n == 0 && !eom) {
			c->flags |= CTL_CONN_GUEST_SHUT_SEND;
			on_eof(c);
			return;
		}
		if (c->read_left) {
			c->read_left -= (uint32_t)n;
			if (!c->read_left)
				c->flags |= CTL_CONN_PAUSED;
		}
		share -= share < (uint64_t)n ? share : (uint64_t)n;
		count_rx(c, buf, (size_t)n, eom && c->type == 2);
		if (c->service == CTL_SVC_ECHO) {
			memcpy(c->buf, buf, (size_t)n);
			c->buf_used = (uint32_t)n;
			c->buf_off = 0;
			c->echo_eom = eom && c->type == 2;
		}
	}
}

void peer_conn_run(struct peer_conn *c)
{
	if (c->role == ROLE_CONTROL) {
		(void)peer_control_run(c);
		return;
	}
	read_some(c);
	if (c->send_left)
		pump_pattern(c);
	peer_check_waits(c->p);
}

/* --- events ------------------------------------------------------------------------------------- */

static struct listener *find_listener(struct peer *p, uint64_t cid, uint32_t port, uint16_t type)
{
	struct listener *l;

	for (l = p->listeners; l; l = l->next)
		if (l->port == port && l->type == type &&
		    (l->cid == ASSAY_CID_ANY || l->cid == cid))
			return l;
	return NULL;
}

bool peer_listens(struct peer *p, uint64_t cid, uint32_t port, uint16_t type)
{
	return find_listener(p, cid, port, type);
}

bool peer_serves(const struct peer *p, uint64_t cid)
{
	unsigned int i;

	for (i = 0; i < p->cfg.nguests; i++)
		if (p->cfg.guests[i] == cid)
			return true;
	return p->cfg.nguests == 0;
}

int peer_service_start(struct peer_conn *c, uint16_t service)
{
	c->service = service;
	if (service == CTL_SVC_ECHO) {
		c->buf = malloc(ECHO_BUF);
		return c->buf ? 0 : -ENOMEM;
	}
	if (service == CTL_SVC_SOURCE) {
		c->send_left = UINT64_MAX;
		c->seed = c->guest.port;
	}
	return 0;
}

struct peer_conn *peer_on_accept(struct peer *p, struct tconn *t, struct ctl_addr local,
				 struct ctl_addr remote, uint16_t type)
{
	const uint32_t base = p->cfg.control_port;
	struct listener *l = find_listener(p, local.cid, local.port, type);
	const bool control = local.port == base && type == 1;
	struct peer_conn *c;

	if (!peer_serves(p, remote.cid)) {
		peer_log(p, "refused: guest %llu is not served", (unsigned long long)remote.cid);
		return NULL;
	}
	if (!control && !l)
		return NULL;
	c = conn_new(p, control ? ROLE_CONTROL : ROLE_DATA);
	if (!c)
		return NULL;
	c->t = t;
	c->type = type;
	c->host = local;
	c->guest = remote;
	c->flags = CTL_CONN_CONNECTED;
	if (control) {
		c->buf = malloc(CONTROL_BUF);
		if (!c->buf) {
			c->t = NULL;
			peer_conn_free(c);
			return NULL;
		}
		return c;
	}
	c->listener = l;
	c->unreported = l->dynamic;
	if (peer_service_start(c, l->service)) {
		c->t = NULL;
		peer_conn_free(c);
		return NULL;
	}
	if (l->buf && p->cfg.ops->set_buf)
		p->cfg.ops->set_buf(t, l->buf);
	p->check_waits = true;
	return c;
}

void peer_on_connected(struct peer_conn *c)
{
	c->flags |= CTL_CONN_CONNECTED;
	peer_conn_snapshot(c);
	if (c->r.guest.cid)
		c->guest.cid = le64toh(c->r.guest.cid);
	if (c->r.host.port)
		c->host.port = le32toh(c->r.host.port);
	peer_conn_run(c);
	peer_check_waits(c->p);
}

void peer_on_readable(struct peer_conn *c)
{
	peer_conn_run(c);
}

void peer_on_writable(struct peer_conn *c)
{
	peer_conn_run(c);
}

void peer_on_shutdown(struct peer_conn *c, unsigned int how)
{
	if (how & 1)
		c->flags |= CTL_CONN_GUEST_SHUT_RCV;
	if (c->role == ROLE_CONTROL) {
		if (peer_control_run(c) && (how & 2))
			peer_conn_free(c);
		return;
	}
	/* What was sent before counts first; then the end of data is noted. */
	read_some(c);
	if (how & 2)
		c->flags |= CTL_CONN_GUEST_SHUT_SEND;
	if (how & 1)
		c->send_left = 0;
	if (!c->again && !(c->flags & CTL_CONN_PAUSED) &&
	    (c->service != CTL_SVC_ECHO || pump_echo(c)))
		on_eof(c);
	peer_check_waits(c->p);
}

void peer_on_closed(struct peer_conn *c, int err)
{
	if (c->role == ROLE_CONTROL) {
		peer_conn_free(c);
		return;
	}
	data_closed(c, err);
}

void peer_on_device_reset(struct peer *p)
{
	free_conns(p);
	peer_unlisten_dynamic(p);
	peer_log(p, "device reset: every connection is over");
}

/* --- listeners ------------------------------------------------------------------------------------ */

static bool is_taken(const struct peer *p, const struct listener *want, uint32_t port)
{
	const struct listener *l;

	for (l = p->listeners; l; l = l->next)
		if (l->port == port && l->type == want->type &&
		    (l->cid == want->cid || l->cid == ASSAY_CID_ANY || want->cid == ASSAY_CID_ANY))
			return true;
	return false;
}

int peer_listen(struct peer *p, const struct listener *want, uint32_t *port)
{
	struct listener *l;
	int ret, tries;

	if (want->dynamic && p->dynamic >= PEER_LISTENERS_MAX)
		return -ENOSPC;
	l = malloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = *want;
	for (tries = 0; tries < 1000; tries++) {
		if (!want->port)
			l->port = p->next_port++;
		ret = is_taken(p, l, l->port) ?
			      -EADDRINUSE :
			      p->cfg.ops->listen(p->cfg.be, l->cid, l->port, l->type);
		if (ret != -EADDRINUSE || want->port)
			break;
	}
	if (ret) {
		free(l);
		return ret;
	}
	l->next = p->listeners;
	p->listeners = l;
	p->dynamic += l->dynamic;
	*port = l->port;
	return 0;
}

static void listener_free(struct peer *p, struct listener **at)
{
	struct listener *l = *at;
	struct peer_conn *c;

	*at = l->next;
	p->dynamic -= l->dynamic;
	p->cfg.ops->unlisten(p->cfg.be, l->cid, l->port, l->type);
	for (c = p->conns; c; c = c->next)
		if (c->listener == l)
			c->listener = NULL;
	free(l);
}

int peer_unlisten(struct peer *p, uint64_t cid, uint32_t port, uint16_t type)
{
	struct listener **at;

	for (at = &p->listeners; *at; at = &(*at)->next) {
		if (!(*at)->dynamic || (*at)->cid != cid || (*at)->port != port ||
		    (*at)->type != type)
			continue;
		listener_free(p, at);
		return 0;
	}
	return -ENOENT;
}

void peer_unlisten_dynamic(struct peer *p)
{
	struct listener **at = &p->listeners;

	while (*at) {
		if ((*at)->dynamic)
			listener_free(p, at);
		else
			at = &(*at)->next;
	}
}

/* --- life ------------------------------------------------------------------------------------------ */

static int listen_fixed(struct peer *p, uint32_t port, uint16_t type, uint16_t service)
{
	const struct listener l = {
		.cid = ASSAY_CID_ANY, .port = port, .type = type, .service = service
	};
	uint32_t got;

	return peer_listen(p, &l, &got);
}

struct peer *peer_new(const struct peer_config *cfg)
{
	struct peer *p = calloc(1, sizeof(*p));
	uint16_t type, svc;
	int ret;

	if (!p)
		return NULL;
	p->cfg = *cfg;
	if (!p->cfg.control_port)
		p->cfg.control_port = ASSAY_CTL_PORT;
	p->next_port = FIRST_PORT;
	ret = listen_fixed(p, p->cfg.control_port, 1, CTL_SVC_NONE);
	for (type = 1; type <= 2 && !ret; type++) {
		if (type == 2 && !(cfg->ops->caps & CTL_CAP_SEQPACKET))
			break;
		for (svc = CTL_SVC_ECHO; svc <= CTL_SVC_SOURCE && !ret; svc++)
			ret = listen_fixed(p, p->cfg.control_port + svc, type, svc);
		/* Linux's AF_VSOCK binds a port for one type: streams come first, orders name other ports. */
		if (type == 2 && ret == -EADDRINUSE)
			ret = 0;
	}
	if (!ret)
		return p;
	peer_free(p);
	errno = -ret;
	return NULL;
}

void peer_free(struct peer *p)
{
	if (!p)
		return;
	free_conns(p);
	while (p->listeners)
		listener_free(p, &p->listeners);
	free(p);
}

int64_t peer_next_timeout_ns(struct peer *p)
{
	int64_t now, first = -1;
	const struct wait *w;

	if (p->check_waits || p->again)
		return 0;
	if (!p->waits)
		return -1;
	now = peer_now_ns();
	for (w = p->waits; w; w = w->next)
		if (first < 0 || w->deadline - now < first)
			first = w->deadline > now ? w->deadline - now : 0;
	return first;
}

void peer_run_timers(struct peer *p)
{
	struct peer_conn *c;

	if (p->again) {
		p->again = false;
		for (c = p->conns; c; c = c->next) {
			if (!c->again)
				continue;
			c->again = false;
			peer_conn_run(c); /* never a control connection: c stays */
		}
	}
	peer_check_waits(p);
}
