/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 2.7.4.1, 2.7.5, 2.7.8.2): a device assumes nothing about how a buffer is cut into
 * descriptors and where these lie; it fills an rx buffer of any size, tells how much it wrote, and works with
 * queues of any size and without the features that a driver did not take.
 *
 * How hosts break it: they count on the habits of Linux's driver. Payload was looked for in the second
 * descriptor (rust-vmm/vm-virtio issue 204, firecracker issue 4284), lengths were kept in 16 bits
 * (firecracker d772c0f4c), rx buffers were taken for 4 KiB.
 *
 * How it is seen here: one and the same scenario, with packets cut in many ways, and with a driver of many
 * manners. Data is checked byte by byte.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/virtqueue.h"
#include "lib/boot_info.h"
#include "lib/errname.h"
#include "lib/mem.h"
#include "tests/vsock/packet.h"
#include "tests/vsock/pair.h"

#define OWNER	 "vsock device back end (descriptors)"
#define HDR	 ((uint32_t)sizeof(struct vsock_hdr))
#define QUIET_NS (test_sec() / 40)
#define DIRECT	 VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC)
#define FLAGS	 VIRTIO_BIT(VIRTIO_F_EVENT_IDX)

/* Bytes of a huge buffer: at most, less each time that there is no room, behind an IOMMU. */
#define HUGE_MOST   (1024u << 20)
#define HUGE_STEP   (8u << 20)
#define HUGE_MAPPED (512u << 10)

/* The device anew, with a driver of this manner; the control connection, too. */
static struct vsock_env *up(struct test_ctx *t, const char *name, const struct vsock_manner *m)
{
	int ret;

	vsock_set_manner(m);
	ret = vsock_env_reopen(t, 0);
	require(t, ret == 0, "%s: the device does not come up: %s", name, vsock_env_device_error());
	ret = vsock_env_reconnect();
	require(t, ret == 0, "%s: the control connection: %s", name, vsock_env_peer_error());
	return vsock_env_ctl(t);
}

/* --- from the guest ------------------------------------------------------------------------- */

#define SPACE  (160u << 10)
#define PIECES 120

enum where {
	ANYWHERE,
	ODD,	  /* each piece begins at an odd address */
	PAGE_END, /* the last piece ends where a page ends */
};

static const struct shape {
	const char *name;
	uint32_t data, first, piece; /* bytes in all, in the first descriptor, in each other one */
	uint32_t behind;	     /* bytes behind the payload */
	enum where where;
} shapes[] = {
	{ "all in one descriptor", 1000, HDR + 1000, 1, 0, ANYWHERE },
	{ "the payload begins behind the header", 64, HDR + 4, 60, 0, ANYWHERE },
	{ "the payload in three pieces of one length", 96, HDR, 32, 0, ANYWHERE },
	{ "pieces of four bytes", 100, 4, 4, 0, ANYWHERE },
	{ "byte by byte", 60, 1, 1, 0, ANYWHERE },
	{ "a header, the payload byte by byte", 70, HDR, 1, 0, ANYWHERE },
	{ "odd pieces at odd addresses", 999, HDR, 37, 0, ODD },
	{ "a page that ends where a page ends", 4096, HDR, 4096, 0, PAGE_END },
	{ "65536 bytes in a descriptor of their own", 65536, HDR, 65536, 0, ANYWHERE },
	{ "65536 bytes in one descriptor with the header", 65536, HDR + 65536, 1, 0, ANYWHERE },
	{ "more behind the payload, in its descriptor", 100, HDR, 400, 300, ANYWHERE },
	{ "more behind the payload, in another one", 100, HDR, 100, 300, ANYWHERE },
};

static uint8_t space[SPACE] __attribute__((aligned(4096)));

/* Lays the packet out in `space`, apart, piece by piece. Number of pieces; 0: there are too many. */
static unsigned int lay_out(const struct shape *s, const uint8_t *packet, struct vq_seg *seg)
{
	const uint32_t total = HDR + s->data + s->behind;
	uint32_t done = 0, at = 0, len;
	unsigned int n = 0;

	while (done < total) {
		len = n ? s->piece : s->first;
		len = len < total - done ? len : total - done;
		at = ((at + 7) & ~1u) + (s->where == ODD);
		if (s->where == PAGE_END && done + len == total)
			at = ((at + len + 4095) & ~4095u) - len;
		if (n == PIECES || at + len > SPACE)
			return 0;
		memcpy(space + at, packet + done, len);
		seg[n++] = (struct vq_seg){ space + at, len };
		at += len;
		done += len;
	}
	return n;
}

static int post(struct pair *p, const struct vsock_hdr *h, const struct vq_seg *seg, unsigned int n)
{
	struct virtqueue *tx = vsock_device(p->env->vs)->vq[1];
	int ret;

	pair_waits(p, vq_in_flight(tx) == 0, 1);
	vsock_raw_begin(p->env->vs, h);
	ret = vq_add(tx, seg, n, NULL, 0, space);
	if (ret)
		test_error(p->t, "the packet cannot be posted: %s", err_text(ret));
	vq_kick(tx);
	return vsock_raw_end(p->env->vs, space, IO_NS);
}

