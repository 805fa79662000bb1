/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem.h: a bitmap at the start of each RAM range tells which of its pages are taken. A search starts where the last one
 * ended.
 *
 * The first page tables reach 4 GiB, so RAM above joins when the real ones are loaded (mem_add_high()). From
 * then on it is preferred: rings, headers and buffers then lie where a device that forgets the upper half of
 * an address finds something else.
 */
#include "lib/mem.h"

#include <stdbool.h>
#include <string.h>

#include "lib/boot_info.h"
#include "lib/irq.h"
#include "lib/spinlock.h"

#define LOW_END	  0x100000ull
#define FOUR_GIB  (1ull << 32)
#define MAX_ZONES 64
#define MIN_PAGES 16
#define MAX_SPAN                                                                                   \
	(64ull << 30) /* more RAM than this is left alone: the bitmap would grow for nothing */

struct zone {
	uint64_t base;
	uint64_t pages;
	uint64_t next; /* where the search goes on */
	uint8_t *bits; /* 1: taken */
};

static struct {
	struct zone zone[MAX_ZONES];
	unsigned int zones;
	uint64_t total, free_pages;
	uint64_t low; /* a page below 1 MiB, 0: none */
	spinlock_t lock;
} mem;

static bool taken(const struct zone *z, uint64_t i)
{
	return z->bits[i / 8] >> (i % 8) & 1;
}

static void mark(const struct zone *z, uint64_t i, bool on)
{
	if (on)
		z->bits[i / 8] |= (uint8_t)(1u << (i % 8));
	else
		z->bits[i / 8] &= (uint8_t) ~(1u << (i % 8));
}

