/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/common/ktap.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ktap.h"

#define MAX_PROBLEMS 20
#define MAX_DIAGS    200
#define MAX_ENV	     256
#define MAX_NOTES    64
#define MAX_RESULTS  10000
#define FILE_MAX     (256u << 20)

static const char indent[] = "    ";
#define INDENT (sizeof(indent) - 1)

const char *verdict_name(enum verdict v)
{
	static const char *const name[VERDICTS] = { "PASS", "XPASS", "XFAIL",
						    "SKIP", "ERROR", "FAIL" };

	return name[v];
}

size_t suite_length(const char *id)
{
	return strcspn(id, ".");
}

/* --- reports ----------------------------------------------------------------------------- */

void report_init(struct report *r)
{
	memset(r, 0, sizeof(*r));
}

void result_free(struct result *r)
{
	free(r->id);
	free(r->reason);
	free(r->clause);
	free(r->owner);
	strv_free(&r->diag);
	memset(r, 0, sizeof(*r));
}

void report_free(struct report *r)
{
	size_t i;

	free(r->version);
	free(r->boot);
	free(r->bail);
	for (i = 0; i < r->envs; i++) {
		free(r->env[i].key);
		free(r->env[i].value);
	}
	free(r->env);
	for (i = 0; i < r->n; i++)
		result_free(&r->results[i]);
	free(r->results);
	strv_free(&r->warnings);
	strv_free(&r->listed);
	strv_free(&r->problems);
	report_init(r);
}

static struct result *new_result(struct report *r)
{
	struct result *t;

	r->results = xrealloc(r->results, (r->n + 1) * sizeof(*r->results));
	t = &r->results[r->n++];
	memset(t, 0, sizeof(*t));
	return t;
}

struct result *report_add(struct report *r, const char *id, enum verdict v, const char *reason)
{
	struct result *t = new_result(r);

	t->id = xstrdup(id);
	t->verdict = v;
	t->reason = reason ? xstrdup(reason) : NULL;
	return t;
}

static void move_string(char **dst, char **src)
{
	if (*dst)
		return;
	*dst = *src;
	*src = NULL;
}

static void move_list(struct strv *dst, struct strv *src)
{
	size_t i;

	for (i = 0; i < src->n; i++)
		if (!strv_has(dst, src->v[i]))
			strv_add(dst, src->v[i]);
}

/* All but the results. */
static void append_frame(struct report *dst, struct report *src)
{
	move_string(&dst->version, &src->version);
	move_string(&dst->boot, &src->boot);
	move_string(&dst->bail, &src->bail);
	if (!dst->envs) {
		free(dst->env);
		dst->env = src->env;
		dst->envs = src->envs;
		src->env = NULL;
		src->envs = 0;
	}
	move_list(&dst->warnings, &src->warnings);
	move_list(&dst->listed, &src->listed);
	move_list(&dst->problems, &src->problems);
	dst->nproblems += src->nproblems;
	dst->harness += src->harness;
	dst->garbage += src->garbage;
	dst->started = dst->started || src->started;
	dst->ended = src->ended;
}

void report_append(struct report *dst, struct report *src)
{
	size_t i;

	append_frame(dst, src);
	for (i = 0; i < src->n; i++)
		*new_result(dst) = src->results[i];
	src->n = 0;
	report_free(src);
}

/* Which repetition of its id results[i] is: 0, 1, ... */
static size_t occurrence(const struct report *r, size_t i)
{
	size_t k, n = 0;

	for (k = 0; k < i; k++)
		n += strcmp(r->results[k].id, r->results[i].id) == 0;
	return n;
}

/* The nth result of this id among the first count, NULL if there are fewer. */
static struct result *find(const struct report *r, const char *id, size_t count, size_t nth)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strcmp(r->results[i].id, id) == 0 && nth-- == 0)
			return &r->results[i];
	return NULL;
}

