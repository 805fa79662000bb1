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
#include "host/cli/fault_list.h"
#include "host/cli/image.h"
#include "host/cli/print.h"
#include "host/cli/proc.h"
#include "host/cli/run.h"
#include "host/common/injected.h"
#include "lib/glob.h"

#define JOBS_MAX 64
#define SMOKE                                                                                      \
	"vsock.stream.connect" /* what else runs, where it exists: is the host alive at all? */
#define HARNESS "vsock.stream.hundred" /* packets enough for a device to die or stop among them */
#define SHOULD	"note:" /* in front of a glob: breaks a SHOULD, so the test notes it and passes */

static const char *const all_hosts[] = { "ref", "ref-vectors", "ref-protected" };

/* What a fault shows on, and what a healthy host is tried with. */
struct setup {
	const char *host;
	struct strv set; /* variables of the recipe */
	char *machine;	 /* or NULL: the recipe's */
	unsigned int cpus;
};

struct fault {
	char *id, *clause, *expect, *where, *what; /* id "": none, a healthy host */
	char *name;				   /* of the folder */
	struct setup setup;
	pid_t pid;
	uint64_t started, ms;
	char *dir, *caught; /* tests that failed as they should, or what was seen instead */
	const char *verdict;
	bool done, ok;
};

struct faults_options {
	const char *boot, *machine, *output, *image, *timeout;
	struct strv hosts, only;
	unsigned int jobs;
	bool quick, verbose;
};

struct faults {
	const struct faults_options *o;
	struct fault *v;
	size_t n, done;
	struct strv elsewhere; /* ids that no host so far can show */
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
	{ "host", OPT_HOST, "NAME|FILE[,...]", 0,
	  "hosts that inject faults; default: ref,ref-vectors,ref-protected", 0 },
	{ "fault", OPT_FAULT, "ID[,ID...]", 0, "these faults only (globs); may be repeated", 0 },
	{ "quick", OPT_QUICK, NULL, 0, "the first fault of each kind and every sixth of the rest",
	  0 },
	{ "jobs", OPT_JOBS, "N", 0, "runs at a time; default: 2", 0 },
	{ "boot", OPT_BOOT, "efi|pvh", 0, "how the payload starts; default: pvh, the fastest", 0 },
	{ "machine", OPT_MACHINE, "NAME", 0, "the machine; default: the host's", 0 },
	{ "timeout", OPT_TIMEOUT, "S", 0, "seconds for each run; default: 60", 0 },
	{ "image", OPT_IMAGE, "FILE", 0, "another payload (ELF)", 0 },
	{ "output", OPT_OUTPUT, "DIR", 0,
	  "a folder for each run is made there; default: build/runs/faults", 0 },
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
	.doc = "Injects one fault after the other into the host and demands that a test which should catch it "
	       "FAILs; healthy hosts, with all of their layouts and machines, must have none."
	       "\v"
	       "Exit status: 0 every fault is caught, 1 one is not, 2 a run could not be made, 4 usage.",
};

/* --- the list ---------------------------------------------------------------------------- */

static struct fault *add(struct faults *f, const struct fault *x)
{
	f->v = xrealloc(f->v, (f->n + 1) * sizeof(*f->v));
	f->v[f->n] = *x;
	return &f->v[f->n++];
}

static void fault_free(struct fault *x)
{
	free(x->id);
	free(x->clause);
	free(x->expect);
	free(x->where);
	free(x->what);
	free(x->name);
	free(x->dir);
	free(x->caught);
	strv_free(&x->setup.set);
	free(x->setup.machine);
}

static bool wanted(const struct faults_options *o, const char *id)
{
	size_t i;

	for (i = 0; i < o->only.n; i++)
		if (glob_selects(o->only.v[i], strlen(o->only.v[i]), id))
			return true;
	return !o->only.n;
}

static bool listed(const struct faults *f, const char *id)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (strcmp(f->v[i].id, id) == 0)
			return true;
	return false;
}

