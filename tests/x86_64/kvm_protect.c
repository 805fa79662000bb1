/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvmpv.enable.*, kvmpv.share.*, kvmpv.map_gpa.*: protection can be enabled, and pages are shared and made private one
 * by one (the KVM RFC "protected memory extension", version 2, of 2020; KVM_HC_MAP_GPA_RANGE of hypercalls.rst).
 *
 * A host breaks it where it answers 0 and changes nothing, converts a page too many or one too few, or loses the state
 * when another CPU asks. The review of the s390 series of 2020 asked what happens when several CPUs change the state
 * at once.
 *
 * What the host believes is read from the device's side (the peer's MEM_STATE), so that an answer of 0 that changed
 * nothing is seen.
 */
#include "tests/kvmpv/env.h"

#include <string.h>

#include "kvmpv/x86_64/kvm.h"
#include "lib/boot_info.h"
#include "drivers/virtio/virtqueue.h"
#include "kvmpv/x86_64/map_gpa.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/smp.h"

#define OWNER "KVM (memory protection)"
#define NEEDS (NEED_KVM | NEED_PROTECT)
#define STATE (NEEDS | NEED_PEER | NEED_MEM_STATE)

/* Its name makes it the first test of this suite, since protection cannot be taken back. */
TEST(before_enable,
     .id = "kvmpv.before_enable.share_has_no_effect",
     .clause = "RFCv2: enabling protects every page, whatever was shared before",
     .owner = OWNER,
     .needs = NEEDS)
{
	const struct protect_ops *ops = protect_query(NULL, 0);
	uint8_t *page;
	int64_t ret;

	if (protect_enabled())
		test_skip(
			t,
			"protection is on already; kvmpv.lifecycle.platform_reset tries it, or protect=off");
	page = kvmpv_pages(t, 1);
	ret = ops->share(gfn_of(page), 1);
	expect(t, ret <= 0 && ret > -KVM_ENOSYS, "share before enable: %s", kvm_text(ret));
	kvmpv_protected(t);
	if (kvm_usable(NULL, 0) && vsock_count()) {
		struct vsock_env *e = kvmpv_device(t);
		struct ctl_mem_state s;

		CTL_OK(t, ctl_mem_state(e->ctl, &s));
		expect_eq(t, s.protected_mode, 1, "the host says that protection is on");
		/* MAP_GPA_RANGE converts what the memory map calls RAM; the firmware's memory stays as it was. */
		if (kvmpv_is("rfc"))
			expect_eq(t, s.shared_pages, protect_shared_pages(),
				  "pages shared after enabling: the pool alone");
	}
	protect_pages_free(page, 1);
}

TEST(enable_answer,
     .id = "kvmpv.enable.answers_zero",
     .clause = "RFCv2, map_gpa: protection that is offered can be enabled; the answer is 0",
     .owner = OWNER,
     .needs = NEEDS)
{
	expect_answer(t, protect_enable(), 0, "enable");
	expect(t, protect_enabled(), "protection is off");
}

TEST(enable_state,
     .id = "kvmpv.enable.all_private",
     .clause = "RFCv2, map_gpa: with protection on only what was shared is shared",
     .owner = OWNER,
     .needs = STATE)
{
	struct ctl_mem_state s;
	struct vsock_env *e;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	CTL_OK(t, ctl_mem_state(e->ctl, &s));
	expect_eq(t, s.protected_mode, 1, "protection as the host sees it");
	/* MAP_GPA_RANGE converts what the memory map calls RAM; the firmware's memory stays as it was. */
	if (kvmpv_is("rfc"))
		expect_eq(t, s.shared_pages, protect_shared_pages(),
			  "pages that the host has as shared");
	expect(t, s.private_pages > mem_total() >> PAGE_SHIFT >> 1,
	       "only %llu of %llu pages are private", (unsigned long long)s.private_pages,
	       (unsigned long long)(mem_total() >> PAGE_SHIFT));
}

