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

const char *machine_page_states;

static void on_insn(unsigned int cpu, void *userdata)
{
	const struct plugin_site *s = userdata;

	if (cpu >= PLUGIN_CPUS || (!fault_now->early && !plugin_long_mode(cpu)))
		return;
	if (fault_now->hook(cpu, s))
		qemu_plugin_set_pc(s->vaddr + s->size);
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
		{ K_PAUSE, 2, { 0xf3, 0x90 } },
	};
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (n == fixed[i].len && memcmp(b, fixed[i].bytes, n) == 0)
			return fixed[i].kind;
	if (n >= 3 && b[0] == 0x0f && b[1] == 0x22 && (b[2] & 0x38) <= 0x18)
		return b[2] >> 3 & 7 ? (b[2] & 0x38) == 0x18 ? K_MOV_CR3 : K_NONE : K_MOV_CR0;
	if (n >= 3 && b[0] == 0x0f && b[1] == 0x01 && b[2] < 0xc0 && (b[2] & 0x38) == 0x18)
		return K_LIDT;
	if (n >= 3 && b[0] == 0xf0 && (b[1] == 0x83 || b[1] == 0xff) && !(b[2] & 0x38))
		return K_LOCK_ADD;
	return K_NONE;
}

static void instrument(struct qemu_plugin_insn *insn, size_t index)
{
	uint8_t b[15];
	const size_t n = qemu_plugin_insn_data(insn, b, sizeof(b));
	const enum kind kind = kind_of(b, n);
	const bool of_kind = kind && fault_now->kinds & 1u << kind;
	/* Where there is a hook as well, the kinds are its own. */
	const bool loads = fault_now->kinds && !fault_now->hook;

	(void)index;
	if (fault_now->hook && of_kind)
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
	return 0;
}

static const struct plugin refcpu = {
	.one_fault = true,
	.option = take_option,
	.start = start,
	.instrument = instrument,
};
PLUGIN(refcpu)
