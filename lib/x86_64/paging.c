/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Identity mapping of what exists: RAM and firmware tables of the memory map
 * (NX), the image by section, device memory on demand. 2 MiB pages, split where
 * protections differ. Everything else, page 0 included, is not present.
 */
#include "lib/paging.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "boot/boot_info.h"
#include "lib/image.h"
#include "lib/mem.h"
#include "lib/smp.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/paging.h"

enum {
	PTE_P = 1,
	PTE_W = 2,
	PTE_U = 4,
	PTE_PCD = 16,
	PTE_PS = 128,
};
#define PTE_NX	 (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull
#define TWO_MIB	 (2ull << 20)

static struct {
	uint64_t *pml4;
	bool nx;
	unsigned int phys_bits;
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

/* The next table below *e; made, or made from a large page, if need be. */
static uint64_t *next_table(uint64_t *e, bool leaf_level)
{
	uint64_t *t;
	unsigned int i;

	if ((*e & PTE_P) && !(*e & PTE_PS))
		return (uint64_t *)(*e & PTE_ADDR);
	t = mem_pages(1, PAGE_SIZE);
	if (!t)
		return NULL;
	if (leaf_level && (*e & PTE_PS))
		for (i = 0; i < 512; i++)
			t[i] = (*e & ~(uint64_t)PTE_PS) + i * PAGE_SIZE;
	/* Rights are decided at the last level. */
	*e = virt_to_phys(t) | PTE_P | PTE_W | PTE_U;
	return t;
}

/* The entry for pa: of its 4 KiB page, or of its 2 MiB page when large. */
static uint64_t *entry_of(uint64_t pa, bool large)
{
	uint64_t *t = pg.pml4;

	t = next_table(&t[pa >> 39 & 511], false);
	if (t)
		t = next_table(&t[pa >> 30 & 511], false);
	if (!t || large)
		return t ? &t[pa >> 21 & 511] : NULL;
	t = next_table(&t[pa >> 21 & 511], true);
	return t ? &t[pa >> 12 & 511] : NULL;
}

static bool has_table(uint64_t pa)
{
	const uint64_t *e = entry_of(pa, true);

	return e && (*e & PTE_P) && !(*e & PTE_PS);
}

static int map(uint64_t base, uint64_t size, unsigned int prot)
{
	const uint64_t flags = flags_of(prot), end = base + size;
	uint64_t *e;

	while (base < end) {
		const bool large = !(base & (TWO_MIB - 1)) && end - base >= TWO_MIB &&
				   (flags & PTE_P) && !has_table(base);

		e = entry_of(base, large);
		if (!e)
			return -ENOMEM;
		*e = base | flags | (large ? PTE_PS : 0);
		base += large ? TWO_MIB : PAGE_SIZE;
	}
	return 0;
}

static void flush_all(void *arg)
{
	(void)arg;
	write_cr3(read_cr3());
}

#define FLUSH_NS 1000000000ull

static void shoot_down(void)
{
	unsigned int i;

	flush_all(NULL);
	for (i = 1; i < smp_cpus_online(); i++)
		if (i != smp_this_cpu())
			smp_call(i, flush_all, NULL, FLUSH_NS);
}

int paging_protect(uint64_t base, uint64_t size, unsigned int prot)
{
	int ret;

	if ((base | size) & (PAGE_SIZE - 1) || base + size < base)
		return -EINVAL;
	ret = map(base, size, prot);
	shoot_down();
	return ret;
}

volatile void *mmio_map(uint64_t pa, uint64_t size)
{
	const uint64_t first = pa & ~(PAGE_SIZE - 1);
	const uint64_t end = (pa + size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);

	if (size == 0 || end <= first || end > 1ull << paging_phys_bits())
		return NULL;
	/* New entries need no flush: what is not present is not cached. */
	if (map(first, end - first, PROT_R | PROT_W | PROT_UC))
		return NULL;
	return phys_to_virt(pa);
}

const void *firmware_map(uint64_t pa, uint64_t size)
{
	uint64_t page = pa & ~(PAGE_SIZE - 1), *e;

	if (size == 0 || pa + size < pa || pa + size > 1ull << paging_phys_bits())
		return NULL;
	for (; page < pa + size; page += PAGE_SIZE) {
		e = entry_of(page, true);
		if (e && (*e & PTE_P) && (*e & PTE_PS))
			continue;
		e = entry_of(page, false);
		if (!e)
			return NULL;
		if (!(*e & PTE_P))
			*e = page | flags_of(PROT_R);
	}
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
	if (pg.nx)
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	write_cr0(read_cr0() | CR0_WP);
	write_cr3(virt_to_phys(pg.pml4));
}

uint64_t paging_root(void)
{
	return virt_to_phys(pg.pml4);
}

int paging_init(const struct boot_info *info)
{
	uint32_t i;
	int ret = 0;

	pg.nx = cpuid(0x80000001, 0).edx >> 20 & 1;
	pg.pml4 = mem_pages(1, PAGE_SIZE);
	if (!pg.pml4)
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
	/* Legacy area: RSDP, EBDA, MP tables; page 0 stays out, so that NULL traps. */
	if (!ret)
		ret = map(PAGE_SIZE, 0x100000 - PAGE_SIZE, PROT_R | PROT_W);
	if (!ret)
		ret = map(0, PAGE_SIZE, PROT_NONE);
	if (!ret)
		ret = map_image();
	if (!ret)
		paging_enable_cpu();
	return ret;
}
