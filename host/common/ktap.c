/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/common/ktap.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "host/common/stamp.h"
#include "lib/ktap.h"

#define MAX_PROBLEMS 20
#define MAX_DIAGS    200
#define MAX_ENV	     256
#define MAX_NOTES    64
#define MAX_META     256
#define MAX_LISTED   10000

static const char indent[] = "    ";
#define INDENT (sizeof(indent) - 1)
static const char version[] = "KTAP version 1";
#define VERSION_LEN (sizeof(version) - 1)

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

/* False: there are too many results, and the running test's is lost. */
static bool has_room(struct ktap *k)
{
	if (k->report->n < REPORT_RESULTS_MAX)
		return true;
	problem(k, "more than %u results", REPORT_RESULTS_MAX);
	forget_test(k);
	return false;
}

/* The running test ends without a result line of its own. */
static void lose_result(struct ktap *k)
{
	if (!ktap_current(k))
		return;
	problem(k, "no result line of %s", ktap_current(k));
	k->number++;
	if (!has_room(k))
		return;
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
	if (!has_room(k))
		return;
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

/* The harness's lines stand at the top of a file that it wrote; what the guest says here is not its business. */
static bool header(struct ktap *k, const char *s)
{
	struct report *r = k->report;
	const char *rest, *colon;
	char *key;

	if (!k->file || k->plan_seen)
		return false;
	if (has_prefix(s, "note: ", &rest)) {
		if (r->notes.n < MAX_NOTES)
			report_note(r, "%s", rest);
		return true;
	}
	if (!has_prefix(s, "meta ", &rest))
		return false;
	colon = strstr(rest, ": ");
	if (!colon || r->metas >= MAX_META)
		return true;
	key = xstrndup(rest, (size_t)(colon - rest));
	report_meta_set(r, key, colon + 2);
	free(key);
	return true;
}

/* The harness wrote that the run did not come to its end. */
static bool says_incomplete(const struct report *r)
{
	const char *complete = report_meta(r, "complete");

	return complete && strncmp(complete, "no", 2) == 0;
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
	r->ended = !says_incomplete(r);
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
	} else if (!nested && header(k, s)) {
		return;
	} else if (!nested && has_prefix(s, "env ", &rest)) {
		add_env(r, rest);
		event(k, KTAP_ENV, rest);
	} else if (!nested && has_prefix(s, "assay ", &rest)) {
		set_version(r, rest);
	} else if (!nested && has_prefix(s, "warning: ", &rest)) {
		if (r->warnings.n < MAX_NOTES && !strv_has(&r->warnings, rest))
			strv_add(&r->warnings, rest);
	} else if (!nested && has_prefix(s, "test ", &rest)) {
		if (r->listed.n < MAX_LISTED)
			strv_add(&r->listed, rest);
	} else if (!nested && has_prefix(s, "Totals: ", &rest)) {
		check_totals(k, rest);
	} else if (!nested && strcmp(s, "end") == 0) {
		end_report(k);
	} else if (!ktap_current(k) && has_prefix(s, "reboot: ", &rest)) {
		event(k, KTAP_REBOOT, rest);
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

/* The payload prints ASCII. Anything else is noise, or meant for the terminal of whoever reads the report. */
static bool is_text(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if ((s[i] < ' ' || s[i] > '~') && s[i] != '\t')
			return false;
	return true;
}

/*
 * Before the version line the firmware talks. What stands before it on its line is the firmware's, or the
 * time stamp of a logger, which then stands before each line.
 */
static void await_version(struct ktap *k, const char *s, size_t n)
{
	const size_t stamp = stamp_length(s);

	if (n < VERSION_LEN || strcmp(s + n - VERSION_LEN, version) != 0)
		return;
	k->stamp_gap = strspn(s + stamp, " \t");
	k->stamped = stamp && stamp + k->stamp_gap + VERSION_LEN == n;
	k->report->started = true;
	event(k, KTAP_BEGIN, NULL);
}

/* The version line once more. A suite's is indented, a test may say the words in a comment, and firmware may end no line. */
static bool begins_again(const char *s, size_t n)
{
	const size_t before = n < VERSION_LEN ? 0 : n - VERSION_LEN;

	if (n < VERSION_LEN || strcmp(s + before, version) != 0)
		return false;
	return !before || (*s != '#' && s[before - 1] != ' ' && s[before - 1] != '\t');
}

/* Without the logger's time stamp. */
static const char *unstamped(const struct ktap *k, const char *s)
{
	const size_t stamp = k->stamped ? stamp_length(s) : 0;
	size_t gap;

	if (!stamp)
		return s;
	gap = strspn(s + stamp, " \t");
	return s + stamp + (gap < k->stamp_gap ? gap : k->stamp_gap);
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
	const char *text;
	bool nested;

	if (k->again)
		return;
	if (!r->started && strncmp(s, BAIL_OUT, strlen(BAIL_OUT)) == 0) {
		bail_out(r, s); /* the host, on behalf of a payload that did not start */
		return;
	}
	if (!r->started) {
		await_version(k, s, n);
		return;
	}
	text = unstamped(k, s);
	n -= (size_t)(text - s);
	s = text;
	if (k->firmware) {
		k->firmware = strcmp(s, KTAP_INDENT KTAP_BACK) != 0;
		return;
	}
	if (strcmp(s, KTAP_INDENT KTAP_RESET) == 0) {
		k->firmware = true;
		return;
	}
	if (!k->file && !r->ended && begins_again(s, n)) {
		k->again = true;
		event(k, KTAP_RESTART, NULL);
		return;
	}
	if (!is_text(s, n)) {
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
	if (!complete || !r->started || r->ended || says_incomplete(r))
		return;
	problem(k, "the report stops before its end%s%s", ktap_current(k) ? ", in " : "",
		ktap_current(k) ? ktap_current(k) : "");
	if (ktap_current(k))
		ktap_conclude(k, NULL, V_ERROR, "the report stops here");
}