TEST(enable_sticky,
     .id = "kvmpv.enable.sticky",
     .clause = "RFCv2: mem_protected stays set",
     .owner = OWNER,
     .needs = STATE)
{
	struct ctl_mem_state s;
	struct vsock_env *e;
	unsigned int i;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	for (i = 0; i < 3; i++) {
		kvm_hypercall(KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0);
		protect_query(NULL, 0)->share(0, 0);
		CTL_OK(t, ctl_mem_state(e->ctl, &s));
		expect_eq(t, s.protected_mode, 1, "protection after %u more calls", i + 1);
	}
}

TEST(enable_twice,
     .id = "kvmpv.enable.twice",
     .clause = "RFCv2: enabling again answers 0 (another interface may refuse) and never lifts protection",
     .owner = OWNER,
     .needs = STATE)
{
	const struct protect_ops *ops = kvmpv_protected(t);
	struct ctl_mem_state s;
	struct vsock_env *e;
	int64_t ret;

	ret = protect_retry(ops->enable);
	/* kvm_protect_all_memory() does not look whether it has been called. */
	if (kvmpv_is("rfc"))
		expect_answer(t, ret, 0, "a second enable");
	expect(t, ret <= 0 && ret != -KVM_ENOSYS && ret != -KVM_EINVAL, "a second enable: %s",
	       kvm_text(ret));
	if (kvmpv_is("rfc"))
		expect_answer(t, kvm_hypercall(KVM_HC_ENABLE_MEM_PROTECTED, 1, 2, 3, 4), ret,
			      "enable has no arguments, whatever the registers hold");
	kvmpv_share_pool(t);
	e = kvmpv_device(t);
	CTL_OK(t, ctl_mem_state(e->ctl, &s));
	expect_eq(t, s.protected_mode, 1, "protection after a second enable");
}

/* The rings of a device that runs become private: the host must refuse them, and survive that. */
TEST(enable_running,
     .id = "kvmpv.enable.while_a_device_runs",
     .clause = "RFCv2, map_gpa: from enable on, access by a device that runs is refused; shared again, it works",
     .owner = OWNER,
     .needs = STATE)
{
	const struct protect_ops *ops = kvmpv_protected(t);
	struct vsock_env *e = kvmpv_device(t);
	struct ctl_mem_state s0, s1;
	struct vsock_conn *c;
	int64_t ret;

	CTL_OK(t, ctl_mem_state(e->ctl, &s0));
	ret = protect_retry(ops->enable);
	if (ret)
		test_skip(t, "a second enable is refused here: %s", kvm_text(ret));
	virtio_watch(NULL); /* the rings are lost by what we do, not by what the device does */
	vq_notify(vsock_device(e->vs)
			  ->vq[1]); /* whatever the driver makes of what it finds in the rings */
	expect(t,
	       vsock_connect(e->vs, VSOCK_STREAM, any_port(0), host_port(ASSAY_ECHO_PORT),
			     test_sec() / 5, &c),
	       "a connection over private rings");
	kvmpv_share_pool(t);
	vsock_env_drop();
	e = kvmpv_device(t);
	CTL_OK(t, ctl_mem_state(e->ctl, &s1));
	expect(t, s1.violations > s0.violations, "the host went on with rings that became private");
	expect_eq(t, s1.last_reason, CTL_MEM_RING,
		  "what the host refused, by its number in the protocol");
	kvmpv_provoked(s1.violations);
	kvmpv_echo(t, e, 10000);
}

struct race {
	const struct protect_ops *ops;
	uint32_t *go;
	int64_t ret;
};

static void race_enable(void *arg)
{
	struct race *r = arg;

	wait_for(__atomic_load_n(r->go, __ATOMIC_ACQUIRE), test_sec());
	r->ret = r->ops->enable();
}

