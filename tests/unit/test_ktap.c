/* SPDX-License-Identifier: BSD-2-Clause */
/* The reader, the writer and the merger of reports, over what a payload prints and what it should not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/common/ktap.h"

#define HEAD                                                                                       \
	"KTAP version 1\n# assay 1 boot=pvh\n# env cpu: a\n# env memory: b\n"                      \
	"1..1\n    KTAP version 1\n    # Subtest: a\n"
#define PASS(n, id) "    # start " id "\n    ok " #n " " id "\n"
#define TAIL(pass)  "# Totals: pass:" #pass " fail:0 xfail:0 xpass:0 skip:0 error:0\n# end\n"

static void read_n(struct report *r, const char *text, size_t n, size_t step)
{
	struct ktap k;
	size_t i;

	report_init(r);
	ktap_init(&k, r, NULL, NULL);
	for (i = 0; i < n; i += step)
		ktap_feed(&k, text + i, n - i < step ? n - i : step);
	ktap_finish(&k, true);
	ktap_free(&k);
}

static void read_text(struct report *r, const char *text)
{
	read_n(r, text, strlen(text), strlen(text) + 1);
}

static void good(void **state)
{
	static const char text[] = "firmware talks\n" HEAD "    1..2\n" PASS(1, "a.b.c")
		PASS(2, "a.d") "ok 1 a\n" TAIL(2);
	const size_t steps[] = { 1, 7, sizeof(text) };
	struct report r;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		read_n(&r, text, sizeof(text) - 1, steps[i]);
		assert_true(r.started && r.ended);
		assert_int_equal(r.nproblems, 0);
		assert_int_equal(r.garbage, 0);
		assert_int_equal(r.n, 2);
		assert_string_equal(r.results[0].id, "a.b.c");
		assert_int_equal(r.results[1].verdict, V_PASS);
		assert_string_equal(r.version, "1");
		assert_string_equal(r.boot, "pvh");
		assert_int_equal(r.envs, 2);
		assert_string_equal(r.env[1].value, "b");
		assert_int_equal(report_status(&r), 0);
		report_free(&r);
	}
}

static void line_ends(void **state)
{
	struct report r;

	(void)state;
	read_text(
		&r,
		"\033[2J\033[HKTAP version 1\r\n1..1\r\n    # Subtest: a\r\r\n    1..1\r\n    # start a.b\r\n"
		"    ok 1 a.b\r\nok 1 a\r\n# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\r\n# end");
	assert_true(r.ended);
	assert_int_equal(r.nproblems, 0);
	assert_int_equal(r.n, 1);
	report_free(&r);
}

static void verdicts(void **state)
{
	static const struct {
		const char *line;
		enum verdict verdict;
		bool timeout;
		const char *reason;
	} cases[] = {
		{ "ok 1 a.b", V_PASS, false, NULL },
		{ "ok 1 - a.b", V_PASS, false, NULL },
		{ "not ok 1 a.b", V_FAIL, false, NULL },
		{ "ok 1 a.b # SKIP no such thing", V_SKIP, false, "no such thing" },
		{ "ok 1 a.b # skip", V_SKIP, false, NULL },
		{ "not ok 1 a.b # ERROR peer # gone", V_ERROR, false, "peer # gone" },
		{ "not ok 1 a.b # TIMEOUT after 1 ms", V_FAIL, true, "after 1 ms" },
		{ "ok 1 a.b # XFAIL known", V_XFAIL, false, "known" },
		{ "ok 1 a.b # XPASS known", V_XPASS, false, "known" },
	};
	char text[512];
	struct report r;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const bool bad = cases[i].verdict == V_FAIL || cases[i].verdict == V_ERROR;

		snprintf(
			text, sizeof(text),
			HEAD
			"    1..1\n    # start a.b\n    # said\n    # clause: C 1\n    # owner: O\n    %s\n%sok 1 a\n"
			"# Totals: pass:%d fail:%d xfail:%d xpass:%d skip:%d error:%d\n# end\n",
			cases[i].line, bad ? "not " : "", cases[i].verdict == V_PASS,
			cases[i].verdict == V_FAIL, cases[i].verdict == V_XFAIL,
			cases[i].verdict == V_XPASS, cases[i].verdict == V_SKIP,
			cases[i].verdict == V_ERROR);
		read_text(&r, text);
		assert_int_equal(r.nproblems, 0);
		assert_int_equal(r.n, 1);
		assert_int_equal(r.results[0].verdict, cases[i].verdict);
		assert_int_equal(r.results[0].timeout, cases[i].timeout);
		if (cases[i].reason)
			assert_string_equal(r.results[0].reason, cases[i].reason);
		else
			assert_null(r.results[0].reason);
		assert_string_equal(r.results[0].clause, "C 1");
		assert_string_equal(r.results[0].owner, "O");
		assert_int_equal(r.results[0].diag.n, 1);
		report_free(&r);
	}
}

/* Each breaks one rule: it is noticed, what was right stays. */
static void broken(void **state)
{
	static const char *const texts[] = {
		HEAD "    1..3\n" PASS(1, "a.b") PASS(2, "a.c") "ok 1 a\n" TAIL(2), /* the plan */
		HEAD "    1..2\n" PASS(1, "a.b") PASS(3, "a.c") "ok 1 a\n" TAIL(2), /* a number */
		HEAD "    1..2\n" PASS(1, "a.b")
			PASS(2, "a.c") "not ok 1 a\n" TAIL(2),			    /* the suite */
		HEAD "    1..2\n" PASS(1, "a.b") PASS(2, "a.c") "ok 1 a\n" TAIL(7), /* totals */
		HEAD "    1..2\n" PASS(1, "a.b") PASS(2, "a.c") "ok 1 a\n# end\n",  /* none */
		HEAD "    1..2\n" PASS(1, "a.b")
			PASS(2, "a.c") "ok 2 a\n" TAIL(2), /* suite's number */
		HEAD "    1..2\n" PASS(1, "a.b")
			PASS(2, "z.c") "ok 1 a\n" TAIL(2), /* another suite's */
		HEAD "    1..2\n" PASS(1, "a.b") "    ok 2 a.c\nok 1 a\n" TAIL(2), /* no start */
		HEAD "    1..2\n" PASS(1, "a.b") PASS(2, "a.c") TAIL(2),    /* an open suite */
		HEAD "    1..2\n" PASS(1, "a.b") PASS(2, "a.c") "ok 1 a\n", /* no end */
		HEAD
		"    1..2\n" PASS(1, "a.b") "    # start a.c\n    ok 2 a.c # HUH\nok 1 a\n" TAIL(2),
		HEAD "    1..2\n" PASS(
			1, "a.b") "    # start a.c\n    not ok 2 a.c # SKIP x\nok 1 a\n" TAIL(2),
		HEAD PASS(1, "a.b") PASS(2, "a.c") "ok 1 a\n" TAIL(2), /* no plan */
		HEAD "    1..2\n    1..2\n" PASS(1, "a.b") PASS(2, "a.c") "ok 1 a\n" TAIL(2),
	};
	struct report r;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		read_text(&r, texts[i]);
		if (!r.nproblems)
			print_error("case %zu\n", i);
		assert_true(r.nproblems > 0);
		assert_true(r.n >= 2);
		assert_string_equal(r.results[0].id, "a.b");
		assert_int_equal(r.results[0].verdict, V_PASS);
		report_judge(&r);
		assert_string_equal(r.results[r.n - 1].id, "harness.report");
		assert_int_equal(report_status(&r), r.ended ? 2 : 3);
		report_free(&r);
	}
}

