/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions that picolibc asks its system for: an end, a heap, and a lock. */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/lock.h>
#include <unistd.h>

#include "lib/console.h"
#include "lib/guard.h"
#include "lib/libc.h"
#include "lib/mem.h"
#include "lib/smp.h"
#include "lib/time.h"

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

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): picolibc's name is a reserved one */
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

static void swap(char *a, char *b, size_t size)
{
	while (size--) {
		const char c = *a;

		*a++ = *b;
		*b++ = c;
	}
}

/* This is a heap sort. picolibc's qsort() takes 4 KiB of an image whose size is limited. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): picolibc's names are reserved ones */
void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	size_t root = n / 2, end = n, i, child;
	char *const v = base;

	while (end > 1) {
		if (root)
			root--;
		else
			swap(v, v + --end * size, size);
		for (i = root; (child = 2 * i + 1) < end; i = child) {
			if (child + 1 < end &&
			    compare(v + child * size, v + (child + 1) * size) < 0)
				child++;
			if (compare(v + i * size, v + child * size) >= 0)
				break;
			swap(v + i * size, v + child * size, size);
		}
	}
}

/* Both end in an exception, whose dump says where it happened. It ends the test, or the run where no test runs. */
_Noreturn void _exit(int status)
{
	console_fresh_line();
	printf("# exit(%d) inside the payload\n", status);
	__builtin_trap();
}

_Noreturn void __assert_func(const char *file, int line, const char *func, const char *expr)
{
	console_fresh_line();
	printf("# assertion failed: %s (%s:%d, %s)\n", expr, file, line, func ? func : "?");
	__builtin_trap();
}

/* --- locks: one for all of the library, recursive ------------------------------------------ */

#define NOBODY (-1)

static struct {
	int owner; /* atomic: CPU */
	unsigned int depth;
} libc = { .owner = NOBODY };

struct __lock { /* NOLINT: picolibc's name */
	char unused;
};
struct __lock __lock___libc_recursive_mutex; /* NOLINT: picolibc's name */

static void acquire(void)
{
	const int me = (int)smp_this_cpu();
	int seen;

	guard_hold();
	if (__atomic_load_n(&libc.owner, __ATOMIC_RELAXED) != me) {
		for (seen = NOBODY; !__atomic_compare_exchange_n(
			     &libc.owner, &seen, me, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
		     seen = NOBODY)
			cpu_relax();
	}
	libc.depth++;
}

static void release(void)
{
	if (libc.depth && --libc.depth == 0)
		__atomic_store_n(&libc.owner, NOBODY, __ATOMIC_RELEASE);
	guard_drop();
}

void libc_unlock_all(void)
{
	if (__atomic_load_n(&libc.owner, __ATOMIC_RELAXED) != (int)smp_this_cpu())
		return;
	libc.depth = 0;
	__atomic_store_n(&libc.owner, NOBODY, __ATOMIC_RELEASE);
}

void __retarget_lock_init(_LOCK_T *lock)
{
	*lock = &__lock___libc_recursive_mutex;
}

void __retarget_lock_init_recursive(_LOCK_T *lock)
{
	*lock = &__lock___libc_recursive_mutex;
}

void __retarget_lock_close(_LOCK_T lock)
{
	(void)lock;
}

void __retarget_lock_close_recursive(_LOCK_T lock)
{
	(void)lock;
}

void __retarget_lock_acquire(_LOCK_T lock)
{
	(void)lock;
	acquire();
}

void __retarget_lock_acquire_recursive(_LOCK_T lock)
{
	(void)lock;
	acquire();
}

void __retarget_lock_release(_LOCK_T lock)
{
	(void)lock;
	release();
}

void __retarget_lock_release_recursive(_LOCK_T lock)
{
	(void)lock;
	release();
}
