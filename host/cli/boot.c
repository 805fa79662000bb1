/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/cli/proc.h"
#include "host/cli/qmp.h"

#define PROGRAMS_MAX	16
#define READY_S		10   /* for a program's socket, unless the recipe says otherwise */
#define TEST_DEFAULT_MS 5000 /* TEST_TIMEOUT_DEFAULT of lib/test.h */
#define POWER_OFF_S	3    /* from "# end" to the VMM's end, unless [after] says otherwise */
#define PREPARE_S	60   /* for a command of [prepare], unless it says otherwise */
#define SETTLE_MS	100  /* others may have died too: who was first? */
#define STOP_MS		2000
#define TICK_MS		100
#define REGISTERS_MS	2000
#define DETAIL_LINES	8

struct boot {
	const struct boot_config *c;
	struct boot_outcome *o;
	struct proc programs[PROGRAMS_MAX + 1]; /* the last is the VMM */
	struct proc *list[PROGRAMS_MAX + 1];
	size_t n;
	struct proc *vmm;
	bool working[PROGRAMS_MAX + 1]; /* [device] thread was seen */
	uint64_t looked;		/* for threads, ms */
	struct ktap ktap;
	struct report *report;
	uint64_t started, progress; /* ms: the VMM's start, the last event of the report */
	uint64_t awake;		    /* ms: this program looked at the clock */
	uint64_t test_ms;	    /* deadline of the running test from its start */
	uint64_t test_start;	    /* ms */
	char *again;		    /* why the payload wants to be booted again; or NULL */
	bool was_reset;		    /* and nobody had asked for it */
};

static uint64_t test_deadline(const struct boot *b, const char *id)
{
	const struct image_test *t = b->c->tests ? image_tests_find(b->c->tests, id) : NULL;
	uint64_t ms = b->c->test_timeout_ms;

	if (!ms)
		ms = (t && t->timeout_ms ? t->timeout_ms : TEST_DEFAULT_MS) * b->c->slow;
	return ms + b->c->grace_ms;
}

static void on_event(void *arg, enum ktap_event event, const char *text)
{
	struct boot *b = arg;

	if (event != KTAP_NOTE)
		b->progress = now_ms();
	if (event == KTAP_BEGIN)
		b->o->first_ms = b->progress - b->started;
	if (event == KTAP_START) {
		b->test_ms = test_deadline(b, text);
		b->test_start = b->progress;
	}
	if (event == KTAP_RESULT) {
		free(b->o->last);
		b->o->last = xstrdup(text);
	}
	b->was_reset |= event == KTAP_RESTART;
	if (event == KTAP_REBOOT && !b->again)
		b->again = xstrdup(text);
	if (b->c->handler)
		b->c->handler(b->c->arg, event, text);
}

/* --- the end ----------------------------------------------------------------------------- */

static void __attribute__((format(printf, 3, 4)))
finish(struct boot *b, enum boot_end end, const char *fmt, ...)
{
	va_list ap;

	b->o->end = end;
	free(b->o->message);
	va_start(ap, fmt);
	if (vasprintf(&b->o->message, fmt, ap) < 0)
		b->o->message = NULL;
	va_end(ap);
}

static void explain(struct boot *b, const struct proc *p)
{
	const size_t from = p->tail.n > DETAIL_LINES ? p->tail.n - DETAIL_LINES : 0;
	size_t i;

	for (i = from; i < p->tail.n; i++)
		if (!strstr(p->tail.v[i], "is deprecated")) /* never why something ended */
			strv_take(&b->o->detail, xasprintf("%s: %s", p->name, p->tail.v[i]));
}

/* Gives the running test its verdict. */
static void conclude(struct boot *b, enum verdict v, bool timeout, const char *owner)
{
	struct result *t;
	size_t i;

	if (!ktap_current(&b->ktap))
		return;
	b->o->test = xstrdup(ktap_current(&b->ktap));
	t = ktap_conclude(&b->ktap, NULL, v, b->o->message);
	t->timeout = timeout;
	if (!t->clause && b->c->tests) {
		const struct image_test *it = image_tests_find(b->c->tests, t->id);

		if (it)
			t->clause = xstrdup(it->clause);
		if (it && it->owner && !owner && !t->owner)
			t->owner = xstrdup(it->owner);
	}
	if (owner) {
		free(t->owner);
		t->owner = xstrdup(owner);
	}
	for (i = 0; i < b->o->detail.n; i++)
		strv_add(&t->diag, b->o->detail.v[i]);
	ktap_announce(&b->ktap, t);
}

