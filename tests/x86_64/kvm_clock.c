/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvmpv.clock.*: KVM's paravirtual clock (Linux, Documentation/virt/kvm/x86/msr.rst) runs at its rate and never goes
 * back, and is one clock for all CPUs where its pages carry the stable flag.
 *
 * KVM computes the clock anew at many events: it could step back when its base was adjusted (Linux 1d5f066e0b63).
 * VMMs lose it at a resume: Cloud Hypervisor passed none on (cloud-hypervisor pull request 2653).
 *
 * Each reading follows the version protocol of the page. The rate is compared with our own clock, read before and
 * behind each reading, since the host may stop the CPU between any two instructions.
 */
#include "tests/kvmpv/env.h"

#include <errno.h>
#include <string.h>

#include "kvmpv/x86_64/clock.h"
#include "kvmpv/x86_64/kvm.h"
#include "lib/errname.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/kvm.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/smp.h"

#define OWNER	"KVM (kvmclock)"
#define MSR_TSC 0x10

struct reading {
	unsigned int cpu;
	int ret;
	uint64_t ns;
	bool stable; /* in front of the reading and behind it */
};

static void on_register(void *arg)
{
	struct reading *r = arg;

	r->ret = kvm_clock_register(r->cpu);
}

static bool is_stable(unsigned int cpu)
{
	return kvm_clock_page(cpu)->flags & PVCLOCK_TSC_STABLE;
}

static void on_read(void *arg)
{
	struct reading *r = arg;

	r->stable = is_stable(r->cpu);
	r->ret = kvm_clock_read(r->cpu, &r->ns);
	r->stable &= is_stable(r->cpu);
}

static void on_unregister(void *arg)
{
	const struct reading *r = arg;

	kvm_clock_unregister(r->cpu);
}

static void on_cpu(struct test_ctx *t, unsigned int cpu, void (*fn)(void *), struct reading *r)
{
	r->cpu = cpu;
	if (smp_call(cpu, fn, r, test_sec()))
		test_error(t, "CPU %u does not answer", cpu);
}

static bool clock_offered(void)
{
	return kvm_arch_features() >> KVM_FEATURE_CLOCKSOURCE2 & 1;
}

static void register_all(struct test_ctx *t, unsigned int n)
{
	struct reading r = { 0 };
	unsigned int i;

	if (!clock_offered())
		test_skip(t, "KVM_FEATURE_CLOCKSOURCE2 (bit 3) is not offered");
	for (i = 0; i < n; i++) {
		on_cpu(t, i, on_register, &r);
		require(t, r.ret == 0, "MSR_KVM_SYSTEM_TIME_NEW of CPU %u: %s", i, err_text(r.ret));
	}
}

static void unregister_all(struct test_ctx *t, unsigned int n)
{
	struct reading r = { 0 };
	unsigned int i;

	for (i = 0; i < n; i++)
		on_cpu(t, i, on_unregister, &r);
}

TEST(clock_page,
     .id = "kvmpv.clock.page",
     .clause = "kvm msr.rst: the page is filled, its version even; flag 0 is set only with CPUID bit 24",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	const volatile struct pvclock_vcpu_time_info *p;
	uint64_t ns = 0;
	int ret;

	register_all(t, 1);
	p = kvm_clock_page(0);
	ret = kvm_clock_read(0, &ns);
	expect(t, ret == 0, "no stable version of the page: %s, version %u", err_text(ret),
	       (unsigned int)p->version);
	expect(t, p->tsc_to_system_mul != 0, "tsc_to_system_mul is 0");
	expect(t,
	       !(p->flags & PVCLOCK_TSC_STABLE) ||
		       kvm_arch_features() >> KVM_FEATURE_CLOCKSOURCE_STABLE & 1,
	       "the stable flag without CPUID bit 24");
	/* The bit without the flag is right: KVM clears the flag while the host's own TSC is in doubt. */
	unregister_all(t, 1);
}

/* A register of one CPU: the address goes in without and with its enable bit. */
struct registered {
	enum kvm_msr msr;
	uint64_t gpa;
	uint8_t *at;
	bool exists, touched; /* touched: without the enable bit */
	uint64_t seen[2];     /* what the register reads */
};

