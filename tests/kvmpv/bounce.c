/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvmpv.bounce.*, kvmpv.leak.*: devices see the pool of bounce buffers and nothing else, and what is private stays so.
 *
 * A host breaks it where it reaches memory past the page states: a ring, an indirect table or a header at a private
 * page that is read all the same, a page that stays mapped after it was made private. Guests break it where they hand
 * out what was in a buffer before: the guest's own part (slots, canaries, scrubbing) is checked here as well, since a
 * FAIL of the host's part rests on it.
 *
 * A secret that is planted in private memory must be nowhere in what the host can read; a descriptor that points at it
 * must be refused. The pool is written and read in whole, wherever it lies.
 */
#include "tests/kvmpv/env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/virtqueue.h"
#include "kvmpv/bounce.h"
#include "lib/boot_info.h"
#include "lib/device.h"
#include "lib/errname.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "tests/vsock/packet.h"

#define OWNER "host (memory protection), vsock device back end"
#define STATE (NEED_KVM | NEED_PROTECT | NEED_PEER | NEED_MEM_STATE)

static const char secret[33] = "assay secret 5f0c1b7e93a24d68 end"; /* 33 bytes, no terminator */

static void no_hardware(struct test_ctx *t, struct device *d)
{
	device_init_none(d, "bounce test");
	if (device_attach(d))
		test_error(t, "no bounce back end");
}

/* pattern has len bytes and SKEW more, so that the two directions differ. */
#define SKEW 67
static void one_size(struct test_ctx *t, struct device *d, uint8_t *buf, size_t off, size_t len,
		     const uint8_t *pattern)
{
	static const uint8_t canary = 0xc7;
	const uint8_t *out = pattern + len % 61, *in = pattern + len % SKEW;
	struct bounce_stats before, after;
	dma_addr_t addr;
	uint8_t *seen;
	int ret;

	memset(buf, canary, off + len + 16);
	memcpy(buf + off, out, len);
	bounce_stats(&before);
	ret = dma_map(d, buf + off, len, DMA_TO_DEVICE, &addr);
	require(t, ret == 0, "map of %llu bytes at offset %llu: %s", (unsigned long long)len,
		(unsigned long long)off, err_text(ret));
	seen = phys_to_virt(addr);
	expect(t, addr >= before.base && addr + len <= before.base + before.size,
	       "mapped outside of the pool");
	expect(t, addr % BOUNCE_SLOT == (uintptr_t)(buf + off) % BOUNCE_SLOT, "alignment is lost");
	expect(t, memcmp(seen, out, len) == 0, "%llu bytes to the device differ",
	       (unsigned long long)len);
	memset(buf + off, 0, len);
	dma_unmap(d, addr, buf + off, len, DMA_TO_DEVICE);
	require(t, dma_map(d, buf + off, len, DMA_FROM_DEVICE, &addr) == 0, "map from the device");
	memcpy(phys_to_virt(addr), in, len);
	dma_sync_for_cpu(d, addr, buf + off, len, DMA_FROM_DEVICE);
	dma_unmap(d, addr, buf + off, len, DMA_FROM_DEVICE);
	expect(t, memcmp(buf + off, in, len) == 0, "%llu bytes from the device differ",
	       (unsigned long long)len);
	expect(t, (off == 0 || buf[off - 1] == canary) && buf[off + len] == canary,
	       "a byte beside %llu bytes at offset %llu changed", (unsigned long long)len,
	       (unsigned long long)off);
	bounce_stats(&after);
	expect_eq(t, after.used, before.used, "slots in use afterwards");
}

TEST(bounce_sizes,
     .id = "kvmpv.bounce.sizes",
     .clause = "Assay bounce buffers: every size and offset, both directions, nothing beside it",
     .owner = "Assay (kvmpv/bounce.c)",
     .needs = NEED_KVM | NEED_PROTECT,
     .timeout = 60 * SEC)
{
	enum {
		PAGES = 260
	};
	struct device d;
	uint8_t *buf, *pattern;
	size_t len;

	kvmpv_protected(t);
	no_hardware(t, &d);
	buf = kvmpv_pages(t, PAGES);
	pattern = kvmpv_pages(t, PAGES);
	pattern_fill(pattern, 1048576 + SKEW, 7, 0);
	for (len = 1; len <= 8192; len++)
		one_size(t, &d, buf, len * 7 % 4093, len, pattern);
	for (len = 65535; len <= 1048576; len = len * 2 - 1)
		one_size(t, &d, buf, 1 + len % 2047, len, pattern);
	one_size(t, &d, buf, 1, 1048576, pattern);
	expect(t, !protect_is_shared(gfn_of(buf)), "the buffers' own pages are shared");
	expect(t, bounce_scrubbed(), "free slots hold old data");
	mem_pages_free(pattern, PAGES);
	mem_pages_free(buf, PAGES);
}

