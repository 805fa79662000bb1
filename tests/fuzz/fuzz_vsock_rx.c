/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vsock driver facing a hostile host: headers of any kind for connections that
 * exist or do not, used lengths that do not fit, used ids that were never posted,
 * events, a config space that changes; while the guest connects, listens, sends,
 * receives and closes. What holds all the same: nothing is read past what the
 * device wrote, memory stays bounded, credit is never exceeded, a broken queue
 * stays broken, and everything is given back at the end.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/vsock_internal.h"
#include "tests/fuzz/input.h"
#include "tests/unit/fake_virtio.h"

#define MAX_CONNS 8
#define MAX_STEPS 256

static struct fake_device dev; /* registered: stays */
static struct vsock *vs;
static struct vsock_conn *conns[MAX_CONNS];
static struct vsock_listener *listeners[2];
static bool tx_stuck, was_stuck, lied;

/* The guest never sends beyond the credit that the last header gave it. Told at once: tx was never full. */
static void watch_credit(const struct vsock_hdr *h)
{
	unsigned int i;

	if (h->op != VSOCK_OP_RW || was_stuck)
		return;
	for (i = 0; i < MAX_CONNS; i++) {
		const struct vsock_conn *c = conns[i];

		if (c && c->local.cid == h->src_cid && c->local.port == h->src_port &&
		    c->remote.port == h->dst_port && c->remote.cid == h->dst_cid &&
		    c->type == h->type)
			must(c->tx_cnt - c->peer_fwd_cnt <= c->peer_buf_alloc);
	}
}

static void take_tx(void)
{
	static uint8_t b[sizeof(struct vsock_hdr) + VSOCK_TX_PAYLOAD];
	struct vsock_hdr h;
	struct fake_chain c;
	uint32_t n;

	while (fake_pop(&dev, VQ_TX, &c)) {
		n = fake_copy_out(&c, b, sizeof(b));
		must(n >= sizeof(h));
		memcpy(&h, b, sizeof(h));
		must(h.len == n - sizeof(h));
		must(h.op >= VSOCK_OP_REQUEST && h.op <= VSOCK_OP_CREDIT_REQUEST);
		watch_credit(&h);
		fake_push(&dev, VQ_TX, c.head, 0);
	}
}

static void on_notify(struct fake_device *f, uint16_t queue)
{
	(void)f;
	if (queue == VQ_TX && !tx_stuck && !lied)
		take_tx();
}

static const struct vsock_conn *some_conn(struct input *in)
{
	return conns[u8(in) % MAX_CONNS];
}

/* A header for a connection, a listener or nothing; some fields as they should be, some as the input says. */
static struct vsock_hdr header(struct input *in)
{
	const struct vsock_conn *c = some_conn(in);
	const uint8_t how = u8(in);
	struct vsock_hdr h = {
		.src_cid = 2,
		.dst_cid = 3 + u8(in) % 4,
		.src_port = u8(in) % 4,
		.dst_port = 80 + u8(in) % 3,
		.type = (uint16_t)(1 + (how & 1)),
		.op = u8(in) % 9,
		.flags = u8(in) & 3,
		.buf_alloc = u16(in),
		.fwd_cnt = u8(in),
	};

	if (c && (how & 2)) {
		h.src_cid = c->remote.cid;
		h.src_port = c->remote.port;
		h.dst_cid = c->local.cid;
		h.dst_port = c->local.port;
		h.type = c->type;
		h.fwd_cnt += c->peer_fwd_cnt;
	}
	if (how & 4)
		h.buf_alloc = u32(in);
	if (how & 8)
		h.fwd_cnt = u32(in);
	if (how & 16)
		h.type = u16(in);
	if (how & 32)
		h.op = u16(in);
	if (how & 64)
		h.dst_cid = (uint64_t)u32(in) << 32 | u32(in);
	return h;
}

/* One packet: its length and the used length may both be wrong. */
static void receive(struct input *in)
{
	static uint8_t b[sizeof(struct vsock_hdr) + 16384];
	struct vsock_hdr h = header(in);
	const uint8_t how = u8(in);
	const uint32_t n = how & 1 ? u16(in) % 16340u : u8(in);
	uint32_t used = (uint32_t)sizeof(h) + n;
	struct fake_chain c;

	if (lied || !fake_pop(&dev, VQ_RX, &c))
		return;
	h.len = how & 2 ? u32(in) : n;
	if (how & 4)
		used = u16(in);
	memcpy(b, &h, sizeof(h));
	memset(b + sizeof(h), how, n);
	fake_copy_in(&c, b, (uint32_t)sizeof(h) + n);
	lied = lied || used > c.writable;
	fake_push(&dev, VQ_RX, c.head, used);
}

static void event(struct input *in)
{
	struct fake_chain c;
	const uint32_t id = u8(in) & 1;

	if (lied || !fake_pop(&dev, VQ_EVENT, &c))
		return;
	fake_copy_in(&c, &id, sizeof(id));
	fake_push(&dev, VQ_EVENT, c.head, u8(in) % 5u);
}

static void new_config(struct input *in)
{
	uint32_t i, n = 4 + u8(in) % 40u;

	for (i = 0; i < 8 && in->n; i++)
		dev.config[u8(in) % n] = u8(in);
	if (u8(in) & 1)
		dev.config_len = n;
	dev.vdev.on_config(&dev.vdev);
}

