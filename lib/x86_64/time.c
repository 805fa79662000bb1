/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/time.h: the TSC counts the time. The best source that this machine has calibrates it. */
#include "lib/time.h"

#include <stdbool.h>
#include <stddef.h>

#include "lib/acpi.h"
#include "lib/x86_64/io.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/x86_64/apic.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/kvm.h"
#include "lib/x86_64/time.h"

#define PIT_HZ	     1193182ull
#define PM_HZ	     3579545ull
#define APIC_HZ	     1000000000ull /* of QEMU's and KVM's local APIC */
#define WAIT_NS	     (1500 * USEC)
#define ROUNDS	     3
#define MAX_ROUNDS   16
#define GOOD_QUALITY 4
#define SAMPLES	     5
#define MAX_STILL    2000 /* a counter that does not change in so many reads stands still */
#define MIN_HZ	     10000000ull
#define MAX_HZ	     20000000000ull

static struct {
	uint64_t start;
	uint64_t hz;
	uint64_t mult; /* ns = ticks * mult >> 32 */
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

static bool plausible(uint64_t hz)
{
	return hz >= MIN_HZ && hz <= MAX_HZ;
}

/* The exact value that the CPU or the hypervisor states. 0: it states none. */
static uint64_t hz_cpuid15(void)
{
	struct cpuid_regs r;

	if (cpuid(0, 0).eax < 0x15)
		return 0;
	r = cpuid(0x15, 0);
	return r.eax && r.ebx && r.ecx ? (uint64_t)r.ecx * r.ebx / r.eax : 0;
}

static uint64_t hz_hypervisor(void)
{
	uint32_t base;

	if (!(cpuid(1, 0).ecx >> 31))
		return 0;
	for (base = 0x40000000; base < 0x40000400; base += 0x100) {
		const uint32_t max = cpuid(base, 0).eax;

		if (max >= base + 0x10 && max <= base + 0xff)
			return cpuid(base + 0x10, 0).eax * 1000ull;
	}
	return 0;
}

static uint64_t hz_cpuid16(void)
{
	return cpuid(0, 0).eax >= 0x16 ? (cpuid(0x16, 0).eax & 0xffff) * 1000000ull : 0;
}

/* --- measuring against a counter of known frequency ----------------------------------------- */

struct counter {
	uint64_t (*read)(const struct counter *c);
	uint64_t mask; /* it wraps */
	uint64_t num;  /* frequency: num / den Hz */
	uint64_t den;
	uint16_t port;
	volatile uint8_t *regs;
};

/* Reads the TSC and the counter at nearly the same moment: the shortest of some tries counts. */
static uint64_t sample(const struct counter *c, uint64_t *ticks)
{
	uint64_t best = UINT64_MAX, at = 0;
	unsigned int i;

	for (i = 0; i < SAMPLES; i++) {
		const uint64_t before = rdtsc(), n = c->read(c), after = rdtsc();

		if (after - before < best) {
			best = after - before;
			at = before + (after - before) / 2;
			*ticks = n;
		}
	}
	return at;
}

/*
 * Waits until the counter has advanced by want; *gap: the longest time, in TSC ticks, without a look at it.
 * False: it stands still.
 */
static bool wait_ticks(const struct counter *c, uint64_t from, uint64_t want, uint64_t *gap)
{
	uint64_t last = from, now, before = rdtsc(), after;
	unsigned int still = 0;

	*gap = 0;
	while (still < MAX_STILL) {
		now = c->read(c);
		after = rdtsc();
		*gap = after - before > *gap ? after - before : *gap;
		before = after;
		if (((now - from) & c->mask) >= want)
			return true;
		still = now == last ? still + 1 : 0;
		last = now;
	}
	return false;
}

struct round {
	uint64_t hz, quality; /* the whole time over the longest that nobody looked */
};

static bool measure_once(const struct counter *c, struct round *r)
{
	const uint64_t want = (uint64_t)((unsigned __int128)c->num * WAIT_NS / SEC / c->den);
	uint64_t from = 0, to = 0, t0, t1, gap;

	t0 = sample(c, &from);
	if (!wait_ticks(c, from, want, &gap))
		return false;
	t1 = sample(c, &to);
	to = (to - from) & c->mask;
	if (!to)
		return false;
	r->hz = (uint64_t)((unsigned __int128)(t1 - t0) * c->num / c->den / to);
	r->quality = (t1 - t0) / (gap ? gap : 1);
	return true;
}

/*
 * The median of the rounds in which this CPU ran all the time. A host that has other things to do stops it
 * for longer than a counter of 16 bits takes to wrap; where no round is good, the best one must do.
 */
static uint64_t measure(const struct counter *c)
{
	uint64_t hz[ROUNDS];
	struct round r, best = { 0 };
	unsigned int good = 0, i, k;

	for (i = 0; i < MAX_ROUNDS && good < ROUNDS; i++) {
		if (!measure_once(c, &r))
			return 0;
		if (r.quality > best.quality)
			best = r;
		if (r.quality < GOOD_QUALITY)
			continue;
		for (k = good++; k > 0 && hz[k - 1] > r.hz; k--)
			hz[k] = hz[k - 1];
		hz[k] = r.hz;
	}
	return good ? hz[good / 2] : best.hz;
}

static uint64_t pit_read(const struct counter *c)
{
	uint8_t lo;

	(void)c;
	io_out8(0x43, 0); /* latch channel 0 */
	lo = io_in8(0x40);
	return (uint16_t) ~(lo | io_in8(0x40) << 8); /* it counts down */
}

/* PIT channel 0, read while it counts (channel 2 needs the speaker's port, which microvm has not). */
static uint64_t hz_pit(void)
{
	const struct counter c = { .read = pit_read, .mask = 0xffff, .num = PIT_HZ, .den = 1 };

	io_out8(0x43, 0x34); /* both bytes, mode 2 */
	io_out8(0x40, 0xff);
	io_out8(0x40, 0xff);
	return measure(&c);
}

static uint64_t pm_read(const struct counter *c)
{
	return io_in32(c->port) & 0xffffff;
}

static uint64_t hz_pm_timer(void)
{
	const struct counter c = { .read = pm_read,
				   .mask = 0xffffff,
				   .num = PM_HZ,
				   .den = 1,
				   .port = acpi_pm_timer_port() };

	return c.port ? measure(&c) : 0;
}

struct hpet_table {
	struct acpi_header h;
	uint32_t event_block;
	uint8_t space, width, offset, access;
	uint64_t address;
} __attribute__((packed));

static uint64_t hpet_read(const struct counter *c)
{
	return mmio_read32(c->regs + 0xf0);
}

static uint64_t hz_hpet(void)
{
	const struct hpet_table *t = (const void *)acpi_table("HPET", 0);
	struct counter c = { .read = hpet_read, .mask = 0xffffffff, .num = 1000000000000000ull };

	if (!t || t->h.length < sizeof(*t) || t->space != 0)
		return 0;
	c.regs = mmio_map(t->address, 1024);
	if (!c.regs)
		return 0;
	c.den = mmio_read32(c.regs + 4);     /* femtoseconds a tick */
	if (c.den == 0 || c.den > 100000000) /* IA-PC HPET 2.3.4: at most 100 ns */
		return 0;
	mmio_write32(c.regs + 0x10, mmio_read32(c.regs + 0x10) | 1);
	return measure(&c);
}

static uint64_t hz_pvclock(void)
{
	static volatile struct pvclock_vcpu_time_info page __attribute__((aligned(64)));
	static uint32_t
		mul; /* read once: when memory is protected the host cannot write to the page */
	static int8_t shift;

	if (!kvm_arch_base() || !(kvm_arch_features() >> 3 & 1)) /* KVM_FEATURE_CLOCKSOURCE2 */
		return 0;
	if (mul)
		goto known;
	wrmsr(MSR_KVM_SYSTEM_TIME, virt_to_phys(&page) | 1);
	mul = page.tsc_to_system_mul;
	shift = page.tsc_shift;
	wrmsr(MSR_KVM_SYSTEM_TIME, 0);
known:
	if (mul == 0 || shift < -31 || shift > 31)
		return 0;
	return shift < 0 ? (uint64_t)(((unsigned __int128)SEC << 32 << -shift) / mul) :
			   (uint64_t)(((unsigned __int128)SEC << 32 >> shift) / mul);
}

/* The last resort: the APIC timers of QEMU and KVM count at 1 GHz. */
static uint64_t hz_apic(void)
{
	const uint64_t tsc_ticks = 2000000;
	uint64_t n;

	if (!(cpuid(1, 0).ecx >> 31))
		return 0;
	n = apic_timer_ticks(tsc_ticks);
	return n ? (uint64_t)((unsigned __int128)tsc_ticks * APIC_HZ / n) : 0;
}

static const struct {
	const char *name;
	uint64_t (*hz)(void);
	bool exact;
} sources[] = {
	{ "cpuid 0x15", hz_cpuid15, true },
	{ "cpuid 0x40000010", hz_hypervisor, true },
	{ "pit", hz_pit, true },
	{ "hpet", hz_hpet, true },
	{ "pm timer", hz_pm_timer, true },
	{ "pvclock", hz_pvclock, true },
	{ "cpuid 0x16", hz_cpuid16, false },
	{ "apic timer at 1 GHz", hz_apic, false },
};
#define SOURCES (sizeof(sources) / sizeof(sources[0]))

const char *time_source_name(unsigned int i, bool *exact)
{
	if (i >= SOURCES)
		return NULL;
	*exact = sources[i].exact;
	return sources[i].name;
}

uint64_t time_measure(unsigned int i)
{
	const uint64_t hz = i < SOURCES ? sources[i].hz() : 0;

	return plausible(hz) ? hz : 0;
}

static unsigned int used = SOURCES;

void time_start(void)
{
	tsc.start = rdtsc();
}

void time_init(void)
{
	unsigned int i;
	uint64_t hz;

	for (i = 0; i < used; i++) {
		hz = time_measure(i);
		if (!hz)
			continue;
		used = i;
		set_hz(hz, sources[i].name);
		return;
	}
}

bool time_is_exact(void)
{
	return used < SOURCES && sources[used].exact;
}