static void lost(void **state)
{
	struct report r;

	(void)state;
	read_text(&r, HEAD
		  "    1..2\n    # start a.b\n    # start a.c\n    ok 2 a.c\nnot ok 1 a\n" TAIL(1));
	assert_int_equal(r.n, 2);
	assert_int_equal(r.results[0].verdict, V_ERROR);
	assert_int_equal(r.results[1].verdict, V_PASS);
	report_free(&r);
	read_text(&r, HEAD "    1..2\n" PASS(1, "a.b") "    # start a.c\n    # half a li");
	assert_false(r.ended);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.results[1].verdict, V_ERROR);
	report_free(&r);
}

static void rubbish(void **state)
{
	static char big[3 * KTAP_LINE_MAX];
	struct report r;
	struct ktap k;
	uint32_t x = 1;
	size_t i, n;

	(void)state;
	memset(big, 'x', sizeof(big));
	report_init(&r);
	ktap_init(&k, &r, NULL, NULL);
	ktap_feed(&k, HEAD "    1..1\n", strlen(HEAD "    1..1\n"));
	ktap_feed(&k, big, sizeof(big)); /* one line */
	ktap_feed(&k, "\n\0\0\0\n\1\2\nwhat?\n", 14);
	ktap_feed(&k, PASS(1, "a.b"), strlen(PASS(1, "a.b")));
	ktap_feed(&k, "ok 1 a\n" TAIL(1) "more\n", strlen("ok 1 a\n" TAIL(1) "more\n"));
	ktap_finish(&k, true);
	ktap_free(&k);
	assert_int_equal(r.garbage, 5);
	assert_int_equal(r.nproblems, 0);
	assert_int_equal(r.n, 1);
	report_free(&r);
	/* Never more than what was fed, never a crash: parts of lines in any order. */
	for (i = 0; i < 3000; i++) {
		static const char *const part[] = { "ok ",	   "not ",
						    "1",	   "..",
						    " ",	   "# ",
						    "\n",	   "a.b",
						    "start",	   "SKIP",
						    "    ",	   "\r",
						    "# end\n",	   "KTAP version 1\n",
						    "\377",	   "Subtest: a",
						    "99999999999", "Totals: pass:",
						    "Bail out!",   "env " };
		struct sbuf b = { 0 };

		for (n = 0; n < 60; n++) {
			x = x * 1664525 + 1013904223;
			sbuf_add(&b, part[(x >> 8) % ARRAY_SIZE(part)]);
		}
		read_text(&r, b.s);
		assert_true(r.n <= 60);
		report_free(&r);
		sbuf_free(&b);
	}
}

