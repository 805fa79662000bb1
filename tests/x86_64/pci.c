/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.pci.*: both ways to a function's configuration space, ECAM and x86's I/O ports, lead to the same registers.
 *
 * Hosts decode the two in different places: Cloud Hypervisor took the memory-mapped address for the ports' format, so
 * that most reads gave all ones (cloud-hypervisor pull request 799).
 *
 * The first 64 bytes of each function are read both ways, but for the status register, which changes by itself.
 */
#include <stdio.h>
#include <string.h>

#include "lib/pci.h"
#include "lib/test.h"
#include "tests/support/needs.h"

static bool has_pci(char *why, size_t size)
{
	if (pci_get(0))
		return true;
	snprintf(why, size, "no PCI function answers (by %s)", pci_access());
	return false;
}
NEED(pci, NEED_PCI, "PCI", has_pci);

TEST(ecam_agrees,
     .id = "boot.pci.ecam_agrees",
     .clause = "PCI Express 6.0, 7.2.2: ECAM shows the same configuration space as the ports do",
     .owner = "PCI host bridge of the VMM",
     .needs = NEED_PCI)
{
	const struct pci_dev *d;
	unsigned int i, off;

	if (strcmp(pci_access(), "ecam") != 0)
		test_skip(t, "there is no ECAM: the ACPI tables have no MCFG");
	d = pci_get(0);
	if (arch_pci_read(d, 0, 4) == UINT32_MAX)
		test_skip(t, "no function answers at ports 0xcf8 and 0xcfc");
	for (i = 0; (d = pci_get(i)); i++) {
		if (d->segment != 0)
			continue;
		for (off = 0; off < 0x40; off += 4) {
			if (off == 4)
				continue; /* the status half changes by itself */
			expect_eq(t, arch_pci_read(d, off, 4), pci_read(d, off, 4),
				  "%02x:%02x.%u register 0x%02x by port", d->bus, d->dev, d->fn,
				  off);
		}
	}
}
