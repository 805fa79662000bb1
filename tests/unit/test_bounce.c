/* SPDX-License-Identifier: BSD-2-Clause */
/* kvmpv/bounce.c over ordinary memory: alignment, copies by direction, scrubbing, exhaustion. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kvmpv/protect.h"
#include "lib/device.h"
#include "lib/mem.h"

/* Its pool is private. */
#include "kvmpv/bounce.c" /* NOLINT(bugprone-suspicious-include) */
#include "tests/unit/held_lock.h"

/* The how-manieth allocation from now on fails; 0: none. */
static unsigned int fail;
static size_t free_bytes = (1u << 20) +
			   16800; /* an eighth of it in whole pages: 128 KiB, 64 slots */

static bool fails(void)
{
	return fail && --fail == 0;
}

void *__real_calloc(size_t n, size_t size);
void *__real_malloc(size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

static struct {
	uint64_t gfn, n;
	int64_t answer;
	bool spoils; /* a page that is converted loses its contents */
} shared;
static size_t kept, freed;

void *mem_pages(size_t n, size_t align)
{
	void *p;

	assert_int_equal(align, PAGE_SIZE);
	/* A page behind one of a larger alignment, so that it is known which slots have one. */
	if (fails() || posix_memalign(&p, 16 * PAGE_SIZE, (n + 1) * PAGE_SIZE))
		return NULL;
	memset(p, 0, (n + 1) * PAGE_SIZE);
	return (uint8_t *)p + PAGE_SIZE;
}

void mem_pages_free(void *p, size_t n)
{
	if (!p)
		return;
	freed += n;
	free((uint8_t *)p - PAGE_SIZE);
}

uint64_t mem_free_bytes(void)
{
	return free_bytes;
}

void mem_keep(size_t n)
{
	kept += n;
}

int64_t protect_share(uint64_t gfn, uint64_t npages)
{
	shared.gfn = gfn;
	shared.n = npages;
	if (shared.spoils)
		memset(phys_to_virt(gfn << PAGE_SHIFT), 0xee, npages << PAGE_SHIFT);
	return shared.answer;
}

static void attached(struct device *d)
{
	device_init_none(d, "unit test");
	assert_int_equal(device_attach(d), 0);
}

static bool restricted(void)
{
	struct device d;

	attached(&d);
	return dma_restricted(&d);
}

static int init(void **state)
{
	(void)state;
	/* Whatever cannot be allocated: no pool, and another try may have one. */
	for (unsigned int n = 1; n <= 5; n++) {
		fail = n;
		if (bounce_init(protect_share) != -ENOMEM || fail || restricted() || kept)
			return -1;
		if (freed != (n - 1) * 32) /* the first time there are no pages */
			return -1;
	}
	/* An eighth of the memory, and no more than 8 MiB. */
	free_bytes = 1u << 30;
	if (bounce_init(protect_share) || pool.slots != 4096 || kept != 2048)
		return -1;
	forget_pool(2048);
	device_policy_remove(&bounce_policy);
	kept = 0;
	free_bytes = (1u << 20) + 16800;
	shared.answer = -KVM_ENOMEM;
	if (bounce_init(protect_share) != -EIO || restricted())
		return -1;
	shared.answer = 0;
	shared.spoils = true;
	return bounce_init(protect_share) || kept != 32;
}

static void whole_pool(void **state)
{
	struct bounce_stats b;

	(void)state;
	bounce_stats(&b);
	assert_int_equal(b.slots, 64);
	assert_int_equal(b.base >> PAGE_SHIFT, shared.gfn);
	assert_int_equal(b.size >> PAGE_SHIFT, shared.n);
	assert_true(restricted());
	assert_true(bounce_scrubbed());
}

static void sizes(void **state)
{
	static uint8_t buf[40000];
	struct bounce_stats b;
	struct device d;
	size_t len, off, i;
	dma_addr_t addr;
	uint8_t *seen;

	(void)state;
	attached(&d);
	for (len = 1; len < 20000; len += 1 + len / 7) {
		off = len * 11 % 5000;
		memset(buf, 0x5a, sizeof(buf));
		for (i = 0; i < len; i++)
			buf[off + i] = (uint8_t)(i * 7 + 1);
		assert_int_equal(dma_map(&d, buf + off, len, DMA_TO_DEVICE, &addr), 0);
		seen = phys_to_virt(addr);
		assert_int_equal((uintptr_t)seen % BOUNCE_SLOT,
				 (uintptr_t)(buf + off) % BOUNCE_SLOT);
		assert_memory_equal(seen, buf + off, len);
		/* What stands beside it in its slots is nobody's. */
		for (i = 1; (uintptr_t)(seen - i + 1) % BOUNCE_SLOT; i++)
			assert_int_equal(seen[-(ptrdiff_t)i], 0);
		dma_unmap(&d, addr, buf + off, len, DMA_TO_DEVICE);
		assert_true(bounce_scrubbed());

		assert_int_equal(dma_map(&d, buf + off, len, DMA_FROM_DEVICE, &addr), 0);
		seen = phys_to_virt(addr);
		for (i = 0; i < len; i++)
			assert_int_equal(seen[i], 0); /* the guest's bytes stay where they are */
		memset(seen, 0x33, len);
		dma_sync_for_cpu(&d, addr, buf + off, len, DMA_FROM_DEVICE);
		dma_unmap(&d, addr, buf + off, len, DMA_FROM_DEVICE);
		for (i = 0; i < len; i++)
			assert_int_equal(buf[off + i], 0x33);
		assert_int_equal(buf[off + len], 0x5a);
		assert_true(off == 0 || buf[off - 1] == 0x5a);
		assert_true(bounce_scrubbed());
	}
	bounce_stats(&b);
	assert_int_equal(b.used, 0);
}

/* A buffer that the device wrote and nobody took: a reset. */
static void never_synced(void **state)
{
	static uint8_t buf[5000];
	struct device d;
	dma_addr_t addr;

	(void)state;
	attached(&d);
	assert_int_equal(dma_map(&d, buf, sizeof(buf), DMA_FROM_DEVICE, &addr), 0);
	memset(phys_to_virt(addr), 0x77, sizeof(buf));
	dma_unmap(&d, addr, buf, sizeof(buf), DMA_FROM_DEVICE);
	assert_true(bounce_scrubbed());
	assert_int_equal(buf[0], 0);
	/* The device says that it wrote nothing. */
	assert_int_equal(dma_map(&d, buf, sizeof(buf), DMA_FROM_DEVICE, &addr), 0);
	memset(phys_to_virt(addr), 0x77, sizeof(buf));
	dma_sync_for_cpu(&d, addr, buf, 0, DMA_FROM_DEVICE);
	dma_unmap(&d, addr, buf, sizeof(buf), DMA_FROM_DEVICE);
	assert_true(bounce_scrubbed());
}

static void exhaustion(void **state)
{
	static uint8_t buf[3 * BOUNCE_SLOT] __attribute__((aligned(BOUNCE_SLOT)));
	dma_addr_t addr[64], more;
	struct bounce_stats b;
	struct device d;
	unsigned int n, i;

	(void)state;
	attached(&d);
	for (n = 0; dma_map(&d, buf, sizeof(buf), DMA_TO_DEVICE, &addr[n]) == 0; n++)
		for (i = 0; i < n; i++)
			assert_true(addr[i] + sizeof(buf) <= addr[n] ||
				    addr[n] + sizeof(buf) <= addr[i]);
	assert_int_equal(n, 64 / 3);
	assert_int_equal(dma_map(&d, buf, sizeof(buf), DMA_TO_DEVICE, &more), -ENOMEM);
	assert_null(dma_alloc(&d, 2 * BOUNCE_SLOT, 64, &more));
	/* One slot is left, and a hole in the middle is found. */
	assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &more), 0);
	dma_unmap(&d, more, buf, 1, DMA_TO_DEVICE);
	dma_unmap(&d, addr[5], buf, sizeof(buf), DMA_TO_DEVICE);
	assert_int_equal(dma_map(&d, buf, sizeof(buf), DMA_TO_DEVICE, &more), 0);
	assert_int_equal(more, addr[5]);
	for (i = 0; i < n; i++)
		dma_unmap(&d, addr[i], buf, sizeof(buf), DMA_TO_DEVICE);
	bounce_stats(&b);
	assert_int_equal(b.used, 0);
	assert_true(b.full >= 3);
	assert_true(bounce_scrubbed());
}

