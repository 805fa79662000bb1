/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/recipe.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECIPE_MAX  (256u << 10)
#define DEPTH_MAX   8
#define EXTENDS_MAX 4

const char *program_dir(void)
{
	static char path[PATH_MAX];
	char *slash;
	ssize_t n;

	if (*path)
		return path;
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n <= 0)
		return strcpy(path, ".");
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	return path;
}

char *own_program(void)
{
	char path[PATH_MAX];
	const ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[n > 0 ? n : 0] = '\0';
	/* It may have been built anew meanwhile: then the link's target is gone. */
	return access(path, X_OK) == 0 ? xstrdup(path) : xasprintf("%s/assay", program_dir());
}

/* The build folder's link to its tree; a release archive, where all lies together; a build folder in the tree. */
const char *source_dir(void)
{
	static const char *const places[] = { "source", ".", ".." };
	static char dir[PATH_MAX];
	bool installed;
	char *own;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		char *hosts = xasprintf("%s/%s/host/hosts", program_dir(), places[i]);
		const bool there = access(hosts, R_OK) == 0;

		free(hosts);
		if (there && snprintf(dir, sizeof(dir), "%s/%s", program_dir(), places[i]) <
				     (int)sizeof(dir))
			return dir;
	}
	/* The current folder, for programs outside of a tree: but an installed one has recipes of its own. */
	own = xasprintf("%s/../share/assay/hosts", program_dir());
	installed = access(own, R_OK) == 0;
	free(own);
	return !installed && access("host/hosts", R_OK) == 0 ? "." : NULL;
}

/* --- reading ----------------------------------------------------------------------------- */

/* Sections with a fixed meaning and their keys; any other is a condition on a variable. */
static const struct {
	const char *type, *key;
} known[] = {
	{ "host", "description" }, { "host", "extends" },     { "host", "needs" },
	{ "host", "hint" },	   { "host", "setup" },	      { "host", "machine" },
	{ "host", "boot" },	   { "host", "memory" },      { "device", "command" },
	{ "device", "ready" },	   { "device", "ready-log" }, { "device", "deadline" },
	{ "vmm", "command" },	   { "faults", "list" },      { "faults", "args" },
	{ "host", "slow" },	   { "host", "payload" },     { "host", "first-line" },
	{ "host", "accel" },	   { "host", "tests" },	      { "prepare", "command" },
	{ "prepare", "deadline" }, { "probe", "command" },    { "after", "command" },
	{ "after", "deadline" },   { "after", "kernel-log" }, { "after", "records" },
	{ "known", "reason" },	   { "known", "at-times" },   { "host", "require" },
	{ "host", "provides" },	   { "host", "lock" },	      { "host", "alone" },
	{ "device", "thread" },	   { "host", "reboots" },     { "ask", "command" },
};

static bool known_type(const char *type)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(known[i].type, type) == 0)
			return true;
	return false;
}

static bool known_key(const char *type, const char *key)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(known[i].type, type) == 0 && strcmp(known[i].key, key) == 0)
			return true;
	return false;
}

static bool is_variable(const char *key)
{
	if (!isupper((unsigned char)*key))
		return false;
	for (; *key; key++)
		if (!isupper((unsigned char)*key) && !isdigit((unsigned char)*key) && *key != '_')
			return false;
	return true;
}

static struct recipe_section *add_section(struct recipe *r, const char *type, const char *name)
{
	struct recipe_section *s;

	r->sections = xrealloc(r->sections, (r->n + 1) * sizeof(*r->sections));
	s = &r->sections[r->n++];
	memset(s, 0, sizeof(*s));
	s->type = xstrdup(type);
	s->name = xstrdup(name);
	return s;
}

static void add_key(struct recipe_section *s, const char *key, const char *value)
{
	struct recipe_key *k;

	s->keys = xrealloc(s->keys, (s->n + 1) * sizeof(*s->keys));
	k = &s->keys[s->n++];
	k->key = xstrdup(key);
	k->value = xstrdup(value);
}

static void append_value(struct recipe_section *s, const char *text)
{
	struct recipe_key *k = &s->keys[s->n - 1];
	char *joined = xasprintf("%s %s", k->value, text);

	free(k->value);
	k->value = joined;
}

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return s;
}

static struct recipe_section *parse_header(struct recipe *r, char *s)
{
	char *close = strchr(s, ']'), *name;

	if (!close || *trim(close + 1))
		return NULL;
	*close = '\0';
	s = trim(s + 1);
	name = s + strcspn(s, " \t");
	if (*name)
		*name++ = '\0';
	return *s ? add_section(r, s, trim(name)) : NULL;
}

