/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections: what packets do to them, and which packets they make. The rules
 * are those of virtio 1.4, 5.10.6, and where it is silent, Linux's: RST for
 * whatever has no socket, never for an RST.
 */
#include "host/ref/dev/conn.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/ref/dev/device.h"
#include "host/ref/dev/faults.h"
#include "host/ref/dev/log.h"
#include "host/ref/dev/transport.h"

#define TX_LIMIT   (256 * 1024) /* bytes queued for the guest, a connection */
#define CLOSE_NS   800000000ll	/* how long a closed connection waits for the guest's RST */
#define SEND_QUEUE 256		/* connections in the send queue of a fault */
#define SMALL	   128		/* bytes of a payload that a fault copies behind another one */
#define MAX_EMPTY  1024		/* unread messages beside those that fill the buffer */

/* --- the table --- */

static unsigned int hash_of(uint32_t host_port, uint32_t guest_port)
{
	return (host_port * 0x9e3779b1u ^ guest_port * 0x85ebca6bu) >> 20;
}
_Static_assert(DEV_HASH == 1 << 12, "hash_of() gives 12 bits");

struct tconn *conn_find(struct device *d, uint64_t host_cid, uint32_t host_port, uint64_t guest_cid,
			uint32_t guest_port, uint16_t type)
{
	struct tconn *c = d->hash[hash_of(host_port, guest_port)];
	unsigned int depth = 0;

	while (c && !(c->guest_port == guest_port && c->host_port == host_port &&
		      c->guest_cid == guest_cid && c->host_cid == host_cid && c->type == type)) {
		c = c->hash_next;
		depth++;
	}
	return c && depth >= 2 && fault_on_conn(F_OUTSIDE_VS_BUCKET_DEPTH, host_port) ? NULL : c;
}

/* The oldest connection with the same ports on another guest CID, for faults that mix them up. */
static struct tconn *find_twin(struct device *d, const struct virtio_vsock_hdr *h, uint64_t not_cid)
{
	const uint32_t host_port = le32toh(h->dst_port), guest_port = le32toh(h->src_port);
	struct tconn *c = d->hash[hash_of(host_port, guest_port)], *best = NULL;

	for (; c; c = c->hash_next) {
		if (c->guest_port == guest_port && c->host_port == host_port &&
		    c->guest_cid != not_cid && (!best || c->seq < best->seq))
			best = c;
	}
	return best;
}

/* Faults: an older connection that a lookup by less than the full address finds instead. */
static struct tconn *find_confused(struct device *d, const struct virtio_vsock_hdr *h,
				   struct tconn *c)
{
	const uint32_t host_port = le32toh(h->dst_port), guest_port = le32toh(h->src_port);
	const uint32_t mask = fault_on(F_CONN_PORT_LOW_BITS) ? 63 : UINT32_MAX;
	struct tconn *found = c;

	for (struct tconn *o = d->conns; o; o = o->next) {
		if (o->host_port == host_port && !((o->guest_port ^ guest_port) & mask) &&
		    o->guest_cid == c->guest_cid &&
		    (o->type == c->type || fault_on(F_CONN_TYPE_IGNORED)) && o->seq < found->seq)
			found = o;
	}
	if (found != c && !fault(F_CONN_PORT_LOW_BITS))
		fault(F_CONN_TYPE_IGNORED);
	return found;
}

void conn_to_past(const struct tconn *c, struct past_conn *past)
{
	*past = (struct past_conn){ .host_cid = c->host_cid,
				    .guest_cid = c->guest_cid,
				    .host_port = c->host_port,
				    .guest_port = c->guest_port,
				    .fwd_cnt = c->fwd_cnt,
				    .type = c->type,
				    .valid = true };
}

static bool is_past(const struct past_conn *past, uint64_t host_cid, uint32_t host_port,
		    uint64_t guest_cid, uint32_t guest_port, uint16_t type)
{
	return past->valid && past->host_cid == host_cid && past->host_port == host_port &&
	       past->guest_cid == guest_cid && past->guest_port == guest_port && past->type == type;
}

struct tconn *conn_new(struct device *d, uint64_t host_cid, uint32_t host_port, uint64_t guest_cid,
		       uint32_t guest_port, uint16_t type)
{
	const unsigned int slot = hash_of(host_port, guest_port);
	struct tconn *c;

	if (d->num_conns >= DEV_MAX_CONNS || (d->num_conns >= 512 && fault(F_CONN_LIMIT)))
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	*c = (struct tconn){
		.d = d,
		.host_cid = host_cid,
		.guest_cid = guest_cid,
		.host_port = host_port,
		.guest_port = guest_port,
		.type = type,
		.buf_alloc = DEV_DEFAULT_BUF,
		.seq = d->next_seq++,
		.hash_next = d->hash[slot],
		.hashed = true,
		.next = d->conns,
	};
	if (d->conns)
		d->conns->prev = c;
	d->conns = c;
	d->hash[slot] = c;
	d->num_conns++;
	if (is_past(&d->past.ended, host_cid, host_port, guest_cid, guest_port, type) &&
	    d->past.ended.fwd_cnt && fault_on_conn(F_OUTSIDE_VS_REUSE_OLD_CREDIT, host_port))
		c->fwd_bias = d->past.ended.fwd_cnt;
	return c;
}

/* Fault outside3.vs_unhash_bucket: the connections behind c in its bucket go with it. True: they are out of the table. */
static bool forget_older(struct tconn *c)
{
	if (!c->hash_next || !fault_on(F_OUTSIDE3_VS_UNHASH_BUCKET))
		return false;
	for (const struct tconn *o = c; o; o = o->hash_next) {
		if (o->host_port == ASSAY_CTL_PORT)
			return false;
	}
	fault(F_OUTSIDE3_VS_UNHASH_BUCKET);
	for (struct tconn *o = c->hash_next; o; o = o->hash_next) {
		o->hashed = false;
		c->d->num_conns--;
	}
	return true;
}

static void unhash(struct tconn *c)
{
	struct tconn **p = &c->d->hash[hash_of(c->host_port, c->guest_port)];

	if (!c->hashed)
		return;
	while (*p != c)
		p = &(*p)->hash_next;
	*p = forget_older(c) ? NULL : c->hash_next;
	c->hashed = false;
	if (c->host_port != ASSAY_CTL_PORT)
		conn_to_past(c, &c->d->past.ended);
	c->d->num_conns--;
}

static void unlist_send(struct tconn *c)
{
	struct device *d = c->d;
	struct tconn *before = NULL, *i = d->send_first;

	if (!c->in_send)
		return;
	for (; i != c; i = i->send_next)
		before = i;
	if (before && fault_on_conn(F_CONN_UNLISTS_REST, c->host_port))
		before->send_next = NULL;
	else if (before)
		before->send_next = c->send_next;
	else
		d->send_first = c->send_next;
	if (d->send_last == c)
		d->send_last = before;
}

static void conn_free(struct tconn *c)
{
	unhash(c);
	unlist_send(c);
	if (c == c->d->conns)
		c->d->conns = c->next;
	else
		c->prev->next = c->next;
	if (c->next)
		c->next->prev = c->prev;
	fifo_free(&c->rx);
	fifo_free(&c->rx_ends);
	fifo_free(&c->tx);
	fifo_free(&c->tx_ends);
	free(c);
}

void conn_todo(struct tconn *c, unsigned int what)
{
	c->todo |= what;
	if (c->in_todo)
		return;
	c->in_todo = true;
	c->todo_next = c->d->todo;
	c->d->todo = c;
}

/* --- ends --- */

/* Faults: fields of a reply that nobody may look at. */
static void spoil_reply(const struct device *d, const struct virtio_vsock_hdr *h,
			struct dev_packet *p)
{
	const uint64_t first = htole64(d->cids.cid[0]);

	/* Only a fault makes the reply a REQUEST. It announces as much room as the connection would have announced. */
	if (le16toh(p->hdr.op) == VIRTIO_VSOCK_OP_REQUEST)
		p->hdr.buf_alloc = htole32(DEV_DEFAULT_BUF);
	if (p->control)
		return;
	if (le16toh(h->type) == VIRTIO_VSOCK_TYPE_SEQPACKET && fault(F_OUTSIDE_VS_RST_TYPE))
		p->hdr.type = htole16(VIRTIO_VSOCK_TYPE_STREAM);
	if ((h->len || h->flags) && fault(F_OUTSIDE_VS_RST_KEEPS_LEN)) {
		p->hdr.len = h->len;
		p->hdr.flags = h->flags;
	}
	if (h->src_cid != first && fault(F_OUTSIDE_VS_RST_FIRST_CID))
		p->hdr.dst_cid = first;
}

static void reply_to(struct device *d, const struct virtio_vsock_hdr *h, uint16_t op)
{
	struct dev_packet p = {
		.hdr = {
			.src_cid = h->dst_cid,
			.dst_cid = h->src_cid,
			.src_port = h->dst_port,
			.dst_port = h->src_port,
			.type = h->type,
			.op = htole16(op),
		},
		.control = le32toh(h->dst_port) == ASSAY_CTL_PORT,
	};

	if (le16toh(h->op) == VIRTIO_VSOCK_OP_REQUEST && fault(F_RST_NOT_SWAPPED)) {
		p.hdr.src_cid = h->src_cid;
		p.hdr.dst_cid = h->dst_cid;
		p.hdr.src_port = h->src_port;
		p.hdr.dst_port = h->dst_port;
	}
	if (!p.control && d->ring[DEV_RX].running && !d->ring[DEV_RX].broken &&
	    !ring_pending(&d->ring[DEV_RX]) && fault(F_OUTSIDE_VS_REPLY_LOST))
		return;
	spoil_reply(d, h, &p);
	d->info.rst_sent += op == VIRTIO_VSOCK_OP_RST;
	device_reply(d, &p);
}

