/* SPDX-License-Identifier: BSD-2-Clause */
/* What the host's kernel said during a run, and what the guests left behind in it, as verdicts. */
#ifndef HOST_CLI_DMESG_H
#define HOST_CLI_DMESG_H

#include "host/common/ktap.h"

/*
 * kernel_log: lines as dmesg prints them or a serial console shows them ("[   1.234567] text"); others are passed over.
 * NULL: it cannot be read; why says the reason, or is NULL. records: lines "@result VERDICT ID TEXT", "@diag ID TEXT",
 * "@note TEXT", "@taint BEFORE AFTER" and, last of each boot, "@end" (images/nested/init writes them), or NULL where
 * the host has no such thing. notes: gets the texts of "@note". Adds host.dmesg.clean, host.dmesg.taint and the records'
 * results to r, in this order.
 */
void host_judge(struct report *r, const char *kernel_log, const char *why, const char *records,
		struct strv *notes);

#endif
