/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "host/cli/output.h"

static const char page_head
	[] = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	     "<title>Assay report</title>\n<style>\n"
	     ":root{color-scheme:light dark;--line:#8884;--dim:#888;--red:#c62828;--green:#2e7d32;"
	     "--amber:#b26a00}\n"
	     "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\n"
	     "h1{font-size:1.5em;margin:0}h2{font-size:1.1em;margin:1.6em 0 .3em}\n"
	     ".sum{display:flex;flex-wrap:wrap;gap:.6em;margin:1em 0}.sum span{border:1px solid var(--line);"
	     "border-radius:.4em;padding:.2em .7em}\n"
	     "table{border-collapse:collapse;width:100%}td{padding:.25em .6em;border-top:1px solid "
	     "var(--line);vertical-align:top}\n"
	     "td.v{width:5em;font-weight:600}td.t{width:5em;text-align:right;color:var(--dim)}"
	     "code{font:13px/1.4 ui-monospace,monospace;overflow-wrap:anywhere}\n"
	     "pre{font:12px/1.4 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere;"
	     "margin:.3em 0;padding:.5em;border-left:3px solid var(--red)}\n"
	     ".FAIL,.ERROR,.TIMEOUT{color:var(--red)}.PASS{color:var(--green)}.SKIP{color:var(--dim)}"
	     ".XFAIL,.XPASS{color:var(--amber)}.dim{color:var(--dim)}\n"
	     ".warn{color:var(--red);font-weight:600}th{text-align:left;padding:.25em .6em}"
	     "details{margin:.5em 0}</style></head><body>\n<h1>Assay report</h1>\n";

static void add_pair(struct sbuf *out, const char *key, const char *value)
{
	sbuf_add(out, "<tr><td>");
	sbuf_add_xml(out, key);
	sbuf_add(out, "</td><td><code>");
	sbuf_add_xml(out, value);
	sbuf_add(out, "</code></td></tr>\n");
}

static void add_pairs(struct sbuf *out, const char *title, const struct env_entry *e, size_t n)
{
	size_t i;

	if (!n)
		return;
	sbuf_addf(out, "<details><summary>%s</summary><table>\n", title);
	for (i = 0; i < n; i++)
		add_pair(out, e[i].key, e[i].value);
	sbuf_add(out, "</table></details>\n");
}

static void add_dim(struct sbuf *out, const char *label, const char *text)
{
	if (!text)
		return;
	sbuf_addf(out, "<br><span class=\"dim\">%s", label);
	sbuf_add_xml(out, text);
	sbuf_add(out, "</span>");
}

static void add_result(struct sbuf *out, const struct result *t)
{
	const char *v = result_name(t);
	size_t i;

	sbuf_addf(out, "<tr><td class=\"v %s\">%s</td><td><code>", v, v);
	sbuf_add_xml(out, t->id);
	sbuf_add(out, "</code>");
	if (t->reason) {
		sbuf_add(out, "<br>");
		sbuf_add_xml(out, t->reason);
	}
	add_dim(out, "clause: ", t->clause);
	add_dim(out, "owner: ", t->owner);
	if (t->diag.n && t->verdict >= V_XFAIL) {
		sbuf_add(out, "<pre>");
		for (i = 0; i < t->diag.n; i++) {
			sbuf_add_xml(out, t->diag.v[i]);
			sbuf_add(out, "\n");
		}
		sbuf_add(out, "</pre>");
	}
	sbuf_add(out, "</td><td class=\"t\">");
	if (t->ms)
		sbuf_addf(out, "%.2f s", (double)t->ms / 1000);
	sbuf_add(out, "</td></tr>\n");
}

/* The worst first: that is what the reader came for. */
static void add_bad(struct sbuf *out, const struct report *r)
{
	bool any = false;
	int v;
	size_t i;

	for (v = V_FAIL; v >= V_ERROR; v--) {
		for (i = 0; i < r->n; i++) {
			if ((int)r->results[i].verdict != v)
				continue;
			if (!any)
				sbuf_add(out, "<h2>What is wrong</h2><table>\n");
			any = true;
			add_result(out, &r->results[i]);
		}
	}
	if (any)
		sbuf_add(out, "</table>\n");
}

static void add_counts(struct sbuf *out, const struct report *r)
{
	const struct counts c = report_counts(r);
	size_t i;

	sbuf_add(out, "<div class=\"sum\">");
	for (i = VERDICTS; i-- > 0;)
		if (c.by[i])
			sbuf_addf(out, "<span class=\"%s\">%u %s</span>",
				  verdict_name((enum verdict)i), c.by[i],
				  verdict_name((enum verdict)i));
	sbuf_addf(out, "<span>%u tests</span></div>\n", c.total);
}

