/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/common/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define META_VALUE_MAX                                                                             \
	2000 /* of values that several reports contribute to; a line of KTAP has 4095 */
#define SHARDS_MAX 10000

const char *verdict_name(enum verdict v)
{
	static const char *const name[VERDICTS] = { "PASS", "XPASS", "XFAIL",
						    "SKIP", "ERROR", "FAIL" };

	return name[v];
}

const char *result_name(const struct result *t)
{
	return t->timeout ? "TIMEOUT" : verdict_name(t->verdict);
}

bool verdict_is_bad(enum verdict v)
{
	return v == V_FAIL || v == V_ERROR;
}

size_t suite_length(const char *id)
{
	return strcspn(id, ".");
}

bool same_suite(const char *a, const char *b)
{
	const size_t n = suite_length(a);

	return n == suite_length(b) && strncmp(a, b, n) == 0;
}

/* --- memory ------------------------------------------------------------------------------ */

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

static void entries_free(struct env_entry *e, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(e[i].key);
		free(e[i].value);
	}
	free(e);
}

void report_free(struct report *r)
{
	size_t i;

	free(r->version);
	free(r->boot);
	free(r->bail);
	entries_free(r->env, r->envs);
	entries_free(r->meta, r->metas);
	for (i = 0; i < r->n; i++)
		result_free(&r->results[i]);
	free(r->results);
	strv_free(&r->warnings);
	strv_free(&r->notes);
	strv_free(&r->listed);
	strv_free(&r->problems);
	report_init(r);
}

static struct result *new_result(struct report *r)
{
	struct result *t;

	if (r->n == r->room) {
		r->room = r->room ? r->room * 2 : 64;
		r->results = xrealloc(r->results, r->room * sizeof(*r->results));
	}
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

/* --- the run ----------------------------------------------------------------------------- */

static struct env_entry *find_meta(const struct report *r, const char *key)
{
	size_t i;

	for (i = 0; i < r->metas; i++)
		if (strcmp(r->meta[i].key, key) == 0)
			return &r->meta[i];
	return NULL;
}

void report_meta_set(struct report *r, const char *key, const char *value)
{
	struct env_entry *e = find_meta(r, key);

	if (e) {
		char *old = e->value; /* value may be this one */

		e->value = xstrdup(value);
		free(old);
		return;
	}
	r->meta = xrealloc(r->meta, (r->metas + 1) * sizeof(*r->meta));
	e = &r->meta[r->metas++];
	e->key = xstrdup(key);
	e->value = xstrdup(value);
}

const char *report_meta(const struct report *r, const char *key)
{
	const struct env_entry *e = find_meta(r, key);

	return e ? e->value : NULL;
}

void report_note(struct report *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!strv_has(&r->notes, text))
		strv_add(&r->notes, text);
}

/* The text behind "no: "; NULL: "complete" says no such thing. */
static const char *why_not(const struct report *r)
{
	const char *complete = report_meta(r, "complete");

	if (!complete || strncmp(complete, "no", 2) != 0)
		return NULL;
	return complete + 2 + strspn(complete + 2, ": ");
}

/* Whether list, of parts that "; " separates, has this one. */
static bool has_part(const char *list, const char *part)
{
	const size_t n = strlen(part);
	const char *p;

	if (!n)
		return true;
	for (p = list; (p = strstr(p, part)); p += n)
		if ((p == list || p[-1] == ' ') && (!p[n] || p[n] == ';'))
			return true;
	return false;
}

/* Both values, where they differ. */
static char *both(const char *a, const char *b)
{
	if (has_part(a, b))
		return xstrdup(a);
	if (strlen(a) + strlen(b) > META_VALUE_MAX)
		return has_part(a, "...") ? xstrdup(a) : xasprintf("%s; ...", a);
	return xasprintf("%s; %s", a, b);
}

void report_cut(struct report *r, const char *why)
{
	const char *old = why_not(r);
	char *all = old && *old ? both(old, why) : xstrdup(why);
	char *value = xasprintf("no: %s", all);

	report_meta_set(r, "complete", value);
	r->ended = false;
	free(all);
	free(value);
}

char *report_incomplete(const struct report *r)
{
	const char *why = why_not(r);

	if (why)
		return xstrdup(*why ? why : "the run did not come to its end");
	if (r->bail)
		return xasprintf("the payload gave up: %s", r->bail);
	if (!r->ended)
		return xstrdup("the report stops before its end");
	return NULL;
}

