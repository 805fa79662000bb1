/* SPDX-License-Identifier: BSD-2-Clause */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/cli/cmd.h"
#include "host/cli/image.h"
#include "host/cli/run.h"
#include "host/cli/select.h"

#define IMAGE_MAX (512u << 20)

enum {
	OPT_SHOW = 256,
	OPT_CLEAR,
	OPT_OUTPUT
};

struct configure_options {
	const char *image, *output;
	bool show, clear, given;
	struct strv words;
};

static const struct argp_option options[] = {
	{ "show", OPT_SHOW, NULL, 0, "print what the image carries, change nothing", 0 },
	{ "clear", OPT_CLEAR, NULL, 0, "remove it", 0 },
	{ "output", OPT_OUTPUT, "FILE", 0, "write there, leave IMAGE as it is", 0 },
	{ 0 },
};

/* An argument may be a whole command line, such as a recipe's ${CMDLINE}; it may also be empty. */
static void add_words(struct strv *words, const char *arg)
{
	static const char blank[] = " \t\r\n";
	size_t n;

	for (arg += strspn(arg, blank); *arg; arg += n + strspn(arg + n, blank)) {
		n = strcspn(arg, blank);
		strv_take(words, xstrndup(arg, n));
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct configure_options *o = state->input;

	refuse_empty(state, options, key, arg);
	switch (key) {
	case OPT_SHOW:
		o->show = true;
		return 0;
	case OPT_CLEAR:
		o->clear = true;
		return 0;
	case OPT_OUTPUT:
		o->output = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (!o->image) {
			o->image = arg;
			return 0;
		}
		o->given = true;
		add_words(&o->words, arg);
		return 0;
	case ARGP_KEY_END:
		if (!o->image)
			argp_error(state, "which image?");
		if (o->given + o->show + o->clear != 1)
			argp_error(state, "give KEY=VALUE..., or --clear, or --show");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "IMAGE [KEY=VALUE...]",
	.doc = "Writes the payload's command line into assay.efi, assay.elf or assay.img, for hosts that pass "
	       "none. What a host does pass is read after it, and wins. Each word must be an option of the payload."
	       "\v"
	       "Examples:\n  assay configure assay.efi tests=vsock.cids shuffle=7\n  assay configure assay.img "
	       "--show\n\nEach call replaces what was there. A signed image needs a new signature.",
};

static void explain(const char *image, int ret)
{
	const char *what = strerror(-ret);

	if (ret == -ENOENT)
		what = "no place for a command line in it: is it an image of Assay, and not compressed?";
	else if (ret == -ENOTUNIQ)
		what = "several payloads in it: configure the file before it is put into the image";
	else if (ret == -EBADMSG)
		what = "its command line is damaged";
	else if (ret == -ENOSPC)
		what = "the command line is too long (at most 4071 characters)";
	fprintf(stderr, "assay: %s: %s\n", image, what);
}

/* The payload would only warn of a key that it does not know, on a console that nobody may read. */
static bool check_key(const struct strv *keys, const char *word)
{
	char *key = xstrndup(word, strcspn(word, "="));
	const bool ok = strv_has(keys, key);

	if (!ok) {
		fprintf(stderr, "assay: the payload has no option \"%s\"", key);
		print_suggestions(stderr, key, (const char *const *)keys->v, keys->n);
		fputc('\n', stderr);
	}
	free(key);
	return ok;
}

/* The tables stand in assay.elf: the image itself, or the one beside this program. False: a word is wrong. */
static bool check_words(const struct configure_options *o)
{
	char *own = image_path(NULL);
	const char *elf = o->image;
	struct strv keys = { 0 };
	struct image_tests tests;
	bool ok = true;
	size_t i;

	if (image_options_read(elf, &keys)) {
		strv_free(&keys);
		elf = own;
		if (image_options_read(elf, &keys))
			strv_free(&keys);
	}
	if (!keys.n && o->words.n)
		fprintf(stderr, "assay: %s: not there, so that the words are not checked\n", own);
	for (i = 0; keys.n && i < o->words.n; i++)
		ok = check_key(&keys, o->words.v[i]) && ok;
	if (keys.n && image_tests_read(elf, &tests) == 0) {
		for (i = 0; i < o->words.n; i++)
			if (strncmp(o->words.v[i], "tests=", 6) == 0)
				ok = check_patterns(&tests, o->words.v[i] + 6) && ok;
		image_tests_free(&tests);
	}
	strv_free(&keys);
	free(own);
	return ok;
}

static int change(const struct configure_options *o, uint8_t *data, size_t n)
{
	const char *out = o->output ? o->output : o->image;
	struct sbuf text = { 0 };
	struct stat st;
	size_t i;
	int ret;

	for (i = 0; i < o->words.n; i++)
		sbuf_addf(&text, "%s%s", i ? " " : "", o->words.v[i]);
	ret = image_config_write(data, n, text.s ? text.s : "");
	sbuf_free(&text);
	if (ret) {
		explain(o->image, ret);
		return STATUS_ERROR;
	}
	ret = write_file(out, data, n);
	if (ret) {
		fprintf(stderr, "assay: %s: %s\n", out, strerror(-ret));
		return STATUS_ERROR;
	}
	if (stat(o->image, &st) == 0)
		chmod(out, st.st_mode & 07777);
	return STATUS_OK;
}

int cmd_configure(int argc, char **argv)
{
	struct configure_options o = { 0 };
	char *data = NULL, *text;
	size_t n;
	int ret, status = STATUS_ERROR;

	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return STATUS_USAGE;
	ret = read_file(o.image, IMAGE_MAX, &data, &n);
	if (!ret && !check_words(&o)) {
		status = STATUS_USAGE;
	} else if (ret) {
		fprintf(stderr, "assay: %s: %s\n", o.image, strerror(-ret));
	} else if (!o.show) {
		status = change(&o, (uint8_t *)data, n);
	} else {
		ret = image_config_read((const uint8_t *)data, n, &text);
		if (ret) {
			explain(o.image, ret);
		} else {
			struct sbuf clean = { 0 };

			sbuf_add_clean(&clean, text);
			puts(clean.s ? clean.s : "");
			sbuf_free(&clean);
			free(text);
			status = STATUS_OK;
		}
	}
	free(data);
	strv_free(&o.words);
	return status;
}
