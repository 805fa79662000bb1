/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reference device with its peer over a fake guest: connections, credit,
 * resets, CIDs, and what a hostile guest sends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/ref/dev/conn.h"
#include "host/ref/dev/faults.h"
#include "tests/unit/fake_guest.h"

#define STREAM	  VIRTIO_VSOCK_TYPE_STREAM
#define SEQ	  VIRTIO_VSOCK_TYPE_SEQPACKET
#define OP(n)	  VIRTIO_VSOCK_OP_##n
#define ALL_TYPES 7 /* feature bits */

static struct fg_packet pk; /* large */

static int setup_with(void **state, const struct device_params *p)
{
	struct fake_guest *g = calloc(1, sizeof(*g));

	if (!g)
		return -1;
	fg_device(g, p, ALL_TYPES);
	*state = g;
	return 0;
}

static int setup(void **state)
{
	const struct device_params p = {
		.name = "dev",
		.cids = { .layout = CTL_LAYOUT_MULTI_HOST,
			  .num_guest = 3,
			  .num_host = 1,
			  .cid = { 3, 4, 5, 9 } },
	};

	return setup_with(state, &p);
}

static int teardown(void **state)
{
	fault_disable_all();
	fg_device_free(*state);
	free(*state);
	return 0;
}

static void expect_packet(struct fake_guest *g, uint16_t op)
{
	if (!fg_receive(g, &pk))
		fail_msg("no packet, wanted op %u", op);
	assert_int_equal(le16toh(pk.h.op), op);
}

static void expect_nothing(struct fake_guest *g)
{
	if (fg_receive(g, &pk))
		fail_msg("unexpected op %u", le16toh(pk.h.op));
}

static struct virtio_vsock_hdr hdr(uint64_t cid, uint32_t port, uint32_t to, uint16_t op)
{
	return fg_hdr(cid, port, 2, to, STREAM, op);
}

/* From cid:port to the host's port `to`. */
static void connect_to(struct fake_guest *g, uint64_t cid, uint32_t port, uint32_t to)
{
	fg_send(g, hdr(cid, port, to, OP(REQUEST)), NULL, 0, 1);
	expect_packet(g, OP(RESPONSE));
	assert_int_equal(le64toh(pk.h.src_cid), 2);
	assert_int_equal(le64toh(pk.h.dst_cid), cid);
	assert_int_equal(le32toh(pk.h.src_port), to);
	assert_int_equal(le32toh(pk.h.dst_port), port);
	assert_int_equal(le16toh(pk.h.type), STREAM);
	assert_int_equal(le32toh(pk.h.buf_alloc), DEV_DEFAULT_BUF);
}

static void rw(struct fake_guest *g, uint64_t cid, uint32_t port, uint32_t to, const void *data,
	       uint32_t len, unsigned int pieces)
{
	struct virtio_vsock_hdr h = hdr(cid, port, to, OP(RW));

	h.len = htole32(len);
	fg_send(g, h, data, len, pieces);
}

static void echo(void **state)
{
	struct fake_guest *g = *state;

	fg_post_rx(g, 16);
	connect_to(g, 4, 1000, ASSAY_ECHO_PORT);
	rw(g, 4, 1000, ASSAY_ECHO_PORT, "hello", 5, 1);
	expect_packet(g, OP(RW));
	assert_int_equal(pk.payload_len, 5);
	assert_int_equal(le32toh(pk.h.len), 5);
	assert_int_equal(le32toh(pk.h.fwd_cnt), 5);
	assert_memory_equal(pk.payload, "hello", 5);
	/* Framing does not matter (2.7.4.1): a header of 44 descriptors. */
	rw(g, 4, 1000, ASSAY_ECHO_PORT, "again", 5, 46);
	expect_packet(g, OP(RW));
	assert_memory_equal(pk.payload, "again", 5);
	expect_nothing(g);
	fault_enabled[F_RING_FRAMING_DEPENDENT] = true;
	rw(g, 4, 1000, ASSAY_ECHO_PORT, "again", 5, 46);
	expect_nothing(g);
}

