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
/* What needs ACPI: the I/O APICs, a clock source if none was found before. */
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

/* The platform's reset: ACPI, port 0xcf9, keyboard controller, triple fault, each tried in turn. */
_Noreturn void arch_reset(void);
/* Bytes of non-volatile memory that firmware does not use (x86: CMOS), n at most 56. */
void arch_nvram_read(void *buf, size_t n);
void arch_nvram_write(const void *buf, size_t n);

/* A file of QEMU's fw_cfg as a string. Bytes, -ENODEV (no fw_cfg), -ENOENT. */
int arch_fw_cfg_read(const char *file, char *buf, size_t size);

#endif
