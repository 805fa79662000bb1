/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/peer/sock.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS	       64
#define ANSWER_MAX     64
#define TYPE_SEQPACKET 2
#define MESSAGE_MAX    (256u << 10) /* vsock's default buffer: no message can be larger */
#define ACCEPTS	       64	    /* of one listener in a round */

enum node_kind {
	NODE_LISTENER,
	NODE_CONN
};

struct node {
	enum node_kind kind;
	int fd;
};

struct sock_listener {
	struct node n;
	struct sock_listener *next;
	uint64_t cid;
	uint32_t port;
	uint16_t type;
};

enum conn_state {
	CONN_CONNECTING,
	CONN_ANSWER,
	CONN_OPEN,
	CONN_FAILED
};

struct tconn {
	struct node n;
	struct tconn *next, *prev;
	struct sock_be *be;
	struct peer_conn *pc; /* NULL: released by the peer */
	enum conn_state state;
	uint16_t type;
	struct ctl_addr local, remote;
	bool report_failure;
	unsigned int shut_send; /* not 0: this end sends no more */
	int err;
	char line[ANSWER_MAX];
	size_t line_len;
	/* Seqpackets travel whole: one message each way is kept here. */
	uint8_t *in, *out;
	size_t in_off, in_len, out_len;
	bool in_full, out_full;
};

struct sock_be {
	struct sock_flavour f;
	struct peer *peer;
	int ep;
	struct sock_listener *listeners, *dead_listeners;
	struct tconn *conns, *dead;
	bool failed; /* some connection waits to be told so */
};

/* --- nodes ------------------------------------------------------------------------------- */

static int watch(struct sock_be *be, struct node *n, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = n };

	return epoll_ctl(be->ep, EPOLL_CTL_ADD, n->fd, &ev) ? -errno : 0;
}

static struct tconn *conn_new(struct sock_be *be, int fd, uint16_t type)
{
	struct tconn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->n.kind = NODE_CONN;
	c->n.fd = fd;
	c->be = be;
	c->type = type;
	c->next = be->conns;
	if (c->next)
		c->next->prev = c;
	be->conns = c;
	return c;
}

/* Events of this round may still name c: it is freed after the round. */
static void conn_release(struct tconn *c)
{
	struct sock_be *be = c->be;

	c->pc = NULL;
	if (c->n.fd >= 0)
		close(c->n.fd);
	c->n.fd = -1;
	if (c->prev)
		c->prev->next = c->next;
	else
		be->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->prev = NULL;
	c->next = be->dead;
	be->dead = c;
}

static void reap(struct sock_be *be)
{
	struct sock_listener *l;
	struct tconn *c;

	while ((l = be->dead_listeners)) {
		be->dead_listeners = l->next;
		free(l);
	}
	while ((c = be->dead)) {
		be->dead = c->next;
		free(c->in);
		free(c->out);
		free(c);
	}
}

/* --- what the peer calls ------------------------------------------------------------------- */

static int op_listen(void *arg, uint64_t cid, uint32_t port, uint16_t type)
{
	struct sock_be *be = arg;
	struct sock_listener *l = calloc(1, sizeof(*l));
	int ret;

	if (!l)
		return -ENOMEM;
	ret = be->f.listen(be->f.arg, cid, port, type);
	if (ret < 0)
		goto fail;
	l->n.kind = NODE_LISTENER;
	l->n.fd = ret;
	l->cid = cid;
	l->port = port;
	l->type = type;
	ret = watch(be, &l->n, EPOLLIN);
	if (ret) {
		close(l->n.fd);
		goto fail;
	}
	l->next = be->listeners;
	be->listeners = l;
	return 0;
fail:
	free(l);
	return ret;
}

static void op_unlisten(void *arg, uint64_t cid, uint32_t port, uint16_t type)
{
	struct sock_be *be = arg;
	struct sock_listener **at, *l;

	for (at = &be->listeners; (l = *at); at = &l->next)
		if (l->cid == cid && l->port == port && l->type == type)
			break;
	if (!l)
		return;
	*at = l->next;
	close(l->n.fd);
	if (be->f.unlisten)
		be->f.unlisten(be->f.arg, cid, port, type);
	/* Removed by an order that came in on a connection: its own event of this round may be ahead. */
	l->n.fd = -1;
	l->next = be->dead_listeners;
	be->dead_listeners = l;
}

