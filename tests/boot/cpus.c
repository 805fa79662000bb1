/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.cpus.*: the other processors start, take work out of their sleep, share memory atomically, and are reached by
 * NMI. Every test of traffic on several CPUs stands on this.
 *
 * Hosts break it where a vCPU's identity is kept in several places: on Cloud Hypervisor all CPUs read the same APIC id
 * from CPUID, and ran on one stack (cloud-hypervisor pull request 5512); ACRN lost the start-up of CPUs that had
 * executed HLT before their INIT (acrn-hypervisor pull request 4404).
 *
 * CPU 0 sends each of the others a function and waits for its answer. What a CPU does not do in time is a FAIL that
 * names it.
 */
#include <errno.h>
#include <stdio.h>

#include "arch/promises.h"
#include "lib/cmdline.h"
#include "lib/smp.h"
#include "lib/test.h"
#include "lib/time.h"
#include "tests/support/cpus.h"
#include "tests/support/needs.h"

OPTION("cpus", "how many CPUs the machine was given: the firmware has to list as many");

#define CALL_NS test_sec()

static bool has_smp(char *why, size_t size)
{
	if (smp_cpus_online() > 1)
		return true;
	snprintf(why, size, "one CPU only (the MADT or MP table lists %u)", smp_cpus_present());
	return false;
}
NEED(smp, NEED_SMP, "more than one CPU", has_smp);

TEST(all_online,
     .id = "boot.cpus.all_online",
     .clause = PROMISE_CPU_START,
     .owner = "CPU start-up of the VMM")
{
	const uint64_t promised = cmdline_get_u64("cpus", 0);

	if (smp_cpus_listed() > smp_cpus_present())
		test_note(t, "%u CPUs are listed, of which %u are started", smp_cpus_listed(),
			  smp_cpus_present());
	if (promised)
		expect_eq(t, smp_cpus_listed(), promised,
			  "CPUs listed, of those that the machine was given (cpus=)");
	expect_eq(t, smp_cpus_online(), smp_cpus_present(),
		  "CPUs online, of those that are to start");
}

struct visit {
	unsigned int index;
	uint32_t count; /* atomic */
};

static void visit(void *arg)
{
	struct visit *v = arg;

	v->index = smp_this_cpu();
	__atomic_add_fetch(&v->count, 1, __ATOMIC_SEQ_CST);
}

TEST(each_runs,
     .id = "boot.cpus.each_runs",
     .clause = PROMISE_IPI_WAKES,
     .owner = OWNER_LOCAL_IRQ,
     .needs = NEED_SMP,
     .timeout = 30 * SEC) /* some thousand calls on a large machine, whose CPUs may share one of the host's */
{
	enum {
		ROUNDS = 50
	};
	struct visit v = { 0 };
	unsigned int i, r;

	for (r = 0; r < ROUNDS; r++) {
		for (i = 1; i < smp_cpus_online(); i++) {
			v.index = 0;
			CPU_OK(t, i, smp_call(i, visit, &v, CALL_NS));
			require_eq(t, v.index, i, "CPU that ran what CPU %u was given", i);
		}
	}
	expect_eq(t, v.count, ROUNDS * (smp_cpus_online() - 1), "calls that were counted");
}

enum {
	ADDS = 20000
};

struct sums { /* atomic */
	uint32_t word;
	uint64_t twice; /* of two words */
};

static void add_many(void *arg)
{
	struct sums *s = arg;
	unsigned int i;

	for (i = 0; i < ADDS; i++) {
		__atomic_add_fetch(&s->word, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&s->twice, 1, __ATOMIC_RELAXED);
	}
}

TEST(atomic,
     .id = "boot.cpus.atomic",
     .clause = PROMISE_ATOMIC,
     .owner = "CPU virtualisation of the VMM",
     .needs = NEED_SMP)
{
	struct sums sum = { 0 };
	unsigned int i;

	for (i = 1; i < smp_cpus_online(); i++)
		CPU_OK(t, i, smp_call_async(i, add_many, &sum));
	add_many(&sum);
	for (i = 1; i < smp_cpus_online(); i++)
		CPU_OK(t, i, smp_wait(i, 2 * CALL_NS));
	expect_eq(t, sum.word, ADDS * smp_cpus_online(), "sum of all CPUs, 32 bits");
	expect_eq(t, sum.twice, ADDS * smp_cpus_online(), "sum of all CPUs, 64 bits");
}

static void spin(void *arg)
{
	uint32_t *started = arg;

	__atomic_store_n(started, 1, __ATOMIC_RELEASE);
	for (;;)
		cpu_relax();
}

TEST(nmi,
     .id = "boot.cpus.nmi",
     .clause = PROMISE_NMI,
     .owner = OWNER_LOCAL_IRQ,
     .needs = NEED_SMP)
{
	uint32_t started = 0;
	struct visit v = { 0 };

	CPU_OK(t, 1, smp_call_async(1, spin, &started));
	require(t, wait_for(__atomic_load_n(&started, __ATOMIC_ACQUIRE), CALL_NS),
		"CPU 1 does not start its work");
	expect(t, smp_wait(1, 10 * MSEC) == -ETIMEDOUT, "CPU 1 spins, and its work has an end");
	expect_eq(t, smp_reclaim(), 1, "CPUs that were found at work");
	CPU_OK(t, 1, smp_call(1, visit, &v, CALL_NS));
	expect_eq(t, v.count, 1, "calls that it ran then");
}

/* smp_reclaim() sends another NMI where one is lost; here each counts, on each CPU. */
TEST(nmi_each,
     .id = "boot.cpus.nmi_each",
     .clause = PROMISE_NMI,
     .owner = OWNER_LOCAL_IRQ,
     .needs = NEED_SMP)
{
	enum {
		ROUNDS = 4
	};
	const unsigned int n = smp_cpus_online();
	uint32_t before[SMP_MAX_CPUS];
	unsigned int round, cpu, i;

	for (round = 0; round < ROUNDS; round++)
		for (cpu = 1; cpu < n; cpu++) {
			for (i = 0; i < n; i++)
				before[i] = smp_nmis(i);
			require(t, smp_nmi_one(cpu, CALL_NS) == 0, "NMI %u to CPU %u is lost",
				round + 1, cpu);
			(void)wait_for(false, MSEC / 2); /* one that goes elsewhere comes now */
			for (i = 0; i < n; i++)
				expect_eq(t, smp_nmis(i) - before[i], i == cpu,
					  "NMIs on CPU %u by one to CPU %u", i, cpu);
		}
}
