/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptor tables, exceptions and the per-CPU record. */
#ifndef LIB_X86_64_TRAPS_H
#define LIB_X86_64_TRAPS_H

#include <stdbool.h>
#include <stdint.h>

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint8_t reserved2[10];
	uint16_t iomap;
} __attribute__((packed));
_Static_assert(sizeof(struct tss) == 104, "64-bit TSS");

struct trap_frame { /* as traps.S leaves it on the stack */
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error_code;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct cpu {
	struct cpu *self; /* at gs:0 */
	unsigned int index;
	uint32_t apic_id;
	uint64_t gdt[8];
	struct tss tss;
	/* Deliberate traps (trap_call): where to go on. */
	void *trap_env;
	struct trap_info *trap_info;
	/* Work of smp.c. */
	void (*fn)(void *);
	void *arg;
	uint32_t busy;	 /* atomic */
	uint32_t online; /* atomic */
	uint32_t dead;	 /* atomic: took an exception outside of a deliberate trap */
};

/* The CPU that runs this. */
static inline struct cpu *this_cpu(void)
{
	struct cpu *c;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(c));
	return c;
}

extern struct cpu boot_cpu;

/* Loads GDT, TSS, IDT and gs base of c on the CPU that calls. ist: three stack tops (0: none yet). */
void traps_init_cpu(struct cpu *c, const uint64_t ist[3]);
/* Stack of the kernel for entries from CPL 3. */
void traps_set_rsp0(struct cpu *c, uint64_t rsp);

/* Called by apic.c and others for interrupts: the table of irq.h. */
void irq_dispatch(unsigned int vector);
/* guard.c: the watchdog's interrupt; may change the frame to leave the test. */
void guard_timer(struct trap_frame *f);
/* guard.c: an exception inside a guarded call: true if the frame now leaves it. */
bool guard_exception(struct trap_frame *f);

/* guard.c: this CPU is inside trap_call(): the frame now returns there. */
void trap_leave(struct trap_frame *f);
const char *trap_name(uint64_t vector);

enum {
	VEC_TIMER = 0xf0,
	VEC_WAKE = 0xf1,
	VEC_SPURIOUS = 0xff,
	VEC_FIRST_FREE = 0x30,
	VEC_LAST_FREE = 0xef,
};

#endif
