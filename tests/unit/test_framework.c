/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/test.c with tests of every outcome. Each run is a process of its own, so that it starts anew; its
 * report is read by the harness's strict reader.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/common/ktap.h"
#include "lib/arch.h"
#include "lib/cmdline.h"
#include "lib/mem.h"
#include "lib/reboot.h"
#include "lib/smp.h"
#include "lib/test.h"

/* What the run leaves for the test: shared with the process that runs. */
static struct shared {
	struct test_totals totals;
	uint64_t timeouts[64]; /* as guarded_call() got them */
	unsigned int calls, setups, teardowns, probes, beyond;
	unsigned int busy_at_teardown; /* CPUs at work then */
	unsigned int outer_after;      /* of the outermost fixture's calls, those in their order */
	char order[1024];
	uint64_t random[4];
	unsigned int randoms;
	bool resumed;
} * out;

/* What the run is told. */
static struct {
	const char *tests, *after;
	uint64_t shuffle, repeat, timeout;
	bool list;
	int setup_error;
	const char *left_behind, *broken, *reboot, *noted;
	bool reboots;
	const struct reboot_record *record;
} in;

/* --- lib/ without a machine ------------------------------------------------------------------ */

static uint64_t free_bytes = 1 << 20;
static unsigned int busy;
static jmp_buf way_out;
static enum guard_end how_it_ended;

const char *cmdline_get(const char *key)
{
	return strcmp(key, "tests") == 0 ? in.tests : strcmp(key, "after") == 0 ? in.after : NULL;
}

uint64_t cmdline_get_u64(const char *key, uint64_t dflt)
{
	if (strcmp(key, "shuffle") == 0)
		return in.shuffle;
	if (strcmp(key, "repeat") == 0)
		return in.repeat ? in.repeat : dflt;
	return strcmp(key, "timeout") == 0 ? in.timeout : dflt;
}

bool cmdline_get_bool(const char *key, bool dflt)
{
	if (strcmp(key, "reboots") == 0)
		return in.reboots;
	return strcmp(key, "list") == 0 ? in.list : dflt;
}

uint64_t time_now(void)
{
	static uint64_t now;

	return now += MSEC;
}

uint64_t mem_free_bytes(void)
{
	return free_bytes;
}

uint64_t mem_kept_bytes(void)
{
	return 0;
}

unsigned int smp_reclaim(void)
{
	const unsigned int n = busy;

	busy = 0;
	return n;
}

const struct reboot_record *reboot_record(void)
{
	return out->resumed ? NULL : in.record;
}

void reboot_resumed(void)
{
	out->resumed = true;
}

bool reboot_usable(char *why, size_t size)
{
	snprintf(why, size, "no way to reset");
	return false;
}

void reboot_end(void)
{
}

void arch_end(enum end_status status, const char *how)
{
	(void)how;
	fflush(stdout);
	_exit(status == END_ERROR ? 0 : 1);
}

void reboot_now(const struct reboot_record *r)
{
	(void)r;
	abort();
}

enum guard_end guarded_call(void (*fn)(void *), void *arg, uint64_t timeout_ns, char *why,
			    size_t why_size)
{
	if (out->calls < 64)
		out->timeouts[out->calls] = timeout_ns;
	out->calls++;
	how_it_ended = GUARD_OK;
	if (setjmp(way_out) == 0)
		fn(arg);
	if (how_it_ended == GUARD_TIMEOUT)
		snprintf(why, why_size, "rip=0x1234");
	else if (how_it_ended == GUARD_EXCEPTION)
		snprintf(why, why_size, "#PF at 0x5678");
	return how_it_ended;
}

_Noreturn static void end_by(enum guard_end how)
{
	how_it_ended = how;
	longjmp(way_out, 1);
}

void guard_leave(void)
{
	end_by(GUARD_LEFT);
}

/* --- the tests that are run -------------------------------------------------------------------- */

static void note_order(const struct test_ctx *t)
{
	const size_t n = strlen(out->order);

	snprintf(out->order + n, sizeof(out->order) - n, "%s ", test_self(t)->id);
}

static void t_pass(struct test_ctx *t)
{
	note_order(t);
	expect(t, true, "never seen");
	expect_eq(t, -1, -1, "never seen");
	if (out->randoms < 4)
		out->random[out->randoms++] = test_random(t);
	expect(t, test_time_left(t) > 0 && test_time_left(t) <= 5 * SEC, "time left");
}

