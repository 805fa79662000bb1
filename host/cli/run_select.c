/* SPDX-License-Identifier: BSD-2-Clause */
/* Which tests a run has, and which of them its host must offer. */
#include <stdio.h>
#include <stdlib.h>

#include "host/cli/run_state.h"
#include "host/cli/select.h"

/* Lines of a recipe that go on are joined by blanks. */
static void drop_blanks(char *text)
{
	const char *from;
	char *to = text;

	for (from = text; *from; from++)
		if (*from != ' ')
			*to++ = *from;
	*to = '\0';
}

/*
 * What the recipe says that its host offers, to be freed; NULL: nothing. It says so of the host as the recipe
 * starts it: with a fault, another variable or argument it is another one.
 */
static char *recipe_require(const struct run *r, bool *ok)
{
	const char *own = recipe_get(r->recipe, "host", "", "require");
	struct sbuf err = { 0 };
	char *text;

	if (!own || r->o->faults.n || r->o->set.n || r->o->append.n || r->o->vmm_args.n)
		return NULL;
	text = vars_string(&r->vars, own, &err);
	*ok = text != NULL;
	if (text)
		drop_blanks(text);
	if (!text)
		fprintf(stderr, "assay: [host] require: %s", err.s);
	else if (*text)
		check_patterns(&r->tests,
			       text); /* says what an older or newer payload does not have */
	sbuf_free(&err);
	if (text && *text)
		return text;
	free(text); /* "require =": nothing, though the recipe that this one extends has something */
	return NULL;
}

/* What the recipe and the options say that this host must offer. */
static bool set_require(struct run *r)
{
	bool ok = true;
	char *own = recipe_require(r, &ok);
	char *given = r->o->require.n ? strv_join(&r->o->require, ",") : NULL;

	if (given)
		ok = check_patterns(&r->tests, given) && check_required(&r->selected, given) && ok;
	if (own && given)
		r->require = xasprintf("%s;%s", own, given);
	else if (own || given)
		r->require = xstrdup(own ? own : given);
	free(own);
	free(given);
	return ok;
}

bool run_select_tests(struct run *r)
{
	const char *own = recipe_get(r->recipe, "host", "", "tests");
	const struct run_options *o = r->o;
	struct strv mine = { 0 };
	size_t i;

	if (o->tests.n) {
		r->list = strv_join(&o->tests, ",");
	} else if (own) {
		r->list = xstrdup(own);
		drop_blanks(r->list);
	}
	if (!check_patterns(&r->tests, r->list))
		return false;
	for (i = 0; i < r->tests.n; i++)
		if (selects(r->list, r->tests.v[i].id))
			strv_add(&r->selected, r->tests.v[i].id);
	r->wanted = xstrdup(r->list ? r->list : "all");
	if (!set_require(r))
		return false;
	if (o->shards > 1) {
		for (i = 0; i < r->selected.n; i++)
			if (shard_of(r->selected.v[i], o->shards) == o->shard)
				strv_add(&mine, r->selected.v[i]);
		strv_free(&r->selected);
		r->selected = mine;
		free(r->list);
		r->list = tests_list(&r->tests, &r->selected);
	}
	if (r->selected.n * o->repeat > REPORT_RESULTS_MAX) {
		fprintf(stderr,
			"assay: --repeat %u of %zu tests are more than the %u results that a report may have\n",
			o->repeat, r->selected.n, REPORT_RESULTS_MAX);
		return false;
	}
	if (r->selected.n)
		return true;
	if (o->shards > 1)
		fprintf(stderr, "assay: shard %u/%u has no test: there are fewer tests than that\n",
			o->shard, o->shards);
	else
		fputs("assay: no test is left to run\n", stderr);
	return false;
}
