/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/x86_64/traps.h"

#include <stdio.h>
#include <string.h>

#include "lib/arch.h"
#include "lib/image.h"
#include "lib/test.h"
#include "lib/x86_64/apic.h"
#include "lib/x86_64/cpu.h"

struct cpu boot_cpu;

extern char trap_stubs[];
#define STUB_SIZE 16

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

enum { VEC_NMI = 2, VEC_DF = 8, VEC_PF = 14, VEC_MC = 18 };

void trap_handler(struct trap_frame *f);

static const char *const names[32] = {
	"#DE divide error", "#DB debug", "NMI", "#BP breakpoint", "#OF overflow", "#BR bounds",
	"#UD invalid opcode", "#NM device not available", "#DF double fault", "9", "#TS invalid TSS",
	"#NP segment not present", "#SS stack fault", "#GP general protection", "#PF page fault", "15",
	"#MF x87", "#AC alignment", "#MC machine check", "#XM SIMD", "#VE virtualisation",
	"#CP control protection", "22", "23", "24", "25", "26", "27", "#HV", "#VC", "#SX", "31",
};

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

void traps_init_cpu(struct cpu *c, const uint64_t ist[3])
{
	struct table_ptr gdtr = { sizeof(c->gdt) - 1, (uint64_t)(uintptr_t)c->gdt };
	const struct table_ptr idtr = { sizeof(idt) - 1, (uint64_t)(uintptr_t)idt };
	unsigned int i;

	c->self = c;
	c->tss.iomap = sizeof(struct tss);
	for (i = 0; i < 3; i++)
		c->tss.ist[i] = ist[i];
	fill_gdt(c);
	if (c == &boot_cpu) {
		for (i = 0; i < 256; i++)
			set_gate(i, 0);
		if (ist[0]) { /* own stacks for what may come on a broken one */
			set_gate(VEC_DF, 1);
			set_gate(VEC_NMI, 2);
			set_gate(VEC_MC, 3);
			set_gate(VEC_PF, 1); /* a guard page below the stack is a #PF */
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

static void backtrace(const struct trap_frame *f)
{
	const uint64_t *fp = (const uint64_t *)f->rbp;
	const uint64_t base = (uint64_t)(uintptr_t)image_start;
	unsigned int i;

	printf("# backtrace (image at 0x%llx): 0x%llx", (unsigned long long)base,
	       (unsigned long long)f->rip);
	for (i = 0; i < 16; i++) {
		/* A frame lies above the stack pointer, near it, aligned; else the chain is broken. */
		if ((uint64_t)(uintptr_t)fp < f->rsp || (uint64_t)(uintptr_t)fp > f->rsp + 65536 ||
		    ((uintptr_t)fp & 7))
			break;
		if (!in_text(fp[1]))
			break;
		printf(" 0x%llx", (unsigned long long)fp[1]);
		fp = (const uint64_t *)fp[0];
	}
	printf("\n");
}

static void dump(const struct trap_frame *f)
{
	printf("# exception %s error=0x%llx cpu=%u rip=0x%llx cs=0x%llx rflags=0x%llx rsp=0x%llx\n",
	       trap_name(f->vector), (unsigned long long)f->error_code, this_cpu()->index,
	       (unsigned long long)f->rip, (unsigned long long)f->cs, (unsigned long long)f->rflags,
	       (unsigned long long)f->rsp);
	printf("# rax=0x%llx rbx=0x%llx rcx=0x%llx rdx=0x%llx rsi=0x%llx rdi=0x%llx rbp=0x%llx\n",
	       (unsigned long long)f->rax, (unsigned long long)f->rbx, (unsigned long long)f->rcx,
	       (unsigned long long)f->rdx, (unsigned long long)f->rsi, (unsigned long long)f->rdi,
	       (unsigned long long)f->rbp);
	printf("# r8=0x%llx r9=0x%llx r10=0x%llx r11=0x%llx r12=0x%llx r13=0x%llx r14=0x%llx "
	       "r15=0x%llx\n",
	       (unsigned long long)f->r8, (unsigned long long)f->r9, (unsigned long long)f->r10,
	       (unsigned long long)f->r11, (unsigned long long)f->r12, (unsigned long long)f->r13,
	       (unsigned long long)f->r14, (unsigned long long)f->r15);
	printf("# cr0=0x%llx cr2=0x%llx cr3=0x%llx cr4=0x%llx\n", (unsigned long long)read_cr0(),
	       (unsigned long long)read_cr2(), (unsigned long long)read_cr3(),
	       (unsigned long long)read_cr4());
	backtrace(f);
}

static void exception(struct trap_frame *f)
{
	struct cpu *c = this_cpu();

	if (c->trap_env && f->vector != VEC_NMI && f->vector != VEC_MC) {
		trap_leave(f);
		return;
	}
	dump(f);
	if (c->index == 0 && guard_exception(f))
		return;
	if (c->index != 0) {
		/* smp_wait() of the first CPU sees it. */
		__atomic_store_n(&c->dead, 1, __ATOMIC_RELEASE);
		cpu_halt_forever();
	}
	printf("Bail out! exception outside of a test\n");
	arch_end(END_ERROR, NULL);
}

void trap_handler(struct trap_frame *f)
{
	if (f->vector < 32) {
		exception(f);
		return;
	}
	if (f->vector == VEC_SPURIOUS)
		return; /* no EOI for the spurious vector */
	if (f->vector == VEC_TIMER)
		guard_timer(f);
	else if (f->vector != VEC_WAKE)
		irq_dispatch((unsigned int)f->vector);
	apic_eoi();
}
