/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake_irq.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lib/irq.h"

#define FIRST_VECTOR 48
#define NUM_VECTORS  32

struct fake_line fake_line[FAKE_IRQ_LINES];
unsigned int fake_irq_alloc_fail, fake_irq_message_fail, fake_irq_mask_fail, fake_irq_saves;

static struct {
	irq_handler_t handler;
	void *arg;
} vectors[NUM_VECTORS];
static bool off;

void fake_irq_clear(void)
{
	unsigned int i;

	memset(vectors, 0, sizeof(vectors));
	memset(fake_line, 0, sizeof(fake_line));
	for (i = 0; i < FAKE_IRQ_LINES; i++)
		fake_line[i].masked = true;
	fake_irq_alloc_fail = fake_irq_message_fail = fake_irq_mask_fail = fake_irq_saves = 0;
	off = false;
}

static bool fails(unsigned int *n)
{
	return *n && --*n == 0;
}

int irq_alloc(irq_handler_t handler, void *arg)
{
	unsigned int i;

	for (i = 0; i < NUM_VECTORS && vectors[i].handler; i++)
		;
	if (i == NUM_VECTORS || fails(&fake_irq_alloc_fail))
		return -ENOSPC;
	vectors[i].handler = handler;
	vectors[i].arg = arg;
	return (int)(FIRST_VECTOR + i);
}

static unsigned int at(int vector)
{
	assert_in_range(vector, FIRST_VECTOR, FIRST_VECTOR + NUM_VECTORS - 1);
	assert_non_null(vectors[vector - FIRST_VECTOR].handler);
	return (unsigned int)(vector - FIRST_VECTOR);
}

void irq_free(int vector)
{
	vectors[at(vector)].handler = NULL;
}

void fake_irq_raise(int vector)
{
	const unsigned int i = at(vector);
	const bool was = irq_save();

	vectors[i].handler(vectors[i].arg);
	assert_true(off);
	irq_restore(was);
}

unsigned int fake_irq_vectors(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < NUM_VECTORS; i++)
		n += vectors[i].handler != NULL;
	return n;
}

int irq_message_direct(int vector, unsigned int cpu, uint64_t *addr, uint32_t *data)
{
	(void)at(vector);
	if (cpu >= FAKE_IRQ_CPUS || fails(&fake_irq_message_fail))
		return -EINVAL;
	*addr = FAKE_IRQ_MESSAGE + (uint64_t)cpu * 4096;
	*data = (uint32_t)vector;
	return 0;
}

int irq_gsi_route(uint32_t gsi, int vector, unsigned int cpu, bool level, bool active_low)
{
	(void)at(vector);
	if (gsi >= FAKE_IRQ_LINES)
		return -ENODEV;
	if (cpu >= FAKE_IRQ_CPUS)
		return -EINVAL;
	fake_line[gsi] = (struct fake_line){ vector, cpu, level, active_low, .masked = true };
	return 0;
}

int irq_gsi_mask(uint32_t gsi, bool masked)
{
	if (gsi >= FAKE_IRQ_LINES || fails(&fake_irq_mask_fail))
		return -ENODEV;
	fake_line[gsi].masked = masked;
	return 0;
}

bool irq_enabled(void)
{
	return !off;
}

bool irq_save(void)
{
	const bool was = !off;

	off = true;
	fake_irq_saves++;
	return was;
}

void irq_restore(bool enabled)
{
	off = !enabled;
}