static void refused_and_unknown(void **state)
{
	struct fake_guest *g = *state;
	struct virtio_vsock_hdr h;

	fg_post_rx(g, 16);
	fg_send(g, hdr(3, 1000, 77, OP(REQUEST)), NULL, 0, 1);
	expect_packet(g, OP(RST));
	assert_int_equal(le32toh(pk.h.src_port), 77);
	assert_int_equal(le32toh(pk.h.dst_port), 1000);
	rw(g, 3, 1000, ASSAY_ECHO_PORT, "x", 1, 1);
	expect_packet(g, OP(RST));
	/* Never RST for RST. */
	fg_send(g, hdr(3, 1000, 77, OP(RST)), NULL, 0, 1);
	expect_nothing(g);
	h = fg_hdr(3, 1000, 2, ASSAY_ECHO_PORT, 17, OP(REQUEST));
	fg_send(g, h, NULL, 0, 1);
	expect_packet(g, OP(RST));
	assert_int_equal(le16toh(pk.h.type), 17);
	h.op = htole16(OP(RST));
	fg_send(g, h, NULL, 0, 1);
	expect_nothing(g);
	assert_int_equal(g->d->info.rst_sent, 3);
}

static void types_not_negotiated(void **state)
{
	struct fake_guest *g = *state;

	fg_post_rx(g, 16);
	device_set_features(g->d, 0); /* streams are implied */
	fg_send(g, fg_hdr(3, 1000, 2, ASSAY_ECHO_PORT, SEQ, OP(REQUEST)), NULL, 0, 1);
	expect_packet(g, OP(RST));
	connect_to(g, 3, 1001, ASSAY_ECHO_PORT);
	device_set_features(g->d, 4 | 2); /* ... unless NO_IMPLIED_STREAM says no */
	fg_send(g, hdr(3, 1002, ASSAY_ECHO_PORT, OP(REQUEST)), NULL, 0, 1);
	expect_packet(g, OP(RST));
	fg_send(g, fg_hdr(3, 1003, 2, ASSAY_ECHO_PORT, SEQ, OP(REQUEST)), NULL, 0, 1);
	expect_packet(g, OP(RESPONSE));
}

static void addresses(void **state)
{
	struct fake_guest *g = *state;

	fg_post_rx(g, 16);
	fg_send(g, hdr(6, 1000, ASSAY_ECHO_PORT, OP(REQUEST)), NULL, 0, 1);
	fg_send(g, hdr(2, 1000, ASSAY_ECHO_PORT, OP(REQUEST)), NULL, 0, 1);
	fg_send(g, hdr(3ull | 1ull << 32, 1000, ASSAY_ECHO_PORT, OP(REQUEST)), NULL, 0, 1);
	fg_send(g, fg_hdr(3, 1000, 8, ASSAY_ECHO_PORT, STREAM, OP(REQUEST)), NULL, 0, 1);
	expect_nothing(g);
	assert_int_equal(g->d->info.dropped_src, 3);
	assert_int_equal(g->d->info.dropped_dst, 1);
	/* An additional host CID answers as itself. */
	fg_send(g, fg_hdr(3, 1000, 9, ASSAY_ECHO_PORT, STREAM, OP(REQUEST)), NULL, 0, 1);
	expect_packet(g, OP(RESPONSE));
	assert_int_equal(le64toh(pk.h.src_cid), 9);
	fault_enabled[F_CIDS_UNLISTED_SOURCE_ACCEPTED] = true;
	fg_send(g, hdr(6, 1000, ASSAY_ECHO_PORT, OP(REQUEST)), NULL, 0, 1);
	expect_packet(g, OP(RESPONSE));
}

static void twins_stay_apart(void **state)
{
	struct fake_guest *g = *state;

	fg_post_rx(g, 16);
	connect_to(g, 3, 1000, ASSAY_ECHO_PORT);
	connect_to(g, 5, 1000, ASSAY_ECHO_PORT);
	rw(g, 5, 1000, ASSAY_ECHO_PORT, "five", 4, 1);
	expect_packet(g, OP(RW));
	assert_int_equal(le64toh(pk.h.dst_cid), 5);
	fg_send(g, hdr(5, 1000, ASSAY_ECHO_PORT, OP(RST)), NULL, 0, 1);
	rw(g, 3, 1000, ASSAY_ECHO_PORT, "three", 5, 1);
	expect_packet(g, OP(RW));
	assert_int_equal(le64toh(pk.h.dst_cid), 3);
	connect_to(g, 5, 1000, ASSAY_ECHO_PORT);
	fault_enabled[F_CIDS_CROSSTALK] = true;
	rw(g, 5, 1000, ASSAY_ECHO_PORT, "five", 4, 1);
	expect_packet(g, OP(RW));
	assert_int_equal(le64toh(pk.h.dst_cid), 3);
}

