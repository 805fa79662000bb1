/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostile.ring.cpus_*: several CPUs reach for one device at once, as no driver with a lock would let them. The registers of a
 * device are handled by the thread of the CPU that touches them, its queues by another one, so each access here meets
 * the others in the middle. The host promises what it promises of one CPU: the buffers of a queue in use are used once
 * each, a reset makes an end and a new start works (2.4.1), no byte changes outside of buffers. Where a CPU writes the queue
 * that the device reads, only the last two are left. Hosts broke it by descriptors that were read again once they had been
 * checked, by a notification of a queue that was just taken away, by a worker that still had the old ring, by a lock that a reset and a
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

/* --- a queue that changes while the device reads it ------------------------------------------------------ */

#define LIVES 3u
#define SLOTS 8u /* of the queue, all of which are written */

static struct writer {
	struct actor *a;
	uint64_t turns, state;
	uint32_t stop;
} writer;

static uint32_t draw(uint32_t n)
{
	writer.state = writer.state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(writer.state >> 33) % n;
}

/*
 * The device may meet the address of one descriptor with the length and the flags of another: each of them is such that
 * nothing behind the plain buffer is written. A table that a device could fill by itself would name any memory.
 */
static struct vq_raw_desc any_desc(const struct actor *a)
{
	static const uint16_t flags[] = {
		0,
		VRING_DESC_F_NEXT,
		VRING_DESC_F_NEXT,
		0x7f78,
		VRING_DESC_F_WRITE,
		VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
		VRING_DESC_F_INDIRECT,
		VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT,
	};
	const uint64_t addr[] = { a->addr, a->addr, a->addr, 1ull << 52, 0xfffffffffffffff0ull };
	const uint32_t len[] = { a->len, a->len, 0, 1, 16, 17 };

	return (struct vq_raw_desc){ .addr = addr[draw(5)],
				     .len = len[draw(6)],
				     .flags = flags[draw(a->writes ? 6 : 8)],
				     .next = (uint16_t)draw(SLOTS + 1) };
}

static void write_one(struct actor *a)
{
	const struct vq_raw_desc d = any_desc(a);
	const uint16_t slot = (uint16_t)draw(SLOTS);
	const uint16_t shown[] = { PVRING_DESC_F_AVAIL, PVRING_DESC_F_AVAIL, 0,
				   PVRING_DESC_F_AVAIL | PVRING_DESC_F_USED };

	if (a->packed)
		vq_packed_set_desc(
			actor_packed(a), slot,
			&(const struct vq_packed_desc){ d.addr, d.len, d.next,
							(uint16_t)(d.flags | shown[draw(4)]) });
	else
		vq_split_set_desc(actor_split(a), slot, &d);
}

static void write_lists(void *arg)
{
	struct writer *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		write_one(w->a);
		__atomic_add_fetch(&w->turns, 1, __ATOMIC_RELAXED);
	}
}

/* Buffers are made available one by one; what becomes of each is the device's choice. */
static void post_while_written(struct test_ctx *t, struct actor *a)
{
	uint16_t k;

	writer = (struct writer){ .a = a, .state = test_random(t) | 1 };
	CPU_OK(t, 1, smp_call_async(1, write_lists, &writer));
	require(t, wait_for(__atomic_load_n(&writer.turns, __ATOMIC_RELAXED), ANSWER_NS),
		"CPU 1 does not start to write");
	for (k = 0; k < SLOTS; k++) {
		actor_prepare(a, true);
		actor_desc(a, k, 0, a->len, actor_flags(a), 0);
		actor_post(a, k);
		vq_notify(a->vq);
		(void)wait_for(false, QUIET_NS / 40);
	}
	__atomic_store_n(&writer.stop, 1, __ATOMIC_RELAXED);
	CPU_OK(t, 1, smp_wait(1, ANSWER_NS));
}

TEST(hostile_cpus_lists,
     .id = "hostile.ring.cpus_lists",
     .clause = "virtio 1.4, 2.4.1 MUST: a reset brings a device back, also one whose queue was written by another CPU while it read it",
     .owner = "the device's virtqueue code",
     .needs = NEED_VIRTIO | NEED_SMP,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL, .size = SLOTS };
	struct actor a;
	unsigned int i, k;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		struct bring_up h = how;

		h.features = a.d->offered & VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC);
		for (k = 0; k < LIVES; k++) {
			actor_up(t, &a, &h);
			post_while_written(t, &a);
			expect(t, actor_in_bounds(&a),
			       "%s: memory was written that no buffer covers", vt_who(a.d));
			vt_must_reset(t, a.d);
		}
		actor_up(t, &a, &how);
		actor_one(t, &a);
	}
}
