/* SPDX-License-Identifier: BSD-2-Clause */
/* The words of the report that the payload and the harness agree on. */
#ifndef LIB_KTAP_H
#define LIB_KTAP_H

/* One level of nesting (ktap.rst: two spaces or more; the kernel prints four). */
#define KTAP_INDENT "    "
/* Nested comments around a reset that a test asks for. Between them the firmware may print. */
#define KTAP_RESET "# the test resets the machine"
#define KTAP_BACK  "# the machine is back"
/* A nested comment behind a verdict: it asks the harness for a new boot, and says why. */
#define KTAP_AGAIN "# reboot: "

#endif
