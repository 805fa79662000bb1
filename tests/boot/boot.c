/* SPDX-License-Identifier: BSD-2-Clause */
/* boot.*: what every other test stands on: memory, firmware tables, CPUs, PCI. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/boot_info.h"
#include "lib/acpi.h"
#include "lib/irq.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/pci.h"
#include "lib/smp.h"
#include "lib/test.h"
#include "lib/time.h"
#include "tests/support/needs.h"

#define CALL_NS test_sec()

static bool has_smp(char *why, size_t size)
{
	if (smp_cpus_online() > 1)
		return true;
	snprintf(why, size, "one CPU only (the MADT or MP table lists %u)", smp_cpus_present());
	return false;
}

static bool has_acpi(char *why, size_t size)
{
	const char *const *refused;

	if (acpi_table("APIC", 0) || acpi_table("FACP", 0) || acpi_refused(&refused))
		return true;
	snprintf(why, size, "no ACPI tables (RSDP: 0x%llx, and none below 1 MiB)",
		 (unsigned long long)boot_info_get()->rsdp);
	return false;
}

static bool has_pci(char *why, size_t size)
{
	if (pci_get(0))
		return true;
	snprintf(why, size, "no PCI function answers (by %s)", pci_access());
	return false;
}

NEED(smp, NEED_SMP, "more than one CPU", has_smp);
NEED(acpi, NEED_ACPI, "ACPI", has_acpi);
NEED(pci, NEED_PCI, "PCI", has_pci);

/* --- memory ------------------------------------------------------------------------------- */

TEST(map_sane,
     .id = "boot.memory.map_sane",
     .clause = "UEFI 2.10, 7.2.3 and Xen PVH: the memory map lists each range once, in whole",
     .owner = "memory map of the firmware or the VMM")
{
	const struct boot_info *b = boot_info_get();
	const uint64_t limit = 1ull << paging_phys_bits();
	uint32_t i;

	require(t, b->mem_count > 0, "the memory map is empty");
	expect_eq(t, b->map_wrapping, 0, "ranges that wrap around the address space");
	expect_eq(t, b->map_overlaps, 0, "ranges that overlap another one");
	if (b->map_surplus)
		test_note(t, "%u of %u ranges did not fit our table", (unsigned int)b->map_surplus,
			  (unsigned int)b->map_given);
	for (i = 0; i < b->mem_count; i++)
		expect(t,
		       b->mem[i].type != BOOT_MEM_RAM || b->mem[i].base + b->mem[i].size <= limit,
		       "RAM at 0x%llx is past the %u physical address bits of the CPU",
		       (unsigned long long)b->mem[i].base, paging_phys_bits());
}

TEST(image_in_ram,
     .id = "boot.memory.image_in_ram",
     .clause = "UEFI 2.10, 7.2.3 and Xen PVH: the memory that the image was loaded to is RAM",
     .owner = "memory map of the firmware or the VMM")
{
	const struct boot_info *b = boot_info_get();
	uint64_t at = b->image_base;
	uint32_t i;

	for (i = 0; i < b->mem_count; i++)
		if (b->mem[i].type == BOOT_MEM_RAM && b->mem[i].base <= at &&
		    at < b->mem[i].base + b->mem[i].size)
			at = b->mem[i].base + b->mem[i].size;
	expect(t, at >= b->image_base + b->image_size,
	       "the image lies at 0x%llx to 0x%llx, RAM there ends at 0x%llx",
	       (unsigned long long)b->image_base,
	       (unsigned long long)(b->image_base + b->image_size), (unsigned long long)at);
}

static uint64_t pattern(const volatile uint64_t *p, uint64_t seed)
{
	return ((uint64_t)(uintptr_t)p ^ seed) * 0x9e3779b97f4a7c15ull;
}

/* One word a page: cheap, and two addresses of the same memory show. */
static void fill(volatile uint64_t *p, uint64_t pages, uint64_t seed)
{
	uint64_t i;

	for (i = 0; i < pages; i++)
		p[i * PAGE_SIZE / 8] = pattern(&p[i * PAGE_SIZE / 8], seed);
}

static uint64_t count_wrong(const volatile uint64_t *p, uint64_t pages, uint64_t seed)
{
	uint64_t i, wrong = 0;

	for (i = 0; i < pages; i++)
		wrong += p[i * PAGE_SIZE / 8] != pattern(&p[i * PAGE_SIZE / 8], seed);
	return wrong;
}

