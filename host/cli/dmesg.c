/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/dmesg.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/common/util.h"

#define SHOWN_REPORTS 5	 /* of a log, with their lines */
#define SHOWN_LINES   28 /* of each report */
#define RECORDS_MAX   512

#define CLAUSE_LOG   "robustness: the host's kernel meets no bug of its own, whatever its guests do"
#define CLAUSE_LEAVE "robustness: a guest that is gone leaves nothing behind in its host"
#define OWNER	     "host kernel"

/* --- the kernel's log -------------------------------------------------------------------- */

/*
 * How the kernel reports a bug: lib/bug.c, kernel/panic.c, kernel/hung_task.c, kernel/rcu/tree_stall.h,
 * kernel/locking/lockdep.c, mm/kasan/report.c, mm/slub.c, lib/ubsan.c. Boot messages that merely warn
 * ("RETBleed: WARNING: ...", "WARNING: this machine ...") have neither CPU nor place.
 */
static const char *const patterns[] = {
	"BUG: ",
	"kernel BUG at ",
	"^WARNING: CPU: [0-9]",
	"^WARNING: [^ ]+:[0-9]+ at ",
	"^WARNING: (possible|inconsistent|suspicious|bad|held lock|lock held|nested lock|.*lock order)",
	"^INFO: task .* blocked for more than",
	"^INFO: (suspicious RCU|possible (circular|recursive|irq) lock)",
	"rcu: INFO: .*stall",
	"^INFO: rcu.*stall",
	"^(general protection fault|double fault|Oops|int3|stack segment|invalid opcode|Kernel panic)",
	"^Unable to handle kernel",
	"^UBSAN: ",
	"^KCSAN",
	"^kmemleak: [0-9]+ new suspected",
	"objects remaining (in|on) ",
	"kmem_cache_destroy .*: Slab cache still has objects",
	"^list_(add|del) corruption",
	"^refcount_t: ",
	"nobody cared",
	"DEBUG_LOCKS_WARN_ON",
	"^unregister_netdevice: waiting for",
	"segfault at [0-9a-f]+ ip",
};

static void compile(regex_t re[])
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(patterns); i++)
		if (regcomp(&re[i], patterns[i], REG_EXTENDED | REG_NOSUB))
			abort(); /* a pattern of ours */
}

static bool is_report(const regex_t re[], const char *text)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(patterns); i++)
		if (regexec(&re[i], text, 0, NULL, 0) == 0)
			return true;
	return false;
}

/*
 * The message of a line: after the level, the time and the caller. NULL: no line of the kernel's.
 * "<4>[    1.5] text", "[Mon Nov 17 05:41:00 2025] text", "[    1.5][  T12] text".
 */
static const char *message(const char *line)
{
	const char *s = line, *close;

	if (*s == '<') {
		s += strspn(s, "<0123456789");
		if (*s++ != '>')
			return NULL;
	}
	if (*s != '[')
		return NULL;
	while (*s == '[') {
		close = strchr(s, ']');
		if (!close)
			return NULL;
		s = close + 1;
	}
	return *s == ' ' ? s + 1 : NULL;
}

struct log {
	regex_t re[ARRAY_SIZE(patterns)];
	struct strv lines; /* to be shown */
	unsigned int reports, messages;
	unsigned int left; /* lines of the report that is being copied */
	bool guests;	   /* the mark before the first guest was seen */
	unsigned int early;
};

static void read_line(struct log *l, const char *line)
{
	const char *text = message(line);

	if (!text)
		return;
	l->messages++;
	if (strncmp(text, "Linux version ", 14) == 0)
		l->guests = false;
	if (strcmp(text, "assay: guests start") == 0)
		l->guests = true;
	/* A report may say several of these things: it goes on until its end, or for some lines. */
	if (!l->left && is_report(l->re, text)) {
		l->reports++;
		l->early += !l->guests;
		l->left = SHOWN_LINES;
	}
	if (!l->left)
		return;
	l->left--;
	if (l->reports <= SHOWN_REPORTS)
		strv_add(&l->lines, line);
	if (strncmp(text, "---[ end ", 9) == 0 || strncmp(text, "assay: ", 7) == 0)
		l->left = 0;
}