static struct vsock_hdr header_of(const struct pair *p, uint32_t len)
{
	const struct packet packet = {
		.from = p->local, .to = p->remote, .type = p->type, .op = VSOCK_OP_RW, .len = len
	};

	return packet_header(&packet);
}

/* The echo of it, and of an ordinary packet behind it: no byte more, none less. */
static void expect_echo(struct test_ctx *t, struct pair *p, const struct shape *s)
{
	static uint8_t packet[HDR + 65536 + 512];
	struct vq_seg seg[PIECES];
	const struct vsock_hdr h = header_of(p, s->data);
	unsigned int n;
	int ret;

	memset(packet, 0xee, sizeof(packet));
	memcpy(packet, &h, HDR);
	pattern_fill(packet + HDR, s->data, p->out.seed, 0);
	n = lay_out(s, packet, seg);
	if (!n || n > vq_size(vsock_device(p->env->vs)->vq[1]) ||
	    s->data > credit_of(p).peer_free) {
		test_note(t, "%s: more than the queue or the peer's buffer holds", s->name);
		return;
	}
	test_note(t, "%s: %u descriptors", s->name, n);
	ret = post(p, &h, seg, n);
	require(t, ret == 0, "%s: the packet is not used: %s", s->name, err_text(ret));
	p->out.pos += s->data;
	guest_send(p, 100);
	guest_expects(p, s->data + 100);
}

TEST(shapes_from_guest,
     .id = "vsock.shapes.from_guest",
     .clause = "virtio 1.4, 2.7.4.1 MUST NOT: assume an arrangement of descriptors; 5.10.6: len is the payload's",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 30 * SEC)
{
	static const struct vsock_manner in_tables, in_the_ring = { .without = DIRECT };
	unsigned int i, direct;

	for (direct = 0; direct < 2; direct++) {
		up(t, direct ? "chains in the ring" : "chains in tables",
		   direct ? &in_the_ring : &in_tables);
		for (i = 0; i < COUNT_OF(shapes); i++) {
			struct pair *p = pair_open(t, .at = ASSAY_ECHO_PORT);

			expect_echo(t, p, &shapes[i]);
			pair_drop(p);
		}
	}
}

/* One packet of 64 bytes that lies at this place. What was there comes back. */
static void from_place(struct test_ctx *t, uint8_t *place, const char *what)
{
	struct pair *p = pair_open(t, .at = ASSAY_ECHO_PORT);
	const struct vsock_hdr h = header_of(p, 64);
	const struct vq_seg seg = { place, HDR + 64 };
	uint8_t was[HDR + 64];
	int ret;

	memcpy(was, place, sizeof(was));
	memcpy(place, &h, HDR);
	pattern_fill(place + HDR, 64, p->out.seed, 0);
	ret = post(p, &h, &seg, 1);
	memcpy(place, was, sizeof(was));
	require(t, ret == 0, "a packet %s (0x%llx) is not used: %s", what,
		(unsigned long long)virt_to_phys(place), err_text(ret));
	guest_expects(p, 64);
	pair_drop(p);
}

/*
 * At the end of each range of RAM whose last page is free. Below 1 MiB no page is given away, but nobody needs what
 * is there while one packet lies in its place: what starts CPUs.
 */
#define REGION (32ull << 20)

/* RAM of several pieces that adjoin is one range to the guest. Pieces begin at round addresses. */
static void across_regions(struct test_ctx *t)
{
	const struct boot_info *b = boot_info_get();
	uint64_t at;
	uint32_t i;
	void *pages;

	for (i = 0; i < b->mem_count; i++) {
		if (b->mem[i].type != BOOT_MEM_RAM)
			continue;
		for (at = (b->mem[i].base / REGION + 1) * REGION;
		     at < b->mem[i].base + b->mem[i].size; at += REGION) {
			pages = mem_pages_at(at - PAGE_SIZE, 2);
			if (!pages)
				continue;
			mem_pages_free(pages, 2);
			from_place(t, phys_to_virt(at - HDR - 32), "across a round address");
		}
	}
}

TEST(shapes_places,
     .id = "vsock.shapes.places",
     .clause = "virtio 1.4, 2.7.5: a buffer is len bytes from addr on, wherever in memory",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 10 * SEC)
{
	const struct boot_info *b = boot_info_get();
	uint32_t i;

	vsock_env_ctl(t);
	for (i = 0; i < b->mem_count; i++) {
		const uint64_t end = b->mem[i].base + b->mem[i].size;
		const bool low = end <= 1 << 20;
		void *page = low ? NULL : mem_pages_at((end - 1) & ~(PAGE_SIZE - 1), 1);

		if (b->mem[i].type != BOOT_MEM_RAM || b->mem[i].size < PAGE_SIZE || (!low && !page))
			continue;
		if (page) /* nobody takes it meanwhile, and what is in it comes back */
			mem_pages_free(page, 1);
		from_place(t, phys_to_virt(end - HDR - 64),
			   low ? "in low memory" : "at the end of a range of RAM");
	}
	across_regions(t);
}

