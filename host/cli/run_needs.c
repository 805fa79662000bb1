/* SPDX-License-Identifier: BSD-2-Clause */
/* What must be there before a host can start, and what only one run may use at a time. */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/cli/proc.h"
#include "host/cli/run_state.h"

#define LOCK_MS 100

static bool exists(const char *word)
{
	const char *path = getenv("PATH");
	char *copy, *next, *dir;
	bool found = false;

	errno = 0;
	if (strchr(word, '/'))
		return access(word, R_OK) == 0;
	next = copy = xstrdup(path ? path : "/usr/bin:/bin");
	while (!found && (dir = strsep(&next, ":"))) {
		char *file = xasprintf("%s/%s", dir, word);

		found = access(file, X_OK) == 0;
		free(file);
	}
	free(copy);
	return found;
}

/* The first need that is not met, to be freed; NULL: all are. */
static char *missing(const struct run *r)
{
	const char *needs = recipe_get(r->recipe, "host", "", "needs");
	struct strv words = { 0 };
	struct sbuf err = { 0 };
	char *what = NULL;
	size_t i;

	if (needs && !vars_words(&r->vars, needs, &words, &err))
		what = xstrndup(err.s, strcspn(err.s, "\n"));
	for (i = 0; i < words.n && !what; i++)
		if (!exists(words.v[i]))
			what = errno == EACCES || errno == EPERM ?
				       xasprintf("%s may not be read by this user", words.v[i]) :
				       xasprintf("%s is missing", words.v[i]);
	sbuf_free(&err);
	strv_free(&words);
	return what;
}

/* scripts/setup --no-root WORDS..., within the time of the run; with *out its output goes there. */
static bool run_setup(const struct run *r, const struct strv *words, struct sbuf *out)
{
	char *script = source_dir() ? xasprintf("%s/scripts/setup", source_dir()) : NULL;
	struct strv argv = { 0 };
	size_t i;
	int ret;

	if (!script || access(script, X_OK) != 0) {
		free(script);
		return false;
	}
	strv_take(&argv, script);
	strv_add(&argv, "--no-root");
	for (i = 0; i < words->n; i++)
		strv_add(&argv, words->v[i]);
	fflush(stdout);
	ret = proc_output(argv.v, r->deadline, out, NULL);
	if (ret == -ETIMEDOUT)
		fprintf(stderr, "assay: %s did not end within the time of this run (--timeout)\n",
			script);
	strv_free(&argv);
	return ret == 0;
}

void run_read_setup(struct run *r)
{
	char *path = xasprintf("%s/setup.env", program_dir()), *word = xstrdup("--print-env");
	const struct strv words = { .v = &word, .n = 1 };
	struct sbuf text = { 0 };

	strv_free(&r->vars.setup);
	if (access(path, R_OK) == 0)
		vars_read(&r->vars.setup, path);
	else if (run_setup(r, &words, &text))
		vars_parse(&r->vars.setup, text.s ? text.s : "");
	sbuf_free(&text);
	free(word);
	free(path);
}

bool run_check_needs(struct run *r)
{
	const char *components = recipe_get(r->recipe, "host", "", "setup");
	const char *hint = recipe_get(r->recipe, "host", "", "hint");
	struct strv words = { 0 };
	struct sbuf err = { 0 };
	char *what = missing(r);

	if (what && components && vars_words(&r->vars, components, &words, &err) &&
	    run_setup(r, &words, NULL)) {
		free(what);
		run_read_setup(r);
		what = missing(r);
	}
	sbuf_free(&err);
	strv_free(&words);
	if (!what)
		return true;
	fprintf(stderr, "assay: host %s cannot start: %s\n", r->recipe->name, what);
	if (hint)
		fprintf(stderr, "assay: %s\n", hint);
	free(what);
	return false;
}

/* Binds an abstract socket, which the kernel removes with this process, however it ends. 1: another one has it. */
static int try_lock(int fd, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "assay.%s", name);
	const socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

	if ((size_t)n >= sizeof(a.sun_path) - 1)
		return -ENAMETOOLONG;
	if (bind(fd, (struct sockaddr *)&a, len) == 0)
		return 0;
	return errno == EADDRINUSE ? 1 : -errno;
}

bool run_take_lock(struct run *r)
{
	const char *name = recipe_get(r->recipe, "host", "", "lock");
	struct pollfd f = { .fd = signals_fd(), .events = POLLIN };
	bool told = false;
	int ret = 1;

	if (!name || !*name)
		return true;
	r->lock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (r->lock < 0)
		ret = -errno;
	while (ret == 1 && !signals_seen() && now_ms() < r->deadline) {
		ret = try_lock(r->lock, name);
		if (ret == 1 && !told)
			printer_note(&r->out, "waiting for another run that uses %s", name);
		told = told || ret == 1;
		if (ret == 1)
			poll(&f, 1, LOCK_MS);
	}
	if (ret < 0)
		fprintf(stderr, "assay: the lock %s: %s\n", name, strerror(-ret));
	else if (ret && signals_seen())
		fprintf(stderr, "assay: interrupted by signal %d\n", signals_seen());
	else if (ret)
		fprintf(stderr,
			"assay: another run used %s until the time of this one was over (--timeout)\n",
			name);
	return ret == 0;
}
