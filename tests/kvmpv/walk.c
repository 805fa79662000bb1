/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (RFCv2 kvm_protect_memory(), KVM_HC_MAP_GPA_RANGE): a call converts the pages of its range, all of them and no
 * other, whatever state each of them has, from whichever CPU.
 *
 * How hosts break it: where ranges overlap, split or join what is shared already, where one crosses 2 MiB, where a list
 * of ranges has grown long, where a CPU has an old view.
 *
 * How it is seen here: a walk at random over 600 pages with a record of each page's state. The host counts what is
 * shared, and looks for the stamp of single pages at the borders of what was converted: it finds those of shared pages.
 */
#include <string.h>

#include "lib/smp.h"
#include "tests/kvmpv/env.h"
#include "tests/support/cpus.h"

#define OWNER "KVM (memory protection)"
#define PAGES 600u /* more than the 512 of a large page */
#define STEPS 60u
#define LOOK  4u /* each so many steps the host looks for stamps */

struct stamp {
	uint64_t mark[2];
};

static struct walk {
	struct test_ctx *t;
	struct vsock_env *e;
	uint8_t *mem;
	uint64_t shared; /* pages of ours */
	uint64_t others; /* pages that the host counted before */
	bool is_shared[PAGES];
} walk;

struct conversion {
	bool share;
	uint64_t gfn, n;
	int64_t ret;
};

static void convert(void *arg)
{
	struct conversion *c = arg;

	c->ret = c->share ? protect_share(c->gfn, c->n) : protect_unshare(c->gfn, c->n);
}

/* Different in each page, and nowhere else in memory: the test's stack has it never whole. */
static struct stamp stamp_of(unsigned int page)
{
	return (struct stamp){ { 0x5a17c3b200000000ull + page,
				 0x9e3779b97f4a7c15ull * (page + 1) } };
}

static uint8_t *place(unsigned int page)
{
	/* Anywhere in the page, the first and the last bytes too. */
	const unsigned int off = page % 3 == 0 ? 0 :
				 page % 3 == 1 ? PAGE_SIZE - sizeof(struct stamp) :
						 page * 16u % (PAGE_SIZE - 64);

	return walk.mem + (size_t)page * PAGE_SIZE + off;
}

static void put_stamps(unsigned int first, unsigned int n)
{
	unsigned int i;

	for (i = first; i < first + n; i++) {
		const struct stamp s = stamp_of(i);

		memcpy(place(i), &s, sizeof(s));
	}
}

static void has_stamp(unsigned int page)
{
	const struct stamp s = stamp_of(page);

	expect(walk.t, memcmp(place(page), &s, sizeof(s)) == 0,
	       "page %u of the walk lost its contents (%s now)", page,
	       walk.is_shared[page] ? "shared" : "private");
}

static void host_sees(unsigned int page)
{
	const struct stamp s = stamp_of(page);
	struct ctl_mem_scan_reply r;

	CTL_OK(walk.t, ctl_mem_scan(walk.e->ctl, &s, sizeof(s), &r));
	expect(walk.t,
	       r.matches == walk.is_shared[page] &&
		       (!r.matches || r.first_addr == virt_to_phys(place(page))),
	       "page %u of the walk is %s; the host finds its stamp %u times, at first at 0x%llx",
	       page, walk.is_shared[page] ? "shared" : "private", (unsigned int)r.matches,
	       (unsigned long long)r.first_addr);
}

static void step(unsigned int number)
{
	const unsigned int kind = test_draw(walk.t, 10), most = kind < 4 ? 1 : kind < 8 ? 9 : PAGES;
	const unsigned int n = 1 + test_draw(walk.t, most),
			   first = test_draw(walk.t, PAGES - n + 1),
			   cpu = test_draw(walk.t, smp_cpus_online());
	struct conversion c = { test_draw(walk.t, 2), gfn_of(walk.mem) + first, n, 0 };
	unsigned int i;
	uint64_t counted;

	CPU_OK(walk.t, cpu, smp_call(cpu, convert, &c, 2 * test_sec()));
	if (!c.share && c.ret == -KVM_EOPNOTSUPP)
		test_skip(walk.t, "unsharing is not supported here");
	expect_answer(walk.t, c.ret, 0, "step %u: %sshare of pages %u to %u from CPU %u", number,
		      c.share ? "" : "un", first, first + n - 1, cpu);
	for (i = first; i < first + n; i++) {
		walk.shared += (uint64_t)c.share - walk.is_shared[i];
		walk.is_shared[i] = c.share;
	}
	counted = kvmpv_shared_pages(walk.t, walk.e) - walk.others;
	require(walk.t, counted == walk.shared,
		"step %u: %sshare of pages %u to %u: the host counts %llu shared pages of the walk, expected %llu",
		number, c.share ? "" : "un", first, first + n - 1, (unsigned long long)counted,
		(unsigned long long)walk.shared);
	if (!protect_keeps_contents())
		put_stamps(first, n);
	if (number % LOOK)
		return;
	/* One at each border, inside or outside. */
	host_sees(first && number % 8 ? first - 1 : first);
	host_sees(first + n < PAGES && number % 8 ? first + n : first + n - 1);
	has_stamp(test_draw(walk.t, PAGES));
}

TEST(share_walk,
     .id = "kvmpv.share.walk",
     .clause = "RFCv2, map_gpa: a range that is shared or made private is converted, all of it and nothing else, whatever it was",
     .owner = OWNER,
     .needs = NEED_KVM | NEED_PROTECT | NEED_PEER | NEED_MEM_STATE,
     .timeout = 30 * SEC)
{
	unsigned int i;

	walk = (struct walk){ .t = t };
	kvmpv_protected(t);
	walk.e = kvmpv_device(t);
	walk.mem = kvmpv_pages(t, PAGES);
	walk.others = kvmpv_shared_pages(t, walk.e);
	put_stamps(0, PAGES);
	for (i = 0; i < STEPS; i++)
		step(i);
	for (i = 0; i < PAGES; i++)
		has_stamp(i);
	expect_answer(t, protect_unshare(gfn_of(walk.mem), PAGES), 0, "unshare of all pages");
	expect_eq(t, kvmpv_shared_pages(t, walk.e), walk.others, "shared pages behind the walk");
	mem_pages_free(walk.mem, PAGES);
}
