/* SPDX-License-Identifier: BSD-2-Clause */
/* What lib/<arch>/ gives to lib/main.c. */
#ifndef LIB_ARCH_H
#define LIB_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_info;

/* Consoles and exception handlers of the first CPU: before anything else. */
void arch_early_init(void);
/* Page tables (mem_init() is done), time, interrupt controllers. */
void arch_init(const struct boot_info *info);
/* What needs ACPI: the interrupt controllers of devices, a clock source if none was found before. */
void arch_late_init(void);
/* Outputs that `console=` names instead of what was found; false: one of them is not there. */
bool arch_console_select(const char *list);
/* Starts the other CPUs (ACPI is parsed). */
void smp_init(void);
/* Environment lines of the CPU and the hypervisor. */
void arch_env(void);

/* How the run ended, as the machine's exit value where it has one: QEMU exits with (value << 1) | 1. */
enum end_status {
	END_PASS = 0x10,
	END_FAIL = 0x11,
	END_ERROR = 0x12,
	END_SKIP = 0x13,
};
/* Ends the machine: isa-debug-exit, ACPI S5, reset, halt, each tried in turn; how ("debug", "acpi", "reset",
 * "halt"): only that one, then halt. NULL or unknown: all. */
_Noreturn void arch_end(enum end_status status, const char *how);

/* Where the RSDP is looked for when the entry gave none; empty: nowhere. */
extern const struct arch_range {
	uint64_t from, to;
} arch_rsdp_area;
/* A store of 1, 2 or 4 bytes to ACPI's system I/O space, where the architecture has it; else nothing. */
void arch_port_write(uint64_t port, unsigned int size, uint32_t v);

/* The platform's reset: each way that it has, in turn. */
_Noreturn void arch_reset(void);
/* Bytes of non-volatile memory that firmware does not use, n at most 56; without any they read 0. */
void arch_nvram_read(void *buf, size_t n);
void arch_nvram_write(const void *buf, size_t n);

/* A file of QEMU's fw_cfg as a string. Bytes, -ENODEV (no fw_cfg), -ENOENT. */
int arch_fw_cfg_read(const char *file, char *buf, size_t size);

#endif
