/* SPDX-License-Identifier: BSD-2-Clause */
/* The folder of a run, its files, and the one for sockets. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/cli/run_state.h"

#define SOCKET_SPACE 40 /* of the 108 bytes of a socket's path, for its name */

char *runs_dir(void)
{
	const char *own = getenv("ASSAY_RUNS");
	char *env = xasprintf("%s/setup.env", program_dir()),
	     *hosts = xasprintf("%s/host/hosts", program_dir()), *dir;
	const bool ours = access(env, R_OK) == 0 || access(hosts, R_OK) == 0;

	if (own && *own)
		dir = xstrdup(own);
	else if (ours && access(program_dir(), W_OK) == 0)
		dir = xasprintf("%s/runs", program_dir());
	else
		dir = xstrdup("build/runs");
	free(env);
	free(hosts);
	return dir;
}

static void point_latest(const char *runs, const char *name)
{
	char *latest = xasprintf("%s/latest", runs),
	     *tmp = xasprintf("%s/.latest.%d", runs, getpid());

	if (symlink(name, tmp) == 0 && rename(tmp, latest) != 0)
		unlink(tmp);
	free(tmp);
	free(latest);
}

bool claim_folder(const char *dir)
{
	/* Programs that are started do not have it; it is given up when this one ends, however that happens. */
	const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return true;
	close(fd);
	fprintf(stderr,
		"assay: another run works in %s: let it end, or name another folder by --output\n",
		dir);
	return false;
}

bool run_make_dir(struct run *r)
{
	const time_t now = time(NULL);
	char stamp[32], *runs = NULL, *name = NULL, *path;
	struct tm tm;
	unsigned int i;
	int ret;

	if (r->o->output) {
		r->dir = xstrdup(r->o->output);
		ret = mkdir_p(r->dir);
		goto out;
	}
	runs = runs_dir();
	ret = mkdir_p(runs);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	for (i = 1; !ret && i < 1000; i++) {
		name = i == 1 ? xasprintf("%s-%s", stamp, r->recipe->name) :
				xasprintf("%s-%s-%u", stamp, r->recipe->name, i);
		r->dir = xasprintf("%s/%s", runs, name);
		if (mkdir(r->dir, 0777) == 0) {
			point_latest(runs, name);
			free(name);
			break;
		}
		ret = errno == EEXIST ? 0 : -errno;
		free(name);
		free(r->dir);
		r->dir = NULL;
	}
out:
	if (ret || !r->dir) {
		fprintf(stderr, "assay: the folder for this run cannot be made in %s: %s\n",
			r->dir ? r->dir : runs, strerror(-ret));
		fputs("assay: --output DIR or ASSAY_RUNS=DIR names another\n", stderr);
		free(runs);
		return false;
	}
	free(runs);
	if (!claim_folder(r->dir))
		return false;
	/* VMMs may run elsewhere, and people paste the paths. */
	path = realpath(r->dir, NULL);
	if (path) {
		free(r->dir);
		r->dir = path;
	}
	return true;
}

int run_open_file(const char *dir, const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd < 0)
		fprintf(stderr,
			"assay: %s: %s\nassay: --output DIR or ASSAY_RUNS=DIR names another place\n",
			path, strerror(errno));
	free(path);
	return fd;
}

bool run_make_tmp_dir(struct run *r)
{
	const char *base = getenv("TMPDIR");

	if (!base || !*base || strlen(base) > 108 - SOCKET_SPACE)
		base = "/tmp"; /* sockets live there, and their paths must be short */
	r->tmp = xasprintf("%s/assay-XXXXXX", base);
	if (mkdtemp(r->tmp))
		return true;
	fprintf(stderr, "assay: %s: %s\n", r->tmp, strerror(errno));
	free(r->tmp);
	r->tmp = NULL;
	return false;
}

bool run_write_file(const struct run *r, const char *name, const struct sbuf *b)
{
	char *path = xasprintf("%s/%s", r->dir, name);
	const int ret = write_file(path, b->s ? b->s : "", b->len);

	if (ret)
		fprintf(stderr,
			"assay: %s: %s\nassay: --output DIR or ASSAY_RUNS=DIR names another place\n",
			path, strerror(-ret));
	free(path);
	return !ret;
}

void run_show_path(const struct run *r, const char *label, const char *name)
{
	const char *dir = r->dir;
	char cwd[PATH_MAX];
	size_t n;

	if (getcwd(cwd, sizeof(cwd))) {
		n = strlen(cwd);
		if (strncmp(dir, cwd, n) == 0 && dir[n] == '/')
			dir += n + 1;
	}
	printf("%s %s/%s\n", label, dir, name);
}

void run_forget_host(const struct run *r)
{
	static const char *const keys[] = { "kernel-log", "records" };
	static const char *const reports[] = { "report.ktap", "result.json" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(reports); i++) {
		char *path = xasprintf("%s/%s", r->dir, reports[i]);

		unlink(path);
		free(path);
	}

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *template = recipe_get(r->recipe, "after", "", keys[i]);
		struct sbuf err = { 0 };
		char *path = template ? vars_string(&r->vars, template, &err) : NULL;

		if (path)
			unlink(path);
		free(path);
		sbuf_free(&err);
	}
}