enum {
	CHUNK = 65536,
	MAPS = 512
};

/* What mapping n holds: in the second round each bit is the other way round. */
static void fill_chunk(uint8_t *buf, size_t len, unsigned int n, unsigned int round)
{
	memset(buf, (uint8_t)(7 * n + 1) ^ (round ? 0xff : 0), len);
}

/* Mappings of len bytes, from number n on, until the pool has no room for one more; the number of the next. */
static unsigned int fill_pool(struct device *d, uint8_t *buf, size_t len, unsigned int n,
			      unsigned int round, dma_addr_t addr[MAPS])
{
	for (; n < MAPS; n++) {
		fill_chunk(buf, len, n, round);
		if (dma_map(d, buf, len, DMA_TO_DEVICE, &addr[n]))
			break;
	}
	return n;
}

/* Each slot of the pool, whoever had it before, holds its own data. */
static void whole_pool(struct test_ctx *t, struct device *d, uint8_t *buf, unsigned int round)
{
	static dma_addr_t addr[MAPS];
	const unsigned int chunks = fill_pool(d, buf, CHUNK, 0, round, addr);
	const unsigned int all = fill_pool(d, buf, BOUNCE_SLOT, chunks, round, addr);
	struct bounce_stats b;
	dma_addr_t none;
	unsigned int i;
	int ret;

	bounce_stats(&b);
	expect_eq(t, b.used, b.slots, "slots in use when no more is given");
	ret = dma_map(d, buf, 1, DMA_TO_DEVICE, &none);
	expect(t, ret == -ENOMEM, "map of a full pool: %s", err_text(ret));
	for (i = 0; i < all; i++) {
		const size_t len = i < chunks ? CHUNK : BOUNCE_SLOT;

		fill_chunk(buf, len, i, round);
		expect(t, memcmp(phys_to_virt(addr[i]), buf, len) == 0,
		       "mapping %u of %u was overwritten", i, all);
		dma_unmap(d, addr[i], buf, len, DMA_TO_DEVICE);
	}
}

TEST(bounce_exhaustion,
     .id = "kvmpv.bounce.exhaustion",
     .clause = "Assay bounce buffers: a full pool is an error and back-pressure, never corruption",
     .owner = "Assay (kvmpv/bounce.c)",
     .needs = NEED_KVM | NEED_PROTECT)
{
	struct bounce_stats b0, b1;
	dma_addr_t addr;
	struct device d;
	uint8_t *buf;
	int ret;

	kvmpv_protected(t);
	no_hardware(t, &d);
	bounce_stats(&b0);
	buf = kvmpv_pages(t, CHUNK / PAGE_SIZE);
	whole_pool(t, &d, buf, 0);
	whole_pool(t, &d, buf, 1);
	ret = dma_map(&d, buf, CHUNK, DMA_TO_DEVICE, &addr);
	expect(t, ret == 0, "map after all went back: %s", err_text(ret));
	if (!ret)
		dma_unmap(&d, addr, buf, CHUNK, DMA_TO_DEVICE);
	bounce_stats(&b1);
	expect_eq(t, b1.used, b0.used, "slots in use afterwards");
	expect(t, bounce_scrubbed(), "free slots hold old data");
	mem_pages_free(buf, CHUNK / PAGE_SIZE);
}

struct hog {
	struct device d;
	dma_addr_t addr[1024];
	unsigned int n;
	uint8_t *buf;
};

/* Takes all slots, so that no packet finds one. */
static void hog_take(struct test_ctx *t, struct hog *h)
{
	no_hardware(t, &h->d);
	h->buf = kvmpv_pages(t, 16);
	while (h->n < 1024 &&
	       !dma_map(&h->d, h->buf, h->n < 960 ? 65536 : 2048, DMA_TO_DEVICE, &h->addr[h->n]))
		h->n++;
	while (h->n < 1024 && !dma_map(&h->d, h->buf, 2048, DMA_TO_DEVICE, &h->addr[h->n]))
		h->n++;
}