static void rings(void **state)
{
	struct device d;
	dma_addr_t addr;
	uint8_t *p;

	(void)state;
	attached(&d);
	p = dma_alloc(&d, 5000, 4096, &addr);
	assert_non_null(p);
	assert_int_equal(addr % 4096, 0);
	assert_int_equal(p[0] | p[4999], 0);
	memset(p, 0xee, 5000);
	dma_free(&d, p, 5000, addr);
	assert_true(bounce_scrubbed());
}

/* Each byte of each free slot counts, and none of a taken one. */
static void scrubbed_everywhere(void **state)
{
	static uint8_t buf[4];
	struct bounce_stats b;
	struct device d;
	dma_addr_t addr;
	unsigned int i;
	uint8_t *p;

	(void)state;
	attached(&d);
	bounce_stats(&b);
	p = phys_to_virt(b.base);
	for (i = 0; i < b.size; i += 1021) {
		p[i] = 1;
		assert_false(bounce_scrubbed());
		p[i] = 0;
	}
	p[b.size - 1] = 1;
	assert_false(bounce_scrubbed());
	p[b.size - 1] = 0;
	assert_true(bounce_scrubbed());
	assert_int_equal(dma_map(&d, buf, sizeof(buf), DMA_FROM_DEVICE, &addr), 0);
	memset(phys_to_virt(addr), 1, sizeof(buf));
	assert_true(bounce_scrubbed());
	dma_unmap(&d, addr, buf, sizeof(buf), DMA_FROM_DEVICE);
	assert_true(bounce_scrubbed());
}