void report_merge(struct report *dst, struct report *src)
{
	const bool both_ended = (dst->ended || !dst->started) && src->ended;
	const size_t count = dst->n;
	size_t *nth = xcalloc(src->n, sizeof(*nth)), i;

	append_frame(dst, src);
	dst->ended = both_ended;
	for (i = 0; i < src->n; i++)
		nth[i] = occurrence(src, i);
	for (i = 0; i < src->n; i++) {
		struct result *s = &src->results[i];
		struct result *d = find(dst, s->id, count, nth[i]);

		if (!d) {
			*new_result(dst) = *s;
			memset(s, 0, sizeof(*s));
		} else if (s->verdict > d->verdict) {
			const struct result t = *d;

			*d = *s;
			*s = t;
		}
	}
	free(nth);
	report_free(src);
}

struct counts report_counts(const struct report *r)
{
	struct counts c = { 0 };
	size_t i;

	for (i = 0; i < r->n; i++)
		c.by[r->results[i].verdict]++;
	c.total = (unsigned int)r->n;
	return c;
}

int report_status(const struct report *r)
{
	const struct counts c = report_counts(r);

	if (c.by[V_FAIL])
		return 1;
	if (c.by[V_ERROR])
		return 2;
	if (c.total == 0)
		return 3;
	return c.by[V_SKIP] == c.total ? 77 : 0;
}

void report_judge(struct report *r)
{
	const unsigned int n = r->nproblems - r->harness;
	struct result *t;
	char *reason;
	size_t i;

	if (!n)
		return;
	reason = xasprintf(
		"the report breaks KTAP's rules in %u place%s: the results may be incomplete", n,
		n == 1 ? "" : "s");
	t = report_add(r, "harness.report", V_ERROR, reason);
	free(reason);
	for (i = 0; i < r->problems.n; i++)
		strv_add(&t->diag, r->problems.v[i]);
	t->owner = xstrdup("the console between guest and harness, or the payload");
	r->harness = r->nproblems;
}

/* --- the reader -------------------------------------------------------------------------- */

void ktap_init(struct ktap *k, struct report *r, ktap_handler handler, void *arg)
{
	memset(k, 0, sizeof(*k));
	k->report = r;
	k->handler = handler;
	k->arg = arg;
	k->first_result = r->n;
}

void ktap_free(struct ktap *k)
{
	free(k->suite);
	free(k->clause);
	free(k->owner);
	strv_free(&k->notes);
	result_free(&k->pending);
	k->suite = k->clause = k->owner = NULL;
}

const char *ktap_current(const struct ktap *k)
{
	return k->pending.id;
}

static void event(struct ktap *k, enum ktap_event e, const char *text)
{
	if (k->handler)
		k->handler(k->arg, e, text);
}

static void __attribute__((format(printf, 2, 3))) problem(struct ktap *k, const char *fmt, ...)
{
	char text[256];
	struct sbuf clean = { 0 };
	va_list ap;

	if (k->report->nproblems++ >= MAX_PROBLEMS)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sbuf_add_clean(&clean, text);
	strv_take(&k->report->problems, sbuf_steal(&clean));
}

static void forget_test(struct ktap *k)
{
	result_free(&k->pending);
	strv_free(&k->notes);
	free(k->clause);
	free(k->owner);
	k->clause = k->owner = NULL;
	k->start_ms = k->duration_ms = 0;
}

/* Moves the running test's diagnostics to the new result. */
static void fill_result(struct ktap *k, struct result *t)
{
	t->diag = k->notes;
	memset(&k->notes, 0, sizeof(k->notes));
	t->clause = k->clause;
	t->owner = k->owner;
	k->clause = k->owner = NULL;
	if (k->duration_ms)
		t->ms = k->duration_ms;
	else if (k->handler && k->start_ms) /* somebody watches it live */
		t->ms = now_ms() - k->start_ms;
	forget_test(k);
}

struct result *ktap_conclude(struct ktap *k, const char *id, enum verdict v, const char *reason)
{
	const char *who = ktap_current(k) ? ktap_current(k) : id;
	struct result *t = report_add(k->report, who, v, reason);

	fill_result(k, t);
	return t;
}

void ktap_announce(struct ktap *k, const struct result *t)
{
	event(k, KTAP_RESULT, t->id);
}

