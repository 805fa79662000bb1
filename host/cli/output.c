/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/output.h"

#include <stdlib.h>
#include <string.h>

/* --- JSON -------------------------------------------------------------------------------- */

static void json_string(struct sbuf *out, const char *s)
{
	sbuf_add(out, "\"");
	sbuf_add_json(out, s);
	sbuf_add(out, "\"");
}

static void json_member(struct sbuf *out, const char *key, const char *value)
{
	if (!value)
		return;
	sbuf_addf(out, ", \"%s\": ", key);
	json_string(out, value);
}

static void json_list(struct sbuf *out, const char *key, const struct strv *l)
{
	size_t i;

	if (!l->n)
		return;
	sbuf_addf(out, ", \"%s\": [", key);
	for (i = 0; i < l->n; i++) {
		sbuf_add(out, i ? ", " : "");
		json_string(out, l->v[i]);
	}
	sbuf_add(out, "]");
}

static void json_result(struct sbuf *out, const struct result *t)
{
	sbuf_add(out, "{\"id\": ");
	json_string(out, t->id);
	sbuf_addf(out, ", \"verdict\": \"%s\"", t->timeout ? "TIMEOUT" : verdict_name(t->verdict));
	json_member(out, "reason", t->reason);
	json_member(out, "clause", t->clause);
	json_member(out, "owner", t->owner);
	json_list(out, "diagnostics", &t->diag);
	if (t->ms)
		sbuf_addf(out, ", \"ms\": %llu", (unsigned long long)t->ms);
	sbuf_add(out, "}");
}

void output_json(const struct report *r, const struct strv *meta, struct sbuf *out)
{
	const struct counts c = report_counts(r);
	size_t i;

	sbuf_addf(out, "{\"format\": 1, \"complete\": %s, \"status\": %d",
		  r->ended ? "true" : "false", report_status(r));
	json_member(out, "version", r->version);
	json_member(out, "bail", r->bail);
	sbuf_add(out, ",\n \"run\": {");
	for (i = 0; i < meta->n; i++) {
		const size_t n = strcspn(meta->v[i], "=");

		sbuf_addf(out, "%s\"%.*s\": ", i ? ", " : "", (int)n, meta->v[i]);
		json_string(out, meta->v[i] + n + (meta->v[i][n] == '='));
	}
	sbuf_add(out, "},\n \"counts\": {");
	for (i = 0; i < VERDICTS; i++)
		sbuf_addf(out, "%s\"%s\": %u", i ? ", " : "", verdict_name((enum verdict)i),
			  c.by[i]);
	sbuf_addf(out, "},\n \"unparsable_lines\": %u", r->garbage);
	json_list(out, "warnings", &r->warnings);
	json_list(out, "problems", &r->problems);
	sbuf_add(out, ",\n \"environment\": [");
	for (i = 0; i < r->envs; i++) {
		sbuf_add(out, i ? ",\n  [" : "\n  [");
		json_string(out, r->env[i].key);
		sbuf_add(out, ", ");
		json_string(out, r->env[i].value);
		sbuf_add(out, "]");
	}
	sbuf_add(out, "],\n \"results\": [");
	for (i = 0; i < r->n; i++) {
		sbuf_add(out, i ? ",\n  " : "\n  ");
		json_result(out, &r->results[i]);
	}
	sbuf_add(out, "]}\n");
}

/* --- suites ------------------------------------------------------------------------------ */

static bool in_suite(const struct result *t, const char *suite, size_t n)
{
	return suite_length(t->id) == n && strncmp(t->id, suite, n) == 0;
}

static struct counts suite_counts(const struct report *r, const char *suite, size_t n, uint64_t *ms)
{
	struct counts c = { 0 };
	size_t i;

	*ms = 0;
	for (i = 0; i < r->n; i++) {
		if (!in_suite(&r->results[i], suite, n))
			continue;
		c.by[r->results[i].verdict]++;
		c.total++;
		*ms += r->results[i].ms;
	}
	return c;
}

static void suites_of(const struct report *r, struct strv *suites)
{
	size_t i;

	for (i = 0; i < r->n; i++) {
		char *s = xstrndup(r->results[i].id, suite_length(r->results[i].id));

		if (!strv_has(suites, s))
			strv_add(suites, s);
		free(s);
	}
}

