/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a fault was caught. Everything is read from what the run left in its folder, which was empty before: the
 * report, and the injection counts of the host's components.
 */
#include "host/cli/faults.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "host/cli/run.h"
#include "host/common/injected.h"
#include "host/common/ktap.h"
#include "lib/glob.h"

/* The test that runs where a fault ends the device: its traffic is enough for the device to die in. */
#define HARNESS "vsock.stream.hundred"

bool trial_expects(const struct trial *x, const char *id)
{
	const char *globs;

	if (fault_expects(&x->fault, &globs) == FAULT_HARNESS)
		return strcmp(id, HARNESS) == 0;
	return glob_list_selects(globs, id);
}

bool trial_is_open(const struct trial *x)
{
	const char *globs;

	return fault_expects(&x->fault, &globs) == FAULT_OPEN;
}

bool trial_ends_early(const struct trial *x)
{
	const char *globs;

	return !trial_is_healthy(x) && fault_expects(&x->fault, &globs) == FAULT_FAILS &&
	       !strchr(globs, ',');
}

static bool is_noted(const struct trial *x)
{
	const char *globs;

	return fault_expects(&x->fault, &globs) == FAULT_NOTED;
}

/* Whether the test saw the fault: it FAILs; or it PASSes with a note, where only a SHOULD is broken. */
static bool as_expected(const struct trial *x, const struct result *t)
{
	return is_noted(x) ? t->verdict == V_PASS && t->diag.n : t->verdict == V_FAIL;
}

static bool is_bad(const struct trial *x, const struct result *t)
{
	(void)x;
	return verdict_is_bad(t->verdict);
}

/* Counts the results that are so among those that should see the fault; names the first two. */
static unsigned int gather(const struct trial *x, const struct report *r,
			   bool (*is)(const struct trial *x, const struct result *t),
			   bool with_verdict, struct sbuf *names)
{
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < r->n; i++) {
		const struct result *t = &r->results[i];

		if ((!trial_is_healthy(x) && !trial_expects(x, t->id)) || !is(x, t) || n++ >= 2)
			continue;
		sbuf_addf(names, "%s%s", n > 1 ? ", " : "", t->id);
		if (with_verdict)
			sbuf_addf(names, ": %s", result_name(t));
	}
	if (n > 2)
		sbuf_addf(names, " and %u more", n - 2);
	return n;
}

static bool glob_caught(const struct trial *x, const struct report *r, const char *glob)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (glob_list_selects(glob, r->results[i].id) && as_expected(x, &r->results[i]))
			return true;
	return false;
}

/* A test of each id or glob of the fault's list saw it; the first of which none did is named. */
static bool all_caught(const struct trial *x, const struct report *r, struct sbuf *names)
{
	const char *list;
	char *copy, *next, *glob;
	bool ok = true;

	fault_expects(&x->fault, &list);
	next = copy = xstrdup(list);
	while (ok && (glob = strsep(&next, ","))) {
		ok = !*glob || glob_caught(x, r, glob);
		if (!ok)
			sbuf_addf(names, "%snot by %s", names->len ? "; but " : "", glob);
	}
	free(copy);
	return ok;
}

/* The exit status that the run must have: a FAIL is a 1, whatever else happened. */
static bool status_fits(const struct trial *x, struct sbuf *names)
{
	const int want = is_noted(x) ? STATUS_OK : STATUS_FAIL;

	if (x->status == want)
		return true;
	sbuf_addf(names, "; but the exit status is %d and not %d", x->status, want);
	return false;
}

static enum trial_state judge_fault(const struct trial *x, const struct report *r,
				    struct sbuf *names)
{
	if (!gather(x, r, as_expected, false, names)) {
		gather(x, r, is_bad, true, names);
		return trial_is_open(x) ? TRIAL_OPEN : TRIAL_MISSED;
	}
	return all_caught(x, r, names) && status_fits(x, names) ? TRIAL_CAUGHT : TRIAL_MISSED;
}

/* The device died or stopped: the run ends in time, and neither its report nor its exit status is green. */
static enum trial_state judge_harness(const struct trial *x, const struct report *r,
				      struct sbuf *names)
{
	if (!gather(x, r, is_bad, true, names))
		sbuf_add(names, "no test says so");
	sbuf_addf(names, ", exit status %d", x->status);
	return x->status > STATUS_OK && x->status <= STATUS_NO_REPORT &&
			       x->status == report_status(r) ?
		       TRIAL_CAUGHT :
		       TRIAL_MISSED;
}

static enum trial_state judge_healthy(const struct trial *x, const struct report *r,
				      struct sbuf *names)
{
	if (x->status == STATUS_OK && report_status(r) == STATUS_OK)
		return TRIAL_CAUGHT;
	if (!gather(x, r, is_bad, true, names))
		sbuf_addf(names, "exit status %d", x->status);
	return TRIAL_MISSED;
}

static uint64_t read_injected(const struct trial *x)
{
	char *path = xasprintf("%s/injected", x->dir);
	struct injected_sum *sums;
	uint64_t count = 0;
	size_t n, i;

	injected_read(path, &sums, &n); /* no file: nothing was injected */
	for (i = 0; i < n; i++)
		if (strcmp(sums[i].id, x->fault.id) == 0)
			count += sums[i].count;
	injected_free(sums, n);
	free(path);
	return count;
}

void trial_judge(struct trial *x)
{
	char *file = xasprintf("%s/report.ktap", x->dir);
	struct sbuf names = { 0 };
	struct report r;
	const char *globs;
	const int ret = report_read(&r, file);

	x->ms = now_ms() - x->started;
	x->status = WIFEXITED(x->proc.status) ? WEXITSTATUS(x->proc.status) : -1;
	x->injected = trial_is_healthy(x) ? 0 : read_injected(x);
	if (ret)
		report_init(&r);
	if (ret)
		x->state = TRIAL_NO_RUN;
	else if (trial_is_healthy(x))
		x->state = judge_healthy(x, &r, &names);
	else if (fault_expects(&x->fault, &globs) == FAULT_HARNESS)
		x->state = judge_harness(x, &r, &names);
	else
		x->state = judge_fault(x, &r, &names);
	/* The fault was not injected, so that a test that failed did so for another reason. */
	if (!ret && !trial_is_healthy(x) && !x->injected)
		x->state = trial_is_open(x) ? TRIAL_OPEN : TRIAL_NOT_INJECTED;
	x->said = sbuf_steal(&names);
	report_free(&r);
	free(file);
}

const char *trial_verdict(const struct trial *x)
{
	switch (x->state) {
	case TRIAL_CAUGHT:
		return trial_is_healthy(x) ? "healthy" : "caught";
	case TRIAL_MISSED:
		return trial_is_healthy(x) ? "FAILS" : "MISSED";
	case TRIAL_NOT_INJECTED:
		return "NEVER INJECTED";
	case TRIAL_NO_TEST:
		return "NO TEST";
	case TRIAL_OPEN:
		return "open";
	default:
		return "NO RUN";
	}
}
