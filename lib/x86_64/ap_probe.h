/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a CPU is where INIT and STARTUP leave it, and what KVM answers it in the modes on its way to 64-bit code: real mode,
 * 32-bit protected mode without paging, real mode again.
 */
#ifndef LIB_X86_64_AP_PROBE_H
#define LIB_X86_64_AP_PROBE_H

/* Offsets in struct ap_probe, for ap_probe.S. */
#define AP_PROBE_NEXT  0
#define AP_PROBE_LEAF  4
#define AP_PROBE_AMD   8
#define AP_PROBE_CALLS 12
#define AP_PROBE_GPR   16
#define AP_PROBE_FLAGS 48
#define AP_PROBE_CR    52
#define AP_PROBE_DR    68
#define AP_PROBE_EFER  76
#define AP_PROBE_SEG   80
#define AP_PROBE_GDTR  94
#define AP_PROBE_IDTR  102
#define AP_PROBE_MODE  108

/* In struct ap_probe_mode. */
#define AP_PROBE_CALL	   32
#define AP_PROBE_CALL_SIZE 20
#define AP_PROBE_MODE_SIZE 72

#define AP_PROBE_TRAPPED 0x54524150 /* a call's eax: the instruction raised an exception */
/* The numbers of the two calls: VAPIC_POLL_IRQ, and one that nobody has assigned. */
#define AP_PROBE_KNOWN	 1
#define AP_PROBE_UNKNOWN 0x3fff
#define AP_PROBE_EBX	 0x0b0b0b0b /* the other registers of a call */
#define AP_PROBE_ECX	 0x0c0c0c0c
#define AP_PROBE_EDX	 0x0d0d0d0d
#define AP_PROBE_ESI	 0x51515151

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct ap_probe_mode {
	uint32_t leaf[2][4]; /* eax to edx of CPUID `leaf` and the one behind it */
	struct {
		uint32_t eax, ebx, ecx, edx, esi;
	} call[2];
};

enum {
	AP_REAL_ODD, /* real mode, in a code segment whose selector ends in 3 */
	AP_PROTECTED_32,
	AP_REAL_AGAIN,
	AP_MODES
};

struct ap_probe {
	uint16_t next_ip, next_cs; /* ap_probe()'s own */
	uint32_t leaf;		   /* of CPUID */
	uint32_t amd, calls;	   /* the hypercalls are VMMCALL; they are made */
	/* As they were at the first instruction. */
	uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi, eflags;
	uint32_t cr0, cr2, cr3, cr4;
	uint32_t dr6, dr7;
	uint32_t efer; /* its lower half */
	uint16_t es, cs, ss, ds, fs, gs;
	uint16_t pad0;
	uint16_t gdt_limit;
	uint32_t gdt_base;
	uint16_t pad1;
	uint16_t idt_limit;
	uint32_t idt_base;
	struct ap_probe_mode mode[AP_MODES];
};
_Static_assert(offsetof(struct ap_probe, eax) == AP_PROBE_GPR, "ap_probe.S");
_Static_assert(offsetof(struct ap_probe, eflags) == AP_PROBE_FLAGS, "ap_probe.S");
_Static_assert(offsetof(struct ap_probe, cr0) == AP_PROBE_CR, "ap_probe.S");
_Static_assert(offsetof(struct ap_probe, dr6) == AP_PROBE_DR, "ap_probe.S");
_Static_assert(offsetof(struct ap_probe, efer) == AP_PROBE_EFER, "ap_probe.S");
_Static_assert(offsetof(struct ap_probe, es) == AP_PROBE_SEG, "ap_probe.S");
_Static_assert(offsetof(struct ap_probe, gdt_limit) == AP_PROBE_GDTR, "ap_probe.S");
_Static_assert(offsetof(struct ap_probe, idt_limit) == AP_PROBE_IDTR, "ap_probe.S");
_Static_assert(offsetof(struct ap_probe, mode) == AP_PROBE_MODE, "ap_probe.S");
_Static_assert(offsetof(struct ap_probe_mode, call) == AP_PROBE_CALL, "ap_probe.S");
_Static_assert(sizeof(struct ap_probe_mode) == AP_PROBE_MODE_SIZE, "ap_probe.S");

/* Starts an idle CPU anew and lets it fill p, whose leaf, amd and calls the caller sets. As smp_restart(). */
int ap_probe(unsigned int cpu, struct ap_probe *p);
#endif

#endif
