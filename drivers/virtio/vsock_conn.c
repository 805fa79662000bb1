/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections, listeners and credit (virtio 1.4, 5.10.6). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/virtqueue.h"
#include "drivers/virtio/vsock_internal.h"
#include "lib/mmio.h"

#define FIRST_PORT 49152u
#define BOTH	   (VSOCK_SHUTDOWN_RCV | VSOCK_SHUTDOWN_SEND)
#define MAX_EMPTY  4096 /* empty messages that wait to be read */

/* --- look-up ------------------------------------------------------------------------------- */

static unsigned int bucket_of(struct vsock_addr local, struct vsock_addr remote)
{
	uint64_t h = local.cid * 0x9e3779b97f4a7c15ull;

	h = (h ^ local.port) * 0x9e3779b97f4a7c15ull;
	h = (h ^ remote.cid) * 0x9e3779b97f4a7c15ull;
	h = (h ^ remote.port) * 0x9e3779b97f4a7c15ull;
	return (unsigned int)(h >> 40) % VSOCK_BUCKETS;
}

static bool same(struct vsock_addr a, struct vsock_addr b)
{
	return a.cid == b.cid && a.port == b.port;
}

static struct vsock_conn *find_conn(const struct vsock *vs, enum vsock_type type,
				    struct vsock_addr local, struct vsock_addr remote)
{
	struct vsock_conn *c;

	for (c = vs->bucket[bucket_of(local, remote)]; c; c = c->next)
		if (c->type == type && same(c->local, local) && same(c->remote, remote))
			return c;
	return NULL;
}

static struct vsock_listener *find_listener(const struct vsock *vs, enum vsock_type type,
					    struct vsock_addr at)
{
	struct vsock_listener *l;

	for (l = vs->listeners; l; l = l->next)
		if (l->type == type && l->local.port == at.port &&
		    (l->local.cid == VSOCK_CID_ANY || l->local.cid == at.cid))
			return l;
	return NULL;
}

static struct vsock_conn *conn_new(struct vsock *vs, enum vsock_type type, struct vsock_addr local,
				   struct vsock_addr remote)
{
	struct vsock_conn *c = calloc(1, sizeof(*c));
	const unsigned int b = bucket_of(local, remote);

	if (!c)
		return NULL;
	c->vs = vs;
	c->type = type;
	c->local = local;
	c->remote = remote;
	c->buf_alloc = vs->default_buf;
	c->tail = &c->head;
	c->next = vs->bucket[b];
	vs->bucket[b] = c;
	vs->stats.conns++;
	return c;
}

/* Frees the oldest chunk. The caller counts c->readable down. */
static void drop_chunk(struct vsock_conn *c)
{
	struct chunk *k = c->head;

	c->head = k->next;
	if (!c->head)
		c->tail = &c->head;
	c->empty -= k->len == 0;
	free(k);
}

static void conn_free(struct vsock_conn *c)
{
	struct vsock_conn **p = &c->vs->bucket[bucket_of(c->local, c->remote)];

	while (*p && *p != c)
		p = &(*p)->next;
	if (*p)
		*p = c->next;
	while (c->head)
		drop_chunk(c);
	c->vs->stats.conns--;
	free(c);
}

void vsock_conns_init(struct vsock *vs)
{
	/* The host may still know the ports from before a device reset, so begin with others. */
	vs->next_port = FIRST_PORT + (uint32_t)(time_now() >> 10) % 10000;
}

void vsock_conns_free(struct vsock *vs)
{
	struct vsock_listener *l;
	unsigned int i;

	for (i = 0; i < VSOCK_BUCKETS; i++)
		while (vs->bucket[i])
			conn_free(vs->bucket[i]);
	while ((l = vs->listeners)) {
		vs->listeners = l->next;
		free(l);
	}
}

void vsock_drop_all(struct vsock *vs)
{
	struct vsock_conn *c;
	unsigned int i;

	for (i = 0; i < VSOCK_BUCKETS; i++)
		for (c = vs->bucket[i]; c; c = c->next)
			if (c->state <= VSOCK_CLOSING)
				c->state = VSOCK_TRANSPORT_RESET;
}

/* --- sending ------------------------------------------------------------------------------- */

static uint32_t peer_free(const struct vsock_conn *c)
{
	const uint32_t used = c->tx_cnt - c->peer_fwd_cnt; /* 5.10.6.3, modulo 2^32 */

	return used < c->peer_buf_alloc ? c->peer_buf_alloc - used : 0;
}

