/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/qmp.h"

#include <cjson/cJSON.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/common/util.h"

#define ANSWER_MAX (256u << 10)

struct qmp {
	int fd;
	struct sbuf in; /* what came and was not taken yet */
	uint64_t end;	/* now_ms() */
};

/* The next message, which is a line; NULL: none came in time, or it is no JSON. */
static cJSON *next_message(struct qmp *q)
{
	struct pollfd p = { .fd = q->fd, .events = POLLIN };
	char chunk[4096], *eol;
	size_t line;
	cJSON *m;

	while (!q->in.len || !(eol = memchr(q->in.s, '\n', q->in.len))) {
		const uint64_t now = now_ms();
		ssize_t n;

		if (now >= q->end || q->in.len > ANSWER_MAX ||
		    poll(&p, 1, (int)(q->end - now)) <= 0)
			return NULL;
		n = read(q->fd, chunk, sizeof(chunk));
		if (n <= 0)
			return NULL;
		sbuf_addn(&q->in, chunk, (size_t)n);
	}
	line = (size_t)(eol - q->in.s) + 1;
	m = cJSON_ParseWithLength(q->in.s, line);
	q->in.len -= line;
	memmove(q->in.s, q->in.s + line, q->in.len);
	return m;
}

/* What a command returns; events that come meanwhile are nobody's. NULL: an error, or no answer. Frees arguments. */
static cJSON *execute(struct qmp *q, const char *command, cJSON *arguments)
{
	cJSON *request = cJSON_CreateObject(), *m, *result = NULL;
	char *text;
	size_t n;
	bool sent;

	cJSON_AddStringToObject(request, "execute", command);
	if (arguments)
		cJSON_AddItemToObject(request, "arguments", arguments);
	text = cJSON_PrintUnformatted(request);
	cJSON_Delete(request);
	n = text ? strlen(text) : 0;
	sent = n && send(q->fd, text, n, MSG_NOSIGNAL) == (ssize_t)n &&
	       send(q->fd, "\n", 1, MSG_NOSIGNAL) == 1;
	cJSON_free(text);
	while (sent && !result && (m = next_message(q))) {
		result = cJSON_DetachItemFromObjectCaseSensitive(m, "return");
		sent = !cJSON_HasObjectItem(m, "error");
		cJSON_Delete(m);
	}
	return result;
}

/* Connected, and past the greeting. False: there is nobody. */
static bool open_qmp(struct qmp *q, const char *path, unsigned int timeout_ms)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	cJSON *greeting = NULL, *done = NULL;
	bool ok;

	memset(q, 0, sizeof(*q));
	q->end = now_ms() + timeout_ms;
	q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ok = q->fd >= 0 && strlen(path) < sizeof(a.sun_path);
	if (ok)
		strcpy(a.sun_path, path);
	ok = ok && connect(q->fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	if (ok)
		greeting = next_message(q);
	if (cJSON_HasObjectItem(greeting, "QMP"))
		done = execute(q, "qmp_capabilities", NULL);
	ok = done != NULL;
	cJSON_Delete(greeting);
	cJSON_Delete(done);
	return ok;
}

static void close_qmp(struct qmp *q)
{
	if (q->fd >= 0)
		close(q->fd);
	sbuf_free(&q->in);
}

char *qmp_registers(const char *path, unsigned int timeout_ms)
{
	cJSON *arguments, *result = NULL;
	struct sbuf text = { 0 };
	const char *s = NULL;
	struct qmp q;

	if (open_qmp(&q, path, timeout_ms)) {
		arguments = cJSON_CreateObject();
		cJSON_AddStringToObject(arguments, "command-line", "info registers -a");
		result = execute(&q, "human-monitor-command", arguments);
		s = cJSON_GetStringValue(result);
	}
	for (; s && *s; s++)
		if (*s != '\r')
			sbuf_addn(&text, s, 1);
	cJSON_Delete(result);
	close_qmp(&q);
	return text.len ? sbuf_steal(&text) : NULL;
}

bool qmp_execute(const char *path, const char *command, unsigned int timeout_ms)
{
	cJSON *result = NULL;
	struct qmp q;
	bool ok;

	if (open_qmp(&q, path, timeout_ms))
		result = execute(&q, command, NULL);
	ok = result != NULL;
	cJSON_Delete(result);
	close_qmp(&q);
	return ok;
}
