/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.ring.areas, ram_end and receive_across: memory of a queue and of buffers may lie anywhere in RAM.
 *
 * A host breaks this when it takes the three parts of a queue for one piece, demands more than their alignment, maps whole
 * pages of which one is missing, takes the last byte of a memory region for one behind it, or a buffer that goes on in the
 * next region for one that ends with the first (cloud-hypervisor issues 540 and 8767).
 *
 * Queues are made with their parts apart, at the least alignment, up to the ends of pages and across them; the last page
 * of RAM is the place of each part in turn, of a buffer and of an indirect table; buffers lie across addresses at which
 * pieces of RAM begin. The device works as it does elsewhere.
 */
#include <string.h>

#include "drivers/virtio/vsock.h"
#include "lib/boot_info.h"
#include "lib/mem.h"
#include "tests/virtio/util.h"

#define INDIRECT VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC)
#define EVENT	 VIRTIO_BIT(VIRTIO_F_EVENT_IDX)
#define PAGES	 (ACTOR_MEM / PAGE_SIZE)
#define SMALL	 8
#define ENOUGH	 64 /* bytes of a buffer that are looked at */
#define PARTS	 9  /* three of each of a vsock device's queues */

/* Around the ring once and some more, notified where the mode has notifications. */
static void works(struct test_ctx *t, struct actor *a)
{
	const bool polled = a->d->irq_mode == VIRTIO_IRQ_POLL;
	unsigned int k;
	uint64_t before;

	for (k = 0; k < SMALL + 3u; k++) {
		(void)vq_raw_want_nth(a->vq, 1);
		before = actor_interrupts(a);
		actor_one(t, a);
		require(t, polled || wait_for(actor_interrupts(a) > before, ANSWER_NS),
			"%s: used buffer %u is not notified", actor_who(a), k);
	}
}

TEST(ring_areas,
     .id = "virtio.ring.areas",
     .clause = "virtio 1.4, 2.7, 2.8: the parts of a virtqueue are apart from each other, aligned to 16, 2 and 4 (packed: 16, 4 and 4)",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	static const enum virtio_place places[] = { VIRTIO_PLACE_APART, VIRTIO_PLACE_PAGE_END,
						    VIRTIO_PLACE_ACROSS };
	static const uint16_t sizes[] = { SMALL, 0 };
	struct bring_up how = { .rings = RINGS_EACH };
	unsigned int i, k, tried = 0;
	struct actor a;

	actor_need(t);
	for (k = 0; k < 4 * sizeof(places) / sizeof(places[0]); k++) {
		how.place = places[k / 4];
		how.size = sizes[k / 2 % 2];
		how.features = k % 2 ? EVENT : 0;
		for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
			tried++;
			works(t, &a);
		}
	}
	actor_tried(t, tried, "that can be brought up");
}

/* The end of the highest RAM whose last pages are free; 0: none. */
static uint64_t ram_end(uint64_t pages)
{
	const struct boot_info *b = boot_info_get();
	uint64_t end, best = 0;
	uint32_t i;
	void *p;

	for (i = 0; i < b->mem_count; i++) {
		end = (b->mem[i].base + b->mem[i].size) & ~(PAGE_SIZE - 1);
		if (b->mem[i].type != BOOT_MEM_RAM || end <= best || end < pages * PAGE_SIZE)
			continue;
		p = mem_pages_at(end - pages * PAGE_SIZE, pages);
		if (!p)
			continue;
		mem_pages_free(p, pages);
		best = end;
	}
	return best;
}

static bool at_end(const struct virtqueue *vq, uint64_t end)
{
	dma_addr_t desc, driver, device;

	vq_addresses(vq, &desc, &driver, &device);
	return desc >> PAGE_SHIFT == (end - 1) >> PAGE_SHIFT ||
	       driver >> PAGE_SHIFT == (end - 1) >> PAGE_SHIFT ||
	       device >> PAGE_SHIFT == (end - 1) >> PAGE_SHIFT;
}

/*
 * Some part of the queues lies in the last page, another one each time. There it serves a driver that takes other features
 * than the one before.
 */
static unsigned int queues_at(struct test_ctx *t, struct actor *a, enum rings rings, uint64_t end)
{
	struct bring_up how = { .rings = rings,
				.place = VIRTIO_PLACE_PAGE_END,
				.size = SMALL,
				.irq = VIRTIO_IRQ_POLL };
	unsigned int k, e, q, n = 0;

	for (k = 1; k <= PARTS; k++)
		for (e = 2; e-- > 0;) {
			(void)virtio_reset(a->d);
			how.features = e ? EVENT : 0;
			mem_search_from(end - k * PAGE_SIZE);
			actor_up(t, a, &how);
			mem_search_from(0);
			for (q = 0; e && q < a->d->max_queues; q++)
				n += a->d->vq[q] && at_end(a->d->vq[q], end);
			if (e)
				works(t, a);
			else
				actor_one(t, a);
		}
	return n;
}

