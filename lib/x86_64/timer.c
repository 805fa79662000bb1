/* SPDX-License-Identifier: BSD-2-Clause */
/* timer.h: sets the one timer of a CPU to the nearest of the times that its users wait for. */
#include "lib/x86_64/timer.h"

#include <errno.h>
#include <stddef.h>

#include "lib/irq.h"
#include "lib/time.h"
#include "lib/x86_64/apic.h"
#include "lib/x86_64/traps.h"

/* An interrupt is early when it comes more than this before its time. Calibration may err by less. */
#define EARLY_PART 16
#define EARLY_NS   (20 * USEC)

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
	if (c->timer[TIMER_WATCHDOG].at && deadline_passed(c->timer[TIMER_WATCHDOG].at)) {
		c->timer[TIMER_WATCHDOG].at = 0;
		guard_timer(f);
	}
	program(c);
}

int irq_timer_once(uint64_t ns, irq_handler_t fn, void *arg)
{
	if (ns && !fn)
		return -EINVAL;
	timer_set(TIMER_ONCE, ns ? deadline_in(ns) : 0, fn, arg);
	return 0;
}
