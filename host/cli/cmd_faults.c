/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `assay faults`: is each injected fault caught by the tests that should catch it, and do the hosts without one pass? Each
 * is an `assay run` of its own, some at a time.
 */
#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/cmd.h"
#include "host/cli/faults.h"
#include "host/cli/print.h"
#include "host/cli/run.h"

#define WHOLE_SUITE 10 /* as much time as a run that looks at one fault has */
#define JOBS_MAX    64
#define REPEAT_MAX  1000
#define DRAIN_MAX   1024
#define STOP_MS	    10000 /* a run ends its host when it is told to end */

static const char *const all_hosts[] = { "ref",		  "ref-vectors", "ref-vfio",
					 "ref-protected", "ref-iommu",	 "ref-vtd",
					 "ref-translated" };

enum {
	OPT_HOST = 256,
	OPT_BOOT,
	OPT_MACHINE,
	OPT_FAULT,
	OPT_QUICK,
	OPT_OPEN,
	OPT_JOBS,
	OPT_OUTPUT,
	OPT_IMAGE,
	OPT_TIMEOUT,
	OPT_REPEAT
};

static const struct argp_option options[] = {
	{ "host", OPT_HOST, "NAME|FILE[,...]", 0,
	  "hosts that inject faults; default: ref,ref-vectors,ref-vfio,ref-protected,ref-iommu,ref-vtd,ref-translated",
	  0 },
	{ "fault", OPT_FAULT, "ID[,ID...]", 0, "these faults only (globs); may be repeated", 0 },
	{ "quick", OPT_QUICK, NULL, 0, "the first fault of each kind and every tenth of the rest",
	  0 },
	{ "open", OPT_OPEN, NULL, 0,
	  "only faults of which no test is named that has to see them (\"?\"), with all tests; they are left out otherwise",
	  0 },
	{ "jobs", OPT_JOBS, "N", 0, "runs at a time; default: eight times as many as CPUs", 0 },
	{ "repeat", OPT_REPEAT, "N", 0, "each run N times: is it caught each time?", 0 },
	{ "boot", OPT_BOOT, "efi|pvh", 0, "how the payload starts; default: pvh, the fastest", 0 },
	{ "machine", OPT_MACHINE, "NAME", 0, "the machine; default: the host's", 0 },
	{ "timeout", OPT_TIMEOUT, "S", 0,
	  "seconds for each run; ten times as many for a host without a fault, which runs the whole suite; default: 60",
	  0 },
	{ "image", OPT_IMAGE, "FILE", 0, "another payload (ELF)", 0 },
	{ "output", OPT_OUTPUT, "DIR", 0,
	  "a folder for each run is made there; default: faults in build/runs or ${ASSAY_RUNS}",
	  0 },
	{ "verbose", 'v', NULL, 0, "show what each fault is", 0 },
	{ 0 },
};

static void split(const char *text, struct strv *list)
{
	char *copy = xstrdup(text), *next = copy, *word;

	while ((word = strsep(&next, ",")))
		if (*word)
			strv_add(list, word);
	free(copy);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct faults_options *o = state->input;

	refuse_empty(state, options, key, arg);
	switch (key) {
	case OPT_HOST:
		split(arg, &o->hosts);
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
		if (!parse_seconds(arg, &o->timeout))
			argp_error(state, "--timeout %s: seconds are wanted", arg);
		return 0;
	case OPT_REPEAT:
		if (!parse_number(arg, 1, REPEAT_MAX, &o->repeat))
			argp_error(state, "--repeat %s: a number from 1 to %u is wanted", arg,
				   REPEAT_MAX);
		return 0;
	case OPT_QUICK:
		o->quick = true;
		return 0;
	case OPT_OPEN:
		o->open = true;
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
		split(arg, &o->only);
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
	.doc = "Injects one fault after the other into the host and demands that each test which should catch it FAILs and "
	       "that the fault was there; hosts without a fault, with all of their layouts and machines, must pass."
	       "\v"
	       "Exit status: 0 every fault is caught, 1 one is not, 2 a run could not be made or injected nothing, 4 usage.",
};

/* --- one run ----------------------------------------------------------------------------- */

static void add_option(struct strv *argv, const char *name, const char *value)
{
	if (value)
		strv_take(argv, xasprintf("--%s=%s", name, value));
}

/* Many a run waits most of its time for what a fault withholds, and its CPUs are halted then. */
static unsigned int default_jobs(void)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	const long n = 8 * cpus;

	return cpus < 1 ? 1 : n > JOBS_MAX ? JOBS_MAX : (unsigned int)n;
}

