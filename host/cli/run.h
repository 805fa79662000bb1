/* SPDX-License-Identifier: BSD-2-Clause */
/* A run: options, variables, boots until every test has its verdict, the report. */
#ifndef HOST_CLI_RUN_H
#define HOST_CLI_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "host/cli/boot.h"
#include "host/cli/image.h"
#include "host/cli/recipe.h"
#include "host/common/ktap.h"

enum {
	STATUS_OK = 0,
	STATUS_FAIL = 1,
	STATUS_ERROR = 2,
	STATUS_NO_REPORT = 3,
	STATUS_USAGE = 4,
	STATUS_SKIPPED = 77,
};

struct run_options {
	const char *host, *boot, *machine, *accel, *memory, *known, *output, *image, *shuffle;
	const char *kernel, *modules, *l1_append,
		*l2_qemu; /* of hosts that boot a kernel of their own */
	double soak;	  /* minutes; 0: none */
	struct strv tests, append, faults, set, vmm_args;
	unsigned int cpus, repeat, shard, shards;
	int reboots; /* -1: as the recipe says */
	double timeout, first_timeout, test_timeout, grace, silence;
	bool keep, verbose, quiet;
	boot_disturb disturb; /* or NULL: see boot.h */
	void *disturb_arg;
};

void run_options_init(struct run_options *o);
void run_options_free(struct run_options *o);
/* Does it all. The exit status. */
int run_command(const struct run_options *o);

/* Tests that fail on this host, as its owner knows: "ID-GLOB reason and link" a line. */
struct known {
	char *glob, *reason;
};
struct known_list {
	struct known *v;
	size_t n;
};
/* 0, or -errno of the file; -EBADMSG and *line of a line that is none. */
int known_read(const char *path, struct known_list *out, unsigned int *line);
int known_parse(const char *text, struct known_list *out, unsigned int *number);
void known_free(struct known_list *k);
/* Turns a FAIL into XFAIL and a PASS into XPASS where the id is listed. */
void known_apply(const struct known_list *k, struct result *t);

/* Which of n shards has this id: 1..n. The same on every machine. */
unsigned int shard_of(const char *id, unsigned int n);

/* The command line with ids as tests=, shortened where a suite or subject is complete. */
char *tests_list(const struct image_tests *all, const struct strv *ids);

/* The image with the table of tests: option, else assay.elf beside this program. */
char *image_path(const char *option);
/* Reads the table; says why it cannot. */
bool load_tests(const char *path, struct image_tests *tests);
/* Checks each pattern of a tests= list against the table; says what does not match. */
bool check_patterns(const struct image_tests *tests, const char *list);

#endif