/* --- uniting reports --------------------------------------------------------------------- */

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

/* All but the results and what the run was. */
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
	move_list(&dst->notes, &src->notes);
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
	for (i = 0; i < src->metas; i++)
		if (!report_meta(dst, src->meta[i].key))
			report_meta_set(dst, src->meta[i].key, src->meta[i].value);
	for (i = 0; i < src->n; i++)
		*new_result(dst) = src->results[i];
	src->n = 0;
	report_free(src);
}

/* Values that differ stand side by side: two dates, two shards. */
static void merge_meta(struct report *dst, const struct report *src)
{
	size_t i;

	for (i = 0; i < src->metas; i++) {
		const char *key = src->meta[i].key, *value = src->meta[i].value;
		const char *old = report_meta(dst, key);
		char *joined;

		if (strcmp(key, "complete") == 0 && why_not(src)) {
			report_cut(dst, why_not(src));
			continue;
		}
		if (!old) {
			report_meta_set(dst, key, value);
		} else if (strcmp(key, "shard") == 0) { /* each counts, also the second of a kind */
			joined = xasprintf("%s; %s", old, value);
			report_meta_set(dst, key, joined);
			free(joined);
		} else if (strcmp(key, "complete") != 0) {
			joined = both(old, value);
			report_meta_set(dst, key, joined);
			free(joined);
		}
	}
}

/* Of two results of one test in two reports the heavier stays: a SKIP says nothing that a PASS does not. */
static int weight(enum verdict v)
{
	static const int w[VERDICTS] = { [V_SKIP] = 0,	[V_PASS] = 1,  [V_XPASS] = 2,
					 [V_XFAIL] = 3, [V_ERROR] = 4, [V_FAIL] = 5 };

	return w[v];
}

/* The repetitions of one id, as far as both have them. Those that are taken from src are emptied. */
static void merge_id(struct report *dst, const size_t *d, size_t nd, struct report *src,
		     const size_t *s, size_t ns)
{
	size_t i;

	for (i = 0; i < ns && i < nd; i++) {
		struct result *a = &dst->results[d[i]], *b = &src->results[s[i]];

		if (weight(b->verdict) > weight(a->verdict)) {
			const struct result t = *a;

			*a = *b;
			*b = t;
		}
		result_free(b);
	}
}

void report_merge(struct report *dst, struct report *src)
{
	const bool both_ended = (dst->ended || !dst->started) && src->ended;
	size_t *d = report_by_id(dst), *s = report_by_id(src), i, n;

	merge_meta(dst, src);
	append_frame(dst, src);
	dst->ended = both_ended && !why_not(dst);
	for (i = 0; i < src->n; i += n) {
		const size_t at = report_find(dst, d, src->results[s[i]].id);

		n = report_repetitions(src, s, i);
		if (at < dst->n)
			merge_id(dst, d + at, report_repetitions(dst, d, at), src, s + i, n);
	}
	for (i = 0; i < src->n; i++)
		if (src->results[i].id)
			*new_result(dst) = src->results[i];
	src->n = 0;
	free(d);
	free(s);
	report_free(src);
}

/* --- shards ------------------------------------------------------------------------------ */

struct shards {
	unsigned int *seen, of;
	bool mixed;
};

/* "1/3; 3/3": how often each is there. */
static void count_shards(struct shards *s, const char *list)
{
	unsigned int i, of;
	int n;

	for (; sscanf(list, "%u/%u%n", &i, &of, &n) == 2; list += strspn(list, "; ")) {
		list += n;
		if (!s->of && of > 0 && of <= SHARDS_MAX) {
			s->of = of;
			s->seen = xcalloc(of + 1, sizeof(*s->seen));
		}
		if (of != s->of || i < 1 || i > of)
			s->mixed = true;
		else
			s->seen[i]++;
	}
	s->mixed = s->mixed || *list;
}

