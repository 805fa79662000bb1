/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks a QEMU that no longer goes on what its CPUs are doing. */
#ifndef HOST_CLI_QMP_H
#define HOST_CLI_QMP_H

/* "info registers -a" over the QMP socket at path, within timeout_ms. NULL when there is no answer. */
char *qmp_registers(const char *path, unsigned int timeout_ms);

#endif
