/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * refcpu: a machine that misbehaves below the devices, as a TCG plugin: CPUs, local APICs, clocks, memory and the
 * tables that the guest is given. A fault has a kind of instruction, and a hook in front of it that may change
 * registers and memory, or have the instruction skipped; or it looks at what the guest stores.
 *
 * Arguments: fault=ID, injected=FILE, state=FILE (page states of protected memory).
 */
#include <stdlib.h>
#include <string.h>

#include "host/ref/cpu/machine.h"

static const struct fault *fault_now;

struct pending { /* an instruction with a hook behind it */
	uint64_t set, kind, rax, rcx;
};

static struct qemu_plugin_scoreboard *board; /* of struct pending */
static uint64_t gates[32];

const char *machine_page_states;

static void on_insn(unsigned int cpu, void *userdata)
{
	const struct plugin_site *s = userdata;

	if (cpu >= PLUGIN_CPUS || (!fault_now->early && !plugin_long_mode(cpu)))
		return;
	if (fault_now->behind) {
		struct pending *p = qemu_plugin_scoreboard_find(board, cpu);

		*p = (struct pending){ fault_now->early || plugin_long_mode(cpu), s->kind,
				       plugin_reg(cpu, R_RAX), plugin_reg(cpu, R_RCX) };
	}
	if (fault_now->hook && fault_now->hook(cpu, s))
		qemu_plugin_set_pc(s->vaddr + s->size);
}

static void on_next(unsigned int cpu, void *userdata)
{
	struct pending *p = qemu_plugin_scoreboard_find(board, cpu);

	(void)userdata;
	p->set = 0;
	if (cpu < PLUGIN_CPUS)
		fault_now->behind(cpu, (enum kind)p->kind, p->rax, p->rcx);
}

static void on_store(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *userdata)
{
	struct qemu_plugin_hwaddr *h = qemu_plugin_get_hwaddr(info, vaddr);
	const qemu_plugin_mem_value v = qemu_plugin_mem_get_value(info);
	struct store s = { .vaddr = vaddr, .size = 1u << v.type, .locked = userdata != NULL };

	if (!h || cpu >= PLUGIN_CPUS)
		return;
	s.phys = qemu_plugin_hwaddr_phys_addr(h);
	s.io = qemu_plugin_hwaddr_is_io(h);
	/* A union of integers that all begin at its lowest byte. */
	s.value = s.size >= 8 ? v.data.u64 : v.data.u64 & ((1ull << 8 * s.size) - 1);
	fault_now->store(cpu, &s);
}

uint64_t machine_gate(unsigned int vector)
{
	return gates[vector];
}

/* LIDT has loaded the table's base. */
static void note_gates(uint64_t base)
{
	uint16_t g[8];
	unsigned int i;

	for (i = 0; i < 32; i++)
		if (plugin_read(base + 16ull * i, g, sizeof(g)))
			gates[i] = g[0] | (uint64_t)g[3] << 16 | (uint64_t)g[4] << 32 |
				   (uint64_t)g[5] << 48;
}

static void on_lidt(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *userdata)
{
	const qemu_plugin_mem_value v = qemu_plugin_mem_get_value(info);

	(void)cpu;
	(void)vaddr;
	(void)userdata;
	if (v.type == QEMU_PLUGIN_MEM_VALUE_U64)
		note_gates(v.data.u64);
}

static void on_trap(unsigned int cpu, void *userdata)
{
	const struct plugin_site *s = userdata;
	uint64_t pc;

	if (cpu >= PLUGIN_CPUS || !plugin_long_mode(cpu))
		return;
	pc = fault_now->trap(cpu, s->kind);
	if (pc)
		qemu_plugin_set_pc(pc);
}

static void on_memory(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *userdata)
{
	struct qemu_plugin_hwaddr *h = qemu_plugin_get_hwaddr(info, vaddr);
	const qemu_plugin_mem_value v = qemu_plugin_mem_get_value(info);

	(void)cpu;
	(void)userdata;
	if (h && !qemu_plugin_hwaddr_is_io(h) && v.type == QEMU_PLUGIN_MEM_VALUE_U64)
		fault_now->memory(qemu_plugin_hwaddr_phys_addr(h), v.data.u64);
}