static struct result *add(struct report *r, const char *id, enum verdict v, const char *clause,
			  char *reason)
{
	struct result *t = report_add(r, id, v, reason && *reason ? reason : NULL);

	t->clause = xstrdup(clause);
	t->owner = xstrdup(OWNER);
	free(reason);
	return t;
}

static void judge_log(struct report *r, const char *text, const char *why, bool mark)
{
	struct log l = { .guests = !mark };
	char *copy = xstrdup(text ? text : ""), *next = copy, *line;
	struct result *t;
	size_t i;

	compile(l.re);
	while ((line = strsep(&next, "\n"))) {
		line[strcspn(line, "\r")] = '\0';
		read_line(&l, line);
	}
	for (i = 0; i < ARRAY_SIZE(patterns); i++)
		regfree(&l.re[i]);
	free(copy);
	/* What a kernel said since the start may be nothing, but its console shows at least its boot. */
	if (!text || (mark && !l.messages)) {
		add(r, "host.dmesg.clean", V_SKIP, CLAUSE_LOG,
		    mark ? xstrdup("the host's console shows no line of its kernel") :
			   xasprintf("the kernel's log cannot be read: %s",
				     why ? why : "does it need root?"));
	} else if (!l.reports) {
		add(r, "host.dmesg.clean", V_PASS, CLAUSE_LOG, NULL);
	} else {
		t = add(r, "host.dmesg.clean", V_FAIL, CLAUSE_LOG,
			xasprintf("%u report%s of a bug in the host's kernel log%s", l.reports,
				  l.reports == 1 ? "" : "s",
				  l.early == l.reports ? ", before the first guest" : ""));
		for (i = 0; i < l.lines.n; i++)
			strv_add(&t->diag, l.lines.v[i]);
	}
	strv_free(&l.lines);
}

/* --- taint ------------------------------------------------------------------------------- */

/* Documentation/admin-guide/tainted-kernels.rst. bug: the kernel met something that must not be. */
static const struct {
	char letter;
	bool bug;
	const char *what;
} taints[] = {
	{ 'P', false, "proprietary module" },
	{ 'F', false, "module was force loaded" },
	{ 'S', false, "CPU out of specification" },
	{ 'R', false, "module was force unloaded" },
	{ 'M', true, "machine check exception" },
	{ 'B', true, "bad page or page flags" },
	{ 'U', false, "userspace asked for it" },
	{ 'D', true, "kernel died: OOPS or BUG" },
	{ 'A', false, "ACPI table overridden" },
	{ 'W', true, "warning" },
	{ 'C', false, "staging driver" },
	{ 'I', false, "workaround for a firmware bug" },
	{ 'O', false, "module built out of tree" },
	{ 'E', false, "unsigned module" },
	{ 'L', true, "soft lockup" },
	{ 'K', false, "live patched" },
	{ 'X', false, "defined by the distribution" },
	{ 'T', false, "randomised structures" },
	{ 'N', false, "in-kernel test ran" },
};

static void judge_taint(struct report *r, unsigned long before, unsigned long after)
{
	struct sbuf letters = { 0 };
	struct result *t;
	bool bug = false;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(taints); i++) {
		if (!(after >> i & 1))
			continue;
		bug |= taints[i].bug;
		sbuf_addf(&letters, "%s%c (%s%s)", letters.len ? ", " : "", taints[i].letter,
			  taints[i].what, before >> i & 1 ? ", before the first guest" : "");
	}
	t = add(r, "host.dmesg.taint", bug ? V_FAIL : V_PASS, CLAUSE_LOG,
		bug ? xasprintf("the host's kernel is tainted: %s", letters.s) : NULL);
	if (!bug && letters.len)
		strv_take(&t->diag, xasprintf("taint: %s", letters.s));
	sbuf_free(&letters);
}

/* --- records ----------------------------------------------------------------------------- */

struct records {
	struct report out; /* their results, each id once */
	struct strv diag;  /* "ID TEXT" */
	struct strv *notes;
	unsigned long before, after;
	bool taint, open; /* a taint was recorded; the last boot's records have no end */
};

