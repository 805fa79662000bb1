/* SPDX-License-Identifier: BSD-2-Clause */
/* timer.h: sets the one timer of a CPU to the nearest of the times that its users wait for. */
#include "lib/x86_64/timer.h"

#include <errno.h>
#include <stddef.h>

#include "lib/irq.h"
#include "lib/mmio.h"
#include "lib/time.h"
#include "lib/x86_64/apic.h"
#include "lib/x86_64/traps.h"

/* An interrupt is early when it comes more than this before its time. Calibration may err by less. */
#define EARLY_PART 16
#define EARLY_NS   (20 * USEC)

/* A CPU that waits is busy for so long, and then halts for such a part of what it has waited. */
#define BUSY_NS	  (500 * USEC)
#define IDLE_PART 8
#define IDLE_MAX  (4 * MSEC)
#define IDLE_LATE (10 * MSEC) /* it does not come any more, as after INIT */
#define IDLE_TRUST_NS                                                                              \
	(100 * MSEC) /* for so long a timer that interrupted is taken to do so again */

/* Sets the hardware to the nearest point, or as near to it as it can count. Interrupts are off. */
static void program(struct cpu *c)
{
	uint64_t next = 0, now;
	unsigned int i;

	for (i = 0; i < TIMERS; i++)
		if (c->timer[i].at && (!next || c->timer[i].at < next))
			next = c->timer[i].at;
	if (!next) {
		c->timer_next = 0;
		apic_timer_set(0);
		return;
	}
	now = time_now();
	next = next > now ? next - now : 1;
	next = next < apic_timer_max() ? next : apic_timer_max();
	c->timer_next = now + next - next / EARLY_PART - (next > EARLY_NS ? EARLY_NS : next);
	apic_timer_set(next);
}

void timer_set(unsigned int which, uint64_t at, void (*fn)(void *arg), void *arg)
{
	struct cpu *c = this_cpu();
	const bool enabled = irq_save();

	c->timer[which].at = at;
	c->timer[which].fn = fn;
	c->timer[which].arg = arg;
	program(c);
	irq_restore(enabled);
}

void timer_interrupt(struct trap_frame *f)
{
	struct cpu *c = this_cpu();

	if (!c->timer_next || time_now() < c->timer_next)
		__atomic_fetch_add(&c->timer_strays, 1, __ATOMIC_RELAXED);
	if (c->timer[TIMER_ONCE].at && deadline_passed(c->timer[TIMER_ONCE].at)) {
		c->timer[TIMER_ONCE].at = 0;
		c->timer[TIMER_ONCE].fn(c->timer[TIMER_ONCE].arg);
	}
	if (c->timer[TIMER_IDLE].at && deadline_passed(c->timer[TIMER_IDLE].at)) {
		c->timer[TIMER_IDLE].at = 0;
		c->idle_woken = time_now();
	}
	if (c->timer[TIMER_WATCHDOG].at && deadline_passed(c->timer[TIMER_WATCHDOG].at)) {
		c->timer[TIMER_WATCHDOG].at = 0;
		guard_timer(f);
	}
	program(c);
}

/* Else it would wake whoever waits for TIMER_ONCE, too. One that is overdue does not come any more. */
static void end_idle_timer(struct cpu *c)
{
	while (irq_enabled() && READ_ONCE(c->timer[TIMER_IDLE].at) &&
	       !deadline_passed(READ_ONCE(c->timer[TIMER_IDLE].at) + IDLE_LATE))
		cpu_relax();
	c->timer[TIMER_IDLE].at = 0;
}

int irq_timer_once(uint64_t ns, irq_handler_t fn, void *arg)
{
	if (ns && !fn)
		return -EINVAL;
	if (ns)
		end_idle_timer(this_cpu());
	timer_set(TIMER_ONCE, ns ? deadline_in(ns) : 0, fn, arg);
	return 0;
}

/* A timer that is set is left as it is, since one that is set anew while it fires would interrupt before its time. */
static void set_idle_timer(struct cpu *c, uint64_t ns)
{
	const uint64_t at = c->timer[TIMER_IDLE].at;

	if (!at || deadline_passed(at + IDLE_LATE))
		timer_set(TIMER_IDLE, deadline_in(ns), NULL, NULL);
}

/* Whoever set TIMER_ONCE may look at the timer itself. */
static bool may_halt(const struct cpu *c)
{
	return !c->vector && !c->timer[TIMER_ONCE].at;
}

static bool will_wake(const struct cpu *c)
{
	return c->timer[TIMER_IDLE].at && !deadline_passed(c->idle_woken + IDLE_TRUST_NS);
}

uint64_t cpu_idle(uint64_t waited, uint64_t left)
{
	uint64_t ns = waited / IDLE_PART, before, slept;

	cpu_relax();
	if (waited < BUSY_NS || !irq_enabled() || !may_halt(this_cpu()))
		return 0;
	ns = ns < IDLE_MAX ? ns : IDLE_MAX;
	set_idle_timer(this_cpu(), ns < left ? ns : left);
	irq_save();
	before = time_now();
	if (will_wake(this_cpu()))
		irq_halt();
	slept = time_now() - before;
	irq_restore(true);
	return slept > ns + IDLE_LATE ? slept - ns : 0;
}
