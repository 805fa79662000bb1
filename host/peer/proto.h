/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control protocol: the guest orders what the host side does next. One
 * vsock stream from the guest to host CID 2, port ASSAY_CTL_PORT. The guest
 * sends a request, the peer one reply with the same seq and op; a reply is the
 * barrier: what was ordered has happened (or failed, see status) when it comes.
 * Waiting operations carry timeout_ms and answer -ETIMEDOUT after it.
 *
 * All fields little-endian. status: 0 or a negative Linux errno. The CRC-32
 * (IEEE 802.3, reflected, as in zlib) covers header (crc as 0) and payload, so
 * that a device that corrupts data makes an ERROR of the control channel, never
 * a wrong verdict.
 */
#ifndef HOST_PEER_PROTO_H
#define HOST_PEER_PROTO_H

#include <stdint.h>

#define ASSAY_CTL_MAGIC	  0x31435341u /* "ASC1" */
#define ASSAY_CTL_VERSION 1
#define ASSAY_CTL_PORT	  4000
#define ASSAY_ECHO_PORT	  4001 /* returns what it gets; closes when the guest shut down sending */
#define ASSAY_SINK_PORT	  4002 /* swallows; shuts down its own sending at the guest's end of data */
#define ASSAY_SOURCE_PORT 4003 /* sends the pattern (seed = peer's port) without end until closed */
#define ASSAY_CTL_MAX	  8192 /* payload bytes of a request or reply */

#define ASSAY_CID_HOST 2ull
#define ASSAY_CID_ANY  0xffffffffffffffffull /* listen: every host CID; connect: the default */

struct ctl_header {
	uint32_t magic;
	uint16_t version;
	uint16_t op; /* enum ctl_op */
	uint32_t seq;
	uint32_t len; /* of the payload */
	int32_t status;
	uint32_t crc;
} __attribute__((packed));

enum ctl_op {
	CTL_HELLO = 1, /* ctl_hello -> ctl_hello_reply */
	CTL_LISTEN = 2, /* ctl_listen -> ctl_listen (port filled in); -EADDRINUSE, -EOPNOTSUPP (type) */
	CTL_UNLISTEN = 3, /* ctl_listen -> empty; -ENOENT */
	CTL_CONNECT = 4,  /* ctl_connect -> ctl_report; -ECONNREFUSED/-ECONNRESET, -ETIMEDOUT */
	CTL_ACCEPT = 5, /* ctl_listen + timeout -> ctl_report of the oldest not yet reported connection */
	CTL_FIND = 6, /* ctl_find -> ctl_report; -ENOENT. Any live or recently ended connection */
	CTL_SEND = 7, /* ctl_send -> ctl_report when all was handed to the transport; -EPIPE */
	CTL_WAIT = 8, /* ctl_wait -> ctl_report once the condition holds */
	CTL_PAUSE = 9, /* ctl_conn_arg(arg: 1 stop reading, 0 go on, n: read n bytes more, and stop) -> ctl_report */
	CTL_SHUTDOWN = 10, /* ctl_conn_arg(arg: 1 RCV, 2 SEND, 3 both) -> ctl_report */
	CTL_RESET = 11,	   /* ctl_conn_arg -> ctl_report; an RST goes to the guest */
	CTL_REPORT = 12,   /* ctl_conn_arg -> ctl_report */
	CTL_SET_BUF = 13, /* ctl_conn_arg(arg: receive buffer bytes = buf_alloc) -> ctl_report; -EOPNOTSUPP */
	CTL_FORGET = 14,  /* ctl_conn_arg -> empty; closes and frees the record */
	CTL_BARRIER = 15, /* empty -> empty, after all packets received so far were handled */
	CTL_FORGET_ALL = 16, /* empty -> empty: closes every connection and listener made through control */
	CTL_TIME = 17,	  /* empty -> ctl_time: the host's time of day */
	CTL_ADVANCE = 18, /* ctl_conn_arg(arg: n) -> ctl_report: the counters of credit as if n bytes more had passed both ways; -EBUSY */
	/* Only where CTL_CAP_DEVICE: the peer lives inside the device. */
	CTL_DEV_INFO = 32, /* empty -> ctl_dev_info */
	CTL_SET_CIDS = 33, /* ctl_set_cids -> empty; carried out after the reply was consumed */
	CTL_HEADERS = 35, /* ctl_headers -> ctl_headers_reply: the last headers seen from the guest */
	CTL_MEM_STATE = 36, /* empty -> ctl_mem_state: violations of protected memory */
	CTL_MEM_SCAN = 37, /* ctl_mem_scan -> ctl_mem_scan_reply: looks for bytes in all shared pages */
};