static void bail(void **state)
{
	struct report r;

	(void)state;
	read_text(&r, "KTAP version 1\nBail out! no memory\n# end\n");
	assert_string_equal(r.bail, "no memory");
	assert_int_equal(report_status(&r), 3);
	report_free(&r);
	read_text(&r, HEAD "    1..1\n" PASS(1, "a.b") "ok 1 a\nBail out! no memory\n" TAIL(1));
	assert_int_equal(report_status(&r), 3); /* though what ran has passed */
	report_free(&r);
	read_text(&r, "nothing of the kind\n");
	assert_false(r.started);
	report_free(&r);
}

/* What is written is read again, and is the same; whatever ids and reasons hold. */
static void round_trip(void **state)
{
	struct report a, b;
	struct sbuf text = { 0 }, again = { 0 };

	(void)state;
	report_init(&a);
	a.version = xstrdup("1");
	a.started = a.ended = true;
	report_add(&a, "x.one", V_PASS, NULL);
	report_add(&a, "y.two", V_FAIL, "the guest hung")->timeout = true;
	report_add(&a, "x.three", V_SKIP, "tab\tand \"quotes\" \033[31m");
	report_add(&a, "x.three", V_ERROR, "# odd");
	report_add(&a, "x.four", V_FAIL, "the harness says so");
	report_add(&a, "x.five", V_XFAIL, "known");
	report_add(&a, "z.six", V_XPASS, "known");
	strv_add(&a.results[1].diag, "ok 1 x.fake\nnot ok");
	a.results[1].ms = 1234;
	a.results[1].clause = xstrdup("C");
	report_to_ktap(&a, &text);
	read_text(&b, text.s);
	assert_int_equal(b.nproblems, 0);
	assert_int_equal(b.garbage, 0);
	assert_true(b.ended);
	assert_int_equal(b.n, a.n);
	assert_int_equal(report_counts(&b).by[V_FAIL], 2);
	assert_int_equal(report_counts(&b).by[V_ERROR], 1);
	report_to_ktap(&b, &again);
	assert_string_equal(text.s, again.s);
	sbuf_free(&text);
	sbuf_free(&again);
	report_free(&a);
	report_free(&b);
}