/* The running test ends without a result line of its own. */
static void lose_result(struct ktap *k)
{
	if (!ktap_current(k))
		return;
	problem(k, "no result line of %s", ktap_current(k));
	k->number++;
	ktap_announce(k, ktap_conclude(k, NULL, V_ERROR, "its result line was lost"));
}

static bool is_id(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!isgraph((unsigned char)s[i]) || s[i] == '#')
			return false;
	return n > 0 && n < 200;
}

static void start_test(struct ktap *k, const char *id)
{
	const size_t n = strlen(id);

	lose_result(k);
	if (!is_id(id, n)) {
		problem(k, "a start line with a malformed id");
		return;
	}
	if (!k->in_suite)
		problem(k, "%s starts outside of a suite", id);
	strv_free(&k->notes);
	k->pending.id = xstrdup(id);
	k->start_ms = now_ms();
	event(k, KTAP_START, k->pending.id);
}

struct tap_line {
	bool ok;
	unsigned int number;
	const char *name;
	size_t name_len;
	const char *directive; /* "SKIP", ...; or NULL */
	size_t directive_len;
	const char *reason; /* never NULL */
};

/* "ok 3 name # SKIP reason"; false: it is no result line. */
static bool parse_result(const char *s, struct tap_line *l)
{
	const char *hash;
	char *end;

	memset(l, 0, sizeof(*l));
	if (strncmp(s, "ok ", 3) == 0) {
		l->ok = true;
		s += 3;
	} else if (strncmp(s, "not ok ", 7) == 0) {
		s += 7;
	} else {
		return false;
	}
	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	l->number = (unsigned int)strtoul(s, &end, 10);
	if (errno || (*end && *end != ' '))
		return false;
	for (s = end; *s == ' '; s++)
		;
	if (strncmp(s, "- ", 2) == 0)
		s += 2;
	hash = strstr(s, "# ");
	l->name = s;
	l->name_len = hash ? (size_t)(hash - s) : strlen(s);
	while (l->name_len && s[l->name_len - 1] == ' ')
		l->name_len--;
	l->reason = "";
	if (hash) {
		l->directive = hash + 2;
		l->directive_len = strcspn(l->directive, " ");
		l->reason = l->directive + l->directive_len;
		l->reason += strspn(l->reason, " ");
	}
	return true;
}

static bool directive_is(const struct tap_line *l, const char *name)
{
	return l->directive && strlen(name) == l->directive_len &&
	       strncasecmp(l->directive, name, l->directive_len) == 0;
}

static void judge_line(struct ktap *k, const struct tap_line *l, struct result *t)
{
	t->verdict = l->ok ? V_PASS : V_FAIL;
	if (!l->directive)
		return;
	if (directive_is(l, "SKIP")) {
		t->verdict = V_SKIP;
	} else if (directive_is(l, "XFAIL") || directive_is(l, "TODO")) {
		t->verdict = V_XFAIL;
	} else if (directive_is(l, "XPASS")) {
		t->verdict = V_XPASS;
	} else if (directive_is(l, "ERROR")) {
		t->verdict = V_ERROR;
	} else if (directive_is(l, "FAIL")) {
		t->verdict = V_FAIL;
	} else if (directive_is(l, "TIMEOUT")) {
		t->verdict = V_FAIL;
		t->timeout = true;
	} else {
		problem(k, "an unknown directive \"%.*s\"", (int)l->directive_len, l->directive);
	}
	if (t->verdict == V_SKIP && !l->ok)
		problem(k, "a SKIP that is not ok");
	if ((t->verdict == V_ERROR || t->verdict == V_FAIL) && l->ok)
		problem(k, "an ERROR, FAIL or TIMEOUT that is ok");
}

static void check_result(struct ktap *k, const struct tap_line *l)
{
	const char *current = ktap_current(k);

	if (!k->in_suite) {
		problem(k, "a test's result outside of a suite");
		return;
	}
	if (!k->suite_plan_seen)
		problem(k, "a result before the plan of suite %s", k->suite);
	if (l->number != k->number + 1)
		problem(k, "result %u of suite %s where %u was due", l->number, k->suite,
			k->number + 1);
	if (strlen(k->suite) != suite_length(l->name) ||
	    strncmp(k->suite, l->name, strlen(k->suite)) != 0)
		problem(k, "%.*s is no test of suite %s", (int)l->name_len, l->name, k->suite);
	if (!current)
		problem(k, "the result of %.*s, which never started", (int)l->name_len, l->name);
}

