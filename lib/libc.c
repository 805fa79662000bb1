/* SPDX-License-Identifier: BSD-2-Clause */
/* What picolibc asks of its system: an end, and a heap. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/arch.h"
#include "lib/libc.h"
#include "lib/mem.h"

static struct {
	char *start, *brk, *end;
} heap;

int libc_heap_init(size_t bytes)
{
	heap.start = mem_pages(bytes / PAGE_SIZE, PAGE_SIZE);
	if (!heap.start)
		return -ENOMEM;
	heap.brk = heap.start;
	heap.end = heap.start + bytes / PAGE_SIZE * PAGE_SIZE;
	return 0;
}

void *sbrk(ptrdiff_t n)
{
	char *const old = heap.brk;

	if (n > heap.end - heap.brk || n < heap.start - heap.brk) {
		errno = ENOMEM;
		return (void *)-1; /* NOLINT: sbrk's contract */
	}
	heap.brk += n;
	return old;
}

_Noreturn void _exit(int status)
{
	printf("Bail out! exit(%d) inside the payload\n", status);
	arch_end(END_ERROR, NULL);
}
