/* SPDX-License-Identifier: BSD-2-Clause */
/* The report for other programs, and as a page. */
#ifndef HOST_CLI_OUTPUT_H
#define HOST_CLI_OUTPUT_H

#include "host/common/ktap.h"

/* meta: "KEY=VALUE" of the run (host, boot, machine, ...); may be empty. */
void output_json(const struct report *r, const struct strv *meta, struct sbuf *out);
/* JUnit XML as CI systems read it: a suite is a testsuite. FAIL and ERROR, SKIP as skipped; XFAIL is skipped too. */
void output_junit(const struct report *r, const struct strv *meta, struct sbuf *out);
/* One self-contained page. */
void output_html(const struct report *r, const struct strv *meta, struct sbuf *out);

#endif
