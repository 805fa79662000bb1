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

/* Counts, from 0, the interrupts that tell of this queue. One on a shared vector or line counts once. */
void irq_watch(struct virtio_device *d, uint16_t queue);
uint64_t irq_total(void);
/* The n-th actor in the n-th interrupt mode, as by actor_mode_up(): it has used a buffer, and is watched. */
bool irq_subject(struct test_ctx *t, unsigned int n, struct actor *a);
/* Notes that more interrupts came than there were causes. That is no FAIL: 2.7.7.2 is about too few. */
void irq_note_more(struct test_ctx *t, const struct actor *a, uint64_t causes, const char *what);
/* Interrupts on vectors of other events of this device since it came up; 0 where all share one. */
uint64_t irq_elsewhere(const struct virtio_device *d, uint16_t queue);
/* Sends a buffer and waits until it is used and its interrupt has come; else the test FAILs with the state. */
void irq_round(struct test_ctx *t, struct actor *a, const char *when);
/* No interrupt has come since irq_watch(), nor does one soon; or one has, or does in time. `when` ends the message. */
void irq_silent(struct test_ctx *t, const struct actor *a, const char *when);
void irq_comes(struct test_ctx *t, const struct actor *a, const char *when);
/* Ring, pending bit and counters of a queue in words, for a FAIL. All callers share one buffer. */
const char *irq_state(struct virtio_device *d, uint16_t queue);

/*
 * Something that is done to the interrupt again and again during traffic: by another CPU where there is one, else
 * between two buffers.
 */
struct irq_chaos {
	/* Does it once, and leaves the interrupt usable. false: this kind of interrupt has no such thing. */
	bool (*once)(struct irq_chaos *c);
	struct virtio_device *d;
	int event;
	uint32_t random;
	uint64_t times; /* atomic */
	bool stop,
		recheck; /* atomic; recheck: an interrupt may be lost rightly, so that the ring is looked at */
	bool elsewhere;
};
bool irq_chaos_start(struct irq_chaos *c);
/* Called in the loop of the traffic. */
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