/* --- a driver of another manner -------------------------------------------------------------- */

static const struct manner {
	const char *name;
	struct vsock_manner m;
} manners[] = {
	{ "one rx buffer", { .rx_count = 1 } },
	{ "queues of 2", { .queue_size = 2 } },
	{ "queues of 2, no tables", { .queue_size = 2, .without = DIRECT | FLAGS } },
	{ "queues of 4, all available", { .queue_size = 4 } },
	{ "queues of 32, all available, no EVENT_IDX", { .queue_size = 32, .without = FLAGS } },
	{ "rx buffers of 300 bytes", { .rx_bytes = 300 } },
	{ "rx buffers of 1001 bytes at odd addresses", { .rx_bytes = 1001, .rx_off = 3 } },
	{ "rx buffers of 4095 bytes", { .rx_bytes = 4095 } },
	{ "rx buffers of 80 KiB", { .rx_bytes = 80 << 10, .rx_count = 8 } },
	{ "rx buffers in two descriptors, the header cut", { .rx_pieces = 2, .rx_piece = 20 } },
	{ "rx buffers in a header and a payload",
	  { .rx_pieces = 2, .rx_piece = HDR, .without = DIRECT } },
	{ "rx buffers in three descriptors of odd lengths",
	  { .rx_pieces = 3, .rx_piece = 333, .rx_off = 1, .without = DIRECT | FLAGS } },
	{ "rx buffers in forty descriptors", { .rx_pieces = 40, .rx_piece = 101, .rx_count = 8 } },
};

static void echo_message(struct test_ctx *t, struct vsock_env *e)
{
	struct pair *p;

	if (!virtio_has(vsock_device(e->vs), VSOCK_F_SEQPACKET) ||
	    !ctl_can(e->ctl, CTL_CAP_SEQPACKET))
		return;
	p = pair_open(t, .type = VSOCK_SEQPACKET, .service = CTL_SVC_ECHO);
	echo(p, 5001);
	pair_close(p);
}

static void serve(struct test_ctx *t, const struct manner *m)
{
	struct vsock_env *e;
	struct pair *p;

	test_note(t, "%s", m->name);
	e = up(t, m->name, &m->m);
	p = pair_open(t, .at = ASSAY_ECHO_PORT);
	echo(p, 1);
	echo(p, 4097);
	pair_close(p);
	p = pair_open(t, .guest_buf = 256u << 10);
	host_send(p, 150001);
	guest_expects(p, 150001);
	pair_close(p);
	echo_message(t, e);
}

TEST(shapes_to_guest,
     .id = "vsock.shapes.to_guest",
     .clause = "virtio 1.4, 2.7.4.1 MUST NOT: assume an arrangement of descriptors; 2.7, 2.7.8.2: any queue size, len is what was written",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 40 * SEC)
{
	unsigned int i;

	for (i = 0; i < COUNT_OF(manners); i++)
		serve(t, &manners[i]);
}

/* The largest free piece of memory, but for a step of it, which others need; 0: there is none of two steps. */
static uint32_t largest_piece(void)
{
	uint32_t size;
	void *p;

	for (size = HUGE_MOST; size > HUGE_STEP; size -= HUGE_STEP) {
		p = mem_pages(size / PAGE_SIZE, PAGE_SIZE);
		if (!p)
			continue;
		mem_pages_free(p, size / PAGE_SIZE);
		return size - HUGE_STEP;
	}
	return 0;
}

TEST(shapes_huge,
     .id = "vsock.shapes.rx_huge",
     .clause = "virtio 1.4, 2.7.5, 2.7.8.2: a buffer has up to 2^32 - 1 bytes, wherever memory is; len is what was written",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 60 * SEC)
{
	const bool restricted = dma_restricted(&vsock_device(vsock_env_ctl(t)->vs)->dev);
	struct vsock_manner m = { .rx_count = 1 };
	unsigned int kib;
	struct pair *p;
	int ret;

	/*
	 * A pool of bounce buffers is small. Behind an IOMMU each page is a translation of its own, and again for each
	 * packet: iommu.device.large has one buffer for that.
	 */
	m.rx_bytes = restricted ? HUGE_MAPPED : largest_piece();
	if (!m.rx_bytes)
		test_skip(t, "no %u MiB of memory are free in one piece", 2 * HUGE_STEP >> 20);
	kib = (unsigned int)(m.rx_bytes >> 10);
	vsock_set_manner(&m);
	ret = vsock_env_reopen(t, 0);
	if (ret) {
		/* The driver's own: no room in the pool, or no addresses. */
		require(t, restricted && (ret == -ENOMEM || ret == -ENOSPC),
			"one rx buffer of %u KiB: the device does not come up: %s", kib,
			vsock_env_device_error());
		test_skip(t, "a buffer of %u KiB is more than the device can reach", kib);
	}
	require(t, vsock_env_reconnect() == 0,
		"one rx buffer of %u KiB: the control connection: %s", kib, vsock_env_peer_error());
	test_note(t, "one rx buffer of %u KiB", kib);
	p = pair_open(t, .guest_buf = 256u << 10);
	host_send(p, 150001);
	guest_expects(p, 150001);
	pair_close(p);
}

