/* SPDX-License-Identifier: BSD-2-Clause */
/* The framework: selection, order, verdicts, KTAP (Documentation/dev-tools/ktap.rst). */
#include "lib/test.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arch.h"
#include "lib/cmdline.h"
#include "lib/errname.h"
#include "lib/glob.h"
#include "lib/mem.h"
#include "lib/ktap.h"
#include "lib/reboot.h"
#include "lib/smp.h"

OPTION("tests", "which tests run: globs, separated by commas; -GLOB leaves out");
OPTION("shuffle", "seed of a random order");
OPTION("repeat", "how often each test runs");
OPTION("after", "run only what follows this id in the order");
OPTION("timeout", "seconds that each test has, instead of its own limit");
OPTION("list", "1: name the tests and their clauses, run none");
OPTION("reboots", "1: a harness boots the machine again when a test has broken it");

#define MAX_DIAGS 32
#define REASON	  256

extern const struct test start_assay_tests[], stop_assay_tests[];
extern const struct test_need start_assay_needs[], stop_assay_needs[];
extern const struct test_fixture start_assay_fixtures[], stop_assay_fixtures[];

enum verdict {
	V_PASS,
	V_FAIL,
	V_SKIP,
	V_ERROR,
	V_TIMEOUT
};

struct test_ctx {
	const struct test *test;
	unsigned int checks, failures, diags;
	enum verdict verdict; /* SKIP and ERROR as given by the test */
	char reason[REASON];
	deadline_t end;
	uint64_t random;
	unsigned int step;
	uint32_t value;
};

static struct test_ctx *running; /* the test that fixtures run around */
static char reboot_wanted[REASON];

static struct {
	unsigned int results; /* in the report */
	const struct test_totals *sum, *suite;
} progress;

static struct {
	uint64_t probed, met;
	char why[64][96];
} needs;

/* In KTAP a '#' begins a directive, and a line end ends the description: both are replaced. */
static void sanitize(char *s)
{
	for (; *s; s++)
		if (*s == '#' || !isprint((unsigned char)*s))
			*s = *s == '#' ? '%' : ' ';
}

static void diag(struct test_ctx *t, const char *text)
{
	if (t->diags++ < MAX_DIAGS)
		printf(KTAP_INDENT "# %s\n", text);
}

static void __attribute__((format(printf, 2, 0)))
vdiag(struct test_ctx *t, const char *fmt, va_list ap)
{
	char text[REASON];

	vsnprintf(text, sizeof(text), fmt, ap);
	sanitize(text);
	diag(t, text);
}

void test_note(struct test_ctx *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vdiag(t, fmt, ap);
	va_end(ap);
}

void test_hexdump(struct test_ctx *t, const char *what, const void *p, size_t n)
{
	const uint8_t *b = p;
	char line[3 * 16 + 1];
	size_t i, k;

	for (i = 0; i < n && i < 256; i += 16) {
		for (k = 0; k < 16 && i + k < n; k++)
			snprintf(line + 3 * k, 4, " %02x", b[i + k]);
		test_note(t, "%s+0x%02x:%s", what, (unsigned int)i, line);
	}
}

/* The first failure explains itself in full; later ones say only what was wrong. */
static void failed(struct test_ctx *t, const char *file, unsigned int where, const char *what)
{
	char text[2 * REASON];

	t->failures++;
	snprintf(text, sizeof(text), "%s: %s (%s:%u)", t->test->id, what, file,
		 where & ~TEST_FATAL);
	sanitize(text);
	diag(t, text);
	if (where & TEST_FATAL)
		guard_leave();
}

void test_check(struct test_ctx *t, bool ok, const char *file, unsigned int where, const char *fmt,
		...)
{
	char text[REASON];
	va_list ap;

	t->checks++;
	if (ok)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	failed(t, file, where, text);
}

#define NUMBER 24

/* Prints a count or an error code in decimal, an address or a set of bits in hexadecimal, as readers expect. */
static const char *number(char out[NUMBER], uint64_t v)
{
	const int64_t s = (int64_t)v;

	if (s > -100000 && s < 100000)
		snprintf(out, NUMBER, "%lld", (long long)s);
	else
		snprintf(out, NUMBER, "0x%llx", (unsigned long long)v);
	return out;
}