static void malformed_packets(void **state)
{
	struct fake_guest *g = *state;
	struct virtio_vsock_hdr h = hdr(3, 1000, ASSAY_ECHO_PORT, OP(RW));

	fg_post_rx(g, 16);
	connect_to(g, 3, 1000, ASSAY_ECHO_PORT);
	/* A header of 43 bytes, an empty buffer, only a writable one. */
	fg_desc(g, DEV_TX, 0, FG_LOW_GPA + 0x100000, 43, 0, 0);
	fg_avail(g, DEV_TX, 0);
	fg_desc(g, DEV_TX, 1, FG_LOW_GPA + 0x100000, 0, 0, 0);
	fg_avail(g, DEV_TX, 1);
	fg_desc(g, DEV_TX, 2, FG_LOW_GPA + 0x100000, 100, VRING_DESC_F_WRITE, 0);
	fg_avail(g, DEV_TX, 2);
	device_kick(g->d, DEV_TX);
	fg_run(g);
	assert_int_equal(g->d->info.dropped_malformed, 3);
	/* len past the buffer, by one and by everything. */
	h.len = htole32(6);
	fg_send(g, h, "hello", 5, 1);
	h.len = htole32(0xffffffff);
	fg_send(g, h, "hello", 5, 1);
	assert_int_equal(g->d->info.dropped_malformed, 5);
	expect_nothing(g);
	/* More in the buffer than len says: the rest does not count. */
	h.len = htole32(2);
	fg_send(g, h, "hello", 5, 1);
	expect_packet(g, OP(RW));
	assert_int_equal(pk.payload_len, 2);
	assert_int_equal(fg_used_idx(g, DEV_TX), 7);
}

static void credit_of_the_guest(void **state)
{
	struct fake_guest *g = *state;
	struct virtio_vsock_hdr h = hdr(3, 1000, ASSAY_SOURCE_PORT, OP(REQUEST));
	uint32_t got = 0;

	fg_post_rx(g, 16);
	h.buf_alloc = htole32(100);
	fg_send(g, h, NULL, 0, 1);
	expect_packet(g, OP(RESPONSE));
	while (fg_receive(g, &pk)) {
		if (le16toh(pk.h.op) != OP(RW))
			continue;
		for (uint32_t i = 0; i < pk.payload_len; i++)
			assert_int_equal(pk.payload[i], assay_pattern(1000, got + i));
		got += pk.payload_len;
	}
	assert_int_equal(got, 100);
	/* 60 of them read: 60 more. */
	h.op = htole16(OP(CREDIT_UPDATE));
	h.fwd_cnt = htole32(60);
	fg_send(g, h, NULL, 0, 1);
	while (fg_receive(g, &pk))
		got += le16toh(pk.h.op) == OP(RW) ? pk.payload_len : 0;
	assert_int_equal(got, 160);
	/* A fwd_cnt of bytes never sent gives none. */
	h.fwd_cnt = htole32(100000);
	fg_send(g, h, NULL, 0, 1);
	while (fg_receive(g, &pk))
		assert_int_not_equal(le16toh(pk.h.op), OP(RW));
	h.fwd_cnt = htole32(160);
	fault_enabled[F_CREDIT_IGNORED] = true;
	fg_send(g, h, NULL, 0, 1);
	got = 0;
	while (fg_receive(g, &pk) && got < 1000) {
		got += le16toh(pk.h.op) == OP(RW) ? pk.payload_len : 0;
		fg_run(g);
	}
	assert_true(got > 100);
}

static void credit_for_the_guest(void **state)
{
	struct fake_guest *g = *state;
	static uint8_t data[65536];
	uint32_t sent = 0, told = 0;

	fg_post_rx(g, 16);
	connect_to(g, 3, 1000, ASSAY_SINK_PORT);
	fg_send(g, hdr(3, 1000, ASSAY_SINK_PORT, OP(CREDIT_REQUEST)), NULL, 0, 1);
	expect_packet(g, OP(CREDIT_UPDATE));
	assert_int_equal(le32toh(pk.h.buf_alloc), DEV_DEFAULT_BUF);
	for (unsigned int i = 0; i < 40; i++) {
		rw(g, 3, 1000, ASSAY_SINK_PORT, data, sizeof(data), 1);
		sent += sizeof(data);
		while (fg_receive(g, &pk))
			told = le32toh(pk.h.fwd_cnt);
		assert_true(sent - told < DEV_DEFAULT_BUF - sizeof(data));
	}
	fault_enabled[F_CREDIT_NO_ANSWER_TO_REQUEST] = true;
	fg_send(g, hdr(3, 1000, ASSAY_SINK_PORT, OP(CREDIT_REQUEST)), NULL, 0, 1);
	expect_nothing(g);
}

