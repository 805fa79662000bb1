/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/diff.h"

#include <stdlib.h>
#include <string.h>

#include "host/cli/select.h"

/* In the order in which they are shown. */
enum change {
	NOW_FAILS,
	NOW_ERRS,
	NOW_SKIPS,
	GONE,
	STOPPED,
	ADDED,
	FIXED,
	OTHER,
	CHANGES
};

struct item {
	enum change change;
	struct tally old, new; /* worst is NULL where the report does not have the test */
};

static bool good(enum verdict v)
{
	return v == V_PASS || v == V_XPASS;
}

/* False: nothing changed. */
static bool classify(const struct result *o, const struct result *n, enum change *c)
{
	if (!n)
		*c = good(o->verdict) ? GONE : OTHER;
	else if (!o)
		*c = n->verdict == V_FAIL ? NOW_FAILS : n->verdict == V_ERROR ? NOW_ERRS : ADDED;
	else if (o->verdict == n->verdict)
		return false;
	else if (n->verdict == V_FAIL)
		*c = NOW_FAILS;
	else if (n->verdict == V_ERROR)
		*c = o->verdict == V_FAIL ? OTHER : NOW_ERRS;
	else if (good(o->verdict) && n->verdict == V_SKIP)
		*c = NOW_SKIPS;
	else if (good(o->verdict) && n->verdict == V_XFAIL)
		*c = STOPPED;
	else if (good(n->verdict) && (verdict_is_bad(o->verdict) || o->verdict == V_XFAIL))
		*c = FIXED;
	else
		*c = OTHER;
	return true;
}

static bool is_regression(enum change c)
{
	return c <= GONE;
}

static const char *id_of(const struct item *x)
{
	return x->new.worst ? x->new.worst->id : x->old.worst->id;
}

static int compare(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->change != y->change)
		return x->change < y->change ? -1 : 1;
	return strcmp(id_of(x), id_of(y));
}

/* "FAIL", or "FAIL 2/5" of repetitions that do not agree. */
static char *name_of(const struct tally *t)
{
	if (!t->worst)
		return xstrdup("absent");
	if (t->same == t->n)
		return xstrdup(result_name(t->worst));
	return xasprintf("%s %zu/%zu", result_name(t->worst), t->same, t->n);
}

static void show(const struct item *x, struct sbuf *out)
{
	const struct result *t = x->new.worst ? x->new.worst : x->old.worst;
	char *old = name_of(&x->old), *new = name_of(&x->new);
	size_t i;

	sbuf_addf(out, "  %-7s -> %-7s  ", old, new);
	sbuf_add_clean(out, t->id);
	if (t->reason) {
		sbuf_add(out, ": ");
		sbuf_add_clean(out, t->reason);
	}
	sbuf_add(out, "\n");
	for (i = 0; is_regression(x->change) && x->new.worst &&i < t->diag.n &&i < 5; i++) {
		sbuf_add(out, "      ");
		sbuf_add_clean(out, t->diag.v[i]);
		sbuf_add(out, "\n");
	}
	if (is_regression(x->change) && t->clause) {
		sbuf_add(out, "      clause: ");
		sbuf_add_clean(out, t->clause);
		sbuf_add(out, "\n");
	}
	free(old);
	free(new);
}

/* Whether the run of this report was meant to have the test: where it does not say, yes. */
static bool was_selected(const struct report *r, const char *id)
{
	const char *selected = report_meta(r, "selected"), *shard = report_meta(r, "shard");
	unsigned int i, of;
	int n;

	/* "a; b": several runs were merged, which did not choose alike. */
	if (selected && !strchr(selected, ';') &&
	    !selects(strcmp(selected, "all") == 0 ? NULL : selected, id))
		return false;
	if (!shard)
		return true;
	for (; sscanf(shard, "%u/%u%n", &i, &of, &n) == 2; shard += n, shard += strspn(shard, "; "))
		if (of && shard_of(id, of) == i)
			return true;
	return false;
}