static void test_result(struct ktap *k, const struct tap_line *l)
{
	const char *current = ktap_current(k);
	struct result *t;
	char *id;

	if (!is_id(l->name, l->name_len)) {
		problem(k, "a result line with a malformed id");
		return;
	}
	if (k->report->n >= MAX_RESULTS) {
		problem(k, "more than %u results", MAX_RESULTS);
		forget_test(k);
		return;
	}
	id = xstrndup(l->name, l->name_len);
	if (current && strcmp(current, id) != 0)
		lose_result(k);
	check_result(k, l);
	k->number = l->number;
	t = report_add(k->report, id, V_PASS, NULL);
	judge_line(k, l, t);
	t->reason = *l->reason ? xstrdup(l->reason) : NULL;
	fill_result(k, t);
	if (t->verdict == V_FAIL || t->verdict == V_ERROR)
		k->suite_bad = true;
	event(k, KTAP_RESULT, t->id);
	free(id);
}

static void leave_suite(struct ktap *k)
{
	lose_result(k);
	if (!k->in_suite)
		return;
	if (k->suite_plan_seen && k->number != k->planned)
		problem(k, "suite %s planned %u tests and reported %u", k->suite, k->planned,
			k->number);
	k->in_suite = k->suite_plan_seen = k->suite_bad = false;
	free(k->suite);
	k->suite = NULL;
	k->number = k->planned = 0;
}

static void enter_suite(struct ktap *k, const char *name)
{
	if (k->in_suite) {
		problem(k, "suite %s never ended", k->suite);
		leave_suite(k);
	}
	k->in_suite = true;
	k->suite = xstrdup(name);
}

static void suite_result(struct ktap *k, const struct tap_line *l)
{
	bool bad;

	if (!k->in_suite || l->name_len != strlen(k->suite) ||
	    strncmp(l->name, k->suite, l->name_len) != 0) {
		problem(k, "a result line of suite \"%.*s\", which is not open", (int)l->name_len,
			l->name);
		leave_suite(k);
		return;
	}
	if (!k->plan_seen)
		problem(k, "a suite's result before the plan");
	if (l->number != ++k->suites_done)
		problem(k, "suite %s has number %u where %u was due", k->suite, l->number,
			k->suites_done);
	lose_result(k);
	bad = k->suite_bad;
	if (l->ok == bad)
		problem(k, "suite %s is \"%s\" against its tests", k->suite,
			l->ok ? "ok" : "not ok");
	leave_suite(k);
}

/* "1..N" and nothing else; false: it is no plan. */
static bool parse_plan(const char *s, unsigned int *n)
{
	char *end;

	if (strncmp(s, "1..", 3) != 0 || !isdigit((unsigned char)s[3]))
		return false;
	errno = 0;
	*n = (unsigned int)strtoul(s + 3, &end, 10);
	return !errno && *end == '\0';
}

static void check_totals(struct ktap *k, const char *text)
{
	unsigned int pass, fail, xfail, xpass, skip, error;
	const struct report *r = k->report;
	struct report mine = *r;
	struct counts c;

	k->totals_seen = true;
	if (sscanf(text, "pass:%u fail:%u xfail:%u xpass:%u skip:%u error:%u", &pass, &fail, &xfail,
		   &xpass, &skip, &error) != 6) {
		problem(k, "a malformed line of totals");
		return;
	}
	mine.results = r->results + k->first_result;
	mine.n = r->n - k->first_result;
	c = report_counts(&mine);
	if (c.by[V_PASS] != pass || c.by[V_FAIL] != fail || c.by[V_SKIP] != skip ||
	    c.by[V_ERROR] != error || c.by[V_XFAIL] != xfail || c.by[V_XPASS] != xpass)
		problem(k, "the totals say pass:%u fail:%u skip:%u error:%u, read were %u %u %u %u",
			pass, fail, skip, error, c.by[V_PASS], c.by[V_FAIL], c.by[V_SKIP],
			c.by[V_ERROR]);
}

