/* SPDX-License-Identifier: BSD-2-Clause */
/* Between refcpu.c, which finds instructions and reaches the guest, and faults.c, which has what goes wrong. */
#ifndef HOST_REF_CPU_MACHINE_H
#define HOST_REF_CPU_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/ref/cpu/fault_ids.h"
#include "host/ref/fault/fault.h"

enum { /* as instructions number them */
	R_RAX,
	R_RCX,
	R_RDX,
	R_RBX,
	R_EFER = 16,
	MACHINE_REGS
};

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
};

#define MACHINE_CPUS 64 /* others are left alone */

struct site { /* an instruction of the guest */
	uint64_t vaddr;
	uint32_t kind, size;
	uint32_t modrm; /* the third byte */
};

struct fault {
	uint32_t kinds; /* bits of enum kind */
	bool early;	/* in firmware and 32-bit code, too */
	/* In front of the instruction. True: it is skipped. */
	bool (*hook)(unsigned int cpu, const struct site *s);
	/* Behind each 8-byte store to memory; or each such load by an instruction of the kinds. */
	void (*memory)(uint64_t phys, uint64_t value);
};

extern const struct fault machine_faults[F_COUNT];

uint64_t machine_reg(unsigned int cpu, unsigned int r);
void machine_set_reg(unsigned int cpu, unsigned int r, uint64_t v);
bool machine_read(uint64_t phys, void *buf, size_t len);
void machine_write(uint64_t phys, const void *buf, size_t len);
/* Counts: the fault was there. */
void machine_injected(void);
/* True each n-th time. */
bool machine_each(unsigned int n);
uint64_t machine_ns(void);

#endif
