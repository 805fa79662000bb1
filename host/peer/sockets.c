/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transports over sockets: AF_VSOCK (a Linux host with vhost-vsock) and hybrid
 * Unix sockets (vhost-device-vsock, Firecracker, Cloud Hypervisor): the VMM
 * connects to PATH_PORT for the guest, and takes "CONNECT port" on PATH.
 */
#include "host/peer/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "host/peer/peer.h"

#define MAX_MSG (1u << 20) /* of a seqpacket that we assemble */

enum state { CONNECTING, HANDSHAKE, OPEN, OVER };

struct tconn {
	struct sockets *s;
	struct tconn *next;
	struct peer_conn *pc;
	struct ctl_addr host, guest;
	uint16_t type;
	enum state state;
	int fd;
	bool want_out, drained, eof;
	bool closed; /* by the peer: freed after the round */
	char line[32]; /* hybrid: the answer to CONNECT so far */
	unsigned int line_used;
	uint8_t *msg; /* seqpacket: the message so far */
	size_t msg_used, msg_size;
};

struct lsock {
	struct lsock *next;
	uint64_t cid;
	uint32_t port;
	uint16_t type;
	int fd;
};

struct sockets {
	const char *uds; /* NULL: AF_VSOCK */
	struct peer *peer;
	struct lsock *listeners;
	struct tconn *conns;
	struct pollfd *fds;
	size_t fds_size;
};

static int uds_addr(const struct sockets *s, uint32_t port, bool with_port, struct sockaddr_un *a)
{
	int n;

	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	n = with_port ? snprintf(a->sun_path, sizeof(a->sun_path), "%s_%u", s->uds, port) :
			snprintf(a->sun_path, sizeof(a->sun_path), "%s", s->uds);
	return n < (int)sizeof(a->sun_path) ? 0 : -ENAMETOOLONG;
}

static struct sockaddr_vm vm_addr(uint64_t cid, uint32_t port)
{
	return (struct sockaddr_vm){
		.svm_family = AF_VSOCK,
		.svm_port = port,
		.svm_cid = cid == ASSAY_CID_ANY ? VMADDR_CID_ANY : (unsigned int)cid,
	};
}