TEST(enable_race,
     .id = "kvmpv.enable.from_all_cpus",
     .clause = "s390 protvirt review, 2020: the change of state is atomic: all succeed, or exactly one",
     .owner = OWNER,
     .needs = STATE | NEED_SMP)
{
	const struct protect_ops *ops = kvmpv_protected(t);
	const unsigned int n = smp_cpus_online() < 16 ? smp_cpus_online() : 16;
	struct ctl_mem_state s;
	struct race r[16] = { { .ops = ops } };
	struct vsock_env *e;
	unsigned int i, ok = 0, round;
	uint32_t go;

	for (round = 0; round < 5; round++) {
		go = 0;
		for (i = 0; i < n; i++) {
			r[i] = (struct race){ ops, &go, 1 };
			if (i && smp_call_async(i, race_enable, &r[i]))
				test_error(t, "CPU %u is busy", i);
		}
		__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
		race_enable(&r[0]);
		for (i = 1; i < n; i++)
			if (smp_wait(i, 2 * test_sec()))
				test_error(t, "CPU %u does not come back", i);
		for (i = 0, ok = 0; i < n; i++) {
			ok += r[i].ret == 0;
			expect(t, r[i].ret <= 0, "enable by CPU %u: %s", i, kvm_text(r[i].ret));
		}
		/* None succeeds where a host refuses to enable what is on. */
		expect(t, ok == n || ok <= 1, "%u of %u CPUs succeeded in round %u", ok, n, round);
	}
	kvmpv_share_pool(t);
	e = kvmpv_device(t);
	CTL_OK(t, ctl_mem_state(e->ctl, &s));
	expect_eq(t, s.protected_mode, 1, "protection afterwards");
}

/* Shares n pages and makes them private again: exactly n pages change, and their neighbour keeps its contents. */
static bool convert_exactly(struct test_ctx *t, struct vsock_env *e, uint8_t *pages, uint64_t n)
{
	const uint64_t before = kvmpv_shared_pages(t, e);
	int64_t ret;

	pattern_fill(pages, 4096, (uint32_t)n, 0);
	pattern_fill(pages + n * PAGE_SIZE, 4096, 99, 0); /* the neighbour */
	ret = protect_share(gfn_of(pages), n);
	expect_answer(t, ret, 0, "share of %llu pages", (unsigned long long)n);
	expect_eq(t, kvmpv_shared_pages(t, e), before + n, "shared pages after sharing %llu",
		  (unsigned long long)n);
	expect(t, pattern_check(pages + n * PAGE_SIZE, 4096, 99, 0) < 0,
	       "the page behind %llu shared ones changed", (unsigned long long)n);
	/* Sharing what is shared is harmless. */
	expect_answer(t, protect_share(gfn_of(pages), n), 0, "the same share again");
	expect_eq(t, kvmpv_shared_pages(t, e), before + n,
		  "shared pages after the same share again");
	ret = protect_unshare(gfn_of(pages), n);
	if (ret == -KVM_EOPNOTSUPP) {
		test_note(t, "unsharing is not supported here");
		return false;
	}
	expect_answer(t, ret, 0, "unshare of %llu pages", (unsigned long long)n);
	expect_eq(t, kvmpv_shared_pages(t, e), before, "shared pages after unsharing %llu",
		  (unsigned long long)n);
	expect_answer(t, protect_unshare(gfn_of(pages), n), 0, "the same unshare again");
	expect(t, pattern_check(pages + n * PAGE_SIZE, 4096, 99, 0) < 0,
	       "the page behind %llu unshared ones changed", (unsigned long long)n);
	return true;
}

TEST(share_counts,
     .id = "kvmpv.share.exact_pages",
     .clause = "RFCv2 MEM_SHARE/UNSHARE gfn, npages: these pages, all of them, no other",
     .owner = OWNER,
     .needs = STATE)
{
	static const uint64_t counts[] = { 1, 2, 3, 16, 511 };
	struct vsock_env *e;
	uint8_t *pages;
	unsigned int i;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	pages = kvmpv_pages(t, 514);
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (!convert_exactly(t, e, pages + PAGE_SIZE, counts[i]))
			break;
	protect_pages_free(pages, 514);
}

