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
	struct run_options mine = *o;
	char *dir = o->output ? xasprintf("%s/%s", o->output, base_name(host)) : NULL;
	int status;

	mine.host = host;
	mine.output = dir;
	status = run_command(&mine);
	free(dir);
	return status;
}

/* A process of its own, since a run has signal handlers and children. */
static void start(struct child *c, const struct run_options *o, const char *host)
{
	const pid_t parent = getpid();

	c->status = STATUS_NO_REPORT;
	c->text = tmpfile();
	if (!c->text) {
		fprintf(stderr, "assay: %s: a temporary file: %s\n", host, strerror(errno));
		c->pid = -1;
		return;
	}
	if (isatty(STDOUT_FILENO))
		setenv("CLICOLOR_FORCE", "1", 0);
	fflush(NULL);
	c->pid = fork();
	if (c->pid < 0)
		fprintf(stderr, "assay: %s: a process: %s\n", host, strerror(errno));
	if (c->pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || dup2(fileno(c->text), STDOUT_FILENO) < 0 ||
	    dup2(fileno(c->text), STDERR_FILENO) < 0)
		_exit(STATUS_NO_REPORT);
	c->status = run_on(o, host);
	fflush(NULL);
	_exit(c->status);
}

/* Waits for its end, which comes by the run's own deadline. */
static void finish(struct child *c)
{
	char buf[4096];
	size_t n;
	int ws;

	if (c->pid > 0) {
		while (waitpid(c->pid, &ws, 0) < 0 && errno == EINTR)
			;
		c->status = WIFEXITED(ws) ? WEXITSTATUS(ws) : STATUS_NO_REPORT;
	}
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
	int status;
	size_t i;

	for (i = 1; i < hosts->n; i++)
		start(&c[i], o, hosts->v[i]);
	unsetenv("CLICOLOR_FORCE");
	status = run_on(o, hosts->v[0]);
	for (i = 1; i < hosts->n; i++) {
		finish(&c[i]);
		status = worse(status, c[i].status);
	}
	free(c);
	return status;
}
