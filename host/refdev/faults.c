/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/refdev/faults.h"

#include <errno.h>
#include <string.h>

#define V "virtio 1.4, "

bool fault_enabled[F_COUNT];

const struct fault_info fault_table[F_COUNT] = {
	[F_CIDS_ONLY_FIRST] = { "cids.only_first_accepted", "multi-cid P2: any listed source CID",
				"vsock.cids.connect_each", "multi",
				"packets from any CID but cids[0] are dropped" },
	[F_CIDS_WRONG_SOURCE] = { "cids.wrong_source_on_response",
				  "multi-cid P2: answers go to the CID that asked",
				  "vsock.cids.connect_each", "multi",
				  "a response is addressed to cids[0]" },
	[F_CIDS_UNLISTED_SOURCE] = { "cids.unlisted_source_accepted",
				     V "5.10.6.4.1: src_cid is the guest's",
				     "vsock.cids.unlisted_dropped", "any",
				     "the source CID is not checked" },
	[F_CIDS_UNGRANTED_HOST] = { "cids.ungranted_host_cid_accepted",
				    "multi-cid P4: only CID 2 and listed host CIDs",
				    "vsock.cids.ungranted_host_cid", "any",
				    "the destination CID is not checked" },
	[F_CIDS_CROSSTALK] = { "cids.crosstalk", "multi-cid P2: lookup by the full address",
			       "vsock.cids.stay_apart", "multi",
			       "lookup ignores the guest's CID: data reaches another connection" },
	[F_CIDS_CLOSE_BOTH] = { "cids.close_both", "multi-cid P2: lookup by the full address",
				"vsock.cids.stay_apart", "multi",
				"closing one ends its twin on another CID too" },
	[F_CIDS_CONNECT_FIRST] = { "cids.host_connect_only_first",
				   "multi-cid P2: every CID is reachable",
				   "vsock.cids.host_connects_each", "multi",
				   "the host's connects all go to cids[0]" },
	[F_CIDS_SOURCE_HIDDEN] = { "cids.source_hidden",
				   "multi-cid P2: the host sees the source CID",
				   "vsock.cids.source_seen", "multi",
				   "each connection seems to come from cids[0]" },
	[F_CONN_LIMIT] = { "conn.limit",
			   V "5.10.6: connections are told apart by addresses and ports",
			   "vsock.stream.thousand", "any", "the 513th connection is refused" },
	[F_CIDS_HOST_SOURCE] = { "cids.host_source_ignored",
				 "multi-cid P4: an answer comes from the host CID addressed",
				 "vsock.cids.host_cids", "multi-host",
				 "packets of additional host CIDs carry source 2" },
	[F_CIDS_HOST_DROPPED] = { "cids.host_cid_dropped", "multi-cid P4: listed host CIDs",
				  "vsock.cids.host_cids", "multi-host",
				  "packets to additional host CIDs are dropped" },
	[F_DEVICES_SHARED_CID] = { "devices.shared_cid",
				   V "5.10.4: guest_cid is the device's address", "vsock.devices.*",
				   "DEVICES=2,upstream",
				   "every device shows the first one's CIDs" },
	[F_DEVICES_RESET_ALL] = { "devices.reset_all", V "2.4: a reset is that of one device",
				  "vsock.devices.*", "DEVICES=2,upstream",
				  "resetting one device drops the connections of all" },
	[F_CONFIG_COUNT_OFF_BY_ONE] = { "config.count_off_by_one", "multi-cid P1: number_cid",
					"vsock.config.valid", "multi",
					"number_cid is one too large" },
	[F_CONFIG_COUNT_ZERO] = { "config.count_zero", "multi-cid P1: number_cid > 0",
				  "vsock.config.valid", "multi", "number_cid is 0" },
	[F_CONFIG_RESERVED_CID] = { "config.reserved_cid", V "5.10.4: reserved CIDs",
				    "vsock.config.valid", "any", "the last CID reads 2" },
	[F_CONFIG_DUPLICATE_CID] = { "config.duplicate_cid", "multi-cid P1: CIDs are unique",
				     "vsock.config.valid", "multi",
				     "the last CID equals the first" },
	[F_CONFIG_OTHER_CID] = { "config.other_cid",
				 "multi-cid P1: the CIDs that the host was given",
				 "vsock.config.matches_device", "any",
				 "the last CID is listed 1000 too high" },
	[F_CONFIG_HIGH_BITS] = { "config.high_bits", V "5.10.4: the upper 32 bits are 0",
				 "vsock.config.valid", "any", "bit 32 of the last CID is set" },
	[F_CONFIG_COUNT_PAST_SPACE] = { "config.count_past_space",
					"multi-cid P1: cids[] fits the config space",
					"vsock.config.valid", "multi", "number_cid is 600" },
	[F_CONFIG_TORN] = { "config.torn", V "2.5.2: a change changes the generation",
			    "vsock.config.stable", "any",
			    "the last CID differs between reads of one generation" },
	[F_CONFIG_CHANGE_NO_NOTIFY] = { "config.change_no_notify",
					V "2.5.2: configuration change notification",
					"vsock.event.config_notified", "any",
					"the config changes without a notification" },
	[F_CONFIG_CHANGE_IGNORED] = { "config.change_ignored", V "5.10.4: guest_cid after a change",
				      "vsock.event.transport_reset", "any",
				      "a change is announced, and the old CIDs stay" },
	[F_CONFIG_INDEX_STUCK] = { "config.index_stuck", "indexed: cid is the one at index",
				   "vsock.config.valid", "indexed",
				   "cid is cids[0] at every index" },
	[F_EVENT_NO_RESET] = { "event.no_transport_reset", V "5.10.6.7: TRANSPORT_RESET",
			       "vsock.event.transport_reset", "any", "the event is not sent" },
	[F_EVENT_WRONG_ID] = { "event.wrong_id", V "5.10.6.7: event ids",
			       "vsock.event.transport_reset", "any", "the event's id is 1" },
	[F_EVENT_ONLY_FIRST] = { "event.only_first", V "5.10.6.7: TRANSPORT_RESET",
				 "vsock.event.repeated", "any",
				 "one event is sent after each start, and no other" },
	[F_CREDIT_NEVER_RETURNED] = { "credit.never_returned", V "5.10.6.3: fwd_cnt",
				      "vsock.credit.returned", "any", "fwd_cnt stays 0" },
	[F_CREDIT_IGNORED] = { "credit.ignored", V "5.10.6.3.1: not beyond the peer's free space",
			       "vsock.credit.host_respects", "any",
			       "sends whatever the guest's buffer is" },
	[F_CREDIT_NO_ANSWER] = { "credit.no_answer_to_request", V "5.10.6.3: CREDIT_REQUEST",
				 "vsock.credit.request_answered", "any",
				 "credit requests are not answered" },
	[F_CREDIT_GARBAGE_FWD_CNT] = { "credit.garbage_fwd_cnt", V "5.10.6.3: fwd_cnt",
				       "vsock.credit.returned", "any",
				       "fwd_cnt is ahead of what the guest sent" },
	[F_CREDIT_COUNTS_HEADERS] = { "credit.counts_headers", V "5.10.6.3: payload bytes only",
				      "vsock.credit.returned", "any",
				      "fwd_cnt counts headers too" },
	[F_CREDIT_STALE_BUF_ALLOC] = { "credit.stale_buf_alloc",
				       V "5.10.6.3: buf_alloc of every packet counts",
				       "vsock.credit.buf_change", "any",
				       "only the first packet's buf_alloc is looked at" },
	[F_RST_MISSING_REFUSED] = { "rst.missing_on_refused", V "5.10.6.5: RST refuses",
				    "vsock.stream.refused", "any",
				    "a request to a port without listener is not answered" },
	[F_RST_MISSING_UNKNOWN_TYPE] = { "rst.missing_unknown_type",
					 V "5.10.6.4.1: RST for an unknown type",
					 "vsock.stream.unknown_type", "any",
					 "packets of an unknown type are not answered" },
	[F_RST_MISSING_UNKNOWN_CONN] = { "rst.missing_unknown_conn",
					 "Linux virtio_transport_reset_no_sock(): RST",
					 "note:vsock.stream.data_without_connection", "any",
					 "data for no connection is not answered" },
	[F_RST_FOR_RST] = { "rst.for_rst",
			    "Linux virtio_transport_reset_no_sock(): no RST for an RST",
			    "vsock.stream.data_without_connection", "any",
			    "a stray RST is answered with an RST" },
	[F_RST_NOT_SWAPPED] = { "rst.not_swapped", V "5.10.6: addresses of an answer",
				"vsock.stream.refused", "any",
				"a refusing RST carries the guest's address as its source" },
	[F_RST_IGNORED] = { "rst.ignored", V "5.10.6.5: RST ends the connection",
			    "vsock.stream.guest_reset", "any",
			    "the guest's RST is not acted upon" },
	[F_RST_NOT_SENT] = { "rst.not_sent", V "5.10.6.5: RST ends the connection",
			     "vsock.stream.host_reset", "any",
			     "a reset by the host's application is kept from the guest" },
	[F_SHUTDOWN_SEND_IGNORED] = { "shutdown.send_ignored", V "5.10.6.5: SHUTDOWN send",
				      "vsock.stream.guest_half_close", "any",
				      "the guest's end of data is not noticed" },
	[F_SHUTDOWN_RCV_IGNORED] = { "shutdown.rcv_ignored", V "5.10.6.5: SHUTDOWN receive",
				     "vsock.stream.guest_stops_receiving", "any",
				     "data still goes to a guest that will not receive" },
	[F_SHUTDOWN_HALF_RESETS] = { "shutdown.half_close_resets", V "5.10.6.5: one direction",
				     "vsock.stream.guest_half_close", "any",
				     "closing one direction resets the connection" },
	[F_SHUTDOWN_NO_RST] = { "shutdown.no_rst", V "5.10.6.5: RST confirms a shutdown",
				"vsock.stream.connect", "any",
				"a shutdown of both directions is not confirmed" },
	[F_SHUTDOWN_HOST_BOTH] = { "shutdown.host_closes_both", V "5.10.6.5: one direction",
				   "vsock.stream.host_half_close", "any",
				   "the host's end of data is sent as an end of both directions" },
	[F_DATA_FLIPPED] = { "data.byte_flipped", "a stream delivers what was sent",
			     "vsock.stream.from_host", "any",
			     "a byte of each third packet to the guest is wrong" },
	[F_DATA_FLIPPED_FROM_GUEST] = { "data.byte_flipped_from_guest",
					"a stream delivers what was sent", "vsock.stream.to_host",
					"any",
					"a byte of each third packet from the guest is wrong" },
	[F_DATA_LOST] = { "data.lost_packet", "a stream delivers what was sent",
			  "vsock.stream.from_host", "any",
			  "each third data packet to the guest is lost" },
	[F_DATA_DUPLICATED] = { "data.duplicated", "a stream delivers what was sent",
				"vsock.stream.to_host", "any",
				"each third data packet from the guest counts twice" },
	[F_DATA_REORDERED] = { "data.reordered", "a stream keeps the order",
			       "vsock.stream.from_host", "any",
			       "the two halves of each third packet change places" },
	[F_DATA_TRUNCATED] = { "data.truncated_at_64k", "a stream delivers what was sent",
			       "vsock.stream.to_host", "any",
			       "bytes after the first 64 KiB of a connection are lost" },
	[F_DATA_LEN_PAST_USED] = { "data.len_past_used", V "5.10.6: len is the payload's",
				   "vsock.stream.from_host", "any",
				   "len says more than the device wrote" },
	[F_SEQ_EOM_MISSING] = { "seqpacket.eom_missing", V "5.10.6.6: EOM ends a message",
				"vsock.seqpacket.boundaries_from_host", "any",
				"messages run into each other" },
	[F_SEQ_SPLIT] = { "seqpacket.boundary_split", V "5.10.6.6: EOM only at the end",
			  "vsock.seqpacket.boundaries_from_host", "any",
			  "every packet carries EOM" },
	[F_SEQ_TYPE] = { "seqpacket.type_wrong", V "5.10.6: type of the connection",
			 "vsock.seqpacket.boundaries_from_host", "any",
			 "seqpacket packets are sent as stream" },
	[F_SEQ_EOM_IGNORED] = { "seqpacket.eom_ignored", V "5.10.6.6: EOM ends a message",
				"vsock.seqpacket.boundaries_to_host", "any",
				"each second end of a message from the guest is not noticed" },
	[F_RING_USED_ID] = { "ring.used_id_wrong", V "2.7.8: id is the chain's head",
			     "virtio.ring.sizes", "any",
			     "a used element names a descriptor not in flight" },
	[F_RING_USED_ID_RANGE] = { "ring.used_id_range", V "2.7.8: id is the chain's head",
				   "virtio.ring.sizes", "any",
				   "a used element's id is past the queue size" },
	[F_RING_USED_LEN_ZERO] = { "ring.used_len_zero", V "2.7.8.2: len covers what was written",
				   "vsock.stream.connect", "any", "the used length is always 0" },
	[F_RING_USED_LEN_LONG] = { "ring.used_len_too_long", V "2.7.8.2: len is what was written",
				   "virtio.ring.used_len", "any",
				   "the used length is 4096 more than the buffer" },
	[F_RING_USED_IDX_JUMP] = { "ring.used_idx_jump", V "2.7.8: idx counts used elements",
				   "virtio.ring.sizes", "any",
				   "the used index leaps by a queue size" },
	[F_RING_USED_TWICE] = { "ring.used_twice", V "2.7.8: a buffer is returned once",
				"virtio.ring.sizes", "any", "a buffer is returned twice" },
	[F_RING_WRITES_READABLE] = { "ring.writes_readable",
				     V "2.7.5.1: no writing to a device-readable buffer",
				     "virtio.ring.readable_untouched", "any",
				     "a sent buffer is overwritten" },
	[F_RING_WRITES_PAST] = { "ring.writes_past_buffer", V "2.7.5: a buffer's length",
				 "virtio.ring.writable_bounds", "any",
				 "the byte behind a writable buffer is overwritten" },
	[F_RING_INDIRECT_WRITE] = { "ring.indirect_write_flag_honoured",
				    V "2.7.5.3.2: WRITE of the table's descriptor is ignored",
				    "virtio.ring.indirect_write_flag", "any",
				    "an indirect descriptor with WRITE makes all writable" },
	[F_RING_INDIRECT_FIRST_ONLY] = { "ring.indirect_first_only",
					 V "2.7.5.3: the whole table is the chain",
					 "virtio.ring.indirect", "any",
					 "only the first entry of an indirect table is used" },
	[F_RING_DESC_WRITTEN] = { "ring.desc_table_written",
				  V "2.7.5.1: the device must not write descriptors",
				  "virtio.ring.table_untouched", "any",
				  "a used chain's descriptor is zeroed in the table" },
	[F_RING_FRAMING] = { "ring.framing_dependent",
			     V "2.7.4.1: no assumption about the arrangement of descriptors",
			     "virtio.ring.framing", "any",
			     "a header split over descriptors is not understood" },
	[F_RING_USED_FLAGS] = { "ring.used_flags", V "2.7.10.2: used.flags is 0 with EVENT_IDX",
				"virtio.ring.used_flags", "any", "used.flags is 1 with EVENT_IDX" },
	[F_RING_STALE_AFTER_RESET] = { "ring.written_after_reset",
				       V "2.4.1: no queue is touched after a reset",
				       "virtio.init.reset_while_busy", "any",
				       "the old used ring is written after a reset" },
	[F_RING_WRAP] = { "ring.index_wrap", V "2.7.8: idx wraps at 65536",
			  "virtio.ring.index_wrap", "any",
			  "the transmit queue stops when its index passes 256" },
	[F_IRQ_LOST] = { "irq.lost", V "2.7.7.2: a notification must be sent",
			 "virtio.irq.used_buffer", "any",
			 "used-buffer notifications are never sent" },
	[F_IRQ_LOST_SOME] = { "irq.lost_some", V "2.7.7.2: a notification must be sent",
			      "irq.deliver.once,irq.load.mask,irq.storm.mask", "any",
			      "each 25th notification that is due is not sent" },
	[F_IRQ_WRONG_QUEUE] = { "irq.wrong_queue",
				V "2.7.7.2: the queue that used a buffer notifies",
				"irq.deliver.once,virtio.irq.own_vector", "vectors",
				"the call eventfds of rx and tx are mistaken for each other" },
	[F_IRQ_DOUBLE] = { "irq.double", V "2.7.7.2: no notification without a cause",
			   "irq.deliver.once", "any", "each notification comes again 2 ms later" },
	[F_IRQ_SUPPRESSED] = { "irq.despite_suppression",
			       V "2.7.7.2: NO_INTERRUPT and used_event are honoured",
			       "note:virtio.irq.suppressed", "any",
			       "the driver's suppression is ignored" },
	[F_IRQ_EVENT_OFF_BY_ONE] = { "irq.event_off_by_one",
				     V "2.7.7.2: notify when used_event is passed",
				     "virtio.irq.event_idx", "any",
				     "used_event is taken as one later than it is" },
	[F_IRQ_STALE] = { "irq.stale_after_reset", V "2.4.1: no notification from before a reset",
			  "irq.deliver.once", "any",
			  "after a reset and a new start interrupts come for what was before" },
	[F_IRQ_EVENT_HONOURED] = { "irq.used_event_honoured",
				   V "2.7.7.2: used_event means nothing without EVENT_IDX",
				   "virtio.irq.used_event_ignored", "any",
				   "used_event suppresses notifications without EVENT_IDX" },
	[F_IRQ_FLAG_HONOURED] = { "irq.flag_honoured",
				  V "2.7.7.2: avail.flags means nothing with EVENT_IDX",
				  "virtio.irq.event_idx_ignores_flag", "any",
				  "NO_INTERRUPT suppresses notifications with EVENT_IDX" },
	[F_IRQ_STALL] = { "irq.stalls_after_32", V "2.7.7.2: a notification must be sent",
			  "virtio.irq.used_buffer", "any",
			  "from the 32nd notification of a queue on, none is sent" },
	[F_INIT_RESERVED_FEATURE] = { "init.reserved_feature", V "6: reserved bits are not offered",
				      "virtio.init.reserved_bits", "any",
				      "feature bit 49 is offered" },
	[F_INIT_NO_VERSION_1] = { "init.no_version_1", V "6.1: VERSION_1 is offered",
				  "virtio.init.version_1", "machine=microvm",
				  "VERSION_1 is not offered" },
	[F_TX_STOPS] = { "tx.stops_while_rx_full",
			 V "5.10.6.1.2: tx goes on while resources remain",
			 "vsock.credit.tx_while_rx_full", "any",
			 "nothing is taken from tx while answers wait for rx buffers" },
	[F_TX_KICK_LOST] = { "tx.kick_lost", V "2.7.10: a notified device looks at the ring",
			     "virtio.ring.sizes", "any",
			     "after 100 packets every second notification is ignored" },
	[F_MEM_PRIVATE_ALLOWED] = { "mem.private_allowed", "kvm protected memory: no host access",
				    "kvmpv.leak.*", "page-state",
				    "private pages are read and written as any other" },
	[F_MEM_PRIVATE_INDIRECT] = { "mem.private_indirect_allowed",
				     "kvm protected memory: no host access", "kvmpv.leak.*",
				     "page-state", "private pages may hold indirect tables" },
	[F_MEM_LEAK] = { "mem.leak", "kvm protected memory: no host access", "kvmpv.leak.*",
			 "page-state",
			 "buffers to the guest end with bytes read from its private pages" },
	[F_CRASH] = { "crash", "harness: the device dies", "-", "any",
		      "the process aborts at the 60th packet from the guest" },
	[F_HANG] = { "hang", "harness: the device stops", "-", "any",
		     "the process stops reacting at the 60th packet from the guest" },
};