static void hog_give(struct hog *h)
{
	while (h->n)
		h->n--, dma_unmap(&h->d, h->addr[h->n], h->buf, 2048, DMA_TO_DEVICE);
	mem_pages_free(h->buf, 16);
}

TEST(bounce_pressure,
     .id = "kvmpv.bounce.full_pool_and_traffic",
     .clause = "Assay bounce buffers: a driver without room waits or is refused; its data arrives whole",
     .owner = "Assay (kvmpv/bounce.c, drivers/virtio)",
     .needs = NEED_KVM | NEED_PROTECT | NEED_VSOCK | NEED_PEER)
{
	static struct hog h;
	static uint8_t buf[4096], in[4096];
	struct vsock_conn *c;
	struct vsock_env *e;
	ssize_t sent;
	int ret;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	h.n = 0;
	ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(0), host_port(ASSAY_ECHO_PORT),
			    CONNECT_NS, &c);
	require(t, ret == 0, "connect: %s", err_text(ret));
	hog_take(t, &h);
	pattern_fill(buf, sizeof(buf), 5, 0);
	sent = vsock_send(c, buf, sizeof(buf), test_sec() / 10);
	expect(t, sent < (ssize_t)sizeof(buf), "4096 bytes went out without a buffer");
	expect(t, sent >= -4096 && vsock_conn_state(c) == VSOCK_ESTABLISHED,
	       "the connection is gone: %s, state %u",
	       sent < 0 ? err_text((int)sent) : "it took a part",
	       (unsigned int)vsock_conn_state(c));
	hog_give(&h);
	if (sent < 0)
		sent = 0;
	require_eq(t, vsock_send(c, buf + sent, sizeof(buf) - (size_t)sent, IO_NS),
		   sizeof(buf) - (size_t)sent, "bytes sent when there was room again");
	ret = recv_exact(c, in, sizeof(in), IO_NS);
	require(t, ret == 0 && memcmp(in, buf, sizeof(in)) == 0, "echo: %s", err_text(ret));
	vsock_conn_close(c, IO_NS);
}

TEST(bounce_vsock_leaks,
     .id = "kvmpv.bounce.returned_by_device",
     .clause = "virtio 1.4, 2.4: after a reset no buffer stays with the device",
     .owner = OWNER,
     .needs = NEED_KVM | NEED_PROTECT | NEED_VSOCK)
{
	struct bounce_stats before, during, after;

	kvmpv_protected(t);
	bounce_stats(&before);
	kvmpv_device(t);
	bounce_stats(&during);
	vsock_env_drop();
	bounce_stats(&after);
	expect(t, during.used > before.used, "the rings and buffers are not in the pool");
	expect_eq(t, after.used, before.used, "slots in use after the device was given up");
	expect(t, bounce_scrubbed(), "free slots hold old data");
}

/* One page of RAM, the last one that is free in the highest range; NULL: none. */
static uint8_t *last_page(void)
{
	const struct boot_info *const b = boot_info_get();
	uint64_t end, highest = 0;
	uint32_t i;

	for (i = 0; i < b->mem_count; i++) {
		end = (b->mem[i].base + b->mem[i].size) & ~(PAGE_SIZE - 1);
		if (b->mem[i].type == BOOT_MEM_RAM && end > highest)
			highest = end;
	}
	return highest ? mem_pages_at(highest - PAGE_SIZE, 1) : NULL;
}

/* A scan that finds nothing proves nothing: where the host may read, it has to find the secret. */
static void is_found(struct test_ctx *t, struct vsock_env *e, uint8_t *at)
{
	struct ctl_mem_scan_reply r;

	memcpy(at, secret, sizeof(secret));
	CTL_OK(t, ctl_mem_scan(e->ctl, secret, sizeof(secret), &r));
	memset(at, 0, sizeof(secret));
	if (r.matches != 1 || r.first_addr != virt_to_phys(at))
		test_error(
			t,
			"the host's scan finds %u secrets, the first at 0x%llx; one lies at 0x%llx",
			(unsigned int)r.matches, (unsigned long long)r.first_addr,
			(unsigned long long)virt_to_phys(at));
}

