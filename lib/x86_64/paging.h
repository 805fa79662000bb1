/* SPDX-License-Identifier: BSD-2-Clause */
/* What the start of the CPUs and the exception handlers need of the page tables, beside lib/paging.h. */
#ifndef LIB_X86_64_PAGING_H
#define LIB_X86_64_PAGING_H

#include <stdbool.h>
#include <stdint.h>

struct boot_info;

/* Builds our own tables and switches the first CPU to them. 0, -ENOMEM. */
int paging_init(const struct boot_info *info);
/* Gives another CPU the NX, WP and SSE bits of the first one, and our tables. */
void paging_enable_cpu(void);
/* CR3. */
uint64_t paging_root(void);
/* The 8 bytes at va can be read without an exception. */
bool paging_readable(uint64_t va);
/* Handles VEC_FLUSH, by which another CPU tells that it changed the tables. */
void paging_flush_interrupt(void);

#endif
