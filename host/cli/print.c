/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/print.h"

#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SHOW_MS 500 /* a test that takes longer says how long */

enum style {
	NONE,
	BOLD,
	DIM,
	RED,
	GREEN,
	YELLOW
};

static const char *on(const struct printer *p, enum style s)
{
	static const char *const code[] = { "",		"\033[1m",  "\033[2m",
					    "\033[31m", "\033[32m", "\033[33m" };

	return p->color ? code[s] : "";
}

static const char *off(const struct printer *p)
{
	return p->color ? "\033[0m" : "";
}

void printer_init(struct printer *p, FILE *out)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR"),
		   *force = getenv("CLICOLOR_FORCE");
	const bool tty = isatty(fileno(out)) && term && strcmp(term, "dumb") != 0;

	memset(p, 0, sizeof(*p));
	p->out = out;
	p->live = tty;
	p->color = (tty || (force && *force && *force != '0')) && !(no_color && *no_color);
	p->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	p->started = now_ms();
}

void printer_free(struct printer *p)
{
	free(p->suite);
	free(p->current);
	free(p->skips.reason);
	free(p->skips.first);
	memset(&p->skips, 0, sizeof(p->skips));
	p->suite = p->current = NULL;
}

static unsigned int width(const struct printer *p)
{
	struct winsize w;

	if (ioctl(fileno(p->out), TIOCGWINSZ, &w) == 0 && w.ws_col >= 20)
		return w.ws_col;
	return 80;
}

void printer_clear(struct printer *p)
{
	if (p->status)
		fputs("\r\033[K", p->out);
	p->status = false;
}

/* "; ref-mmio 12/200": the other runs that are going on. */
static void add_runs(const struct printer *p, struct sbuf *b)
{
	size_t i;

	for (i = 0; i < p->nruns; i++) {
		struct progress *run = &p->runs[i];

		if (i == p->own || run->over)
			continue;
		sbuf_addf(b, "%s%s %u/%u", b->len ? "; " : "", run->host, run->done, run->total);
	}
}

void printer_tick(struct printer *p)
{
	static const char *const frames[] = { "|", "/", "-", "\\" };
	struct sbuf runs = { 0 };
	char text[256];
	const uint64_t now = now_ms();
	unsigned int w;

	if (!p->live || p->quiet)
		return;
	w = width(p) - 1;
	if (w >= sizeof(text))
		w = sizeof(text) - 1;
	add_runs(p, &runs);
	if (p->runs && p->own == p->nruns)
		snprintf(text, w, "%s %s  %.0f s", frames[p->spin++ % 4], runs.s ? runs.s : "",
			 (double)(now - p->started) / 1000);
	else if (p->current)
		snprintf(text, w, "%s %u/%u  %s  %.1f s (%.0f s in all)%s%s", frames[p->spin++ % 4],
			 p->done + 1, p->total, p->current, (double)(now - p->test_started) / 1000,
			 (double)(now - p->started) / 1000, runs.len ? "; " : "",
			 runs.len ? runs.s : "");
	else
		snprintf(text, w, "%s %s  %.0f s%s%s", frames[p->spin++ % 4],
			 p->done ? "between tests" : "booting", (double)(now - p->started) / 1000,
			 runs.len ? "; " : "", runs.len ? runs.s : "");
	sbuf_free(&runs);
	fprintf(p->out, "\r%s%s%s\033[K", on(p, DIM), text, off(p));
	fflush(p->out);
	p->status = true;
}

/* A line that comes from the guest: nothing in it reaches the terminal unchecked. */
static void clean_line(struct printer *p, const char *before, const char *text, const char *after)
{
	struct sbuf b = { 0 };

	sbuf_add_clean(&b, text);
	fprintf(p->out, "%s%s%s\n", before, b.s ? b.s : "", after);
	sbuf_free(&b);
}

void printer_title(struct printer *p, const char *host, const char *what)
{
	if (p->quiet)
		return;
	fprintf(p->out, "%s%s%s%s%s\n", on(p, BOLD), host, off(p), *what ? ": " : "", what);
}

#define FIELD_COLUMN 16 /* where values begin */

/* How much of s goes onto a line of n characters: up to a blank, where there is one. */
static size_t line_part(const char *s, size_t n)
{
	size_t i;

	if (strlen(s) <= n)
		return strlen(s);
	for (i = n; i > n / 2; i--)
		if (s[i] == ' ')
			return i;
	return n;
}

