/* SPDX-License-Identifier: BSD-2-Clause */
#include <argp.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/cmd.h"
#include "host/cli/fault_list.h"
#include "host/cli/run.h"
#include "lib/glob.h"

enum {
	OPT_JSON = 256,
	OPT_IMAGE,
	OPT_HOSTS,
	OPT_FAULTS
};

struct list_options {
	bool json, hosts, faults;
	const char *image;
	struct strv globs;
};

static const struct argp_option options[] = {
	{ "json", OPT_JSON, NULL, 0, "as JSON, with the owner and the time limit", 0 },
	{ "image", OPT_IMAGE, "FILE", 0,
	  "the payload's ELF file; default: assay.elf beside this program", 0 },
	{ "hosts", OPT_HOSTS, NULL, 0, "the hosts that `assay run --host` knows", 0 },
	{ "faults", OPT_FAULTS, NULL, 0, "the faults that the reference hosts can inject", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct list_options *o = state->input;

	refuse_empty(state, options, key, arg);
	switch (key) {
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_IMAGE:
		o->image = arg;
		return 0;
	case OPT_HOSTS:
		o->hosts = true;
		return 0;
	case OPT_FAULTS:
		o->faults = true;
		return 0;
	case ARGP_KEY_ARG:
		strv_add(&o->globs, arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "[GLOB...]",
	.doc = "Names the payload's tests and the clause that each checks, read from the image."
	       "\v"
	       "Examples:\n  assay list\n  assay list vsock.cids\n  assay list \"virtio.*\" --json\n  assay list "
	       "--hosts",
};

static int list_hosts(void)
{
	struct strv names = { 0 };
	size_t i;

	recipe_list(&names);
	for (i = 0; i < names.n; i++) {
		struct sbuf err = { 0 };
		struct recipe *r = recipe_load(names.v[i], &err);
		const char *what = r ? recipe_get(r, "host", "", "description") : NULL;

		printf("%-20s %s\n", names.v[i], r ? what ? what : "" : "(damaged recipe)");
		if (!r)
			fprintf(stderr, "assay: %s", err.s);
		recipe_free(r);
		sbuf_free(&err);
	}
	if (!names.n)
		fputs("assay: no recipe found; ASSAY_HOSTS names a folder of .host files\n",
		      stderr);
	strv_free(&names);
	return STATUS_OK;
}

/* All recipes that inject faults. False: one is damaged, or there is none. */
static bool load_faulty_hosts(struct recipe ***hosts, size_t *n)
{
	struct strv names = { 0 }, sections = { 0 };
	struct sbuf err = { 0 };
	bool ok = true;
	size_t i;

	*hosts = NULL;
	*n = 0;
	recipe_list(&names);
	for (i = 0; i < names.n && ok; i++) {
		struct recipe *r = recipe_load(names.v[i], &err);

		ok = r;
		if (!ok)
			fprintf(stderr, "assay: %s", err.s);
		else
			recipe_names(r, "faults", &sections);
		if (sections.n) {
			*hosts = xrealloc(*hosts, (*n + 1) * sizeof(struct recipe *));
			(*hosts)[(*n)++] = r;
		} else {
			recipe_free(r);
		}
		strv_free(&sections);
	}
	if (ok && !*n)
		fputs("assay: no recipe that injects faults was found; ASSAY_HOSTS names a folder of .host files\n",
		      stderr);
	strv_free(&names);
	sbuf_free(&err);
	return ok && *n;
}

static bool is_shown(const struct fault_entry *f, struct recipe *const hosts[], size_t n)
{
	struct fault_place place;
	size_t i;

	for (i = 0; i < n; i++) {
		if (!fault_place(hosts[i], f, &place))
			continue;
		fault_place_free(&place);
		return true;
	}
	return false;
}

/*
 * What the recipes list, each fault once; and what is wrong with the lists: a test that does not exist, a word of "where"
 * that no recipe knows.
 */
static int list_faults(const struct list_options *o)
{
	char *path = image_path(o->image);
	struct image_tests tests = { 0 };
	struct recipe **hosts = NULL;
	struct strv seen = { 0 };
	struct sbuf err = { 0 };
	size_t n = 0, i, k;
	int status = STATUS_ERROR;

	if (!load_tests(path, &tests) || !load_faulty_hosts(&hosts, &n))
		goto out;
	status = STATUS_OK;
	for (i = 0; i < n && status == STATUS_OK; i++) {
		struct fault_list list;

		if (!fault_list_read(hosts[i], &list, &err)) {
			status = STATUS_ERROR;
			break;
		}
		for (k = 0; k < list.n; k++) {
			const struct fault_entry *f = &list.v[k];

			if (strv_has(&seen, f->id))
				continue;
			strv_add(&seen, f->id);
			printf("%s\t%s\t%s\t%s\t%s\n", f->id, f->clause, f->tests, f->where,
			       f->what);
			fault_check_tests(f, &tests, &err);
			if (!is_shown(f, hosts, n))
				sbuf_addf(&err, "%s: no recipe has \"%s\"\n", f->id, f->where);
		}
		fault_list_free(&list);
	}
	if (err.len) {
		fflush(stdout);
		fprintf(stderr, "%s", err.s);
		status = STATUS_ERROR;
	}
out:
	for (i = 0; i < n; i++)
		recipe_free(hosts[i]);
	free(hosts);
	strv_free(&seen);
	sbuf_free(&err);
	image_tests_free(&tests);
	free(path);
	return status;
}

static void add_text(cJSON *o, const char *key, const char *value)
{
	struct sbuf b = { 0 };

	sbuf_add_clean(&b, value);
	if (!cJSON_AddStringToObject(o, key, b.s ? b.s : ""))
		abort();
	sbuf_free(&b);
}

static void print_json(const struct image_test *t, bool first)
{
	cJSON *o = cJSON_CreateObject();
	char *text;

	add_text(o, "id", t->id);
	add_text(o, "clause", t->clause);
	add_text(o, "owner", t->owner ? t->owner : "");
	cJSON_AddNumberToObject(o, "timeout_ms", (double)t->timeout_ms);
	text = cJSON_PrintUnformatted(o);
	if (!text)
		abort();
	printf("%s  %s", first ? "" : ",\n", text);
	cJSON_free(text);
	cJSON_Delete(o);
}

static int list_tests(const struct list_options *o)
{
	char *path = image_path(o->image);
	struct image_tests tests;
	struct sbuf list = { 0 }, line = { 0 };
	size_t i, shown = 0;
	int status = STATUS_NO_REPORT;

	if (!load_tests(path, &tests))
		goto out;
	for (i = 0; i < o->globs.n; i++)
		sbuf_addf(&list, "%s%s", i ? "," : "", o->globs.v[i]);
	status = STATUS_USAGE;
	if (!check_patterns(&tests, list.s))
		goto out_tests;
	status = STATUS_OK;
	if (o->json)
		puts("[");
	for (i = 0; i < tests.n; i++) {
		if (!glob_list_selects(list.s, tests.v[i].id))
			continue;
		if (o->json) {
			print_json(&tests.v[i], shown == 0);
		} else {
			sbuf_free(&line);
			sbuf_addf(&line, "%-44s ", tests.v[i].id);
			sbuf_add_clean(&line, tests.v[i].clause);
			puts(line.s);
		}
		shown++;
	}
	if (o->json)
		puts("\n]");
out_tests:
	image_tests_free(&tests);
	sbuf_free(&list);
	sbuf_free(&line);
out:
	free(path);
	return status;
}

int cmd_list(int argc, char **argv)
{
	struct list_options o = { 0 };
	int status;

	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return STATUS_USAGE;
	if (o.hosts)
		status = list_hosts();
	else if (o.faults)
		status = list_faults(&o);
	else
		status = list_tests(&o);
	strv_free(&o.globs);
	return status;
}
