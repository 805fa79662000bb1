/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vsock/oracle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/endian.h"

#define BOTH	 (VSOCK_SHUTDOWN_RCV | VSOCK_SHUTDOWN_SEND)
#define FIRST	 64u /* entries of a new table */
#define KEPT	 8   /* findings of either kind whose text is kept */
#define SUSPECTS 8

enum state {
	NONE,	 /* no connection: only packets of ours that have none, and what answers them */
	ASKED,	 /* our REQUEST is out */
	OFFERED, /* the host's REQUEST came, and we have not answered */
	OPEN,	 /* RESPONSE came or went */
	WE_ENDED, /* our RST is out, or an event ended it; what the host sent before it knew may come */
	ENDED, /* the host's RST came */
};

struct addr {
	uint64_t cid;
	uint32_t port;
};

/* When a packet of ours was sent, as the number of barriers that had begun. */
typedef uint32_t when_t;

struct conn {
	struct addr local, remote;
	uint16_t type;
	bool used; /* the entry of the table */

	enum state state;
	bool was_open;	 /* the host may have data on its way though we have ended it */
	bool unknown;	 /* of a type that does not exist */
	bool in_message; /* a seqpacket fragment without EOM was the last */
	bool gone_quiet; /* its end came by another way than RST: no answer is due */
	bool stale;	 /* begun anew at once: what the host had on its way before may come */
	bool late_shutdown, late_rst; /* came behind the end */
	bool host_closes;	      /* its application has closed its end */
	uint8_t we_shut, host_shut;
	when_t asked_at, ended_at, shut_rcv_at, shut_both_at, credit_asked_at;
	unsigned int responses_due; /* REQUESTs of ours without an answer */
	unsigned int credit_asked;  /* CREDIT_REQUESTs of ours, likewise */

	/*
	 * Packets of ours that an RST may answer: RSTs are never answered, and what the host has
	 * surely read needs no answer any more. Of two moments at a time.
	 */
	unsigned int answerable, answerable_before;
	when_t answerable_at, answerable_before_at;
	unsigned int unknown_due; /* packets of an unknown type, which RST must answer */

	/* Counted without the wrap at 2^32. */
	uint64_t sent, received;    /* payload bytes */
	uint64_t our_fwd, host_fwd; /* fwd_cnt as last told, the highest of the host's */
	when_t host_fwd_at;
	uint32_t host_buf; /* buf_alloc of the host's last packet */
	bool host_buf_known;
	uint64_t limit, newest_limit; /* received may reach this: by any header; by the newest */
	when_t newest_limit_at;
};

struct suspect { /* to a CID that is not listed, or not yet */
	struct vsock_hdr h;
};

struct oracle {
	struct conn *conns; /* open addressing */
	uint32_t size, num;
	bool no_memory;

	struct oracle_past *past;
	unsigned int past_packets;

	bool stream, seqpacket, buffers_change, records;
	uint32_t num_guest, num_host, num_old;
	uint64_t guest[VSOCK_MAX_CIDS], host[VSOCK_MAX_CIDS];
	uint64_t old[2 * VSOCK_MAX_CIDS]; /* were listed; packets from before the change may come */
	when_t old_until;

	/* What was sent before barrier number `read` began has surely been read. */
	when_t now, over, read;

	struct suspect suspects[SUSPECTS];
	unsigned int num_suspects;
	struct oracle_finding kept[2 * KEPT];
	unsigned int num_kept, count[2]; /* notes, breaches */
};

/* --- findings ----------------------------------------------------------------------------- */

static const char *op_name(uint16_t op)
{
	static const char *const names[] = { "INVALID",	      "REQUEST",       "RESPONSE",
					     "RST",	      "SHUTDOWN",      "RW",
					     "CREDIT_UPDATE", "CREDIT_REQUEST" };

	return op < sizeof(names) / sizeof(names[0]) ? names[op] : "op";
}

/* "RW 2:4001 > 3:50000 type 1 len 100 flags 0x0 buf 65536 fwd 0" */
static void describe(char *out, size_t size, const struct vsock_hdr *h)
{
	const uint16_t op = le16_to_cpu(h->op);
	char number[16] = "";

	if (op > VSOCK_OP_CREDIT_REQUEST)
		snprintf(number, sizeof(number), " %u", op);
	snprintf(out, size, "%s%s %llu:%u > %llu:%u type %u len %u flags 0x%x buf %u fwd %u",
		 op_name(op), number, (unsigned long long)le64_to_cpu(h->src_cid),
		 (unsigned int)le32_to_cpu(h->src_port),
		 (unsigned long long)le64_to_cpu(h->dst_cid),
		 (unsigned int)le32_to_cpu(h->dst_port), le16_to_cpu(h->type),
		 (unsigned int)le32_to_cpu(h->len), (unsigned int)le32_to_cpu(h->flags),
		 (unsigned int)le32_to_cpu(h->buf_alloc), (unsigned int)le32_to_cpu(h->fwd_cnt));
}