TEST(ram_holds,
     .id = "boot.memory.ram_holds",
     .clause = "UEFI 2.10, 7.2.3 and Xen PVH: what the map calls RAM keeps what is written to it",
     .owner = "memory of the VMM")
{
	enum {
		BLOCKS = 64,
		BLOCK = 64
	};
	const uint64_t seed = test_random(t);
	uint64_t *block[BLOCKS], wrong = 0;
	unsigned int n, i;

	for (n = 0; n < BLOCKS; n++) {
		block[n] = mem_pages(BLOCK, PAGE_SIZE);
		if (!block[n])
			break;
		fill(block[n], BLOCK, seed);
	}
	for (i = 0; i < n; i++) {
		wrong += count_wrong(block[i], BLOCK, seed);
		mem_pages_free(block[i], BLOCK);
	}
	expect(t, n > 0, "not even %u pages are free", BLOCK);
	expect_eq(t, wrong, 0, "pages of %u that lost what was written", n * BLOCK);
}

#define FOUR_GIB (1ull << 32)

/* Both pages, if they are free RAM: the one at pa and the one at the lower 32 bits of pa. */
static bool take_pair(uint64_t pa, uint64_t *pair[2])
{
	pair[0] = mem_pages_at(pa % FOUR_GIB, 1);
	pair[1] = pair[0] ? mem_pages_at(pa, 1) : NULL;
	if (!pair[1])
		mem_pages_free(pair[0], 1);
	return pair[1];
}

/* A store to a page above 4 GiB stays there, and reaches no page below. */
static void high_page(struct test_ctx *t, uint64_t *pair[2])
{
	const uint64_t seed = test_random(t), at = virt_to_phys(pair[1]);

	fill(pair[0], 1, seed);
	fill(pair[1], 1, ~seed);
	expect_eq(t, count_wrong(pair[1], 1, ~seed), 0, "wrong words at 0x%llx",
		  (unsigned long long)at);
	expect_eq(t, count_wrong(pair[0], 1, seed), 0,
		  "words at 0x%llx that stores to 0x%llx changed",
		  (unsigned long long)virt_to_phys(pair[0]), (unsigned long long)at);
	mem_pages_free(pair[0], 1);
	mem_pages_free(pair[1], 1);
}

TEST(ram_above_4g,
     .id = "boot.memory.ram_above_4g",
     .clause = "UEFI 2.10, 7.2.3 and Xen PVH: RAM above 4 GiB is RAM, and not that below once more",
     .owner = "memory of the VMM")
{
	const struct boot_info *b = boot_info_get();
	uint64_t *pair[2];
	bool any = false;
	uint32_t i;

	for (i = 0; i < b->mem_count; i++) {
		const uint64_t end = (b->mem[i].base + b->mem[i].size) & ~(PAGE_SIZE - 1);
		uint64_t first = (b->mem[i].base + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1), last = end;

		if (b->mem[i].type != BOOT_MEM_RAM || end <= FOUR_GIB)
			continue;
		first = first > FOUR_GIB ? first : FOUR_GIB;
		while (first < end && !take_pair(first, pair))
			first += PAGE_SIZE;
		if (first >= end)
			continue;
		any = true;
		high_page(t, pair);
		while (!take_pair(last - PAGE_SIZE, pair))
			last -= PAGE_SIZE;
		high_page(t, pair);
	}
	if (!any)
		test_skip(
			t,
			"the memory map has no RAM above 4 GiB whose address, cut to 32 bits, is RAM");
}

/* --- firmware tables ------------------------------------------------------------------------ */

TEST(acpi_checksums,
     .id = "boot.acpi.checksums",
     .clause = "ACPI 6.5, 5.2.6: each table's bytes sum to 0, and its length covers its header",
     .owner = "ACPI tables of the VMM",
     .needs = NEED_ACPI)
{
	const char *const *refused;
	const unsigned int n = acpi_refused(&refused);
	unsigned int i;

	for (i = 0; i < n; i++)
		test_note(t, "refused: %s", refused[i]);
	expect_eq(t, n, 0, "tables that are refused");
}