static void fill(struct report *r, const char *const *ids, const enum verdict *v, size_t n)
{
	size_t i;

	report_init(r);
	r->started = r->ended = true;
	for (i = 0; i < n; i++)
		report_add(r, ids[i], v[i], NULL);
}

static void merge(void **state)
{
	struct report a, b, all;

	(void)state;
	report_init(&all);
	fill(&a, (const char *[]){ "s.a", "s.b", "s.b" },
	     (enum verdict[]){ V_PASS, V_FAIL, V_PASS }, 3);
	fill(&b, (const char *[]){ "s.b", "s.b", "s.c" },
	     (enum verdict[]){ V_PASS, V_ERROR, V_SKIP }, 3);
	report_merge(&all, &a);
	assert_true(all.ended);
	report_merge(&all, &b);
	assert_true(all.ended);
	assert_int_equal(all.n, 4); /* repetitions stay apart, the worst of each counts */
	assert_int_equal(all.results[1].verdict, V_FAIL);
	assert_int_equal(all.results[2].verdict, V_ERROR);
	assert_string_equal(all.results[3].id, "s.c");
	fill(&a, (const char *[]){ "s.d" }, (enum verdict[]){ V_PASS }, 1);
	a.ended = false;
	report_merge(&all, &a);
	assert_false(all.ended);
	report_free(&all);
}

/* A SKIP says less than any other verdict. */
static void merge_skip(void **state)
{
	static const struct {
		enum verdict a, b, both;
	} cases[] = {
		{ V_SKIP, V_PASS, V_PASS },   { V_PASS, V_SKIP, V_PASS },
		{ V_SKIP, V_FAIL, V_FAIL },   { V_XFAIL, V_SKIP, V_XFAIL },
		{ V_ERROR, V_PASS, V_ERROR }, { V_XFAIL, V_PASS, V_XFAIL },
	};
	struct report a, b;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		fill(&a, (const char *[]){ "s.a" }, &cases[i].a, 1);
		fill(&b, (const char *[]){ "s.a" }, &cases[i].b, 1);
		report_merge(&a, &b);
		assert_int_equal(a.n, 1);
		assert_int_equal(a.results[0].verdict, cases[i].both);
		report_free(&a);
	}
}

static void merge_shards(const char *const *shards, const char *why, const char *note)
{
	struct report all, one;
	char *incomplete;

	report_init(&all);
	for (; *shards; shards++) {
		fill(&one, (const char *[]){ "s.a" }, (enum verdict[]){ V_PASS }, 1);
		report_meta_set(&one, "shard", *shards);
		report_meta_set(&one, "complete", "yes");
		report_merge(&all, &one);
	}
	report_judge_shards(&all);
	incomplete = report_incomplete(&all);
	if (why) {
		assert_non_null(incomplete);
		assert_string_equal(incomplete, why);
	} else {
		assert_null(incomplete);
	}
	assert_int_equal(report_status(&all), why ? 3 : 0);
	assert_int_equal(all.notes.n, note ? 1 : 0);
	if (note)
		assert_string_equal(all.notes.v[0], note);
	free(incomplete);
	report_free(&all);
}

