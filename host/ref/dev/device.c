/* SPDX-License-Identifier: BSD-2-Clause */
/* The device as a whole: its life, its queues, its timers. */
#include "host/ref/dev/device.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "drivers/virtio/vsock_config.h"
#include "host/ref/dev/conn.h"
#include "host/ref/dev/chaos.h"
#include "host/ref/dev/faults.h"
#include "host/ref/dev/log.h"
#include "host/ref/dev/transport.h"

#ifndef VIRTIO_F_NOTIFICATION_DATA
#define VIRTIO_F_NOTIFICATION_DATA 38 /* headers before Linux 6.5 do not have it */
#endif

#define BIT(n)	       (1ull << (n))
#define TX_BUDGET      256   /* chains a round */
#define TX_BATCH       32    /* chains a published index */
#define ENOUGH	       64    /* chains a round, for a fault */
#define TX_POLL_NS     50000 /* how long an empty tx queue is looked at before it asks for kicks */
#define SCAN_NS	       100000000ll
#define CIDS_ASK_NS    500000ll
#define CIDS_GIVE_UP   500000000ll
#define CIDS_LATE_NS   5000000000ll
#define CONFIG_TOLD_NS 500000000ll
#define FAULT_PACKETS  60 /* crash, hang */
#define MANY_RESETS    32 /* outside3.vs_events_after_resets */
#define AGAIN_MAX      1000000
#define STALE_WRITES   20
#define STALE_NS       1000000
#define LOOK_NS	       50000000	 /* outside3.vs_no_second_look */
#define AT_WORK_MS     10	 /* hostile.kick_at_work: how long a buffer is in work */
#define ONCE_NS	       2000000	 /* tx.looks_once */
#define BUSY_NS	       400000000 /* tx.starves_rx */
#define BUSY_PACKETS   8 /* the same: of the first ones it is not known yet that many come */

/* --- life --- */

static void on_violation(void *arg, struct ring *r, uint64_t gpa, enum ctl_mem_reason reason)
{
	static const char *const names[] = { "", "ring", "indirect table", "header", "payload" };
	struct device *d = arg;

	d->mem_state.violations++;
	d->mem_state.last_addr = gpa;
	d->mem_state.last_reason = reason;
	d->mem_state.last_queue = r->index;
	d->mem_state.queues_stopped |= 1u << r->index;
	rd_log("%s: violation: queue %u (%s) would touch private memory at 0x%" PRIx64 " (%s)",
	       d->name, r->index, r->name, gpa, names[reason]);
}

static uint64_t features_of(const struct device_params *p)
{
	uint64_t f = 7; /* STREAM, SEQPACKET, NO_IMPLIED_STREAM */

	if (fault(F_CONFIG_NO_IMPLIED_STREAM))
		f &= ~BIT(2);
	f |= BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX);
	if (!fault_on(F_INIT_NO_VERSION_1))
		f |= BIT(VIRTIO_F_VERSION_1);
	if (p->access_platform && !fault_on(F_MEM_NO_ACCESS_PLATFORM))
		f |= BIT(VIRTIO_F_ACCESS_PLATFORM);
	if (p->cids.layout == CTL_LAYOUT_INDEXED)
		f |= BIT(VSOCK_F_INDEXED_CID);
	if (fault_on(F_INIT_RESERVED_FEATURE))
		f |= BIT(49);
	if (p->in_order || fault_on(F_RING_NOT_IN_ORDER))
		f |= BIT(VIRTIO_F_IN_ORDER);
	if (p->packed)
		f |= BIT(VIRTIO_F_RING_PACKED);
	if (p->notification_data)
		f |= BIT(VIRTIO_F_NOTIFICATION_DATA);
	return f;
}

uint64_t device_features(const struct device *d)
{
	/* What is wrong with them is injected once the VMM learns of it. */
	fault(F_INIT_NO_VERSION_1);
	fault(F_INIT_RESERVED_FEATURE);
	fault(F_MEM_NO_ACCESS_PLATFORM);
	return d->features_offered;
}

struct device *device_new(const struct device_params *p)
{
	static const char *const names[DEV_QUEUES] = { "rx", "tx", "event" };
	struct device *d = calloc(1, sizeof(*d));
	struct peer_config pc = { .be = d, .log = rd_log_file(), .verbose = rd_log_verbose() };

	if (!d)
		return NULL;
	d->headers = calloc(DEV_HEADERS, sizeof(*d->headers));
	if (!d->headers) {
		free(d);
		return NULL;
	}
	d->name = p->name;
	d->cids = d->cids_initial = d->cids_shown = p->cids;
	d->config_space = config_size(&p->cids);
	if (p->config_bytes) {
		memcpy(d->forged, p->config_bytes, p->config_bytes_len);
		d->forged_len = d->config_space = p->config_bytes_len;
	}
	d->page_state = p->page_state;
	d->features_offered = features_of(p);
	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		ring_init(&d->ring[i], i, names[i], &d->mem);
		d->ring[i].violation = on_violation;
		d->ring[i].arg = d;
	}
	d->ring[DEV_RX].other = &d->ring[DEV_TX];
	d->ring[DEV_TX].other = &d->ring[DEV_RX];
	d->ops = transport_ops;
	if (!p->page_state)
		d->ops.caps &= ~(uint32_t)CTL_CAP_MEM_STATE;
	pc.ops = &d->ops;
	d->peer = peer_new(&pc);
	if (!d->peer) {
		const int err = errno;

		free(d->headers);
		free(d);
		errno = err;
		return NULL;
	}
	return d;
}

static bool same_cids(const struct dev_cids *a, const struct dev_cids *b)
{
	return a->num_guest == b->num_guest && a->num_host == b->num_host &&
	       memcmp(a->cid, b->cid, sizeof(a->cid[0]) * (a->num_guest + a->num_host)) == 0;
}

/* Faults: what the device fails to forget at a reset. */
static void remember_conns(struct device *d)
{
	unsigned int n = 0;

	for (const struct tconn *c = d->conns; c; c = c->next) {
		if (c->host_port == ASSAY_CTL_PORT || c->state != TC_ESTABLISHED)
			continue;
		if (n < DEV_PAST_CONNS)
			conn_to_past(c, &d->past.open_at_reset[n++]);
		d->past.lost_at_reset++;
	}
}

static void drop_replies(struct device *d)
{
	while (d->reply_first) {
		struct dev_packet *p = d->reply_first;

		d->reply_first = p->next;
		free(p);
	}
	d->reply_last = NULL;
	d->replies = 0;
}

void device_free(struct device *d)
{
	if (!d)
		return;
	device_detach(d);
	peer_free(d->peer);
	conn_run_todo(d);
	free(d->headers);
	free(d);
}

/* Fault outside.vs_replies_survive: there are some, and none is of the control connection. */
static bool may_keep_replies(const struct device *d)
{
	for (const struct dev_packet *p = d->reply_first; p; p = p->next) {
		if (p->control)
			return false;
	}
	return d->reply_first;
}