/* What is too long for the terminal goes on below: the end of a value may be what says the way out. */
void printer_field(struct printer *p, const char *key, const char *value)
{
	struct sbuf b = { 0 };
	const char *s;
	size_t n, max;

	if (p->quiet)
		return;
	printer_clear(p);
	sbuf_add_clean(&b, value);
	s = b.s ? b.s : "";
	max = p->live ? width(p) - FIELD_COLUMN : strlen(s);
	fprintf(p->out, "  %s%-12.12s%s  ", on(p, DIM), key, off(p));
	for (n = line_part(s, max); s[n]; n = line_part(s, max)) {
		fprintf(p->out, "%.*s\n%*s", (int)n, s, FIELD_COLUMN, "");
		s += n + strspn(s + n, " ");
	}
	fprintf(p->out, "%s\n", s);
	sbuf_free(&b);
}

/* What a person wants to know at a glance; -v shows all. */
static bool worth_showing(const char *key)
{
	static const char *const keys[] = { "firmware", "cpu",	  "cpus",  "hypervisor",
					    "memory",	"virtio", "vsock", "kvm" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		const size_t n = strlen(keys[i]);

		if (strncmp(key, keys[i], n) == 0 &&
		    (key[n] == '\0' || key[n] == ' ' || key[n] == '-'))
			return true;
	}
	return false;
}

void printer_env(struct printer *p, const struct report *r)
{
	struct sbuf key = { 0 };
	size_t i;

	for (i = 0; i < r->envs; i++) {
		if (!p->verbose && !worth_showing(r->env[i].key))
			continue;
		sbuf_free(&key);
		sbuf_add_clean(&key, r->env[i].key);
		printer_field(p, key.s ? key.s : "", r->env[i].value);
	}
	sbuf_free(&key);
	for (i = 0; i < r->warnings.n; i++)
		printer_note(p, "warning: %s", r->warnings.v[i]);
}

static void flush_skips(struct printer *p);

void printer_note(struct printer *p, const char *fmt, ...)
{
	va_list ap;
	char text[1024];

	if (p->quiet)
		return;
	flush_skips(p);
	printer_clear(p);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(p->out, "%s", on(p, YELLOW));
	clean_line(p, "  ! ", text, off(p));
	fflush(p->out);
}

void printer_start(struct printer *p, const char *id)
{
	struct sbuf b = { 0 };

	free(p->current);
	sbuf_add_clean(&b, id);
	p->current = sbuf_steal(&b);
	p->test_started = now_ms();
	printer_tick(p);
}

static void suite_header(struct printer *p, const char *id)
{
	const size_t n = suite_length(id);

	if (p->suite && strlen(p->suite) == n && strncmp(p->suite, id, n) == 0)
		return;
	free(p->suite);
	p->suite = xstrndup(id, n);
	printer_clear(p);
	fprintf(p->out, "\n%s", on(p, BOLD));
	clean_line(p, "", p->suite, off(p));
}

static void details(struct printer *p, const struct result *t)
{
	char before[64];
	const size_t n = strlen(t->id);
	size_t i;

	snprintf(before, sizeof(before), "      ");
	for (i = 0; i < t->diag.n; i++) {
		const char *s = t->diag.v[i];

		/* "ID: what": the id stands above already */
		if (strncmp(s, t->id, n) == 0 && strncmp(s + n, ": ", 2) == 0)
			s += n + 2;
		clean_line(p, before, s, "");
	}
	snprintf(before, sizeof(before), "      %sclause: ", on(p, DIM));
	if (t->clause)
		clean_line(p, before, t->clause, off(p));
	snprintf(before, sizeof(before), "      %sowner:  ", on(p, DIM));
	if (t->owner && (t->verdict == V_FAIL || t->verdict == V_ERROR))
		clean_line(p, before, t->owner, off(p));
}

/* What a benchmark says is its result. */
static bool measures(const struct result *t)
{
	return strncmp(t->id, "bench.", 6) == 0;
}

