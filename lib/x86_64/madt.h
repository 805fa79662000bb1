/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LIB_X86_64_MADT_H
#define LIB_X86_64_MADT_H

#include <stdint.h>

struct madt_ioapic {
	uint8_t id;
	uint64_t address;
	uint32_t gsi_base;
};
/* At most max; the count of those. */
unsigned int madt_ioapics(struct madt_ioapic *io, unsigned int max);
/* The GSI of an ISA interrupt, after the MADT's overrides. */
void madt_isa_irq(unsigned int irq, uint32_t *gsi);

#endif
