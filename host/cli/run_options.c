/* SPDX-License-Identifier: BSD-2-Clause */
/* What is asked for: options that would do nothing are refused, and those of hosts that boot a kernel of their own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/cli/print.h"
#include "host/cli/run_state.h"

#define BZIMAGE "arch/x86/boot/bzImage"

void run_options_init(struct run_options *o)
{
	memset(o, 0, sizeof(*o));
	o->host = "ref";
	o->cpus = 2;
	o->repeat = 1;
	o->reboots = -1;
	o->timeout = 300;
	o->grace = 15;
	o->silence = 30;
}

void run_options_free(struct run_options *o)
{
	strv_free(&o->tests);
	strv_free(&o->require);
	strv_free(&o->append);
	strv_free(&o->faults);
	strv_free(&o->set);
	strv_free(&o->vmm_args);
}

/* Whether nothing uses a variable, though it is set; `where` ends the sentence that says so. */
static bool is_idle(const struct run *r, const char *set, const struct strv *names,
		    const char *where)
{
	char *name = xstrndup(set, strcspn(set, "="));
	const bool idle = !strv_has(names, name);

	if (idle) {
		fprintf(stderr, "assay: --set %s: nothing of host %s uses ${%s}%s", set,
			r->recipe->name, name, where);
		print_suggestions(stderr, name, (const char *const *)names->v, names->n);
		fputc('\n', stderr);
	}
	free(name);
	return idle;
}

bool run_check_set(const struct run *r)
{
	/* Variables that the harness itself reads. */
	static const char *const own[] = { "BOOTS", "GUEST_APPEND" };
	struct strv names = { 0 }, active = { 0 };
	bool ok = true;
	size_t i;

	recipe_uses(r->recipe, &names);
	for (i = 0; i < ARRAY_SIZE(own); i++) {
		strv_add(&names, own[i]);
		strv_add(&active, own[i]);
	}
	vars_uses(&r->vars, &active);
	for (i = 0; i < r->o->set.n; i++)
		ok &= !is_idle(r, r->o->set.v[i], &names, "") &&
		      /* With accel=auto the accelerator, and so the CPU, is not chosen yet. */
		      (strcmp(run_choose(r->o->accel, r, "accel", "tcg"), "auto") == 0 ||
		       !is_idle(r, r->o->set.v[i], &active, " with this machine, boot and values"));
	strv_free(&names);
	strv_free(&active);
	return ok;
}

bool run_check_append(const struct run *r)
{
	bool ok = true;
	size_t i;

	for (i = 0; r->options.n && i < r->o->append.n; i++) {
		const char *text = r->o->append.v[i];

		for (; *(text += strspn(text, " ")); text += strcspn(text, " ")) {
			char *key = xstrndup(text, strcspn(text, "= "));

			if (!strv_has(&r->options, key)) {
				fprintf(stderr,
					"assay: --append %s: the payload has no option \"%s\"",
					r->o->append.v[i], key);
				print_suggestions(stderr, key, (const char *const *)r->options.v,
						  r->options.n);
				fputc('\n', stderr);
				ok = false;
			} else if (text[strlen(key)] != '=') {
				fprintf(stderr, "assay: --append %s: %s=VALUE is wanted\n",
					r->o->append.v[i], key);
				ok = false;
			}
			free(key);
		}
	}
	return ok;
}

bool run_check_cmdline(const struct run *r)
{
	const struct run_options *o = r->o;
	const char *option = o->tests.n	   ? "--tests" :
			     o->append.n   ? "--append" :
			     o->shards > 1 ? "--shard" :
			     o->shuffle	   ? "--shuffle" :
			     o->repeat > 1 ? "--repeat" :
					     NULL;
	struct strv names = { 0 };
	bool ok;

	recipe_uses(r->recipe, &names);
	ok = !option || strv_has(&names, "CMDLINE") || strv_has(&names, "CMDLINE_ARGS");
	strv_free(&names);
	if (!ok)
		fprintf(stderr,
			"assay: %s: host %s gives the payload no command line: a command of %s has to use "
			"${CMDLINE} or ${CMDLINE_ARGS}, or to write it into the image (assay configure)\n",
			option, r->recipe->name, r->recipe->path);
	return ok;
}

