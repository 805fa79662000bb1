/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The faults that a host can inject, as its recipe names them: each [faults NAME] has a file ("list") with a line a
 * fault, five fields with tabs between (docs/writing-a-test.md).
 */
#ifndef HOST_CLI_FAULT_LIST_H
#define HOST_CLI_FAULT_LIST_H

#include <stdbool.h>
#include <stdio.h>

#include "host/cli/image.h"
#include "host/cli/recipe.h"

struct fault_entry {
	char *id, *clause;
	char *tests; /* that must see it: globs; see enum fault_expect */
	char *where; /* what the host must have: words, all of which must hold */
	char *what;
	const char *section; /* NAME of [faults NAME] */
};

struct fault_list {
	struct fault_entry *v;
	size_t n;
};

enum fault_expect {
	FAULT_FAILS,   /* a test of each glob FAILs */
	FAULT_NOTED,   /* "note:" in front: only a SHOULD is broken; they pass, with a note */
	FAULT_HARNESS, /* "-": the device dies or stops, which the harness tells */
	FAULT_OPEN, /* "?": written without a look at the tests; which of them see it is not known yet */
};

/* What a fault shows on; strings are the caller's to free (fault_place_free()). */
struct fault_place {
	struct strv set; /* variables of the recipe */
	char *machine;	 /* or NULL: the recipe's */
	unsigned int cpus;
};

/* The lists of the recipe. False: *err says what is wrong with them. */
bool fault_list_read(const struct recipe *r, struct fault_list *out, struct sbuf *err);
void fault_list_free(struct fault_list *l);

/* How it is to be seen; *globs are its tests without the prefix. */
enum fault_expect fault_expects(const struct fault_entry *f, const char **globs);

/*
 * What the recipe has to be run with for the words of `where`: "any"; a layout of the recipe, or something that it
 * provides; cpus=N, machine=NAME, or a variable of the recipe, VAR=VALUE. False: this host cannot show it.
 */
bool fault_place(const struct recipe *r, const struct fault_entry *f, struct fault_place *out);
void fault_place_free(struct fault_place *p);

/* The globs among its tests that select none. Adds a line to *err for each. */
void fault_check_tests(const struct fault_entry *f, const struct image_tests *tests,
		       struct sbuf *err);

#endif
