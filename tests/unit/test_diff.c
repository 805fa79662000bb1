/* SPDX-License-Identifier: BSD-2-Clause */
/* What changed between two reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/cli/diff.h"
#include "host/cli/select.h"

static struct report make(const char *const *ids, const enum verdict *v)
{
	struct report r;

	report_init(&r);
	r.started = r.ended = true;
	for (; *ids; ids++, v++)
		report_add(&r, *ids, *v, "why");
	return r;
}

/* True: a regression; the text has this. */
static bool change(enum verdict a, enum verdict b, const char *text)
{
	const char *const ids[] = { "s.t", NULL };
	struct report old = make(ids, &a), new = make(ids, &b);
	struct sbuf out = { 0 };
	const bool regression = diff_reports(&old, &new, NULL, &out) == 1;

	assert_non_null(strstr(out.s, text));
	sbuf_free(&out);
	report_free(&old);
	report_free(&new);
	return regression;
}

static void each(void **state)
{
	unsigned int v;

	(void)state;
	for (v = 0; v < VERDICTS; v++)
		assert_false(change(v, v, "0 regressions, 0 fixed, 0 changed"));
	assert_true(change(V_PASS, V_FAIL, "FAIL now"));
	assert_true(change(V_SKIP, V_FAIL, "FAIL now"));
	assert_true(change(V_ERROR, V_FAIL, "FAIL now"));
	assert_true(change(V_XFAIL, V_FAIL, "FAIL now"));
	assert_true(change(V_PASS, V_ERROR, "ERROR now"));
	assert_false(change(V_FAIL, V_ERROR, "Changed otherwise"));
	assert_true(change(V_PASS, V_SKIP, "skipped now"));
	assert_true(change(V_XPASS, V_SKIP, "skipped now"));
	assert_false(change(V_XFAIL, V_SKIP, "Changed otherwise"));
	assert_false(change(V_PASS, V_XFAIL, "Known to fail now"));
	assert_false(change(V_FAIL, V_PASS, "Fixed"));
	assert_false(change(V_ERROR, V_PASS, "Fixed"));
	assert_false(change(V_XFAIL, V_XPASS, "Fixed"));
	assert_false(change(V_FAIL, V_SKIP, "Changed otherwise"));
}

static void many(void **state)
{
	const char *const old_ids[] = { "a.fixed", "a.gone",  "a.fails", "a.same",
					"a.twice", "a.twice", NULL };
	const enum verdict old_v[] = { V_FAIL, V_PASS, V_PASS, V_PASS, V_PASS, V_PASS };
	const char *const new_ids[] = { "a.new",   "a.fixed", "a.same", "a.fails",
					"a.twice", "a.twice", "a.bad",	NULL };
	const enum verdict new_v[] = { V_PASS, V_PASS, V_PASS, V_FAIL, V_PASS, V_FAIL, V_FAIL };
	struct report old = make(old_ids, old_v), new = make(new_ids, new_v);
	struct sbuf out = { 0 };
	const char *fails, *gone, *added, *fixed;

	(void)state;
	assert_int_equal(diff_reports(&old, &new, NULL, &out), 1);
	fails = strstr(out.s, "a.fails");
	gone = strstr(out.s, "a.gone");
	added = strstr(out.s, "a.new");
	fixed = strstr(out.s, "a.fixed");
	assert_non_null(fails);
	assert_true(fails < gone && gone < added && added < fixed); /* by severity */
	assert_null(strstr(out.s, "a.same"));
	assert_non_null(
		strstr(out.s, "PASS    -> FAIL 1/2  a.twice")); /* of repetitions the worst */
	assert_non_null(strstr(out.s, "absent  -> FAIL     a.bad"));
	assert_non_null(strstr(
		out.s, "4 regressions, 1 fixed, 1 changed otherwise (6 results before, 7 now)"));
	sbuf_free(&out);
	new.ended = false;
	assert_int_equal(diff_reports(&old, &new, NULL, &out), 1);
	assert_non_null(strstr(out.s, "incomplete"));
	sbuf_free(&out);
	report_free(&old);
	report_free(&new);
}

static void nothing(void **state)
{
	struct report old, new;
	struct sbuf out = { 0 };

	(void)state;
	report_init(&old);
	report_init(&new);
	old.ended = new.ended = true;
	assert_int_equal(diff_reports(&old, &new, NULL, &out), 0);
	assert_string_equal(
		out.s, "0 regressions, 0 fixed, 0 changed otherwise (0 results before, 0 now)\n");
	sbuf_free(&out);
}

/* The status of a comparison with a test that the new report does not have. */
static int gone(const char *selected, const char *shard, const char *tests)
{
	const char *const old_ids[] = { "a.here", "a.gone", NULL }, *const new_ids[] = { "a.here",
											 NULL };
	const enum verdict v[] = { V_PASS, V_PASS };
	struct report old = make(old_ids, v), new = make(new_ids, v);
	struct sbuf out = { 0 };
	int status;

	if (selected)
		report_meta_set(&new, "selected", selected);
	if (shard)
		report_meta_set(&new, "shard", shard);
	status = diff_reports(&old, &new, tests, &out);
	if (!status && !tests)
		assert_non_null(strstr(out.s, "1 test of the old report was not selected now"));
	sbuf_free(&out);
	report_free(&old);
	report_free(&new);
	return status;
}

static void selection(void **state)
{
	char shard[16];

	(void)state;
	assert_int_equal(gone(NULL, NULL, NULL), 1);
	assert_int_equal(gone("all", NULL, NULL), 1);
	assert_int_equal(gone("a", NULL, NULL), 1);
	assert_int_equal(gone("a.here", NULL, NULL), 0);
	assert_int_equal(gone("a,-a.gone", NULL, NULL), 0);
	snprintf(shard, sizeof(shard), "%u/50", shard_of("a.gone", 50));
	assert_int_equal(gone("all", shard, NULL), 1);
	snprintf(shard, sizeof(shard), "%u/50", shard_of("a.gone", 50) % 50 + 1);
	assert_int_equal(gone("all", shard, NULL), 0);
	assert_int_equal(gone(NULL, NULL, "a.here"), 0); /* --tests */
	assert_int_equal(gone(NULL, NULL, "a"), 1);
	assert_int_equal(gone(NULL, NULL, "-a.gone"), 0);
}

/* What is not all there is no proof of anything. */
static void incomplete(void **state)
{
	const char *const ids[] = { "s.t", NULL };
	const enum verdict v[] = { V_PASS };
	struct sbuf out = { 0 };
	struct report a, b;
	int which;

	(void)state;
	for (which = 0; which < 2; which++) {
		a = make(ids, v);
		b = make(ids, v);
		report_cut(which ? &a : &b, "interrupted");
		assert_int_equal(diff_reports(&a, &b, NULL, &out), 3);
		assert_non_null(strstr(out.s, which ? "the old report is incomplete: interrupted" :
						      "the new report is incomplete: interrupted"));
		sbuf_free(&out);
		report_free(&a);
		report_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each),	      cmocka_unit_test(many),
		cmocka_unit_test(nothing),    cmocka_unit_test(selection),
		cmocka_unit_test(incomplete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
