/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tests/vsock/oracle.c: each rule has a case that it alone catches, and beside it what looks alike
 * and is right. The guest is CID 3, with 4 beside it; the host is 2, with 9 beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/vsock/oracle.h"

#define BOTH (VSOCK_SHUTDOWN_RCV | VSOCK_SHUTDOWN_SEND)
#define GP   50000u /* the guest's port */
#define HP   4001u
#define ROOM 1000u /* what the guest grants */

static struct oracle *o;
static struct vsock_config config;

/* Each side's header of the connection under test; tests change what they are about. */
static struct vsock_hdr ours, theirs;

static int up(void **state)
{
	const struct oracle_device d = { &config, .stream = true, .seqpacket = true,
					 .records = true };

	(void)state;
	config = (struct vsock_config){
		.num_guest = 2, .guest = { 3, 4 }, .num_host = 1, .host = { 9 }
	};
	o = oracle_new(&d);
	ours = (struct vsock_hdr){ .src_cid = 3,
				   .dst_cid = 2,
				   .src_port = GP,
				   .dst_port = HP,
				   .type = VSOCK_STREAM,
				   .buf_alloc = ROOM };
	theirs = (struct vsock_hdr){ .src_cid = 2,
				     .dst_cid = 3,
				     .src_port = HP,
				     .dst_port = GP,
				     .type = VSOCK_STREAM,
				     .buf_alloc = 65536 };
	return !o;
}

static int down(void **state)
{
	(void)state;
	oracle_free(o);
	return 0;
}

/* --- words -------------------------------------------------------------------------------- */

static void send_with(enum vsock_op op, uint32_t flags, uint32_t len)
{
	struct vsock_hdr h = ours;

	h.op = op;
	h.flags = flags;
	h.len = len;
	oracle_sent(o, &h);
}

static void come_with(enum vsock_op op, uint32_t flags, uint32_t len)
{
	struct vsock_hdr h = theirs;

	h.op = op;
	h.flags = flags;
	h.len = len;
	oracle_received(o, &h, (uint32_t)sizeof(h) + len);
}

#define sent(op) send_with(VSOCK_OP_##op, 0, 0)
#define came(op) come_with(VSOCK_OP_##op, 0, 0)

static void barrier(void)
{
	oracle_barrier(o, false);
	oracle_barrier(o, true);
}

static void all_read(void)
{
	barrier();
	barrier();
}

static void opened(void)
{
	sent(REQUEST);
	came(RESPONSE);
}

static void of_seqpackets(void)
{
	ours.type = theirs.type = VSOCK_SEQPACKET;
	opened();
}

/* Exactly one breach so far, whose text has these words; and it is the last thing that is looked at. */
static void caught(const char *words)
{
	unsigned int i;

	assert_int_equal(oracle_count(o, true), 1);
	for (i = 0; oracle_finding(o, i); i++)
		if (oracle_finding(o, i)->must) {
			if (!strstr(oracle_finding(o, i)->text, words))
				fail_msg("\"%s\" is not in \"%s\"", words,
					 oracle_finding(o, i)->text);
			return;
		}
	fail_msg("no text");
}

static void noted(const char *words)
{
	assert_int_equal(oracle_count(o, true), 0);
	assert_int_equal(oracle_count(o, false), 1);
	assert_non_null(strstr(oracle_finding(o, 0)->text, words));
}

static void fine(void)
{
	if (oracle_count(o, true))
		fail_msg("%s", oracle_finding(o, 0)->text);
	assert_int_equal(oracle_count(o, false), 0);
}

/* --- a header ----------------------------------------------------------------------------- */

static void no_header(void **state)
{
	(void)state;
	oracle_received(o, NULL, 43);
	caught("43 bytes, which hold no header");
}

static void len_past_used(void **state)
{
	struct vsock_hdr h;

	(void)state;
	opened();
	h = theirs;
	h.op = VSOCK_OP_RW;
	h.len = 11;
	oracle_received(o, &h, sizeof(h) + 10);
	caught("len is more than the 10 bytes");
}

static void len_short_of_used(void **state)
{
	struct vsock_hdr h;

	(void)state;
	opened();
	h = theirs;
	h.op = VSOCK_OP_RW;
	h.len = 9;
	oracle_received(o, &h, sizeof(h) + 10);
	noted("1 bytes behind the payload");
}

static void payload_of_no_rw(void **state)
{
	(void)state;
	opened();
	come_with(VSOCK_OP_CREDIT_UPDATE, 0, 4);
	caught("a payload in a packet that is no RW");
}

