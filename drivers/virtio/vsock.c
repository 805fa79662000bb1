/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device: brings it up, serves its three queues and hands packets to connections
 * (vsock_conn.c).
 */
#include "drivers/virtio/vsock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/virtqueue.h"
#include "drivers/virtio/vsock_internal.h"
#include "lib/cmdline.h"
#include "lib/mem.h"
#include "lib/mmio.h"

OPTION("vsock.layout", "config space: auto, upstream, multi, multi-host or indexed");

#define RX_PAGES   4 /* 16 KiB a buffer, header included */
#define RX_BYTES   (RX_PAGES * PAGE_SIZE)
#define RX_COUNT   48
#define TX_COUNT   64
#define EV_BYTES   64u /* from one buffer of an event to the next */
#define EV_PATTERN 0x5a
#define MAX_PIECES 128
#define MAX_QUEUED 8192 /* packets that wait for room on tx */

struct event {
	le32 id;
};

enum {
	EVENT_TRANSPORT_RESET = 0
};

unsigned int vsock_count(void)
{
	unsigned int n = 0;

	while (virtio_find(VIRTIO_ID_VSOCK, n))
		n++;
	return n;
}

static struct vsock_manner manner;

void vsock_set_manner(const struct vsock_manner *m)
{
	manner = m ? *m : (struct vsock_manner){ 0 };
}

static void (*observer)(void *arg, const struct vsock_seen *seen);
static void *observer_arg;

void vsock_observe(void (*fn)(void *arg, const struct vsock_seen *seen), void *arg)
{
	observer = fn;
	observer_arg = arg;
}

void vsock_tell(struct vsock *vs, enum vsock_saw what, const struct vsock_hdr *h, uint32_t used_len,
		const void *payload)
{
	const struct vsock_seen seen = { what, vs, h, used_len, payload };

	if (observer)
		observer(observer_arg, &seen);
}

/* --- config ------------------------------------------------------------------------------ */

static int cfg_read(void *arg, uint32_t off, void *buf, uint32_t len)
{
	return virtio_config_read(arg, off, buf, len);
}

static int cfg_write(void *arg, uint32_t off, const void *buf, uint32_t len)
{
	struct virtio_device *d = arg;

	return d->ops->config_write(d, off, buf, len);
}

static int load_config(struct vsock *vs)
{
	struct virtio_device *d = vs->dev;
	const struct vsock_config_io io = { cfg_read, cfg_write, d->ops->config_len(d), d };
	const char *name = cmdline_get("vsock.layout");
	enum vsock_layout want = VSOCK_LAYOUT_AUTO;

	if (name && vsock_layout_parse(name, &want)) {
		snprintf(vs->config_error, sizeof(vs->config_error), "vsock.layout=%s is unknown",
			 name);
		return -EINVAL;
	}
	return vsock_config_load(&io, want, virtio_has(d, VSOCK_F_INDEXED_CID), &vs->config,
				 vs->config_error, sizeof(vs->config_error));
}

const struct vsock_config *vsock_config(const struct vsock *vs)
{
	return &vs->config;
}

const char *vsock_config_error(const struct vsock *vs)
{
	return vs->config_error;
}

bool vsock_is_local(const struct vsock *vs, uint64_t cid)
{
	uint32_t i;

	for (i = 0; i < vs->config.num_guest; i++)
		if (vs->config.guest[i] == cid)
			return true;
	return false;
}

struct virtio_device *vsock_device(struct vsock *vs)
{
	return vs->dev;
}

const char *vsock_error(const struct vsock *vs)
{
	return vs->error;
}

/* --- tx ------------------------------------------------------------------------------------ */

static int vq_failed(struct vsock *vs, struct virtqueue *vq)
{
	snprintf(vs->error, sizeof(vs->error), "%s", vq_error(vq));
	return -EPROTO;
}

static struct tx_slot *slot_take(struct vsock *vs)
{
	struct tx_slot *s = vs->tx_free;

	if (s)
		vs->tx_free = s->next;
	return s;
}

static void slot_give(struct vsock *vs, struct tx_slot *s)
{
	s->next = vs->tx_free;
	vs->tx_free = s;
}

