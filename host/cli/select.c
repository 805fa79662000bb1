/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/select.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/recipe.h"
#include "lib/glob.h"

bool selects(const char *list, const char *id)
{
	if (strncmp(id, "bench.", 6) == 0 && !(list && strstr(list, "bench")))
		return false;
	return glob_list_selects(list, id);
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

	if (list && list[strspn(list, ",")] == '\0') {
		fputs("assay: the list of tests is empty; `assay list` names them all\n", stderr);
		return false;
	}
	for (; list && *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (n)
			ok = check_pattern(tests, list, n) && ok;
	}
	return ok;
}

/* --- what must run ----------------------------------------------------------------------- */

static bool fits_any(const struct strv *ids, const char *pattern, size_t n)
{
	size_t i;

	for (i = 0; i < ids->n; i++)
		if (glob_selects(pattern, n, ids->v[i]))
			return true;
	return false;
}

bool check_required(const struct strv *ids, const char *require)
{
	bool ok = true;
	size_t n;

	for (; *require; require += n + (require[n] == ',')) {
		n = strcspn(require, ",");
		if (!n || *require == '-' || fits_any(ids, require, n))
			continue;
		fprintf(stderr, "assay: \"%.*s\" is required, and --tests leaves it out\n", (int)n,
			require);
		ok = false;
	}
	return ok;
}

/* Lists that ';' separates: what the recipe leaves out does not take away from what is asked for besides. */
static bool is_required(const char *require, const char *id)
{
	bool found = false;
	size_t n;

	for (; *require && !found; require += n + (require[n] == ';')) {
		char *list;

		n = strcspn(require, ";");
		list = xstrndup(require, n);
		found = *list && glob_list_selects(list, id);
		free(list);
	}
	return found;
}

static void fail(struct result *t, char *reason)
{
	t->verdict = V_FAIL;
	free(t->reason);
	t->reason = reason;
	if (!t->clause)
		t->clause = xstrdup("assay run --require: this host offers what the test needs");
}

void require_result(const char *require, struct result *t)
{
	if (!require || t->verdict != V_SKIP || !is_required(require, t->id))
		return;
	fail(t, xasprintf("required, but skipped: %s", t->reason ? t->reason : "without a reason"));
}

void require_all(const char *require, const struct strv *ids, struct report *r)
{
	const size_t n = r->n;
	size_t *by_id, i;

	if (!require)
		return;
	for (i = 0; i < n; i++)
		require_result(require, &r->results[i]);
	by_id = report_by_id(r);
	for (i = 0; i < ids->n; i++) {
		struct report before = *r;

		before.n = n;
		if (!is_required(require, ids->v[i]) || report_find(&before, by_id, ids->v[i]) < n)
			continue;
		fail(report_add(r, ids->v[i], V_FAIL, NULL),
		     xstrdup("required, but it did not run"));
	}
	free(by_id);
}