void test_check_eq(struct test_ctx *t, uint64_t got, uint64_t want, const char *file,
		   unsigned int where, const char *fmt, ...)
{
	char what[REASON - 96], text[REASON], want_text[NUMBER], got_text[NUMBER];
	va_list ap;

	t->checks++;
	if (got == want)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(text, sizeof(text), "%s: expected %s, seen %s", what, number(want_text, want),
		 number(got_text, got));
	failed(t, file, where, text);
}

static void __attribute__((format(printf, 3, 0)))
give_up(struct test_ctx *t, enum verdict v, const char *fmt, va_list ap)
{
	t->verdict = v;
	vsnprintf(t->reason, sizeof(t->reason), fmt, ap);
}

void test_skip(struct test_ctx *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	give_up(t, V_SKIP, fmt, ap);
	va_end(ap);
	guard_leave();
}

void test_error(struct test_ctx *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	give_up(t, V_ERROR, fmt, ap);
	va_end(ap);
	guard_leave();
}

uint64_t test_time_left(const struct test_ctx *t)
{
	const uint64_t now = time_now();

	return now < t->end ? t->end - now : 0;
}

const struct test *test_self(const struct test_ctx *t)
{
	return t->test;
}

unsigned int test_step(const struct test_ctx *t, uint32_t *value)
{
	*value = t->value;
	return t->step;
}

static void pack(uint16_t out[4], const struct test_totals *x)
{
	out[0] = (uint16_t)x->pass;
	out[1] = (uint16_t)x->fail;
	out[2] = (uint16_t)x->skip;
	out[3] = (uint16_t)x->error;
}

static struct test_totals unpack(const uint16_t in[4])
{
	return (struct test_totals){ in[0], in[1], in[2], in[3] };
}

_Noreturn void test_reboot(struct test_ctx *t, unsigned int step, uint32_t value)
{
	struct reboot_record r = {
		.tests = (uint16_t)progress.results,
		.checks = (uint16_t)t->checks,
		.failures = (uint16_t)t->failures,
		.step = (uint16_t)step,
		.value = value,
	};
	char why[96];

	if (!reboot_usable(why, sizeof(why)))
		test_skip(t, "%s", why);
	pack(r.sum, progress.sum);
	pack(r.suite, progress.suite);
	reboot_now(&r);
}

uint64_t test_random(struct test_ctx *t)
{
	/* xorshift64* */
	t->random ^= t->random >> 12;
	t->random ^= t->random << 25;
	t->random ^= t->random >> 27;
	return t->random * 0x2545f4914f6cdd1dull;
}

static uint64_t hash(const char *s, uint64_t seed)
{
	uint64_t h = 0xcbf29ce484222325ull ^ seed * 0x9e3779b97f4a7c15ull;

	while (*s)
		h = (h ^ (uint8_t)*s++) * 0x100000001b3ull;
	h ^= h >> 29;
	return h ? h : 1;
}

/* --- needs ----------------------------------------------------------------------------- */

/* NULL if all needs are met, else why the first is not. */
static const char *unmet(uint64_t want)
{
	const struct test_need *n;

	for (n = start_assay_needs; n < stop_assay_needs; n++) {
		const unsigned int bit = (unsigned int)__builtin_ctzll(n->bit);

		if (!(want & n->bit))
			continue;
		if (!(needs.probed & n->bit)) {
			needs.probed |= n->bit;
			if (n->probe(needs.why[bit], sizeof(needs.why[bit])))
				needs.met |= n->bit;
		}
		if (!(needs.met & n->bit))
			return needs.why[bit];
	}
	return NULL;
}

/* --- running one ----------------------------------------------------------------------- */

static void call_test(void *arg)
{
	struct test_ctx *t = arg;

	t->test->fn(t);
}

static bool applies(const struct test_fixture *f, const struct test *t)
{
	const size_t n = strlen(f->suite);

	return strncmp(t->id, f->suite, n) == 0;
}

struct setup_arg {
	struct test_ctx *t;
	int ret;
};

static void call_setup(void *arg)
{
	struct setup_arg *a = arg;
	const struct test_fixture *f;

	for (unsigned int inner = 0; inner < 2; inner++)
		for (f = start_assay_fixtures; f < stop_assay_fixtures && !a->ret; f++)
			if (applies(f, a->t->test) && f->setup && f->outermost == !inner)
				a->ret = f->setup();
}

static void call_teardown(void *arg)
{
	const struct test_ctx *t = arg;
	const struct test_fixture *f;

	for (unsigned int outer = 0; outer < 2; outer++)
		for (f = stop_assay_fixtures; f-- > start_assay_fixtures;)
			if (applies(f, t->test) && f->teardown && f->outermost == outer)
				f->teardown();
}

