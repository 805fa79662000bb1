/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults below the devices: faults.c says what goes wrong at which instructions and stores, refcpu.c finds those.
 */
#ifndef HOST_REF_CPU_MACHINE_H
#define HOST_REF_CPU_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "host/ref/cpu/fault_ids.h"
#include "host/ref/plugin/plugin.h"

enum kind {
	K_NONE,
	K_CLI,
	K_IN32,	 /* IN EAX, DX */
	K_OUT32, /* OUT DX, EAX */
	K_WRMSR,
	K_RDTSC,
	K_UD2,
	K_PAUSE,
	K_MOV_CR0, /* to it */
	K_MOV_CR3,
	K_LIDT,
	K_LOCK_ADD, /* LOCK ADD or INC of memory */
	K_LOCK64,   /* the same with 64-bit operands */
	K_RDMSR,
	K_CPUID,
	K_FROM_CR0,
	K_FROM_DR7,
};

struct store { /* behind it */
	uint64_t phys, vaddr;
	uint64_t value; /* up to 8 bytes */
	unsigned int size;
	bool io, locked;
};

struct fault {
	uint32_t kinds; /* bits of enum kind */
	bool early;	/* in firmware and 32-bit code, too */
	/* In front of the instruction. True: it is skipped. */
	bool (*hook)(unsigned int cpu, const struct plugin_site *s);
	/* Behind each 8-byte store to memory; where kinds are given and no hook, each such load by one of them. */
	void (*memory)(uint64_t phys, uint64_t value);
	/* Behind an instruction of these kinds, in 64-bit code (early: in any), with the values of RAX and RCX in front of it. */
	void (*behind)(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
	/* Behind each store, to devices as well. */
	void (*store)(unsigned int cpu, const struct store *s);
	/* In front of a handler's first instruction; 0, or where the CPU goes on. */
	uint32_t traps; /* bits of vectors below 32 */
	uint64_t (*trap)(unsigned int cpu, unsigned int vector);
};

/* The handler's address in the table that LIDT loaded last; 0: there is none yet. Known while a fault has traps. */
uint64_t machine_gate(unsigned int vector);

extern const struct fault machine_faults[F_COUNT];

/* The page-state file of protected memory (refcpu's argument state=), for faults that strike pages by their role. */
extern const char *machine_page_states;

#endif