TEST(shapes_header_only,
     .id = "vsock.shapes.rx_header_only",
     .clause = "virtio 1.4, 5.10.6: a packet without payload is its header; a buffer that holds it is enough",
     .owner = OWNER,
     .needs = NEED_VSOCK)
{
	static const struct vsock_manner tiny = { .rx_bytes = HDR, .rx_count = 2 };
	struct packet request = { .to = host_port(64999),
				  .type = VSOCK_STREAM,
				  .op = VSOCK_OP_REQUEST };
	int op, i;

	vsock_set_manner(&tiny);
	require(t, vsock_env_reopen(t, 0) == 0, "the device does not come up: %s",
		vsock_env_device_error());
	for (i = 0; i < 4; i++) {
		request.from = (struct vsock_addr){ vsock_config(vsock_env()->vs)->guest[0],
						    52000u + i };
		op = packet_ask(t, vsock_env(), &request);
		require(t, op == VSOCK_OP_RST, "REQUEST %d to a closed port: expected RST, %s came",
			i, packet_op(op));
	}
}

/*
 * The source sends until no rx buffer is left, and the device rests. Then the buffers come back, and nothing goes out
 * on tx that could wake the device.
 */
static void run_dry(struct test_ctx *t, const char *name, uint64_t without)
{
	const struct vsock_manner m = { .without = without, .rx_count = 4, .rx_bytes = 4096 };
	struct vsock_env *e = up(t, name, &m);
	struct virtqueue *rx = vsock_device(e->vs)->vq[0];
	struct pair *p = pair_open(t, .at = ASSAY_SOURCE_PORT, .guest_buf = 256u << 10);
	uint32_t before;

	vsock_hold_rx(e->vs, true);
	while (vq_in_flight(rx))
		guest_expects(p, 500);
	(void)wait_for((vsock_poll(e->vs), false), QUIET_NS);
	before = credit_of(p).rx_cnt;
	vsock_hold_rx(e->vs, false);
	expect(t, pair_waits(p, credit_of(p).rx_cnt != before, 2),
	       "%s: rx ran empty; nothing more comes though it has buffers again", name);
	pair_drop(p);
}

TEST(shapes_rx_dry,
     .id = "vsock.shapes.rx_dry",
     .clause = "virtio 1.4, 2.7.10: a device that waits for buffers wants to be told of them, and takes them",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 15 * SEC)
{
	run_dry(t, "with EVENT_IDX", 0);
	run_dry(t, "without EVENT_IDX", FLAGS);
}

/*
 * No host queues as much for a connection as these rx buffers hold, and the guest has told of room for all of it. So
 * the host's application has to be asked for more while nothing comes from the guest, which could wake the device.
 */
TEST(shapes_sends_on,
     .id = "vsock.shapes.sends_on",
     .clause = "virtio 1.4, 5.10.6.3: a sender waits for credit alone: what the guest has room for comes, though it sends nothing meanwhile",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL, /* Linux bounds what is under way by its own buffer */
     .timeout = 10 * SEC)
{
	enum {
		BYTES = 1100 << 10
	};
	static const struct vsock_manner many = { .rx_bytes = 24 << 10 };
	struct pair *p;

	up(t, "rx buffers of 24 KiB", &many);
	p = pair_open(t, .guest_buf = 2 << 20);
	vsock_hold_tx(p->env->vs,
		      true); /* what comes with the answer to the order is not answered, either */
	host_send(p, BYTES);
	guest_waits_silently(p, BYTES);
	guest_expects(p, BYTES);
	pair_close(p);
}

#define WRAP  65600u
#define BATCH 800u

/*
 * Each packet wants a buffer that is mapped for it where an IOMMU is in front of the device, and then the device asks
 * for its translation: on a machine that is busy that takes a while. What each message waits for has a deadline of its
 * own, so that a host which hangs is not taken for a slow one.
 */
