/* SPDX-License-Identifier: BSD-2-Clause */
/* The device as a transport of host/peer, and the operations that only a device can do. */
#include "host/ref/dev/transport.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/ref/dev/conn.h"
#include "host/ref/dev/device.h"
#include "host/ref/dev/faults.h"
#include "host/ref/dev/log.h"

/* --- listeners --- */

/* Fault outside.vs_one_type_a_port. */
static bool other_type_listens(const struct device *d, uint64_t cid, uint32_t port, uint16_t type)
{
	const uint16_t other = type == VIRTIO_VSOCK_TYPE_STREAM ? VIRTIO_VSOCK_TYPE_SEQPACKET :
								  VIRTIO_VSOCK_TYPE_STREAM;

	return port > ASSAY_CTL_PORT + 3 && peer_listens(d->peer, cid, port, other) &&
	       fault(F_OUTSIDE_VS_ONE_TYPE_A_PORT);
}

/* For faults: the listener that ended last; port 0: there is a new one. */
static void remember_unlistened(struct device *d, uint64_t cid, uint32_t port, uint16_t type)
{
	d->past.unlistened = (struct past_conn){
		.host_cid = cid, .host_port = port, .type = type, .valid = port
	};
}

/* Faults: connections of a listener that ends. Their ends of the peer find out. */
static void end_accepted(struct device *d, uint64_t cid, uint32_t port, uint16_t type)
{
	for (struct tconn *c = d->conns, *next; c; c = next) {
		next = c->next;
		if (c->state == TC_ESTABLISHED && c->from_guest && c->host_port == port &&
		    c->type == type && (cid == ASSAY_CID_ANY || c->host_cid == cid) &&
		    fault_on_conn(F_OUTSIDE2_VS_UNLISTEN_RESETS, port))
			conn_reset(c);
	}
}

/* The peer itself knows who listens where. */
static int rd_listen(void *be, uint64_t cid, uint32_t port, uint16_t type)
{
	struct device *d = be;

	if (cid != ASSAY_CID_ANY && !config_is_host(&d->cids, cid))
		return -EADDRNOTAVAIL;
	if (other_type_listens(d, cid, port, type))
		return -EADDRINUSE;
	remember_unlistened(d, cid, 0, type);
	return 0;
}

static void rd_unlisten(void *be, uint64_t cid, uint32_t port, uint16_t type)
{
	end_accepted(be, cid, port, type);
	remember_unlistened(be, cid, port, type);
}

/* --- sockets --- */

static int rd_connect(void *be, struct ctl_addr local, struct ctl_addr remote, uint16_t type,
		      uint32_t buf, struct peer_conn *pc, struct tconn **out)
{
	struct device *d = be;
	struct tconn *c;

	if (!d->ring[DEV_RX].running)
		return -ENOTCONN;
	if (!config_is_host(&d->cids, local.cid))
		return -EADDRNOTAVAIL;
	if (!config_is_guest(&d->cids, remote.cid) && !fault(F_RECORD_CONNECT_ANYWHERE))
		return -ENETUNREACH;
	if (!conn_type_offered(d, type))
		return -EOPNOTSUPP;
	if (d->past.host_refused > 64 && fault(F_OUTSIDE2_VS_LEAK_HOST_PORTS))
		return -EADDRNOTAVAIL;
	if (d->sibling && fault(F_DEVICES_CONNECT_BY_OTHER))
		d = d->sibling;
	if (conn_find(d, local.cid, local.port, remote.cid, remote.port, type) &&
	    !fault(F_RECORD_CONNECT_TWICE))
		return -EADDRINUSE;
	c = conn_new(d, local.cid, local.port, remote.cid, remote.port, type);
	if (!c)
		return -ENOMEM;
	c->pc = pc;
	c->state = TC_CONNECTING;
	c->pending = TP_REQUEST;
	if (buf && !fault(F_RECORD_CONNECT_ROOM))
		c->buf_alloc = buf;
	conn_queue(c);
	*out = c;
	return 0;
}

static ssize_t rd_send(struct tconn *c, const void *buf, size_t len, bool eom)
{
	size_t room, n;

	if (((c->host_shut & SHUT_SEND) &&
	     !fault_on_conn(F_CONN_SENDS_BEHIND_SHUTDOWN, c->host_port)) ||
	    (c->guest_shut & SHUT_RCV))
		return -EPIPE;
	room = conn_send_room(c);
	n = len < room ? len : room;
	if (n == 0 && len) {
		if (!c->want_write) {
			c->pending |= TP_CREDIT_REQUEST;
			conn_queue(c);
		}
		c->want_write = true;
		return -EAGAIN;
	}
	if (eom && len == 0 && fault_on_conn(F_OUTSIDE_VS_EMPTY_TO_GUEST, c->host_port))
		return 0;
	if (!fifo_put(&c->tx, buf, n))
		return -ENOMEM;
	c->tx_put += n;
	if (eom &&
	    (n == len || fault_on_conn(F_OUTSIDE3_VS_MESSAGE_SPLIT_AT_CREDIT, c->host_port)) &&
	    c->type == VIRTIO_VSOCK_TYPE_SEQPACKET &&
	    !fifo_put(&c->tx_ends, &c->tx_put, sizeof(c->tx_put)))
		return -ENOMEM;
	conn_queue(c);
	return (ssize_t)n;
}

