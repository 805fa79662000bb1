/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.cpus.*, boot.irq.*, boot.memory.*: a CPU has one identity, whoever tells it; all CPUs have the same features; the
 * shortest time of a timer is one; an access across a line or a page is whole, and none wraps at 1 MiB (Intel SDM 3A, 9
 * and 11).
 *
 * Hosts keep a CPU's id in its local APIC and in two CPUID leaves, and forgot one of them (cloud-hypervisor d172a5ddd;
 * Xen f9e0cccf7b). An emulator that splits a store at a page's end lost its second half (Xen 672894a11f), one rounded a
 * timer's count of 1 to none (gem5 211c10b46d).
 *
 * Each CPU reads what it is; each access is made at each offset across the border.
 */
#include <errno.h>
#include <string.h>

#include "arch/promises.h"
#include "lib/acpi.h"
#include "lib/boot_info.h"
#include "lib/irq.h"
#include "lib/mem.h"
#include "lib/smp.h"
#include "lib/test.h"
#include "lib/time.h"
#include "lib/x86_64/apic.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/io.h"
#include "tests/support/needs.h"

#define OWNER_CPU "CPU virtualisation of the VMM"

enum {
	APIC_BASE_BSP = 1u << 8,
	OSXSAVE = 1u << 27, /* of leaf 1, ecx: what the system has set in CR4 */
	HTT = 1u << 28,	    /* of leaf 1, edx: ebx has the number of ids in a package */
	MIB = 1u << 20,
	WRAP = 65536,
};

struct identity {
	uint32_t apic, leaf1, leaf11, ids;
	bool htt;
	bool has_leaf11, bsp;
	uint32_t features[4];
};

static void identify(void *arg)
{
	struct identity *s = arg;
	struct cpuid_regs r = cpuid(1, 0);

	s->apic = apic_id();
	s->leaf1 = r.ebx >> 24;
	s->ids = r.ebx >> 16 & 0xff;
	s->htt = r.edx & HTT;
	s->features[0] = r.ecx & ~(uint32_t)OSXSAVE;
	s->features[1] = r.edx;
	if (cpuid(0, 0).eax >= 0xb) {
		r = cpuid(0xb, 0);
		s->has_leaf11 = r.ebx != 0;
		s->leaf11 = r.edx;
	}
	if (cpuid(0x80000000, 0).eax > 0x80000000) {
		r = cpuid(0x80000001, 0);
		s->features[2] = r.ecx;
		s->features[3] = r.edx;
	}
	s->bsp = rdmsr(MSR_APIC_BASE) & APIC_BASE_BSP;
}

static struct identity identity_of(struct test_ctx *t, unsigned int cpu)
{
	struct identity s = { 0 };

	if (smp_call(cpu, identify, &s, test_sec()))
		test_error(t, "CPU %u does not answer", cpu);
	return s;
}

TEST(identity,
     .id = "boot.cpus.identity",
     .clause = "Intel SDM 3A, 9.4.5, 11.12.5.1, 2A, CPUID 01H, 0BH: a CPU's APIC id, wherever it is read; one CPU is the BSP",
     .owner = OWNER_CPU)
{
	unsigned int cpu;
	uint32_t id;

	for (cpu = 0; cpu < smp_cpus_online(); cpu++) {
		const struct identity s = identity_of(t, cpu);

		id = smp_hw_id(cpu);
		expect_eq(t, s.apic, id, "APIC id of CPU %u by its %s", cpu, apic_mode());
		expect_eq(t, s.leaf1, id & 0xff, "APIC id of CPU %u in CPUID leaf 1", cpu);
		expect(t, !s.htt || s.ids > 0, "CPU %u: HTT, and no APIC id in its package", cpu);
		if (s.has_leaf11)
			expect_eq(t, s.leaf11, id, "APIC id of CPU %u in CPUID leaf 0xb", cpu);
		expect_eq(t, s.bsp, cpu == 0, "IA32_APIC_BASE's flag of the BSP on CPU %u", cpu);
	}
}