static void take_entry(struct faults *f, const struct recipe *r, const char *host,
		       const struct fault_entry *e)
{
	struct fault_place place;
	struct fault x = { 0 };

	if (!wanted(f->o, e->id) || listed(f, e->id))
		return;
	if (!fault_place(r, e, &place)) {
		if (!strv_has(&f->elsewhere, e->id))
			strv_add(&f->elsewhere, e->id);
		return;
	}
	x.id = xstrdup(e->id);
	x.clause = xstrdup(e->clause);
	x.expect = xstrdup(e->tests);
	x.where = xstrdup(e->where);
	x.what = xstrdup(e->what);
	x.name = xstrdup(e->id);
	x.setup = (struct setup){ host, place.set, place.machine, place.cpus };
	add(f, &x);
}

/* The lists of the recipe; their lines become faults. */
static bool read_list(struct faults *f, const struct recipe *r, const char *host, struct strv *ids)
{
	struct fault_list list;
	struct sbuf err = { 0 };
	const bool ok = fault_list_read(r, &list, &err);
	size_t i;

	if (!ok)
		fprintf(stderr, "assay: %s", err.s);
	for (i = 0; i < list.n; i++) {
		strv_add(ids, list.v[i].id);
		take_entry(f, r, host, &list.v[i]);
	}
	fault_list_free(&list);
	sbuf_free(&err);
	return ok;
}

/* The first of each kind (the id up to its last dot), and every sixth of the rest. */
static void cut(struct faults *f)
{
	struct strv kinds = { 0 };
	size_t i, kept = 0, rest = 0;

	for (i = 0; i < f->n; i++) {
		const char *id = f->v[i].id, *dot = strrchr(id, '.');
		char *kind = xstrndup(id, dot ? (size_t)(dot - id) : strlen(id));

		if (!strv_has(&kinds, kind)) {
			strv_add(&kinds, kind);
			f->v[kept++] = f->v[i];
		} else if (++rest % 6 == 0) {
			f->v[kept++] = f->v[i];
		} else {
			fault_free(&f->v[i]);
		}
		free(kind);
	}
	f->n = kept;
	strv_free(&kinds);
}

static bool same_setup(const struct setup *a, const struct setup *b)
{
	size_t i;

	if (strcmp(a->host, b->host) != 0 || a->set.n != b->set.n ||
	    strcmp(a->machine ? a->machine : "", b->machine ? b->machine : "") != 0)
		return false;
	for (i = 0; i < a->set.n; i++)
		if (strcmp(a->set.v[i], b->set.v[i]) != 0)
			return false;
	return true;
}

/* A run without a fault, unless there is one already. */
static void add_healthy(struct faults *f, const struct setup *s)
{
	const char *base = strrchr(s->host, '/') ? strrchr(s->host, '/') + 1 : s->host;
	struct sbuf name = { 0 };
	struct fault x;
	size_t i;

	for (i = 0; i < f->n; i++)
		if (!*f->v[i].id && same_setup(&f->v[i].setup, s))
			return;
	x = (struct fault){ .id = xstrdup(""), .expect = xstrdup("") };
	x.setup.host = s->host;
	x.setup.cpus = 2;
	x.setup.machine = s->machine ? xstrdup(s->machine) : NULL;
	sbuf_addf(&name, "healthy-%s", base);
	if (s->machine)
		sbuf_addf(&name, "-%s", s->machine);
	for (i = 0; i < s->set.n; i++) {
		strv_add(&x.setup.set, s->set.v[i]);
		sbuf_addf(&name, "-%s", strchr(s->set.v[i], '=') + 1);
	}
	x.name = sbuf_steal(&name);
	add(f, &x);
}

/* As it is by default; the first host also in each layout and on each machine. */
static void add_host(struct faults *f, const struct recipe *r, const char *host, bool first)
{
	const char *own = recipe_get(r, "host", "", "machine");
	struct setup s = { .host = host };
	struct strv names = { 0 };
	size_t i;

	add_healthy(f, &s);
	if (!first || f->o->quick)
		return;
	recipe_names(r, "layout", &names);
	for (i = 0; i < names.n; i++) {
		strv_take(&s.set, xasprintf("LAYOUT=%s", names.v[i]));
		add_healthy(f, &s);
		strv_free(&s.set);
	}
	strv_free(&names);
	recipe_names(r, "machine", &names);
	for (i = 0; i < names.n && !f->o->machine; i++) {
		s.machine = names.v[i];
		if (!own || strcmp(own, names.v[i]) != 0)
			add_healthy(f, &s);
	}
	strv_free(&names);
}

