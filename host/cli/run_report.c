/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a run: the host's own log is judged, the report is written. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "host/cli/again.h"
#include "host/cli/dmesg.h"
#include "host/cli/output.h"
#include "host/cli/proc.h"
#include "host/cli/run_state.h"
#include "host/cli/select.h"

#define ASK_MS	     30000
#define AFTER_MAX_S  86400
#define VERSION_MS   5000
#define HOST_LOG_MAX (64u << 20)

/* What a program says when it is asked, to be freed. NULL: it failed; *err has why, in one line. */
static char *ask(char *const argv[], unsigned int ms, struct sbuf *err)
{
	struct sbuf out = { 0 }, said = { 0 };
	const int ret = proc_output(argv, now_ms() + ms, &out, &said);

	if (ret == -ETIMEDOUT)
		sbuf_addf(err, "%s did not end within %u s", argv[0], ms / 1000);
	else if (ret < 0)
		sbuf_addf(err, "%s: %s", argv[0], strerror(-ret));
	else if (ret)
		sbuf_addf(err, "%s exited with status %d%s%.*s", argv[0], ret, said.len ? ": " : "",
			  said.s ? (int)strcspn(said.s, "\n") : 0, said.s ? said.s : "");
	sbuf_free(&said);
	if (!ret)
		return sbuf_steal(&out);
	sbuf_free(&out);
	return NULL;
}

/* The output of a command of the recipe. NULL: it failed, and *why says how. */
static char *output_of(const struct run *r, const char *template, unsigned int ms, struct sbuf *why)
{
	struct strv argv = { 0 };
	char *text = NULL;

	if (!vars_words(&r->vars, template, &argv, why))
		why->s[strcspn(why->s, "\n")] = '\0';
	else if (!argv.n)
		sbuf_add(why, "an empty command");
	else
		text = ask(argv.v, ms, why);
	strv_free(&argv);
	return text;
}

/* The text of the file that a key of [after] names; "" if there is none. NULL: there is no such key. */
static char *after_file(const struct run *r, const char *key)
{
	const char *template = recipe_get(r->recipe, "after", "", key);
	struct sbuf err = { 0 };
	char *path, *text = NULL;

	if (!template)
		return NULL;
	path = vars_string(&r->vars, template, &err);
	if (!path)
		fprintf(stderr, "assay: [after] %s: %s", key, err.s);
	else if (read_file(path, HOST_LOG_MAX, &text, NULL))
		text = NULL;
	sbuf_free(&err);
	free(path);
	return text ? text : xstrdup("");
}

static void set_meta(struct run *r, const char *key, char *value)
{
	report_meta_set(&r->report, key, value);
	free(value);
}

static char *date(const struct run *r)
{
	const time_t started = time(NULL) - (time_t)((now_ms() - r->started) / 1000);
	char text[32];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&started, &tm));
	return xstrdup(text);
}

char *run_invocation(void)
{
	struct sbuf b = { 0 };
	char *args, *p;
	size_t n;

	if (read_file("/proc/self/cmdline", 1u << 20, &args, &n))
		return xstrdup("");
	for (p = args; p < args + n; p += strlen(p) + 1) {
		sbuf_add(&b, p == args ? "" : " ");
		sbuf_add_quoted(&b, p);
	}
	free(args);
	return sbuf_steal(&b);
}

/* The hash of the payload that this boot starts. */
static char *payload_hash(const struct run *r)
{
	const char *var = strcmp(r->boot, "efi-kernel") == 0 ? "PAYLOAD_EFI" :
			  strncmp(r->boot, "efi", 3) == 0    ? "PAYLOAD_IMG" :
							       "PAYLOAD_ELF";
	char *command = xasprintf("sha256sum ${%s}", var);
	struct sbuf why = { 0 };
	char *text = output_of(r, command, ASK_MS, &why);

	sbuf_free(&why);
	free(command);
	if (text)
		text[strcspn(text, " \n")] = '\0';
	return text;
}

/* What a program of the recipe says of its version: the first word of its command, asked by --version. NULL: nothing. */
static char *version_of(const struct run *r, const char *type, const char *name)
{
	const char *command = recipe_get(r->recipe, type, name, "command");
	char option[] = "--version", *text = NULL;
	struct strv words = { 0 };
	struct sbuf err = { 0 };

	if (command && vars_words(&r->vars, command, &words, &err) && words.n) {
		char *const argv[] = { words.v[0], option, NULL };

		text = ask(argv, VERSION_MS, &err);
	}
	if (text)
		text[strcspn(text, "\r\n")] = '\0';
	strv_free(&words);
	sbuf_free(&err);
	return text;
}

/* The version line of the kernel's log, where the recipe has the host's read; else this machine's kernel. */
static char *host_kernel(const struct run *r)
{
	static const char begin[] = "Linux version ";
	char *log = after_file(r, "kernel-log"), *line = log ? strstr(log, begin) : NULL;
	char *kernel = NULL;
	struct utsname u;

	if (line)
		kernel = xasprintf("Linux %.*s", (int)strcspn(line + strlen(begin), " \r\n"),
				   line + strlen(begin));
	else if (uname(&u) == 0)
		kernel = xasprintf("%s %s %s", u.sysname, u.release, u.machine);
	free(log);
	return kernel;
}

static void set_meta_if(struct run *r, const char *key, char *value)
{
	if (value && *value)
		set_meta(r, key, value);
	else
		free(value);
}