static struct oracle_finding *keep(struct oracle *o, bool must)
{
	struct oracle_finding *f;
	unsigned int i, same = 0;

	o->count[must]++;
	for (i = 0; i < o->num_kept; i++)
		same += o->kept[i].must == must;
	if (same == KEPT)
		return NULL;
	f = &o->kept[o->num_kept++];
	f->must = must;
	return f;
}

static void __attribute__((format(printf, 4, 5)))
find(struct oracle *o, bool must, const struct vsock_hdr *h, const char *fmt, ...)
{
	struct oracle_finding *f = keep(o, must);
	size_t n;
	va_list ap;

	if (!f)
		return;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	n = strlen(f->text);
	if (!h || n + 3 >= sizeof(f->text))
		return;
	memcpy(f->text + n, ": ", 3);
	describe(f->text + n + 2, sizeof(f->text) - n - 2, h);
}

#define breach(o, h, ...) find(o, true, h, __VA_ARGS__)
#define note(o, h, ...)	  find(o, false, h, __VA_ARGS__)

/* A packet that is missing has no header to show, so that the finding names the connection instead. */
static void missing(struct oracle *o, const struct conn *c, const char *what)
{
	breach(o, NULL, "%s (guest %llu:%u, host %llu:%u, type %u)", what,
	       (unsigned long long)c->local.cid, (unsigned int)c->local.port,
	       (unsigned long long)c->remote.cid, (unsigned int)c->remote.port, c->type);
}

const struct oracle_finding *oracle_finding(const struct oracle *o, unsigned int n)
{
	return n < o->num_kept ? &o->kept[n] : NULL;
}

unsigned int oracle_count(const struct oracle *o, bool must)
{
	return o->count[must];
}

/* --- the table ---------------------------------------------------------------------------- */

static uint32_t hash_of(struct addr local, struct addr remote, uint16_t type)
{
	uint64_t h = local.cid * 0x9e3779b97f4a7c15ull;

	h = (h ^ local.port) * 0x9e3779b97f4a7c15ull;
	h = (h ^ remote.cid) * 0x9e3779b97f4a7c15ull;
	h = (h ^ remote.port ^ (uint64_t)type << 32) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(h >> 32);
}

/* The entry of these addresses, or the free one where it would stand. */
static struct conn *entry(const struct oracle *o, struct addr local, struct addr remote,
			  uint16_t type)
{
	uint32_t i = hash_of(local, remote, type) & (o->size - 1);
	struct conn *c;

	for (;; i = (i + 1) & (o->size - 1)) {
		c = &o->conns[i];
		if (!c->used ||
		    (c->type == type && c->local.cid == local.cid && c->local.port == local.port &&
		     c->remote.cid == remote.cid && c->remote.port == remote.port))
			return c;
	}
}

static bool grow(struct oracle *o)
{
	struct conn *old = o->conns;
	const uint32_t size = o->size;
	uint32_t i;

	o->conns = calloc(size * 2, sizeof(*old));
	if (!o->conns) {
		o->conns = old;
		return false;
	}
	o->size = size * 2;
	for (i = 0; i < size; i++)
		if (old[i].used)
			*entry(o, old[i].local, old[i].remote, old[i].type) = old[i];
	free(old);
	return true;
}

static struct conn *look_up(const struct oracle *o, struct addr local, struct addr remote,
			    uint16_t type)
{
	struct conn *c = entry(o, local, remote, type);

	return c->used ? c : NULL;
}

/* Looks it up, and makes it if need be. NULL: no memory. */
static struct conn *get(struct oracle *o, struct addr local, struct addr remote, uint16_t type)
{
	struct conn *c = look_up(o, local, remote, type);

	if (c)
		return c;
	if (o->num >= o->size / 4 * 3 && !grow(o)) {
		o->no_memory = true;
		return NULL;
	}
	c = entry(o, local, remote, type);
	*c = (struct conn){ .local = local, .remote = remote, .type = type, .used = true };
	c->unknown = type != VSOCK_STREAM && type != VSOCK_SEQPACKET;
	o->num++;
	return c;
}

