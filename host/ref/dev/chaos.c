/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/chaos.h"

static struct {
	bool on;
	uint64_t state;
	uint32_t one_in;
} chaos;

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled". */
static uint32_t draw(void)
{
	chaos.state ^= chaos.state >> 12;
	chaos.state ^= chaos.state << 25;
	chaos.state ^= chaos.state >> 27;
	return (uint32_t)((chaos.state * 0x2545f4914f6cdd1dull) >> 32);
}

void chaos_begin(uint64_t seed)
{
	chaos.on = true;
	/* Neighbouring seeds differ in all bits; 0 is no state. */
	chaos.state = (seed + 1) * 0x9e3779b97f4a7c15ull | 1;
	chaos.one_in = 4u << draw() % 9;
}

bool chaos_strikes(void)
{
	return chaos.on && draw() % chaos.one_in == 0;
}

uint32_t chaos_number(uint32_t n)
{
	const uint32_t x = draw();

	switch (draw() % 4) {
	case 0:
		return x;
	case 1:
		return n + x % 3 - 1;
	default:
		return n ? x % n : 0;
	}
}

void chaos_bytes(void *buf, size_t len)
{
	uint8_t *p = buf;
	uint32_t times = 1 + draw() % 4;

	while (len && times--)
		p[draw() % len] ^= (uint8_t)(1u << draw() % 8);
}