/* Fault mem.touched_at_reset: the device looks at a page that the driver took back; any private page will do. */
static void touch_private(struct device *d)
{
	const struct page_states *ps = &d->mem.ps;

	if (!ps->file || !page_states_protected(ps))
		return;
	for (uint64_t n = 0; n < ps->file->frames; n++) {
		if (ps->file->state[n] != PAGE_PRIVATE)
			continue;
		fault(F_MEM_TOUCHED_AT_RESET);
		on_violation(d, &d->ring[DEV_TX], n << PAGE_STATE_SHIFT, CTL_MEM_RING);
		return;
	}
}

/* The list of an order: where further changes follow, its guest's CIDs begin elsewhere, another place each time. */
static void take_order(struct dev_cids *to, const struct ctl_set_cids *s)
{
	memcpy(to->cid, s->cids, sizeof(to->cid));
	for (uint32_t i = 0; i < s->num_guest; i++)
		to->cid[i] = s->cids[(i + s->times) % s->num_guest];
}

/*
 * An order of CIDs that was answered and is not carried out yet, or not to its end: nobody reads the answer any more, and
 * nobody is told of what changed before the device started.
 */
static void end_order(struct device *d)
{
	struct ctl_set_cids *s = &d->cids_next;

	if (!d->cids_pending || !(d->cids_waits || s->times))
		return;
	d->cids_pending = false;
	s->times = 0;
	d->cids.num_guest = s->num_guest;
	d->cids.num_host = s->num_host;
	take_order(&d->cids, s);
	d->changed_in_reset = true;
	if (s->event && fault(F_EVENT_ORDER_SURVIVES))
		d->events = 1;
}

static void device_reset(struct device *d)
{
	const uint32_t resets = d->info.resets + 1;

	rd_debug("%s: device reset", d->name);
	remember_conns(d);
	device_drop_conns(d);
	d->past.ended.valid = false;
	for (struct device *s = d->sibling; s && s != d && fault(F_DEVICES_RESET_ALL);
	     s = s->sibling)
		device_drop_conns(s);
	if (!may_keep_replies(d) || !fault(F_OUTSIDE_VS_REPLIES_SURVIVE))
		drop_replies(d);
	if (!d->events || !fault(F_OUTSIDE_VS_EVENTS_SURVIVE))
		d->events = 0;
	d->events_at_ns = 0;
	end_order(d);
	d->changes = 0;
	d->rx_dry = d->rx_gated = d->rx_asleep = false;
	d->events_passed = 0;
	if (!same_cids(&d->cids, &d->cids_initial) && fault(F_OUTSIDE_VS_CIDS_REVERT))
		d->cids = d->cids_initial;
	d->cids_shown = d->cids;
	if (!d->config_index || !fault(F_OUTSIDE_VS_INDEX_KEPT))
		d->config_index = 0;
	d->cids_next.event = 0;
	d->cids_waits = d->event_told = false;
	if (fault_on(F_MEM_TOUCHED_AT_RESET))
		touch_private(d);
	if (fault(F_CONFIG_NEW_CID_AT_RESET))
		d->cids.cid[d->cids.num_guest - 1]++;
	if (!fault(F_RECORD_COUNTERS_KEPT))
		memset(&d->info, 0, sizeof(d->info));
	d->info.resets = resets;
	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		d->ring[i].kicks = d->ring[i].calls = 0;
		d->ring[i].chains = 0;
		if (!d->ring[i].bad_chains || !fault(F_RECORD_BAD_CHAINS_KEPT))
			d->ring[i].bad_chains = 0;
		d->ring[i].again = 0;
	}
}

static bool any_running(const struct device *d)
{
	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		if (d->ring[i].running || d->ring[i].waits == RING_WAITS_TO_GO_ON)
			return true;
	}
	return false;
}

void device_detach(struct device *d)
{
	bool running = any_running(d);

	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		ring_stop(&d->ring[i]);
		d->ring[i].waits = RING_WAITS_NOT;
	}
	if (running || d->conns)
		device_reset(d);
	mem_clear(&d->mem);
	page_states_close(&d->mem.ps);
	d->features_acked = 0;
	d->stale = 0;
	/* The next guest finds what the command line says. */
	d->cids = d->cids_initial;
	d->cids_pending = false;
}

void device_set_features(struct device *d, uint64_t features)
{
	if (d->features_acked & ~features && fault(F_OUTSIDE_VS_FEATURES_KEPT))
		d->features_acked |= features;
	else
		d->features_acked = features;
	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		const bool event_idx = features & BIT(VIRTIO_RING_F_EVENT_IDX) &&
				       (features & BIT(VIRTIO_RING_F_INDIRECT_DESC) ||
					!(features & BIT(VIRTIO_RING_F_EVENT_IDX)) ||
					!fault(F_OUTSIDE3_VS_EVENT_IDX_NEEDS_INDIRECT));

		d->ring[i].event_idx = event_idx ||
				       (d->ring[i].event_idx && fault(F_OUTSIDE_VS_EVENT_IDX_KEPT));
		/* A queue does not change its layout while it runs. */
		if (d->ring[i].packed != !!(features & BIT(VIRTIO_F_RING_PACKED)))
			ring_stop(&d->ring[i]);
		d->ring[i].packed = features & BIT(VIRTIO_F_RING_PACKED);
		d->ring[i].indirect_ok = features & BIT(VIRTIO_RING_F_INDIRECT_DESC);
		d->ring[i].batches = features & BIT(VIRTIO_F_IN_ORDER) &&
				     !fault_on(F_RING_NOT_IN_ORDER);
	}
	/* EVENT_IDX makes the rings two bytes longer, in which used_event and avail_event lie. */
	device_memory_changed(d);
}

/* Without the page states nothing tells what may be touched. Their file may come later than the VMM. */
static int open_page_states(struct device *d)
{
	int ret;

	if (!d->page_state || d->mem.ps.file)
		return 0;
	ret = page_states_open(d->page_state, &d->mem.ps);
	if (ret)
		rd_log("%s: page states %s: %s", d->name, d->page_state, strerror(-ret));
	return ret;
}