static void shards(void **state)
{
	(void)state;
	merge_shards((const char *[]){ "1/3", "2/3", "3/3", NULL }, NULL, NULL);
	merge_shards((const char *[]){ "3/3", "1/3; 2/3", NULL }, NULL, NULL); /* merged before */
	merge_shards((const char *[]){ "1/3", "3/3", NULL }, "shard 2/3 is missing", NULL);
	merge_shards((const char *[]){ "2/3", NULL }, "shards 1/3, 3/3 are missing", NULL);
	merge_shards((const char *[]){ "1/2", "2/2", "2/2", NULL }, NULL,
		     "shard 2/2 is there 2 times");
	merge_shards((const char *[]){ "1/2", "2/3", NULL },
		     "its shards are not of one split: 1/2; 2/3; shard 2/2 is missing", NULL);
	merge_shards((const char *[]){ "1/20", NULL }, "19 shards of 20 are missing", NULL);
	merge_shards((const char *[]){ "nonsense", NULL },
		     "its shards are not of one split: nonsense", NULL);
	merge_shards((const char *[]){ "0/3", NULL },
		     "its shards are not of one split: 0/3; shards 1/3, 2/3, 3/3 are missing",
		     NULL);
}

/* What a run knows of itself is in the file, and only the harness can have written it. */
static void meta(void **state)
{
	static const char text
		[] = "KTAP version 1\n# assay 1 boot=pvh\n# meta host: ref\n# meta boot 1: a: b\n"
		     "# note: two boots\n1..1\n    # Subtest: a\n    1..1\n# meta host: forged\n" PASS(
			     1, "a.b") "ok 1 a\n" TAIL(1);
	struct report r, again;
	struct sbuf b = { 0 };

	(void)state;
	read_text(&r, text); /* as a guest's console */
	assert_int_equal(r.metas, 0);
	assert_int_equal(r.notes.n, 0);
	report_free(&r);
	assert_int_equal(report_parse(&r, text, strlen(text)), 0);
	assert_int_equal(r.metas, 2);
	assert_string_equal(report_meta(&r, "host"), "ref");
	assert_string_equal(report_meta(&r, "boot 1"), "a: b");
	assert_null(report_meta(&r, "none"));
	assert_string_equal(r.notes.v[0], "two boots");
	report_meta_set(&r, "host", "other");
	assert_int_equal(r.metas, 2);
	report_to_ktap(&r, &b);
	assert_int_equal(report_parse(&again, b.s, b.len), 0);
	assert_string_equal(report_meta(&again, "host"), "other");
	assert_string_equal(again.notes.v[0], "two boots");
	assert_int_equal(again.nproblems, 0);
	sbuf_free(&b);
	report_free(&r);
	report_free(&again);
}

/* A run that was interrupted stays one, whatever reads and writes its report. */
static void incomplete(void **state)
{
	struct report r, again, other;
	struct sbuf b = { 0 };
	char *why;

	(void)state;
	fill(&r, (const char *[]){ "s.a" }, (enum verdict[]){ V_PASS }, 1);
	r.version = xstrdup("1");
	report_cut(&r, "interrupted");
	assert_int_equal(report_status(&r), 3);
	report_to_ktap(&r, &b);
	assert_non_null(strstr(b.s, "# meta complete: no: interrupted\n"));
	assert_null(strstr(b.s, "# end"));
	assert_int_equal(report_parse(&again, b.s, b.len), 0);
	assert_int_equal(again.nproblems, 0); /* the file is whole: it is the run that is not */
	assert_int_equal(report_status(&again), 3);
	why = report_incomplete(&again);
	assert_string_equal(why, "interrupted");
	free(why);
	fill(&other, (const char *[]){ "s.b" }, (enum verdict[]){ V_PASS }, 1);
	report_merge(&other, &again);
	assert_int_equal(report_status(&other), 3);
	why = report_incomplete(&other);
	assert_string_equal(why, "interrupted");
	free(why);
	sbuf_free(&b);
	report_free(&r);
	report_free(&other);
	/* "# end" does not help it. */
	sbuf_add(&b, "KTAP version 1\n# meta complete: no\n1..1\n    # Subtest: a\n    1..1\n" PASS(
			     1, "a.b") "ok 1 a\n" TAIL(1));
	assert_int_equal(report_parse(&r, b.s, b.len), 0);
	assert_int_equal(report_status(&r), 3);
	sbuf_free(&b);
	report_free(&r);
}