/*
 * Each packet of a connection tells our credit; told_limit is how far the peer may send by what it
 * was told.
 */
static struct vsock_hdr header(struct vsock_conn *c, enum vsock_op op, uint32_t flags, uint32_t len)
{
	const uint32_t limit = c->fwd_cnt + c->buf_alloc;

	c->told_fwd = c->fwd_cnt;
	if ((int32_t)(limit - c->told_limit) > 0 || c->told_limit == 0)
		c->told_limit = limit;
	return (struct vsock_hdr){
		.src_cid = cpu_to_le64(c->local.cid),
		.dst_cid = cpu_to_le64(c->remote.cid),
		.src_port = cpu_to_le32(c->local.port),
		.dst_port = cpu_to_le32(c->remote.port),
		.len = cpu_to_le32(len),
		.type = cpu_to_le16(c->type),
		.op = cpu_to_le16(op),
		.flags = cpu_to_le32(flags),
		.buf_alloc = cpu_to_le32(c->buf_alloc),
		.fwd_cnt = cpu_to_le32(c->fwd_cnt),
	};
}

static int send_op(struct vsock_conn *c, enum vsock_op op, uint32_t flags)
{
	const struct vsock_hdr h = header(c, op, flags, 0);

	c->vs->stats.rst_sent += op == VSOCK_OP_RST;
	return vsock_tx_queue(c->vs, &h, NULL, 0);
}

/*
 * Answers a packet that no connection took by RST, with swapped addresses; an RST is not answered.
 */
static void answer_rst(struct vsock *vs, const struct vsock_hdr *in)
{
	const struct vsock_hdr h = {
		.src_cid = in->dst_cid,
		.dst_cid = in->src_cid,
		.src_port = in->dst_port,
		.dst_port = in->src_port,
		.type = in->type,
		.op = cpu_to_le16(VSOCK_OP_RST),
	};

	if (le16_to_cpu(in->op) == VSOCK_OP_RST)
		return;
	vs->stats.rst_sent++;
	vsock_tx_queue(vs, &h, NULL, 0);
}

/* --- receiving ------------------------------------------------------------------------------ */

static void stray(struct vsock *vs, const struct vsock_hdr *h, uint32_t used_len)
{
	vs->stray[vs->strays % VSOCK_STRAYS] = (struct vsock_stray){ *h, used_len };
	vs->strays++;
}

static void take_credit(struct vsock_conn *c, const struct vsock_hdr *h)
{
	const uint32_t fwd = le32_to_cpu(h->fwd_cnt);
	/* All of them modulo 2^32, counted from the newest fwd_cnt that we know. */
	const uint32_t sent = c->tx_cnt - c->peer_fwd_cnt;
	const uint32_t ahead = fwd - c->peer_fwd_cnt, behind = c->peer_fwd_cnt - fwd;

	/*
	 * A host that works out its fwd_cnt before it queues the packet may swap two packets. The
	 * older one says nothing new. A fwd_cnt that is neither between what was acknowledged and
	 * what was sent, nor one that may have been true before, cannot be right in any order.
	 */
	if (ahead > sent && behind <= c->acked && behind < 1u << 31) {
		c->late_credit++;
		return;
	}
	c->peer_buf_alloc = le32_to_cpu(h->buf_alloc);
	if (ahead > sent) {
		c->bad_credit++;
		return;
	}
	c->peer_fwd_cnt = fwd;
	c->acked += ahead;
}

static void kill_conn(struct vsock_conn *c, enum vsock_state state)
{
	c->state = state;
}

static void on_data(struct vsock_conn *c, const struct vsock_hdr *h, const uint8_t *data,
		    uint32_t len)
{
	struct chunk *k;

	c->rx_cnt += len;
	if ((int32_t)(c->rx_cnt - c->told_limit) > 0)
		c->overruns++;
	/* Drop what goes beyond twice the promise: a flood must not use up the memory. */
	if (c->readable + len > 2 * (size_t)c->buf_alloc + 65536 || c->state > VSOCK_CLOSING)
		return;
	if (len == 0 && (c->type == VSOCK_STREAM || c->empty == MAX_EMPTY))
		return;
	k = malloc(sizeof(*k) + len);
	if (!k) {
		send_op(c, VSOCK_OP_RST, 0);
		kill_conn(c, VSOCK_RESET);
		return;
	}
	k->next = NULL;
	k->off = 0;
	k->len = len;
	k->flags = le32_to_cpu(h->flags);
	memcpy(k->data, data, len);
	*c->tail = k;
	c->tail = &k->next;
	c->readable += len;
	c->empty += len == 0;
}

