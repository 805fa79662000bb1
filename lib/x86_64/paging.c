/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The identity mapping has RAM and firmware tables by the memory map (not executable), the image section by section,
 * and device memory on demand. Pages of 1 GiB and 2 MiB are split where protections differ. Everything else,
 * page 0 included, is not present.
 */
#include "lib/paging.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/boot_info.h"
#include "lib/guard.h"
#include "lib/image.h"
#include "lib/mem.h"
#include "lib/smp.h"
#include "lib/spinlock.h"
#include "lib/test.h"
#include "lib/time.h"
#include "lib/x86_64/apic.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/paging.h"
#include "lib/x86_64/smp.h"
#include "lib/x86_64/traps.h"

enum {
	PTE_P = 1,
	PTE_W = 2,
	PTE_U = 4,
	PTE_PCD = 16,
	PTE_PS = 128,
};
#define PTE_NX	 (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

/*
 * Tables come from a pool that is filled at the start. A test that changes a protection splits a large page for good,
 * and the leak check must not count that.
 */
#define POOL 48

static struct {
	uint64_t *root; /* PML4 or, where the firmware left five levels on, PML5 */
	unsigned int levels;
	bool nx, smep, gib_pages;
	unsigned int phys_bits;
	uint32_t generation; /* atomic */
	uint64_t *pool[POOL];
	unsigned int pooled;
	spinlock_t lock;
} pg;

unsigned int paging_phys_bits(void)
{
	if (pg.phys_bits == 0) {
		pg.phys_bits = 36;
		if (cpuid(0x80000000, 0).eax >= 0x80000008)
			pg.phys_bits = cpuid(0x80000008, 0).eax & 0xff;
	}
	return pg.phys_bits;
}

bool paging_has_nx(void)
{
	return pg.nx;
}

static uint64_t flags_of(unsigned int prot)
{
	uint64_t f = 0;

	if (prot & (PROT_R | PROT_W | PROT_X))
		f |= PTE_P;
	if (prot & PROT_W)
		f |= PTE_W;
	if (prot & PROT_UC)
		f |= PTE_PCD;
	if (prot & PROT_USER)
		f |= PTE_U;
	if (!(prot & PROT_X) && pg.nx)
		f |= PTE_NX;
	return f;
}

static uint64_t *table_new(void)
{
	return pg.pooled ? pg.pool[--pg.pooled] : mem_pages(1, PAGE_SIZE);
}

static void fill_pool(void)
{
	uint64_t *p;

	while (pg.pooled < POOL && (p = mem_pages(1, PAGE_SIZE)))
		pg.pool[pg.pooled++] = p;
}

/* The CPU counts levels from below: 1 is a PTE (4 KiB), 2 a PDE (2 MiB), 3 maps 1 GiB. */
static unsigned int shift_of(unsigned int level)
{
	return 3 + 9 * level;
}

static uint64_t size_of(unsigned int level)
{
	return 1ull << shift_of(level);
}

/* An entry of this level and value ends the walk. */
static bool is_leaf(uint64_t e, unsigned int level)
{
	return level == 1 || (e & PTE_PS);
}

/* The table below *e. It is made if there is none, and from the large page if *e is one. */
static uint64_t *table_below(uint64_t *e, unsigned int level)
{
	const uint64_t old = *e;
	uint64_t *t;
	unsigned int i;

	if ((old & PTE_P) && !(old & PTE_PS))
		return (uint64_t *)(old & PTE_ADDR);
	t = table_new();
	if (!t)
		return NULL;
	if (old & PTE_P)
		for (i = 0; i < 512; i++)
			t[i] = (level == 2 ? old & ~(uint64_t)PTE_PS : old) +
			       i * size_of(level - 1);
	/* Rights are decided at the last level. */
	*e = virt_to_phys(t) | PTE_P | PTE_W | PTE_U;
	return t;
}

/* The entry of pa at a level. Tables on the way are made. NULL: no memory. */
static uint64_t *entry_at(uint64_t pa, unsigned int level)
{
	uint64_t *t = pg.root, *e;
	unsigned int l;

	for (l = pg.levels; l > level; l--) {
		e = &t[pa >> shift_of(l) & 511];
		t = table_below(e, l);
		if (!t)
			return NULL;
	}
	return &t[pa >> shift_of(level) & 511];
}

