/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.apic.timer_count, timer_periodic, timer_deadline: the local APIC's timer by its registers, in each of its modes (Intel
 * SDM 3A, 11.5.4).
 *
 * Hosts make a timer of their own of what the guest writes, and read the count back from that: KVM showed a count of the
 * period before, and started a period anew at a change of the mode; a deadline that has passed already was lost, or one
 * stayed armed in a mode that has none.
 *
 * A CPU sets its timer with a vector of the test's own, and waits without the program's timer, which is the same one.
 */
#include <string.h>

#include "lib/irq.h"
#include "lib/mmio.h"
#include "lib/smp.h"
#include "lib/time.h"
#include "lib/x86_64/apic.h"
#include "lib/x86_64/cpu.h"
#include "tests/support/needs.h"
#include "tests/x86_64/apic.h"

#define OWNER	"local APIC timer of the VMM"
#define TIME	(2 * MSEC) /* that is measured, and a period */
#define PERIODS 4u
#define LVT_TSC (2u << 17)
#define DIVIDED 16 /* by which the count is, as apic.c sets it */

static int vector;
static unsigned int shots; /* atomic; one CPU at a time */
static uint64_t last_shot;

static void on_shot(void *arg)
{
	(void)arg;
	last_shot = time_now();
	__atomic_fetch_add(&shots, 1, __ATOMIC_RELEASE);
}

static unsigned int shots_so_far(void)
{
	return __atomic_load_n(&shots, __ATOMIC_ACQUIRE);
}

static void give_back(void)
{
	if (vector > 0)
		irq_free(vector);
	vector = 0;
}
FIXTURE(apic_timer, .suite = "boot.apic.timer_", .teardown = give_back);

static void get_vector(struct test_ctx *t)
{
	x2apic_only(t);
	vector = irq_alloc(on_shot, NULL);
	if (vector <= 0)
		test_error(t, "no vector is free");
}

/* wait_for() would set the timer for itself. */
static bool spin_until(unsigned int n, uint64_t ns)
{
	const uint64_t end = deadline_in(ns);

	while (shots_so_far() < n && !deadline_passed(end))
		cpu_relax();
	return shots_so_far() >= n;
}

static void begin(uint32_t mode)
{
	__atomic_store_n(&shots, 0, __ATOMIC_RELEASE);
	wrmsr(X2APIC_LVT_TIMER, mode | (uint32_t)vector);
}

/* The program's own timer is set anew. */
static void end(void)
{
	wrmsr(X2APIC_LVT_TIMER, LVT_MASKED);
	wrmsr(X2APIC_TIMER_INITIAL, 0);
	irq_timer_once(0, NULL, NULL);
}

static uint32_t count_of(uint64_t ns)
{
	const uint64_t hz = time_hz();

	return (uint32_t)(apic_timer_ticks((uint64_t)((unsigned __int128)hz * ns / SEC)) / DIVIDED);
}

/* --- the count --------------------------------------------------------------------------------------- */

struct counts {
	uint32_t set, initial, first, second, behind, initial_behind;
	bool apart; /* time passed between the two */
	bool fired;
};

/* The whole of it takes so long that a host that stops this CPU spoils nothing but a try. */
static void read_counts(void *arg)
{
	struct counts *c = arg;
	const uint32_t count = count_of(TIME);
	uint64_t start;

	begin(0);
	c->set = count;
	wrmsr(X2APIC_TIMER_INITIAL, count);
	start = time_now();
	c->first = (uint32_t)rdmsr(X2APIC_TIMER_CURRENT);
	c->initial = (uint32_t)rdmsr(X2APIC_TIMER_INITIAL);
	while (time_now() - start < TIME / 4)
		cpu_relax();
	c->second = (uint32_t)rdmsr(X2APIC_TIMER_CURRENT);
	c->fired = spin_until(1, 2 * test_sec());
	c->behind = (uint32_t)rdmsr(X2APIC_TIMER_CURRENT);
	c->initial_behind = (uint32_t)rdmsr(X2APIC_TIMER_INITIAL);
	end();
}

TEST(timer_count,
     .id = "boot.apic.timer_count",
     .clause = "Intel SDM 3A, 11.5.4: the current count goes from the initial count down to 0, and a one-shot timer stays there; the initial count reads as written",
     .owner = OWNER,
     .timeout = 30 * SEC)
{
	unsigned int cpu;

	get_vector(t);
	for (cpu = 0; cpu < smp_cpus_online(); cpu++) {
		struct counts c = { 0 };

		if (smp_call(cpu, read_counts, &c, 4 * test_sec()))
			test_error(t, "CPU %u does not answer", cpu);
		expect_eq(t, c.initial, c.set, "the initial count of CPU %u", cpu);
		expect_eq(t, c.initial_behind, c.set,
			  "the initial count of CPU %u, the timer is over", cpu);
		expect(t, c.first <= c.set, "CPU %u: the count is %u where %u was set", cpu,
		       c.first, c.set);
		expect(t, c.second < c.first || !c.first,
		       "CPU %u: the count is %u, and a quarter of the time later %u", cpu, c.first,
		       c.second);
		expect(t, c.fired, "CPU %u: no interrupt at the end of the count", cpu);
		expect(t, !c.fired || c.behind == 0,
		       "CPU %u: a one-shot timer that is over counts %u", cpu, c.behind);
	}
}

/* --- periods ------------------------------------------------------------------------------------------ */

