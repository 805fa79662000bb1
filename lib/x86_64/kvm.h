/* SPDX-License-Identifier: BSD-2-Clause */
/* What KVM's paravirtual interface needs of the architecture: identification, hypercalls, clock registers. */
#ifndef LIB_X86_64_KVM_H
#define LIB_X86_64_KVM_H

#include <stdbool.h>
#include <stdint.h>

/* KVM's first leaf: 0x40000000, or a multiple of 0x100 above it beside another interface; 0: no KVM signature. */
uint32_t kvm_arch_base(void);
/* The highest leaf that the first one names (old hosts say 0 and mean base + 1), the feature word, and the hints. */
uint32_t kvm_arch_max_leaf(void);
uint32_t kvm_arch_features(void);
uint32_t kvm_arch_hints(void);
/* The raw registers of a leaf: a, b, c, d. */
void kvm_arch_leaf(uint32_t leaf, uint32_t out[4]);

enum kvm_opcode {
	KVM_VMCALL,
	KVM_VMMCALL,
	/* By kvm_arch_call_ring() alone, with arg[1] in ecx, nr in eax and arg[2] in edx. */
	KVM_RDMSR,
	KVM_WRMSR
};
/* The instruction that this CPU's vendor has for hypercalls. */
enum kvm_opcode kvm_arch_opcode(void);

struct kvm_call {
	uint64_t nr, arg[4];
	bool zeros; /* what is no argument holds 0, and no value of its own */
	uint64_t result;
	bool trapped;	 /* the instruction raised an exception */
	uint32_t vector; /* which */
	uint64_t clobbered; /* bit mask of the registers that changed: rbx 0, rcx 1, rdx 2, rsi 3, rdi 4, rbp 5,
			     * r8 to r15 8 to 15 */
};
/* One call from the kernel's 64-bit mode. */
void kvm_arch_call(enum kvm_opcode op, struct kvm_call *c);
/* The same from CPL 1, 2 or 3. 0, -ENOMEM, -ENOTSUP: the CPU does not go there. */
int kvm_arch_call_ring(unsigned int cpl, enum kvm_opcode op, struct kvm_call *c);
/* The same from a 32-bit code segment. Number and arguments go there whole: the host cuts them to 32 bits. */
int kvm_arch_call_32(enum kvm_opcode op, struct kvm_call *c);

/* The page of a CPU's system time (msr.rst). */
struct pvclock_vcpu_time_info {
	uint32_t version; /* odd while the host changes the page */
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time; /* ns */
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad[2];
};
_Static_assert(sizeof(struct pvclock_vcpu_time_info) == 32, "msr.rst");

/* The time that a CPU was ready and did not run (msr.rst). */
struct kvm_steal_time {
	uint64_t steal;	  /* ns */
	uint32_t version; /* odd while the host changes it */
	uint32_t flags;	  /* 0 */
	uint8_t preempted;
	uint8_t pad[47];
};
_Static_assert(sizeof(struct kvm_steal_time) == 64, "msr.rst");

/* Tell the host the physical addresses of this CPU's system time (0 turns it off) and of the wall clock. false: the
 * register does not exist (#GP). */
bool kvm_arch_set_system_time(uint64_t pa_and_flags);
bool kvm_arch_set_wall_clock(uint64_t pa);
enum kvm_msr {
	KVM_MSR_WALL_CLOCK = 0x11,	      /* CPUID bit 0 */
	KVM_MSR_SYSTEM_TIME = 0x12,	      /* CPUID bit 0 */
	KVM_MSR_SYSTEM_TIME_NEW = 0x4b564d01, /* CPUID bit 3 */
	KVM_MSR_STEAL_TIME = 0x4b564d03,      /* CPUID bit 5 */
};
/* Any of them on this CPU. false: the register does not exist (#GP). */
bool kvm_arch_msr_write(enum kvm_msr msr, uint64_t v);
bool kvm_arch_msr_read(enum kvm_msr msr, uint64_t *v);
/* The counter that the system time is made from. */
uint64_t kvm_arch_counter(void);

#endif
