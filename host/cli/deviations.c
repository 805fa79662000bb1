/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/deviations.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/glob.h"

#define FILE_MAX (1u << 20)

void deviations_add(struct deviations *d, const char *glob, const char *reason, bool at_times)
{
	d->v = xrealloc(d->v, (d->n + 1) * sizeof(*d->v));
	d->v[d->n++] = (struct deviation){ xstrdup(glob), xstrdup(reason), at_times, NULL };
}

/* The first word of *s, which it cuts off and passes by. */
static char *take_word(char **s)
{
	char *word = *s;
	const size_t n = strcspn(word, " \t");

	*s = word + n + strspn(word + n, " \t");
	word[n] = '\0';
	return word;
}

/* says="TEXT" at *s, which it passes by: TEXT, to be freed; NULL: it is not there. */
static char *take_says(char **s)
{
	static const char key[] = "says=\"";
	char *from = *s + strlen(key), *to, *text;

	if (strncmp(*s, key, strlen(key)) != 0 || !(to = strchr(from, '"')))
		return NULL;
	text = xstrndup(from, (size_t)(to - from));
	*s = to + 1 + strspn(to + 1, " \t");
	return text;
}

/* False: it is neither empty nor a comment nor a deviation with a reason. */
static bool parse_line(struct deviations *d, char *line)
{
	static const char at_times[] = "at-times";
	size_t n = strlen(line);
	bool sometimes;
	char *glob, *says;

	while (n && isspace((unsigned char)line[n - 1]))
		line[--n] = '\0';
	line += strspn(line, " \t");
	if (!*line || *line == '#')
		return true;
	glob = take_word(&line);
	n = strlen(at_times);
	sometimes = strncmp(line, at_times, n) == 0 &&
		    (isblank((unsigned char)line[n]) || !line[n]);
	if (sometimes)
		take_word(&line);
	says = take_says(&line);
	if (!*line) {
		free(says);
		return false;
	}
	deviations_add(d, glob, line, sometimes || says);
	d->v[d->n - 1].says = says;
	return true;
}

int deviations_parse(const char *text, struct deviations *out, unsigned int *line)
{
	char *copy = xstrdup(text), *next = copy, *words;
	bool ok = true;

	memset(out, 0, sizeof(*out));
	*line = 0;
	while (ok && (words = strsep(&next, "\n"))) {
		(*line)++;
		ok = parse_line(out, words);
	}
	free(copy);
	if (ok)
		return 0;
	deviations_free(out);
	return -EBADMSG;
}

int deviations_read(const char *path, struct deviations *out, unsigned int *line)
{
	char *text;
	int ret;

	memset(out, 0, sizeof(*out));
	*line = 0;
	ret = read_file(path, FILE_MAX, &text, NULL);
	if (ret)
		return ret;
	ret = deviations_parse(text, out, line);
	free(text);
	return ret;
}

void deviations_free(struct deviations *d)
{
	size_t i;

	for (i = 0; i < d->n; i++) {
		free(d->v[i].glob);
		free(d->v[i].reason);
		free(d->v[i].says);
	}
	free(d->v);
	memset(d, 0, sizeof(*d));
}

static bool fits(const struct deviation *d, const char *id)
{
	return glob_selects(d->glob, strlen(d->glob), id);
}

static bool says_so(const struct deviation *d, const struct result *t)
{
	size_t i;

	if (!d->says || (t->reason && strstr(t->reason, d->says)))
		return true;
	for (i = 0; i < t->diag.n; i++)
		if (strstr(t->diag.v[i], d->says))
			return true;
	return false;
}

void deviations_apply(const struct deviations *d, struct result *t)
{
	size_t i;

	for (i = 0; i < d->n && !(fits(&d->v[i], t->id) && says_so(&d->v[i], t)); i++)
		;
	if (i == d->n)
		return;
	if (t->verdict == V_FAIL)
		t->verdict = V_XFAIL;
	else if (t->verdict == V_PASS && !d->v[i].at_times)
		t->verdict = V_XPASS;
	else
		return;
	t->timeout = false;
	if (t->reason)
		strv_add(&t->diag, t->reason);
	free(t->reason);
	t->reason = xstrdup(d->v[i].reason);
}

bool deviation_fits(const struct deviation *d, const char *const *ids, size_t n)
{
	static const char *const harness[] = { "host.", "harness.", "race." };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(harness); i++)
		if (strncmp(d->glob, harness[i], strlen(harness[i])) == 0)
			return true;
	for (i = 0; i < n; i++)
		if (fits(d, ids[i]))
			return true;
	return false;
}