int fault_enable(const char *id)
{
	for (unsigned int i = 0; i < F_COUNT; i++) {
		if (strcmp(fault_table[i].id, id) == 0) {
			fault_enabled[i] = true;
			return 0;
		}
	}
	return -ENOENT;
}

void fault_list(FILE *out)
{
	for (unsigned int i = 0; i < F_COUNT; i++) {
		const struct fault_info *f = &fault_table[i];

		fprintf(out, "%s\t%s\t%s\t%s\t%s\n", f->id, f->clause, f->expect, f->needs,
			f->what);
	}
}

/* Edit distance, for names of at most 63 characters. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[64];
	const size_t n = strlen(b);

	if (n >= 64)
		return 64;
	for (unsigned int j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned int i = 1; a[i - 1]; i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (unsigned int j = 1; j <= n; j++) {
			const unsigned int above = row[j];
			unsigned int best = diagonal + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[n];
}

void fault_suggest(FILE *out, const char *id)
{
	const char *sep = "near ones: ";

	for (unsigned int i = 0; i < F_COUNT; i++) {
		const char *name = fault_table[i].id, *dot = strchr(name, '.');
		const size_t group = dot ? (size_t)(dot - name) + 1 : 0;

		if (distance(id, name) > 5 && !(group && strncmp(id, name, group) == 0) &&
		    !(strlen(id) > 3 && strstr(name, id)))
			continue;
		fprintf(out, "%s%s", sep, name);
		sep = ", ";
	}
	fprintf(out, "%s--list-faults names all of them\n", sep[0] == 'n' ? "" : "; ");
}
