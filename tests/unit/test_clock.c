/* SPDX-License-Identifier: BSD-2-Clause */
/* clock.c: KVM's clock pages, written by a host that is in the middle of it, never ends, or writes nonsense. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kvmpv/protect.h"
#include "kvmpv/x86_64/clock.h"
#include "lib/mem.h"
#include "lib/smp.h"

/* --- the host, and lib/ without a machine ------------------------------------------------------------ */

static struct {
	uint64_t gfn;	      /* shared last */
	uint64_t system_time; /* as the guest wrote it last */
	struct pvclock_vcpu_time_info *page;
	struct pvclock_wall_clock wall;
	uint64_t counter;
	bool no_register, protects, refuses_share, no_memory;
	unsigned int pages, shared, freed_shared;
	unsigned int
		changing; /* so many reads of the counter find the page changed by the next one */
} host;

bool kvm_arch_set_system_time(uint64_t v)
{
	if (host.no_register)
		return false;
	host.system_time = v;
	host.page = v ? (void *)(uintptr_t)(v & ~1ull) : NULL;
	return true;
}

bool kvm_arch_set_wall_clock(uint64_t pa)
{
	if (host.no_register)
		return false;
	memcpy((void *)(uintptr_t)pa, &host.wall, sizeof(host.wall));
	return true;
}

/* The guest reads it while it reads the page. */
uint64_t kvm_arch_counter(void)
{
	if (host.changing) {
		host.changing--;
		host.page->version += 2;
		host.page->system_time += 1000;
	}
	return host.counter;
}

bool protect_enabled(void)
{
	return host.protects;
}

int64_t protect_share(uint64_t gfn, uint64_t npages)
{
	assert_int_equal(npages, 1);
	host.gfn = gfn;
	host.shared++;
	return host.refuses_share ? -KVM_EPERM : 0;
}

void protect_pages_free(void *p, size_t n)
{
	assert_int_equal(n, 1);
	host.freed_shared++;
	host.pages--;
	free(p);
}

void *mem_pages(size_t n, size_t align)
{
	void *p = host.no_memory ? NULL : aligned_alloc(align, n * PAGE_SIZE);

	if (!p)
		return NULL;
	host.pages += (unsigned int)n;
	return memset(p, 0, n * PAGE_SIZE);
}

void mem_pages_free(void *p, size_t n)
{
	host.pages -= (unsigned int)n;
	free(p);
}

static int fresh(void **state)
{
	(void)state;
	memset(&host, 0, sizeof(host));
	return 0;
}

static int end(void **state)
{
	unsigned int cpu;

	(void)state;
	for (cpu = 0; cpu < SMP_MAX_CPUS; cpu++)
		kvm_clock_unregister(cpu);
	assert_int_equal(host.pages, 0);
	return 0;
}

/* --- tests ------------------------------------------------------------------------------------------------ */

static void registered(void **state)
{
	uint64_t ns;

	(void)state;
	assert_null(kvm_clock_page(3));
	assert_int_equal(kvm_clock_read(3, &ns), -ENODEV);
	kvm_clock_unregister(3); /* was never there */
	assert_int_equal(kvm_clock_register(3), 0);
	assert_int_equal(host.system_time & (PAGE_SIZE - 1), 1); /* enabled */
	assert_ptr_equal(kvm_clock_page(3), host.page);
	assert_null(kvm_clock_page(2));
	assert_int_equal(host.shared, 0);
	kvm_clock_unregister(3);
	assert_int_equal(host.system_time, 0);
	assert_null(kvm_clock_page(3));
	assert_int_equal(host.freed_shared, 1);
	assert_int_equal(kvm_clock_register(SMP_MAX_CPUS - 1), 0);
	assert_int_equal(kvm_clock_register(SMP_MAX_CPUS), -EINVAL);
	assert_null(kvm_clock_page(SMP_MAX_CPUS));
	kvm_clock_unregister(SMP_MAX_CPUS);
	assert_int_equal(host.pages, 1);
}

