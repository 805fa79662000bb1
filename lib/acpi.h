/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI tables. Lengths and checksums are verified before anything is believed. */
#ifndef LIB_ACPI_H
#define LIB_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	uint32_t creator_id;
	uint32_t creator_revision;
} __attribute__((packed));

/* Walks RSDP -> XSDT or RSDT. rsdp 0: it looks in arch_rsdp_area. 0, -ENOENT, -EBADMSG (bad checksum). */
int acpi_init(uint64_t rsdp);
/* The n-th table of a signature whose checksum and length hold, or NULL. */
const struct acpi_header *acpi_table(const char signature[4], unsigned int n);
/* Names of tables that were refused and why, for the report. Returns their count; the strings belong to acpi. */
unsigned int acpi_refused(const char *const **reasons);

/* Calls fn for each entry of the MADT that has this type, lies in the table and is at least min bytes long. */
void acpi_madt_each(uint8_t type, uint8_t min, void (*fn)(const uint8_t *e, void *arg), void *arg);

struct acpi_cpu {
	uint32_t hw_id; /* as smp_hw_id() */
	uint32_t acpi_uid;
};
/* Fills in at most max of the MADT's enabled CPUs. Returns how many the table lists. lib/<arch>/madt.c has it. */
unsigned int acpi_cpus(struct acpi_cpu *cpus, unsigned int max);
/* How many of its entries for CPUs have an id that an entry of the same form has as well. */
unsigned int acpi_cpus_repeated(void);

struct acpi_mcfg {
	uint64_t base;
	uint16_t segment;
	uint8_t bus_start, bus_end;
};
/* Fills in the first max. Returns how many the table lists. */
unsigned int acpi_mcfg(struct acpi_mcfg *m, unsigned int max);

/* PM timer port (0 when none), reset register and S5 from the FADT/DSDT. */
uint16_t acpi_pm_timer_port(void);
/* Whether the PM timer has 32 bits, not 24. */
bool acpi_pm_timer_32(void);
/* Powers off (S5), or resets through the FADT. It returns only if that did not work: -ENODEV, -EIO. */
int acpi_power_off(void);
int acpi_reset(void);
/* Whether the FADT names a reset register. */
bool acpi_can_reset(void);

#endif
