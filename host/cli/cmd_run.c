/* SPDX-License-Identifier: BSD-2-Clause */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/cmd.h"
#include "host/cli/run.h"
#include "host/cli/several.h"

enum {
	OPT_HOST = 256,
	OPT_TESTS,
	OPT_BOOT,
	OPT_MACHINE,
	OPT_CPUS,
	OPT_MEMORY,
	OPT_TIMEOUT,
	OPT_FIRST,
	OPT_TEST_TIMEOUT,
	OPT_GRACE,
	OPT_SILENCE,
	OPT_REBOOTS,
	OPT_APPEND,
	OPT_FAULT,
	OPT_SHUFFLE,
	OPT_REPEAT,
	OPT_SHARD,
	OPT_KNOWN,
	OPT_REQUIRE,
	OPT_ACCEL,
	OPT_KEEP,
	OPT_FAIL_FAST,
	OPT_OUTPUT,
	OPT_IMAGE,
	OPT_SET,
	OPT_VMM_ARG,
	OPT_KERNEL,
	OPT_MODULES,
	OPT_L1_APPEND,
	OPT_L2_QEMU,
	OPT_SOAK,
};

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "What runs where:", 1 },
	{ "host", OPT_HOST, "NAME|FILE[:TESTS]", 0,
	  "the host under test: a recipe's name (`assay list --hosts`) or file; default: ref. May be repeated: "
	  "they run at the same time. NAME:GLOB,...: with these tests",
	  1 },
	{ "tests", OPT_TESTS, "GLOB[,GLOB...]", 0,
	  "run these tests only: vsock.cids, \"virtio.*\", ...; -GLOB leaves some out; may be repeated",
	  1 },
	{ "boot", OPT_BOOT, "efi|pvh", 0, "how the payload starts; default: the host's", 1 },
	{ "machine", OPT_MACHINE, "NAME", 0,
	  "q35 or microvm, if the host has both; default: the host's", 1 },
	{ "cpus", OPT_CPUS, "N", 0, "virtual CPUs; default: 2", 1 },
	{ "memory", OPT_MEMORY, "SIZE", 0, "the guest's memory, as QEMU says it; default: 256M",
	  1 },
	{ "accel", OPT_ACCEL, "tcg|kvm|auto", 0,
	  "emulate the CPU, use KVM, or use KVM where a probe guest shows that it works; default: tcg",
	  1 },
	{ "image", OPT_IMAGE, "FILE", 0, "another payload: .elf, .efi or .img", 1 },
	{ NULL, 0, NULL, 0, "How tests run:", 2 },
	{ "shuffle", OPT_SHUFFLE, "SEED", 0, "in an order that SEED determines", 2 },
	{ "repeat", OPT_REPEAT, "N", 0, "each test N times", 2 },
	{ "fail-fast", OPT_FAIL_FAST, NULL, 0,
	  "end at the first test that fails; those behind it have no verdict", 2 },
	{ "shard", OPT_SHARD, "I/N", 0, "the Ith of N parts, the same split on every machine", 2 },
	{ "known", OPT_KNOWN, "FILE", 0,
	  "tests known to fail on this host, a line each: id, reason and link; they count as XFAIL. "
	  "\"at-times\" behind the id: they may pass as well",
	  2 },
	{ "require", OPT_REQUIRE, "GLOB[,GLOB...]", 0,
	  "tests that this host must not skip: a SKIP of them is a FAIL; as the host's `require =` says, and these. "
	  "May be repeated",
	  2 },
	{ "fault", OPT_FAULT, "ID", 0, "inject a fault (`assay list --faults`); may be repeated",
	  2 },
	{ "append", OPT_APPEND, "KEY=VALUE", 0,
	  "more of the payload's command line; may be repeated", 2 },
	{ "set", OPT_SET, "NAME=VALUE", 0, "a variable of the recipe; may be repeated", 2 },
	{ "vmm-arg", OPT_VMM_ARG, "ARG", 0, "one more argument of the VMM; may be repeated", 2 },
	{ NULL, 0, NULL, 0, "Hosts that boot a kernel under test (nested):", 3 },
	{ "kernel", OPT_KERNEL, "FILE|TREE", 0,
	  "a bzImage, or the kernel's build tree with its modules; default: Debian's newest cloud kernel",
	  3 },
	{ "modules", OPT_MODULES, "DIR", 0,
	  "its modules: lib/modules/VERSION or a build tree; default: what lies beside the kernel",
	  3 },
	{ "l1-append", OPT_L1_APPEND, "TEXT", 0, "more of that kernel's command line", 3 },
	{ "l2-qemu", OPT_L2_QEMU, "FILE", 0, "the QEMU that runs the guest on it", 3 },
	{ "soak", OPT_SOAK, "MINUTES", 0, "of stress from the host's side, after the tests", 3 },
	{ NULL, 0, NULL, 0, "Time:", 4 },
	{ "timeout", OPT_TIMEOUT, "S", 0, "seconds for the whole run; default: 300", 4 },
	{ "first-line", OPT_FIRST, "S", 0,
	  "seconds until the payload's first line; default: 60, or the host's", 4 },
	{ "test-timeout", OPT_TEST_TIMEOUT, "S", 0,
	  "seconds for each test; default: the test's own limit", 4 },
	{ "grace", OPT_GRACE, "S", 0,
	  "seconds that a test may overrun before the guest counts as hung; default: 15", 4 },
	{ "silence", OPT_SILENCE, "S", 0,
	  "seconds between two tests before the guest counts as hung, and the grace on top; default: 30",
	  4 },
	{ "reboots", OPT_REBOOTS, "N", 0, "how often a guest that died boots again; default: 5",
	  4 },
	{ NULL, 0, NULL, 0, "Output:", 5 },
	{ "output", OPT_OUTPUT, "DIR", 0,
	  "logs and reports go there; default: build/runs/TIME-HOST", 5 },
	{ "verbose", 'v', NULL, 0, "the whole environment, and what passing tests say", 5 },
	{ "quiet", 'q', NULL, 0, "print nothing", 5 },
	{ "keep", OPT_KEEP, NULL, 0, "keep the folder of sockets and temporary files", 5 },
	{ 0 },
};

