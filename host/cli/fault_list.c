/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/fault_list.h"

#include <stdlib.h>
#include <string.h>

#include "host/cli/cmd.h"
#include "lib/glob.h"

#define LIST_MAX (1u << 20)
#define CPUS_MAX 256
#define FIELDS	 5
#define NOTED	 "note:"

static void split(const char *text, struct strv *words)
{
	char *copy = xstrdup(text), *next = copy, *word;

	while ((word = strsep(&next, ",")))
		if (*word)
			strv_add(words, word);
	free(copy);
}

static bool has_word(const char *list, const char *word)
{
	struct strv words = { 0 };
	bool found;

	split(list ? list : "", &words);
	found = strv_has(&words, word);
	strv_free(&words);
	return found;
}

/* --- the file ------------------------------------------------------------------------------------ */

static void entry_free(struct fault_entry *f)
{
	free(f->id);
	free(f->clause);
	free(f->tests);
	free(f->where);
	free(f->what);
}

void fault_list_free(struct fault_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		entry_free(&l->v[i]);
	free(l->v);
	*l = (struct fault_list){ 0 };
}

static bool is_listed(const struct fault_list *l, const char *id)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->v[i].id, id) == 0)
			return true;
	return false;
}

/* NULL, or what is wrong. */
static const char *add_line(struct fault_list *l, char *line, const char *section)
{
	struct fault_entry f = { .section = section };
	char **const field[FIELDS] = { &f.id, &f.clause, &f.tests, &f.where, &f.what };
	const char *wrong = NULL;
	char *word;
	size_t n;

	for (n = 0; (word = strsep(&line, "\t")); n++)
		if (n < FIELDS && *word)
			*field[n] = xstrdup(word);
	if (n != FIELDS || !f.id || !f.clause || !f.tests || !f.where || !f.what)
		wrong = "not five fields with tabs between: id, clause, tests, where, what";
	else if (is_listed(l, f.id))
		wrong = "another fault has this id";
	if (wrong) {
		entry_free(&f);
		return wrong;
	}
	l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] = f;
	return NULL;
}

static bool read_section(const struct vars *vars, const char *section, struct fault_list *out,
			 struct sbuf *err)
{
	const char *list = recipe_get(vars->recipe, "faults", section, "list"), *wrong = NULL;
	char *path, *text = NULL, *next, *line;
	unsigned int number = 0;
	int ret;

	/* A recipe that extends another one says so when it has none of those faults: "list =". */
	if (!list || !*list)
		return true;
	path = vars_string(vars, list, err);
	if (!path)
		return false;
	ret = read_file(path, LIST_MAX, &text, NULL);
	if (ret)
		sbuf_addf(err, "%s: [faults %s] list: %s: %s\n", vars->recipe->path, section, path,
			  strerror(-ret));
	for (next = text; !ret && !wrong && (line = strsep(&next, "\n")); number++)
		if (*line && *line != '#')
			wrong = add_line(out, line, section);
	if (wrong)
		sbuf_addf(err, "%s:%u: %s\n", path, number, wrong);
	free(text);
	free(path);
	return !ret && !wrong;
}

bool fault_list_read(const struct recipe *r, struct fault_list *out, struct sbuf *err)
{
	struct vars vars = { .recipe = r };
	struct strv sections = { 0 };
	char *path = xasprintf("%s/setup.env", program_dir());
	bool ok = true;
	size_t i;

	*out = (struct fault_list){ 0 };
	vars_read(&vars.setup, path);
	free(path);
	vars_set(&vars.run, "BIN", program_dir());
	recipe_names(r, "faults", &sections);
	for (i = 0; i < sections.n && ok; i++) {
		size_t k;

		/* Entries outlive the names: they point into the recipe. */
		for (k = 0; k < r->n; k++)
			if (strcmp(r->sections[k].type, "faults") == 0 &&
			    strcmp(r->sections[k].name, sections.v[i]) == 0)
				break;
		ok = read_section(&vars, r->sections[k].name, out, err);
	}
	strv_free(&sections);
	vars_free(&vars);
	if (!ok)
		fault_list_free(out);
	return ok;
}