TEST(leak_scan,
     .id = "kvmpv.leak.secret_not_shared",
     .clause = "RFCv2, map_gpa: what is private is nowhere in what the host can read",
     .owner = OWNER,
     .needs = STATE,
     .timeout = 40 * SEC)
{
	/* The first and last byte of shared pages, their middle, and the border between two. The last page of RAM as well. */
	static const size_t places[] = { 0, 2000, PAGE_SIZE - 16, 2 * PAGE_SIZE - sizeof(secret) };
	struct ctl_mem_state before, after;
	struct ctl_mem_scan_reply r;
	struct vsock_env *e;
	uint64_t scanned;
	uint8_t *p;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	p = kvmpv_pages(t, 4);
	memcpy(p + PAGE_SIZE + 100, secret, sizeof(secret));
	CTL_OK(t, ctl_mem_scan(e->ctl, secret, sizeof(secret), &r));
	expect(t, r.scanned_pages > 0, "the host scanned nothing");
	scanned = r.scanned_pages;
	expect_eq(t, r.matches, 0, "places where the host reads the secret (first 0x%llx)",
		  (unsigned long long)r.first_addr);
	/* A scan that finds nothing proves nothing: in shared pages it has to find the secret, across their border too. */
	CTL_OK(t, ctl_mem_state(e->ctl, &before));
	if (protect_share(gfn_of(p + 2 * PAGE_SIZE), 2) == 0) {
		CTL_OK(t, ctl_mem_state(e->ctl, &after));
		expect_eq(t, after.shared_pages - before.shared_pages, 2,
			  "pages that are shared, more than before two were shared");
		expect_eq(t, before.private_pages - after.private_pages, 2,
			  "pages that are private, less than before two were shared");
		for (unsigned int i = 0; i < COUNT_OF(places); i++)
			is_found(t, e, p + 2 * PAGE_SIZE + places[i]);
		CTL_OK(t, ctl_mem_scan(e->ctl, secret, sizeof(secret), &r));
		expect_eq(t, r.scanned_pages - scanned, 2,
			  "pages that the host scanned, more than before two were shared");
	}
	protect_pages_free(p + 2 * PAGE_SIZE, 2);
	mem_pages_free(p, 2);
	p = last_page();
	if (!p)
		return;
	if (protect_share(gfn_of(p), 1) == 0)
		is_found(t, e, p + PAGE_SIZE - sizeof(secret));
	protect_pages_free(p, 1);
}

/* Posts a tx descriptor that points at private memory, past the bounce buffers. */
static void send_private(struct test_ctx *t, struct vsock_env *e, uint64_t hdr_pa, uint64_t data_pa,
			 uint32_t len, uint8_t *table)
{
	struct virtqueue *tx = vsock_device(e->vs)->vq[1];
	const uint16_t head = 0;
	struct vq_raw_desc d[2] = {
		{ hdr_pa, sizeof(struct vsock_hdr), 1, 1 },
		{ data_pa, len, 0, 0 },
	};

	wait_for((vsock_poll(e->vs), vq_in_flight(tx) == 0), test_sec());
	if (table) {
		if (!virtio_has(vsock_device(e->vs), VIRTIO_F_INDIRECT_DESC))
			test_skip(t, "VIRTIO_F_INDIRECT_DESC (bit 28) is not offered");
		memcpy(table, d, sizeof(d)); /* 2.7.5.3: as in the descriptor table */
		d[0] = (struct vq_raw_desc){ virt_to_phys(table), sizeof(d), 4, 0 };
	}
	if (vq_raw_stage(tx, 0, &d[0]) || vq_raw_stage(tx, 1, &d[1]))
		test_error(t, "no memory for two descriptors");
	vq_raw_post(tx, &head, 1);
	vq_notify(tx);
	/* A device that would take it has time to do so. */
	wait_for(vq_raw_used_count(tx), test_sec() / 10);
}

/* Whether the device has taken a data packet of this connection. */
static bool host_saw(struct test_ctx *t, struct vsock_env *e, uint32_t src_port, uint32_t dst_port)
{
	static struct ctl_headers_reply r;
	unsigned int i;

	CTL_OK(t, ctl_headers(e->ctl, src_port, dst_port, true, &r));
	for (i = 0; i < r.count && i < CTL_HEADERS_MAX; i++) {
		struct vsock_hdr h;

		memcpy(&h, r.hdr[i], sizeof(h));
		if (le16_to_cpu(h.op) == VSOCK_OP_RW)
			return true;
	}
	return false;
}