/*
 * Ends the connection once the peer shut down both directions and all that it sent is read
 * (5.10.6.5).
 */
static void finish_if_done(struct vsock_conn *c)
{
	if (c->peer_shut != BOTH || c->head || c->state > VSOCK_CLOSING)
		return;
	send_op(c, VSOCK_OP_RST, 0);
	kill_conn(c, VSOCK_CLOSED_ORDERLY);
}

static void on_rst(struct vsock_conn *c)
{
	if (c->state == VSOCK_CONNECTING)
		kill_conn(c, VSOCK_REFUSED);
	else if (c->state == VSOCK_CLOSING || c->peer_shut == BOTH)
		kill_conn(c, VSOCK_CLOSED_ORDERLY);
	else
		kill_conn(c, VSOCK_RESET);
}

static void on_packet(struct vsock_conn *c, const struct vsock_hdr *h, const uint8_t *data,
		      uint32_t len)
{
	if (le16_to_cpu(h->op) != VSOCK_OP_RST)
		take_credit(c, h);
	switch (le16_to_cpu(h->op)) {
	case VSOCK_OP_RESPONSE:
		if (c->state == VSOCK_CONNECTING)
			c->state = VSOCK_ESTABLISHED;
		break;
	case VSOCK_OP_RST:
		on_rst(c);
		break;
	case VSOCK_OP_SHUTDOWN:
		c->peer_shut |= le32_to_cpu(h->flags) & BOTH; /* permanent */
		finish_if_done(c);
		break;
	case VSOCK_OP_RW:
		on_data(c, h, data, len);
		break;
	case VSOCK_OP_CREDIT_UPDATE:
		c->updates++;
		break;
	case VSOCK_OP_CREDIT_REQUEST:
		c->requests++;
		send_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
		break;
	default: /* a REQUEST on a connection, or an unknown operation */
		c->vs->stats.rx_malformed++;
		send_op(c, VSOCK_OP_RST, 0);
		kill_conn(c, VSOCK_RESET);
		break;
	}
}

static void on_request(struct vsock_listener *l, const struct vsock_hdr *h, struct vsock_addr local,
		       struct vsock_addr remote)
{
	struct vsock_conn *c;

	if (l->waiting >= l->backlog) {
		answer_rst(l->vs, h);
		return;
	}
	c = conn_new(l->vs, l->type, local, remote);
	if (!c) {
		answer_rst(l->vs, h);
		return;
	}
	c->state = VSOCK_ESTABLISHED;
	take_credit(c, h);
	send_op(c, VSOCK_OP_RESPONSE, 0);
	*l->last = c;
	l->last = &c->backlog;
	l->waiting++;
}

static void dispatch(struct vsock *vs, const struct vsock_hdr *h, const uint8_t *data, uint32_t len,
		     uint32_t used_len)
{
	const struct vsock_addr local = { le64_to_cpu(h->dst_cid), le32_to_cpu(h->dst_port) };
	const struct vsock_addr remote = { le64_to_cpu(h->src_cid), le32_to_cpu(h->src_port) };
	const uint16_t type = le16_to_cpu(h->type);
	struct vsock_listener *l;
	struct vsock_conn *c;

	if (!vsock_is_local(vs, local.cid)) {
		stray(vs, h, used_len);
		return;
	}
	if (type != VSOCK_STREAM && type != VSOCK_SEQPACKET) {
		stray(vs, h, used_len);
		answer_rst(vs, h); /* 5.10.6.4.1: an unknown type is answered with RST */
		return;
	}
	c = find_conn(vs, type, local, remote);
	if (c) {
		on_packet(c, h, data, len);
		return;
	}
	if (vs->requests_held && le16_to_cpu(h->op) == VSOCK_OP_REQUEST) {
		stray(vs, h, used_len);
		return;
	}
	l = le16_to_cpu(h->op) == VSOCK_OP_REQUEST ? find_listener(vs, type, local) : NULL;
	if (l) {
		on_request(l, h, local, remote);
		return;
	}
	stray(vs, h, used_len);
	answer_rst(vs, h);
}