static void foreign_source(void **state)
{
	(void)state;
	opened();
	theirs.src_cid = 8;
	came(CREDIT_UPDATE);
	caught("src_cid is none of the host's");
}

static void listed_host_cid(void **state)
{
	(void)state;
	ours.dst_cid = theirs.src_cid = 9;
	opened();
	came(CREDIT_UPDATE);
	fine();
}

static void high_bits_of_source(void **state)
{
	(void)state;
	opened();
	theirs.src_cid |= 1ull << 32;
	came(CREDIT_UPDATE);
	caught("src_cid is none of the host's");
}

static void foreign_destination(void **state)
{
	(void)state;
	opened();
	theirs.dst_cid = 5;
	came(CREDIT_UPDATE);
	fine(); /* until the end: it may be a CID that the driver has not read yet */
	oracle_audit(o);
	caught("dst_cid is none of the guest's");
}

static void destination_that_follows(void **state)
{
	(void)state;
	theirs.dst_cid = 5;
	came(REQUEST);
	config.guest[1] = 5;
	oracle_cids(o, &config);
	oracle_audit(o);
	fine();
}

static void destination_that_was(void **state)
{
	(void)state;
	theirs.dst_cid = 4;
	config.guest[1] = 5;
	oracle_cids(o, &config);
	came(REQUEST); /* it was in the ring before */
	fine();
	all_read();
	theirs.src_port++;
	came(REQUEST);
	oracle_audit(o);
	caught("dst_cid is none of the guest's");
}

static void many_foreign_destinations(void **state)
{
	unsigned int i;

	(void)state;
	theirs.dst_cid = 5;
	for (i = 0; i < 20; i++)
		came(REQUEST);
	oracle_audit(o);
	assert_int_equal(oracle_count(o, true), 20);
}

static void type_not_negotiated(void **state)
{
	const struct oracle_device d = { &config, .stream = true };

	(void)state;
	oracle_free(o);
	o = oracle_new(&d);
	theirs.type = VSOCK_SEQPACKET;
	came(REQUEST);
	caught("a type that was not negotiated");
}

static void unknown_type(void **state)
{
	(void)state;
	theirs.type = 3;
	came(REQUEST);
	caught("a type that was not negotiated");
}

static void type_of_another(void **state)
{
	(void)state;
	opened();
	theirs.type = VSOCK_SEQPACKET;
	come_with(VSOCK_OP_RW, VSOCK_SEQ_EOM, 10);
	caught("of no connection");
}

static void no_such_operation(void **state)
{
	(void)state;
	opened();
	come_with((enum vsock_op)8, 0, 0);
	caught("no such operation: op 8 2:4001 > 3:50000");
}

static void operation_invalid(void **state)
{
	(void)state;
	opened();
	came(INVALID);
	caught("no such operation");
}

/* --- flags -------------------------------------------------------------------------------- */

static void flags_of_shutdown(void **state)
{
	(void)state;
	opened();
	come_with(VSOCK_OP_SHUTDOWN, 4 | VSOCK_SHUTDOWN_SEND, 0);
	caught("flags 0x4, which this packet does not have");
}

static void empty_shutdown(void **state)
{
	(void)state;
	opened();
	came(SHUTDOWN);
	noted("SHUTDOWN that says nothing");
}

static void eom_on_stream(void **state)
{
	(void)state;
	opened();
	come_with(VSOCK_OP_RW, VSOCK_SEQ_EOM, 10);
	caught("flags 0x1, which this packet does not have");
}

static void flags_of_seqpacket(void **state)
{
	(void)state;
	of_seqpackets();
	come_with(VSOCK_OP_RW, VSOCK_SEQ_EOM, 10);
	come_with(VSOCK_OP_RW, VSOCK_SEQ_EOM | VSOCK_SEQ_EOR, 10);
	fine();
	come_with(VSOCK_OP_RW, VSOCK_SEQ_EOM | 4, 10);
	caught("flags 0x4");
}

static void eor_without_eom(void **state)
{
	(void)state;
	of_seqpackets();
	come_with(VSOCK_OP_RW, VSOCK_SEQ_EOR, 10);
	caught("EOR without EOM");
}

static void flags_of_credit_update(void **state)
{
	(void)state;
	opened();
	come_with(VSOCK_OP_CREDIT_UPDATE, 1, 0);
	caught("flags 0x1");
}

/* --- opening ------------------------------------------------------------------------------ */

