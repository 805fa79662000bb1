/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irq.cpu.*: a CPU that sleeps in HLT is woken by a device, and each mode of its local APIC delivers (Intel SDM 3A,
 * 11.4.3 and 11.12.5).
 *
 * A host breaks this where a vCPU goes to sleep while an interrupt becomes pending (acrn-hypervisor issue 4664), or
 * where it keeps the routes of one APIC mode after a change to the other.
 *
 * A CPU takes 21 interrupts out of HLT; all CPUs change to each mode together, send IPIs to each other, and take the
 * devices' interrupts. Latencies are notes, never verdicts.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/errname.h"
#include "tests/irq/irq.h"
#include "tests/support/cpus.h"

#define SAMPLES 21 /* of the first two CPUs, whose latency is noted; of others some do */
#define SOME	5
#define ROUNDS	8 /* of IPIs in each mode */

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* One CPU sleeps until it has taken the interrupt; `wake` ends its sleep if none comes. */
static struct {
	bool asleep, wake; /* atomic */
	uint64_t before;
} halter;

static void on_wake(void *arg)
{
	(void)arg;
	__atomic_store_n(&halter.wake, true, __ATOMIC_RELEASE);
}

static bool over(void)
{
	return irq_total() != halter.before || __atomic_load_n(&halter.wake, __ATOMIC_ACQUIRE);
}

static void halt(void *arg)
{
	const bool on = irq_save();

	(void)arg;
	__atomic_store_n(&halter.asleep, true, __ATOMIC_RELEASE);
	while (!over())
		irq_halt();
	irq_restore(on);
}

/* The time from the notification to the handler, ns; 0: the CPU was not woken. */
static uint64_t latency(struct test_ctx *t, struct actor *a, unsigned int cpu, int vector)
{
	uint64_t from;
	bool on;

	halter.asleep = halter.wake = false;
	halter.before = irq_total();
	actor_prepare(a, true);
	actor_desc(a, 0, 0, a->len, actor_flags(a), 0);
	actor_post(a, 0);
	if (cpu) {
		if (smp_call_async(cpu, halt, NULL))
			test_error(t, "CPU %u is not idle", cpu);
		(void)wait_for(__atomic_load_n(&halter.asleep, __ATOMIC_ACQUIRE), ANSWER_NS);
		(void)wait_for(false, 50 * USEC); /* the CPU comes to its HLT */
		from = time_now();
		vq_notify(a->vq);
		if (!wait_for(over(), ANSWER_NS))
			irq_send_ipi(cpu, vector);
		if (smp_wait(cpu, ANSWER_NS))
			test_error(t, "CPU %u does not come back", cpu);
	} else {
		on = irq_save();
		irq_timer_once(ANSWER_NS, on_wake, NULL);
		from = time_now();
		vq_notify(a->vq);
		halt(NULL);
		irq_restore(on);
		irq_timer_once(0, NULL, NULL);
	}
	require(t, actor_wait(a, 1, ANSWER_NS) == 1, "%s: a buffer is not used", actor_who(a));
	actor_done(a, 1);
	return irq_total() != halter.before ? irq_seen.at > from ? irq_seen.at - from : 1 : 0;
}

TEST(irq_halt,
     .id = "irq.cpu.halt_wakes",
     .clause = "Intel SDM 2A, HLT: an enabled interrupt resumes execution: a device's wakes the CPU that it is steered to",
     .owner = "CPU virtualisation of the VMM",
     .needs = NEED_VIRTIO,
     .timeout = 30 * SEC)
{
	const int vector = irq_alloc(on_wake, NULL);
	unsigned int i, k, n, cpu;
	uint64_t ns[SAMPLES];
	struct actor a;

	for (i = 0; irq_subject(t, i, &a); i++)
		for (cpu = 0; cpu < smp_cpus_online(); cpu++) {
			if (cpu && virtio_irq_ctl(a.d, VIRTIO_IRQ_STEER, a.queue, cpu))
				continue;
			n = cpu < 2 ? SAMPLES : SOME;
			for (k = 0; k < n; k++) {
				ns[k] = latency(t, &a, cpu, vector);
				expect(t, ns[k], "%s: CPU %u sleeps on (%s)", actor_who(&a), cpu,
				       irq_state(a.d, a.queue));
				if (!ns[k])
					break;
			}
			if (k < n)
				break;
			qsort(ns, n, sizeof(ns[0]), compare);
			if (cpu < 2)
				test_note(
					t,
					"%s: notification to handler, CPU %u in HLT: %u us, %u to %u",
					actor_who(&a), cpu, (unsigned int)(ns[SAMPLES / 2] / USEC),
					(unsigned int)(ns[0] / USEC),
					(unsigned int)(ns[SAMPLES - 1] / USEC));
		}
	irq_free(vector);
	actor_tried(t, i, "whose interrupts can be set up");
}