static int open_socket(const struct sockets *s, uint16_t type)
{
	const int fd = socket(s->uds ? AF_UNIX : AF_VSOCK,
			      (type == 2 ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC,
			      0);

	return fd < 0 ? -errno : fd;
}

static int bind_listen(const struct sockets *s, int fd, uint64_t cid, uint32_t port)
{
	const struct sockaddr_vm vm = vm_addr(cid, port);
	struct sockaddr_un un;
	int ret;

	if (s->uds) {
		ret = uds_addr(s, port, true, &un);
		if (ret)
			return ret;
		unlink(un.sun_path);
		ret = bind(fd, (const struct sockaddr *)&un, sizeof(un));
	} else {
		ret = bind(fd, (const struct sockaddr *)&vm, sizeof(vm));
	}
	if (ret || listen(fd, 1024))
		return -errno;
	return 0;
}

static int s_listen(void *be, uint64_t cid, uint32_t port, uint16_t type)
{
	struct sockets *s = be;
	struct lsock *l;
	int ret;

	if (s->uds && type != 1)
		return -EOPNOTSUPP;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->cid = cid;
	l->port = port;
	l->type = type;
	l->fd = open_socket(s, type);
	ret = l->fd < 0 ? l->fd : bind_listen(s, l->fd, cid, port);
	if (ret) {
		if (l->fd >= 0)
			close(l->fd);
		free(l);
		return ret;
	}
	l->next = s->listeners;
	s->listeners = l;
	return 0;
}

static void free_listener(struct sockets *s, struct lsock **at)
{
	struct lsock *l = *at;
	struct sockaddr_un un;

	*at = l->next;
	if (s->uds && uds_addr(s, l->port, true, &un) == 0)
		unlink(un.sun_path);
	close(l->fd);
	free(l);
}

static void s_unlisten(void *be, uint64_t cid, uint32_t port, uint16_t type)
{
	struct sockets *s = be;
	struct lsock **at;

	for (at = &s->listeners; *at; at = &(*at)->next) {
		if ((*at)->cid != cid || (*at)->port != port || (*at)->type != type)
			continue;
		free_listener(s, at);
		return;
	}
}

static struct tconn *tconn_new(struct sockets *s, int fd, uint16_t type)
{
	struct tconn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->s = s;
	c->fd = fd;
	c->type = type;
	c->next = s->conns;
	s->conns = c;
	return c;
}

static int start_connect(struct tconn *c)
{
	const struct sockaddr_vm vm = vm_addr(c->guest.cid, c->guest.port);
	struct sockaddr_un un;
	int ret;

	if (c->s->uds) {
		ret = uds_addr(c->s, 0, false, &un);
		if (ret)
			return ret;
		ret = connect(c->fd, (const struct sockaddr *)&un, sizeof(un));
	} else {
		ret = connect(c->fd, (const struct sockaddr *)&vm, sizeof(vm));
	}
	c->state = CONNECTING;
	c->want_out = true;
	return ret && errno != EINPROGRESS && errno != EAGAIN ? -errno : 0;
}

static int s_connect(void *be, struct ctl_addr local, struct ctl_addr remote, uint16_t type,
		     uint32_t buf, struct peer_conn *pc, struct tconn **out)
{
	struct sockets *s = be;
	struct tconn *c;
	int fd, ret;

	(void)buf;
	if (s->uds && type != 1)
		return -EOPNOTSUPP;
	fd = open_socket(s, type);
	if (fd < 0)
		return fd;
	c = tconn_new(s, fd, type);
	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->pc = pc;
	c->host = local;
	c->guest = remote;
	ret = start_connect(c);
	if (ret) {
		c->closed = true;
		return ret;
	}
	*out = c;
	return 0;
}

static ssize_t s_send_raw(struct tconn *c, const void *buf, size_t len)
{
	const ssize_t n = send(c->fd, buf, len, MSG_NOSIGNAL);

	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == ENOBUFS) {
		c->want_out = true;
		return -EAGAIN;
	}
	return -EPIPE;
}

/* A seqpacket goes out whole: gathered until its end. */
static ssize_t s_send_msg(struct tconn *c, const void *buf, size_t len, bool eom)
{
	uint8_t *more;
	ssize_t n;

	if (c->msg_used + len > c->msg_size) {
		if (c->msg_used + len > MAX_MSG)
			return -EPIPE;
		more = realloc(c->msg, c->msg_used + len);
		if (!more)
			return -EAGAIN;
		c->msg = more;
		c->msg_size = c->msg_used + len;
	}
	if (len)
		memcpy(c->msg + c->msg_used, buf, len);
	if (!eom) {
		c->msg_used += len;
		return (ssize_t)len;
	}
	n = s_send_raw(c, c->msg, c->msg_used + len);
	if (n < 0)
		return n; /* this piece is offered again; the earlier ones are kept */
	c->msg_used = 0;
	return (ssize_t)len;
}

static ssize_t s_send(struct tconn *c, const void *buf, size_t len, bool eom)
{
	if (c->state != OPEN)
		return c->state == OVER ? -EPIPE : -EAGAIN;
	return c->type == 2 ? s_send_msg(c, buf, len, eom) : s_send_raw(c, buf, len);
}

static ssize_t s_recv(struct tconn *c, void *buf, size_t len, bool *eom)
{
	ssize_t n;

	if (c->state != OPEN)
		return -EAGAIN;
	if (c->eof)
		return 0;
	n = recv(c->fd, buf, len, 0);
	if (n < 0) {
		c->drained = errno == EAGAIN;
		return errno == EAGAIN ? -EAGAIN : -ECONNRESET;
	}
	c->eof = n == 0;
	c->drained = n == 0;
	*eom = c->type == 2 && n > 0;
	return n;
}

