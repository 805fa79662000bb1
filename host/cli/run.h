/* SPDX-License-Identifier: BSD-2-Clause */
/* A run: options, variables, boots until every test has its verdict, the report. */
#ifndef HOST_CLI_RUN_H
#define HOST_CLI_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "host/cli/boot.h"
#include "host/cli/deviations.h"
#include "host/cli/image.h"
#include "host/cli/recipe.h"
#include "host/cli/select.h"
#include "host/common/ktap.h"

enum {
	STATUS_OK = 0,
	STATUS_FAIL = 1,
	STATUS_ERROR = 2,
	STATUS_NO_REPORT = 3,
	STATUS_USAGE = 4,
	STATUS_SKIPPED = 77,
};

struct progress; /* host/cli/print.h */

struct run_options {
	const char *host, *boot, *machine, *accel, *memory, *known, *output, *image, *shuffle;
	const char *kernel, *modules, *l1_append,
		*l2_qemu; /* of hosts that boot a kernel of their own */
	double soak;	  /* minutes; 0: none */
	struct strv tests, require, append, faults, set, vmm_args;
	unsigned int cpus, repeat, shard, shards;
	int reboots; /* -1: as the recipe says */
	double timeout, first_timeout, test_timeout, grace, silence;
	bool keep, verbose, quiet, fail_fast;
	struct progress *runs; /* of several hosts at the same time, or NULL */
	size_t nruns, own;
	boot_disturb disturb; /* or NULL: see boot.h */
	void *disturb_arg;
};

void run_options_init(struct run_options *o);
void run_options_free(struct run_options *o);
/*
 * Where runs leave their folders, to be freed: ${ASSAY_RUNS}; beside the program when it lies in a build folder; else
 * build/runs below the current one.
 */
char *runs_dir(void);
/*
 * The folder is this process's until it ends. False: it is another one's, which is said. A folder that cannot be
 * opened is left to whoever writes there.
 */
bool claim_folder(const char *dir);
/* Does it all. The exit status. */
int run_command(const struct run_options *o);

#endif