/* The two lowest bits of an entry: there is one; RST had ended it. */
enum {
	PAST = 1,
	PAST_ENDED = 2
};

/* Whether a connection from before a reset may send this operation: one that has ended, its end only. */
static bool in_past(const struct oracle *o, struct addr local, struct addr remote, uint16_t type,
		    uint16_t op)
{
	const uint32_t hash = hash_of(local, remote, type) & ~(uint32_t)(PAST | PAST_ENDED);
	unsigned int i;

	for (i = 1; o->past && i <= ORACLE_PAST; i++) { /* the newest first */
		const uint32_t e = o->past->hash[(o->past->next - i) % ORACLE_PAST];

		if ((e & PAST) && (e & ~(uint32_t)(PAST | PAST_ENDED)) == hash)
			return !(e & PAST_ENDED) || op == VSOCK_OP_SHUTDOWN || op == VSOCK_OP_RST;
	}
	return false;
}

static void to_past(struct oracle_past *p, const struct conn *c)
{
	const uint32_t hash = hash_of(c->local, c->remote, c->type);

	p->hash[p->next++ % ORACLE_PAST] = (hash & ~(uint32_t)(PAST | PAST_ENDED)) | PAST |
					   (c->state == ENDED ? PAST_ENDED : 0);
}

#define for_each_conn(c, o)                                                                        \
	for (struct conn *c = (o)->conns; c < (o)->conns + (o)->size; c++)                         \
		if (c->used)

/* --- time --------------------------------------------------------------------------------- */

/* Whether the host has surely read what we sent then, and all that it sent before has come. */
static bool was_read(const struct oracle *o, when_t at)
{
	return at < o->read;
}

void oracle_barrier(struct oracle *o, bool over)
{
	if (!over) {
		o->now++;
		return;
	}
	o->read = o->over;
	o->over = o->now;
}

/* --- what we send ------------------------------------------------------------------------- */

static void count_answerable(struct oracle *o, struct conn *c)
{
	if (c->answerable_at != o->now) {
		if (was_read(o, c->answerable_before_at))
			c->answerable_before = 0;
		c->answerable_before += c->answerable;
		c->answerable_before_at = c->answerable_at;
		c->answerable_at = o->now;
		c->answerable = 0;
	}
	c->answerable++;
}

static bool take_answerable(struct oracle *o, struct conn *c)
{
	if (was_read(o, c->answerable_before_at))
		c->answerable_before = 0;
	if (was_read(o, c->answerable_at))
		c->answerable = 0;
	if (c->answerable_before)
		c->answerable_before--;
	else if (c->answerable)
		c->answerable--;
	else
		return false;
	return true;
}

/* A connection begins: all counts of its flow at 0. What we sent before may be answered yet. */
static void begin(struct oracle *o, struct conn *c, enum state state)
{
	c->stale = c->state == WE_ENDED && c->was_open && !was_read(o, c->ended_at);
	c->state = state;
	c->late_shutdown = c->late_rst = c->host_buf_known = false;
	c->was_open = c->in_message = c->gone_quiet = c->host_closes = false;
	c->we_shut = c->host_shut = 0;
	c->asked_at = o->now;
	c->credit_asked = 0;
	c->sent = c->received = c->our_fwd = c->host_fwd = c->limit = c->newest_limit = 0;
}

/* Both fields count modulo 2^32, from the last value on. */
static uint64_t unwrap(uint64_t last, uint32_t v)
{
	return last + (uint64_t)(int64_t)(int32_t)(v - (uint32_t)last);
}

static void promise(struct oracle *o, struct conn *c, const struct vsock_hdr *h)
{
	/* A host that has read the newest header so far cannot rely on one before it. */
	if (was_read(o, c->newest_limit_at))
		c->limit = c->newest_limit;
	c->our_fwd = unwrap(c->our_fwd, le32_to_cpu(h->fwd_cnt));
	c->newest_limit = c->our_fwd + le32_to_cpu(h->buf_alloc);
	c->newest_limit_at = o->now;
	if (c->newest_limit > c->limit)
		c->limit = c->newest_limit;
}

static void we_shut(struct oracle *o, struct conn *c, uint32_t flags)
{
	const uint8_t fresh = (uint8_t)(flags & BOTH & ~c->we_shut);

	c->we_shut |= fresh;
	if (fresh & VSOCK_SHUTDOWN_RCV)
		c->shut_rcv_at = o->now;
	if (fresh && c->we_shut == BOTH)
		c->shut_both_at = o->now;
}