/* A few bytes may be what was there by chance. */
static bool is_written(const uint8_t *now, const uint8_t *before, uint32_t len)
{
	return len && (len < 8 || memcmp(now, before, len < ENOUGH ? len : ENOUGH) != 0);
}

/* One request whose last byte is the last of `mem`; in a table that is the last of it, if asked for. */
static void last_bytes(struct test_ctx *t, struct actor *a, bool table)
{
	const uint32_t entry = table ? 16 : 0, off = ACTOR_MEM - entry - a->len;
	const char *const what = table ? "an indirect table" : "a buffer";
	uint8_t before[ENOUGH];
	uint32_t id, len = 0;

	actor_prepare(a, false);
	memmove(a->mem + off, a->mem, a->len);
	memcpy(before, a->mem + off, ENOUGH < a->len ? ENOUGH : a->len);
	if (table) {
		actor_entry(a, a->mem + ACTOR_MEM - entry, 0, off, a->len, actor_flags(a), 0);
		actor_desc(a, 0, ACTOR_MEM - entry, entry, 4, 0);
	} else {
		actor_desc(a, 0, off, a->len, actor_flags(a), 0);
	}
	actor_post(a, 0);
	vq_notify(a->vq);
	require(t, actor_wait(a, 1, ANSWER_NS) == 1,
		"%s: %s at the end of RAM: the buffer is not used", actor_who(a), what);
	actor_used(a, 0, &id, &len);
	actor_done(a, 1);
	expect(t, a->writes ? is_written(a->mem + off, before, len) : actor_understood(a, len),
	       "%s: %s at the end of RAM: %s", actor_who(a), what,
	       a->writes ? "none of the bytes was written" : "no RST answers the request");
}

static bool buffers_at(struct test_ctx *t, struct actor *a, uint64_t end)
{
	const struct bring_up how = { .features = INDIRECT, .irq = VIRTIO_IRQ_POLL };
	uint8_t *p, *mem;
	dma_addr_t addr;

	actor_up(t, a, &how);
	p = mem_pages_at(end - ACTOR_MEM, PAGES);
	if (!p)
		return false;
	mem = a->mem;
	addr = a->addr;
	a->mem = p;
	a->addr = virt_to_phys(p);
	last_bytes(t, a, false);
	if (virtio_has(a->d, VIRTIO_F_INDIRECT_DESC))
		last_bytes(t, a, true);
	vt_must_reset(t, a->d);
	a->mem = mem;
	a->addr = addr;
	mem_pages_free(p, PAGES);
	return true;
}

TEST(ring_ram_end,
     .id = "virtio.ring.ram_end",
     .clause = "virtio 1.4, 2.6, 2.7.5: queues, tables and buffers lie in any of the driver's memory, its last byte included",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 40 * SEC)
{
	const struct bring_up plain = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, tried = 0, parts = 0;
	uint64_t end;
	struct actor a;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		/* Its memory is taken before the last pages are looked for. */
		actor_up(t, &a, &plain);
		if (dma_restricted(&a.d->dev))
			continue;
		(void)virtio_reset(a.d);
		end = ram_end(PARTS + 2);
		if (!end)
			test_skip(t, "the last pages of RAM are in use");
		tried++;
		parts += queues_at(t, &a, a.packed ? RINGS_PACKED : RINGS_SPLIT, end);
		parts += buffers_at(t, &a, end);
	}
	actor_tried(t, tried, "that reaches all memory by itself");
	if (!parts)
		test_skip(t, "nothing of a queue came to lie in the last page of RAM");
	test_note(t, "%u queues had a part in the last page, or their buffers", parts);
}

#define ROUND  (32ull << 20) /* a VMM's pieces of RAM begin at such addresses */
#define ACROSS 8u	     /* buffers, one at each of so many round addresses at most */
#define BEFORE 20u	     /* bytes of a buffer that lie below the address */
#define LENGTH 256u	     /* of a buffer; an answer is shorter, and longer than BEFORE */

/* The device, and the two pages around each address, as long as it may write there. */
static struct {
	struct virtio_device *d;
	void *pages[ACROSS];
	unsigned int n;
} across;

static void give_back(void)
{
	const bool reset = across.n && virtio_reset(across.d) == 0;

	for (; across.n; across.n--)
		if (reset)
			mem_pages_free(across.pages[across.n - 1], 2);
		else
			mem_keep(2);
}
FIXTURE(receive_across, .suite = "virtio.ring.receive_across", .teardown = give_back);