TEST(acpi_lists_us,
     .id = "boot.acpi.lists_us",
     .clause = "ACPI 6.5, 5.2.12: the MADT lists each processor once, the one that boots too",
     .owner = "ACPI tables of the VMM",
     .needs = NEED_ACPI)
{
	static struct acpi_cpu cpu[1024]; /* more than are started */
	unsigned int n, i, found = 0;

	if (!acpi_table("APIC", 0))
		test_skip(t, "there is no MADT");
	n = acpi_cpus(cpu, 1024);
	for (i = 0; i < n && i < 1024; i++)
		found += cpu[i].hw_id == smp_hw_id(0);
	expect_eq(t, found, 1, "entries with our APIC id %u", (unsigned int)smp_hw_id(0));
}

/* --- CPUs ----------------------------------------------------------------------------------- */

TEST(all_online,
     .id = "boot.cpus.all_online",
     .clause = "Intel SDM 3A, 9.4.3: a processor that gets INIT and STARTUP starts at the vector's page",
     .owner = "CPU start-up of the VMM")
{
	if (smp_cpus_listed() > smp_cpus_present())
		test_note(t, "%u CPUs are listed, of which %u are started", smp_cpus_listed(),
			  smp_cpus_present());
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
     .clause = "Intel SDM 3A, 11.6.1: a fixed IPI reaches the processor that it is sent to, out of HLT",
     .owner = "local APIC of the VMM",
     .needs = NEED_SMP)
{
	enum {
		ROUNDS = 50
	};
	struct visit v = { 0 };
	unsigned int i, r;

	for (r = 0; r < ROUNDS; r++) {
		for (i = 1; i < smp_cpus_online(); i++) {
			v.index = 0;
			require_eq(t, smp_call(i, visit, &v, CALL_NS), 0,
				   "answer of CPU %u, round %u", i, r);
			require_eq(t, v.index, i, "CPU that ran what CPU %u was given", i);
		}
	}
	expect_eq(t, v.count, ROUNDS * (smp_cpus_online() - 1), "calls that were counted");
}

enum {
	ADDS = 20000
};

static void add_many(void *arg)
{
	uint32_t *sum = arg;
	unsigned int i;

	for (i = 0; i < ADDS; i++)
		__atomic_add_fetch(sum, 1, __ATOMIC_RELAXED);
}

TEST(atomic,
     .id = "boot.cpus.atomic",
     .clause = "Intel SDM 3A, 9.1.2: a locked operation is atomic between processors",
     .owner = "CPU virtualisation of the VMM",
     .needs = NEED_SMP)
{
	uint32_t sum = 0;
	unsigned int i;

	for (i = 1; i < smp_cpus_online(); i++)
		require_eq(t, smp_call_async(i, add_many, &sum), 0, "CPU %u takes work", i);
	add_many(&sum);
	for (i = 1; i < smp_cpus_online(); i++)
		require_eq(t, smp_wait(i, 2 * SEC), 0, "CPU %u ends", i);
	expect_eq(t, sum, ADDS * smp_cpus_online(), "sum of all CPUs");
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
     .clause = "Intel SDM 3A, 11.6.1: an IPI of delivery mode NMI interrupts the processor it is sent to",
     .owner = "local APIC of the VMM",
     .needs = NEED_SMP)
{
	uint32_t started = 0;
	struct visit v = { 0 };

	require_eq(t, smp_call_async(1, spin, &started), 0, "CPU 1 takes work");
	require(t, wait_for(__atomic_load_n(&started, __ATOMIC_ACQUIRE), CALL_NS),
		"CPU 1 does not start its work");
	expect_eq(t, smp_wait(1, 10 * MSEC), (uint64_t)-ETIMEDOUT, "wait for a CPU that spins");
	expect_eq(t, smp_reclaim(), 1, "CPUs that were found at work");
	expect_eq(t, smp_call(1, visit, &v, CALL_NS), 0, "CPU 1 works again after the NMI");
	expect_eq(t, v.count, 1, "calls that it ran then");
}

/* --- interrupts ------------------------------------------------------------------------------- */

struct shot {
	uint32_t count; /* atomic */
	uint32_t cpu;
	uint64_t at;
};

static void on_shot(void *arg)
{
	struct shot *s = arg;

	s->at = time_now();
	s->cpu = smp_this_cpu();
	__atomic_add_fetch(&s->count, 1, __ATOMIC_RELEASE);
}

static bool was_shot(const struct shot *s, uint64_t ns)
{
	return wait_for(__atomic_load_n(&s->count, __ATOMIC_ACQUIRE) > 0, ns);
}