static bool known_cid(const uint64_t *list, uint32_t n, uint64_t cid)
{
	while (n--)
		if (list[n] == cid)
			return true;
	return false;
}

static bool is_host(const struct oracle *o, uint64_t cid)
{
	return cid == VSOCK_CID_HOST || known_cid(o->host, o->num_host, cid);
}

static bool addressed(const struct oracle *o, const struct conn *c)
{
	return known_cid(o->guest, o->num_guest, c->local.cid) && is_host(o, c->remote.cid);
}

static bool type_allowed(const struct oracle *o, uint16_t type)
{
	return type == VSOCK_STREAM ? o->stream : type == VSOCK_SEQPACKET && o->seqpacket;
}

#define NO_CREDIT "5.10.6.3: no CREDIT_UPDATE for a CREDIT_REQUEST"

/* A host that has closed waits for the guest's RST, and answers nothing. */
static bool credit_due(const struct oracle *o, const struct conn *c)
{
	return c->state == OPEN && c->host_shut != BOTH && c->credit_asked &&
	       was_read(o, c->credit_asked_at);
}

/* What is due on a connection and has not come. NULL: nothing. */
static const char *due(const struct oracle *o, const struct conn *c)
{
	if (c->unknown_due && addressed(o, c) && was_read(o, c->answerable_at))
		return "5.10.6.4.2 MUST: no RST for a packet of an unknown type";
	if (c->gone_quiet || !addressed(o, c) || !type_allowed(o, c->type))
		return NULL;
	if (c->state == ASKED && was_read(o, c->asked_at))
		return "5.10.6.5: neither RESPONSE nor RST for a REQUEST";
	if (c->state != OPEN || c->host_shut == BOTH)
		return NULL;
	if (credit_due(o, c))
		return NO_CREDIT;
	if (c->we_shut == BOTH && was_read(o, c->shut_both_at))
		return "5.10.6.5: no RST for a SHUTDOWN of both directions";
	if (c->host_closes && !c->host_shut)
		return "5.10.6.5: the host's application has closed its end, neither SHUTDOWN nor RST came";
	return NULL;
}

void oracle_advanced(struct oracle *o, const struct vsock_hdr *h, uint32_t n)
{
	const struct addr local = { le64_to_cpu(h->src_cid), le32_to_cpu(h->src_port) };
	const struct addr remote = { le64_to_cpu(h->dst_cid), le32_to_cpu(h->dst_port) };
	struct conn *c = look_up(o, local, remote, le16_to_cpu(h->type));

	if (!c)
		return;
	c->sent += n;
	c->received += n;
	c->our_fwd += n;
	c->host_fwd += n;
	c->limit += n;
	c->newest_limit += n;
}

void oracle_sent(struct oracle *o, const struct vsock_hdr *h)
{
	const struct addr local = { le64_to_cpu(h->src_cid), le32_to_cpu(h->src_port) };
	const struct addr remote = { le64_to_cpu(h->dst_cid), le32_to_cpu(h->dst_port) };
	const uint16_t type = le16_to_cpu(h->type), op = le16_to_cpu(h->op);
	struct conn *c = look_up(o, local, remote, type);

	if (!c && op == VSOCK_OP_RST) /* of no connection, and never answered */
		return;
	c = c ? c : get(o, local, remote, type);
	if (!c)
		return;
	if (op == VSOCK_OP_RST) {
		if (c->state == ASKED || c->state == OFFERED || c->state == OPEN) {
			if (due(o, c))
				missing(o, c, due(o, c));
			c->state = WE_ENDED;
			c->ended_at = o->now;
		}
		return;
	}
	count_answerable(o, c);
	c->unknown_due += c->unknown;
	switch (op) {
	case VSOCK_OP_REQUEST:
		if (c->state == NONE || c->state == WE_ENDED || c->state == ENDED) {
			c->responses_due = 0;
			begin(o, c, ASKED);
		}
		c->responses_due++;
		break;
	case VSOCK_OP_RESPONSE:
		if (c->state == OFFERED) {
			c->state = OPEN;
			c->was_open = true;
		}
		break;
	case VSOCK_OP_SHUTDOWN:
		we_shut(o, c, le32_to_cpu(h->flags));
		break;
	case VSOCK_OP_RW:
		c->sent += le32_to_cpu(h->len);
		break;
	case VSOCK_OP_CREDIT_REQUEST:
		c->credit_asked++;
		c->credit_asked_at = o->now;
		break;
	default:
		break;
	}
	if (c->state != NONE)
		promise(o, c, h);
}

