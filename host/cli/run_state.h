/* SPDX-License-Identifier: BSD-2-Clause */
/* A run from its options to its report, for the files run_*.c: each does one part of it. */
#ifndef HOST_CLI_RUN_STATE_H
#define HOST_CLI_RUN_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/cli/boot.h"
#include "host/cli/deviations.h"
#include "host/cli/image.h"
#include "host/cli/print.h"
#include "host/cli/recipe.h"
#include "host/cli/run.h"
#include "host/common/report.h"
#include "host/common/util.h"

struct run {
	const struct run_options *o;
	struct recipe *recipe;
	struct vars vars;
	struct image_tests tests;
	struct strv options;  /* keys of the payload's command line */
	struct strv selected; /* ids */
	char *list;	      /* tests=, or NULL: what the payload runs by default */
	char *wanted;	      /* the same of all shards together */
	char *require;	      /* globs of tests that must not be skipped, or NULL */
	struct deviations known;
	const char *machine, *boot, *accel;
	char *own_boot; /* or NULL: where boot is the machine's choice */
	char *dir, *tmp, *elf;
	int lock, serial, commands;
	struct report report;
	struct report *current; /* of the boot that is going on */
	struct printer out;
	bool env_shown;
	struct strv boots;   /* "1: what happened" */
	unsigned int number; /* of boots so far */
	enum boot_end end;   /* how the last one ended */
	bool failed;	     /* a test has failed, with --fail-fast */
	uint64_t started, deadline;
};

/* Where a function returns a bool without another word, false is an error that it has told on stderr. */

/* --- run_options.c: options that would do nothing are errors ------------------------------ */

/* Each --set is of a variable that the recipe, or this program, asks for. */
bool run_check_set(const struct run *r);
/* --append: the payload would only warn of a key that it does not know. */
bool run_check_append(const struct run *r);
/* A recipe that gives the payload no command line cannot tell it what the options ask for. */
bool run_check_cmdline(const struct run *r);
/* --kernel, --modules, --l2-qemu, --l1-append, --soak: variables of the recipe, which must have a use for them. */
bool run_set_host_options(struct run *r);

/* --- run_machine.c: what the recipe's commands are filled in with -------------------------- */

/* The option if it is given, else the recipe's key of [host], else dflt. Valid as long as all three. */
const char *run_choose(const char *option, const struct run *r, const char *key, const char *dflt);
/* value must be one of the recipe's [type NAME] sections. */
bool run_check_choice(const struct run *r, const char *type, const char *value);
/* The recipe's variable BOOTS lists what the machine can start by, the usual way first, where not all do. */
bool run_check_boot(struct run *r);
void run_set_programs(struct run *r);
void run_set_machine(struct run *r);
void run_set_dirs(struct run *r, const char *run_dir);

/* --- run_faults.c -------------------------------------------------------------------------- */

/* ${FAULTS_NAME_ARGS} for each of the recipe's lists; each --fault must be on one. */
bool run_place_faults(struct run *r);

/* --- run_ask.c ----------------------------------------------------------------------------- */

/* ${NAME} of each [ask NAME] that the chosen machine uses: the first line that its command prints. False: one failed. */
bool run_ask(struct run *r);

/* --- run_needs.c --------------------------------------------------------------------------- */

/* What set-up provides: from the file that the build made, or, in a release archive, as set-up finds it now. */
void run_read_setup(struct run *r);
/* [host] needs: set-up is asked for what is missing. */
bool run_check_needs(struct run *r);
/* [host] lock = NAME: runs of hosts with the same lock, which share a CID or ports, wait for each other. */
bool run_take_lock(struct run *r);

/* --- run_folder.c -------------------------------------------------------------------------- */

bool run_make_dir(struct run *r);
/* The folder for sockets, whose paths must be short. */
bool run_make_tmp_dir(struct run *r);
/*
 * Removes what an earlier run left in the same folder: files that programs append to, and its report, which
 * would be taken for this run's if this one were killed.
 */
void run_forget_host(const struct run *r);
/* A file of the folder to write to, emptied: its descriptor, or -1, which it has told. */
int run_open_file(const char *dir, const char *name);
bool run_write_file(const struct run *r, const char *name, const struct sbuf *b);
/* Says where a file of the folder is, as seen from the current one. */
void run_show_path(const struct run *r, const char *label, const char *name);

/* --- run_cmdline.c ------------------------------------------------------------------------- */

/* The payload's command line, and how a QEMU is given it. */
bool run_set_cmdline(struct run *r, const char *text);
/*
 * The command line of one boot: tests=list (NULL: the payload's default), after=after (NULL: from the start).
 * last: the guest is not started once more, and goes on as well as it can.
 */
bool run_make_cmdline(struct run *r, const char *list, const char *after, bool last);
/* How many times longer than their own limits tests may take on this host: 1 or more. */
unsigned int run_slow(const struct run *r);
/* How many boots may follow the first one. */
unsigned int run_most_reboots(const struct run *r);

/* --- run_select.c, run_known.c ------------------------------------------------------------- */

/* Fills selected, list, wanted and require. */
bool run_select_tests(struct run *r);
bool run_read_known(struct run *r);

/* --- run_accel.c --------------------------------------------------------------------------- */

/* KVM where a probe guest runs under it, as --accel and the recipe want it; else the CPU is emulated. */
bool run_choose_accel(struct run *r);

/* --- run_boots.c --------------------------------------------------------------------------- */

struct boot_config run_boot_config(struct run *r, unsigned int number);
/* How many of ids have no verdict so far. */
size_t run_without_verdict(const struct run *r, const struct strv *ids);
/* Boots until all selected tests have a verdict. True: they have. */
bool run_boots(struct run *r);

/* --- run_report.c -------------------------------------------------------------------------- */

/* This program's command line, as a shell would read it; to be freed. */
char *run_invocation(void);
/* Judges the host's own log, writes and shows the report. complete: each test has a verdict. The exit status. */
int run_conclude(struct run *r, bool complete);

#endif
