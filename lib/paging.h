/* SPDX-License-Identifier: BSD-2-Clause */
/* The page tables of the payload: identity mapping; lib/<arch>/ implements it. */
#ifndef LIB_PAGING_H
#define LIB_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum page_prot {
	PROT_NONE = 0, /* guard page: any access is an exception */
	PROT_R = 1,
	PROT_W = 2,
	PROT_X = 4,
	PROT_UC = 8, /* device memory */
	PROT_USER = 16,
};

/* Sets the protection of [base, base+size), page-aligned, on all CPUs. 0, -EINVAL, -ENOMEM. */
int paging_protect(uint64_t base, uint64_t size, unsigned int prot);
/* Maps device memory uncached and returns its address. NULL: impossible, or the memory map calls it memory. */
volatile void *mmio_map(uint64_t pa, uint64_t size);
/* Makes memory of the firmware (tables in reserved areas) readable; what is mapped already stays as it is. NULL:
 * impossible. */
const void *firmware_map(uint64_t pa, uint64_t size);
/* Pages without PROT_X cannot be executed (some CPU models have no such bit). */
bool paging_has_nx(void);
/* Physical address bits of this machine. */
unsigned int paging_phys_bits(void);

#endif
