/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `assay race`: what a guest cannot do to its host. Cycles of: start a VM, flood it (irq.storm.*), end the
 * device, its back end or the VMM in the middle, each time another way and at another moment. Eventfds
 * are closed while the other side signals them; nothing may crash or hang, and after each round of ways a
 * fresh guest must pass the smoke suite. Each cycle is a process of its own: this program, started once more with
 * hidden options, since a cycle is a run with signal handlers, children and a report.
 */
#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/cli/cmd.h"
#include "host/cli/print.h"
#include "host/cli/proc.h"
#include "host/cli/qmp.h"
#include "host/cli/run.h"
#include "lib/glob.h"

#define SMOKE "vsock.stream.connect,vsock.stream.from_host,irq.deliver.*"
/* The second where a line cannot be masked (edge-triggered): the first is skipped then. */
#define FLOOD	    "irq.storm.mask,irq.storm.wake"
#define FLOODING    "irq.storm.*"
#define AFTER	    "vsock.stream.connect"
#define EARLIEST_MS 20 /* into the flood */
#define SPREAD_MS   400
#define GONE_MS	    5000 /* a VMM that was told to end has so long */
#define RESET_MS    600	 /* of the guest that boots anew */
#define ALONE_MS    2500 /* with a guest that waits 2 s for its device */
#define QMP_MS	    2000
#define CYCLE_S	    60
#define DEFAULT_S   30
#define STOP_MS	    10000 /* a cycle ends its host when it is told to end */
#define TICK_MS	    100
#define SMOKE_NAME  "smoke"

enum act {
	DEVICE_RESETS,
	VMM_KILL,
	VMM_TERM,
	VMM_QUIT,
	GUEST_RESET,
	BACKEND_DROP,
	BACKEND_AGAIN,
	BACKEND_KILL,
	ACTS
};

static const struct {
	const char *name, *tests, *must_pass, *what;
} ways[ACTS] = {
	[DEVICE_RESETS] = { "device-reset", "irq.storm.reset,irq.storm.driver_ok", "irq.storm.*",
			    "the guest resets the device, again and again" },
	[VMM_KILL] = { "vmm-sigkill", FLOOD, NULL, "SIGKILL of the VMM" },
	[VMM_TERM] = { "vmm-sigterm", FLOOD, NULL, "SIGTERM of the VMM" },
	[VMM_QUIT] = { "vm-destroyed", FLOOD, NULL, "QMP quit: the VM is destroyed" },
	[GUEST_RESET] = { "guest-reset", FLOOD, NULL, "QMP system_reset: the guest boots anew" },
	[BACKEND_DROP] = { "backend-disconnect", FLOOD, NULL,
			   "the back end disconnects; the VM lives on" },
	[BACKEND_AGAIN] = { "backend-reconnect", FLOOD "," AFTER, AFTER,
			    "the back end disconnects, and is there again at once" },
	[BACKEND_KILL] = { "backend-sigkill", FLOOD, NULL, "SIGKILL of the back end" },
};

struct race_options {
	const char *host, *boot, *machine, *output, *image;
	double seconds;
	unsigned int cycles, cpus;
	struct strv only;
	const char *cycle; /* this program is one: the name of its way, or SMOKE_NAME */
	unsigned int at_ms;
};

enum {
	OPT_HOST = 256,
	OPT_BOOT,
	OPT_MACHINE,
	OPT_CYCLES,
	OPT_SOAK,
	OPT_SECONDS,
	OPT_OUTPUT,
	OPT_IMAGE,
	OPT_CPUS,
	OPT_WAY,
	OPT_CYCLE,
	OPT_AT
};

