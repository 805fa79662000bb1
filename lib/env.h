/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment block of the report: what this machine is. */
#ifndef LIB_ENV_H
#define LIB_ENV_H

/* Prints one line, "# env KEY: VALUE". */
void env_line(const char *key, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* fn prints lines of its own when the block is printed. */
typedef void (*env_fn)(void);
#define ENV(sym, fn)                                                                               \
	static const env_fn env_##sym __attribute__((used, section("assay_env"), aligned(8))) = fn

#endif