static void add_env(struct report *r, const char *text)
{
	const char *colon = strstr(text, ": ");
	struct env_entry *e;

	if (!colon || r->envs >= MAX_ENV)
		return;
	r->env = xrealloc(r->env, (r->envs + 1) * sizeof(*r->env));
	e = &r->env[r->envs++];
	e->key = xstrndup(text, (size_t)(colon - text));
	e->value = xstrdup(colon + 2);
}

static void set_version(struct report *r, const char *text)
{
	const char *boot = strstr(text, " boot=");

	if (r->version)
		return;
	r->version = xstrndup(text, boot ? (size_t)(boot - text) : strlen(text));
	r->boot = boot ? xstrndup(boot + 6, strcspn(boot + 6, " ")) : NULL;
}

static bool has_prefix(const char *s, const char *prefix, const char **rest)
{
	const size_t n = strlen(prefix);

	if (strncmp(s, prefix, n) != 0)
		return false;
	*rest = s + n;
	return true;
}

static void end_report(struct ktap *k)
{
	struct report *r = k->report;

	leave_suite(k);
	if (k->plan_seen && k->suites_done != k->suites_planned)
		problem(k, "%u suites were planned and %u reported", k->suites_planned,
			k->suites_done);
	if (!k->plan_seen && !r->bail && !r->listed.n)
		problem(k, "no plan");
	if (!k->totals_seen && r->n > k->first_result)
		problem(k, "no totals");
	r->ended = true;
	event(k, KTAP_END, NULL);
}

/* A comment, without the "# ". */
static void comment(struct ktap *k, const char *s, bool nested)
{
	struct report *r = k->report;
	const char *rest;

	if (has_prefix(s, "start ", &rest)) {
		start_test(k, rest);
	} else if (nested && has_prefix(s, "Subtest: ", &rest)) {
		enter_suite(k, rest);
	} else if (nested && has_prefix(s, "clause: ", &rest)) {
		free(k->clause);
		k->clause = xstrdup(rest);
	} else if (nested && has_prefix(s, "owner: ", &rest)) {
		free(k->owner);
		k->owner = xstrdup(rest);
	} else if (nested && has_prefix(s, "duration: ", &rest)) {
		k->duration_ms = strtoull(rest, NULL, 10);
	} else if (!nested && has_prefix(s, "env ", &rest)) {
		add_env(r, rest);
		event(k, KTAP_ENV, rest);
	} else if (!nested && has_prefix(s, "assay ", &rest)) {
		set_version(r, rest);
	} else if (!nested && has_prefix(s, "warning: ", &rest)) {
		if (r->warnings.n < MAX_NOTES && !strv_has(&r->warnings, rest))
			strv_add(&r->warnings, rest);
	} else if (!nested && has_prefix(s, "test ", &rest)) {
		if (r->listed.n < MAX_RESULTS)
			strv_add(&r->listed, rest);
	} else if (!nested && has_prefix(s, "Totals: ", &rest)) {
		check_totals(k, rest);
	} else if (!nested && strcmp(s, "end") == 0) {
		end_report(k);
	} else if (k->notes.n < MAX_DIAGS && (nested || ktap_current(k))) {
		strv_add(&k->notes, s);
		event(k, KTAP_NOTE, s);
	}
}

static void plan(struct ktap *k, unsigned int n, bool nested)
{
	if (!nested) {
		if (k->plan_seen)
			problem(k, "a second plan");
		k->plan_seen = true;
		k->suites_planned = n;
		return;
	}
	if (!k->in_suite || k->suite_plan_seen) {
		problem(k, "a plan of no suite, or a second one");
		return;
	}
	k->suite_plan_seen = true;
	k->planned = n;
}

static bool has_control(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' && s[i] != '\t')
			return true;
	return false;
}