static void read_registers(struct boot *b)
{
	char *path = xasprintf("%s/qmp.sock", b->c->tmp_dir), *text, *next, *line;
	char *file = xasprintf("%s/registers-%u.txt", b->c->run_dir, b->c->number);

	text = qmp_registers(path, REGISTERS_MS);
	if (text && write_file(file, text, strlen(text)) == 0) {
		for (next = text; (line = strsep(&next, "\n"));)
			if (strncmp(line, "RIP=", 4) == 0 || strncmp(line, "CPU#", 4) == 0)
				strv_add(&b->o->detail, line);
		strv_take(&b->o->detail, xasprintf("all registers: %s", file));
	}
	free(text);
	free(file);
	free(path);
}

static void hang(struct boot *b, uint64_t waited)
{
	finish(b, BOOT_HANG, "the guest hung: no sign of it for %.1f s%s", (double)waited / 1000,
	       b->vmm->out < 0 ? "; its console was closed" : "");
	read_registers(b);
	conclude(b, V_FAIL, true, NULL);
}

static struct proc *first_with(struct boot *b, bool (*test)(const struct proc *))
{
	size_t i;

	for (i = 0; i < b->n; i++)
		if (proc_ended(b->list[i]) && b->list[i]->exited && test(b->list[i]))
			return b->list[i];
	return NULL;
}

/* A program beside the VMM that somebody else ended. */
static struct proc *ended_from_outside(struct boot *b)
{
	size_t i;

	for (i = 0; i < b->n; i++)
		if (b->list[i] != b->vmm && proc_ended(b->list[i]) &&
		    WIFSIGNALED(b->list[i]->status) && !proc_crashed(b->list[i]))
			return b->list[i];
	return NULL;
}

static bool killed(const struct proc *p)
{
	return WIFSIGNALED(p->status);
}

static bool failed(const struct proc *p)
{
	return WIFEXITED(p->status) && WEXITSTATUS(p->status) != 0;
}

static bool any(const struct proc *p)
{
	(void)p;
	return true;
}

/* The VMM goes on after a reset, or a triple fault, and the payload would run from its start, again and again. */
static void judge_reset(struct boot *b)
{
	finish(b, BOOT_DIED,
	       "the guest died (triple fault or reset): the machine started the payload anew before the report's end");
	conclude(b, V_FAIL, false, NULL);
}

/* Something ended before the report did: whose fault is it? A VMM whose device died gives up as well. */
static void judge_exit(struct boot *b)
{
	struct proc *p = ended_from_outside(b);
	char *how;

	if (!p)
		p = first_with(b, proc_crashed);
	if (!p)
		p = first_with(b, killed);
	if (!p && b->again && b->vmm->exited && !ktap_current(&b->ktap)) {
		finish(b, BOOT_AGAIN, "the payload asks for a new boot: %s", b->again);
		return;
	}
	if (!p && !b->vmm->exited)
		p = first_with(b, failed);
	if (!p)
		p = b->vmm->exited ? b->vmm : first_with(b, any);
	how = proc_describe(p);
	if (p != b->vmm || killed(p)) {
		finish(b, p == b->vmm ? BOOT_VMM : BOOT_PROGRAM, "%s %s", p->name, how);
		explain(b, p);
		if (p != b->vmm && b->vmm->exited && proc_crashed(b->vmm)) {
			char *then = proc_describe(b->vmm);

			strv_take(&b->o->detail, xasprintf("then %s %s", b->vmm->name, then));
			free(then);
		}
		/* A program that crashed has failed; one that somebody else ended by a signal has not. */
		conclude(b, proc_crashed(p) || failed(p) ? V_FAIL : V_ERROR, false, p->name);
	} else if (!b->report->started && (failed(p) || b->report->bail)) {
		finish(b, BOOT_START, "%s %s before the payload's first line", p->name, how);
		explain(b, p);
	} else {
		finish(b, BOOT_DIED, "%s%s %s before the report's end",
		       b->report->bail ? "" : "the guest died (triple fault or reset): ", p->name,
		       how);
		explain(b, p);
		conclude(b, V_FAIL, false, NULL);
	}
	free(how);
}