int device_ring_start(struct device *d, unsigned int queue, uint32_t base)
{
	struct ring *r = &d->ring[queue];
	const bool is_new = base == ring_new_base(r);
	int ret;

	if (open_page_states(d))
		return -EIO;
	r->waits = RING_WAITS_NOT;
	ret = ring_start(r, base);
	if (ret == -EAGAIN) {
		r->waits = RING_WAITS_TO_START;
		r->wait_base = base;
		return ret;
	}
	if (ret) {
		rd_log("%s: queue %u does not start: %s", d->name, queue, strerror(-ret));
		return ret;
	}
	rd_debug("%s: queue %u started, size %u, from 0x%x", d->name, queue, r->num, base);
	if (queue == DEV_TX)
		d->look_at_tx = true;
	if (queue == DEV_TX)
		d->tx_early = is_new && !r->packed && ring_pending(r);
	if (queue == DEV_RX && is_new && d->info.resets >= 2 && ring_pending(r) &&
	    fault(F_OUTSIDE_VS_RX_FIRST_LOST))
		r->last_avail++;
	/* Moved or stopped in the middle: connections did not survive (5.10.6.7). */
	if (queue == DEV_EVENT && (!is_new || fault(F_EVENT_UNASKED)))
		d->events = 1;
	/* For half a second, since one alone may reach the driver together with that of a used buffer. */
	if (!r->packed && fault(F_IRQ_AT_START)) {
		r->again = 100;
		r->again_ns = rd_now_ns();
	}
	if (queue == DEV_RX && d->info.resets && fault(F_IRQ_STALE_AFTER_RESET)) {
		r->again = AGAIN_MAX; /* as long as it runs */
		r->again_ns = rd_now_ns() + 20000000;
	}
	return 0;
}

uint32_t device_ring_stop(struct device *d, unsigned int queue)
{
	struct ring *r = &d->ring[queue];
	const bool was_running = r->running || r->waits == RING_WAITS_TO_GO_ON;
	const bool waited = r->waits;

	if (was_running && queue == DEV_TX && r->chains && fault(F_RING_USED_AT_STOP))
		ring_push(r, &d->chain, 0, false);
	ring_publish(r);
	ring_stop(r);
	r->waits = RING_WAITS_NOT;
	if (was_running && queue == DEV_TX && fault_on(F_RING_WRITTEN_AFTER_RESET))
		d->stale = STALE_WRITES;
	if (was_running && !any_running(d))
		device_reset(d);
	return waited ? r->wait_base : ring_base(r);
}

/* For a fault: packets of no connection wait, and none of them is of the control connection. */
static bool replies_may_go(const struct device *d)
{
	return may_keep_replies(d);
}

void device_ring_reset(struct device *d, unsigned int queue)
{
	ring_publish(&d->ring[queue]);
	ring_stop(&d->ring[queue]);
	if (queue == DEV_RX && replies_may_go(d) && fault(F_OUTSIDE3_FR_QUEUE_RESET_DROPS))
		drop_replies(d);
}

void device_stop(struct device *d)
{
	for (unsigned int i = 0; i < DEV_QUEUES; i++)
		device_ring_stop(d, i);
	/* Each queue was stopped for itself before. */
	if (d->conns && !fault(F_VFIO_QUEUES_RESET_KEEP))
		device_reset(d);
	d->features_acked = 0;
}

/* Where it lies now. Without memory it stops, for good or until it has some again: its translation comes, or a region. */
static void map_again(struct device *d, unsigned int queue, bool may_come)
{
	struct ring *r = &d->ring[queue];
	const int ret = ring_map(r);

	if (!ret)
		return;
	rd_debug("%s: queue %u lost its memory", d->name, queue);
	may_come = ret == -EAGAIN || (may_come && !fault(F_MEM_TABLE_STOPS_QUEUES));
	r->waits = may_come ? RING_WAITS_TO_GO_ON : RING_WAITS_NOT;
	r->wait_base = ring_base(r);
	ring_stop(r);
}

void device_ring_remap(struct device *d, unsigned int queue)
{
	map_again(d, queue, false);
}

/* Fault outside.vs_event_used_early: a buffer for events comes back without one. */
static void use_event_early(struct device *d)
{
	struct ring *r = &d->ring[DEV_EVENT];

	if (ring_pop(r, &d->chain) != 1)
		return;
	ring_push(r, &d->chain, 0, false);
	ring_publish(r);
}

/* Faults: what a notification of the event queue does beside its work. */
static void spoil_event_kick(struct device *d, const struct ring *r)
{
	d->rx_gated = false;
	if (r->running && !ring_pending(r) && fault(F_HOSTILE_IDLE_KICK))
		d->ring[DEV_TX].lame = true;
	if (r->kicks == 1 && d->info.resets % 8 == 7 && ring_pending(r) &&
	    fault(F_OUTSIDE_VS_EVENT_USED_EARLY))
		use_event_early(d);
}

/* A queue whose memory was not translated starts, or goes on, if it is by now. */
static void try_again(struct device *d, unsigned int queue)
{
	struct ring *r = &d->ring[queue];

	if (r->waits == RING_WAITS_TO_START)
		device_ring_start(d, queue, r->wait_base);
	else if (r->waits == RING_WAITS_TO_GO_ON && ring_start(r, r->wait_base) == 0)
		r->waits = RING_WAITS_NOT;
}

/* A VMM takes a region away and gives it again, cut otherwise: the queues that lie there go on where they were. */
void device_memory_changed(struct device *d)
{
	for (unsigned int q = 0; q < DEV_QUEUES; q++) {
		if (d->ring[q].running)
			map_again(d, q, true);
		else
			try_again(d, q);
	}
	d->look_at_tx = true;
}

void device_translated(struct device *d)
{
	for (unsigned int q = 0; q < DEV_QUEUES; q++)
		try_again(d, q);
	if (fault(F_IOTLB_NOT_WOKEN))
		return;
	d->look_at_tx = true;
}

void device_kick(struct device *d, unsigned int queue)
{
	struct ring *r = &d->ring[queue];

	r->kicks++;
	/* What the VMM could not translate at first is asked for once more. */
	if (r->waits && !fault(F_IOTLB_RING_ASKED_ONCE))
		try_again(d, queue);
	if (queue == DEV_RX)
		d->rx_asleep = false;
	if (queue == DEV_EVENT)
		spoil_event_kick(d, r);
	if (queue != DEV_TX || (r->kicks == 200 && fault(F_OUTSIDE_VS_KICK_200)))
		return;
	if (r->chains && !ring_pending(r) && fault(F_RING_KICK_IS_A_BUFFER))
		ring_push(r, &d->chain, 0, false);
	if (d->packets_ever > 100 && r->kicks % 2 && fault(F_TX_KICK_LOST))
		return;
	d->look_at_tx = true;
}

/* Fault hostile.kick_after_reset. */
void device_kick_in_reset(struct device *d)
{
	struct ring *r = &d->ring[DEV_TX];
	uint64_t gpa;
	uint8_t *p;

	if (r->running || r->packed || !r->last_avail)
		return;
	r->last_avail = 0; /* once a reset */
	p = mem_at_uva(&d->mem, r->used_uva, sizeof(struct vring_used), &gpa);
	if (p && fault(F_HOSTILE_KICK_AFTER_RESET))
		p[offsetof(struct vring_used, idx)]++;
}

/* --- config --- */

void device_config_told(struct device *d)
{
	d->events_at_ns = 0;
	if (d->cids_next.times)
		d->cids_at_ns = 0;
}

