/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds the report that a user names. */
#ifndef HOST_CLI_LOAD_H
#define HOST_CLI_LOAD_H

#include "host/common/report.h"

/*
 * path: KTAP, a console's log, result.json, the folder of a run, or "-" for standard input. *n reports, to be
 * freed; false: it said why not.
 */
bool load_reports(const char *path, struct report **out, size_t *n);

#endif
