/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of `assay faults` share: cmd_faults.c runs what faults_plan.c plans, faults_judge.c judges each run. */
#ifndef HOST_CLI_FAULTS_H
#define HOST_CLI_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/cli/fault_list.h"
#include "host/cli/image.h"
#include "host/cli/proc.h"

struct faults_options {
	const char *boot, *machine, *output, *image;
	double timeout;
	struct strv hosts, only;
	unsigned int jobs, repeat;
	bool quick, verbose, open;
};

enum trial_state {
	TRIAL_WAITS,
	TRIAL_RUNS,
	TRIAL_CAUGHT,	    /* or healthy */
	TRIAL_MISSED,	    /* or a healthy host that FAILs */
	TRIAL_NOT_INJECTED, /* the tests were given no fault to see */
	TRIAL_NO_RUN,	    /* no report */
	TRIAL_NO_TEST,	    /* the payload has none of its tests */
	TRIAL_OPEN,	    /* no test sees it, and none is named that has to */
};

/* One run of `assay run`: with a fault, or of a healthy host. */
struct trial {
	struct fault_entry fault; /* id "": none; the strings are this trial's own */
	const char *host;
	struct fault_place place; /* what the host is run with */
	char *name;		  /* of its folder */
	char *dir;
	char *tests; /* tests=; NULL: all */
	struct proc proc;
	uint64_t started, ms;
	/* What came of it. */
	enum trial_state state;
	char *said;	   /* the tests that saw it; or what was seen instead */
	uint64_t injected; /* how often */
	int status;	   /* exit status; -1: it was killed */
};

struct faults {
	const struct faults_options *o;
	struct trial *v;
	size_t n;
	struct strv elsewhere; /* faults that none of these hosts can show */
	struct image_tests tests;
	char *dir;
};

/* Fills f->v: healthy hosts first, then each fault, each --repeat times. An exit status; it has said what is wrong. */
int faults_plan(struct faults *f);
void faults_free(struct faults *f);

static inline bool trial_is_healthy(const struct trial *x)
{
	return !*x->fault.id;
}

/* Which tests see it is not known yet: all run. */
bool trial_is_open(const struct trial *x);
/*
 * Its run ends at the first test that fails, since one is enough: its fault names one test, or one glob. The others may
 * only wait for what the fault withholds.
 */
bool trial_ends_early(const struct trial *x);
/* Whether the test with this id is one that has to see the fault. */
bool trial_expects(const struct trial *x, const char *id);
/* The process has ended: reads what it left in x->dir. */
void trial_judge(struct trial *x);
const char *trial_verdict(const struct trial *x);

#endif
