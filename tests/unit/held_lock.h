/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lock that somebody else has for a while: what takes it comes back only when it was given up. Where the machine is slow
 * the lock may be free before anybody wants it, and then nothing is seen.
 */
#ifndef TESTS_UNIT_HELD_LOCK_H
#define TESTS_UNIT_HELD_LOCK_H

#include <signal.h>
#include <sys/time.h>

#include "lib/spinlock.h"

static spinlock_t *held_lock;
static volatile sig_atomic_t held_given_up;

static void held_give_up(int sig)
{
	(void)sig;
	held_given_up = 1;
	spin_unlock(held_lock);
}

/* Takes the lock, and gives it up some milliseconds later. */
static void hold(spinlock_t *l)
{
	const struct itimerval soon = { .it_value = { .tv_usec = 5000 } };

	held_lock = l;
	held_given_up = 0;
	signal(SIGALRM, held_give_up);
	assert_true(spin_trylock(l));
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
}

/* What came since hold() has waited for it, and nobody has the lock. */
static void expect_waited(void)
{
	assert_true(held_given_up);
	assert_false(held_lock->taken);
}

#endif
