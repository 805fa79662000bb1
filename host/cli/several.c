/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/several.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/cli/print.h"

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

/* The folder of a host's run: two runs of the same host have one each. */
static char *output_of(const char *output, const struct strv *hosts, size_t own)
{
	struct strv taken = { 0 };
	char *dir = NULL;
	size_t i;

	for (i = 0; i <= own; i++) {
		char *host = xstrndup(hosts->v[i], strcspn(hosts->v[i], ":"));
		char *name = xstrdup(base_name(host));
		unsigned int n = 1;

		while (strv_has(&taken, name)) {
			free(name);
			name = xasprintf("%s-%u", base_name(host), ++n);
		}
		strv_add(&taken, name);
		if (i == own)
			dir = xasprintf("%s/%s", output, name);
		free(name);
		free(host);
	}
	strv_free(&taken);
	return dir;
}

static int run_on(const struct run_options *o, const struct strv *hosts, size_t own)
{
	const char *host = hosts->v[own];
	const size_t n = strcspn(host, ":");
	struct run_options mine = *o;
	struct strv tests = { 0 };
	char *name = xstrndup(host, n), *dir = NULL;
	int status;

	if (o->output)
		dir = output_of(o->output, hosts, own);
	mine.host = name;
	mine.own = own;
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

static struct {
	struct child *v;
	size_t n;
} children;

/* A terminal tells them all. Who signals this process alone means them, too; each run then ends itself, and says so. */
static void pass_on(int sig)
{
	const int before = errno;
	size_t i;

	for (i = 0; i < children.n; i++)
		if (children.v[i].pid > 0)
			kill(children.v[i].pid, sig);
	errno = before;
}

static const int passed_on[] = { SIGINT, SIGTERM, SIGHUP };

static void set_handlers(void (*handler)(int))
{
	const struct sigaction sa = { .sa_handler = handler };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(passed_on); i++)
		sigaction(passed_on[i], &sa, NULL);
}

/* Held back while the list of children is not whole. */
static void hold_signals(bool on)
{
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < ARRAY_SIZE(passed_on); i++)
		sigaddset(&set, passed_on[i]);
	sigprocmask(on ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* A process of its own, since a run has signal handlers and children. The first one prints by itself. */
static void start(struct child *c, const struct run_options *o, const struct strv *hosts,
		  size_t own)
{
	const char *host = hosts->v[own];
	const bool live = own == 0;
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
	set_handlers(SIG_DFL);
	hold_signals(false);
	if (getppid() != parent || (c->text && (dup2(fileno(c->text), STDOUT_FILENO) < 0 ||
						dup2(fileno(c->text), STDERR_FILENO) < 0)))
		_exit(STATUS_NO_REPORT);
	c->status = run_on(o, hosts, own);
	if (o->runs)
		o->runs[own].over = true;
	fflush(NULL);
	_exit(c->status);
}

#define TICK_MS 200

/* Until the process ends, which it does by its run's own deadline, the line says how far all are. */
static void watch(struct printer *p, pid_t pid)
{
	struct pollfd fd = { .fd = pidfd_open(pid, 0), .events = POLLIN };

	while (fd.fd >= 0 && poll(&fd, 1, TICK_MS) <= 0)
		printer_tick(p);
	printer_clear(p);
	if (fd.fd >= 0)
		close(fd.fd);
}

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
	c->pid = -1;
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

/* Without it the status line shows the first run only. */
static void share_progress(struct run_options *o, const struct strv *hosts)
{
	void *p = mmap(NULL, hosts->n * sizeof(*o->runs), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t i;

	if (p == MAP_FAILED)
		return;
	o->runs = p;
	o->nruns = hosts->n;
	for (i = 0; i < hosts->n; i++)
		snprintf(o->runs[i].host, sizeof(o->runs[i].host), "%.*s",
			 (int)strcspn(base_name(hosts->v[i]), ":"), base_name(hosts->v[i]));
}

int run_several(const struct run_options *o, const struct strv *hosts)
{
	struct child *c = xcalloc(hosts->n, sizeof(*c));
	struct run_options mine = *o;
	struct printer line;
	int status = STATUS_SKIPPED;
	size_t i;

	share_progress(&mine, hosts);
	printer_init(&line, stdout);
	line.quiet = o->quiet;
	line.runs = mine.runs;
	line.nruns = line.own = mine.nruns;

	hold_signals(true);
	if (isatty(STDOUT_FILENO))
		setenv("CLICOLOR_FORCE", "1", 0);
	for (i = 0; i < hosts->n; i++)
		start(&c[i], &mine, hosts, i);
	children.v = c;
	children.n = hosts->n;
	set_handlers(pass_on);
	hold_signals(false);
	for (i = 0; i < hosts->n; i++) {
		if (i > 0 && c[i].pid > 0 && mine.runs && line.live)
			watch(&line, c[i].pid);
		finish(&c[i]);
		status = worse(status, c[i].status);
	}
	children.n = 0;
	free(c);
	if (mine.runs)
		munmap(mine.runs, mine.nruns * sizeof(*mine.runs));
	printer_free(&line);
	return status;
}
