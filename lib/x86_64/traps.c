/* SPDX-License-Identifier: BSD-2-Clause */
/* traps.h: loads the descriptor tables, handles exceptions and prints them. */
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

/* The names follow each other, since an array of pointers takes more room than the words. */
static const char names[] = "#DE divide error\0"
			    "#DB debug\0"
			    "NMI\0"
			    "#BP breakpoint\0"
			    "#OF overflow\0"
			    "#BR bounds\0"
			    "#UD invalid opcode\0"
			    "#NM device not available\0"
			    "#DF double fault\0"
			    "\0"
			    "#TS invalid TSS\0"
			    "#NP segment not present\0"
			    "#SS stack fault\0"
			    "#GP general protection\0"
			    "#PF page fault\0"
			    "\0"
			    "#MF x87\0"
			    "#AC alignment\0"
			    "#MC machine check\0"
			    "#XM SIMD\0"
			    "#VE virtualisation\0"
			    "#CP control protection\0"
			    "\0"
			    "\0"
			    "\0"
			    "\0"
			    "\0"
			    "\0"
			    "#HV\0"
			    "#VC\0"
			    "#SX\0"
			    "\0";

/* For a test's result line, where '#' begins a directive. */
const char *trap_plain_name(uint64_t vector)
{
	const char *n = trap_name(vector);

	return *n == '#' ? n + 1 : n;
}

const char *trap_name(uint64_t vector)
{
	const char *n = names;

	if (vector >= 32)
		return "interrupt";
	for (; vector; vector--)
		n += strlen(n) + 1;
	return *n ? n : "a reserved exception";
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
	c->gdt[SEL_RING1_DATA >> 3] = 0x00cfb3000000ffffull;
	c->gdt[SEL_RING1_CODE >> 3] = 0x00afbb000000ffffull;
	c->gdt[SEL_RING2_DATA >> 3] = 0x00cfd3000000ffffull;
	c->gdt[SEL_RING2_CODE >> 3] = 0x00afdb000000ffffull;
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
		if (ist[0]) { /* exceptions that may come on a broken stack have their own */
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

/* Ends the line before. Inside a test the lines are indented like the test's others. */
static const char *start_line(void)
{
	return guard_active() ? "\n" KTAP_INDENT "# " : "\n# ";
}

static void backtrace(const struct trap_frame *f)
{
	uint64_t fp = f->rbp;
	unsigned int i;

	printf("%sbacktrace (image at 0x%llx): 0x%llx", start_line(),
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
	/* The names are in the order of struct trap_frame. */
	static const char
		names_of[] = "r15\0r14\0r13\0r12\0r11\0r10\0r9\0r8\0rbp\0rdi\0rsi\0rdx\0rcx\0"
			     "rbx\0rax\0vector\0error\0rip\0cs\0rflags\0rsp\0ss";
	const uint64_t *value = (const uint64_t *)f;
	const char *n;

	for (n = names_of; n < names_of + sizeof(names_of); n += strlen(n) + 1, value++)
		printf("%s%s=0x%llx", (value - (const uint64_t *)f) % 8 == 0 ? start_line() : " ",
		       n, (unsigned long long)*value);
	printf("%scr0=0x%llx cr2=0x%llx cr3=0x%llx cr4=0x%llx efer=0x%llx", start_line(),
	       (unsigned long long)read_cr0(), (unsigned long long)read_cr2(),
	       (unsigned long long)read_cr3(), (unsigned long long)read_cr4(),
	       (unsigned long long)rdmsr(MSR_EFER));
}

static void dump(const struct trap_frame *f)
{
	console_fresh_line();
	printf("%sexception %s error=0x%llx rip=0x%llx cpu=%u", start_line() + 1,
	       trap_name(f->vector), (unsigned long long)f->error_code, (unsigned long long)f->rip,
	       this_cpu()->index);
	dump_registers(f);
	backtrace(f);
}

/* The fault may have broken the printing, too: this prints one line without a format, and ends the machine. */
static _Noreturn void dump_broken(void)
{
	static const char text[] = "\nBail out! an exception while one was printed\n";

	console_write(text, sizeof(text) - 1);
	arch_end(END_ERROR, NULL);
}

void trap_redirect(struct trap_frame *f, void (*fn)(void), uint64_t rsp)
{
	/* An interrupt whose handler is left this way has to be acknowledged. */
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
	if (c->index != 0) { /* smp_wait() tells the first CPU */
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
	/* 0: timer_interrupt() has left the test, and has acknowledged the interrupt. */
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
