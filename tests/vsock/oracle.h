/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model of the vsock protocol (virtio 1.4, 5.10.6), as the guest sees it: it is shown each packet
 * that one device was sent and each that came from it, keeps the state of every connection, and
 * says which packets, or which missing ones, that state does not explain. It knows no driver, no
 * test and no clock, and it sends nothing.
 *
 * What the host knew when it sent a packet cannot be seen: the packet may have been in the queue
 * before ours was read. So a rule about what the host may no longer do holds from the moment on at
 * which the host has surely read what forbids it. Barriers tell: a round trip that began after our
 * packet was sent has come back. No rule of the specification orders packets of two connections, so
 * the model waits for two barriers in a row before it relies on one.
 */
#ifndef TESTS_VSOCK_ORACLE_H
#define TESTS_VSOCK_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtio/vsock.h"

struct oracle;

/*
 * Connections from before their device's reset. A reset is the device's, not its
 * applications' (2.4): Linux's sockets outlive it, and what they send then comes through the device
 * that is up by that time. One for all devices, all zeros at first; the oldest are forgotten.
 */
#define ORACLE_PAST 4096
struct oracle_past {
	uint32_t hash[ORACLE_PAST];
	unsigned int next;
};

struct oracle_device {
	const struct vsock_config *config; /* read when it is given, not kept */
	bool stream, seqpacket;		   /* types that the features allow */
	bool records;			   /* the host's applications set EOR */
	struct oracle_past *past;	   /* read, and written by oracle_free(); NULL: none */
};

/* A device that was just brought up. NULL: no memory. */
struct oracle *oracle_new(const struct oracle_device *d);
/* The device is reset. */
void oracle_free(struct oracle *o);

/* --- what happens ------------------------------------------------------------------------- */

void oracle_sent(struct oracle *o, const struct vsock_hdr *h);
/* used_len: bytes that the used element tells. h NULL: they are too few for a header. */
void oracle_received(struct oracle *o, const struct vsock_hdr *h, uint32_t used_len);
/*
 * The guest has an application of the host change its receive buffer, or open one of another size:
 * from now on buf_alloc may differ from packet to packet. Before, whatever changes it is a breach.
 */
void oracle_host_buffers(struct oracle *o);
/* The counters of the connection of this header go n bytes on, both ways and at both ends. */
void oracle_advanced(struct oracle *o, const struct vsock_hdr *h, uint32_t n);
/* The device lists other CIDs: connections of those that are gone have ended. */
void oracle_cids(struct oracle *o, const struct vsock_config *config);
/* The event (5.10.6.7): all connections have ended. */
void oracle_transport_reset(struct oracle *o);
/* A round trip to the host through this device begins; it is over. They do not nest. */
void oracle_barrier(struct oracle *o, bool over);
/*
 * The host's applications have closed all their ends but those on these n host ports.
 * oracle_audit() looks whether the guest was told.
 */
void oracle_host_closes(struct oracle *o, const uint32_t *others, unsigned int n);

/* --- the verdict -------------------------------------------------------------------------- */

/* Whether oracle_audit() would miss nothing: if not, what is missing may be on its way. */
bool oracle_settled(struct oracle *o);
/* Looks for what should have come, before the last two barriers, and did not. */
void oracle_audit(struct oracle *o);
/* Connections that the host should know: neither end has reset them, nor refused them. */
unsigned int oracle_live(const struct oracle *o);

#define ORACLE_TEXT 232
struct oracle_finding {
	bool must; /* a MUST is broken, or a packet has no explanation; else worth a note only */
	char text[ORACLE_TEXT];
};
/* The n-th of those that are kept, NULL past the last. */
const struct oracle_finding *oracle_finding(const struct oracle *o, unsigned int n);
/* How many there were in all, of either kind. */
unsigned int oracle_count(const struct oracle *o, bool must);
/* Packets of connections from before a reset, which are no findings. */
unsigned int oracle_past_packets(const struct oracle *o);

#endif
