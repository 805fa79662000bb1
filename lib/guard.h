/* SPDX-License-Identifier: BSD-2-Clause */
/* Short sections that the watchdog must not cut, since a list would stay broken or a lock taken. */
#ifndef LIB_GUARD_H
#define LIB_GUARD_H

/* Sections nest. One that lasts longer than 200 ms past the deadline is cut all the same. */
void guard_hold(void);
void guard_drop(void);

#endif
