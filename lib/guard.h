/* SPDX-License-Identifier: BSD-2-Clause */
/* Short sections that the watchdog must not cut, since a list would stay broken or a lock taken. */
#ifndef LIB_GUARD_H
#define LIB_GUARD_H

#include <stdint.h>

/* Sections nest. One that lasts longer than 200 ms past the deadline is cut all the same. */
void guard_hold(void);
void guard_drop(void);

/* The watchdog waits for ns more, in all three times as long as it was told: the host did not run this CPU for so long. */
void guard_extend(uint64_t ns);

#endif
