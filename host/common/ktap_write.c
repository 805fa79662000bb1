/* SPDX-License-Identifier: BSD-2-Clause */
/* A report as KTAP: what the harness leaves in report.ktap after it has united boots or shards. */
#include <stdlib.h>
#include <string.h>

#include "host/common/ktap.h"

static void write_comment(struct sbuf *out, const char *before, const char *text)
{
	sbuf_add(out, before);
	sbuf_add_clean(out, text);
	sbuf_add(out, "\n");
}

static void write_pair(struct sbuf *out, const char *before, const struct env_entry *e)
{
	sbuf_add(out, before);
	sbuf_add_clean(out, e->key);
	write_comment(out, ": ", e->value);
}

static void write_result(const struct result *t, unsigned int number, struct sbuf *out)
{
	static const char *const directive[VERDICTS] = { "",	    " # XPASS", " # XFAIL",
							 " # SKIP", " # ERROR", "" };
	size_t i;

	write_comment(out, "    # start ", t->id);
	for (i = 0; i < t->diag.n; i++)
		write_comment(out, "    # ", t->diag.v[i]);
	if (t->ms)
		sbuf_addf(out, "    # duration: %llu ms\n", (unsigned long long)t->ms);
	if (t->clause)
		write_comment(out, "    # clause: ", t->clause);
	if (t->owner)
		write_comment(out, "    # owner: ", t->owner);
	sbuf_addf(out, "    %sok %u ", verdict_is_bad(t->verdict) ? "not " : "", number);
	sbuf_add_clean(out, t->id);
	sbuf_add(out, t->timeout ? " # TIMEOUT" : directive[t->verdict]);
	if (t->reason && (t->timeout || *directive[t->verdict])) {
		sbuf_add(out, " ");
		sbuf_add_clean(out, t->reason);
	} else if (t->reason && t->verdict == V_FAIL) {
		/* The harness gave this FAIL: KTAP has no directive for its reason. */
		sbuf_add(out, " # FAIL ");
		sbuf_add_clean(out, t->reason);
	}
	sbuf_add(out, "\n");
}

/* order: the n results of one suite. */
static void write_suite(const struct report *r, const size_t *order, size_t n, unsigned int suite,
			struct sbuf *out)
{
	const char *id = r->results[order[0]].id;
	char *name = xstrndup(id, suite_length(id));
	size_t i, skipped = 0;
	bool bad = false;

	write_comment(out, "    KTAP version 1\n    # Subtest: ", name);
	sbuf_addf(out, "    1..%zu\n", n);
	for (i = 0; i < n; i++) {
		const struct result *t = &r->results[order[i]];

		write_result(t, (unsigned int)i + 1, out);
		bad = bad || verdict_is_bad(t->verdict);
		skipped += t->verdict == V_SKIP;
	}
	sbuf_addf(out, "%sok %u ", bad ? "not " : "", suite);
	sbuf_add_clean(out, name);
	sbuf_add(out, skipped == n ? " # SKIP all tests skipped\n" : "\n");
	free(name);
}

/* How many results from order[0] on are of one suite. */
static size_t suite_size(const struct report *r, const size_t *order, size_t left)
{
	size_t n = 1;

	while (n < left && same_suite(r->results[order[0]].id, r->results[order[n]].id))
		n++;
	return n;
}

static void write_suites(const struct report *r, struct sbuf *out)
{
	size_t *order = report_by_suite(r), i, n;
	unsigned int suites = 0;

	for (i = 0; i < r->n; i += suite_size(r, order + i, r->n - i))
		suites++;
	sbuf_addf(out, "1..%u\n", suites);
	for (i = 0, suites = 0; i < r->n; i += n) {
		n = suite_size(r, order + i, r->n - i);
		write_suite(r, order + i, n, ++suites, out);
	}
	free(order);
}

void report_to_ktap(const struct report *r, struct sbuf *out)
{
	const struct counts c = report_counts(r);
	size_t i;

	sbuf_add(out, "KTAP version 1\n");
	if (r->version) {
		sbuf_add(out, "# assay ");
		sbuf_add_clean(out, r->version);
		write_comment(out, " boot=", r->boot ? r->boot : "unknown");
	}
	for (i = 0; i < r->metas; i++)
		write_pair(out, "# meta ", &r->meta[i]);
	for (i = 0; i < r->notes.n; i++)
		write_comment(out, "# note: ", r->notes.v[i]);
	for (i = 0; i < r->envs; i++)
		write_pair(out, "# env ", &r->env[i]);
	for (i = 0; i < r->warnings.n; i++)
		write_comment(out, "# warning: ", r->warnings.v[i]);
	write_suites(r, out);
	sbuf_addf(out, "# Totals: pass:%u fail:%u xfail:%u xpass:%u skip:%u error:%u\n",
		  c.by[V_PASS], c.by[V_FAIL], c.by[V_XFAIL], c.by[V_XPASS], c.by[V_SKIP],
		  c.by[V_ERROR]);
	if (r->bail)
		write_comment(out, "Bail out! ", r->bail);
	/* A reader that knows no "# meta complete" must see as well that there is more to come. */
	if (r->ended)
		sbuf_add(out, "# end\n");
}