#define TIMER_NS (5 * MSEC)

struct timed {
	struct shot shot;
	uint64_t start, strays;
	bool fired;
};

static void time_a_shot(void *arg)
{
	struct timed *s = arg;

	s->strays = irq_timer_strays(smp_this_cpu());
	s->start = time_now();
	irq_timer_once(TIMER_NS, on_shot, &s->shot);
	/* QEMU's main loop brings it; with more CPUs than the host has, it may be long in coming. */
	s->fired = was_shot(&s->shot, 6 * CALL_NS);
	wait_for(false, 2 * TIMER_NS); /* a second one would come now */
	s->strays = irq_timer_strays(smp_this_cpu()) - s->strays;
}

TEST(timer,
     .id = "boot.irq.timer",
     .clause = "Intel SDM 3A, 11.5.4: the local APIC's timer interrupts once, and not before its time",
     .owner = "local APIC timer of the VMM",
     .timeout = 30 * SEC)
{
	unsigned int i;

	for (i = 0; i < smp_cpus_online(); i++) {
		struct timed s = { 0 };

		require_eq(t, smp_call(i, time_a_shot, &s, 8 * CALL_NS), 0, "CPU %u runs", i);
		/* A late one would count for the next CPU: the end. */
		require(t, s.fired, "no timer interrupt on CPU %u in time", i);
		expect_eq(t, s.shot.cpu, i, "CPU that took the interrupt");
		expect_eq(t, s.shot.count, 1, "interrupts on CPU %u", i);
		/* The timer's handler takes early and repeated ones, and counts them. */
		expect_eq(t, s.strays, 0,
			  "timer interrupts on CPU %u that were early, or came once more", i);
		expect(t, s.shot.at >= s.start + TIMER_NS, "CPU %u: %llu us after %llu us were set",
		       i, (unsigned long long)((s.shot.at - s.start) / USEC),
		       (unsigned long long)(TIMER_NS / USEC));
	}
}

TEST(halt,
     .id = "boot.irq.halt",
     .clause = "Intel SDM 2A, HLT: an enabled interrupt resumes execution",
     .owner = "CPU virtualisation of the VMM")
{
	struct shot s = { 0 };

	irq_timer_once(TIMER_NS, on_shot, &s);
	irq_save();
	while (!__atomic_load_n(&s.count, __ATOMIC_ACQUIRE))
		irq_halt();
	irq_enable();
	expect_eq(t, s.count, 1, "timer interrupts out of HLT");
}

struct sender {
	unsigned int to;
	int vector;
	int ret;
};

static void send(void *arg)
{
	struct sender *s = arg;

	s->ret = irq_send_ipi(s->to, s->vector);
}

/* With many CPUs each sends to the next, to the first and to itself: all pairs are quadratic. */
static bool sends_to(unsigned int from, unsigned int to, unsigned int n)
{
	return n <= 8 || to == from || to == 0 || to == (from + 1) % n;
}

static void try_ipi(struct test_ctx *t, struct shot *s, unsigned int from, unsigned int to,
		    int vector)
{
	struct sender a = { .to = to, .vector = vector };

	s->count = 0;
	expect_eq(t, smp_call(from, send, &a, CALL_NS), 0, "CPU %u sends", from);
	expect_eq(t, a.ret, 0, "IPI of CPU %u to %u", from, to);
	expect(t, was_shot(s, CALL_NS), "IPI of CPU %u to %u does not arrive", from, to);
	expect_eq(t, s->cpu, to, "CPU that took the IPI of CPU %u", from);
	expect_eq(t, s->count, 1, "interrupts by one IPI");
}

TEST(ipi,
     .id = "boot.irq.ipi",
     .clause = "Intel SDM 3A, 11.6.1: an IPI arrives on its vector, once, at each processor, the sender too",
     .owner = "local APIC of the VMM",
     .timeout = 30 * SEC)
{
	const unsigned int n = smp_cpus_online();
	struct shot s = { 0 };
	const int vector = irq_alloc(on_shot, &s);
	unsigned int from, to;

	require(t, vector > 0, "no vector is free");
	for (from = 0; from < n; from++)
		for (to = 0; to < n; to++)
			if (sends_to(from, to, n))
				try_ipi(t, &s, from, to, vector);
	irq_free(vector);
}