void vsock_receive(struct vsock *vs, const void *p, uint32_t used_len)
{
	struct vsock_hdr h;
	uint32_t len;

	vs->stats.rx_packets++;
	if (used_len < sizeof(h)) {
		vsock_tell(vs, VSOCK_SAW_RECEIVED, NULL, used_len, p);
		vs->stats.rx_malformed++;
		return;
	}
	memcpy(&h, p, sizeof(h)); /* read it once: the device may still write there */
	len = le32_to_cpu(h.len);
	vsock_tell(vs, VSOCK_SAW_RECEIVED, &h, used_len, (const uint8_t *)p + sizeof(h));
	if (len > used_len - sizeof(h)) {
		vs->stats.rx_malformed++;
		stray(vs, &h, used_len);
		return;
	}
	vs->stats.rx_bytes += len;
	dispatch(vs, &h, (const uint8_t *)p + sizeof(h), len, used_len);
}

/* --- the interface -------------------------------------------------------------------------- */

static bool type_offered(const struct vsock *vs, enum vsock_type type)
{
	const bool seq = virtio_has(vs->dev, VSOCK_F_SEQPACKET);

	if (type == VSOCK_SEQPACKET)
		return seq;
	/* 5.10.3.1: without NO_IMPLIED_STREAM streams are implied. */
	return virtio_has(vs->dev, VSOCK_F_STREAM) ||
	       !virtio_has(vs->dev, VSOCK_F_NO_IMPLIED_STREAM) || !seq;
}

static int choose_local(struct vsock *vs, enum vsock_type type, struct vsock_addr *local,
			struct vsock_addr remote)
{
	unsigned int tries;

	if (local->cid == 0)
		local->cid = vs->config.guest[0];
	if (!vsock_is_local(vs, local->cid))
		return -EADDRNOTAVAIL;
	if (local->port != VSOCK_PORT_ANY)
		return find_conn(vs, type, *local, remote) ? -EADDRINUSE : 0;
	for (tries = 0; tries < 65536; tries++) {
		local->port = vs->next_port++;
		if (vs->next_port >= UINT32_MAX - 1)
			vs->next_port = FIRST_PORT;
		if (!find_conn(vs, type, *local, remote))
			return 0;
	}
	return -EADDRINUSE;
}

int vsock_connect_start(struct vsock *vs, enum vsock_type type, struct vsock_addr local,
			struct vsock_addr remote, struct vsock_conn **out)
{
	struct vsock_conn *c;
	int ret;

	*out = NULL;
	if (!type_offered(vs, type))
		return -EOPNOTSUPP;
	ret = choose_local(vs, type, &local, remote);
	if (ret)
		return ret;
	c = conn_new(vs, type, local, remote);
	if (!c)
		return -ENOMEM;
	ret = send_op(c, VSOCK_OP_REQUEST, 0);
	if (ret) {
		conn_free(c);
		return ret;
	}
	*out = c;
	return 0;
}

/* Polls until cond holds. -ETIMEDOUT, or -EPROTO when the device breaks a ring. */
#define poll_until(vs, cond, ns)                                                                   \
	({                                                                                         \
		int poll_ret_ = 0;                                                                 \
		if (!wait_for((cond) || (poll_ret_ = vsock_poll(vs)) < 0 || (cond), ns))           \
			poll_ret_ = -ETIMEDOUT;                                                    \
		poll_ret_ < 0 ? poll_ret_ : 0;                                                     \
	})

int vsock_connect(struct vsock *vs, enum vsock_type type, struct vsock_addr local,
		  struct vsock_addr remote, uint64_t ns, struct vsock_conn **out)
{
	struct vsock_conn *c;
	int ret = vsock_connect_start(vs, type, local, remote, out);

	if (ret)
		return ret;
	c = *out;
	ret = poll_until(vs, c->state != VSOCK_CONNECTING, ns);
	if (!ret && c->state != VSOCK_ESTABLISHED)
		ret = c->state == VSOCK_REFUSED ? -ECONNREFUSED : -ECONNRESET;
	if (!ret)
		return 0;
	if (ret == -ETIMEDOUT)
		send_op(c, VSOCK_OP_RST, 0);
	conn_free(c);
	*out = NULL;
	return ret;
}