void device_config_read(struct device *d, uint32_t off, void *buf, uint32_t len)
{
	uint8_t space[CONFIG_MAX] = { 0 };

	const bool old = !same_cids(&d->cids, &d->cids_shown) && fault(F_OUTSIDE_VS_CONFIG_STALE);

	if (d->forged_len)
		memcpy(space, d->forged, d->forged_len);
	else
		config_build(old ? &d->cids_shown : &d->cids, d->config_index, d->config_reads++,
			     space);
	if (off + len > d->config_space)
		d->config_space = off + len;
	if (chaos_strikes())
		chaos_bytes(space, sizeof(space) < 64 ? sizeof(space) : 64);
	if (len == 1 && fault(F_CONFIG_BYTE_ALONE))
		space[off] ^= 0x10;
	memcpy(buf, space + off, len);
}

void device_config_write(struct device *d, uint32_t off, const void *buf, uint32_t len)
{
	uint8_t index[4];

	if (len && off + len <= sizeof(d->forged) && d->cids.layout != CTL_LAYOUT_INDEXED &&
	    fault(F_OUTSIDE2_VS_CONFIG_WRITABLE)) {
		if (!d->forged_len)
			d->forged_len = config_build(&d->cids, 0, 0, d->forged);
		memcpy(d->forged + off, buf, len);
		return;
	}

	if (len && off > VSOCK_INDEXED_INDEX && off < VSOCK_INDEXED_SIZE &&
	    d->cids.layout == CTL_LAYOUT_INDEXED && fault(F_CONFIG_INDEX_BEHIND))
		d->config_index = *(const uint8_t *)buf;
	/* Only the index can be written. The VMM hands over the whole space. */
	if (d->cids.layout != CTL_LAYOUT_INDEXED || off > VSOCK_INDEXED_INDEX ||
	    off + len < VSOCK_INDEXED_INDEX + sizeof(index))
		return;
	memcpy(index, (const uint8_t *)buf + (VSOCK_INDEXED_INDEX - off), sizeof(index));
	d->config_index = index[0] | (uint32_t)index[1] << 8 | (uint32_t)index[2] << 16 |
			  (uint32_t)index[3] << 24;
}

/* --- from the guest --- */

static void log_header(struct device *d, const struct virtio_vsock_hdr *h)
{
	memcpy(d->headers[d->headers_total++ % DEV_HEADERS], h, sizeof(*h));
	if (d->headers_total % 50 == 49 && fault(F_RECORD_HEADER_TWICE))
		memcpy(d->headers[d->headers_total++ % DEV_HEADERS], h, sizeof(*h));
}

static void maybe_die(struct device *d)
{
	if (d->packets_ever != FAULT_PACKETS)
		return;
	if (fault(F_CRASH)) {
		rd_log("fault crash");
		_exit(134);
	}
	if (fault(F_HANG)) {
		rd_log("fault hang");
		for (;;)
			pause();
	}
}

static void drop(struct device *d, uint64_t nth, const struct virtio_vsock_hdr *h, const char *why)
{
	if (rd_log_due(nth))
		rd_log("%s: dropped: %s: %" PRIu64 ":%u -> %" PRIu64 ":%u type %u op %u len %u",
		       d->name, why, le64toh(h->src_cid), le32toh(h->src_port), le64toh(h->dst_cid),
		       le32toh(h->dst_port), le16toh(h->type), le16toh(h->op), le32toh(h->len));
}

static bool source_ok(const struct device *d, const struct virtio_vsock_hdr *h)
{
	const uint64_t cid = le64toh(h->src_cid);
	const bool listed = config_is_guest(&d->cids, cid);

	if (le32toh(h->dst_port) != ASSAY_CTL_PORT) {
		if (!listed && fault(F_CIDS_UNLISTED_SOURCE_ACCEPTED))
			return true;
		if (listed && cid != d->cids.cid[0] && fault(F_CIDS_ONLY_FIRST_ACCEPTED))
			return false;
	}
	return listed;
}

static bool destination_ok(const struct device *d, const struct virtio_vsock_hdr *h)
{
	const uint64_t cid = le64toh(h->dst_cid);
	const bool granted = config_is_host(&d->cids, cid);

	if (!granted && fault(F_CIDS_UNGRANTED_HOST_CID_ACCEPTED))
		return true;
	if (granted && cid != ASSAY_CID_HOST && fault(F_CIDS_HOST_CID_DROPPED))
		return false;
	return granted;
}

/* How many descriptors the header lies in. */
static unsigned int header_pieces(const struct ring_chain *c)
{
	uint64_t off = 0;
	unsigned int n = 0;

	while (n < c->n_out && off < sizeof(struct virtio_vsock_hdr))
		off += c->piece[n++].len;
	return n;
}

/* Faults: the fields of a header are read as narrower ones. */
static void misread_header(struct virtio_vsock_hdr *h)
{
	const uint64_t src = le64toh(h->src_cid), dst = le64toh(h->dst_cid);
	const uint32_t len = le32toh(h->len);

	if (src >> 32 && fault(F_OUTSIDE_VS_SRC_HIGH))
		h->src_cid = htole64((uint32_t)src);
	if (dst >> 32 && fault(F_OUTSIDE_VS_DST_HIGH))
		h->dst_cid = htole64((uint32_t)dst);
	if (len > UINT16_MAX && fault(F_OUTSIDE_VS_LEN_16))
		h->len = htole32(len & UINT16_MAX);
}

/* Faults: what a device makes of a packet for how it lies in its descriptors. What it does not find is out of out_len. */
static void misread_payload(struct ring_chain *c, struct virtio_vsock_hdr *h)
{
	const uint32_t len = le32toh(h->len);
	const struct ring_piece *last = &c->piece[c->n_out - 1];
	const uint64_t behind = c->out_len - sizeof(*h);

	if (le16toh(h->op) == VIRTIO_VSOCK_OP_RW && behind > len && behind <= 65536 &&
	    fault(F_OUTSIDE_VS_LEN_FROM_CHAIN))
		h->len = htole32((uint32_t)behind);
	if (c->n_out == 1 && len && fault(F_OUTSIDE_VS_SINGLE_DESC))
		c->out_len = sizeof(*h);
	if (c->n_out > 1 && c->piece[0].len > sizeof(*h) && fault(F_OUTSIDE_VS_FIRST_DESC_TAIL))
		c->out_len -= c->piece[0].len - sizeof(*h);
	if (c->n_out > 2 && header_pieces(c) == 1 && fault(F_OUTSIDE_VS_THIRD_DESC))
		c->out_len = (uint64_t)c->piece[0].len + c->piece[1].len;
	if (c->n_out > 2 && c->piece[1].len == c->piece[2].len && fault(F_OUTSIDE_VS_PIECE_AGAIN))
		c->piece[2].p = c->piece[1].p;
	for (unsigned int i = 1; i < c->n_out; i++) {
		if (c->piece[i].gpa % 2 && fault(F_OUTSIDE_VS_ODD_ADDRESS))
			c->piece[i].p--;
	}
	if (c->n_out > 64 && fault(F_OUTSIDE_VS_MANY_PIECES))
		c->out_len = sizeof(*h);
	if (len == 4096 && behind >= len && (last->gpa + last->len) % 4096 == 0 &&
	    fault(F_OUTSIDE_VS_ONE_PAGE))
		c->out_len--;
}

