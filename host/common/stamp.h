/* SPDX-License-Identifier: BSD-2-Clause */
/* Time stamps that loggers of consoles put in front of each line. */
#ifndef HOST_COMMON_STAMP_H
#define HOST_COMMON_STAMP_H

#include <stddef.h>

/*
 * The length of the stamps that s begins with, without the blanks behind them; 0: there is none. As LAVA,
 * minicom, ts and the kernel write them: "2026-11-21T08:04:01.123", "[2026-11-21 08:04:01]",
 * "[   12.345678]", "Nov 21 08:04:01".
 */
size_t stamp_length(const char *s);

#endif
