/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `assay faults`: is each injected fault caught by the test that should catch it, and does the healthy
 * host have none? Each is a run of its own (a child process of this program), some at a time.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/cli/cmd.h"
#include "host/cli/image.h"
#include "host/cli/print.h"
#include "host/cli/proc.h"
#include "host/cli/run.h"
#include "lib/glob.h"

#define JOBS_MAX 64
#define SMOKE                                                                                      \
	"vsock.stream.connect" /* what else runs, where it exists: is the host alive at all? */

struct fault {
	char *id, *clause, *expect, *needs, *what;
	pid_t pid;
	uint64_t started, ms;
	char *dir, *caught; /* tests that failed as they should */
	const char *verdict;
	bool done, ok;
};

struct faults_options {
	const char *host, *boot, *machine, *output, *image, *timeout;
	struct strv only;
	unsigned int jobs;
	bool quick, verbose;
};

struct faults {
	const struct faults_options *o;
	struct fault *v;
	size_t n, done;
	struct image_tests tests;
	char *dir;
	struct printer out;
};

enum {
	OPT_HOST = 256,
	OPT_BOOT,
	OPT_MACHINE,
	OPT_FAULT,
	OPT_QUICK,
	OPT_JOBS,
	OPT_OUTPUT,
	OPT_IMAGE,
	OPT_TIMEOUT
};