TEST(shapes_rx_wrap,
     .id = "vsock.shapes.rx_wrap",
     .clause = "virtio 1.4, 2.7.6 and 2.7.8: the indexes of rx run over 65535 to 0",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_SEQPACKET | NEED_DEVICE_CTL,
     .timeout = 120 * SEC)
{
	struct pair *p = pair_open(t, .type = VSOCK_SEQPACKET);
	const uint64_t reserve = test_time_left(t) / 8;
	unsigned int i, k;

	/* Each message is a packet of its own. */
	for (i = 0; i < WRAP; i += BATCH) {
		if (test_time_left(t) < reserve)
			test_error(t, "too slow for %u packets: %u in time", WRAP, i);
		host_send_messages(p, BATCH, 1);
		for (k = 0; k < BATCH; k++)
			guest_expects(p, 1);
	}
	pair_close(p);
}

/* --- subsets of features ---------------------------------------------------------------------- */

static void expect_types(struct test_ctx *t, uint64_t features, bool streams, bool messages)
{
	struct packet request = { .to = host_port(ASSAY_ECHO_PORT), .op = VSOCK_OP_REQUEST };
	struct virtio_device *d;
	unsigned int type;
	int op;

	require(t, vsock_env_reopen(t, features) == 0, "the device does not come up: %s",
		vsock_env_device_error());
	d = vsock_device(vsock_env()->vs);
	if (features & ~d->accepted & 7) {
		test_note(t, "features 0x%llx: not all are offered", (unsigned long long)features);
		return;
	}
	for (type = VSOCK_STREAM; type <= VSOCK_SEQPACKET; type++) {
		const bool due = type == VSOCK_STREAM ? streams : messages;

		request.type = (uint16_t)type;
		request.from = (struct vsock_addr){ vsock_config(vsock_env()->vs)->guest[0],
						    52100u + type };
		op = packet_ask(t, vsock_env(), &request);
		/* A listener of the peer's for that type may be missing, but nobody accepts what is not there. */
		expect(t, op == (due ? VSOCK_OP_RESPONSE : VSOCK_OP_RST),
		       "features 0x%llx, REQUEST of type %u: expected %s, %s came",
		       (unsigned long long)features, type, due ? "RESPONSE" : "RST", packet_op(op));
	}
}

TEST(shapes_features,
     .id = "vsock.shapes.feature_subsets",
     .clause = "virtio 1.4, 5.10.3 and 5.10.6.4.2 MUST: RST for a type that was not negotiated, whatever was before the reset",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_SEQPACKET | NEED_DEVICE_CTL,
     .timeout = 10 * SEC)
{
	const uint64_t stream = VIRTIO_BIT(VSOCK_F_STREAM), seq = VIRTIO_BIT(VSOCK_F_SEQPACKET),
		       no_implied = VIRTIO_BIT(VSOCK_F_NO_IMPLIED_STREAM);

	vsock_env_dev(t);
	expect_types(t, stream | seq, true, true);
	expect_types(t, stream, true, false);
	expect_types(t, seq, true, true);
	expect_types(t, seq | no_implied, false, true);
	expect_types(t, stream | no_implied, true, false);
}

/* --- the event queue ------------------------------------------------------------------------- */

static const struct manner event_manners[] = {
	{ "an event's buffer of 4 bytes", { .ev_bytes = 4 } },
	{ "an event's buffer of 32 bytes", { .ev_bytes = 32 } },
	{ "an event's buffer in two descriptors", { .ev_bytes = 4, .ev_first = 1 } },
	{ "the same, no tables", { .ev_bytes = 24, .ev_first = 2, .without = DIRECT } },
	{ "one buffer for events", { .ev_count = 1, .without = FLAGS } },
};

TEST(shapes_event,
     .id = "vsock.shapes.event_buffers",
     .clause = "virtio 1.4, 2.7.4.1 MUST NOT, 2.7.8.2: an event comes whole into its buffer, however this is cut; len is what was written",
     .owner = "vsock device back end (events)",
     .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL,
     .timeout = 20 * SEC)
{
	const struct vsock_config was = *vsock_config(vsock_env_ctl(t)->vs);
	unsigned int i;

	for (i = 0; i < COUNT_OF(event_manners); i++) {
		test_note(t, "%s", event_manners[i].name);
		up(t, event_manners[i].name, &event_manners[i].m);
		vsock_change_cids(t, &was, 100);
		vsock_change_cids(t, &was, 0);
	}
}

static uint64_t notified(const struct vsock_env *e)
{
	const struct virtio_irq_counts *n = &vsock_device(e->vs)->irqs;

	return __atomic_load_n(&n->shared, __ATOMIC_RELAXED) +
	       __atomic_load_n(&n->queue[2], __ATOMIC_RELAXED);
}

static uint64_t resets_of(const struct vsock_env *e)
{
	struct vsock_stats s;

	vsock_poll(e->vs);
	vsock_stats(e->vs, &s);
	return s.transport_resets;
}

/* The only buffer for events is with the driver, and another event waits in the device. */
static struct vsock_env *event_waits(struct test_ctx *t, uint64_t without)
{
	const struct vsock_manner one = { .ev_count = 1, .without = without };
	struct vsock_env *e = up(t, "one buffer for events", &one);
	const uint64_t before = resets_of(e), cid = vsock_config(e->vs)->guest[0];

