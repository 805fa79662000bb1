/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks a QEMU that no longer goes on what its CPUs are doing. */
#ifndef HOST_CLI_QMP_H
#define HOST_CLI_QMP_H

#include <stdbool.h>

/* "info registers -a" over the QMP socket at path, within timeout_ms. NULL when there is no answer. */
char *qmp_registers(const char *path, unsigned int timeout_ms);

/* Has QEMU carry out a command without arguments. False: no answer within timeout_ms, or an error. */
bool qmp_execute(const char *path, const char *command, unsigned int timeout_ms);

#endif
