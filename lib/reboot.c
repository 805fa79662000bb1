/* SPDX-License-Identifier: BSD-2-Clause */
/* reboot.h: keeps the record of the run in the platform's NVRAM, with a checksum. */
#include "lib/reboot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/acpi.h"
#include "lib/arch.h"
#include "lib/cmdline.h"
#include "lib/console.h"
#include "lib/ktap.h"
#include "lib/time.h"

#define RESET_NS (time_sec() / 10)

OPTION("reboot",
       "on: the host starts the payload again after a reset; tests may reset the machine");

enum reboot_state {
	RUNNING = 'R',
	ASKED = 'A'
};

struct nvram {
	uint8_t magic[4];
	uint8_t state, sum;
	uint16_t unused;
	struct reboot_record r;
};
_Static_assert(sizeof(struct nvram) == 8 + sizeof(struct reboot_record),
	       "no padding: it is compared");

static const uint8_t magic[4] = { 'A', 's', 'a', 'y' };

static struct {
	struct nvram n;
	bool resumes, running;
} reboot;

static uint8_t sum_of(const struct nvram *n)
{
	const uint8_t *p = (const uint8_t *)&n->r;
	uint8_t sum = n->state;
	size_t i;

	for (i = 0; i < sizeof(n->r); i++)
		sum = (uint8_t)(sum * 3 + p[i]);
	return sum;
}

static bool store(uint8_t state, const struct reboot_record *r)
{
	struct nvram n = { .state = state, .r = *r }, back;

	memcpy(n.magic, magic, sizeof(magic));
	n.sum = sum_of(&n);
	arch_nvram_write(&n, sizeof(n));
	arch_nvram_read(&back, sizeof(back));
	/* The bytes must be back as they were written. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
	return memcmp(&n, &back, sizeof(n)) == 0;
}

static void forget(void)
{
	static const struct nvram none;

	arch_nvram_write(&none, sizeof(none));
}

void reboot_init(void)
{
	struct nvram *n = &reboot.n;

	arch_nvram_read(n, sizeof(*n));
	if (memcmp(n->magic, magic, sizeof(magic)) != 0 || n->sum != sum_of(n))
		return;
	forget();
	if (n->state == ASKED) {
		reboot.resumes = true;
		console_mute(true);
	} else if (n->state == RUNNING) {
		arch_end(END_ERROR, "debug");
	}
}

const struct reboot_record *reboot_record(void)
{
	return reboot.resumes ? &reboot.n.r : NULL;
}

bool reboot_without_acpi(void)
{
	return reboot.n.state == ASKED && reboot.n.r.acpi_failed;
}

void reboot_resumed(void)
{
	reboot.resumes = false;
	console_mute(false);
	/* Firmware leaves its own escape sequences on the line. */
	printf("\n" KTAP_INDENT KTAP_BACK "\n");
}

bool reboot_usable(char *why, size_t size)
{
	if (reboot.running)
		return true;
	snprintf(why, size,
		 cmdline_get_bool("reboot", false) ?
			 "no NVRAM (CMOS) to remember the test in" :
			 "not allowed to reset the machine (reboot=on); the host may end with it");
	return false;
}

void reboot_begin(void)
{
	static const struct reboot_record none;

	if (cmdline_get_bool("reboot", false))
		reboot.running = store(RUNNING, &none);
}

void reboot_end(void)
{
	if (reboot.running)
		forget();
	reboot.running = false;
}

_Noreturn void reboot_now(const struct reboot_record *r)
{
	struct reboot_record again = *r;

	printf(KTAP_INDENT KTAP_RESET "\n");
	fflush(stdout);
	store(ASKED, r);
	/* ACPI 6.5, 4.8.3.6: the system resets right behind the store. An emulated CPU may execute some more. */
	if (acpi_reset() == -EIO) {
		wait_for(false, RESET_NS);
		again.acpi_failed = 1;
		store(ASKED, &again);
	}
	arch_reset();
}