static void error_reason(struct test_ctx *t, const char *what, const char *why)
{
	t->verdict = V_ERROR;
	snprintf(t->reason, sizeof(t->reason), "%s%s", what, why);
}

#define FIXTURE_TIMEOUT (10 * SEC * time_slow())

static bool set_up(struct test_ctx *t)
{
	struct setup_arg a = { t, 0 };
	char why[128] = "";
	const enum guard_end end = guarded_call(call_setup, &a, FIXTURE_TIMEOUT, why, sizeof(why));

	if (end == GUARD_OK && a.ret == 0)
		return true;
	if (end == GUARD_OK)
		snprintf(why, sizeof(why), "%s", err_text(a.ret));
	error_reason(t, end == GUARD_TIMEOUT ? "the set-up hangs: " : "the set-up failed: ", why);
	return false;
}

static void run_body(struct test_ctx *t, uint64_t timeout)
{
	char why[128] = "";

	t->end = deadline_in(timeout);
	switch (guarded_call(call_test, t, timeout, why, sizeof(why))) {
	case GUARD_TIMEOUT:
		/* A test that takes too long may be slow itself: only a clause or a failed check blames the host. */
		t->verdict = t->failures || t->test->liveness ? V_TIMEOUT : V_ERROR;
		snprintf(t->reason, sizeof(t->reason), "watchdog after %llu ms at %s",
			 (unsigned long long)(timeout / MSEC), why);
		return;
	case GUARD_EXCEPTION:
		error_reason(t, "exception ", why);
		return;
	default:
		break;
	}
	if (t->failures && t->verdict != V_ERROR) {
		t->verdict = V_FAIL;
	} else if (t->failures) { /* what failed before the test had to give up stays a failure */
		test_note(t, "then: %s", t->reason);
		t->verdict = V_FAIL;
	} else if (t->verdict == V_PASS && t->checks == 0) {
		error_reason(t, "the test made no check", "");
	}
}

static void tear_down(struct test_ctx *t)
{
	char why[128] = "";

	if (guarded_call(call_teardown, t, FIXTURE_TIMEOUT, why, sizeof(why)) == GUARD_OK)
		return;
	if (t->verdict == V_PASS)
		error_reason(t, "the clean-up failed: ", why);
	else
		test_note(t, "the clean-up failed: %s", why);
}

void test_fail_around(const char *fmt, ...)
{
	char what[REASON], text[2 * REASON];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	running->failures++;
	snprintf(text, sizeof(text), "%s: %s", running->test->id, what);
	sanitize(text);
	diag(running, text);
	if (running->verdict == V_SKIP || running->verdict == V_ERROR)
		test_note(running, "before: %s", running->reason);
	if (running->verdict != V_TIMEOUT)
		running->verdict = V_FAIL;
}

void test_note_around(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vdiag(running, fmt, ap);
	va_end(ap);
}

void test_want_reboot(const char *why)
{
	snprintf(reboot_wanted, sizeof(reboot_wanted), "%s", why);
	sanitize(reboot_wanted);
}

static void check_left(struct test_ctx *t)
{
	const struct test_fixture *f;
	const char *what;

	for (f = start_assay_fixtures; f < stop_assay_fixtures && t->verdict == V_PASS; f++) {
		what = applies(f, t->test) && f->check ? f->check() : NULL;
		if (what)
			error_reason(t, "it leaves behind: ", what);
	}
}

static void run(struct test_ctx *t)
{
	const uint64_t seconds = cmdline_get_u64("timeout", 0), most = UINT32_MAX,
		       limit = (seconds < most ? seconds : most) * SEC;
	const uint64_t own = t->test->timeout ? t->test->timeout : TEST_TIMEOUT_DEFAULT;
	/* After a reset that the test asked for, its needs count as met: the test says itself what is gone. */
	const char *why = t->step ? NULL : unmet(t->test->needs);
	uint64_t before, after;
	unsigned int busy;

	if (why) {
		t->verdict = V_SKIP;
		snprintf(t->reason, sizeof(t->reason), "%s", why);
		return;
	}
	running = t;
	before = mem_free_bytes() + mem_kept_bytes();
	if (set_up(t))
		run_body(t, limit ? limit : own * time_slow());
	/* A CPU that still works uses this test's stack and memory that is freed now, so it is stopped first. */
	busy = smp_reclaim();
	tear_down(t);
	check_left(t);
	if (busy && t->verdict == V_PASS)
		error_reason(t, "it leaves other CPUs at work", "");
	after = mem_free_bytes() + mem_kept_bytes();
	if (t->verdict == V_PASS && after < before) {
		snprintf(t->reason, sizeof(t->reason), "leaks %llu bytes of pages",
			 (unsigned long long)(before - after));
		t->verdict = V_ERROR;
	}
}

