/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.apic.pending_*: interrupts that wait in a local APIC come in the order of their priority, none
 * of them below the task priority, and its registers show what waits and what is in service (Intel SDM 3A, 11.8).
 *
 * Hosts keep a copy of the pending bits beside the register, by which they decide what to inject: KVM lost an interrupt where
 * the copy was not computed anew, at a change of the task priority, at an EOI, or when another one was pending already.
 *
 * A CPU sends interrupts to itself that it does not take yet, looks at the registers, and takes them.
 */
#include "lib/irq.h"
#include "lib/mmio.h"
#include "lib/smp.h"
#include "lib/time.h"
#include "lib/x86_64/cpu.h"
#include "tests/support/needs.h"
#include "tests/x86_64/apic.h"

#define OWNER	 "local APIC of the VMM"
#define QUIET_NS (5 * MSEC)
#define CLASS	 16 /* vectors of one priority */

/* One CPU at a time. */
static struct {
	int vector[CLASS + 1];
	unsigned int n;	    /* allocated */
	unsigned int taken; /* atomic */
	int order[4];	    /* the vectors that came */
	bool in_service[4]; /* and what the registers said then */
	uint32_t ppr[4];
} seen;

static bool is_set(uint32_t first, int vector)
{
	return rdmsr(first + (uint32_t)vector / 32) >> (vector % 32) & 1;
}

static void on_taken(void *arg)
{
	const int vector = *(const int *)arg;
	const unsigned int k = __atomic_load_n(&seen.taken, __ATOMIC_RELAXED);

	if (k < 4) {
		seen.order[k] = vector;
		seen.in_service[k] = is_set(X2APIC_ISR, vector);
		seen.ppr[k] = (uint32_t)rdmsr(X2APIC_PPR);
	}
	__atomic_store_n(&seen.taken, k + 1, __ATOMIC_RELEASE);
}

static void give_back(void)
{
	while (seen.n)
		irq_free(seen.vector[--seen.n]);
}
FIXTURE(apic_pending, .suite = "boot.apic.pending", .teardown = give_back);

/* The first vector is of a lower priority than the last. */
static void get_vectors(struct test_ctx *t)
{
	x2apic_only(t);
	while (seen.n <= CLASS) {
		const int v = irq_alloc(on_taken, &seen.vector[seen.n]);

		if (v <= 0)
			test_error(t, "no vector is free");
		seen.vector[seen.n++] = v;
	}
}

static bool came(unsigned int n)
{
	return wait_for(__atomic_load_n(&seen.taken, __ATOMIC_ACQUIRE) >= n, test_sec());
}

/* The bit may be set a little later than the register is written. */
static bool sent(int vector)
{
	mb(); /* x2APIC writes are not serialising */
	wrmsr(X2APIC_SELF_IPI, (uint64_t)vector);
	return wait_for(is_set(X2APIC_IRR, vector), test_sec());
}

static void on_cpu(struct test_ctx *t, unsigned int cpu, void (*fn)(void *), void *arg)
{
	__atomic_store_n(&seen.taken, 0, __ATOMIC_RELEASE);
	if (smp_call(cpu, fn, arg, 8 * test_sec()))
		test_error(t, "CPU %u does not answer", cpu);
}

struct two {
	int first, second;
	bool pending[2], both, left;
};

static void send_two(void *arg)
{
	struct two *w = arg;
	const bool on = irq_save();

	w->pending[0] = sent(w->first);
	w->pending[1] = sent(w->second);
	irq_restore(on);
	w->both = came(2);
	w->left = is_set(X2APIC_IRR, w->first) || is_set(X2APIC_IRR, w->second) ||
		  is_set(X2APIC_ISR, w->first) || is_set(X2APIC_ISR, w->second);
}

static void expect_order(struct test_ctx *t, unsigned int cpu, const struct two *w)
{
	const int high = w->first > w->second ? w->first : w->second;
	unsigned int k;

	expect(t, w->pending[0] && w->pending[1],
	       "CPU %u: the request register does not show vector 0x%x", cpu,
	       (unsigned int)(w->pending[0] ? w->second : w->first));
	require(t, w->both, "CPU %u: of two pending interrupts %u came", cpu, seen.taken);
	expect_eq(t, seen.taken, 2, "interrupts on CPU %u by two IPIs", cpu);
	expect_eq(t, seen.order[0], high, "the first of two pending vectors, on CPU %u", cpu);
	for (k = 0; k < 2; k++) {
		expect(t, seen.in_service[k], "CPU %u: vector 0x%x is not shown in service", cpu,
		       (unsigned int)seen.order[k]);
		expect_eq(t, seen.ppr[k] / CLASS, (unsigned int)seen.order[k] / CLASS,
			  "CPU %u: class of the processor priority in vector 0x%x's handler", cpu,
			  (unsigned int)seen.order[k]);
	}
	expect(t, !w->left, "CPU %u: a bit of an interrupt that was taken stays", cpu);
}