/* Credit goes back with the bytes read. */
static void consumed(struct tconn *c, size_t n)
{
	c->rx_got += n;
	c->fwd_cnt += (uint32_t)n;
	conn_offer_credit(c);
	if (c->rx.len == 0 && c->rx_ends.len == 0 && c->guest_shut == SHUT_BOTH)
		conn_todo(c, TD_FINISH);
}

static ssize_t rd_recv(struct tconn *c, void *buf, size_t len, bool *eom)
{
	uint64_t end = UINT64_MAX;
	size_t n, head;

	*eom = false;
	if (c->rx_ends.len) {
		size_t eight = sizeof(end);

		memcpy(&end, fifo_span(&c->rx_ends, 0, &eight), sizeof(end));
	}
	if (c->rx.len == 0 && end == UINT64_MAX) {
		if (c->guest_shut & SHUT_SEND)
			return 0;
		return c->state == TC_CLOSED && fault_on(F_OUTSIDE2_VS_UNLISTEN_RESETS) ?
			       -ECONNRESET :
			       -EAGAIN;
	}
	if (len > end - c->rx_got)
		len = end - c->rx_got;
	head = c->rx.head;
	n = fifo_get(&c->rx, buf, len);
	if (c->rx.len && c->rx.head < head &&
	    fault_on_conn(F_OUTSIDE_VS_WRAP_UNCOUNTED, c->host_port))
		c->fwd_bias -= (uint32_t)(c->rx.cap - head);
	if (c->rx_got + n == end) {
		fifo_drop(&c->rx_ends, sizeof(end));
		*eom = true;
	}
	consumed(c, n);
	return (ssize_t)n;
}

static void rd_shutdown(struct tconn *c, unsigned int how)
{
	c->host_shut |= how & SHUT_BOTH;
	conn_queue(c);
}

static void rd_reset(struct tconn *c)
{
	conn_reset(c);
}

/* In the protocol's byte order, as all of the report. */
static void rd_report(struct tconn *c, struct ctl_report *r)
{
	r->host = (struct ctl_addr){ .cid = htole64(c->host_cid), .port = htole32(c->host_port) };
	r->guest = (struct ctl_addr){ .cid = htole64(c->guest_cid),
				      .port = htole32(c->guest_port) };
	r->guest_buf_alloc = htole32(c->guest_buf_alloc);
	r->guest_fwd_cnt = htole32(c->guest_fwd_cnt);
	r->host_buf_alloc = htole32(c->buf_alloc);
	r->host_fwd_cnt = htole32(c->fwd_cnt);
	r->rx_packets = htole64(c->rx_packets);
	r->tx_packets = htole64(c->tx_packets);
	r->credit_updates = htole32(c->credit_updates);
	r->credit_requests = htole32(c->credit_requests);
	if (c->overrun)
		r->flags |= htole32(CTL_CONN_OVERRUN);
}

static int rd_set_buf(struct tconn *c, uint32_t bytes)
{
	if (bytes > c->buf_alloc && fault_on_conn(F_OUTSIDE_VS_GROWTH_UNTOLD, c->host_port)) {
		c->buf_alloc = bytes;
		return 0;
	}
	if (bytes < c->buf_alloc && fault_on_conn(F_RECORD_SHRUNK_UNBOUND, c->host_port))
		c->slack = c->buf_alloc - bytes;
	c->buf_alloc = bytes;
	if (!(c->pending & TP_RESPONSE)) { /* which tells the same */
		c->pending |= TP_CREDIT_UPDATE;
		conn_queue(c);
	}
	return 0;
}

/* Counters run freely (virtio 1.4, 5.10.6.3): gigabytes later they are elsewhere, and all else is as it was. */
static int rd_advance(struct tconn *c, uint32_t bytes)
{
	if ((c->rx.len && !fault_on_conn(F_RECORD_ADVANCE_BUSY, c->host_port)) || c->tx.len)
		return -EBUSY;
	c->rx_put += bytes;
	c->rx_got += bytes;
	c->fwd_cnt += bytes;
	c->fwd_told += bytes;
	c->told_limit += bytes;
	c->fwd_shown += bytes;
	if (c->type != VIRTIO_VSOCK_TYPE_SEQPACKET ||
	    !fault_on_conn(F_RECORD_ADVANCE_ENDS, c->host_port))
		c->tx_put += bytes;
	c->tx_got += bytes;
	c->tx_cnt += bytes;
	c->guest_fwd_cnt += bytes;
	return 0;
}