static void report(struct test_ctx *t, unsigned int number)
{
	static const char *const directive[] = { "", "", " # SKIP ", " # ERROR ", " # TIMEOUT " };
	const bool ok = t->verdict == V_PASS || t->verdict == V_SKIP;

	if (t->diags > MAX_DIAGS)
		printf(KTAP_INDENT "# %u more lines left out\n", t->diags - MAX_DIAGS);
	if (!ok) {
		printf(KTAP_INDENT "# clause: %s\n", t->test->clause);
		printf(KTAP_INDENT "# owner: %s\n", t->test->owner ? t->test->owner : "not known");
	}
	sanitize(t->reason);
	printf(KTAP_INDENT "%s %u %s%s%s\n", ok ? "ok" : "not ok", number, t->test->id,
	       directive[t->verdict], t->verdict >= V_SKIP ? t->reason : "");
}

static enum verdict run_one(const struct test *test, unsigned int number, uint64_t seed,
			    unsigned int round)
{
	const struct reboot_record *r = reboot_record();
	struct test_ctx t = { .test = test };

	t.random = hash(test->id, seed + round);
	if (r) { /* it asked for the reset: the report goes on */
		t.checks = r->checks;
		t.failures = r->failures;
		t.step = r->step;
		t.value = r->value;
		reboot_resumed();
	} else {
		printf(KTAP_INDENT "# start %s\n", test->id);
	}
	run(&t);
	report(&t, number);
	return t.verdict;
}

/* --- selection and order ----------------------------------------------------------------- */

struct order {
	const struct test *test;
	uint64_t key;
};

static size_t suite_len(const char *id)
{
	return strcspn(id, ".");
}

static bool runs_last(const struct test *t)
{
	const struct test_fixture *f;

	for (f = start_assay_fixtures; f < stop_assay_fixtures; f++)
		if (f->last && applies(f, t))
			return true;
	return false;
}

static int compare(const void *a, const void *b)
{
	const struct order *x = a, *y = b;
	const size_t nx = suite_len(x->test->id), ny = suite_len(y->test->id);
	const size_t n = nx < ny ? nx : ny;
	int c = runs_last(x->test) - runs_last(y->test);

	if (c)
		return c;
	c = memcmp(x->test->id, y->test->id, n);
	/* The tests of a suite stay together when they are shuffled, too. */
	if (c == 0 && nx != ny)
		c = nx < ny ? -1 : 1;
	if (c)
		return c;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return strcmp(x->test->id, y->test->id);
}

/* Benchmarks print numbers and take time: they run only when named. */
static bool by_default(const char *list, const char *id)
{
	if (strncmp(id, "bench.", 6) != 0)
		return true;
	for (; list && (list = strchr(list, 'b')); list++)
		if (strncmp(list, "bench", 5) == 0)
			return true;
	return false;
}

static bool check_patterns(const char *list)
{
	const struct test *t;
	size_t n;
	bool all = true;

	for (; list && *list; list += n + (list[n] == ',')) {
		const char *p = list;
		size_t len;

		n = strcspn(list, ",");
		len = n;
		if (len && *p == '-') {
			p++;
			len--;
		}
		for (t = start_assay_tests; t < stop_assay_tests; t++)
			if (glob_selects(p, len, t->id))
				break;
		if (t == stop_assay_tests && n) {
			printf("Bail out! no test matches \"%.*s\"\n", (int)n, list);
			all = false;
		}
	}
	return all;
}

static unsigned int select_tests(struct order *o, uint64_t seed)
{
	const char *list = cmdline_get("tests"), *after = cmdline_get("after");
	const struct test *t;
	unsigned int n = 0, i;

	for (t = start_assay_tests; t < stop_assay_tests; t++) {
		if (!glob_list_selects(list, t->id) || !by_default(list, t->id))
			continue;
		o[n].test = t;
		o[n++].key = seed ? hash(t->id, seed) : 0;
	}
	qsort(o, n, sizeof(*o), compare);
	for (i = 0; after && i < n; i++) {
		if (strcmp(o[i].test->id, after) != 0)
			continue;
		memmove(o, o + i + 1, (n - i - 1) * sizeof(*o));
		return n - i - 1;
	}
	return n;
}

