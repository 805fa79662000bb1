/* SPDX-License-Identifier: BSD-2-Clause */
/* What lib/<arch>/ gives to lib/main.c. */
#ifndef LIB_ARCH_H
#define LIB_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_info;

/* Sets up the consoles, and the exception handlers of the first CPU. It comes before anything else. */
void arch_early_init(void);
/* Sets up page tables, time and interrupt controllers, once mem_init() is done. */
void arch_init(const struct boot_info *info);
/* Sets up what needs ACPI: the interrupt controllers of devices, and a clock source if none was found before. */
void arch_late_init(void);
/* Takes the outputs that `console=` names instead of those that were found. false: one of them is not there. */
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
/* Ends the machine: it tries isa-debug-exit, ACPI S5, a reset and a halt in turn. `how` ("debug", "acpi", "reset",
 * "halt") chooses one, with the halt behind it; NULL or an unknown word: all. */
_Noreturn void arch_end(enum end_status status, const char *how);

/* Where acpi.c looks for the RSDP when the entry gave none. Empty: nowhere. */
extern const struct arch_range {
	uint64_t from, to;
} arch_rsdp_area;
/* A store of 1, 2 or 4 bytes to ACPI's system I/O space, where the architecture has it; else nothing. */
void arch_port_write(uint64_t port, unsigned int size, uint32_t v);

/* Resets the platform: it tries each way that there is, in turn. */
_Noreturn void arch_reset(void);
/* Bytes of non-volatile memory that firmware does not use, n at most 56; without any they read 0. */
void arch_nvram_read(void *buf, size_t n);
void arch_nvram_write(const void *buf, size_t n);

/* A file of QEMU's fw_cfg as a string. Bytes, -ENODEV (no fw_cfg), -ENOENT. */
int arch_fw_cfg_read(const char *file, char *buf, size_t size);

#endif
