/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * assay-mutate: lists the mutants of C files, each with one change, or prints a file with one of them.
 * scripts/mutants compiles and runs them.
 */
#include <argp.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/mutate/list.h"

#define USAGE_ERROR 4

enum {
	OPT_SEED = 256,
	OPT_FAULTS,
	OPT_IGNORE,
	OPT_EXCEPT,
	OPT_APPLY,
	OPT_OWN,
	OPT_ALSO,
};

static const struct argp_option option_list[] = {
	{ "seed", OPT_SEED, "N", 0, "in the order that N determines; default: the files'", 0 },
	{ "faults", OPT_FAULTS, "NAME,...", 0, "functions that are false on a healthy host", 0 },
	{ "ignore", OPT_IGNORE, "NAME,...", 0, "functions whose calls nobody outside sees", 0 },
	{ "except", OPT_EXCEPT, "FILE:FUNCTION,...", 0, "functions that are no subject", 0 },
	{ "own", OPT_OWN, "DIR", 0,
	  "leave out what is only stored in fields of structures that DIR defines, and read by none but faults",
	  0 },
	{ "also", OPT_ALSO, "FILE", 0,
	  "more of the same program, which may read them; may be repeated", 0 },
	{ "apply", OPT_APPLY, "OFFSET:BYTES:TEXT", 0,
	  "print the file with TEXT in place of those bytes", 0 },
	{ 0 },
};

struct options {
	struct list_options list;
	struct strv files, also;
	const char **flags; /* the compiler's, behind -- */
	int nflags;
	bool shuffle;
	uint64_t seed;
	const char *apply;
};

static void add_words(struct strv *l, char *text)
{
	char *save, *word;

	for (word = strtok_r(text, ", ", &save); word; word = strtok_r(NULL, ", ", &save))
		strv_add(l, word);
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct options *o = st->input;
	char *end;

	switch (key) {
	case OPT_SEED:
		errno = 0;
		o->seed = strtoull(arg, &end, 10);
		if (errno || end == arg || *end || arg[0] == '-')
			argp_error(st, "--seed %s: a number is wanted", arg);
		o->shuffle = true;
		return 0;
	case OPT_FAULTS:
		add_words(&o->list.faults, arg);
		return 0;
	case OPT_IGNORE:
		add_words(&o->list.ignored, arg);
		return 0;
	case OPT_EXCEPT:
		add_words(&o->list.except, arg);
		return 0;
	case OPT_OWN:
		o->list.own = arg;
		return 0;
	case OPT_ALSO:
		strv_add(&o->also, arg);
		return 0;
	case OPT_APPLY:
		o->apply = arg;
		return 0;
	case ARGP_KEY_ARG:
		strv_add(&o->files, arg);
		return 0;
	case ARGP_KEY_END:
		if (!o->files.n)
			argp_error(st, "which file?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* xorshift64*: the same on every machine. */
static uint64_t next_random(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 2685821657736338717ull;
}

static void shuffle(struct mutants *m, uint64_t seed)
{
	uint64_t state = seed * 2 +
			 1; /* never 0, and seeds that are near are no neighbours for long */
	size_t i;

	for (i = 0; i < 16; i++)
		next_random(&state);
	for (i = m->n; i > 1; i--) {
		const size_t j = (size_t)(next_random(&state) % i);
		const struct mutant t = m->v[j];

		m->v[j] = m->v[i - 1];
		m->v[i - 1] = t;
	}
}

/* One line of the output: tabs between FILE LINE FUNCTION KIND FROM TO SOURCE OFFSET BYTES. */
static void print_mutants(const struct mutants *m)
{
	size_t i;

	for (i = 0; i < m->n; i++) {
		const struct mutant *t = &m->v[i];

		printf("%s\t%u\t%s\t%s\t%s\t%s\t%s\t%u\t%u\n", t->path, t->at.line, t->function,
		       t->kind, t->from, t->to, t->source, t->at.off, t->at.n);
	}
}

/* Lines keep their numbers. */
static int apply(const char *path, const char *what)
{
	unsigned int off, n, i;
	char *text;
	size_t size;
	int ret, at = 0;

	ret = read_file(path, 8u << 20, &text, &size);
	if (ret) {
		fprintf(stderr, "mutate: %s: %s\n", path, strerror(-ret));
		return 1;
	}
	if (sscanf(what, "%u:%u:%n", &off, &n, &at) != 2 || !at || off > size || n > size - off) {
		fprintf(stderr, "mutate: --apply %s: there are no such bytes in %s\n", what, path);
		free(text);
		return USAGE_ERROR;
	}
	printf("#line 1 \"%s\"\n", path);
	fwrite(text, 1, off, stdout);
	fputs(what + at, stdout);
	for (i = off; i < off + n; i++)
		if (text[i] == '\n')
			putchar('\n');
	fwrite(text + off + n, 1, size - off - n, stdout);
	free(text);
	return 0;
}

static int list(struct options *o)
{
	const size_t n = o->files.n + o->also.n;
	struct ast *a = xcalloc(n, sizeof(*a));
	struct mutants m = { 0 };
	int status = 0;
	size_t i, before;

	for (i = 0; i < n && !status; i++)
		if (ast_open(&a[i], i < o->files.n ? o->files.v[i] : o->also.v[i - o->files.n],
			     o->flags, o->nflags))
			status = 1;
	do {
		before = o->list.read.n;
		for (i = 0; !status && o->list.own && i < n; i++)
			list_reads(&a[i], &o->list);
	} while (o->list.read.n != before);
	for (i = 0; !status && i < o->files.n; i++)
		list_mutants(&a[i], &o->list, &m);
	for (i = 0; i < n; i++)
		ast_close(&a[i]);
	free(a);
	if (!status) {
		if (o->shuffle)
			shuffle(&m, o->seed);
		print_mutants(&m);
	}
	mutants_free(&m);
	return status;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = option_list,
		.parser = parse,
		.args_doc = "FILE... -- FLAG...",
		.doc = "Lists the one-change mutants of C files, which clang reads with those flags.",
	};
	struct options o = { 0 };
	int status, i;

	/* What stands behind -- is clang's. */
	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		;
	if (i < argc) {
		o.flags = (const char **)argv + i + 1;
		o.nflags = argc - i - 1;
	}
	argp_err_exit_status = USAGE_ERROR;
	argp_parse(&argp, i, argv, 0, NULL, &o);
	if (o.apply && o.files.n != 1) {
		fputs("mutate: --apply is for one file\n", stderr);
		status = USAGE_ERROR;
	} else {
		status = o.apply ? apply(o.files.v[0], o.apply) : list(&o);
	}
	strv_free(&o.files);
	strv_free(&o.also);
	strv_free(&o.list.read);
	strv_free(&o.list.faults);
	strv_free(&o.list.ignored);
	strv_free(&o.list.except);
	return status;
}
