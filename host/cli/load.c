/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/cli/output.h"
#include "host/common/ktap.h"

#define FILE_MAX (512u << 20)

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* What a run left in its folder, to be freed. NULL: nothing that can be read as a report. */
static char *file_in(const char *dir)
{
	static const char *const names[] = { "result.json", "report.ktap" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		char *file = xasprintf("%s/%s", dir, names[i]);

		if (access(file, F_OK) == 0)
			return file;
		free(file);
	}
	return NULL;
}

static void explain_folder(const char *dir)
{
	char *latest = xasprintf("%s/latest", dir), *serial = xasprintf("%s/serial.raw", dir);

	fprintf(stderr, "assay: %s: a folder without a report (result.json or report.ktap)", dir);
	if (is_folder(latest))
		fprintf(stderr, "; it holds runs, of which %s is the newest", latest);
	else if (access(serial, F_OK) == 0)
		fprintf(stderr, ": its run was killed; %s is what the console said", serial);
	fputc('\n', stderr);
	free(latest);
	free(serial);
}

static bool is_json(const char *text)
{
	return text[strspn(text, " \t\r\n")] == '{';
}

static bool parse(const char *path, const char *text, size_t size, struct report **out, size_t *n)
{
	const char *why = "no KTAP report in it";

	if (is_json(text)) {
		if (reports_from_json(text, size, out, n, &why) == 0)
			return true;
	} else {
		*out = xcalloc(1, sizeof(**out));
		*n = 1;
		if (report_parse(*out, text, size) == 0) {
			report_judge(*out);
			return true;
		}
		report_free(*out);
		free(*out);
	}
	fprintf(stderr, "assay: %s: %s\n", path, why);
	return false;
}

bool load_reports(const char *path, struct report **out, size_t *n)
{
	char *file, *text;
	size_t size;
	bool ok = false;
	int ret;

	if (is_folder(path))
		file = file_in(path);
	else
		file = xstrdup(strcmp(path, "-") == 0 ? "/dev/stdin" : path);
	if (!file) {
		explain_folder(path);
		return false;
	}
	ret = read_file(file, FILE_MAX, &text, &size);
	if (ret)
		fprintf(stderr, "assay: %s: %s\n", path, strerror(-ret));
	else
		ok = parse(file, text, size, out, n);
	if (!ret)
		free(text);
	free(file);
	return ok;
}
