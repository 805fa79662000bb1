/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/x86_64/traps.h"

#include <stdio.h>
#include <string.h>

#include "lib/arch.h"
#include "lib/console.h"
#include "lib/image.h"
#include "lib/ktap.h"
#include "lib/test.h"
#include "lib/x86_64/apic.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/paging.h"

struct cpu boot_cpu;

extern char trap_stubs[];
#define STUB_SIZE 8

struct idt_gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type; /* 0x8e: present, DPL 0, interrupt gate */
	uint16_t offset_mid;
	uint32_t offset_high;
	uint32_t reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "64-bit gate");

static struct idt_gate idt[256];

struct table_ptr {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

void trap_handler(struct trap_frame *f);

static const char *const names[32] = {
	"#DE divide error",
	"#DB debug",
	"NMI",
	"#BP breakpoint",
	"#OF overflow",
	"#BR bounds",
	"#UD invalid opcode",
	"#NM device not available",
	"#DF double fault",
	"9",
	"#TS invalid TSS",
	"#NP segment not present",
	"#SS stack fault",
	"#GP general protection",
	"#PF page fault",
	"15",
	"#MF x87",
	"#AC alignment",
	"#MC machine check",
	"#XM SIMD",
	"#VE virtualisation",
	"#CP control protection",
	"22",
	"23",
	"24",
	"25",
	"26",
	"27",
	"#HV",
	"#VC",
	"#SX",
	"31",
};

/* Ends in a test's result line, where KTAP has no '#' but before a directive. */
const char *trap_plain_name(uint64_t vector)
{
	const char *n = trap_name(vector);

	return *n == '#' ? n + 1 : n;
}

const char *trap_name(uint64_t vector)
{
	return vector < 32 ? names[vector] : "interrupt";
}

static void set_gate(unsigned int vec, unsigned int ist)
{
	const uint64_t at = (uint64_t)(uintptr_t)trap_stubs + (uint64_t)vec * STUB_SIZE;

	idt[vec] = (struct idt_gate){
		.offset_low = (uint16_t)at,
		.selector = SEL_CODE64,
		.ist = (uint8_t)ist,
		.type = 0x8e,
		.offset_mid = (uint16_t)(at >> 16),
		.offset_high = (uint32_t)(at >> 32),
	};
}

static void fill_gdt(struct cpu *c)
{
	const uint64_t tss = (uint64_t)(uintptr_t)&c->tss;

	c->gdt[0] = 0;
	c->gdt[SEL_CODE64 >> 3] = 0x00af9b000000ffffull;
	c->gdt[SEL_DATA >> 3] = 0x00cf93000000ffffull;
	c->gdt[SEL_CODE32 >> 3] = 0x00cf9b000000ffffull;
	c->gdt[SEL_USER_DATA >> 3] = 0x00cff3000000ffffull;
	c->gdt[SEL_USER_CODE >> 3] = 0x00affb000000ffffull;
	c->gdt[SEL_TSS >> 3] = (sizeof(struct tss) - 1) | (tss & 0xffffff) << 16 | 0x89ull << 40 |
			       (tss >> 24 & 0xff) << 56;
	c->gdt[(SEL_TSS >> 3) + 1] = tss >> 32;
}

void traps_set_rsp0(struct cpu *c, uint64_t rsp)
{
	c->tss.rsp[0] = rsp;
}

void traps_init_cpu(struct cpu *c, const uint64_t ist[IST_COUNT])
{
	struct table_ptr gdtr = { sizeof(c->gdt) - 1, (uint64_t)(uintptr_t)c->gdt };
	const struct table_ptr idtr = { sizeof(idt) - 1, (uint64_t)(uintptr_t)idt };
	unsigned int i;

	c->self = c;
	c->tss.iomap = sizeof(struct tss);
	for (i = 0; i < IST_COUNT; i++)
		c->tss.ist[i] = ist[i];
	fill_gdt(c);
	if (c == &boot_cpu) {
		for (i = 0; i < 256; i++)
			set_gate(i, 0);
		if (ist[0]) { /* own stacks for what may come on a broken one */
			set_gate(VEC_DF, IST_DF + 1);
			set_gate(VEC_NMI, IST_NMI + 1);
			set_gate(VEC_MC, IST_MC + 1);
			set_gate(VEC_PF, IST_PF + 1); /* a guard page below the stack is a #PF */
		}
	}
	__asm__ volatile("lgdt %0" : : "m"(gdtr));
	/* A far return reloads CS; the data segments are flat. */
	__asm__ volatile("pushq %0; lea 1f(%%rip), %%rax; pushq %%rax; lretq; 1:"
			 :
			 : "i"((uint64_t)SEL_CODE64)
			 : "rax", "memory");
	__asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss; mov %1, %%fs; mov %1, %%gs"
			 :
			 : "r"((uint32_t)SEL_DATA), "r"(0));
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
	__asm__ volatile("lidt %0" : : "m"(idtr));
	wrmsr(MSR_GS_BASE, (uint64_t)(uintptr_t)c);
}