static void on_registers(void *arg)
{
	struct registered *r = arg;
	unsigned int i;

	r->exists = kvm_arch_msr_write(r->msr, r->gpa) && kvm_arch_msr_read(r->msr, &r->seen[0]);
	wait_for(false, MSEC);
	for (i = 0; i < sizeof(struct pvclock_vcpu_time_info); i++)
		r->touched |= r->at[i] != 0xa5;
	r->exists = r->exists && kvm_arch_msr_write(r->msr, r->gpa | 1) &&
		    kvm_arch_msr_read(r->msr, &r->seen[1]);
	kvm_arch_msr_write(r->msr, 0);
}

TEST(clock_registers,
     .id = "kvmpv.clock.registers",
     .clause = "kvm msr.rst: each CPU has a register of its own, by either number; any 4-byte aligned address; bit 0 enables",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	static const uint32_t offs[] = { 0, 4, 2020, PAGE_SIZE - 32, PAGE_SIZE - 16 };
	static const enum kvm_msr msrs[] = { KVM_MSR_SYSTEM_TIME_NEW, KVM_MSR_SYSTEM_TIME };
	struct pvclock_vcpu_time_info time;
	unsigned int cpu, k, m;
	struct registered r;
	uint8_t *p;

	if (!clock_offered())
		test_skip(t, "KVM_FEATURE_CLOCKSOURCE2 (bit 3) is not offered");
	p = mem_pages(2, PAGE_SIZE);
	if (!p)
		test_error(t, "no memory");
	if (protect_enabled() && protect_share(gfn_of(p), 2))
		test_error(t, "pages cannot be shared");
	for (cpu = 0; cpu < smp_cpus_online() && cpu < 4; cpu++)
		for (m = 0; m < 2; m++)
			for (k = 0; k < sizeof(offs) / sizeof(offs[0]); k++) {
				if (m && !(kvm_arch_features() & 1))
					continue;
				r = (struct registered){ .msr = msrs[m],
							 .gpa = virt_to_phys(p) + offs[k],
							 .at = p + offs[k] };
				memset(p, 0xa5, 2 * PAGE_SIZE);
				if (smp_call(cpu, on_registers, &r, test_sec()))
					test_error(t, "CPU %u does not answer", cpu);
				require(t, r.exists, "CPU %u: MSR 0x%x does not exist", cpu,
					(unsigned int)r.msr);
				expect(t, !r.touched,
				       "CPU %u: MSR 0x%x: memory changes without the enable bit",
				       cpu, (unsigned int)r.msr);
				expect(t, r.seen[0] == r.gpa && r.seen[1] == (r.gpa | 1),
				       "CPU %u: MSR 0x%x reads 0x%llx and 0x%llx, not 0x%llx with bit 0 clear and set",
				       cpu, (unsigned int)r.msr, (unsigned long long)r.seen[0],
				       (unsigned long long)r.seen[1], (unsigned long long)r.gpa);
				memcpy(&time, r.at, sizeof(time));
				/* Linux of today keeps its clock inside of one page, and does not start there. */
				if (time.version == 0xa5a5a5a5 &&
				    offs[k] > PAGE_SIZE - sizeof(time)) {
					test_note(t, "no clock across the end of a page");
					continue;
				}
				expect(t,
				       !(time.version & 1) &&
					       time.tsc_to_system_mul != 0xa5a5a5a5 &&
					       time.flags != 0xa5,
				       "CPU %u: MSR 0x%x: the page is not filled at offset %u", cpu,
				       (unsigned int)r.msr, (unsigned int)offs[k]);
			}
	protect_pages_free(p, 2);
}

TEST(clock_rate,
     .id = "kvmpv.clock.rate",
     .clause = "kvm msr.rst: system_time advances in nanoseconds",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	uint64_t a = 0, b = 0, t0, t1, longest, shortest;

	register_all(t, 1);
	t0 = time_now();
	require(t, kvm_clock_read(0, &a) == 0, "the clock cannot be read");
	t1 = time_now();
	wait_for(false, 50 * MSEC);
	shortest = time_now() - t1;
	require(t, kvm_clock_read(0, &b) == 0, "the clock cannot be read again");
	longest = time_now() - t0;
	expect(t, b > a, "the clock went from %llu to %llu", (unsigned long long)a,
	       (unsigned long long)b);
	/* Our own clock was calibrated over some milliseconds, and is right within some percent. */
	expect(t, b > a && (b - a) * 100 > shortest * 90 && (b - a) * 100 < longest * 110,
	       "in %llu to %llu ns by %s the clock advanced %llu", (unsigned long long)shortest,
	       (unsigned long long)longest, time_source(), (unsigned long long)(b - a));
	unregister_all(t, 1);
}