TEST(pending_order,
     .id = "boot.apic.pending_order",
     .clause = "Intel SDM 3A, 11.8.3, 11.8.4: of pending interrupts the highest class comes first, each once; IRR, ISR and PPR show it",
     .owner = OWNER,
     .timeout = 30 * SEC)
{
	unsigned int cpu, way;

	get_vectors(t);
	for (cpu = 0; cpu < smp_cpus_online(); cpu++)
		for (way = 0; way < 2; way++) {
			struct two w = { .first = seen.vector[way ? CLASS : 0],
					 .second = seen.vector[way ? 0 : CLASS] };

			on_cpu(t, cpu, send_two, &w);
			expect_order(t, cpu, &w);
		}
}

struct held_back {
	int vector;
	bool pending, early, higher, taken;
	uint64_t tpr;
};

/* Its class is held back, the one above it is not. */
static void hold_back(void *arg)
{
	struct held_back *h = arg;

	wrmsr(X2APIC_TPR, (uint64_t)h->vector / CLASS * CLASS);
	h->tpr = rdmsr(X2APIC_TPR);
	h->pending = sent(h->vector);
	h->early = wait_for(__atomic_load_n(&seen.taken, __ATOMIC_ACQUIRE), QUIET_NS);
	mb();
	wrmsr(X2APIC_SELF_IPI, (uint64_t)seen.vector[CLASS]);
	h->higher = came(1) && seen.order[0] == seen.vector[CLASS];
	wrmsr(X2APIC_TPR, 0);
	h->taken = came(2);
}

TEST(pending_tpr,
     .id = "boot.apic.pending_task_priority",
     .clause = "Intel SDM 3A, 11.8.3.1: an interrupt of the task priority's class or below waits until that is lowered, one above does not",
     .owner = OWNER,
     .timeout = 30 * SEC)
{
	unsigned int cpu;

	get_vectors(t);
	for (cpu = 0; cpu < smp_cpus_online(); cpu++) {
		struct held_back h = { .vector = seen.vector[0] };

		on_cpu(t, cpu, hold_back, &h);
		expect_eq(t, h.tpr, (uint64_t)h.vector / CLASS * CLASS,
			  "the task priority of CPU %u", cpu);
		expect(t, h.pending || h.early, "CPU %u: vector 0x%x does not become pending", cpu,
		       (unsigned int)h.vector);
		expect(t, !h.early, "CPU %u takes vector 0x%x at that task priority", cpu,
		       (unsigned int)h.vector);
		expect(t, h.early || h.higher,
		       "CPU %u does not take vector 0x%x at that task priority", cpu,
		       (unsigned int)seen.vector[CLASS]);
		expect(t, h.taken, "CPU %u: an interrupt is lost when the task priority is lowered",
		       cpu);
	}
}

struct command {
	uint64_t wrote, read;
};

static void send_command(void *arg)
{
	struct command *c = arg;

	mb();
	wrmsr(X2APIC_ICR, c->wrote);
	c->read = rdmsr(X2APIC_ICR);
	(void)came(1);
}

TEST(pending_command,
     .id = "boot.apic.pending_command",
     .clause = "Intel SDM 3A, 11.12.9: the interrupt command register is one of 64 bits, and reads as it was written",
     .owner = OWNER,
     .needs = NEED_SMP)
{
	unsigned int cpu;

	get_vectors(t);
	for (cpu = 0; cpu < smp_cpus_online(); cpu++) {
		struct command c = { .wrote = (uint64_t)smp_hw_id(cpu) << 32 | 1u << 14 |
					      (uint64_t)seen.vector[0] };

		on_cpu(t, cpu, send_command, &c);
		expect_eq(t, c.read, c.wrote, "the interrupt command register of CPU %u", cpu);
		expect_eq(t, seen.taken, 1, "interrupts on CPU %u by an IPI to itself", cpu);
	}
}
