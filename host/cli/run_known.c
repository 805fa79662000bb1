/* SPDX-License-Identifier: BSD-2-Clause */
/* Known deviations: of the recipe, of the file beside it, of --known FILE. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/print.h"
#include "host/cli/run_state.h"

/* NAME.known beside NAME.host: what is known of that host. */
static char *known_path(const struct run *r)
{
	const size_t n = strlen(r->recipe->path);
	char *path;

	if (r->o->known)
		return xstrdup(r->o->known);
	if (!ends_with(r->recipe->path, ".host"))
		return NULL;
	path = xasprintf("%.*s.known", (int)(n - 5), r->recipe->path);
	if (access(path, R_OK) == 0)
		return path;
	free(path);
	return NULL;
}

/* The reason, or that of the variable which it names: it may depend on the machine. NULL: there is no such variable. */
static const char *reason_of(const struct run *r, const char *glob)
{
	const char *own = recipe_get(r->recipe, "known", glob, "reason"), *text;
	char *name;

	if (!own)
		return "known";
	if (strncmp(own, "${", 2) != 0 || !ends_with(own, "}"))
		return own;
	name = xstrndup(own + 2, strlen(own) - 3);
	text = vars_get(&r->vars, name);
	if (!text)
		fprintf(stderr, "assay: [known %s] reason: no variable %s\n", glob, name);
	free(name);
	return text;
}

/*
 * [known GLOB] sections, which recipes inherit: deviations of programs that they start. Where the reason is empty the
 * deviation is not there.
 */
static bool recipe_known(struct run *r)
{
	struct strv globs = { 0 };
	bool ok = true;
	size_t i;

	recipe_names(r->recipe, "known", &globs);
	for (i = 0; i < globs.n; i++) {
		const char *at_times = recipe_get(r->recipe, "known", globs.v[i], "at-times");
		const char *reason = reason_of(r, globs.v[i]);

		if (reason && *reason)
			deviations_add(&r->known, globs.v[i], reason,
				       at_times && strcmp(at_times, "yes") == 0);
		ok = ok && reason;
	}
	strv_free(&globs);
	return ok;
}

/* An entry of --known FILE that fits no test does nothing; a host's own file may be older than the payload. */
static bool check_known(const struct run *r, const char *path)
{
	bool ok = true;
	size_t i;

	for (i = 0; r->o->known && i < r->known.n; i++) {
		const struct deviation *d = &r->known.v[i];

		if (deviation_fits(d, r->tests.ids, r->tests.n))
			continue;
		fprintf(stderr, "assay: %s: no test matches \"%s\"", path, d->glob);
		print_suggestions(stderr, d->glob, r->tests.ids, r->tests.n);
		fputs("; `assay list` names them all\n", stderr);
		ok = false;
	}
	return ok;
}

bool run_read_known(struct run *r)
{
	char *path = known_path(r);
	unsigned int line;
	const int ret = path ? deviations_read(path, &r->known, &line) : 0;
	bool wrong = false;

	if (ret == -EBADMSG)
		fprintf(stderr,
			"assay: %s:%u: a test's id and then the reason, with a link, are wanted\n",
			path, line);
	else if (ret)
		fprintf(stderr, "assay: %s: %s\n", path, strerror(-ret));
	else
		wrong = !check_known(r, path) || !recipe_known(r);
	free(path);
	return !ret && !wrong;
}