/* --- what comes --------------------------------------------------------------------------- */

static void suspect(struct oracle *o, const struct vsock_hdr *h)
{
	if (o->num_suspects < SUSPECTS)
		o->suspects[o->num_suspects++].h = *h;
	else
		breach(o, h, "5.10.6.2: dst_cid is none of the guest's");
}

/* Addresses and type of what is no answer to a packet of ours. */
static bool check_addresses(struct oracle *o, const struct vsock_hdr *h)
{
	const uint64_t src = le64_to_cpu(h->src_cid), dst = le64_to_cpu(h->dst_cid);
	const uint16_t type = le16_to_cpu(h->type);
	const bool late = !was_read(o, o->old_until);

	if (!is_host(o, src) && !(late && known_cid(o->old, o->num_old, src))) {
		breach(o, h, "5.10.6.2: src_cid is none of the host's");
		return false;
	}
	if (!known_cid(o->guest, o->num_guest, dst) &&
	    !(late && known_cid(o->old, o->num_old, dst))) {
		/* The device may have CIDs that the driver has not read yet. */
		suspect(o, h);
		return false;
	}
	/* A host that keeps connections over a reset keeps their types. */
	if (!type_allowed(o, type) &&
	    !in_past(o, (struct addr){ dst, le32_to_cpu(h->dst_port) },
		     (struct addr){ src, le32_to_cpu(h->src_port) }, type, le16_to_cpu(h->op))) {
		breach(o, h, "5.10.3 and 5.10.6.2: a type that was not negotiated");
		return false;
	}
	return true;
}

/* 5.10.6.5 and 5.10.6.6 say which flags there are: two of SHUTDOWN, two of a seqpacket's RW. */
static void check_flags(struct oracle *o, const struct vsock_hdr *h)
{
	const uint32_t flags = le32_to_cpu(h->flags);
	const uint16_t op = le16_to_cpu(h->op);
	uint32_t legal = 0;

	if (op == VSOCK_OP_SHUTDOWN)
		legal = BOTH;
	else if (op == VSOCK_OP_RW && le16_to_cpu(h->type) == VSOCK_SEQPACKET)
		legal = VSOCK_SEQ_EOM | VSOCK_SEQ_EOR;
	if (flags & ~legal)
		breach(o, h, "5.10.6.5 and 5.10.6.6: flags 0x%x, which this packet does not have",
		       (unsigned int)(flags & ~legal));
	else if (op == VSOCK_OP_RW && (flags & VSOCK_SEQ_EOR) && !o->records)
		breach(o, h, "5.10.6.6: EOR, and no application of the host has set it");
	else if (op == VSOCK_OP_RW && flags == VSOCK_SEQ_EOR)
		breach(o, h, "5.10.6.6: EOR without EOM, and a record ends with a message");
	else if (op == VSOCK_OP_SHUTDOWN && !flags)
		note(o, h, "5.10.6.5: SHUTDOWN that says nothing");
}

/* 5.10.6.3.2 MUST: buf_alloc and fwd_cnt are valid in each packet of a flow. */
static void check_credit(struct oracle *o, struct conn *c, const struct vsock_hdr *h)
{
	const uint64_t fwd = unwrap(c->host_fwd, le32_to_cpu(h->fwd_cnt));

	if ((int64_t)fwd < 0 || fwd > c->sent) {
		breach(o, h, "5.10.6.3.2 MUST: fwd_cnt beyond the %llu bytes that were sent",
		       (unsigned long long)c->sent);
		return;
	}
	if (fwd < c->host_fwd) {
		/*
		 * It was true once: a host that fills in a header before it queues the packet may
		 * swap two. But no packet waits for two round trips.
		 */
		find(o, was_read(o, c->host_fwd_at), h,
		     "5.10.6.3.2 MUST: fwd_cnt goes back, from %llu",
		     (unsigned long long)c->host_fwd);
	} else if (fwd > c->host_fwd) {
		c->host_fwd = fwd;
		c->host_fwd_at = o->now;
	}
	if (c->host_buf_known && c->host_buf != le32_to_cpu(h->buf_alloc) && !o->buffers_change)
		breach(o, h, "5.10.6.3.2 MUST: buf_alloc was %u, and nobody has changed it",
		       (unsigned int)c->host_buf);
	c->host_buf = le32_to_cpu(h->buf_alloc);
	c->host_buf_known = true;
}

