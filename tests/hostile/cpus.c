/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostile.ring.cpus_*: several CPUs reach for one device at once, as no driver with a lock would let them. The registers of a
 * device are handled by the thread of the CPU that touches them, its queues by another one, so each access here meets
 * the others in the middle. The host promises what it promises of one CPU: the buffers of a queue in use are used once
 * each, a reset makes an end and a new start works (2.4.1), no byte changes outside of buffers. Hosts broke it by a
 * notification of a queue that was just taken away, by a worker that still had the old ring, by a lock that a reset and a
 * notification take in different orders. Seen by a plain buffer afterwards, by bytes behind the buffers, and by the
 * harness, which sees what crashed or hangs.
 */
#include "tests/support/cpus.h"
#include "tests/virtio/util.h"

#define OWNER  "the VMM's virtio front end, or the device's threads"
#define ROUNDS 50u
#define RESETS 12u
#define BATCH  4u

static struct storm {
	struct virtio_device *d;
	uint64_t turns[SMP_MAX_CPUS]; /* of each CPU */
	uint32_t stop;
} storm;

/* All that does not change what the device shall do: notifications of any queue, reads of any register. */
static void touch_all(void *arg)
{
	struct virtio_device *d = storm.d;
	uint64_t *turns = arg;
	uint8_t byte;
	uint16_t q;

	while (!__atomic_load_n(&storm.stop, __ATOMIC_RELAXED)) {
		for (q = 0; q < d->max_queues; q++)
			d->ops->notify(d, q, 0);
		(void)d->ops->config_read(d, (uint32_t)(*turns % 8), &byte, 1);
		(void)d->ops->config_generation(d);
		(void)d->ops->get_status(d);
		__atomic_add_fetch(turns, 1, __ATOMIC_RELAXED);
	}
}

static void storm_begins(struct test_ctx *t, struct virtio_device *d)
{
	unsigned int cpu;

	storm = (struct storm){ .d = d };
	for (cpu = 1; cpu < smp_cpus_online(); cpu++)
		CPU_OK(t, cpu, smp_call_async(cpu, touch_all, &storm.turns[cpu]));
	for (cpu = 1; cpu < smp_cpus_online(); cpu++)
		require(t,
			wait_for(__atomic_load_n(&storm.turns[cpu], __ATOMIC_RELAXED), ANSWER_NS),
			"%s: CPU %u does not come back from its registers", vt_who(d), cpu);
}

/* A CPU that does not come back hangs in an access to the device. */
static void storm_ends(struct test_ctx *t)
{
	unsigned int cpu;

	__atomic_store_n(&storm.stop, 1, __ATOMIC_RELAXED);
	for (cpu = 1; cpu < smp_cpus_online(); cpu++)
		CPU_OK(t, cpu, smp_wait(cpu, ANSWER_NS));
}

TEST(hostile_cpus_registers,
     .id = "hostile.ring.cpus_notify",
     .clause = "virtio 1.4, 2.9 and 2.5: notifications and reads by other CPUs change nothing for a queue in use",
     .owner = OWNER,
     .needs = NEED_VIRTIO | NEED_SMP,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i, k;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		actor_up(t, &a, &how);
		storm_begins(t, a.d);
		for (k = 0; k < ROUNDS; k++)
			actor_one(t, &a);
		storm_ends(t);
		expect(t, !wait_for(vq_raw_used_count(a.vq), QUIET_NS),
		       "%s: %u buffers came back, and %u more", vt_who(a.d), ROUNDS,
		       vq_raw_used_count(a.vq));
		expect(t, actor_in_bounds(&a), "%s: memory was written that no buffer covers",
		       vt_who(a.d));
	}
}

/* A queue with buffers on their way is taken away, again and again, while others notify it. */
TEST(hostile_cpus_resets,
     .id = "hostile.ring.cpus_reset",
     .clause = "virtio 1.4, 2.4.1 MUST: a reset in the middle of traffic makes an end; 3.1.1: the device works when it is set up again",
     .owner = OWNER,
     .needs = NEED_VIRTIO | NEED_SMP,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i, k, used;
	uint16_t n;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		actor_up(t, &a, &how);
		storm_begins(t, a.d);
		for (k = 0; k < RESETS; k++) {
			actor_prepare(&a, true);
			for (n = 0; n < BATCH; n++)
				actor_desc(&a, n, 0, a.len, actor_flags(&a), 0);
			actor_post_batch(&a, BATCH);
			vq_notify(a.vq);
			/* With some of them under way, or none, or all. */
			(void)actor_wait(&a, k % (BATCH + 1), ANSWER_NS);
			require(t, vt_clear_status(a.d), "%s: reset %u does not end", vt_who(a.d),
				k);
			used = vq_raw_used_count(a.vq);
			require(t, used <= BATCH, "%s: %u of %u buffers were used", vt_who(a.d),
				used, BATCH);
			/* The storm makes a wait a long one: it is for each fourth. */
			expect(t,
			       k % 4 != 3 ||
				       !wait_for(vq_raw_used_count(a.vq) != used, QUIET_NS / 8),
			       "%s: a buffer is used behind reset %u", vt_who(a.d), k);
			require(t, actor_in_bounds(&a),
				"%s: reset %u: memory was written that no buffer covers",
				vt_who(a.d), k);
			actor_up(t, &a, &how);
		}
		storm_ends(t);
		actor_one(t, &a);
		expect(t, !wait_for(vq_raw_used_count(a.vq), QUIET_NS),
		       "%s: a buffer from before the last reset was used", vt_who(a.d));
	}
}