/* Before the version line the firmware talks; whatever stands before it on its line is the firmware's. */
static void await_version(struct ktap *k, const char *s, size_t n)
{
	static const char version[] = "KTAP version 1";
	const size_t v = sizeof(version) - 1;

	if (n < v || strcmp(s + n - v, version) != 0)
		return;
	k->report->started = true;
	event(k, KTAP_BEGIN, NULL);
}

#define BAIL_OUT "Bail out!"

/* The first one says why; the payload prints one for each pattern that matches nothing. */
static void bail_out(struct report *r, const char *line)
{
	const char *why = line + strlen(BAIL_OUT);

	if (!r->bail)
		r->bail = xstrdup(why + strspn(why, " "));
}

static void line(struct ktap *k, const char *s, size_t n)
{
	struct report *r = k->report;
	struct tap_line l;
	unsigned int planned;
	bool nested;

	if (!r->started && strncmp(s, BAIL_OUT, strlen(BAIL_OUT)) == 0) {
		bail_out(r, s); /* the host, on behalf of a payload that did not start */
		return;
	}
	if (!r->started) {
		await_version(k, s, n);
		return;
	}
	if (k->firmware) {
		k->firmware = strcmp(s, KTAP_INDENT KTAP_BACK) != 0;
		return;
	}
	if (strcmp(s, KTAP_INDENT KTAP_RESET) == 0) {
		k->firmware = true;
		return;
	}
	if (has_control(s, n)) {
		r->garbage++;
		return;
	}
	if (s[strspn(s, " \t")] == '\0')
		return;
	if (r->ended) {
		r->garbage++;
		return;
	}
	nested = strncmp(s, indent, INDENT) == 0;
	if (nested)
		s += INDENT;
	if (strncmp(s, "# ", 2) == 0)
		comment(k, s + 2, nested);
	else if (parse_plan(s, &planned))
		plan(k, planned, nested);
	else if (parse_result(s, &l) && nested)
		test_result(k, &l);
	else if (parse_result(s, &l))
		suite_result(k, &l);
	else if (!nested && strncmp(s, BAIL_OUT, strlen(BAIL_OUT)) == 0)
		bail_out(r, s);
	else if (!(nested && strcmp(s, "KTAP version 1") == 0))
		r->garbage++;
}

void ktap_feed(struct ktap *k, const char *data, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (data[i] != '\n') {
			if (k->len < KTAP_LINE_MAX - 1)
				k->line[k->len++] = data[i];
			else
				k->overlong = true;
			continue;
		}
		while (k->len && k->line[k->len - 1] == '\r')
			k->len--;
		k->line[k->len] = '\0';
		if (k->overlong)
			k->report->garbage += k->report->started;
		else
			line(k, k->line, k->len);
		k->len = 0;
		k->overlong = false;
	}
}

void ktap_finish(struct ktap *k, bool complete)
{
	struct report *r = k->report;

	if (k->len)
		ktap_feed(k, "\n", 1);
	if (!complete || !r->started || r->ended)
		return;
	problem(k, "the report stops before its end%s%s", ktap_current(k) ? ", in " : "",
		ktap_current(k) ? ktap_current(k) : "");
	if (ktap_current(k))
		ktap_conclude(k, NULL, V_ERROR, "the report stops here");
}

int report_read(struct report *r, const char *path)
{
	struct ktap k;
	char *data;
	size_t n;
	int ret;

	report_init(r);
	ret = read_file(path, FILE_MAX, &data, &n);
	if (ret)
		return ret;
	ktap_init(&k, r, NULL, NULL);
	ktap_feed(&k, data, n);
	ktap_finish(&k, true);
	ktap_free(&k);
	free(data);
	return r->started ? 0 : -EBADMSG;
}

/* --- the writer -------------------------------------------------------------------------- */