static void s_shutdown(struct tconn *c, unsigned int how)
{
	shutdown(c->fd, how == 3 ? SHUT_RDWR : how == 2 ? SHUT_WR : SHUT_RD);
}

static void s_reset(struct tconn *c)
{
	/* The nearest that a socket has: an abortive close. Its capability is not announced. */
	shutdown(c->fd, SHUT_RDWR);
	c->state = OVER;
}

static void s_close(struct tconn *c)
{
	c->pc = NULL;
	c->closed = true; /* freed after the round of events */
}

static void s_report(struct tconn *c, struct ctl_report *r)
{
	(void)c;
	(void)r; /* credit is the kernel's or the VMM's */
}

static const struct peer_transport_ops vsock_ops = {
	.name = "af_vsock",
	.caps = CTL_CAP_SEQPACKET | CTL_CAP_HOST_CONNECT | CTL_CAP_GUEST_ADDRS | CTL_CAP_HOST_ADDRS |
		CTL_CAP_HALF_CLOSE | CTL_CAP_ANY_GUEST_PORT,
	.listen = s_listen,
	.unlisten = s_unlisten,
	.connect = s_connect,
	.send = s_send,
	.recv = s_recv,
	.shutdown = s_shutdown,
	.reset = s_reset,
	.close = s_close,
	.report = s_report,
};

static const struct peer_transport_ops uds_ops = {
	.name = "hybrid",
	.caps = CTL_CAP_HOST_CONNECT | CTL_CAP_ANY_GUEST_PORT,
	.listen = s_listen,
	.unlisten = s_unlisten,
	.connect = s_connect,
	.send = s_send,
	.recv = s_recv,
	.shutdown = s_shutdown,
	.reset = s_reset,
	.close = s_close,
	.report = s_report,
};

/* --- events ---------------------------------------------------------------------------------- */

static void accept_one(struct sockets *s, struct lsock *l)
{
	struct sockaddr_vm vm = { 0 }, own = { 0 };
	socklen_t n = sizeof(vm), m = sizeof(own);
	const int fd = accept4(l->fd, s->uds ? NULL : (struct sockaddr *)&vm, s->uds ? NULL : &n,
			       SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct tconn *c = fd < 0 ? NULL : tconn_new(s, fd, l->type);

	if (!c) {
		if (fd >= 0)
			close(fd);
		return;
	}
	c->state = OPEN;
	c->host = (struct ctl_addr){ ASSAY_CID_HOST, l->port, 0 };
	if (!s->uds) {
		getsockname(fd, (struct sockaddr *)&own, &m);
		c->host.cid = own.svm_cid == VMADDR_CID_ANY ? ASSAY_CID_HOST : own.svm_cid;
		c->guest = (struct ctl_addr){ vm.svm_cid, vm.svm_port, 0 };
	}
	c->pc = peer_on_accept(s->peer, c, c->host, c->guest, l->type);
	if (c->pc)
		peer_on_readable(c->pc);
	else
		c->closed = true;
}

static void fail(struct tconn *c, int err)
{
	struct peer_conn *pc = c->pc;

	c->state = OVER;
	if (pc)
		peer_on_closed(pc, err);
}

static void opened(struct tconn *c)
{
	c->state = OPEN;
	c->want_out = false;
	peer_on_connected(c->pc);
}

static void finish_connect(struct tconn *c)
{
	int err = 0;
	socklen_t n = sizeof(err);
	char line[32];

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n);
	if (err) {
		fail(c, -err);
		return;
	}
	if (!c->s->uds) {
		opened(c);
		return;
	}
	n = (socklen_t)snprintf(line, sizeof(line), "CONNECT %u\n", c->guest.port);
	c->want_out = false;
	c->state = HANDSHAKE;
	if (send(c->fd, line, n, MSG_NOSIGNAL) != (ssize_t)n)
		fail(c, -ECONNREFUSED);
}