enum ctl_cap {
	CTL_CAP_SEQPACKET = 1 << 0,
	CTL_CAP_HOST_CONNECT = 1 << 1,	 /* can connect to the guest */
	CTL_CAP_GUEST_ADDRS = 1 << 2,	 /* reports carry the guest's real CID and port */
	CTL_CAP_HOST_ADDRS = 1 << 3,	 /* ... and the host CID that was addressed */
	CTL_CAP_DEVICE = 1 << 4,	 /* operations from 32 on */
	CTL_CAP_CREDIT = 1 << 5,	 /* reports carry the credit fields; SET_BUF works */
	CTL_CAP_RESET = 1 << 6,		 /* RESET really sends an RST */
	CTL_CAP_HALF_CLOSE = 1 << 7,	 /* SHUTDOWN of one direction reaches the guest */
	CTL_CAP_ANY_GUEST_PORT = 1 << 8, /* CONNECT works to any guest port */
	CTL_CAP_MEM_STATE = 1 << 9,
	CTL_CAP_TIME = 1 << 11,
	CTL_CAP_ADVANCE = 1 << 12,
};

struct ctl_addr {
	uint64_t cid;
	uint32_t port;
	uint32_t zero;
} __attribute__((packed));

enum ctl_service {
	CTL_SVC_NONE = 0, /* counts and checksums what it receives; sends on CTL_SEND only */
	CTL_SVC_ECHO = 1,
	CTL_SVC_SINK = 2,
	CTL_SVC_SOURCE = 3,
};

struct ctl_hello {
	uint32_t version;
} __attribute__((packed));

struct ctl_hello_reply {
	uint32_t version;
	uint32_t caps; /* enum ctl_cap */
	uint32_t max_conns;
	uint32_t default_buf;	       /* receive buffer of a new connection, 0 unknown */
	char name[48];		       /* "assay-refdev 0.1", "assay-peer 0.1 af_vsock" */
	struct ctl_addr control_guest; /* this very connection as the host sees it, cid 0 unknown */
} __attribute__((packed));

struct ctl_time {
	uint64_t seconds; /* since 1970, UTC */
} __attribute__((packed));

struct ctl_listen {
	uint64_t cid;	     /* host CID, or ANY */
	uint32_t port;	     /* 0: the peer chooses */
	uint16_t type;	     /* VIRTIO_VSOCK_TYPE_STREAM 1, SEQPACKET 2 */
	uint16_t service;    /* of accepted connections */
	uint32_t timeout_ms; /* ACCEPT only */
	uint32_t buf;	     /* receive buffer of accepted connections, 0: the default */
} __attribute__((packed));

struct ctl_connect {
	struct ctl_addr local;	/* cid ANY: the default host CID; port 0: the peer chooses */
	struct ctl_addr remote; /* the guest's */
	uint16_t type;
	uint16_t service;
	uint32_t timeout_ms;
	uint32_t buf;
} __attribute__((packed));

struct ctl_find {
	struct ctl_addr host; /* cid ANY or port 0: not compared */
	struct ctl_addr guest;
	uint16_t type;
	uint16_t zero;
} __attribute__((packed));

struct ctl_send {
	uint32_t conn;
	uint32_t seed;
	uint64_t bytes;
	uint32_t msg;	/* bytes a message (seqpacket) or a write; 0: as it likes */
	uint32_t async; /* 1: reply at once */
	uint32_t timeout_ms;
} __attribute__((packed));

enum ctl_wait_for {
	CTL_WAIT_RX = 1,      /* rx_bytes >= value */
	CTL_WAIT_RX_MSGS = 2, /* rx_msgs >= value */
	CTL_WAIT_FLAGS = 3,   /* all flags of value are set (enum ctl_conn_flag) */
	CTL_WAIT_TX = 4,      /* tx_bytes >= value, credit permitting */
};

struct ctl_wait {
	uint32_t conn;
	uint32_t what;
	uint64_t value;
	uint32_t timeout_ms;
} __attribute__((packed));

struct ctl_conn_arg {
	uint32_t conn;
	uint32_t arg;
} __attribute__((packed));

enum ctl_conn_flag {
	CTL_CONN_CONNECTED = 1 << 0,
	CTL_CONN_GUEST_SHUT_RCV = 1 << 1,  /* the guest will receive no more */
	CTL_CONN_GUEST_SHUT_SEND = 1 << 2, /* the guest will send no more: end of file */
	CTL_CONN_HOST_SHUT_RCV = 1 << 3,
	CTL_CONN_HOST_SHUT_SEND = 1 << 4,
	CTL_CONN_RESET = 1 << 5,   /* ended by an RST from the guest */
	CTL_CONN_CLOSED = 1 << 6,  /* ended, any way */
	CTL_CONN_OVERRUN = 1 << 7, /* the guest sent beyond its credit */
	CTL_CONN_PAUSED = 1 << 8,
};

