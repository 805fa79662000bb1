/* SPDX-License-Identifier: BSD-2-Clause */
/* --fault: each must be on a list of the recipe, which says how its component is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/fault_list.h"
#include "host/cli/print.h"
#include "host/cli/run_state.h"

/* ${FAULTS_NAME_ARGS} of [faults NAME]: "args" for each --fault that its list has. */
static void set_fault_args(struct run *r, const char *name, const struct fault_list *list)
{
	const char *args = recipe_get(r->recipe, "faults", name, "args"), *at, *a;
	char *var = xasprintf("FAULTS%s%s_ARGS", *name ? "_" : "", name);
	struct sbuf words = { 0 };
	size_t i, k;

	for (i = 0; i < list->n; i++) {
		if (strcmp(list->v[i].section, name) != 0 ||
		    !strv_has(&r->o->faults, list->v[i].id))
			continue;
		for (a = args ? args : "--fault %s"; (at = strstr(a, "%s")); a = at + 2)
			sbuf_addf(&words, "%.*s%s", (int)(at - a), a, list->v[i].id);
		sbuf_addf(&words, "%s ", a);
	}
	for (k = 0; var[k]; k++)
		if (var[k] >= 'a' && var[k] <= 'z')
			var[k] = (char)(var[k] - 'a' + 'A');
	vars_set(&r->vars.run, var, words.s ? words.s : "");
	sbuf_free(&words);
	free(var);
}

/* Each --fault must be on a list of the recipe. */
static bool check_faults(const struct run *r, const struct fault_list *list)
{
	struct strv ids = { 0 };
	bool ok = true;
	size_t i;

	for (i = 0; i < list->n; i++)
		strv_add(&ids, list->v[i].id);
	for (i = 0; ok && i < r->o->faults.n; i++) {
		const char *id = r->o->faults.v[i];

		ok = strv_has(&ids, id);
		if (ok)
			continue;
		fprintf(stderr, "assay: host %s has no fault \"%s\"", r->recipe->name, id);
		print_suggestions(stderr, id, (const char *const *)ids.v, ids.n);
		fputs("; `assay list --faults` names them all\n", stderr);
	}
	strv_free(&ids);
	return ok;
}

bool run_place_faults(struct run *r)
{
	struct strv sections = { 0 };
	struct fault_list list = { 0 };
	struct sbuf err = { 0 };
	size_t i;
	bool ok;

	recipe_names(r->recipe, "faults", &sections);
	ok = sections.n || !r->o->faults.n;
	if (!ok)
		fprintf(stderr, "assay: host %s injects no faults\n", r->recipe->name);
	/* A host whose lists are missing still runs without faults. */
	if (ok && r->o->faults.n) {
		ok = fault_list_read(r->recipe, &list, &err);
		if (!ok)
			fprintf(stderr, "assay: %s", err.s);
	}
	ok = ok && check_faults(r, &list);
	for (i = 0; ok && i < sections.n; i++)
		set_fault_args(r, sections.v[i], &list);
	fault_list_free(&list);
	strv_free(&sections);
	sbuf_free(&err);
	return ok;
}