/* --- device operations --- */

static int dev_info(struct device *d, struct ctl_dev_info *out)
{
	*out = d->info;
	out->layout = d->cids.layout;
	out->num_guest = d->cids.num_guest;
	out->num_host = d->cids.num_host;
	memcpy(out->cids, d->cids.cid, sizeof(out->cids));
	out->features_offered = d->features_offered;
	out->features_acked = fault(F_RECORD_FEATURES_ALL) ? d->features_offered :
							     d->features_acked;
	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		if (!(i == DEV_RX && d->ring[i].kicks && fault(F_RECORD_RX_UNCOUNTED)))
			out->kicks += d->ring[i].kicks;
		if (!(i == DEV_RX && d->ring[i].calls && fault(F_RECORD_RX_CALLS_UNCOUNTED)))
			out->calls += d->ring[i].calls;
		out->chains_bad += d->ring[i].bad_chains;
	}
	out->conns = d->num_conns;
	return 0;
}

static int set_cids(struct device *d, const struct ctl_set_cids *s)
{
	struct dev_cids next = {
		.layout = d->cids.layout,
		.num_guest = s->num_guest,
		.num_host = s->num_host,
	};
	char why[128];

	memcpy(next.cid, s->cids, sizeof(next.cid));
	if (s->num_guest > CTL_MAX_CIDS && s->num_guest + s->num_host <= CTL_MAX_CIDS &&
	    fault(F_RECORD_CIDS_WRAP))
		return 0;
	if (config_check(&next, CONFIG_MAX, why, sizeof(why))) {
		rd_log("%s: new CIDs refused: %s", d->name, why);
		return -EINVAL;
	}
	if (config_size(&next) > d->config_space && !fault(F_RECORD_CIDS_BEYOND))
		return -ENOSPC;
	if (d->cids_pending)
		return -EBUSY;
	if (s->times > 1 &&
	    (s->times > CTL_MAX_TIMES || s->num_guest < 2 || s->event || s->delay_ms))
		return -EINVAL;
	/* QEMU's vhost-user-vsock keeps the event queue to itself. */
	if (s->event && !d->ring[DEV_EVENT].running)
		return -EOPNOTSUPP;
	d->cids_next = *s;
	d->cids_next.times = s->times > 1 ? s->times : 0;
	d->cids_pending = true;
	d->cids_waits = s->delay_ms == 0;
	d->cids_at_ns = rd_now_ns() + s->delay_ms * 1000000ll;
	d->cids_ask_ns = 0;
	return 0;
}

static int headers(struct device *d, const struct ctl_headers *q, struct ctl_headers_reply *out)
{
	const uint64_t end = d->headers_total - fault(F_RECORD_HEADER_OWN_LOST);
	uint64_t first = d->headers_from;

	memset(out, 0, sizeof(*out));
	if (d->headers_total - first > DEV_HEADERS)
		first = d->headers_total - DEV_HEADERS;
	/* The newest first, then turned round. */
	for (uint64_t i = end; i > first; i--) {
		const uint8_t *raw = d->headers[(i - 1) % DEV_HEADERS];
		struct virtio_vsock_hdr h;

		memcpy(&h, raw, sizeof(h));
		if ((q->dst_port && q->dst_port != le32toh(h.dst_port)) ||
		    (q->src_port && q->src_port != le32toh(h.src_port)))
			continue;
		out->total++;
		if (out->count < CTL_HEADERS_MAX)
			memcpy(out->hdr[out->count++], raw, sizeof(h));
	}
	for (uint32_t i = 0; i < out->count / 2; i++) {
		uint8_t t[sizeof(struct virtio_vsock_hdr)];

		memcpy(t, out->hdr[i], sizeof(t));
		memcpy(out->hdr[i], out->hdr[out->count - 1 - i], sizeof(t));
		memcpy(out->hdr[out->count - 1 - i], t, sizeof(t));
	}
	if (q->clear)
		d->headers_from = d->headers_total;
	return 0;
}

static int mem_state(struct device *d, struct ctl_mem_state *out)
{
	const struct page_states *ps = &d->mem.ps;

	if (!ps->file)
		return -EOPNOTSUPP;
	*out = d->mem_state;
	out->protected_mode = page_states_protected(ps);
	for (uint64_t i = 0; i < ps->file->frames; i++) {
		const uint8_t s = __atomic_load_n(&ps->file->state[i], __ATOMIC_RELAXED);

		out->shared_pages += s == PAGE_SHARED;
		out->private_pages += s == PAGE_PRIVATE;
	}
	if (fault(F_MEM_PAGES_UNCOUNTED))
		out->private_pages = ps->file->frames;
	return 0;
}