/* The entry that maps pa, or the one at which the walk ends. Nothing is made. */
static const uint64_t *walk(uint64_t pa, unsigned int *level)
{
	const uint64_t *t = pg.root, *e;

	for (*level = pg.levels;; --*level) {
		e = &t[pa >> shift_of(*level) & 511];
		if (!(*e & PTE_P) || is_leaf(*e, *level))
			return e;
		t = (const uint64_t *)(*e & PTE_ADDR);
	}
}

bool paging_readable(uint64_t va)
{
	unsigned int level;

	if (!pg.root) /* the entry's tables: 4 GiB */
		return va >= PAGE_SIZE && va < 1ull << 32;
	if (va >> paging_phys_bits())
		return false;
	return *walk(va, &level) & PTE_P;
}

/* The largest page that can start at base and is not split yet. */
static unsigned int level_for(uint64_t base, uint64_t size, uint64_t flags)
{
	unsigned int level, ends;
	const uint64_t *e;

	for (level = pg.gib_pages ? 3 : 2; level > 1; level--) {
		if ((base & (size_of(level) - 1)) || size < size_of(level) || !(flags & PTE_P))
			continue;
		e = walk(base, &ends);
		if (ends > level || (ends == level && (!(*e & PTE_P) || (*e & PTE_PS))))
			return level;
	}
	return 1;
}

static int map(uint64_t base, uint64_t size, unsigned int prot)
{
	const uint64_t flags = flags_of(prot), end = base + size;
	unsigned int level;
	uint64_t *e;

	while (base < end) {
		level = level_for(base, end - base, flags);
		e = entry_at(base, level);
		if (!e)
			return -ENOMEM;
		*e = base | flags | (level > 1 ? PTE_PS : 0);
		base += size_of(level);
	}
	return 0;
}

static int map_locked(uint64_t base, uint64_t size, unsigned int prot)
{
	int ret;

	guard_hold();
	spin_lock(&pg.lock);
	ret = map(base, size, prot);
	spin_unlock(&pg.lock);
	guard_drop();
	return ret;
}

/* --- other CPUs' TLBs -------------------------------------------------------------------- */

#define FLUSH_NS time_sec()

void paging_flush_interrupt(void)
{
	const uint32_t seen = __atomic_load_n(&pg.generation, __ATOMIC_ACQUIRE);

	write_cr3(read_cr3());
	__atomic_store_n(&this_cpu()->flushed, seen, __ATOMIC_RELEASE);
}

static bool flushed(unsigned int cpu, uint32_t generation)
{
	paging_flush_interrupt(); /* another CPU may wait for this one in the same loop */
	return (int32_t)(smp_flushed(cpu) - generation) >= 0;
}

/* A CPU that does not answer in time hangs with its interrupts off; smp_wait() tells whoever waits for it. */
static void shoot_down(void)
{
	const uint32_t generation = __atomic_add_fetch(&pg.generation, 1, __ATOMIC_ACQ_REL);
	unsigned int i;

	paging_flush_interrupt();
	for (i = 0; i < smp_cpus_online(); i++)
		if (i != smp_this_cpu())
			apic_send_ipi(smp_hw_id(i), VEC_FLUSH);
	for (i = 0; i < smp_cpus_online(); i++)
		if (i != smp_this_cpu())
			wait_for(flushed(i, generation), FLUSH_NS);
}

int paging_protect(uint64_t base, uint64_t size, unsigned int prot)
{
	int ret;

	if ((base | size) & (PAGE_SIZE - 1) || base + size < base ||
	    base + size > 1ull << paging_phys_bits())
		return -EINVAL;
	ret = map_locked(base, size, prot);
	shoot_down();
	return ret;
}