/* --- programs ---------------------------------------------------------------------------- */

/*
 * A line of /proc/net/unix: "Num: RefCount Protocol Flags Type St Inode Path". Flag 0x10000: it accepts connections. The
 * path goes to the line's end: blanks in it are its own.
 */
static bool line_listens(char *line, const char *path)
{
	unsigned int flags;
	int at = 0;

	line[strcspn(line, "\n")] = '\0';
	return sscanf(line, "%*s %*s %*s %x %*s %*s %*s%n", &flags, &at) == 1 && at &&
	       (flags & 0x10000) && line[at] == ' ' && strcmp(line + at + 1, path) == 0;
}

/* Sockets that accept connections are listed per network namespace, and p may be in another one than this program. */
static bool listening(const struct proc *p, const char *path)
{
	char *list = xasprintf("/proc/%d/net/unix", p->pid), line[512];
	struct stat st;
	bool found = false;
	FILE *f = NULL;

	if (stat(path, &st))
		goto out;
	found = !S_ISSOCK(st.st_mode);
	if (!found)
		f = fopen(list, "re");
	if (!found && !f)
		f = fopen("/proc/net/unix", "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = line_listens(line, path);
	if (f)
		fclose(f);
out:
	free(list);
	return found;
}

static bool logged(const struct proc *p, const regex_t *re)
{
	size_t i;

	for (i = 0; i < p->tail.n; i++)
		if (regexec(re, p->tail.v[i], 0, NULL, 0) == 0)
			return true;
	return p->partial.len && regexec(re, p->partial.s, 0, NULL, 0) == 0;
}

/* Waits for a program to be ready. True, or finish() was called. */
static bool await_ready(struct boot *b, struct proc *p, const char *socket, const regex_t *re,
			uint64_t limit_ms)
{
	const uint64_t end = now_ms() + limit_ms;

	while (!(socket && listening(p, socket)) && !(re && logged(p, re))) {
		struct pollfd f[2] = { { .fd = p->out, .events = POLLIN },
				       { .fd = signals_fd(), .events = POLLIN } };

		if (proc_ended(p)) {
			char *how = proc_describe(p);

			proc_drain(p, &p->out);
			finish(b, BOOT_START, "%s %s before it was ready", p->name, how);
			explain(b, p);
			free(how);
			return false;
		}
		if (signals_seen()) {
			finish(b, BOOT_INTERRUPTED, "interrupted by signal %d", signals_seen());
			return false;
		}
		if (now_ms() >= end || now_ms() >= b->c->deadline) {
			finish(b, BOOT_START, "%s was not ready within %.1f s (%s)", p->name,
			       (double)limit_ms / 1000, socket ? socket : "its log");
			explain(b, p);
			return false;
		}
		poll(f, 2, 5);
		proc_drain(p, &p->out);
	}
	return true;
}

static void log_command(const struct boot *b, const char *name, const struct strv *argv)
{
	struct sbuf line = { 0 };
	ssize_t n;
	size_t i;

	if (b->c->commands < 0)
		return;
	sbuf_addf(&line, "# boot %u: %s\n", b->c->number, name);
	for (i = 0; i < argv->n; i++) {
		if (i)
			sbuf_add(&line, argv->v[i][0] == '-' ? " \\\n\t" : " ");
		sbuf_add_quoted(&line, argv->v[i]);
	}
	sbuf_add(&line, "\n\n");
	n = write(b->c->commands, line.s, line.len);
	(void)n;
	sbuf_free(&line);
}

static bool start(struct boot *b, const char *name, const char *template, bool split)
{
	struct proc *p = &b->programs[b->n];
	struct strv argv = { 0 };
	struct sbuf err = { 0 };
	char *log = NULL;
	bool ok = false;
	int ret;

	if (!vars_words(b->c->vars, template, &argv, &err) || !argv.n) {
		finish(b, BOOT_START, "%s: %s", name, err.s ? err.s : "an empty command");
		goto out;
	}
	log_command(b, name, &argv);
	log = xasprintf("%s/%s.log", b->c->run_dir, name);
	ret = proc_start(p, name, argv.v, log, split);
	b->list[b->n++] = p;
	if (ret)
		finish(b, BOOT_START, "%s cannot be started: %s: %s", name, argv.v[0],
		       strerror(-ret));
	ok = !ret;
out:
	sbuf_free(&err);
	strv_free(&argv);
	free(log);
	return ok;
}

/* The socket or file of the boot before; a file elsewhere is the machine's own (/dev/...). */
static void forget_ready(const struct boot *b, const char *path)
{
	const size_t n = strlen(b->c->tmp_dir);
	struct stat st;

	if (lstat(path, &st) == 0 &&
	    (S_ISSOCK(st.st_mode) || (strncmp(path, b->c->tmp_dir, n) == 0 && path[n] == '/')))
		unlink(path);
}

static double deadline_of(const struct boot *b, const char *type, const char *name, double seconds)
{
	const char *own = recipe_get(b->c->vars->recipe, type, name, "deadline");
	struct sbuf err = { 0 };
	char *text = own ? vars_string(b->c->vars, own, &err) : NULL;

	if (text && recipe_seconds(text) >= 0)
		seconds = recipe_seconds(text);
	else if (own)
		fprintf(stderr, "assay: [%s] deadline = %s: no seconds; %g are taken\n", type, own,
			seconds);
	free(text);
	sbuf_free(&err);
	return seconds;
}

static bool start_device(struct boot *b, const char *name)
{
	const struct recipe *r = b->c->vars->recipe;
	const char *command = recipe_get(r, "device", name, "command");
	const char *ready = recipe_get(r, "device", name, "ready");
	const char *pattern = recipe_get(r, "device", name, "ready-log");
	const uint64_t ms = (uint64_t)(deadline_of(b, "device", name, READY_S) * 1000);
	struct sbuf err = { 0 };
	char *socket = NULL;
	bool ok = false;
	regex_t re;

	if (!command) {
		finish(b, BOOT_START, "[device %s] has no command", name);
		return false;
	}
	if (!*command) /* a recipe takes away a device of the one that it extends */
		return true;
	if (ready) {
		socket = vars_string(b->c->vars, ready, &err);
		if (!socket) {
			finish(b, BOOT_START, "[device %s] ready: %s", name, err.s);
			goto out;
		}
		forget_ready(b, socket);
	}
	if (pattern && regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB)) {
		finish(b, BOOT_START, "[device %s] ready-log: not a regular expression", name);
		goto out;
	}
	ok = start(b, name, command, false);
	if (ok && (socket || pattern))
		ok = await_ready(b, &b->programs[b->n - 1], socket, pattern ? &re : NULL, ms);
	if (pattern)
		regfree(&re);
out:
	sbuf_free(&err);
	free(socket);
	return ok;
}

