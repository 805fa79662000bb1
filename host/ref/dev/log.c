/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/log.h"

#include <stdarg.h>
#include <time.h>

static FILE *log_file;
static bool log_verbose;
static int64_t log_start;

int64_t rd_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void rd_log_setup(FILE *f, bool verbose)
{
	log_file = f;
	log_verbose = verbose;
	log_start = rd_now_ns();
}

FILE *rd_log_file(void)
{
	return log_file;
}

bool rd_log_verbose(void)
{
	return log_verbose;
}

static void log_line(const char *fmt, va_list ap)
{
	const int64_t us = (rd_now_ns() - log_start) / 1000;

	if (!log_file)
		return;
	fprintf(log_file, "[%4lld.%06lld] ", (long long)(us / 1000000), (long long)(us % 1000000));
	vfprintf(log_file, fmt, ap);
	fputc('\n', log_file);
	fflush(log_file);
}

void rd_log(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(fmt, ap);
	va_end(ap);
}

void rd_debug(const char *fmt, ...)
{
	va_list ap;

	if (!log_verbose)
		return;
	va_start(ap, fmt);
	log_line(fmt, ap);
	va_end(ap);
}