/* Looks through one run of shared memory. */
static void scan_run(const uint8_t *p, uint64_t gpa, size_t len, const uint8_t *secret, size_t n,
		     struct ctl_mem_scan_reply *out)
{
	const uint8_t *at = p, *end = p + len;

	if (fault(F_MEM_SCAN_BLIND))
		return;
	while ((size_t)(end - at) >= n && (at = memmem(at, (size_t)(end - at), secret, n))) {
		if (out->matches++ == 0)
			out->first_addr = gpa + (fault(F_MEM_SCAN_PAGE) ? 0 : (uint64_t)(at - p));
		at++;
	}
}

/* How many bytes from there on may be touched, in whole pages. */
static uint64_t open_from(const struct page_states *ps, const struct mem_region *r, uint64_t off)
{
	const uint64_t page = 1ull << PAGE_STATE_SHIFT;
	uint64_t end = off;

	while (end < r->size && page_states_allowed(ps, r->gpa + end, page, NULL))
		end += page;
	return (end < r->size ? end : r->size) - off;
}

static int mem_scan(struct device *d, const struct ctl_mem_scan *q, struct ctl_mem_scan_reply *out)
{
	const struct page_states *ps = &d->mem.ps;
	const uint64_t page = 1ull << PAGE_STATE_SHIFT;
	uint8_t secret[sizeof(q->secret_xor)];

	if (!ps->file)
		return -EOPNOTSUPP;
	if (q->len < 16 || q->len > sizeof(secret))
		return -EINVAL;
	for (unsigned int i = 0; i < q->len; i++)
		secret[i] = q->secret_xor[i] ^ 0x5a;
	memset(out, 0, sizeof(*out));
	for (unsigned int i = 0; i < d->mem.n; i++) {
		const struct mem_region *r = &d->mem.r[i];
		uint64_t len;

		/* Runs of pages that may be touched: a match across a page border counts. */
		for (uint64_t off = 0; off < r->size; off += len + page) {
			len = open_from(ps, r, off);
			out->scanned_pages += len / page;
			scan_run(r->host + off, r->gpa + off, len, secret, q->len, out);
		}
	}
	memset(secret, 0, sizeof(secret));
	return 0;
}

static int rd_device_op(void *be, uint16_t op, const void *req, size_t len, void *reply,
			size_t *reply_len)
{
	static const struct {
		uint16_t op;
		uint16_t req, reply;
	} sizes[] = {
		{ CTL_DEV_INFO, 0, sizeof(struct ctl_dev_info) },
		{ CTL_SET_CIDS, sizeof(struct ctl_set_cids), 0 },
		{ CTL_HEADERS, sizeof(struct ctl_headers), sizeof(struct ctl_headers_reply) },
		{ CTL_MEM_STATE, 0, sizeof(struct ctl_mem_state) },
		{ CTL_MEM_SCAN, sizeof(struct ctl_mem_scan), sizeof(struct ctl_mem_scan_reply) },
	};
	struct device *d = be;

	*reply_len = 0;
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (sizes[i].op != op)
			continue;
		if (len != sizes[i].req)
			return -EINVAL;
		*reply_len = sizes[i].reply;
	}
	switch (op) {
	case CTL_DEV_INFO:
		return dev_info(d, reply);
	case CTL_SET_CIDS:
		return set_cids(d, req);
	case CTL_HEADERS:
		return headers(d, req, reply);
	case CTL_MEM_STATE:
		return mem_state(d, reply);
	case CTL_MEM_SCAN:
		return mem_scan(d, req, reply);
	default:
		return fault(F_RECORD_UNKNOWN_DONE) ? 0 : -EOPNOTSUPP;
	}
}

const struct peer_transport_ops transport_ops = {
	.name = "refdev",
	.caps = CTL_CAP_SEQPACKET | CTL_CAP_HOST_CONNECT | CTL_CAP_GUEST_ADDRS |
		CTL_CAP_HOST_ADDRS | CTL_CAP_DEVICE | CTL_CAP_CREDIT | CTL_CAP_RESET |
		CTL_CAP_HALF_CLOSE | CTL_CAP_ANY_GUEST_PORT | CTL_CAP_MEM_STATE | CTL_CAP_ADVANCE,
	.listen = rd_listen,
	.unlisten = rd_unlisten,
	.connect = rd_connect,
	.send = rd_send,
	.recv = rd_recv,
	.shutdown = rd_shutdown,
	.reset = rd_reset,
	.close = conn_close,
	.report = rd_report,
	.set_buf = rd_set_buf,
	.advance = rd_advance,
	.device_op = rd_device_op,
};