static void t_fail(struct test_ctx *t)
{
	note_order(t);
	expect(t, false, "first %d", 1);
	expect_eq(t, 4, 5, "source CID");
	expect(t, true, "never seen");
}

static void t_require(struct test_ctx *t)
{
	require_eq(t, 1, 2, "no way on");
	out->beyond++;
}

static void t_skip(struct test_ctx *t)
{
	expect(t, true, "a check before");
	test_skip(t, "not offered: %s", "feature");
	out->beyond++;
}

static void t_error(struct test_ctx *t)
{
	expect(t, true, "a check before");
	test_error(t, "the peer is gone");
	out->beyond++;
}

static void t_nothing(struct test_ctx *t)
{
	(void)t;
}

static void t_fail_error(struct test_ctx *t)
{
	expect(t, false, "broken");
	test_error(t, "then no way on");
}

static void t_fail_skip(struct test_ctx *t)
{
	expect(t, false, "broken");
	test_skip(t, "nothing more to see");
}

static void t_timeout(struct test_ctx *t)
{
	expect(t, true, "a check before");
	end_by(GUARD_TIMEOUT);
}

static void t_broken_timeout(struct test_ctx *t)
{
	expect(t, false, "broken");
	end_by(GUARD_TIMEOUT);
}

static void t_exception(struct test_ctx *t)
{
	expect(t, true, "a check before");
	end_by(GUARD_EXCEPTION);
}

static void t_noisy(struct test_ctx *t)
{
	uint8_t b[300];
	int i;

	for (i = 0; i < 300; i++)
		b[i] = (uint8_t)i;
	test_hexdump(t, "bytes", b, sizeof(b));
	for (i = 0; i < 100; i++)
		test_note(t, "line %d # not ok 1\nok 2 \033[0m", i);
	expect(t, false, "ends # SKIP\nok 7 fake");
}

static void t_leak(struct test_ctx *t)
{
	expect(t, true, "ok");
	free_bytes -= 4096;
}

static void t_cpus(struct test_ctx *t)
{
	expect(t, true, "ok");
	busy = 2;
}

static bool unmet_probe(char *why, size_t size)
{
	out->probes++;
	snprintf(why, size, "no such thing on the bus");
	return false;
}

static bool met_probe(char *why, size_t size)
{
	(void)why;
	(void)size;
	out->probes++;
	return true;
}

static int setup(void)
{
	out->setups++;
	return in.setup_error;
}

static void teardown(void)
{
	out->teardowns++;
	out->busy_at_teardown += busy;
	if (in.broken)
		test_fail_around("%s", in.broken);
	if (in.reboot)
		test_want_reboot(in.reboot);
}

static int outer_setup(void)
{
	out->outer_after += out->setups == 0;
	return 0;
}

static void outer_teardown(void)
{
	out->outer_after += out->teardowns == 1;
	if (in.noted)
		test_note_around("%s", in.noted);
}

static const char *check(void)
{
	return in.left_behind;
}

#define MET   (1ull << 3)
#define UNMET (1ull << 40)

