/* SPDX-License-Identifier: BSD-2-Clause */
/* time.h over the TSC, calibrated by the best source that this machine has. */
#include "lib/time.h"

#include "lib/acpi.h"
#include "lib/io.h"
#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/time.h"

#define PIT_HZ	1193182ull
#define PM_HZ	3579545ull
#define WAIT_NS (4 * MSEC)

static struct {
	uint64_t start;
	uint64_t hz;
	uint64_t mult; /* ns = ticks * mult >> 32, for ticks < 2^32 a step */
	const char *source;
} tsc = { .hz = 2000000000, .mult = (SEC << 32) / 2000000000, .source = "guess" };

uint64_t time_now(void)
{
	return (uint64_t)((unsigned __int128)(rdtsc() - tsc.start) * tsc.mult >> 32);
}

uint64_t time_hz(void)
{
	return tsc.hz;
}

const char *time_source(void)
{
	return tsc.source;
}

void cpu_relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

static void set_hz(uint64_t hz, const char *source)
{
	tsc.hz = hz;
	tsc.mult = (uint64_t)(((unsigned __int128)SEC << 32) / hz);
	tsc.source = source;
}

/* Exact values that CPU or hypervisor state: 0 without. */
static uint64_t hz_stated(const char **source)
{
	const uint32_t max = cpuid(0, 0).eax;
	uint32_t base;

	if (max >= 0x15) {
		const struct cpuid_regs r = cpuid(0x15, 0);

		*source = "cpuid 0x15";
		if (r.eax && r.ebx && r.ecx)
			return (uint64_t)r.ecx * r.ebx / r.eax;
	}
	if (!(cpuid(1, 0).ecx >> 31))
		return 0;
	for (base = 0x40000000; base < 0x40000200; base += 0x100) {
		if (cpuid(base, 0).eax < base + 0x10 || cpuid(base, 0).eax > base + 0xff)
			continue;
		*source = "cpuid 0x40000010";
		return cpuid(base + 0x10, 0).eax * 1000ull;
	}
	return 0;
}

static uint16_t pit_read(void)
{
	uint8_t lo;

	io_out8(0x43, 0); /* latch channel 0 */
	lo = io_in8(0x40);
	return (uint16_t)(lo | io_in8(0x40) << 8);
}

/* PIT channel 0, read while it counts down (channel 2 needs the speaker port, which microvm has not). 0:
 * nobody counts there. */
static uint64_t hz_pit(void)
{
	const uint64_t want = PIT_HZ * WAIT_NS / SEC;
	uint64_t t0, t1, ticks = 0, loops = 0;
	uint16_t last, now;

	io_out8(0x43, 0x34); /* both bytes, mode 2 */
	io_out8(0x40, 0xff);
	io_out8(0x40, 0xff);
	last = pit_read();
	t0 = rdtsc();
	while (ticks < want && loops++ < 100000) {
		now = pit_read();
		ticks += (uint16_t)(last - now);
		last = now;
	}
	t1 = rdtsc();
	return ticks >= want ? (t1 - t0) * PIT_HZ / ticks : 0;
}

static uint64_t hz_pm_timer(void)
{
	const uint16_t port = acpi_pm_timer_port();
	uint32_t start, now = 0;
	uint64_t t0, loops = 0;

	if (!port)
		return 0;
	start = io_in32(port);
	t0 = rdtsc();
	while (loops++ < 1000000) {
		now = (io_in32(port) - start) & 0xffffff;
		if (now >= PM_HZ * WAIT_NS / SEC)
			break;
	}
	return now && loops < 1000000 ? (rdtsc() - t0) * PM_HZ / now : 0;
}

struct hpet_table {
	struct acpi_header h;
	uint32_t event_block;
	uint8_t space, width, offset, access;
	uint64_t address;
} __attribute__((packed));

static uint64_t hz_hpet(void)
{
	const struct hpet_table *t = (const void *)acpi_table("HPET", 0);
	volatile uint8_t *regs;
	uint64_t period, start, ticks = 0, t0, want, loops = 0;

	if (!t || t->h.length < sizeof(*t) || t->space != 0)
		return 0;
	regs = mmio_map(t->address, 1024);
	if (!regs)
		return 0;
	period = mmio_read64(regs) >> 32; /* femtoseconds */
	if (period == 0 || period > 100000000)
		return 0;
	want = WAIT_NS * 1000000 / period;
	mmio_write64(regs + 0x10, mmio_read64(regs + 0x10) | 1);
	start = mmio_read64(regs + 0xf0);
	t0 = rdtsc();
	while (loops++ < 1000000) {
		ticks = mmio_read64(regs + 0xf0) - start;
		if (ticks >= want)
			break;
	}
	if (!ticks || loops >= 1000000)
		return 0;
	return (uint64_t)((unsigned __int128)(rdtsc() - t0) * 1000000000000000ull /
			  ((unsigned __int128)ticks * period));
}

uint64_t time_measure(const char *source)
{
	switch (source[0]) {
	case 'p':
		return source[1] == 'i' ? hz_pit() : hz_pm_timer();
	case 'h':
		return hz_hpet();
	default:
		return 0;
	}
}

void time_init(void)
{
	static const char *const measured[] = { "pit", "hpet", "pm timer" };
	const char *source = "";
	uint64_t hz = hz_stated(&source);
	unsigned int i;

	tsc.start = rdtsc();
	for (i = 0; !hz && i < 3; i++) {
		source = measured[i];
		hz = time_measure(source);
	}
	if (!hz && cpuid(0, 0).eax >= 0x16) {
		source = "cpuid 0x16";
		hz = cpuid(0x16, 0).eax * 1000000ull;
	}
	if (hz)
		set_hz(hz, source);
}