TEST(share_middle,
     .id = "kvmpv.share.unshare_in_the_middle",
     .clause = "RFCv2 MEM_UNSHARE: a part of a shared range, overlapping both ways",
     .owner = OWNER,
     .needs = STATE)
{
	struct vsock_env *e;
	unsigned int i;
	uint8_t *p;
	uint64_t before;
	int64_t ret;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	p = kvmpv_pages(t, 10);
	before = kvmpv_shared_pages(t, e);
	expect_answer(t, protect_share(gfn_of(p), 8), 0, "share 8");
	ret = protect_unshare(gfn_of(p) + 3, 2);
	if (ret == -KVM_EOPNOTSUPP)
		test_skip(t, "unsharing is not supported here");
	expect_answer(t, ret, 0, "unshare 2 in the middle");
	expect_eq(t, kvmpv_shared_pages(t, e), before + 6, "shared pages");
	expect_answer(t, protect_share(gfn_of(p) + 2, 5), 0, "share across the gap");
	expect_eq(t, kvmpv_shared_pages(t, e), before + 8, "shared pages");
	expect_answer(t, protect_unshare(gfn_of(p), 10), 0, "unshare more than is shared");
	expect_eq(t, kvmpv_shared_pages(t, e), before, "shared pages behind that");
	/* Every other page is private already. */
	for (i = 0; i < 10; i += 2)
		expect_answer(t, protect_share(gfn_of(p) + i, 1), 0, "share page %u", i);
	expect_eq(t, kvmpv_shared_pages(t, e), before + 5, "shared pages, every other one");
	expect_answer(t, protect_unshare(gfn_of(p), 10), 0, "unshare every other page");
	expect_eq(t, kvmpv_shared_pages(t, e), before, "shared pages at the end");
	mem_pages_free(p, 10);
}

TEST(share_contents,
     .id = "kvmpv.share.contents",
     .clause = "RFCv2: conversion changes protection flags, contents stay; a host may state otherwise",
     .owner = OWNER,
     .needs = NEEDS)
{
	enum {
		PAGES = 4
	};
	int64_t pos, ret;
	unsigned int n;
	uint8_t *p;

	kvmpv_protected(t);
	if (!kvmpv_is("rfc"))
		test_skip(t, "%s: the VMM may lose contents on conversion (encryption does)",
			  protect_query(NULL, 0)->name);
	if (!protect_keeps_contents())
		test_skip(t, "protect.contents=lost: this host is said to lose them");
	p = kvmpv_pages(t, PAGES);
	for (n = 1; n <= PAGES; n++) {
		pattern_fill(p, n * PAGE_SIZE, 1234, 0);
		expect_answer(t, protect_share(gfn_of(p), n), 0, "share");
		pos = pattern_check(p, n * PAGE_SIZE, 1234, 0);
		expect(t, pos < 0, "byte %lld changed when %u pages were shared", (long long)pos,
		       n);
		pattern_fill(p, n * PAGE_SIZE, 1234, 0);
		ret = protect_unshare(gfn_of(p), n);
		if (ret == -KVM_EOPNOTSUPP)
			test_skip(t, "sharing keeps the contents; unsharing is not supported here");
		expect_answer(t, ret, 0, "unshare");
		pos = pattern_check(p, n * PAGE_SIZE, 1234, 0);
		expect(t, pos < 0, "byte %lld changed when %u pages were unshared", (long long)pos,
		       n);
	}
	mem_pages_free(p, PAGES);
}

/* What a host counts for each sharing must be given back. */
TEST(share_often,
     .id = "kvmpv.share.often",
     .clause = "RFCv2, map_gpa: a page is shared and made private any number of times",
     .owner = OWNER,
     .needs = STATE)
{
	enum {
		TIMES = 300
	};
	struct vsock_env *e;
	unsigned int i;
	uint64_t before;
	int64_t ret;
	uint8_t *p;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	p = kvmpv_pages(t, 1);
	before = kvmpv_shared_pages(t, e);
	for (i = 0; i < TIMES; i++) {
		expect_answer(t, protect_share(gfn_of(p), 1), 0, "share %u", i + 1);
		ret = protect_unshare(gfn_of(p), 1);
		if (ret == -KVM_EOPNOTSUPP)
			break;
		expect_answer(t, ret, 0, "unshare %u", i + 1);
	}
	expect_answer(t, protect_share(gfn_of(p), 1), 0, "share behind %u of them", i);
	expect_eq(t, kvmpv_shared_pages(t, e), before + 1, "shared pages behind %u sharings", i);
	protect_pages_free(p, 1);
}