TEST(alike,
     .id = "boot.cpus.alike",
     .clause = "Intel SDM 3A, 9.4: the processors of a system are alike: each CPU announces the same features",
     .owner = OWNER_CPU,
     .needs = NEED_SMP)
{
	static const char *const word[] = { "1, ecx", "1, edx", "0x80000001, ecx",
					    "0x80000001, edx" };
	const struct identity first = identity_of(t, 0);
	unsigned int cpu, i;

	for (cpu = 1; cpu < smp_cpus_online(); cpu++) {
		const struct identity s = identity_of(t, cpu);

		for (i = 0; i < 4; i++)
			expect_eq(t, s.features[i], first.features[i],
				  "features of CPU %u in CPUID leaf %s", cpu, word[i]);
	}
}

/* --- the timer ---------------------------------------------------------------------------------- */

struct shot {
	uint64_t ns;
	bool fired; /* atomic */
};

static void on_shot(void *arg)
{
	__atomic_store_n((bool *)arg, true, __ATOMIC_RELEASE);
}

static void shoot(void *arg)
{
	struct shot *s = arg;

	irq_timer_once(s->ns, on_shot, &s->fired);
	(void)wait_for(__atomic_load_n(&s->fired, __ATOMIC_ACQUIRE), 2 * test_sec());
	irq_timer_once(0, NULL, NULL);
}

TEST(timer_shortest,
     .id = "boot.irq.timer_shortest",
     .clause = PROMISE_TIMER,
     .owner = OWNER_TIMER)
{
	static const uint64_t ns[] = { 1, 2, 10, 100, 1000 };
	unsigned int cpu, i;

	for (cpu = 0; cpu < smp_cpus_online(); cpu++)
		for (i = 0; i < sizeof(ns) / sizeof(ns[0]); i++) {
			struct shot s = { .ns = ns[i] };

			if (smp_call(cpu, shoot, &s, 4 * test_sec()))
				test_error(t, "CPU %u does not answer", cpu);
			expect(t, s.fired, "no timer interrupt on CPU %u, set to %u ns", cpu,
			       (unsigned int)ns[i]);
		}
}

static void set_far(void *arg)
{
	struct shot *s = arg;

	irq_timer_once(s->ns, on_shot, &s->fired);
}

TEST(timer_after_init,
     .id = "boot.irq.timer_after_init",
     .clause = "Intel SDM 3A, 11.4.7.3: INIT resets the local APIC: a timer that was set before it does not interrupt",
     .owner = OWNER_TIMER,
     .needs = NEED_SMP)
{
	struct shot s = { .ns = 8 * MSEC };
	uint64_t strays, start;
	int ret;

	/* A host that is slow or busy gets a longer time: INIT has to come well before the interrupt. */
	do {
		s.ns *= 2;
		s.fired = false;
		start = time_now();
		if (smp_call(1, set_far, &s, test_sec()))
			test_error(t, "CPU 1 does not answer");
		strays = irq_timer_strays(1);
		ret = smp_restart(1, NULL, NULL);
		if (ret == -ENODEV)
			test_skip(t, "no page below 1 MiB to start CPUs from");
		require(t, ret == 0, "CPU 1 does not start again");
	} while (time_now() - start > s.ns / 2 && s.ns < SEC);
	(void)wait_for(__atomic_load_n(&s.fired, __ATOMIC_ACQUIRE), 2 * s.ns);
	expect(t, !s.fired && irq_timer_strays(1) == strays,
	       "a timer interrupt on CPU 1 after INIT");
	s.ns = 0;
	if (smp_call(1, set_far, &s, test_sec()))
		test_error(t, "CPU 1 does not answer");
}

struct ticks {
	uint64_t tsc, count;
};