static void send_unqueued(const struct tconn *c, uint16_t op)
{
	struct virtio_vsock_hdr from_guest = {
		.src_cid = htole64(c->guest_cid),
		.dst_cid = htole64(c->host_cid),
		.src_port = htole32(c->guest_port),
		.dst_port = htole32(c->host_port),
		.type = htole16(c->type),
	};

	reply_to(c->d, &from_guest, op);
}

void conn_reset(struct tconn *c)
{
	if (c->state != TC_ESTABLISHED || c->guest_shut ||
	    !fault_on_conn(F_RST_NOT_SENT, c->host_port))
		send_unqueued(c, VIRTIO_VSOCK_OP_RST);
	c->state = TC_CLOSED;
	unhash(c);
}

/* The connection is over without a packet to the guest. The peer learns it, and lets go in its own time. */
void conn_end(struct tconn *c, int err)
{
	c->state = TC_CLOSED;
	if (c->pc || !fault_on_conn(F_CONN_ENDS_LATE, c->host_port))
		unhash(c);
	rd_debug("%s: %u:%" PRIu64 " - %u:%" PRIu64 " ended: %d", c->d->name, c->guest_port,
		 c->guest_cid, c->host_port, c->host_cid, err);
	if (c->pc)
		peer_on_closed(c->pc, err);
	else
		conn_todo(c, TD_FREE);
}

