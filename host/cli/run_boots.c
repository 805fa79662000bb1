/* SPDX-License-Identifier: BSD-2-Clause */
/* Boots until each test has its verdict. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/boot.h"
#include "host/cli/run_state.h"
#include "host/cli/select.h"
#include "lib/glob.h"

#define FIRST_LINE_S 60

static void on_event(void *arg, enum ktap_event event, const char *text)
{
	struct run *r = arg;
	struct report *rep = r->current;

	switch (event) {
	case KTAP_START:
		if (!r->env_shown)
			printer_env(&r->out, rep);
		r->env_shown = true;
		printer_start(&r->out, text);
		break;
	case KTAP_RESULT: {
		struct result shown = rep->results[rep->n - 1];

		/* A copy: the reader still checks the payload's totals against its own verdicts. */
		shown.reason = shown.reason ? xstrdup(shown.reason) : NULL;
		shown.diag = (struct strv){ 0 };
		for (size_t i = 0; i < rep->results[rep->n - 1].diag.n; i++)
			strv_add(&shown.diag, rep->results[rep->n - 1].diag.v[i]);
		require_result(r->require, &shown);
		deviations_apply(&r->known, &shown);
		printer_result(&r->out, &shown);
		if (r->o->fail_fast && (shown.verdict == V_FAIL || shown.verdict == V_ERROR))
			r->failed = true;
		free(shown.reason);
		strv_free(&shown.diag);
		break;
	}
	default:
		break;
	}
}

static void on_tick(void *arg)
{
	struct run *r = arg;

	printer_tick(&r->out);
}

/* Seconds until the payload's first line: as asked for, as the host needs. */
static double first_line(const struct run *r)
{
	const char *own = recipe_get(r->recipe, "host", "", "first-line");

	if (r->o->first_timeout > 0)
		return r->o->first_timeout;
	return own ? atof(own) : FIRST_LINE_S;
}

struct boot_config run_boot_config(struct run *r, unsigned int number)
{
	return (struct boot_config){
		.vars = &r->vars,
		.devices = true,
		.number = number,
		.run_dir = r->dir,
		.tmp_dir = r->tmp,
		.tests = &r->tests,
		.slow = run_slow(r),
		.test_timeout_ms = (uint64_t)(r->o->test_timeout * 1000),
		.grace_ms = (unsigned int)(r->o->grace * 1000),
		.first_ms = (unsigned int)(first_line(r) * 1000),
		.silence_ms = (unsigned int)((r->o->silence + r->o->grace) * 1000),
		.deadline = r->deadline,
		.serial = r->serial,
		.commands = r->commands,
		.handler = on_event,
		.enough = &r->failed,
		.tick = on_tick,
		.arg = r,
		.disturb = r->o->disturb,
		.disturb_arg = r->o->disturb_arg,
	};
}

size_t run_without_verdict(const struct run *r, const struct strv *ids)
{
	size_t i, k, n = 0;

	for (i = 0; i < ids->n; i++) {
		for (k = 0; k < r->report.n; k++)
			if (strcmp(r->report.results[k].id, ids->v[i]) == 0)
				break;
		n += k == r->report.n;
	}
	return n;
}

static void remember_boot(struct run *r, unsigned int number, const struct boot_outcome *o)
{
	strv_take(
		&r->boots,
		xasprintf("%u: %s; first line after %.2f s, end after %.2f s, %zu bytes of console",
			  number, o->message ? o->message : "complete", (double)o->first_ms / 1000,
			  (double)o->ms / 1000, o->bytes));
}

static void tell_end(struct run *r, const struct boot_outcome *o)
{
	size_t i;

	printer_note(&r->out, "%s", o->message ? o->message : "the boot ended");
	if (o->test) /* the test's own lines have shown the rest */
		return;
	for (i = 0; i < o->detail.n; i++)
		printer_note(&r->out, "  %s", o->detail.v[i]);
}

/* A boot that ended badly while no test ran: else nobody would hear of it in the report. */
static void blame_harness(struct run *r, const struct boot_outcome *o)
{
	printer_result(&r->out, report_add(&r->report, "harness.end", V_ERROR,
					   o->message ? o->message : "no end"));
}

