/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LIB_LIBC_H
#define LIB_LIBC_H

#include <stddef.h>

/* Takes the heap of malloc() from the page allocator. 0, -ENOMEM. */
int libc_heap_init(size_t bytes);
/* The code of this CPU that was inside the C library was left for good: its lock is free again. */
void libc_unlock_all(void);

#endif