/* In place of the linker script's arrays; as many as the asm below says. */
const struct test start_assay_tests[] = {
	{ .id = "beta.two", .clause = "c", .fn = t_pass },
	{ .id = "alpha.pass", .clause = "c", .fn = t_pass, .timeout = 2 * SEC, .needs = MET },
	{ .id = "alpha.fail", .clause = "spec 1.2 MUST: x", .owner = "the back end", .fn = t_fail },
	{ .id = "alpha.require", .clause = "c", .fn = t_require },
	{ .id = "alpha.skip", .clause = "c", .fn = t_skip },
	{ .id = "alpha.error", .clause = "c", .fn = t_error },
	{ .id = "alpha.nothing", .clause = "c", .fn = t_nothing },
	{ .id = "alpha.fail_error", .clause = "c", .fn = t_fail_error },
	{ .id = "alpha.fail_skip", .clause = "c", .fn = t_fail_skip },
	{ .id = "alpha.timeout", .clause = "c", .fn = t_timeout, .liveness = true },
	{ .id = "alpha.late", .clause = "c", .fn = t_timeout },
	{ .id = "alpha.broken_timeout", .clause = "c", .fn = t_broken_timeout },
	{ .id = "alpha.exception", .clause = "c", .fn = t_exception },
	{ .id = "alpha.needs", .clause = "c", .fn = t_pass, .needs = MET | UNMET },
	{ .id = "alpha.noisy", .clause = "c", .fn = t_noisy },
	{ .id = "alpha.leak", .clause = "c", .fn = t_leak },
	{ .id = "alpha.cpus", .clause = "c", .fn = t_cpus },
	{ .id = "beta.one", .clause = "c", .fn = t_pass },
	{ .id = "al.short", .clause = "c", .fn = t_pass },
	{ .id = "bench.speed", .clause = "c", .fn = t_pass },
	{ .id = "gamma.needs", .clause = "c", .fn = t_pass, .needs = UNMET },
	{ .id = "gamma.needs_too", .clause = "c", .fn = t_pass, .needs = UNMET },
};
__asm__(".globl stop_assay_tests\n.set stop_assay_tests, start_assay_tests + 22 * 48");
_Static_assert(sizeof(start_assay_tests) == (size_t)22 * 48, "stop_assay_tests");
const struct test_need start_assay_needs[] = {
	{ MET, "met", met_probe },
	{ UNMET, "unmet", unmet_probe },
};
__asm__(".globl stop_assay_needs\n.set stop_assay_needs, start_assay_needs + 2 * 24");
_Static_assert(sizeof(start_assay_needs) == (size_t)2 * 24, "stop_assay_needs");
struct test_fixture start_assay_fixtures[] = {
	{ .suite = "", .setup = setup, .teardown = teardown },
	{ .suite = "beta", .check = check },
	{ .suite = "al." }, /* see last_suites() */
	{ .suite = "", .outermost = true, .setup = outer_setup, .teardown = outer_teardown },
};
__asm__(".globl stop_assay_fixtures\n.set stop_assay_fixtures, start_assay_fixtures + 4 * 40");
_Static_assert(sizeof(start_assay_fixtures) == (size_t)4 * 40, "stop_assay_fixtures");

/* --- runs ----------------------------------------------------------------------------------------- */

static char text[1 << 18];
static struct report report;

static int fresh(void **state)
{
	(void)state;
	memset(&in, 0, sizeof(in));
	if (!out)
		out = mmap(NULL, sizeof(*out), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			   -1, 0);
	report_init(&report);
	return out == MAP_FAILED ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	report_free(&report);
	return 0;
}

/* One run; text has what it printed, report what the strict reader makes of it. */
static void run(void)
{
	FILE *f = tmpfile();
	struct ktap k;
	int status;
	size_t n;
	pid_t pid;

	assert_non_null(f);
	memset(out, 0, sizeof(*out));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		for (n = 1; n < 32; n++) /* a crash shall end it, not be caught by cmocka */
			signal((int)n, SIG_DFL);
		dup2(fileno(f), 1);
		printf("KTAP version 1\n# assay unit boot=pvh\n");
		out->totals = test_run_all();
		printf("# end\n");
		fflush(stdout);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	rewind(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	report_free(&report);
	report_init(&report);
	ktap_init(&k, &report, NULL, NULL);
	ktap_feed(&k, text, n);
	ktap_finish(&k, true);
	ktap_free(&k);
}

static void strict(void)
{
	if (report.nproblems || report.garbage)
		fail_msg("%s (%u problems, %u lines of garbage)",
			 report.problems.n ? report.problems.v[0] : "", report.nproblems,
			 report.garbage);
	assert_true(report.ended);
}

static const struct result *result(const char *id)
{
	size_t i;

	for (i = 0; i < report.n; i++)
		if (strcmp(report.results[i].id, id) == 0)
			return &report.results[i];
	fail_msg("%s is not in the report", id);
	return NULL;
}

static void verdicts(void **state)
{
	static const struct {
		const char *id;
		enum verdict verdict;
		const char *reason;
	} cases[] = {
		{ "alpha.pass", V_PASS, NULL },
		{ "alpha.fail", V_FAIL, NULL },
		{ "alpha.require", V_FAIL, NULL },
		{ "alpha.skip", V_SKIP, "not offered: feature" },
		{ "alpha.error", V_ERROR, "the peer is gone" },
		{ "alpha.nothing", V_ERROR, "the test made no check" },
		{ "alpha.fail_error", V_FAIL, NULL },
		{ "alpha.fail_skip", V_FAIL, NULL },
		{ "alpha.timeout", V_FAIL, "rip=0x1234" },
		{ "alpha.late", V_ERROR, "watchdog after 5000 ms at rip=0x1234" },
		{ "alpha.broken_timeout", V_FAIL, "rip=0x1234" },
		{ "alpha.exception", V_ERROR, "#PF at 0x5678" },
		{ "alpha.needs", V_SKIP, "no such thing on the bus" },
		{ "alpha.noisy", V_FAIL, NULL },
		{ "alpha.leak", V_ERROR, "leaks 4096 bytes" },
		{ "alpha.cpus", V_ERROR, "other CPUs" },
		{ "beta.one", V_PASS, NULL },
		{ "gamma.needs", V_SKIP, "no such thing" },
	};
	unsigned int i;

	(void)state;
	run();
	strict();
	assert_int_equal(report.n, 21); /* all but the benchmark */
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct result *r = result(cases[i].id);
		const char *why = r->reason ? r->reason : "";
		char want[64];

		if (r->verdict != cases[i].verdict)
			fail_msg("%s: %s", r->id, verdict_name(r->verdict));
		/* '#' begins a directive: it is none inside of a reason. */
		snprintf(want, sizeof(want), "%s", cases[i].reason ? cases[i].reason : "");
		if (want[0] == '#')
			want[0] = '%';
		if (cases[i].reason && !strstr(why, want))
			fail_msg("%s: '%s'", r->id, why);
	}
	assert_true(result("alpha.timeout")->timeout);
	assert_true(result("alpha.broken_timeout")->timeout);
	assert_int_equal(out->totals.pass, 4);
	assert_int_equal(out->totals.fail, 7);
	assert_int_equal(out->totals.skip, 4);
	assert_int_equal(out->totals.error, 6);
	assert_non_null(strstr(text, "\n# Totals: pass:4 fail:7 xfail:0 xpass:0 skip:4 error:6\n"));
	assert_int_equal(out->beyond, 0);
	assert_int_equal(out->probes, 2); /* a need is probed once */
	/* CPUs that are late stop before what they work with goes. */
	assert_int_equal(out->busy_at_teardown, 0);
}

