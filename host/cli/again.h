/* SPDX-License-Identifier: BSD-2-Clause */
/* How a test of a run is run again. */
#ifndef HOST_CLI_AGAIN_H
#define HOST_CLI_AGAIN_H

#include "host/cli/run.h"

/*
 * The command line of a run on the same host in the same way, to be freed; " --tests ID" is still missing.
 * What only chooses, splits, repeats or stores is left out.
 */
char *again_command(const struct run_options *o);

#endif
