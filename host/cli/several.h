/* SPDX-License-Identifier: BSD-2-Clause */
/* One run on several hosts. */
#ifndef HOST_CLI_SEVERAL_H
#define HOST_CLI_SEVERAL_H

#include "host/cli/run.h"

/*
 * Runs on all hosts at once and prints their reports one after the other, the first one live. The exit
 * status is that of the worst. o->output: a folder in which each host gets its own. A host may be
 * "NAME:TESTS", which stands for --tests there.
 */
int run_several(const struct run_options *o, const struct strv *hosts);

#endif