	vsock_hold_events(e->vs, true);
	vsock_order_cids(t, vsock_config(e->vs), 100);
	require(t, wait_for(resets_of(e) > before, 2 * test_sec()), "no event comes");
	require(t, vsock_env_reconnect() == 0, "the control connection: %s",
		vsock_env_peer_error());
	vsock_order_cids(t, vsock_config(e->vs), -100ull);
	(void)wait_for((vsock_poll(e->vs), vsock_config(e->vs)->guest[0] == cid), test_sec());
	(void)wait_for((vsock_poll(e->vs), false), QUIET_NS);
	return e;
}

static void refill(struct test_ctx *t, uint64_t without)
{
	struct vsock_env *e = event_waits(t, without);
	struct virtio_device *d = vsock_device(e->vs);
	const uint64_t before = resets_of(e);
	uint64_t told;

	(void)vq_interrupts(d->vq[2], true);
	told = notified(e);
	vsock_hold_events(e->vs, false);
	require(t, wait_for(vq_pending(d->vq[2]), 2 * test_sec()),
		"%s EVENT_IDX: an event that waits does not come though its queue has a buffer again",
		without ? "without" : "with");
	expect(t, d->irq_mode == VIRTIO_IRQ_POLL || wait_for(notified(e) > told, test_sec()),
	       "%s EVENT_IDX: an event is not notified (%s)", without ? "without" : "with",
	       virtio_irq_name(d->irq_mode));
	expect(t, wait_for(resets_of(e) == before + 1, test_sec()), "%u events, one was due",
	       (unsigned int)(resets_of(e) - before));
	require(t, vsock_env_reconnect() == 0, "the control connection: %s",
		vsock_env_peer_error());
}

TEST(shapes_event_refill,
     .id = "vsock.shapes.event_refill",
     .clause = "virtio 1.4, 2.7.10, 2.7.7.2 MUST: a device that waits for a buffer for an event is told of it, takes it, and notifies",
     .owner = "vsock device back end (events)",
     .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL,
     .timeout = 20 * SEC)
{
	vsock_env_ctl(t);
	refill(t, 0);
	refill(t, FLAGS);
}

/* An event has come, and nobody has looked at it, nor at the configuration, when the device is reset. */
static void reset_at_event(struct test_ctx *t, const struct vsock_config *was, uint64_t by)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct virtio_device *d = vsock_device(e->vs);
	const uint64_t cid = vsock_order_cids(t, was, by);

	require(t, wait_for(vq_pending(d->vq[2]), 2 * test_sec()), "no event comes");
	d->ops->set_status(d, 0);
	require(t, wait_for(d->ops->get_status(d) == 0, 2 * test_sec()), "the reset does not end");
	require(t, vsock_env_renew(t) == 0, "the device does not come up: %s",
		vsock_env_device_error());
	require(t, vsock_env_reconnect() == 0, "the control connection: %s",
		vsock_env_peer_error());
	expect_eq(t, vsock_config(vsock_env()->vs)->guest[0], cid,
		  "a CID whose event came just before the reset");
}

/* The watcher of all tests fails the test of an event that nobody ordered since the device came up. */
TEST(shapes_event_reset,
     .id = "vsock.shapes.event_over_reset",
     .clause = "virtio 1.4, 2.4.1: a reset starts the device anew; the CIDs stay as the host set them, what waited does not come",
     .owner = "vsock device back end (events)",
     .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL,
     .timeout = 20 * SEC)
{
	const struct vsock_config was = *vsock_config(vsock_env_ctl(t)->vs);

	(void)event_waits(t, 0);
	vsock_set_manner(NULL);
	require(t, vsock_env_reopen(t, 0) == 0, "the device does not come up: %s",
		vsock_env_device_error());
	(void)wait_for((vsock_poll(vsock_env()->vs), false), QUIET_NS);
	require(t, vsock_env_reconnect() == 0, "the control connection: %s",
		vsock_env_peer_error());
	expect_eq(t, vsock_config(vsock_env()->vs)->guest[0], was.guest[0], "CID after the reset");
	vsock_change_cids(t, &was, 100);
	require(t, vsock_env_reopen(t, 0) == 0, "the device does not come up: %s",
		vsock_env_device_error());
	expect_eq(t, vsock_config(vsock_env()->vs)->guest[0], was.guest[0] + 100,
		  "a CID that was changed, after a reset");
	require(t, vsock_env_reconnect() == 0, "the control connection: %s",
		vsock_env_peer_error());
	reset_at_event(t, &was, 0);
}

