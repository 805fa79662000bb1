/* SPDX-License-Identifier: BSD-2-Clause */
/* Which tests run, and which of them are known to fail. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/run.h"
#include "lib/glob.h"

#define KNOWN_MAX (1u << 20)

/* --- known deviations -------------------------------------------------------------------- */

int known_parse(const char *text, struct known_list *out, unsigned int *number)
{
	char *copy = xstrdup(text), *next = copy, *line;
	int ret = 0;

	memset(out, 0, sizeof(*out));
	*number = 0;
	while (!ret && (line = strsep(&next, "\n"))) {
		struct known *k;
		size_t n;

		(*number)++;
		line += strspn(line, " \t\r");
		if (!*line || *line == '#')
			continue;
		n = strcspn(line, " \t\r");
		if (line[n + strspn(line + n, " \t\r")] == '\0') {
			ret = -EBADMSG; /* a deviation without a reason is a mistake */
			break;
		}
		out->v = xrealloc(out->v, (out->n + 1) * sizeof(*out->v));
		k = &out->v[out->n++];
		k->glob = xstrndup(line, n);
		line += n + strspn(line + n, " \t");
		n = strlen(line);
		while (n && isspace((unsigned char)line[n - 1]))
			n--;
		k->reason = xstrndup(line, n);
	}
	free(copy);
	if (ret)
		known_free(out);
	return ret;
}

int known_read(const char *path, struct known_list *out, unsigned int *line)
{
	char *text;
	int ret;

	memset(out, 0, sizeof(*out));
	*line = 0;
	ret = read_file(path, KNOWN_MAX, &text, NULL);
	if (ret)
		return ret;
	ret = known_parse(text, out, line);
	free(text);
	return ret;
}

void known_free(struct known_list *k)
{
	size_t i;

	for (i = 0; i < k->n; i++) {
		free(k->v[i].glob);
		free(k->v[i].reason);
	}
	free(k->v);
	memset(k, 0, sizeof(*k));
}

void known_apply(const struct known_list *k, struct result *t)
{
	size_t i;

	for (i = 0; i < k->n; i++) {
		if (!glob_selects(k->v[i].glob, strlen(k->v[i].glob), t->id))
			continue;
		if (t->verdict == V_FAIL)
			t->verdict = V_XFAIL;
		else if (t->verdict == V_PASS)
			t->verdict = V_XPASS;
		else
			return;
		t->timeout = false;
		if (t->reason)
			strv_add(&t->diag, t->reason);
		free(t->reason);
		t->reason = xstrdup(k->v[i].reason);
		return;
	}
}

/* --- shards ------------------------------------------------------------------------------ */

unsigned int shard_of(const char *id, unsigned int n)
{
	uint64_t h = 0xcbf29ce484222325ull; /* FNV-1a, then mixed: its low bits alone are poor */

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 0x100000001b3ull;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	h ^= h >> 32;
	return (unsigned int)(h % n) + 1;
}

static bool same_group(const char *a, const char *b, size_t n)
{
	return strncmp(a, b, n) == 0 && b[n] == '.';
}

/* All tests of the table that share the n first characters of id are wanted. */
static bool complete(const struct image_tests *all, const struct strv *ids, const char *id,
		     size_t n)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (same_group(id, all->v[i].id, n) && !strv_has(ids, all->v[i].id))
			return false;
	return true;
}

char *tests_list(const struct image_tests *all, const struct strv *ids)
{
	struct sbuf b = { 0 };
	size_t i, covered = 0;
	const char *group = NULL;

	for (i = 0; i < ids->n; i++) {
		const char *id = ids->v[i];
		size_t n;

		if (group && same_group(group, id, covered))
			continue;
		group = NULL;
		/* The shortest prefix, of one part or two, whose tests are all wanted. */
		for (n = suite_length(id); id[n] == '.'; n += 1 + suite_length(id + n + 1)) {
			if (!complete(all, ids, id, n))
				continue;
			group = id;
			covered = n;
			break;
		}
		if (!group)
			n = strlen(id);
		sbuf_addf(&b, "%s%.*s", b.len ? "," : "", (int)n, id);
	}
	return sbuf_steal(&b);
}

/* --- the table --------------------------------------------------------------------------- */

char *image_path(const char *option)
{
	return option ? xstrdup(option) : xasprintf("%s/assay.elf", program_dir());
}

bool load_tests(const char *path, struct image_tests *tests)
{
	const int ret = image_tests_read(path, tests);

	switch (ret) {
	case 0:
		return true;
	case -ENOEXEC:
		fprintf(stderr,
			"assay: %s is no ELF file for x86-64; the table of tests is in assay.elf\n",
			path);
		break;
	case -ENODATA:
		fprintf(stderr, "assay: %s has no table of tests: is it assay.elf, not stripped?\n",
			path);
		break;
	case -EBADMSG:
		fprintf(stderr, "assay: %s is damaged: its table of tests contradicts itself\n",
			path);
		break;
	default:
		fprintf(stderr, "assay: %s: %s\n", path, strerror(-ret));
		if (ret == -ENOENT)
			fprintf(stderr, "assay: build it with `make`, or name it with --image\n");
	}
	return false;
}

static bool check_pattern(const struct image_tests *tests, const char *p, size_t n)
{
	const char *const whole = p;
	char *word;
	size_t i;

	if (n && *p == '-') {
		p++;
		n--;
	}
	for (i = 0; i < tests->n; i++)
		if (glob_selects(p, n, tests->v[i].id))
			return true;
	word = xstrndup(p, n);
	fprintf(stderr, "assay: no test matches \"%.*s\"", (int)(p + n - whole), whole);
	print_suggestions(stderr, word, tests->ids, tests->n);
	fputs("; `assay list` names them all\n", stderr);
	free(word);
	return false;
}

bool check_patterns(const struct image_tests *tests, const char *list)
{
	bool ok = true;
	size_t n;

	for (; list && *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (n)
			ok = check_pattern(tests, list, n) && ok;
	}
	return ok;
}