/* All tests of one report that are wanted, with what the other one says of them. */
struct walk {
	const struct report *r;
	const size_t *by_id;
	size_t at;
};

static struct tally next(struct walk *w)
{
	const struct tally t = report_tally(w->r, w->by_id, w->at);

	w->at += t.n;
	return t;
}

/* Both in the order of ids: takes the smaller one, or both where they are the same. */
static void step(struct walk *o, struct walk *n, struct item *x)
{
	const char *a = o->at < o->r->n ? o->r->results[o->by_id[o->at]].id : NULL;
	const char *b = n->at < n->r->n ? n->r->results[n->by_id[n->at]].id : NULL;
	const int c = !a ? 1 : !b ? -1 : strcmp(a, b);

	memset(x, 0, sizeof(*x));
	if (c <= 0)
		x->old = next(o);
	if (c >= 0)
		x->new = next(n);
}

static struct item *collect(const struct report *old, const struct report *new, const char *tests,
			    size_t *n, size_t *unselected)
{
	size_t *old_by_id = report_by_id(old), *new_by_id = report_by_id(new);
	struct item *v = xcalloc(old->n + new->n, sizeof(*v));
	struct walk o = { old, old_by_id, 0 }, w = { new, new_by_id, 0 };

	*n = *unselected = 0;
	while (o.at < old->n || w.at < new->n) {
		struct item *x = &v[*n];

		step(&o, &w, x);
		if (tests && !selects(tests, id_of(x)))
			continue;
		if (!x->new.worst && !was_selected(new, id_of(x)))
			(*unselected)++;
		else
			*n += classify(x->old.worst, x->new.worst, &x->change);
	}
	free(old_by_id);
	free(new_by_id);
	qsort(v, *n, sizeof(*v), compare);
	return v;
}

/* True: it is incomplete, and that was said. */
static bool tell_incomplete(const struct report *r, const char *which, struct sbuf *out)
{
	char *why = report_incomplete(r);

	if (!why)
		return false;
	sbuf_addf(out, "the %s report is incomplete: ", which);
	sbuf_add_clean(out, why);
	sbuf_add(out, "\n");
	free(why);
	return true;
}

int diff_reports(const struct report *old, const struct report *new, const char *tests,
		 struct sbuf *out)
{
	static const char *const title[CHANGES] = {
		[NOW_FAILS] = "Regressions: FAIL now",
		[NOW_ERRS] = "Regressions: ERROR now",
		[NOW_SKIPS] = "Regressions: passed, and are skipped now",
		[GONE] = "Regressions: passed, and no longer run",
		[STOPPED] = "Known to fail now",
		[ADDED] = "New",
		[FIXED] = "Fixed",
		[OTHER] = "Changed otherwise",
	};
	size_t n, i, unselected, regressions = 0, fixed = 0;
	struct item *v = collect(old, new, tests, &n, &unselected);
	bool incomplete;

	for (i = 0; i < n; i++) {
		if (i == 0 || v[i].change != v[i - 1].change)
			sbuf_addf(out, "%s%s\n", i ? "\n" : "", title[v[i].change]);
		show(&v[i], out);
		regressions += is_regression(v[i].change);
		fixed += v[i].change == FIXED;
	}
	free(v);
	sbuf_addf(
		out,
		"%s%zu regression%s, %zu fixed, %zu changed otherwise (%zu results before, %zu now)\n",
		n ? "\n" : "", regressions, regressions == 1 ? "" : "s", fixed,
		n - regressions - fixed, old->n, new->n);
	if (unselected)
		sbuf_addf(out, "%zu test%s of the old report %s not selected now\n", unselected,
			  unselected == 1 ? "" : "s", unselected == 1 ? "was" : "were");
	incomplete = tell_incomplete(old, "old", out);
	incomplete = tell_incomplete(new, "new", out) || incomplete;
	return regressions ? 1 : incomplete ? 3 : 0;
}