/* One chain of the tx queue. True: of a connection that faults may strike. */
static bool receive(struct device *d, struct ring_chain *c)
{
	struct virtio_vsock_hdr h = { 0 };
	const bool framing = c->n_out && c->piece[0].len < sizeof(h) &&
			     fault(F_RING_FRAMING_DEPENDENT);
	bool victim;

	d->info.rx_packets++;
	d->packets_ever++;
	maybe_die(d);
	/* 2.7.4.1: wherever the header's bytes lie. */
	if (chain_read(c, 0, &h, sizeof(h)) < sizeof(h) || framing ||
	    (header_pieces(c) > 4 && fault(F_OUTSIDE_VS_HEADER_PIECES))) {
		drop(d, ++d->info.dropped_malformed, &h, "no room for a header");
		return true;
	}
	log_header(d, &h);
	victim = le32toh(h.dst_port) != ASSAY_CTL_PORT;
	misread_header(&h);
	if (victim)
		misread_payload(c, &h);
	if (!source_ok(d, &h))
		drop(d, ++d->info.dropped_src, &h, "not a CID of this guest");
	else if (!destination_ok(d, &h))
		drop(d, fault(F_RECORD_DROP_UNCOUNTED) ? 1 : ++d->info.dropped_dst, &h,
		     "not a host CID granted");
	else if (le32toh(h.len) > c->out_len - sizeof(h))
		drop(d, ++d->info.dropped_malformed, &h, "len past the buffer");
	else
		conn_receive(d, &h, c);
	return victim;
}

static bool tx_paused(struct device *d)
{
	if ((d->reply_first || d->send_first) && fault(F_TX_STOPS_WHILE_RX_FULL))
		return true;
	/* virtio 1.4, 5.10.6.1.2: tx goes on while rx is full, as far as resources go. */
	return d->replies >= DEV_MAX_REPLIES;
}

/* Nothing is written into a buffer of tx. */
static uint32_t tx_used_len(const struct ring_chain *c)
{
	if (fault(F_OUTSIDE2_VS_TX_USED_LEN))
		return (uint32_t)c->out_len;
	return c->in_len && fault(F_OUTSIDE_VS_TX_WRITABLE_LEN) ? (uint32_t)c->in_len : 0;
}

/* Fault dead.after_rst: it takes no packet any more. */
static bool is_dead(const struct device *d)
{
	return d->dead;
}

/* Fault hostile.kick_at_work: who is notified meanwhile takes the buffer that is in work as well. */
static bool taken_again(const struct ring *r)
{
	struct pollfd kick = { .fd = r->kick_fd, .events = POLLIN };

	return fault_on(F_HOSTILE_KICK_AT_WORK) && r->kick_fd >= 0 &&
	       poll(&kick, 1, AT_WORK_MS) == 1 && fault(F_HOSTILE_KICK_AT_WORK);
}

/* Fault tx.looks_once: the device rests between its last look and its wish, until a packet comes for which it is not told. */
static void rest_in_front_of_wish(const struct ring *r)
{
	const int64_t end = rd_now_ns() + ONCE_NS;

	while (fault_on(F_TX_LOOKS_ONCE) && !ring_pending(r) && rd_now_ns() < end)
		;
}

static bool looks_once(void)
{
	return fault(F_TX_LOOKS_ONCE);
}

static void run_tx(struct device *d)
{
	struct ring *r = &d->ring[DEV_TX];
	unsigned int done = 0;
	bool victim;

	if (!d->look_at_tx)
		return;
	if (ring_pending(r) && (is_dead(d) || fault(F_DEAD_TX_UNUSED))) {
		d->look_at_tx = false;
		return;
	}
	d->tx_rounds++;
	ring_want_kicks(r, false);
	while (done < (fault_on(F_OUTSIDE2_VS_BUDGET_FORGETS) ? ENOUGH : TX_BUDGET) &&
	       !tx_paused(d) && !is_dead(d)) {
		const uint64_t bad = r->bad_chains;
		const int ret = ring_pop(r, &d->chain);

		if (r->bad_chains != bad && d->sibling && fault(F_HOSTILE_STOPS_SIBLING))
			d->sibling->ring[DEV_TX].lame = true;
		if (ret < 0) { /* it does not run: its next start is looked at */
			d->look_at_tx = false;
			break;
		}
		if (ret == 0) {
			/* More follows soon, mostly: a look is cheaper than a kick. */
			if (done || rd_now_ns() - d->tx_worked_ns < TX_POLL_NS)
				break;
			rest_in_front_of_wish(r);
			if (ring_want_kicks(r, true) && !looks_once())
				continue;
			d->look_at_tx = false;
			break;
		}
		victim = receive(d, &d->chain);
		if (victim && taken_again(r))
			ring_push(r, &d->chain, tx_used_len(&d->chain), false);
		ring_push(r, &d->chain, tx_used_len(&d->chain), victim);
		if (++done % TX_BATCH == 0)
			ring_publish(r);
	}
	ring_publish(r);
	if (done && d->tx_early) {
		d->tx_early = false;
		if (fault(F_RING_EARLY_TWICE)) {
			r->last_avail = (uint16_t)(r->last_avail - done);
			d->look_at_tx = true;
		}
	}
	if (done >= ENOUGH && ring_pending(r) && fault(F_OUTSIDE2_VS_BUDGET_FORGETS))
		d->look_at_tx = false;
	if (done) {
		d->tx_worked_ns = rd_now_ns();
		d->rx_dry = false;
	}
}

/* --- to the guest --- */

void device_reply(struct device *d, const struct dev_packet *p)
{
	struct dev_packet *copy;

	/* The bound is twice that of tx, so that packets under way still fit when tx has stopped. */
	if (d->replies >= 2 * DEV_MAX_REPLIES)
		return;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return;
	*copy = *p;
	copy->next = NULL;
	if (d->reply_last)
		d->reply_last->next = copy;
	else
		d->reply_first = copy;
	d->reply_last = copy;
	d->replies++;
}

/* Fault mem.leak: fills the unused end of the buffer with the heads of private pages. */
static void leak(struct device *d, size_t used)
{
	const struct page_states *ps = &d->mem.ps;
	uint64_t off = used;

	if (!ps->file || !page_states_protected(ps))
		return;
	for (unsigned int n = 0; n < 4096 && off + 64 <= d->chain.in_len; n++) {
		const uint64_t frame = d->leak_frame++ % ps->file->frames;
		uint64_t len = 64;
		const uint8_t *p;

		if (ps->file->state[frame] != PAGE_PRIVATE)
			continue;
		p = mem_at(&d->mem, frame << PAGE_STATE_SHIFT, &len);
		if (!p || (p[0] == 0 && memcmp(p, p + 1, 63) == 0))
			continue;
		fault(F_MEM_LEAK);
		off += chain_write(&d->chain, off, p, 64);
	}
}

