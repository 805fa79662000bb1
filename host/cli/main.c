/* SPDX-License-Identifier: BSD-2-Clause */
/* assay: the command's name, and who carries it out. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/cmd.h"
#include "host/cli/run.h"
#include "host/peer/peer.h"

#ifndef ASSAY_VERSION
#define ASSAY_VERSION "0"
#endif

const char *argp_program_version = "assay " ASSAY_VERSION;

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "run", cmd_run, "start a host, boot the payload on it, print the report" },
	{ "list", cmd_list, "name the tests, the hosts, or the faults that can be injected" },
	{ "peer", peer_main, "the vsock peer, for a hypervisor started by hand" },
	{ "configure", cmd_configure, "write a command line into an image" },
	{ "report", cmd_report, "merge reports; turn them into JUnit XML, HTML or JSON" },
	{ "diff", cmd_diff, "compare two reports: what got worse, what got better" },
	{ "faults", cmd_faults, "inject every known fault and see that the right test fails" },
	{ "race", cmd_race, "end devices and VMMs under a flood, in every way, again and again" },
};

bool parse_number(const char *text, unsigned int min, unsigned int max, unsigned int *out)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || v < min || v > max)
		return false;
	*out = (unsigned int)v;
	return true;
}

bool parse_seconds(const char *text, double *out)
{
	char *end;
	const double v = strtod(text, &end);

	if (end == text || *end || !isfinite(v) || v <= 0 || v > 1e6)
		return false;
	*out = v;
	return true;
}

void refuse_empty(const struct argp_state *state, const struct argp_option *options, int key,
		  const char *arg)
{
	const struct argp_option *o;

	if (key == ARGP_KEY_ARG || !arg || *arg)
		return;
	for (o = options; o->name || o->doc; o++) {
		if (o->name && o->key == key)
			argp_error(state, "--%s: its value is empty", o->name);
	}
}

/* What was printed must have arrived: a full disk behind standard output is no success. Runs at the exit. */
static void close_stdout(void)
{
	const bool failed = ferror(stdout) != 0;

	errno = 0;
	if (fflush(stdout) == 0 && !failed)
		return;
	fprintf(stderr, "assay: standard output: %s\n", errno ? strerror(errno) : "write error");
	_exit(STATUS_NO_REPORT);
}

/*
 * Where one of the three is closed, the first file that is opened takes its number, and what is printed would be
 * written into that. What stands in for it fails as a closed one does.
 */
static void occupy_standard_files(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) == -1 && errno == EBADF &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			_exit(STATUS_NO_REPORT);
	}
}

static void usage(FILE *f)
{
	size_t i;

	fputs("Usage: assay COMMAND [OPTION...]\n\n"
	      "Assay boots on virtual hardware, exercises what a host promises its guest, and says which\n"
	      "promises hold. Commands:\n\n",
	      f);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].help);
	fprintf(f, "  %-10s %s\n", "help", "explain a command: assay help COMMAND");
	fputs("\n`assay COMMAND --help` explains each; a first try: assay run\n", f);
}

/* `assay help NAME` is `assay NAME --help`. */
static char **help_arguments(char **argv)
{
	static char option[] = "--help";
	static char *args[4];

	args[0] = argv[0];
	args[1] = argv[2];
	args[2] = option;
	return args;
}

int main(int argc, char **argv)
{
	const char *names[ARRAY_SIZE(commands)], *name;
	char *title;
	size_t i;
	int ret;

	occupy_standard_files();
	setlocale(LC_CTYPE, "");
	argp_err_exit_status = STATUS_USAGE;
	atexit(close_stdout);
	if (argc == 3 && strcmp(argv[1], "help") == 0)
		argv = help_arguments(argv);
	name = argc > 1 ? argv[1] : "";
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		puts(argp_program_version);
		return STATUS_OK;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		usage(stdout);
		return STATUS_OK;
	}
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		names[i] = commands[i].name;
		if (strcmp(name, commands[i].name) != 0)
			continue;
		title = xasprintf("assay %s", name);
		argv[1] = title;
		ret = commands[i].run(argc - 1, argv + 1);
		free(title);
		return ret;
	}
	if (!*name) {
		usage(stderr);
		return STATUS_USAGE;
	}
	fprintf(stderr, "assay: there is no command \"%s\"", name);
	print_suggestions(stderr, name, names, ARRAY_SIZE(names));
	fputs("; `assay --help` names them all\n", stderr);
	return STATUS_USAGE;
}
