/* SPDX-License-Identifier: BSD-2-Clause */
/* What the harness reads from and writes to the payload's image files. */
#ifndef HOST_CLI_IMAGE_H
#define HOST_CLI_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "host/common/util.h"

struct image_test {
	char *id, *clause, *owner; /* owner may be NULL */
	uint64_t timeout_ms;
};

struct image_tests {
	struct image_test *v;
	size_t n;
	const char **ids; /* the same ids, as an array */
};

/*
 * The table of tests in assay.elf (struct test of lib/test.h), in the order in which they run
 * without a shuffle. 0; -errno of the file; -ENOEXEC: no ELF for x86-64; -ENODATA: no table in it;
 * -EBADMSG: it contradicts itself.
 */
int image_tests_read(const char *path, struct image_tests *out);
int image_tests_parse(const uint8_t *data, size_t size, struct image_tests *out);
void image_tests_free(struct image_tests *t);
const struct image_test *image_tests_find(const struct image_tests *t, const char *id);

/* The keys of the payload's command line (OPTION() of lib/cmdline.h). As image_tests_read(). */
int image_options_read(const char *path, struct strv *keys);

/*
 * The patchable command line (struct config_section of lib/config_section.h) in an image of any kind.
 * Returns its text, or replaces it. 0; -ENOENT: no section; -ENOTUNIQ: several; -ENOSPC: text too long;
 * -EBADMSG: damaged.
 */
int image_config_read(const uint8_t *data, size_t size, char **text);
int image_config_write(uint8_t *data, size_t size, const char *text);

#endif
