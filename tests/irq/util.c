/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/irq/irq.h"

#include <stdio.h>
#include <string.h>

#include "lib/cmdline.h"
#include "tests/vsock/env.h"

OPTION("irq.storm",
       "seconds that each irq.storm.* test lasts, 0 is an eighth; raise timeout= as well");

struct irq_seen irq_seen;
static uint16_t watched;

static void on_queue(struct virtio_device *d, uint16_t queue)
{
	/* Where queues share a vector or a line, the handler calls for each queue; one call counts. */
	if (queue != (d->irq_mode == VIRTIO_IRQ_MSIX ? watched : 0))
		return;
	__atomic_store_n(&irq_seen.at, time_now(), __ATOMIC_RELAXED);
	__atomic_fetch_add(&irq_seen.cpu[smp_this_cpu()], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&irq_seen.total, 1, __ATOMIC_RELEASE);
}

void irq_watch(struct virtio_device *d, uint16_t queue)
{
	d->on_queue = NULL;
	memset(&irq_seen, 0, sizeof(irq_seen));
	watched = queue;
	d->on_queue = on_queue;
}

uint64_t irq_total(void)
{
	return __atomic_load_n(&irq_seen.total, __ATOMIC_ACQUIRE);
}

bool irq_subject(struct test_ctx *t, unsigned int n, struct actor *a)
{
	const struct bring_up how = { 0 };

	if (!actor_mode_up(t, n, &how, a))
		return false;
	irq_watch(a->d, a->queue);
	irq_round(t, a, "the first one");
	/* What the device raised when it started comes in this time. */
	(void)wait_for(false, QUIET_NS / 10);
	irq_watch(a->d, a->queue);
	return true;
}

const char *irq_state(struct virtio_device *d, uint16_t queue)
{
	static char text[160];
	const int pending = virtio_irq_ctl(d, VIRTIO_IRQ_PENDING, queue, 0);

	snprintf(
		text, sizeof(text),
		"%u used buffers not taken, %u buffers with the device, %s, %u interrupts, %u elsewhere, %u without a cause",
		vq_raw_used_count(d->vq[queue]), vq_in_flight(d->vq[queue]),
		pending < 0 ? "no pending bit" :
		pending	    ? "pending" :
			      "not pending",
		(unsigned int)irq_total(), (unsigned int)irq_spurious_count(NULL),
		(unsigned int)__atomic_load_n(&d->irqs.unexpected, __ATOMIC_RELAXED));
	return text;
}

void irq_note_more(struct test_ctx *t, const struct actor *a, uint64_t causes, const char *what)
{
	if (irq_total() > causes)
		test_note(t, "%s, %s: %u interrupts for %u causes", actor_who(a), what,
			  (unsigned int)irq_total(), (unsigned int)causes);
}

uint64_t irq_elsewhere(const struct virtio_device *d, uint16_t queue)
{
	uint64_t n = 0;
	uint16_t q;

	if (d->irq_mode != VIRTIO_IRQ_MSIX)
		return 0;
	for (q = 0; q < d->num_queues; q++)
		if (q != queue)
			n += __atomic_load_n(&d->irqs.queue[q], __ATOMIC_RELAXED);
	return n + __atomic_load_n(&d->irqs.config, __ATOMIC_RELAXED);
}

void irq_round(struct test_ctx *t, struct actor *a, const char *when)
{
	const uint64_t before = irq_total();

	actor_prepare(a, true);
	require(t, actor_round(a), "%s, %s: a buffer is not used in time", actor_who(a), when);
	require(t, wait_for(irq_total() > before, ANSWER_NS),
		"%s, %s: a used buffer, and no interrupt in time (%s)", actor_who(a), when,
		irq_state(a->d, a->queue));
}

void irq_silent(struct test_ctx *t, const struct actor *a, const char *when)
{
	(void)wait_for(irq_total(), QUIET_NS);
	expect_eq(t, irq_total(), 0, "%s: interrupts %s", actor_who(a), when);
}

void irq_comes(struct test_ctx *t, const struct actor *a, const char *when)
{
	expect(t, wait_for(irq_total(), ANSWER_NS), "%s: no interrupt in time %s (%s)",
	       actor_who(a), when, irq_state(a->d, a->queue));
}

/* --- chaos ----------------------------------------------------------------------------------- */

unsigned int irq_random(struct irq_chaos *c, unsigned int below)
{
	c->random = c->random * 1664525u + 1013904223u;
	return (c->random >> 8) % below;
}