static void says_why(void **state)
{
	const struct result *r;

	(void)state;
	in.tests = "alpha.fail,alpha.pass,alpha.fail_error";
	run();
	strict();
	r = result("alpha.fail");
	assert_int_equal(r->diag.n, 2);
	assert_non_null(strstr(r->diag.v[0], "alpha.fail: first 1 (tests/unit/test_framework.c:"));
	assert_non_null(strstr(r->diag.v[1], "source CID: expected 5, seen 4 (tests/unit/"));
	assert_string_equal(r->clause, "spec 1.2 MUST: x");
	assert_string_equal(r->owner, "the back end");
	r = result("alpha.fail_error");
	assert_string_equal(r->diag.v[1], "then: then no way on");
	assert_string_equal(r->owner, "not known");
	assert_int_equal(result("alpha.pass")->diag.n, 0);
}

/* What a test prints can neither end its line nor pose as a result. */
static void noise(void **state)
{
	const struct result *r;
	const char *p, *nl;

	(void)state;
	in.tests = "alpha.noisy";
	run();
	strict();
	r = result("alpha.noisy");
	assert_non_null(strstr(r->diag.v[0], "bytes+0x00: 00 01 02"));
	assert_int_equal(report.n, 1);
	assert_null(strchr(text, '\033'));
	assert_non_null(strstr(text, "more lines left out"));
	for (p = text; *p; p = nl + 1) {
		nl = strchr(p, '\n');
		assert_non_null(nl);
		assert_true(nl - p < 800);
	}
	/* 32 lines, one that says how many more there were. */
	assert_int_equal(r->diag.n, 33);
}

static void order_and_shape(void **state)
{
	(void)state;
	in.tests = "al.short,beta,alpha.pass";
	run();
	strict();
	assert_string_equal(out->order, "al.short alpha.pass beta.one beta.two ");
	assert_string_equal(text,
			    "KTAP version 1\n# assay unit boot=pvh\n1..3\n"
			    "    KTAP version 1\n    # Subtest: al\n    1..1\n"
			    "    # start al.short\n    ok 1 al.short\nok 1 al\n"
			    "    KTAP version 1\n    # Subtest: alpha\n    1..1\n"
			    "    # start alpha.pass\n    ok 1 alpha.pass\nok 2 alpha\n"
			    "    KTAP version 1\n    # Subtest: beta\n    1..2\n"
			    "    # start beta.one\n    ok 1 beta.one\n"
			    "    # start beta.two\n    ok 2 beta.two\nok 3 beta\n"
			    "# Totals: pass:4 fail:0 xfail:0 xpass:0 skip:0 error:0\n# end\n");
	in.tests = "gamma,alpha.fail,alpha.pass";
	run();
	strict();
	assert_non_null(strstr(text, "\nok 2 gamma # SKIP all tests skipped\n"));
	assert_non_null(strstr(text, "\nnot ok 1 alpha\n"));
}

