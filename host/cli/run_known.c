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

/* [known GLOB] sections, which recipes inherit: deviations of programs that they start. */
static void recipe_known(struct run *r)
{
	struct strv globs = { 0 };
	size_t i;

	recipe_names(r->recipe, "known", &globs);
	for (i = 0; i < globs.n; i++) {
		const char *reason = recipe_get(r->recipe, "known", globs.v[i], "reason");
		const char *at_times = recipe_get(r->recipe, "known", globs.v[i], "at-times");

		deviations_add(&r->known, globs.v[i], reason ? reason : "known",
			       at_times && strcmp(at_times, "yes") == 0);
	}
	strv_free(&globs);
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
	else if (check_known(r, path))
		recipe_known(r);
	else
		wrong = true;
	free(path);
	return !ret && !wrong;
}
