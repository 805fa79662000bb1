/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/several.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
	pid_t pid;
	FILE *text; /* what it printed */
	int status;
};

static const char *base_name(const char *host)
{
	const char *slash = strrchr(host, '/');

	return slash ? slash + 1 : host;
}

static int run_on(const struct run_options *o, const char *host)
{
	const size_t n = strcspn(host, ":");
	struct run_options mine = *o;
	struct strv tests = { 0 };
	char *name = xstrndup(host, n), *dir = NULL;
	int status;

	if (o->output)
		dir = xasprintf("%s/%s", o->output, base_name(name));
	mine.host = name;
	mine.output = dir;
	if (host[n]) {
		strv_add(&tests, host + n + 1);
		mine.tests = tests;
	}
	status = run_command(&mine);
	strv_free(&tests);
	free(name);
	free(dir);
	return status;
}

/* A process of its own, since a run has signal handlers and children. live: it prints by itself. */
static void start(struct child *c, const struct run_options *o, const char *host, bool live)
{
	const pid_t parent = getpid();

	c->status = STATUS_NO_REPORT;
	c->pid = -1;
	c->text = live ? NULL : tmpfile();
	if (!live && !c->text) {
		fprintf(stderr, "assay: %s: a temporary file: %s\n", host, strerror(errno));
		return;
	}
	fflush(NULL);
	c->pid = fork();
	if (c->pid < 0)
		fprintf(stderr, "assay: %s: a process: %s\n", host, strerror(errno));
	if (c->pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGINT, SIG_DFL);
	if (getppid() != parent || (c->text && (dup2(fileno(c->text), STDOUT_FILENO) < 0 ||
						dup2(fileno(c->text), STDERR_FILENO) < 0)))
		_exit(STATUS_NO_REPORT);
	c->status = run_on(o, host);
	fflush(NULL);
	_exit(c->status);
}

/* Waits for its end, which comes by the run's own deadline. */
static void finish(struct child *c)
{
	char buf[4096];
	pid_t ended = -1;
	size_t n;
	int ws;

	while (c->pid > 0 && (ended = waitpid(c->pid, &ws, 0)) < 0 && errno == EINTR)
		;
	if (c->pid > 0 && ended == c->pid && WIFEXITED(ws))
		c->status = WEXITSTATUS(ws);
	if (!c->text)
		return;
	putchar('\n');
	rewind(c->text);
	while ((n = fread(buf, 1, sizeof(buf), c->text)) > 0)
		fwrite(buf, 1, n, stdout);
	fflush(stdout);
	fclose(c->text);
}

static int worse(int a, int b)
{
	static const int by_weight[] = { STATUS_USAGE, STATUS_NO_REPORT, STATUS_FAIL, STATUS_ERROR,
					 STATUS_OK };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(by_weight); i++)
		if (a == by_weight[i] || b == by_weight[i])
			return by_weight[i];
	return a;
}

int run_several(const struct run_options *o, const struct strv *hosts)
{
	struct child *c = xcalloc(hosts->n, sizeof(*c));
	int status = STATUS_SKIPPED;
	size_t i;

	signal(SIGINT, SIG_IGN); /* each run ends itself on it, and says so */
	if (isatty(STDOUT_FILENO))
		setenv("CLICOLOR_FORCE", "1", 0);
	for (i = 0; i < hosts->n; i++)
		start(&c[i], o, hosts->v[i], i == 0);
	for (i = 0; i < hosts->n; i++) {
		finish(&c[i]);
		status = worse(status, c[i].status);
	}
	free(c);
	return status;
}