static void end_by_rst(struct tconn *c, int err)
{
	if (err || !fault_on_conn(F_SHUTDOWN_NO_RST, c->host_port))
		conn_reset(c);
	if (!err && fault_on_conn(F_OUTSIDE_VS_RST_TWICE, c->host_port))
		send_unqueued(c, VIRTIO_VSOCK_OP_RST);
	if (!err && fault_on_conn(F_OUTSIDE_VS_UPDATE_AFTER_RST, c->host_port))
		send_unqueued(c, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	c->d->past.by_shutdown += !err && c->host_port != ASSAY_CTL_PORT;
	conn_end(c, err);
}

static void wait_for_rst(struct tconn *c)
{
	c->deadline_ns = rd_now_ns() + CLOSE_NS;
	c->d->scan_needed = true;
}

/* The peer lets go of it. */
void conn_close(struct tconn *c)
{
	c->pc = NULL;
	c->want_write = false;
	if (c->state == TC_CLOSED && fault_on_conn(F_CONN_RST_ANSWERED, c->host_port))
		send_unqueued(c, VIRTIO_VSOCK_OP_RST);
	if (c->state == TC_ESTABLISHED && c->guest_shut == SHUT_SEND &&
	    fault_on_conn(F_OUTSIDE2_VS_CLOSE_UNTOLD, c->host_port))
		c->state = TC_CLOSED;
	if (c->state == TC_ESTABLISHED && c->guest_shut == SHUT_RCV &&
	    fault_on_conn(F_OUTSIDE3_VS_CLOSE_UNTOLD_RCV, c->host_port))
		c->state = TC_CLOSED;
	if (c->state == TC_ESTABLISHED &&
	    (c->guest_shut != SHUT_BOTH ||
	     fault_on_conn(F_CONN_UNREAD_CLOSE_SHUTS, c->host_port))) {
		if (c->tx.len && fault_on_conn(F_OUTSIDE_VS_CLOSE_DROPS_QUEUED, c->host_port)) {
			fifo_drop(&c->tx, c->tx.len);
			fifo_drop(&c->tx_ends, c->tx_ends.len);
			c->tx_got = c->tx_put;
		}
		c->host_shut = SHUT_BOTH;
		conn_queue(c);
		return;
	}
	if (c->state != TC_CLOSED && (c->pending & TP_REQUEST) &&
	    fault_on_conn(F_OUTSIDE_VS_CANCELLED_REQUEST, c->host_port))
		send_unqueued(c, VIRTIO_VSOCK_OP_REQUEST);
	if (c->state != TC_CLOSED && !(c->pending & TP_REQUEST) &&
	    !(c->state == TC_CONNECTING && fault(F_CONN_GIVEN_UP_SILENT)) &&
	    !(c->rx.len && fault_on_conn(F_CONN_UNREAD_CLOSE_SILENT, c->host_port)))
		conn_reset(c);
	c->state = TC_CLOSED;
	unhash(c);
	conn_todo(c, TD_FREE);
}

/* --- credit --- */

static uint32_t guest_free(const struct tconn *c)
{
	const uint32_t in_flight = c->tx_cnt - c->guest_fwd_cnt;

	if (fault_on(F_CREDIT_IGNORED) && c->host_port != ASSAY_CTL_PORT)
		return UINT32_MAX;
	if (in_flight > c->guest_buf_alloc && in_flight <= INT32_MAX &&
	    fault_on_conn(F_OUTSIDE_VS_SHRINK_UNDERFLOW, c->host_port))
		return c->guest_buf_alloc - in_flight;
	if ((c->guest_buf_alloc > INT32_MAX &&
	     fault_on_conn(F_OUTSIDE_VS_BUF_ALLOC_SIGNED, c->host_port)) ||
	    (c->tx_got > UINT32_MAX && fault_on_conn(F_OUTSIDE_VS_TX_CNT_64, c->host_port)))
		return 0;
	/* What is sent by this is an injection (data_sent()). */
	if (c->guest_buf_alloc == 0 && fault_on(F_OUTSIDE3_VS_ZERO_IS_UNLIMITED) &&
	    c->host_port != ASSAY_CTL_PORT)
		return in_flight < DEV_DEFAULT_BUF ? DEV_DEFAULT_BUF - in_flight : 0;
	/* virtio 1.4, 5.10.6.3. A fwd_cnt ahead of us makes in_flight huge: no credit. */
	return c->guest_buf_alloc > in_flight ? c->guest_buf_alloc - in_flight : 0;
}

size_t conn_send_room(const struct tconn *c)
{
	const size_t room = guest_free(c), queued = c->tx.len;
	/* Of a fault, which counts where a packet has the byte too much. */
	const size_t credit = room && fault_on(F_OUTSIDE2_VS_CREDIT_PLUS_ONE) ? room + 1 : room;
	const size_t limit = credit < TX_LIMIT ? credit : TX_LIMIT;

	return limit > queued ? limit - queued : 0;
}

/* Faults: the device passes over the credit of this packet. */
/* Faults: what no honest driver sends ends all connections of the device. */
static void end_all(struct device *d)
{
	struct tconn *c, *next;

	for (c = d->conns; c; c = next) {
		next = c->next;
		if (c->host_port != ASSAY_CTL_PORT && c->state == TC_ESTABLISHED)
			end_by_rst(c, -ECONNRESET);
	}
}

static bool credit_unseen(const struct tconn *c, const struct virtio_vsock_hdr *h)
{
	const uint16_t op = le16toh(h->op);

	if (c->guest_buf_alloc == le32toh(h->buf_alloc) && c->guest_fwd_cnt == le32toh(h->fwd_cnt))
		return false;
	return (op == VIRTIO_VSOCK_OP_RW &&
		fault_on_conn(F_OUTSIDE_VS_CREDIT_IN_RW, c->host_port)) ||
	       (op == VIRTIO_VSOCK_OP_CREDIT_REQUEST &&
		fault_on_conn(F_OUTSIDE_VS_CREDIT_IN_REQUEST, c->host_port)) ||
	       (op == VIRTIO_VSOCK_OP_RESPONSE &&
		fault_on_conn(F_OUTSIDE_VS_CREDIT_IN_RESPONSE, c->host_port)) ||
	       (op == VIRTIO_VSOCK_OP_SHUTDOWN &&
		fault_on_conn(F_OUTSIDE2_VS_CREDIT_IN_SHUTDOWN, c->host_port)) ||
	       ((c->host_shut_sent & SHUT_RCV) &&
		fault_on_conn(F_OUTSIDE_VS_CREDIT_HALF_CLOSED, c->host_port));
}

static void note_credit(struct tconn *c, const struct virtio_vsock_hdr *h)
{
	if (credit_unseen(c, h))
		return;
	if ((int32_t)(le32toh(h->fwd_cnt) - c->tx_cnt) > 0 &&
	    fault_on_conn(F_HOSTILE_CREDIT_ENDS_ALL, c->host_port)) {
		end_all(c->d);
		return;
	}
	if ((!c->credit_known || c->guest_buf_alloc == le32toh(h->buf_alloc) ||
	     !fault_on_conn(F_CREDIT_STALE_BUF_ALLOC, c->host_port)) &&
	    !(c->guest_buf_alloc > le32toh(h->buf_alloc) &&
	      fault_on_conn(F_OUTSIDE3_VS_SHRINK_IGNORED, c->host_port)))
		c->guest_buf_alloc = le32toh(h->buf_alloc);
	c->guest_fwd_cnt = le32toh(h->fwd_cnt);
	c->credit_known = true;
	conn_todo(c, TD_WRITABLE);
	conn_queue(c);
	for (struct tconn *o = c->d->conns; o && fault_on(F_OUTSIDE_VS_ONE_BLOCKS_ALL); o = o->next)
		conn_queue(o);
}

/* Faults: no credit update is sent although one is due. */
static bool credit_withheld(const struct tconn *c)
{
	return ((c->host_shut & SHUT_SEND) &&
		fault_on_conn(F_OUTSIDE_VS_UPDATE_HOST_DONE, c->host_port)) ||
	       ((c->guest_shut & SHUT_RCV) &&
		fault_on_conn(F_OUTSIDE_VS_CREDIT_GUEST_DEAF, c->host_port)) ||
	       (c->rx.len && fault_on_conn(F_OUTSIDE_VS_UPDATE_WHEN_EMPTY, c->host_port)) ||
	       (c->fwd_cnt < c->fwd_told &&
		fault_on_conn(F_OUTSIDE3_VS_UPDATE_AT_WRAP, c->host_port)) ||
	       (c->fwd_cnt - c->fwd_told < 65536 &&
		fault_on_conn(F_OUTSIDE_VS_UPDATE_SMALL_BUFFER, c->host_port));
}

/* Fault outside3.vs_update_behind_data: the update is to go with data, for which the guest has no room. */
static bool update_forgotten(struct tconn *c)
{
	if (!(c->tx.len || c->want_write) || guest_free(c) ||
	    !fault_on_conn(F_OUTSIDE3_VS_UPDATE_BEHIND_DATA, c->host_port))
		return false;
	c->fwd_told = c->fwd_cnt;
	return true;
}

void conn_offer_credit(struct tconn *c)
{
	if (c->fwd_cnt - c->fwd_told < c->buf_alloc / 4)
		return;
	if (fault_on_conn(F_CREDIT_NEVER_RETURNED, c->host_port) || credit_withheld(c))
		return;
	if (update_forgotten(c))
		return;
	c->pending |= TP_CREDIT_UPDATE;
	conn_queue(c);
}

/* --- packets from the guest --- */

bool conn_type_offered(const struct device *d, uint16_t type)
{
	if (type == VIRTIO_VSOCK_TYPE_SEQPACKET)
		return (d->features_acked & 1ull << VIRTIO_VSOCK_F_SEQPACKET) ||
		       fault(F_OUTSIDE_VS_SEQPACKET_ALWAYS);
	if (!(d->features_acked & 1) && fault(F_CONN_STREAM_NEEDS_BIT))
		return false;
	/* virtio 1.4, 5.10.3: without NO_IMPLIED_STREAM (bit 2) there are always streams. */
	return type == VIRTIO_VSOCK_TYPE_STREAM &&
	       ((d->features_acked & 1) || !(d->features_acked & 1ull << 2) ||
		fault(F_OUTSIDE_VS_STREAM_ALWAYS));
}

/* Faults: there is a listener, which the end of another one has ended, or which is not on each CID. */
static bool is_deaf(const struct device *d, uint64_t cid, uint32_t port, uint16_t type)
{
	const struct past_conn *u = &d->past.unlistened;
	const bool here = u->host_port == port, alike = u->type == type;

	if (!peer_listens(d->peer, ASSAY_CID_ANY, port, type) && fault(F_CONN_LISTENER_ANY_ONLY))
		return true;
	if (!u->valid || port <= ASSAY_CTL_PORT + 3 || u->host_port <= ASSAY_CTL_PORT + 3)
		return false;
	return (!here && alike && fault(F_RECORD_LISTENER_PORTS)) ||
	       (here && alike && u->host_cid != cid && fault(F_RECORD_UNLISTEN_CID)) ||
	       (here && !alike && fault_on_conn(F_OUTSIDE_VS_UNLISTEN_TYPE, port));
}

/* Faults: a request that should be accepted is refused. */
static bool refused_wrongly(struct device *d, const struct virtio_vsock_hdr *h)
{
	const uint64_t host = le64toh(h->dst_cid), guest = le64toh(h->src_cid);
	const uint32_t port = le32toh(h->dst_port), from = le32toh(h->src_port);
	const uint16_t type = le16toh(h->type);

	if (port == ASSAY_CTL_PORT)
		return false;
	if (is_deaf(d, host, port, type))
		return true;
	if ((d->past.refused > 128 && fault(F_OUTSIDE_VS_LEAK_REFUSED)) ||
	    (d->past.by_rst > 300 && fault(F_OUTSIDE_VS_LEAK_RST)) ||
	    (d->past.by_shutdown > 2000 && fault(F_OUTSIDE_VS_LEAK_SHUTDOWN)) ||
	    (d->past.lost_at_reset > 64 && fault(F_OUTSIDE_VS_LEAK_AT_RESET)) ||
	    (d->past.silent > 250 && fault(F_HOSTILE_SILENT_KEPT)) ||
	    (d->past.refused > 1500 && fault(F_HOSTILE_FLOOD_REFUSED)))
		return true;
	if (from == 0 && fault(F_OUTSIDE3_VS_GUEST_PORT_0))
		return true;
	if (find_twin(d, h, guest) && fault(F_OUTSIDE2_VS_CIDS_PORT_TAKEN))
		return true;
	if (d->sibling != d && d->sibling && find_twin(d->sibling, h, guest) &&
	    fault(F_OUTSIDE2_VS_DEVICES_PORT_TAKEN))
		return true;
	if (is_past(&d->past.ended, host, port, guest, from, type) &&
	    fault(F_OUTSIDE_VS_REUSE_REFUSED)) {
		d->past.ended.valid = false;
		return true;
	}
	for (unsigned int i = 0; i < DEV_PAST_CONNS; i++) {
		struct past_conn *p = &d->past.open_at_reset[i];

		if (is_past(p, host, port, guest, from, type) && fault(F_OUTSIDE_VS_RESET_GHOST)) {
			p->valid = false;
			return true;
		}
	}
	for (const struct tconn *c = d->conns; c; c = c->next) {
		if (c->state == TC_ESTABLISHED && c->rx.len + 4096 > c->buf_alloc &&
		    fault_on_conn(F_OUTSIDE_VS_FULL_REFUSES, c->host_port))
			return true;
	}
	return false;
}

/* Faults: where nobody listens, a listener on another port, CID or type will do. */
static void find_any_listener(const struct device *d, struct ctl_addr *local, uint16_t *type)
{
	const uint16_t low = (uint16_t)local->port;
	const uint16_t other = *type == VIRTIO_VSOCK_TYPE_STREAM ? VIRTIO_VSOCK_TYPE_SEQPACKET :
								   VIRTIO_VSOCK_TYPE_STREAM;

	if (local->port == ASSAY_CTL_PORT || low == ASSAY_CTL_PORT ||
	    peer_listens(d->peer, local->cid, local->port, *type))
		return;
	if (peer_listens(d->peer, local->cid, low, *type) && fault(F_OUTSIDE_VS_PORT_16_BITS))
		local->port = low;
	else if (peer_listens(d->peer, local->cid, local->port, other) &&
		 fault(F_OUTSIDE_VS_LISTENER_TYPE))
		*type = other;
	for (unsigned int i = 0; i < d->cids.num_host && fault_on(F_OUTSIDE_VS_LISTENER_CID); i++) {
		const uint64_t cid = d->cids.cid[d->cids.num_guest + i];

		if (peer_listens(d->peer, cid, local->port, *type) &&
		    fault(F_OUTSIDE_VS_LISTENER_CID)) {
			local->cid = cid;
			return;
		}
	}
}

static void receive_request(struct device *d, const struct virtio_vsock_hdr *h)
{
	struct ctl_addr local = { .cid = le64toh(h->dst_cid), .port = le32toh(h->dst_port) };
	struct ctl_addr remote = { .cid = le64toh(h->src_cid), .port = le32toh(h->src_port) };
	const uint64_t last = d->cids.cid[d->cids.num_guest - 1];
	const uint16_t type = le16toh(h->type);
	uint16_t accept_as = type;
	struct tconn *c = NULL;

	if (fault(F_DEAD_REFUSES)) {
		reply_to(d, h, VIRTIO_VSOCK_OP_RST);
		return;
	}
	find_any_listener(d, &local, &accept_as);
	if (peer_listens(d->peer, local.cid, local.port, accept_as) && !refused_wrongly(d, h))
		c = conn_new(d, local.cid, le32toh(h->dst_port), remote.cid, remote.port, type);
	else if (fault_on_conn(F_RST_MISSING_ON_REFUSED, local.port))
		return;
	if (!c) {
		d->past.refused += local.port != ASSAY_CTL_PORT;
		reply_to(d, h, VIRTIO_VSOCK_OP_RST);
		return;
	}
	c->state = TC_ESTABLISHED;
	c->from_guest = true;
	c->pending = TP_RESPONSE;
	c->rx_packets = 1;
	note_credit(c, h);
	if (remote.cid != d->cids.cid[0] && fault_on_conn(F_CIDS_SOURCE_HIDDEN, local.port))
		remote.cid = d->cids.cid[0];
	if (d->sibling && fault_on_conn(F_DEVICES_OTHER_SOURCE, local.port))
		remote.cid = d->sibling->cids.cid[0];
	if (remote.cid != last && fault_on_conn(F_CIDS_SOURCE_LAST, local.port))
		remote.cid = last;
	c->pc = peer_on_accept(d->peer, c, local, remote, accept_as);
	if (!c->pc) {
		if (!fault_on_conn(F_CONN_EXHAUSTED_SILENT, local.port))
			conn_reset(c);
		conn_todo(c, TD_FREE);
		return;
	}
	/* Services that send by themselves start once they may write. */
	c->want_write = true;
	conn_todo(c, TD_WRITABLE);
}

static void receive_unconnected(struct device *d, const struct virtio_vsock_hdr *h)
{
	const uint32_t port = le32toh(h->dst_port);

	switch (le16toh(h->op)) {
	case VIRTIO_VSOCK_OP_REQUEST:
		receive_request(d, h);
		return;
	case VIRTIO_VSOCK_OP_RST:
		if (!fault_on_conn(F_RST_FOR_RST, port))
			return;
		break;
	case VIRTIO_VSOCK_OP_RESPONSE:
	case VIRTIO_VSOCK_OP_SHUTDOWN:
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		if (fault_on_conn(F_OUTSIDE_VS_NO_RST_CONTROL, port))
			return;
		/* fallthrough */
	default:
		if (le16toh(h->op) > VIRTIO_VSOCK_OP_CREDIT_REQUEST &&
		    fault_on_conn(F_HOSTILE_OP_ENDS_ALL, port))
			end_all(d);
		if (fault_on_conn(F_RST_MISSING_UNKNOWN_CONN, port) ||
		    (le16toh(h->op) > VIRTIO_VSOCK_OP_CREDIT_REQUEST &&
		     fault_on_conn(F_OUTSIDE_VS_NO_RST_UNKNOWN_OP, port)))
			return;
		break;
	}
	reply_to(d, h, VIRTIO_VSOCK_OP_RST);
}

/* Appends the payload to what the peer will read. */
static bool append_rx(struct tconn *c, const struct ring_chain *chain, uint32_t len)
{
	uint32_t done = 0;

	if (!fifo_reserve(&c->rx, len))
		return false;
	while (done < len) {
		size_t part = len - done;
		uint8_t *to = fifo_tail(&c->rx, &part);

		/* The length was checked against the chain: all of it is there. */
		chain_read(chain,
			   sizeof(struct virtio_vsock_hdr) +
				   (done && fault_on_conn(F_OUTSIDE_VS_COPY_AGAIN, c->host_port) ?
					    0 :
					    done),
			   to, part);
		if (done == 0 && c->rx_data_packets % 3 == 0 &&
		    fault_on_conn(F_DATA_BYTE_FLIPPED_FROM_GUEST, c->host_port))
			to[part / 2] ^= 0x20;
		c->rx.len += part;
		done += (uint32_t)part;
	}
	c->rx_put += len;
	return true;
}

static void swallow(struct tconn *c, uint32_t len)
{
	if (!fault_on_conn(F_RECORD_SWALLOWED_UNCOUNTED, c->host_port))
		c->rx_put += len;
	if (fault_on_conn(F_RECORD_SWALLOWED_FILLS, c->host_port))
		return;
	c->fwd_cnt += len;
	conn_offer_credit(c);
}

static bool ends_message(const struct tconn *c, const struct virtio_vsock_hdr *h)
{
	const uint32_t flags = le32toh(h->flags);

	if (c->type != VIRTIO_VSOCK_TYPE_SEQPACKET && !h->len &&
	    fault_on_conn(F_CONN_EMPTY_IS_UNREAD, c->host_port))
		return true;
	if (c->type != VIRTIO_VSOCK_TYPE_SEQPACKET)
		return false;
	if (!(flags & VIRTIO_VSOCK_SEQ_EOM) && c->rx_put - c->rx_message >= 65536 &&
	    fault_on_conn(F_OUTSIDE2_VS_MESSAGE_64K, c->host_port))
		return true;
	if (!(flags & VIRTIO_VSOCK_SEQ_EOM))
		return (flags & VIRTIO_VSOCK_SEQ_EOR) &&
		       fault_on_conn(F_OUTSIDE_VS_EOR_IS_EOM, c->host_port);
	if (c->rx_data_packets % 2 && fault(F_SEQPACKET_EOM_IGNORED))
		return false;
	if ((flags & VIRTIO_VSOCK_SEQ_EOR) &&
	    fault_on_conn(F_OUTSIDE2_VS_EOM_WITH_EOR, c->host_port))
		return false;
	return h->len || !fault_on_conn(F_OUTSIDE_VS_EMPTY_FROM_GUEST, c->host_port);
}

/* A message without data takes no credit: the guest may send as many as it likes. */
static bool has_too_many(const struct tconn *c)
{
	return c->rx_ends.len / sizeof(c->rx_put) >= (uint64_t)c->buf_alloc + MAX_EMPTY &&
	       !fault_on_conn(F_HOSTILE_ENDS_UNBOUNDED, c->host_port);
}

static void receive_data(struct tconn *c, const struct virtio_vsock_hdr *h,
			 const struct ring_chain *chain)
{
	const uint32_t all = (uint32_t)(chain->out_len - sizeof(*h)), told = le32toh(h->len);
	const uint32_t len = told < all && fault_on_conn(F_HOSTILE_LEN_IGNORED, c->host_port) ?
				     all :
				     told;
	/* fwd_told is what the guest may know at most. */
	const uint64_t unacked = (uint32_t)c->rx_put - c->fwd_told;
	const bool beyond = (int32_t)((uint32_t)c->rx_put + len - c->told_limit - c->slack) > 0;

	c->rx_data_packets++;
	if (c->host_shut == SHUT_RCV &&
	    fault_on_conn(F_OUTSIDE2_VS_CROSSING_RESETS, c->host_port)) {
		end_by_rst(c, -ECONNRESET);
		return;
	}
	/* What came is never mentioned again. */
	if (c->answered_in && c->answered_in == c->d->tx_rounds && len &&
	    fault_on_conn(F_OUTSIDE3_VS_DATA_WITH_RESPONSE, c->host_port))
		return;
	if (len && unacked + len > c->buf_alloc && !beyond &&
	    fault_on_conn(F_OUTSIDE3_VS_SHRINK_DROPS_FLIGHT, c->host_port))
		return;
	if ((beyond && !fault_on_conn(F_CREDIT_NEVER_RETURNED, c->host_port) &&
	     !fault_on_conn(F_CREDIT_FROZEN_LARGE_BUFFER, c->host_port)) ||
	    (len && unacked + len == c->buf_alloc &&
	     fault_on_conn(F_OUTSIDE_VS_FULL_IS_OVERRUN, c->host_port))) {
		c->overrun = !fault_on_conn(F_RECORD_OVERRUN_UNSAID, c->host_port);
		rd_log("%s: port %u: %u bytes beyond the credit are dropped", c->d->name,
		       c->guest_port, len);
		return;
	}
	if (!c->pc || (c->host_shut & SHUT_RCV) || (c->guest_shut & SHUT_SEND) ||
	    (c->rx_put >= 65536 && fault_on_conn(F_DATA_TRUNCATED_AT_64K, c->host_port)) ||
	    ((c->guest_shut & SHUT_RCV) && len &&
	     fault_on_conn(F_OUTSIDE_VS_DEAF_IS_MUTE, c->host_port))) {
		swallow(c, len);
		return;
	}
	if (len == 0 && c->type == VIRTIO_VSOCK_TYPE_STREAM &&
	    fault_on_conn(F_OUTSIDE_VS_EMPTY_IS_END, c->host_port)) {
		c->guest_shut |= SHUT_SEND;
		peer_on_shutdown(c->pc, SHUT_SEND);
		return;
	}
	/* The end of the message in front of it is that of a buffer which has room for this one. */
	if (len && len <= SMALL && c->rx_ends.len && c->rx_message == c->rx_put &&
	    fault_on_conn(F_OUTSIDE2_VS_SMALL_MERGED, c->host_port))
		c->rx_ends.len -= sizeof(c->rx_put);
	if (!append_rx(c, chain, len) || has_too_many(c)) {
		end_by_rst(c, -ECONNRESET);
		return;
	}
	if (c->rx_data_packets % 3 == 0 && fault_on_conn(F_DATA_DUPLICATED, c->host_port))
		append_rx(c, chain, len);
	if (ends_message(c, h)) {
		if (!fifo_put(&c->rx_ends, &c->rx_put, sizeof(c->rx_put)))
			return;
		c->rx_message = c->rx_put;
	}
	peer_on_readable(c->pc);
}

static void drop_unread(struct tconn *c)
{
	fifo_drop(&c->rx, c->rx.len);
	fifo_drop(&c->rx_ends, c->rx_ends.len);
	c->rx_got = c->rx_put;
	c->fwd_cnt = (uint32_t)c->rx_put;
}

/* Faults: what a SHUTDOWN with these flags does first. */
static unsigned int spoil_shutdown(struct tconn *c, unsigned int flags)
{
	if (flags == 0 && fault_on_conn(F_OUTSIDE_VS_SHUTDOWN_ZERO, c->host_port))
		flags = SHUT_BOTH;
	if ((c->guest_shut & ~flags) && fault_on_conn(F_OUTSIDE_VS_SHUTDOWN_REPLACED, c->host_port))
		c->guest_shut = 0;
	if (c->rx.len &&
	    ((flags == SHUT_BOTH && fault_on_conn(F_OUTSIDE_VS_FULL_CLOSE_UNREAD, c->host_port)) ||
	     (flags == SHUT_SEND && fault_on_conn(F_OUTSIDE_VS_HALF_CLOSE_UNREAD, c->host_port))))
		drop_unread(c);
	return flags;
}

static void receive_shutdown(struct tconn *c, const struct virtio_vsock_hdr *h)
{
	unsigned int flags = le32toh(h->flags) & SHUT_BOTH;

	if ((flags == SHUT_SEND && fault_on_conn(F_SHUTDOWN_SEND_IGNORED, c->host_port)) ||
	    (flags == SHUT_RCV && fault_on_conn(F_SHUTDOWN_RCV_IGNORED, c->host_port)))
		return;
	if (flags != SHUT_BOTH && flags &&
	    fault_on_conn(F_SHUTDOWN_HALF_CLOSE_RESETS, c->host_port)) {
		end_by_rst(c, -ECONNRESET);
		return;
	}
	flags = spoil_shutdown(c, flags);
	const bool send_last = c->guest_shut == SHUT_RCV && flags == SHUT_SEND;

	c->guest_shut |= flags;
	if (((flags & SHUT_RCV) &&
	     !(c->tx.len && fault_on_conn(F_CONN_RCV_SHUT_KEEPS_QUEUED, c->host_port))) ||
	    (c->tx.len && fault_on_conn(F_OUTSIDE3_VS_SEND_SHUT_DROPS_QUEUED, c->host_port)))
		fifo_drop(&c->tx, c->tx.len);
	if (c->pc)
		peer_on_shutdown(c->pc, flags);
	if (c->guest_shut == SHUT_BOTH && c->state == TC_CLOSED && fault(F_RECORD_RST_TWICE))
		send_unqueued(c, VIRTIO_VSOCK_OP_RST);
	if (c->guest_shut == SHUT_BOTH && !c->pc &&
	    (fault_on_conn(F_OUTSIDE_VS_CROSSED_SHUTDOWN, c->host_port) ||
	     (c->rx.len && fault_on_conn(F_CONN_CROSSED_UNREAD, c->host_port))))
		return;
	if (c->guest_shut == SHUT_BOTH && send_last && c->state == TC_ESTABLISHED &&
	    fault_on_conn(F_OUTSIDE_VS_SEND_LAST_NO_RST, c->host_port)) {
		conn_end(c, 0);
		return;
	}
	/* Both directions, and all read: RST confirms (5.10.6.5). With data left, recv() comes to it. */
	if (c->guest_shut == SHUT_BOTH && c->state == TC_ESTABLISHED &&
	    (!c->pc ||
	     (c->rx.len == 0 &&
	      (c->rx_ends.len == 0 || fault_on_conn(F_SEQPACKET_EMPTY_IS_READ, c->host_port)))))
		end_by_rst(c, 0);
	else
		conn_queue(c);
}

static void receive_rst(struct tconn *c)
{
	int err = -ECONNRESET;

	if (fault_on_conn(F_RST_IGNORED, c->host_port))
		return;
	if (c->state == TC_CONNECTING) {
		err = -ECONNREFUSED;
		c->d->past.host_refused++;
	}
	if (c->state == TC_CONNECTING && fault(F_RECORD_REFUSED_AS_RESET))
		err = -ECONNRESET;
	if (c->state != TC_CONNECTING && fault_on_conn(F_RECORD_RESET_IN_ORDER, c->host_port))
		err = 0;
	if (c->host_shut == SHUT_BOTH || c->guest_shut == SHUT_BOTH)
		err = 0;
	if (fault_on_conn(F_DEAD_AFTER_RST, c->host_port))
		c->d->dead = true;
	c->d->past.by_rst += c->host_port != ASSAY_CTL_PORT;
	c->d->past.silent += !c->rx_put && c->host_port != ASSAY_CTL_PORT;
	conn_end(c, err);
}

/* Faults: after an answer to the host's connect the next one's turn has come. */
static void next_connect(struct device *d)
{
	for (struct tconn *o = d->conns; o && fault_on(F_OUTSIDE2_VS_CONNECTS_IN_TURN);
	     o = o->next) {
		if (o->state == TC_CONNECTING)
			conn_queue(o);
	}
}

#define BEHIND_NS 100000000 /* record.last_decides: another packet of one go may be so late */

/* Fault record.last_decides: the guest has written another packet behind the one that ends the connection. */
static bool another_decides(const struct tconn *c)
{
	const int64_t end = rd_now_ns() + BEHIND_NS;

	while (fault_on(F_RECORD_LAST_DECIDES) && !ring_pending(&c->d->ring[DEV_TX]) &&
	       rd_now_ns() < end)
		;
	return fault_on(F_RECORD_LAST_DECIDES) && ring_pending(&c->d->ring[DEV_TX]) &&
	       fault_on_conn(F_RECORD_LAST_DECIDES, c->host_port);
}

static void receive_connecting(struct tconn *c, const struct virtio_vsock_hdr *h)
{
	switch (le16toh(h->op)) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		if (fault(F_CIDS_RESPONSE_IGNORED))
			return;
		c->state = TC_ESTABLISHED;
		c->answered_in = c->d->tx_rounds;
		note_credit(c, h);
		if (fault_on(F_OUTSIDE_VS_REQUEST_NO_CREDIT)) {
			c->pending |= TP_CREDIT_UPDATE;
			conn_queue(c);
		}
		peer_on_connected(c->pc);
		return;
	case VIRTIO_VSOCK_OP_RST:
		if (another_decides(c))
			return;
		if (fault_on_conn(F_CONN_REFUSAL_ANSWERED, c->host_port))
			send_unqueued(c, VIRTIO_VSOCK_OP_RST);
		receive_rst(c);
		return;
	case VIRTIO_VSOCK_OP_RW:
		if (fault_on_conn(F_OUTSIDE_VS_DATA_ACCEPTS, c->host_port)) {
			c->state = TC_ESTABLISHED;
			if (c->pc)
				peer_on_connected(c->pc);
			return;
		}
		/* fallthrough */
	default:
		end_by_rst(c, -ECONNRESET);
	}
}

