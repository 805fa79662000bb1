/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LIB_X86_64_PAGING_H
#define LIB_X86_64_PAGING_H

#include <stdbool.h>
#include <stdint.h>

struct boot_info;

/* Builds our own tables and switches the first CPU to them. 0, -ENOMEM. */
int paging_init(const struct boot_info *info);
/* Another CPU: NX, WP, SSE state bits and our tables. */
void paging_enable_cpu(void);
/* CR3. */
uint64_t paging_root(void);
/* The 8 bytes at va can be read without an exception. */
bool paging_readable(uint64_t va);
/* VEC_FLUSH: another CPU changed the tables. */
void paging_flush_interrupt(void);

#endif
