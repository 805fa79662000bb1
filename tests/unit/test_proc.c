/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs that are started: what they print, their deadline, what they leave behind, signals of children. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/cli/proc.h"

#define LONG_MS 60000

static int sh(const char *script, unsigned int ms, struct sbuf *out, struct sbuf *err)
{
	char *const argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, xstrdup(script), NULL };
	const int ret = proc_output(argv, now_ms() + ms, out, err);

	free(argv[2]);
	return ret;
}

static void output(void **state)
{
	char *const none[] = { (char[]){ "/no/such/program" }, NULL };
	struct sbuf out = { 0 }, err = { 0 };

	(void)state;
	assert_int_equal(sh("cat; echo one; echo two >&2; exit 7", LONG_MS, &out, &err), 7);
	assert_string_equal(out.s, "one\n");
	assert_string_equal(err.s, "two\n");
	sbuf_free(&out);
	sbuf_free(&err);
	/* More than a pipe has room for, to the last byte. */
	assert_int_equal(sh("head -c 1000000 /dev/zero | tr '\\0' x", LONG_MS, &out, &err), 0);
	assert_int_equal(out.len, 1000000);
	sbuf_free(&out);
	assert_int_equal(sh("kill -SEGV $$", LONG_MS, &out, &err), 128 + SIGSEGV);
	assert_int_equal(proc_output(none, now_ms() + LONG_MS, &out, &err), -ENOENT);
	sbuf_free(&out);
	sbuf_free(&err);
}

/* Whatever a program does, and whoever holds its pipes, it does not last longer than it may. */
static void deadline(void **state)
{
	static const char *const scripts[] = {
		"sleep 1000",
		"exec >&- 2>&-; sleep 1000",
		"trap '' TERM; while :; do sleep 0.1; done",
		"yes",
		"(sleep 1000; true) & wait",
	};
	struct sbuf out = { 0 }, err = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(scripts); i++) {
		const uint64_t start = now_ms();

		assert_int_equal(sh(scripts[i], 100, &out, &err), -ETIMEDOUT);
		assert_true(now_ms() - start < LONG_MS);
		assert_true(out.len <= PROC_LOG_MAX + (1u << 20));
		sbuf_free(&out);
		sbuf_free(&err);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		assert_int_equal(errno, ECHILD);
	}
	/* A child in the background that keeps the pipe does not hold it up. */
	assert_int_equal(sh("sleep 1000 & echo $!", LONG_MS, &out, &err), 0);
	assert_true(atoi(out.s) > 0);
	sbuf_free(&out);
	sbuf_free(&err);
}

/* The number of a program that has ended is nobody else's until it was stopped; then it is not used again. */
static void reaped(void **state)
{
	char *const argv[] = { (char[]){ "true" }, NULL };
	struct proc p, *const list[] = { &p };
	siginfo_t info = { 0 };

	(void)state;
	assert_int_equal(proc_start(&p, "true", argv, "/dev/null", false), 0);
	while (!proc_ended(&p))
		poll(NULL, 0, 1);
	assert_true(proc_ended(&p));
	assert_int_equal(waitid(P_PID, (id_t)p.pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
	assert_int_equal(info.si_pid, p.pid);
	proc_stop(list, 1, 0);
	assert_true(p.reaped);
	assert_int_equal(WEXITSTATUS(p.status), 0);
	/* Once more: a group that has this number now is not its own. */
	p.pid = getpgrp() == getpid() ? getpid() : p.pid;
	proc_stop(list, 1, 0);
	proc_free(&p);
}

/* The signal of a child that is a run of its own is not its parent's, and the other way round. */
static void signals(void **state)
{
	struct pollfd f = { .events = POLLIN };
	int status;
	pid_t pid;

	(void)state;
	signals_init();
	pid = fork();
	if (pid == 0) {
		signals_init();
		raise(SIGTERM);
		f.fd = signals_fd();
		_exit(signals_seen() == SIGTERM && poll(&f, 1, 0) == 1 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	f.fd = signals_fd();
	assert_int_equal(poll(&f, 1, 0), 0);
	assert_int_equal(signals_seen(), 0);
}

/* What a run in a child leaves behind is that child's to end. */
static void subreaper(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	signals_init();
	pid = fork();
	if (pid == 0) {
		struct sbuf out = { 0 };

		signals_init();
		/* It has left the shell's group, which is ended with the shell, before the shell goes. */
		if (sh("f=$(mktemp -u) && mkfifo $f && "
		       "{ setsid sh -c \"echo >$f; exec sleep 1000\" >/dev/null 2>&1 & read x <$f; rm $f; }",
		       LONG_MS, &out, &out))
			_exit(1);
		if (waitpid(-1, NULL, WNOHANG) != 0) /* it is there, and ours */
			_exit(2);
		proc_end_orphans();
		_exit(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output),  cmocka_unit_test(deadline),	cmocka_unit_test(reaped),
		cmocka_unit_test(signals), cmocka_unit_test(subreaper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