#define TABLE_ENTRY 16u /* bytes, in each layout */

enum which {
	HEADER,
	PAYLOAD,
	TABLE
};

/* A packet with the secret, on a connection of its own. */
static struct pair *write_secret(struct test_ctx *t, uint8_t *hdr, uint8_t *data)
{
	struct pair *p = pair_open(t);
	const struct vsock_hdr h = packet_header(&(struct packet){ .from = p->local,
								   .to = p->remote,
								   .type = VSOCK_STREAM,
								   .op = VSOCK_OP_RW,
								   .len = sizeof(secret) });

	memcpy(hdr, &h, sizeof(h));
	memcpy(data, secret, sizeof(secret));
	return p;
}

/* What is available behind the packet is as it should be, and stays where it is: the host has stopped the queue. */
static void stays_stopped(struct test_ctx *t, struct vsock_env *e, uint64_t pa)
{
	struct virtqueue *tx = vsock_device(e->vs)->vq[1];
	const struct vq_raw_desc d = { pa, sizeof(struct vsock_hdr), 0, 0 };
	const uint16_t head = 2;

	if (vq_raw_stage(tx, head, &d))
		test_error(t, "no memory for a descriptor");
	vq_raw_post(tx, &head, 1);
	vq_notify(tx);
	wait_for(vq_raw_used_count(tx), test_sec() / 10);
	expect_eq(t, vq_raw_used_count(tx), 0, "packets used of a queue that the host has stopped");
}

/* One part of the packet reaches into this private frame: the host refuses it, and says what it was. */
static void is_refused(struct test_ctx *t, uint8_t *hdr, uint8_t *data, uint8_t *table,
		       uint64_t gfn, uint32_t reason)
{
	struct vsock_env *e = kvmpv_device(t);
	struct ctl_mem_state s0, s1;
	struct vsock_addr local, remote;
	struct pair *p;

	CTL_OK(t, ctl_mem_state(e->ctl, &s0));
	p = write_secret(t, hdr, data);
	local = p->local;
	remote = p->remote;
	send_private(t, e, virt_to_phys(hdr), virt_to_phys(data), sizeof(secret), table);
	stays_stopped(t, e, virt_to_phys(gfn_of(hdr) == gfn ? data : hdr));
	/* The host has stopped the queue, as it should. After a new start it says what it refused. */
	vsock_env_drop();
	e = kvmpv_device(t);
	CTL_OK(t, ctl_mem_state(e->ctl, &s1));
	expect(t, s1.violations > s0.violations,
	       "a descriptor at private memory was not refused: the host touched it");
	expect_eq(t, s1.last_addr >> PAGE_SHIFT, gfn, "frame that the host refused");
	expect_eq(t, s1.last_reason, reason,
		  "what the host refused, by its number in the protocol");
	expect_eq(t, s1.last_queue, 1, "queue that the host stopped");
	expect(t, s1.queues_stopped & 1u << 1, "queues that the host stopped: 0x%x, without tx",
	       (unsigned int)s1.queues_stopped);
	kvmpv_provoked(s1.violations);
	expect(t, !host_saw(t, e, local.port, remote.port), "the packet reached the peer");
}

static uint8_t *shared_page(struct test_ctx *t)
{
	uint8_t *p = kvmpv_pages(t, 1);

	if (protect_share(gfn_of(p), 1))
		test_error(t, "a page cannot be shared");
	return p;
}

static void private_dma(struct test_ctx *t, enum which private)
{
	static const uint32_t reasons[] = {
		[HEADER] = CTL_MEM_HEADER, [PAYLOAD] = CTL_MEM_PAYLOAD, [TABLE] = CTL_MEM_INDIRECT
	};
	uint8_t *priv, *shared;

	kvmpv_protected(t);
	kvmpv_device(t);
	priv = kvmpv_pages(t, 1);
	shared = shared_page(t);
	is_refused(t, private == HEADER ? priv : shared, (private == PAYLOAD ? priv : shared) + 512,
		   private == TABLE ? priv + 1024 : NULL, gfn_of(priv), reasons[private]);
	memset(shared, 0, PAGE_SIZE);
	mem_pages_free(priv, 1);
	protect_pages_free(shared, 1);
}