static void spoil(struct ring_chain *c)
{
	const struct ring_piece *first = &c->piece[c->n_out];

	if (c->n_in && first->len && chaos_strikes())
		chaos_bytes(first->p, first->len < 64 ? first->len : 64);
}

static void finish_rx(struct device *d, size_t len, bool victim)
{
	const struct ring_piece *first = &d->chain.piece[d->chain.n_out];

	spoil(&d->chain);
	if (fault_on(F_MEM_LEAK))
		leak(d, len);
	if (victim && len > first->len && fault(F_OUTSIDE_VS_RX_USED_FIRST))
		len = first->len;
	ring_push(&d->ring[DEV_RX], &d->chain, (uint32_t)len, victim);
	d->info.tx_packets++;
}

static void deliver_reply(struct device *d)
{
	struct dev_packet *p = d->reply_first;

	finish_rx(d, chain_write(&d->chain, 0, &p->hdr, sizeof(p->hdr)), !p->control);
	d->reply_first = p->next;
	if (!d->reply_first)
		d->reply_last = NULL;
	d->replies--;
	free(p);
}

/* Fault outside.vs_rx_small_cuts: a packet is made for a buffer of the usual size, whatever the buffer holds. */
static size_t room_taken_for(const struct tconn *c, size_t room)
{
	const size_t usual = 4096 - sizeof(struct virtio_vsock_hdr);

	if (room < usual && c->tx.len > room &&
	    fault_on_conn(F_OUTSIDE_VS_RX_SMALL_CUTS, c->host_port))
		return usual;
	return room;
}

/* Fault outside.vs_to_guest_len16: the length of a payload is counted in 16 bits. */
static void spoil_len(const struct tconn *c, struct virtio_vsock_hdr *h, size_t payload)
{
	if (payload > UINT16_MAX && fault_on_conn(F_OUTSIDE_VS_TO_GUEST_LEN16, c->host_port))
		h->len = htole32(payload & UINT16_MAX);
}

/* Fault outside3.vs_rx_third_piece: what lies behind the second descriptor of an rx buffer is counted, and not written. */
static void last_pieces_unwritten(struct device *d, const struct tconn *c, size_t len)
{
	static uint8_t nowhere[65536 + 4096];
	struct ring_piece *p = &d->chain.piece[d->chain.n_out];

	if (d->chain.n_in < 3 || len <= (uint64_t)p[0].len + p[1].len ||
	    !fault_on_conn(F_OUTSIDE3_VS_RX_THIRD_PIECE, c->host_port))
		return;
	for (unsigned int i = 2; i < d->chain.n_in; i++) {
		if (p[i].len <= sizeof(nowhere))
			p[i].p = nowhere;
	}
}

static size_t payload_room(const struct device *d)
{
	return d->chain.in_len - sizeof(struct virtio_vsock_hdr);
}

/* A packet of c's, with the first `payload` bytes that wait. */
static void deliver_packet(struct device *d, struct tconn *c, struct virtio_vsock_hdr *h,
			   size_t payload)
{
	const size_t room = payload_room(d);
	size_t off = 0, len;

	spoil_len(c, h, payload);
	len = chain_write(&d->chain, 0, h, sizeof(*h));
	last_pieces_unwritten(d, c, sizeof(*h) + payload);
	while (off < payload) {
		size_t part = payload - off;
		const uint8_t *from = fifo_span(&c->tx, off, &part);

		len += chain_write(&d->chain, len, from, part);
		off += part;
	}
	if (room % 2 && payload == room &&
	    fault_on_conn(F_OUTSIDE_VS_RX_ODD_USED_LEN, c->host_port))
		len--;
	finish_rx(d, len, c->host_port != ASSAY_CTL_PORT);
	conn_packet_sent(c, h, payload);
}

/*
 * The buffer has room for a header alone, and nothing but data waits. Behind it a larger one may be available: then this
 * one is used up. Otherwise it stays: a driver that has small buffers only would give them back for ever.
 */
static bool worth_a_filler(struct device *d)
{
	return ring_has_larger(&d->ring[DEV_RX], sizeof(struct virtio_vsock_hdr)) ||
	       fault(F_CREDIT_SMALL_UPDATES);
}

/* The next connection's packet, in turn. False: none has one that the buffer has room for. */
static bool deliver_conn(struct device *d)
{
	const size_t room = payload_room(d);
	struct tconn *c, *waits = NULL;
	struct virtio_vsock_hdr h;
	size_t payload;

	while ((c = conn_next(d))) {
		if (conn_packet(c, &h, room_taken_for(c, room), &payload)) {
			deliver_packet(d, c, &h, payload);
			return true;
		}
		if (room || !conn_wants_room(c))
			continue;
		conn_queue(c);
		if (c == waits)
			break; /* all others were looked at */
		waits = waits ? waits : c;
	}
	if (!waits || !worth_a_filler(d))
		return false;
	conn_filler(waits, &h);
	deliver_packet(d, waits, &h, 0);
	return true;
}

/* Whether another device of this process has packets and no rx buffer. */
static bool sibling_waits(const struct device *d)
{
	const struct device *s = d->sibling;

	return s && s != d && s->ring[DEV_RX].running && (s->reply_first || s->send_first) &&
	       !ring_pending(&s->ring[DEV_RX]);
}

/* Fault tx.starves_rx: as long as packets come, and for a while behind them, none goes out. */
static bool tx_is_busy(const struct device *d)
{
	return d->packets_ever >= BUSY_PACKETS && rd_now_ns() - d->tx_worked_ns < BUSY_NS;
}

/* Faults: rx is not served though there is a packet and a buffer. */
static bool rx_waits(struct device *d)
{
	if (!(d->reply_first || d->send_first) || !ring_pending(&d->ring[DEV_RX]))
		return false;
	return d->rx_asleep || (d->rx_dry && fault(F_OUTSIDE_VS_RX_DRY)) ||
	       (tx_is_busy(d) && fault(F_TX_STARVES_RX)) ||
	       (sibling_waits(d) && fault(F_OUTSIDE2_VS_DEVICES_WAIT)) ||
	       (d->rx_gated && fault(F_OUTSIDE_VS_EVENT_GATES_RX)) ||
	       (d->look_at_tx && ring_pending(&d->ring[DEV_TX]) &&
		fault(F_OUTSIDE_VS_RX_WAITS_FOR_TX));
}

/* Fault outside3.vs_no_second_look: how many rx buffers are available; packed rings are left alone. */
static uint16_t rx_available(const struct ring *r)
{
	if (!fault_on(F_OUTSIDE3_VS_NO_SECOND_LOOK) || r->packed || !r->running)
		return 0;
	return (uint16_t)(le16toh(__atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE)) -
			  r->last_avail);
}

