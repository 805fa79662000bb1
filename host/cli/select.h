/* SPDX-License-Identifier: BSD-2-Clause */
/* Which tests run, and which of them must. */
#ifndef HOST_CLI_SELECT_H
#define HOST_CLI_SELECT_H

#include "host/cli/image.h"
#include "host/common/report.h"

/* Whether tests=LIST runs this test, as the payload decides: benchmarks only when they are named. */
bool selects(const char *list, const char *id);

/* Which of n shards has this id: 1..n. The same on every machine. */
unsigned int shard_of(const char *id, unsigned int n);

/* The command line with ids as tests=, shortened where a suite or subject is complete. */
char *tests_list(const struct image_tests *all, const struct strv *ids);

/* The image with the table of tests: option, else assay.elf beside this program. */
char *image_path(const char *option);
/* Reads the table; says why it cannot. */
bool load_tests(const char *path, struct image_tests *tests);
/* Checks each pattern of a list against the table; says what does not match. NULL is everything, "" an error. */
bool check_patterns(const struct image_tests *tests, const char *list);

/*
 * What a host must offer, as --require and `require =` say it: a list of globs like tests=, or several
 * that ';' separates.
 *
 * check_required: each of its patterns fits a test that is selected; says which does not.
 * require_result: a SKIP of a required test becomes a FAIL, as it stands.
 * require_all: the same of all results, and a FAIL for each required test of ids that has no result.
 */
bool check_required(const struct strv *ids, const char *require);
void require_result(const char *require, struct result *t);
void require_all(const char *require, const struct strv *ids, struct report *r);

#endif