TEST(leak_payload,
     .id = "kvmpv.leak.private_payload_refused",
     .clause = "RFCv2: host access to a private page faults; its contents do not reach the peer",
     .owner = OWNER,
     .needs = STATE)
{
	private_dma(t, PAYLOAD);
}

TEST(leak_header,
     .id = "kvmpv.leak.private_header_refused",
     .clause = "RFCv2: host access to a private page faults",
     .owner = OWNER,
     .needs = STATE)
{
	private_dma(t, HEADER);
}

TEST(leak_table,
     .id = "kvmpv.leak.private_indirect_table_refused",
     .clause = "RFCv2: host access to a private page faults, indirect tables included",
     .owner = OWNER,
     .needs = STATE)
{
	private_dma(t, TABLE);
}

/* A host that remembers what it may touch has to forget it when the guest takes the page back. */
TEST(leak_taken_back,
     .id = "kvmpv.leak.taken_back_refused",
     .clause = "RFCv2: host access to a private page faults, also of one that was shared, and used, before",
     .owner = OWNER,
     .needs = STATE)
{
	uint8_t *page, *shared;
	struct vsock_env *e;
	int64_t ret;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	page = shared_page(t);
	shared = shared_page(t);
	(void)write_secret(t, shared, page);
	send_private(t, e, virt_to_phys(shared), virt_to_phys(page), sizeof(secret), NULL);
	expect_eq(t, vq_raw_used_count(vsock_device(e->vs)->vq[1]), 1,
		  "packets in shared pages that were used");
	vsock_env_drop();
	kvmpv_device(t);
	ret = protect_unshare(gfn_of(page), 1);
	if (ret == -KVM_EOPNOTSUPP)
		test_skip(t, "taking a page back is not supported here");
	expect_answer(t, ret, 0, "taking a page back");
	is_refused(t, shared, page, NULL, gfn_of(page), CTL_MEM_PAYLOAD);
	memset(shared, 0, PAGE_SIZE);
	mem_pages_free(page, 1);
	protect_pages_free(shared, 1);
}

/* The payload lies in shared pages alone, up to the edge of one. */
static void is_taken(struct test_ctx *t, uint8_t *hdr, uint8_t *data)
{
	struct vsock_env *e = kvmpv_device(t);

	(void)write_secret(t, hdr, data);
	send_private(t, e, virt_to_phys(hdr), virt_to_phys(data), sizeof(secret), NULL);
	expect_eq(t, vq_raw_used_count(vsock_device(e->vs)->vq[1]), 1,
		  "packets used that lie in shared pages");
	vsock_env_drop();
	kvmpv_device(t);
}

/*
 * Two pages that adjoin, one of them private: one byte of the payload reaches into it, or none. Or both are shared, with
 * private ones around them.
 */
TEST(leak_edges,
     .id = "kvmpv.leak.private_byte_refused",
     .clause = "RFCv2: host access to a private page faults, be it to its first byte or its last, and to no byte beside it",
     .owner = OWNER,
     .needs = STATE,
     .timeout = 10 * SEC)
{
	uint8_t *hdr, *pages, *priv, *shared;
	unsigned int k;

	kvmpv_protected(t);
	kvmpv_device(t);
	for (k = 0; k < 2; k++) {
		hdr = shared_page(t);
		pages = kvmpv_pages(t, 2);
		priv = pages + (k ? 0 : PAGE_SIZE);
		shared = pages + (k ? PAGE_SIZE : 0);
		if (protect_share(gfn_of(shared), 1))
			test_error(t, "a page cannot be shared");
		is_taken(t, hdr, pages + PAGE_SIZE - (k ? 0 : sizeof(secret)));
		is_refused(t, hdr, pages + PAGE_SIZE - (k ? 1 : sizeof(secret) - 1), NULL,
			   gfn_of(priv), CTL_MEM_PAYLOAD);
		/* Of a table of two entries one lies there. */
		is_refused(t, hdr, hdr + 512, pages + PAGE_SIZE - TABLE_ENTRY, gfn_of(priv),
			   CTL_MEM_INDIRECT);
		memset(pages, 0, 2 * PAGE_SIZE);
		mem_pages_free(priv, 1);
		protect_pages_free(shared, 1);
		memset(hdr, 0, PAGE_SIZE);
		protect_pages_free(hdr, 1);
	}
	hdr = shared_page(t);
	pages = kvmpv_pages(t, 4);
	if (protect_share(gfn_of(pages + PAGE_SIZE), 2))
		test_error(t, "pages cannot be shared");
	is_taken(t, hdr, pages + 2 * PAGE_SIZE - sizeof(secret) / 2);
	memset(pages, 0, 4 * PAGE_SIZE);
	memset(hdr, 0, PAGE_SIZE);
	protect_pages_free(hdr, 1);
	protect_pages_free(pages + PAGE_SIZE, 2);
	mem_pages_free(pages + 3 * PAGE_SIZE, 1);
	mem_pages_free(pages, 1);
}