static int post(struct vsock *vs, struct tx_slot *s, const void *payload, uint32_t len)
{
	struct virtqueue *vq = vs->dev->vq[VQ_TX];
	const struct vq_seg seg[2] = { { &s->hdr, sizeof(s->hdr) },
				       { (void *)(uintptr_t)payload, len } };
	const int ret = vq_add(vq, seg, len ? 2 : 1, NULL, 0, s);

	if (ret == 0) {
		vs->stats.tx_packets++;
		vs->stats.tx_bytes += len;
		vsock_tell(vs, VSOCK_SAW_SENT, &s->hdr, 0, NULL);
	}
	return ret == -EPROTO ? vq_failed(vs, vq) : ret;
}

int vsock_tx_reap(struct vsock *vs)
{
	struct virtqueue *vq = vs->dev->vq[VQ_TX];
	uint32_t len;
	void *token;
	int ret, n = 0;

	while ((ret = vq_get(vq, &token, &len)) > 0) {
		struct tx_slot *s = token;

		if (s < vs->tx_slots || s >= vs->tx_slots + vs->tx_count) {
			vs->raw_done = token;
			continue;
		}
		free(s->copy);
		s->copy = NULL;
		if (s->send && s->send == vs->send)
			vs->send_pending--;
		s->send = 0;
		slot_give(vs, s);
		n++;
	}
	return ret < 0 ? vq_failed(vs, vq) : n;
}

/*
 * From here on vs->send_pending does not count the packets of earlier sends that the device still
 * has.
 */
void vsock_send_begin(struct vsock *vs)
{
	vs->send++;
	vs->send_pending = 0;
}

/*
 * Sends one packet without copying its payload. vs->send_pending counts it until the device has
 * used it. -ENOSPC when the queue is full.
 */
int vsock_tx_now(struct vsock *vs, const struct vsock_hdr *h, const void *payload, uint32_t len)
{
	struct tx_slot *s;
	int ret;

	if (vs->queued) /* packets that wait go first */
		return -ENOSPC;
	s = slot_take(vs);
	if (!s)
		return -ENOSPC;
	s->hdr = *h;
	ret = post(vs, s, payload, len);
	if (ret) {
		slot_give(vs, s);
		return ret;
	}
	s->send = vs->send;
	vs->send_pending++;
	return 0;
}

/* Sends a copy, now or once the queue has room. */
int vsock_tx_queue(struct vsock *vs, const struct vsock_hdr *h, const void *payload, uint32_t len)
{
	struct queued *q;

	if (vs->queued_count >= MAX_QUEUED)
		return -ENOSPC;
	q = malloc(sizeof(*q) + len);
	if (!q)
		return -ENOMEM;
	q->next = NULL;
	q->hdr = *h;
	q->len = len;
	if (len)
		memcpy(q->payload, payload, len);
	*vs->queued_tail = q;
	vs->queued_tail = &q->next;
	vs->queued_count++;
	return vsock_tx_flush(vs);
}

int vsock_tx_flush(struct vsock *vs)
{
	int ret = 0;

	if (vs->tx_held)
		return 0;
	while (vs->queued && ret == 0) {
		struct queued *q = vs->queued;
		struct tx_slot *s = slot_take(vs);

		if (!s)
			break;
		s->hdr = q->hdr;
		s->copy = q;
		ret = post(vs, s, q->payload, q->len);
		if (ret) {
			s->copy = NULL;
			slot_give(vs, s);
			break;
		}
		vs->queued = q->next;
		if (!vs->queued)
			vs->queued_tail = &vs->queued;
		vs->queued_count--;
	}
	vq_kick(vs->dev->vq[VQ_TX]);
	return ret == -ENOSPC ? 0 : ret;
}

void vsock_hold_tx(struct vsock *vs, bool on)
{
	vs->tx_held = on;
	(void)vsock_tx_flush(vs); /* what is wrong with the queue shows with the next packet */
}

int vsock_send_raw(struct vsock *vs, const struct vsock_hdr *hdr, const void *payload, uint32_t len)
{
	return vsock_tx_queue(vs, hdr, payload, len);
}

void vsock_raw_begin(struct vsock *vs, const struct vsock_hdr *hdr)
{
	vs->raw_done = NULL;
	vsock_tell(vs, VSOCK_SAW_SENT, hdr, 0, NULL);
}