static void filters(void **state)
{
	static const struct {
		const char *tests;
		unsigned int n;
	} cases[] = {
		{ "beta", 2 },		 { "beta.*", 2 },  { "*", 21 },
		{ "-alpha", 5 },	 { "bench", 1 },   { "*,bench.*", 22 },
		{ "beta,-beta.one", 1 }, { "", 21 },	   { "beta.one", 1 },
		{ "-alpha,-beta", 3 },	 { "-bench", 21 }, { "*.one", 1 },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		in.tests = cases[i].tests;
		run();
		strict();
		if (report.n != cases[i].n)
			fail_msg("tests=%s: %zu", cases[i].tests, report.n);
	}
	in.tests = "beta,nonsense.*,-nothing";
	run();
	assert_non_null(strstr(text, "Bail out! no test matches \"nonsense.*\"\n"));
	assert_non_null(strstr(text, "Bail out! no test matches \"-nothing\"\n"));
	assert_string_equal(report.bail, "no test matches \"nonsense.*\"");
	assert_int_equal(report.n, 0);
	assert_int_equal(out->totals.error, 1);
	in.tests = "beta,-beta"; /* nothing is left: an empty plan */
	run();
	assert_non_null(strstr(text, "\n1..0\n"));
	assert_int_equal(out->calls, 0);
}

/* What changes the machine for good runs behind all else, also where its name would be the first. */
static void last_suites(void **state)
{
	(void)state;
	in.tests = "al.short,beta,alpha.pass";
	start_assay_fixtures[2].last = true;
	run();
	start_assay_fixtures[2].last = false;
	strict();
	assert_string_equal(out->order, "alpha.pass beta.one beta.two al.short ");
}

static void shuffled(void **state)
{
	char first[1024], plain[1024];
	unsigned int differ = 0;

	(void)state;
	in.tests = "beta,al,alpha.pass,alpha.fail";
	run();
	memcpy(plain, out->order, sizeof(plain));
	for (in.shuffle = 1; in.shuffle < 20; in.shuffle++) {
		run();
		strict();
		memcpy(first, out->order, sizeof(first));
		assert_int_equal(strlen(first), strlen(plain));
		/* Suites stay together. */
		assert_ptr_equal(strstr(first, "al.short"), first);
		assert_non_null(strstr(first, " beta."));
		differ += strcmp(first, plain) != 0;
		run();
		assert_string_equal(out->order, first);
	}
	assert_true(differ > 3);
}

static void repeated(void **state)
{
	(void)state;
	in.tests = "beta";
	in.repeat = 3;
	run();
	strict();
	assert_int_equal(report.n, 6);
	assert_non_null(strstr(text, "    1..6\n"));
	assert_string_equal(out->order, "beta.one beta.two beta.one beta.two beta.one beta.two ");
	assert_int_equal(out->totals.pass, 6);
	/* Random numbers differ between rounds and tests, and come again with the next run. */
	assert_int_not_equal(out->random[0], out->random[1]);
	assert_int_not_equal(out->random[0], out->random[2]);
	{
		const uint64_t once = out->random[2];

		run();
		assert_int_equal(out->random[2], once);
	}
}

static void after(void **state)
{
	(void)state;
	in.tests = "beta,al,alpha.pass,alpha.fail";
	in.after = "alpha.fail";
	run();
	strict();
	assert_string_equal(out->order, "alpha.pass beta.one beta.two ");
	in.after = "beta.two"; /* the last */
	run();
	assert_int_equal(report.n, 0);
	assert_non_null(strstr(text, "\n1..0\n"));
	in.after = "no.such.test";
	run();
	assert_int_equal(report.n, 5);
	/* In the shuffled order as well: what came before stays out. */
	in.after = NULL;
	in.shuffle = 5;
	run();
	in.after = "alpha.pass";
	{
		char all[1024];

		memcpy(all, out->order, sizeof(all));
		run();
		assert_string_equal(out->order, strstr(all, "alpha.pass ") + strlen("alpha.pass "));
	}
}

static void listed(void **state)
{
	(void)state;
	in.tests = "alpha.fail,beta";
	in.list = true;
	run();
	assert_int_equal(report.listed.n, 3);
	assert_string_equal(report.listed.v[0], "alpha.fail: spec 1.2 MUST: x");
	assert_int_equal(report.n, 0);
	assert_int_equal(out->calls, 0);
}

