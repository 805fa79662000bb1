/* SPDX-License-Identifier: BSD-2-Clause */
/* Error codes in words, for messages: the C library's numbers are its own, and mislead whoever looks them up. */
#ifndef LIB_ERRNAME_H
#define LIB_ERRNAME_H

/* err: 0, an errno or its negative. "timed out", "connection refused", ...; never NULL. */
const char *err_text(int err);

#endif