/* Operand forms that compilers and the payload's assembly use. */
static enum kind kind_of(const uint8_t *b, size_t n)
{
	static const struct {
		enum kind kind;
		uint8_t len, bytes[2];
	} fixed[] = {
		{ K_CLI, 1, { 0xfa } },		{ K_IN32, 1, { 0xed } },
		{ K_OUT32, 1, { 0xef } },	{ K_WRMSR, 2, { 0x0f, 0x30 } },
		{ K_RDTSC, 2, { 0x0f, 0x31 } }, { K_UD2, 2, { 0x0f, 0x0b } },
		{ K_PAUSE, 2, { 0xf3, 0x90 } }, { K_RDMSR, 2, { 0x0f, 0x32 } },
		{ K_CPUID, 2, { 0x0f, 0xa2 } },
	};
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (n == fixed[i].len && memcmp(b, fixed[i].bytes, n) == 0)
			return fixed[i].kind;
	if (n >= 3 && b[0] == 0x0f && b[1] == 0x22 && (b[2] & 0x38) <= 0x18)
		return b[2] >> 3 & 7 ? (b[2] & 0x38) == 0x18 ? K_MOV_CR3 : K_NONE : K_MOV_CR0;
	if (n >= 3 && b[0] == 0x0f && b[1] == 0x20)
		return b[2] & 0x38 ? K_NONE : K_FROM_CR0;
	if (n >= 3 && b[0] == 0x0f && b[1] == 0x21)
		return (b[2] & 0x38) == 0x38 ? K_FROM_DR7 : K_NONE;
	if (n >= 3 && b[0] == 0x0f && b[1] == 0x01 && b[2] < 0xc0 && (b[2] & 0x38) == 0x18)
		return K_LIDT;
	if (n >= 3 && b[0] == 0xf0 && (b[1] == 0x83 || b[1] == 0xff) && !(b[2] & 0x38))
		return K_LOCK_ADD;
	if (n >= 4 && b[0] == 0xf0 && (b[1] & 0xf8) == 0x48 &&
	    (((b[2] == 0x83 || b[2] == 0xff) && !(b[3] & 0x38)) || b[2] == 0x01))
		return K_LOCK64;
	return K_NONE;
}

/* Hooks behind instructions, behind stores of any kind, and in front of handlers. */
static void more(struct qemu_plugin_insn *insn, size_t index, const uint8_t *b, size_t n,
		 bool hooked)
{
	static _Thread_local bool behind;
	const qemu_plugin_u64 set = { board, offsetof(struct pending, set) };
	unsigned int v;

	if (fault_now->behind && (index == 0 || behind))
		qemu_plugin_register_vcpu_insn_exec_cond_cb(insn, on_next, QEMU_PLUGIN_CB_RW_REGS,
							    QEMU_PLUGIN_COND_NE, set, 0, NULL);
	behind = hooked;
	if (fault_now->store)
		qemu_plugin_register_vcpu_mem_cb(insn, on_store, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_W,
						 n && b[0] == 0xf0 ? &gates : NULL);
	if (!fault_now->trap)
		return;
	if (kind_of(b, n) == K_LIDT)
		qemu_plugin_register_vcpu_mem_cb(insn, on_lidt, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_R, NULL);
	for (v = 0; v < 32; v++)
		if (fault_now->traps & 1u << v && gates[v] &&
		    gates[v] == qemu_plugin_insn_vaddr(insn))
			qemu_plugin_register_vcpu_insn_exec_cb(
				insn, on_trap, QEMU_PLUGIN_CB_RW_REGS_PC, plugin_site(insn, v));
}

static void instrument(struct qemu_plugin_insn *insn, size_t index)
{
	uint8_t b[15];
	const size_t n = qemu_plugin_insn_data(insn, b, sizeof(b));
	const enum kind kind = kind_of(b, n);
	const bool of_kind = kind && fault_now->kinds & 1u << kind;
	/* Where there is a hook as well, the kinds are its own. */
	const bool loads = fault_now->kinds && !fault_now->hook;

	more(insn, index, b, n, of_kind && fault_now->behind);
	if ((fault_now->hook || fault_now->behind) && of_kind)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, QEMU_PLUGIN_CB_RW_REGS_PC,
						       plugin_site(insn, kind));
	if (fault_now->memory && (!loads || of_kind))
		qemu_plugin_register_vcpu_mem_cb(insn, on_memory, QEMU_PLUGIN_CB_NO_REGS,
						 loads ? QEMU_PLUGIN_MEM_R : QEMU_PLUGIN_MEM_W,
						 NULL);
}

static int take_option(const char *name, const char *value)
{
	if (strcmp(name, "state") != 0 || !value) {
		plugin_say("there is no argument \"%s\"", name);
		return -1;
	}
	machine_page_states = strdup(value);
	return machine_page_states ? 0 : -1;
}

static int start(void)
{
	fault_now = &machine_faults[plugin_fault()];
	board = qemu_plugin_scoreboard_new(sizeof(struct pending));
	return 0;
}

static const struct plugin refcpu = {
	.one_fault = true,
	.option = take_option,
	.start = start,
	.instrument = instrument,
};
PLUGIN(refcpu)
