/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Injected faults: one thing that a real device could get wrong, each. Hooks
 * are `if (fault(F_X))`. Connection faults spare the control connection, which
 * must stay usable: they ask through fault_on_conn().
 */
#ifndef HOST_REF_DEV_FAULTS_H
#define HOST_REF_DEV_FAULTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "host/peer/proto.h"

enum fault_id {
	F_CIDS_ONLY_FIRST,
	F_CIDS_WRONG_SOURCE,
	F_CIDS_UNLISTED_SOURCE,
	F_CIDS_UNGRANTED_HOST,
	F_CIDS_CROSSTALK,
	F_CIDS_CLOSE_BOTH,
	F_CIDS_CONNECT_FIRST,
	F_CIDS_SOURCE_HIDDEN,
	F_CIDS_SOURCE_LAST,
	F_CIDS_RESPONSE_IGNORED,
	F_CONN_LIMIT,
	F_CONN_PORT_LOW,
	F_CONN_TYPE_IGNORED,
	F_CONN_STREAM_NEEDS_BIT,
	F_CIDS_HOST_SOURCE,
	F_CIDS_HOST_DROPPED,
	F_DEVICES_SHARED_CID,
	F_DEVICES_RESET_ALL,
	F_DEVICES_OTHER_SOURCE,
	F_DEVICES_OTHER_WAY,
	F_DEVICES_CROSSTALK,
	F_CONFIG_COUNT_OFF_BY_ONE,
	F_CONFIG_COUNT_ZERO,
	F_CONFIG_RESERVED_CID,
	F_CONFIG_DUPLICATE_CID,
	F_CONFIG_OTHER_CID,
	F_CONFIG_HIGH_BITS,
	F_CONFIG_COUNT_PAST_SPACE,
	F_CONFIG_TORN,
	F_CONFIG_CHANGE_NO_NOTIFY,
	F_CONFIG_CHANGE_IGNORED,
	F_CONFIG_INDEX_STUCK,
	F_CONFIG_NEW_AT_RESET,
	F_EVENT_NO_RESET,
	F_EVENT_WRONG_ID,
	F_EVENT_ONLY_FIRST,
	F_CREDIT_NEVER_RETURNED,
	F_CREDIT_IGNORED,
	F_CREDIT_NO_ANSWER,
	F_CREDIT_GARBAGE_FWD_CNT,
	F_CREDIT_COUNTS_HEADERS,
	F_CREDIT_STALE_BUF_ALLOC,
	F_RST_MISSING_REFUSED,
	F_RST_MISSING_UNKNOWN_TYPE,
	F_RST_MISSING_UNKNOWN_CONN,
	F_RST_FOR_RST,
	F_RST_NOT_SWAPPED,
	F_RST_IGNORED,
	F_RST_NOT_SENT,
	F_SHUTDOWN_SEND_IGNORED,
	F_SHUTDOWN_RCV_IGNORED,
	F_SHUTDOWN_HALF_RESETS,
	F_SHUTDOWN_NO_RST,
	F_SHUTDOWN_HOST_BOTH,
	F_DATA_FLIPPED,
	F_DATA_FLIPPED_FROM_GUEST,
	F_DATA_LOST,
	F_DATA_DUPLICATED,
	F_DATA_REORDERED,
	F_DATA_TRUNCATED,
	F_DATA_LEN_PAST_USED,
	F_SEQ_EOM_MISSING,
	F_SEQ_SPLIT,
	F_SEQ_TYPE,
	F_SEQ_EOM_IGNORED,
	F_RING_USED_ID,
	F_RING_USED_ID_RANGE,
	F_RING_USED_LEN_ZERO,
	F_RING_USED_LEN_LONG,
	F_RING_USED_IDX_JUMP,
	F_RING_USED_TWICE,
	F_RING_WRITES_READABLE,
	F_RING_WRITES_PAST,
	F_RING_INDIRECT_WRITE,
	F_RING_INDIRECT_FIRST_ONLY,
	F_RING_INDIRECT_HEAD_ONLY,
	F_RING_DESC_WRITTEN,
	F_RING_FRAMING,
	F_RING_USED_FLAGS,
	F_RING_STALE_AFTER_RESET,
	F_RING_WRAP,
	F_RING_AVAIL_EVENT,
	F_RING_NOT_IN_ORDER,
	F_RING_SPURIOUS,
	F_IRQ_LOST,
	F_IRQ_LOST_SOME,
	F_IRQ_WRONG_QUEUE,
	F_IRQ_DOUBLE,
	F_IRQ_SUPPRESSED,
	F_IRQ_EVENT_OFF_BY_ONE,
	F_IRQ_STALE,
	F_IRQ_EVENT_HONOURED,
	F_IRQ_FLAG_HONOURED,
	F_IRQ_STALL,
	F_INIT_RESERVED_FEATURE,
	F_INIT_NO_VERSION_1,
	F_TX_STOPS,
	F_TX_KICK_LOST,
	F_MEM_PRIVATE_ALLOWED,
	F_MEM_PRIVATE_INDIRECT,
	F_MEM_LEAK,
	F_MEM_TOUCH_AT_RESET,
	F_MEM_NO_PLATFORM,
	F_CRASH,
	F_HANG,
	F_COUNT,
};

struct fault_info {
	const char *id;
	const char *clause; /* what it breaks */
	/*
	 * Glob of the test ids that must FAIL; "note:" in front where only a SHOULD is broken: they pass and
	 * note it. "-": the device dies or stops, which the harness tells.
	 */
	const char *expect;
	const char *
		needs; /* any, a layout, page-state, machine=NAME, cpus=N, or a variable's VAR=VALUE */
	const char *what; /* what the device does */
};
extern const struct fault_info fault_table[F_COUNT];
extern bool fault_enabled[F_COUNT];

static inline bool fault(enum fault_id f)
{
	return __builtin_expect(fault_enabled[f], 0);
}

static inline bool fault_on_conn(enum fault_id f, uint32_t host_port)
{
	return fault(f) && host_port != ASSAY_CTL_PORT;
}

/* 0, -ENOENT. */
int fault_enable(const char *id);
/* Tab-separated: id, clause, expected test ids, needs, what. */
void fault_list(FILE *out);
/* Names the ids nearest to a mistyped one. */
void fault_suggest(FILE *out, const char *id);

#endif