static void response_unasked(void **state)
{
	(void)state;
	came(RESPONSE);
	caught("RESPONSE, and no REQUEST");
}

static void response_twice(void **state)
{
	(void)state;
	opened();
	fine();
	came(RESPONSE);
	caught("RESPONSE, and no REQUEST");
}

static void response_to_an_end(void **state)
{
	(void)state;
	sent(REQUEST);
	sent(RST);
	came(RESPONSE); /* it crossed our RST */
	come_with(VSOCK_OP_RW, 0, 10);
	fine();
	sent(REQUEST);
	sent(RST);
	all_read();
	came(RESPONSE);
	caught("RESPONSE, and no REQUEST");
}

static void request_on_connection(void **state)
{
	(void)state;
	opened();
	came(REQUEST);
	caught("REQUEST for a connection that there is already");
}

static void request_twice(void **state)
{
	(void)state;
	came(REQUEST);
	fine();
	came(REQUEST);
	caught("REQUEST for a connection that there is already");
}

static void request_after_end(void **state)
{
	(void)state;
	came(REQUEST);
	sent(RESPONSE);
	came(RST);
	came(REQUEST);
	sent(RST); /* refused */
	came(REQUEST);
	fine();
}

static void requests_cross(void **state)
{
	(void)state;
	sent(REQUEST);
	came(REQUEST);
	noted("that the guest has just asked for");
}

static void data_before_response(void **state)
{
	(void)state;
	sent(REQUEST);
	come_with(VSOCK_OP_RW, 0, 10);
	caught("before RESPONSE");
}

static void data_before_our_response(void **state)
{
	(void)state;
	came(REQUEST);
	come_with(VSOCK_OP_RW, 0, 10);
	caught("before the guest has accepted the connection");
}

static void credit_update_of_none(void **state)
{
	(void)state;
	came(CREDIT_UPDATE);
	caught("of no connection");
}

static void other_ports(void **state)
{
	(void)state;
	opened();
	theirs.src_port++;
	come_with(VSOCK_OP_RW, 0, 10);
	caught("of no connection");
}

static void request_unanswered(void **state)
{
	(void)state;
	sent(REQUEST);
	barrier();
	oracle_audit(o); /* one barrier may overtake the answer */
	fine();
	barrier();
	assert_false(oracle_settled(o));
	oracle_audit(o);
	caught("neither RESPONSE nor RST for a REQUEST (guest 3:50000, host 2:4001, type 1)");
}

static void forged_request_unanswered(void **state)
{
	(void)state;
	ours.src_cid = 77; /* of no device: it is dropped */
	sent(REQUEST);
	ours.src_cid = 3;
	ours.dst_cid = 77;
	sent(REQUEST);
	all_read();
	assert_true(oracle_settled(o));
	oracle_audit(o);
	fine();
}

/* --- data and credit ---------------------------------------------------------------------- */

static void credit_kept(void **state)
{
	(void)state;
	opened();
	come_with(VSOCK_OP_RW, 0, ROOM);
	fine();
	come_with(VSOCK_OP_RW, 0, 1);
	caught("5.10.6.3.2 MUST: RW 1 bytes beyond the guest's credit");
}

static void credit_given_back(void **state)
{
	(void)state;
	opened();
	come_with(VSOCK_OP_RW, 0, ROOM);
	ours.fwd_cnt = 300;
	sent(CREDIT_UPDATE);
	come_with(VSOCK_OP_RW, 0, 300);
	fine();
	come_with(VSOCK_OP_RW, 0, 1);
	caught("1 bytes beyond");
}

static void smaller_buffer(void **state)
{
	(void)state;
	opened();
	ours.buf_alloc = 10;
	sent(CREDIT_UPDATE);
	come_with(VSOCK_OP_RW, 0, 500); /* it was on its way */
	fine();
	all_read();
	come_with(VSOCK_OP_RW, 0, 1);
	caught("491 bytes beyond");
}

static void larger_buffer_after_smaller(void **state)
{
	(void)state;
	opened();
	ours.buf_alloc = 10;
	sent(CREDIT_UPDATE);
	all_read();
	ours.buf_alloc = 20;
	sent(CREDIT_UPDATE);
	come_with(VSOCK_OP_RW, 0, 20);
	fine();
	come_with(VSOCK_OP_RW, 0, 1);
	caught("1 bytes beyond");
}