TEST(clock_again,
     .id = "kvmpv.clock.register_again",
     .clause = "kvm msr.rst: registering anew does not set the clock back; flag 1 is for a guest that the host stopped",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	uint64_t last = 0, now = 0;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		register_all(t, 1);
		if (kvm_clock_read(0, &now))
			require(t, false, "the clock cannot be read");
		expect(t, now >= last, "registration %u: %llu after %llu", i,
		       (unsigned long long)now, (unsigned long long)last);
		expect(t, !(kvm_clock_page(0)->flags & PVCLOCK_GUEST_STOPPED),
		       "registration %u: the page says that the guest was stopped, which nobody did",
		       i);
		last = now;
		unregister_all(t, 1);
	}
}

/* A page of a test's own that the host may write; mem_pages() gives it. */
static uint8_t *shared_page(struct test_ctx *t)
{
	uint8_t *p = mem_pages(1, PAGE_SIZE);

	if (!p)
		test_error(t, "no memory");
	if (protect_enabled() && protect_share(gfn_of(p), 1))
		test_error(t, "a page cannot be shared");
	return p;
}

static bool all_bytes(const volatile uint8_t *p, size_t n, uint8_t v)
{
	while (n-- && *p++ == v)
		;
	return n == SIZE_MAX;
}

/* The second address is written while the clock is on at the first. */
TEST(clock_moved,
     .id = "kvmpv.clock.moved",
     .clause = "kvm msr.rst: the clock is at the address that was written last",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	enum {
		STEP = 64
	};
	unsigned int i;
	uint8_t *p;

	if (!clock_offered())
		test_skip(t, "KVM_FEATURE_CLOCKSOURCE2 (bit 3) is not offered");
	p = shared_page(t);
	memset(p, 0xa5, PAGE_SIZE);
	for (i = 0; i < 4; i++) {
		require(t, kvm_arch_set_system_time((virt_to_phys(p) + i * STEP) | 1),
			"MSR_KVM_SYSTEM_TIME_NEW does not exist");
		expect(t, !all_bytes(p + i * STEP, sizeof(struct pvclock_vcpu_time_info), 0xa5),
		       "address %u is not filled", i);
	}
	kvm_arch_set_system_time(0);
	protect_pages_free(p, 1);
}

/* As a driver does that is loaded again, and had no time to say good-bye. */
TEST(clock_same_place,
     .id = "kvmpv.clock.same_address",
     .clause = "kvm msr.rst: a write of the register fills the structure, also at the address where it is already",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	unsigned int i;
	uint8_t *p;

	if (!clock_offered())
		test_skip(t, "KVM_FEATURE_CLOCKSOURCE2 (bit 3) is not offered");
	p = shared_page(t);
	for (i = 0; i < 3; i++) {
		memset(p, 0xa5, sizeof(struct pvclock_vcpu_time_info));
		require(t, kvm_arch_set_system_time(virt_to_phys(p) | 1),
			"MSR_KVM_SYSTEM_TIME_NEW does not exist");
		/* KVM writes it before the CPU goes on, which may be at its next exit. */
		expect(t,
		       wait_for((kvm_hypercall(KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0),
				 !all_bytes(p, sizeof(struct pvclock_vcpu_time_info), 0xa5)),
				test_sec()),
		       "write %u of one address: the structure is not filled", i + 1);
	}
	kvm_arch_set_system_time(0);
	protect_pages_free(p, 1);
}

/* Reading needs a version that tells one state of the page from the next. */
TEST(clock_version,
     .id = "kvmpv.clock.version",
     .clause = "kvm msr.rst: the page is read between two equal, even versions: each update has another one",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	struct pvclock_vcpu_time_info now, last = { 0 };
	unsigned int i;
	uint8_t *p;

	if (!clock_offered())
		test_skip(t, "KVM_FEATURE_CLOCKSOURCE2 (bit 3) is not offered");
	p = shared_page(t);
	for (i = 0; i < 4; i++) {
		require(t, kvm_arch_set_system_time(virt_to_phys(p) | 1),
			"MSR_KVM_SYSTEM_TIME_NEW does not exist");
		rmb();
		memcpy(&now, p, sizeof(now));
		expect(t, !(now.version & 1), "version %u behind the write of the register",
		       (unsigned int)now.version);
		expect(t,
		       now.version != last.version || (now.tsc_timestamp == last.tsc_timestamp &&
						       now.system_time == last.system_time),
		       "update %u has version %u, as the one before it", i,
		       (unsigned int)now.version);
		last = now;
	}
	kvm_arch_set_system_time(0);
	protect_pages_free(p, 1);
}

