/* SPDX-License-Identifier: BSD-2-Clause */
/* The one-change mutants of a C file. */
#ifndef HOST_MUTATE_LIST_H
#define HOST_MUTATE_LIST_H

#include "host/common/util.h"
#include "host/mutate/ast.h"

struct mutant {
	const char *path;
	struct span at;	  /* what is replaced */
	char *function;	  /* or the variable, or the enumerator, that it stands in */
	const char *kind; /* "comparison", "dropped", ... */
	char *from, *to;  /* the text there, as one line, and the text in its place */
	char *source;	  /* the line's whole text, without blanks at its ends */
};

struct mutants {
	struct mutant *v;
	size_t n, room;
};

struct list_options {
	struct strv faults;  /* functions that return false on a healthy host */
	struct strv ignored; /* functions whose calls nobody outside can see, as of a log */
	struct strv except;  /* FILE:FUNCTION that are no subject */
	const char *own;     /* fields of structures that files below this folder define; or NULL */
	struct strv read;    /* of those fields, what live code reads: list_reads() */
};

/*
 * Adds to o->read the fields that live code of this file reads. Called for all files of a program, again and again until
 * nothing is added: what is only written, or read where a fault is on, is none of the healthy host's.
 */
void list_reads(const struct ast *a, struct list_options *o);
/*
 * Adds those of one file, in its order, each once. Code that only a fault reaches is left out: what stands behind a
 * condition that is false while the functions of `faults` return false, and static functions that only such code calls, and
 * assignments to o->own's fields that nothing else reads.
 */
void list_mutants(const struct ast *a, const struct list_options *o, struct mutants *m);
void mutants_free(struct mutants *m);

#endif