static void credit_wraps(void **state)
{
	(void)state;
	ours.buf_alloc = 0x80000000u;
	opened();
	come_with(VSOCK_OP_RW, 0, 0x7fffff00u);
	ours.fwd_cnt = 0x7fffff00u;
	sent(CREDIT_UPDATE);
	come_with(VSOCK_OP_RW, 0, 0x7fffff00u);
	ours.fwd_cnt = 0xfffffe00u;
	sent(CREDIT_UPDATE);
	come_with(VSOCK_OP_RW, 0, 0x300); /* past 2^32 */
	ours.fwd_cnt = 0x100;
	ours.buf_alloc = 16;
	sent(CREDIT_UPDATE);
	all_read();
	come_with(VSOCK_OP_RW, 0, 16);
	fine();
	come_with(VSOCK_OP_RW, 0, 1);
	caught("1 bytes beyond");
}

static void fwd_cnt_ahead(void **state)
{
	(void)state;
	opened();
	send_with(VSOCK_OP_RW, 0, 100);
	theirs.fwd_cnt = 100;
	came(CREDIT_UPDATE);
	fine();
	theirs.fwd_cnt = 101;
	came(CREDIT_UPDATE);
	caught("fwd_cnt beyond the 100 bytes that were sent");
}

static void fwd_cnt_of_request(void **state)
{
	(void)state;
	theirs.fwd_cnt = 1;
	came(REQUEST);
	caught("fwd_cnt beyond the 0 bytes");
}

static void fwd_cnt_of_response(void **state)
{
	(void)state;
	sent(REQUEST);
	theirs.fwd_cnt = 1;
	came(RESPONSE);
	caught("fwd_cnt beyond the 0 bytes");
}

static void fwd_cnt_below_zero(void **state)
{
	(void)state;
	opened();
	send_with(VSOCK_OP_RW, 0, 100);
	theirs.fwd_cnt = 0xffffffffu;
	came(CREDIT_UPDATE);
	caught("fwd_cnt beyond");
}

static void fwd_cnt_goes_back(void **state)
{
	(void)state;
	opened();
	send_with(VSOCK_OP_RW, 0, 100);
	theirs.fwd_cnt = 100;
	came(CREDIT_UPDATE);
	theirs.fwd_cnt = 60;
	came(CREDIT_UPDATE);
	noted("fwd_cnt goes back, from 100");
}

static void old_fwd_cnt(void **state)
{
	(void)state;
	opened();
	send_with(VSOCK_OP_RW, 0, 100);
	theirs.fwd_cnt = 100;
	came(CREDIT_UPDATE);
	all_read();
	came(CREDIT_UPDATE);
	fine();
	theirs.fwd_cnt = 60;
	came(CREDIT_UPDATE);
	caught("5.10.6.3.2 MUST: fwd_cnt goes back, from 100");
}

static void fwd_cnt_wraps(void **state)
{
	unsigned int i;

	(void)state;
	opened();
	for (i = 0; i < 5; i++) {
		send_with(VSOCK_OP_RW, 0, 0x40000000u);
		theirs.fwd_cnt += 0x40000000u;
		came(CREDIT_UPDATE);
	}
	fine();
	theirs.fwd_cnt++;
	came(CREDIT_UPDATE);
	caught("fwd_cnt beyond the 5368709120 bytes");
}

static void counts_begin_anew(void **state)
{
	(void)state;
	opened();
	send_with(VSOCK_OP_RW, 0, 100);
	come_with(VSOCK_OP_RW, 0, ROOM);
	theirs.fwd_cnt = 100;
	came(CREDIT_UPDATE);
	came(RST);
	theirs.fwd_cnt = 0;
	opened();
	come_with(VSOCK_OP_RW, 0, ROOM);
	fine();
	theirs.fwd_cnt = 1;
	came(CREDIT_UPDATE);
	caught("beyond the 0 bytes");
}

static void buffer_changes(void **state)
{
	(void)state;
	opened();
	theirs.buf_alloc = 0;
	came(RST); /* carries no credit */
	theirs.buf_alloc = 100;
	opened();
	came(CREDIT_UPDATE);
	fine();
	theirs.buf_alloc = 65536;
	came(CREDIT_UPDATE);
	caught("5.10.6.3.2 MUST: buf_alloc was 100, and nobody has changed it");
}

static void buffer_of_nothing(void **state)
{
	(void)state;
	theirs.buf_alloc = 0;
	opened();
	caught("5.10.6.3.2 MUST: a connection begins with a buf_alloc of 0");
}

