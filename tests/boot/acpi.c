/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.acpi.*: the ACPI tables can be trusted: their checksums and lengths hold, and the MADT lists each processor
 * once, the one that boots too.
 *
 * Hosts write these tables by hand, and again for each number of CPUs. A wrong APIC id leaves a CPU asleep: ACRN's
 * CPU 1 never woke (acrn-hypervisor issue 7146), Firecracker's ids and those of CPUID differed (firecracker
 * issue 222).
 *
 * lib/acpi.c refuses tables that contradict themselves; the tests FAIL what was refused. That each listed processor
 * starts is boot.cpus.all_online.
 */
#include <stdio.h>

#include "lib/acpi.h"
#include "lib/boot_info.h"
#include "lib/smp.h"
#include "lib/test.h"
#include "tests/support/needs.h"

static bool has_acpi(char *why, size_t size)
{
	const char *const *refused;

	if (acpi_table("APIC", 0) || acpi_table("FACP", 0) || acpi_refused(&refused))
		return true;
	snprintf(why, size, "no ACPI tables (RSDP: 0x%llx, and none below 1 MiB)",
		 (unsigned long long)boot_info_get()->rsdp);
	return false;
}
NEED(acpi, NEED_ACPI, "ACPI", has_acpi);

TEST(acpi_checksums,
     .id = "boot.acpi.checksums",
     .clause = "ACPI 6.5, 5.2.6: each table's bytes sum to 0, and its length covers its header",
     .owner = "ACPI tables of the VMM",
     .needs = NEED_ACPI)
{
	const char *const *refused;
	const unsigned int n = acpi_refused(&refused);
	unsigned int i;

	for (i = 0; i < n; i++)
		test_note(t, "refused: %s", refused[i]);
	expect_eq(t, n, 0, "tables that are refused");
}

TEST(acpi_lists_us,
     .id = "boot.acpi.lists_us",
     .clause = "ACPI 6.5, 5.2.12: the MADT lists each processor once, the one that boots too",
     .owner = "ACPI tables of the VMM",
     .needs = NEED_ACPI)
{
	static struct acpi_cpu cpu[1024]; /* more than are started */
	unsigned int n, i, found = 0;

	if (!acpi_table("APIC", 0))
		test_skip(t, "there is no MADT");
	n = acpi_cpus(cpu, 1024);
	for (i = 0; i < n && i < 1024; i++)
		found += cpu[i].hw_id == smp_hw_id(0);
	expect_eq(t, found, 1, "entries with our APIC id %u", (unsigned int)smp_hw_id(0));
}
