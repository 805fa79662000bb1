/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.trap.*, boot.paging.*: an instruction that must trap does so on its vector, and a page's protection holds on
 * every CPU (Intel SDM 3A, 4.6, 4.7, 4.10 and 6.15).
 *
 * A host with shadow page tables, or an emulated MMU, breaks this where it copies an entry without its NX bit, runs the
 * guest with another CR0.WP than it shows, or forgets a translation of another CPU. A test program that trusts
 * exceptions finds out here whether it may.
 *
 * Each access is made in trap_call(), which takes the exception, its error code and its address back; each state of a
 * page is tried on each CPU.
 */
#include <errno.h>

#include "lib/image.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/smp.h"
#include "lib/test.h"
#include "lib/trap.h"
#include "tests/support/cpus.h"
#include "tests/support/needs.h"

#define CALL_NS test_sec()

#define PAGING_CLAUSE "Intel SDM 3A, 4.6 and 4.7: "

TEST(instructions,
     .id = "boot.trap.instructions",
     .clause = "Intel SDM 3A, 6.5, 6.15: an instruction that must trap does, on its vector; a fault has its address, a trap the one behind it",
     .owner = "CPU virtualisation of the VMM")
{
	const struct trap_kind *k;
	unsigned int i;

	for (i = 0; (k = trap_kind(i)); i++) {
		struct trap_info info = { 0 };

		expect(t, trap_call(k->provoke, NULL, &info) == -EFAULT, "%s does not trap (%s)",
		       k->name, k->clause);
		expect_eq(t, info.vector, k->vector, "vector of %s", k->name);
		expect(t, trap_ip_fits(k, &info), "%s: the handler is told of 0x%llx", k->name,
		       (unsigned long long)info.ip);
	}
}

/* One access to a page, and what it met. */
struct probe {
	volatile uint8_t *at;
	enum trap_access how;
	int ret;
	struct trap_info info;
};

static void do_access(void *arg)
{
	const struct probe *p = arg;
	uint8_t v;

	switch (p->how) {
	case TRAP_READ:
		v = *p->at;
		__asm__ volatile("" : : "r"(v));
		break;
	case TRAP_WRITE:
		v = *p->at;
		*p->at = v;
		break;
	case TRAP_FETCH:
		((void (*)(void))(uintptr_t)p->at)();
		break;
	}
}

static void run_probe(void *arg)
{
	struct probe *p = arg;

	p->ret = trap_call(do_access, p, &p->info);
}

static void expect_fault(struct test_ctx *t, volatile void *at, enum trap_access how, bool present,
			 const char *what)
{
	struct probe p = { .at = at, .how = how };

	run_probe(&p);
	expect(t, p.ret == -EFAULT, "%s does not trap", what);
	expect(t, trap_is_page_fault(&p.info, how, present), "%s: vector %u, error code 0x%llx",
	       what, (unsigned int)p.info.vector, (unsigned long long)p.info.error_code);
	expect_eq(t, p.info.addr, (uint64_t)(uintptr_t)at, "address of the fault of %s", what);
}

TEST(null,
     .id = "boot.paging.null",
     .clause = PAGING_CLAUSE "an access to a page that is not present is a #PF with P = 0",
     .owner = "CPU virtualisation of the VMM")
{
	volatile uint8_t *null = phys_to_virt(8);

	expect_fault(t, null, TRAP_READ, false, "a read through NULL");
	expect_fault(t, null, TRAP_FETCH, false, "a call through NULL");
}

TEST(text,
     .id = "boot.paging.text",
     .clause = PAGING_CLAUSE "a write to a read-only page is a #PF, for the supervisor too (CR0.WP)",
     .owner = "CPU virtualisation of the VMM")
{
	expect_fault(t, text_start, TRAP_WRITE, true, "a write to the program text");
	expect_fault(t, rodata_start, TRAP_WRITE, true, "a write to a constant");
}

TEST(nx,
     .id = "boot.paging.nx",
     .clause = PAGING_CLAUSE "an instruction fetch from a page with XD = 1 is a #PF with I/D = 1",
     .owner = "CPU virtualisation of the VMM")
{
	void *page;

	if (!paging_has_nx())
		test_skip(t, "this CPU model has no NX (CPUID 0x80000001 EDX bit 20)");
	page = mem_pages(1, PAGE_SIZE);
	if (!page)
		test_error(t, "no page is free");
	trap_write_return(page);
	expect_fault(t, page, TRAP_FETCH, true, "a call of data");
	expect_fault(t, rodata_start, TRAP_FETCH, true, "a call of a constant");
	mem_pages_free(page, 1);
}