/* The faults of all hosts; to f come the healthy ones. */
static int read_hosts(struct faults *f, struct faults *faulty, struct strv *ids)
{
	struct sbuf err = { 0 };
	int status = STATUS_OK;
	size_t i;

	for (i = 0; i < f->o->hosts.n && status == STATUS_OK; i++) {
		const char *host = f->o->hosts.v[i];
		struct recipe *r = recipe_load(host, &err);

		if (!r) {
			fprintf(stderr, "assay: %s", err.s);
			status = STATUS_USAGE;
		} else if (!read_list(faulty, r, host, ids)) {
			status = STATUS_ERROR;
		} else if (!f->o->only.n) {
			add_host(f, r, host, i == 0);
		}
		recipe_free(r);
	}
	sbuf_free(&err);
	return status;
}

/* What to do, all of it: healthy hosts first. */
static int plan(struct faults *f)
{
	struct faults faulty = { .o = f->o };
	struct strv ids = { 0 };
	int status = read_hosts(f, &faulty, &ids);
	size_t i;

	for (i = 0; i < faulty.elsewhere.n; i++)
		if (!listed(&faulty, faulty.elsewhere.v[i]))
			strv_add(&f->elsewhere, faulty.elsewhere.v[i]);
	if (f->o->quick)
		cut(&faulty);
	for (i = 0; i < faulty.n && !f->o->only.n && !f->o->quick; i++)
		add_healthy(f, &faulty.v[i].setup);
	for (i = 0; i < faulty.n; i++)
		add(f, &faulty.v[i]);
	if (status == STATUS_OK && !faulty.n) {
		fputs("assay: these hosts have no such fault", stderr);
		if (f->o->only.n)
			print_suggestions(stderr, f->o->only.v[0], (const char *const *)ids.v,
					  ids.n);
		fputc('\n', stderr);
		status = STATUS_USAGE;
	}
	free(faulty.v);
	strv_free(&faulty.elsewhere);
	strv_free(&ids);
	return status;
}

/* --- one run ----------------------------------------------------------------------------- */

/* A fault of the harness's own world: the device dies, or stops. */
static bool is_harness(const struct fault *x)
{
	return strcmp(x->expect, "-") == 0;
}

static bool is_should(const struct fault *x)
{
	return strncmp(x->expect, SHOULD, strlen(SHOULD)) == 0;
}

static bool should_catch(const struct fault *x, const char *id)
{
	if (is_harness(x))
		return strcmp(id, HARNESS) == 0;
	return glob_list_selects(x->expect + (is_should(x) ? strlen(SHOULD) : 0), id);
}

/* A healthy host's test: what is there for one of the faults of the same set-up. */
static bool of_setup(const struct faults *f, const struct setup *s, const char *id)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (*f->v[i].id && same_setup(&f->v[i].setup, s) && should_catch(&f->v[i], id))
			return true;
	return false;
}

/*
 * The tests that should catch a fault, as far as the payload has them, and the smoke set. Healthy: the first
 * host runs all. NULL: all, or no test should catch it.
 */
static char *tests_for(const struct faults *f, const struct fault *x)
{
	struct strv ids = { 0 };
	bool any = false;
	char *list;
	size_t i;

	if (!*x->id && strcmp(x->setup.host, f->o->hosts.v[0]) == 0)
		return NULL;
	for (i = 0; i < f->tests.n; i++) {
		const char *id = f->tests.v[i].id;
		const bool mine = *x->id ? should_catch(x, id) : of_setup(f, &x->setup, id);

		any |= mine;
		if (mine || strcmp(id, SMOKE) == 0)
			strv_add(&ids, id);
	}
	list = any || !*x->id ? tests_list(&f->tests, &ids) : NULL;
	strv_free(&ids);
	return list;
}