/* The frame behind the memory slot that has our image, by the memory map: a range across it is refused. */
static uint64_t ram_end(void)
{
	const struct boot_info *b = boot_info_get();
	uint64_t end = 0;
	uint32_t i;

	for (i = 0; i < b->mem_count; i++)
		if (b->mem[i].base + b->mem[i].size <= 1ull << 32 &&
		    b->mem[i].type != BOOT_MEM_MMIO && b->mem[i].base < 0xb0000000ull)
			end = b->mem[i].base + b->mem[i].size;
	return (end + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

TEST(share_negative,
     .id = "kvmpv.share.negative_cases",
     .clause = "RFCv2 kvm_protect_memory(): npages 0 and no memory slot answer 0, past a slot's end -EINVAL",
     .owner = OWNER,
     .needs = STATE)
{
	const struct protect_ops *ops = kvmpv_protected(t);
	const uint64_t end = ram_end(), hole = 0xd0000000ull >> PAGE_SHIFT;
	uint8_t *const page = kvmpv_pages(t, 1);
	const uint64_t own = gfn_of(page);
	const uint64_t beyond = 1ull << (paging_phys_bits() - PAGE_SHIFT);
	const struct {
		const char *what;
		uint64_t gfn, n;
		int64_t want;
	} cases[] = {
		{ "no pages", 0x400, 0, 0 },
		{ "no pages in a hole", hole, 0, 0 },
		{ "a hole", hole, 1, 0 },
		{ "a hole, many", hole, 1000, 0 },
		{ "beyond the physical width", beyond, 1, 0 },
		{ "the first frame behind memory", end, 1, 0 },
		{ "across the end of memory", end - 1, 2, -KVM_EINVAL },
		{ "1 GiB from the last page", end - 1, 1ull << 18, -KVM_EINVAL },
		{ "2^32 pages and one", end - 1, (1ull << 32) + 1, -KVM_EINVAL },
		{ "all there is", end - 1, UINT64_MAX >> PAGE_SHIFT, -KVM_EINVAL },
		{ "a wrap-around of frames", end - 1, UINT64_MAX - end + 2, -KVM_EINVAL },
		{ "the highest frame", UINT64_MAX >> PAGE_SHIFT, 1, 0 },
		{ "a frame of no address", UINT64_MAX, 1, 0 },
		/* Frames of no memory, whose lower bits are those of a page of ours. */
		{ "2^32 frames above RAM", (1ull << 32) + own, 1, 0 },
		{ "2^40 frames above RAM", (1ull << 40) + own, 1, 0 },
		{ "2^52 frames above RAM", (1ull << 52) + own, 1, 0 },
	};
	uint64_t before;
	struct vsock_env *e;
	unsigned int i, k;

	if (!kvmpv_is("rfc")) {
		mem_pages_free(page, 1);
		test_skip(t, "these answers are the RFC's; see kvmpv.map_gpa.*");
	}
	e = kvmpv_device(t);
	before = kvmpv_shared_pages(t, e);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (k = 0; k < 2; k++) {
			const int64_t ret = protect_try(k ? ops->unshare : ops->share, cases[i].gfn,
							cases[i].n);

			if (k && ret == -KVM_EOPNOTSUPP)
				continue;
			expect_answer(t, ret, cases[i].want,
				      "%sshare of %s (gfn 0x%llx, %llu pages)", k ? "un" : "",
				      cases[i].what, (unsigned long long)cases[i].gfn,
				      (unsigned long long)cases[i].n);
			expect_eq(t, kvmpv_shared_pages(t, e), before, "shared pages after: %s",
				  cases[i].what);
		}
	}
	mem_pages_free(page, 1);
}

TEST(share_edges,
     .id = "kvmpv.share.slot_edges",
     .clause = "RFCv2 kvm_protect_memory(): a range inside of its slot is converted, its first and last page as well",
     .owner = OWNER,
     .needs = STATE)
{
	const struct protect_ops *ops = kvmpv_protected(t);
	const uint64_t end = ram_end();
	const struct {
		uint64_t gfn, n;
	} cases[] = { { 0, 1 }, { 0, 2 }, { end - 1, 1 }, { end - 2, 2 } };
	struct vsock_env *e;
	uint64_t before;
	unsigned int i;
	int64_t ret;

	if (!kvmpv_is("rfc"))
		test_skip(t, "the slots are the RFC's; see kvmpv.map_gpa.*");
	e = kvmpv_device(t);
	before = kvmpv_shared_pages(t, e);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect_answer(t, protect_try(ops->share, cases[i].gfn, cases[i].n), 0,
			      "share of gfn 0x%llx, %llu pages", (unsigned long long)cases[i].gfn,
			      (unsigned long long)cases[i].n);
		expect_eq(t, kvmpv_shared_pages(t, e), before + cases[i].n,
			  "shared pages after gfn 0x%llx", (unsigned long long)cases[i].gfn);
		ret = protect_try(ops->unshare, cases[i].gfn, cases[i].n);
		if (ret == -KVM_EOPNOTSUPP)
			break;
		expect_answer(t, ret, 0, "unshare of gfn 0x%llx", (unsigned long long)cases[i].gfn);
		expect_eq(t, kvmpv_shared_pages(t, e), before, "shared pages afterwards");
	}
}