static void fail_later(struct tconn *c, int err)
{
	c->state = CONN_FAILED;
	c->err = err;
	c->report_failure = true;
	c->be->failed = true;
}

static int say_hello(struct tconn *c)
{
	char buf[ANSWER_MAX];
	int n = c->be->f.hello(c->be->f.arg, &c->remote, buf, sizeof(buf));

	if (n < 0)
		return n;
	/* A line into an empty socket buffer: all or nothing. */
	return send(c->n.fd, buf, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) == n ? 0 : -ECONNRESET;
}

static int connected(struct tconn *c)
{
	int ret;

	if (!c->be->f.hello) {
		c->state = CONN_OPEN;
		return 0;
	}
	ret = say_hello(c);
	if (!ret)
		c->state = CONN_ANSWER;
	return ret;
}

static int op_connect(void *arg, struct ctl_addr local, struct ctl_addr remote, uint16_t type,
		      uint32_t buf, struct peer_conn *pc, struct tconn **out)
{
	struct sock_be *be = arg;
	bool progress = false;
	struct tconn *c;
	int fd, ret;

	fd = be->f.connect(be->f.arg, &local, &remote, type, buf, &progress);
	if (fd < 0)
		return fd;
	c = conn_new(be, fd, type);
	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->local = local;
	c->remote = remote;
	c->state = CONN_CONNECTING;
	ret = watch(be, &c->n, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	if (ret) {
		conn_release(c);
		return ret;
	}
	c->pc = pc;
	*out = c;
	return 0;
}

static ssize_t flush_message(struct tconn *c)
{
	ssize_t n;

	if (!c->out_full)
		return 0;
	n = send(c->n.fd, c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == ENOBUFS ? -EAGAIN : -EPIPE;
	c->out_full = false;
	c->out_len = 0;
	return 0;
}

static ssize_t send_message(struct tconn *c, const void *buf, size_t len, bool eom)
{
	ssize_t ret = flush_message(c);

	if (ret)
		return ret;
	if (!c->out)
		c->out = malloc(MESSAGE_MAX);
	if (!c->out)
		return -ENOMEM;
	if (c->out_len + len > MESSAGE_MAX)
		return -EMSGSIZE;
	if (len)
		memcpy(c->out + c->out_len, buf, len);
	c->out_len += len;
	c->out_full = eom;
	ret = flush_message(c);
	return ret == 0 || ret == -EAGAIN ? (ssize_t)len : ret;
}

static ssize_t op_send(struct tconn *c, const void *buf, size_t len, bool eom)
{
	ssize_t n;

	if (c->state != CONN_OPEN)
		return c->state == CONN_FAILED ? -EPIPE : -EAGAIN;
	if (c->type == TYPE_SEQPACKET)
		return send_message(c, buf, len, eom);
	if (!len)
		return 0;
	n = send(c->n.fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? -EAGAIN : -EPIPE;
}

static ssize_t recv_error(void)
{
	if (errno == EAGAIN || errno == EINTR)
		return -EAGAIN;
	return errno == ENOTCONN ? 0 : -ECONNRESET;
}

static ssize_t recv_message(struct tconn *c, void *buf, size_t len, bool *eom)
{
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;
	size_t take;

	if (!c->in)
		c->in = malloc(MESSAGE_MAX);
	if (!c->in)
		return -ECONNRESET;
	if (!c->in_full) {
		iov.iov_base = c->in;
		iov.iov_len = MESSAGE_MAX;
		n = recvmsg(c->n.fd, &m, MSG_DONTWAIT);
		if (n < 0)
			return recv_error();
		/* AF_VSOCK ends a stream of messages with 0 and no message boundary is 0 bytes long. */
		if (n == 0)
			return 0;
		c->in_len = (size_t)n;
		c->in_off = 0;
		c->in_full = true;
	}
	take = c->in_len - c->in_off;
	if (take > len)
		take = len;
	memcpy(buf, c->in + c->in_off, take);
	c->in_off += take;
	*eom = c->in_off == c->in_len;
	c->in_full = !*eom;
	return (ssize_t)take;
}

static ssize_t op_recv(struct tconn *c, void *buf, size_t len, bool *eom)
{
	ssize_t n;

	*eom = false;
	if (c->state != CONN_OPEN)
		return c->state == CONN_FAILED ? -ECONNRESET : -EAGAIN;
	if (c->type == TYPE_SEQPACKET)
		return recv_message(c, buf, len, eom);
	n = recv(c->n.fd, buf, len, MSG_DONTWAIT);
	return n < 0 ? recv_error() : n;
}

static void op_shutdown(struct tconn *c, unsigned int how)
{
	if (c->state != CONN_OPEN)
		return;
	c->shut_send |= how & 2;
	shutdown(c->n.fd, how == 3 ? SHUT_RDWR : how == 1 ? SHUT_RD : SHUT_WR);
}

/* Neither kind of socket can be made to send an RST: closing is what comes nearest (no CTL_CAP_RESET). */
static void op_reset(struct tconn *c)
{
	shutdown(c->n.fd, SHUT_RDWR);
}

static void op_report(struct tconn *c, struct ctl_report *r)
{
	r->host.cid = htole64(c->local.cid);
	r->host.port = htole32(c->local.port);
	r->guest.cid = htole64(c->remote.cid);
	r->guest.port = htole32(c->remote.port);
}

/* --- events ---------------------------------------------------------------------------------- */

/* The answer's line byte by byte: what follows it is data of the connection. */
static int read_answer(struct tconn *c)
{
	char ch;
	ssize_t n;

	for (;;) {
		n = recv(c->n.fd, &ch, 1, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return -EAGAIN;
		if (n <= 0)
			return -ECONNREFUSED; /* the VMM closes where the guest refused */
		if (ch == '\n')
			break;
		if (c->line_len + 1 >= sizeof(c->line))
			return -EPROTO;
		c->line[c->line_len++] = ch;
	}
	c->line[c->line_len] = 0;
	return c->be->f.hello_reply(c->be->f.arg, c->line, &c->local);
}

static int socket_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len))
		return -errno;
	/* AF_VSOCK: an RST in answer to a request is ECONNRESET. */
	return err == ECONNRESET ? -ECONNREFUSED : -err;
}

static void connecting_event(struct tconn *c, uint32_t events)
{
	int ret = 0;

	if (c->state == CONN_CONNECTING) {
		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return;
		ret = socket_error(c->n.fd);
		if (!ret)
			ret = connected(c);
	}
	if (!ret && c->state == CONN_ANSWER) {
		ret = read_answer(c);
		if (ret == -EAGAIN)
			return;
		if (!ret)
			c->state = CONN_OPEN;
	}
	if (ret) {
		fail_later(c, ret);
		return;
	}
	c->be->f.addresses(c->be->f.arg, c->n.fd, &c->local, &c->remote);
	peer_on_connected(c->pc);
}

/*
 * AF_VSOCK tells of an RST as of a shutdown of both directions, and of that by EPOLLRDHUP alone; but then
 * nothing can be sent either, which a send of nothing reveals.
 */
static bool sending_over(const struct tconn *c)
{
	return c->shut_send ||
	       (send(c->n.fd, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE);
}

static void open_event(struct tconn *c, uint32_t events)
{
	if (flush_message(c) == -EPIPE)
		events |= EPOLLERR;
	if ((events & EPOLLRDHUP) && sending_over(c))
		events |= EPOLLHUP;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		peer_on_readable(c->pc);
	if (c->pc && (events & EPOLLOUT))
		peer_on_writable(c->pc);
	if (!c->pc)
		return;
	if (events & EPOLLERR)
		peer_on_closed(c->pc, -ECONNRESET);
	else if (events & EPOLLHUP)
		peer_on_shutdown(c->pc, 3);
	/* Both directions over, and nothing left to read: nothing more can happen. */
	if (c->pc && (events & EPOLLHUP) && !c->in_full) {
		char ch;

		if (recv(c->n.fd, &ch, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
			peer_on_closed(c->pc, 0);
	}
}

static void conn_event(struct tconn *c, uint32_t events)
{
	if (!c->pc || c->state == CONN_FAILED)
		return;
	if (c->state == CONN_OPEN)
		open_event(c, events);
	else
		connecting_event(c, events);
}

static void accept_event(struct sock_be *be, const struct sock_listener *l)
{
	const uint16_t type = l->type;
	struct ctl_addr local = { ASSAY_CID_HOST, l->port, 0 }, remote = { 0 };
	const int lfd = l->n.fd;
	struct tconn *c;
	int fd, i;

	for (i = 0; i < ACCEPTS; i++) {
		fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		c = conn_new(be, fd, type);
		if (!c) {
			close(fd);
			return;
		}
		be->f.addresses(be->f.arg, fd, &local, &remote);
		c->local = local;
		c->remote = remote;
		c->state = CONN_OPEN;
		c->pc = peer_on_accept(be->peer, c, local, remote, type);
		if (!c->pc || watch(be, &c->n, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
			if (c->pc)
				peer_on_closed(c->pc, -ENOMEM);
			else
				conn_release(c);
		}
	}
}

static void tell_failures(struct sock_be *be)
{
	struct tconn *c, *next;

	if (!be->failed)
		return;
	be->failed = false;
	for (c = be->conns; c; c = next) {
		next = c->next;
		if (!c->report_failure)
			continue;
		c->report_failure = false;
		peer_on_closed(c->pc, c->err);
	}
}

int sock_run(struct sock_be *be, int timeout_ms)
{
	struct epoll_event ev[EVENTS];
	const int64_t ns = peer_next_timeout_ns(be->peer);
	const int64_t ms = ns < 0 ? -1 : (ns + 999999) / 1000000;
	int n, i;

	if (ms >= 0 && (timeout_ms < 0 || ms < timeout_ms))
		timeout_ms = (int)ms;
	n = epoll_wait(be->ep, ev, EVENTS, timeout_ms);
	if (n < 0)
		return -errno;
	for (i = 0; i < n; i++) {
		/* What went in this round lives on, without a descriptor, until reap(). */
		const struct node *node = ev[i].data.ptr;

		if (node->fd < 0)
			continue;
		if (node->kind == NODE_LISTENER)
			accept_event(be, ev[i].data.ptr);
		else
			conn_event(ev[i].data.ptr, ev[i].events);
	}
	tell_failures(be);
	peer_run_timers(be->peer);
	reap(be);
	return 0;
}

/* --- life ---------------------------------------------------------------------------------------- */

struct sock_be *sock_new(const struct sock_flavour *f)
{
	struct sock_be *be = calloc(1, sizeof(*be));

	if (!be)
		return NULL;
	be->f = *f;
	be->f.ops.listen = op_listen;
	be->f.ops.unlisten = op_unlisten;
	be->f.ops.connect = op_connect;
	be->f.ops.send = op_send;
	be->f.ops.recv = op_recv;
	be->f.ops.shutdown = op_shutdown;
	be->f.ops.reset = op_reset;
	be->f.ops.close = conn_release;
	be->f.ops.report = op_report;
	be->ep = epoll_create1(EPOLL_CLOEXEC);
	if (be->ep >= 0)
		return be;
	free(be);
	return NULL;
}

const struct peer_transport_ops *sock_ops(struct sock_be *be)
{
	return &be->f.ops;
}

void sock_set_peer(struct sock_be *be, struct peer *p)
{
	be->peer = p;
}

void sock_free(struct sock_be *be)
{
	if (!be)
		return;
	while (be->conns)
		conn_release(be->conns);
	while (be->listeners)
		op_unlisten(be, be->listeners->cid, be->listeners->port, be->listeners->type);
	reap(be);
	close(be->ep);
	free(be);
}
