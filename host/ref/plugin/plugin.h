/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the reference host's QEMU plugins stand on: the guest's registers and memory, instructions, arguments, faults.
 * A plugin describes itself in a struct plugin and says PLUGIN(it).
 *
 * qemu_plugin_set_pc() does not return: who calls it holds no lock and owns nothing that is to be freed. Registers may be
 * read and written only in callbacks that were registered for it.
 */
#ifndef HOST_REF_PLUGIN_PLUGIN_H
#define HOST_REF_PLUGIN_PLUGIN_H

#include "host/ref/fault/fault.h"
#include "host/ref/plugin/qemu_plugin.h"

#define PLUGIN_CPUS 64 /* others are left alone */

/* General registers as instructions number them, and some more. */
enum plugin_reg {
	R_RAX,
	R_RCX,
	R_RDX,
	R_RBX,
	R_RSP,
	R_RBP,
	R_RSI,
	R_RDI,
	R_R8,
	R_R15 = 15,
	R_EFER,
	R_CS,
	R_CR0,
	R_CR2,
	PLUGIN_REGS
};

struct plugin {
	/* It does nothing but one fault, which fault=ID names; else faults are what it may have. */
	bool one_fault;
	/* NAME=VALUE beside fault= and injected=; value NULL: the name alone. 0, or -1 where it said what is wrong. May be NULL. */
	int (*option)(const char *name, const char *value);
	/* All arguments are known. 0, or -1 where it said what is wrong. May be NULL. */
	int (*start)(void);
	/* For each instruction of a block that is translated, in its order. */
	void (*instrument)(struct qemu_plugin_insn *insn, size_t index);
	void (*end)(void); /* may be NULL */
};

int plugin_install(const struct plugin *p, qemu_plugin_id_t id, const qemu_info_t *info, int argc,
		   char **argv);

#define PLUGIN(p)                                                                                  \
	QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_API_LEVEL;                        \
	QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,   \
						   int argc, char **argv)                          \
	{                                                                                          \
		return plugin_install(&(p), id, info, argc, argv);                                 \
	}

/* The fault of a plugin with one_fault. */
unsigned int plugin_fault(void);

/* Prints "NAME: ..." to standard error, where the harness keeps it. */
void plugin_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Registers of a vCPU: within its callbacks only. */
uint64_t plugin_reg(unsigned int cpu, enum plugin_reg r);
void plugin_set_reg(unsigned int cpu, enum plugin_reg r, uint64_t v);
/* EFER.LMA: the payload's code and not its firmware's, which has a view of the machine of its own. */
bool plugin_long_mode(unsigned int cpu);

/* Guest-physical memory, device registers included: past the plugin's own callbacks. */
bool plugin_read(uint64_t phys, void *buf, size_t len);
bool plugin_write(uint64_t phys, const void *buf, size_t len);
uint64_t plugin_load(uint64_t phys, unsigned int size); /* 0 where it cannot */
/* A store that is what plugin_fault() does: counts as an injection. */
void plugin_inject(uint64_t phys, uint64_t value, unsigned int size);

/* CLOCK_MONOTONIC. */
int64_t plugin_now_ns(void);

struct plugin_site { /* an instruction of the guest */
	uint64_t vaddr;
	uint32_t kind, size; /* kind: the plugin's own */
	uint8_t code[8];     /* its first bytes, and zeros */
};

/* One record for each instruction, however often it is translated: the userdata of callbacks. */
struct plugin_site *plugin_site(struct qemu_plugin_insn *insn, uint32_t kind);

/* PAUSE and RDTSC: what a guest executes while it waits. Faults that come later count these, not time. */
bool plugin_is_wait(struct qemu_plugin_insn *insn);

#endif