static bool is_assignment(const char *s)
{
	const char *eq = strchr(s, '=');

	return eq && eq != s;
}

static void parse_shard(struct argp_state *state, const char *arg, struct run_options *o)
{
	char *copy = xstrdup(arg), *slash = strchr(copy, '/');

	if (slash)
		*slash = '\0';
	if (!slash || !parse_number(slash + 1, 1, 10000, &o->shards) ||
	    !parse_number(copy, 1, o->shards, &o->shard))
		argp_error(state, "--shard %s: I/N is wanted, with I from 1 to N", arg);
	free(copy);
}

/* The payload reads it. */
static bool is_seed(const char *arg)
{
	char *end;

	errno = 0;
	(void)strtoull(arg, &end, 10);
	return isdigit((unsigned char)*arg) && !*end && !errno;
}

struct input {
	struct run_options o;
	struct strv hosts;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct input *in = state->input;
	struct run_options *o = &in->o;
	unsigned int number;

	/* One that is passed on as it is may be empty. */
	if (key != OPT_VMM_ARG && key != OPT_L1_APPEND)
		refuse_empty(state, options, key, arg);
	switch (key) {
	case OPT_HOST:
		strv_add(&in->hosts, arg);
		return 0;
	case OPT_TESTS:
		strv_add(&o->tests, arg);
		return 0;
	case OPT_BOOT:
		o->boot = arg;
		return 0;
	case OPT_MACHINE:
		o->machine = arg;
		return 0;
	case OPT_CPUS:
		if (!parse_number(arg, 1, 1024, &o->cpus))
			argp_error(state, "--cpus %s: a number from 1 is wanted", arg);
		return 0;
	case OPT_MEMORY:
		if (!strspn(arg, "0123456789") || strlen(arg + strspn(arg, "0123456789")) > 1)
			argp_error(state, "--memory %s: a size like 256M or 2G is wanted", arg);
		o->memory = arg;
		return 0;
	case OPT_TIMEOUT:
		if (!parse_seconds(arg, &o->timeout))
			argp_error(state, "--timeout %s: seconds are wanted", arg);
		return 0;
	case OPT_FIRST:
		if (!parse_seconds(arg, &o->first_timeout))
			argp_error(state, "--first-line %s: seconds are wanted", arg);
		return 0;
	case OPT_TEST_TIMEOUT:
		if (!parse_seconds(arg, &o->test_timeout))
			argp_error(state, "--test-timeout %s: seconds are wanted", arg);
		return 0;
	case OPT_GRACE:
		if (!parse_seconds(arg, &o->grace))
			argp_error(state, "--grace %s: seconds are wanted", arg);
		return 0;
	case OPT_SILENCE:
		if (!parse_seconds(arg, &o->silence))
			argp_error(state, "--silence %s: seconds are wanted", arg);
		return 0;
	case OPT_REBOOTS:
		if (!parse_number(arg, 0, 1000, &number))
			argp_error(state, "--reboots %s: a number is wanted", arg);
		o->reboots = (int)number;
		return 0;
	case OPT_APPEND:
		strv_add(&o->append, arg);
		return 0;
	case OPT_FAULT:
		strv_add(&o->faults, arg);
		return 0;
	case OPT_SHUFFLE:
		if (!is_seed(arg))
			argp_error(state, "--shuffle %s: a number of 64 bits is wanted", arg);
		o->shuffle = arg;
		return 0;
	case OPT_REPEAT:
		if (!parse_number(arg, 1, 100000, &o->repeat))
			argp_error(state, "--repeat %s: a number from 1 is wanted", arg);
		return 0;
	case OPT_SHARD:
		parse_shard(state, arg, o);
		return 0;
	case OPT_KNOWN:
		o->known = arg;
		return 0;
	case OPT_REQUIRE:
		strv_add(&o->require, arg);
		return 0;
	case OPT_ACCEL:
		if (strcmp(arg, "tcg") != 0 && strcmp(arg, "kvm") != 0 && strcmp(arg, "auto") != 0)
			argp_error(state, "--accel %s: tcg, kvm or auto is wanted", arg);
		o->accel = arg;
		return 0;
	case OPT_OUTPUT:
		o->output = arg;
		return 0;
	case OPT_IMAGE:
		o->image = arg;
		return 0;
	case OPT_SET:
		if (!is_assignment(arg))
			argp_error(state, "--set %s: NAME=VALUE is wanted", arg);
		strv_add(&o->set, arg);
		return 0;
	case OPT_VMM_ARG:
		strv_add(&o->vmm_args, arg);
		return 0;
	case OPT_KERNEL:
		o->kernel = arg;
		return 0;
	case OPT_MODULES:
		o->modules = arg;
		return 0;
	case OPT_L1_APPEND:
		o->l1_append = arg;
		return 0;
	case OPT_L2_QEMU:
		o->l2_qemu = arg;
		return 0;
	case OPT_SOAK:
		if (!parse_seconds(arg, &o->soak))
			argp_error(state, "--soak %s: minutes are wanted", arg);
		return 0;
	case OPT_FAIL_FAST:
		o->fail_fast = true;
		return 0;
	case OPT_KEEP:
		o->keep = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is no option; tests are named by --tests", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.doc = "Starts the host under test, boots the payload on it, and prints which promises hold."
	       "\v"
	       "Examples:\n"
	       "  assay run                                   everything, on the reference host\n"
	       "  assay run --tests vsock.cids --boot pvh     one subject, without firmware\n"
	       "  assay run --host vhost-device-vsock         another implementation of the device\n"
	       "  assay run --host ref --fault data.lost_packet --tests vsock.stream\n\n"
	       "Exit status: 0 all passed or skipped, 1 a test FAILed, 2 an ERROR, 3 no usable report (no "
	       "boot, hang, crash), 4 usage, 77 nothing but SKIPs.",
};

int cmd_run(int argc, char **argv)
{
	struct input in = { 0 };
	int status;

	run_options_init(&in.o);
	if (argp_parse(&argp, argc, argv, 0, NULL, &in))
		return STATUS_USAGE;
	if (in.hosts.n > 1 || (in.hosts.n == 1 && strchr(in.hosts.v[0], ':'))) {
		status = run_several(&in.o, &in.hosts);
	} else {
		if (in.hosts.n)
			in.o.host = in.hosts.v[0];
		status = run_command(&in.o);
	}
	strv_free(&in.hosts);
	run_options_free(&in.o);
	return status;
}