static const struct {
	const char *utf8, *ascii;
	enum style style;
} mark[VERDICTS] = {
	[V_PASS] = { "\u2713", "ok  ", GREEN }, [V_XPASS] = { "\u2713", "xpass", YELLOW },
	[V_XFAIL] = { "\u2717", "xfail", DIM }, [V_SKIP] = { "-", "skip", DIM },
	[V_ERROR] = { "!", "ERROR", RED },	[V_FAIL] = { "\u2717", "FAIL", RED },
};

static void print_mark(struct printer *p, struct sbuf *b, enum verdict v)
{
	sbuf_addf(b, "  %s%s%s ", on(p, mark[v].style), p->utf8 ? mark[v].utf8 : mark[v].ascii,
		  off(p));
}

/* Length of what ids a and b have in common, up to and including a dot. */
static size_t common_subject(const char *a, const char *b)
{
	size_t i, n = 0;

	for (i = 0; a[i] && a[i] == b[i]; i++)
		if (a[i] == '.')
			n = i + 1;
	return n;
}

/* One line for all of them. */
static void flush_skips(struct printer *p)
{
	struct sbuf b = { 0 };

	if (!p->skips.n)
		return;
	printer_clear(p);
	print_mark(p, &b, V_SKIP);
	sbuf_add_clean(&b, p->skips.first);
	if (p->skips.n > 1)
		sbuf_addf(&b, "* (%u tests)", p->skips.n);
	sbuf_addf(&b, ": %s", on(p, DIM));
	sbuf_add_clean(&b, p->skips.reason);
	fprintf(p->out, "%s%s\n", b.s, off(p));
	sbuf_free(&b);
	free(p->skips.reason);
	free(p->skips.first);
	memset(&p->skips, 0, sizeof(p->skips));
}

/* Keeps a SKIP back while others follow for the same reason. */
static void hold_skip(struct printer *p, const struct result *t)
{
	size_t n;

	if (p->skips.n && (strcmp(p->skips.reason, t->reason) != 0 ||
			   strncmp(p->skips.first, t->id, suite_length(t->id) + 1) != 0))
		flush_skips(p);
	suite_header(p, t->id);
	if (!p->skips.n++) {
		p->skips.reason = xstrdup(t->reason);
		p->skips.first = xstrdup(t->id);
		return;
	}
	n = common_subject(p->skips.first, t->id);
	p->skips.first[n] = '\0';
}

void printer_result(struct printer *p, const struct result *t)
{
	static const char *const word[VERDICTS] = { "",	     "passes, though known to fail",
						    "known", "",
						    "ERROR", "" };
	struct sbuf b = { 0 };

	p->done++;
	if (p->own < p->nruns) {
		p->runs[p->own].done = p->done;
		p->runs[p->own].total = p->total;
	}
	free(p->current);
	p->current = NULL;
	if (p->quiet)
		return;
	if (t->verdict == V_SKIP && t->reason && *t->reason && !p->verbose) {
		hold_skip(p, t);
		return;
	}
	flush_skips(p);
	printer_clear(p);
	suite_header(p, t->id);
	print_mark(p, &b, t->verdict);
	sbuf_add_clean(&b, t->id);
	if (t->timeout)
		sbuf_add(&b, ": timeout");
	else if (*word[t->verdict])
		sbuf_addf(&b, ": %s", word[t->verdict]);
	if (t->reason && *t->reason) {
		sbuf_addf(&b, "%s %s", *word[t->verdict] || t->timeout ? "," : ":",
			  t->verdict == V_SKIP ? on(p, DIM) : "");
		sbuf_add_clean(&b, t->reason);
		sbuf_add(&b, t->verdict == V_SKIP ? off(p) : "");
	}
	if (t->ms >= SHOW_MS || (p->verbose && t->ms))
		sbuf_addf(&b, " %s(%.1f s)%s", on(p, DIM), (double)t->ms / 1000, off(p));
	fprintf(p->out, "%s\n", b.s);
	sbuf_free(&b);
	if (p->verbose || verdict_is_bad(t->verdict) || measures(t))
		details(p, t);
	fflush(p->out);
	printer_tick(p);
}

static void count(struct printer *p, struct sbuf *b, unsigned int n, const char *what, enum style s,
		  bool always)
{
	if (!n && !always)
		return;
	sbuf_addf(b, "%s%s%u %s%s", b->len ? ", " : "", n ? on(p, s) : "", n, what,
		  n ? off(p) : "");
}