static bool same_suite(const struct order *a, const struct order *b)
{
	const size_t n = suite_len(a->test->id);

	return n == suite_len(b->test->id) && memcmp(a->test->id, b->test->id, n) == 0;
}

static void count(struct test_totals *sum, enum verdict v)
{
	sum->pass += v == V_PASS;
	sum->fail += v == V_FAIL || v == V_TIMEOUT;
	sum->skip += v == V_SKIP;
	sum->error += v == V_ERROR;
}

/* Whether the report has this test's result already, from before a reset. At the first test without one, the counts
 * are restored. */
static bool reported(struct test_totals *sum, struct test_totals *suite)
{
	const struct reboot_record *r = reboot_record();

	if (!r)
		return false;
	if (progress.results < r->tests)
		return true;
	*suite = unpack(r->suite);
	*sum = unpack(r->sum);
	return false;
}

static void add(struct test_totals *sum, const struct test_totals *x)
{
	sum->pass += x->pass;
	sum->fail += x->fail;
	sum->skip += x->skip;
	sum->error += x->error;
}

/* The harness boots again and goes on behind the last verdict, as after a hang. Without a harness the run goes on. */
static void end_for_reboot(void)
{
	if (cmdline_get_bool("reboots", false)) {
		printf(KTAP_INDENT KTAP_AGAIN "%s\n", reboot_wanted);
		fflush(stdout);
		reboot_end();
		arch_end(END_ERROR, cmdline_get("exit"));
	}
	reboot_wanted[0] = '\0';
}

/* Runs o[0..n), one suite, and adds to *sum. */
static void run_suite(const struct order *o, unsigned int n, unsigned int suite, uint64_t seed,
		      unsigned int repeat, struct test_totals *sum)
{
	const int len = (int)suite_len(o->test->id);
	struct test_totals mine = { 0 };
	unsigned int i, r, number = 0;

	printf(KTAP_INDENT "KTAP version 1\n" KTAP_INDENT "# Subtest: %.*s\n" KTAP_INDENT "1..%u\n",
	       len, o->test->id, n * repeat);
	progress.sum = sum;
	progress.suite = &mine;
	for (r = 0; r < repeat; r++)
		for (i = 0; i < n; i++, progress.results++) {
			number++;
			if (!reported(sum, &mine))
				count(&mine, run_one(o[i].test, number, seed, r));
			if (reboot_wanted[0])
				end_for_reboot();
		}
	printf("%s %u %.*s%s\n", mine.fail || mine.error ? "not ok" : "ok", suite, len, o->test->id,
	       mine.skip == n * repeat ? " # SKIP all tests skipped" : "");
	add(sum, &mine);
}

static void list_tests(const struct order *o, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		printf("# test %s: %s\n", o[i].test->id, o[i].test->clause);
}

struct test_totals test_run_all(void)
{
	const size_t max = (size_t)(stop_assay_tests - start_assay_tests);
	const uint64_t seed = cmdline_get_u64("shuffle", 0);
	const unsigned int repeat = (unsigned int)cmdline_get_u64("repeat", 1);
	struct order *o = calloc(max + 1, sizeof(*o));
	struct test_totals sum = { 0 };
	unsigned int n, i, k, suites = 0;

	if (!o || !check_patterns(cmdline_get("tests"))) {
		sum.error = 1;
		goto out;
	}
	n = select_tests(o, seed);
	if (cmdline_get_bool("list", false)) {
		list_tests(o, n);
		goto out;
	}
	for (i = 0; i < n; i++)
		suites += i == 0 || !same_suite(&o[i - 1], &o[i]);
	printf("1..%u\n", suites);
	for (i = 0, suites = 0; i < n; i += k) {
		for (k = 1; i + k < n && same_suite(&o[i], &o[i + k]); k++)
			;
		run_suite(o + i, k, ++suites, seed, repeat ? repeat : 1, &sum);
	}
	printf("# Totals: pass:%u fail:%u xfail:0 xpass:0 skip:%u error:%u\n", sum.pass, sum.fail,
	       sum.skip, sum.error);
out:
	free(o);
	return sum;
}
