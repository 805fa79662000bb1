/* SPDX-License-Identifier: BSD-2-Clause */
/* Device registers, barriers, and fields in shared memory. */
#ifndef LIB_MMIO_H
#define LIB_MMIO_H

#include <stdint.h>

#define mmio_read_(bits)                                                                           \
	static inline uint##bits##_t mmio_read##bits(const volatile void *p)                       \
	{                                                                                          \
		const uint##bits##_t v = *(const volatile uint##bits##_t *)p;                      \
		__asm__ volatile("" ::: "memory");                                                 \
		return v;                                                                          \
	}
#define mmio_write_(bits)                                                                          \
	static inline void mmio_write##bits(volatile void *p, uint##bits##_t v)                    \
	{                                                                                          \
		__asm__ volatile("" ::: "memory");                                                 \
		*(volatile uint##bits##_t *)p = v;                                                 \
	}
mmio_read_(8)
mmio_read_(16)
mmio_read_(32)
mmio_read_(64)
mmio_write_(8)
mmio_write_(16)
mmio_write_(32)
mmio_write_(64)
#undef mmio_read_
#undef mmio_write_

/* Full, write and read barriers between CPUs and devices (also real hardware behind ORDER_PLATFORM). */
#define mb()  __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
#define rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)

/* One access, not torn, not repeated by the compiler: for memory that another side writes or reads. */
#define READ_ONCE(x)	 (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

#endif