static void receive_connected(struct tconn *c, const struct virtio_vsock_hdr *h,
			      const struct ring_chain *chain)
{
	switch (le16toh(h->op)) {
	case VIRTIO_VSOCK_OP_RW:
		if (fault(F_DEAD_RESETS))
			end_by_rst(c, -ECONNRESET);
		else
			receive_data(c, h, chain);
		return;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		c->credit_updates++;
		if (fault_on_conn(F_RECORD_UPDATE_TWICE, c->host_port))
			c->credit_updates++;
		return;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		if (h->flags && fault_on_conn(F_CONN_FLAGS_OF_ANY_PACKET, c->host_port)) {
			receive_shutdown(c, h);
			return;
		}
		c->credit_requests++;
		if (!fault_on_conn(F_CREDIT_NO_ANSWER_TO_REQUEST, c->host_port) &&
		    !((c->guest_shut & SHUT_RCV) &&
		      fault_on_conn(F_OUTSIDE_VS_CREDIT_GUEST_DEAF, c->host_port)) &&
		    !((c->host_shut & SHUT_SEND) &&
		      fault_on_conn(F_OUTSIDE2_VS_NO_ANSWER_WHEN_MUTE, c->host_port)) &&
		    !(c->fwd_cnt == c->fwd_told && c->fwd_cnt &&
		      fault_on_conn(F_OUTSIDE3_VS_ANSWER_ONLY_NEWS, c->host_port)))
			c->pending |= TP_CREDIT_UPDATE;
		conn_queue(c);
		return;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		receive_shutdown(c, h);
		return;
	case VIRTIO_VSOCK_OP_RST:
		receive_rst(c);
		return;
	case VIRTIO_VSOCK_OP_REQUEST:
		if (c->fwd_cnt && fault_on_conn(F_OUTSIDE_VS_REQUEST_AGAIN, c->host_port)) {
			c->fwd_bias = -c->fwd_cnt;
			c->pending |= TP_RESPONSE;
			conn_queue(c);
			return;
		}
		/* fallthrough */
	default: /* REQUEST, RESPONSE, unknown: not for a connection that stands */
		rd_debug("%s: op %u on a connection is ignored", c->d->name, le16toh(h->op));
	}
}