/* --- modes of the interrupt controller ------------------------------------------------------- */

static struct {
	uint64_t ipis[SMP_MAX_CPUS]; /* atomic, by the CPU that took it */
	int vector;
} cross;

static void on_ipi(void *arg)
{
	(void)arg;
	__atomic_fetch_add(&cross.ipis[smp_this_cpu()], 1, __ATOMIC_RELEASE);
}

static void send_all(void *arg)
{
	const unsigned int n = smp_cpus_online();
	unsigned int to;

	(void)arg;
	for (to = 0; to < n; to++) {
		const uint64_t want = __atomic_load_n(&cross.ipis[to], __ATOMIC_ACQUIRE) + 1;

		if (!cpus_paired(smp_this_cpu(), to, n))
			continue;
		irq_send_ipi(to, cross.vector);
		(void)wait_for(__atomic_load_n(&cross.ipis[to], __ATOMIC_ACQUIRE) >= want,
			       ANSWER_NS / 4);
	}
}

static void check_ipis(struct test_ctx *t, const char *mode)
{
	const unsigned int n = smp_cpus_online();
	unsigned int i, from;
	uint64_t due;
	int ret;

	for (i = 0; i < n; i++)
		cross.ipis[i] = 0;
	for (i = 0; i < n; i++) {
		ret = smp_call(i, send_all, NULL, n * ANSWER_NS);
		require(t, ret == 0, "%s: CPU %u does not do its work: %s", mode, i, err_text(ret));
	}
	for (i = 0; i < n; i++) {
		for (due = from = 0; from < n; from++)
			due += cpus_paired(from, i, n);
		expect_eq(t, cross.ipis[i], due, "%s: IPIs on CPU %u, one from each that sends",
			  mode, i);
	}
}

static void check_devices(struct test_ctx *t, const char *mode)
{
	unsigned int i, cpu;
	struct actor a;

	for (i = 0; irq_subject(t, i, &a); i++)
		for (cpu = 0; cpu < smp_cpus_online(); cpu++)
			if (!virtio_irq_ctl(a.d, VIRTIO_IRQ_STEER, a.queue, cpu))
				irq_round(t, &a, mode);
}

/* However the test ends, the mode becomes the one that the boot chose. */
static int boot_mode = -1;

static void restore(void)
{
	if (boot_mode >= 0)
		irq_mode_set((unsigned int)boot_mode);
	boot_mode = -1;
	if (cross.vector)
		irq_free(cross.vector);
	cross.vector = 0;
}
FIXTURE(irq_modes, .suite = "irq.cpu.modes", .teardown = restore);

TEST(irq_modes,
     .id = "irq.cpu.modes",
     .clause = "Intel SDM 3A, 11.4.3, 11.12.5: the local APIC can be changed between its modes, and delivers in each",
     .owner = "local APIC of the VMM",
     .timeout = 30 * SEC)
{
	const unsigned int before = irq_mode();
	const char *name;
	unsigned int n, round;
	int ret;

	cross.vector = irq_alloc(on_ipi, NULL);
	if (cross.vector <= 0)
		test_error(t, "no vector is free");
	boot_mode = (int)before;
	/* The mode in use comes first, and again at the end. */
	for (n = 0; n < 3; n++) {
		const unsigned int mode = (before + n) % 2;

		name = irq_mode_name(mode);
		if (!name)
			continue;
		ret = irq_mode_set(mode);
		if (ret == -ETIMEDOUT || ret == -EBUSY)
			test_error(t, "%s: CPUs do not come together: %s", name, err_text(ret));
		require(t, ret == 0, "%s: not all CPUs are in it: %s", name, err_text(ret));
		/* To one CPU and to another, often: an xAPIC keeps its destination in a register. */
		for (round = 0; round < ROUNDS; round++)
			check_ipis(t, name);
		check_devices(t, name);
		test_note(t, "%s delivers", name);
	}
}
