/* SPDX-License-Identifier: BSD-2-Clause */
/* Known deviations, the split into shards, and what must not be skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "host/cli/deviations.h"
#include "host/cli/select.h"

static void parsed(void **state)
{
	struct deviations k;
	unsigned int line;

	(void)state;
	assert_int_equal(deviations_parse("", &k, &line), 0);
	assert_int_equal(k.n, 0);
	assert_int_equal(deviations_parse("# c\n\n  a.b\t reason  https://x \r\nvsock.* all of it",
					  &k, &line),
			 0);
	assert_int_equal(k.n, 2);
	assert_string_equal(k.v[0].glob, "a.b");
	assert_string_equal(k.v[0].reason, "reason  https://x");
	assert_string_equal(k.v[1].glob, "vsock.*");
	assert_string_equal(k.v[1].reason, "all of it");
	deviations_free(&k);
	assert_int_equal(deviations_parse("a.b why\na.c\n", &k, &line), -EBADMSG);
	assert_int_equal(line, 2);
	assert_int_equal(k.n, 0);
	assert_int_equal(deviations_parse("a.c  \t\r\n", &k, &line), -EBADMSG);
	assert_int_equal(deviations_read("/no/such/file", &k, &line), -ENOENT);
	assert_int_equal(deviations_parse("a.b at-times why\na.c at-timesx why\n", &k, &line), 0);
	assert_true(k.v[0].at_times);
	assert_string_equal(k.v[0].reason, "why");
	assert_false(k.v[1].at_times);
	assert_string_equal(k.v[1].reason, "at-timesx why");
	deviations_free(&k);
	assert_int_equal(deviations_parse("a.b at-times\n", &k, &line), -EBADMSG);
	assert_int_equal(deviations_parse("a.b says=\"x\"\n", &k, &line), -EBADMSG);
}

static enum verdict apply(const struct deviations *k, const char *id, enum verdict v,
			  const char *reason)
{
	struct report r;
	enum verdict now;

	report_init(&r);
	report_add(&r, id, v, "seen")->timeout = v == V_FAIL;
	deviations_apply(k, &r.results[0]);
	now = r.results[0].verdict;
	assert_string_equal(r.results[0].reason, reason);
	assert_int_equal(r.results[0].timeout, now == V_FAIL);
	if (now != v) /* what was seen is not lost */
		assert_true(strv_has(&r.results[0].diag, "seen"));
	report_free(&r);
	return now;
}

static void applied(void **state)
{
	struct deviations k;
	unsigned int line;

	(void)state;
	assert_int_equal(deviations_parse("a.b one\na.* two\nc.d three", &k, &line), 0);
	assert_int_equal(apply(&k, "a.b", V_FAIL, "one"), V_XFAIL);
	assert_int_equal(apply(&k, "a.x", V_FAIL, "two"), V_XFAIL);
	assert_int_equal(apply(&k, "a.b", V_PASS, "one"), V_XPASS);
	assert_int_equal(apply(&k, "a.b", V_SKIP, "seen"), V_SKIP);
	assert_int_equal(apply(&k, "a.b", V_ERROR, "seen"),
			 V_ERROR); /* a test that did not work is not known */
	assert_int_equal(apply(&k, "c.d.e", V_FAIL, "three"), V_XFAIL); /* all below it */
	assert_int_equal(apply(&k, "c.de", V_FAIL, "seen"), V_FAIL);
	deviations_free(&k);
}

/* One that is known by its words is none where the test fails of something else. */
static void by_words(void **state)
{
	struct deviations k;
	unsigned int line;

	(void)state;
	assert_int_equal(deviations_parse("a.* says=\"ee\" why\nb.* says=\"other words\" why", &k,
					  &line),
			 0);
	assert_int_equal(apply(&k, "a.b", V_FAIL, "why"), V_XFAIL);
	assert_int_equal(apply(&k, "a.b", V_PASS, "seen"), V_PASS);
	assert_int_equal(apply(&k, "b.b", V_FAIL, "seen"), V_FAIL);
	deviations_free(&k);
}

/* A deviation that shows at times is none where it does not. */
static void at_times(void **state)
{
	struct deviations k;
	unsigned int line;

	(void)state;
	assert_int_equal(deviations_parse("a.b at-times why", &k, &line), 0);
	assert_int_equal(apply(&k, "a.b", V_FAIL, "why"), V_XFAIL);
	assert_int_equal(apply(&k, "a.b", V_PASS, "seen"), V_PASS);
	deviations_free(&k);
}

static void fits(void **state)
{
	static const char *const ids[] = { "a.b.c", "a.d" };
	static const struct {
		const char *glob;
		bool fits;
	} cases[] = { { "a.b", true },	       { "a.*", true },
		      { "a.x", false },	       { "host.refdev.alive", true },
		      { "harness.end", true }, { "hosts.x", false } };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct deviations d = { 0 };

		deviations_add(&d, cases[i].glob, "why", false);
		assert_int_equal(deviation_fits(&d.v[0], ids, ARRAY_SIZE(ids)), cases[i].fits);
		deviations_free(&d);
	}
}