/* [prepare NAME]: a command that must end well before anything else starts. */
static bool prepare(struct boot *b, const char *name)
{
	const char *command = recipe_get(b->c->vars->recipe, "prepare", name, "command");
	const double seconds = deadline_of(b, "prepare", name, PREPARE_S);
	const uint64_t end = now_ms() + (uint64_t)(seconds * 1000);
	struct proc *p = &b->programs[b->n];

	if (!command) {
		finish(b, BOOT_START, "[prepare %s] has no command", name);
		return false;
	}
	if (!start(b, name, command, false))
		return false;
	while (!proc_ended(p)) {
		struct pollfd f[3] = { { .fd = p->out, .events = POLLIN },
				       { .fd = p->pidfd, .events = POLLIN },
				       { .fd = signals_fd(), .events = POLLIN } };

		if (signals_seen()) {
			finish(b, BOOT_INTERRUPTED, "interrupted by signal %d", signals_seen());
			return false;
		}
		if (now_ms() >= end || now_ms() >= b->c->deadline) {
			finish(b, BOOT_START, "%s did not end within %.0f s", name, seconds);
			explain(b, p);
			return false;
		}
		poll(f, 3, TICK_MS);
		proc_drain(p, &p->out);
	}
	proc_stop(&p, 1, 0);
	if (!WIFEXITED(p->status) || WEXITSTATUS(p->status)) {
		char *how = proc_describe(p);

		finish(b, BOOT_START, "%s %s", name, how);
		explain(b, p);
		free(how);
		return false;
	}
	/* The program has done its work. The next one takes its place in the list. */
	proc_free(p);
	b->n--;
	return true;
}

