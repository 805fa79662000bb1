/* SPDX-License-Identifier: BSD-2-Clause */
/* Access to I/O ports. */
#ifndef LIB_X86_64_IO_H
#define LIB_X86_64_IO_H

#include <stdint.h>

#if defined(__x86_64__)
#define io_access_(bits, suffix)                                                                   \
	static inline uint##bits##_t io_in##bits(uint16_t port)                                    \
	{                                                                                          \
		uint##bits##_t v;                                                                  \
		__asm__ volatile("in" suffix " %1, %0" : "=a"(v) : "Nd"(port) : "memory");         \
		return v;                                                                          \
	}                                                                                          \
	static inline void io_out##bits(uint16_t port, uint##bits##_t v)                           \
	{                                                                                          \
		__asm__ volatile("out" suffix " %0, %1" : : "a"(v), "Nd"(port) : "memory");        \
	}
io_access_(8, "b")
io_access_(16, "w")
io_access_(32, "l")
#undef io_access_
#endif

#endif