static void pause_some(struct irq_chaos *c)
{
	unsigned int n = irq_random(c, 300);

	while (n--)
		cpu_relax();
}

static void chaos_main(void *arg)
{
	struct irq_chaos *c = arg;

	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
		c->once(c);
		__atomic_fetch_add(&c->times, 1, __ATOMIC_RELAXED);
		pause_some(c);
	}
}

static struct irq_chaos *at_work; /* on CPU 1 */

bool irq_chaos_start(struct irq_chaos *c)
{
	c->times = 0;
	c->stop = c->recheck = false;
	if (!c->once(c))
		return false;
	c->elsewhere = smp_call_async(1, chaos_main, c) == 0;
	at_work = c->elsewhere ? c : NULL;
	return true;
}

void irq_chaos_turn(struct irq_chaos *c)
{
	if (c->elsewhere)
		return;
	c->once(c);
	c->times++;
}

void irq_chaos_stop(struct test_ctx *t, struct irq_chaos *c)
{
	__atomic_store_n(&c->stop, true, __ATOMIC_RELEASE);
	at_work = NULL;
	if (c->elsewhere && smp_wait(1, ANSWER_NS))
		test_error(t, "CPU 1 does not come back");
}

bool irq_chaos_mask(struct irq_chaos *c)
{
	if (virtio_irq_ctl(c->d, VIRTIO_IRQ_MASK, c->event, 1))
		return false;
	pause_some(c);
	return virtio_irq_ctl(c->d, VIRTIO_IRQ_MASK, c->event, 0) == 0;
}

#define PENDING_NS (2 * MSEC) /* some hosts show no pending bit: then it is this long */

bool irq_chaos_function_mask(struct irq_chaos *c)
{
	if (c->d->irq_mode < VIRTIO_IRQ_MSIX1)
		return false;
	virtio_irq_ctl(c->d, VIRTIO_IRQ_MASK, VIRTIO_EVENT_ALL, 1);
	/*
	 * In half of the rounds the function stays masked until a message is pending, however slow the device is: a host
	 * that loses messages at the unmasking loses this one.
	 */
	if (irq_random(c, 2))
		pause_some(c);
	else
		(void)wait_for(virtio_irq_ctl(c->d, VIRTIO_IRQ_PENDING, c->event, 0) > 0,
			       PENDING_NS);
	return virtio_irq_ctl(c->d, VIRTIO_IRQ_MASK, VIRTIO_EVENT_ALL, 0) == 0;
}

bool irq_chaos_steer(struct irq_chaos *c)
{
	/* An edge-triggered line loses what comes while its pin is rewritten. */
	if (c->d->irq_mode < VIRTIO_IRQ_MSIX1 && virtio_irq_ctl(c->d, VIRTIO_IRQ_MASK, c->event, 0))
		return false;
	return virtio_irq_ctl(c->d, VIRTIO_IRQ_STEER, c->event, irq_random(c, smp_cpus_online())) ==
	       0;
}

/* With MSI-X off the device uses its line, which is off as well: a cause in this time may be lost. */
bool irq_chaos_off_on(struct irq_chaos *c)
{
	const deadline_t calm = deadline_in(MSEC);

	if (virtio_irq_ctl(c->d, VIRTIO_IRQ_ENABLE, 0, 0))
		return false;
	pause_some(c);
	virtio_irq_ctl(c->d, VIRTIO_IRQ_ENABLE, 0, 1);
	__atomic_store_n(&c->recheck, true, __ATOMIC_RELEASE);
	while (c->elsewhere && !deadline_passed(calm))
		cpu_relax();
	return true;
}

uint64_t irq_storm_ns(struct test_ctx *t)
{
	const uint64_t s = cmdline_get_u64("irq.storm", 0), left = test_time_left(t) / 2;

	return !s ? SEC / 8 : s * SEC < left ? s * SEC : left;
}

/* --- the fixture ------------------------------------------------------------------------------ */

static int set_up(void)
{
	vt_reset_all();
	return 0;
}

/* First ends what a failed test left at work on another CPU, then the vsock driver, then the queues. */
static void tear_down(void)
{
	if (at_work) {
		__atomic_store_n(&at_work->stop, true, __ATOMIC_RELEASE);
		(void)smp_wait(1, ANSWER_NS);
		at_work = NULL;
	}
	vsock_env_drop();
	vt_settle();
}
FIXTURE(irq_suite, .suite = "irq.", .setup = set_up, .teardown = tear_down);
