/* SPDX-License-Identifier: BSD-2-Clause */
/* Reports in files: what the harness wrote, or the log of a console, in which a machine may boot often. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/common/ktap.h"
#include "host/common/stamp.h"

#define FILE_MAX    (512u << 20)
#define BOOTS_MAX   10000
#define BOOTS_NAMED 5 /* of those that were cut off */

static const char version[] = "KTAP version 1";
#define VERSION_LEN (sizeof(version) - 1)

/* Where boots begin in a text. */
struct boots {
	size_t *at;
	size_t n;
	size_t gap; /* blanks between stamp and text, as the first one has them */
};

/*
 * A suite's version line is indented. What stands before a boot's is the firmware's, or a time stamp; a test
 * may say the words in a comment.
 */
static bool begins_boot(const struct boots *b, const char *s, size_t n)
{
	size_t stamp, gap, before;

	if (n < VERSION_LEN || memcmp(s + n - VERSION_LEN, version, VERSION_LEN) != 0)
		return false;
	if (!b->n)
		return true;
	stamp = stamp_length(s);
	gap = strspn(s + stamp, " \t");
	if (stamp && gap > b->gap)
		return false;
	before = n - VERSION_LEN - stamp;
	if (stamp)
		return before == gap;
	return !before || (gap == 0 && *s != '#' && s[before - 1] != ' ' && s[before - 1] != '\t');
}

/* The first part begins with the text, so that nothing is left out. */
static void find_boots(const char *text, size_t size, struct boots *b)
{
	const char *const end = text + size;
	const char *s, *next;
	char line[KTAP_LINE_MAX];

	for (s = text; s < end; s = next) {
		const char *eol = memchr(s, '\n', (size_t)(end - s));
		size_t n = (size_t)((eol ? eol : end) - s);

		next = eol ? eol + 1 : end;
		while (n && s[n - 1] == '\r')
			n--;
		if (n >= sizeof(line) || b->n == BOOTS_MAX)
			continue;
		memcpy(line, s, n);
		line[n] = '\0';
		if (!begins_boot(b, line, n))
			continue;
		if (!b->n)
			b->gap = strspn(line + stamp_length(line), " \t");
		b->at = xrealloc(b->at, (b->n + 1) * sizeof(*b->at));
		b->at[b->n] = b->n ? (size_t)(s - text) : 0;
		b->n++;
	}
}

static void read_boot(struct report *r, const char *text, size_t n)
{
	struct ktap k;

	report_init(r);
	ktap_init(&k, r, NULL, NULL);
	k.file = true;
	ktap_feed(&k, text, n);
	ktap_finish(&k, true);
	ktap_free(&k);
}

/* The machine went on behind a boot that was cut off: what only that one has is a result as well. */
static void add_absent(struct report *judged, struct report *cut)
{
	size_t *by_id = report_by_id(judged), i;
	const size_t n = judged->n;
	struct report before = *judged;

	before.n = n;
	for (i = 0; i < cut->n; i++) {
		struct result *t = &cut->results[i], *copy;

		before.results = judged->results;
		if (report_find(&before, by_id, t->id) < n)
			continue;
		copy = report_add(judged, t->id, t->verdict, NULL);
		free(copy->id);
		*copy = *t;
		memset(t, 0, sizeof(*t));
	}
	free(by_id);
}

static void judge_boots(struct report *boots, size_t n, struct report *out)
{
	size_t judged = n - 1, i, named = 0;

	for (i = n; i-- > 0;) {
		if (boots[i].ended) {
			judged = i;
			break;
		}
	}
	*out = boots[judged];
	report_init(&boots[judged]);
	if (n > 1)
		report_note(out, "the log has %zu boots; boot %zu is judged, the newest%s", n,
			    judged + 1, out->ended ? " that is complete" : ": none is complete");
	for (i = judged; i-- > 0 && !boots[i].ended;) {
		if (named++ < BOOTS_NAMED)
			report_note(out, "boot %zu was cut off%s%s", i + 1,
				    boots[i].n ? ", after or in " : "",
				    boots[i].n ? boots[i].results[boots[i].n - 1].id : "");
		add_absent(out, &boots[i]);
	}
	if (judged + 1 < n)
		report_note(out, "boot %zu, the newest, was cut off", n);
}

int report_parse(struct report *r, const char *text, size_t n)
{
	struct boots b = { 0 };
	struct report *boots;
	size_t i;

	find_boots(text, n, &b);
	if (b.n <= 1) {
		read_boot(r, text, n);
		free(b.at);
		return r->started ? 0 : -EBADMSG;
	}
	boots = xcalloc(b.n, sizeof(*boots));
	for (i = 0; i < b.n; i++)
		read_boot(&boots[i], text + b.at[i], (i + 1 < b.n ? b.at[i + 1] : n) - b.at[i]);
	judge_boots(boots, b.n, r);
	for (i = 0; i < b.n; i++)
		report_free(&boots[i]);
	free(boots);
	free(b.at);
	return 0;
}

int report_read(struct report *r, const char *path)
{
	char *data;
	size_t n;
	int ret;

	report_init(r);
	ret = read_file(path, FILE_MAX, &data, &n);
	if (ret)
		return ret;
	ret = report_parse(r, data, n);
	free(data);
	return ret;
}