TEST(clock_private,
     .id = "kvmpv.clock.private_page",
     .clause = "RFCv2, map_gpa: the host has no access to a private page, for its clock either",
     .owner = OWNER,
     .needs = NEED_KVM | NEED_PROTECT)
{
	uint8_t *p;

	if (!clock_offered())
		test_skip(t, "KVM_FEATURE_CLOCKSOURCE2 (bit 3) is not offered");
	kvmpv_protected(t);
	p = kvmpv_pages(t, 1);
	memset(p, 0xa5, PAGE_SIZE);
	/* A host may refuse the address. */
	(void)kvm_arch_set_system_time(virt_to_phys(p) | 1);
	(void)wait_for(false, MSEC);
	(void)kvm_arch_set_system_time(0);
	expect(t, all_bytes(p, PAGE_SIZE, 0xa5), "the host wrote into a private page");
	protect_pages_free(p, 1);
}

TEST(steal_time,
     .id = "kvmpv.steal_time.filled",
     .clause = "kvm msr.rst: with CPUID bit 5 MSR_KVM_STEAL_TIME keeps its value, and the host fills the structure",
     .owner = "KVM (steal time)",
     .needs = NEED_KVM)
{
	volatile struct kvm_steal_time *s;
	uint64_t seen = 0, want;
	uint8_t *p;

	if (!(kvm_arch_features() >> KVM_FEATURE_STEAL_TIME & 1))
		test_skip(t, "KVM_FEATURE_STEAL_TIME (bit 5) is not offered");
	p = shared_page(t);
	s = (volatile struct kvm_steal_time *)p;
	want = virt_to_phys(p) | 1;
	require(t, kvm_arch_msr_write(KVM_MSR_STEAL_TIME, want), "the register does not exist");
	expect(t, kvm_arch_msr_read(KVM_MSR_STEAL_TIME, &seen) && seen == want,
	       "the register reads 0x%llx, not 0x%llx", (unsigned long long)seen,
	       (unsigned long long)want);
	expect(t, wait_for(s->version && !(s->version & 1), test_sec()),
	       "the structure is not filled: version %u", (unsigned int)s->version);
	expect_eq(t, s->flags, 0, "flags, which are always 0");
	kvm_arch_msr_write(KVM_MSR_STEAL_TIME, 0);
	protect_pages_free(p, 1);
}

/*
 * The flag of each page is the promise, and CPUID bit 24 says that it means something. In Linux all pages have it or none;
 * a host that sets it in some promises nothing of the others.
 */
static unsigned int stable_pages(struct test_ctx *t, unsigned int n)
{
	unsigned int i, stable = 0;

	for (i = 0; i < n; i++) {
		require(t, kvm_clock_page(i)->version != 0, "the clock of CPU %u is not written",
			i);
		stable += is_stable(i);
	}
	if (stable && stable < n)
		test_note(t, "of %u CPUs %u have the stable flag, and are compared", n, stable);
	return stable;
}

TEST(clock_cpus,
     .id = "kvmpv.clock.monotonic_over_cpus",
     .clause = "kvm msr.rst: with the stable flag one clock, monotonic over all CPUs whose pages have it",
     .owner = OWNER,
     .needs = NEED_KVM | NEED_SMP)
{
	const unsigned int n = smp_cpus_online() < 8 ? smp_cpus_online() : 8;
	struct reading r = { 0 };
	unsigned int i, round, stable;
	uint64_t last = 0;

	register_all(t, n);
	stable = stable_pages(t, n);
	if (stable < 2) {
		unregister_all(t, n);
		test_skip(t, "of %u CPUs %u have the stable flag: each clock is for itself", n,
			  stable);
	}
	for (round = 0; round < 50; round++) {
		for (i = 0; i < n; i++) {
			on_cpu(t, i, on_read, &r);
			require(t, r.ret == 0, "clock of CPU %u: %s", i, err_text(r.ret));
			if (!r.stable)
				continue;
			expect(t, r.ns >= last, "CPU %u reads %llu after %llu", i,
			       (unsigned long long)r.ns, (unsigned long long)last);
			last = r.ns;
		}
	}
	unregister_all(t, n);
}

