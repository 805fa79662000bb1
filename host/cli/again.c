/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/again.h"

#include <errno.h>

static void add(struct sbuf *b, const char *option, const char *value)
{
	if (!value)
		return;
	sbuf_addf(b, " %s ", option);
	sbuf_add_quoted(b, value);
}

static void add_each(struct sbuf *b, const char *option, const struct strv *values)
{
	size_t i;

	for (i = 0; i < values->n; i++)
		add(b, option, values->v[i]);
}

static void add_seconds(struct sbuf *b, const char *option, double seconds)
{
	if (seconds > 0)
		sbuf_addf(b, " %s %g", option, seconds);
}

char *again_command(const struct run_options *o)
{
	struct run_options usual;
	struct sbuf b = { 0 };

	run_options_init(&usual);
	sbuf_add_quoted(&b, program_invocation_name);
	sbuf_add(&b, " run");
	add(&b, "--host", o->host);
	add(&b, "--boot", o->boot);
	add(&b, "--machine", o->machine);
	add(&b, "--accel", o->accel);
	add(&b, "--memory", o->memory);
	if (o->cpus != usual.cpus)
		sbuf_addf(&b, " --cpus %u", o->cpus);
	add(&b, "--image", o->image);
	add(&b, "--known", o->known);
	add(&b, "--kernel", o->kernel);
	add(&b, "--modules", o->modules);
	add(&b, "--l1-append", o->l1_append);
	add(&b, "--l2-qemu", o->l2_qemu);
	add_each(&b, "--fault", &o->faults);
	add_each(&b, "--set", &o->set);
	add_each(&b, "--append", &o->append);
	add_each(&b, "--vmm-arg", &o->vmm_args);
	add_seconds(&b, "--first-line", o->first_timeout);
	add_seconds(&b, "--test-timeout", o->test_timeout);
	return sbuf_steal(&b);
}