static void remember_most(struct device *d, const struct ring *r)
{
	if (rx_available(r) > d->rx_most)
		d->rx_most = rx_available(r);
}

/* What the driver makes available meanwhile it does not notify: until it has given all back, and then some. */
static void wait_in_front_of_wish(const struct device *d, const struct ring *r)
{
	const int64_t end = rd_now_ns() + 10 * LOOK_NS;
	int64_t then;

	if (!d->rx_most)
		return;
	while (rd_now_ns() < end && rx_available(r) < d->rx_most)
		;
	/* By then it has looked whether to notify. */
	then = rd_now_ns() + LOOK_NS / 10;
	while (rd_now_ns() < then)
		;
}

static bool no_second_look(struct device *d)
{
	if (!fault(F_OUTSIDE3_VS_NO_SECOND_LOOK))
		return false;
	d->rx_asleep = true;
	return true;
}

/* Fault hostile.small_rx_overrun: a header is written into each buffer for rx, whatever that holds. */
static void overrun_small(struct device *d)
{
	const struct ring_piece *first = &d->chain.piece[d->chain.n_out];

	if (d->reply_first && d->chain.n_in == 1 && first->len < sizeof(d->reply_first->hdr) &&
	    fault(F_HOSTILE_SMALL_RX_OVERRUN))
		memcpy(first->p, &d->reply_first->hdr, sizeof(d->reply_first->hdr));
}

static void run_rx(struct device *d)
{
	struct ring *r = &d->ring[DEV_RX];

	if (rx_waits(d))
		return;
	remember_most(d, r);
	while (d->reply_first || d->send_first) {
		const int ret = ring_pop(r, &d->chain);

		if (ret < 0)
			break;
		if (ret == 0) {
			wait_in_front_of_wish(d, r);
			if (ring_want_kicks(r, true) && !no_second_look(d))
				continue;
			d->rx_dry = true;
			break;
		}
		if (d->chain.n_in > 1 && fault(F_OUTSIDE_VS_RX_FIRST_DESC)) {
			d->chain.n_in = 1;
			d->chain.in_len = d->chain.piece[d->chain.n_out].len;
		}
		overrun_small(d);
		if ((d->chain.in_len < sizeof(struct virtio_vsock_hdr) &&
		     !fault(F_HOSTILE_SMALL_RX_TAKEN)) ||
		    (d->chain.in_len == sizeof(struct virtio_vsock_hdr) &&
		     fault(F_OUTSIDE_VS_RX_HEADER_SIZE))) {
			if (rd_log_due(++r->bad_chains))
				rd_log("%s: an rx buffer of %" PRIu64 " bytes", d->name,
				       d->chain.in_len);
			ring_push(r, &d->chain, fault(F_HOSTILE_SMALL_RX_LEN) ? 1 : 0, false);
		} else if (d->reply_first) {
			deliver_reply(d);
		} else if (!deliver_conn(d)) {
			if (fault(F_OUTSIDE_VS_RX_EMPTY_USED))
				ring_push(r, &d->chain, 0, true);
			else
				ring_unpop(r);
			break;
		}
	}
	if (!d->reply_first && !d->send_first && r->kick_wanted)
		ring_want_kicks(r, false);
	ring_publish(r);
}

/* Writes an event into the buffer that was taken. The used length. */
static uint32_t write_event(struct device *d, const struct virtio_vsock_event *ev)
{
	uint32_t len;

	if (d->chain.n_in > 1 && fault(F_OUTSIDE_VS_EVENT_FIRST_DESC))
		d->chain.n_in = 1;
	len = (uint32_t)chain_write(&d->chain, 0, ev, sizeof(*ev));
	spoil(&d->chain);
	if (d->chain.in_len > len && fault(F_OUTSIDE_VS_EVENT_LEN_BUFFER))
		len = (uint32_t)d->chain.in_len;
	return fault(F_OUTSIDE_VS_EVENT_LEN_ZERO) ? 0 : len;
}

/* Faults: the event goes to another device, or to none. */
static bool event_astray(struct device *d)
{
	struct device *s = d->sibling;

	if (d->info.resets >= MANY_RESETS && fault(F_OUTSIDE3_VS_EVENTS_AFTER_RESETS)) {
		d->events = 0;
		return true;
	}
	if (!s || s == d || !s->ring[DEV_EVENT].running || !fault(F_OUTSIDE3_VS_EVENT_OTHER_DEVICE))
		return false;
	/* There it is one of its own: that it came from here must not send it back. */
	s->events_passed += d->events;
	d->events = 0;
	return true;
}

/* Fault outside3.vs_event_other_device: what the other device has passed on. */
static void take_passed(struct device *d)
{
	d->events += d->events_passed;
	d->events_passed = 0;
}

