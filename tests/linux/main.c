/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first program of the Linux guest: loads the modules that the image has (/assay/modules/order), runs the tests that
 * tests= on the kernel's command line selects, reports as the payload does (lib/test.h, KTAP on the first serial
 * line), and powers off. The tests are the suite's judges: what passes here and fails in the payload, or the other
 * way round, is a finding of one of the two.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

#include "lib/glob.h"
#include "tests/linux/peer.h"
#include "tests/linux/sock.h"

#ifndef ASSAY_VERSION
#define ASSAY_VERSION "unknown"
#endif

#define TESTS_MAX 256
#define TEXT_MAX  512

extern const struct test start_assay_tests[], stop_assay_tests[];

enum verdict {
	PASS,
	FAIL,
	SKIP,
	ERROR
};

struct test_ctx {
	const struct test *test;
	enum verdict verdict;
	unsigned int checks;
	char reason[TEXT_MAX];
	sigjmp_buf out;
};

static FILE *report;
static char cmdline[8192];
static volatile sig_atomic_t slow = 1;

static _Noreturn void end(void)
{
	fflush(report);
	tcdrain(fileno(report));
	sync();
	reboot(RB_AUTOBOOT); /* QEMU, started with -no-reboot, ends; without ACPI there is no power to turn off */
	_exit(1);
}

/* --- what lib/test.h promises ------------------------------------------------------------- */

static void diagnostic(const char *fmt, va_list args)
{
	fputs("    # ", report);
	vfprintf(report, fmt, args);
	fputc('\n', report);
}

static void record(struct test_ctx *t, enum verdict v, const char *fmt, va_list args)
{
	if (t->verdict == FAIL)
		return;
	t->verdict = v;
	vsnprintf(t->reason, sizeof(t->reason), fmt, args);
}

void test_check(struct test_ctx *t, bool ok, const char *file, unsigned int where, const char *fmt,
		...)
{
	va_list args;

	t->checks++;
	if (ok)
		return;
	fprintf(report, "    # %s:%u: ", file, where & ~TEST_FATAL);
	va_start(args, fmt);
	vfprintf(report, fmt, args);
	fputc('\n', report);
	va_end(args);
	va_start(args, fmt);
	record(t, FAIL, fmt, args);
	va_end(args);
	if (where & TEST_FATAL)
		siglongjmp(t->out, 1);
}