/* A flood costs memory up to a limit and time in proportion. */
static void floods(void **state)
{
	const unsigned int n = REPORT_RESULTS_MAX + 1000;
	struct report r;
	struct sbuf b = { 0 }, out = { 0 };
	unsigned int i;

	(void)state;
	sbuf_add(&b, HEAD "    1..1\n");
	for (i = 0; i < n; i++)
		sbuf_add(&b, "    # start a.b\n");
	read_text(&r, b.s);
	assert_in_range(r.n, REPORT_RESULTS_MAX, REPORT_RESULTS_MAX + 1);
	assert_true(r.nproblems > 0);
	report_free(&r);
	sbuf_free(&b);
	sbuf_add(&b, HEAD);
	for (i = 0; i < 50000; i++)
		sbuf_addf(&b, "    # Subtest: s%u\n    # start s%u.a\n    ok 1 s%u.a\n", i, i, i);
	read_text(&r, b.s);
	assert_int_equal(r.n, 50000);
	report_to_ktap(&r, &out);
	assert_non_null(strstr(out.s, "\n1..50000\n"));
	sbuf_free(&b);
	sbuf_free(&out);
	report_free(&r);
}

/* Bytes that a terminal obeys never come out of a report, C1 ones included. */
static void controls(void **state)
{
	static const char *const bad[] = { "\033[31m", "\2332J", "\177", "\302\233" };
	struct sbuf b = { 0 }, out = { 0 };
	struct report r;
	size_t i, k;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		sbuf_addf(&b, "KTAP version 1\n# assay 1%s boot=pvh\n# env a: %s\n# warning: %s\n",
			  bad[i], bad[i], bad[i]);
		sbuf_addf(&b,
			  "1..1\n    # Subtest: a\n    1..1\n    # start a.b\n    # %s\n"
			  "    # owner: %s\n    not ok 1 a.b # ERROR %s\nnot ok 1 a\n"
			  "Bail out! %s\n# end\n",
			  bad[i], bad[i], bad[i], bad[i]);
		read_text(&r, b.s);
		assert_true(r.garbage >= 6);
		assert_null(r.version);
		report_to_ktap(&r, &out);
		for (k = 0; k < out.len; k++)
			assert_true(out.s[k] == '\n' || (out.s[k] >= ' ' && out.s[k] <= '~'));
		sbuf_free(&b);
		sbuf_free(&out);
		report_free(&r);
	}
}

/* text with this in front of each line. */
static void stamped(const char *stamp, const char *text, struct sbuf *out)
{
	for (; *text; text += strcspn(text, "\n") + 1)
		sbuf_addf(out, "%s%.*s\r\n", stamp, (int)strcspn(text, "\n"), text);
}

static const char short_report[] = HEAD "    1..2\n" PASS(1, "a.b")
	PASS(2, "a.c") "ok 1 a\n" TAIL(2);