/* The command line of a run: this program's own `run`. */
static void command_of(const struct faults *f, const struct trial *x, struct strv *argv)
{
	const struct faults_options *o = f->o;
	const char *globs;
	size_t i;

	strv_take(argv, own_program());
	strv_add(argv, "run");
	add_option(argv, "host", x->host);
	add_option(argv, "boot", o->boot);
	add_option(argv, "machine", x->place.machine ? x->place.machine : o->machine);
	add_option(argv, "image", o->image);
	add_option(argv, "output", x->dir);
	add_option(argv, "tests", x->tests);
	strv_take(argv, xasprintf("--cpus=%u", x->place.cpus));
	strv_take(argv,
		  xasprintf("--timeout=%g", o->timeout * (trial_is_healthy(x) ? WHOLE_SUITE : 1)));
	if (fault_expects(&x->fault, &globs) == FAULT_HARNESS) {
		/* It would go the same way at each boot. */
		strv_add(argv, "--reboots=1");
		strv_add(argv, "--grace=3");
	} else {
		strv_add(argv, "--grace=10");
	}
	if (!trial_is_healthy(x))
		add_option(argv, "fault", x->fault.id);
	if (trial_ends_early(x))
		strv_add(argv, "--fail-fast");
	for (i = 0; i < x->place.set.n; i++)
		add_option(argv, "set", x->place.set.v[i]);
}

static int launch(const struct faults *f, struct trial *x)
{
	char *log = xasprintf("%s/run.txt", x->dir);
	struct strv argv = { 0 };
	int ret;

	command_of(f, x, &argv);
	remove_tree(x->dir); /* nothing of an earlier run may be judged */
	ret = mkdir_p(x->dir);
	x->started = now_ms();
	x->state = TRIAL_RUNS;
	if (!ret)
		ret = proc_start(&x->proc, x->name, argv.v, log, false);
	if (ret)
		fprintf(stderr, "assay: %s: %s\n", x->dir, strerror(-ret));
	strv_free(&argv);
	free(log);
	return ret;
}

static void show(const struct faults *f, struct printer *out, const struct trial *x)
{
	char count[32] = "";

	printer_clear(out);
	if (x->injected)
		snprintf(count, sizeof(count), "%llu", (unsigned long long)x->injected);
	printf("%-8s %-36s %5.1f s %8s  %s\n", trial_verdict(x), x->name, (double)x->ms / 1000,
	       count, x->said ? x->said : "");
	if (f->o->verbose || x->state != TRIAL_CAUGHT) {
		if (!trial_is_healthy(x))
			printf("         %s (%s); expected: %s\n", x->fault.what, x->fault.clause,
			       x->fault.tests);
		if (x->state != TRIAL_NO_TEST)
			printf("         %s/run.txt\n", x->dir);
	}
	fflush(stdout);
}

/* --- all --------------------------------------------------------------------------------- */

/* Waits until a run says something or a signal comes; takes what the runs say. */
static void wait_some(struct faults *f)
{
	struct pollfd p[JOBS_MAX + 1] = { { .fd = signals_fd(), .events = POLLIN } };
	struct trial *of[JOBS_MAX + 1] = { NULL };
	nfds_t n = 1, k;
	size_t i;

	for (i = 0; i < f->n && n <= JOBS_MAX; i++) {
		if (f->v[i].state != TRIAL_RUNS)
			continue;
		of[n] = &f->v[i];
		p[n++] = (struct pollfd){ .fd = f->v[i].proc.out >= 0 ? f->v[i].proc.out :
									f->v[i].proc.pidfd,
					  .events = POLLIN };
	}
	if (poll(p, n, 100) <= 0)
		return;
	for (k = 1; k < n; k++)
		if (p[k].revents && of[k]->proc.out >= 0)
			proc_drain(&of[k]->proc, &of[k]->proc.out);
}

/* The rest of what it said. Bounded: something that it left may hold the pipe. */
static void drain(struct proc *p)
{
	struct pollfd f = { .fd = p->out, .events = POLLIN };
	unsigned int i;

	for (i = 0; i < DRAIN_MAX && p->out >= 0 && poll(&f, 1, 0) > 0; i++)
		proc_drain(p, &p->out);
}

/* Judges the runs that have ended. How many. */
static size_t reap(struct faults *f, struct printer *out)
{
	size_t i, n = 0;

	for (i = 0; i < f->n; i++) {
		struct trial *x = &f->v[i];
		struct proc *p = &x->proc;

		if (x->state != TRIAL_RUNS || !proc_ended(p))
			continue;
		drain(p);
		trial_judge(x);
		out->done++;
		n++;
		show(f, out, x);
	}
	return n;
}