static bool in_text(uint64_t ip)
{
	return ip >= (uint64_t)(uintptr_t)text_start && ip < (uint64_t)(uintptr_t)text_end;
}

/* Inside a test the lines are indented as its other ones are. */
static const char *indent(void)
{
	return guard_active() ? KTAP_INDENT : "";
}

static void backtrace(const struct trap_frame *f)
{
	uint64_t fp = f->rbp;
	unsigned int i;

	printf("%s# backtrace (image at 0x%llx): 0x%llx", indent(),
	       (unsigned long long)(uintptr_t)image_start, (unsigned long long)f->rip);
	for (i = 0; i < 16; i++) {
		const uint64_t *frame = (const uint64_t *)fp;

		/* A frame lies above the stack pointer, near it, aligned; else the chain is broken. */
		if (fp < f->rsp || fp > f->rsp + 65536 || (fp & 7) || !paging_readable(fp) ||
		    !paging_readable(fp + 8) || !in_text(frame[1]))
			break;
		printf(" 0x%llx", (unsigned long long)frame[1]);
		fp = frame[0];
	}
	printf("\n");
}

static void dump_registers(const struct trap_frame *f)
{
	const struct {
		const char *name;
		uint64_t value;
	} reg[] = {
		{ "rax", f->rax },     { "rbx", f->rbx },	{ "rcx", f->rcx },
		{ "rdx", f->rdx },     { "rsi", f->rsi },	{ "rdi", f->rdi },
		{ "rbp", f->rbp },     { "rsp", f->rsp },	{ "r8", f->r8 },
		{ "r9", f->r9 },       { "r10", f->r10 },	{ "r11", f->r11 },
		{ "r12", f->r12 },     { "r13", f->r13 },	{ "r14", f->r14 },
		{ "r15", f->r15 },     { "rflags", f->rflags }, { "cs", f->cs },
		{ "ss", f->ss },       { "cr0", read_cr0() },	{ "cr2", read_cr2() },
		{ "cr3", read_cr3() }, { "cr4", read_cr4() },	{ "efer", rdmsr(MSR_EFER) },
	};
	unsigned int i;

	for (i = 0; i < sizeof(reg) / sizeof(reg[0]); i++)
		printf("%s%s%s=0x%llx%s", i % 8 == 0 ? indent() : "", i % 8 == 0 ? "# " : "",
		       reg[i].name, (unsigned long long)reg[i].value, i % 8 == 7 ? "\n" : " ");
}

static void dump(const struct trap_frame *f)
{
	console_fresh_line();
	printf("%s# exception %s error=0x%llx rip=0x%llx cpu=%u\n", indent(), trap_name(f->vector),
	       (unsigned long long)f->error_code, (unsigned long long)f->rip, this_cpu()->index);
	dump_registers(f);
	backtrace(f);
}

/* What was broken breaks the printing as well: one line, no format, the end. */
static _Noreturn void dump_broken(void)
{
	static const char text[] = "\nBail out! an exception while one was printed\n";

	console_write(text, sizeof(text) - 1);
	arch_end(END_ERROR, NULL);
}

void trap_redirect(struct trap_frame *f, void (*fn)(void), uint64_t rsp)
{
	/* An interrupt whose handler is left this way is over as well. */
	if (this_cpu()->vector) {
		this_cpu()->vector = 0;
		apic_eoi();
	}
	f->rip = (uint64_t)(uintptr_t)fn;
	f->cs = SEL_CODE64;
	f->ss = SEL_DATA;
	f->rsp = (rsp & ~15ull) - 8; /* as after a CALL */
	f->rflags = RFLAGS_IF | 2;
}

static void exception(struct trap_frame *f)
{
	struct cpu *c = this_cpu();

	if (f->vector == VEC_NMI && smp_nmi(f))
		return;
	if (c->trap_env && f->vector != VEC_NMI && f->vector != VEC_MC) {
		trap_leave(f);
		return;
	}
	if (c->dumps++)
		dump_broken();
	dump(f);
	c->dumps = 0;
	if (c->index != 0) { /* smp_wait() of the first CPU hears of it */
		__atomic_store_n(&c->failed, 1, __ATOMIC_RELEASE);
		smp_abandon(f);
		return;
	}
	if (guard_exception(f))
		return;
	printf("Bail out! exception outside of a test\n");
	arch_end(END_ERROR, NULL);
}

static void interrupt(struct trap_frame *f)
{
	struct cpu *c = this_cpu();

	c->vector = (unsigned int)f->vector;
	if (f->vector == VEC_TIMER)
		timer_interrupt(f);
	else if (f->vector == VEC_FLUSH)
		paging_flush_interrupt();
	else if (f->vector != VEC_WAKE)
		irq_dispatch((unsigned int)f->vector);
	/* 0: timer_interrupt() left the test, and acknowledged. */
	if (c->vector)
		apic_eoi();
	c->vector = 0;
}

void trap_handler(struct trap_frame *f)
{
	if (f->vector < 32)
		exception(f);
	else if (f->vector != VEC_SPURIOUS) /* no EOI for the spurious vector */
		interrupt(f);
}