int vsock_raw_end(struct vsock *vs, const void *token, uint64_t ns)
{
	int ret = 0;

	wait_for((ret = vsock_poll(vs)) < 0 || vs->raw_done == token, ns);
	return ret < 0 ? ret : vs->raw_done == token ? 0 : -ETIMEDOUT;
}

/* --- rx and events --------------------------------------------------------------------------- */

static int post_rx(struct vsock *vs, void *buf)
{
	const struct vsock_manner *m = &vs->manner;
	struct vq_seg seg[MAX_PIECES];
	uint8_t *p = buf;
	unsigned int i;

	for (i = 0; i + 1 < m->rx_pieces; i++, p += m->rx_piece)
		seg[i] = (struct vq_seg){ p, m->rx_piece };
	seg[i] = (struct vq_seg){ p, m->rx_bytes - i * m->rx_piece };
	return vq_add(vs->dev->vq[VQ_RX], NULL, 0, seg, m->rx_pieces, buf);
}

static int poll_rx(struct vsock *vs)
{
	struct virtqueue *vq = vs->dev->vq[VQ_RX];
	uint32_t len;
	void *buf;
	int ret, n = 0;

	/* At most one round of the ring, so that a flood cannot keep us here. */
	while (n < RX_COUNT && (ret = vq_get(vq, &buf, &len)) > 0) {
		n++;
		vsock_receive(vs, buf, len);
		if (!vs->rx_held)
			ret = post_rx(vs, buf);
		else
			vs->held[vs->held_count++] = buf;
		if (ret < 0)
			return vq_failed(vs, vq);
	}
	if (n)
		vq_kick(vq);
	return ret < 0 ? vq_failed(vs, vq) : n;
}

/* Lets tests fill the receive queue: while it is on, used buffers do not go back to the device. */
void vsock_hold_rx(struct vsock *vs, bool on)
{
	vs->rx_held = on;
	while (!on && vs->held_count) {
		if (post_rx(vs, vs->held[vs->held_count - 1]))
			break;
		vs->held_count--;
	}
	vq_kick(vs->dev->vq[VQ_RX]);
}

int vsock_give_rx(struct vsock *vs, uint32_t bytes)
{
	struct virtqueue *vq = vs->dev->vq[VQ_RX];
	struct vq_seg seg = { .len = bytes };
	int ret;

	if (!vs->held_count)
		return -ENOENT;
	seg.buf = vs->held[vs->held_count - 1];
	ret = vq_add(vq, NULL, 0, &seg, 1, seg.buf);
	if (ret)
		return ret;
	vs->held_count--;
	vq_kick(vq);
	return 0;
}

static int post_event(struct vsock *vs, uint8_t *e)
{
	const struct vsock_manner *m = &vs->manner;
	const struct vq_seg seg[2] = { { e, m->ev_first ? m->ev_first : m->ev_bytes },
				       { e + m->ev_first, m->ev_bytes - m->ev_first } };

	memset(e, EV_PATTERN, m->ev_bytes);
	return vq_add(vs->dev->vq[VQ_EVENT], NULL, 0, seg, m->ev_first ? 2 : 1, e);
}

void vsock_hold_events(struct vsock *vs, bool on)
{
	vs->ev_held = on;
	while (!on && vs->held_ev_count) {
		if (post_event(vs, vs->held_ev[vs->held_ev_count - 1]))
			break;
		vs->held_ev_count--;
	}
	vq_kick(vs->dev->vq[VQ_EVENT]);
}

/* A TRANSPORT_RESET in the first bytes, and nothing that the device says it wrote is as it was. */
static bool is_transport_reset(const uint8_t *e, uint32_t len)
{
	le32 id;

	memcpy(&id, e, sizeof(id));
	if (len < sizeof(struct event) || le32_to_cpu(id) != EVENT_TRANSPORT_RESET)
		return false;
	return len == sizeof(struct event) || e[len - 1] != EV_PATTERN;
}

/* 5.10.6.7.1: read the CIDs again, drop connections, keep listeners. */
static void transport_reset(struct vsock *vs)
{
	vs->stats.transport_resets++;
	load_config(vs);
	vsock_tell(vs, VSOCK_SAW_CIDS, NULL, 0, NULL);
	vsock_tell(vs, VSOCK_SAW_TRANSPORT_RESET, NULL, 0, NULL);
	vsock_drop_all(vs);
}

