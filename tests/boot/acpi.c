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
 * starts is boot.cpus.all_online. What the tables say of the machine is compared with the machine: Cloud Hypervisor's
 * MCFG had a length that it did not fill (cloud-hypervisor eb6010615), crosvm's FADT a reset value in the place of
 * another field (crosvm df1a2d119).
 */
#include <stdio.h>

#include "arch/promises.h"
#include "lib/acpi.h"
#include "lib/boot_info.h"
#include "lib/mem.h"
#include "lib/reboot.h"
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
	expect_eq(t, found, 1, "entries with our hardware id %u", (unsigned int)smp_hw_id(0));
}

TEST(acpi_ids,
     .id = "boot.acpi.ids",
     .clause = PROMISE_CPU_IDS,
     .owner = "ACPI tables of the VMM",
     .needs = NEED_ACPI)
{
	if (!acpi_table("APIC", 0))
		test_skip(t, "there is no MADT");
	expect_eq(t, acpi_cpus_repeated(), 0, "entries with the id of another one");
}

TEST(acpi_dsdt,
     .id = "boot.acpi.dsdt",
     .clause = "ACPI 6.5, 5.2.9: the FADT has the address of the DSDT, in DSDT or in X_DSDT",
     .owner = "ACPI tables of the VMM",
     .needs = NEED_ACPI)
{
	if (!acpi_table("FACP", 0))
		test_skip(t, "there is no FADT");
	expect(t, acpi_table("DSDT", 0), "no DSDT, or one that is refused");
}

static bool in_ram(uint64_t from, uint64_t to)
{
	const struct boot_info *b = boot_info_get();
	uint32_t i;

	for (i = 0; i < b->mem_count; i++)
		if (b->mem[i].type == BOOT_MEM_RAM && b->mem[i].base < to &&
		    from < b->mem[i].base + b->mem[i].size)
			return true;
	return false;
}

/* A system that takes free memory overwrites what is there. */
TEST(acpi_not_free,
     .id = "boot.acpi.tables_not_free",
     .clause = "ACPI 6.5, 15.4: the memory that has the tables is no free RAM in the memory map",
     .owner = "memory map of the firmware or the VMM",
     .needs = NEED_ACPI)
{
	static const char names[][5] = { "APIC", "FACP", "DSDT", "MCFG", "HPET" };
	const struct acpi_header *h;
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		h = acpi_table(names[i], 0);
		if (!h)
			continue;
		expect(t, !in_ram(virt_to_phys(h), virt_to_phys(h) + h->length),
		       "%s at 0x%llx lies in free RAM", names[i],
		       (unsigned long long)virt_to_phys(h));
	}
}

#define BUS_SIZE (1ull << 20) /* of configuration space */

static bool same_buses(const struct acpi_mcfg *a, const struct acpi_mcfg *b)
{
	return a->segment == b->segment && a->bus_start <= b->bus_end && b->bus_start <= a->bus_end;
}

TEST(acpi_mcfg,
     .id = "boot.acpi.mcfg",
     .clause = "PCI Firmware 3.3, 4.1.2: each entry of the MCFG has its base, its segment and its buses, and the table no byte more",
     .owner = "ACPI tables of the VMM",
     .needs = NEED_ACPI)
{
	const struct acpi_header *h = acpi_table("MCFG", 0);
	struct acpi_mcfg m[16];
	unsigned int n, i, k;
	uint64_t from, to;

	if (!h)
		test_skip(t, "there is no MCFG");
	n = acpi_mcfg(m, 16);
	require(t, n, "the MCFG has no entry");
	expect_eq(t, (h->length - 44) % 16, 0, "bytes behind the last entry");
	for (i = 0; i < n && i < 16; i++) {
		expect(t, m[i].bus_start <= m[i].bus_end, "entry %u: buses %u to %u", i,
		       m[i].bus_start, m[i].bus_end);
		expect(t, m[i].base && m[i].base % BUS_SIZE == 0, "entry %u: base 0x%llx", i,
		       (unsigned long long)m[i].base);
		from = m[i].base + m[i].bus_start * BUS_SIZE;
		to = m[i].base + (m[i].bus_end + 1) * BUS_SIZE;
		expect(t, !in_ram(from, to), "entry %u: RAM between 0x%llx and 0x%llx", i,
		       (unsigned long long)from, (unsigned long long)to);
		for (k = 0; k < i; k++)
			expect(t, !same_buses(&m[i], &m[k]), "entries %u and %u: the same buses", k,
			       i);
	}
}

TEST(acpi_resets,
     .id = "boot.acpi.reset",
     .clause = "ACPI 6.5, 4.8.3.6: RESET_VALUE in RESET_REG resets the system, where RESET_REG_SUP says that it does",
     .owner = "ACPI tables of the VMM",
     .needs = NEED_ACPI,
     .timeout = 60 * SEC)
{
	uint32_t none;

	if (!acpi_can_reset())
		test_skip(t, "the FADT has no reset register");
	if (test_step(t, &none) == 0)
		test_reboot(t, 1, 0);
	expect(t, !reboot_without_acpi(),
	       "the machine runs on behind a store to the reset register");
}
