/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A report: what the tests of a run said, what ran it where, and whether that is all of it.
 * ktap.h reads and writes it as KTAP.
 */
#ifndef HOST_COMMON_REPORT_H
#define HOST_COMMON_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/common/util.h"

/* More is refused, so that no console fills the memory. */
#define REPORT_RESULTS_MAX 1000000u

/* The order of severity in which results are shown. */
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
	char *version, *boot;	/* of "# assay VERSION boot=..."; or NULL */
	struct env_entry *meta; /* of the run: report_meta() */
	size_t metas;
	struct env_entry *env; /* what the guest saw of its machine */
	size_t envs;
	struct result *results;
	size_t n, room;
	struct strv warnings;	/* "# warning: ..." of the payload */
	struct strv notes;	/* how this report came about, where that is not plain */
	struct strv listed;	/* "# test ID: CLAUSE" of list=1, as "ID: CLAUSE" */
	struct strv problems;	/* what a strict reader objects to, the first ones */
	unsigned int nproblems; /* all of them */
	unsigned int garbage;	/* lines that are no KTAP */
	char *bail;		/* text of "Bail out!", or NULL */
	bool started, ended;	/* the version line was seen; all of the report is there */
	unsigned int harness;	/* problems that have become a result already */
};

struct counts {
	unsigned int by[VERDICTS];
	unsigned int total;
};

void report_init(struct report *r);
void report_free(struct report *r);
/* Adds a result at the end; id and reason (or NULL) are copied. */
struct result *report_add(struct report *r, const char *id, enum verdict v, const char *reason);
/*
 * Moves every result of src to the end of dst, and the rest where dst has none: boots of one run. src is
 * empty afterwards.
 */
void report_append(struct report *dst, struct report *src);
/*
 * Unites shards and repetitions of one host: of results with the same id in dst and src the worst stays, and
 * a SKIP yields to all others. Within dst or src repetitions of an id are separate, and stay so.
 */
void report_merge(struct report *dst, struct report *src);
struct counts report_counts(const struct report *r);
/* 0 all passed or skipped, 1 FAIL, 2 ERROR, 3 incomplete or empty, 77 nothing but SKIPs. */
int report_status(const struct report *r);
/* Turns what the reader objected to into one ERROR result, "harness.report". */
void report_judge(struct report *r);
void result_free(struct result *r);

/*
 * What is known of the run: "host", "selected", "shard", "complete", ... (docs/assay.1 lists them). A value
 * that is set again replaces the old one; NULL where there is none.
 */
void report_meta_set(struct report *r, const char *key, const char *value);
const char *report_meta(const struct report *r, const char *key);
/* Part of the report is missing: it has no end, and "complete" says why. */
void report_cut(struct report *r, const char *why);
/* Why the report is incomplete, to be freed; NULL: it is whole. */
char *report_incomplete(const struct report *r);
/* Adds to the notes, each once. */
void report_note(struct report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/*
 * Shards that were merged must be all there: what is missing cuts the report, what is there twice is noted.
 */
void report_judge_shards(struct report *r);

const char *verdict_name(enum verdict v); /* "PASS" */
/* "PASS", or "TIMEOUT" for the FAIL that is one. */
const char *result_name(const struct result *t);
bool verdict_is_bad(enum verdict v); /* FAIL or ERROR */
/* The part of id before the first dot: its length. */
size_t suite_length(const char *id);
bool same_suite(const char *a, const char *b);

/* Indexes of all results, to be freed: suites together, in the order of their first result. */
size_t *report_by_suite(const struct report *r);
/* Indexes of all results, to be freed: by id, repetitions in their order. */
size_t *report_by_id(const struct report *r);
/* Where the results of this id begin in by_id; r->n: there is none. */
size_t report_find(const struct report *r, const size_t *by_id, const char *id);
/* How many results from by_id[at] on have the same id. */
size_t report_repetitions(const struct report *r, const size_t *by_id, size_t at);

/* What came of all repetitions of a test. */
struct tally {
	const struct result *worst; /* the first one of the severest verdict */
	size_t n, same;		    /* repetitions; those that have the verdict of the worst */
};
struct tally report_tally(const struct report *r, const size_t *by_id, size_t at);

#endif
