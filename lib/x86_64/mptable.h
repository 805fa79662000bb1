/* SPDX-License-Identifier: BSD-2-Clause */
/* Intel MultiProcessor Specification 1.4: what a machine without ACPI says of its CPUs and interrupts. */
#ifndef LIB_X86_64_MPTABLE_H
#define LIB_X86_64_MPTABLE_H

#include <stdint.h>

/* Fills in the local APIC ids of at most max usable CPUs and returns how many (0: there is no table). */
unsigned int mptable_cpus(uint32_t *ids, unsigned int max);
/* The GSI of a PCI function's pin (1 to 4), UINT32_MAX: the table does not say. */
uint32_t mptable_pci_gsi(uint8_t bus, uint8_t dev, uint8_t pin);

#endif