struct convert_arg {
	uint64_t gfn;
	int64_t ret;
};

static void share_one(void *arg)
{
	struct convert_arg *a = arg;

	a->ret = protect_share(a->gfn, 1);
}

static void toggle_many(void *arg)
{
	struct convert_arg *a = arg;
	unsigned int i;

	for (i = 0; i < 200 && a->ret == 0; i++) {
		a->ret = protect_share(a->gfn, 1);
		if (a->ret == 0)
			a->ret = protect_unshare(a->gfn, 1);
	}
}

TEST(share_from_ap,
     .id = "kvmpv.share.from_another_cpu",
     .clause = "RFCv2: page states belong to the VM, not to a vCPU",
     .owner = OWNER,
     .needs = STATE | NEED_SMP)
{
	struct convert_arg a = { 0 };
	struct vsock_env *e;
	uint64_t before;
	int64_t ret;
	uint8_t *p;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	before = kvmpv_shared_pages(t, e);
	p = kvmpv_pages(t, 1);
	a.gfn = gfn_of(p);
	if (smp_call(1, share_one, &a, 2 * test_sec()))
		test_error(t, "CPU 1 does not answer");
	expect_answer(t, a.ret, 0, "share from CPU 1");
	expect_eq(t, kvmpv_shared_pages(t, e), before + 1, "shared pages after a share from CPU 1");
	/* Taken back by another CPU, and asked for as before. */
	ret = protect_unshare(a.gfn, 1);
	if (ret != -KVM_EOPNOTSUPP) {
		expect_answer(t, ret, 0, "unshare from CPU 0");
		expect_eq(t, kvmpv_shared_pages(t, e), before,
			  "shared pages after an unshare from CPU 0");
		if (smp_call(1, share_one, &a, 2 * test_sec()))
			test_error(t, "CPU 1 does not answer");
		expect_answer(t, a.ret, 0, "the second share from CPU 1");
		expect_eq(t, kvmpv_shared_pages(t, e), before + 1,
			  "shared pages after the second share from CPU 1");
	}
	protect_pages_free(p, 1);
}

TEST(share_under_dma,
     .id = "kvmpv.share.while_dma_runs",
     .clause = "RFCv2: conversions of other pages do not disturb DMA to shared ones",
     .owner = OWNER,
     .needs = STATE | NEED_SMP,
     .timeout = 15 * SEC)
{
	const unsigned int n = smp_cpus_online() < 8 ? smp_cpus_online() : 8;
	struct convert_arg a[8] = { 0 };
	struct ctl_mem_state s0, s1;
	struct vsock_env *e;
	struct pair *stream;
	unsigned int i;
	uint8_t *p;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	p = kvmpv_pages(t, 2 * n);
	CTL_OK(t, ctl_mem_state(e->ctl, &s0));
	stream = pair_open(t, .at = ASSAY_ECHO_PORT);
	for (i = 1; i < n; i++) {
		a[i].gfn = gfn_of(p) + 2ull * i;
		if (smp_call_async(i, toggle_many, &a[i]))
			test_error(t, "CPU %u is busy", i);
	}
	for (i = 0; i < 40; i++)
		echo(stream, 8192);
	for (i = 1; i < n; i++) {
		if (smp_wait(i, 5 * test_sec()))
			test_error(t, "CPU %u does not come back", i);
		expect(t, a[i].ret == 0 || a[i].ret == -KVM_EOPNOTSUPP, "conversions on CPU %u: %s",
		       i, kvm_text(a[i].ret));
	}
	CTL_OK(t, ctl_mem_state(e->ctl, &s1));
	expect_eq(t, s1.violations, s0.violations, "violations");
	pair_close(stream);
	protect_pages_free(p, 2 * n);
}