static void stamps(void **state)
{
	static const char *const stamp[] = {
		"2026-11-21T08:04:01.123 ",
		"2026-11-21T08:04:01.123456  ",
		"[ 12.345678] ",
		"[2026-11-21 08:04:01] ",
		"2026-11-21 08:04:01 ",
		"08:04:01.123456  ",
		"[08:04:01]",
		"Nov 21 08:04:01 ",
		"[   12.345678][    T1] ",
		"2026-11-21T08:04:01Z\t",
		"2026-11-21T08:04:01Z [   12.345678] ",
	};
	struct report r;
	struct sbuf b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(stamp); i++) {
		stamped(stamp[i], "BIOS says 12:00:00\n", &b);
		stamped(stamp[i], short_report, &b);
		assert_int_equal(report_parse(&r, b.s, b.len), 0);
		if (r.nproblems || r.garbage)
			print_error("stamp \"%s\": %s\n", stamp[i],
				    r.problems.n ? r.problems.v[0] : "garbage");
		assert_int_equal(r.nproblems + r.garbage, 0);
		assert_int_equal(r.n, 2);
		assert_true(r.ended);
		sbuf_free(&b);
		report_free(&r);
	}
	/* Where no stamp stands before the version line, none is taken away from what tests say. */
	sbuf_add(&b, HEAD "    1..1\n    # start a.b\n    # [ 1.5] 12:00:00\n    ok 1 a.b\n"
			  "[ 1.5] ok 1 a\nok 1 a\n" TAIL(1));
	assert_int_equal(report_parse(&r, b.s, b.len), 0);
	assert_string_equal(r.results[0].diag.v[0], "[ 1.5] 12:00:00");
	assert_int_equal(r.garbage, 1);
	sbuf_free(&b);
	report_free(&r);
}

static const char cut_report[] = HEAD "    1..3\n" PASS(1, "a.first") "    # start a.hangs\n";

/* The boots of a log, with a stamp; what is read of it. */
static void read_boots(struct report *r, const char *stamp, const char *const *boots)
{
	struct sbuf b = { 0 };

	for (; *boots; boots++) {
		stamped(stamp, "firmware\n", &b);
		stamped(stamp, *boots, &b);
	}
	assert_int_equal(report_parse(r, b.s, b.len), 0);
	sbuf_free(&b);
}

static void boots(void **state)
{
	static const char fails[] = HEAD
		"    1..1\n    # start a.b\n    not ok 1 a.b\nnot ok 1 a\n"
		"# Totals: pass:0 fail:1 xfail:0 xpass:0 skip:0 error:0\n# end\n";
	static const char *const stamp[] = { "", "[2026-11-21 08:04:01]  " };
	struct report r;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(stamp); i++) {
		/* The newest complete one is judged, whatever came before and after. */
		read_boots(&r, stamp[i], (const char *[]){ short_report, fails, NULL });
		assert_int_equal(report_status(&r), 1);
		assert_string_equal(
			r.notes.v[0],
			"the log has 2 boots; boot 2 is judged, the newest that is complete");
		assert_int_equal(r.garbage + r.nproblems, 0);
		report_free(&r);
		read_boots(&r, stamp[i], (const char *[]){ fails, short_report, cut_report, NULL });
		assert_int_equal(report_status(&r), 0);
		assert_int_equal(r.n, 2);
		assert_string_equal(r.notes.v[1], "boot 3, the newest, was cut off");
		report_free(&r);
		/* A boot that was cut off right before it keeps its results, and the test that hung. */
		read_boots(&r, stamp[i], (const char *[]){ fails, cut_report, short_report, NULL });
		assert_int_equal(r.n, 4);
		assert_string_equal(r.results[3].id, "a.hangs");
		assert_int_equal(report_status(&r), 2);
		report_free(&r);
		read_boots(&r, stamp[i], (const char *[]){ cut_report, cut_report, NULL });
		assert_int_equal(report_status(&r), 3);
		assert_string_equal(
			r.notes.v[0],
			"the log has 2 boots; boot 2 is judged, the newest: none is complete");
		report_free(&r);
		/* What a test says is no boot. */
		read_boots(&r, stamp[i],
			   (const char *[]){ HEAD
					     "    1..1\n    # start a.b\n    # KTAP version 1\n"
					     "    ok 1 a.b\nok 1 a\n" TAIL(1),
					     NULL });
		assert_int_equal(report_status(&r), 0);
		assert_int_equal(r.notes.n, 0);
		report_free(&r);
	}
}

