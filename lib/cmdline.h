/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run's configuration: key=value, separated by blanks. A later source overrides an earlier one: the section that
 * `assay configure` patches, assay.cfg, load options or PVH's command line, fw_cfg's opt/assay/cmdline.
 */
#ifndef LIB_CMDLINE_H
#define LIB_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Adds the words of text. Unknown words are kept; cmdline_warn_unknown() names them. */
void cmdline_add(const char *text, const char *source);
/* The value of key, NULL when not given ("" for `key` or `key=`). */
const char *cmdline_get(const char *key);
/* The n-th value of a key that may be repeated (virtio_mmio.device), NULL past the last. */
const char *cmdline_get_nth(const char *key, unsigned int n);
/* Decimal or 0x number; dflt when absent; malformed: dflt and a warning. */
uint64_t cmdline_get_u64(const char *key, uint64_t dflt);
/* on/off, 1/0, yes/no, true/false. */
bool cmdline_get_bool(const char *key, bool dflt);

/* Prints a "# warning: unknown option" line for each word that no OPTION() declares. */
void cmdline_warn_unknown(void);

/* A module that reads a key says so, once, at file scope: OPTION("tests", "which tests run"); */
struct cmdline_option {
	const char *key;
	const char *help;
};
#define OPTION_(n, k, h)                                                                           \
	static const struct cmdline_option option_##n                                              \
		__attribute__((used, section("assay_options"), aligned(8))) = { k, h }
#define OPTION__(n, k, h) OPTION_(n, k, h)
#define OPTION(k, h)	  OPTION__(__COUNTER__, k, h)

#endif