/* What a host must offer fails where it is skipped, or absent; the rest may be. */
static void required(void **state)
{
	static const char require[] = "a.b,c,-c.may";
	struct strv ids = { 0 };
	struct report r;

	(void)state;
	report_init(&r);
	report_add(&r, "a.b", V_SKIP, "no such device");
	report_add(&r, "c.may", V_SKIP, "not here");
	report_add(&r, "c.x", V_PASS, NULL);
	report_add(&r, "c.y", V_ERROR, "no peer");
	report_add(&r, "d.e", V_SKIP, "not here");
	strv_add(&ids, "a.b");
	strv_add(&ids, "c.absent");
	strv_add(&ids, "d.absent");
	r.ended = true;
	require_all(NULL, &ids, &r);
	assert_int_equal(report_counts(&r).by[V_FAIL], 0);
	require_all(require, &ids, &r);
	assert_int_equal(r.n, 6);
	assert_int_equal(r.results[0].verdict, V_FAIL);
	assert_string_equal(r.results[0].reason, "required, but skipped: no such device");
	assert_int_equal(r.results[1].verdict, V_SKIP);
	assert_int_equal(r.results[2].verdict, V_PASS);
	assert_int_equal(r.results[3].verdict, V_ERROR);
	assert_int_equal(r.results[4].verdict, V_SKIP);
	assert_string_equal(r.results[5].id, "c.absent");
	assert_int_equal(r.results[5].verdict, V_FAIL);
	assert_string_equal(r.results[5].reason, "required, but it did not run");
	assert_int_equal(report_status(&r), 1);
	/* What one list leaves out another one may want. */
	r.results[1].verdict = V_SKIP;
	require_result("c,-c.may;c.may", &r.results[1]);
	assert_int_equal(r.results[1].verdict, V_FAIL);
	assert_true(check_required(&ids, "a,-x,c.absent"));
	assert_false(check_required(&ids, "a,x"));
	strv_free(&ids);
	report_free(&r);
}

static void selected(void **state)
{
	(void)state;
	assert_true(selects(NULL, "a.b"));
	assert_false(selects(NULL, "bench.vsock.connect"));
	assert_false(selects("-a.b", "bench.vsock.connect"));
	assert_true(selects("bench", "bench.vsock.connect"));
	assert_false(selects("a,-a.b", "a.b.c"));
}

static void shards(void **state)
{
	char id[64];
	unsigned int n, i;

	(void)state;
	/* An interface between machines: these never change. */
	assert_int_equal(shard_of("vsock.stream.echo", 1), 1);
	assert_int_equal(shard_of("vsock.stream.echo", 4), 2);
	assert_int_equal(shard_of("boot.trap.instructions", 7), 1);
	assert_int_equal(shard_of("virtio.ring.sizes", 3), 2);
	for (n = 1; n <= 16; n++) {
		unsigned int count[17] = { 0 };

		for (i = 0; i < 1000; i++) {
			snprintf(id, sizeof(id), "suite.subject.name_%u", i);
			assert_in_range(shard_of(id, n), 1, n);
			count[shard_of(id, n)]++;
		}
		for (i = 1; i <= n; i++) /* none is empty, none has far more than its share */
			assert_in_range(count[i], 1000 / n / 2, 1000 / n * 2);
	}
}

static void lists(void **state)
{
	struct image_test v[] = {
		{ .id = (char[]){ "a.b.one" } },
		{ .id = (char[]){ "a.b.two" } },
		{ .id = (char[]){ "a.c.one" } },
		{ .id = (char[]){ "ab.c" } },
	};
	const struct image_tests all = { .v = v, .n = ARRAY_SIZE(v) };
	static const struct {
		const char *ids[5], *list;
	} cases[] = {
		{ { "a.b.one" }, "a.b.one" },
		{ { "a.b.one", "a.b.two" }, "a.b" },
		{ { "a.b.one", "a.b.two", "a.c.one" }, "a" },
		{ { "a.b.two", "a.c.one", "ab.c" }, "a.b.two,a.c,ab" },
		{ { "a.b.one", "a.b.two", "a.c.one", "ab.c" }, "a,ab" },
	};
	size_t i, k;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct strv ids = { 0 };
		char *list;

		for (k = 0; cases[i].ids[k]; k++)
			strv_add(&ids, cases[i].ids[k]);
		list = tests_list(&all, &ids);
		assert_string_equal(list, cases[i].list);
		free(list);
		strv_free(&ids);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parsed),   cmocka_unit_test(applied), cmocka_unit_test(at_times),
		cmocka_unit_test(by_words), cmocka_unit_test(fits),    cmocka_unit_test(required),
		cmocka_unit_test(selected), cmocka_unit_test(shards),  cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