/* A section that is misspelt is taken for one of variables, and its first key says that it is none. */
static const char *unknown_section(const char *type, struct sbuf *why)
{
	const char *types[ARRAY_SIZE(known)];
	char *text = NULL;
	size_t size, i;
	FILE *f;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		types[i] = known[i].type;
	f = open_memstream(&text, &size);
	if (f) {
		print_suggestions(f, type, types, ARRAY_SIZE(known));
		fclose(f);
	}
	sbuf_addf(
		why,
		"there is no section [%s]%s; in one of variables their names are made of A-Z, 0-9 and _",
		type, text ? text : "");
	free(text);
	return why->s;
}

/* One line; NULL: fine, else what is wrong, in *why where it is not fixed. */
static const char *parse_line(struct recipe *r, char *text, struct sbuf *why)
{
	struct recipe_section *s = r->n ? &r->sections[r->n - 1] : NULL;
	char *t = trim(text), *eq;

	if (*t == '\0' || *t == '#' || *t == ';')
		return NULL;
	if (*t == '[')
		return parse_header(r, t) ? NULL : "a malformed [section]";
	if (!s)
		return "a line before the first [section]";
	if (t != text) {
		if (!s->n)
			return "a continued line without a key before it";
		append_value(s, t);
		return NULL;
	}
	eq = strchr(t, '=');
	if (!eq)
		return "neither [section] nor key = value";
	*eq = '\0';
	t = trim(t);
	if (known_type(s->type) ? !known_key(s->type, t) : !is_variable(t))
		return known_type(s->type) ? "an unknown key" :
		       strcmp(s->type, "vars") == 0 ?
					     "a name of a variable is made of A-Z, 0-9 and _" :
					     unknown_section(s->type, why);
	add_key(s, t, trim(eq + 1));
	return NULL;
}

struct recipe *recipe_parse(const char *name, const char *text, struct sbuf *err)
{
	struct recipe *r = xcalloc(1, sizeof(*r));
	char *copy = xstrdup(text), *next = copy, *line;
	unsigned int n = 0, errors = 0;

	r->name = xstrdup(name);
	r->path = xstrdup(name);
	while ((line = strsep(&next, "\n"))) {
		struct sbuf why = { 0 };
		const char *wrong = parse_line(r, line, &why);

		n++;
		if (wrong) {
			sbuf_addf(err, "%s:%u: %s\n", name, n, wrong);
			errors++;
		}
		sbuf_free(&why);
	}
	free(copy);
	if (!errors)
		return r;
	recipe_free(r);
	return NULL;
}

void recipe_free(struct recipe *r)
{
	size_t i, k;

	if (!r)
		return;
	for (i = 0; i < r->n; i++) {
		for (k = 0; k < r->sections[i].n; k++) {
			free(r->sections[i].keys[k].key);
			free(r->sections[i].keys[k].value);
		}
		free(r->sections[i].keys);
		free(r->sections[i].type);
		free(r->sections[i].name);
	}
	free(r->sections);
	free(r->name);
	free(r->path);
	free(r);
}

const char *recipe_get(const struct recipe *r, const char *type, const char *name, const char *key)
{
	const char *value = NULL;
	size_t i, k;

	for (i = 0; i < r->n; i++) {
		const struct recipe_section *s = &r->sections[i];

		if (strcmp(s->type, type) != 0 || strcmp(s->name, name) != 0)
			continue;
		for (k = 0; k < s->n; k++)
			if (strcmp(s->keys[k].key, key) == 0)
				value = s->keys[k].value;
	}
	return value;
}

void recipe_names(const struct recipe *r, const char *type, struct strv *names)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (strcmp(r->sections[i].type, type) == 0 && !strv_has(names, r->sections[i].name))
			strv_add(names, r->sections[i].name);
}

static void add_name(struct strv *names, const char *name, size_t n)
{
	char *copy = xstrndup(name, n);

	if (!strv_has(names, copy))
		strv_add(names, copy);
	free(copy);
}

static void add_selector(struct strv *names, const char *type)
{
	char *upper = xstrdup(type);
	size_t c;

	for (c = 0; upper[c]; c++)
		upper[c] = (char)toupper((unsigned char)upper[c]);
	add_name(names, upper, strlen(upper));
	free(upper);
}

static void add_references(struct strv *names, const char *value)
{
	const char *at = value;

	while ((at = strstr(at, "${"))) {
		at += 2;
		add_name(names, at, strcspn(at, ":}"));
	}
}