static void write_result(const struct result *t, unsigned int number, struct sbuf *out)
{
	static const char *const directive[VERDICTS] = { "",	    " # XPASS", " # XFAIL",
							 " # SKIP", " # ERROR", "" };
	const bool bad = t->verdict == V_FAIL || t->verdict == V_ERROR;
	size_t i;

	sbuf_addf(out, "    # start %s\n", t->id);
	for (i = 0; i < t->diag.n; i++) {
		sbuf_add(out, "    # ");
		sbuf_add_clean(out, t->diag.v[i]);
		sbuf_add(out, "\n");
	}
	if (t->ms)
		sbuf_addf(out, "    # duration: %llu ms\n", (unsigned long long)t->ms);
	if (t->clause)
		sbuf_addf(out, "    # clause: %s\n", t->clause);
	if (t->owner)
		sbuf_addf(out, "    # owner: %s\n", t->owner);
	sbuf_addf(out, "    %sok %u %s%s", bad ? "not " : "", number, t->id,
		  t->timeout ? " # TIMEOUT" : directive[t->verdict]);
	if (t->reason && (t->timeout || *directive[t->verdict])) {
		sbuf_add(out, " ");
		sbuf_add_clean(out, t->reason);
	} else if (t->reason && t->verdict == V_FAIL) {
		/* A FAIL that the harness gave: KTAP has no directive for its reason. */
		sbuf_add(out, " # FAIL ");
		sbuf_add_clean(out, t->reason);
	}
	sbuf_add(out, "\n");
}

static bool same_suite(const char *a, const char *b)
{
	const size_t n = suite_length(a);

	return n == suite_length(b) && strncmp(a, b, n) == 0;
}

static bool first_of_suite(const struct report *r, size_t i)
{
	size_t k;

	for (k = 0; k < i; k++)
		if (same_suite(r->results[k].id, r->results[i].id))
			return false;
	return true;
}

static void write_suite(const struct report *r, size_t first, unsigned int suite, struct sbuf *out)
{
	const char *id = r->results[first].id;
	const int len = (int)suite_length(id);
	unsigned int n = 0, number = 0, skipped = 0;
	bool bad = false;
	size_t i;

	for (i = first; i < r->n; i++)
		n += same_suite(id, r->results[i].id);
	sbuf_addf(out, "    KTAP version 1\n    # Subtest: %.*s\n    1..%u\n", len, id, n);
	for (i = first; i < r->n; i++) {
		const struct result *t = &r->results[i];

		if (!same_suite(id, t->id))
			continue;
		write_result(t, ++number, out);
		bad = bad || t->verdict == V_FAIL || t->verdict == V_ERROR;
		skipped += t->verdict == V_SKIP;
	}
	sbuf_addf(out, "%sok %u %.*s%s\n", bad ? "not " : "", suite, len, id,
		  skipped == n ? " # SKIP all tests skipped" : "");
}

void report_to_ktap(const struct report *r, struct sbuf *out)
{
	const struct counts c = report_counts(r);
	unsigned int suites = 0;
	size_t i;

	sbuf_add(out, "KTAP version 1\n");
	if (r->version)
		sbuf_addf(out, "# assay %s boot=%s\n", r->version, r->boot ? r->boot : "unknown");
	for (i = 0; i < r->envs; i++) {
		sbuf_add(out, "# env ");
		sbuf_add_clean(out, r->env[i].key);
		sbuf_add(out, ": ");
		sbuf_add_clean(out, r->env[i].value);
		sbuf_add(out, "\n");
	}
	for (i = 0; i < r->warnings.n; i++) {
		sbuf_add(out, "# warning: ");
		sbuf_add_clean(out, r->warnings.v[i]);
		sbuf_add(out, "\n");
	}
	for (i = 0; i < r->n; i++)
		suites += first_of_suite(r, i);
	sbuf_addf(out, "1..%u\n", suites);
	for (i = 0, suites = 0; i < r->n; i++)
		if (first_of_suite(r, i))
			write_suite(r, i, ++suites, out);
	sbuf_addf(out, "# Totals: pass:%u fail:%u xfail:%u xpass:%u skip:%u error:%u\n",
		  c.by[V_PASS], c.by[V_FAIL], c.by[V_XFAIL], c.by[V_XPASS], c.by[V_SKIP],
		  c.by[V_ERROR]);
	if (r->bail) {
		sbuf_add(out, "Bail out! ");
		sbuf_add_clean(out, r->bail);
		sbuf_add(out, "\n");
	}
	sbuf_add(out, "# end\n");
}