static int poll_event(struct vsock *vs)
{
	struct virtqueue *vq = vs->dev->vq[VQ_EVENT];
	uint32_t len;
	void *e;
	int ret, n = 0;

	while (n < VSOCK_EV_COUNT && (ret = vq_get(vq, &e, &len)) > 0) {
		n++;
		if (is_transport_reset(e, len))
			transport_reset(vs);
		else {
			vs->stats.rx_malformed++;
			vsock_tell(vs, VSOCK_SAW_BAD_EVENT, NULL, len, e);
		}
		if (vs->ev_held)
			vs->held_ev[vs->held_ev_count++] = e;
		else if (post_event(vs, e))
			return vq_failed(vs, vq);
	}
	if (n)
		vq_kick(vq);
	return ret < 0 ? vq_failed(vs, vq) : n;
}

static void on_config(struct virtio_device *d)
{
	struct vsock *vs = d->driver;

	__atomic_store_n(&vs->config_changed, true, __ATOMIC_RELEASE);
}

int vsock_poll(struct vsock *vs)
{
	int rx, tx, ev, ret;

	if (vs->error[0])
		return -EPROTO;
	if (__atomic_exchange_n(&vs->config_changed, false, __ATOMIC_ACQ_REL)) {
		vs->stats.config_changes++;
		load_config(vs);
		vsock_tell(vs, VSOCK_SAW_CIDS, NULL, 0, NULL);
	}
	tx = vsock_tx_reap(vs);
	ev = tx < 0 ? tx : poll_event(vs);
	rx = ev < 0 ? ev : poll_rx(vs);
	if (rx < 0)
		return -EPROTO;
	ret = vsock_tx_flush(vs);
	return ret < 0 ? ret : tx + ev + rx;
}

/* --- up and down ------------------------------------------------------------------------------ */

static void settle_manner(struct vsock *vs)
{
	struct vsock_manner *m = &vs->manner;

	*m = manner;
	m->rx_bytes = m->rx_bytes ? m->rx_bytes : RX_BYTES;
	m->rx_pieces = m->rx_pieces ? m->rx_pieces : 1;
	m->rx_count = m->rx_count ? m->rx_count : RX_COUNT;
	m->ev_count = m->ev_count ? m->ev_count : VSOCK_EV_COUNT;
	m->ev_bytes = m->ev_bytes ? m->ev_bytes : sizeof(struct event);
	vs->rx_pages = (unsigned int)((m->rx_off + m->rx_bytes + PAGE_SIZE - 1) / PAGE_SIZE);
}

/* Of buffers that take n descriptors each, how many a queue holds, at most `want`. */
static unsigned int room_for(const struct vsock *vs, unsigned int queue, unsigned int want,
			     unsigned int n)
{
	unsigned int size = vq_size(vs->dev->vq[queue]);

	if (!virtio_has(vs->dev, VIRTIO_F_INDIRECT_DESC))
		size /= n;
	return size < want ? size : want;
}

static int fill_queues(struct vsock *vs)
{
	const struct vsock_manner *m = &vs->manner;
	const unsigned int events = room_for(vs, VQ_EVENT, m->ev_count, m->ev_first ? 2 : 1);
	unsigned int i;
	int ret = 0;

	vs->rx_count = room_for(vs, VQ_RX, m->rx_count, m->rx_pieces);
	vs->rx_mem = mem_pages(vs->rx_count * vs->rx_pages, PAGE_SIZE);
	vs->ev_mem = mem_pages(1, PAGE_SIZE);
	/* Two descriptors a packet. */
	vs->tx_count = room_for(vs, VQ_TX, TX_COUNT, 2);
	vs->tx_slots = calloc(vs->tx_count, sizeof(*vs->tx_slots));
	if (!vs->rx_mem || !vs->ev_mem || !vs->tx_slots)
		return -ENOMEM;
	for (i = 0; i < vs->tx_count; i++)
		slot_give(vs, &vs->tx_slots[i]);
	for (i = 0; i < vs->rx_count && !ret; i++)
		ret = post_rx(vs, vs->rx_mem + i * vs->rx_pages * PAGE_SIZE + m->rx_off);
	for (i = 0; i < events && !ret; i++)
		ret = post_event(vs, vs->ev_mem + i * EV_BYTES);
	return ret;
}

