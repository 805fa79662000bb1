/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of `assay`. argv[0] is "assay NAME"; each returns the exit status. */
#ifndef HOST_CLI_CMD_H
#define HOST_CLI_CMD_H

#include <stdbool.h>

int cmd_run(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_configure(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_faults(int argc, char **argv);
int cmd_race(int argc, char **argv);

/* A whole number from min to max; false: text is none. */
bool parse_number(const char *text, unsigned int min, unsigned int max, unsigned int *out);
/* Seconds, with a fraction. */
bool parse_seconds(const char *text, double *out);
struct argp_state;
struct argp_option;
/*
 * For parsers of options: an empty value, such as that of a shell's variable which is not set, is a mistake, and ends
 * the program.
 */
void refuse_empty(const struct argp_state *state, const struct argp_option *options, int key,
		  const char *arg);

#endif
