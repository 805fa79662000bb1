/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvmpv.lifecycle.*: protection over the life of a machine: its reset, CPUs and devices that come and go, pages that
 * change their owner.
 *
 * What a reset does was the open question of the RFC of 2020 and of the s390 series: a machine that is still protected
 * after its reset cannot start, since its firmware shares nothing. Others undo too much, or keep a freed page shared.
 *
 * The tests reset the machine, a CPU or a device in the middle of protected traffic, and ask the host's side of the
 * device which pages it takes for private.
 */
#include "tests/kvmpv/env.h"

#include <errno.h>
#include <string.h>

#include "drivers/virtio/virtqueue.h"
#include "kvmpv/bounce.h"
#include "lib/errname.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/smp.h"

#define OWNER "KVM (memory protection), VMM (machine reset)"
#define STATE (NEED_KVM | NEED_PROTECT | NEED_PEER | NEED_MEM_STATE)

static void before_reset(struct test_ctx *t)
{
	struct ctl_mem_state s;
	struct vsock_env *e;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	CTL_OK(t, ctl_mem_state(e->ctl, &s));
	expect_eq(t, s.protected_mode, 1, "protection before the reset");
	/* A crash would find it so, too: protected, with a device at work. */
	test_reboot(t, 1, s.violations);
}

/* After a reset nothing is private, so that firmware and a kernel can use devices. */
static void unprotected(struct test_ctx *t, uint32_t violations)
{
	struct ctl_mem_state s;
	struct vsock_env *e;
	int ret;

	ret = vsock_env_open();
	require(t, ret == 0, "the device does not come up after the reset: %s", err_text(ret));
	e = vsock_env();
	require(t, e->ctl != NULL,
		"the device does not work after the reset: is memory still private?");
	CTL_OK(t, ctl_mem_state(e->ctl, &s));
	/* MAP_GPA_RANGE has no switch: the host always tells private pages from shared ones. */
	if (kvmpv_is("rfc"))
		expect_eq(t, s.protected_mode, 0, "protection after the reset");
	expect_eq(t, s.private_pages, 0, "private pages after the reset");
	expect_eq(t, s.violations, violations, "violations, which were %u before the reset",
		  (unsigned int)violations);
}

/* Enables under the running device: its rings become private. */
static void protect_again(struct test_ctx *t, uint32_t violations)
{
	const struct protect_ops *ops = protect_query(NULL, 0);
	struct ctl_mem_state s;
	struct vsock_conn *c;
	struct vsock_env *e = vsock_env();
	uint8_t *early = kvmpv_pages(t, 1);
	uint64_t all;
	int64_t ret;

	CTL_OK(t, ctl_mem_state(e->ctl, &s));
	all = s.shared_pages + s.private_pages;
	ret = protect_try(ops->share, gfn_of(early), 1);
	expect(t, ret <= 0 && ret > -KVM_ENOSYS, "share before enable: %s", kvm_text(ret));
	expect_answer(t, protect_enable(), 0, "enable after the reset");
	vq_notify(vsock_device(e->vs)->vq[1]);
	expect(t,
	       vsock_connect(e->vs, VSOCK_STREAM, any_port(0), host_port(ASSAY_ECHO_PORT),
			     test_sec() / 5, &c),
	       "a connection over rings that became private");
	vsock_env_drop();
	e = kvmpv_device(t);
	CTL_OK(t, ctl_mem_state(e->ctl, &s));
	expect_eq(t, s.protected_mode, 1, "protection after enabling again");
	expect_eq(t, s.shared_pages + s.private_pages, all,
		  "pages that are shared or private, which are those of the machine");
	expect(t, s.violations > violations, "the host went on with rings that became private");
	if (kvmpv_is("rfc")) /* by MAP_GPA_RANGE the firmware's own memory stays as it was */
		expect_eq(t, s.shared_pages, protect_shared_pages(),
			  "shared pages: the pool, not what was shared before enabling");
	kvmpv_provoked(s.violations);
	kvmpv_echo(t, e, 10000);
	mem_pages_free(early, 1);
}

TEST(lifecycle_reset,
     .id = "kvmpv.lifecycle.platform_reset",
     .clause = "s390 protvirt, RFCv2: a reset ends protection; the machine can be protected again",
     .owner = OWNER,
     .needs = STATE,
     .timeout = 60 * SEC)
{
	uint32_t violations;

	if (test_step(t, &violations) == 0)
		before_reset(t);
	if (protect_enabled())
		test_error(t, "protection is on already");
	unprotected(t, violations);
	protect_again(t, violations);
}

