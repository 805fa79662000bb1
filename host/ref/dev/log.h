/* SPDX-License-Identifier: BSD-2-Clause */
/* refdev's log: one line an event, with the time since the start. */
#ifndef HOST_REF_DEV_LOG_H
#define HOST_REF_DEV_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* f is not closed. verbose: rd_debug() prints too. */
void rd_log_setup(FILE *f, bool verbose);
FILE *rd_log_file(void);
bool rd_log_verbose(void);
void rd_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void rd_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* For what a guest can cause without end: true for the first 20 times and then for every 1000th. */
static inline bool rd_log_due(uint64_t nth)
{
	return nth <= 20 || nth % 1000 == 0;
}

/* CLOCK_MONOTONIC. */
int64_t rd_now_ns(void);

#endif