/* --- JUnit ------------------------------------------------------------------------------- */

static void junit_text(struct sbuf *out, const struct result *t)
{
	size_t i;

	for (i = 0; i < t->diag.n; i++) {
		sbuf_add_xml(out, t->diag.v[i]);
		sbuf_add(out, "\n");
	}
	if (t->clause) {
		sbuf_add(out, "clause: ");
		sbuf_add_xml(out, t->clause);
		sbuf_add(out, "\n");
	}
	if (t->owner) {
		sbuf_add(out, "owner: ");
		sbuf_add_xml(out, t->owner);
		sbuf_add(out, "\n");
	}
}

static void junit_outcome(struct sbuf *out, const char *element, const char *type,
			  const struct result *t, bool text)
{
	const char *message = t->reason ? t->reason : t->diag.n ? t->diag.v[0] : "";

	sbuf_addf(out, "      <%s", element);
	if (type)
		sbuf_addf(out, " type=\"%s\"", type);
	sbuf_add(out, " message=\"");
	sbuf_add_xml(out, message);
	sbuf_add(out, "\"");
	if (!text) {
		sbuf_add(out, "/>\n");
		return;
	}
	sbuf_add(out, ">");
	junit_text(out, t);
	sbuf_addf(out, "</%s>\n", element);
}

static void junit_case(struct sbuf *out, const struct result *t)
{
	const size_t n = suite_length(t->id);

	sbuf_addf(out, "    <testcase classname=\"assay.");
	{
		char *suite = xstrndup(t->id, n);

		sbuf_add_xml(out, suite);
		free(suite);
	}
	sbuf_add(out, "\" name=\"");
	sbuf_add_xml(out, t->id);
	sbuf_addf(out, "\" time=\"%.3f\"", (double)t->ms / 1000);
	if (t->verdict == V_PASS) {
		sbuf_add(out, "/>\n");
		return;
	}
	sbuf_add(out, ">\n");
	if (t->verdict == V_FAIL)
		junit_outcome(out, "failure", t->timeout ? "timeout" : "fail", t, true);
	else if (t->verdict == V_ERROR)
		junit_outcome(out, "error", "error", t, true);
	else if (t->verdict == V_SKIP || t->verdict == V_XFAIL)
		junit_outcome(out, "skipped", NULL, t, false);
	else
		sbuf_add(out, "      <system-out>passes, though known to fail</system-out>\n");
	sbuf_add(out, "    </testcase>\n");
}

void output_junit(const struct report *r, const struct strv *meta, struct sbuf *out)
{
	const struct counts all = report_counts(r);
	struct strv suites = { 0 };
	uint64_t ms;
	size_t i, k;

	suites_of(r, &suites);
	sbuf_addf(
		out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"assay\" tests=\"%u\" "
		"failures=\"%u\" errors=\"%u\" skipped=\"%u\">\n",
		all.total, all.by[V_FAIL], all.by[V_ERROR], all.by[V_SKIP] + all.by[V_XFAIL]);
	for (i = 0; i < suites.n; i++) {
		const char *s = suites.v[i];
		const struct counts c = suite_counts(r, s, strlen(s), &ms);

		sbuf_add(out, "  <testsuite name=\"");
		sbuf_add_xml(out, s);
		sbuf_addf(
			out,
			"\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\" time=\"%.3f\">\n",
			c.total, c.by[V_FAIL], c.by[V_ERROR], c.by[V_SKIP] + c.by[V_XFAIL],
			(double)ms / 1000);
		sbuf_add(out, "    <properties>\n");
		for (k = 0; k < meta->n; k++) {
			const size_t n = strcspn(meta->v[k], "=");

			sbuf_addf(out, "      <property name=\"%.*s\" value=\"", (int)n,
				  meta->v[k]);
			sbuf_add_xml(out, meta->v[k] + n + (meta->v[k][n] == '='));
			sbuf_add(out, "\"/>\n");
		}
		for (k = 0; k < r->envs; k++) {
			sbuf_add(out, "      <property name=\"env.");
			sbuf_add_xml(out, r->env[k].key);
			sbuf_add(out, "\" value=\"");
			sbuf_add_xml(out, r->env[k].value);
			sbuf_add(out, "\"/>\n");
		}
		sbuf_add(out, "    </properties>\n");
		for (k = 0; k < r->n; k++)
			if (in_suite(&r->results[k], s, strlen(s)))
				junit_case(out, &r->results[k]);
		sbuf_add(out, "  </testsuite>\n");
	}
	sbuf_add(out, "</testsuites>\n");
	strv_free(&suites);
}