/* --- what must see it, and where ------------------------------------------------------------------ */

enum fault_expect fault_expects(const struct fault_entry *f, const char **globs)
{
	*globs = f->tests;
	if (strcmp(f->tests, "-") == 0)
		return FAULT_HARNESS;
	if (strcmp(f->tests, "?") == 0) {
		*globs = "*";
		return FAULT_OPEN;
	}
	if (strncmp(f->tests, NOTED, strlen(NOTED)) != 0)
		return FAULT_FAILS;
	*globs = f->tests + strlen(NOTED);
	return FAULT_NOTED;
}

/* A layout that the recipe has as its own (true, and nothing to set), or a section for. */
static bool is_layout(const struct recipe *r, const char *word, struct fault_place *out)
{
	const struct vars vars = { .recipe = r };
	const char *own = vars_get(&vars, "LAYOUT");
	struct strv names = { 0 };
	bool found = own && strcmp(own, word) == 0;

	recipe_names(r, "layout", &names);
	if (!found && strv_has(&names, word)) {
		strv_take(&out->set, xasprintf("LAYOUT=%s", word));
		found = true;
	}
	strv_free(&names);
	return found;
}

static bool is_machine(const struct recipe *r, const char *word, struct fault_place *out)
{
	struct strv names = { 0 };
	const bool found = (recipe_names(r, "machine", &names), strv_has(&names, word));

	if (found)
		out->machine = xstrdup(word);
	strv_free(&names);
	return found;
}

static bool is_variable(const struct recipe *r, const char *word, struct fault_place *out)
{
	const struct vars vars = { .recipe = r };
	char *name = xstrndup(word, strcspn(word, "="));
	const bool found = vars_get(&vars, name);

	if (found)
		strv_add(&out->set, word);
	free(name);
	return found;
}

static bool place_word(const struct recipe *r, const char *word, struct fault_place *out)
{
	if (strcmp(word, "any") == 0)
		return true;
	if (strncmp(word, "cpus=", 5) == 0)
		return parse_number(word + 5, 1, CPUS_MAX, &out->cpus);
	if (strncmp(word, "machine=", 8) == 0)
		return is_machine(r, word + 8, out);
	if (strchr(word, '='))
		return is_variable(r, word, out);
	return is_layout(r, word, out) || has_word(recipe_get(r, "host", "", "provides"), word);
}

bool fault_place(const struct recipe *r, const struct fault_entry *f, struct fault_place *out)
{
	struct strv words = { 0 };
	bool ok = true;
	size_t i;

	*out = (struct fault_place){ .cpus = 1 };
	split(f->where, &words);
	for (i = 0; ok && i < words.n; i++)
		ok = place_word(r, words.v[i], out);
	strv_free(&words);
	if (!ok)
		fault_place_free(out);
	return ok;
}

void fault_place_free(struct fault_place *p)
{
	strv_free(&p->set);
	free(p->machine);
	p->machine = NULL;
}

void fault_check_tests(const struct fault_entry *f, const struct image_tests *tests,
		       struct sbuf *err)
{
	struct strv globs = { 0 };
	const char *list;
	size_t i, k;

	const enum fault_expect expect = fault_expects(f, &list);

	if (expect == FAULT_HARNESS || expect == FAULT_OPEN)
		return;
	split(list, &globs);
	for (i = 0; i < globs.n; i++) {
		for (k = 0; k < tests->n; k++)
			if (glob_list_selects(globs.v[i], tests->v[k].id))
				break;
		if (k == tests->n)
			sbuf_addf(err, "%s: no test is called \"%s\"\n", f->id, globs.v[i]);
	}
	strv_free(&globs);
}