static void shutdowns(void **state)
{
	struct fake_guest *g = *state;
	struct virtio_vsock_hdr h = hdr(3, 1000, ASSAY_ECHO_PORT, OP(SHUTDOWN));

	fg_post_rx(g, 16);
	connect_to(g, 3, 1000, ASSAY_ECHO_PORT);
	h.flags = htole32(3);
	fg_send(g, h, NULL, 0, 1);
	/* The echo may close its side first; RST is the end. */
	do
		assert_true(fg_receive(g, &pk));
	while (le16toh(pk.h.op) != OP(RST));
	expect_nothing(g);
	assert_int_equal(g->d->num_conns, 0);
	/* End of the guest's data: what it sent comes back, then the host ends too. */
	connect_to(g, 3, 1001, ASSAY_ECHO_PORT);
	rw(g, 3, 1001, ASSAY_ECHO_PORT, "last words", 10, 1);
	h = hdr(3, 1001, ASSAY_ECHO_PORT, OP(SHUTDOWN));
	h.flags = htole32(VIRTIO_VSOCK_SHUTDOWN_SEND);
	fg_send(g, h, NULL, 0, 1);
	expect_packet(g, OP(RW));
	assert_memory_equal(pk.payload, "last words", 10);
	expect_packet(g, OP(SHUTDOWN));
	fg_send(g, hdr(3, 1001, ASSAY_ECHO_PORT, OP(RST)), NULL, 0, 1);
	assert_int_equal(g->d->num_conns, 0);
}

/* tx goes on while rx has no buffer (5.10.6.1.2), within bounds. */
static void no_rx_buffers(void **state)
{
	struct fake_guest *g = *state;
	unsigned int rst = 0;

	for (unsigned int i = 0; i < 3 * DEV_MAX_REPLIES / FG_QSIZE; i++) {
		for (unsigned int k = 0; k < FG_QSIZE; k++) {
			const struct virtio_vsock_hdr h = hdr(3, i * FG_QSIZE + k, 77, OP(REQUEST));

			memcpy(fg_at(g, FG_LOW_GPA + 0x100000 + 64 * k), &h, sizeof(h));
			fg_desc(g, DEV_TX, (uint16_t)k, FG_LOW_GPA + 0x100000 + 64 * k, sizeof(h),
				0, 0);
			if ((uint16_t)(g->ring[DEV_TX].avail_idx - fg_used_idx(g, DEV_TX)) <
			    FG_QSIZE)
				fg_avail(g, DEV_TX, (uint16_t)k);
		}
		device_kick(g->d, DEV_TX);
		fg_run(g);
	}
	assert_int_equal(fg_used_idx(g, DEV_TX), DEV_MAX_REPLIES);
	assert_int_equal(g->d->replies, DEV_MAX_REPLIES);
	/* Buffers come: all is answered, and tx goes on by itself. */
	fg_post_rx(g, 32);
	device_kick(g->d, DEV_RX);
	fg_run(g);
	while (fg_receive(g, &pk)) {
		rst += le16toh(pk.h.op) == OP(RST);
		if (rst % 16 == 0)
			fg_run(g);
	}
	fg_run(g);
	while (fg_receive(g, &pk)) {
		rst++;
		fg_run(g);
	}
	assert_int_equal(rst, fg_used_idx(g, DEV_TX));
	assert_true(rst > DEV_MAX_REPLIES);
}

static void small_rx_buffers(void **state)
{
	struct fake_guest *g = *state;
	char got[32];
	unsigned int n = 0;

	/* One with no room for a header comes back empty; others carry few bytes each. */
	g->rx_len = 40;
	fg_post_rx(g, 1);
	g->rx_len = 44 + 3;
	for (uint16_t i = 1; i < 32; i++) {
		fg_desc(g, DEV_RX, i, FG_HIGH_GPA + i * 16384ull, g->rx_len, VRING_DESC_F_WRITE, 0);
		fg_avail(g, DEV_RX, i);
	}
	fg_send(g, hdr(3, 1000, ASSAY_ECHO_PORT, OP(REQUEST)), NULL, 0, 1);
	assert_true(fg_receive(g, &pk));
	assert_int_equal(pk.used_len, 0);
	expect_packet(g, OP(RESPONSE));
	rw(g, 3, 1000, ASSAY_ECHO_PORT, "0123456789", 10, 1);
	while (fg_receive(g, &pk)) {
		if (le16toh(pk.h.op) != OP(RW))
			continue;
		assert_int_equal(pk.payload_len, le32toh(pk.h.len));
		memcpy(got + n, pk.payload, pk.payload_len);
		n += pk.payload_len;
	}
	assert_int_equal(n, 10);
	assert_memory_equal(got, "0123456789", 10);
}

