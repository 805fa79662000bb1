/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether the CPU is emulated: only a guest can tell whether KVM works here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/boot.h"
#include "host/cli/run_state.h"

#define PROBE_MS 10000

/* Does a guest run under KVM here? Only a guest can tell. NULL: yes; else why not. */
static char *probe_kvm(struct run *r)
{
	const size_t given = r->vars.given.n;
	const char *boot = r->boot;
	struct boot_config c = run_boot_config(r, 0);
	struct boot_outcome o;
	struct report rep;
	char *why = NULL;

	if (access("/dev/kvm", R_OK | W_OK) != 0)
		return xasprintf("/dev/kvm: %s", strerror(errno));
	c.vmm = recipe_get(r->recipe, "probe", "", "command");
	vars_set(&r->vars.given, "DEVICE_ARGS", "");
	vars_set(&r->vars.run, "ACCEL", "kvm");
	vars_set(&r->vars.run, "BOOT", "pvh");
	r->boot = "pvh";
	run_set_cmdline(r, "list=1");
	c.devices = false;
	c.run_dir = r->tmp; /* its logs are of no further use */
	c.serial = c.commands = -1;
	c.handler = NULL;
	c.disturb = NULL;
	c.first_ms = PROBE_MS;
	c.silence_ms = PROBE_MS;
	c.deadline = now_ms() + 2 * PROBE_MS;
	report_init(&rep);
	boot_run(&c, &rep, &o);
	if (o.end != BOOT_DONE)
		why = xasprintf("a probe guest under KVM did not work: %s%s%s",
				o.message ? o.message : "no end", o.detail.n ? ": " : "",
				o.detail.n ? o.detail.v[0] : "");
	report_free(&rep);
	boot_outcome_free(&o);
	while (r->vars.given.n > given)
		free(r->vars.given.v[--r->vars.given.n]);
	r->boot = boot;
	vars_set(&r->vars.run, "BOOT", r->boot);
	return why;
}

bool run_choose_accel(struct run *r)
{
	const char *want = run_choose(r->o->accel, r, "accel", "tcg");
	char *why;

	r->accel = "tcg";
	vars_set(&r->vars.run, "ACCEL", r->accel);
	if (strcmp(want, "tcg") == 0)
		return true;
	why = probe_kvm(r);
	if (!why) {
		r->accel = "kvm";
	} else if (strcmp(want, "kvm") == 0) {
		fprintf(stderr, "assay: no KVM here: %s\n", why);
		fputs(r->o->accel ?
			      "assay: --accel tcg emulates the CPU and works everywhere\n" :
			      "assay: --host nested brings its own KVM, inside an emulated machine\n",
		      stderr);
		free(why);
		return false;
	} else {
		printer_note(&r->out, "no KVM (%s): the CPU is emulated", why);
	}
	free(why);
	vars_set(&r->vars.run, "ACCEL", r->accel);
	return true;
}
