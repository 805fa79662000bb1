/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/irq.h without a machine: vectors that a test raises, and the lines of an I/O APIC that a test looks at. */
#ifndef TESTS_UNIT_FAKE_IRQ_H
#define TESTS_UNIT_FAKE_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_IRQ_LINES 24
#define FAKE_IRQ_CPUS  4
#define FAKE_IRQ_MESSAGE                                                                           \
	0xfee00000ull /* + CPU << 12: the address of its messages; the data is the vector */

/* A pin of the I/O APIC, as it was routed last. */
struct fake_line {
	int vector;
	unsigned int cpu;
	bool level, active_low, masked;
};
extern struct fake_line fake_line[FAKE_IRQ_LINES];
/* The how-manieth irq_alloc(), message or change of a mask from now on fails; 0: none. */
extern unsigned int fake_irq_alloc_fail, fake_irq_message_fail, fake_irq_mask_fail;
/* How often irq_save() was called. */
extern unsigned int fake_irq_saves;

void fake_irq_clear(void);
/* The CPU takes this vector: its handler is called, with interrupts off. */
void fake_irq_raise(int vector);
/* Vectors that are allocated. */
unsigned int fake_irq_vectors(void);

#endif