static bool prepare_all(struct boot *b)
{
	struct strv names = { 0 };
	bool ok = true;
	size_t i;

	recipe_names(b->c->vars->recipe, "prepare", &names);
	for (i = 0; ok && i < names.n; i++)
		ok = prepare(b, names.v[i]);
	strv_free(&names);
	return ok;
}

static bool start_all(struct boot *b)
{
	const char *vmm = b->c->vmm ? b->c->vmm :
				      recipe_get(b->c->vars->recipe, "vmm", "", "command");
	struct strv names = { 0 };
	bool ok = true;
	size_t i;

	if (b->c->devices && !prepare_all(b))
		return false;
	if (b->c->devices)
		recipe_names(b->c->vars->recipe, "device", &names);
	if (names.n > PROGRAMS_MAX) {
		finish(b, BOOT_START, "more than %u [device] sections", PROGRAMS_MAX);
		ok = false;
	}
	for (i = 0; ok && i < names.n; i++)
		ok = start_device(b, names.v[i]);
	strv_free(&names);
	if (!ok)
		return false;
	b->started = b->progress = b->awake = now_ms();
	ok = start(b, "vmm", vmm, true);
	if (ok)
		b->vmm = &b->programs[b->n - 1];
	return ok;
}

/* --- the loop ---------------------------------------------------------------------------- */

/* Reads the console once. False at its end. */
static bool read_console(struct boot *b)
{
	char buf[65536];
	ssize_t n;

	if (b->vmm->out < 0)
		return false;
	n = read(b->vmm->out, buf, sizeof(buf));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		close(b->vmm->out);
		b->vmm->out = -1;
		return false;
	}
	if (b->o->bytes + (size_t)n > SERIAL_MAX) {
		finish(b, BOOT_FLOOD, "the console was flooded: more than %u MiB in one boot",
		       SERIAL_MAX >> 20);
		return false;
	}
	b->o->bytes += (size_t)n;
	if (b->c->serial >= 0) {
		const ssize_t w = write(b->c->serial, buf, (size_t)n);

		(void)w;
	}
	ktap_feed(&b->ktap, buf, (size_t)n);
	return true;
}

/* Reads what the VMM wrote before it ended, up to the end. */
static void drain_console(struct boot *b)
{
	struct pollfd p = { .events = POLLIN };

	while (!b->o->message) {
		p.fd = b->vmm->out;
		if (p.fd < 0 || poll(&p, 1, 0) <= 0 || !read_console(b))
			break;
	}
}

static bool someone_ended(struct boot *b)
{
	bool yes = false;
	size_t i;

	for (i = 0; i < b->n; i++)
		yes = proc_ended(b->list[i]) || yes;
	return yes;
}

static void settle(struct boot *b)
{
	const uint64_t end = now_ms() + SETTLE_MS;

	while (now_ms() < end && !b->vmm->exited) {
		someone_ended(b);
		read_console(b);
		poll(NULL, 0, 5);
	}
	someone_ended(b);
	drain_console(b);
}

/*
 * A machine that is busy, or was suspended, does not run this program for a while, and most likely not the guest
 * either: that time is not the guest's. One round of the loop takes a tick.
 */