TEST(quiet,
     .id = "boot.irq.quiet",
     .clause = "Intel SDM 3A, 11.8: with every line masked no interrupt arrives that nobody asked for",
     .owner = "interrupt controllers of the VMM")
{
	int vector = 0;
	const uint64_t before = irq_spurious_count(&vector);
	uint64_t after;

	wait_for(false, 50 * MSEC);
	after = irq_spurious_count(&vector);
	expect_eq(t, after - before, 0, "interrupts in 50 ms; the last on vector 0x%x",
		  (unsigned int)vector);
}

/* --- time --------------------------------------------------------------------------------------- */

struct ticks {
	uint64_t backwards, advance;
};

static void watch_time(void *arg)
{
	struct ticks *k = arg;
	uint64_t last = time_now(), now;
	const uint64_t start = last;
	unsigned int i;

	for (i = 0; i < 20000; i++) {
		now = time_now();
		k->backwards += now < last;
		last = now;
	}
	k->advance = last - start;
}

TEST(monotonic,
     .id = "boot.time.monotonic",
     .clause = "Intel SDM 3B, 18.17: the time-stamp counter increases, on every processor",
     .owner = "TSC of the VMM")
{
	unsigned int i;

	for (i = 0; i < smp_cpus_online(); i++) {
		struct ticks k = { 0 };

		require_eq(t, smp_call(i, watch_time, &k, 2 * SEC), 0, "CPU %u runs", i);
		expect_eq(t, k.backwards, 0, "steps backwards on CPU %u", i);
		expect(t, k.advance > 0, "time stands still on CPU %u", i);
	}
}

static uint64_t permille_apart(uint64_t a, uint64_t b)
{
	const uint64_t diff = a > b ? a - b : b - a;

	return diff * 1000 / (a > b ? a : b);
}

#define AGREE_PERMILLE 50
#define AGREE_TRIES    5

/* A host that is busy elsewhere spoils one measurement: any of some tries counts. */
static bool source_agrees(unsigned int i, uint64_t *hz)
{
	unsigned int k;

	for (k = 0; k < AGREE_TRIES; k++) {
		*hz = time_measure(i);
		if (!*hz || permille_apart(*hz, time_hz()) <= AGREE_PERMILLE)
			return true;
	}
	return false;
}

TEST(sources_agree,
     .id = "boot.time.sources_agree",
     .clause = "clocks of one machine tell the same time: within 5 % of one another",
     .owner = "timers of the VMM")
{
	unsigned int i, asked = 0;
	const char *name;
	bool exact;
	uint64_t hz;

	for (i = 0; (name = time_source_name(i, &exact)); i++) {
		if (!exact || strcmp(name, time_source()) == 0)
			continue;
		if (!source_agrees(i, &hz))
			expect(t, false, "TSC at %llu kHz by %s, %llu kHz by %s",
			       (unsigned long long)(time_hz() / 1000), time_source(),
			       (unsigned long long)(hz / 1000), name);
		if (!hz)
			continue;
		expect(t, hz > 0, "%s", name);
		asked++;
	}
	if (!asked)
		test_skip(
			t,
			"there is no clock beside %s (CPUID 0x15 and 0x40000010, PIT, HPET, PM timer, "
			"KVM clock)",
			time_source());
}

/* --- PCI ------------------------------------------------------------------------------------------ */

TEST(ecam_agrees,
     .id = "boot.pci.ecam_agrees",
     .clause = "PCI Express 6.0, 7.2.2: ECAM shows the same configuration space as the ports do",
     .owner = "PCI host bridge of the VMM",
     .needs = NEED_PCI)
{
	const struct pci_dev *d;
	unsigned int i, off;

	if (strcmp(pci_access(), "ecam") != 0)
		test_skip(t, "there is no ECAM: the ACPI tables have no MCFG");
	d = pci_get(0);
	if (arch_pci_read(d, 0, 4) == UINT32_MAX)
		test_skip(t, "no function answers at ports 0xcf8 and 0xcfc");
	for (i = 0; (d = pci_get(i)); i++) {
		if (d->segment != 0)
			continue;
		for (off = 0; off < 0x40; off += 4) {
			if (off == 4)
				continue; /* the status half changes by itself */
			expect_eq(t, arch_pci_read(d, off, 4), pci_read(d, off, 4),
				  "%02x:%02x.%u register 0x%02x by port", d->bus, d->dev, d->fn,
				  off);
		}
	}
}
