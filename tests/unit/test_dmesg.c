/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's kernel log and records as verdicts: logs of real kernels, shortened, and malformed ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "host/cli/dmesg.h"

#define BOOT                                                                                         \
	"[    0.000000] Linux version 7.2.12+deb13-cloud-amd64 (debian-kernel@lists.debian.org)\r\n" \
	"[    0.113005] RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable\r\n"          \
	"[    0.213005] WARNING: polling mode is active\r\n"                                         \
	"Linux (none) 7.2.12+deb13-cloud-amd64 #1 SMP\r\n"                                           \
	"[    9.147844] kvm_amd: Nested Virtualization enabled\r\n"                                  \
	"[   12.373633] assay: guests start\r\n"
#define DONE "[   54.177725] assay: guests ended\r\n"

static const struct result *find(const struct report *r, const char *id)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (strcmp(r->results[i].id, id) == 0)
			return &r->results[i];
	return NULL;
}

static enum verdict judge(struct report *r, const char *log, const char *records, const char *id)
{
	const struct result *t;
	struct strv notes = { 0 };

	report_init(r);
	r->ended = true;
	host_judge(r, log, NULL, records, &notes);
	assert_true(notes.n <= 1);
	strv_free(&notes);
	t = find(r, id);
	assert_non_null(t);
	return t->verdict;
}

static enum verdict clean(const char *log)
{
	struct report r;
	const enum verdict v = judge(&r, log, NULL, "host.dmesg.clean");

	report_free(&r);
	return v;
}

static void test_quiet(void **state)
{
	(void)state;
	assert_int_equal(clean(BOOT DONE), V_PASS);
	assert_int_equal(clean(""), V_PASS); /* since the run's start nothing was said */
	assert_int_equal(clean(NULL), V_SKIP);
	/* Not the kernel's words. */
	assert_int_equal(clean(BOOT "qemu: BUG: something\r\nWARNING: CPU: 1 PID: 2 at x\r\n"),
			 V_PASS);
}

/* A log that was not read is no healthy one: the reason is told, or what it mostly is. */
static void skipped(const char *why, const char *told)
{
	struct strv notes = { 0 };
	struct report r;
	const struct result *t;

	report_init(&r);
	host_judge(&r, NULL, why, NULL, &notes);
	t = find(&r, "host.dmesg.clean");
	assert_non_null(t);
	assert_int_equal(t->verdict, V_SKIP);
	assert_non_null(strstr(t->reason, told));
	report_free(&r);
}

static void test_not_read(void **state)
{
	(void)state;
	skipped("dmesg did not end within 1 s", "cannot be read: dmesg did not end within 1 s");
	skipped(NULL, "does it need root?");
}

static void test_reports(void **state)
{
	static const char *const lines[] = {
		"[   20.1] WARNING: CPU: 1 PID: 130 at drivers/vhost/vhost.c:2390 vhost_vq_reset+0x10/0x20 [vhost]",
		"[   20.1] WARNING: drivers/vhost/vhost.c:2390 at vhost_vq_reset+0x10/0x20 [vhost], CPU#1: qemu/130",
		"[   20.1] BUG: KASAN: slab-use-after-free in irqfd_wakeup+0x1f/0x2a0 [kvm]",
		"[   20.1] BUG: unable to handle page fault for address: ffffc90000a0",
		"[   20.1] kernel BUG at virt/kvm/kvm_main.c:100!",
		"[   20.1] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [qemu:130]",
		"[   20.1] BUG: sleeping function called from invalid context at mm/slab.h:1",
		"[   20.1] WARNING: possible circular locking dependency detected",
		"[   20.1] WARNING: suspicious RCU usage",
		"[   20.1] INFO: task qemu:130 blocked for more than 120 seconds.",
		"[   20.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
		"[   20.1] rcu: INFO: rcu_preempt self-detected stall on CPU",
		"[   20.1] Oops: general protection fault, probably for non-canonical address 0xdead: 0000",
		"[   20.1] UBSAN: array-index-out-of-bounds in drivers/vhost/vsock.c:1:2",
		"[   20.1] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
		"[   20.1] refcount_t: underflow; use-after-free.",
		"[   20.1] list_del corruption. prev->next should be ffff, but was dead",
		"[   20.1] irq 24: nobody cared (try booting with the \"irqpoll\" option)",
		"[   20.1] qemu[130]: segfault at 0 ip 0000 sp 0000 error 4 in qemu[1000+1000]",
		"[   20.1][  T130] BUG: Bad page state in process qemu  pfn:1234",
		"<4>[   20.1] BUG: scheduling while atomic: qemu/130/0x00000002",
		"[Sat Nov 21 09:00:00 2026] Kernel panic - not syncing: Fatal exception",
	};
	char text[4096];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(text, sizeof(text), "%s%s\r\n%s", BOOT, lines[i], DONE);
		if (clean(text) != V_FAIL)
			fail_msg("not seen: %s", lines[i]);
	}
}

