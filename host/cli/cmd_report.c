/* SPDX-License-Identifier: BSD-2-Clause */
/* `assay report` and `assay diff`: reports that were made before. */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/cli/cmd.h"
#include "host/cli/diff.h"
#include "host/cli/output.h"
#include "host/cli/print.h"
#include "host/cli/run.h"

enum {
	OPT_JUNIT = 256,
	OPT_HTML,
	OPT_JSON,
	OPT_KTAP,
	OPT_KNOWN
};

struct report_options {
	const char *junit, *html, *json, *ktap, *known;
	bool verbose, quiet;
	struct strv files;
};

/* A KTAP file, or the folder of a run. False: it said why not. */
static bool read_report(const char *path, struct report *r)
{
	char *file = NULL;
	struct stat st;
	int ret;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		file = xasprintf("%s/report.ktap", path);
	ret = report_read(r, file ? file : path);
	free(file);
	if (!ret) {
		report_judge(r);
		return true;
	}
	fprintf(stderr, "assay: %s: %s\n", path,
		ret == -EBADMSG ? "no KTAP report in it" : strerror(-ret));
	report_free(r);
	return false;
}

static const struct argp_option report_option_list[] = {
	{ "junit", OPT_JUNIT, "FILE", 0, "write JUnit XML", 0 },
	{ "html", OPT_HTML, "FILE", 0, "write one self-contained HTML page", 0 },
	{ "json", OPT_JSON, "FILE", 0, "write JSON", 0 },
	{ "ktap", OPT_KTAP, "FILE", 0, "write the merged report as KTAP", 0 },
	{ "known", OPT_KNOWN, "FILE", 0, "tests known to fail, as for `assay run`", 0 },
	{ "verbose", 'v', NULL, 0, "the whole environment, and what passing tests say", 0 },
	{ "quiet", 'q', NULL, 0, "print nothing", 0 },
	{ 0 },
};

static error_t parse_report(int key, char *arg, struct argp_state *state)
{
	struct report_options *o = state->input;

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
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp report_argp = {
	.options = report_option_list,
	.parser = parse_report,
	.args_doc = "FILE|DIR...",
	.doc = "Merges KTAP reports (files, or folders of runs): shards unite; of a test that is in several the "
	       "worst verdict stays. A serial log serves as it is: what is no KTAP in it is passed over."
	       "\v"
	       "Examples:\n  assay report build/runs/latest --html report.html\n  assay report shard-*.ktap "
	       "--junit junit.xml\n\nExit status: as `assay run`.",
};

static void print_report(const struct report_options *o, const struct report *r)
{
	struct printer p;
	size_t i, k;

	printer_init(&p, stdout);
	p.live = false;
	p.verbose = o->verbose;
	printer_title(&p, "assay", r->version ? r->version : "");
	printer_env(&p, r);
	for (i = 0; i < r->n; i++) { /* suites together, as the files may not have them */
		const size_t n = suite_length(r->results[i].id);
		bool first = true;

		for (k = 0; k < i && first; k++)
			first = suite_length(r->results[k].id) != n ||
				strncmp(r->results[k].id, r->results[i].id, n) != 0;
		for (k = i; first && k < r->n; k++)
			if (suite_length(r->results[k].id) == n &&
			    strncmp(r->results[k].id, r->results[i].id, n) == 0)
				printer_result(&p, &r->results[k]);
	}
	if (!r->ended)
		printer_note(&p, "a report among these is incomplete");
	printer_summary(&p, r, 0);
	printer_free(&p);
}

typedef void (*writer)(const struct report *r, const struct strv *meta, struct sbuf *out);

static void write_ktap(const struct report *r, const struct strv *meta, struct sbuf *out)
{
	(void)meta;
	report_to_ktap(r, out);
}

static bool write_as(const char *path, const struct report *r, const struct strv *meta, writer w)
{
	struct sbuf b = { 0 };
	int ret;

	if (!path)
		return true;
	w(r, meta, &b);
	ret = write_file(path, b.s, b.len);
	sbuf_free(&b);
	if (ret)
		fprintf(stderr, "assay: %s: %s\n", path, strerror(-ret));
	return !ret;
}

static bool apply_known(const char *path, struct report *r)
{
	struct known_list known = { 0 };
	unsigned int line;
	size_t i;
	int ret;

	if (!path)
		return true;
	ret = known_read(path, &known, &line);
	if (ret) {
		fprintf(stderr, "assay: %s:%u: %s\n", path, line,
			ret == -EBADMSG ? "an id and a reason are wanted" : strerror(-ret));
		return false;
	}
	for (i = 0; i < r->n; i++)
		known_apply(&known, &r->results[i]);
	known_free(&known);
	return true;
}

int cmd_report(int argc, char **argv)
{
	struct report_options o = { 0 };
	struct report all, one;
	struct strv meta = { 0 };
	int status = STATUS_NO_REPORT;
	bool ok = true;
	size_t i;

	if (argp_parse(&report_argp, argc, argv, 0, NULL, &o))
		return STATUS_USAGE;
	report_init(&all);
	for (i = 0; i < o.files.n; i++) {
		if (!read_report(o.files.v[i], &one)) {
			ok = false;
			continue;
		}
		report_merge(&all, &one);
		strv_take(&meta, xasprintf("file %zu=%s", i + 1, o.files.v[i]));
	}
	if (!apply_known(o.known, &all)) {
		status = STATUS_USAGE;
		goto out;
	}
	if (!o.quiet && all.n)
		print_report(&o, &all);
	ok = write_as(o.junit, &all, &meta, output_junit) && ok;
	ok = write_as(o.html, &all, &meta, output_html) && ok;
	ok = write_as(o.json, &all, &meta, output_json) && ok;
	ok = write_as(o.ktap, &all, &meta, write_ktap) && ok;
	if (ok)
		status = report_status(&all);
out:
	report_free(&all);
	strv_free(&meta);
	strv_free(&o.files);
	return status;
}

/* --- assay diff -------------------------------------------------------------------------- */

static error_t parse_diff(int key, char *arg, struct argp_state *state)
{
	struct strv *files = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		strv_add(files, arg);
		return 0;
	case ARGP_KEY_END:
		if (files->n != 2)
			argp_error(state, "two reports are wanted: the old one and the new one");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp diff_argp = {
	.parser = parse_diff,
	.args_doc = "OLD NEW",
	.doc = "Compares two reports (KTAP files, or folders of runs): verdicts that changed, regressions first."
	       "\v"
	       "A regression is a test that FAILs or ERRs now and did not, and one that passed and no longer "
	       "runs.\nExit status: 0 no regression, 1 a regression, 3 a report cannot be read, 4 usage.",
};

int cmd_diff(int argc, char **argv)
{
	struct strv files = { 0 };
	struct report old, new;
	int status = STATUS_NO_REPORT;

	if (argp_parse(&diff_argp, argc, argv, 0, NULL, &files))
		return STATUS_USAGE;
	if (read_report(files.v[0], &old)) {
		if (read_report(files.v[1], &new)) {
			struct sbuf out = { 0 };

			status = diff_reports(&old, &new, &out) ? STATUS_FAIL : STATUS_OK;
			fputs(out.s, stdout);
			sbuf_free(&out);
			report_free(&new);
		}
		report_free(&old);
	}
	strv_free(&files);
	return status;
}