static void buffer_is_changed(void **state)
{
	(void)state;
	opened();
	oracle_host_buffers(o);
	theirs.buf_alloc = 100;
	came(CREDIT_UPDATE);
	fine();
}

static void eor_unasked(void **state)
{
	const struct oracle_device d = { &config, .stream = true, .seqpacket = true };

	(void)state;
	oracle_free(o);
	o = oracle_new(&d);
	of_seqpackets();
	come_with(VSOCK_OP_RW, VSOCK_SEQ_EOM, 10);
	fine();
	come_with(VSOCK_OP_RW, VSOCK_SEQ_EOM | VSOCK_SEQ_EOR, 10);
	caught("EOR, and no application of the host has set it");
}

static void credit_request_unanswered(void **state)
{
	(void)state;
	opened();
	sent(CREDIT_REQUEST);
	come_with(VSOCK_OP_RW, 0, 1);
	all_read();
	oracle_audit(o);
	caught("no CREDIT_UPDATE for a CREDIT_REQUEST");
}

static void credit_request_until_end(void **state)
{
	(void)state;
	opened();
	sent(CREDIT_REQUEST);
	all_read();
	came(RST);
	caught("no CREDIT_UPDATE for a CREDIT_REQUEST");
}

static void credit_request_answered(void **state)
{
	(void)state;
	opened();
	sent(CREDIT_REQUEST);
	came(CREDIT_UPDATE);
	sent(CREDIT_REQUEST);
	come_with(VSOCK_OP_SHUTDOWN, BOTH, 0); /* a host that has closed answers nothing */
	all_read();
	oracle_audit(o);
	fine();
}

static void nothing_of_stream(void **state)
{
	(void)state;
	opened();
	come_with(VSOCK_OP_RW, 0, 0);
	noted("RW that carries nothing");
}

static void empty_message(void **state)
{
	(void)state;
	ours.buf_alloc = 0;
	of_seqpackets();
	come_with(VSOCK_OP_RW, VSOCK_SEQ_EOM, 0); /* takes no room */
	fine();
	come_with(VSOCK_OP_RW, 0, 0);
	noted("RW that carries nothing");
}

/* --- closing ------------------------------------------------------------------------------ */

static void data_after_end_of_sending(void **state)
{
	(void)state;
	opened();
	come_with(VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_SEND, 0);
	came(CREDIT_UPDATE);
	fine();
	come_with(VSOCK_OP_RW, 0, 1);
	caught("RW after the host's SHUTDOWN of sending");
}

static void end_of_sending_taken_back(void **state)
{
	(void)state;
	opened();
	come_with(VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_SEND, 0);
	come_with(VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_RCV, 0); /* does not reset the first */
	fine();
	come_with(VSOCK_OP_RW, 0, 1);
	caught("RW after the host's SHUTDOWN of sending");
}

static void data_after_end_of_receiving(void **state)
{
	(void)state;
	opened();
	come_with(VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_RCV, 0);
	come_with(VSOCK_OP_RW, 0, 1);
	fine();
	send_with(VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_RCV, 0);
	come_with(VSOCK_OP_RW, 0, 1); /* it was on its way */
	barrier();
	come_with(VSOCK_OP_RW, 0, 1); /* one barrier may overtake it */
	fine();
	barrier();
	came(CREDIT_UPDATE);
	fine();
	come_with(VSOCK_OP_RW, 0, 1);
	caught("RW after the guest's SHUTDOWN of receiving was read");
}

static void shutdown_unanswered(void **state)
{
	(void)state;
	opened();
	send_with(VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_SEND, 0);
	all_read();
	oracle_audit(o);
	fine();
	send_with(VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_RCV, 0);
	all_read();
	oracle_audit(o);
	caught("no RST for a SHUTDOWN of both directions");
}

static void shutdown_given_up(void **state)
{
	(void)state;
	opened();
	send_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
	all_read();
	sent(RST);
	caught("no RST for a SHUTDOWN of both directions");
}

static void both_shut_down(void **state)
{
	(void)state;
	opened();
	come_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
	send_with(VSOCK_OP_SHUTDOWN, BOTH, 0); /* crossed: each waits for the other's RST */
	all_read();
	oracle_audit(o);
	fine();
}

static void clean_close(void **state)
{
	(void)state;
	opened();
	send_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
	come_with(VSOCK_OP_RW, 0, 10);
	came(RST);
	all_read();
	oracle_audit(o);
	fine();
	assert_int_equal(oracle_live(o), 0);
}