static int bring_up(struct vsock *vs, uint64_t features)
{
	struct virtio_device *d = vs->dev;
	int ret;

	settle_manner(vs);
	ret = virtio_negotiate(d, features | (VIRTIO_RING_FEATURES & ~vs->manner.without));
	if (ret)
		return ret;
	ret = load_config(vs);
	if (ret)
		return ret;
	ret = virtio_queues_setup(d, 3, vs->manner.queue_size);
	if (ret)
		return ret;
	d->driver = vs;
	d->on_config = on_config;
	/* The driver polls. A test that wants notifications asks for them. */
	vq_interrupts(d->vq[VQ_RX], false);
	vq_interrupts(d->vq[VQ_TX], false);
	vq_interrupts(d->vq[VQ_EVENT], false);
	ret = fill_queues(vs);
	if (ret)
		return ret;
	vsock_tell(vs, VSOCK_SAW_UP, NULL, 0, NULL);
	ret = virtio_driver_ok(d);
	if (ret)
		return ret;
	vq_notify(d->vq[VQ_RX]);
	vq_notify(d->vq[VQ_EVENT]);
	return 0;
}

int vsock_open(unsigned int n, uint64_t features, struct vsock **out)
{
	struct virtio_device *d = virtio_find(VIRTIO_ID_VSOCK, n);
	struct vsock *vs;
	int ret;

	*out = NULL;
	if (!d)
		return -ENODEV;
	vs = calloc(1, sizeof(*vs));
	if (!vs)
		return -ENOMEM;
	vs->dev = d;
	vs->queued_tail = &vs->queued;
	vs->default_buf = VSOCK_DEFAULT_BUF;
	if (!features)
		features = VIRTIO_BIT(VSOCK_F_STREAM) | VIRTIO_BIT(VSOCK_F_SEQPACKET) |
			   VIRTIO_BIT(VSOCK_F_NO_IMPLIED_STREAM) | VIRTIO_BIT(VSOCK_F_INDEXED_CID);
	vsock_conns_init(vs);
	ret = bring_up(vs, features);
	*out = vs; /* also after a failure, since it has the error texts */
	return ret;
}

/*
 * Frees the memory that the device can reach. A device whose reset does not end may still write
 * there, so then the memory stays allocated for good.
 */
static void free_shared(struct vsock *vs, bool reset)
{
	unsigned int i;

	if (!reset) {
		mem_keep(vs->rx_count * vs->rx_pages + 1);
		return;
	}
	for (i = 0; vs->tx_slots && i < vs->tx_count; i++)
		free(vs->tx_slots[i].copy);
	free(vs->tx_slots);
	mem_pages_free(vs->rx_mem, vs->rx_count * vs->rx_pages);
	mem_pages_free(vs->ev_mem, 1);
}

int vsock_close(struct vsock *vs)
{
	struct queued *q;
	int ret;

	if (!vs)
		return 0;
	ret = virtio_reset(vs->dev);
	vsock_tell(vs, VSOCK_SAW_DOWN, NULL, 0, NULL);
	vs->dev->driver = NULL;
	vs->dev->on_config = NULL;
	vsock_conns_free(vs);
	while ((q = vs->queued)) {
		vs->queued = q->next;
		free(q);
	}
	free_shared(vs, ret == 0);
	free(vs);
	return ret;
}

unsigned int vsock_strays(struct vsock *vs, struct vsock_stray *out, unsigned int max)
{
	unsigned int n = vs->strays < VSOCK_STRAYS ? vs->strays : VSOCK_STRAYS, i;
	const unsigned int first = vs->strays - n;

	if (n > max)
		n = max;
	for (i = 0; i < n; i++)
		out[i] = vs->stray[(first + i) % VSOCK_STRAYS];
	return n;
}

void vsock_strays_clear(struct vsock *vs)
{
	vs->strays = 0;
}

void vsock_stats(const struct vsock *vs, struct vsock_stats *out)
{
	*out = vs->stats;
}