/* Mappings of many sizes come and go: none lies in another, and each keeps its bytes. */
static void comes_and_goes(void **state)
{
	static uint8_t buf[24][5 * BOUNCE_SLOT];
	size_t len[24] = { 0 };
	dma_addr_t addr[24];
	struct bounce_stats b;
	struct device d;
	unsigned int i, k, full = 0;
	uint32_t r = 1;

	(void)state;
	attached(&d);
	for (i = 0; i < 24; i++)
		memset(buf[i], (int)i + 1, sizeof(buf[i]));
	for (k = 0; k < 4000; k++) {
		r = r * 1103515245u + 12345u;
		i = (r >> 16) % 24;
		if (len[i]) {
			const uint8_t *p = phys_to_virt(addr[i]);

			assert_int_equal(p[0], i + 1);
			assert_int_equal(p[len[i] - 1], i + 1);
			assert_memory_equal(p, buf[i], len[i]);
			dma_unmap(&d, addr[i], buf[i], len[i], DMA_TO_DEVICE);
			len[i] = 0;
			continue;
		}
		len[i] = 1 + (r >> 8) % sizeof(buf[i]);
		if (dma_map(&d, buf[i], len[i], DMA_TO_DEVICE, &addr[i])) {
			len[i] = 0;
			full++;
		}
	}
	assert_true(full > 0 && full < 2000);
	for (i = 0; i < 24; i++)
		if (len[i])
			dma_unmap(&d, addr[i], buf[i], len[i], DMA_TO_DEVICE);
	bounce_stats(&b);
	assert_int_equal(b.used, 0);
	assert_true(bounce_scrubbed());
}

/* Addresses that are not the pool's are left alone. */
static void foreign(void **state)
{
	uint8_t buf[16] = { 1 };
	struct bounce_stats b;
	struct device d;

	(void)state;
	attached(&d);
	bounce_stats(&b);
	dma_sync_for_cpu(&d, b.base + b.size - 8, buf, sizeof(buf), DMA_FROM_DEVICE);
	dma_sync_for_cpu(&d, b.base - 8, buf, sizeof(buf), DMA_FROM_DEVICE);
	dma_unmap(&d, b.base + b.size, buf, sizeof(buf), DMA_TO_DEVICE);
	assert_int_equal(buf[0], 1);
	assert_true(bounce_scrubbed());
}

/* --- a back end below that translates ---------------------------------------------------------- */

static struct {
	int answer;
	unsigned int live;
	const void *buf; /* of the last call, as those below */
	size_t len;
	enum dma_dir dir;
	dma_addr_t addr;
	uint8_t first; /* the byte that was there */
} below;

static int below_map(struct dma_layer *l, void *buf, size_t len, enum dma_dir dir, dma_addr_t *addr)
{
	assert_null(l->lower->lower);
	if (below.answer)
		return below.answer;
	below.live++;
	below.buf = buf;
	below.len = len;
	below.dir = dir;
	*addr = 0x7000000000ull + below.live * 0x100000ull;
	return 0;
}