static void seqpacket(void **state)
{
	struct fake_guest *g = *state;
	struct virtio_vsock_hdr h = fg_hdr(3, 1000, 2, ASSAY_ECHO_PORT, SEQ, OP(REQUEST));
	static uint8_t data[6000];
	uint32_t got = 0;

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = assay_pattern(1, i);
	fg_post_rx(g, 16);
	fg_send(g, h, NULL, 0, 1);
	expect_packet(g, OP(RESPONSE));
	h.op = htole16(OP(RW));
	h.len = htole32(3000);
	fg_send(g, h, data, 3000, 1);
	h.flags = htole32(VIRTIO_VSOCK_SEQ_EOM);
	fg_send(g, h, data + 3000, 3000, 1);
	h.len = htole32(1);
	fg_send(g, h, "x", 1, 1);
	for (bool end = false; !end; end = le32toh(pk.h.flags) & VIRTIO_VSOCK_SEQ_EOM) {
		expect_packet(g, OP(RW));
		assert_int_equal(le16toh(pk.h.type), SEQ);
		assert_memory_equal(pk.payload, data + got, pk.payload_len);
		got += pk.payload_len;
	}
	assert_int_equal(got, 6000);
	expect_packet(g, OP(RW));
	assert_int_equal(pk.payload_len, 1);
	assert_true(le32toh(pk.h.flags) & VIRTIO_VSOCK_SEQ_EOM);
	expect_nothing(g);
}

static void many_connections(void **state)
{
	struct fake_guest *g = *state;

	fg_post_rx(g, 32);
	for (uint32_t i = 0; i < 2000; i++)
		connect_to(g, 3 + i % 3, 10000 + i, ASSAY_ECHO_PORT);
	assert_int_equal(g->d->num_conns, 2000);
	for (uint32_t i = 0; i < 2000; i += 7) {
		rw(g, 3 + i % 3, 10000 + i, ASSAY_ECHO_PORT, &i, sizeof(i), 1);
		expect_packet(g, OP(RW));
		assert_int_equal(le32toh(pk.h.dst_port), 10000 + i);
		assert_memory_equal(pk.payload, &i, sizeof(i));
	}
	/* The device reset ends them all, without a word. */
	for (unsigned int q = 0; q < DEV_QUEUES; q++)
		device_ring_stop(g->d, q);
	fg_run(g);
	assert_int_equal(g->d->num_conns, 0);
	assert_null(g->d->conns);
	assert_int_equal(g->d->info.resets, 1);
}

/* --- through the control protocol --- */