/* The first line that says what is wrong, without the test's id. */
static const char *what_failed(const struct result *t)
{
	const size_t n = strlen(t->id);
	const char *s = t->reason ? t->reason : t->diag.n ? t->diag.v[0] : "";

	return strncmp(s, t->id, n) == 0 && strncmp(s + n, ": ", 2) == 0 ? s + n + 2 : s;
}

static void print_failure(struct printer *p, const struct tally *t, const char *again)
{
	const char *what = what_failed(t->worst);
	struct sbuf b = { 0 };

	print_mark(p, &b, t->worst->verdict);
	sbuf_add_clean(&b, t->worst->id);
	if (t->n > 1)
		sbuf_addf(&b, ": %zu of %zu times", t->same, t->n);
	if (*what) {
		sbuf_add(&b, t->n > 1 ? ", " : ": ");
		sbuf_add_clean(&b, what);
	}
	fprintf(p->out, "%s\n", b.s);
	sbuf_free(&b);
	/* The harness's own verdicts are no tests. */
	if (!again || strncmp(t->worst->id, "host.", 5) == 0 ||
	    strncmp(t->worst->id, "harness.", 8) == 0)
		return;
	fprintf(p->out, "      %s", on(p, DIM));
	sbuf_add_clean(&b, again);
	sbuf_add(&b, " --tests ");
	sbuf_add_clean(&b, t->worst->id);
	fprintf(p->out, "%s%s\n", b.s, off(p));
	sbuf_free(&b);
}

#define FAILURES_SHOWN 50

/* Failures once more at the end, since their own lines have scrolled away. */
static void print_failures(struct printer *p, const struct report *r)
{
	size_t *by_id = report_by_id(r), at, shown = 0;
	struct tally t;

	for (at = 0; at < r->n; at += t.n) {
		t = report_tally(r, by_id, at);
		if (!verdict_is_bad(t.worst->verdict))
			continue;
		if (!shown)
			fprintf(p->out, "\n%sWhat went wrong%s\n", on(p, BOLD), off(p));
		if (shown++ < FAILURES_SHOWN)
			print_failure(p, &t, report_meta(r, "again"));
	}
	if (shown > FAILURES_SHOWN)
		fprintf(p->out, "  ... and %zu more\n", shown - FAILURES_SHOWN);
	free(by_id);
}

void printer_meta(struct printer *p, const struct report *r)
{
	static const char *const usual[] = { "host",	"machine",     "boot",	   "cpus",
					     "memory",	"accelerator", "vmm",	   "backend",
					     "kernel",	"fault",       "selected", "shard",
					     "command", "date" };
	size_t i, k;

	for (i = 0; i < r->metas; i++) {
		for (k = 0; k < ARRAY_SIZE(usual); k++)
			if (strcmp(usual[k], r->meta[i].key) == 0)
				break;
		if (p->verbose || k < ARRAY_SIZE(usual))
			printer_field(p, r->meta[i].key, r->meta[i].value);
	}
}

void printer_summary(struct printer *p, const struct report *r, uint64_t ms)
{
	const struct counts c = report_counts(r);
	char *why = report_incomplete(r);
	struct sbuf b = { 0 };
	size_t i;

	if (p->quiet)
		goto out;
	flush_skips(p);
	printer_clear(p);
	for (i = 0; i < r->notes.n; i++)
		printer_note(p, "%s", r->notes.v[i]);
	if (why)
		printer_note(p, "the report is incomplete: %s", why);
	print_failures(p, r);
	count(p, &b, c.by[V_PASS], "passed", GREEN, true);
	count(p, &b, c.by[V_FAIL], "failed", RED, true);
	count(p, &b, c.by[V_ERROR], c.by[V_ERROR] == 1 ? "error" : "errors", RED, true);
	count(p, &b, c.by[V_SKIP], "skipped", NONE, true);
	count(p, &b, c.by[V_XFAIL], "known to fail", NONE, false);
	count(p, &b, c.by[V_XPASS], "passed though known to fail", YELLOW, false);
	fprintf(p->out, "\n%s", b.s);
	if (ms)
		fprintf(p->out, " in %.1f s", (double)ms / 1000);
	fputc('\n', p->out);
	sbuf_free(&b);
	fflush(p->out);
out:
	free(why);
}
