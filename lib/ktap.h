/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LIB_KTAP_H
#define LIB_KTAP_H

/* One level of nesting (ktap.rst: two spaces or more; the kernel prints four). */
#define KTAP_INDENT "    "

#endif