/* --- MAP_GPA_RANGE --------------------------------------------------------------------------- */

/* Numbers that mean something in the RFC only. */
TEST(share_absent,
     .id = "kvmpv.share.absent",
     .clause = "kvm hypercalls.rst: -KVM_ENOSYS for a call that the host does not have: 13 and 14 without the RFC's protection",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	static const uint64_t calls[] = { KVM_HC_MEM_SHARE, KVM_HC_MEM_UNSHARE };
	unsigned int i;

	if (protect_query(NULL, 0) && kvmpv_is("rfc"))
		test_skip(t, "the calls have a meaning here");
	for (i = 0; i < 4; i++)
		expect_answer(t, kvm_hypercall(calls[i % 2], 0x100, i / 2, 0, 0), -KVM_ENOSYS,
			      "hypercall %u of %u pages", (unsigned int)calls[i % 2], i / 2);
}

TEST(map_gpa_absent,
     .id = "kvmpv.map_gpa.absent",
     .clause = "kvm hypercalls.rst, 8: -KVM_ENOSYS where KVM_FEATURE_HC_MAP_GPA_RANGE is not exposed",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	const struct protect_ops *ops = protect_query(NULL, 0);
	int64_t ret;

	if (ops)
		test_skip(t, "hypercall 12 has a meaning here (%s)", ops->name);
	ret = kvm_hypercall(KVM_HC_MAP_GPA_RANGE, 0x100000, 1, 0, 0);
	expect_answer(t, ret, -KVM_ENOSYS, "hypercall 12 of a host without bit 16");
}

static int64_t map_gpa_retry(uint64_t gpa, uint64_t n, uint64_t attrs)
{
	int64_t ret = -KVM_EINTR;
	unsigned int i;

	for (i = 0; i < 4 && (ret == -KVM_EINTR || ret == -KVM_ENOMEM); i++)
		ret = map_gpa_range(gpa, n, attrs);
	return ret;
}

TEST(map_gpa_negative,
     .id = "kvmpv.map_gpa.negative_cases",
     .clause = "kvm hypercalls.rst, 8: aligned gpa, npages > 0, no wrap-around",
     .owner = OWNER,
     .needs = NEEDS)
{
	static const struct {
		const char *what;
		uint64_t off, n, attrs;
		bool absolute, note;
	} cases[] = {
		{ "an unaligned address", 1, 1, 0, false, false },
		{ "an address off by 2048", 2048, 1, MAP_GPA_ENCRYPTED, false, false },
		{ "no pages", 0, 0, 0, false, false },
		{ "a wrap-around", 0xfffffffffffff000ull, 2, 0, true, false },
		{ "more pages than there are addresses", 0, UINT64_MAX >> 11, 0, false, false },
		/* These bind the guest only: KVM forwards attributes, and QEMU looks at bit 4. */
		{ "attribute bit 5", 0, 1, 1ull << 5, false, true },
		{ "attribute bit 63", 0, 1, 1ull << 63, false, true },
		{ "an unknown page size", 0, 1, 9, false, true },
		{ "the first unknown page size", 0, 1, 3, false, true },
	};
	unsigned int i;
	uint8_t *p;

	if (!kvmpv_is("map_gpa"))
		test_skip(t, "hypercall 12 is the RFC's here");
	kvmpv_protected(t);
	p = kvmpv_pages(t, 1);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const uint64_t gpa = cases[i].absolute ? cases[i].off :
							 virt_to_phys(p) + cases[i].off;

		const int64_t ret = map_gpa_retry(gpa, cases[i].n, cases[i].attrs);

		if (!cases[i].note)
			expect_answer(t, ret, -KVM_EINVAL, "%s", cases[i].what);
		else if (ret != -KVM_EINVAL)
			test_note(t, "%s is taken: %s", cases[i].what, kvm_text(ret));
	}
	for (i = 0; i < 2;
	     i++) { /* the VMM decides; a range that is not memory cannot be promised */
		const uint64_t gpa = i ? (ram_end() - 1) << PAGE_SHIFT : 0xd0000000ull;
		const int64_t ret = map_gpa_retry(gpa, 1 + i, MAP_GPA_ENCRYPTED);

		expect(t, ret <= 0 && ret != -KVM_ENOSYS, "%s: %s",
		       i ? "across the end of memory" : "a hole", kvm_text(ret));
	}
	protect_unshare(gfn_of(p), 1);
	mem_pages_free(p, 1);
}