/* Takes the pages around round addresses inside of a range of RAM, where they are free. How many there are. */
static unsigned int take_across(struct virtio_device *d, uint64_t *at, unsigned int max)
{
	const struct boot_info *b = boot_info_get();
	uint64_t pa;
	uint32_t i;
	void *p;

	across.d = d;

	for (i = 0; i < b->mem_count; i++) {
		if (b->mem[i].type != BOOT_MEM_RAM)
			continue;
		for (pa = (b->mem[i].base / ROUND + 1) * ROUND;
		     across.n < max && pa < b->mem[i].base + b->mem[i].size; pa += ROUND) {
			p = mem_pages_at(pa - PAGE_SIZE, 2);
			if (!p)
				continue;
			at[across.n] = pa;
			across.pages[across.n++] = p;
		}
	}
	return across.n;
}

/* The receive queue has these buffers and no others: one for each of the answers that follow. */
static void receive_across(struct test_ctx *t, struct actor *a, const uint64_t *at, unsigned int n)
{
	struct virtqueue *const rx = a->d->vq[0];
	uint16_t heads[ACROSS], i;

	for (i = 0; i < n; i++) {
		heads[i] = i;
		memset(phys_to_virt(at[i] - BEFORE), 0, LENGTH);
		if (vq_raw_stage(rx, i,
				 &(const struct vq_raw_desc){ .addr = at[i] - BEFORE,
							      .len = LENGTH,
							      .flags = VRING_DESC_F_WRITE }))
			test_error(t, "%s: no room for %u receive buffers", vt_who(a->d), n);
	}
	vq_raw_post(rx, heads, n);
	if (virtio_driver_ok(a->d))
		test_error(t, "%s: %s", a->d->name, a->d->error);
	vq_notify(rx);
}

static bool is_rst_to(const struct vsock_hdr *h, uint32_t port)
{
	return le16_to_cpu(h->op) == VSOCK_OP_RST && le32_to_cpu(h->dst_port) == port &&
	       le64_to_cpu(h->src_cid) == VSOCK_CID_HOST && le32_to_cpu(h->len) == 0;
}

static void answers_across(struct test_ctx *t, struct actor *a, const uint64_t *at, unsigned int n)
{
	struct virtqueue *const rx = a->d->vq[0];
	uint32_t id = 0, len = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		const struct vsock_hdr *h;

		actor_prepare(a, false);
		require(t, actor_round(a), "%s: a request is not used", vt_who(a->d));
		require(t, wait_for(vq_raw_used_count(rx) == 1, ANSWER_NS),
			"%s: a receive buffer across a multiple of 32 MiB: no answer comes",
			vt_who(a->d));
		vq_raw_used(rx, 0, &id, &len);
		vq_raw_take(rx, 1);
		require(t, id < n, "%s: used id %u, which is not in flight", vt_who(a->d),
			(unsigned int)id);
		h = phys_to_virt(at[id] - BEFORE);
		expect(t, len >= sizeof(*h) && is_rst_to(h, a->port),
		       "%s: a receive buffer across 0x%llx: expected the RST to port 0x%x, it has %u bytes, op %u, port 0x%x",
		       vt_who(a->d), (unsigned long long)at[id], (unsigned int)a->port,
		       (unsigned int)len, le16_to_cpu(h->op),
		       (unsigned int)le32_to_cpu(h->dst_port));
	}
}

/* A vsock device's transmit buffers lie there in vsock.shapes.places. */
TEST(ring_across_ram,
     .id = "virtio.ring.receive_across",
     .clause = "virtio 1.4, 2.7.5: a buffer is len bytes from addr on: RAM of several pieces that adjoin is one range to the guest, for what the device writes as well",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up half = { .irq = VIRTIO_IRQ_POLL, .no_driver_ok = true };
	unsigned int i, n = 0, tried = 0;
	uint64_t at[ACROSS];
	struct actor a;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		if (a.writes || dma_restricted(&a.d->dev))
			continue;
		actor_up(t, &a, &half);
		if (a.mute)
			continue;
		n = vq_size(a.d->vq[0]) < ACROSS ? vq_size(a.d->vq[0]) : ACROSS;
		n = take_across(a.d, at, n);
		if (!n)
			test_skip(t, "no RAM at a multiple of 32 MiB has free pages on both sides");
		tried++;
		receive_across(t, &a, at, n);
		answers_across(t, &a, at, n);
		give_back();
	}
	actor_tried(t, tried, "that answers, and reaches all memory by itself");
	test_note(t, "%u buffers, from one across 0x%llx on", n, (unsigned long long)at[0]);
}