static void test_shown(void **state)
{
	struct report r;
	const struct result *t;

	(void)state;
	judge(&r,
	      BOOT "[   20.1] ------------[ cut here ]------------\n"
		   "[   20.2] WARNING: CPU: 1 PID: 130 at a.c:1 f+0x1/0x2\n"
		   "[   20.3] refcount_t: underflow; use-after-free.\n"
		   "[   20.4] Call Trace:\n"
		   "[   20.5] ---[ end trace 0000000000000000 ]---\n"
		   "[   21.0] something else\n" DONE,
	      NULL, "host.dmesg.clean");
	t = find(&r, "host.dmesg.clean");
	assert_non_null(t);
	assert_non_null(strstr(t->reason, "1 report of a bug"));
	assert_int_equal(t->diag.n, 4);
	assert_non_null(strstr(t->diag.v[0], "WARNING: CPU: 1"));
	assert_non_null(strstr(t->diag.v[3], "end trace"));
	report_free(&r);
}

static void test_early(void **state)
{
	struct report r;

	(void)state;
	judge(&r, "[    0.0] Linux version 7\n[    1.0] BUG: x\n[    2.0] assay: guests start\n",
	      "@end\n", "host.dmesg.clean");
	assert_non_null(strstr(find(&r, "host.dmesg.clean")->reason, "before the first guest"));
	report_free(&r);
}

static void test_taint(void **state)
{
	struct report r;

	(void)state;
	assert_int_equal(judge(&r, BOOT, "@taint 0 0\n@end\n", "host.dmesg.taint"), V_PASS);
	report_free(&r);
	/* O and E: a module built by hand. */
	assert_int_equal(judge(&r, BOOT, "@taint 12288 12288\n@end\n", "host.dmesg.taint"), V_PASS);
	report_free(&r);
	assert_int_equal(judge(&r, BOOT, "@taint 0 512\r\n@end\r\n", "host.dmesg.taint"), V_FAIL);
	assert_non_null(strstr(find(&r, "host.dmesg.taint")->reason, "W (warning)"));
	report_free(&r);
	assert_int_equal(judge(&r, BOOT, "@end\n", "host.dmesg.taint"), V_SKIP);
	report_free(&r);
}

static void test_records(void **state)
{
	struct report r;
	const struct result *t;

	(void)state;
	judge(&r, BOOT,
	      "@diag host.leak.slab filp: 1 before, 900 after\n"
	      "@result FAIL host.leak.slab objects stay\n"
	      "@result PASS host.leak.vm no VM is left\n"
	      "@note 1000 cycles\n"
	      "@taint 0 0\n@end\n"
	      "@result FAIL host.leak.vm one VM is left\n" /* a second boot: the worst counts */
	      "@result PASS host.leak.slab fine\n"
	      "@result PASS vsock.cids.connect_each not a host's id\n"
	      "@result MAYBE host.leak.x what?\n"
	      "@result PASS\n@result\n@\n@diag\n"
	      "@taint 0 0\n@end\n",
	      "host.leak.slab");
	t = find(&r, "host.leak.slab");
	assert_int_equal(t->verdict, V_FAIL);
	assert_string_equal(t->reason, "objects stay");
	assert_int_equal(t->diag.n, 1);
	assert_string_equal(t->diag.v[0], "filp: 1 before, 900 after");
	assert_int_equal(find(&r, "host.leak.vm")->verdict, V_FAIL);
	assert_null(find(&r, "vsock.cids.connect_each"));
	assert_null(find(&r, "host.end"));
	assert_int_equal(r.n, 4);
	assert_true(r.ended);
	report_free(&r);
}

static void test_cut_short(void **state)
{
	struct report r;

	(void)state;
	assert_int_equal(judge(&r, BOOT, "@result PASS host.leak.vm x\n", "host.end"), V_ERROR);
	report_free(&r);
	assert_int_equal(judge(&r, BOOT, "", "host.end"), V_ERROR);
	report_free(&r);
	assert_int_equal(judge(&r, "", "@end\n", "host.dmesg.clean"), V_SKIP);
	report_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quiet),	cmocka_unit_test(test_not_read),
		cmocka_unit_test(test_reports), cmocka_unit_test(test_shown),
		cmocka_unit_test(test_early),	cmocka_unit_test(test_taint),
		cmocka_unit_test(test_records), cmocka_unit_test(test_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