struct periods {
	uint64_t took; /* ns, until the last interrupt */
	bool came, more;
};

static void run_periods(void *arg)
{
	struct periods *p = arg;
	const uint32_t count = count_of(TIME);
	uint64_t start;
	unsigned int n;

	begin(LVT_PERIODIC);
	start = time_now();
	wrmsr(X2APIC_TIMER_INITIAL, count);
	p->came = spin_until(PERIODS, 4 * test_sec());
	p->took = last_shot - start;
	/* One-shot from here on: the period that runs is the last, if it has not ended meanwhile. */
	wrmsr(X2APIC_LVT_TIMER, (uint32_t)vector);
	wrmsr(X2APIC_TIMER_INITIAL, 0);
	n = shots_so_far();
	p->more = spin_until(n + 2, 4 * TIME);
	end();
}

TEST(timer_periodic,
     .id = "boot.apic.timer_periodic",
     .clause = "Intel SDM 3A, 11.5.4: a periodic timer interrupts again and again, each time when its count is over, until it is stopped",
     .owner = OWNER,
     .timeout = 30 * SEC)
{
	unsigned int cpu;

	get_vector(t);
	for (cpu = 0; cpu < smp_cpus_online(); cpu++) {
		struct periods p = { 0 };

		if (smp_call(cpu, run_periods, &p, 8 * test_sec()))
			test_error(t, "CPU %u does not answer", cpu);
		require(t, p.came, "CPU %u: a periodic timer interrupts %u times, and then no more",
			cpu, shots);
		/* The count was measured in a time of at least TIME. */
		expect(t, p.took >= (PERIODS - 1) * TIME, "CPU %u: %u periods of %u us in %llu us",
		       cpu, PERIODS, (unsigned int)(TIME / USEC),
		       (unsigned long long)(p.took / USEC));
		expect(t, !p.more, "CPU %u: a periodic timer that was stopped goes on", cpu);
	}
}

/* --- deadlines ------------------------------------------------------------------------------------------ */

struct deadline {
	uint64_t over; /* what the register reads behind the interrupt */
	bool armed, past, future;
	bool disarmed, other_mode; /* no interrupt */
};

static uint64_t tsc_ticks(uint64_t ns)
{
	return (uint64_t)((unsigned __int128)time_hz() * ns / SEC);
}

static void arm(uint64_t at)
{
	mb(); /* the mode, then the deadline */
	wrmsr(MSR_TSC_DEADLINE, at);
}

static void by_zero(void)
{
	wrmsr(MSR_TSC_DEADLINE, 0);
}

static void by_mode(void)
{
	wrmsr(X2APIC_LVT_TIMER, (uint32_t)vector);
	wrmsr(X2APIC_LVT_TIMER, LVT_TSC | (uint32_t)vector);
}

/* Whether no interrupt comes. A host that stops this CPU for so long that the deadline passes gets a longer time. */
static bool disarms(void (*disarm)(void))
{
	uint64_t ns, at;

	for (ns = 4 * TIME; ns < SEC; ns *= 4) {
		begin(LVT_TSC);
		at = rdtsc() + tsc_ticks(ns);
		arm(at);
		disarm();
		if (rdtsc() < at)
			return !spin_until(1, 2 * ns);
		(void)spin_until(1, ns); /* it was over before it was taken back */
	}
	return true;
}

static void try_deadlines(void *arg)
{
	const uint64_t far = rdtsc() + tsc_ticks(3600 * SEC);
	struct deadline *d = arg;

	begin(LVT_TSC);
	arm(1);
	d->past = spin_until(1, test_sec());
	begin(LVT_TSC);
	arm(far);
	d->armed = rdmsr(MSR_TSC_DEADLINE) == far;
	arm(rdtsc() + tsc_ticks(TIME));
	d->future = spin_until(1, test_sec());
	d->over = rdmsr(MSR_TSC_DEADLINE);
	d->disarmed = disarms(by_zero);
	d->other_mode = disarms(by_mode);
	end();
}

TEST(timer_deadline,
     .id = "boot.apic.timer_deadline",
     .clause = "Intel SDM 3A, 11.5.4.1: a deadline in the past interrupts at once; over, the register reads 0; 0 and a change of the mode disarm it",
     .owner = OWNER,
     .timeout = 60 * SEC)
{
	unsigned int cpu;

	get_vector(t);
	if (strcmp(apic_timer_mode(), "tsc-deadline") != 0)
		test_skip(t, "this CPU has no TSC-deadline mode (CPUID.1:ECX bit 24)");
	for (cpu = 0; cpu < smp_cpus_online() && cpu < 2; cpu++) {
		struct deadline d = { 0 };

		if (smp_call(cpu, try_deadlines, &d, 8 * test_sec()))
			test_error(t, "CPU %u does not answer", cpu);
		expect(t, d.past, "CPU %u: no interrupt by a deadline in the past", cpu);
		expect(t, d.armed, "CPU %u: a deadline that is armed reads otherwise", cpu);
		expect(t, d.future, "CPU %u: no interrupt by a deadline that was moved nearer",
		       cpu);
		expect_eq(t, d.over, 0, "IA32_TSC_DEADLINE of CPU %u behind its interrupt", cpu);
		expect(t, d.disarmed, "CPU %u: an interrupt by a deadline that was taken back",
		       cpu);
		expect(t, d.other_mode,
		       "CPU %u: an interrupt by a deadline, though the mode changed", cpu);
	}
}