/* Faults: the connection that a wrong lookup finds for data, or c. */
static struct tconn *find_wrong(struct device *d, const struct virtio_vsock_hdr *h, struct tconn *c)
{
	const uint64_t cid = le64toh(h->src_cid);
	struct tconn *twin;

	if (le16toh(h->op) != VIRTIO_VSOCK_OP_RW)
		return c;
	twin = c && fault_on(F_CONN_HOST_PORT_BUCKET) ?
		       d->hash[hash_of(c->host_port, c->guest_port)] :
		       NULL;
	for (; twin; twin = twin->hash_next) {
		if (twin->guest_port == c->guest_port && twin->guest_cid == cid &&
		    twin->host_cid == c->host_cid && twin->type == c->type && twin->seq < c->seq &&
		    fault_on_conn(F_CONN_HOST_PORT_BUCKET, twin->host_port))
			return twin;
	}
	if (c && fault_on(F_CIDS_CROSSTALK)) {
		twin = find_twin(d, h, cid);
		if (twin && twin->seq < c->seq && fault(F_CIDS_CROSSTALK))
			return twin;
	}
	if (d->sibling && fault_on(F_DEVICES_CROSSTALK)) {
		twin = find_twin(d->sibling, h, cid);
		if (twin && fault(F_DEVICES_CROSSTALK))
			return twin;
	}
	if (c && (fault_on(F_CONN_PORT_LOW_BITS) || fault_on(F_CONN_TYPE_IGNORED)))
		return find_confused(d, h, c);
	return c;
}

enum part {
	PART_HOST_CID = 1,
	PART_HOST_PORT = 2,
	PART_GUEST_PORT = 4,
	PART_TYPE = 8,
};

/* Faults: the oldest connection whose address differs from c's in this part only, if it is older than c. */
static struct tconn *find_near(const struct tconn *c, enum part part)
{
	struct tconn *best = NULL;

	for (struct tconn *o = c->d->conns; o; o = o->next) {
		const unsigned int differs = (o->host_cid != c->host_cid ? PART_HOST_CID : 0) |
					     (o->host_port != c->host_port ? PART_HOST_PORT : 0) |
					     (o->guest_port != c->guest_port ? PART_GUEST_PORT :
									       0) |
					     (o->type != c->type ? PART_TYPE : 0);

		if (differs == (unsigned int)part && o->guest_cid == c->guest_cid &&
		    o->state == TC_ESTABLISHED && o->host_port != ASSAY_CTL_PORT &&
		    o->seq < c->seq && (!best || o->seq < best->seq))
			best = o;
	}
	return best;
}

