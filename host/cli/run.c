/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/boot.h"
#include "host/cli/proc.h"
#include "host/cli/run_state.h"

static void show_title(struct run *r)
{
	const char *what = recipe_get(r->recipe, "host", "", "description");
	char *text;
	size_t i;

	printer_title(&r->out, r->recipe->name, what ? what : "");
	text = xasprintf("%s, %s, %u CPU%s, %s, %s", r->machine, r->boot, r->o->cpus,
			 r->o->cpus == 1 ? "" : "s", vars_get(&r->vars, "MEM"), r->accel);
	printer_field(&r->out, "machine", text);
	free(text);
	if (r->selected.n != r->tests.n) {
		text = xasprintf("%zu of %zu", r->selected.n, r->tests.n);
		printer_field(&r->out, "tests", text);
		free(text);
	}
	for (i = 0; i < r->o->faults.n; i++)
		printer_field(&r->out, "fault", r->o->faults.v[i]);
	fflush(stdout);
}

/* STATUS_OK: go on. */
static int prepare(struct run *r)
{
	struct sbuf err = { 0 };
	size_t i;

	r->recipe = recipe_load(r->o->host, &err);
	if (!r->recipe) {
		fprintf(stderr, "assay: %s", err.s);
		sbuf_free(&err);
		return STATUS_USAGE;
	}
	r->vars.recipe = r->recipe;
	for (i = 0; i < r->o->set.n; i++)
		strv_add(&r->vars.given, r->o->set.v[i]);
	run_set_programs(r);
	run_set_machine(r);
	if (!run_check_choice(r, "machine", r->machine) || !run_check_choice(r, "boot", r->boot) ||
	    !run_check_boot(r) || !run_set_host_options(r) || !run_check_set(r) ||
	    !run_check_cmdline(r))
		return STATUS_USAGE;
	if (!load_tests(r->elf, &r->tests))
		return STATUS_NO_REPORT;
	image_options_read(r->elf, &r->options); /* without a table nothing is checked */
	if (!run_check_append(r) || !run_read_known(r) || !run_select_tests(r) ||
	    !run_place_faults(r))
		return STATUS_USAGE;
	if (!run_check_needs(r) || !run_ask(r) || !run_take_lock(r) || !run_make_dir(r) ||
	    !run_make_tmp_dir(r))
		return STATUS_NO_REPORT;
	run_set_dirs(r, r->dir);
	return run_choose_accel(r) ? STATUS_OK : STATUS_NO_REPORT;
}

static void log_invocation(const struct run *r)
{
	char *args, *line;
	ssize_t w;

	if (r->commands < 0)
		return;
	args = run_invocation();
	line = xasprintf("# %s\n\n", args);
	w = write(r->commands, line, strlen(line));
	(void)w;
	free(line);
	free(args);
}

static void release(struct run *r)
{
	if (r->tmp && r->o->keep)
		fprintf(stderr, "assay: kept %s\n", r->tmp);
	else if (r->tmp)
		remove_tree(r->tmp);
	if (r->lock >= 0)
		close(r->lock);
	if (r->serial >= 0)
		close(r->serial);
	if (r->commands >= 0)
		close(r->commands);
	printer_free(&r->out);
	deviations_free(&r->known);
	report_free(&r->report);
	image_tests_free(&r->tests);
	strv_free(&r->options);
	strv_free(&r->selected);
	strv_free(&r->boots);
	vars_free(&r->vars);
	recipe_free(r->recipe);
	free(r->list);
	free(r->wanted);
	free(r->require);
	free(r->dir);
	free(r->tmp);
	free(r->elf);
	free(r->own_boot);
}

int run_command(const struct run_options *o)
{
	struct run r = { .o = o, .lock = -1, .serial = -1, .commands = -1 };
	int status;

	signals_init();
	report_init(&r.report);
	printer_init(&r.out, stdout);
	r.out.verbose = o->verbose;
	r.out.quiet = o->quiet;
	r.out.runs = o->runs;
	r.out.nruns = o->nruns;
	r.out.own = o->own;
	r.started = now_ms();
	r.deadline = r.started + (uint64_t)((o->timeout + o->soak * 60) * 1000);
	status = prepare(&r);
	if (status != STATUS_OK)
		goto out;
	r.serial = run_open_file(r.dir, "serial.raw");
	r.commands = r.serial < 0 ? -1 : run_open_file(r.dir, "commands.txt");
	if (r.commands < 0) {
		status = STATUS_NO_REPORT;
		goto out;
	}
	log_invocation(&r);
	run_forget_host(&r);
	r.out.total = (unsigned int)r.selected.n * o->repeat;
	show_title(&r);
	status = run_conclude(&r, run_boots(&r));
out:
	printer_clear(&r.out);
	release(&r);
	return status;
}
