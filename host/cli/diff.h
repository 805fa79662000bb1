/* SPDX-License-Identifier: BSD-2-Clause */
/* What changed between two reports. */
#ifndef HOST_CLI_DIFF_H
#define HOST_CLI_DIFF_H

#include <stdbool.h>

#include "host/common/ktap.h"

/* Writes the changes, the worst first, and a summary. True: there is a regression. */
bool diff_reports(const struct report *old, const struct report *new, struct sbuf *out);

#endif
