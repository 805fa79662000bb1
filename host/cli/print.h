/* SPDX-License-Identifier: BSD-2-Clause */
/* The report for people: live on a terminal, plain lines elsewhere. */
#ifndef HOST_CLI_PRINT_H
#define HOST_CLI_PRINT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "host/common/report.h"

/* How far a run is, in memory that the processes of several runs share. */
struct progress {
	char host[32];
	_Atomic unsigned int total, done;
	_Atomic bool over;
};

struct printer {
	FILE *out;
	bool live; /* a status line can be rewritten */
	bool utf8, color;
	bool verbose;		  /* diagnostics and clauses of what passed, too */
	bool quiet;		  /* nothing but the summary */
	unsigned int total, done; /* tests of the run, as far as known */
	uint64_t started, test_started;
	char *suite, *current;
	struct {
		char *reason, *first; /* SKIPs in a row for one reason: printed as one */
		unsigned int n;
	} skips;
	bool status; /* the status line is on the screen */
	unsigned int spin;
	struct progress *runs; /* at the same time, own included; or NULL */
	size_t nruns, own;     /* own is nruns where none is */
};

void printer_init(struct printer *p, FILE *out);
void printer_free(struct printer *p);
/* "ref: the reference host" and the lines of the run's set-up. */
void printer_title(struct printer *p, const char *host, const char *what);
void printer_field(struct printer *p, const char *key, const char *value);
void printer_env(struct printer *p, const struct report *r);
void printer_start(struct printer *p, const char *id);
/* One test. reason: instead of t's own, or NULL. */
void printer_result(struct printer *p, const struct result *t);
/* Something that people should know while the run goes on. */
void printer_note(struct printer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void printer_tick(struct printer *p);
/* Takes the status line away. */
void printer_clear(struct printer *p);
/* What ran where, of a report that was made before. */
void printer_meta(struct printer *p, const struct report *r);
/* What should be known of the report, what failed and how to run it again, and the counts. */
void printer_summary(struct printer *p, const struct report *r, uint64_t ms);

#endif