/* The memory map calls it memory, or the image lies there, which the map may not know. */
static bool is_memory(uint64_t first, uint64_t end)
{
	const struct boot_info *b = boot_info_get();
	uint32_t i;

	if (first < b->image_base + b->image_size && end > b->image_base)
		return true;
	for (i = 0; i < b->mem_count; i++) {
		const struct boot_mem *m = &b->mem[i];

		if ((m->type == BOOT_MEM_RAM || m->type == BOOT_MEM_RECLAIM ||
		     m->type == BOOT_MEM_NVS) &&
		    first < m->base + m->size && end > m->base)
			return true;
	}
	return false;
}

volatile void *mmio_map(uint64_t pa, uint64_t size)
{
	const uint64_t first = pa & ~(PAGE_SIZE - 1);
	const uint64_t end = (pa + size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);

	if (size == 0 || end <= first || end > 1ull << paging_phys_bits() || is_memory(first, end))
		return NULL;
	/* New entries need no flush: what is not present is not cached. */
	if (map_locked(first, end - first, PROT_R | PROT_W | PROT_UC))
		return NULL;
	return phys_to_virt(pa);
}

const void *firmware_map(uint64_t pa, uint64_t size)
{
	uint64_t page = pa & ~(PAGE_SIZE - 1);
	unsigned int level;

	if (size == 0 || pa + size < pa || pa + size > 1ull << paging_phys_bits())
		return NULL;
	for (; page < pa + size; page += PAGE_SIZE)
		if (!(*walk(page, &level) & PTE_P) && map_locked(page, PAGE_SIZE, PROT_R))
			return NULL;
	return phys_to_virt(pa);
}

static int map_image(void)
{
	const struct {
		char *start, *end;
		unsigned int prot;
	} part[] = {
		{ text_start, text_end, PROT_R | PROT_X },
		{ rodata_start, rodata_end, PROT_R },
		{ data_start, data_end, PROT_R | PROT_W },
	};
	unsigned int i;
	int ret = 0;

	for (i = 0; i < 3 && !ret; i++)
		ret = map(virt_to_phys(part[i].start), (uint64_t)(part[i].end - part[i].start),
			  part[i].prot);
	return ret;
}

void paging_enable_cpu(void)
{
	const uint64_t smep = pg.smep ? CR4_SMEP : 0;

	if (pg.nx)
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | smep);
	write_cr0(read_cr0() | CR0_WP);
	write_cr3(virt_to_phys(pg.root));
}

uint64_t paging_root(void)
{
	return virt_to_phys(pg.root);
}

static void learn_features(void)
{
	const uint32_t ext = cpuid(0x80000000, 0).eax >= 0x80000001 ? cpuid(0x80000001, 0).edx : 0;

	pg.nx = ext >> 20 & 1;
	pg.gib_pages = ext >> 26 & 1;
	pg.smep = cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx >> 7 & 1);
	pg.levels = read_cr4() & CR4_LA57 ? 5 : 4;
}

int paging_init(const struct boot_info *info)
{
	uint32_t i;
	int ret = 0;

	learn_features();
	pg.root = mem_pages(1, PAGE_SIZE);
	if (!pg.root)
		return -ENOMEM;
	for (i = 0; i < info->mem_count && !ret; i++) {
		const struct boot_mem *m = &info->mem[i];
		const uint64_t first = m->base & ~(PAGE_SIZE - 1);
		const uint64_t end = (m->base + m->size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);

		if (m->type == BOOT_MEM_RAM)
			ret = map(first, end - first, PROT_R | PROT_W);
		else if (m->type == BOOT_MEM_RECLAIM || m->type == BOOT_MEM_NVS)
			ret = map(first, end - first, PROT_R);
	}
	/* The legacy area has RSDP, EBDA and MP tables. Page 0 stays out, so that NULL traps. */
	if (!ret)
		ret = map(PAGE_SIZE, 0x100000 - PAGE_SIZE, PROT_R | PROT_W);
	if (!ret)
		ret = map(0, PAGE_SIZE, PROT_NONE);
	if (!ret)
		ret = map_image();
	if (!ret)
		ret = map(virt_to_phys(boot_stack_guard), PAGE_SIZE, PROT_NONE);
	if (!ret)
		paging_enable_cpu();
	fill_pool();
	return ret;
}