static void end_within_message(void **state)
{
	(void)state;
	of_seqpackets();
	come_with(VSOCK_OP_RW, 0, 10);
	come_with(VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_RCV, 0);
	fine();
	come_with(VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_SEND, 0);
	noted("within a message");
}

static void end_of_sending_within_message(void **state)
{
	(void)state;
	of_seqpackets();
	come_with(VSOCK_OP_RW, VSOCK_SEQ_EOM, 10);
	come_with(VSOCK_OP_RW, 0, 10);
	come_with(VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_SEND, 0);
	caught("end of sending within a message");
}

static void close_within_message(void **state)
{
	(void)state;
	of_seqpackets();
	come_with(VSOCK_OP_RW, 0, 10);
	come_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
	noted("closed within a message");
}

static void host_closes_unsaid(void **state)
{
	static const uint32_t others[] = { HP + 1, HP };

	(void)state;
	opened();
	oracle_host_closes(o, others, 2); /* not this one */
	assert_true(oracle_settled(o));
	oracle_host_closes(o, others, 1);
	assert_false(oracle_settled(o));
	oracle_audit(o);
	caught("the host's application has closed its end");
}

static void host_closes_said(void **state)
{
	(void)state;
	opened();
	oracle_host_closes(o, NULL, 0);
	come_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
	assert_true(oracle_settled(o));
	ours.src_port = theirs.dst_port = GP + 1;
	opened();
	come_with(VSOCK_OP_RW, 0, ROOM); /* more may wait, and the end behind it */
	oracle_host_closes(o, NULL, 0);
	oracle_audit(o);
	fine();
}

/* --- resets ------------------------------------------------------------------------------- */

static void rst_of_nothing(void **state)
{
	(void)state;
	came(RST);
	caught("RST that answers no packet, of no connection");
}

static void rst_for_rst(void **state)
{
	(void)state;
	sent(RST);
	came(RST);
	caught("RST that answers no packet, of no connection");
}

static void rst_for_our_rst(void **state)
{
	(void)state;
	opened();
	sent(RST);
	all_read();
	came(RST); /* as an application closes its end of it */
	noted("RST for a connection that has ended");
	came(RST);
	caught("RST that answers an RST");
}

static void resets_cross(void **state)
{
	(void)state;
	opened();
	all_read();
	sent(RST);
	came(RST);
	fine();
	came(RST);
	noted("RST for a connection that has ended");
	came(RST);
	caught("RST after RST");
}

static void refused_twice(void **state)
{
	(void)state;
	sent(REQUEST);
	came(RST);
	fine();
	came(RST);
	caught("RST after RST");
}

static void one_rst_for_each(void **state)
{
	(void)state;
	opened();
	all_read();
	send_with(VSOCK_OP_RW, 0, 1);
	barrier();
	send_with(VSOCK_OP_RW, 0, 1);
	came(RST); /* the application's own */
	came(RST);
	came(RST);
	fine();
	came(RST);
	noted("RST for a connection that has ended");
	came(RST);
	caught("RST after RST");
}

static void rst_for_data_of_none(void **state)
{
	(void)state;
	send_with(VSOCK_OP_RW, 0, 1);
	came(RST);
	fine();
	came(RST);
	caught("RST that answers no packet");
}

static void late_rst(void **state)
{
	(void)state;
	send_with(VSOCK_OP_RW, 0, 1);
	all_read();
	came(RST); /* what it would answer was read long ago */
	caught("RST that answers no packet");
}

static void shutdown_answered_twice(void **state)
{
	(void)state;
	opened();
	all_read();
	send_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
	came(RST);
	fine();
	came(RST);
	noted("RST for a connection that has ended");
	came(RST);
	caught("RST after RST");
}

static void shutdown_after_end(void **state)
{
	(void)state;
	opened();
	send_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
	came(RST);
	come_with(VSOCK_OP_SHUTDOWN, BOTH, 0); /* the application's own, too late */
	noted("SHUTDOWN of a connection that has ended");
	come_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
	caught("after the host's RST");
}

static void rst_not_swapped(void **state)
{
	(void)state;
	sent(REQUEST);
	theirs.src_cid = 3;
	theirs.dst_cid = 2;
	came(RST);
	caught("src_cid is none of the host's");
}

static void rst_of_forged_addresses(void **state)
{
	(void)state;
	ours.src_cid = 77;
	ours.dst_cid = 78;
	sent(REQUEST);
	theirs.src_cid = 78;
	theirs.dst_cid = 77;
	came(RST); /* the answer has them swapped */
	fine();
}

