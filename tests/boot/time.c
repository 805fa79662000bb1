/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.time.*: the counter that time is read from never goes back, on any processor, and the machine's clocks agree.
 * Every deadline of this program depends on it.
 *
 * Hosts break it where they compute a guest's clock anew: KVM's clock could step back when its base was adjusted
 * (Linux 1d5f066e0b63), and Firecracker restored vCPUs whose counters had different offsets (firecracker pull
 * request 6200).
 *
 * Each CPU reads the counter many times; each other clock that the machine has measures the counter's frequency.
 */
#include <string.h>

#include "arch/promises.h"
#include "lib/smp.h"
#include "lib/test.h"
#include "lib/time.h"
#include "tests/support/cpus.h"

#define CALL_NS test_sec()

struct ticks {
	uint64_t backwards, advance;
};

static void watch_time(void *arg)
{
	struct ticks *k = arg;
	uint64_t last = time_now(), now;
	const uint64_t start = last;
	unsigned int i;

	for (i = 0; i < 20000; i++) {
		now = time_now();
		k->backwards += now < last;
		last = now;
	}
	k->advance = last - start;
}

TEST(monotonic,
     .id = "boot.time.monotonic",
     .clause = PROMISE_COUNTER,
     .owner = OWNER_COUNTER)
{
	unsigned int i;

	for (i = 0; i < smp_cpus_online(); i++) {
		struct ticks k = { 0 };

		CPU_OK(t, i, smp_call(i, watch_time, &k, 2 * CALL_NS));
		expect_eq(t, k.backwards, 0, "steps backwards on CPU %u", i);
		expect(t, k.advance > 0, "time stands still on CPU %u", i);
	}
}

static uint64_t permille_apart(uint64_t a, uint64_t b)
{
	const uint64_t diff = a > b ? a - b : b - a;

	return diff * 1000 / (a > b ? a : b);
}

#define AGREE_PERMILLE 50
#define AGREE_TRIES    5

/* A host that is busy elsewhere spoils one measurement: any of some tries counts. */
static bool source_agrees(unsigned int i, uint64_t *hz)
{
	unsigned int k;

	for (k = 0; k < AGREE_TRIES; k++) {
		*hz = time_measure(i);
		if (!*hz || permille_apart(*hz, time_hz()) <= AGREE_PERMILLE)
			return true;
	}
	return false;
}

TEST(sources_agree,
     .id = "boot.time.sources_agree",
     .clause = "clocks of one machine tell the same time: within 5 % of one another",
     .owner = "timers of the VMM")
{
	unsigned int i, asked = 0;
	const char *name;
	bool exact;
	uint64_t hz;

	for (i = 0; (name = time_source_name(i, &exact)); i++) {
		if (!exact || strcmp(name, time_source()) == 0)
			continue;
		if (!source_agrees(i, &hz))
			expect(t, false, "the counter runs at %llu kHz by %s, at %llu kHz by %s",
			       (unsigned long long)(time_hz() / 1000), time_source(),
			       (unsigned long long)(hz / 1000), name);
		if (!hz)
			continue;
		expect(t, hz > 0, "%s", name);
		asked++;
	}
	if (!asked)
		test_skip(t, "no clock beside %s can measure the counter", time_source());
}
