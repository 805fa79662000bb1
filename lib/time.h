/* SPDX-License-Identifier: BSD-2-Clause */
/* Monotonic time since the payload's start, and deadlines. Unit: nanoseconds. */
#ifndef LIB_TIME_H
#define LIB_TIME_H

#include <stdbool.h>
#include <stdint.h>

#define USEC 1000ull
#define MSEC 1000000ull
#define SEC  1000000000ull

/* Nanoseconds since time_init(); never goes back on one CPU. */
uint64_t time_now(void);
/* The counter's frequency in Hz and where it was learnt ("pit", "hpet", ...). */
uint64_t time_hz(void);
const char *time_source(void);

/* The i-th source of the frequency, the best first, NULL past the last; exact: it is more than a nominal or assumed
 * value. time_measure() measures the frequency by it, in Hz; 0: this machine does not have the source. */
const char *time_source_name(unsigned int i, bool *exact);
uint64_t time_measure(unsigned int i);

typedef uint64_t deadline_t; /* a point of time_now() */

static inline deadline_t deadline_in(uint64_t ns)
{
	return time_now() + ns;
}

static inline bool deadline_passed(deadline_t d)
{
	return time_now() >= d;
}

/* The option slow: the factor of time limits on a slow host, at least 1. */
uint64_t time_slow(void);
/* How long an answer may take that is due in a second: one second, times half the option slow. Nanoseconds. */
uint64_t time_sec(void);

/* One step of a polling loop (PAUSE). It never sleeps. */
void cpu_relax(void);
/*
 * A step of a polling loop that has waited for `waited` nanoseconds and has `left` to go. A short wait is a busy one. In a
 * long one the CPU halts until an interrupt comes, at most for a fraction of what it has waited, so that what it waits for
 * may have the host's CPU. It only halts where its timer was seen to wake it. By how much it slept too long, ns.
 */
uint64_t cpu_idle(uint64_t waited, uint64_t left);

struct wait {
	uint64_t start, ns;
	uint64_t lost; /* in which the host did not run this CPU */
};
static inline struct wait wait_begin(uint64_t ns)
{
	return (struct wait){ time_now(), ns, 0 };
}
/*
 * One step. false: the time is over. Time in which the host did not run this CPU does not count, up to three times what
 * was asked for.
 */
bool wait_more(struct wait *w);

/* Polls cond until it holds or ns nanoseconds are over; its value is whether cond held. */
#define wait_for(cond, ns)                                                                         \
	({                                                                                         \
		struct wait wait_ = wait_begin(ns);                                                \
		bool wait_ok_;                                                                     \
		while (!(wait_ok_ = !!(cond)) && wait_more(&wait_))                                \
			;                                                                          \
		wait_ok_;                                                                          \
	})

#endif