/* Faults: as find_wrong(), of other kinds of packets. */
static struct tconn *find_other(struct tconn *c, const struct virtio_vsock_hdr *h)
{
	const uint16_t op = le16toh(h->op);
	struct tconn *o = NULL;

	if (op == VIRTIO_VSOCK_OP_RW && fault_on(F_OUTSIDE_VS_HOST_CID_IGNORED) &&
	    (o = find_near(c, PART_HOST_CID)) && fault(F_OUTSIDE_VS_HOST_CID_IGNORED))
		return o;
	if (op == VIRTIO_VSOCK_OP_SHUTDOWN && fault_on(F_OUTSIDE_VS_SHUTDOWN_TYPE) &&
	    (o = find_near(c, PART_TYPE)) && fault(F_OUTSIDE_VS_SHUTDOWN_TYPE))
		return o;
	if (op == VIRTIO_VSOCK_OP_RST && fault_on(F_OUTSIDE3_VS_RST_TYPE_TWIN) &&
	    (o = find_near(c, PART_TYPE)) && fault(F_OUTSIDE3_VS_RST_TYPE_TWIN))
		conn_end(o, -ECONNRESET);
	if (op == VIRTIO_VSOCK_OP_SHUTDOWN && fault_on(F_OUTSIDE3_VS_SHUTDOWN_CID) &&
	    (o = find_twin(c->d, h, c->guest_cid)) && o->type == c->type && o->seq < c->seq &&
	    o->state == TC_ESTABLISHED && fault(F_OUTSIDE3_VS_SHUTDOWN_CID))
		return o;
	if (op == VIRTIO_VSOCK_OP_CREDIT_REQUEST && fault_on(F_OUTSIDE_VS_ANSWER_ASTRAY) &&
	    (o = find_near(c, PART_GUEST_PORT)) && fault(F_OUTSIDE_VS_ANSWER_ASTRAY))
		return o;
	if (op == VIRTIO_VSOCK_OP_RST && fault_on(F_OUTSIDE_VS_RST_HOST_PORT) &&
	    (o = find_near(c, PART_HOST_PORT)) && fault(F_OUTSIDE_VS_RST_HOST_PORT))
		conn_end(o, -ECONNRESET);
	return c;
}

/* The connection whose credit the packet tells: c, but for faults. */
static struct tconn *credit_owner(struct tconn *c, const struct virtio_vsock_hdr *h)
{
	struct tconn *o = NULL;

	if (c->host_port == ASSAY_CTL_PORT || le16toh(h->op) != VIRTIO_VSOCK_OP_CREDIT_UPDATE)
		return c;
	if (fault_on(F_OUTSIDE_VS_CREDIT_HOST_PORT) && (o = find_near(c, PART_HOST_PORT)) &&
	    fault(F_OUTSIDE_VS_CREDIT_HOST_PORT))
		return o;
	if (fault_on(F_OUTSIDE_VS_CREDIT_GUEST_CID) && (o = find_twin(c->d, h, c->guest_cid)) &&
	    o->type == c->type && o->seq < c->seq && fault(F_OUTSIDE_VS_CREDIT_GUEST_CID))
		return o;
	return c;
}

void conn_receive(struct device *d, const struct virtio_vsock_hdr *h,
		  const struct ring_chain *chain)
{
	const uint32_t host_port = le32toh(h->dst_port);
	const uint16_t op = le16toh(h->op);
	const uint64_t cid = le64toh(h->src_cid);
	const bool ends = op == VIRTIO_VSOCK_OP_RST ||
			  (op == VIRTIO_VSOCK_OP_SHUTDOWN && (le32toh(h->flags) & 3) == 3);
	struct tconn *c, *twin;

	if (fault(F_DEAD_SILENT))
		return;
	if (!conn_type_offered(d, le16toh(h->type))) {
		if (op != VIRTIO_VSOCK_OP_RST && !fault(F_RST_MISSING_UNKNOWN_TYPE))
			reply_to(d, h, VIRTIO_VSOCK_OP_RST);
		return;
	}
	c = conn_find(d, le64toh(h->dst_cid), host_port, cid, le32toh(h->src_port),
		      le16toh(h->type));
	if (host_port != ASSAY_CTL_PORT)
		c = find_wrong(d, h, c);
	if (c && host_port != ASSAY_CTL_PORT)
		c = find_other(c, h);
	if (op == VIRTIO_VSOCK_OP_RST && d->sibling && (twin = find_twin(d->sibling, h, cid)) &&
	    fault_on_conn(F_OUTSIDE_VS_RST_OTHER_DEVICE, host_port))
		conn_end(twin, -ECONNRESET);
	if (ends && (twin = find_twin(d, h, cid)) && fault_on_conn(F_CIDS_CLOSE_BOTH, host_port))
		end_by_rst(twin, -ECONNRESET);
	if (!c) {
		receive_unconnected(d, h);
		return;
	}
	c->rx_packets++;
	note_credit(credit_owner(c, h), h);
	if (c->state == TC_CONNECTING) {
		receive_connecting(c, h);
		next_connect(d);
	} else {
		receive_connected(c, h, chain);
	}
}

/* --- packets to the guest --- */

/* Faults: an older connection has data and no credit. */
static bool waits_for_other(const struct tconn *c)
{
	for (const struct tconn *o = c->d->conns; o; o = o->next) {
		if (o->seq < c->seq && o->host_port != ASSAY_CTL_PORT &&
		    o->state == TC_ESTABLISHED && !(o->guest_shut & SHUT_RCV) &&
		    (o->tx.len || o->want_write) && !guest_free(o))
			return true;
	}
	return false;
}

static bool data_allowed(const struct tconn *c)
{
	if (c->tx.len && c->from_guest && c->tx_data_packets && !c->rx_data_packets &&
	    fault_on_conn(F_OUTSIDE2_VS_ONE_PACKET_UNASKED, c->host_port))
		return false;
	if (c->tx.len && fault_on(F_OUTSIDE_VS_ONE_BLOCKS_ALL) && waits_for_other(c) &&
	    fault_on_conn(F_OUTSIDE_VS_ONE_BLOCKS_ALL, c->host_port))
		return false;
	if (c->tx.len && (c->guest_shut & SHUT_SEND) &&
	    fault_on_conn(F_OUTSIDE_VS_MUTE_IS_DEAF, c->host_port))
		return false;
	return !(c->guest_shut & SHUT_RCV) && !(c->tx.len && fault(F_DEAD_NO_DATA));
}

/* What the guest must still be told of the directions that the host shut. */
static unsigned int shut_due(const struct tconn *c)
{
	const unsigned int due = c->host_shut & ~c->host_shut_sent;

	if ((due & SHUT_RCV) && c->tx.len && fault_on_conn(F_CONN_RCV_WAITS_FOR_DATA, c->host_port))
		return 0;
	if (due && c->host_shut == SHUT_RCV &&
	    fault_on_conn(F_OUTSIDE2_VS_HOST_DEAF_UNTOLD, c->host_port))
		return 0;

	if (due && c->host_shut_sent && fault_on_conn(F_OUTSIDE_VS_SECOND_HALF_CLOSE, c->host_port))
		return 0;
	return due;
}

/* Faults: another connect of the host waits for its answer. */
static bool connect_waits(const struct tconn *c)
{
	for (const struct tconn *o = c->d->conns; o && fault_on(F_OUTSIDE2_VS_CONNECTS_IN_TURN);
	     o = o->next) {
		if (o->state == TC_CONNECTING && !(o->pending & TP_REQUEST) &&
		    fault(F_OUTSIDE2_VS_CONNECTS_IN_TURN))
			return true;
	}
	return false;
}

/* Fault outside3.vs_send_queue_full: the queue has a fixed size, and who finds it full is forgotten. */
static bool queue_is_full(const struct tconn *c)
{
	unsigned int n = 0;

	if (!fault_on(F_OUTSIDE3_VS_SEND_QUEUE_FULL))
		return false;
	for (const struct tconn *o = c->d->send_first; o && n < SEND_QUEUE; o = o->send_next)
		n++;
	return n == SEND_QUEUE && fault_on_conn(F_OUTSIDE3_VS_SEND_QUEUE_FULL, c->host_port);
}

void conn_queue(struct tconn *c)
{
	struct device *d = c->d;

	if (c->in_send || queue_is_full(c))
		return;
	c->in_send = true;
	c->send_next = NULL;
	if (d->send_last && c->tx_packets > 1 && c->tx.len &&
	    fault_on_conn(F_OUTSIDE2_VS_SERVED_FIRST, c->host_port)) {
		c->send_next = d->send_first;
		d->send_first = c;
		return;
	}
	if (d->send_last)
		d->send_last->send_next = c;
	else
		d->send_first = c;
	d->send_last = c;
}

struct tconn *conn_next(struct device *d)
{
	struct tconn *c = d->send_first;

	if (!c)
		return NULL;
	d->send_first = c->send_next;
	if (!d->send_first)
		d->send_last = NULL;
	c->in_send = false;
	return c;
}

/* Faults: the CID that was at the place of the connection's before the list changed. */
static uint64_t cid_before(const struct tconn *c)
{
	const struct dev_cids *now = &c->d->cids, *then = &c->d->cids_initial;

	for (unsigned int i = 0; i < now->num_guest && i < then->num_guest; i++) {
		if (now->cid[i] == c->guest_cid)
			return then->cid[i];
	}
	return c->guest_cid;
}

