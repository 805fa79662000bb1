/* SPDX-License-Identifier: BSD-2-Clause */
/* `assay report` and `assay diff`: reports that were made before. */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/cmd.h"
#include "host/cli/columns.h"
#include "host/cli/diff.h"
#include "host/cli/load.h"
#include "host/cli/output.h"
#include "host/cli/print.h"
#include "host/cli/run.h"
#include "host/common/ktap.h"
#include "lib/glob.h"

enum {
	OPT_JUNIT = 256,
	OPT_HTML,
	OPT_JSON,
	OPT_KTAP,
	OPT_KNOWN,
	OPT_TESTS
};

struct report_options {
	const char *junit, *html, *json, *ktap, *known;
	bool verbose, quiet;
	struct strv files;
};

static const struct argp_option report_option_list[] = {
	{ "junit", OPT_JUNIT, "FILE", 0, "write JUnit XML; - is standard output, here and below",
	  0 },
	{ "html", OPT_HTML, "FILE", 0, "write one self-contained HTML page", 0 },
	{ "json", OPT_JSON, "FILE", 0, "write JSON", 0 },
	{ "ktap", OPT_KTAP, "FILE", 0, "write the merged report of one host as KTAP", 0 },
	{ "known", OPT_KNOWN, "FILE", 0, "tests known to fail, as for `assay run`", 0 },
	{ "verbose", 'v', NULL, 0, "the whole environment, and what passing tests say", 0 },
	{ "quiet", 'q', NULL, 0, "print nothing", 0 },
	{ 0 },
};

static int to_stdout(const char *path)
{
	return path && is_stdout(path);
}