/* Somebody who asks for a connection, or takes it, has room for what comes. */
static void check_room(struct oracle *o, const struct vsock_hdr *h)
{
	if (!le32_to_cpu(h->buf_alloc))
		breach(o, h, "5.10.6.3.2 MUST: a connection begins with a buf_alloc of 0");
}

static void host_requests(struct oracle *o, const struct vsock_hdr *h, struct addr local,
			  struct addr remote)
{
	struct conn *c = get(o, local, remote, le16_to_cpu(h->type));

	if (!c)
		return;
	if (c->state == OFFERED || c->state == OPEN)
		breach(o, h, "5.10.6.5: REQUEST for a connection that there is already");
	else if (c->state == ASKED)
		note(o, h, "5.10.6.5: REQUEST for a connection that the guest has just asked for");
	begin(o, c, OFFERED);
	check_room(o, h);
	check_credit(o, c, h);
}

static void host_responds(struct oracle *o, struct conn *c, const struct vsock_hdr *h)
{
	const bool late = c && c->state == WE_ENDED && !was_read(o, c->ended_at);

	if (!c || !c->responses_due || (c->state != ASKED && c->state != OPEN && !late)) {
		breach(o, h, "5.10.6.5: RESPONSE, and no REQUEST of the guest waits for it");
		return;
	}
	c->responses_due--;
	take_answerable(o, c);
	c->was_open = true;
	if (c->state == ASKED)
		c->state = OPEN;
	check_room(o, h);
	check_credit(o, c, h);
}

static void host_resets(struct oracle *o, struct conn *c, const struct vsock_hdr *h)
{
	if (!c) {
		breach(o, h, "5.10.6.5: RST that answers no packet, of no connection");
		return;
	}
	c->unknown_due -= c->unknown_due > 0;
	switch (c->state) {
	case ASKED: /* it answers the REQUEST */
		take_answerable(o, c);
		c->responses_due = 0;
		break;
	case OPEN:
		if (credit_due(o, c))
			missing(o, c, NO_CREDIT);
		if (c->we_shut == BOTH) /* it answers the SHUTDOWN */
			take_answerable(o, c);
		break;
	case OFFERED: /* the host's application gave up */
		break;
	case WE_ENDED: /* it crosses ours */
		if (!was_read(o, c->ended_at))
			break;
		/* fallthrough */
	case NONE:
	case ENDED:
		if (take_answerable(o, c))
			return;
		/* Linux sends one more when the application closes a socket that is done. */
		if (c->was_open && !c->late_rst) {
			c->late_rst = true;
			note(o, h, "5.10.6.5: RST for a connection that has ended");
			return;
		}
		breach(o, h,
		       c->state == NONE ? "5.10.6.5: RST that answers no packet, of no connection" :
		       c->state == ENDED ? "5.10.6.5: RST after RST, with no packet between" :
					   "5.10.6.5: RST that answers an RST");
		return;
	}
	c->state = ENDED;
}

/* Whether the host may have sent it on this connection before it knew that it ended. */
static bool flow_open(struct oracle *o, const struct conn *c)
{
	return c && (c->state == OPEN ||
		     (c->state == WE_ENDED && c->was_open && !was_read(o, c->ended_at)));
}

static const char *why_not_open(const struct conn *c)
{
	if (!c || c->state == NONE)
		return "5.10.6.5: of no connection";
	if (c->state == ASKED)
		return "5.10.6.5: before RESPONSE";
	if (c->state == OFFERED)
		return "5.10.6.5: before the guest has accepted the connection";
	return c->state == ENDED ? "5.10.6.5: after the host's RST" : "5.10.6.5: after our RST";
}

static void host_sends(struct oracle *o, struct conn *c, const struct vsock_hdr *h)
{
	const uint32_t len = le32_to_cpu(h->len);

	if (c->host_shut & VSOCK_SHUTDOWN_SEND)
		breach(o, h,
		       "5.10.6.5: RW after the host's SHUTDOWN of sending, which is permanent");
	if (len && (c->we_shut & VSOCK_SHUTDOWN_RCV) && was_read(o, c->shut_rcv_at))
		breach(o, h, "5.10.6.5: RW after the guest's SHUTDOWN of receiving was read");
	if (was_read(o, c->newest_limit_at))
		c->limit = c->newest_limit;
	c->received += len;
	/* An empty message takes no room. */
	if (len && c->received > c->limit)
		breach(o, h, "5.10.6.3.2 MUST: RW %llu bytes beyond the guest's credit",
		       (unsigned long long)(c->received - c->limit));
	if (c->type == VSOCK_SEQPACKET)
		c->in_message = !(le32_to_cpu(h->flags) & VSOCK_SEQ_EOM);
	if (!len && (c->type == VSOCK_STREAM || c->in_message))
		note(o, h, "5.10.6: RW that carries nothing");
}

