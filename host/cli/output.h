/* SPDX-License-Identifier: BSD-2-Clause */
/* Reports for other programs, and as a page. */
#ifndef HOST_CLI_OUTPUT_H
#define HOST_CLI_OUTPUT_H

#include "host/cli/columns.h"

/* result.json: one report. */
void report_to_json(const struct report *r, struct sbuf *out);
/* One report as above; of several hosts {"format": 2, "hosts": [...]}. */
void columns_to_json(const struct columns *c, struct sbuf *out);
/*
 * Reads what these wrote: *n reports, to be freed. -EBADMSG: it is no JSON, or not such a one, and *why says
 * what is wrong.
 */
int reports_from_json(const char *text, size_t size, struct report **out, size_t *n,
		      const char **why);

/* JUnit XML as CI systems read it: a suite is a testsuite. FAIL and ERROR, SKIP as skipped; XFAIL is skipped too. */
void columns_to_junit(const struct columns *c, struct sbuf *out);
/* One self-contained page. */
void columns_to_html(const struct columns *c, struct sbuf *out);

#endif