/* Whether the secret stands in what the device wrote: in the pool, before the driver looks at it and scrubs it. */
static bool in_pool(void)
{
	struct bounce_stats b;
	const uint8_t *p, *end;

	bounce_stats(&b);
	p = phys_to_virt(b.base);
	end = p + b.size - sizeof(secret);
	while (p < end) {
		if (*(const uint64_t *)(uintptr_t)p == 0 && (uintptr_t)p % 8 == 0)
			p += 8; /* most of the pool is zeros */
		else if (memcmp(p, secret, sizeof(secret)) == 0)
			return true;
		else
			p++;
	}
	return false;
}

/* Secrets at the heads of many pages, while small packets come in large buffers. */
TEST(leak_traffic,
     .id = "kvmpv.leak.none_under_traffic",
     .clause = "RFCv2, map_gpa: what is private is nowhere in what the host can read, nor in what it writes",
     .owner = OWNER,
     .needs = STATE,
     .timeout = 20 * SEC)
{
	enum {
		PAGES = 64,
		ROUNDS = 20,
		PACKETS = 60
	};
	struct ctl_mem_scan_reply scan;
	struct vsock_hdr h = { 0 };
	struct vsock_env *e;
	unsigned int i, k;
	bool leaked = false;
	uint8_t *p;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	p = kvmpv_pages(t, PAGES);
	for (i = 0; i < PAGES; i++)
		memcpy(p + i * PAGE_SIZE + 8, secret, sizeof(secret));
	h.src_cid = cpu_to_le64(vsock_config(e->vs)->guest[0]);
	h.dst_cid = cpu_to_le64(VSOCK_CID_HOST);
	h.type = cpu_to_le16(VSOCK_STREAM);
	h.op = cpu_to_le16(VSOCK_OP_CREDIT_UPDATE);
	for (i = 0; i < ROUNDS && !leaked; i++) {
		/* Of no connection: an RST answers each, 44 bytes in a large buffer. */
		for (k = 0; k < PACKETS && !vsock_send_raw(e->vs, &h, NULL, 0); k++)
			;
		wait_for(false, 10 * MSEC); /* the host writes, the driver does not look */
		leaked = in_pool();
		wait_for(vsock_poll(e->vs) <= 0, test_sec());
	}
	expect(t, !leaked, "the secret stands in a buffer that the host wrote");
	CTL_OK(t, ctl_mem_scan(e->ctl, secret, sizeof(secret), &scan));
	expect_eq(t, scan.matches, 0, "places where the host reads the secret (first 0x%llx)",
		  (unsigned long long)scan.first_addr);
	memset(p, 0, PAGES * PAGE_SIZE);
	mem_pages_free(p, PAGES);
}

TEST(leak_no_platform,
     .id = "kvmpv.leak.access_platform_offered",
     .clause = "virtio 1.4, 6.2 SHOULD: ACCESS_PLATFORM is offered where the platform limits DMA",
     .owner = "VMM (device features)",
     .needs = NEED_KVM | NEED_PROTECT | NEED_VSOCK)
{
	const struct virtio_device *d = virtio_find(VIRTIO_ID_VSOCK, 0);

	kvmpv_protected(t);
	expect(t, d->offered & VIRTIO_BIT(VIRTIO_F_VERSION_1), "VERSION_1 is not offered");
	/* Only SHOULD. Assay's driver bounces all the same; another one would hand out private memory. */
	if (!(d->offered & VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM)))
		test_note(
			t,
			"memory is protected, and VIRTIO_F_ACCESS_PLATFORM is not offered (0x%llx)",
			(unsigned long long)d->offered);
}
