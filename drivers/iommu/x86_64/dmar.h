/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI's DMA Remapping table (Intel VT-d, chapter 8): the remapping units of the machine, which device goes through which,
 * and what firmware still reaches. A table that makes no sense gives nobody a unit.
 */
#ifndef DRIVERS_IOMMU_X86_64_DMAR_H
#define DRIVERS_IOMMU_X86_64_DMAR_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/device.h"

struct dmar_platform {
	unsigned int address_bits; /* of the platform's physical addresses */
	bool remaps_interrupts, x2apic_opt_out, asks_for_dma_control;
};
/* false: there is no table, or none whose head fits. */
bool dmar_platform(struct dmar_platform *p);

struct dmar_unit {
	uint64_t base;
	uint32_t size; /* bytes of registers */
	uint16_t segment;
	bool rest; /* it has all functions of its segment that no other unit names */
	const uint8_t *scopes;
	uint32_t scopes_len;
};
/* The n-th remapping unit, false past the last. One whose address or size makes no sense is skipped. */
bool dmar_unit(unsigned int n, struct dmar_unit *u);
/* The number of the unit that the function's DMA goes through. false: none. */
bool dmar_unit_of(const struct device *d, unsigned int *n);

enum dmar_scope_type { /* 8.3.1 */
	DMAR_SCOPE_FUNCTION = 1,
	DMAR_SCOPE_BRIDGE = 2, /* and all behind it */
	DMAR_SCOPE_IOAPIC = 3,
	DMAR_SCOPE_HPET = 4,
};
/* The requester ID that the I/O APIC or HPET of this ID has at the unit. false: the unit does not have it. */
bool dmar_requester_of(const struct dmar_unit *u, enum dmar_scope_type type, uint8_t id,
		       uint16_t *requester);

/* The n-th region that firmware reserves for DMA, ends included; false past the last. Empty ones are skipped. */
struct dmar_region {
	uint16_t segment;
	uint64_t first, last;
};
bool dmar_region(unsigned int n, struct dmar_region *r);

#endif