TEST(clock_conversions,
     .id = "kvmpv.clock.across_conversions",
     .clause = "kvm msr.rst, RFCv2: conversions, the clock page's own too, do not disturb the clock",
     .owner = OWNER,
     .needs = NEED_KVM | NEED_PROTECT)
{
	uint64_t last = 0, now = 0;
	unsigned int i;
	uint8_t *p;

	kvmpv_protected(t);
	p = kvmpv_pages(t, 1);
	for (i = 0; i < 100; i++) {
		if (i % 20 == 0)
			register_all(t, 1);
		protect_share(gfn_of(p), 1);
		require(t, kvm_clock_read(0, &now) == 0,
			"the clock cannot be read after %u conversions", 2 * i);
		protect_unshare(gfn_of(p), 1);
		expect(t, now >= last, "%llu after %llu", (unsigned long long)now,
		       (unsigned long long)last);
		last = now;
		if (i % 20 == 19)
			unregister_all(t, 1);
	}
	protect_pages_free(p, 1);
}

TEST(clock_wall,
     .id = "kvmpv.clock.wall",
     .clause = "kvm msr.rst: MSR_KVM_WALL_CLOCK_NEW gives a time of day, nsec below 10^9",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	struct pvclock_wall_clock w = { 0 };
	int ret;

	if (!clock_offered())
		test_skip(t, "KVM_FEATURE_CLOCKSOURCE2 (bit 3) is not offered");
	ret = kvm_wall_clock(&w);
	require(t, ret == 0, "wall clock: %s", err_text(ret));
	expect(t, !(w.version & 1) && w.version, "version %u", (unsigned int)w.version);
	expect(t, w.nsec < 1000000000u, "nsec %u", (unsigned int)w.nsec);
	expect(t, w.sec > 1577836800u, "sec %u lies before 2020", (unsigned int)w.sec);
}

TEST(clock_wall_old,
     .id = "kvmpv.clock.wall_old_number",
     .clause = "kvm msr.rst: MSR_KVM_WALL_CLOCK, 0x11, works as MSR_KVM_WALL_CLOCK_NEW does, with CPUID bit 0, and has what was written",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	struct pvclock_wall_clock w, fresh = { 0 };
	uint64_t seen = 0;
	uint8_t *p;

	if (!(kvm_arch_features() & 1))
		test_skip(t, "KVM_FEATURE_CLOCKSOURCE (bit 0) is not offered");
	p = shared_page(t);
	memset(p, 0xa5, sizeof(w));
	require(t, kvm_arch_msr_write(KVM_MSR_WALL_CLOCK, virt_to_phys(p)),
		"MSR 0x11 does not exist");
	rmb();
	memcpy(&w, p, sizeof(w));
	expect(t, kvm_arch_msr_read(KVM_MSR_WALL_CLOCK, &seen) && seen == virt_to_phys(p),
	       "MSR 0x11 reads 0x%llx, not 0x%llx", (unsigned long long)seen,
	       (unsigned long long)virt_to_phys(p));
	protect_pages_free(p, 1);
	expect(t, w.version != 0xa5a5a5a5 && !(w.version & 1),
	       "the structure is not filled: version 0x%x", (unsigned int)w.version);
	if (kvm_wall_clock(&fresh) == 0)
		expect(t, w.sec - fresh.sec + 2 <= 4, "%u seconds by the old number, %u by the new",
		       (unsigned int)w.sec, (unsigned int)fresh.sec);
}

/* It is a time in the past, which does not go on: what goes on is the system time. */
TEST(clock_wall_stays,
     .id = "kvmpv.clock.wall_stays",
     .clause = "kvm msr.rst: the wall clock is that of the boot: asked for later, it is the same",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	enum {
		TIMES = 5
	};
	struct pvclock_wall_clock w = { 0 };
	uint64_t last, start;
	int64_t moved = 0, waited = 0;
	unsigned int i, others = 0;

	if (!clock_offered())
		test_skip(t, "KVM_FEATURE_CLOCKSOURCE2 (bit 3) is not offered");
	require(t, kvm_wall_clock(&w) == 0, "MSR_KVM_WALL_CLOCK_NEW does not exist");
	last = (uint64_t)w.sec * SEC + w.nsec;
	for (i = 0; i < TIMES; i++) {
		start = time_now();
		(void)wait_for(false, 50 * MSEC);
		waited = (int64_t)(time_now() - start);
		require(t, kvm_wall_clock(&w) == 0,
			"MSR_KVM_WALL_CLOCK_NEW does not exist any more");
		moved = (int64_t)((uint64_t)w.sec * SEC + w.nsec - last);
		last += (uint64_t)moved;
		others += moved > waited / 2 || moved < -waited / 2;
	}
	/* The host's clock may be set meanwhile, and a slow host may be late: but not each time. */
	expect(t, others < TIMES,
	       "the time of the boot is another one each time, at last %lld ns later when it is asked for %lld ns later",
	       (long long)moved, (long long)waited);
}