static volatile unsigned int depth_limit = 1000000;

/* Each level keeps bytes of its own until the next one is back, so that the compiler makes no loop of it. */
static unsigned int __attribute__((noinline)) go_down(unsigned int depth)
{
	volatile uint8_t pad[256];

	pad[0] = (uint8_t)depth;
	if (depth >= depth_limit)
		return 0;
	return go_down(depth + 1) + pad[0];
}

static void overflow(void *arg)
{
	volatile unsigned int *result = arg;

	*result = go_down(0);
}

static void overflow_probe(void *arg)
{
	struct probe *p = arg;
	unsigned int result = 0;

	p->ret = trap_call(overflow, &result, &p->info);
}

TEST(stack_guard,
     .id = "boot.paging.stack_guard",
     .clause = "Intel SDM 3A, 6.14.5: a fault on a broken stack is taken on the stack that the IST names",
     .owner = "CPU virtualisation of the VMM")
{
	const uint64_t guard = (uint64_t)(uintptr_t)boot_stack_guard;
	unsigned int i;

	for (i = 0; i < smp_cpus_online(); i++) {
		struct probe p = { 0 };

		CPU_OK(t, i, smp_call(i, overflow_probe, &p, CALL_NS));
		expect(t, p.ret == -EFAULT, "a stack overflow on CPU %u does not trap", i);
		expect(t,
		       trap_is_page_fault(&p.info, TRAP_WRITE, false) ||
			       trap_is_page_fault(&p.info, TRAP_READ, false),
		       "CPU %u: vector %u, error code 0x%llx", i, (unsigned int)p.info.vector,
		       (unsigned long long)p.info.error_code);
		if (i == 0)
			expect(t, p.info.addr >= guard && p.info.addr < guard + PAGE_SIZE,
			       "the fault is at 0x%llx, the guard page at 0x%llx",
			       (unsigned long long)p.info.addr, (unsigned long long)guard);
	}
}

/* CPU `cpu` touches the page: it faults or not. */
static void expect_on(struct test_ctx *t, unsigned int cpu, volatile uint8_t *page,
		      enum trap_access how, bool faults, const char *state)
{
	struct probe p = { .at = page, .how = how };

	CPU_OK(t, cpu, smp_call(cpu, run_probe, &p, CALL_NS));
	expect(t, p.ret == (faults ? -EFAULT : 0), "a %s to a page that is %s, on CPU %u, %s",
	       how == TRAP_READ	 ? "read" :
	       how == TRAP_WRITE ? "write" :
				   "call",
	       state, cpu, faults ? "does not trap" : "traps");
}

struct state {
	const char *name;
	unsigned int prot;
	bool read_faults, write_faults, call_faults;
};

static void expect_state(struct test_ctx *t, uint8_t *page, const struct state *s)
{
	unsigned int cpu;

	require(t, paging_protect(virt_to_phys(page), PAGE_SIZE, s->prot) == 0,
		"the page cannot be made %s", s->name);
	for (cpu = 0; cpu < smp_cpus_online(); cpu++) {
		expect_on(t, cpu, page, TRAP_READ, s->read_faults, s->name);
		expect_on(t, cpu, page, TRAP_WRITE, s->write_faults, s->name);
		if (paging_has_nx())
			expect_on(t, cpu, page, TRAP_FETCH, s->call_faults, s->name);
	}
}

TEST(protect,
     .id = "boot.paging.protect",
     .clause = "Intel SDM 3A, 4.10: a changed translation holds once it is invalidated, on every processor",
     .owner = "CPU virtualisation of the VMM")
{
	static const struct state states[] = {
		{ "read-only", PROT_R, false, true, true },
		{ "writable", PROT_R | PROT_W, false, false, true },
		{ "gone", PROT_NONE, true, true, true },
		{ "executable", PROT_R | PROT_X, false, true, false },
		{ "gone again", PROT_NONE, true, true, true },
		{ "writable again", PROT_R | PROT_W, false, false, true },
	};
	uint8_t *page = mem_pages(1, PAGE_SIZE);
	unsigned int i;

	if (!page)
		test_error(t, "no page is free");
	trap_write_return(page);
	for (i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		expect_state(t, page, &states[i]);
	mem_pages_free(page, 1);
}