/* "OK port\n", byte by byte: what follows is data. */
static void handshake(struct tconn *c)
{
	char ch;
	ssize_t n;

	while (c->line_used < sizeof(c->line) - 1) {
		n = recv(c->fd, &ch, 1, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			fail(c, -ECONNREFUSED);
			return;
		}
		if (ch == '\n') {
			if (memcmp(c->line, "OK ", 3) == 0)
				opened(c);
			else
				fail(c, -ECONNREFUSED);
			return;
		}
		c->line[c->line_used++] = ch;
	}
	fail(c, -EPROTO);
}

static void on_events(struct tconn *c, short ev)
{
	if (c->closed)
		return;
	if (c->state == CONNECTING) {
		if (ev & (POLLOUT | POLLERR | POLLHUP))
			finish_connect(c);
		return;
	}
	if (c->state == HANDSHAKE) {
		handshake(c);
		return;
	}
	if ((ev & POLLOUT) && c->pc) {
		c->want_out = false;
		peer_on_writable(c->pc);
	}
	if ((ev & POLLIN) && !c->closed && c->pc) {
		c->drained = false;
		peer_on_readable(c->pc);
	}
	if ((ev & (POLLHUP | POLLERR)) && !c->closed && c->pc && (c->drained || c->eof || ev & POLLERR))
		fail(c, ev & POLLERR ? -ECONNRESET : 0);
}

static short wanted(const struct tconn *c)
{
	short ev = 0;

	if (c->state == HANDSHAKE || (c->state == OPEN && !c->eof && c->drained))
		ev |= POLLIN;
	if (c->want_out)
		ev |= POLLOUT;
	return ev;
}

static void sweep(struct sockets *s)
{
	struct tconn **at = &s->conns, *c;

	while ((c = *at)) {
		if (!c->closed) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		close(c->fd);
		free(c->msg);
		free(c);
	}
}

struct sockets *sockets_new(const char *uds)
{
	struct sockets *s = calloc(1, sizeof(*s));

	if (s)
		s->uds = uds;
	return s;
}

void sockets_set_peer(struct sockets *s, struct peer *p)
{
	s->peer = p;
}

const struct peer_transport_ops *sockets_ops(const struct sockets *s)
{
	return s->uds ? &uds_ops : &vsock_ops;
}

int sockets_round(struct sockets *s, int stop_fd, int64_t timeout_ns)
{
	size_t n = 1, i = 1, first;
	struct timespec ts = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
	struct tconn *c, *last;
	struct lsock *l, *l_next;

	for (l = s->listeners; l; l = l->next)
		n++;
	for (c = s->conns; c; c = c->next)
		n++;
	if (n > s->fds_size) {
		struct pollfd *more = realloc(s->fds, 2 * n * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->fds = more;
		s->fds_size = 2 * n;
	}
	s->fds[0] = (struct pollfd){ stop_fd, POLLIN, 0 };
	for (l = s->listeners; l; l = l->next)
		s->fds[i++] = (struct pollfd){ l->fd, POLLIN, 0 };
	first = i;
	for (c = s->conns; c; c = c->next)
		s->fds[i++] = (struct pollfd){ c->fd, wanted(c), 0 };
	last = s->conns; /* new ones are put in front of it */
	if (ppoll(s->fds, n, timeout_ns < 0 ? NULL : &ts, NULL) < 0)
		return errno == EINTR ? 0 : -errno;
	if (s->fds[0].revents)
		return 1;
	for (i = first, c = last; c; c = c->next, i++)
		if (s->fds[i].revents)
			on_events(c, s->fds[i].revents);
	for (l = s->listeners; l; l = l_next) {
		l_next = l->next;
		for (i = 1; i < n; i++)
			if (s->fds[i].fd == l->fd && (s->fds[i].revents & POLLIN)) {
				accept_one(s, l);
				break;
			}
	}
	sweep(s);
	return 0;
}

void sockets_free(struct sockets *s)
{
	struct tconn *c;

	while (s->listeners)
		free_listener(s, &s->listeners);
	for (c = s->conns; c; c = c->next)
		c->closed = true;
	sweep(s);
	free(s->fds);
	free(s);
}
