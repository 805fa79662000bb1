/* SPDX-License-Identifier: BSD-2-Clause */
/* The recipe's machine and way to start, and the variables that its commands are filled in with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/cli/print.h"
#include "host/cli/run_state.h"

#define UNNAMED "unnamed" /* the machine, or way to start, of a recipe that has one only */

bool run_check_choice(const struct run *r, const char *type, const char *value)
{
	struct strv names = { 0 };
	size_t i;
	bool ok;

	recipe_names(r->recipe, type, &names);
	/* A recipe of one machine need not name it; then there is nothing to choose. */
	ok = strv_has(&names, value) || (!names.n && strcmp(value, UNNAMED) == 0);
	if (!ok && !names.n) {
		fprintf(stderr, "assay: host %s has no [%s NAME] sections to choose \"%s\" from\n",
			r->recipe->name, type, value);
	} else if (!ok) {
		fprintf(stderr, "assay: host %s has no %s \"%s\"", r->recipe->name, type, value);
		print_suggestions(stderr, value, (const char *const *)names.v, names.n);
		fputs("; it has:", stderr);
		for (i = 0; i < names.n; i++)
			fprintf(stderr, " %s", names.v[i]);
		fputc('\n', stderr);
	}
	strv_free(&names);
	return ok;
}

bool run_check_boot(struct run *r)
{
	const char *boots = vars_get(&r->vars, "BOOTS"), *p = boots;
	const size_t n = strlen(r->boot);

	for (; p && *p; p += strcspn(p, " "), p += strspn(p, " "))
		if (strncmp(p, r->boot, n) == 0 && (p[n] == ' ' || !p[n]))
			return true;
	if (!boots)
		return true;
	if (!r->o->boot) {
		r->boot = r->own_boot = xstrndup(boots, strcspn(boots, " "));
		vars_set(&r->vars.run, "BOOT", r->boot);
		return true;
	}
	fprintf(stderr, "assay: machine %s of host %s does not start by \"%s\"; it starts by: %s\n",
		r->machine, r->recipe->name, r->boot, boots);
	return false;
}

/* The first of the recipe's sections of this type, where it has no default; or UNNAMED. Valid as long as the recipe. */
static const char *first_section(const struct run *r, const char *type, const char *usual)
{
	const char *first = UNNAMED;
	size_t i;

	for (i = r->recipe->n; i-- > 0;) {
		if (strcmp(r->recipe->sections[i].type, type) != 0)
			continue;
		first = r->recipe->sections[i].name;
		if (strcmp(first, usual) == 0)
			return usual;
	}
	return first;
}

const char *run_choose(const char *option, const struct run *r, const char *key, const char *dflt)
{
	const char *own = recipe_get(r->recipe, "host", "", key);

	return option ? option : own ? own : dflt;
}

static void set_path(struct run *r, const char *var, const char *name)
{
	char *path = xasprintf("%s/%s", program_dir(), name);

	vars_set(&r->vars.run, var, path);
	free(path);
}

/* As `dmesg --since` and `journalctl --since` read it: local time. */
static void set_started(struct run *r)
{
	const time_t now = time(NULL);
	char text[32];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", localtime_r(&now, &tm));
	vars_set(&r->vars.run, "STARTED", text);
}

/* Scripts of the tree: where it is, or where it was installed. */
static void set_source(struct run *r)
{
	char *path = source_dir() ? realpath(source_dir(), NULL) :
				    xasprintf("%s/../share/assay", program_dir());

	vars_set(&r->vars.run, "SOURCE", path ? path : ".");
	free(path);
}

void run_set_programs(struct run *r)
{
	const char *image = r->o->image, *own;
	struct sbuf err = { 0 };

	run_read_setup(r);
	vars_set(&r->vars.run, "BIN", program_dir());
	set_started(r);
	set_source(r);
	set_path(r, "ASSAY", "assay");
	set_path(r, "REFDEV", "assay-refdev");
	set_path(r, "REFKVM", "refkvm.so");
	set_path(r, "PAYLOAD_ELF", "assay.elf");
	set_path(r, "PAYLOAD_EFI", "assay.efi");
	set_path(r, "PAYLOAD_IMG", "assay.img");
	if (image)
		vars_set(&r->vars.run,
			 ends_with(image, ".img") ? "PAYLOAD_IMG" :
			 ends_with(image, ".efi") ? "PAYLOAD_EFI" :
						    "PAYLOAD_ELF",
			 image);
	own = recipe_get(r->recipe, "host", "", "payload");
	if (own && !image) {
		/* This host starts another program than the payload. A wrong path is told when the file is read. */
		r->elf = vars_string(&r->vars, own, &err);
		vars_set(&r->vars.run, "PAYLOAD_ELF", r->elf ? r->elf : own);
	}
	if (!r->elf)
		r->elf = xstrdup(vars_get(&r->vars, "PAYLOAD_ELF"));
	sbuf_free(&err);
}

void run_set_machine(struct run *r)
{
	const char *memory = run_choose(r->o->memory, r, "memory", "256M");
	struct sbuf b = { 0 };
	char cpus[16];
	size_t i;

	r->machine = run_choose(r->o->machine, r, "machine", first_section(r, "machine", "q35"));
	r->boot = run_choose(r->o->boot, r, "boot", first_section(r, "boot", "efi"));
	snprintf(cpus, sizeof(cpus), "%u", r->o->cpus);
	vars_set(&r->vars.run, "MACHINE", r->machine);
	vars_set(&r->vars.run, "BOOT", r->boot);
	/* As it is asked for; run_choose_accel() finds out whether it is so. */
	vars_set(&r->vars.run, "ACCEL",
		 strcmp(run_choose(r->o->accel, r, "accel", "tcg"), "kvm") == 0 ? "kvm" : "tcg");
	vars_set(&r->vars.run, "SMP", cpus);
	vars_set(&r->vars.run, "MEM", memory);
	for (i = 0; i < r->o->vmm_args.n; i++) {
		sbuf_add(&b, i ? " " : "");
		sbuf_add_quoted(&b, r->o->vmm_args.v[i]);
	}
	vars_set(&r->vars.run, "VMM_ARGS", b.s ? b.s : "");
	sbuf_free(&b);
}

void run_set_dirs(struct run *r, const char *run_dir)
{
	char *socket = xasprintf("%s/device.sock", r->tmp), *qmp = xasprintf("%s/qmp.sock", r->tmp);
	char *injected = xasprintf("%s/injected", run_dir);

	vars_set(&r->vars.run, "RUN_DIR", run_dir);
	vars_set(&r->vars.run, "TMP", r->tmp);
	vars_set(&r->vars.run, "SOCKET", socket);
	vars_set(&r->vars.run, "QMP", qmp);
	vars_set(&r->vars.run, "INJECTED", injected);
	free(injected);
	free(socket);
	free(qmp);
}
