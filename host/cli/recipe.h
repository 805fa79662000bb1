/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recipes: how a host under test is started (host/hosts/NAME.host; docs/assay.1 describes the
 * format). A recipe is an INI file of variables and command lines; nothing is given to a shell.
 */
#ifndef HOST_CLI_RECIPE_H
#define HOST_CLI_RECIPE_H

#include <stdbool.h>

#include "host/common/util.h"

struct recipe_key {
	char *key, *value;
};

struct recipe_section {
	char *type, *name; /* "[device refdev]"; name is "" without one */
	struct recipe_key *keys;
	size_t n;
};

struct recipe {
	char *name, *path;
	struct recipe_section *sections;
	size_t n;
};

/*
 * Variables, by precedence: given on the command line, of the run, of the recipe, of the environment,
 * of set-up. A value of the recipe or a list may be several words where it stands alone as a word.
 */
struct vars {
	struct strv given, run, setup; /* "NAME=VALUE" */
	const struct recipe *recipe;
};

/* name: a recipe's name or a file's path. NULL: *err says why (one or more lines). */
struct recipe *recipe_load(const char *name, struct sbuf *err);
struct recipe *recipe_parse(const char *name, const char *text, struct sbuf *err);
void recipe_free(struct recipe *r);
/* The value of the last such key, or NULL. */
const char *recipe_get(const struct recipe *r, const char *type, const char *name, const char *key);
/* The names of the sections of a type, in order, each once. */
void recipe_names(const struct recipe *r, const char *type, struct strv *names);
/* The variables that anything in it uses: by ${NAME}, or by sections of their values. Each once. */
void recipe_uses(const struct recipe *r, struct strv *names);
/* The names of all recipes that can be found, sorted. */
void recipe_list(struct strv *names);

void vars_set(struct strv *list, const char *name, const char *value);
/* "KEY=VALUE" lines of a text; others are left out. */
void vars_parse(struct strv *list, const char *text);
/* "KEY=VALUE" lines of a file; a missing file is no error. */
void vars_read(struct strv *list, const char *path);
void vars_free(struct vars *v);
/* The value of a variable, or NULL. */
const char *vars_get(const struct vars *v, const char *name);
/* As recipe_uses(), but only what sections use that apply with these values. */
void vars_uses(const struct vars *v, struct strv *names);
/* A template as words, as a shell would split them. False: *err says why. */
bool vars_words(const struct vars *v, const char *template, struct strv *words, struct sbuf *err);
/* A template as one string. NULL: *err says why. */
char *vars_string(const struct vars *v, const char *template, struct sbuf *err);

/*
 * A deadline in seconds: numbers, separated by blanks or commas, which are added; of "name:N" N counts, a mere name
 * counts RECIPE_STEP_S. Negative: it is none.
 */
#define RECIPE_STEP_S 30
double recipe_seconds(const char *text);

/* Folder of this program; of the sources it was built from, or NULL. */
const char *program_dir(void);
/* The path of this program, to start it once more; to be freed. */
char *own_program(void);
const char *source_dir(void);

#endif
