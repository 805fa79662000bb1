/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways out of a test: guard_leave() from the test itself, the watchdog's timer,
 * an exception. The latter two change the interrupted frame so that IRET goes to
 * code that jumps back into guarded_call().
 */
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "lib/irq.h"
#include "lib/test.h"
#include "lib/x86_64/apic.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/traps.h"

static struct {
	jmp_buf env;
	bool active;
	deadline_t deadline;
	uint64_t rsp; /* a sane stack pointer inside guarded_call() */
	char *why;
	size_t why_size;
} guard; /* owner: CPU 0, which runs the tests */

static _Noreturn void leave_timeout(void)
{
	longjmp(guard.env, GUARD_TIMEOUT);
}

static _Noreturn void leave_exception(void)
{
	longjmp(guard.env, GUARD_EXCEPTION);
}

/* IRET goes to fn, on the stack of guarded_call(), as if called from it. */
static void redirect(struct trap_frame *f, void (*fn)(void), uint64_t rsp)
{
	f->rip = (uint64_t)(uintptr_t)fn;
	f->cs = SEL_CODE64;
	f->ss = SEL_DATA;
	f->rsp = ((rsp - 256) & ~15ull) - 8;
	f->rflags = RFLAGS_IF | 2;
}

void guard_timer(struct trap_frame *f)
{
	if (!guard.active || this_cpu()->index != 0)
		return;
	if (!deadline_passed(guard.deadline)) { /* the timer's range is shorter than the deadline */
		apic_timer_set(guard.deadline - time_now());
		return;
	}
	snprintf(guard.why, guard.why_size, "rip=0x%llx", (unsigned long long)f->rip);
	redirect(f, leave_timeout, guard.rsp);
}

bool guard_exception(struct trap_frame *f)
{
	if (!guard.active)
		return false;
	snprintf(guard.why, guard.why_size, "%s error=0x%llx rip=0x%llx address=0x%llx",
		 trap_name(f->vector), (unsigned long long)f->error_code,
		 (unsigned long long)f->rip, (unsigned long long)read_cr2());
	redirect(f, leave_exception, guard.rsp);
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
	guard.rsp = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	/* Below this frame, so that its own locals stay whole. */
	guard.rsp -= 4096;
	end = setjmp(guard.env);
	if (end == 0) {
		guard.active = true;
		irq_enable();
		apic_timer_set(timeout_ns);
		fn(arg);
	}
	guard.active = false;
	apic_timer_set(0);
	this_cpu()->trap_env = NULL;
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
		c->trap_info->addr = read_cr2();
	}
	redirect(f, leave_trap, e->rsp);
}

int trap_call(void (*fn)(void *), void *arg, struct trap_info *info)
{
	struct cpu *c = this_cpu();
	struct trap_env e;
	volatile int ret = 0;

	e.rsp = (uint64_t)(uintptr_t)__builtin_frame_address(0) - 4096;
	if (setjmp(e.env) == 0) {
		c->trap_info = info;
		c->trap_env = &e;
		fn(arg);
	} else {
		ret = -EFAULT;
	}
	c->trap_env = NULL;
	return ret;
}
