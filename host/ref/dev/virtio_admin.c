/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/virtio_admin.h"

#include <endian.h>
#include <errno.h>
#include <stddef.h>

#include "host/ref/dev/faults.h"

enum {
	LIST_QUERY = 0,
	LIST_USE = 1,
	GROUP_SELF = 0,
	Q_INVALID_COMMAND = 1,
	Q_INVALID_OPCODE = 2,
	Q_INVALID_FIELD = 3,
	Q_INVALID_GROUP = 4,
	COMMANDS = 1 << LIST_QUERY | 1 << LIST_USE,
};

struct command {
	uint16_t opcode, group_type;
	uint8_t reserved[12];
	uint64_t member;
	uint64_t used; /* of LIST_USE */
};

struct answer {
	uint16_t status, qualifier;
	uint8_t reserved[4];
	uint64_t commands; /* of LIST_QUERY */
};

static struct answer refuse(uint16_t qualifier)
{
	const bool other = qualifier == Q_INVALID_GROUP && fault(F_VFIO_ADMIN_STATUS);

	return (struct answer){ .status = htole16(other ? EIO : EINVAL),
				.qualifier = htole16(qualifier) };
}

static struct answer list_query(void)
{
	return (struct answer){ .commands = fault(F_VFIO_ADMIN_LIST) ? 0 : htole64(COMMANDS) };
}

static struct answer answer_to(const struct command *m, size_t len)
{
	if (len < offsetof(struct command, used))
		return refuse(Q_INVALID_COMMAND);
	if (le16toh(m->group_type) != GROUP_SELF || fault_on(F_VFIO_ADMIN_STATUS))
		return refuse(Q_INVALID_GROUP);
	switch (le16toh(m->opcode)) {
	case LIST_QUERY:
		return list_query();
	case LIST_USE:
		/* The lists themselves are used always. */
		if (len < sizeof(*m) || le64toh(m->used) & ~(uint64_t)COMMANDS)
			return refuse(fault(F_VFIO_ADMIN_FIELD) ? Q_INVALID_OPCODE :
								  Q_INVALID_FIELD);
		return (struct answer){ 0 };
	default:
		if (fault(F_VFIO_ADMIN_OPCODE))
			return (struct answer){ 0 };
		return refuse(Q_INVALID_OPCODE);
	}
}

static uint32_t serve(const struct ring_chain *c)
{
	struct command m = { 0 };
	const size_t len = chain_read(c, 0, &m, sizeof(m));
	const struct answer a = answer_to(&m, len);
	const bool list = le16toh(m.opcode) == LIST_QUERY && !a.status;

	return (uint32_t)chain_write(c, 0, &a,
				     list ? sizeof(a) : offsetof(struct answer, commands));
}

void virtio_admin_run(struct ring *r, struct ring_chain *c)
{
	do {
		while (ring_pop(r, c) == 1)
			ring_push(r, c, serve(c) * !fault(F_VFIO_ADMIN_LEN), false);
		ring_publish(r);
	} while (ring_want_kicks(r, true));
}
