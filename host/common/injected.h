/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How often faults were injected: a text file that every component of a host under test writes to, and that the
 * harness reads. Each enabled fault of each process has a line "ID COMPONENT 0000000000", whose digits the process
 * rewrites in place, so that the file is right however the process ends.
 */
#ifndef HOST_COMMON_INJECTED_H
#define HOST_COMMON_INJECTED_H

#include <stddef.h>
#include <stdint.h>

struct injected;

/* Appends the line of a fault, with a count of 0. 0 or -errno. */
int injected_start(const char *path, const char *id, const char *component, struct injected **out);
/* One more. The file has each of the first 100 and each power of two; any thread may call it. */
void injected_count(struct injected *f);
/* Writes the exact count. f may be NULL. */
void injected_end(struct injected *f);

struct injected_sum { /* of all lines of one fault by one component */
	char *id, *component;
	uint64_t count;
};

/* Sums up. 0, -errno (-ENOENT: no component has written), -EBADMSG: a line that makes no sense. */
int injected_read(const char *path, struct injected_sum **sums, size_t *n);
void injected_free(struct injected_sum *sums, size_t n);

#endif