/* REQUESTs to a closed port, each of which an RST answers. */
static void ask_nobody(struct test_ctx *t, struct vsock_env *e, unsigned int n)
{
	const struct packet request = { .from = { vsock_config(e->vs)->guest[0], 0 },
					.to = host_port(64999),
					.type = VSOCK_STREAM,
					.op = VSOCK_OP_REQUEST };
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct packet one = request;

		one.from.port = 20000 + i;
		packet_send(t, e, &one);
	}
}

/* Packets that the device has taken. */
static uint64_t taken(const struct vsock_env *e)
{
	struct vsock_stats s;

	vsock_poll(e->vs);
	vsock_stats(e->vs, &s);
	return s.tx_packets - vq_in_flight(vsock_device(e->vs)->vq[1]);
}

#define ASKED 5000u

TEST(shapes_many_replies,
     .id = "vsock.shapes.many_replies",
     .clause = "virtio 1.4, 5.10.6.1.2: rx and tx go on, whatever waits in the other: each of many answers comes once rx has buffers",
     .owner = OWNER,
     .needs = NEED_VSOCK,
     .timeout = 30 * SEC)
{
	struct vsock_env *e = vsock_env_dev(t);
	const uint64_t start = vsock_received(e);
	uint64_t before;

	vsock_hold_rx(e->vs, true);
	ask_nobody(t, e, ASKED);
	/* A device stops when too many answers wait; until then it takes what it can. */
	do {
		before = taken(e);
	} while (before < ASKED && wait_for(taken(e) != before, test_sec() / 3));
	vsock_hold_rx(e->vs, false);
	/* Each of them may cost translations and copies: they may take long, as long as they come. */
	do {
		before = vsock_received(e);
	} while (before - start < ASKED && wait_for(vsock_received(e) != before, test_sec()));
	expect_eq(t, (unsigned int)(vsock_received(e) - start), ASKED, "answers to %u REQUESTs",
		  ASKED);
}

/* Packets that wait for rx buffers do not hold events back: each queue is one of its own. */
TEST(shapes_event_beside_rx,
     .id = "vsock.shapes.event_beside_rx",
     .clause = "virtio 1.4, 2.7: a queue does not wait for another: events come while packets wait for rx buffers",
     .owner = "vsock device back end (events)",
     .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL,
     .timeout = 10 * SEC)
{
	struct vsock_env *e = (vsock_env_ctl(t), event_waits(t, 0));
	struct virtio_device *d = vsock_device(e->vs);
	const uint64_t before = resets_of(e);

	if (d->irq_mode == VIRTIO_IRQ_POLL)
		test_skip(
			t,
			"the event waits, so that only an interrupt tells that the CID is another one");
	vsock_hold_rx(e->vs, true);
	ask_nobody(t, e, vq_in_flight(d->vq[0]) + 16);
	if (!wait_for((vsock_poll(e->vs), !vq_in_flight(d->vq[0]) && !vq_in_flight(d->vq[1])),
		      2 * test_sec()))
		test_error(t, "rx does not fill: %u buffers are left", vq_in_flight(d->vq[0]));
	vsock_hold_events(e->vs, false);
	expect(t, wait_for(resets_of(e) > before, 2 * test_sec()),
	       "no event comes while packets wait for rx buffers");
	vsock_hold_rx(e->vs, false);
	require(t, vsock_env_reconnect() == 0, "the control connection: %s",
		vsock_env_peer_error());
}

/*
 * The device has data for a connection, for this one alone, and no buffer. Before there is one the guest takes its
 * credit back, so that the buffer which the device then takes is for nothing.
 */
TEST(shapes_rx_in_vain,
     .id = "vsock.shapes.rx_in_vain",
     .clause = "virtio 1.4, 2.7.8.2, 5.10.6: an rx buffer is used for a packet; what has nothing to send any more uses none",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 10 * SEC)
{
	enum {
		BYTES = 5000,
		FEW = 4
	};
	struct pair *p = pair_open(t, .service = CTL_SVC_ECHO), *other = pair_open(t);
	struct virtqueue *tx = vsock_device(p->env->vs)->vq[1];
	const uint32_t room = credit_of(p).buf_alloc;
	uint32_t updates;

	rx_is_full(other);
	guest_send(p, BYTES);
	(void)pair_waits(p, !vq_in_flight(tx), 1);
	(void)wait_for((vsock_poll(p->env->vs), false), QUIET_NS); /* it is echoed by then */
	vsock_conn_set_buf(p->conn, 0);
	(void)pair_waits(p, !vq_in_flight(tx), 1);
	updates = credit_of(p).updates;
	rx_has_room(other);
	(void)wait_for((vsock_poll(p->env->vs), false), QUIET_NS);
	if (credit_of(p).updates - updates > FEW)
		test_note(t, "%u CREDIT_UPDATEs that nobody asked for, while data waits for credit",
			  (unsigned int)(credit_of(p).updates - updates));
	vsock_conn_set_buf(p->conn, room);
	guest_expects(p, BYTES);
	pair_close(p);
	pair_close(other);
}

