/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vsock device of one guest: its life, its queues and its timers. conn.c has its connections, transport.c what
 * the peer may ask of it. It knows neither vhost-user (vhost_user.c calls it) nor what the host side does with the
 * sockets (host/peer).
 *
 * Single-threaded. Calls to the peer are made from device_run() only; the peer's calls into the transport never call
 * back.
 */
#ifndef HOST_REF_DEV_DEVICE_H
#define HOST_REF_DEV_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_vsock.h>

#include "host/peer/peer.h"
#include "host/ref/dev/config.h"
#include "host/ref/dev/mem.h"
#include "host/ref/dev/ring.h"

#define DEV_QUEUES	3
#define DEV_MAX_REPLIES 2048 /* packets of no connection that wait: with more, tx pauses */
#define DEV_HASH	4096
#define DEV_HEADERS	8192 /* kept for CTL_HEADERS */

enum dev_queue {
	DEV_RX,
	DEV_TX,
	DEV_EVENT
};

/* A packet that belongs to no connection. */
struct dev_packet {
	struct dev_packet *next;
	struct virtio_vsock_hdr hdr;
	bool control; /* of the control connection's port: spared by faults */
};

struct device_params {
	const char *name; /* for the log */
	struct dev_cids cids;
	const uint8_t *config_bytes; /* forged config, or NULL */
	size_t config_bytes_len;
	bool access_platform, in_order, packed, notification_data;
	const char *page_state; /* file of protected memory's page states, or NULL */
};

/* A connection that is gone, for faults. */
struct past_conn {
	uint64_t host_cid, guest_cid;
	uint32_t host_port, guest_port, fwd_cnt;
	uint16_t type;
	bool valid;
};

#define DEV_PAST_CONNS 16

/* Faults outside.vs_*: what they remember of connections that are gone. */
struct dev_past {
	struct past_conn ended; /* the last one that ended in this life of the device */
	struct past_conn open_at_reset[DEV_PAST_CONNS];
	struct past_conn unlistened; /* the listener that ended last, until there is another one */
	unsigned int refused, by_rst, by_shutdown, lost_at_reset, silent; /* counts, over resets */
	unsigned int host_refused; /* connects of the host, likewise */
};

/* Everybody may read it. Who else than device.c writes a part of it is said there. */
struct device {
	struct device *sibling; /* ring of all devices of this process, for faults; or NULL. main.c */
	const char *name;
	struct peer *peer;
	struct peer_transport_ops ops;

	struct dev_cids cids, cids_initial; /* in force; of the command line */
	uint8_t forged[CONFIG_MAX];
	size_t forged_len;
	size_t config_space; /* bytes that the VMM gives the guest */
	uint32_t config_index;
	uint64_t config_reads;

	uint64_t features_offered, features_acked;
	struct ring_chain chain; /* the one that is worked on; large: one for all queues */
	struct dev_packet *reply_first, *reply_last;
	unsigned int replies, events;
	int64_t events_at_ns; /* until then events wait for device_config_told(); 0: they do not */
	int64_t next_scan_ns;
	int64_t tx_worked_ns; /* when a packet was taken last */
	bool look_at_tx;      /* kicked, or not yet empty */
	bool tx_early; /* fault ring.early_twice: tx started with buffers, none of which is used yet */
	uint64_t packets_ever;
	uint64_t tx_rounds;	    /* looks at tx, for faults */
	uint64_t leak_frame;	    /* fault mem.leak */
	unsigned int stale;	    /* fault ring.written_after_reset: writes that are left */
	struct dev_cids cids_shown; /* fault outside.vs_config_stale: those at the last reset */
	unsigned int changes;	    /* of the config since the last reset */
	bool event_told;	    /* fault outside2.vs_event_first: of the change that is due */
	uint64_t event_packets;	    /* packets_ever when it was sent */
	unsigned int events_passed; /* fault outside3.vs_event_other_device: from another device */
	bool rx_asleep;	  /* fault outside3.vs_no_second_look: until the driver notifies */
	uint16_t rx_most; /* the same: rx buffers that the driver has made available at a time */
	bool rx_dry;	  /* faults: rx ran empty, and no packet came from the guest since */
	bool rx_gated; /* fault outside.vs_event_gates_rx: an event was sent, and nothing notified */
	int64_t stale_at_ns;
	const char *page_state;
	struct ctl_mem_state mem_state;
	uint8_t (*headers)[sizeof(struct virtio_vsock_hdr)]; /* the last DEV_HEADERS from the guest */
	uint64_t headers_total;
	struct ctl_dev_info info; /* counters; conn.c's, too */

	/* The VMM's side, vhost_user.c. */
	struct guest_mem mem;
	struct ring ring[DEV_QUEUES];	   /* addresses, sizes and eventfds */
	bool (*config_changed)(void *arg); /* true: device_config_told() follows */
	void *config_arg;

	/* conn.c. */
	struct tconn *hash[DEV_HASH];
	struct tconn *conns;
	struct tconn *send_first, *send_last;
	struct tconn *todo;
	unsigned int num_conns;
	uint64_t next_seq;
	bool paused; /* nothing is done for the guest until this is taken back; the registers' side */
	bool changes_while_paused; /* fault vfio.suspended_config */
	bool scan_needed;	   /* some connection has a deadline; transport.c, too */
	bool dead;		   /* fault dead.after_rst */
	struct dev_past past;

	/* transport.c: the peer's orders. */
	uint64_t headers_from;
	bool cids_pending;
	bool cids_waits; /* for the control connection's reply to be read */
	struct ctl_set_cids cids_next;
	bool changed_in_reset; /* by a reset of the device; the registers' side takes it back */
	int64_t cids_at_ns, cids_ask_ns;
};

/* NULL and errno. Makes the peer, too. */
struct device *device_new(const struct device_params *p);
void device_free(struct device *d);

/* vhost-user's side. */
uint64_t device_features(const struct device *d);
void device_set_features(struct device *d, uint64_t features);
/* The VMM went away: memory unmapped, everything reset. */
void device_detach(struct device *d);
/* 0, -errno as ring_start(). */
int device_ring_start(struct device *d, unsigned int queue, uint32_t base);
/* Returns where to go on from. When the last queue stops, the device is reset. */
uint32_t device_ring_stop(struct device *d, unsigned int queue);
/* One queue stops for itself; the device goes on. */
void device_ring_reset(struct device *d, unsigned int queue);
/* The driver reset the device: every queue stops, and nothing of it is left. */
void device_stop(struct device *d);
/* A running queue's addresses changed. If they are not in memory the queue stops; if they have no translation, until they do. */
void device_ring_remap(struct device *d, unsigned int queue);
/* The memory map changed: running queues are looked up again, and those without memory wait for it. */
void device_memory_changed(struct device *d);
void device_config_read(struct device *d, uint32_t off, void *buf, uint32_t len);
void device_config_write(struct device *d, uint32_t off, const void *buf, uint32_t len);
/* Chains whose addresses were not translated are looked at again. */
void device_translated(struct device *d);
void device_kick(struct device *d, unsigned int queue);
/* For a fault: a notification that comes while the device is in reset. */
void device_kick_in_reset(struct device *d);
/* The VMM has told the guest of the last change of the config. */
void device_config_told(struct device *d);

/* Work and timers. True: there is more, call again soon. */
bool device_run(struct device *d);
/* ns until device_run() has something to do by itself, -1: nothing. */
int64_t device_timeout_ns(struct device *d);

/*
 * Queues a copy of a packet that belongs to no connection, for the guest. False: too many wait already, or there is no
 * memory.
 */
void device_reply(struct device *d, const struct dev_packet *p);

#endif
