/* SPDX-License-Identifier: BSD-2-Clause */
/* What the payload does for picolibc, beside the functions that picolibc itself asks for. */
#ifndef LIB_LIBC_H
#define LIB_LIBC_H

#include <stddef.h>

/* Takes the heap of malloc() from the page allocator. 0, -ENOMEM. */
int libc_heap_init(size_t bytes);
/* Frees the C library's lock, when this CPU has left code inside of the library for good. */
void libc_unlock_all(void);

#endif