static void below_noted(dma_addr_t addr, void *buf, size_t len, enum dma_dir dir)
{
	below.addr = addr;
	below.buf = buf;
	below.len = len;
	below.dir = dir;
}

static void below_unmap(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			enum dma_dir dir)
{
	(void)l;
	below.live--;
	below_noted(addr, buf, len, dir);
}

/* What the device wrote is there only now. */
static void below_for_cpu(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			  enum dma_dir dir)
{
	(void)l;
	memset(buf, 0x44, len);
	below_noted(addr, buf, len, dir);
}

/* And what the CPU wrote is there by now. */
static void below_for_device(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			     enum dma_dir dir)
{
	(void)l;
	below.first = *(const uint8_t *)buf;
	below_noted(addr, buf, len, dir);
}

static const struct dma_ops below_ops = { .name = "below",
					  .map = below_map,
					  .unmap = below_unmap,
					  .sync_for_cpu = below_for_cpu,
					  .sync_for_device = below_for_device };

static int attach_below(struct device *d)
{
	return dma_push(d, &below_ops, NULL);
}

static struct device_policy below_policy = { .level = DEVICE_LEVEL_TRANSLATE,
					     .attach = attach_below };

/* The copies go through it, each with its length and direction; a ring has whole slots, both ways. */
static void translated(void **state)
{
	static uint8_t buf[BOUNCE_SLOT];
	struct bounce_stats before, after;
	dma_addr_t addr;
	struct device d;
	void *p;

	(void)state;
	device_policy_add(&below_policy);
	attached(&d);
	bounce_stats(&before);
	below.answer = -ENOSPC;
	assert_int_equal(dma_map(&d, buf, 5, DMA_TO_DEVICE, &addr), -ENOSPC);
	assert_null(dma_alloc(&d, 5, 64, &addr));
	bounce_stats(&after);
	assert_int_equal(after.used, before.used);
	assert_true(bounce_scrubbed());
	below.answer = 0;
	assert_int_equal(dma_map(&d, buf, 5, DMA_TO_DEVICE, &addr), 0);
	assert_int_equal(below.len, 5);
	assert_int_equal(below.dir, DMA_TO_DEVICE);
	dma_unmap(&d, addr, buf, 5, DMA_TO_DEVICE);
	assert_int_equal(below.len, 5);
	assert_int_equal(below.dir, DMA_TO_DEVICE);
	p = dma_alloc(&d, BOUNCE_SLOT, 64, &addr);
	assert_ptr_equal(below.buf, p);
	assert_int_equal(below.len, BOUNCE_SLOT);
	assert_int_equal(below.dir, DMA_BOTH);
	dma_free(&d, p, BOUNCE_SLOT, addr);
	assert_int_equal(below.len, BOUNCE_SLOT);
	assert_int_equal(below.dir, DMA_BOTH);
	assert_int_equal(below.live, 0);
	bounce_stats(&after);
	assert_int_equal(after.used, before.used);
	device_policy_remove(&below_policy);
}

/* Below a translation an address says nothing of the slot: each mapping is found all the same. */
static void found_by_address(void **state)
{
	static uint8_t buf[3][3 * BOUNCE_SLOT];
	const uint8_t *copy[3];
	dma_addr_t addr[3];
	struct device d;
	unsigned int i;

	(void)state;
	device_policy_add(&below_policy);
	attached(&d);
	for (i = 0; i < 3; i++) {
		assert_int_equal(dma_map(&d, buf[i] + i, 3000, DMA_BOTH, &addr[i]), 0);
		copy[i] = below.buf;
		assert_int_equal((uintptr_t)copy[i] % BOUNCE_SLOT,
				 (uintptr_t)(buf[i] + i) % BOUNCE_SLOT);
	}
	for (i = 0; i < 3; i++) {
		dma_sync_for_cpu(&d, addr[i], buf[i] + i, 7, DMA_BOTH);
		assert_ptr_equal(below.buf, copy[i]);
		assert_true(below.addr == addr[i]);
		assert_int_equal(below.len, 7);
		assert_int_equal(below.dir, DMA_BOTH);
		assert_int_equal(buf[i][i + 6], 0x44);
		assert_int_equal(buf[i][i + 7], 0);
		buf[i][i] = (uint8_t)(i + 1);
		dma_sync_for_device(&d, addr[i], buf[i] + i, 5, DMA_BOTH);
		assert_ptr_equal(below.buf, copy[i]);
		assert_true(below.addr == addr[i]);
		assert_int_equal(below.len, 5);
		assert_int_equal(below.dir, DMA_BOTH);
		assert_int_equal(below.first, i + 1);
	}
	for (i = 0; i < 3; i++) {
		dma_unmap(&d, addr[i], buf[i] + i, 3000, DMA_BOTH);
		assert_ptr_equal(below.buf, copy[i]);
		assert_true(below.addr == addr[i]);
	}
	/* What is unmapped is no mapping any more. */
	below.len = 0;
	dma_sync_for_cpu(&d, addr[1], buf[1], 7, DMA_BOTH);
	assert_int_equal(below.len, 0);
	assert_int_equal(below.live, 0);
	assert_true(bounce_scrubbed());
	device_policy_remove(&below_policy);
}