static void stop_all(struct faults *f)
{
	struct proc *running[JOBS_MAX];
	size_t n = 0, i;

	for (i = 0; i < f->n && n < JOBS_MAX; i++)
		if (f->v[i].state == TRIAL_RUNS)
			running[n++] = &f->v[i].proc;
	proc_stop(running, n, STOP_MS);
	fputs("assay: interrupted\n", stderr);
}

static int run_all(struct faults *f)
{
	struct printer out;
	size_t next = 0, running = 0;
	int status = STATUS_OK;

	printer_init(&out, stdout);
	out.total = (unsigned int)f->n;
	while (status == STATUS_OK && (next < f->n || running) && !signals_seen()) {
		while (next < f->n && running < f->o->jobs && status == STATUS_OK) {
			struct trial *x = &f->v[next++];

			if (x->state == TRIAL_NO_TEST) {
				out.done++;
				show(f, &out, x);
			} else if (launch(f, x)) {
				status = STATUS_ERROR;
			} else {
				running++;
				printer_start(&out, x->name);
			}
		}
		printer_tick(&out);
		wait_some(f);
		running -= reap(f, &out);
	}
	printer_clear(&out);
	printer_free(&out);
	if (running)
		stop_all(f);
	proc_end_orphans();
	return signals_seen() ? STATUS_ERROR : status;
}

/* With --repeat: what was not the same each time. */
static void show_unstable(const struct faults *f)
{
	const size_t once = f->n / f->o->repeat;
	size_t i, k, ok;

	for (i = 0; i < once && f->o->repeat > 1; i++) {
		for (k = i, ok = 0; k < f->n; k += once)
			ok += f->v[k].state == TRIAL_CAUGHT;
		if (ok < f->o->repeat)
			printf("%s: %s %zu times of %u\n", f->v[i].name,
			       trial_is_healthy(&f->v[i]) ? "passes" : "caught", ok, f->o->repeat);
	}
}

static int sum_up(const struct faults *f)
{
	size_t i, caught = 0, missed = 0, broken = 0, healthy = 0, sick = 0, open = 0;

	for (i = 0; i < f->n; i++) {
		const struct trial *x = &f->v[i];

		if (trial_is_healthy(x))
			*(x->state == TRIAL_CAUGHT ? &healthy : &sick) += 1;
		else
			*(x->state == TRIAL_CAUGHT ? &caught :
			  x->state == TRIAL_MISSED ? &missed :
			  x->state == TRIAL_OPEN   ? &open :
						     &broken) += 1;
	}
	for (i = 0; i < f->elsewhere.n; i++)
		printf("%s%s", i ? ", " : "\nnot on these hosts: ", f->elsewhere.v[i]);
	printf("%s\n", f->elsewhere.n ? "\n" : "");
	show_unstable(f);
	printf("%zu faults caught, %zu missed, %zu not run; %zu healthy hosts pass, %zu fail\n",
	       caught, missed, broken, healthy, sick);
	if (open)
		printf("%zu open: no test sees them yet\n", open);
	if (missed || sick)
		return STATUS_FAIL;
	return broken ? STATUS_ERROR : STATUS_OK;
}

static char *default_dir(void)
{
	char *runs = runs_dir(), *dir = xasprintf("%s/faults", runs);

	free(runs);
	return dir;
}

int cmd_faults(int argc, char **argv)
{
	struct faults_options o = {
		.boot = "pvh", .jobs = default_jobs(), .repeat = 1, .timeout = 60
	};
	struct faults f = { .o = &o };
	char *path;
	int status;
	size_t i;

	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return STATUS_USAGE;
	if (!o.hosts.n)
		for (i = 0; i < ARRAY_SIZE(all_hosts); i++)
			strv_add(&o.hosts, all_hosts[i]);
	signals_init();
	f.dir = o.output ? xstrdup(o.output) : default_dir();
	path = image_path(o.image);
	status = load_tests(path, &f.tests) ? faults_plan(&f) : STATUS_ERROR;
	free(path);
	/* What cannot be made is told by the first run. */
	(void)mkdir_p(f.dir);
	if (status == STATUS_OK && !claim_folder(f.dir))
		status = STATUS_ERROR;
	if (status == STATUS_OK) {
		printf("%zu runs, %u at a time; logs: %s\n", f.n, o.jobs, f.dir);
		printf("verdict  fault or host                          time injected  by\n");
		status = run_all(&f);
		if (status == STATUS_OK)
			status = sum_up(&f);
	}
	faults_free(&f);
	strv_free(&o.hosts);
	strv_free(&o.only);
	return status;
}