static void child(const struct faults *f, const struct fault *x, const char *tests)
{
	char *path = xasprintf("%s/run.txt", x->dir);
	struct run_options o;
	int fd, status;
	size_t i;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(STATUS_ERROR);
	run_options_init(&o);
	o.host = x->setup.host;
	o.boot = f->o->boot;
	o.machine = x->setup.machine ? x->setup.machine : f->o->machine;
	o.image = f->o->image;
	o.output = x->dir;
	o.cpus = x->setup.cpus;
	o.timeout = 60;
	o.grace = 10;
	if (is_harness(x)) {
		o.reboots = 1; /* it would go the same way each time */
		o.grace = 3;
	}
	if (f->o->timeout)
		parse_seconds(f->o->timeout, &o.timeout);
	if (tests)
		strv_add(&o.tests, tests);
	if (*x->id)
		strv_add(&o.faults, x->id);
	for (i = 0; i < x->setup.set.n; i++)
		strv_add(&o.set, x->setup.set.v[i]);
	status = run_command(&o);
	run_options_free(&o);
	free(path);
	fflush(stdout);
	_exit(status);
}

static int launch(struct faults *f, struct fault *x)
{
	char *tests = tests_for(f, x);
	int ret;

	if (*x->id && !tests) {
		x->done = true;
		x->verdict = "NO TEST";
		return 0;
	}
	x->dir = xasprintf("%s/%s", f->dir, x->name);
	remove_tree(x->dir); /* an old report must not be judged */
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

/* --- verdicts ---------------------------------------------------------------------------- */

/* As it should be: a FAIL, or for a SHOULD a PASS with a note. */
static bool as_expected(const struct fault *x, const struct result *t)
{
	return is_should(x) ? t->verdict == V_PASS && t->diag.n : t->verdict == V_FAIL;
}

static bool instead(const struct fault *x, const struct result *t)
{
	return t->verdict == V_ERROR || (t->verdict == V_FAIL && is_should(x));
}

/* Counts the results that are so among those that should catch it; names the first two. */
static unsigned int gather(const struct fault *x, const struct report *r,
			   bool (*is)(const struct fault *x, const struct result *t),
			   struct sbuf *names)
{
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < r->n; i++) {
		const struct result *t = &r->results[i];

		if ((*x->id && !should_catch(x, t->id)) || !is(x, t) || n++ >= 2)
			continue;
		sbuf_addf(names, "%s%s", n > 1 ? ", " : "", t->id);
		if (is == instead)
			sbuf_addf(names, ": %s", verdict_name(t->verdict));
	}
	if (n > 2)
		sbuf_addf(names, " and %u more", n - 2);
	return n;
}

/* One of the tests of a glob saw it. */
static bool pattern_caught(const struct fault *x, const struct report *r, const char *pattern)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (glob_list_selects(pattern, r->results[i].id) && as_expected(x, &r->results[i]))
			return true;
	return false;
}

/* Each id or glob of the fault's list; the first that is not is named. */
static bool all_caught(const struct fault *x, const struct report *r, struct sbuf *names)
{
	struct strv patterns = { 0 };
	bool ok = true;
	size_t i;

	split(x->expect + (is_should(x) ? strlen(SHOULD) : 0), &patterns);
	for (i = 0; i < patterns.n && ok; i++) {
		ok = *patterns.v[i] == '-' || pattern_caught(x, r, patterns.v[i]);
		if (!ok)
			sbuf_addf(names, "%snot by %s", names->len ? "; but " : "", patterns.v[i]);
	}
	strv_free(&patterns);
	return ok;
}

/* Whether the run told what went wrong with the host. */
static bool has_message(const struct fault *x)
{
	char *path = xasprintf("%s/run.txt", x->dir), *text = NULL;
	const bool found = read_file(path, 1u << 20, &text, NULL) == 0 && strstr(text, "\n  ! ");

	free(text);
	free(path);
	return found;
}

/* No component counted an injection: a test that failed all the same failed of something else. */
static bool not_injected(const struct fault *x)
{
	char *path = xasprintf("%s/injected", x->dir);
	struct injected_sum *sums;
	uint64_t count = 0;
	size_t n, i;

	injected_read(path, &sums, &n);
	for (i = 0; i < n; i++)
		if (strcmp(sums[i].id, x->id) == 0)
			count += sums[i].count;
	injected_free(sums, n);
	free(path);
	return !count;
}

