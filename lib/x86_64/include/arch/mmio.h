/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/mmio.h for x86. Device memory is mapped uncached: its loads and stores happen in program order, and no
 * store passes an earlier one to ordinary memory (Intel SDM 3A, 9.2.2). Only the compiler has to be held back.
 */
#ifndef ARCH_MMIO_H
#define ARCH_MMIO_H

#include <stdint.h>

#define barrier_() __asm__ volatile("" ::: "memory")

#define mmio_access_(bits)                                                                         \
	static inline uint##bits##_t mmio_read##bits(const volatile void *p)                       \
	{                                                                                          \
		const uint##bits##_t v = *(const volatile uint##bits##_t *)p;                      \
		barrier_();                                                                        \
		return v;                                                                          \
	}                                                                                          \
	static inline void mmio_write##bits(volatile void *p, uint##bits##_t v)                    \
	{                                                                                          \
		barrier_();                                                                        \
		*(volatile uint##bits##_t *)p = v;                                                 \
	}
mmio_access_(8) mmio_access_(16) mmio_access_(32) mmio_access_(64)
#undef mmio_access_

/* A load passes an earlier store to another address: that order alone needs an instruction. */
#define mb()  __asm__ volatile("mfence" ::: "memory")
#define wmb() barrier_()
#define rmb() barrier_()

#endif