/* A reset that ended early must not leave the rest of the run unprotected. */
static void lifecycle_teardown(void)
{
	vsock_env_drop();
	if (protect_wanted() && !protect_enabled() && protect_query(NULL, 0))
		protect_enable();
}
FIXTURE(kvmpv_lifecycle, .suite = "kvmpv.lifecycle.", .teardown = lifecycle_teardown);

struct ap_arg {
	uint64_t gfn;
	int64_t ret;
};

static void share_there(void *arg)
{
	struct ap_arg *a = arg;

	a->ret = protect_share(a->gfn, 1);
}

/* Starts CPU 1 again, with its trampoline shared, and has it share a page. */
static void restart_ap(struct test_ctx *t, void (*meanwhile)(void *), void *arg)
{
	const uint64_t trampoline = smp_trampoline() >> PAGE_SHIFT;
	uint8_t *p = kvmpv_pages(t, 1);
	struct ap_arg a = { gfn_of(p), 1 };
	struct vsock_env *e;
	uint64_t before;
	int ret;

	if (protect_share(trampoline, 1))
		test_error(t, "the trampoline cannot be shared");
	ret = smp_restart(1, meanwhile, arg);
	if (ret == -ENODEV)
		test_skip(t, "no page below 1 MiB for the trampoline");
	require(t, ret == 0, "CPU 1 does not start again: %s", err_text(ret));
	protect_unshare(trampoline, 1);
	if (meanwhile)
		kvmpv_share_pool(t);
	e = kvmpv_device(t);
	before = kvmpv_shared_pages(t, e);
	if (smp_call(1, share_there, &a, 2 * test_sec()))
		test_error(t, "CPU 1 does not answer");
	expect_answer(t, a.ret, 0, "share from the CPU that started");
	expect_eq(t, kvmpv_shared_pages(t, e), before + 1, "shared pages after that");
	protect_pages_free(p, 1);
}

TEST(lifecycle_ap_after,
     .id = "kvmpv.lifecycle.cpu_started_after_enable",
     .clause = "RFCv2: a CPU that starts under protection, by a shared trampoline, is a CPU of this VM",
     .owner = OWNER,
     .needs = STATE | NEED_SMP,
     .timeout = 10 * SEC)
{
	struct ctl_mem_state s;

	kvmpv_protected(t);
	restart_ap(t, NULL, NULL);
	/* INIT is that CPU's; the VM goes on as it is. */
	CTL_OK(t, ctl_mem_state(kvmpv_device(t)->ctl, &s));
	expect_eq(t, s.protected_mode, 1, "protection after an INIT of a CPU");
}

struct enable_arg {
	const struct protect_ops *ops;
	int64_t ret;
};

static void enable_there(void *arg)
{
	struct enable_arg *a = arg;

	a->ret = protect_retry(a->ops->enable);
}

TEST(lifecycle_ap_during,
     .id = "kvmpv.lifecycle.cpu_started_during_enable",
     .clause = "s390 protvirt review, 2020: a CPU that comes up while the state changes ends in the new one",
     .owner = OWNER,
     .needs = STATE | NEED_SMP,
     .timeout = 10 * SEC)
{
	struct enable_arg a = { kvmpv_protected(t), 1 };

	if (!protect_keeps_contents())
		test_skip(t, "protect.contents=lost: enabling takes the trampoline's code away");
	restart_ap(t, enable_there, &a);
	expect(t, a.ret <= 0, "enable meanwhile: %s", kvm_text(a.ret));
}

TEST(lifecycle_device,
     .id = "kvmpv.lifecycle.device_reset_same_pool",
     .clause = "virtio 1.4, 2.4: after a reset the device works again, with the memory that was shared before",
     .owner = OWNER ", vsock device back end",
     .needs = STATE,
     .timeout = 20 * SEC)
{
	struct bounce_stats b0, b1;
	struct ctl_mem_state s;
	struct vsock_env *e;
	uint64_t shared = 0;
	unsigned int i;

	kvmpv_protected(t);
	bounce_stats(&b0);
	for (i = 0; i < 5; i++) {
		e = kvmpv_device(t);
		kvmpv_echo(t, e, 5000);
		CTL_OK(t, ctl_mem_state(e->ctl, &s));
		expect(t, i == 0 || s.shared_pages == shared,
		       "round %u: %llu shared pages, not %llu", i,
		       (unsigned long long)s.shared_pages, (unsigned long long)shared);
		expect_eq(t, s.violations, kvmpv_provoked_so_far(), "violations in round %u", i);
		shared = s.shared_pages;
		vsock_env_drop();
		bounce_stats(&b1);
		expect(t, b1.base == b0.base && b1.used == b0.used,
		       "round %u: %llu slots in use, not %llu", i, (unsigned long long)b1.used,
		       (unsigned long long)b0.used);
	}
}

