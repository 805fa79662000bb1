/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the payload's report, KTAP version 1, and writes it. The reader is strict about what the payload
 * must print (plans, numbers, ids, totals), yet it is never lost: it counts a line that is no KTAP, it
 * makes an ERROR of a test whose result is missing, and whatever the other side prints, its memory is
 * bounded.
 */
#ifndef HOST_COMMON_KTAP_H
#define HOST_COMMON_KTAP_H

#include "host/common/report.h"

enum ktap_event {
	KTAP_BEGIN,  /* the version line */
	KTAP_ENV,    /* an environment line; the last of report->env */
	KTAP_START,  /* a test starts; its id is current */
	KTAP_RESULT, /* the last of report->results is complete */
	KTAP_NOTE,   /* a diagnostic of the running test, for those who watch */
	KTAP_REBOOT, /* the payload ends the machine between two tests, for this reason, to be booted again */
	KTAP_RESTART, /* the machine was reset, and no test had asked for it: the payload begins anew; the rest is not read */
	KTAP_END,     /* "# end" */
};
typedef void (*ktap_handler)(void *arg, enum ktap_event event, const char *text);

#define KTAP_LINE_MAX 4096

struct ktap {
	struct report *report;
	ktap_handler handler; /* or NULL */
	void *arg;
	char line[KTAP_LINE_MAX];
	size_t len;
	bool overlong;
	bool file;    /* the text was written by the harness: its "# meta" lines count */
	bool stamped; /* lines begin with a time stamp, which is followed by this many blanks */
	size_t stamp_gap;
	/* where the reader is */
	bool firmware; /* a reset that a test asked for: lines are not ours */
	bool again;    /* KTAP_RESTART was told */
	bool plan_seen;
	unsigned int suites_planned, suites_done;
	bool in_suite, suite_plan_seen, suite_bad;
	char *suite;
	unsigned int planned, number;
	struct result pending; /* id set: the running test */
	struct strv notes;     /* diagnostics that came before any start */
	char *clause, *owner;
	uint64_t start_ms, duration_ms; /* seen live; as "# duration:" says */
	bool totals_seen;
	size_t first_result; /* of this reader */
};

void ktap_init(struct ktap *k, struct report *r, ktap_handler handler, void *arg);
void ktap_feed(struct ktap *k, const char *data, size_t n);
/* The input is over. complete: it should have been whole, so an open end is a problem. */
void ktap_finish(struct ktap *k, bool complete);
void ktap_free(struct ktap *k);
/* The id of the running test, or NULL. */
const char *ktap_current(const struct ktap *k);
/*
 * Ends the running test (or id, when none runs) with this verdict, as the harness saw it. The caller may
 * add to the result, then tells the handler by ktap_announce().
 */
struct result *ktap_conclude(struct ktap *k, const char *id, enum verdict v, const char *reason);
void ktap_announce(struct ktap *k, const struct result *t);

/* The report as KTAP again, results by suite. */
void report_to_ktap(const struct report *r, struct sbuf *out);
/*
 * Reads a file: KTAP, or a console's log with KTAP in it, also one whose lines begin with time stamps. Of
 * several boots in it the newest complete one counts, with the results of boots that were cut off right
 * before it where it has none. 0, -errno, -EBADMSG: it holds no KTAP.
 */
int report_read(struct report *r, const char *path);
/* The same of a text. */
int report_parse(struct report *r, const char *text, size_t n);

#endif