static void forgive_lateness(struct boot *b, uint64_t now)
{
	const uint64_t gap = now - b->awake;

	b->awake = now;
	if (gap > TICK_MS)
		b->progress += gap - TICK_MS;
	if (b->progress > now)
		b->progress = now;
}

/* Reads what came, and sees who ended, before the clock decides. True: there was something. */
static bool news(struct boot *b)
{
	const uint64_t before = b->progress;

	drain_console(b);
	return someone_ended(b) || b->report->ended || b->o->message || b->progress != before;
}

/* ms until the next deadline; 0: it passed, and finish() was called. */
static uint64_t time_left(struct boot *b)
{
	const uint64_t now = now_ms();
	uint64_t limit, idle;

	forgive_lateness(b, now);
	idle = now - b->progress;
	if (now >= b->c->deadline) {
		finish(b, BOOT_DEADLINE, "the time of the whole run is over");
		conclude(b, V_ERROR, false, NULL);
		return 0;
	}
	if (!b->report->started)
		limit = b->c->first_ms;
	else
		limit = ktap_current(&b->ktap) ? b->test_ms : b->c->silence_ms;
	if (idle < limit)
		return limit - idle;
	if (news(b))
		return 1;
	if (!b->report->started) {
		finish(b, BOOT_HANG, "no report from the payload within %.1f s%s; the VMM runs on",
		       (double)limit / 1000, b->vmm->out < 0 ? "; its console was closed" : "");
		strv_add(&b->o->detail, "--first-line gives a slow host more time");
		read_registers(b);
		explain(b, b->vmm);
	} else {
		hang(b, idle);
	}
	return 0;
}

static void wait_events(struct boot *b, uint64_t left)
{
	struct pollfd f[3 * (PROGRAMS_MAX + 1) + 1];
	nfds_t n = 0;
	size_t i;

	f[n++] = (struct pollfd){ .fd = signals_fd(), .events = POLLIN };
	for (i = 0; i < b->n; i++) {
		struct proc *p = b->list[i];

		f[n++] = (struct pollfd){ .fd = p->out, .events = POLLIN };
		f[n++] = (struct pollfd){ .fd = p->err, .events = POLLIN };
		f[n++] = (struct pollfd){ .fd = p->pidfd, .events = POLLIN };
	}
	poll(f, n, (int)(left < TICK_MS ? left : TICK_MS));
	for (i = 0; i < b->n; i++) {
		struct proc *p = b->list[i];

		if (p == b->vmm)
			read_console(b);
		else
			proc_drain(p, &p->out);
		proc_drain(p, &p->err);
	}
}

/*
 * A back end may live on without the thread that serves its queues, and say nothing: a test that ran by then is
 * not to blame, and runs again. True: it is so.
 */
static bool worker_lost(struct boot *b)
{
	const uint64_t now = now_ms();
	size_t i;

	if (now - b->looked < TICK_MS)
		return false;
	b->looked = now;
	for (i = 0; i < b->n; i++) {
		struct proc *p = b->list[i];
		const char *name = p == b->vmm ? NULL :
						 recipe_get(b->c->vars->recipe, "device", p->name,
							    "thread");
		const bool there = name && !proc_ended(p) && proc_has_thread(p, name);

		if (!name || there || !b->working[i]) {
			b->working[i] = there;
			continue;
		}
		settle(b); /* it may have ended since the VMM did */
		if (b->vmm->exited || b->report->ended || b->o->message)
			return false;
		finish(b, BOOT_WORKER, "%s is dead: its thread %s ended", p->name, name);
		b->o->program = xstrdup(p->name);
		explain(b, p);
		if (b->c->suspect && ktap_current(&b->ktap) &&
		    strcmp(b->c->suspect, ktap_current(&b->ktap)) == 0)
			conclude(b, V_FAIL, false, p->name);
		else if (ktap_current(&b->ktap))
			b->o->running = xstrdup(ktap_current(&b->ktap));
		return true;
	}
	return false;
}