/* --- HTML -------------------------------------------------------------------------------- */

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
	     "details{margin:.5em 0}</style></head><body>\n<h1>Assay report</h1>\n";

static void html_pairs_begin(struct sbuf *out, const char *title)
{
	sbuf_addf(out, "<details><summary>%s</summary><table>\n", title);
}

static void html_pair(struct sbuf *out, const char *key, size_t n, const char *value)
{
	char *k = xstrndup(key, n);

	sbuf_add(out, "<tr><td>");
	sbuf_add_xml(out, k);
	sbuf_add(out, "</td><td><code>");
	sbuf_add_xml(out, value);
	sbuf_add(out, "</code></td></tr>\n");
	free(k);
}

static void html_result(struct sbuf *out, const struct result *t)
{
	const char *v = t->timeout ? "TIMEOUT" : verdict_name(t->verdict);
	size_t i;

	sbuf_addf(out, "<tr><td class=\"v %s\">%s</td><td><code>", v, v);
	sbuf_add_xml(out, t->id);
	sbuf_add(out, "</code>");
	if (t->reason) {
		sbuf_add(out, "<br>");
		sbuf_add_xml(out, t->reason);
	}
	if (t->clause) {
		sbuf_add(out, "<br><span class=\"dim\">clause: ");
		sbuf_add_xml(out, t->clause);
		sbuf_add(out, "</span>");
	}
	if (t->owner) {
		sbuf_add(out, "<br><span class=\"dim\">owner: ");
		sbuf_add_xml(out, t->owner);
		sbuf_add(out, "</span>");
	}
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
static void html_bad(const struct report *r, struct sbuf *out)
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
			html_result(out, &r->results[i]);
		}
	}
	if (any)
		sbuf_add(out, "</table>\n");
}

void output_html(const struct report *r, const struct strv *meta, struct sbuf *out)
{
	const struct counts c = report_counts(r);
	struct strv suites = { 0 };
	uint64_t ms;
	size_t i, k;

	sbuf_add(out, page_head);
	sbuf_addf(out, "<p class=\"dim\">assay ");
	sbuf_add_xml(out, r->version ? r->version : "(version unknown)");
	sbuf_addf(out, "%s</p>\n<div class=\"sum\">", r->ended ? "" : ", an incomplete report");
	for (i = VERDICTS; i-- > 0;)
		if (c.by[i])
			sbuf_addf(out, "<span class=\"%s\">%u %s</span>",
				  verdict_name((enum verdict)i), c.by[i],
				  verdict_name((enum verdict)i));
	sbuf_addf(out, "<span>%u tests</span></div>\n", c.total);
	if (meta->n) {
		html_pairs_begin(out, "The run");
		for (i = 0; i < meta->n; i++) {
			const size_t n = strcspn(meta->v[i], "=");

			html_pair(out, meta->v[i], n, meta->v[i] + n + (meta->v[i][n] == '='));
		}
		sbuf_add(out, "</table></details>\n");
	}
	if (r->envs) {
		html_pairs_begin(out, "Environment, as the guest saw it");
		for (i = 0; i < r->envs; i++)
			html_pair(out, r->env[i].key, strlen(r->env[i].key), r->env[i].value);
		sbuf_add(out, "</table></details>\n");
	}
	html_bad(r, out);
	suites_of(r, &suites);
	for (i = 0; i < suites.n; i++) {
		const struct counts s = suite_counts(r, suites.v[i], strlen(suites.v[i]), &ms);

		sbuf_add(out, "<h2>");
		sbuf_add_xml(out, suites.v[i]);
		sbuf_addf(out, " <span class=\"dim\">%u of %u passed</span></h2><table>\n",
			  s.by[V_PASS] + s.by[V_XPASS], s.total);
		for (k = 0; k < r->n; k++)
			if (in_suite(&r->results[k], suites.v[i], strlen(suites.v[i])))
				html_result(out, &r->results[k]);
		sbuf_add(out, "</table>\n");
	}
	sbuf_add(out, "</body></html>\n");
	strv_free(&suites);
}
