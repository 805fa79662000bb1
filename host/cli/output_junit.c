/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "host/cli/output.h"

static void add_line(struct sbuf *out, const char *label, const char *text)
{
	if (!text)
		return;
	sbuf_add(out, label);
	sbuf_add_xml(out, text);
	sbuf_add(out, "\n");
}

static void add_text(struct sbuf *out, const struct result *t)
{
	size_t i;

	for (i = 0; i < t->diag.n; i++)
		add_line(out, "", t->diag.v[i]);
	add_line(out, "clause: ", t->clause);
	add_line(out, "owner: ", t->owner);
}

static void add_outcome(struct sbuf *out, const char *element, const char *type,
			const struct result *t)
{
	const char *message = t->reason ? t->reason : t->diag.n ? t->diag.v[0] : "";

	sbuf_addf(out, "      <%s", element);
	if (type)
		sbuf_addf(out, " type=\"%s\"", type);
	sbuf_add(out, " message=\"");
	sbuf_add_xml(out, message);
	if (!type) {
		sbuf_add(out, "\"/>\n");
		return;
	}
	sbuf_add(out, "\">");
	add_text(out, t);
	sbuf_addf(out, "</%s>\n", element);
}

static void add_case(struct sbuf *out, const char *class, const struct result *t)
{
	sbuf_add(out, "    <testcase classname=\"assay.");
	sbuf_add_xml(out, class);
	sbuf_add(out, "\" name=\"");
	sbuf_add_xml(out, t->id);
	sbuf_addf(out, "\" time=\"%.3f\"", (double)t->ms / 1000);
	if (t->verdict == V_PASS) {
		sbuf_add(out, "/>\n");
		return;
	}
	sbuf_add(out, ">\n");
	if (t->verdict == V_FAIL)
		add_outcome(out, "failure", t->timeout ? "timeout" : "fail", t);
	else if (t->verdict == V_ERROR)
		add_outcome(out, "error", "error", t);
	else if (t->verdict == V_SKIP || t->verdict == V_XFAIL)
		add_outcome(out, "skipped", NULL, t);
	else
		sbuf_add(out, "      <system-out>passes, though known to fail</system-out>\n");
	sbuf_add(out, "    </testcase>\n");
}

static void add_property(struct sbuf *out, const char *prefix, const char *name, const char *value)
{
	sbuf_addf(out, "      <property name=\"%s", prefix);
	sbuf_add_xml(out, name);
	sbuf_add(out, "\" value=\"");
	sbuf_add_xml(out, value);
	sbuf_add(out, "\"/>\n");
}

static void add_properties(struct sbuf *out, const struct report *r)
{
	size_t i;

	sbuf_add(out, "    <properties>\n");
	for (i = 0; i < r->metas; i++)
		add_property(out, "", r->meta[i].key, r->meta[i].value);
	for (i = 0; i < r->notes.n; i++)
		add_property(out, "", "note", r->notes.v[i]);
	for (i = 0; i < r->envs; i++)
		add_property(out, "env.", r->env[i].key, r->env[i].value);
	sbuf_add(out, "    </properties>\n");
}

/* order: the n results of one suite. */
static void add_suite(struct sbuf *out, const struct column *c, bool several, const size_t *order,
		      size_t n)
{
	const struct report *r = &c->report;
	const char *id = r->results[order[0]].id, *date = report_meta(r, "date");
	char *suite = xstrndup(id, suite_length(id));
	char *name = several ? xasprintf("%s.%s", c->name, suite) : xstrdup(suite);
	unsigned int by[VERDICTS] = { 0 };
	uint64_t ms = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		by[r->results[order[i]].verdict]++;
		ms += r->results[order[i]].ms;
	}
	sbuf_add(out, "  <testsuite name=\"");
	sbuf_add_xml(out, name);
	sbuf_addf(out,
		  "\" tests=\"%zu\" failures=\"%u\" errors=\"%u\" skipped=\"%u\" time=\"%.3f\"", n,
		  by[V_FAIL], by[V_ERROR], by[V_SKIP] + by[V_XFAIL], (double)ms / 1000);
	if (date) {
		sbuf_add(out, " timestamp=\"");
		sbuf_add_xml(out, date);
		sbuf_add(out, "\"");
	}
	sbuf_add(out, ">\n");
	add_properties(out, r);
	for (i = 0; i < n; i++)
		add_case(out, name, &r->results[order[i]]);
	sbuf_add(out, "  </testsuite>\n");
	free(suite);
	free(name);
}

/* A suite of its own with one error, since JUnit has no word for a report that is not whole. */
static void add_incomplete(struct sbuf *out, const struct column *c, const char *why)
{
	sbuf_add(
		out,
		"  <testsuite name=\"report\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\">\n");
	add_properties(out, &c->report);
	sbuf_add(out, "    <testcase classname=\"assay.report\" name=\"report.complete: ");
	sbuf_add_xml(out, c->name);
	sbuf_add(out, "\">\n      <error type=\"incomplete\" message=\"the report is incomplete: ");
	sbuf_add_xml(out, why);
	sbuf_add(out, "\"/>\n    </testcase>\n  </testsuite>\n");
}

static void add_column(struct sbuf *out, const struct column *c, bool several)
{
	const struct report *r = &c->report;
	size_t *order = report_by_suite(r), i, n;
	char *why = report_incomplete(r);

	if (why)
		add_incomplete(out, c, why);
	for (i = 0; i < r->n; i += n) {
		for (n = 1; i + n < r->n; n++)
			if (!same_suite(r->results[order[i]].id, r->results[order[i + n]].id))
				break;
		add_suite(out, c, several, order + i, n);
	}
	free(order);
	free(why);
}

void columns_to_junit(const struct columns *c, struct sbuf *out)
{
	unsigned int total = 0, by[VERDICTS] = { 0 };
	size_t i, v;

	for (i = 0; i < c->n; i++) {
		const struct counts one = report_counts(&c->v[i].report);
		char *why = report_incomplete(&c->v[i].report);

		total += one.total + (why != NULL);
		by[V_ERROR] += why != NULL;
		for (v = 0; v < VERDICTS; v++)
			by[v] += one.by[v];
		free(why);
	}
	sbuf_addf(
		out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"assay\" tests=\"%u\" "
		"failures=\"%u\" errors=\"%u\" skipped=\"%u\">\n",
		total, by[V_FAIL], by[V_ERROR], by[V_SKIP] + by[V_XFAIL]);
	for (i = 0; i < c->n; i++)
		add_column(out, &c->v[i], c->n > 1);
	sbuf_add(out, "</testsuites>\n");
}