static void refused(void **state)
{
	struct pvclock_wall_clock w;

	(void)state;
	host.no_memory = true;
	assert_int_equal(kvm_clock_register(0), -ENOMEM);
	assert_int_equal(kvm_wall_clock(&w), -ENOMEM);
	host.no_memory = false;
	host.no_register = true;
	assert_int_equal(kvm_clock_register(0), -ENODEV);
	assert_int_equal(kvm_wall_clock(&w), -ENODEV);
	assert_null(kvm_clock_page(0));
	assert_int_equal(host.pages, 0);
	assert_int_equal(host.freed_shared, 2);
}

/* Of protected memory the page is shared first; what the host does not share is given back as it is. */
static void protected(void **state)
{
	(void)state;
	host.protects = true;
	assert_int_equal(kvm_clock_register(0), 0);
	assert_int_equal(host.shared, 1);
	assert_int_equal(host.gfn, (uintptr_t)host.page >> PAGE_SHIFT);
	host.no_memory = true; /* there is nothing to share */
	assert_int_equal(kvm_clock_register(1), -ENOMEM);
	assert_int_equal(host.shared, 1);
	host.no_memory = false;
	host.refuses_share = true;
	assert_int_equal(kvm_clock_register(1), -ENOMEM);
	assert_null(kvm_clock_page(1));
	assert_int_equal(host.pages, 1);
	assert_int_equal(host.freed_shared, 0);
}

static uint64_t read_ns(void)
{
	uint64_t ns = 0;

	assert_int_equal(kvm_clock_read(0, &ns), 0);
	return ns;
}

/* msr.rst: system_time + ((tsc - tsc_timestamp) << or >> shift) * mul / 2^32. */
static void formula(void **state)
{
	static const struct {
		int8_t shift;
		uint32_t mul;
		uint64_t delta, ns;
	} c[] = {
		{ 0, 0x80000000, 1000, 500 },
		{ 1, 0x80000000, 1000, 1000 },
		{ -1, 0x80000000, 1000, 250 },
		{ 31, 0x80000000, 2, 1ull << 31 },
		{ -31, 0x80000000, 3ull << 32, 3 },
		{ 0, 0xffffffff, 1ull << 40, (1ull << 40) - (1ull << 8) }, /* more than 64 bits */
		{ 0, 0, 1000, 0 },
	};
	static const int8_t nonsense[] = { 32, -32, 127, -128 };
	uint64_t ns;
	unsigned int i;

	(void)state;
	assert_int_equal(kvm_clock_register(0), 0);
	host.page->version = 2;
	host.page->system_time = 7000;
	host.page->tsc_timestamp = 5000;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		host.page->tsc_shift = c[i].shift;
		host.page->tsc_to_system_mul = c[i].mul;
		host.counter = 5000 + c[i].delta;
		assert_int_equal(read_ns(), 7000 + c[i].ns);
	}
	for (i = 0; i < 4; i++) {
		host.page->tsc_shift = nonsense[i];
		assert_int_equal(kvm_clock_read(0, &ns), -ERANGE);
	}
}

/* A version that is odd, that was never written, or that changed meanwhile: once more, 1000 times. */
static void versions(void **state)
{
	uint64_t ns;

	(void)state;
	assert_int_equal(kvm_clock_register(0), 0);
	assert_int_equal(kvm_clock_read(0, &ns), -EAGAIN);
	host.page->version = 3;
	assert_int_equal(kvm_clock_read(0, &ns), -EAGAIN);
	host.page->version = 4;
	assert_int_equal(read_ns(), 0);
	host.changing = 1;
	assert_int_equal(read_ns(), 1000);
	host.changing = 999;
	assert_int_equal(read_ns(), 1000000);
	host.changing = 1000;
	assert_int_equal(kvm_clock_read(0, &ns), -EAGAIN);
	assert_int_equal(host.changing, 0);
}

static void wall_clock(void **state)
{
	struct pvclock_wall_clock w;

	(void)state;
	host.wall = (struct pvclock_wall_clock){ 4, 1234567, 89 };
	assert_int_equal(kvm_wall_clock(&w), 0);
	assert_int_equal(w.version, 4);
	assert_int_equal(w.sec, 1234567);
	assert_int_equal(w.nsec, 89);
	assert_int_equal(host.freed_shared, 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fresh, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(registered), CASE(refused),  CASE(protected),
		CASE(formula),	  CASE(versions), CASE(wall_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