/* What ran where, and whether it is whole. */
static void add_head(struct sbuf *out, const struct column *c)
{
	const struct report *r = &c->report;
	char *why = report_incomplete(r);
	size_t i;

	sbuf_add(out, "<h2>");
	sbuf_add_xml(out, c->name);
	sbuf_add(out, "</h2><p class=\"dim\">assay ");
	sbuf_add_xml(out, r->version ? r->version : "(version unknown)");
	sbuf_add(out, "</p>\n");
	if (why) {
		sbuf_add(out, "<p class=\"warn\">The report is incomplete: ");
		sbuf_add_xml(out, why);
		sbuf_add(out, "</p>\n");
	}
	for (i = 0; i < r->notes.n; i++) {
		sbuf_add(out, "<p>");
		sbuf_add_xml(out, r->notes.v[i]);
		sbuf_add(out, "</p>\n");
	}
	add_counts(out, r);
	add_pairs(out, "The run", r->meta, r->metas);
	add_pairs(out, "Environment, as the guest saw it", r->env, r->envs);
	add_bad(out, r);
	free(why);
}

/* order: from the first result of a suite on; how many are of it. */
static size_t suite_begin(struct sbuf *out, const struct report *r, const size_t *order,
			  size_t left, bool counts)
{
	const char *id = r->results[order[0]].id;
	char *name = xstrndup(id, suite_length(id));
	size_t n, passed = 0;

	for (n = 0; n < left && same_suite(id, r->results[order[n]].id); n++)
		passed += r->results[order[n]].verdict <= V_XPASS;
	sbuf_add(out, "<h2>");
	sbuf_add_xml(out, name);
	if (counts)
		sbuf_addf(out, " <span class=\"dim\">%zu of %zu passed</span>", passed, n);
	sbuf_add(out, "</h2><table>\n");
	free(name);
	return n;
}

static void add_suites(struct sbuf *out, const struct report *r)
{
	size_t *order = report_by_suite(r), i, n, k;

	for (i = 0; i < r->n; i += n) {
		n = suite_begin(out, r, order + i, r->n - i, true);
		for (k = i; k < i + n; k++)
			add_result(out, &r->results[order[k]]);
		sbuf_add(out, "</table>\n");
	}
	free(order);
}

/* "FAIL", "FAIL 2/5" of repetitions, or nothing where the host did not run the test. */
static void add_cell(struct sbuf *out, const struct report *r, const size_t *by_id, const char *id)
{
	const size_t at = report_find(r, by_id, id);
	struct tally t;

	if (at == r->n) {
		sbuf_add(out, "<td></td>");
		return;
	}
	t = report_tally(r, by_id, at);
	sbuf_addf(out, "<td class=\"v %s\"", result_name(t.worst));
	if (t.worst->reason) {
		sbuf_add(out, " title=\"");
		sbuf_add_xml(out, t.worst->reason);
		sbuf_add(out, "\"");
	}
	sbuf_addf(out, ">%s", result_name(t.worst));
	if (t.n > 1 && t.same < t.n)
		sbuf_addf(out, " %zu/%zu", t.same, t.n);
	sbuf_add(out, "</td>");
}

/* Suite by suite, a row for each test and a column for each host. */
static void add_table(struct sbuf *out, const struct columns *c)
{
	struct report rows;
	size_t **by_id = xcalloc(c->n, sizeof(*by_id)), *order, i, k, n, h;

	columns_rows(c, &rows);
	order = report_by_suite(&rows);
	for (h = 0; h < c->n; h++)
		by_id[h] = report_by_id(&c->v[h].report);
	for (i = 0; i < rows.n; i += n) {
		n = suite_begin(out, &rows, order + i, rows.n - i, false);
		sbuf_add(out, "<tr><th>test</th>");
		for (h = 0; h < c->n; h++) {
			sbuf_add(out, "<th>");
			sbuf_add_xml(out, c->v[h].name);
			sbuf_add(out, "</th>");
		}
		sbuf_add(out, "</tr>\n");
		for (k = i; k < i + n; k++) {
			sbuf_add(out, "<tr><td><code>");
			sbuf_add_xml(out, rows.results[order[k]].id);
			sbuf_add(out, "</code></td>");
			for (h = 0; h < c->n; h++)
				add_cell(out, &c->v[h].report, by_id[h], rows.results[order[k]].id);
			sbuf_add(out, "</tr>\n");
		}
		sbuf_add(out, "</table>\n");
	}
	for (h = 0; h < c->n; h++)
		free(by_id[h]);
	free(by_id);
	free(order);
	report_free(&rows);
}

void columns_to_html(const struct columns *c, struct sbuf *out)
{
	size_t i;

	sbuf_add(out, page_head);
	for (i = 0; i < c->n; i++)
		add_head(out, &c->v[i]);
	if (c->n == 1)
		add_suites(out, &c->v[0].report);
	else
		add_table(out, c);
	sbuf_add(out, "</body></html>\n");
}