static void rst_for_unknown_type(void **state)
{
	(void)state;
	ours.type = theirs.type = 7;
	sent(REQUEST);
	came(RST);
	send_with(VSOCK_OP_RW, 0, 0);
	came(RST);
	all_read();
	oracle_audit(o);
	fine();
	send_with(VSOCK_OP_RW, 0, 0);
	all_read();
	oracle_audit(o);
	caught("5.10.6.4.2 MUST: no RST for a packet of an unknown type");
}

static void data_after_rst(void **state)
{
	(void)state;
	opened();
	came(RST);
	come_with(VSOCK_OP_RW, 0, 1);
	caught("after the host's RST");
}

static void data_after_our_rst(void **state)
{
	(void)state;
	opened();
	sent(RST);
	come_with(VSOCK_OP_RW, 0, 1);
	come_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
	fine();
	assert_int_equal(oracle_live(o), 1);
	all_read();
	assert_int_equal(oracle_live(o), 0);
	came(CREDIT_UPDATE);
	caught("after our RST");
}

static void refused_by_us(void **state)
{
	(void)state;
	came(REQUEST);
	sent(RST);
	came(CREDIT_UPDATE); /* it was never open */
	caught("after our RST");
}

static void reused_at_once(void **state)
{
	(void)state;
	opened();
	sent(RST);
	sent(REQUEST);
	come_with(VSOCK_OP_RW, 0, 1); /* of the old one */
	came(RESPONSE);
	come_with(VSOCK_OP_RW, 0, ROOM);
	fine();
	sent(RST);
	sent(REQUEST);
	all_read();
	come_with(VSOCK_OP_RW, 0, 1);
	caught("before RESPONSE");
}

static void forged_request_on_connection(void **state)
{
	(void)state;
	opened();
	sent(REQUEST);
	came(RESPONSE); /* a host may take it for the first one's repetition */
	come_with(VSOCK_OP_RW, 0, 10);
	fine();
}

/* --- the device --------------------------------------------------------------------------- */

static void transport_reset(void **state)
{
	(void)state;
	opened();
	sent(CREDIT_REQUEST);
	oracle_transport_reset(o);
	come_with(VSOCK_OP_RW, 0, 1); /* was in the ring before */
	fine();
	all_read();
	oracle_audit(o);
	fine();
	come_with(VSOCK_OP_RW, 0, 1);
	caught("after our RST");
}

static void cid_goes(void **state)
{
	(void)state;
	opened();
	sent(CREDIT_REQUEST);
	config.guest[0] = 5;
	oracle_cids(o, &config);
	all_read();
	oracle_audit(o);
	fine();
	assert_int_equal(oracle_live(o), 0);
}

static void same_cids(void **state)
{
	(void)state;
	opened();
	oracle_cids(o, &config);
	assert_int_equal(oracle_live(o), 1);
	come_with(VSOCK_OP_RW, 0, 1);
	fine();
}

static void before_reset(void **state)
{
	static struct oracle_past past;
	const struct oracle_device d = { &config, .stream = true, .seqpacket = true,
					 .past = &past };

	(void)state;
	oracle_free(o);
	o = oracle_new(&d);
	opened();
	ours.src_port = theirs.dst_port = GP + 1;
	opened();
	came(RST); /* has ended */
	oracle_free(o);
	o = oracle_new(&d);
	theirs.dst_port = GP;
	come_with(VSOCK_OP_RW, 0, 10);
	come_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
	came(RST);
	fine();
	assert_int_equal(oracle_past_packets(o), 3);
	ours.src_port = GP;
	sent(REQUEST); /* reused */
	come_with(VSOCK_OP_RW, 0, 10);
	came(RESPONSE);
	come_with(VSOCK_OP_RW, 0, ROOM);
	fine();
	assert_int_equal(oracle_past_packets(o), 4);
	theirs.dst_port = GP + 1;
	come_with(VSOCK_OP_SHUTDOWN, BOTH, 0); /* the application's own, too late */
	assert_int_equal(oracle_past_packets(o), 5);
	fine();
	come_with(VSOCK_OP_RW, 0, 10);
	caught("of no connection");
}

