/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deviations that the owner of a host knows of: NAME.known, --known FILE, [known GLOB] of a recipe. A line
 * of a file is "ID-GLOB REASON", or "ID-GLOB at-times REASON" where the test passes as well, or
 * "ID-GLOB says="TEXT" REASON": at times, and only where the test says so why it failed.
 */
#ifndef HOST_CLI_DEVIATIONS_H
#define HOST_CLI_DEVIATIONS_H

#include "host/common/report.h"

struct deviation {
	char *glob, *reason;
	bool at_times; /* a PASS is nothing to report */
	char *says;    /* or NULL: in the words of the failure */
};

struct deviations {
	struct deviation *v;
	size_t n;
};

/* 0, or -errno of the file; -EBADMSG and *line of a line that is none. */
int deviations_read(const char *path, struct deviations *out, unsigned int *line);
int deviations_parse(const char *text, struct deviations *out, unsigned int *line);
void deviations_add(struct deviations *d, const char *glob, const char *reason, bool at_times);
void deviations_free(struct deviations *d);
/* Turns a FAIL into XFAIL, and a PASS into XPASS, where the id is listed. */
void deviations_apply(const struct deviations *d, struct result *t);
/* Whether it fits one of these ids; those that the harness gives ("host.*") are not known before a run. */
bool deviation_fits(const struct deviation *d, const char *const *ids, size_t n);

#endif