struct ctl_report {
	uint32_t conn;	      /* the peer's number, > 0, never reused */
	uint32_t flags;	      /* enum ctl_conn_flag */
	struct ctl_addr host; /* local to the peer */
	struct ctl_addr guest;
	uint16_t type;
	uint16_t service;
	uint32_t rx_crc; /* CRC-32 of all bytes received, in order */
	uint64_t rx_bytes;
	uint64_t rx_msgs;     /* seqpacket: messages (EOM seen) */
	uint64_t last_msg;    /* length of the last message */
	uint32_t rx_msgs_crc; /* CRC-32 over the le32 lengths of all messages */
	uint32_t tx_crc;
	uint64_t tx_bytes;
	/* CTL_CAP_CREDIT: the last values that the guest sent, and ours */
	uint32_t guest_buf_alloc, guest_fwd_cnt;
	uint32_t host_buf_alloc, host_fwd_cnt;
	uint64_t rx_packets, tx_packets;
	uint32_t credit_updates;  /* received from the guest */
	uint32_t credit_requests; /* received from the guest */
} __attribute__((packed));

#define CTL_MAX_CIDS  500
#define CTL_MAX_TIMES 65536

enum ctl_layout {
	CTL_LAYOUT_UPSTREAM = 0,
	CTL_LAYOUT_MULTI = 1,
	CTL_LAYOUT_MULTI_HOST = 2,
	CTL_LAYOUT_INDEXED = 3,
};

struct ctl_dev_info {
	uint32_t layout;
	uint32_t num_guest, num_host;
	uint64_t cids[CTL_MAX_CIDS]; /* guest, then additional host CIDs */
	uint64_t features_offered, features_acked;
	/* counters since the last device reset */
	uint64_t rx_packets; /* from the guest */
	uint64_t tx_packets; /* to the guest */
	uint64_t dropped_src, dropped_dst, dropped_malformed;
	uint64_t rst_sent;
	uint64_t kicks, calls; /* notifications received, interrupts signalled */
	uint64_t chains_bad;   /* malformed descriptor chains */
	uint32_t resets;       /* device resets since the process started */
	uint32_t conns;	       /* live connections now */
} __attribute__((packed));

struct ctl_set_cids {
	uint32_t num_guest, num_host;
	uint32_t event;	   /* 1: a TRANSPORT_RESET event follows the config change */
	uint32_t delay_ms; /* carried out so long after the reply was sent, 0: once consumed */
	/*
	 * More than 1: so many changes, one behind the other, without an event and a delay. Each shows the guest's
	 * CIDs in another order than the one before; the last one shows them as they stand here.
	 */
	uint32_t times;
	uint64_t cids[CTL_MAX_CIDS];
} __attribute__((packed));

struct ctl_headers {
	uint32_t dst_port; /* filter, 0: all */
	uint32_t src_port;
	uint32_t clear; /* 1: forget them after the reply */
} __attribute__((packed));

#define CTL_HEADERS_MAX 32
struct ctl_headers_reply {
	uint64_t total; /* matched since the last clear */
	uint32_t count; /* in hdr[], the newest, oldest first */
	uint8_t hdr[CTL_HEADERS_MAX][44];
} __attribute__((packed));

enum ctl_mem_reason {
	CTL_MEM_RING = 1,
	CTL_MEM_INDIRECT = 2,
	CTL_MEM_HEADER = 3,
	CTL_MEM_PAYLOAD = 4,
};

struct ctl_mem_state {
	uint32_t protected_mode; /* protection is on */
	uint32_t violations;
	uint64_t last_addr;
	uint32_t last_reason; /* enum ctl_mem_reason */
	uint32_t last_queue;
	uint64_t shared_pages, private_pages;
	uint32_t queues_stopped; /* bit mask */
} __attribute__((packed));

struct ctl_mem_scan {
	uint32_t len; /* 16 to 64 */
	uint8_t secret_xor
		[64]; /* each byte of the secret ^ 0x5a, so that the order itself is no match */
} __attribute__((packed));

struct ctl_mem_scan_reply {
	uint64_t scanned_pages;
	uint64_t matches;
	uint64_t first_addr;
} __attribute__((packed));

/*
 * The pattern of SEND, SOURCE and of the guest's own sending: byte i of a stream
 * with a seed. Cheap, and no two offsets or seeds look alike.
 */
static inline uint8_t assay_pattern(uint32_t seed, uint64_t i)
{
	uint32_t x = (uint32_t)(i >> 2) * 0x9e3779b1u ^ seed * 0x85ebca6bu;

	x ^= x >> 15;
	x *= 0x2c1b3c6du;
	x ^= x >> 13;
	return (uint8_t)(x >> (8 * (i & 3)));
}

#endif