/* A seqpacket's end, though the driver that came after the reset took no seqpackets; not of one that never was. */
static void type_before_reset(void **state)
{
	static struct oracle_past past;
	struct oracle_device d = { &config, .stream = true, .seqpacket = true, .past = &past };

	(void)state;
	oracle_free(o);
	o = oracle_new(&d);
	ours.type = theirs.type = VSOCK_SEQPACKET;
	opened();
	oracle_free(o);
	d.seqpacket = false;
	o = oracle_new(&d);
	come_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
	fine();
	assert_int_equal(oracle_past_packets(o), 1);
	theirs.dst_port = GP + 1;
	come_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
	caught("a type that was not negotiated");
}

static void many_connections(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 5000; i++) {
		ours.src_port = theirs.dst_port = GP + i;
		opened();
	}
	assert_int_equal(oracle_live(o), 5000);
	for (i = 0; i < 5000; i++) {
		ours.src_port = theirs.dst_port = GP + i;
		come_with(VSOCK_OP_RW, 0, ROOM);
		send_with(VSOCK_OP_SHUTDOWN, BOTH, 0);
		came(RST);
	}
	assert_int_equal(oracle_live(o), 0);
	all_read();
	oracle_audit(o);
	fine();
}

static void kept_and_counted(void **state)
{
	unsigned int i;

	(void)state;
	opened();
	for (i = 0; i < 100; i++) {
		came(RESPONSE);
		come_with(VSOCK_OP_RW, 0, 0);
	}
	assert_int_equal(oracle_count(o, true), 100);
	assert_int_equal(oracle_count(o, false), 100);
	assert_non_null(oracle_finding(o, 15));
	assert_null(oracle_finding(o, 16));
}

static void control_and_audit_of_nothing(void **state)
{
	(void)state;
	oracle_audit(o);
	assert_true(oracle_settled(o));
	oracle_free(NULL);
	fine();
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(no_header),
		T(len_past_used),
		T(len_short_of_used),
		T(payload_of_no_rw),
		T(foreign_source),
		T(listed_host_cid),
		T(high_bits_of_source),
		T(foreign_destination),
		T(destination_that_follows),
		T(destination_that_was),
		T(many_foreign_destinations),
		T(type_not_negotiated),
		T(unknown_type),
		T(type_of_another),
		T(no_such_operation),
		T(operation_invalid),
		T(flags_of_shutdown),
		T(empty_shutdown),
		T(eom_on_stream),
		T(flags_of_seqpacket),
		T(eor_without_eom),
		T(flags_of_credit_update),
		T(response_unasked),
		T(response_twice),
		T(response_to_an_end),
		T(request_on_connection),
		T(request_twice),
		T(request_after_end),
		T(requests_cross),
		T(data_before_response),
		T(data_before_our_response),
		T(credit_update_of_none),
		T(other_ports),
		T(request_unanswered),
		T(forged_request_unanswered),
		T(credit_kept),
		T(credit_given_back),
		T(smaller_buffer),
		T(larger_buffer_after_smaller),
		T(credit_wraps),
		T(fwd_cnt_ahead),
		T(fwd_cnt_of_request),
		T(fwd_cnt_of_response),
		T(fwd_cnt_below_zero),
		T(fwd_cnt_goes_back),
		T(old_fwd_cnt),
		T(fwd_cnt_wraps),
		T(counts_begin_anew),
		T(buffer_changes),
		T(buffer_of_nothing),
		T(buffer_is_changed),
		T(eor_unasked),
		T(credit_request_unanswered),
		T(credit_request_until_end),
		T(credit_request_answered),
		T(nothing_of_stream),
		T(empty_message),
		T(data_after_end_of_sending),
		T(end_of_sending_taken_back),
		T(data_after_end_of_receiving),
		T(shutdown_unanswered),
		T(shutdown_given_up),
		T(both_shut_down),
		T(clean_close),
		T(end_within_message),
		T(end_of_sending_within_message),
		T(close_within_message),
		T(host_closes_unsaid),
		T(host_closes_said),
		T(rst_of_nothing),
		T(rst_for_rst),
		T(rst_for_our_rst),
		T(resets_cross),
		T(refused_twice),
		T(one_rst_for_each),
		T(rst_for_data_of_none),
		T(late_rst),
		T(shutdown_answered_twice),
		T(shutdown_after_end),
		T(rst_not_swapped),
		T(rst_of_forged_addresses),
		T(rst_for_unknown_type),
		T(data_after_rst),
		T(data_after_our_rst),
		T(refused_by_us),
		T(reused_at_once),
		T(forged_request_on_connection),
		T(transport_reset),
		T(cid_goes),
		T(same_cids),
		T(before_reset),
		T(type_before_reset),
		T(many_connections),
		T(kept_and_counted),
		T(control_and_audit_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
