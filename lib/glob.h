/* SPDX-License-Identifier: BSD-2-Clause */
/* Selecting tests by id; also used by the host's harness. */
#ifndef LIB_GLOB_H
#define LIB_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* '*' stands for any run of characters, '?' for any one. The pattern has n characters. */
bool glob_match(const char *pattern, size_t n, const char *s);
/* One element of tests=. It is a glob, an id, or a prefix of ids that ends before a dot. */
bool glob_selects(const char *pattern, size_t n, const char *id);
/*
 * The whole list "a.*,-a.b.*,c": selected if an element without '-' matches (or there is none such) and
 * no element with '-' does. NULL or "": everything.
 */
bool glob_list_selects(const char *list, const char *id);

#endif