/* A program of the host that lives on and does nothing: a FAIL of its own, once. */
static void blame_program(struct run *r, const struct boot_outcome *o)
{
	char *id = xasprintf("host.%s.alive", o->program);
	struct result *t;
	size_t i;

	for (i = 0; i < r->report.n; i++)
		if (strcmp(r->report.results[i].id, id) == 0)
			break;
	if (i == r->report.n) {
		t = report_add(&r->report, id, V_FAIL, o->message);
		t->clause = xstrdup(
			"robustness: no component of the host crashes, whatever the guest does");
		t->owner = xstrdup(o->program);
		if (o->running)
			strv_take(&t->diag,
				  xasprintf("while %s ran, which is tried again", o->running));
		else if (o->last)
			strv_take(&t->diag, xasprintf("after %s", o->last));
		deviations_apply(&r->known, t);
		printer_result(&r->out, t);
	}
	free(id);
}

/*
 * Boots until these tests have a verdict; list is how the payload is told of them. Returns how the last boot
 * ended; *complete: they have.
 */
static enum boot_end boot_tests(struct run *r, const struct strv *ids, const char *list,
				bool *complete)
{
	unsigned int boots = 0;
	enum boot_end end = BOOT_START;
	const unsigned int most = run_most_reboots(r);
	char *after = NULL, *suspect = NULL;
	bool go_on = true;

	*complete = false;
	while (go_on && run_make_cmdline(r, list, after, boots >= most)) {
		struct boot_config c = run_boot_config(r, ++r->number);
		struct boot_outcome o;
		struct report part;
		size_t left;

		boots++;
		c.suspect = suspect;
		report_init(&part);
		r->current = &part;
		boot_run(&c, &part, &o);
		r->current = NULL;
		report_append(&r->report, &part);
		remember_boot(r, r->number, &o);
		end = o.end;
		left = run_without_verdict(r, ids);
		/* With every verdict there, repetitions may still be missing. */
		*complete = end == BOOT_DONE || (left == 0 && end != BOOT_INTERRUPTED &&
						 end != BOOT_DEADLINE && end != BOOT_ENOUGH);
		if (end == BOOT_WORKER)
			blame_program(r, &o);
		go_on = !*complete && (o.last || end == BOOT_WORKER) && end != BOOT_START &&
			end != BOOT_INTERRUPTED && end != BOOT_DEADLINE && !r->failed &&
			boots <= most;
		if ((*complete || go_on) && end != BOOT_DONE && end != BOOT_WORKER &&
		    end != BOOT_AGAIN && !o.test)
			blame_harness(r, &o);
		if (end != BOOT_DONE)
			tell_end(r, &o);
		if (go_on)
			printer_note(&r->out, "booting again for the remaining %zu test%s", left,
				     left == 1 ? "" : "s");
		else if (!*complete && boots > most)
			printer_note(&r->out, "%u boot%s enough: %zu test%s no verdict", boots,
				     boots == 1 ? " is" : "s are", left,
				     left == 1 ? " has" : "s have");
		if (o.last || end != BOOT_WORKER) {
			free(after);
			after = o.last ? xstrdup(o.last) : NULL;
		}
		free(suspect);
		suspect = o.running ? xstrdup(o.running) : NULL;
		if (go_on && r->o->repeat > 1)
			printer_note(&r->out,
				     "repetitions that stood before %s are not made up for", after);
		boot_outcome_free(&o);
	}
	free(after);
	free(suspect);
	return end;
}

/* Tests that leave this host broken, [host] alone = GLOB,...: each runs in a boot of its own, after the others. */
static void part_tests(const struct run *r, struct strv *together, struct strv *alone)
{
	const char *globs = recipe_get(r->recipe, "host", "", "alone");
	size_t i;

	for (i = 0; i < r->selected.n; i++) {
		const char *id = r->selected.v[i];

		strv_add(globs && *globs && glob_list_selects(globs, id) ? alone : together, id);
	}
}

bool run_boots(struct run *r)
{
	struct strv together = { 0 }, alone = { 0 };
	enum boot_end end = BOOT_DONE;
	bool complete = true, all = true;
	char *list;
	size_t i;

	part_tests(r, &together, &alone);
	if (together.n) {
		list = alone.n ? tests_list(&r->tests, &together) :
		       r->list ? xstrdup(r->list) :
				 NULL;
		end = boot_tests(r, &together, list, &all);
		free(list);
	}
	for (i = 0; i < alone.n && end != BOOT_START && end != BOOT_INTERRUPTED &&
		    end != BOOT_DEADLINE && !r->failed;
	     i++) {
		const struct strv one = { .v = &alone.v[i], .n = 1 };

		end = boot_tests(r, &one, alone.v[i], &complete);
		all = all && complete;
	}
	all = all && i == alone.n;
	strv_free(&together);
	strv_free(&alone);
	r->report.ended = all;
	r->end = end;
	return all;
}