static bool recipe_takes(const struct run *r, const char *var, const char *option)
{
	size_t i, k;

	for (i = 0; i < r->recipe->n; i++)
		for (k = 0; k < r->recipe->sections[i].n; k++)
			if (strcmp(r->recipe->sections[i].keys[k].key, var) == 0)
				return true;
	fprintf(stderr, "assay: %s: host %s has no use for it (--host nested has)\n", option,
		r->recipe->name);
	return false;
}

/* The option's path, made absolute, is the variable's value. */
static bool set_option_path(struct run *r, const char *option, const char *var, const char *path,
			    int mode)
{
	char *real;

	if (!recipe_takes(r, var, option))
		return false;
	real = realpath(path, NULL);
	if (!real || access(real, mode) != 0) {
		fprintf(stderr, "assay: %s %s: %s\n", option, path, strerror(errno));
		free(real);
		return false;
	}
	vars_set(&r->vars.given, var, real);
	free(real);
	return true;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The modules in the folder of a kernel: lib/modules/VERSION itself, or one named so. NULL: none. */
static char *beside(const char *image)
{
	char *dir = xstrndup(image, (size_t)(strrchr(image, '/') - image));
	char *own = xasprintf("%s/kernel", dir), *named = xasprintf("%s/modules", dir);
	char *found = is_folder(own) ? xstrdup(dir) : is_folder(named) ? xstrdup(named) : NULL;

	free(own);
	free(named);
	free(dir);
	return found;
}

/* A file, a build tree, or lib/modules/VERSION with its vmlinuz, as some distributions have it. */
static char *image_in(const char *kernel)
{
	char *image = xasprintf("%s/" BZIMAGE, kernel);

	if (is_folder(kernel) && access(image, F_OK) == 0)
		return image;
	free(image);
	return is_folder(kernel) ? xasprintf("%s/vmlinuz", kernel) : xstrdup(kernel);
}

/* A build tree serves for both; of a bzImage inside one, or of a vmlinuz beside its modules, they are found. */
static bool set_kernel(struct run *r)
{
	const char *kernel = r->o->kernel, *modules = r->o->modules;
	char *image, *dir = NULL;
	bool ok;

	if (!kernel && modules) {
		fputs("assay: --modules goes with --kernel\n", stderr);
		return false;
	}
	if (!kernel)
		return true;
	image = image_in(kernel);
	if (is_folder(kernel)) {
		dir = xstrdup(kernel);
	} else if (ends_with(image, "/" BZIMAGE)) {
		dir = xstrndup(image, strlen(image) - strlen("/" BZIMAGE));
	} else if (strrchr(image, '/')) {
		dir = beside(image);
	}
	ok = set_option_path(r, "--kernel", "KERNEL", image, R_OK);
	if (ok && modules && !*modules)
		vars_set(&r->vars.given, "MODULES", "");
	else if (ok && (modules || dir))
		ok = set_option_path(r, "--modules", "MODULES", modules ? modules : dir,
				     R_OK | X_OK);
	else if (ok)
		vars_set(&r->vars.given, "MODULES", "");
	free(image);
	free(dir);
	return ok;
}

bool run_set_host_options(struct run *r)
{
	const struct run_options *o = r->o;
	char number[32];

	if (!set_kernel(r))
		return false;
	if (o->l2_qemu && !set_option_path(r, "--l2-qemu", "L2_QEMU", o->l2_qemu, X_OK))
		return false;
	if (o->l1_append) {
		if (!recipe_takes(r, "L1_APPEND", "--l1-append"))
			return false;
		vars_set(&r->vars.given, "L1_APPEND", o->l1_append);
	}
	if (o->soak > 0) {
		if (!recipe_takes(r, "SOAK_SECONDS", "--soak"))
			return false;
		snprintf(number, sizeof(number), "%.0f", o->soak * 60);
		vars_set(&r->vars.given, "SOAK_SECONDS", number);
		vars_set(&r->vars.run, "SOAK", "yes");
	}
	return true;
}