/* The timer is left as its users want it. */
static void count_ticks(void *arg)
{
	struct ticks *k = arg;
	const bool on = irq_save();

	k->count = apic_timer_ticks(k->tsc);
	irq_timer_once(0, NULL, NULL);
	irq_restore(on);
}

/* A host that stops the CPU between two readings makes the count larger: the least of some tries. */
static uint64_t least_ticks(struct test_ctx *t, unsigned int cpu)
{
	struct ticks k = { .tsc = time_hz() / 1000 };
	uint64_t least = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		if (smp_call(cpu, count_ticks, &k, test_sec()))
			test_error(t, "CPU %u does not answer", cpu);
		least = k.count < least ? k.count : least;
	}
	return least;
}

TEST(timer_rate,
     .id = "boot.irq.timer_rate",
     .clause = "Intel SDM 3A, 11.5.4: the timer counts at the bus clock by its divide configuration, on each CPU",
     .owner = OWNER_TIMER,
     .needs = NEED_SMP)
{
	const uint64_t first = least_ticks(t, 0);
	unsigned int cpu;
	uint64_t n;

	if (!first)
		test_skip(t, "the timer of CPU 0 does not count (%s)", apic_timer_mode());
	for (cpu = 1; cpu < smp_cpus_online(); cpu++) {
		n = least_ticks(t, cpu);
		expect(t, n > first / 2 && n / 2 < first,
		       "the timer of CPU %u counts %llu in a millisecond, that of CPU 0 %llu", cpu,
		       (unsigned long long)n, (unsigned long long)first);
	}
}

struct reading {
	uint64_t before, own, after; /* the first CPU's, the other's, the first's */
};

static void read_tsc(void *arg)
{
	*(uint64_t *)arg = rdtsc();
}

static struct reading read_both(struct test_ctx *t)
{
	struct reading r = { .before = rdtsc() };

	if (smp_call(1, read_tsc, &r.own, test_sec()))
		test_error(t, "CPU 1 does not answer");
	r.after = rdtsc();
	return r;
}

/* The other counter is ahead of the first one's by own - after to own - before. Both readings must allow the same. */
TEST(tsc_after_init,
     .id = "boot.time.tsc_after_init",
     .clause = "Intel SDM 3A, 9.1.1, table 9-1: INIT leaves the time-stamp counter as it is",
     .owner = OWNER_COUNTER,
     .needs = NEED_SMP)
{
	const struct reading a = read_both(t);
	const int ret = smp_restart(1, NULL, NULL);
	struct reading b;

	if (ret == -ENODEV)
		test_skip(t, "no page below 1 MiB to start CPUs from");
	require(t, ret == 0, "CPU 1 does not start again");
	b = read_both(t);
	expect(t,
	       (int64_t)(a.own - a.after) <= (int64_t)(b.own - b.before) &&
		       (int64_t)(b.own - b.after) <= (int64_t)(a.own - a.before),
	       "CPU 1 was %lld to %lld ticks ahead of CPU 0, after INIT %lld to %lld",
	       (long long)(a.own - a.after), (long long)(a.own - a.before),
	       (long long)(b.own - b.after), (long long)(b.own - b.before));
}

#define APART (20 * MSEC)
#define TRIES 20

/* The reading with the least time between the first CPU's two. */
static struct reading read_tight(struct test_ctx *t)
{
	struct reading best = read_both(t), r;
	unsigned int i;

	for (i = 1; i < TRIES; i++) {
		r = read_both(t);
		if (r.after - r.before < best.after - best.before)
			best = r;
	}
	return best;
}