void test_check_eq(struct test_ctx *t, uint64_t got, uint64_t want, const char *file,
		   unsigned int where, const char *fmt, ...)
{
	char what[TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	test_check(t, got == want, file, where, "%s: expected %llu, seen %llu", what,
		   (unsigned long long)want, (unsigned long long)got);
}

void test_skip(struct test_ctx *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	record(t, SKIP, fmt, args);
	va_end(args);
	siglongjmp(t->out, 1);
}

void test_error(struct test_ctx *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	record(t, ERROR, fmt, args);
	va_end(args);
	siglongjmp(t->out, 1);
}

void test_note(struct test_ctx *t, const char *fmt, ...)
{
	va_list args;

	(void)t;
	va_start(args, fmt);
	diagnostic(fmt, args);
	va_end(args);
}

/* --- the watchdog ------------------------------------------------------------------------- */

static struct test_ctx *running;

static void on_alarm(int sig)
{
	(void)sig;
	siglongjmp(running->out, 2);
}

static void watchdog(uint64_t ns)
{
	const struct itimerval v = { .it_value.tv_sec = (time_t)(ns / SEC * (unsigned int)slow),
				     .it_value.tv_usec = ns ? 1 : 0 };

	setitimer(ITIMER_REAL, &v, NULL);
}

/* --- a run -------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	return strcmp((*(const struct test *const *)a)->id, (*(const struct test *const *)b)->id);
}

static enum verdict run_test(const struct test *test, char reason[TEXT_MAX])
{
	static struct test_ctx t;

	t = (struct test_ctx){ .test = test };
	running = &t;
	watchdog(test->timeout ? test->timeout : TEST_TIMEOUT_DEFAULT);
	switch (sigsetjmp(t.out, 1)) {
	case 0:
		test->fn(&t);
		break;
	case 2:
		if (t.verdict == PASS) {
			t.verdict = test->liveness ? FAIL : ERROR;
			snprintf(t.reason, sizeof(t.reason), "it does not end within its time");
			fprintf(report, "    # %s\n", t.reason);
		}
		break;
	default:
		break;
	}
	watchdog(0);
	sock_close_all();
	if (!peer_forget_all() && t.verdict == PASS) {
		t.verdict = FAIL;
		fprintf(report, "    # behind the test the control connection works no more\n");
	}
	if (t.verdict == PASS && !t.checks) {
		t.verdict = ERROR;
		snprintf(t.reason, sizeof(t.reason), "the test made no check");
	}
	memcpy(reason, t.reason, TEXT_MAX);
	return t.verdict;
}

static void run_all(const struct test *const *tests, unsigned int n)
{
	static const char *const word[] = { [SKIP] = " # SKIP ", [ERROR] = " # ERROR " };
	unsigned int i, count[4] = { 0 };
	char reason[TEXT_MAX];

	fputs("1..1\n    KTAP version 1\n    # Subtest: linux\n", report);
	fprintf(report, "    1..%u\n", n);
	for (i = 0; i < n; i++) {
		enum verdict v;

		fprintf(report, "    # start %s\n", tests[i]->id);
		v = run_test(tests[i], reason);
		count[v]++;
		fprintf(report, "    %sok %u %s%s%s\n", v == FAIL || v == ERROR ? "not " : "",
			i + 1, tests[i]->id, word[v] ? word[v] : "", word[v] ? reason : "");
	}
	fprintf(report, "%sok 1 linux\n", count[FAIL] + count[ERROR] ? "not " : "");
	fprintf(report, "# Totals: pass:%u fail:%u xfail:0 xpass:0 skip:%u error:%u\n# end\n",
		count[PASS], count[FAIL], count[SKIP], count[ERROR]);
}

/* The value of a word KEY=VALUE of the kernel's command line, the last one; NULL: there is none. */
static const char *option(const char *key)
{
	static char value[sizeof(cmdline)];
	const size_t n = strlen(key);
	const char *found = NULL, *p = cmdline;

	for (; *p; p += strcspn(p, " \n"), p += strspn(p, " \n"))
		if (strncmp(p, key, n) == 0 && p[n] == '=')
			found = p + n + 1;
	if (!found)
		return NULL;
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(found, " \n"), found);
	return value;
}

static void load_modules(void)
{
	FILE *order = fopen("/assay/modules/order", "re");
	char name[128], path[160];
	int fd;

	while (order && fscanf(order, "%127s", name) == 1) {
		snprintf(path, sizeof(path), "/assay/modules/%s.ko", name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) != 0)
			fprintf(report, "# module %s: %s\n", name, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	if (order)
		fclose(order);
}

static void prepare(void)
{
	struct termios raw;
	FILE *f;
	int fd;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && tcgetattr(fd, &raw) == 0) {
		cfmakeraw(&raw);
		tcsetattr(fd, TCSANOW, &raw);
	}
	report = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!report)
		report = stdout;
	setvbuf(report, NULL, _IOLBF, 0);
	f = fopen("/proc/cmdline", "re");
	if (f) {
		cmdline[fread(cmdline, 1, sizeof(cmdline) - 1, f)] = '\0';
		fclose(f);
	}
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
}

int main(void)
{
	const struct test *tests[TESTS_MAX], *test;
	const char *list, *text;
	struct utsname u;
	unsigned int n = 0;

	prepare();
	uname(&u);
	text = option("slow");
	slow = text && atoi(text) > 1 ? atoi(text) : 1;
	fprintf(report, "KTAP version 1\n# assay " ASSAY_VERSION " boot=linux\n");
	fprintf(report, "# env kernel: %s %s %s\n", u.sysname, u.release, u.machine);
	load_modules();
	fprintf(report, "# env vsock cid: %llu\n", (unsigned long long)sock_local_cid());
	list = option("tests");
	for (test = start_assay_tests; test < stop_assay_tests && n < TESTS_MAX; test++)
		if (glob_list_selects(list, test->id))
			tests[n++] = test;
	if (n) {
		qsort(tests, n, sizeof(tests[0]), by_id); /* NOLINT: an array of pointers */
		run_all(tests, n);
	} else {
		fprintf(report, "Bail out! no test is selected\n");
	}
	end();
}
