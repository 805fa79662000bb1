/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptor tables, exceptions and the per-CPU record. */
#ifndef LIB_X86_64_TRAPS_H
#define LIB_X86_64_TRAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/x86_64/cpu.h"

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

enum {
	IST_DF,
	IST_NMI,
	IST_MC,
	IST_PF,
	IST_COUNT
};
enum {
	TIMER_WATCHDOG,
	TIMER_ONCE,
	TIMER_IDLE,
	TIMERS
};

struct cpu {
	struct cpu *self; /* at gs:0 */
	unsigned int index;
	uint32_t apic_id;
	uint64_t gdt[GDT_ENTRIES];
	struct tss tss;
	uint64_t stack_top; /* of other CPUs than the first */
	/* Deliberate traps (trap_call): where to go on. */
	void *trap_env;
	struct trap_info *trap_info;
	unsigned int hold;   /* guard_hold() */
	unsigned int vector; /* interrupt in service, 0: none */
	unsigned int dumps;  /* exceptions while one is printed */
	struct {
		uint64_t at; /* time_now(), 0: off */
		void (*fn)(void *arg);
		void *arg;
	} timer[TIMERS];
	uint64_t timer_next;   /* when the hardware was told to interrupt, 0: not at all */
	uint64_t timer_strays; /* atomic: timer interrupts that were not due then */
	uint64_t idle_woken;   /* when TIMER_IDLE interrupted last */
	/* Work of smp.c. */
	void (*fn)(void *);
	void *arg;
	uint32_t busy;	  /* atomic */
	uint32_t online;  /* atomic */
	uint32_t failed;  /* atomic: its last work ended in an exception */
	uint32_t reclaim; /* atomic: an NMI shall take it out of its work */
	uint64_t nmi_until; /* atomic: an NMI before this time comes from smp_reclaim() or smp_nmi_one() */
	uint32_t nmis;	  /* atomic: those that it has taken */
	uint32_t flushed; /* atomic: generation of the page tables that it has seen */
	bool lost;	  /* answers not even an NMI */
};

/* The CPU that runs this. */
static inline struct cpu *this_cpu(void)
{
	struct cpu *c;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(c));
	return c;
}

extern struct cpu boot_cpu;

/* Loads GDT, TSS, IDT and gs base of c on the CPU that calls. ist: stack tops (0: none yet). */
void traps_init_cpu(struct cpu *c, const uint64_t ist[IST_COUNT]);
/* Makes the interrupt or exception end in a call of fn, which does not return, on another stack. */
void trap_redirect(struct trap_frame *f, void (*fn)(void), uint64_t rsp);
/* Stack of the kernel for entries from CPL 3. */
void traps_set_rsp0(struct cpu *c, uint64_t rsp);

/* Called by apic.c and others for interrupts: the table of irq.h. */
void irq_dispatch(unsigned int vector);
/* Finds the I/O APICs (ACPI is parsed) and masks their lines. */
void ioapics_init(void);
/* timer.c: the local timer's interrupt. */
void timer_interrupt(struct trap_frame *f);
/* guard.c: the watchdog's deadline has passed. This may change the frame so that the test is left. */
void guard_timer(struct trap_frame *f);
/* guard.c: frees what the code that was left by force still held. */
void guard_clean_up(void);
/* True inside guarded_call(): lines belong to a test. */
bool guard_active(void);
/* smp.c: an exception or an NMI on another CPU than the first: the frame now leads back to its loop. */
void smp_abandon(struct trap_frame *f);
/* smp.c: whether smp_reclaim() sent this NMI. */
bool smp_nmi(struct trap_frame *f);
/* guard.c: an exception inside a guarded call: true if the frame now leaves it. */
bool guard_exception(struct trap_frame *f);

/* guard.c: this CPU is inside trap_call(): the frame now returns there. */
void trap_leave(struct trap_frame *f);
const char *trap_name(uint64_t vector);
const char *trap_plain_name(uint64_t vector);

enum {
	VEC_NMI = 2,
	VEC_DF = 8,
	VEC_PF = 14,
	VEC_MC = 18,
	VEC_TIMER = 0xf0,
	VEC_WAKE = 0xf1,
	VEC_FLUSH = 0xf2,
	VEC_SPURIOUS = 0xff,
	VEC_FIRST_FREE = 0x30,
	VEC_LAST_FREE = 0xef,
};

#endif