static error_t parse_report(int key, char *arg, struct argp_state *state)
{
	struct report_options *o = state->input;

	refuse_empty(state, report_option_list, key, arg);
	switch (key) {
	case OPT_JUNIT:
		o->junit = arg;
		return 0;
	case OPT_HTML:
		o->html = arg;
		return 0;
	case OPT_JSON:
		o->json = arg;
		return 0;
	case OPT_KTAP:
		o->ktap = arg;
		return 0;
	case OPT_KNOWN:
		o->known = arg;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		strv_add(&o->files, arg);
		return 0;
	case ARGP_KEY_END:
		if (!o->files.n)
			argp_error(state, "which reports?");
		if (to_stdout(o->junit) + to_stdout(o->html) + to_stdout(o->json) +
			    to_stdout(o->ktap) >
		    1)
			argp_error(state, "only one of the formats can go to standard output");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp report_argp = {
	.options = report_option_list,
	.parser = parse_report,
	.args_doc = "FILE|DIR...",
	.doc = "Merges reports (KTAP or JSON files, or folders of runs): shards unite; of a test that is in several "
	       "reports of a host the worst verdict stays. Several hosts are shown side by side. A serial log serves "
	       "as it is: what is no KTAP in it is passed over, and of several boots the newest complete one counts."
	       "\v"
	       "Examples:\n  assay report build/runs/latest --html report.html\n  assay report shard-*.ktap "
	       "--junit junit.xml\n\nExit status: as `assay run`; an incomplete report, or one without some of its "
	       "shards, is 3.",
};

static void print_one(struct printer *p, const struct column *c)
{
	const struct report *r = &c->report;
	size_t *order = report_by_suite(r), i;

	printer_title(p, c->name, r->version ? r->version : "");
	printer_meta(p, r);
	printer_env(p, r);
	for (i = 0; i < r->n; i++)
		printer_result(p, &r->results[order[i]]);
	printer_summary(p, r, 0);
	free(order);
}

static void print_cell(FILE *f, const struct report *r, const size_t *by_id, const char *id,
		       int width)
{
	const size_t at = report_find(r, by_id, id);
	struct tally t;
	char text[64];

	if (at == r->n) {
		fprintf(f, "  %-*s", width, "");
		return;
	}
	t = report_tally(r, by_id, at);
	if (t.n > 1 && t.same < t.n)
		snprintf(text, sizeof(text), "%s %zu/%zu", result_name(t.worst), t.same, t.n);
	else
		snprintf(text, sizeof(text), "%s", result_name(t.worst));
	fprintf(f, "  %-*s", width, text);
}

/* A row for each test, a column for each host. */
static void print_table(FILE *f, const struct columns *c)
{
	size_t **by_id = xcalloc(c->n, sizeof(*by_id)), *order, i, h;
	struct report rows;
	int *width = xcalloc(c->n, sizeof(*width));

	columns_rows(c, &rows);
	order = report_by_suite(&rows);
	fprintf(f, "\n%-44s", "");
	for (h = 0; h < c->n; h++) {
		by_id[h] = report_by_id(&c->v[h].report);
		width[h] = (int)strlen(c->v[h].name) < 8 ? 8 : (int)strlen(c->v[h].name);
		fprintf(f, "  %-*s", width[h], c->v[h].name);
	}
	fputc('\n', f);
	for (i = 0; i < rows.n; i++) {
		const char *id = rows.results[order[i]].id;

		fprintf(f, "%-44s", id);
		for (h = 0; h < c->n; h++)
			print_cell(f, &c->v[h].report, by_id[h], id, width[h]);
		fputc('\n', f);
	}
	for (h = 0; h < c->n; h++)
		free(by_id[h]);
	free(by_id);
	free(width);
	free(order);
	report_free(&rows);
}

static void print_columns(const struct report_options *o, const struct columns *c, FILE *f)
{
	struct printer p;
	size_t i;

	for (i = 0; i < c->n; i++) {
		const struct report *r = &c->v[i].report;

		printer_init(&p, f);
		p.live = false;
		p.verbose = o->verbose;
		if (i)
			fputc('\n', f);
		if (c->n == 1) {
			print_one(&p, &c->v[i]);
		} else {
			printer_title(&p, c->v[i].name, r->version ? r->version : "");
			printer_meta(&p, r);
			printer_env(&p, r);
			printer_summary(&p, r, 0);
		}
		printer_free(&p);
	}
	if (c->n > 1)
		print_table(f, c);
}

typedef void (*writer)(const struct columns *c, struct sbuf *out);

static void columns_to_ktap(const struct columns *c, struct sbuf *out)
{
	report_to_ktap(&c->v[0].report, out);
}

static bool write_as(const char *path, const struct columns *c, writer w)
{
	struct sbuf b = { 0 };
	int ret;

	if (!path || !c->n)
		return true;
	if (w == columns_to_ktap && c->n > 1) {
		fprintf(stderr,
			"assay: --ktap %s: KTAP has no place for %zu hosts; give it the reports of one, or use --json\n",
			path, c->n);
		return false;
	}
	w(c, &b);
	ret = write_file(path, b.s, b.len);
	sbuf_free(&b);
	if (ret)
		fprintf(stderr, "assay: %s: %s\n", path, strerror(-ret));
	return !ret;
}

/* Entries that fit no result are told; a part of the tests may be in these reports, so that they are no error. */
static void tell_strays(const char *path, const struct deviations *known, const struct columns *c)
{
	struct report rows;
	const char **ids;
	size_t i;

	columns_rows(c, &rows);
	ids = xcalloc(rows.n, sizeof(*ids));
	for (i = 0; i < rows.n; i++)
		ids[i] = rows.results[i].id;
	for (i = 0; i < known->n; i++) {
		if (deviation_fits(&known->v[i], ids, rows.n))
			continue;
		fprintf(stderr, "assay: %s: no result of \"%s\"", path, known->v[i].glob);
		print_suggestions(stderr, known->v[i].glob, ids, rows.n);
		fputc('\n', stderr);
	}
	free(ids);
	report_free(&rows);
}

static bool apply_known(const char *path, struct columns *c)
{
	struct deviations known = { 0 };
	unsigned int line;
	size_t i, k;
	int ret;

	if (!path)
		return true;
	ret = deviations_read(path, &known, &line);
	if (ret == -EBADMSG)
		fprintf(stderr, "assay: %s:%u: an id and a reason are wanted\n", path, line);
	else if (ret)
		fprintf(stderr, "assay: %s: %s\n", path, strerror(-ret));
	if (ret)
		return false;
	for (i = 0; i < c->n; i++)
		for (k = 0; k < c->v[i].report.n; k++)
			deviations_apply(&known, &c->v[i].report.results[k]);
	tell_strays(path, &known, c);
	deviations_free(&known);
	return true;
}

static bool add_file(struct columns *c, const char *path)
{
	struct report *r;
	size_t n, i;

	if (!load_reports(path, &r, &n))
		return false;
	for (i = 0; i < n; i++)
		columns_add(c, &r[i]);
	free(r);
	return true;
}

int cmd_report(int argc, char **argv)
{
	struct report_options o = { 0 };
	struct columns c = { 0 };
	int status = STATUS_NO_REPORT;
	bool ok = true;
	FILE *people;
	size_t i;

	if (argp_parse(&report_argp, argc, argv, 0, NULL, &o))
		return STATUS_USAGE;
	for (i = 0; i < o.files.n; i++)
		ok = add_file(&c, o.files.v[i]) && ok;
	columns_finish(&c);
	if (!apply_known(o.known, &c)) {
		status = STATUS_USAGE;
		goto out;
	}
	/* If standard output gets one of the formats, the text for people goes to stderr. */
	people = to_stdout(o.junit) || to_stdout(o.html) || to_stdout(o.json) || to_stdout(o.ktap) ?
			 stderr :
			 stdout;
	if (!o.quiet)
		print_columns(&o, &c, people);
	ok = write_as(o.junit, &c, columns_to_junit) && ok;
	ok = write_as(o.html, &c, columns_to_html) && ok;
	ok = write_as(o.json, &c, columns_to_json) && ok;
	ok = write_as(o.ktap, &c, columns_to_ktap) && ok;
	if (ok)
		status = columns_status(&c);
out:
	columns_free(&c);
	strv_free(&o.files);
	return status;
}

/* --- assay diff -------------------------------------------------------------------------- */

struct diff_options {
	struct strv files, tests;
};

static const struct argp_option diff_option_list[] = {
	{ "tests", OPT_TESTS, "GLOB[,GLOB...]", 0,
	  "compare these tests only; -GLOB leaves some out; may be repeated", 0 },
	{ 0 },
};

static error_t parse_diff(int key, char *arg, struct argp_state *state)
{
	struct diff_options *o = state->input;

	switch (key) {
	case OPT_TESTS:
		if (arg[strspn(arg, ",")] == '\0')
			argp_error(state, "--tests: the list is empty");
		strv_add(&o->tests, arg);
		return 0;
	case ARGP_KEY_ARG:
		strv_add(&o->files, arg);
		return 0;
	case ARGP_KEY_END:
		if (o->files.n != 2)
			argp_error(state, "two reports are wanted: the old one and the new one");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp diff_argp = {
	.options = diff_option_list,
	.parser = parse_diff,
	.args_doc = "OLD NEW",
	.doc = "Compares two reports (KTAP or JSON files, or folders of runs): verdicts that changed, regressions first."
	       "\v"
	       "A regression is a test that FAILs or ERRs now and did not, and one that passed and is skipped now, or "
	       "no longer runs though it was selected.\nExit status: 0 no regression, 1 a regression, 3 a report "
	       "cannot be read or is incomplete, 4 usage.",
};

/* The report of one host. False: it said why not. */
static bool load_one(const char *path, struct report *r)
{
	struct report *v;
	size_t n, i;

	if (!load_reports(path, &v, &n))
		return false;
	if (n == 1)
		*r = v[0];
	else
		fprintf(stderr, "assay: %s: reports of %zu hosts; one is wanted\n", path, n);
	for (i = 0; n > 1 && i < n; i++)
		report_free(&v[i]);
	free(v);
	return n == 1;
}

/* False: the pattern fits no result of either. */
static bool fits_some(const char *pattern, const struct report *a, const struct report *b)
{
	const struct report *const both[] = { a, b };
	const char *p = *pattern == '-' ? pattern + 1 : pattern;
	size_t i, k;

	for (i = 0; i < 2; i++)
		for (k = 0; k < both[i]->n; k++)
			if (glob_selects(p, strcspn(p, ","), both[i]->results[k].id))
				return true;
	return false;
}

static bool check_tests(const char *list, const struct report *a, const struct report *b)
{
	const char *p;
	size_t n;

	for (p = list; *p; p += n + (p[n] == ',')) {
		n = strcspn(p, ",");
		if (!n || fits_some(p, a, b))
			continue;
		fprintf(stderr, "assay: neither report has a test that matches \"%.*s\"\n", (int)n,
			p);
		return false;
	}
	return true;
}

int cmd_diff(int argc, char **argv)
{
	struct diff_options o = { 0 };
	struct report old, new;
	struct sbuf out = { 0 }, tests = { 0 };
	int status = STATUS_NO_REPORT;
	size_t i;

	if (argp_parse(&diff_argp, argc, argv, 0, NULL, &o))
		return STATUS_USAGE;
	report_init(&old);
	report_init(&new);
	for (i = 0; i < o.tests.n; i++)
		sbuf_addf(&tests, "%s%s", i ? "," : "", o.tests.v[i]);
	if (load_one(o.files.v[0], &old) && load_one(o.files.v[1], &new)) {
		if (!tests.s || check_tests(tests.s, &old, &new))
			status = diff_reports(&old, &new, tests.s, &out);
		else
			status = STATUS_USAGE;
		fputs(out.s ? out.s : "", stdout);
	}
	sbuf_free(&out);
	sbuf_free(&tests);
	report_free(&new);
	report_free(&old);
	strv_free(&o.files);
	strv_free(&o.tests);
	return status;
}