int vsock_listen(struct vsock *vs, enum vsock_type type, struct vsock_addr local,
		 unsigned int backlog, struct vsock_listener **out)
{
	struct vsock_listener *l;

	*out = NULL;
	if (!type_offered(vs, type))
		return -EOPNOTSUPP;
	if (local.cid != VSOCK_CID_ANY && !vsock_is_local(vs, local.cid))
		return -EADDRNOTAVAIL;
	for (l = vs->listeners; l; l = l->next)
		if (l->type == type && l->local.port == local.port &&
		    (l->local.cid == local.cid || l->local.cid == VSOCK_CID_ANY ||
		     local.cid == VSOCK_CID_ANY))
			return -EADDRINUSE;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->vs = vs;
	l->type = type;
	l->local = local;
	l->backlog = backlog;
	l->last = &l->first;
	l->next = vs->listeners;
	vs->listeners = l;
	vs->stats.listeners++;
	*out = l;
	return 0;
}

void vsock_unlisten(struct vsock_listener *l)
{
	struct vsock_listener **p = &l->vs->listeners;
	struct vsock_conn *c;

	while (*p != l)
		p = &(*p)->next;
	*p = l->next;
	while ((c = l->first)) {
		l->first = c->backlog;
		if (c->state <= VSOCK_CLOSING)
			send_op(c, VSOCK_OP_RST, 0);
		conn_free(c);
	}
	l->vs->stats.listeners--;
	free(l);
}

int vsock_accept(struct vsock_listener *l, uint64_t ns, struct vsock_conn **out)
{
	const int ret = poll_until(l->vs, l->first, ns);
	struct vsock_conn *c = l->first;

	*out = NULL;
	if (ret)
		return ret;
	l->first = c->backlog;
	if (!l->first)
		l->last = &l->first;
	c->backlog = NULL;
	l->waiting--;
	*out = c;
	return 0;
}

enum vsock_state vsock_conn_state(const struct vsock_conn *c)
{
	return c->state;
}

struct vsock_addr vsock_conn_local(const struct vsock_conn *c)
{
	return c->local;
}

struct vsock_addr vsock_conn_remote(const struct vsock_conn *c)
{
	return c->remote;
}

static int state_error(const struct vsock_conn *c)
{
	return c->state == VSOCK_CLOSED_ORDERLY ? -EPIPE : -ECONNRESET;
}

/*
 * Sends one packet of at most len bytes within the credit. Returns the bytes, 0 without credit or
 * room, or an error.
 */
static ssize_t send_some(struct vsock_conn *c, const uint8_t *p, size_t len)
{
	uint32_t n = peer_free(c), flags = 0;
	struct vsock_hdr h;
	int ret;

	if (n > VSOCK_TX_PAYLOAD)
		n = VSOCK_TX_PAYLOAD;
	if (n > len)
		n = (uint32_t)len;
	if (n == 0 && len)
		return 0;
	if (c->type == VSOCK_SEQPACKET && n == len)
		flags = VSOCK_SEQ_EOM;
	h = header(c, VSOCK_OP_RW, flags, n);
	ret = vsock_tx_now(c->vs, &h, p, n);
	if (ret)
		return ret == -ENOSPC ? 0 : ret;
	c->tx_cnt += n;
	return n;
}

#define CREDIT_ASK_NS (20 * MSEC)

static ssize_t send_all(struct vsock_conn *c, const uint8_t *p, size_t len, uint64_t ns)
{
	const deadline_t end = deadline_in(ns);
	deadline_t ask = deadline_in(CREDIT_ASK_NS);
	size_t done = 0;
	bool first = true;
	ssize_t n;
	int ret;

	while (done < len || first) {
		if (c->state > VSOCK_CLOSING)
			return state_error(c);
		if ((c->we_shut & VSOCK_SHUTDOWN_SEND) || (c->peer_shut & VSOCK_SHUTDOWN_RCV))
			return -EPIPE;
		n = send_some(c, p + done, len - done);
		if (n < 0)
			return n;
		if (n > 0 || len == 0) {
			done += (size_t)n;
			first = false;
			vq_kick(c->vs->dev->vq[VQ_TX]);
			continue;
		}
		ret = vsock_poll(c->vs);
		if (ret < 0)
			return ret;
		if (ret == 0 && deadline_passed(end))
			return done ? (ssize_t)done : -ETIMEDOUT;
		if (ret == 0 && peer_free(c) == 0 && deadline_passed(ask)) {
			vsock_credit_request(c);
			ask = deadline_in(CREDIT_ASK_NS);
		}
	}
	return (ssize_t)done;
}

