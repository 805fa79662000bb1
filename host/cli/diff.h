/* SPDX-License-Identifier: BSD-2-Clause */
/* What changed between two reports. */
#ifndef HOST_CLI_DIFF_H
#define HOST_CLI_DIFF_H

#include "host/common/report.h"

/*
 * Writes the changes of the tests that the list selects (as tests= does; NULL: all), the worst first, and a
 * summary. The exit status: 1 there is a regression, 3 there is none to see, but a report is incomplete, 0.
 */
int diff_reports(const struct report *old, const struct report *new, const char *tests,
		 struct sbuf *out);

#endif