TEST(clock_counter,
     .id = "kvmpv.clock.counter_register",
     .clause = "Intel SDM 2B, AMD APM 3: RDTSC reads IA32_TIME_STAMP_COUNTER; kvm msr.rst: the clock is made from it",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	uint64_t before, now, after;
	unsigned int i;

	for (i = 0; i < 100; i++) {
		before = rdtsc();
		now = rdmsr(MSR_TSC);
		after = rdtsc();
		require(t, before <= now && now <= after,
			"RDMSR of IA32_TIME_STAMP_COUNTER reads %llu between RDTSCs of %llu and %llu",
			(unsigned long long)now, (unsigned long long)before,
			(unsigned long long)after);
	}
}

#define CLOCKS_APART 600 /* seconds; time zones differ by more */

/* The wall clock is the time of day at which the system time was 0. */
TEST(clock_of_day,
     .id = "kvmpv.clock.time_of_day",
     .clause = "kvm msr.rst: the wall clock is that of the boot, in seconds since 1970: with the system time, it is now",
     .owner = OWNER,
     .needs = NEED_KVM | NEED_VSOCK | NEED_PEER)
{
	struct pvclock_wall_clock w = { 0 };
	struct vsock_env *e = kvmpv_device(t);
	uint64_t ns = 0, host;
	int64_t apart;

	if (!ctl_can(e->ctl, CTL_CAP_TIME))
		test_skip(t, "the peer does not tell the time");
	register_all(t, 1);
	require(t, kvm_clock_read(0, &ns) == 0, "the clock cannot be read");
	unregister_all(t, 1);
	require(t, kvm_wall_clock(&w) == 0, "MSR_KVM_WALL_CLOCK_NEW does not exist");
	CTL_OK(t, ctl_time(e->ctl, &host));
	apart = (int64_t)(w.sec + ns / SEC - host);
	expect(t, apart >= -CLOCKS_APART && apart <= CLOCKS_APART,
	       "the wall clock and the system time are %lld s ahead of the host's time",
	       (long long)apart);
}

/* The values are ones that the registers could have. */
TEST(clock_user,
     .id = "kvmpv.clock.user_mode",
     .clause = "Intel SDM 2B, AMD APM 3: RDMSR and WRMSR at CPL > 0 are a #GP, of KVM's registers as well; kvm msr.rst",
     .owner = OWNER,
     .needs = NEED_KVM,
     .timeout = 20 * SEC)
{
	static const struct {
		uint32_t msr;
		const char *name;
	} msrs[] = { { 0x4b564d01, "MSR_KVM_SYSTEM_TIME_NEW" },
		     { 0x4b564d00, "MSR_KVM_WALL_CLOCK_NEW" },
		     { 0x12, "MSR_KVM_SYSTEM_TIME" },
		     { 0x11, "MSR_KVM_WALL_CLOCK" },
		     { 0x10, "IA32_TIME_STAMP_COUNTER" } };
	struct kvm_call c = { 0 };
	unsigned int i, op, cpl;
	int ret;

	for (i = 0; i < 3 * sizeof(msrs) / sizeof(msrs[0]); i++)
		for (op = KVM_RDMSR; op <= KVM_WRMSR; op++) {
			cpl = 3 - i % 3;
			c.arg[1] = msrs[i / 3].msr;
			ret = kvm_arch_call_ring(cpl, op, &c);
			if (ret)
				test_error(t, "CPL %u cannot be entered: %s", cpl, err_text(ret));
			expect(t, c.trapped && c.vector == 13, "%s of %s at CPL %u: %s, vector %u",
			       op == KVM_RDMSR ? "RDMSR" : "WRMSR", msrs[i / 3].name, cpl,
			       c.trapped ? "an exception" : "none", (unsigned int)c.vector);
		}
}