/* Each direction has its copies, never beyond the mapping; where they are refused nothing is changed. */
static void directions(void **state)
{
	static uint8_t buf[2 * BOUNCE_SLOT] __attribute__((aligned(BOUNCE_SLOT)));
	const size_t room = BOUNCE_SLOT - 16; /* of the mapping below, in its slot */
	struct bounce_stats b;
	dma_addr_t addr;
	struct device d;
	uint8_t *copy;

	(void)state;
	attached(&d);
	memset(buf, 0x11, sizeof(buf));
	assert_int_equal(dma_map(&d, buf + 16, 100, DMA_TO_DEVICE, &addr), 0);
	copy = phys_to_virt(addr);
	memset(copy, 0x22, 100);
	dma_sync_for_cpu(&d, addr, buf + 16, 100,
			 DMA_TO_DEVICE); /* the device writes nothing there */
	assert_int_equal(buf[16], 0x11);
	dma_sync_for_device(&d, addr, buf + 16, 50, DMA_TO_DEVICE);
	assert_int_equal(copy[49], 0x11);
	assert_int_equal(copy[50], 0x22);
	dma_sync_for_device(&d, addr, buf + 16, room + 1, DMA_TO_DEVICE);
	assert_int_equal(copy[50], 0x22);
	dma_unmap(&d, addr, buf + 16, room + 1, DMA_TO_DEVICE);
	bounce_stats(&b);
	assert_int_equal(b.used, 1);
	dma_unmap(&d, addr, buf + 16, 100, DMA_TO_DEVICE);
	assert_int_equal(dma_map(&d, buf + 16, 100, DMA_FROM_DEVICE, &addr), 0);
	copy = phys_to_virt(addr);
	dma_sync_for_device(&d, addr, buf + 16, 100, DMA_FROM_DEVICE); /* it reads nothing there */
	assert_int_equal(copy[0], 0);
	memset(copy, 0x33, room);
	dma_sync_for_cpu(&d, addr, buf + 16, room + 1, DMA_FROM_DEVICE);
	assert_int_equal(buf[16], 0x11);
	dma_sync_for_cpu(&d, addr, buf + 16, room, DMA_FROM_DEVICE);
	assert_int_equal(buf[16], 0x33);
	assert_int_equal(buf[16 + room - 1], 0x33);
	assert_int_equal(buf[16 + room], 0x11);
	dma_unmap(&d, addr, buf + 16, room, DMA_FROM_DEVICE);
	assert_true(bounce_scrubbed());
	/* What both sides write is scrubbed as a whole, however much was looked at. */
	assert_int_equal(dma_map(&d, buf + 16, 1000, DMA_BOTH, &addr), 0);
	memset(phys_to_virt(addr), 0x33, 1000);
	dma_sync_for_cpu(&d, addr, buf + 16, 1, DMA_BOTH);
	dma_unmap(&d, addr, buf + 16, 1000, DMA_BOTH);
	assert_true(bounce_scrubbed());
	bounce_stats(&b);
	assert_int_equal(b.used, 0);
}

