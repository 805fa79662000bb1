/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/mmio.h for unit tests. Device registers are plain memory, unless the test links tests/unit/fake_window.c: then
 * each access goes to that file's windows, with its width.
 */
#ifndef ARCH_MMIO_H
#define ARCH_MMIO_H

#include <stdint.h>

uint64_t fake_window_load(const volatile void *p, unsigned int size) __attribute__((weak));
void fake_window_store(volatile void *p, unsigned int size, uint64_t v) __attribute__((weak));

#define mmio_access_(bits)                                                                         \
	static inline uint##bits##_t mmio_read##bits(const volatile void *p)                       \
	{                                                                                          \
		if (fake_window_load)                                                              \
			return (uint##bits##_t)fake_window_load(p, bits / 8);                      \
		return *(const volatile uint##bits##_t *)p;                                        \
	}                                                                                          \
	static inline void mmio_write##bits(volatile void *p, uint##bits##_t v)                    \
	{                                                                                          \
		if (fake_window_store)                                                             \
			fake_window_store(p, bits / 8, v);                                         \
		else                                                                               \
			*(volatile uint##bits##_t *)p = v;                                         \
	}
mmio_access_(8) mmio_access_(16) mmio_access_(32) mmio_access_(64)
#undef mmio_access_

#define mb()  __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
#define rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)

#endif
