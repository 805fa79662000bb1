/* SPDX-License-Identifier: BSD-2-Clause */
/* Short sections that the watchdog must not leave half done: a list or a lock would stay broken. */
#ifndef LIB_GUARD_H
#define LIB_GUARD_H

/* They nest. A section that lasts longer than 200 ms past the deadline is left all the same. */
void guard_hold(void);
void guard_drop(void);

#endif