/* A ring begins with zeros, whatever a device left in the slots, and where its alignment is; of no bytes there is none. */
static void rings_anywhere(void **state)
{
	static uint8_t buf[1];
	dma_addr_t addr, first[8];
	struct bounce_stats b;
	struct device d;
	unsigned int i, k;
	size_t align;
	uint8_t *p;

	(void)state;
	attached(&d);
	bounce_stats(&b);
	assert_null(dma_alloc(&d, 0, 64, &addr));
	for (i = 0; i < 8; i++) {
		for (align = 1; align <= 4 * PAGE_SIZE; align *= 2) {
			memset(phys_to_virt(b.base + i * BOUNCE_SLOT), 0x55,
			       b.size - i * BOUNCE_SLOT);
			pool.next = 0; /* wherever the last search ended */
			p = dma_alloc(&d, 5000, align, &addr);
			assert_non_null(p);
			assert_int_equal(addr % align, 0);
			assert_int_equal(addr % BOUNCE_SLOT, 0);
			assert_true(align > BOUNCE_SLOT || addr == b.base + i * BOUNCE_SLOT);
			for (k = 0; k < 3 * BOUNCE_SLOT; k++)
				assert_int_equal(p[k], 0);
			memset(phys_to_virt(b.base + i * BOUNCE_SLOT), 0, b.size - i * BOUNCE_SLOT);
			memset(p, 0xee, 3 * BOUNCE_SLOT);
			dma_free(&d, p, 5000, addr);
			assert_true(bounce_scrubbed());
		}
		pool.next = 0;
		assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &first[i]), 0);
	}
	for (i = 0; i < 8; i++)
		dma_unmap(&d, first[i], buf, 1, DMA_TO_DEVICE);
}

/*
 * The search goes on where it ended, from a slot that was given back if there is one below. What is taken is passed as a
 * whole, but only what is taken now.
 */
static void where_it_searches(void **state)
{
	static uint8_t buf[60 * BOUNCE_SLOT] __attribute__((aligned(BOUNCE_SLOT)));
	dma_addr_t base, a, b, c, e, ring;
	struct bounce_stats before, s;
	struct device d;
	void *p;

	(void)state;
	attached(&d);
	bounce_stats(&before);
	base = before.base;
	pool.next = 0;
	assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &a), 0);
	assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &b), 0);
	assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &c), 0);
	assert_true(a == base && b == base + BOUNCE_SLOT && c == base + 2 * BOUNCE_SLOT);
	dma_unmap(&d, c, buf, 1, DMA_TO_DEVICE);
	dma_unmap(&d, a, buf, 1, DMA_TO_DEVICE);
	dma_unmap(&d, b, buf, 1, DMA_TO_DEVICE);
	assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &a), 0);
	assert_true(a == base);
	assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &b), 0);
	assert_true(b == base + BOUNCE_SLOT);
	dma_unmap(&d, a, buf, 1, DMA_TO_DEVICE);
	assert_int_equal(dma_map(&d, buf, 2 * BOUNCE_SLOT, DMA_TO_DEVICE, &c), 0);
	assert_true(c == base + 2 * BOUNCE_SLOT);
	/* The gap in front is left to the next round. */
	assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &e), 0);
	assert_true(e == base + 4 * BOUNCE_SLOT);
	dma_unmap(&d, e, buf, 1, DMA_TO_DEVICE);
	dma_unmap(&d, c, buf, 2 * BOUNCE_SLOT, DMA_TO_DEVICE);
	assert_int_equal(dma_map(&d, buf, 4 * BOUNCE_SLOT, DMA_TO_DEVICE, &c), 0);
	assert_true(c == base + 2 * BOUNCE_SLOT);
	assert_int_equal(dma_map(&d, buf, 58 * BOUNCE_SLOT, DMA_TO_DEVICE, &e), 0);
	assert_true(e == base + 6 * BOUNCE_SLOT);
	bounce_stats(&s);
	assert_int_equal(s.used, 63);
	assert_int_equal(s.full, before.full);
	assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &a), 0);
	assert_true(a == base);
	assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &ring), -ENOMEM);
	bounce_stats(&s);
	assert_int_equal(s.full, before.full + 1);
	/* Slot 6, where the alignment is, is in the middle of a mapping; one of 58 slots began there before. */
	dma_unmap(&d, e, buf, 58 * BOUNCE_SLOT, DMA_TO_DEVICE);
	dma_unmap(&d, c, buf, 4 * BOUNCE_SLOT, DMA_TO_DEVICE);
	assert_int_equal(dma_map(&d, buf, 6 * BOUNCE_SLOT, DMA_TO_DEVICE, &c), 0);
	assert_true(c == base + 2 * BOUNCE_SLOT);
	dma_unmap(&d, b, buf, 1, DMA_TO_DEVICE);
	p = dma_alloc(&d, BOUNCE_SLOT, 4 * PAGE_SIZE, &ring);
	assert_non_null(p);
	assert_true(ring == base + 14 * BOUNCE_SLOT);
	dma_free(&d, p, BOUNCE_SLOT, ring);
	dma_unmap(&d, c, buf, 6 * BOUNCE_SLOT, DMA_TO_DEVICE);
	dma_unmap(&d, a, buf, 1, DMA_TO_DEVICE);
	bounce_stats(&s);
	assert_int_equal(s.used, 0);
}

