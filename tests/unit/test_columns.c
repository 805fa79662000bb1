/* SPDX-License-Identifier: BSD-2-Clause */
/* Reports of several hosts, and what other programs are given of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "host/cli/columns.h"
#include "host/cli/output.h"

static struct report make(const char *host, enum verdict v)
{
	struct report r;

	report_init(&r);
	r.started = r.ended = true;
	report_meta_set(&r, "host", host);
	report_meta_set(&r, "machine", "q35");
	report_add(&r, "s.a", V_PASS, NULL)->ms = 1500;
	report_add(&r, "s.b", v, "why")->clause = xstrdup("<C>");
	return r;
}

static void add(struct columns *c, const char *host, enum verdict v, const char *key,
		const char *value)
{
	struct report r = make(host, v);

	if (key)
		report_meta_set(&r, key, value);
	columns_add(c, &r);
}

/* A SKIP of one host says nothing of another one. */
static void hosts(void **state)
{
	struct columns c = { 0 };
	struct sbuf b = { 0 };

	(void)state;
	add(&c, "one", V_PASS, NULL, NULL);
	add(&c, "two", V_SKIP, NULL, NULL);
	add(&c, "one", V_FAIL, NULL, NULL); /* the same host again: the worst stays */
	columns_finish(&c);
	assert_int_equal(c.n, 2);
	assert_string_equal(c.v[0].name, "one");
	assert_int_equal(c.v[0].report.results[1].verdict, V_FAIL);
	assert_int_equal(c.v[1].report.results[1].verdict, V_SKIP);
	assert_int_equal(columns_status(&c), 1);
	columns_to_html(&c, &b);
	assert_non_null(strstr(b.s, "<th>one</th><th>two</th>"));
	assert_non_null(
		strstr(b.s, "<td><code>s.b</code></td><td class=\"v FAIL\" title=\"why\">FAIL</td>"
			    "<td class=\"v SKIP\" title=\"why\">SKIP</td>"));
	sbuf_free(&b);
	columns_to_junit(&c, &b);
	assert_non_null(strstr(b.s,
			       "<testsuites name=\"assay\" tests=\"4\" failures=\"1\" errors=\"0\" "
			       "skipped=\"1\">"));
	assert_non_null(strstr(b.s, "<testsuite name=\"one.s\" tests=\"2\""));
	assert_non_null(strstr(b.s, "<property name=\"host\" value=\"two\"/>"));
	assert_non_null(strstr(b.s, "clause: &lt;C&gt;"));
	sbuf_free(&b);
	columns_free(&c);
}

/* Names say what differs, and no more. */
static void names(void **state)
{
	struct columns c = { 0 };

	(void)state;
	add(&c, "ref", V_PASS, "vmm", "QEMU 7.2");
	add(&c, "ref", V_PASS, "vmm", "QEMU 11.1");
	add(&c, "other", V_PASS, NULL, NULL);
	columns_finish(&c);
	assert_int_equal(c.n, 3);
	assert_string_equal(c.v[0].name, "ref QEMU 7.2");
	assert_string_equal(c.v[1].name, "ref QEMU 11.1");
	columns_free(&c);
}

static void incomplete(void **state)
{
	struct columns c = { 0 };
	struct sbuf b = { 0 };

	(void)state;
	add(&c, "one", V_PASS, "shard", "1/3");
	add(&c, "one", V_PASS, "shard", "3/3");
	add(&c, "one", V_PASS, "fault", "f");
	columns_finish(&c);
	assert_int_equal(c.n, 2);
	assert_int_equal(columns_status(&c), 3);
	columns_to_junit(&c, &b);
	assert_non_null(strstr(b.s, "errors=\"1\""));
	assert_non_null(strstr(b.s, "the report is incomplete: shard 2/3 is missing"));
	sbuf_free(&b);
	columns_to_html(&c, &b);
	assert_non_null(strstr(b.s, "The report is incomplete: shard 2/3 is missing"));
	sbuf_free(&b);
	columns_to_json(&c, &b);
	assert_non_null(strstr(b.s, "shard 2/3 is missing"));
	sbuf_free(&b);
	columns_free(&c);
	assert_int_equal(columns_status(&c), 3); /* no report at all */
}

/* What was written is read again, of one host and of several. */
static void json(void **state)
{
	struct report a = make("one", V_FAIL), *v;
	struct columns c = { 0 };
	struct sbuf b = { 0 }, again = { 0 };
	const char *why;
	size_t n;

	(void)state;
	a.results[1].timeout = true;
	strv_add(&a.results[1].diag, "a \"quote\" \\ and \033[31m");
	report_note(&a, "a note");
	report_to_json(&a, &b);
	assert_null(strchr(b.s, '\033'));
	assert_int_equal(reports_from_json(b.s, b.len, &v, &n, &why), 0);
	assert_int_equal(n, 1);
	assert_true(v[0].ended && v[0].results[1].timeout);
	assert_int_equal(v[0].results[0].ms, 1500);
	assert_string_equal(report_meta(&v[0], "host"), "one");
	report_to_json(&v[0], &again);
	assert_string_equal(b.s, again.s);
	report_cut(&v[0], "interrupted");
	sbuf_free(&b);
	sbuf_free(&again);
	columns_add(&c, &a);
	columns_add(&c, &v[0]);
	free(v);
	add(&c, "two", V_PASS, NULL, NULL);
	columns_finish(&c);
	columns_to_json(&c, &b);
	assert_int_equal(reports_from_json(b.s, b.len, &v, &n, &why), 0);
	assert_int_equal(n, 2);
	assert_false(v[0].ended); /* an incomplete report stays one */
	assert_int_equal(report_status(&v[0]), 3);
	assert_int_equal(report_status(&v[1]), 0);
	report_free(&v[0]);
	report_free(&v[1]);
	free(v);
	sbuf_free(&b);
	columns_free(&c);
}

static void damaged(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"format\": 2}",
		"{\"format\": 3, \"results\": []}",
		"{\"format\": 2, \"hosts\": []}",
		"{\"format\": 2, \"hosts\": [1]}",
		"{\"format\": 2, \"results\": [{\"id\": \"a.b\"}]}",
		"{\"format\": 2, \"results\": [{\"id\": \"a.b\", \"verdict\": \"GOOD\"}]}",
		"{\"format\": 2, \"results\": [{\"id\": \"a b\", \"verdict\": \"PASS\"}]}",
		"{\"format\": 2, \"results\": [7]}",
	};
	struct report *v;
	const char *why;
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(reports_from_json(texts[i], strlen(texts[i]), &v, &n, &why),
				 -EBADMSG);
		assert_non_null(why);
		assert_null(v);
	}
	/* What does not say that it is complete is not. */
	assert_int_equal(reports_from_json("{\"format\": 2, \"results\": []}", 28, &v, &n, &why),
			 0);
	assert_int_equal(report_status(&v[0]), 3);
	report_free(&v[0]);
	free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts), cmocka_unit_test(names),   cmocka_unit_test(incomplete),
		cmocka_unit_test(json),	 cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
