/* SPDX-License-Identifier: BSD-2-Clause */
/* glob.h: matches patterns, and lists of them, against ids. */
#include "lib/glob.h"

#include <string.h>

bool glob_match(const char *pattern, size_t n, const char *s)
{
	const char *const end = pattern + n;
	const char *star = NULL, *retry = NULL;

	while (*s) {
		if (pattern < end && *pattern == '*') {
			star = ++pattern;
			retry = s;
		} else if (pattern < end && (*pattern == '?' || *pattern == *s)) {
			pattern++;
			s++;
		} else if (star) {
			pattern = star;
			s = ++retry;
		} else {
			return false;
		}
	}
	while (pattern < end && *pattern == '*')
		pattern++;
	return pattern == end;
}

bool glob_selects(const char *pattern, size_t n, const char *id)
{
	if (n == 0)
		return false;
	if (glob_match(pattern, n, id))
		return true;
	return strncmp(id, pattern, n) == 0 && id[n] == '.';
}

bool glob_list_selects(const char *list, const char *id)
{
	bool any_wanted = false, wanted = false;
	size_t n;

	if (!list)
		return true;
	for (; *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (n == 0)
			continue;
		if (*list == '-') {
			if (glob_selects(list + 1, n - 1, id))
				return false;
			continue;
		}
		any_wanted = true;
		wanted = wanted || glob_selects(list, n, id);
	}
	return wanted || !any_wanted;
}
