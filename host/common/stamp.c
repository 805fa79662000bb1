/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/common/stamp.h"

#include <ctype.h>
#include <string.h>

#define DIGITS "0123456789"

/* "[   12.345678]", "[2026-11-21 08:04:01]", and "[    T1]", which the kernel puts behind the first. */
static size_t bracketed(const char *s)
{
	const size_t n = *s == '[' ? strspn(s + 1, DIGITS " .:,-+/TZC") : 0;

	if (!n || s[n + 1] != ']')
		return 0;
	return strcspn(s, DIGITS) < n + 1 ? n + 2 : 0;
}

/* "08:04:01", "2026-11-21T08:04:01.123+01:00": a word of digits that has a colon. */
static size_t clock_word(const char *s)
{
	const size_t n = strspn(s, DIGITS ".:,-+TZ");

	if (!isdigit((unsigned char)*s) || !memchr(s, ':', n))
		return 0;
	return s[n] == '\0' || isblank((unsigned char)s[n]) ? n : 0;
}

/* "2026-11-21 " or "2026/11/21 " in front of a clock. */
static size_t date_word(const char *s)
{
	const size_t n = strspn(s, DIGITS "-/"), blanks = strspn(s + n, " \t");
	size_t clock;

	if (n < 8 || !blanks)
		return 0;
	clock = clock_word(s + n + blanks);
	return clock ? n + blanks + clock : 0;
}

/* "Nov 21 08:04:01" */
static size_t syslog_date(const char *s)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	size_t i, n = 3, clock;

	for (i = 0; months[i]; i += 3)
		if (strncmp(s, months + i, 3) == 0)
			break;
	if (!months[i])
		return 0;
	n += strspn(s + n, " ");
	if (!isdigit((unsigned char)s[n]))
		return 0;
	n += strspn(s + n, DIGITS);
	n += strspn(s + n, " ");
	clock = clock_word(s + n);
	return clock ? n + clock : 0;
}

static size_t one_stamp(const char *s)
{
	size_t n = bracketed(s);

	n = n ? n : clock_word(s);
	n = n ? n : date_word(s);
	return n ? n : syslog_date(s);
}

size_t stamp_length(const char *s)
{
	size_t length = one_stamp(s), gap, n = length;

	while (n) { /* several loggers in a row */
		gap = strspn(s + length, " \t");
		n = one_stamp(s + length + gap);
		length += n ? gap + n : 0;
	}
	return length;
}