static void add_zone(uint64_t base, uint64_t end)
{
	struct zone *z = &mem.zone[mem.zones];
	uint64_t i, used;

	base = (base + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
	end &= ~(PAGE_SIZE - 1);
	if (end <= base || end - base < MIN_PAGES * PAGE_SIZE || mem.zones == MAX_ZONES)
		return;
	if (end - base > MAX_SPAN)
		end = base + MAX_SPAN;
	z->base = base;
	z->pages = (end - base) >> PAGE_SHIFT;
	z->bits = phys_to_virt(base);
	used = (z->pages / 8 + PAGE_SIZE) >> PAGE_SHIFT;
	memset(z->bits, 0, used << PAGE_SHIFT);
	for (i = 0; i < used; i++)
		mark(z, i, true);
	z->next = used;
	mem.zones++;
	mem.free_pages += z->pages - used;
}

/* Adds the part of a RAM range that lies in [from, to), without the image. */
static void add_range(const struct boot_info *info, const struct boot_mem *m, uint64_t from,
		      uint64_t to)
{
	const uint64_t img = info->image_base, img_end = img + info->image_size;
	const uint64_t base = m->base > from ? m->base : from;
	const uint64_t end = m->base + m->size < to ? m->base + m->size : to;

	if (m->type != BOOT_MEM_RAM || base >= end)
		return;
	if (img >= end || img_end <= base) {
		add_zone(base, end);
		return;
	}
	if (img > base)
		add_zone(base, img);
	if (img_end < end)
		add_zone(img_end, end);
}

void mem_add_high(const struct boot_info *info, uint64_t limit)
{
	uint32_t i;

	for (i = 0; i < info->mem_count; i++)
		add_range(info, &info->mem[i], FOUR_GIB, limit);
}

void mem_init(const struct boot_info *info)
{
	uint32_t i;

	for (i = 0; i < info->mem_count; i++) {
		const struct boot_mem *m = &info->mem[i];
		const uint64_t end = m->base + m->size;

		if (m->type != BOOT_MEM_RAM)
			continue;
		mem.total += m->size;
		add_range(info, m, LOW_END, FOUR_GIB);
		/* The highest whole page of usable low memory; firmware's data is at its bottom. */
		if (m->base < 0xa0000 && end > 0x2000) {
			const uint64_t top = end < 0xa0000 ? end : 0xa0000;
			const uint64_t page = (top & ~(PAGE_SIZE - 1)) - PAGE_SIZE;

			if (page >= m->base && page >= PAGE_SIZE && page > mem.low)
				mem.low = page;
		}
	}
}

static void *take(struct zone *z, uint64_t first, uint64_t n)
{
	void *p = phys_to_virt(z->base + (first << PAGE_SHIFT));
	uint64_t i;

	for (i = 0; i < n; i++)
		mark(z, first + i, true);
	mem.free_pages -= n;
	return p;
}

/* The first fit in [from, to). */
static void *search(struct zone *z, uint64_t from, uint64_t to, uint64_t n, uint64_t align)
{
	uint64_t i = from, run;

	while (i + n <= to) {
		const uint64_t at = z->base + (i << PAGE_SHIFT);
		const uint64_t aligned = (at + align - 1) & ~(align - 1);

		i += (aligned - at) >> PAGE_SHIFT;
		if (i + n > to)
			break;
		for (run = 0; run < n && !taken(z, i + run); run++)
			;
		if (run == n) {
			z->next = i + n;
			return take(z, i, n);
		}
		i += run + 1;
	}
	return NULL;
}

void *mem_pages(size_t n, size_t align)
{
	void *p = NULL;
	unsigned int k;
	bool irqs;

	if (n == 0 || align < PAGE_SIZE || (align & (align - 1)))
		return NULL;
	irqs = irq_save(); /* neither a handler nor the watchdog comes in between */
	spin_lock(&mem.lock);
	for (k = mem.zones; k-- > 0 && !p;) { /* from the highest zone down */
		struct zone *z = &mem.zone[k];

		if (n > z->pages)
			continue;
		p = search(z, z->next, z->pages, n, align);
		if (!p)
			p = search(z, 0, z->pages, n, align);
	}
	spin_unlock(&mem.lock);
	irq_restore(irqs);
	if (p)
		memset(p, 0, n << PAGE_SHIFT);
	return p;
}

void *mem_pages_at(uint64_t pa, size_t n)
{
	uint64_t first, i;
	void *p = NULL;
	unsigned int k;
	bool irqs;

	irqs = irq_save();
	spin_lock(&mem.lock);
	for (k = 0; k < mem.zones && !p; k++) {
		struct zone *z = &mem.zone[k];

		if (pa < z->base || (pa - z->base) >> PAGE_SHIFT >= z->pages ||
		    n > z->pages - ((pa - z->base) >> PAGE_SHIFT))
			continue;
		first = (pa - z->base) >> PAGE_SHIFT;
		for (i = 0; i < n && !taken(z, first + i); i++)
			;
		if (i == n)
			p = take(z, first, n);
	}
	spin_unlock(&mem.lock);
	irq_restore(irqs);
	if (p)
		memset(p, 0, n << PAGE_SHIFT);
	return p;
}

void mem_search_from(uint64_t pa)
{
	const bool irqs = irq_save();
	unsigned int k;

	spin_lock(&mem.lock);
	for (k = 0; k < mem.zones; k++) {
		struct zone *z = &mem.zone[k];

		if (!pa)
			z->next = 0;
		else if (pa >= z->base && (pa - z->base) >> PAGE_SHIFT < z->pages)
			z->next = (pa - z->base) >> PAGE_SHIFT;
	}
	spin_unlock(&mem.lock);
	irq_restore(irqs);
}

void mem_pages_free(void *p, size_t n)
{
	const uint64_t pa = virt_to_phys(p);
	unsigned int k;
	size_t i;
	bool irqs;

	if (!p)
		return;
	irqs = irq_save();
	spin_lock(&mem.lock);
	for (k = 0; k < mem.zones; k++) {
		struct zone *z = &mem.zone[k];
		const uint64_t first = (pa - z->base) >> PAGE_SHIFT;

		if (pa < z->base || first + n > z->pages)
			continue;
		for (i = 0; i < n; i++)
			mark(z, first + i, false);
		mem.free_pages += n;
		if (first < z->next)
			z->next = first;
		break;
	}
	spin_unlock(&mem.lock);
	irq_restore(irqs);
}

void *mem_low_page(void)
{
	void *p = mem.low ? phys_to_virt(mem.low) : NULL;

	mem.low = 0;
	return p;
}

uint64_t mem_total(void)
{
	return mem.total;
}

uint64_t mem_free_bytes(void)
{
	return mem.free_pages << PAGE_SHIFT;
}

static uint64_t kept; /* owner: mem_keep() */

void mem_keep(size_t n)
{
	__atomic_fetch_add(&kept, (uint64_t)n << PAGE_SHIFT, __ATOMIC_RELAXED);
}

void mem_unkeep(size_t n)
{
	__atomic_fetch_sub(&kept, (uint64_t)n << PAGE_SHIFT, __ATOMIC_RELAXED);
}

uint64_t mem_kept_bytes(void)
{
	return __atomic_load_n(&kept, __ATOMIC_RELAXED);
}
