/* SPDX-License-Identifier: BSD-2-Clause */
/* errname.h: the table of error codes and their words. */
#include "lib/errname.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>

static const struct {
	int err;
	const char *text;
} texts[] = {
	{ 0, "no error" },
	{ EACCES, "access denied" },
	{ EADDRINUSE, "address in use" },
	{ EADDRNOTAVAIL, "address not available" },
	{ EAGAIN, "try again" },
	{ EBADMSG, "damaged message" },
	{ EBUSY, "busy" },
	{ ECANCELED, "cancelled" },
	{ ECONNREFUSED, "connection refused" },
	{ ECONNRESET, "connection reset" },
	{ EEXIST, "exists already" },
	{ EFAULT, "bad address" },
	{ EINTR, "interrupted" },
	{ EINVAL, "invalid argument" },
	{ EIO, "input/output error" },
	{ EMSGSIZE, "message too long" },
	{ ENETUNREACH, "network unreachable" },
	{ ENODEV, "no such device" },
	{ ENOENT, "not found" },
	{ ENOMEM, "no memory" },
	{ ENOSPC, "no space" },
	{ ENOSYS, "not implemented" },
	{ ENOTCONN, "not connected" },
	{ EOPNOTSUPP, "not supported" },
	{ EPERM, "not permitted" },
	{ EPIPE, "the other side takes no more" },
	{ EPROTO, "protocol violated" },
	{ EPROTONOSUPPORT, "protocol version not supported" },
	{ ERANGE, "out of range" },
	{ ETIMEDOUT, "timed out" },
};

const char *err_text(int err)
{
	static char number[24]; /* for one message at a time */
	size_t i;

	if (err < 0)
		err = -err;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].err == err)
			return texts[i].text;
	snprintf(number, sizeof(number), "error %d", err);
	return number;
}