static bool parse_verdict(const char *word, size_t n, enum verdict *v)
{
	unsigned int i;

	for (i = 0; i < VERDICTS; i++) {
		*v = (enum verdict)i;
		if (strlen(verdict_name(*v)) == n && strncmp(verdict_name(*v), word, n) == 0)
			return true;
	}
	return false;
}

static bool good_id(const char *id)
{
	return strncmp(id, "host.", 5) == 0 && id[5] &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789._") == strlen(id) &&
	       strlen(id) < 100;
}

/* Of several boots the worst counts. */
static void record_result(struct records *x, char *line)
{
	char *id = line + strcspn(line, " "), *text;
	enum verdict v;
	size_t i;

	if (!parse_verdict(line, (size_t)(id - line), &v) || !*id)
		return;
	*id++ = '\0';
	text = id + strcspn(id, " ");
	if (*text)
		*text++ = '\0';
	if (!good_id(id))
		return;
	for (i = 0; i < x->out.n; i++) {
		struct result *t = &x->out.results[i];

		if (strcmp(t->id, id) != 0)
			continue;
		if (v > t->verdict) {
			t->verdict = v;
			free(t->reason);
			t->reason = xstrdup(text);
		}
		return;
	}
	if (x->out.n < RECORDS_MAX)
		add(&x->out, id, v, CLAUSE_LEAVE, xstrdup(text));
}

static void record_line(struct records *x, char *line)
{
	unsigned long before, after;

	line[strcspn(line, "\r")] = '\0';
	if (*line == '@')
		x->open = true;
	if (strncmp(line, "@result ", 8) == 0) {
		record_result(x, line + 8);
	} else if (strncmp(line, "@diag ", 6) == 0) {
		if (x->diag.n < RECORDS_MAX)
			strv_add(&x->diag, line + 6);
	} else if (strncmp(line, "@note ", 6) == 0) {
		if (x->notes->n < RECORDS_MAX)
			strv_add(x->notes, line + 6);
	} else if (sscanf(line, "@taint %lu %lu", &before, &after) == 2) {
		x->before |= before;
		x->after |= after;
		x->taint = true;
	} else if (strcmp(line, "@end") == 0) {
		x->open = false;
	}
}

/* A PASS needs no reason; what it says is for those who look closer. */
static void place_text(struct records *x)
{
	size_t i, k;

	for (i = 0; i < x->out.n; i++) {
		struct result *t = &x->out.results[i];
		const size_t n = strlen(t->id);

		for (k = 0; k < x->diag.n; k++)
			if (strncmp(x->diag.v[k], t->id, n) == 0 && x->diag.v[k][n] == ' ')
				strv_add(&t->diag, x->diag.v[k] + n + 1);
		if (t->verdict == V_PASS && t->reason) {
			strv_take(&t->diag, t->reason);
			t->reason = NULL;
		}
	}
}

static void judge_records(struct report *r, const char *text, struct strv *notes)
{
	struct records x = { .open = true, .notes = notes };
	char *copy = xstrdup(text), *next = copy, *line;

	report_init(&x.out);
	while ((line = strsep(&next, "\n")))
		record_line(&x, line);
	free(copy);
	if (x.taint)
		judge_taint(r, x.before, x.after);
	else
		add(r, "host.dmesg.taint", V_SKIP, CLAUSE_LOG,
		    xstrdup("the host did not live to tell: see host.dmesg.clean"));
	place_text(&x);
	x.out.ended = r->ended;
	/* Only the last boot is asked to have come to its end: the others were cut short with their guest. */
	if (x.open && r->ended)
		add(&x.out, "host.end", V_ERROR, CLAUSE_LEAVE,
		    xstrdup("the host did not come to the end of its own checks in time"));
	report_append(r, &x.out);
	report_free(&x.out);
	strv_free(&x.diag);
}

void host_judge(struct report *r, const char *kernel_log, const char *why, const char *records,
		struct strv *notes)
{
	judge_log(r, kernel_log, why, records != NULL);
	if (records)
		judge_records(r, records, notes);
}