double recipe_seconds(const char *text)
{
	double sum = 0;
	bool any = false;

	for (; *(text += strspn(text, " ,")); text += strcspn(text, " ,")) {
		const size_t n = strcspn(text, " ,"), name = strcspn(text, ": ,");
		const char *number = name < n ? text + name + 1 : text;
		char *end;
		double s = strtod(number, &end);

		if (name == n && isalpha((unsigned char)*text))
			s = RECIPE_STEP_S;
		else if (end != text + n || end == number || !(s >= 0))
			return -1;
		sum += s;
		any = true;
	}
	return any ? sum : -1;
}

void recipe_uses(const struct recipe *r, struct strv *names)
{
	size_t i, k;

	for (i = 0; i < r->n; i++) {
		const struct recipe_section *s = &r->sections[i];

		for (k = 0; k < s->n; k++)
			add_references(names, s->keys[k].value);
		if (!known_type(s->type))
			add_selector(names, s->type);
	}
}

/* --- finding ----------------------------------------------------------------------------- */

static void recipe_dirs(struct strv *dirs)
{
	const char *own = getenv("ASSAY_HOSTS");

	if (own && *own)
		strv_add(dirs, own);
	if (source_dir())
		strv_take(dirs, xasprintf("%s/host/hosts", source_dir()));
	strv_take(dirs, xasprintf("%s/../share/assay/hosts", program_dir()));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void recipe_list(struct strv *names)
{
	struct strv dirs = { 0 };
	size_t i;

	recipe_dirs(&dirs);
	for (i = 0; i < dirs.n; i++) {
		DIR *d = opendir(dirs.v[i]);
		const struct dirent *e;

		while (d && (e = readdir(d))) {
			const size_t n = strlen(e->d_name);
			char *name;

			if (n < 6 || strcmp(e->d_name + n - 5, ".host") != 0)
				continue;
			name = xstrndup(e->d_name, n - 5);
			if (!strv_has(names, name))
				strv_add(names, name);
			free(name);
		}
		if (d)
			closedir(d);
	}
	strv_free(&dirs);
	if (names->n)
		qsort(names->v, names->n, sizeof(*names->v), by_name);
}

/* The path of a recipe, or NULL. Whether it can be read is found out by whoever reads it. */
static char *find_recipe(const char *name)
{
	struct strv dirs = { 0 };
	char *path = NULL;
	size_t i;

	if (strchr(name, '/') ||
	    (strlen(name) > 5 && strcmp(name + strlen(name) - 5, ".host") == 0))
		return access(name, F_OK) == 0 ? xstrdup(name) : NULL;
	recipe_dirs(&dirs);
	for (i = 0; i < dirs.n && !path; i++) {
		path = xasprintf("%s/%s.host", dirs.v[i], name);
		if (access(path, F_OK) != 0) {
			free(path);
			path = NULL;
		}
	}
	strv_free(&dirs);
	return path;
}

static void say_unknown(const char *name, struct sbuf *err)
{
	struct strv names = { 0 };
	char *text = NULL;
	size_t size = 0, i;
	FILE *f;

	recipe_list(&names);
	f = open_memstream(&text, &size);
	if (f) {
		print_suggestions(f, name, (const char *const *)names.v, names.n);
		fclose(f);
	}
	sbuf_addf(err, "there is no host \"%s\"%s\n", name, text ? text : "");
	free(text);
	if (!names.n) {
		sbuf_add(
			err,
			"no recipe was found at all: go to the source tree, name a folder of .host files by "
			"ASSAY_HOSTS, or give the path of one\n");
		strv_free(&names);
		return;
	}
	sbuf_add(err, "hosts:");
	for (i = 0; i < names.n; i++)
		sbuf_addf(err, " %s", names.v[i]);
	sbuf_add(err, "; or give the path of a .host file\n");
	strv_free(&names);
}

/* The sections of parent come first, so that those of r win. */
static void inherit(struct recipe *r, struct recipe *parent)
{
	const size_t n = parent->n + r->n;
	struct recipe_section *all = xcalloc(n, sizeof(*all));

	if (parent->n)
		memcpy(all, parent->sections, parent->n * sizeof(*all));
	if (r->n)
		memcpy(all + parent->n, r->sections, r->n * sizeof(*all));
	free(r->sections);
	r->sections = all;
	r->n = n;
	parent->n = 0;
}

static struct recipe *load_file(const char *name, unsigned int depth, struct sbuf *err)
{
	char *path = find_recipe(name), *text = NULL;
	struct recipe *r = NULL, *parent;
	const char *extends, *base;
	int ret;

	if (!path) {
		say_unknown(name, err);
		return NULL;
	}
	ret = read_file(path, RECIPE_MAX, &text, NULL);
	if (ret) {
		sbuf_addf(err, "%s: %s\n", path, strerror(-ret));
		goto out;
	}
	r = recipe_parse(path, text, err);
	if (!r)
		goto out;
	base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	free(r->name);
	r->name = xstrndup(base, strlen(base) > 5 ? strlen(base) - 5 : strlen(base));
	extends = recipe_get(r, "host", "", "extends");
	if (!extends)
		goto out;
	parent = depth < EXTENDS_MAX ? load_file(extends, depth + 1, err) : NULL;
	if (!parent) {
		sbuf_addf(err, "%s: extends = %s cannot be read\n", path, extends);
		recipe_free(r);
		r = NULL;
		goto out;
	}
	inherit(r, parent);
	recipe_free(parent);
out:
	free(text);
	free(path);
	return r;
}

struct recipe *recipe_load(const char *name, struct sbuf *err)
{
	struct recipe *r = load_file(name, 0, err);

	if (r && !recipe_get(r, "vmm", "", "command")) {
		sbuf_addf(err, "%s: no [vmm] command\n", r->path);
		recipe_free(r);
		return NULL;
	}
	return r;
}

/* --- variables --------------------------------------------------------------------------- */

static const char *lookup(const struct strv *list, const char *name)
{
	const size_t n = strlen(name);
	size_t i;

	for (i = list->n; i-- > 0;)
		if (strncmp(list->v[i], name, n) == 0 && list->v[i][n] == '=')
			return list->v[i] + n + 1;
	return NULL;
}

void vars_set(struct strv *list, const char *name, const char *value)
{
	strv_take(list, xasprintf("%s=%s", name, value));
}

void vars_parse(struct strv *list, const char *text)
{
	char *copy = xstrdup(text), *next, *line;

	for (next = copy; (line = strsep(&next, "\n"));)
		if (isupper((unsigned char)*line) && strchr(line, '='))
			strv_add(list, line);
	free(copy);
}

void vars_read(struct strv *list, const char *path)
{
	char *text;

	if (read_file(path, RECIPE_MAX, &text, NULL))
		return;
	vars_parse(list, text);
	free(text);
}

void vars_free(struct vars *v)
{
	strv_free(&v->given);
	strv_free(&v->run);
	strv_free(&v->setup);
}

static const char *get(const struct vars *v, const char *name, bool *splits, unsigned int depth);

/* [vars] always; [machine q35] when ${MACHINE} is q35. */
static bool applies(const struct vars *v, const struct recipe_section *s, unsigned int depth)
{
	char name[64];
	const char *value;
	bool splits;
	size_t i;

	if (known_type(s->type))
		return false;
	if (strcmp(s->type, "vars") == 0 && !*s->name)
		return true;
	for (i = 0; i < sizeof(name) - 1 && s->type[i]; i++)
		name[i] = (char)toupper((unsigned char)s->type[i]);
	name[i] = '\0';
	value = depth < DEPTH_MAX ? get(v, name, &splits, depth + 1) : NULL;
	return value && strcmp(value, s->name) == 0;
}

static const char *get_recipe(const struct vars *v, const char *name, unsigned int depth)
{
	const char *value = NULL;
	size_t i, k;

	if (!v->recipe)
		return NULL;
	for (i = 0; i < v->recipe->n; i++) {
		const struct recipe_section *s = &v->recipe->sections[i];

		for (k = 0; k < s->n; k++)
			if (strcmp(s->keys[k].key, name) == 0 && applies(v, s, depth))
				value = s->keys[k].value;
	}
	return value;
}

static const char *get(const struct vars *v, const char *name, bool *splits, unsigned int depth)
{
	const size_t n = strlen(name);
	const char *value;

	*splits = true;
	value = lookup(&v->given, name);
	if (value)
		return value;
	/* A value that the run sets is one word, unless it is a list of arguments (_ARGS). */
	*splits = n > 5 && strcmp(name + n - 5, "_ARGS") == 0;
	value = lookup(&v->run, name);
	if (value)
		return value;
	*splits = true;
	value = get_recipe(v, name, depth);
	if (value)
		return value;
	*splits = false;
	value = getenv(name);
	if (value && *value)
		return value;
	return lookup(&v->setup, name);
}

const char *vars_get(const struct vars *v, const char *name)
{
	bool splits;

	return get(v, name, &splits, 0);
}

/* Names are read from the front while what their values name is added behind. */
void vars_uses(const struct vars *v, struct strv *names)
{
	const struct recipe *r = v->recipe;
	size_t i, k;

	for (i = 0; i < r->n; i++) {
		const struct recipe_section *s = &r->sections[i];

		for (k = 0; known_type(s->type) && k < s->n; k++)
			add_references(names, s->keys[k].value);
		if (!known_type(s->type))
			add_selector(names, s->type);
	}
	for (i = 0; i < names->n; i++) {
		const char *value = lookup(&v->given, names->v[i]);

		value = value ? value : get_recipe(v, names->v[i], 0);
		if (value)
			add_references(names, value);
	}
}

struct expansion {
	const struct vars *v;
	struct strv *words;
	struct sbuf *err;
	struct sbuf word;
	bool open; /* a word has begun */
};

static bool expand(struct expansion *x, const char *t, unsigned int depth);

static void end_word(struct expansion *x)
{
	if (x->open)
		strv_take(x->words, sbuf_steal(&x->word));
	x->open = false;
}

/* "${NAME}" or "${NAME:q}" (commas doubled, as QEMU's options want) at t. NULL: error, else what follows. */
static const char *expand_variable(struct expansion *x, const char *t, bool quoted,
				   unsigned int depth)
{
	const char *close = strchr(t, '}'), *value;
	char name[64];
	bool splits, commas;
	size_t n;

	if (!close || (size_t)(close - t) - 2 >= sizeof(name)) {
		sbuf_addf(x->err, "\"%.40s\": ${ without }\n", t);
		return NULL;
	}
	n = (size_t)(close - t) - 2;
	memcpy(name, t + 2, n);
	name[n] = '\0';
	commas = n > 2 && strcmp(name + n - 2, ":q") == 0;
	if (commas)
		name[n - 2] = '\0';
	value = get(x->v, name, &splits, 0);
	if (!value) {
		sbuf_addf(
			x->err,
			"${%s} is not set: run scripts/setup, or give it as --set %s=... or in the "
			"environment\n",
			name, name);
		return NULL;
	}
	if (depth >= DEPTH_MAX) {
		sbuf_addf(x->err, "${%s} is defined by itself\n", name);
		return NULL;
	}
	/* A word of its own: as many words as its value has. */
	if (splits && !quoted && !x->open && !commas &&
	    (close[1] == '\0' || isspace((unsigned char)close[1])))
		return expand(x, value, depth + 1) ? close + 1 : NULL;
	x->open = true;
	if (splits) { /* the recipe's own text: variables in it count */
		struct strv inner = { 0 };
		struct expansion y = { .v = x->v, .words = &inner, .err = x->err };
		const bool ok = expand(&y, value, depth + 1);
		size_t i, k;

		for (i = 0; i < inner.n; i++) {
			if (i)
				sbuf_add(&x->word, " ");
			for (k = 0; inner.v[i][k]; k++) {
				sbuf_addn(&x->word, &inner.v[i][k], 1);
				if (commas && inner.v[i][k] == ',')
					sbuf_add(&x->word, ",");
			}
		}
		strv_free(&inner);
		sbuf_free(&y.word);
		return ok ? close + 1 : NULL;
	}
	for (; *value; value++) {
		sbuf_addn(&x->word, value, 1);
		if (commas && *value == ',')
			sbuf_add(&x->word, ",");
	}
	return close + 1;
}

static bool expand(struct expansion *x, const char *t, unsigned int depth)
{
	char quote = 0;

	while (*t) {
		if (!quote && isspace((unsigned char)*t)) {
			end_word(x);
			t++;
		} else if (quote ? *t == quote : *t == '\'' || *t == '"') {
			quote = quote ? 0 : *t;
			x->open = true;
			t++;
		} else if (*t == '$' && t[1] == '{' && quote != '\'') {
			t = expand_variable(x, t, quote != 0, depth);
			if (!t)
				return false;
		} else {
			if (*t == '\\' && quote != '\'' && t[1])
				t++;
			x->open = true;
			sbuf_addn(&x->word, t++, 1);
		}
	}
	if (quote) {
		sbuf_addf(x->err, "a %c without its end\n", quote);
		return false;
	}
	end_word(x);
	return true;
}

bool vars_words(const struct vars *v, const char *template, struct strv *words, struct sbuf *err)
{
	struct expansion x = { .v = v, .words = words, .err = err };
	const bool ok = expand(&x, template, 0);

	sbuf_free(&x.word);
	return ok;
}

char *vars_string(const struct vars *v, const char *template, struct sbuf *err)
{
	struct strv words = { 0 };
	struct sbuf out = { 0 };
	size_t i;

	if (!vars_words(v, template, &words, err)) {
		strv_free(&words);
		return NULL;
	}
	for (i = 0; i < words.n; i++)
		sbuf_addf(&out, "%s%s", i ? " " : "", words.v[i]);
	strv_free(&words);
	return sbuf_steal(&out);
}
