/* SPDX-License-Identifier: BSD-2-Clause */
/* A fuzzer's bytes, taken one after the other; zeros once they are used up. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct input {
	const uint8_t *p;
	size_t n;
};

static inline uint8_t u8(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

static inline uint16_t u16(struct input *in)
{
	const uint16_t low = u8(in);

	return (uint16_t)(u8(in) << 8 | low);
}

static inline uint32_t u32(struct input *in)
{
	const uint32_t low = u16(in);

	return (uint32_t)u16(in) << 16 | low;
}

static inline uint64_t u64(struct input *in)
{
	const uint64_t low = u32(in);

	return (uint64_t)u32(in) << 32 | low;
}

static inline void must(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
