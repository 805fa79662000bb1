/* SPDX-License-Identifier: BSD-2-Clause */
/* One boot: the recipe's programs, then the VMM, until the report ends or something goes wrong. */
#ifndef HOST_CLI_BOOT_H
#define HOST_CLI_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "host/cli/image.h"
#include "host/cli/proc.h"
#include "host/cli/recipe.h"
#include "host/common/ktap.h"

#define SERIAL_MAX (16u << 20) /* bytes of console output of one boot; more is a flood */

enum boot_end {
	BOOT_DONE,    /* "# end" was read */
	BOOT_HANG,    /* the guest did not go on */
	BOOT_DIED,    /* the VMM ended before the report did: triple fault, reset */
	BOOT_VMM,     /* the VMM crashed or was killed */
	BOOT_PROGRAM, /* another program of the host ended */
	BOOT_WORKER,  /* a thread of one, without which it does nothing, ended: [device] thread */
	BOOT_AGAIN,   /* the payload ended the machine to be booted again: "# reboot: REASON" */
	BOOT_FLOOD,   /* too much output */
	BOOT_START,   /* the host did not start */
	BOOT_INTERRUPTED, /* a signal to this program */
	BOOT_DEADLINE,	  /* the time of the whole run is over */
	BOOT_ENOUGH,	  /* as it was asked for: boot_config.enough */
};

/* What a disturbance sees, and may do harm to: see host/cli/cmd_race.c. */
struct boot_view {
	const char *test; /* that runs now, or NULL */
	uint64_t test_ms; /* for so long */
	struct proc *const *programs;
	size_t n;
	struct proc *vmm; /* NULL: not started */
	const char *tmp_dir;
	bool over; /* all have ended */
};
typedef void (*boot_disturb)(void *arg, const struct boot_view *v);

struct boot_config {
	const struct vars *vars; /* with everything that the templates need */
	bool devices;		 /* false: the VMM only */
	const char *vmm;	 /* template of its command; NULL: the recipe's */
	unsigned int number;	 /* of the boot in this run, from 1 */
	const char *run_dir, *tmp_dir;
	const struct image_tests *tests; /* for the deadlines */
	uint64_t test_timeout_ms;	 /* for all tests, 0: each its own */
	unsigned int slow;		 /* factor of their own */
	unsigned int grace_ms;		 /* on top of a test's own deadline */
	unsigned int first_ms;		 /* until the first line of the report */
	unsigned int silence_ms;	 /* between tests */
	uint64_t deadline;		 /* of the run, in now_ms() */
	int serial;			 /* file that gets the console's output, or -1 */
	int commands;			 /* file that gets the command lines, or -1 */
	const char *
		suspect; /* test that ran when a thread ended before; once more is a FAIL; or NULL */
	ktap_handler handler;	 /* watches the report */
	const bool *enough;	 /* true: the boot is to end, as handler saw; or NULL */
	void (*tick)(void *arg); /* some ten times a second */
	void *arg;
	boot_disturb disturb; /* or NULL; called as often as tick, and at the end */
	void *disturb_arg;
};

struct boot_outcome {
	enum boot_end end;
	char *message;	       /* for people: what happened, or NULL */
	struct strv detail;    /* lines that explain: logs, registers */
	char *test;	       /* the test that was running, and has its verdict now; or NULL */
	char *last;	       /* the last test with a verdict, or NULL */
	char *program;	       /* whose thread ended, at BOOT_WORKER */
	char *running;	       /* the test that was running then, without a verdict; or NULL */
	size_t bytes;	       /* of the console */
	uint64_t ms, first_ms; /* until the end, until the first line */
};

/* Boots once; results go to *r. */
void boot_run(const struct boot_config *c, struct report *r, struct boot_outcome *o);
void boot_outcome_free(struct boot_outcome *o);

#endif