/* A device that stays up for good leaks nothing. */
static void lasting(void **state)
{
	struct bounce_stats before, s;
	struct device stays, goes;
	dma_addr_t a, b, c;
	void *p, *q, *r;

	(void)state;
	attached(&stays);
	attached(&goes);
	stays.lasting = true;
	bounce_stats(&before);
	pool.next = 0;
	q = dma_alloc(&stays, 3 * BOUNCE_SLOT, 64, &b);
	bounce_stats(&s);
	assert_int_equal(s.used, before.used);
	p = dma_alloc(&goes, 1, 64, &a);
	r = dma_alloc(&goes, BOUNCE_SLOT + 1, 64, &c);
	bounce_stats(&s);
	assert_int_equal(s.used, before.used + 3);
	dma_free(&stays, q, 3 * BOUNCE_SLOT, b);
	bounce_stats(&s);
	assert_int_equal(s.used, before.used + 3);
	dma_free(&goes, r, BOUNCE_SLOT + 1, c);
	dma_free(&goes, p, 1, a);
	bounce_stats(&s);
	assert_int_equal(s.used, before.used);
}

static void other_cpus(void **state)
{
	static uint8_t buf[1];
	struct device d;
	dma_addr_t addr;

	(void)state;
	attached(&d);
	hold(&pool.lock);
	assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &addr), 0);
	expect_waited();
	hold(&pool.lock);
	dma_unmap(&d, addr, buf, 1, DMA_TO_DEVICE);
	expect_waited();
}

/* A gap that is too small for one mapping is there for the next, though all behind it is taken. */
static void gaps(void **state)
{
	static uint8_t buf[2 * BOUNCE_SLOT] __attribute__((aligned(BOUNCE_SLOT)));
	static dma_addr_t addr[64], two, one;
	struct device d;
	unsigned int i;

	(void)state;
	attached(&d);
	for (i = 0; i < 64; i++)
		assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &addr[i]), 0);
	assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &one), -ENOMEM);
	dma_unmap(&d, addr[0], buf, 1, DMA_TO_DEVICE);
	dma_unmap(&d, addr[2], buf, 1, DMA_TO_DEVICE);
	dma_unmap(&d, addr[3], buf, 1, DMA_TO_DEVICE);
	assert_int_equal(dma_map(&d, buf, sizeof(buf), DMA_TO_DEVICE, &two), 0);
	assert_int_equal(two, addr[2]);
	assert_int_equal(dma_map(&d, buf, 1, DMA_TO_DEVICE, &one), 0);
	assert_int_equal(one, addr[0]);
	dma_unmap(&d, two, buf, sizeof(buf), DMA_TO_DEVICE);
	for (i = 0; i < 64; i++)
		dma_unmap(&d, addr[i], buf, 1, DMA_TO_DEVICE);
	assert_true(bounce_scrubbed());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_pool),
		cmocka_unit_test(sizes),
		cmocka_unit_test(never_synced),
		cmocka_unit_test(exhaustion),
		cmocka_unit_test(rings),
		cmocka_unit_test(foreign),
		cmocka_unit_test(scrubbed_everywhere),
		cmocka_unit_test(comes_and_goes),
		cmocka_unit_test(translated),
		cmocka_unit_test(gaps),
		cmocka_unit_test(found_by_address),
		cmocka_unit_test(directions),
		cmocka_unit_test(rings_anywhere),
		cmocka_unit_test(where_it_searches),
		cmocka_unit_test(lasting),
		cmocka_unit_test(other_cpus),
	};

	return cmocka_run_group_tests_name("bounce", tests, init, NULL);
}
