/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/common/util.h"

#define ANSWER_MAX (256u << 10)

/* Reads until text is in what came since b->s + from. */
static bool await(int fd, struct sbuf *b, size_t from, const char *text, uint64_t end)
{
	char chunk[4096];

	while (!b->s || !strstr(b->s + from, text)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		const uint64_t now = now_ms();
		ssize_t n;

		if (now >= end || b->len > ANSWER_MAX || poll(&p, 1, (int)(end - now)) <= 0)
			return false;
		n = read(fd, chunk, sizeof(chunk));
		if (n <= 0)
			return false;
		sbuf_addn(b, chunk, strnlen(chunk, (size_t)n));
	}
	return true;
}

static bool ask(int fd, struct sbuf *b, const char *text, const char *answer, uint64_t end)
{
	const size_t from = b->len;

	if (send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		return false;
	return await(fd, b, from, answer, end);
}

/* The JSON string that starts at s, as text. */
static char *unescape(const char *s)
{
	struct sbuf out = { 0 };

	for (; *s && *s != '"'; s++) {
		if (*s != '\\') {
			sbuf_addn(&out, s, 1);
			continue;
		}
		if (!*++s)
			break;
		if (*s == 'n')
			sbuf_add(&out, "\n");
		else if (*s != 'r')
			sbuf_addn(&out, s, 1);
	}
	return sbuf_steal(&out);
}

/* The socket at path, ready for commands, or -1. What came so far is in *b. */
static int open_qmp(const char *path, struct sbuf *b, uint64_t end)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(a.sun_path))
		return -1;
	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && await(fd, b, 0, "QMP", end) &&
	    ask(fd, b, "{\"execute\":\"qmp_capabilities\"}\r\n", "return", end))
		return fd;
	close(fd);
	return -1;
}

char *qmp_registers(const char *path, unsigned int timeout_ms)
{
	static const char request[] = "{\"execute\":\"human-monitor-command\",\"arguments\":"
				      "{\"command-line\":\"info registers -a\"}}\r\n";
	const uint64_t end = now_ms() + timeout_ms;
	struct sbuf b = { 0 };
	char *text = NULL, *at;
	const int fd = open_qmp(path, &b, end);
	const size_t from = b.len;

	if (fd >= 0 && ask(fd, &b, request, "\"}", end)) {
		at = strstr(b.s + from, "\"return\": \"");
		text = at ? unescape(at + strlen("\"return\": \"")) : NULL;
	}
	if (fd >= 0)
		close(fd);
	sbuf_free(&b);
	return text;
}

bool qmp_execute(const char *path, const char *command, unsigned int timeout_ms)
{
	const uint64_t end = now_ms() + timeout_ms;
	char *request = xasprintf("{\"execute\":\"%s\"}\r\n", command);
	struct sbuf b = { 0 };
	const int fd = open_qmp(path, &b, end);
	const bool ok = fd >= 0 && ask(fd, &b, request, "\"return\"", end);

	if (fd >= 0)
		close(fd);
	sbuf_free(&b);
	free(request);
	return ok;
}