/*
 * Data waits, and the first buffers have room for a header alone. Behind them come others, and nothing goes out on tx
 * that could wake the device.
 */
TEST(shapes_header_first,
     .id = "vsock.shapes.header_only_first",
     .clause = "virtio 1.4, 5.10.6, 2.7: an rx buffer has any size: what does not fit one comes in the next ones, whole",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 10 * SEC)
{
	enum {
		BYTES = 3000,
		SMALL = 6 /* each connection that has something to send gets one */
	};
	enum vsock_type type;
	unsigned int i;

	for (type = VSOCK_STREAM; type <= VSOCK_SEQPACKET && has_type(vsock_env_ctl(t), type);
	     type++) {
		struct pair *p = pair_open(t, .type = type), *other = pair_open(t);
		struct vsock *vs = p->env->vs;

		rx_is_full(other);
		ctl_ahead(p->env->ctl, true);
		host_send(p, BYTES);
		ctl_ahead(p->env->ctl, false);
		(void)pair_waits(p, !vq_in_flight(vsock_device(vs)->vq[1]), 1);
		for (i = 0; i < SMALL; i++)
			if (vsock_give_rx(vs, HDR))
				test_error(t, "a buffer of %u bytes cannot be given", HDR);
		rx_has_room(other);
		guest_expects(p, BYTES);
		CTL_OK(t, ctl_barrier(p->env->ctl));
		pair_close(p);
		pair_close(other);
	}
}

/*
 * Each buffer that the device has is so small, and the guest gives those that are used back, as a driver does which has no
 * others. A device that uses one for a packet of no use does so without end.
 */
static unsigned int small_ones_used(struct test_ctx *t, struct pair *p, unsigned int small,
				    unsigned int enough)
{
	struct virtqueue *rx = vsock_device(p->env->vs)->vq[0];
	unsigned int used = 0;

	do {
		while (vq_in_flight(rx) < small) {
			if (vsock_give_rx(p->env->vs, HDR))
				test_error(t, "a buffer of %u bytes cannot be given", HDR);
			used++;
		}
	} while (used < enough &&
		 wait_for((vsock_poll(p->env->vs), vq_in_flight(rx) < small), QUIET_NS));
	return used - small;
}

TEST(shapes_header_all,
     .id = "vsock.shapes.header_only_all",
     .clause = "virtio 1.4, 5.10.6, 2.7.10: data that no rx buffer has room for comes once there are others (packets without end meanwhile are noted)",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 10 * SEC)
{
	enum {
		BYTES = 3000,
		SMALL = 4,
		MANY = 100 /* more than wait for other reasons */
	};
	struct pair *p = pair_open(t), *other = pair_open(t);
	unsigned int used;

	rx_is_full(other);
	ctl_ahead(p->env->ctl, true);
	host_send(p, BYTES);
	ctl_ahead(p->env->ctl, false);
	(void)pair_waits(p, !vq_in_flight(vsock_device(p->env->vs)->vq[1]), 1);
	used = small_ones_used(t, p, SMALL, MANY);
	if (used >= MANY - SMALL)
		test_note(t,
			  "%u rx buffers of %u bytes were used while data waits, and more would be",
			  used, HDR);
	rx_has_room(other);
	guest_expects(p, BYTES);
	CTL_OK(t, ctl_barrier(p->env->ctl));
	pair_close(p);
	pair_close(other);
}

/* Answers of before a reset are about connections that are gone. */
TEST(shapes_replies_reset,
     .id = "vsock.shapes.replies_over_reset",
     .clause = "virtio 1.4, 2.4.1: a reset starts the device anew: answers that waited for rx buffers do not come",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 10 * SEC)
{
	struct vsock_env *e = vsock_env_dev(t);
	struct virtio_device *d = vsock_device(e->vs);
	uint64_t before;

	vsock_hold_rx(e->vs, true);
	/* More than a device may hold: then its tx stops, and begins anew with the reset. */
	ask_nobody(t, e, vq_in_flight(d->vq[0]) + ASKED);
	(void)wait_for((vsock_poll(e->vs), !vq_in_flight(d->vq[0]) && !vq_in_flight(d->vq[1])),
		       test_sec() / 5);
	/* At once: nothing is closed before, which would bring more answers. */
	d->ops->set_status(d, 0);
	require(t, wait_for(d->ops->get_status(d) == 0, 2 * test_sec()), "the reset does not end");
	require(t, vsock_env_renew(t) == 0, "the device does not come up: %s",
		vsock_env_device_error());
	e = vsock_env();
	before = vsock_received(e);
	(void)wait_for(vsock_received(e) != before, QUIET_NS);
	if (vsock_received(e) != before)
		test_note(t, "%u packets of before the reset",
			  (unsigned int)(vsock_received(e) - before));
	require(t, vsock_env_reconnect() == 0, "the control connection: %s",
		vsock_env_peer_error());
}