void report_judge_shards(struct report *r)
{
	const char *list = report_meta(r, "shard");
	struct shards s = { 0 };
	struct sbuf missing = { 0 };
	unsigned int i, n = 0;

	if (!list)
		return;
	count_shards(&s, list);
	if (s.mixed) {
		char *why = xasprintf("its shards are not of one split: %s", list);

		report_cut(r, why);
		free(why);
	}
	for (i = 1; i <= s.of; i++) {
		if (s.seen[i] > 1)
			report_note(r, "shard %u/%u is there %u times", i, s.of, s.seen[i]);
		if (!s.seen[i] && n++ < 10)
			sbuf_addf(&missing, "%s%u/%u", n > 1 ? ", " : "", i, s.of);
	}
	if (n) {
		char *why = n == 1  ? xasprintf("shard %s is missing", missing.s) :
			    n <= 10 ? xasprintf("shards %s are missing", missing.s) :
				      xasprintf("%u shards of %u are missing", n, s.of);

		report_cut(r, why);
		free(why);
	}
	sbuf_free(&missing);
	free(s.seen);
}

/* --- judging ----------------------------------------------------------------------------- */

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
	char *why = report_incomplete(r);
	const bool whole = !why;

	free(why);
	if (!whole || c.total == 0)
		return 3;
	if (c.by[V_FAIL])
		return 1;
	if (c.by[V_ERROR])
		return 2;
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

/* --- orders ------------------------------------------------------------------------------ */

/* For qsort_r(): the report, and where the suite of each result begins. */
struct order {
	const struct report *r;
	const size_t *first;
};

static int by_number(size_t a, size_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_ids(const void *a, const void *b, void *arg)
{
	const struct order *o = arg;
	const size_t x = *(const size_t *)a, y = *(const size_t *)b;
	const int c = strcmp(o->r->results[x].id, o->r->results[y].id);

	return c ? c : by_number(x, y);
}

static int compare_suites(const void *a, const void *b, void *arg)
{
	const struct order *o = arg;
	const size_t x = *(const size_t *)a, y = *(const size_t *)b;
	const char *p = o->r->results[x].id, *q = o->r->results[y].id;
	const size_t n = suite_length(p), m = suite_length(q);
	const int c = memcmp(p, q, n < m ? n : m);

	if (c || n != m)
		return c ? c : by_number(n, m);
	return by_number(x, y);
}

static int compare_first(const void *a, const void *b, void *arg)
{
	const struct order *o = arg;
	const size_t x = *(const size_t *)a, y = *(const size_t *)b;
	const int c = by_number(o->first[x], o->first[y]);

	return c ? c : by_number(x, y);
}

static size_t *all_indexes(const struct report *r)
{
	size_t *v = xcalloc(r->n, sizeof(*v)), i;

	for (i = 0; i < r->n; i++)
		v[i] = i;
	return v;
}

size_t *report_by_id(const struct report *r)
{
	struct order o = { .r = r };
	size_t *v = all_indexes(r);

	qsort_r(v, r->n, sizeof(*v), compare_ids, &o);
	return v;
}

size_t *report_by_suite(const struct report *r)
{
	size_t *v = all_indexes(r), *first = xcalloc(r->n, sizeof(*first)), i;
	struct order o = { .r = r, .first = first };

	qsort_r(v, r->n, sizeof(*v), compare_suites, &o);
	for (i = 0; i < r->n; i++)
		first[v[i]] = i && same_suite(r->results[v[i - 1]].id, r->results[v[i]].id) ?
				      first[v[i - 1]] :
				      v[i];
	qsort_r(v, r->n, sizeof(*v), compare_first, &o);
	free(first);
	return v;
}

size_t report_find(const struct report *r, const size_t *by_id, const char *id)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (strcmp(r->results[by_id[middle]].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->n && strcmp(r->results[by_id[low]].id, id) == 0 ? low : r->n;
}

size_t report_repetitions(const struct report *r, const size_t *by_id, size_t at)
{
	size_t n = 1;

	while (at + n < r->n && strcmp(r->results[by_id[at]].id, r->results[by_id[at + n]].id) == 0)
		n++;
	return n;
}

struct tally report_tally(const struct report *r, const size_t *by_id, size_t at)
{
	struct tally t = { .n = report_repetitions(r, by_id, at) };
	size_t i;

	for (i = at; i < at + t.n; i++) {
		const struct result *x = &r->results[by_id[i]];

		if (!t.worst || x->verdict > t.worst->verdict) {
			t.worst = x;
			t.same = 0;
		}
		t.same += x->verdict == t.worst->verdict;
	}
	return t;
}