/* A device that is slower than this is slower than any caller waits. */
#define TX_DONE_NS (5 * time_sec())

ssize_t vsock_send(struct vsock_conn *c, const void *buf, size_t len, uint64_t ns)
{
	struct vsock *vs = c->vs;
	ssize_t n;
	int ret;

	if (c->type == VSOCK_SEQPACKET && len > c->peer_buf_alloc)
		return -EMSGSIZE;
	vsock_send_begin(vs);
	n = send_all(c, buf, len, ns);
	/*
	 * The device reads straight from buf, so the caller gets it back once the device has used
	 * all packets.
	 */
	ret = poll_until(vs, vs->send_pending == 0, ns > TX_DONE_NS ? ns : TX_DONE_NS);
	return ret ? ret : n;
}

/*
 * Gives credit back once a quarter of the buffer was read, so that a sender never waits for long.
 */
static void consumed(struct vsock_conn *c, uint32_t n)
{
	if (c->hold_credit)
		return;
	c->fwd_cnt += n;
	if (c->fwd_cnt - c->told_fwd >= c->buf_alloc / 4 && c->state == VSOCK_ESTABLISHED)
		send_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
}

static size_t take_bytes(struct vsock_conn *c, uint8_t *buf, size_t len)
{
	struct chunk *k = c->head;
	const size_t n = len < k->len - k->off ? len : k->len - k->off;

	memcpy(buf, k->data + k->off, n);
	k->off += (uint32_t)n;
	c->readable -= n;
	if (k->off == k->len)
		drop_chunk(c);
	return n;
}

static bool at_end(const struct vsock_conn *c)
{
	return c->head || c->state > VSOCK_CLOSING || (c->peer_shut & VSOCK_SHUTDOWN_SEND);
}

static ssize_t recv_stream(struct vsock_conn *c, uint8_t *buf, size_t len, uint64_t ns)
{
	const int ret = poll_until(c->vs, at_end(c), ns);
	size_t done = 0;

	if (ret)
		return ret;
	while (c->head && done < len)
		done += take_bytes(c, buf + done, len - done);
	if (done) {
		consumed(c, (uint32_t)done);
		finish_if_done(c);
		return (ssize_t)done;
	}
	return c->state == VSOCK_RESET || c->state == VSOCK_TRANSPORT_RESET ? -ECONNRESET : 0;
}

/* The last chunk of the first message, or NULL while that message is incomplete. */
static const struct chunk *message_end(const struct vsock_conn *c)
{
	const struct chunk *k;

	for (k = c->head; k; k = k->next)
		if (k->flags & VSOCK_SEQ_EOM)
			return k;
	return NULL;
}

/*
 * Whether a message is there, or none will come. A part of one that lies in the buffer keeps its space until the rest
 * has come, and the rest may need all that is free: the peer has to know of every byte.
 */
static bool message_or_end(struct vsock_conn *c)
{
	if (message_end(c))
		return true;
	if (c->head && !c->hold_credit && c->fwd_cnt != c->told_fwd &&
	    c->state == VSOCK_ESTABLISHED)
		send_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
	return !c->head && at_end(c);
}

ssize_t vsock_recv_msg(struct vsock_conn *c, void *buf, size_t len, uint64_t ns, size_t *msg_len,
		       bool *eor)
{
	const struct chunk *k, *last;
	size_t done = 0, total = 0;
	bool end = false;
	int ret;

	ret = poll_until(c->vs, message_or_end(c), ns);
	last = message_end(c);
	if (ret && !last)
		return ret;
	if (msg_len)
		*msg_len = 0;
	if (!last)
		return c->state == VSOCK_RESET || c->state == VSOCK_TRANSPORT_RESET ? -ECONNRESET :
										      -EPIPE;
	for (k = c->head; k && !end; k = c->head) {
		const size_t n = len - done < k->len ? len - done : k->len;

		end = k == last;
		if (eor)
			*eor = k->flags & VSOCK_SEQ_EOR;
		memcpy((uint8_t *)buf + done, k->data, n);
		done += n;
		total += k->len;
		c->readable -= k->len;
		drop_chunk(c);
	}
	consumed(c, (uint32_t)total);
	finish_if_done(c);
	if (msg_len)
		*msg_len = total;
	return (ssize_t)done;
}

