/* SPDX-License-Identifier: BSD-2-Clause */
/* What a PC's MADT says of I/O APICs and of ISA interrupts. */
#ifndef LIB_X86_64_MADT_H
#define LIB_X86_64_MADT_H

#include <stdint.h>

struct madt_ioapic {
	uint8_t id;
	uint64_t address;
	uint32_t gsi_base;
};
/* Fills in at most max I/O APICs and returns how many. */
unsigned int madt_ioapics(struct madt_ioapic *io, unsigned int max);
/* The GSI of an ISA interrupt, after the MADT's overrides. */
void madt_isa_irq(unsigned int irq, uint32_t *gsi);

#endif