static uint32_t crc32_of(const void *buf, size_t len, uint32_t crc)
{
	const uint8_t *p = buf;

	crc = ~crc;
	while (len--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static uint32_t ctl_seq;

/* One request and its reply; other packets on the way are ignored. */
static int32_t control(struct fake_guest *g, uint16_t op, const void *arg, uint32_t len, void *out,
		       uint32_t out_len)
{
	static uint8_t buf[sizeof(struct ctl_header) + ASSAY_CTL_MAX], in[sizeof(buf)];
	struct ctl_header h = {
		.magic = htole32(ASSAY_CTL_MAGIC),
		.version = htole16(ASSAY_CTL_VERSION),
		.op = htole16(op),
		.seq = htole32(++ctl_seq),
		.len = htole32(len),
	};
	size_t got = 0;

	memcpy(buf, &h, sizeof(h));
	if (len)
		memcpy(buf + sizeof(h), arg, len);
	h.crc = htole32(crc32_of(buf, sizeof(h) + len, 0));
	memcpy(buf, &h, sizeof(h));
	rw(g, 3, 999, ASSAY_CTL_PORT, buf, (uint32_t)(sizeof(h) + len), 1);
	while (got < sizeof(h) || got < sizeof(h) + le32toh(h.len)) {
		if (!fg_receive(g, &pk))
			fail_msg("no reply to control operation %u", op);
		if (le32toh(pk.h.src_port) != ASSAY_CTL_PORT || le16toh(pk.h.op) != OP(RW))
			continue;
		assert_true(got + pk.payload_len <= sizeof(in));
		memcpy(in + got, pk.payload, pk.payload_len);
		got += pk.payload_len;
		memcpy(&h, in, sizeof(h));
	}
	assert_int_equal(le32toh(h.seq), ctl_seq);
	if ((int32_t)le32toh((uint32_t)h.status) == 0 && out) {
		assert_int_equal(le32toh(h.len), out_len);
		memcpy(out, in + sizeof(h), out_len);
	}
	return (int32_t)le32toh((uint32_t)h.status);
}

static void open_control(struct fake_guest *g)
{
	fg_post_rx(g, 32);
	connect_to(g, 3, 999, ASSAY_CTL_PORT);
}

static void device_operations(void **state)
{
	struct fake_guest *g = *state;
	struct ctl_dev_info info;
	struct ctl_headers q = { .dst_port = 4321 };
	static struct ctl_headers_reply headers;
	struct virtio_vsock_hdr h = hdr(1, 2, 3, 99);

	open_control(g);
	fg_send(g, hdr(6, 1, 4321, OP(REQUEST)), NULL, 0, 1);
	fg_send(g, hdr(3, 2, 4321, OP(RST)), NULL, 0, 1);
	assert_int_equal(control(g, CTL_DEV_INFO, NULL, 0, &info, sizeof(info)), 0);
	assert_int_equal(info.layout, CTL_LAYOUT_MULTI_HOST);
	assert_int_equal(info.num_guest, 3);
	assert_int_equal(info.cids[3], 9);
	assert_int_equal(info.dropped_src, 1);
	assert_int_equal(info.conns, 1);
	assert_int_equal(control(g, CTL_HEADERS, &q, sizeof(q), &headers, sizeof(headers)), 0);
	assert_int_equal(headers.total, 2);
	assert_int_equal(headers.count, 2);
	memcpy(&h, headers.hdr[0], sizeof(h));
	assert_int_equal(le64toh(h.src_cid), 6);
	assert_int_equal(control(g, CTL_MEM_STATE, NULL, 0, NULL, 0), -EOPNOTSUPP);
}

static void cids_change(void **state)
{
	struct fake_guest *g = *state;
	struct ctl_set_cids s = { .num_guest = 1, .event = 1, .delay_ms = 1, .cids = { 40 } };
	uint8_t config[16];
	uint32_t id, len;

	open_control(g);
	connect_to(g, 4, 1000, ASSAY_ECHO_PORT);
	fg_desc(g, DEV_EVENT, 0, FG_LOW_GPA + 0x90000, 4, VRING_DESC_F_WRITE, 0);
	fg_avail(g, DEV_EVENT, 0);
	memset(fg_at(g, FG_LOW_GPA + 0x90000), 0xff, 4);
	s.cids[0] = 2;
	assert_int_equal(control(g, CTL_SET_CIDS, &s, sizeof(s), NULL, 0), -EINVAL);
	s.cids[0] = 40;
	assert_int_equal(control(g, CTL_SET_CIDS, &s, sizeof(s), NULL, 0), 0);
	usleep(3000);
	fg_run(g);
	assert_int_equal(g->d->num_conns, 0);
	assert_int_equal(fg_used_idx(g, DEV_EVENT), 1);
	fg_used(g, DEV_EVENT, 0, &id, &len);
	assert_int_equal(len, 4);
	assert_memory_equal(fg_at(g, FG_LOW_GPA + 0x90000), "\0\0\0\0", 4);
	device_config_read(g->d, 0, config, sizeof(config));
	assert_memory_equal(config, "\1\0\0\0\0\0\0\0\50\0\0\0\0\0\0\0", 16);
	fg_send(g, hdr(3, 1000, ASSAY_ECHO_PORT, OP(REQUEST)), NULL, 0, 1);
	expect_nothing(g);
	connect_to(g, 40, 1000, ASSAY_ECHO_PORT);
}

static bool waits_for_vmm(void *arg)
{
	++*(unsigned int *)arg;
	return true;
}

/* The guest hears of a change by its config first: the event waits until the VMM told it. */
static void event_after_config(void **state)
{
	struct fake_guest *g = *state;
	const struct ctl_set_cids s = { .num_guest = 1, .event = 1, .delay_ms = 1, .cids = { 40 } };
	unsigned int told = 0;

	g->d->config_changed = waits_for_vmm;
	g->d->config_arg = &told;
	open_control(g);
	fg_desc(g, DEV_EVENT, 0, FG_LOW_GPA + 0x90000, 4, VRING_DESC_F_WRITE, 0);
	fg_avail(g, DEV_EVENT, 0);
	assert_int_equal(control(g, CTL_SET_CIDS, &s, sizeof(s), NULL, 0), 0);
	usleep(3000);
	fg_run(g);
	assert_int_equal(told, 1);
	assert_int_equal(fg_used_idx(g, DEV_EVENT), 0);
	assert_true(device_timeout_ns(g->d) >= 0);
	device_config_told(g->d);
	fg_run(g);
	assert_int_equal(fg_used_idx(g, DEV_EVENT), 1);
}

static bool counts(void *arg)
{
	++*(unsigned int *)arg;
	return false;
}

/* One order, several changes: each is told, each shows another list, the last one is the list of the order. */
static void cids_change_often(void **state)
{
	static const struct ctl_set_cids refused[] = {
		{ .num_guest = 1, .times = 2, .cids = { 40 } },
		{ .num_guest = 2, .times = 2, .event = 1, .cids = { 40, 41 } },
		{ .num_guest = 2, .times = 2, .delay_ms = 1, .cids = { 40, 41 } },
		{ .num_guest = 2, .times = CTL_MAX_TIMES + 1, .cids = { 40, 41 } },
	};
	static const struct ctl_set_cids s = { .num_guest = 2, .times = 5, .cids = { 40, 41 } };
	struct fake_guest *g = *state;
	unsigned int told = 0, before;
	uint64_t first = 0;

	open_control(g);
	for (unsigned int i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_int_equal(control(g, CTL_SET_CIDS, &refused[i], sizeof(refused[i]), NULL, 0),
				 -EINVAL);
	g->d->config_changed = counts;
	g->d->config_arg = &told;
	assert_int_equal(control(g, CTL_SET_CIDS, &s, sizeof(s), NULL, 0), 0);
	assert_int_equal(control(g, CTL_SET_CIDS, &s, sizeof(s), NULL, 0), -EBUSY);
	g->d->cids_waits = false; /* as if the answer had been read */
	while (told < 5) {
		before = told;
		device_run(g->d);
		assert_int_equal(told, before + 1);
		assert_true(g->d->cids.cid[0] != first);
		first = g->d->cids.cid[0];
	}
	device_run(g->d);
	assert_int_equal(told, 5);
	assert_int_equal(first, 40);
	assert_int_equal(g->d->cids.cid[1], 41);
	assert_false(g->d->cids_pending);
}

/* An order that waits for its answer to be read is carried out by a reset, and no event is told. */
static void order_before_reset(void **state)
{
	static const struct ctl_set_cids s = { .num_guest = 1, .event = 1, .cids = { 40 } };
	struct fake_guest *g = *state;
	unsigned int told = 0;

	g->d->config_changed = counts;
	g->d->config_arg = &told;
	open_control(g);
	assert_int_equal(control(g, CTL_SET_CIDS, &s, sizeof(s), NULL, 0), 0);
	assert_true(g->d->cids_pending);
	device_stop(g->d);
	assert_false(g->d->cids_pending);
	assert_int_equal(g->d->cids.cid[0], 40);
	assert_int_equal(g->d->cids.num_guest, 1);
	assert_int_equal(g->d->events, 0);
	assert_int_equal(told, 0);
	assert_true(g->d->changed_in_reset);
}

/* QEMU's vhost-user-vsock keeps the event queue: without one the CIDs cannot change. */
static void no_event_queue(void **state)
{
	struct fake_guest *g = *state;
	struct ctl_set_cids s = { .num_guest = 1, .event = 1, .delay_ms = 1, .cids = { 40 } };

	open_control(g);
	ring_stop(&g->d->ring[DEV_EVENT]);
	assert_int_equal(control(g, CTL_SET_CIDS, &s, sizeof(s), NULL, 0), -EOPNOTSUPP);
	s.event = 0;
	assert_int_equal(control(g, CTL_SET_CIDS, &s, sizeof(s), NULL, 0), 0);
}

/* The host connects to the guest: REQUEST, RESPONSE; another refuses. */
static void host_connects(void **state)
{
	struct fake_guest *g = *state;
	struct ctl_connect c = {
		.local = { .cid = 9 },
		.remote = { .cid = 5, .port = 6000 },
		.type = STREAM,
		.service = CTL_SVC_ECHO,
		.timeout_ms = 50,
	};
	uint8_t req[sizeof(struct ctl_header) + sizeof(c)];
	struct ctl_header h = {
		.magic = htole32(ASSAY_CTL_MAGIC),
		.version = htole16(ASSAY_CTL_VERSION),
		.op = htole16(CTL_CONNECT),
		.seq = htole32(1),
		.len = htole32(sizeof(c)),
	};
	struct virtio_vsock_hdr answer;

	open_control(g);
	memcpy(req, &h, sizeof(h));
	memcpy(req + sizeof(h), &c, sizeof(c));
	h.crc = htole32(crc32_of(req, sizeof(req), 0));
	memcpy(req, &h, sizeof(h));
	rw(g, 3, 999, ASSAY_CTL_PORT, req, sizeof(req), 1);
	expect_packet(g, OP(REQUEST));
	assert_int_equal(le64toh(pk.h.src_cid), 9);
	assert_int_equal(le64toh(pk.h.dst_cid), 5);
	assert_int_equal(le32toh(pk.h.dst_port), 6000);
	answer = fg_hdr(5, 6000, 9, le32toh(pk.h.src_port), STREAM, OP(RESPONSE));
	fg_send(g, answer, NULL, 0, 1);
	expect_packet(g, OP(RW)); /* the control's reply */
	answer.op = htole16(OP(RW));
	answer.len = htole32(2);
	fg_send(g, answer, "hi", 2, 1);
	expect_packet(g, OP(RW));
	assert_int_equal(le64toh(pk.h.dst_cid), 5);
	assert_memory_equal(pk.payload, "hi", 2);
}

static int setup_protected(void **state)
{
	static char path[sizeof("/tmp/refdev-pages-XXXXXX")];
	const struct device_params p = {
		.name = "dev",
		.cids = { .layout = CTL_LAYOUT_UPSTREAM, .num_guest = 1, .cid = { 3 } },
		.page_state = path,
	};
	struct page_states ps;
	int fd, ret;

	memcpy(path, "/tmp/refdev-pages-XXXXXX", sizeof(path));
	fd = mkstemp(path);
	if (fd < 0 || page_states_create(path, (FG_HIGH_GPA + FG_HIGH_SIZE) >> 12, &ps))
		return -1;
	close(fd);
	memset(ps.file->state, PAGE_SHARED, ps.file->frames);
	ps.file->is_protected = 1;
	page_states_close(&ps);
	ret = setup_with(state, &p);
	unlink(path);
	return ret;
}

static void protected_memory(void **state)
{
	static const char secret[] = "a secret of some bytes, planted!";
	struct fake_guest *g = *state;
	struct ctl_mem_scan scan = { .len = 32 };
	struct ctl_mem_scan_reply found;
	struct ctl_mem_state st;
	uint8_t *states = g->d->mem.ps.file->state;

	for (unsigned int i = 0; i < 32; i++)
		scan.secret_xor[i] = (uint8_t)secret[i] ^ 0x5a;
	open_control(g);
	/* Across a page border, private, then shared. */
	memcpy(fg_at(g, FG_HIGH_GPA + 0xf0ff0), secret, 32);
	states[(FG_HIGH_GPA + 0xf0000) >> 12] = PAGE_PRIVATE;
	states[(FG_HIGH_GPA + 0xf1000) >> 12] = PAGE_PRIVATE;
	assert_int_equal(control(g, CTL_MEM_SCAN, &scan, sizeof(scan), &found, sizeof(found)), 0);
	assert_int_equal(found.matches, 0);
	assert_int_equal(found.scanned_pages, 0x300 - 2);
	states[(FG_HIGH_GPA + 0xf0000) >> 12] = PAGE_SHARED;
	states[(FG_HIGH_GPA + 0xf1000) >> 12] = PAGE_SHARED;
	assert_int_equal(control(g, CTL_MEM_SCAN, &scan, sizeof(scan), &found, sizeof(found)), 0);
	assert_int_equal(found.matches, 1);
	assert_int_equal(found.first_addr, FG_HIGH_GPA + 0xf0ff0);
	assert_int_equal(control(g, CTL_MEM_STATE, NULL, 0, &st, sizeof(st)), 0);
	assert_int_equal(st.protected_mode, 1);
	assert_int_equal(st.violations, 0);
	/* A payload in private memory stops the queue; nothing of it is read. */
	states[(FG_LOW_GPA + 0x100000) >> 12] = PAGE_PRIVATE;
	rw(g, 3, 1000, ASSAY_ECHO_PORT, secret, 32, 1);
	expect_nothing(g);
	assert_true(g->d->ring[DEV_TX].broken);
	assert_int_equal(g->d->mem_state.violations, 1);
	assert_int_equal(g->d->mem_state.last_queue, DEV_TX);
	assert_int_equal(g->d->mem_state.last_addr, FG_LOW_GPA + 0x100000);
	assert_int_equal(g->d->mem_state.last_reason, CTL_MEM_HEADER);
	assert_int_equal(g->d->mem_state.queues_stopped, 1 << DEV_TX);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(echo),
		T(refused_and_unknown),
		T(types_not_negotiated),
		T(addresses),
		T(twins_stay_apart),
		T(malformed_packets),
		T(credit_of_the_guest),
		T(credit_for_the_guest),
		T(shutdowns),
		T(no_rx_buffers),
		T(small_rx_buffers),
		T(seqpacket),
		T(many_connections),
		T(device_operations),
		T(cids_change),
		T(event_after_config),
		T(cids_change_often),
		T(order_before_reset),
		T(no_event_queue),
		T(host_connects),
		cmocka_unit_test_setup_teardown(protected_memory, setup_protected, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