ssize_t vsock_recv(struct vsock_conn *c, void *buf, size_t len, uint64_t ns)
{
	ssize_t n;

	if (c->type == VSOCK_STREAM)
		return recv_stream(c, buf, len, ns);
	n = vsock_recv_msg(c, buf, len, ns, NULL, NULL);
	return n == -EPIPE ? 0 : n;
}

size_t vsock_readable(const struct vsock_conn *c)
{
	return c->readable;
}

int vsock_shutdown(struct vsock_conn *c, unsigned int how)
{
	if (c->state != VSOCK_ESTABLISHED)
		return -ENOTCONN;
	c->we_shut |= how & BOTH;
	if (c->we_shut == BOTH)
		c->state = VSOCK_CLOSING;
	return send_op(c, VSOCK_OP_SHUTDOWN, c->we_shut);
}

unsigned int vsock_peer_shutdown(const struct vsock_conn *c)
{
	return c->peer_shut;
}

void vsock_reset(struct vsock_conn *c)
{
	if (c->state > VSOCK_CLOSING)
		return;
	send_op(c, VSOCK_OP_RST, 0);
	kill_conn(c, VSOCK_RESET);
}

int vsock_conn_close(struct vsock_conn *c, uint64_t ns)
{
	struct vsock *vs = c->vs;
	int ret = 0;

	if (ns == 0)
		vsock_reset(c);
	if (c->state == VSOCK_CONNECTING)
		vsock_reset(c);
	if (c->state == VSOCK_ESTABLISHED)
		vsock_shutdown(c, BOTH);
	if (c->state == VSOCK_CLOSING)
		ret = poll_until(vs, c->state != VSOCK_CLOSING, ns);
	if (ret == -ETIMEDOUT)
		vsock_reset(c);
	conn_free(c);
	return ret;
}

void vsock_set_buf(struct vsock *vs, uint32_t bytes)
{
	vs->default_buf = bytes ? bytes : VSOCK_DEFAULT_BUF;
}

void vsock_conn_set_buf(struct vsock_conn *c, uint32_t bytes)
{
	c->buf_alloc = bytes;
	if (c->state == VSOCK_ESTABLISHED)
		send_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
}

void vsock_conn_advance(struct vsock_conn *c, uint32_t n)
{
	const struct vsock_hdr h = header(c, VSOCK_OP_CREDIT_UPDATE, 0, 0);

	c->fwd_cnt += n;
	c->told_fwd += n;
	c->told_limit += n;
	c->rx_cnt += n;
	c->tx_cnt += n;
	c->peer_fwd_cnt += n;
	c->acked += n;
	vsock_tell(c->vs, VSOCK_SAW_ADVANCED, &h, n, NULL);
}

void vsock_conn_hold_credit(struct vsock_conn *c, bool on)
{
	c->hold_credit = on;
	if (on)
		return;
	/* Give back all that was read meanwhile. */
	c->fwd_cnt = c->rx_cnt - (uint32_t)c->readable;
	if (c->state == VSOCK_ESTABLISHED)
		send_op(c, VSOCK_OP_CREDIT_UPDATE, 0);
}

void vsock_conn_credit(const struct vsock_conn *c, struct vsock_credit *out)
{
	*out = (struct vsock_credit){
		.buf_alloc = c->buf_alloc,
		.fwd_cnt = c->fwd_cnt,
		.rx_cnt = c->rx_cnt,
		.peer_buf_alloc = c->peer_buf_alloc,
		.peer_fwd_cnt = c->peer_fwd_cnt,
		.tx_cnt = c->tx_cnt,
		.peer_free = peer_free(c),
		.overruns = c->overruns,
		.bad_credit = c->bad_credit,
		.late_credit = c->late_credit,
		.updates = c->updates,
		.requests = c->requests,
	};
}

int vsock_credit_request(struct vsock_conn *c)
{
	return send_op(c, VSOCK_OP_CREDIT_REQUEST, 0);
}

void vsock_conn_set_told(struct vsock_conn *c, uint32_t buf_alloc)
{
	c->buf_alloc = buf_alloc;
}

int vsock_conn_packet(struct vsock_conn *c, enum vsock_op op, uint32_t flags, const void *payload,
		      uint32_t len)
{
	const struct vsock_hdr h = header(c, op, flags, len);
	const int ret = vsock_tx_queue(c->vs, &h, payload, len);

	if (!ret)
		c->tx_cnt += len;
	return ret;
}

void vsock_hold_requests(struct vsock *vs, bool on)
{
	vs->requests_held = on;
}
