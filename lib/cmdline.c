/* SPDX-License-Identifier: BSD-2-Clause */
/* cmdline.h: keeps the words of all sources, and finds values in them. */
#include "lib/cmdline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX  16384
#define WORDS_MAX 256

extern const struct cmdline_option start_assay_options[], stop_assay_options[];

static struct {
	char text[TEXT_MAX];
	size_t used;
	struct {
		const char *key, *value, *source;
	} word[WORDS_MAX];
	unsigned int words;
	bool overflow;
} cl;

static void add_word(const char *w, size_t n, const char *source)
{
	char *p = cl.text + cl.used, *eq;

	if (cl.words == WORDS_MAX || cl.used + n + 1 > TEXT_MAX) {
		cl.overflow = true;
		return;
	}
	memcpy(p, w, n);
	p[n] = '\0';
	cl.used += n + 1;
	eq = strchr(p, '=');
	if (eq)
		*eq = '\0';
	cl.word[cl.words].key = p;
	cl.word[cl.words].value = eq ? eq + 1 : p + n;
	cl.word[cl.words++].source = source;
}

void cmdline_add(const char *text, const char *source)
{
	static const char blank[] = " \t\r\n";
	size_t n;

	for (text += strspn(text, blank); *text; text += strspn(text, blank)) {
		n = strcspn(text, blank);
		if (*text != '#')
			add_word(text, n, source);
		text += n;
	}
}

const char *cmdline_get(const char *key)
{
	unsigned int i;

	for (i = cl.words; i-- > 0;)
		if (strcmp(cl.word[i].key, key) == 0)
			return cl.word[i].value;
	return NULL;
}

const char *cmdline_get_nth(const char *key, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < cl.words; i++)
		if (strcmp(cl.word[i].key, key) == 0 && n-- == 0)
			return cl.word[i].value;
	return NULL;
}

uint64_t cmdline_get_u64(const char *key, uint64_t dflt)
{
	const char *v = cmdline_get(key);
	unsigned long long n;
	char *end;

	if (!v)
		return dflt;
	errno = 0;
	n = strtoull(v, &end, 0);
	if (*v && *v != '-' && !*end && !errno)
		return n;
	printf("# warning: %s=%s is not a number; %llu is used\n", key, v,
	       (unsigned long long)dflt);
	return dflt;
}

bool cmdline_get_bool(const char *key, bool dflt)
{
	static const char *const yes[] = { "", "on", "1", "yes", "true" };
	static const char *const no[] = { "off", "0", "no", "false" };
	const char *v = cmdline_get(key);
	unsigned int i;

	if (!v)
		return dflt;
	for (i = 0; i < 5; i++)
		if (strcmp(v, yes[i]) == 0)
			return true;
	for (i = 0; i < 4; i++)
		if (strcmp(v, no[i]) == 0)
			return false;
	printf("# warning: %s=%s is neither on nor off; %s is used\n", key, v, dflt ? "on" : "off");
	return dflt;
}

void cmdline_warn_unknown(void)
{
	const struct cmdline_option *o;
	unsigned int i;

	for (i = 0; i < cl.words; i++) {
		for (o = start_assay_options; o < stop_assay_options; o++)
			if (strcmp(o->key, cl.word[i].key) == 0)
				break;
		if (o == stop_assay_options)
			printf("# warning: unknown option %s (from %s)\n", cl.word[i].key,
			       cl.word[i].source);
	}
	if (cl.overflow)
		printf("# warning: the command line is too long: its end was dropped\n");
}
