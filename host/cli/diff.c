/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/diff.h"

#include <stdlib.h>
#include <string.h>

/* In the order in which they are shown. */
enum change {
	NOW_FAILS,
	NOW_ERRS,
	STOPPED,
	GONE,
	NOW_SKIPS,
	ADDED,
	FIXED,
	OTHER,
	CHANGES
};

struct item {
	enum change change;
	const struct result *old, *new; /* one may be NULL */
};

/* Of repetitions the worst counts. */
static const struct result *worst(const struct report *r, const char *id)
{
	const struct result *w = NULL;
	size_t i;

	for (i = 0; i < r->n; i++)
		if (strcmp(r->results[i].id, id) == 0 && (!w || r->results[i].verdict > w->verdict))
			w = &r->results[i];
	return w;
}

static bool good(enum verdict v)
{
	return v == V_PASS || v == V_XPASS;
}

static bool bad(enum verdict v)
{
	return v == V_FAIL || v == V_ERROR;
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
	else if (good(n->verdict) && (bad(o->verdict) || o->verdict == V_XFAIL))
		*c = FIXED;
	else
		*c = OTHER;
	return true;
}

static bool is_regression(enum change c)
{
	return c == NOW_FAILS || c == NOW_ERRS || c == GONE;
}

static int compare(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->change != y->change)
		return x->change < y->change ? -1 : 1;
	return strcmp(x->new ? x->new->id : x->old->id, y->new ? y->new->id : y->old->id);
}

static const char *name_of(const struct result *t)
{
	return !t ? "absent" : t->timeout ? "TIMEOUT" : verdict_name(t->verdict);
}

static void show(const struct item *x, struct sbuf *out)
{
	const struct result *t = x->new ? x->new : x->old;
	size_t i;

	sbuf_addf(out, "  %-7s -> %-7s  ", name_of(x->old), name_of(x->new));
	sbuf_add_clean(out, t->id);
	if (t->reason) {
		sbuf_add(out, ": ");
		sbuf_add_clean(out, t->reason);
	}
	sbuf_add(out, "\n");
	for (i = 0; is_regression(x->change) && x->new &&i < t->diag.n &&i < 5; i++) {
		sbuf_add(out, "      ");
		sbuf_add_clean(out, t->diag.v[i]);
		sbuf_add(out, "\n");
	}
	if (is_regression(x->change) && t->clause) {
		sbuf_add(out, "      clause: ");
		sbuf_add_clean(out, t->clause);
		sbuf_add(out, "\n");
	}
}

static struct item *collect(const struct report *old, const struct report *new, size_t *n)
{
	struct item *v = xcalloc(old->n + new->n, sizeof(*v));
	size_t i;

	*n = 0;
	for (i = 0; i < new->n; i++) {
		const struct result *w = worst(new, new->results[i].id);

		if (w != &new->results[i]) /* each id once */
			continue;
		v[*n].old = worst(old, w->id);
		v[*n].new = w;
		*n += classify(v[*n].old, w, &v[*n].change);
	}
	for (i = 0; i < old->n; i++) {
		const struct result *w = worst(old, old->results[i].id);

		if (w != &old->results[i] || worst(new, w->id))
			continue;
		v[*n].old = w;
		v[*n].new = NULL;
		*n += classify(w, NULL, &v[*n].change);
	}
	qsort(v, *n, sizeof(*v), compare);
	return v;
}

bool diff_reports(const struct report *old, const struct report *new, struct sbuf *out)
{
	static const char *const title[CHANGES] = {
		[NOW_FAILS] = "Regressions: FAIL now",
		[NOW_ERRS] = "Regressions: ERROR now",
		[STOPPED] = "Known to fail now",
		[GONE] = "Regressions: passed, and no longer run",
		[NOW_SKIPS] = "Skipped now",
		[ADDED] = "New",
		[FIXED] = "Fixed",
		[OTHER] = "Changed otherwise",
	};
	size_t n, i, regressions = 0, fixed = 0;
	struct item *v = collect(old, new, &n);

	for (i = 0; i < n; i++) {
		if (i == 0 || v[i].change != v[i - 1].change)
			sbuf_addf(out, "%s%s\n", i ? "\n" : "", title[v[i].change]);
		show(&v[i], out);
		regressions += is_regression(v[i].change);
		fixed += v[i].change == FIXED;
	}
	sbuf_addf(
		out,
		"%s%zu regression%s, %zu fixed, %zu changed otherwise (%zu tests before, %zu now)\n",
		n ? "\n" : "", regressions, regressions == 1 ? "" : "s", fixed,
		n - regressions - fixed, old->n, new->n);
	if (!new->ended)
		sbuf_add(out, "the new report is incomplete\n");
	free(v);
	return regressions > 0;
}
