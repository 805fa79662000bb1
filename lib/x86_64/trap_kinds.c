/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/trap.h: the instructions that trap, and what a page fault looks like. */
#include "lib/trap.h"

#include <stddef.h>
#include <string.h>

#include "lib/image.h"
#include "lib/paging.h"

enum {
	VEC_DE = 0,
	VEC_BP = 3,
	VEC_UD = 6,
	VEC_GP = 13,
	VEC_PF = 14
};
enum {
	PF_PRESENT = 1,
	PF_WRITE = 2,
	PF_FETCH = 16
};

static void divide(void *arg)
{
	(void)arg;
	__asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx"
			 :
			 :
			 : "eax", "ecx", "edx", "cc");
}

static void breakpoint(void *arg)
{
	(void)arg;
	__asm__ volatile("int3");
}

static void undefined(void *arg)
{
	(void)arg;
	__asm__ volatile("ud2");
}

static void non_canonical(void *arg)
{
	(void)arg;
	__asm__ volatile("movabs $0x7fffffffffffffff, %%rax; mov (%%rax), %%rax"
			 :
			 :
			 : "rax", "memory");
}

static const struct trap_kind kinds[] = {
	{ "DIV by zero",
	  "Intel SDM 3A, 6.15: #DE",
	  VEC_DE,
	  divide,
	  { 0xf7, 0xf1 },
	  2,
	  .trap = false },
	{ "INT3", "Intel SDM 3A, 6.15: #BP", VEC_BP, breakpoint, { 0xcc }, 1, .trap = true },
	{ "UD2", "Intel SDM 3A, 6.15: #UD", VEC_UD, undefined, { 0x0f, 0x0b }, 2, .trap = false },
	{ "a load from a non-canonical address",
	  "Intel SDM 3A, 6.15: #GP",
	  VEC_GP,
	  non_canonical,
	  { 0x48, 0x8b, 0x00 },
	  3,
	  .trap = false },
};

bool trap_ip_fits(const struct trap_kind *k, const struct trap_info *info)
{
	const uint8_t *at = (const uint8_t *)(uintptr_t)info->ip - (k->trap ? k->size : 0);

	if (at < (const uint8_t *)text_start || at + k->size > (const uint8_t *)text_end)
		return false;
	return memcmp(at, k->code, k->size) == 0;
}

const struct trap_kind *trap_kind(unsigned int n)
{
	return n < sizeof(kinds) / sizeof(kinds[0]) ? &kinds[n] : NULL;
}

bool trap_is_page_fault(const struct trap_info *info, enum trap_access how, bool present)
{
	uint64_t want = present ? PF_PRESENT : 0;

	if (how == TRAP_WRITE)
		want |= PF_WRITE;
	if (how == TRAP_FETCH && paging_has_nx())
		want |= PF_FETCH;
	return info->vector == VEC_PF && info->error_code == want;
}

void trap_write_return(void *p)
{
	memset(p, 0xc3, 1); /* RET */
}
