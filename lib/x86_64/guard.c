/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A test ends early by guard_leave(), by the watchdog's timer or by an exception. The latter two change the
 * interrupted frame, so that IRET goes to code that jumps back into guarded_call().
 */
#include "lib/guard.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>

#include "lib/console.h"
#include "lib/irq.h"
#include "lib/libc.h"
#include "lib/test.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/timer.h"
#include "lib/x86_64/traps.h"

#define HOLD_STEP MSEC
#define HOLD_MAX  (200 * MSEC)
/* The code that jumps back has its stack this far below the frame that it jumps to. */
#define BELOW 4096

static struct {
	jmp_buf env;
	bool active;
	deadline_t deadline;
	uint64_t extra; /* atomic: ns, by guard_extend() */
	uint64_t most;	/* of that */
	uint64_t rsp;	/* a stack pointer below the frame of guarded_call() */
	char *why;
	size_t why_size;
} guard; /* owner: CPU 0, which runs the tests */

void guard_hold(void)
{
	this_cpu()->hold++;
	__asm__ volatile("" ::: "memory");
}

void guard_drop(void)
{
	struct cpu *c = this_cpu();

	__asm__ volatile("" ::: "memory");
	if (c->hold)
		c->hold--;
}

void guard_extend(uint64_t ns)
{
	__atomic_add_fetch(&guard.extra, ns, __ATOMIC_RELAXED);
}

void guard_clean_up(void)
{
	this_cpu()->hold = 0;
	this_cpu()->trap_env = NULL;
	libc_unlock_all();
	console_fresh_line();
}

bool guard_active(void)
{
	return guard.active;
}

static _Noreturn void leave_timeout(void)
{
	longjmp(guard.env, GUARD_TIMEOUT);
}

static _Noreturn void leave_exception(void)
{
	longjmp(guard.env, GUARD_EXCEPTION);
}

void guard_timer(struct trap_frame *f)
{
	const uint64_t extra = __atomic_exchange_n(&guard.extra, 0, __ATOMIC_RELAXED);

	if (!guard.active)
		return;
	if (extra && guard.most) {
		const uint64_t more = extra < guard.most ? extra : guard.most;

		guard.most -= more;
		guard.deadline += more;
		timer_set(TIMER_WATCHDOG, guard.deadline, NULL, NULL);
		return;
	}
	if (this_cpu()->hold && !deadline_passed(guard.deadline + HOLD_MAX)) {
		timer_set(TIMER_WATCHDOG, time_now() + HOLD_STEP, NULL, NULL);
		return;
	}
	snprintf(guard.why, guard.why_size, "rip=0x%llx", (unsigned long long)f->rip);
	trap_redirect(f, leave_timeout, guard.rsp);
}

bool guard_exception(struct trap_frame *f)
{
	int n;

	if (!guard.active)
		return false;
	n = snprintf(guard.why, guard.why_size, "%s error=0x%llx rip=0x%llx",
		     trap_plain_name(f->vector), (unsigned long long)f->error_code,
		     (unsigned long long)f->rip);
	if (f->vector == VEC_PF && n > 0 && (size_t)n < guard.why_size)
		snprintf(guard.why + n, guard.why_size - (size_t)n, " address=0x%llx",
			 (unsigned long long)read_cr2());
	trap_redirect(f, leave_exception, guard.rsp);
	return true;
}

_Noreturn void guard_leave(void)
{
	longjmp(guard.env, GUARD_LEFT);
}

enum guard_end guarded_call(void (*fn)(void *), void *arg, uint64_t timeout_ns, char *why,
			    size_t why_size)
{
	int end;

	guard.why = why;
	guard.why_size = why_size;
	guard.deadline = deadline_in(timeout_ns);
	guard.extra = 0;
	guard.most = 3 * timeout_ns;
	guard.rsp = (uint64_t)(uintptr_t)__builtin_frame_address(0) - BELOW;
	end = setjmp(guard.env);
	if (end == 0) {
		guard.active = true;
		irq_enable();
		timer_set(TIMER_WATCHDOG, guard.deadline, NULL, NULL);
		fn(arg);
	}
	guard.active = false;
	timer_set(TIMER_WATCHDOG, 0, NULL, NULL);
	timer_set(TIMER_ONCE, 0, NULL, NULL);
	guard_clean_up();
	irq_enable();
	return (enum guard_end)end;
}

/* --- deliberate traps ------------------------------------------------------------------ */

struct trap_env {
	jmp_buf env;
	uint64_t rsp;
};

static _Noreturn void leave_trap(void)
{
	struct trap_env *e = this_cpu()->trap_env;

	longjmp(e->env, 1);
}

void trap_leave(struct trap_frame *f)
{
	struct cpu *c = this_cpu();
	const struct trap_env *e = c->trap_env;

	if (c->trap_info) {
		c->trap_info->vector = (uint32_t)f->vector;
		c->trap_info->error_code = f->error_code;
		c->trap_info->ip = f->rip;
		c->trap_info->addr = f->vector == VEC_PF ? read_cr2() : 0;
	}
	trap_redirect(f, leave_trap, e->rsp);
}

int trap_call(void (*fn)(void *), void *arg, struct trap_info *info)
{
	struct cpu *c = this_cpu();
	const bool enabled = irq_enabled();
	const unsigned int hold = c->hold;
	volatile int ret = 0;
	struct trap_env e;

	e.rsp = (uint64_t)(uintptr_t)__builtin_frame_address(0) - BELOW;
	if (setjmp(e.env) == 0) {
		c->trap_info = info;
		c->trap_env = &e;
		fn(arg);
	} else {
		ret = -EFAULT;
		c->hold = hold;
	}
	c->trap_env = NULL;
	if (!enabled)
		irq_save();
	return ret;
}