static void judge(struct fault *x, int status)
{
	const int code = WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_NO_REPORT;
	char *file = xasprintf("%s/report.ktap", x->dir);
	struct sbuf names = { 0 };
	struct report r;
	const bool read = report_read(&r, file) == 0;

	x->done = true;
	x->ms = now_ms() - x->started;
	if (!read)
		report_init(&r);
	if (!*x->id) {
		x->ok = read && code == STATUS_OK;
		if (!gather(x, &r, as_expected, &names))
			gather(x, &r, instead, &names);
		x->verdict = x->ok ? "healthy" : names.len ? "FAILS" : "NO RUN";
	} else if (is_harness(x)) {
		/* The run ends in time, not as if all were well, and says what happened. */
		x->ok = (code == STATUS_FAIL && gather(x, &r, as_expected, &names)) ||
			((code == STATUS_ERROR || code == STATUS_NO_REPORT) && has_message(x));
		if (x->ok && !names.len)
			sbuf_addf(&names, "exit status %d and a message", code);
		x->verdict = x->ok ? "caught" : "MISSED";
	} else {
		x->ok = gather(x, &r, as_expected, &names) > 0;
		if (!x->ok)
			gather(x, &r, instead, &names);
		else
			x->ok = all_caught(x, &r, &names);
		if (not_injected(x)) {
			x->ok = false;
			sbuf_addf(&names, "%snever injected", names.len ? "; but " : "");
		}
		x->verdict = x->ok ? "caught" : read ? "MISSED" : "NO RUN";
	}
	x->caught = sbuf_steal(&names);
	report_free(&r);
	free(file);
}

static void show(struct faults *f, const struct fault *x)
{
	printer_clear(&f->out);
	printf("%-8s %-36s %5.1f s  %s\n", x->verdict, x->name, (double)x->ms / 1000,
	       x->caught ? x->caught : "");
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
		judge(x, status);
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
			printer_start(&f->out, x->name);
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
	size_t i, caught = 0, missed = 0, broken = 0, healthy = 0, sick = 0;

	for (i = 0; i < f->n; i++) {
		const struct fault *x = &f->v[i];

		if (!*x->id)
			*(x->ok ? &healthy : &sick) += 1;
		else if (x->ok)
			caught++;
		else if (x->done && strcmp(x->verdict, "MISSED") == 0)
			missed++;
		else
			broken++;
	}
	for (i = 0; i < f->elsewhere.n; i++)
		printf("%s%s", i ? ", " : "\nnot on these hosts: ", f->elsewhere.v[i]);
	printf("%s\n%zu faults caught, %zu missed, %zu not run; %zu healthy hosts pass, %zu fail\n",
	       f->elsewhere.n ? "\n" : "", caught, missed, broken, healthy, sick);
	if (missed || sick)
		return STATUS_FAIL;
	return broken ? STATUS_ERROR : STATUS_OK;
}

static void release(struct faults *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		fault_free(&f->v[i]);
	free(f->v);
	free(f->dir);
	strv_free(&f->elsewhere);
	image_tests_free(&f->tests);
	printer_free(&f->out);
}

int cmd_faults(int argc, char **argv)
{
	struct faults_options o = { .boot = "pvh", .jobs = 2 };
	struct faults f = { .o = &o };
	double seconds;
	char *path;
	int status;
	size_t i;

	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return STATUS_USAGE;
	if (o.timeout && !parse_seconds(o.timeout, &seconds)) {
		fprintf(stderr, "assay: --timeout %s: seconds are wanted\n", o.timeout);
		return STATUS_USAGE;
	}
	if (!o.hosts.n)
		for (i = 0; i < ARRAY_SIZE(all_hosts); i++)
			strv_add(&o.hosts, all_hosts[i]);
	signals_init();
	printer_init(&f.out, stdout);
	f.dir = o.output ? xstrdup(o.output) : xasprintf("%s/runs/faults", program_dir());
	path = image_path(o.image);
	status = load_tests(path, &f.tests) ? plan(&f) : STATUS_ERROR;
	free(path);
	if (status == STATUS_OK) {
		f.out.total = (unsigned int)f.n;
		printf("%zu runs, %u at a time; logs: %s\n", f.n, o.jobs, f.dir);
		status = run_all(&f);
		if (status == STATUS_OK)
			status = sum_up(&f);
	}
	release(&f);
	strv_free(&o.hosts);
	strv_free(&o.only);
	return status;
}