/* Addresses and counts whose lower 32 bits are those of a page of ours: it keeps its state. */
TEST(map_gpa_wide,
     .id = "kvmpv.map_gpa.wide_numbers",
     .clause = "kvm hypercalls.rst, 8: the address and the number of pages have 64 bits",
     .owner = OWNER,
     .needs = STATE)
{
	struct vsock_env *e;
	uint64_t before, pa;
	unsigned int i;
	uint8_t *p;

	if (!kvmpv_is("map_gpa"))
		test_skip(t, "hypercall 12 is the RFC's here");
	kvmpv_protected(t);
	e = kvmpv_device(t);
	p = kvmpv_pages(t, 1);
	pa = virt_to_phys(p);
	before = kvmpv_shared_pages(t, e);
	const struct {
		const char *what;
		uint64_t gpa, n;
	} cases[] = {
		{ "an address of no memory, the lower 32 bits ours", (1ull << 44) + (uint32_t)pa,
		  1 },
		{ "the highest addresses, the lower 32 bits ours", (1ull << 51) + (uint32_t)pa, 1 },
		{ "2^32 pages and one", pa, (1ull << 32) + 1 },
		{ "2^40 pages and one", pa, (1ull << 40) + 1 },
	};
	/* The VMM decides what it answers. */
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const int64_t ret = map_gpa_retry(cases[i].gpa, cases[i].n, MAP_GPA_DECRYPTED);

		expect(t, ret <= 0, "%s: %s", cases[i].what, kvm_text(ret));
		expect_eq(t, kvmpv_shared_pages(t, e), before, "shared pages after: %s",
			  cases[i].what);
	}
	mem_pages_free(p, 1);
}

TEST(map_gpa_round_trip,
     .id = "kvmpv.map_gpa.round_trip",
     .clause = "kvm hypercalls.rst, 8: bit 4 encrypts or decrypts these pages; the size is a hint",
     .owner = OWNER,
     .needs = STATE)
{
	static const uint64_t sizes[] = { MAP_GPA_4K, MAP_GPA_2M, MAP_GPA_1G };
	static const uint64_t counts[] = { 3, 515 }; /* less than 2 MiB, and not a multiple of it */
	struct vsock_env *e;
	uint64_t before, n;
	unsigned int i, k;
	int64_t ret;
	uint8_t *p;

	if (!kvmpv_is("map_gpa"))
		test_skip(t, "hypercall 12 is the RFC's here");
	kvmpv_protected(t);
	e = kvmpv_device(t);
	before = kvmpv_shared_pages(t, e);
	p = kvmpv_pages(t, 516);
	for (k = 0; k < 6; k++) {
		i = k % 3;
		n = counts[k / 3];
		expect_answer(t, map_gpa_retry(virt_to_phys(p), n, sizes[i] | MAP_GPA_DECRYPTED), 0,
			      "decrypt %u pages, size hint %u", (unsigned int)n, i);
		expect_eq(t, kvmpv_shared_pages(t, e), before + n,
			  "shared pages, %u asked for, size hint %u", (unsigned int)n, i);
		ret = map_gpa_retry(virt_to_phys(p), n, sizes[i] | MAP_GPA_ENCRYPTED);
		if (ret == -KVM_EOPNOTSUPP) {
			protect_share(gfn_of(p), n); /* for the record */
			test_skip(t, "encrypting what was decrypted is not supported here");
		}
		expect_answer(t, ret, 0, "encrypt %u pages, size hint %u", (unsigned int)n, i);
		expect_eq(t, kvmpv_shared_pages(t, e), before,
			  "shared pages afterwards, %u asked for, size hint %u", (unsigned int)n,
			  i);
	}
	mem_pages_free(p, 516);
}