static void host_shuts(struct oracle *o, struct conn *c, const struct vsock_hdr *h)
{
	const uint32_t flags = le32_to_cpu(h->flags) & BOTH;

	if (c->in_message && (flags & ~c->host_shut & VSOCK_SHUTDOWN_SEND)) {
		if ((flags | c->host_shut) == VSOCK_SHUTDOWN_SEND)
			breach(o, h,
			       "5.10.6.6: end of sending within a message, whose EOM did not come");
		else
			note(o, h, "5.10.6.6: closed within a message");
	}
	c->host_shut |= (uint8_t)flags;
}

static void on_flow(struct oracle *o, struct conn *c, const struct vsock_hdr *h)
{
	const uint16_t op = le16_to_cpu(h->op);

	if (c && c->state == ASKED && c->stale && !was_read(o, c->ended_at))
		return;
	/* Linux: the application shuts down, too, a socket that RST has ended. */
	if (c && c->was_open && (c->state == ENDED || c->state == WE_ENDED) && !flow_open(o, c) &&
	    op == VSOCK_OP_SHUTDOWN && !c->late_shutdown) {
		c->late_shutdown = true;
		note(o, h, "5.10.6.5: SHUTDOWN of a connection that has ended");
		return;
	}
	if (!flow_open(o, c)) {
		breach(o, h, "%s", why_not_open(c));
		return;
	}
	check_credit(o, c, h);
	if (op == VSOCK_OP_RW)
		host_sends(o, c, h);
	else if (op == VSOCK_OP_SHUTDOWN)
		host_shuts(o, c, h);
	else if (op == VSOCK_OP_CREDIT_UPDATE)
		c->credit_asked = 0;
}

void oracle_received(struct oracle *o, const struct vsock_hdr *h, uint32_t used_len)
{
	const uint32_t room = used_len - (uint32_t)sizeof(*h);
	struct addr local, remote;
	uint32_t len;
	uint16_t op;
	struct conn *c;

	if (!h) {
		breach(o, NULL, "5.10.6: a packet of %u bytes, which hold no header",
		       (unsigned int)used_len);
		return;
	}
	local = (struct addr){ le64_to_cpu(h->dst_cid), le32_to_cpu(h->dst_port) };
	remote = (struct addr){ le64_to_cpu(h->src_cid), le32_to_cpu(h->src_port) };
	len = le32_to_cpu(h->len);
	op = le16_to_cpu(h->op);
	if (len > room) {
		breach(o, h, "5.10.6: len is more than the %u bytes behind the header",
		       (unsigned int)room);
		return;
	}
	if (len < room) /* 2.7.8.2: the used length is a lower bound of what was written */
		note(o, h, "5.10.6: %u bytes behind the payload", (unsigned int)(room - len));
	c = look_up(o, local, remote, le16_to_cpu(h->type));
	/* An answer has the addresses and the type of what it answers, whatever those are. */
	if (!(c && op == VSOCK_OP_RST) && !check_addresses(o, h))
		return;
	if (op < VSOCK_OP_REQUEST || op > VSOCK_OP_CREDIT_REQUEST) {
		breach(o, h, "5.10.6: no such operation");
		return;
	}
	if (len && op != VSOCK_OP_RW)
		breach(o, h, "5.10.6: a payload in a packet that is no RW");
	check_flags(o, h);
	if ((!c || c->state == NONE || c->state == ASKED) && op != VSOCK_OP_REQUEST &&
	    op != VSOCK_OP_RESPONSE && !(c && op == VSOCK_OP_RST) &&
	    in_past(o, local, remote, le16_to_cpu(h->type), op)) {
		o->past_packets++;
		return;
	}
	if (op == VSOCK_OP_REQUEST)
		host_requests(o, h, local, remote);
	else if (op == VSOCK_OP_RESPONSE)
		host_responds(o, c, h);
	else if (op == VSOCK_OP_RST)
		host_resets(o, c, h);
	else
		on_flow(o, c, h);
}

