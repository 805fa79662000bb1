/* SPDX-License-Identifier: BSD-2-Clause */
/* [ask NAME]: what only a program of the host knows and a command line of the host has to say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/proc.h"
#include "host/cli/run_state.h"

#define ASK_MS 10000

/* The end of "assay: [ask NAME] ..."; NULL: the variable is set. To be freed. */
static char *ask(struct run *r, const char *name)
{
	const char *command = recipe_get(r->recipe, "ask", name, "command");
	const uint64_t end = now_ms() + ASK_MS;
	struct sbuf out = { 0 }, err = { 0 };
	struct strv argv = { 0 };
	char *why = NULL, *line;
	int ret = 0;

	if (!command)
		return xstrdup("has no command");
	if (!vars_words(&r->vars, command, &argv, &err)) {
		why = xstrndup(err.s, strcspn(err.s, "\n"));
		goto out;
	}
	ret = proc_output(argv.v, end < r->deadline ? end : r->deadline, &out, &err);
	line = xstrndup(out.s ? out.s : "", out.s ? strcspn(out.s, "\n") : 0);
	if (ret < 0)
		why = xasprintf("%s: %s", argv.v[0], strerror(-ret));
	else if (ret)
		why = xasprintf("%s ended with status %d: %s", argv.v[0], ret, err.s ? err.s : "");
	else if (!*line)
		why = xasprintf("%s printed nothing", argv.v[0]);
	else
		vars_set(&r->vars.run, name, line);
	free(line);
out:
	sbuf_free(&out);
	sbuf_free(&err);
	strv_free(&argv);
	return why;
}

bool run_ask(struct run *r)
{
	struct strv names = { 0 }, used = { 0 };
	bool ok = true;
	size_t i;

	recipe_names(r->recipe, "ask", &names);
	vars_uses(&r->vars, &used);
	for (i = 0; ok && i < names.n; i++) {
		char *why = strv_has(&used, names.v[i]) ? ask(r, names.v[i]) : NULL;

		if (why)
			fprintf(stderr, "assay: %s: [ask %s]: %s\n", r->recipe->path, names.v[i],
				why);
		ok = !why;
		free(why);
	}
	strv_free(&names);
	strv_free(&used);
	return ok;
}
