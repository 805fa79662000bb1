/* SPDX-License-Identifier: BSD-2-Clause */
/* QMP with a server that answers in each of many ways. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/cli/qmp.h"
#include "host/common/util.h"

#define LONG_MS 30000

static char path[64];

/* Serves one connection: the greeting, then one of the answers for each line that comes. */
static pid_t serve(const char *greeting, const char *const *answers)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const int l = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t pid;

	strcpy(a.sun_path, path);
	unlink(path);
	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l, 1), 0);
	pid = fork();
	if (pid == 0) {
		const int fd = accept(l, NULL, NULL);
		char c;

		dprintf(fd, "%s", greeting);
		while (*answers && read(fd, &c, 1) == 1)
			if (c == '\n')
				dprintf(fd, "%s", *answers++);
		pause();
	}
	close(l);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
}

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define DONE	 "{\"return\": {}}\r\n"

static void registers(void **state)
{
	static const char *const answers[] = {
		DONE,
		"{\"event\": \"X\", \"data\": {\"return\": \"not this\"}}\r\n"
		"{\"return\": \"RIP=1 \\\"}\\\" \\u0041\\r\\nCPU#1\\n\"}\r\n",
		NULL,
	};
	const pid_t pid = serve(GREETING, answers);
	char *text = qmp_registers(path, LONG_MS);

	(void)state;
	assert_non_null(text);
	assert_string_equal(text, "RIP=1 \"}\" A\nCPU#1\n");
	free(text);
	end(pid);
}

static void refused(void **state)
{
	static const struct {
		const char *greeting, *answers[3];
	} cases[] = {
		{ "", { NULL } },
		{ "hello\n", { DONE, DONE, NULL } },
		{ "{}\n", { DONE, DONE, NULL } },
		{ GREETING, { "{\"error\": {\"desc\": \"return\"}}\n", DONE, NULL } },
		{ GREETING, { DONE, "{\"error\": {\"desc\": \"\\\"return\\\"\"}}\n", NULL } },
		{ GREETING, { DONE, "{\"return\": ", NULL } },
		{ GREETING, { DONE, "{\"return\"\n", NULL } },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const pid_t pid = serve(cases[i].greeting, cases[i].answers);

		assert_false(qmp_execute(path, "quit", 300));
		end(pid);
	}
	assert_false(qmp_execute("/no/such/socket", "quit", LONG_MS));
	assert_null(qmp_registers("/no/such/socket", LONG_MS));
}

static void executed(void **state)
{
	static const char *const answers[] = { DONE, "{\"event\": \"RESET\"}\r\n" DONE, NULL };
	const pid_t pid = serve(GREETING, answers);

	(void)state;
	assert_true(qmp_execute(path, "system_reset", LONG_MS));
	end(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers),
		cmocka_unit_test(refused),
		cmocka_unit_test(executed),
	};

	snprintf(path, sizeof(path), "/tmp/assay-qmp-%d", getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