/* What passed on the other CPU lies between the least and the most that may have passed on the first. */
TEST(tsc_rate,
     .id = "boot.time.tsc_one_rate",
     .clause = "Intel SDM 3B, 18.17.1: an invariant time-stamp counter has one constant rate, on each processor",
     .owner = OWNER_COUNTER,
     .needs = NEED_SMP)
{
	const struct reading a = read_tight(t);
	struct reading b;
	uint64_t least, most;

	(void)wait_for(false, APART);
	b = read_tight(t);
	least = b.before - a.after;
	most = b.after - a.before;
	expect(t, b.own - a.own + least / 64 >= least && b.own - a.own <= most + most / 64,
	       "the counter of CPU 1 advances by %llu ticks while that of CPU 0 advances by %llu to %llu",
	       (unsigned long long)(b.own - a.own), (unsigned long long)least,
	       (unsigned long long)most);
}

/* What ecx holds before it has no meaning. */
static uint64_t rdtscp(uint32_t *ecx)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtscp; lfence" : "=a"(lo), "=d"(hi), "+c"(*ecx) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

TEST(tsc_by_rdtscp,
     .id = "boot.time.rdtscp",
     .clause = "Intel SDM 2B, AMD APM 3: RDTSCP reads the counter that RDTSC reads, and IA32_TSC_AUX into ecx",
     .owner = OWNER_COUNTER)
{
	enum {
		HAS_RDTSCP = 1 << 27, /* of EDX */
		MSR_TSC_AUX = 0xc0000103u,
	};
	uint64_t before, now, after;
	unsigned int i;
	uint32_t ecx;

	if (!(cpuid(0x80000001, 0).edx & HAS_RDTSCP))
		test_skip(t, "this CPU has no RDTSCP");
	for (i = 0; i < 100; i++) {
		before = rdtsc();
		ecx = 0x5a5a0000u + i;
		now = rdtscp(&ecx);
		after = rdtsc();
		require(t, before <= now && now <= after,
			"RDTSCP reads %llu between RDTSCs of %llu and %llu",
			(unsigned long long)now, (unsigned long long)before,
			(unsigned long long)after);
		require_eq(t, ecx, (uint32_t)rdmsr(MSR_TSC_AUX), "ecx behind RDTSCP");
	}
}

#define PM_READS 500

/* 24 bits wrap after 4.7 s, between two reads of a CPU that was stopped for long. */
TEST(pm_timer,
     .id = "boot.time.pm_timer",
     .clause = "ACPI 6.5, 4.8.3.3: the PM timer counts up; bits 31:24 are 0 where the FADT's TMR_VAL_EXT is",
     .owner = "PM timer of the VMM",
     .needs = NEED_ACPI)
{
	const uint16_t port = acpi_pm_timer_port();
	const uint32_t mask = acpi_pm_timer_32() ? UINT32_MAX : 0xffffff;
	uint64_t at, last_at = time_now();
	uint32_t now, last;
	unsigned int i;

	if (!port)
		test_skip(t, "the FADT has no port of a PM timer");
	last = io_in32(port);
	for (i = 0; i < PM_READS; i++) {
		now = io_in32(port);
		at = time_now();
		expect(t, (now & ~mask) == 0, "a timer of 24 bits reads 0x%x", now);
		expect(t, ((now - last) & mask) <= mask / 2 || at - last_at > SEC,
		       "0x%x, then 0x%x", last, now);
		last = now;
		last_at = at;
	}
}

/* --- accesses ----------------------------------------------------------------------------------- */

/* The bytes are compared one by one: no access of the check crosses anything. */
static void expect_bytes(struct test_ctx *t, const volatile uint8_t *at, uint64_t want,
			 const char *what, unsigned int before)
{
	uint64_t seen = 0;
	unsigned int i;

	for (i = 0; i < 8; i++)
		seen |= (uint64_t)at[i] << 8 * i;
	expect(t, seen == want, "%s, %u bytes before the border: 0x%llx, not 0x%llx", what, before,
	       (unsigned long long)seen, (unsigned long long)want);
}