static void time_limits(void **state)
{
	(void)state;
	in.tests = "alpha.pass,beta.one";
	run();
	/* Set-up, body, teardown of each. */
	assert_int_equal(out->calls, 6);
	assert_int_equal(out->timeouts[1], 2 * SEC);
	assert_int_equal(out->timeouts[4], TEST_TIMEOUT_DEFAULT);
	in.timeout = 30;
	run();
	assert_int_equal(out->timeouts[1], 30 * SEC);
	assert_int_equal(out->timeouts[4], 30 * SEC);
	assert_true(out->timeouts[0] > 0 && out->timeouts[2] > 0);
}

static void fixtures(void **state)
{
	(void)state;
	in.tests = "alpha.pass,alpha.fail,alpha.timeout,alpha.exception,alpha.needs";
	run();
	assert_int_equal(out->setups, 4); /* none for what is skipped */
	assert_int_equal(out->teardowns, 4);
	in.setup_error = -ENODEV;
	run();
	strict();
	assert_int_equal(out->teardowns, 4);
	assert_int_equal(result("alpha.pass")->verdict, V_ERROR);
	assert_non_null(strstr(result("alpha.pass")->reason, "set-up failed: no such device"));
	assert_string_equal(out->order, ""); /* the bodies do not run */
	in.setup_error = 0;
	in.tests = "alpha.pass,beta.one";
	in.left_behind = "an interrupt";
	run();
	assert_int_equal(result("alpha.pass")->verdict, V_PASS); /* another suite's */
	assert_int_equal(result("beta.one")->verdict, V_ERROR);
	assert_non_null(strstr(result("beta.one")->reason, "leaves behind: an interrupt"));
	/* What a fixture sees the host break is a FAIL, whatever the body made of it. */
	in.tests = "alpha.pass,alpha.error";
	in.broken = "the device is dead";
	run();
	strict();
	assert_int_equal(result("alpha.pass")->verdict, V_FAIL);
	assert_string_equal(result("alpha.pass")->diag.v[0], "alpha.pass: the device is dead");
	assert_int_equal(result("alpha.error")->verdict, V_FAIL);
	assert_non_null(strstr(result("alpha.error")->diag.v[1], "before: "));
	in.broken = NULL;
	/* One that is outermost is set up first and torn down last, wherever it stands. */
	in.tests = "alpha.pass";
	in.noted = "the outermost";
	run();
	assert_int_equal(out->outer_after, 2);
	assert_string_equal(result("alpha.pass")->diag.v[0], "the outermost");
}

/* A machine that a test has broken is started again behind this test, if the harness says that it would. */
static void wants_reboot(void **state)
{
	(void)state;
	in.tests = "alpha.pass,alpha.skip,beta.one";
	in.reboot = "nothing works\nok 7 fake";
	run();
	strict();
	assert_int_equal(report.n, 3);
	assert_null(strstr(text, "# reboot: "));
	in.reboots = true;
	run();
	assert_int_equal(report.n, 1);
	assert_int_equal(result("alpha.pass")->verdict, V_PASS);
	assert_int_equal(report.garbage, 0);
	assert_false(report.ended);
	assert_non_null(strstr(text, "    # reboot: nothing works ok 7 fake\n"));
}

/* After a reset that a test asked for: what stands in the report is not run again, the counts go on. */
static void resumed(void **state)
{
	static const struct reboot_record r = {
		.tests = 2,
		.checks = 1,
		.sum = { 1 },
		.suite = { 0, 1 },
		.step = 1,
	};

	(void)state;
	in.tests = "al,alpha.pass,alpha.nothing,beta";
	in.record = &r;
	run();
	assert_true(out->resumed);
	assert_string_equal(out->order, "alpha.pass beta.one beta.two ");
	assert_int_equal(out->totals.pass, 4);
	assert_int_equal(out->totals.fail, 1);
	assert_null(strstr(text, "# start al.short\n"));
	assert_null(strstr(text, "# start alpha.pass\n")); /* it began before the reset */
	assert_non_null(strstr(text, "    ok 2 alpha.pass\nnot ok 2 alpha\n"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(verdicts),	T(says_why), T(noise),	  T(order_and_shape), T(last_suites),
		T(filters),	T(shuffled), T(repeated), T(after),	      T(listed),
		T(time_limits), T(fixtures), T(resumed),  T(wants_reboot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