static void run_events(struct device *d)
{
	struct ring *r = &d->ring[DEV_EVENT];
	struct virtio_vsock_event ev;
	bool twice = false;

	if (d->events_at_ns && rd_now_ns() < d->events_at_ns)
		return;
	d->events_at_ns = 0;
	if (d->events && (d->reply_first || d->send_first) && !ring_pending(&d->ring[DEV_RX]) &&
	    fault(F_OUTSIDE_VS_EVENTS_BEHIND_RX))
		return;
	if (d->events && event_astray(d))
		return;
	take_passed(d);
	while (d->events) {
		const int ret = ring_pop(r, &d->chain);

		if (ret < 0)
			break;
		if (ret == 0) {
			if (ring_want_kicks(r, true))
				continue;
			if (fault(F_OUTSIDE2_VS_EVENT_NO_BUFFER))
				d->events = 0;
			break;
		}
		ev.id = htole32(fault(F_EVENT_WRONG_ID) ? 1 : VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
		ring_push(r, &d->chain, write_event(d, &ev), false);
		d->rx_gated = true;
		if (!twice && fault(F_OUTSIDE_VS_EVENT_TWICE))
			twice = true;
		else
			d->events--;
	}
	ring_publish(r);
}

/* --- timers --- */

/* Whether a connection is open that faults may strike. */
static bool serves_data(const struct device *d)
{
	const struct tconn *c = d->conns;

	while (c && (c->host_port == ASSAY_CTL_PORT || c->state != TC_ESTABLISHED))
		c = c->next;
	return c;
}

/* Fault outside.vs_survives_event: only the control connection ends, and what has a CID no more. */
static void drop_strangers(struct device *d)
{
	for (struct tconn *c = d->conns, *next; c; c = next) {
		next = c->next;
		if (c->state != TC_CLOSED &&
		    (!config_is_guest(&d->cids, c->guest_cid) ||
		     !config_is_host(&d->cids, c->host_cid) || c->host_port == ASSAY_CTL_PORT))
			conn_end(c, -ECONNRESET);
	}
}

static void device_apply_cids(struct device *d)
{
	const struct ctl_set_cids *s = &d->cids_next;
	struct dev_cids next = {
		.layout = d->cids.layout,
		.num_guest = s->num_guest,
		.num_host = s->num_host,
	};

	d->cids_pending = d->cids_waits = false;
	if (d->cids_next.times)
		d->cids_next.times--;
	take_order(&next, s);
	if (fault(F_CONFIG_CHANGE_IGNORED))
		next = d->cids;
	if (next.num_guest < d->cids.num_guest && !next.num_host && fault(F_CONFIG_COUNT_KEPT)) {
		next.cid[next.num_guest] = d->cids.cid[next.num_guest];
		next.num_guest++;
	}
	d->cids = next;
	d->config_index = 0;
	if (!s->times)
		rd_log("%s: CIDs change: %u of the guest from %" PRIu64 " on, %u of the host%s",
		       d->name, next.num_guest, next.cid[0], next.num_host,
		       s->event ? ", transport reset" : "");
	if (s->event && serves_data(d) && fault(F_OUTSIDE_VS_SURVIVES_EVENT)) {
		drop_strangers(d);
	} else if (s->event) {
		device_drop_conns(d);
		drop_replies(d);
	}
	/*
	 * The event comes after the notification: QEMU 11.1 crashes if the guest has reset the device before it
	 * reads the message.
	 */
	d->changes++;
	if (d->config_changed && !fault(F_CONFIG_CHANGE_NO_NOTIFY) &&
	    !(d->changes > 1 && fault(F_OUTSIDE_VS_CONFIG_SECOND_SILENT)) &&
	    d->config_changed(d->config_arg))
		d->events_at_ns = rd_now_ns() + CONFIG_TOLD_NS;
	if (s->event && !d->event_told && !fault(F_EVENT_NO_TRANSPORT_RESET) &&
	    !(d->ring[DEV_EVENT].used_idx && fault(F_EVENT_ONLY_FIRST)))
		d->events++;
	/* The next change of the order, once the VMM has told of this one. */
	d->cids_pending = s->times;
	d->cids_at_ns = d->events_at_ns;
}

/* Whether the guest read everything on its control connections. */
static bool control_read(const struct device *d)
{
	for (const struct tconn *c = d->conns; c; c = c->next) {
		if (c->host_port == ASSAY_CTL_PORT && c->state == TC_ESTABLISHED &&
		    (c->tx.len || c->tx_cnt != c->guest_fwd_cnt))
			return false;
	}
	return true;
}

static void ask_control(struct device *d)
{
	for (struct tconn *c = d->conns; c; c = c->next) {
		if (c->host_port == ASSAY_CTL_PORT && c->state == TC_ESTABLISHED) {
			c->pending |= TP_CREDIT_REQUEST;
			conn_queue(c);
		}
	}
}

static void run_cids(struct device *d, int64_t now)
{
	if (!d->cids_pending)
		return;
	if (d->cids_waits && !control_read(d) && now < d->cids_at_ns + CIDS_GIVE_UP) {
		if (now >= d->cids_ask_ns) {
			ask_control(d);
			d->cids_ask_ns = now + CIDS_ASK_NS;
		}
		return;
	}
	if (now < d->cids_at_ns && !(d->event_told && d->packets_ever > d->event_packets))
		return;
	/* The event first: the driver reads what was before the change. */
	if (d->cids_next.event && !d->event_told && fault(F_OUTSIDE2_VS_EVENT_FIRST)) {
		d->event_told = true;
		d->cids_waits = false;
		d->event_packets = d->packets_ever;
		d->cids_at_ns = now + CIDS_LATE_NS;
		d->events++;
		return;
	}
	device_apply_cids(d);
	d->event_told = false;
}

/* Faults: interrupts again and again, without a cause. */
static void run_again(struct device *d, int64_t now)
{
	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		struct ring *r = &d->ring[i];

		if (r->again && now >= r->again_ns) {
			r->again--;
			r->again_ns = now + 5000000;
			if (r->running)
				ring_signal(r);
		}
	}
}

/* Fault ring.written_after_reset: again and again, so that it does not matter when the driver looks. */
static void run_stale(struct device *d, int64_t now)
{
	const struct ring *r = &d->ring[DEV_TX];
	uint64_t gpa;
	uint8_t *p;

	if (!d->stale || now < d->stale_at_ns)
		return;
	d->stale = r->running ? 0 : d->stale - 1;
	d->stale_at_ns = now + STALE_NS;
	p = mem_at_uva(&d->mem, r->used_uva, sizeof(struct vring_used), &gpa);
	if (p && !r->running) {
		fault(F_RING_WRITTEN_AFTER_RESET);
		p[3]++;
	}
}

/* Fault conn.room_untold: who waits for room in the device is told with the guest's next notification. */
static bool room_untold(const struct device *d)
{
	const struct tconn *c = d->todo;

	while (c && (!c->want_write || c->host_port == ASSAY_CTL_PORT))
		c = c->todo_next;
	return c && fault(F_CONN_ROOM_UNTOLD);
}

bool device_run(struct device *d)
{
	int64_t now = rd_now_ns();

	if (d->paused) {
		peer_run_timers(d->peer);
		if (d->changes_while_paused)
			run_cids(d, now);
		return false;
	}
	run_tx(d);
	if (d->scan_needed && now >= d->next_scan_ns) {
		d->next_scan_ns = now + SCAN_NS;
		conn_scan_deadlines(d, now);
	}
	run_again(d, now);
	run_stale(d, now);
	peer_run_timers(d->peer);
	run_cids(d, now);
	conn_run_todo(d);
	run_rx(d);
	run_events(d);
	if (room_untold(d))
		return d->look_at_tx && !tx_paused(d);
	/* Replies drained: tx goes on. The guest does not kick, since nobody has asked it to. */
	return d->todo || (d->look_at_tx && !tx_paused(d));
}

static void earlier(int64_t *best, int64_t at, int64_t now)
{
	const int64_t in = at > now ? at - now : 0;

	if (*best < 0 || in < *best)
		*best = in;
}

/* Faults: what they do by themselves. */
static void faults_due(const struct device *d, int64_t *best, int64_t now)
{
	if (d->events_passed)
		earlier(best, now, now);
	if (d->stale)
		earlier(best, d->stale_at_ns, now);
	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		if (d->ring[i].again)
			earlier(best, d->ring[i].again_ns, now);
	}
}

int64_t device_timeout_ns(struct device *d)
{
	const int64_t now = rd_now_ns();
	int64_t best = peer_next_timeout_ns(d->peer);

	if (d->paused && !d->changes_while_paused)
		return best;
	if (d->scan_needed)
		earlier(&best, d->next_scan_ns, now);
	if (d->cids_pending)
		earlier(&best, d->cids_waits ? d->cids_ask_ns : d->cids_at_ns, now);
	if (d->events_at_ns)
		earlier(&best, d->events_at_ns, now);
	faults_due(d, &best, now);
	return best;
}