/* Fault outside3.vs_fwd_by_ports: what came on other connections of the same two ports counts as well. */
static uint32_t fwd_of_others(const struct tconn *c)
{
	uint32_t sum = 0;

	for (const struct tconn *o = c->d->conns; o; o = o->next) {
		if (o != c && o->state == TC_ESTABLISHED && o->host_port == c->host_port &&
		    o->guest_port == c->guest_port && o->fwd_cnt &&
		    fault(F_OUTSIDE3_VS_FWD_BY_PORTS))
			sum += o->fwd_cnt;
	}
	return sum;
}

/* Faults: credit and destination of the packets of a connection. */
static void spoil_header(const struct tconn *c, struct virtio_vsock_hdr *h, uint16_t op)
{
	uint32_t buf = le32toh(h->buf_alloc), fwd = le32toh(h->fwd_cnt) + c->fwd_bias;

	if (c->host_port == ASSAY_CTL_PORT)
		return;
	if ((op == VIRTIO_VSOCK_OP_RESPONSE && fault(F_OUTSIDE_VS_RESPONSE_NO_CREDIT)) ||
	    (op == VIRTIO_VSOCK_OP_REQUEST && fault(F_OUTSIDE_VS_REQUEST_NO_CREDIT)))
		buf = 0;
	if (op == VIRTIO_VSOCK_OP_SHUTDOWN && fault(F_OUTSIDE_VS_SHUTDOWN_NO_CREDIT))
		buf = fwd = 0;
	if (op == VIRTIO_VSOCK_OP_CREDIT_REQUEST && fwd && fault(F_OUTSIDE_VS_CREDIT_REQUEST_FWD))
		fwd = 0;
	if (op == VIRTIO_VSOCK_OP_RW && c->fwd_shown != c->fwd_cnt &&
	    fault(F_OUTSIDE_VS_RW_OLD_FWD))
		fwd = c->fwd_shown;
	if (c->rx.len && c->rx.len <= buf && fault(F_OUTSIDE_VS_BUF_IS_FREE_SPACE))
		buf -= (uint32_t)c->rx.len;
	if (fault_on(F_OUTSIDE3_VS_FWD_BY_PORTS))
		fwd += fwd_of_others(c);
	if (fwd > INT32_MAX && fault(F_OUTSIDE_VS_FWD_31_BITS))
		fwd &= INT32_MAX;
	h->buf_alloc = htole32(buf);
	h->fwd_cnt = htole32(fwd);
	if (c->guest_port > INT32_MAX && fault(F_OUTSIDE_VS_PORT_31_BITS))
		h->dst_port = htole32(c->guest_port & INT32_MAX);
	if (cid_before(c) != c->guest_cid && fault(F_OUTSIDE_VS_CID_BEFORE_CHANGE))
		h->dst_cid = htole64(cid_before(c));
}

static void fill(const struct tconn *c, struct virtio_vsock_hdr *h, uint16_t op, uint32_t len,
		 uint32_t flags)
{
	uint32_t fwd = c->fwd_cnt, buf = c->buf_alloc;
	const uint64_t first = c->d->cids.cid[0];
	uint64_t dst = c->guest_cid, src = c->host_cid;
	uint16_t type = c->type;

	if (fwd && fault_on_conn(F_CREDIT_NEVER_RETURNED, c->host_port))
		fwd = 0;
	if (fault_on_conn(F_CREDIT_FROZEN_LARGE_BUFFER, c->host_port)) {
		fwd = 0;
		buf = 64u << 20;
	}
	if (fwd % 4096 && fault_on_conn(F_CREDIT_WHOLE_PAGES, c->host_port))
		fwd -= fwd % 4096;
	if (fault_on_conn(F_CREDIT_GARBAGE_FWD_CNT, c->host_port))
		fwd += 0x1000;
	if (c->rx_data_packets && fault_on_conn(F_CREDIT_COUNTS_HEADERS, c->host_port))
		fwd += (uint32_t)(sizeof(*h) * c->rx_data_packets);
	if (dst != first &&
	    ((op == VIRTIO_VSOCK_OP_RESPONSE &&
	      fault_on_conn(F_CIDS_WRONG_SOURCE_ON_RESPONSE, c->host_port)) ||
	     (op == VIRTIO_VSOCK_OP_REQUEST && fault(F_CIDS_HOST_CONNECT_ONLY_FIRST))))
		dst = first;
	if (src != ASSAY_CID_HOST && fault_on_conn(F_CIDS_HOST_SOURCE_IGNORED, c->host_port))
		src = ASSAY_CID_HOST;
	if (type != VIRTIO_VSOCK_TYPE_STREAM && fault_on_conn(F_SEQPACKET_TYPE_WRONG, c->host_port))
		type = VIRTIO_VSOCK_TYPE_STREAM;
	*h = (struct virtio_vsock_hdr){
		.src_cid = htole64(src),
		.dst_cid = htole64(dst),
		.src_port = htole32(c->host_port),
		.dst_port = htole32(c->guest_port),
		.len = htole32(len),
		.type = htole16(type),
		.op = htole16(op),
		.flags = htole32(flags),
		.buf_alloc = htole32(buf),
		.fwd_cnt = htole32(fwd),
	};
	spoil_header(c, h, op);
	if (op == VIRTIO_VSOCK_OP_SHUTDOWN && fault_on_conn(F_FLAGS_SHUTDOWN_BIT, c->host_port))
		h->flags |= htole32(4);
	if (op == VIRTIO_VSOCK_OP_CREDIT_UPDATE &&
	    fault_on_conn(F_FLAGS_CREDIT_UPDATE, c->host_port))
		h->flags |= htole32(0x100);
	if (op == VIRTIO_VSOCK_OP_RW && type == VIRTIO_VSOCK_TYPE_STREAM &&
	    fault_on_conn(F_FLAGS_EOM_ON_STREAM, c->host_port))
		h->flags |= htole32(VIRTIO_VSOCK_SEQ_EOM);
}

/* What a fault does to the next n bytes. */
static void spoil(struct tconn *c, size_t n)
{
	const bool third = c->tx_data_packets % 3 == 2 || n >= 1024;

	if (!third || n == 0)
		return;
	if (fault_on_conn(F_DATA_BYTE_FLIPPED, c->host_port)) {
		size_t one = 1;

		*fifo_span(&c->tx, n / 2, &one) ^= 1;
	}
	if (fault_on_conn(F_DATA_REORDERED, c->host_port)) {
		for (size_t i = 0; i < n / 2; i++) {
			size_t one = 1;
			uint8_t *a = fifo_span(&c->tx, i, &one), *b;
			uint8_t t = *a;

			one = 1;
			b = fifo_span(&c->tx, n / 2 + i, &one);
			*a = *b;
			*b = t;
		}
	}
}

static void drop_ended(struct tconn *c)
{
	uint64_t end;
	size_t eight = sizeof(end);

	if (c->tx_ends.len == 0)
		return;
	memcpy(&end, fifo_span(&c->tx_ends, 0, &eight), sizeof(end));
	if (end == c->tx_got)
		fifo_drop(&c->tx_ends, sizeof(end));
}

/* Faults: the flags of the next n bytes of a message that ends at offset end. */
static uint32_t spoil_flags(struct tconn *c, uint32_t flags, size_t n, size_t room, uint64_t end)
{
	const bool split = c->tx_split;

	if (c->type != VIRTIO_VSOCK_TYPE_SEQPACKET)
		return flags;
	c->tx_split = c->tx_got + n != end;
	if (n && n == room && c->tx_split &&
	    fault_on_conn(F_OUTSIDE_VS_EOM_FULL_BUFFER, c->host_port))
		flags |= VIRTIO_VSOCK_SEQ_EOM;
	if (flags && n && n == guest_free(c) &&
	    fault_on_conn(F_SEQPACKET_EOM_AT_LIMIT, c->host_port))
		flags = 0;
	if (flags && split && fault_on_conn(F_OUTSIDE_VS_EOM_LOST_IN_SPLIT, c->host_port))
		flags = 0;
	if (n && !flags && fault_on_conn(F_SEQPACKET_EOR_ALONE, c->host_port))
		flags = VIRTIO_VSOCK_SEQ_EOR;
	if (flags && fault_on_conn(F_OUTSIDE_VS_EOR_UNASKED, c->host_port))
		flags |= VIRTIO_VSOCK_SEQ_EOR;
	return flags;
}

