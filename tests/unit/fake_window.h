/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Windows of device registers, for unit tests of drivers that go through lib/mmio.h. A test says what is at a physical
 * address: mmio_map() finds it, each load and store goes to the window's model, and a test may let any register lie.
 * An access that lies in no window, or is not aligned, fails the test.
 */
#ifndef TESTS_UNIT_FAKE_WINDOW_H
#define TESTS_UNIT_FAKE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_WINDOW_MAX 0x10000

struct fake_window {
	uint64_t pa, size; /* of what mmio_map() maps */
	/* What stands behind the registers; NULL: memory. */
	uint64_t (*load)(uint32_t off, unsigned int size);
	void (*store)(uint32_t off, unsigned int size, uint64_t v);
	bool unmappable;
	char name; /* in front of what fake_window_stores() says; 0: nothing */
	uint8_t mem[FAKE_WINDOW_MAX] __attribute__((aligned(16)));
};

/* No windows, no lies, and nothing was stored. */
void fake_windows_clear(void);
struct fake_window *fake_window_add(uint64_t pa, uint64_t size);
/* Plain memory of a window. */
uint64_t fake_window_get(const struct fake_window *w, uint32_t off, unsigned int size);
void fake_window_set(struct fake_window *w, uint32_t off, unsigned int size, uint64_t v);

/* From its `after`-th load on (0: the next) the register at off reads v, whatever the model says. */
void fake_window_lie(struct fake_window *w, uint32_t off, unsigned int after, uint64_t v);
/* No register lies any more. */
void fake_window_truth(void);
/* Loads of this register since it was asked last. */
unsigned int fake_window_loads(const struct fake_window *w, uint32_t off);
/* What was stored since it was asked last: "[NAME]OFF:SIZE=VALUE ...", in hexadecimal. */
const char *fake_window_stores(void);
/* The address and the size that mmio_map() was asked for last. */
extern uint64_t fake_window_mapped, fake_window_mapped_size;

#endif