static void disturb(struct boot *b, bool over)
{
	const struct boot_view v = {
		.test = over ? NULL : ktap_current(&b->ktap),
		.test_ms = now_ms() - b->test_start,
		.programs = b->list,
		.n = b->n,
		.vmm = b->vmm,
		.tmp_dir = b->c->tmp_dir,
		.over = over,
	};

	if (b->c->disturb)
		b->c->disturb(b->c->disturb_arg, &v);
}

static void watch(struct boot *b)
{
	uint64_t end;

	while (!b->report->ended && !b->o->message) {
		const uint64_t left = time_left(b);

		if (!left)
			return;
		wait_events(b, left);
		if (b->c->tick)
			b->c->tick(b->c->arg);
		disturb(b, false);
		/* `assay race` resets the machine itself, and lets it come up again. */
		if (b->was_reset && !b->c->disturb) {
			judge_reset(b);
			return;
		}
		if (b->o->end == BOOT_FLOOD && b->o->message) {
			conclude(b, V_FAIL, false, NULL);
			return;
		}
		if (signals_seen()) {
			finish(b, BOOT_INTERRUPTED, "interrupted by signal %d", signals_seen());
			return;
		}
		if (!b->report->ended && b->c->enough && *b->c->enough) {
			finish(b, BOOT_ENOUGH, "ended at the first test that failed");
			return;
		}
		if (!b->report->ended && worker_lost(b))
			return;
		if (someone_ended(b) && !b->report->ended) {
			settle(b);
			if (b->o->message) /* a flood at the very end */
				conclude(b, V_FAIL, false, NULL);
			else if (!b->report->ended)
				judge_exit(b);
			break;
		}
	}
	if (!b->report->ended)
		return;
	end = now_ms() + (uint64_t)(deadline_of(b, "after", "", POWER_OFF_S) * 1000);
	if (end > b->c->deadline)
		end = b->c->deadline;
	while (!proc_ended(b->vmm) && now_ms() < end && !signals_seen() && !b->o->message)
		wait_events(b, TICK_MS);
	drain_console(b);
}

/* A component that crashed after the last test: nobody else would say so. */
static void judge_late_crash(struct boot *b)
{
	size_t i;

	for (i = 0; i < b->n; i++) {
		struct proc *p = b->list[i];
		struct result *t;
		char *id, *how, *reason;
		size_t k;

		if (!p->pid || !proc_crashed(p))
			continue;
		id = xasprintf("host.%s.alive", p->name);
		how = proc_describe(p);
		reason = xasprintf("%s %s after the last test", p->name, how);
		t = ktap_conclude(&b->ktap, id, V_FAIL, reason);
		t->clause = xstrdup(
			"robustness: no component of the host crashes, whatever the guest does");
		t->owner = xstrdup(p->name);
		for (k = 0; k < p->tail.n; k++)
			strv_add(&t->diag, p->tail.v[k]);
		ktap_announce(&b->ktap, t);
		free(reason);
		free(how);
		free(id);
	}
}

void boot_run(const struct boot_config *c, struct report *r, struct boot_outcome *o)
{
	struct boot *b = xcalloc(1, sizeof(*b));
	bool stopped;
	size_t i;

	memset(o, 0, sizeof(*o));
	b->c = c;
	b->o = o;
	b->report = r;
	ktap_init(&b->ktap, r, on_event, b);
	if (start_all(b))
		watch(b);
	o->ms = b->started ? now_ms() - b->started : 0;
	ktap_finish(&b->ktap, false);
	stopped = b->vmm &&
		  !proc_ended(b->vmm); /* a VMM that is stopped by force may die in any way */
	proc_stop(b->list, b->n, STOP_MS);
	proc_end_orphans();
	if (o->end == BOOT_DONE && !stopped)
		judge_late_crash(b);
	disturb(b, true);
	ktap_free(&b->ktap);
	free(b->again);
	for (i = 0; i < b->n; i++)
		proc_free(b->list[i]);
	free(b);
}

void boot_outcome_free(struct boot_outcome *o)
{
	free(o->message);
	free(o->program);
	free(o->running);
	free(o->test);
	free(o->last);
	strv_free(&o->detail);
	memset(o, 0, sizeof(*o));
}
