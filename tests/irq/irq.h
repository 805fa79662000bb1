/* SPDX-License-Identifier: BSD-2-Clause */
/* What the irq.* tests share: who took how many interrupts, and traffic that depends on them. */
#ifndef TESTS_IRQ_H
#define TESTS_IRQ_H

#include "lib/irq.h"
#include "lib/smp.h"
#include "tests/virtio/util.h"

/* Interrupts of the watched event since irq_watch(); written by the handler (atomics). */
struct irq_seen {
	uint64_t total;
	uint64_t cpu[SMP_MAX_CPUS];
	uint64_t at; /* time_now() of the last */
};
extern struct irq_seen irq_seen;

/* Counts from 0 the interrupts that tell of this queue; a shared vector or line once each. */
void irq_watch(struct virtio_device *d, uint16_t queue);
uint64_t irq_total(void);
/* The n-th actor and interrupt mode, up, used once and watched. As actor_mode_up(). */
bool irq_subject(struct test_ctx *t, unsigned int n, struct actor *a);
/* A note if more came than there were causes: the specification tolerates that (2.7.7.2 is about too few). */
void irq_note_more(struct test_ctx *t, const struct actor *a, uint64_t causes, const char *what);
/* Interrupts on vectors of other events of this device since it came up; 0 where all share one. */
uint64_t irq_elsewhere(const struct virtio_device *d, uint16_t queue);
/* One buffer, used; then its interrupt, in time. Neither: the test ends as a FAIL with the state. */
void irq_round(struct test_ctx *t, struct actor *a, const char *when);
/* Ring, pending bit and counters of a queue, for a FAIL; one buffer for all callers. */
const char *irq_state(struct virtio_device *d, uint16_t queue);
/* Ends the test as a SKIP when nothing was tried. */
void irq_need(struct test_ctx *t, unsigned int tried, const char *what);

/*
 * What happens to the interrupt meanwhile, again and again: on another CPU where there is one, else
 * between two buffers.
 */
struct irq_chaos {
	/* Once; leaves the interrupt usable. false: what is in use has no such thing. */
	bool (*once)(struct irq_chaos *c);
	struct virtio_device *d;
	int event;
	uint32_t random;
	uint64_t times;	    /* atomic */
	bool stop, recheck; /* atomic; recheck: what came meanwhile may have been lost by right */
	bool elsewhere;
};
bool irq_chaos_start(struct irq_chaos *c);
/* In the loop of the traffic. */
void irq_chaos_turn(struct irq_chaos *c);
void irq_chaos_stop(struct test_ctx *t, struct irq_chaos *c);
unsigned int irq_random(struct irq_chaos *c, unsigned int below);

bool irq_chaos_mask(struct irq_chaos *c);
bool irq_chaos_function_mask(struct irq_chaos *c);
bool irq_chaos_steer(struct irq_chaos *c);
bool irq_chaos_off_on(struct irq_chaos *c);

/* How long a storm lasts, ns: irq.storm=SECONDS, else 0.125 s. */
uint64_t irq_storm_ns(struct test_ctx *t);

#endif