/* --- what happens to the device ------------------------------------------------------------ */

static void end_quietly(struct oracle *o, struct conn *c)
{
	if (c->state != ASKED && c->state != OFFERED && c->state != OPEN)
		return;
	c->state = WE_ENDED;
	c->ended_at = o->now;
	c->gone_quiet = true;
}

static void take_cids(struct oracle *o, const struct vsock_config *config)
{
	o->num_guest = config->num_guest < VSOCK_MAX_CIDS ? config->num_guest : VSOCK_MAX_CIDS;
	o->num_host = config->num_host < VSOCK_MAX_CIDS ? config->num_host : VSOCK_MAX_CIDS;
	memcpy(o->guest, config->guest, o->num_guest * sizeof(o->guest[0]));
	memcpy(o->host, config->host, o->num_host * sizeof(o->host[0]));
}

static void forgive(struct oracle *o)
{
	unsigned int i, n = 0;

	for (i = 0; i < o->num_suspects; i++)
		if (!known_cid(o->guest, o->num_guest, le64_to_cpu(o->suspects[i].h.dst_cid)))
			o->suspects[n++] = o->suspects[i];
	o->num_suspects = n;
}

void oracle_host_buffers(struct oracle *o)
{
	o->buffers_change = true;
}

void oracle_cids(struct oracle *o, const struct vsock_config *config)
{
	if (config->num_guest == o->num_guest && config->num_host == o->num_host &&
	    !memcmp(config->guest, o->guest, o->num_guest * sizeof(o->guest[0])) &&
	    !memcmp(config->host, o->host, o->num_host * sizeof(o->host[0])))
		return;
	memcpy(o->old, o->guest, o->num_guest * sizeof(o->guest[0]));
	memcpy(o->old + o->num_guest, o->host, o->num_host * sizeof(o->host[0]));
	o->num_old = o->num_guest + o->num_host;
	o->old_until = o->now;
	take_cids(o, config);
	forgive(o);
	for_each_conn(c, o) if (!addressed(o, c)) end_quietly(o, c);
}

void oracle_transport_reset(struct oracle *o)
{
	for_each_conn(c, o) end_quietly(o, c);
}

void oracle_host_closes(struct oracle *o, const uint32_t *others, unsigned int n)
{
	unsigned int i;

	for_each_conn(c, o)
	{
		/* With data that waits for credit the end waits, too. */
		bool closes = c->state == OPEN && c->received < c->limit;

		for (i = 0; i < n; i++)
			closes = closes && c->remote.port != others[i];
		c->host_closes = closes;
	}
}

/* --- the verdict -------------------------------------------------------------------------- */

bool oracle_settled(struct oracle *o)
{
	for_each_conn(c, o) if (due(o, c)) return false;
	return true;
}

void oracle_audit(struct oracle *o)
{
	unsigned int i;

	for (i = 0; i < o->num_suspects; i++)
		breach(o, &o->suspects[i].h, "5.10.6.2: dst_cid is none of the guest's");
	o->num_suspects = 0;
	for_each_conn(c, o)
	{
		const char *what = due(o, c);

		if (what)
			missing(o, c, what);
	}
	if (o->no_memory)
		note(o, NULL, "no memory for all connections: some packets were not looked at");
}

unsigned int oracle_past_packets(const struct oracle *o)
{
	return o->past_packets;
}

unsigned int oracle_live(const struct oracle *o)
{
	unsigned int n = 0;

	for_each_conn(c, o) n += c->state == ASKED || c->state == OFFERED || c->state == OPEN ||
				 (c->state == WE_ENDED && !was_read(o, c->ended_at));
	return n;
}

struct oracle *oracle_new(const struct oracle_device *d)
{
	struct oracle *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->size = FIRST;
	o->conns = calloc(o->size, sizeof(*o->conns));
	if (!o->conns) {
		free(o);
		return NULL;
	}
	o->stream = d->stream;
	o->seqpacket = d->seqpacket;
	o->records = d->records;
	o->past = d->past;
	/* `at < read` holds of nothing before the second barrier is over. */
	o->now = 1;
	take_cids(o, d->config);
	return o;
}

void oracle_free(struct oracle *o)
{
	if (!o)
		return;
	for_each_conn(c, o)
	{
		const bool may_send = c->state != ENDED || c->was_open || c->answerable ||
				      c->answerable_before;

		if (o->past && may_send)
			to_past(o->past, c);
	}
	free(o->conns);
	free(o);
}
