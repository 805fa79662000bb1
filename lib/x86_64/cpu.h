/* SPDX-License-Identifier: BSD-2-Clause */
/* x86-64 instructions that C cannot say. */
#ifndef LIB_X86_64_CPU_H
#define LIB_X86_64_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CR0_WP = 1u << 16,
	CR4_PAE = 1u << 5,
	CR4_OSFXSR = 1u << 9,
	CR4_OSXMMEXCPT = 1u << 10,
	CR4_LA57 = 1u << 12,
	CR4_SMEP = 1u << 20,
	EFER_LME = 1u << 8,
	EFER_NXE = 1u << 11,
	RFLAGS_IF = 1u << 9,
};

enum {
	MSR_APIC_BASE = 0x1b,
	MSR_TSC_DEADLINE = 0x6e0,
	MSR_KVM_SYSTEM_TIME = 0x4b564d01,
	MSR_EFER = 0xc0000080,
	MSR_GS_BASE = 0xc0000101,
	MSR_X2APIC = 0x800,
};

enum { /* GDT selectors, the same on every CPU */
	SEL_CODE64 = 0x08,
	SEL_DATA = 0x10,
	SEL_CODE32 = 0x18, /* compatibility mode, for tests */
	SEL_USER_DATA = 0x20 | 3,
	SEL_USER_CODE = 0x28 | 3,
	SEL_TSS = 0x30,
	SEL_RING1_DATA = 0x40 | 1, /* rings 1 and 2, for tests */
	SEL_RING1_CODE = 0x48 | 1,
	SEL_RING2_DATA = 0x50 | 2,
	SEL_RING2_CODE = 0x58 | 2,
	GDT_ENTRIES = 12,
};

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
			 : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	/* LFENCE: not before the loads and stores that it is to time. */
	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

#define cr_access_(n)                                                                              \
	static inline uint64_t read_cr##n(void)                                                    \
	{                                                                                          \
		uint64_t v;                                                                        \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(v));                                  \
		return v;                                                                          \
	}                                                                                          \
	static inline void write_cr##n(uint64_t v)                                                 \
	{                                                                                          \
		__asm__ volatile("mov %0, %%cr" #n : : "r"(v) : "memory");                         \
	}
cr_access_(0) cr_access_(2) cr_access_(3) cr_access_(4)
#undef cr_access_

	static inline uint64_t read_flags(void)
{
	uint64_t v;

	__asm__ volatile("pushfq; pop %0" : "=r"(v));
	return v;
}

static inline void cpu_halt_forever(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

#endif