/* The data packet at the head of tx, at most room bytes. */
static bool data_packet(struct tconn *c, struct virtio_vsock_hdr *h, size_t room, size_t *payload)
{
	size_t n = c->tx.len;
	uint32_t flags = 0;
	uint64_t end = UINT64_MAX;

	if (!data_allowed(c))
		return false;
	if (n > guest_free(c)) {
		n = guest_free(c);
		if (n && fault_on_conn(F_OUTSIDE2_VS_CREDIT_PLUS_ONE, c->host_port))
			n++;
	}
	if (n > room)
		n = room;
	if (c->tx_ends.len >= 3 * sizeof(end) &&
	    fault_on_conn(F_OUTSIDE_VS_QUEUED_MERGED, c->host_port))
		fifo_drop(&c->tx_ends, sizeof(end));
	if (c->tx_ends.len) {
		size_t eight = sizeof(end);

		memcpy(&end, fifo_span(&c->tx_ends, 0, &eight), sizeof(end));
		if (n > end - c->tx_got)
			n = end - c->tx_got;
	}
	if (c->type == VIRTIO_VSOCK_TYPE_SEQPACKET &&
	    fault_on_conn(F_SEQPACKET_BOUNDARY_SPLIT, c->host_port)) {
		n = (n + 1) / 2;
		flags = VIRTIO_VSOCK_SEQ_EOM;
	}
	if (n == 0 && end != c->tx_got)
		return false; /* no data, no credit, or no room behind the header */
	if (c->tx_got + n == end)
		flags = VIRTIO_VSOCK_SEQ_EOM;
	if (flags && c->tx_data_packets % 2 && fault_on_conn(F_SEQPACKET_EOM_MISSING, c->host_port))
		flags = 0;
	flags = spoil_flags(c, flags, n, room, end);
	if (n && c->tx_data_packets % 3 == 2 && fault_on_conn(F_DATA_LOST_PACKET, c->host_port)) {
		fifo_drop(&c->tx, n);
		c->tx_got += n;
		c->tx_data_packets++;
		drop_ended(c);
		fill(c, h, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
		return true;
	}
	spoil(c, n);
	c->tx_filled = n && n == room;
	fill(c, h, VIRTIO_VSOCK_OP_RW, (uint32_t)n, flags);
	if (fault_on_conn(F_DATA_LEN_PAST_USED, c->host_port))
		h->len = htole32((uint32_t)n + 16);
	*payload = n;
	return true;
}

bool conn_packet(struct tconn *c, struct virtio_vsock_hdr *h, size_t room, size_t *payload)
{
	const unsigned int shut = shut_due(c);

	*payload = 0;
	if (c->state == TC_CLOSED && !((c->pending & TP_CREDIT_UPDATE) &&
				       fault_on_conn(F_CONN_UPDATE_BEHIND_END, c->host_port)))
		return false;
	if (c->pending & TP_REQUEST && connect_waits(c))
		return false;
	if (c->pending & TP_REQUEST) {
		fill(c, h, VIRTIO_VSOCK_OP_REQUEST, 0, 0);
	} else if (c->state == TC_CONNECTING &&
		   !(c->pending && fault_on_conn(F_CONN_BEFORE_RESPONSE, c->host_port))) {
		return false;
	} else if ((c->pending & TP_RESPONSE) && c->tx_packets == 0 && c->d->num_conns >= 8 &&
		   fault_on_conn(F_OUTSIDE_VS_BEFORE_RESPONSE, c->host_port)) {
		fill(c, h, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, 0);
	} else if (c->pending & TP_RESPONSE) {
		fill(c, h, VIRTIO_VSOCK_OP_RESPONSE, 0, 0);
	} else if (c->pending & TP_CREDIT_UPDATE) {
		fill(c, h, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
	} else if (c->pending & TP_CREDIT_REQUEST) {
		fill(c, h, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, 0);
	} else if ((shut & SHUT_RCV) && c->tx.len) {
		fill(c, h, VIRTIO_VSOCK_OP_SHUTDOWN, 0, SHUT_RCV);
	} else if ((shut & SHUT_SEND) && c->tx.len &&
		   fault_on_conn(F_OUTSIDE_VS_SHUTDOWN_OVERTAKES, c->host_port)) {
		fill(c, h, VIRTIO_VSOCK_OP_SHUTDOWN, 0, c->host_shut);
	} else if (data_packet(c, h, room, payload)) {
		return true;
	} else if (shut && c->tx.len == 0) {
		fill(c, h, VIRTIO_VSOCK_OP_SHUTDOWN, 0,
		     c->host_shut != SHUT_BOTH &&
				     fault_on_conn(F_SHUTDOWN_HOST_CLOSES_BOTH, c->host_port) ?
			     SHUT_BOTH :
			     c->host_shut);
	} else if (c->tx.len && !guest_free(c) &&
		   fault_on_conn(F_CREDIT_IDLE_UPDATES, c->host_port)) {
		fill(c, h, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
	} else {
		return false;
	}
	return true;
}

bool conn_wants_room(const struct tconn *c)
{
	return c->state == TC_ESTABLISHED && c->tx.len && guest_free(c) &&
	       !(c->guest_shut & SHUT_RCV) && !fault_on_conn(F_DATA_STUCK_AT_SMALL, c->host_port);
}

void conn_filler(const struct tconn *c, struct virtio_vsock_hdr *h)
{
	fill(c, h, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
}

/* Fault outside3.vs_empty_behind_full: a message whose end fills the rx buffer is followed by an empty one. */
static void end_again(struct tconn *c, size_t payload)
{
	uint64_t end;
	size_t eight = sizeof(end);

	if (!payload || !c->tx_filled || c->tx_ends.len != sizeof(end))
		return;
	memcpy(&end, fifo_span(&c->tx_ends, 0, &eight), sizeof(end));
	if (end == c->tx_got && fault_on_conn(F_OUTSIDE3_VS_EMPTY_BEHIND_FULL, c->host_port))
		fifo_put(&c->tx_ends, &end, sizeof(end));
}

static void data_sent(struct tconn *c, size_t payload)
{
	fifo_drop(&c->tx, payload);
	c->tx_got += payload;
	c->tx_cnt += (uint32_t)payload;
	if (payload && fault_on_conn(F_OUTSIDE2_VS_HEADERS_USE_CREDIT, c->host_port))
		c->tx_cnt += sizeof(struct virtio_vsock_hdr);
	if (c->tx_cnt - c->guest_fwd_cnt > c->guest_buf_alloc)
		fault_on_conn(F_CREDIT_IGNORED, c->host_port);
	if (payload && c->guest_buf_alloc == 0)
		fault_on_conn(F_OUTSIDE3_VS_ZERO_IS_UNLIMITED, c->host_port);
	c->tx_data_packets++;
	end_again(c, payload);
	drop_ended(c);
	if (!c->want_write || !fault_on_conn(F_CREDIT_WAITS_FOR_WORD, c->host_port))
		conn_todo(c, TD_WRITABLE);
}

/* Faults: the packet that was sent is not the last of its kind. */
static bool keeps_owing(struct tconn *c, uint16_t op)
{
	if (op != VIRTIO_VSOCK_OP_RW)
		c->fwd_shown = c->fwd_cnt;
	if (op == VIRTIO_VSOCK_OP_REQUEST)
		return c->tx_packets == 1 && fault_on_conn(F_CONN_REQUEST_TWICE, c->host_port);
	if (op != VIRTIO_VSOCK_OP_RESPONSE)
		return false;
	if (c->tx_packets == 1 && c->seq % 3 == 2 &&
	    fault_on_conn(F_OUTSIDE_VS_RESPONSE_TWICE, c->host_port))
		return true;
	if (fault_on(F_OUTSIDE_VS_RESPONSE_NO_CREDIT) && c->host_port != ASSAY_CTL_PORT)
		c->pending |= TP_CREDIT_UPDATE;
	return false;
}

void conn_packet_sent(struct tconn *c, const struct virtio_vsock_hdr *h, size_t payload)
{
	const uint16_t op = le16toh(h->op);

	c->tx_packets++;
	c->fwd_told = c->fwd_cnt;
	/* What was told once may be used for ever: a buffer that is made smaller is so for what comes behind. */
	if ((int32_t)(c->fwd_cnt + c->buf_alloc - c->told_limit) > 0)
		c->told_limit = c->fwd_cnt + c->buf_alloc;
	if (!keeps_owing(c, op))
		c->pending &= ~(1u << op);
	if (op == VIRTIO_VSOCK_OP_SHUTDOWN) {
		c->host_shut_sent |= le32toh(h->flags);
		if (c->host_shut_sent == SHUT_BOTH)
			wait_for_rst(c);
	} else if (op == VIRTIO_VSOCK_OP_RW) {
		data_sent(c, payload);
	}
	if (op != VIRTIO_VSOCK_OP_RW && c->tx.len && !c->pending && guest_free(c) &&
	    fault_on_conn(F_OUTSIDE_VS_NOT_REQUEUED, c->host_port))
		return;
	conn_queue(c);
}

/* --- what was put off --- */

void conn_run_todo(struct device *d)
{
	struct tconn *list = d->todo;

	d->todo = NULL;
	while (list) {
		struct tconn *c = list;
		const unsigned int todo = c->todo;

		list = c->todo_next;
		c->in_todo = false;
		c->todo = 0;
		if (todo & TD_FREE) {
			conn_free(c);
			continue;
		}
		if ((todo & TD_FINISH) && c->state == TC_ESTABLISHED)
			end_by_rst(c, 0);
		if (c->want_write &&
		    (conn_send_room(c) || fault_on_conn(F_CREDIT_ASKS_AGAIN, c->host_port))) {
			c->want_write = false;
			peer_on_writable(c->pc);
		}
	}
}

void conn_scan_deadlines(struct device *d, int64_t now)
{
	struct tconn *next;

	d->scan_needed = false;
	for (struct tconn *c = d->conns; c; c = next) {
		next = c->next;
		if (!c->deadline_ns || c->state == TC_CLOSED ||
		    fault_on_conn(F_CONN_CLOSE_FORGOTTEN, c->host_port))
			continue;
		if (c->deadline_ns > now) {
			d->scan_needed = true;
			continue;
		}
		rd_debug("%s: port %u: no answer from the guest", d->name, c->guest_port);
		end_by_rst(c, -ECONNRESET);
	}
}

void device_drop_conns(struct device *d)
{
	struct tconn *c, *next;

	for (c = d->conns; c; c = c->next)
		c->state = TC_CLOSED;
	peer_on_device_reset(d->peer);
	for (c = d->conns; c; c = next) {
		next = c->next;
		conn_free(c);
	}
	d->todo = NULL;
}