/* What whoever reads the report wants to know of the run (report.h). */
static void describe_run(struct run *r, size_t left)
{
	char *hash = payload_hash(r), *faults = strv_join(&r->o->faults, " ");
	size_t i;

	set_meta(r, "host", xstrdup(r->recipe->name));
	set_meta(r, "machine", xstrdup(r->machine));
	set_meta(r, "boot", xstrdup(r->boot));
	set_meta(r, "cpus", xasprintf("%u", r->o->cpus));
	set_meta(r, "memory", xstrdup(vars_get(&r->vars, "MEM")));
	set_meta(r, "accelerator", xstrdup(r->accel));
	set_meta_if(r, "vmm", version_of(r, "vmm", ""));
	set_meta_if(r, "backend", version_of(r, "device", "refdev"));
	set_meta_if(r, "kernel", host_kernel(r));
	if (hash)
		set_meta(r, "payload", xasprintf("sha256:%s", hash));
	if (*faults)
		set_meta(r, "fault", xstrdup(faults));
	set_meta(r, "selected", xstrdup(r->wanted));
	if (r->o->shards > 1)
		set_meta(r, "shard", xasprintf("%u/%u", r->o->shard, r->o->shards));
	set_meta(r, "tests", xasprintf("%zu of %zu", r->selected.n, r->tests.n));
	if (r->require)
		set_meta(r, "require", xstrdup(r->require));
	set_meta(r, "command", run_invocation());
	set_meta(r, "again", again_command(r->o));
	set_meta(r, "date", date(r));
	set_meta(r, "seconds", xasprintf("%.1f", (double)(now_ms() - r->started) / 1000));
	for (i = 0; i < r->boots.n; i++) {
		char *key = xasprintf("boot %zu", i + 1);

		set_meta(r, key, xstrdup(r->boots.v[i]));
		free(key);
	}
	set_meta(r, "complete", xstrdup("yes"));
	if (!r->report.ended) {
		const char *bail = r->report.bail;
		char *why = xasprintf(
			"%s%s%s%zu of %zu tests have no verdict",
			bail ? "the payload gave up: " : "", bail ? bail : "",
			bail			   ? "; " :
			r->end == BOOT_INTERRUPTED ? "interrupted; " :
			r->end == BOOT_DEADLINE	   ? "out of time; " :
			r->end == BOOT_ENOUGH	   ? "ended at the first test that failed; " :
						     "",
			left, r->selected.n);

		report_cut(&r->report, why);
		free(why);
	}
	free(hash);
	free(faults);
}

/* False: they are not there, and it has said why. */
static bool write_reports(const struct run *r)
{
	struct sbuf b = { 0 };
	bool ok;

	report_to_ktap(&r->report, &b);
	ok = run_write_file(r, "report.ktap", &b);
	sbuf_free(&b);
	if (ok) {
		report_to_json(&r->report, &b);
		ok = run_write_file(r, "result.json", &b);
		sbuf_free(&b);
	}
	return ok;
}

/* How long a command of [after] may take: as long as the VMM after the report, which the recipe's deadline says. */
static unsigned int after_ms(const struct run *r)
{
	const char *own = recipe_get(r->recipe, "after", "", "deadline");
	struct sbuf err = { 0 };
	char *text = own ? vars_string(&r->vars, own, &err) : NULL;
	const double seconds = text ? recipe_seconds(text) : -1;

	sbuf_free(&err);
	free(text);
	return seconds < 0 || seconds > AFTER_MAX_S ? ASK_MS : (unsigned int)(seconds * 1000);
}

/* The host's own log and state, where the recipe says how they are read. */
static void judge_host(struct run *r)
{
	const char *command = recipe_get(r->recipe, "after", "", "command");
	struct sbuf why = { 0 };
	char *log = command ? output_of(r, command, after_ms(r), &why) :
			      after_file(r, "kernel-log");
	char *records = after_file(r, "records");
	struct strv notes = { 0 };
	size_t i;

	if (command && !log)
		printer_note(&r->out, "the host's log was not read: %s", why.s);
	if (!command && !log && !records) {
		sbuf_free(&why);
		return;
	}
	if (command) {
		const struct sbuf b = { .s = log, .len = log ? strlen(log) : 0 };

		run_write_file(r, "host-kernel.log", &b);
	}
	/* The host is judged only if the payload ran, or the kernel said something. */
	if (r->report.started || (log && *log) || (records && *records))
		host_judge(&r->report, log, why.s, records, &notes);
	sbuf_free(&why);
	for (i = 0; i < notes.n; i++)
		printer_note(&r->out, "%s", notes.v[i]);
	strv_free(&notes);
	free(log);
	free(records);
}

int run_conclude(struct run *r, bool complete)
{
	const unsigned int garbage = r->report.garbage;
	const size_t left = run_without_verdict(r, &r->selected), n = r->report.n;
	bool written;
	size_t i;
	int status;

	if (complete)
		report_judge(&r->report);
	judge_host(r);
	if (complete)
		require_all(r->require, &r->selected, &r->report);
	for (i = 0; i < r->report.n; i++)
		require_result(r->require, &r->report.results[i]);
	for (i = 0; i < r->report.n; i++)
		deviations_apply(&r->known, &r->report.results[i]);
	for (i = n; i < r->report.n; i++)
		printer_result(&r->out, &r->report.results[i]);
	describe_run(r, left);
	written = write_reports(r);
	if (garbage)
		printer_note(&r->out, "%u line%s of unparsable output on the console", garbage,
			     garbage == 1 ? "" : "s");
	status = written ? report_status(&r->report) : STATUS_NO_REPORT;
	if (written &&
	    r->failed) /* cut off, as was asked for; a guest that died of it is no other case */
		status = report_counts(&r->report).by[V_FAIL] ? STATUS_FAIL : STATUS_ERROR;
	if (!r->o->quiet) {
		printer_summary(&r->out, &r->report, now_ms() - r->started);
		run_show_path(r, "Full log:", "serial.raw");
		run_show_path(r, "Report:  ", "report.ktap");
	}
	fflush(stdout);
	return status;
}