static void connect(struct input *in)
{
	const enum vsock_type type = u8(in) & 1 ? VSOCK_STREAM : VSOCK_SEQPACKET;
	const struct vsock_addr l = { u8(in) % 6, u8(in) & 1 ? VSOCK_PORT_ANY : 90 }, r = { 2, 1 };
	const unsigned int i = u8(in) % MAX_CONNS;

	if (!conns[i] && vsock_connect_start(vs, type, l, r, &conns[i]))
		must(!conns[i]);
}

static void listen_or_accept(struct input *in)
{
	const unsigned int i = u8(in) & 1, k = u8(in) % MAX_CONNS;
	const struct vsock_addr at = { u8(in) & 1 ? VSOCK_CID_ANY : 3, 80 + u8(in) % 2 };

	if (!listeners[i])
		vsock_listen(vs, i ? VSOCK_STREAM : VSOCK_SEQPACKET, at, 1 + u8(in) % 4u,
			     &listeners[i]);
	else if (u8(in) % 8 == 0) {
		vsock_unlisten(listeners[i]);
		listeners[i] = NULL;
	} else if (!conns[k]) {
		vsock_accept(listeners[i], 0, &conns[k]);
	}
}

static void use_conn(struct input *in)
{
	static uint8_t b[70000];
	const unsigned int i = u8(in) % MAX_CONNS;
	struct vsock_conn *c = conns[i];
	size_t len = 0;
	ssize_t n;
	bool eor;

	if (!c)
		return;
	switch (u8(in) % 10) {
	case 0:
		n = vsock_send(c, b, u16(in), 0);
		must(n <= 65535);
		break;
	case 1:
		n = u8(in);
		must(vsock_recv(c, b, (size_t)n, 0) <= n);
		break;
	case 2:
		if (c->type == VSOCK_SEQPACKET)
			vsock_recv_msg(c, b, 100, 0, &len, &eor);
		break;
	case 3:
		vsock_shutdown(c, u8(in));
		break;
	case 4:
		vsock_reset(c);
		break;
	case 5:
		vsock_conn_close(c, u8(in) & 1 ? MSEC : 0);
		conns[i] = NULL;
		break;
	case 6:
		vsock_conn_set_buf(c, u16(in));
		break;
	case 7:
		vsock_conn_hold_credit(c, u8(in) & 1);
		break;
	case 8:
		vsock_credit_request(c);
		break;
	default:
		must(vsock_readable(c) <= 2 * (size_t)VSOCK_DEFAULT_BUF + 65536 + 65536);
	}
}

static void poll(bool *broken)
{
	const int ret = vsock_poll(vs);

	must(!*broken || ret < 0);
	if (ret < 0)
		must(vsock_error(vs)[0] != '\0');
	*broken = ret < 0;
}

static void step(struct input *in, bool *broken)
{
	switch (u8(in) % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		receive(in);
		break;
	case 5:
	case 6:
		poll(broken);
		break;
	case 7:
		event(in);
		break;
	case 8:
		new_config(in);
		break;
	case 9:
	case 10:
		connect(in);
		break;
	case 11:
		listen_or_accept(in);
		break;
	case 12:
	case 13:
		use_conn(in);
		break;
	case 14:
		tx_stuck = u8(in) & 1;
		was_stuck = was_stuck || tx_stuck;
		vsock_hold_rx(vs, u8(in) % 4 == 0);
		break;
	default: /* used elements of buffers that it has not, or has twice */
		if (u8(in) % 8 == 0) {
			fake_push(&dev, u8(in) % 3, u8(in), u16(in));
			lied = true;
		}
	}
}

static void observe(void *arg, const struct vsock_seen *seen)
{
	(void)arg;
	if (seen->what == VSOCK_SAW_RECEIVED)
		must(seen->used_len <= 16384 &&
		     !seen->hdr == (seen->used_len < sizeof(*seen->hdr)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool registered;
	static const uint8_t three[] = { 3, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0,
					 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0 };
	struct input in = { data, size };
	const uint8_t how = u8(&in);
	uint64_t features = VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VSOCK_F_SEQPACKET);
	unsigned int steps;
	bool broken = false;

	features |= how & 1 ? VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) : 0;
	features |= how & 2 ? VIRTIO_BIT(VIRTIO_F_EVENT_IDX) : 0;
	fake_init(&dev, VIRTIO_ID_VSOCK, features, 3, !registered);
	registered = true;
	dev.on_notify = on_notify;
	for (steps = 0; steps < 3; steps++)
		dev.q[steps].max = 8; /* less memory to clear for each input */
	memcpy(dev.config, three, sizeof(three));
	dev.config_len = sizeof(three);
	memset(conns, 0, sizeof(conns));
	memset(listeners, 0, sizeof(listeners));
	tx_stuck = was_stuck = lied = false;
	fake_time_step = 50 * MSEC; /* waits are short */
	if (vsock_open(0, 0, &vs))
		abort();
	vsock_observe(observe, NULL);
	for (steps = 0; in.n && steps < MAX_STEPS; steps++)
		step(&in, &broken);
	vsock_close(vs);
	must(fake_pages_out() == 0 && fake_maps_out() == 0);
	return 0;
}
