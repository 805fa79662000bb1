/* SPDX-License-Identifier: BSD-2-Clause */
/* The payload's command line, and how a VMM is given it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/run_state.h"

#define APPEND_MAX                                                                                 \
	3500 /* of the 4096 bytes that a PVH command line may have; the VMM adds its own */
#define REBOOTS	    5
#define CMDLINE_MAX 8000 /* what the payload reads from fw_cfg */

bool run_set_cmdline(struct run *r, const char *text)
{
	struct sbuf args = { 0 }, option = { 0 };
	const size_t n = strlen(text);

	vars_set(&r->vars.run, "CMDLINE", text);
	if (n >= CMDLINE_MAX) {
		fprintf(stderr,
			"assay: the payload's command line would have %zu characters (at most %d)\n",
			n, CMDLINE_MAX);
		return false;
	}
	if (n && strcmp(r->boot, "pvh") == 0 && n < APPEND_MAX) {
		sbuf_add(&args, "-append ");
		sbuf_add_quoted(&args, text);
	} else if (n) {
		sbuf_add(&option, "name=opt/assay/cmdline,string=");
		for (; *text; text++)
			sbuf_addf(&option, "%c%s", *text, *text == ',' ? "," : "");
		sbuf_add(&args, "-fw_cfg ");
		sbuf_add_quoted(&args, option.s);
	}
	vars_set(&r->vars.run, "CMDLINE_ARGS", args.s ? args.s : "");
	sbuf_free(&args);
	sbuf_free(&option);
	return true;
}

static void add_word(struct sbuf *b, const char *key, const char *value)
{
	if (value && *value)
		sbuf_addf(b, "%s%s=%s", b->len ? " " : "", key, value);
}

unsigned int run_slow(const struct run *r)
{
	const char *own = recipe_get(r->recipe, "host", "", "slow");
	const int n = own ? atoi(own) : 1;

	return n > 1 ? (unsigned int)n : 1;
}

unsigned int run_most_reboots(const struct run *r)
{
	const char *own = recipe_get(r->recipe, "host", "", "reboots");

	return r->o->reboots >= 0 ? (unsigned int)r->o->reboots :
	       own		  ? (unsigned int)atoi(own) :
				    REBOOTS;
}

bool run_make_cmdline(struct run *r, const char *list, const char *after, bool last)
{
	const char *own = vars_get(&r->vars, "GUEST_APPEND");
	struct sbuf b = { 0 }, err = { 0 };
	char number[32];
	bool ok = true;
	size_t i;

	if (own) {
		char *text = vars_string(&r->vars, own, &err);

		ok = text != NULL;
		if (!ok)
			fprintf(stderr, "assay: GUEST_APPEND: %s", err.s);
		sbuf_add(&b, ok ? text : "");
		free(text);
	}
	add_word(&b, "tests", list);
	add_word(&b, "shuffle", r->o->shuffle);
	if (r->o->repeat > 1) {
		snprintf(number, sizeof(number), "%u", r->o->repeat);
		add_word(&b, "repeat", number);
	}
	if (r->o->test_timeout > 0) {
		/* 0 would be a test's own limit. */
		snprintf(number, sizeof(number), "%.0f", ceil(r->o->test_timeout));
		add_word(&b, "timeout", number);
	}
	if (run_slow(r) > 1) {
		snprintf(number, sizeof(number), "%u", run_slow(r));
		add_word(&b, "slow", number);
	}
	/* An older payload has no such option. */
	add_word(&b, "reboots", !last && strv_has(&r->options, "reboots") ? "1" : NULL);
	add_word(&b, "after", after);
	for (i = 0; i < r->o->append.n; i++)
		sbuf_addf(&b, "%s%s", b.len ? " " : "", r->o->append.v[i]);
	ok = ok && run_set_cmdline(r, b.s ? b.s : "");
	sbuf_free(&b);
	sbuf_free(&err);
	return ok;
}