static const struct argp_option options[] = {
	{ "host", OPT_HOST, "NAME|FILE", 0, "the host; default: ref", 0 },
	{ "cycles", OPT_CYCLES, "N", 0, "end after N cycles, however long they take", 0 },
	{ "seconds", OPT_SECONDS, "S", 0, "end after S seconds; default: 30", 0 },
	{ "soak", OPT_SOAK, "MINUTES", 0, "end after so many minutes", 0 },
	{ "way", OPT_WAY, "NAME[,NAME...]", 0, "these ways only (globs)", 0 },
	{ "boot", OPT_BOOT, "efi|pvh", 0, "how the payload starts; default: pvh, the fastest", 0 },
	{ "machine", OPT_MACHINE, "NAME", 0, "the machine; default: the host's", 0 },
	{ "cpus", OPT_CPUS, "N", 0, "virtual CPUs; default: 2", 0 },
	{ "image", OPT_IMAGE, "FILE", 0, "another payload (ELF)", 0 },
	{ "output", OPT_OUTPUT, "DIR", 0, "logs go there; default: build/runs/race", 0 },
	{ "cycle", OPT_CYCLE, "NAME", OPTION_HIDDEN, "", 0 },
	{ "at", OPT_AT, "MS", OPTION_HIDDEN, "", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct race_options *o = state->input;
	char *copy, *next, *word;

	refuse_empty(state, options, key, arg);
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
	case OPT_OUTPUT:
		o->output = arg;
		return 0;
	case OPT_IMAGE:
		o->image = arg;
		return 0;
	case OPT_CYCLES:
		if (!parse_number(arg, 1, 1000000, &o->cycles))
			argp_error(state, "--cycles %s: a number is wanted", arg);
		return 0;
	case OPT_CPUS:
		if (!parse_number(arg, 1, 64, &o->cpus))
			argp_error(state, "--cpus %s: a number from 1 to 64 is wanted", arg);
		return 0;
	case OPT_SECONDS:
	case OPT_SOAK:
		if (!parse_seconds(arg, &o->seconds))
			argp_error(state, "%s: a time is wanted", arg);
		if (key == OPT_SOAK)
			o->seconds *= 60;
		return 0;
	case OPT_WAY:
		next = copy = xstrdup(arg);
		while ((word = strsep(&next, ",")))
			if (*word)
				strv_add(&o->only, word);
		free(copy);
		return 0;
	case OPT_CYCLE:
		o->cycle = arg;
		return 0;
	case OPT_AT:
		if (!parse_number(arg, 0, CYCLE_S * 1000, &o->at_ms))
			argp_error(state, "--at %s: a number is wanted", arg);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is no option", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.doc = "Ends devices, back ends and VMMs while they signal each other, in every way: nothing may crash or "
	       "hang, and a fresh guest must work after each round."
	       "\v"
	       "Exit status: 0 all went well, 1 something crashed, hung or failed, 2 a cycle could not be made, "
	       "4 usage.",
};

/* --- one cycle, in its own process --------------------------------------------------------- */

struct cycle {
	enum act act;
	uint64_t at_ms; /* into the flood */
	uint64_t acted; /* ms, 0: not yet */
	bool bad;
};

static void __attribute__((format(printf, 2, 3))) complain(struct cycle *c, const char *fmt, ...)
{
	va_list ap;

	c->bad = true;
	fputs("race: ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static struct proc *backend(const struct boot_view *v)
{
	size_t i;

	for (i = 0; i < v->n; i++)
		if (v->programs[i] != v->vmm)
			return v->programs[i];
	return NULL;
}

static void act(struct cycle *c, const struct boot_view *v)
{
	char *qmp = xasprintf("%s/qmp.sock", v->tmp_dir);
	struct proc *back = backend(v);

	c->acted = now_ms();
	switch (c->act) {
	case VMM_KILL:
		kill(v->vmm->pid, SIGKILL);
		break;
	case VMM_TERM:
		kill(v->vmm->pid, SIGTERM);
		break;
	case VMM_QUIT:
		/* It may be gone before it answers. */
		(void)qmp_execute(qmp, "quit", QMP_MS);
		break;
	case GUEST_RESET:
		if (!qmp_execute(qmp, "system_reset", QMP_MS))
			complain(c, "the VMM does not answer system_reset within %u ms", QMP_MS);
		break;
	case BACKEND_DROP:
	case BACKEND_AGAIN:
	case BACKEND_KILL:
		if (back)
			kill(back->pid, c->act == BACKEND_KILL ? SIGKILL : SIGUSR1);
		else
			complain(c, "there is no back end");
		break;
	default:
		break;
	}
	free(qmp);
}

/* Programs were told to end by SIGTERM; what needed SIGKILL then did not react. */
static void judge_programs(struct cycle *c, const struct boot_view *v)
{
	size_t i;

	for (i = 0; i < v->n; i++) {
		const struct proc *p = v->programs[i];
		const bool killed = p == v->vmm ? c->act == VMM_KILL || c->act == GUEST_RESET ||
							  c->act == BACKEND_DROP :
						  c->act == BACKEND_KILL;
		char *how = p->exited ? proc_describe(p) : NULL;

		if (!p->exited)
			continue;
		if (proc_crashed(p))
			complain(c, "%s crashed: %s", p->name, how);
		else if (WIFSIGNALED(p->status) && WTERMSIG(p->status) == SIGKILL && !killed)
			complain(c, "%s did not end in time when it was told to", p->name);
		free(how);
	}
}

static void disturb(void *arg, const struct boot_view *v)
{
	struct cycle *c = arg;

	if (v->over) {
		judge_programs(c, v);
		return;
	}
	if (c->act == DEVICE_RESETS)
		c->acted = 1;
	if (!c->acted && v->test && glob_list_selects(FLOODING, v->test) && v->test_ms >= c->at_ms)
		act(c, v);
	if (!c->acted || !v->vmm || v->vmm->exited)
		return;
	if (c->act == GUEST_RESET && now_ms() - c->acted > RESET_MS)
		kill(v->vmm->pid, SIGKILL); /* it had come up again, with the same device */
	if (c->act == BACKEND_DROP && now_ms() - c->acted > ALONE_MS)
		kill(v->vmm->pid, SIGKILL); /* the guest found out, and reset its device */
	if ((c->act == VMM_TERM || c->act == VMM_QUIT) && now_ms() - c->acted > GONE_MS) {
		complain(c, "the VMM did not end within %u ms", GONE_MS);
		kill(v->vmm->pid, SIGKILL);
	}
}

/* The tests that must have passed in spite of all. */
static void judge_report(struct cycle *c, const char *dir, const char *must_pass)
{
	char *file = xasprintf("%s/report.ktap", dir);
	unsigned int passed = 0;
	struct report r;
	size_t i;

	if (report_read(&r, file)) {
		complain(c, "no report");
		free(file);
		return;
	}
	for (i = 0; i < r.n; i++) {
		const struct result *t = &r.results[i];

		if (!glob_list_selects(must_pass, t->id))
			continue;
		passed += t->verdict == V_PASS || t->verdict == V_SKIP;
		if (t->verdict != V_PASS && t->verdict != V_SKIP)
			complain(c, "%s does not pass", t->id);
	}
	if (!passed)
		complain(c, "no verdict of %s", must_pass);
	report_free(&r);
	free(file);
}

static void prepare(struct run_options *r, const struct race_options *o, const char *tests)
{
	run_options_init(r);
	r->host = o->host;
	r->boot = o->boot;
	r->machine = o->machine;
	r->image = o->image;
	r->cpus = o->cpus;
	r->output = o->output;
	r->reboots = 0;
	r->timeout = CYCLE_S;
	r->grace = 10;
	strv_add(&r->tests, tests);
}

static int run_cycle(const struct race_options *o, enum act a)
{
	struct cycle c = { .act = a, .at_ms = o->at_ms };
	struct run_options r;

	prepare(&r, o, ways[a].tests);
	r.disturb = disturb;
	r.disturb_arg = &c;
	/* The flood lasts until the end comes; after a reconnect the next test's turn must come. */
	strv_add(&r.append, a == DEVICE_RESETS ? "irq.storm=1" : "irq.storm=5");
	if (a == BACKEND_AGAIN)
		strv_add(&r.set, "LINK=connect");
	if (a == GUEST_RESET) {
		strv_add(&r.vmm_args, "-action");
		strv_add(&r.vmm_args, "reboot=reset");
	}
	(void)run_command(&r); /* that something ended is what was wanted */
	run_options_free(&r);
	if (!c.acted) {
		printf("race: the flood was not reached\n");
		return STATUS_ERROR;
	}
	if (ways[a].must_pass)
		judge_report(&c, o->output, ways[a].must_pass);
	return c.bad ? STATUS_FAIL : STATUS_OK;
}

static int run_smoke(const struct race_options *o)
{
	struct run_options r;
	int status;

	prepare(&r, o, SMOKE);
	status = run_command(&r);
	run_options_free(&r);
	return status;
}

static int be_cycle(const struct race_options *o)
{
	int a;

	prctl(PR_SET_PDEATHSIG, SIGTERM); /* when its parent dies it ends its host, and cleans up */
	if (strcmp(o->cycle, SMOKE_NAME) == 0)
		return run_smoke(o);
	for (a = 0; a < ACTS; a++)
		if (strcmp(o->cycle, ways[a].name) == 0)
			return run_cycle(o, (enum act)a);
	return STATUS_USAGE;
}

/* --- all --------------------------------------------------------------------------------- */

struct race {
	const struct race_options *o;
	struct recipe *recipe;
	char *dir;
	unsigned int done[ACTS], bad[ACTS], total, smokes, smokes_bad, broken;
	uint64_t ms[ACTS], smoke_ms, started;
	struct printer out;
};

/* A key of [known race.WAY], or NULL. */
static const char *known_key(const struct race *r, int a, const char *key)
{
	char *id = xasprintf("race.%s", ways[a].name);
	const char *value = recipe_get(r->recipe, "known", id, key);

	free(id);
	return value;
}

/* The reason why this way is known not to work on this host, or NULL. */
static const char *known(const struct race *r, int a)
{
	return known_key(r, a, "reason");
}

/* It works at other times. */
static bool at_times(const struct race *r, int a)
{
	const char *value = known_key(r, a, "at-times");

	return value && strcmp(value, "yes") == 0;
}

static void command_of(const struct race *r, const char *dir, const char *name, struct strv *argv)
{
	const struct race_options *o = r->o;

	strv_take(argv, own_program());
	strv_add(argv, "race");
	strv_take(argv, xasprintf("--host=%s", o->host));
	strv_take(argv, xasprintf("--boot=%s", o->boot));
	if (o->machine)
		strv_take(argv, xasprintf("--machine=%s", o->machine));
	if (o->image)
		strv_take(argv, xasprintf("--image=%s", o->image));
	strv_take(argv, xasprintf("--cpus=%u", o->cpus));
	strv_take(argv, xasprintf("--output=%s", dir));
	strv_take(argv, xasprintf("--cycle=%s", name));
	strv_take(argv, xasprintf("--at=%u", EARLIEST_MS + (unsigned int)random() % SPREAD_MS));
}

/* Waits until it ends or a signal comes to us. */
static void await_end(struct race *r, struct proc *p)
{
	while (!proc_ended(p) && !signals_seen()) {
		struct pollfd f[] = { { .fd = p->out, .events = POLLIN },
				      { .fd = p->pidfd, .events = POLLIN },
				      { .fd = signals_fd(), .events = POLLIN } };

		poll(f, ARRAY_SIZE(f), TICK_MS);
		proc_drain(p, &p->out);
		printer_tick(&r->out);
	}
}

/* One cycle, or the smoke suite. The status of its process. */
static int run_child(struct race *r, const char *dir, const char *name)
{
	char *log = xasprintf("%s/run.txt", dir);
	struct proc p, *const list[] = { &p };
	struct strv argv = { 0 };
	int ret, status = STATUS_ERROR;

	unlink(log); /* of an earlier cycle */
	command_of(r, dir, name, &argv);
	ret = proc_start(&p, name, argv.v, log, false);
	if (!ret) {
		await_end(r, &p);
		proc_stop(list, 1, STOP_MS);
		if (WIFEXITED(p.status))
			status = WEXITSTATUS(p.status);
	} else {
		printer_clear(&r->out);
		fprintf(stderr, "assay: %s: %s\n", argv.v[0], strerror(-ret));
	}
	proc_end_orphans(); /* of a cycle that had to be killed */
	proc_free(&p);
	strv_free(&argv);
	free(log);
	return status;
}

/* What the child said. */
static void show_failure(struct race *r, const char *name, const char *dir)
{
	char *path = xasprintf("%s/run.txt", dir), *line = NULL;
	FILE *f = fopen(path, "re");
	size_t cap = 0;

	printer_clear(&r->out);
	printf("%s: %s\n", name, path);
	while (f && getline(&line, &cap, f) > 0)
		if (strncmp(line, "race: ", 6) == 0 || strncmp(line, "assay: ", 7) == 0)
			printf("  %s", line);
	free(line);
	if (f)
		fclose(f);
	free(path);
	fflush(stdout);
}

static int one(struct race *r, int a)
{
	const char *name = a == ACTS ? SMOKE_NAME : ways[a].name;
	/* Logs of what went wrong stay. */
	char *dir = xasprintf("%s/%s%s%u", r->dir, name, "-",
			      a == ACTS ? r->smokes_bad : r->bad[a]);
	const uint64_t start = now_ms();
	int status;

	printer_start(&r->out, name);
	if (mkdir_p(dir)) {
		fprintf(stderr, "assay: %s: %s\n", dir, strerror(errno));
		free(dir);
		r->broken++;
		return STATUS_ERROR;
	}
	status = run_child(r, dir, name);
	if (signals_seen()) {
		free(dir);
		return STATUS_ERROR;
	}
	if (a == ACTS) {
		r->smokes++;
		r->smokes_bad += status != STATUS_OK;
		r->smoke_ms += now_ms() - start;
	} else {
		r->total++;
		r->done[a]++;
		r->bad[a] += status != STATUS_OK;
		r->ms[a] += now_ms() - start;
	}
	r->broken += status != STATUS_OK && status != STATUS_FAIL;
	if (status != STATUS_OK && (a == ACTS || !known(r, a)))
		show_failure(r, name, dir);
	r->out.done = r->total;
	free(dir);
	return status;
}

static bool wanted(const struct race_options *o, const char *name)
{
	size_t i;

	for (i = 0; i < o->only.n; i++)
		if (glob_selects(o->only.v[i], strlen(o->only.v[i]), name))
			return true;
	return !o->only.n;
}

/* The first of --way that names none. */
static const char *unknown_way(const struct race_options *o)
{
	size_t i;
	int a;

	for (i = 0; i < o->only.n; i++) {
		for (a = 0; a < ACTS; a++)
			if (glob_selects(o->only.v[i], strlen(o->only.v[i]), ways[a].name))
				break;
		if (a == ACTS)
			return o->only.v[i];
	}
	return NULL;
}

static bool enough(const struct race *r)
{
	if (r->o->cycles)
		return r->total >= r->o->cycles;
	return now_ms() - r->started >= (uint64_t)(r->o->seconds * 1000);
}

static void run_all(struct race *r)
{
	unsigned int before;
	int a;

	while (!enough(r) && !signals_seen()) {
		before = r->total;
		for (a = 0; a < ACTS && !enough(r) && !signals_seen(); a++)
			/* A way that is known to go wrong each time is tried once, to see that it still does. */
			if (wanted(r->o, ways[a].name) &&
			    !(known(r, a) && !at_times(r, a) && r->done[a]))
				one(r, a);
		if (!signals_seen())
			one(r, ACTS);
		/* A host that cannot even start would go on for the whole time; and known ways come to an end. */
		if (r->broken > 3 || r->total == before)
			return;
	}
}

static int sum_up(const struct race *r)
{
	unsigned int bad = r->smokes_bad;
	int a;

	for (a = 0; a < ACTS; a++) {
		if (!r->done[a])
			continue;
		bad += known(r, a) ? 0 : r->bad[a];
		printf("%-18s %5u cycles %5u bad  %7.1f s  %s\n", ways[a].name, r->done[a],
		       r->bad[a], (double)r->ms[a] / 1000, ways[a].what);
		if (known(r, a) && (r->bad[a] || !at_times(r, a)))
			printf("%-18s %s: %s\n", "",
			       r->bad[a] ? "known" : "known, but it went well", known(r, a));
	}
	printf("%-18s %5u runs   %5u bad  %7.1f s  a fresh guest: %s\n", SMOKE_NAME, r->smokes,
	       r->smokes_bad, (double)r->smoke_ms / 1000, SMOKE);
	printf("\n%u cycles in %.1f s, %u bad\n", r->total, (double)(now_ms() - r->started) / 1000,
	       bad);
	if (signals_seen()) {
		fputs("assay: interrupted\n", stderr);
		return STATUS_ERROR;
	}
	return bad > r->broken ? STATUS_FAIL : r->broken ? STATUS_ERROR : STATUS_OK;
}

static char *race_dir(void)
{
	char *runs = runs_dir(), *dir = xasprintf("%s/race", runs);

	free(runs);
	return dir;
}

int cmd_race(int argc, char **argv)
{
	struct race_options o = { .host = "ref", .boot = "pvh", .seconds = DEFAULT_S, .cpus = 2 };
	struct race r = { .o = &o };
	struct sbuf err = { 0 };
	const char *no_way;
	int status, a;

	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return STATUS_USAGE;
	if (o.cycle)
		return be_cycle(&o);
	if ((no_way = unknown_way(&o))) {
		fprintf(stderr, "assay: there is no way \"%s\"; there are:", no_way);
		for (a = 0; a < ACTS; a++)
			fprintf(stderr, " %s", ways[a].name);
		fputc('\n', stderr);
		return STATUS_USAGE;
	}
	r.recipe = recipe_load(o.host, &err);
	if (!r.recipe) {
		fprintf(stderr, "assay: %s", err.s);
		sbuf_free(&err);
		return STATUS_USAGE;
	}
	signals_init();
	srandom((unsigned int)now_ms());
	printer_init(&r.out, stdout);
	r.dir = o.output ? xstrdup(o.output) : race_dir();
	(void)mkdir_p(r.dir); /* a cycle says why it cannot be made */
	if (!claim_folder(r.dir)) {
		free(r.dir);
		return STATUS_ERROR;
	}
	r.started = now_ms();
	printf("host %s, a flood of interrupts; logs: %s\n", o.host, r.dir);
	run_all(&r);
	printer_clear(&r.out);
	status = sum_up(&r);
	printer_free(&r.out);
	recipe_free(r.recipe);
	strv_free(&o.only);
	free(r.dir);
	return status;
}