/* What the tests of leaks count on: that it finds nothing tells of something. */
TEST(lifecycle_seen,
     .id = "kvmpv.lifecycle.shared_is_seen",
     .clause = "RFCv2 MEM_SHARE, map_gpa shared: the host reads what lies in shared pages; host/peer/proto.h: it finds the bytes, and tells where",
     .owner = OWNER,
     .needs = STATE,
     .timeout = 40 * SEC)
{
	static const char shown[] = "assay shown page 93a24d681 end.";
	struct ctl_mem_scan_reply r;
	struct vsock_env *e;
	uint8_t *p, *at[3];
	unsigned int i;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	p = kvmpv_pages(t, 2);
	at[0] = p + 64;
	at[1] = p + PAGE_SIZE - sizeof(shown) / 2; /* in both of them */
	at[2] = p + 2 * PAGE_SIZE - sizeof(shown);
	expect_answer(t, protect_share(gfn_of(p), 2), 0, "share");
	for (i = 0; i < 3; i++) {
		memset(p, 0, 2 * PAGE_SIZE);
		memcpy(at[i], shown, sizeof(shown));
		CTL_OK(t, ctl_mem_scan(e->ctl, shown, sizeof(shown), &r));
		expect_eq(t, r.matches, 1, "places where the host finds what is in shared pages");
		expect_eq(t, r.first_addr, virt_to_phys(at[i]), "where it is");
	}
	memset(p, 0, 2 * PAGE_SIZE);
	memcpy(at[0], shown, sizeof(shown));
	memcpy(at[2], shown, sizeof(shown));
	CTL_OK(t, ctl_mem_scan(e->ctl, shown, sizeof(shown), &r));
	expect_eq(t, r.matches, 2, "places where the host finds what is there twice");
	expect_eq(t, r.first_addr, virt_to_phys(at[0]), "where the first one is");
	memset(p, 0, 2 * PAGE_SIZE);
	if (protect_unshare(gfn_of(p), 2))
		mem_keep(2);
	else
		mem_pages_free(p, 2);
}

TEST(lifecycle_page,
     .id = "kvmpv.lifecycle.freed_page",
     .clause = "RFCv2 MEM_UNSHARE, map_gpa encrypted: a page that its owner took back is private for the next",
     .owner = OWNER,
     .needs = STATE,
     .timeout = 40 * SEC)
{
	static const char secret[] = "assay freed page 1b7e93a24 end.";
	struct ctl_mem_scan_reply r;
	struct vsock_env *e;
	uint64_t before;
	uint8_t *p, *q;
	int64_t ret;

	kvmpv_protected(t);
	e = kvmpv_device(t);
	before = kvmpv_shared_pages(t, e);
	p = kvmpv_pages(t, 1);
	expect_answer(t, protect_share(gfn_of(p), 1), 0, "share");
	expect_eq(t, kvmpv_shared_pages(t, e), before + 1, "shared pages of the first owner");
	ret = protect_unshare(gfn_of(p), 1);
	if (ret == -KVM_EOPNOTSUPP)
		test_skip(t, "unsharing is not supported here");
	mem_pages_free(p, 1);
	expect_answer(t, ret, 0, "unshare");
	q = kvmpv_pages(t, 1);
	if (q != p)
		test_note(t, "the next owner got another page");
	memcpy(q + 64, secret, sizeof(secret));
	expect_eq(t, kvmpv_shared_pages(t, e), before, "shared pages of the next owner");
	CTL_OK(t, ctl_mem_scan(e->ctl, secret, sizeof(secret), &r));
	expect_eq(t, r.matches, 0, "places where the host reads the next owner's data");
	expect(t, memcmp(q + 64, secret, sizeof(secret)) == 0,
	       "the page does not hold what was written");
	mem_pages_free(q, 1);
}