TEST(crossing,
     .id = "boot.memory.crossing",
     .clause = "Intel SDM 3A, 9.1.1, 9.1.2.2: stores may cross lines and pages, LOCK has no requirement of alignment",
     .owner = OWNER_CPU)
{
	uint8_t *const page = mem_pages(2, PAGE_SIZE);
	const uint64_t value = 0x1122334455667788;
	unsigned int k, off, border;

	if (!page)
		test_error(t, "no memory");
	for (k = 0; k < 32; k++) {
		border = k % 2 ? PAGE_SIZE : 64;
		off = border - 1 - k / 2 % 7;
		memset(page + off, 0, 8);
		__asm__ volatile("movq %1, %0" : "=m"(*(uint64_t(*)[1])(page + off)) : "r"(value));
		expect_bytes(t, page + off, value, "store", border - off);
		__asm__ volatile("lock addq %1, %0"
				 : "+m"(*(uint64_t(*)[1])(page + off))
				 : "r"(value)
				 : "cc");
		expect_bytes(t, page + off, 2 * value, "locked addition", border - off);
	}
	mem_pages_free(page, 2);
}

static bool is_ram(uint64_t from, uint64_t size)
{
	const struct boot_info *b = boot_info_get();
	uint32_t i;

	for (i = 0; i < b->mem_count; i++)
		if (b->mem[i].type == BOOT_MEM_RAM && b->mem[i].base <= from &&
		    from + size <= b->mem[i].base + b->mem[i].size)
			return true;
	return false;
}

/* Both words are put back with interrupts off; no device and no other CPU is at work. */
TEST(wrap_at_1m,
     .id = "boot.memory.wrap_at_1m",
     .clause = "UEFI 2.10, 7.2.3; Xen, start_info.h: RAM is RAM of its own: address line 20 counts",
     .owner = OWNER_CPU)
{
	unsigned int off, tried = 0;

	for (off = PAGE_SIZE; off < WRAP; off += PAGE_SIZE / 2) {
		volatile uint64_t *const high = phys_to_virt(MIB + off);
		volatile uint64_t *const low = phys_to_virt(off);
		uint64_t kept[2], seen;
		bool on;

		if (!is_ram(MIB + off, 8) || !is_ram(off, 8))
			continue;
		tried++;
		on = irq_save();
		kept[0] = *low;
		kept[1] = *high;
		*low = 0x1122334455667788;
		*high = 0x99aabbccddeeff00;
		seen = *low;
		*high = kept[1];
		*low = kept[0];
		irq_restore(on);
		expect(t, seen == 0x1122334455667788, "0x%x after a store to 0x%x: 0x%llx", off,
		       MIB + off, (unsigned long long)seen);
	}
	if (!tried)
		test_skip(t, "no RAM both below 64 KiB and 1 MiB above it");
}

enum {
	MADT_ADDRESS = 36,	   /* of the local APICs, 32 bits */
	MADT_ADDRESS_OVERRIDE = 5, /* the entry that has it in 64 bits */
	APIC_BASE_OFFSET = 0xfff,  /* of MSR_APIC_BASE: flags */
};

static void on_override(const uint8_t *e, void *arg)
{
	memcpy(arg, e + 4, 8);
}

TEST(acpi_apic_address,
     .id = "boot.acpi.apic_address",
     .clause = "ACPI 6.5, 5.2.12: the MADT has the address at which each processor finds its local APIC",
     .owner = "ACPI tables of the VMM",
     .needs = NEED_ACPI)
{
	const struct acpi_header *h = acpi_table("APIC", 0);
	const uint64_t base = rdmsr(MSR_APIC_BASE) & ~(uint64_t)APIC_BASE_OFFSET;
	uint64_t address = 0;

	if (!h)
		test_skip(t, "there is no MADT");
	memcpy(&address, (const uint8_t *)h + MADT_ADDRESS, 4);
	acpi_madt_each(MADT_ADDRESS_OVERRIDE, 12, on_override, &address);
	expect_eq(t, address, base, "the local APICs' address in the MADT, against IA32_APIC_BASE");
}
