/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC's timer, shared by the watchdog and irq_timer_once(). */
#ifndef LIB_X86_64_TIMER_H
#define LIB_X86_64_TIMER_H

#include <stdint.h>

/* Timer `which` (traps.h) of this CPU fires at `at` (time_now()); 0 stops it. fn is called with interrupts
 * off; the watchdog has none. */
void timer_set(unsigned int which, uint64_t at, void (*fn)(void *arg), void *arg);

#endif