static const struct argp_option options[] = {
	{ "host", OPT_HOST, "NAME|FILE", 0, "the host that injects faults; default: ref", 0 },
	{ "fault", OPT_FAULT, "ID[,ID...]", 0, "these faults only (globs); may be repeated", 0 },
	{ "quick", OPT_QUICK, NULL, 0, "skip the run of the healthy host; every fourth fault only",
	  0 },
	{ "jobs", OPT_JOBS, "N", 0, "runs at a time; default: 2", 0 },
	{ "boot", OPT_BOOT, "efi|pvh", 0, "how the payload starts; default: pvh, the fastest", 0 },
	{ "machine", OPT_MACHINE, "NAME", 0, "the machine; default: the host's", 0 },
	{ "timeout", OPT_TIMEOUT, "S", 0, "seconds for each run; default: 120", 0 },
	{ "image", OPT_IMAGE, "FILE", 0, "another payload (ELF)", 0 },
	{ "output", OPT_OUTPUT, "DIR", 0,
	  "a folder for each run is made there; default: build/runs/faults", 0 },
	{ "verbose", 'v', NULL, 0, "show what each fault is", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct faults_options *o = state->input;
	char *copy, *next, *id;

	switch (key) {
	case OPT_HOST:
		o->host = arg;
		return 0;
	case OPT_BOOT:
		o->boot = arg;
		return 0;
	case OPT_MACHINE:
		o->machine = arg;
		return 0;
	case OPT_IMAGE:
		o->image = arg;
		return 0;
	case OPT_OUTPUT:
		o->output = arg;
		return 0;
	case OPT_TIMEOUT:
		o->timeout = arg;
		return 0;
	case OPT_QUICK:
		o->quick = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case OPT_JOBS:
		if (!parse_number(arg, 1, JOBS_MAX, &o->jobs))
			argp_error(state, "--jobs %s: a number from 1 to %u is wanted", arg,
				   JOBS_MAX);
		return 0;
	case OPT_FAULT:
		next = copy = xstrdup(arg);
		while ((id = strsep(&next, ",")))
			if (*id)
				strv_add(&o->only, id);
		free(copy);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is no option; faults are named by --fault", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.doc = "Injects one fault after the other into the host and demands that a test which should catch it "
	       "FAILs; the healthy host must have none."
	       "\v"
	       "Exit status: 0 every fault is caught, 1 one is not, 2 a run could not be made, 4 usage.",
};

/* --- the list ---------------------------------------------------------------------------- */

/* "ID \t CLAUSE \t TESTS \t NEEDS \t WHAT" */
static void add_line(struct faults *f, char *line)
{
	struct fault x = { 0 };
	char **const field[] = { &x.id, &x.clause, &x.expect, &x.needs, &x.what };
	char *next = line, *text;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(field); i++) {
		text = next ? strsep(&next, i + 1 < ARRAY_SIZE(field) ? "\t" : "\n") : NULL;
		*field[i] = xstrdup(text ? text : "");
	}
	f->v = xrealloc(f->v, (f->n + 1) * sizeof(*f->v));
	f->v[f->n++] = x;
}

static bool wanted(const struct faults_options *o, const char *id)
{
	size_t i;

	for (i = 0; i < o->only.n; i++)
		if (glob_selects(o->only.v[i], strlen(o->only.v[i]), id))
			return true;
	return !o->only.n;
}

/* Runs each list command of the recipe; its lines become faults. */
static int read_list(struct faults *f)
{
	struct sbuf err = { 0 };
	struct recipe *r = recipe_load(f->o->host, &err);
	struct strv sections = { 0 }, ids = { 0 };
	struct vars vars = { .recipe = r };
	char *path = xasprintf("%s/setup.env", program_dir());
	size_t i, line_no = 0, cap = 0;
	char *line = NULL;
	int status = STATUS_USAGE;

	if (!r) {
		fprintf(stderr, "assay: %s", err.s);
		goto out;
	}
	vars_read(&vars.setup, path);
	vars_set(&vars.run, "BIN", program_dir());
	free(path);
	path = xasprintf("%s/assay-refdev", program_dir());
	vars_set(&vars.run, "REFDEV", path);
	recipe_names(r, "faults", &sections);
	for (i = 0; i < sections.n; i++) {
		const char *command = recipe_get(r, "faults", sections.v[i], "list");
		char *text = command ? vars_string(&vars, command, &err) : NULL;
		FILE *p = text ? popen(text, "re") : NULL;

		while (p && getline(&line, &cap, p) > 0) {
			char *id = xstrndup(line, strcspn(line, "\t\n"));

			strv_add(&ids, id);
			if (*id && *id != '#' && wanted(f->o, id) &&
			    (!f->o->quick || line_no++ % 4 == 0))
				add_line(f, line);
			free(id);
		}
		if (!p || pclose(p) != 0) {
			fprintf(stderr, "assay: the list of faults cannot be had: %s%s\n",
				text ? text : "no command", err.s ? err.s : "");
			free(text);
			goto out;
		}
		free(text);
	}
	if (f->n) {
		status = STATUS_OK;
		goto out;
	}
	fprintf(stderr, "assay: host %s has no such fault", r->name);
	if (f->o->only.n)
		print_suggestions(stderr, f->o->only.v[0], (const char *const *)ids.v, ids.n);
	fputc('\n', stderr);
out:
	free(line);
	free(path);
	strv_free(&sections);
	strv_free(&ids);
	sbuf_free(&err);
	vars_free(&vars);
	recipe_free(r);
	return status;
}

/* --- one run ----------------------------------------------------------------------------- */

/* The tests that should catch it, as far as the payload has them, and the smoke set. */
static char *tests_for(const struct faults *f, const struct fault *x)
{
	struct strv ids = { 0 };
	size_t i;
	char *list;

	for (i = 0; i < f->tests.n; i++) {
		const char *id = f->tests.v[i].id;

		if (glob_list_selects(x->expect, id) || strcmp(id, SMOKE) == 0)
			strv_add(&ids, id);
	}
	list = ids.n ? tests_list(&f->tests, &ids) : NULL;
	strv_free(&ids);
	return list;
}

/* What a fault needs of its run, separated by commas: "NAME=VALUE" of the recipe's variables, "cpus=N", or the
 * name of a layout. */
static void apply_needs(struct run_options *o, const char *needs)
{
	char *copy = xstrdup(needs), *next = copy, *word;

	while ((word = strsep(&next, ","))) {
		if (strncmp(word, "cpus=", 5) == 0)
			parse_number(word + 5, 1, 64, &o->cpus);
		else if (strchr(word, '='))
			strv_add(&o->set, word);
		else if (*word && strcmp(word, "any") != 0 && strcmp(word, "page-state") != 0)
			strv_take(&o->set, xasprintf("LAYOUT=%s", word));
	}
	free(copy);
}

static void child(const struct faults *f, const struct fault *x, const char *tests)
{
	char *path = xasprintf("%s/run.txt", x->dir);
	struct run_options o;
	int fd, status;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(STATUS_ERROR);
	run_options_init(&o);
	o.host = f->o->host;
	o.boot = f->o->boot;
	o.machine = f->o->machine;
	o.image = f->o->image;
	o.output = x->dir;
	o.cpus = 1;
	o.timeout = 120;
	o.grace = 10;
	if (f->o->timeout)
		parse_seconds(f->o->timeout, &o.timeout);
	if (tests)
		strv_add(&o.tests, tests);
	if (*x->id)
		strv_add(&o.faults, x->id);
	apply_needs(&o, x->needs);
	status = run_command(&o);
	run_options_free(&o);
	free(path);
	fflush(stdout);
	_exit(status);
}

static int launch(struct faults *f, struct fault *x)
{
	char *tests = *x->id ? tests_for(f, x) : NULL;
	int ret = 0;

	if (*x->id && !tests) {
		x->done = true;
		x->verdict = "NO TEST";
		return 0;
	}
	x->dir = xasprintf("%s/%s", f->dir, *x->id ? x->id : "healthy");
	ret = mkdir_p(x->dir);
	x->started = now_ms();
	if (!ret) {
		fflush(stdout);
		x->pid = fork();
		if (x->pid == 0)
			child(f, x, tests);
		if (x->pid < 0)
			ret = -errno;
	}
	free(tests);
	if (ret)
		fprintf(stderr, "assay: %s: %s\n", x->dir, strerror(-ret));
	return ret;
}

static void judge(struct faults *f, struct fault *x, int status)
{
	char *file = xasprintf("%s/report.ktap", x->dir);
	struct report r;
	struct sbuf caught = { 0 };
	unsigned int n = 0;
	size_t i;

	x->done = true;
	x->ms = now_ms() - x->started;
	if (report_read(&r, file)) {
		x->verdict = "NO RUN";
		goto out;
	}
	for (i = 0; i < r.n; i++) {
		const struct result *t = &r.results[i];

		if (t->verdict != V_FAIL || (*x->id && !glob_list_selects(x->expect, t->id)))
			continue;
		if (n++ < 2)
			sbuf_addf(&caught, "%s%s", caught.len ? ", " : "", t->id);
	}
	if (n > 2)
		sbuf_addf(&caught, " and %u more", n - 2);
	if (*x->id) {
		x->ok = n > 0;
		x->verdict = x->ok ? "caught" : "MISSED";
	} else {
		x->ok = WIFEXITED(status) && WEXITSTATUS(status) == STATUS_OK;
		x->verdict = x->ok ? "healthy" : n ? "FAILS" : "NO RUN";
	}
	x->caught = sbuf_steal(&caught);
	report_free(&r);
out:
	free(file);
	(void)f;
}

static void show(struct faults *f, const struct fault *x)
{
	printer_clear(&f->out);
	printf("%-8s %-36s %5.1f s  %s\n", x->verdict, *x->id ? x->id : "(no fault)",
	       (double)x->ms / 1000, x->caught ? x->caught : "");
	if (f->o->verbose || !x->ok) {
		if (*x->id)
			printf("         %s (%s); expected: %s\n", x->what, x->clause, x->expect);
		if (x->dir)
			printf("         %s/run.txt\n", x->dir);
	}
	fflush(stdout);
}

/* --- all --------------------------------------------------------------------------------- */

static void reap(struct faults *f)
{
	size_t i;
	int status;

	for (i = 0; i < f->n; i++) {
		struct fault *x = &f->v[i];

		if (x->pid <= 0 || x->done || waitpid(x->pid, &status, WNOHANG) != x->pid)
			continue;
		judge(f, x, status);
		f->done++;
		f->out.done = (unsigned int)f->done;
		show(f, x);
	}
}

static void stop_all(struct faults *f)
{
	size_t i;

	/* Each run cleans up after itself when it is told to end. */
	for (i = 0; i < f->n; i++)
		if (f->v[i].pid > 0 && !f->v[i].done)
			kill(f->v[i].pid, SIGTERM);
	for (i = 0; i < f->n; i++)
		if (f->v[i].pid > 0 && !f->v[i].done)
			waitpid(f->v[i].pid, NULL, 0);
}

static int run_all(struct faults *f)
{
	size_t next = 0, running;
	struct pollfd p = { .fd = signals_fd(), .events = POLLIN };

	while (f->done < f->n && !signals_seen()) {
		running = next - f->done;
		while (next < f->n && running < f->o->jobs) {
			struct fault *x = &f->v[next++];

			if (launch(f, x))
				return STATUS_ERROR;
			if (x->done) { /* no test to run */
				f->done++;
				show(f, x);
			} else {
				running++;
			}
			printer_start(&f->out, *x->id ? x->id : "(no fault)");
		}
		printer_tick(&f->out);
		poll(&p, 1, 100);
		reap(f);
	}
	printer_clear(&f->out);
	if (!signals_seen())
		return STATUS_OK;
	stop_all(f);
	fputs("assay: interrupted\n", stderr);
	return STATUS_ERROR;
}

static int sum_up(const struct faults *f)
{
	size_t i, caught = 0, missed = 0, broken = 0;
	bool healthy = true;

	for (i = 0; i < f->n; i++) {
		const struct fault *x = &f->v[i];

		if (!*x->id)
			healthy = x->ok;
		else if (x->ok)
			caught++;
		else if (x->done && strcmp(x->verdict, "MISSED") == 0)
			missed++;
		else
			broken++;
	}
	printf("\n%zu faults caught, %zu missed, %zu not run; the healthy host %s\n", caught,
	       missed, broken,
	       f->o->quick || f->o->only.n ? "was not run" :
	       healthy			   ? "has none" :
					     "FAILS");
	if (missed || !healthy)
		return STATUS_FAIL;
	return broken ? STATUS_ERROR : STATUS_OK;
}

static void release(struct faults *f)
{
	size_t i;

	for (i = 0; i < f->n; i++) {
		struct fault *x = &f->v[i];

		free(x->id);
		free(x->clause);
		free(x->expect);
		free(x->needs);
		free(x->what);
		free(x->dir);
		free(x->caught);
	}
	free(f->v);
	free(f->dir);
	image_tests_free(&f->tests);
	printer_free(&f->out);
}

int cmd_faults(int argc, char **argv)
{
	struct faults_options o = { .host = "ref", .boot = "pvh", .jobs = 2 };
	struct faults f = { .o = &o };
	double seconds;
	char *path;
	int status;

	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return STATUS_USAGE;
	if (o.timeout && !parse_seconds(o.timeout, &seconds)) {
		fprintf(stderr, "assay: --timeout %s: seconds are wanted\n", o.timeout);
		return STATUS_USAGE;
	}
	signals_init();
	printer_init(&f.out, stdout);
	f.dir = o.output ? xstrdup(o.output) : xasprintf("%s/runs/faults", program_dir());
	if (!o.quick && !o.only.n)
		add_line(&f, (char[]){ "" });
	path = image_path(o.image);
	status = load_tests(path, &f.tests) ? read_list(&f) : STATUS_ERROR;
	free(path);
	if (status == STATUS_OK) {
		f.out.total = (unsigned int)f.n;
		printf("%zu runs, %u at a time; logs: %s\n", f.n, o.jobs, f.dir);
		status = run_all(&f);
		if (status == STATUS_OK)
			status = sum_up(&f);
	}
	release(&f);
	strv_free(&o.only);
	return status;
}
