/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the payload's report: KTAP version 1 as docs/ describes it. Strict about what
 * the payload must print (plans, numbers, ids, totals), yet never lost: a line that is no KTAP is
 * counted, a missing result becomes an ERROR of its test, and whatever the other side prints,
 * memory stays bounded by what was fed.
 */
#ifndef HOST_COMMON_KTAP_H
#define HOST_COMMON_KTAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/common/util.h"

/* In the order of severity: the worst wins where two reports disagree. */
enum verdict {
	V_PASS,
	V_XPASS,
	V_XFAIL,
	V_SKIP,
	V_ERROR,
	V_FAIL
};
#define VERDICTS 6

struct result {
	char *id;
	enum verdict verdict;
	bool timeout; /* a FAIL by the guest's watchdog or the harness's deadline */
	char *reason; /* of SKIP, ERROR, TIMEOUT, XFAIL; or NULL */
	char *clause; /* or NULL, as owner */
	char *owner;
	struct strv diag; /* what the test said, without "# " */
	uint64_t ms;	  /* from start to result, 0 when not known */
};

struct env_entry {
	char *key, *value;
};

struct report {
	char *version, *boot; /* of "# assay VERSION boot=..."; or NULL */
	struct env_entry *env;
	size_t envs;
	struct result *results;
	size_t n;
	struct strv warnings;	/* "# warning: ..." of the payload */
	struct strv listed;	/* "# test ID: CLAUSE" of list=1, as "ID: CLAUSE" */
	struct strv problems;	/* what a strict reader objects to, the first ones */
	unsigned int nproblems; /* all of them */
	unsigned int garbage;	/* lines that are no KTAP */
	char *bail;		/* text of "Bail out!", or NULL */
	bool started, ended;	/* the version line and "# end" were seen */
	unsigned int harness;	/* problems that have become a result already */
};

struct counts {
	unsigned int by[VERDICTS];
	unsigned int total;
};

enum ktap_event {
	KTAP_BEGIN,  /* the version line */
	KTAP_ENV,    /* an environment line; the last of report->env */
	KTAP_START,  /* a test starts; its id is current */
	KTAP_RESULT, /* the last of report->results is complete */
	KTAP_NOTE,   /* a diagnostic of the running test, for those who watch */
	KTAP_END,    /* "# end" */
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
	/* where the reader is */
	bool firmware; /* a reset that a test asked for: lines are not ours */
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

void report_init(struct report *r);
void report_free(struct report *r);
/* A new result at the end; id and reason (or NULL) are copied. */
struct result *report_add(struct report *r, const char *id, enum verdict v, const char *reason);
/* Every result of src, moved to the end of dst; env, version and notes where dst has none. src is empty after. */
void report_append(struct report *dst, struct report *src);
/*
 * Unites shards and repetitions: of results with the same id in dst and src the worst stays. Within one
 * of them repetitions of an id are separate, and stay so.
 */
void report_merge(struct report *dst, struct report *src);
struct counts report_counts(const struct report *r);
/* 0 all passed or skipped, 1 FAIL, 2 ERROR, 3 nothing to report, 77 nothing but SKIPs. */
int report_status(const struct report *r);
/* Turns what the reader objected to into one ERROR result, "harness.report". */
void report_judge(struct report *r);
void result_free(struct result *r);

const char *verdict_name(enum verdict v); /* "PASS" */
/* The part of id before the first dot: its length. */
size_t suite_length(const char *id);

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
/* Reads a file. 0, -errno, -EBADMSG: it holds no KTAP. */
int report_read(struct report *r, const char *path);

#endif
