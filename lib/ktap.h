/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LIB_KTAP_H
#define LIB_KTAP_H

/* One level of nesting (ktap.rst: two spaces or more; the kernel prints four). */
#define KTAP_INDENT "    "
/* Nested comments around a reset that a test asks for: between them the firmware talks. */
#define KTAP_RESET "# the test resets the machine"
#define KTAP_BACK  "# the machine is back"
/* Nested, behind a verdict: why the harness shall boot again. */
#define KTAP_AGAIN "# reboot: "

#endif