static void orders(void **state)
{
	const char *const ids[] = { "b.x", "a.y", "b.w", "ab.z", "a.y", "b.x" };
	const size_t suites[] = { 0, 2, 5, 1, 4, 3 }, by_id[] = { 1, 4, 3, 2, 0, 5 };
	enum verdict v[6] = { V_PASS };
	struct report r;
	size_t *o;

	(void)state;
	fill(&r, ids, v, 6);
	o = report_by_suite(&r);
	assert_memory_equal(o, suites, sizeof(suites));
	free(o);
	o = report_by_id(&r);
	assert_memory_equal(o, by_id, sizeof(by_id));
	assert_int_equal(report_find(&r, o, "a.y"), 0);
	assert_int_equal(report_find(&r, o, "b.x"), 4);
	assert_int_equal(report_find(&r, o, "b"), r.n);
	assert_int_equal(report_find(&r, o, "zz"), r.n);
	assert_int_equal(report_repetitions(&r, o, 0), 2);
	assert_int_equal(report_repetitions(&r, o, 2), 1);
	assert_int_equal(report_repetitions(&r, o, 4), 2);
	free(o);
	report_free(&r);
}

static void count_again(void *arg, enum ktap_event event, const char *text)
{
	(void)text;
	*(unsigned int *)arg += event == KTAP_RESTART;
}

/* A machine that boots anew in the middle of its report: nothing of the second boot counts. A file may hold many. */
static void reset(void **state)
{
	static const struct {
		const char *behind;
		unsigned int again;
	} cases[] = {
		{ HEAD "    1..2\n" PASS(1, "a.b") PASS(2, "a.c") "ok 1 a\n" TAIL(2), 1 },
		{ "\033[2J\033[HKTAP version 1\n1..1\n", 1 },
		{ "    # KTAP version 1\n", 0 },
		{ "# KTAP version 1\n", 0 },
		{ "    KTAP version 1\n", 0 },
	};
	static const char text[] = HEAD "    1..2\n" PASS(1, "a.b") "    # start a.c\n";
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int again = 0;
		struct report r;
		struct ktap k;

		report_init(&r);
		ktap_init(&k, &r, count_again, &again);
		ktap_feed(&k, text, sizeof(text) - 1);
		ktap_feed(&k, cases[i].behind, strlen(cases[i].behind));
		ktap_feed(&k, cases[i].behind, strlen(cases[i].behind));
		assert_int_equal(again, cases[i].again);
		assert_int_equal(r.n, 1);
		assert_false(r.ended);
		assert_string_equal(ktap_current(&k), "a.c");
		ktap_free(&k);
		report_free(&r);
	}
}

static void status(void **state)
{
	const char *const ids[] = { "a.a", "a.b" };
	static const struct {
		enum verdict v[2];
		int status;
	} cases[] = {
		{ { V_PASS, V_PASS }, 0 },   { { V_PASS, V_SKIP }, 0 },	 { { V_SKIP, V_SKIP }, 77 },
		{ { V_FAIL, V_ERROR }, 1 },  { { V_ERROR, V_PASS }, 2 }, { { V_XFAIL, V_PASS }, 0 },
		{ { V_XPASS, V_XFAIL }, 0 }, { { V_ERROR, V_SKIP }, 2 },
	};
	struct report r;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		fill(&r, ids, cases[i].v, 2);
		assert_int_equal(report_status(&r), cases[i].status);
		report_free(&r);
	}
	report_init(&r);
	assert_int_equal(report_status(&r), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),	      cmocka_unit_test(line_ends),
		cmocka_unit_test(verdicts),   cmocka_unit_test(broken),
		cmocka_unit_test(lost),	      cmocka_unit_test(rubbish),
		cmocka_unit_test(bail),	      cmocka_unit_test(round_trip),
		cmocka_unit_test(merge),      cmocka_unit_test(status),
		cmocka_unit_test(merge_skip), cmocka_unit_test(shards),
		cmocka_unit_test(meta),	      cmocka_unit_test(incomplete),
		cmocka_unit_test(floods),     cmocka_unit_test(controls),
		cmocka_unit_test(stamps),     cmocka_unit_test(boots),
		cmocka_unit_test(orders),     cmocka_unit_test(reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
