/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN_MAX (1u << 20)
#define ORPHANS_MS   1000
#define END_MS	     1000 /* for a program that overran its deadline */

static volatile sig_atomic_t seen;
static int signal_pipe[2] = { -1, -1 };
static pid_t
	owner; /* of the pipe: a child that shares it would take its parent's signals, and wake it by its own */

static void on_signal(int sig)
{
	const int saved = errno;
	const ssize_t n = write(signal_pipe[1], "", 1);

	(void)n;
	seen = sig;
	errno = saved;
}

void signals_init(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	if (owner == getpid())
		return;
	if (owner) {
		close(signal_pipe[0]);
		close(signal_pipe[1]);
		seen = 0;
	}
	owner = getpid();
	if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK))
		abort();
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* What a child leaves behind becomes ours, to be ended and reaped; a child of ours does not inherit that. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

int signals_fd(void)
{
	return signal_pipe[0];
}

int signals_seen(void)
{
	return seen;
}

static _Noreturn void child(char *const argv[], int out, int err, int report, pid_t parent)
{
	const int null = open("/dev/null", O_RDONLY);
	ssize_t n;
	int e;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before the line above */
		_exit(127);
	signal(SIGPIPE, SIG_DFL);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(err, STDERR_FILENO) < 0)
		_exit(127);
	execvp(argv[0], argv);
	e = errno;
	n = write(report, &e, sizeof(e));
	(void)n;
	_exit(127);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int nonblocking_pipe(int p[2])
{
	if (pipe2(p, O_CLOEXEC))
		return -errno;
	if (fcntl(p[0], F_SETFL, O_NONBLOCK)) {
		const int ret = -errno;

		close(p[0]);
		close(p[1]);
		return ret;
	}
	return 0;
}

int proc_start(struct proc *p, const char *name, char *const argv[], const char *log_path,
	       bool split)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, report[2] = { -1, -1 }, e, ret;
	const pid_t parent = getpid();

	memset(p, 0, sizeof(*p));
	p->name = xstrdup(name);
	p->pidfd = p->out = p->err = -1;
	p->log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (p->log < 0)
		return -errno;
	ret = nonblocking_pipe(out);
	if (!ret && split)
		ret = nonblocking_pipe(err);
	if (!ret && pipe2(report, O_CLOEXEC))
		ret = -errno;
	if (ret)
		goto out;
	p->pid = fork();
	if (p->pid == 0)
		child(argv, out[1], split ? err[1] : out[1], report[1], parent);
	if (p->pid < 0) {
		ret = -errno;
		p->pid = 0;
		goto out;
	}
	setpgid(p->pid, p->pid); /* whoever is first */
	close_fd(&report[1]);
	if (read(report[0], &e, sizeof(e)) == (ssize_t)sizeof(e)) {
		waitpid(p->pid, NULL, 0);
		p->pid = 0;
		ret = -e;
		goto out;
	}
	p->pidfd = pidfd_open(p->pid, 0);
	p->out = out[0];
	p->err = err[0];
	out[0] = err[0] = -1;
out:
	close_fd(&out[0]);
	close_fd(&out[1]);
	close_fd(&err[0]);
	close_fd(&err[1]);
	close_fd(&report[0]);
	close_fd(&report[1]);
	return ret;
}

static void remember(struct proc *p, const char *data, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (data[i] != '\n') {
			if (p->partial.len < 400)
				sbuf_addn(&p->partial, data + i, 1);
			continue;
		}
		if (p->tail.n == PROC_TAIL_MAX) {
			free(p->tail.v[0]);
			memmove(p->tail.v, p->tail.v + 1, (p->tail.n--) * sizeof(*p->tail.v));
		}
		strv_take(&p->tail, sbuf_steal(&p->partial));
	}
}

bool proc_drain(struct proc *p, int *fd)
{
	char buf[16384];
	ssize_t n;

	if (*fd < 0)
		return false;
	n = read(*fd, buf, sizeof(buf));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		close_fd(fd);
		return false;
	}
	remember(p, buf, (size_t)n);
	if (p->logged < PROC_LOG_MAX) {
		const ssize_t w = write(p->log, buf, (size_t)n);

		p->logged += w > 0 ? (size_t)w : 0;
	}
	return true;
}

/* As waitpid() gives it. */
static int wait_status(const siginfo_t *i)
{
	if (i->si_code == CLD_EXITED)
		return W_EXITCODE(i->si_status, 0);
	return W_EXITCODE(0, i->si_status) | (i->si_code == CLD_DUMPED ? WCOREFLAG : 0);
}

/* It is left as a zombie until proc_stop(): so long nobody else can get its number, which is its group's, too. */
static bool look(struct proc *p, int options)
{
	siginfo_t i = { 0 };

	if (waitid(P_PID, (id_t)p->pid, &i, WEXITED | WNOWAIT | options))
		return errno == ECHILD;
	if (!i.si_pid)
		return false;
	p->status = wait_status(&i);
	return true;
}

bool proc_ended(struct proc *p)
{
	if (!p->pid || p->exited)
		return true;
	p->exited = look(p, WNOHANG);
	return p->exited;
}

bool proc_has_thread(const struct proc *p, const char *name)
{
	char *path = xasprintf("/proc/%d/task", p->pid), comm[32];
	DIR *d = opendir(path);
	const struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		char *file = xasprintf("%s/%s/comm", path, e->d_name);
		FILE *f = *e->d_name == '.' ? NULL : fopen(file, "re");

		if (f && fgets(comm, sizeof(comm), f)) {
			comm[strcspn(comm, "\n")] = '\0';
			found = strcmp(comm, name) == 0;
		}
		if (f)
			fclose(f);
		free(file);
	}
	if (d)
		closedir(d);
	free(path);
	return found;
}

static void drain_all(struct proc *p)
{
	unsigned int i;

	/* Bounded: a grandchild may hold the pipe and go on writing. */
	for (i = 0; i < 1024 && p->err >= 0; i++) {
		struct pollfd f = { .fd = p->err, .events = POLLIN };

		if (poll(&f, 1, 0) <= 0 || !proc_drain(p, &p->err))
			break;
	}
	for (i = 0; i < 1024 && p->out >= 0; i++) {
		struct pollfd f = { .fd = p->out, .events = POLLIN };

		if (poll(&f, 1, 0) <= 0 || !proc_drain(p, &p->out))
			break;
	}
}

static bool all_ended(struct proc *const list[], size_t n)
{
	bool all = true;
	size_t i;

	for (i = 0; i < n; i++) {
		drain_all(list[i]); /* or it may wait for us */
		all = proc_ended(list[i]) && all;
	}
	return all;
}

void proc_stop(struct proc *const list[], size_t n, unsigned int grace_ms)
{
	const uint64_t end = now_ms() + grace_ms;
	size_t i;

	for (i = 0; i < n; i++)
		if (list[i]->pid && !list[i]->exited)
			kill(-list[i]->pid, SIGTERM);
	while (!all_ended(list, n) && now_ms() < end)
		poll(NULL, 0, 5);
	for (i = 0; i < n; i++) {
		struct proc *p = list[i];

		if (!p->pid || p->reaped)
			continue;
		kill(-p->pid, SIGKILL); /* and what it started */
		while (!p->exited)
			p->exited = look(p, 0);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
		p->reaped = true;
		drain_all(p);
		if (p->partial.len)
			remember(p, "\n", 1);
		close_fd(&p->out);
		close_fd(&p->err);
		close_fd(&p->pidfd);
		close_fd(&p->log);
	}
	while (waitpid(-1, NULL, WNOHANG) > 0) /* inherited grandchildren */
		;
}

/* Takes what came to *fd: into *to, or, without it, to our own descriptor own. */
static void take(int *fd, struct sbuf *to, int own)
{
	char buf[16384];
	ssize_t n, w;

	if (*fd < 0)
		return;
	n = read(*fd, buf, sizeof(buf));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_fd(fd);
		return;
	}
	if (to && to->len < PROC_LOG_MAX)
		sbuf_addn(to, buf, (size_t)n);
	if (to)
		return;
	w = write(own, buf, (size_t)n);
	(void)w;
}

static int wait_output(struct proc *p, uint64_t deadline, struct sbuf *out, struct sbuf *err)
{
	while (!proc_ended(p)) {
		struct pollfd f[] = { { .fd = p->out, .events = POLLIN },
				      { .fd = p->err, .events = POLLIN },
				      { .fd = p->pidfd, .events = POLLIN },
				      { .fd = owner == getpid() ? signal_pipe[0] : -1,
					.events = POLLIN } };
		const uint64_t now = now_ms();

		if (seen)
			return -EINTR;
		if (now >= deadline)
			return -ETIMEDOUT;
		poll(f, ARRAY_SIZE(f), deadline - now < 100 ? (int)(deadline - now) : 100);
		take(&p->out, out, STDOUT_FILENO);
		take(&p->err, err, STDERR_FILENO);
	}
	return 0;
}

int proc_output(char *const argv[], uint64_t deadline, struct sbuf *out, struct sbuf *err)
{
	struct proc p, *const list[] = { &p };
	int ret = proc_start(&p, argv[0], argv, "/dev/null", true);

	if (!ret)
		ret = wait_output(&p, deadline, out, err);
	/* What it wrote last. Its children may hold the pipes and write on: no more than a pipe has room for. */
	for (size_t i = 0; !ret && i < 64 && (p.out >= 0 || p.err >= 0); i++) {
		struct pollfd f[] = { { .fd = p.out, .events = POLLIN },
				      { .fd = p.err, .events = POLLIN } };

		if (poll(f, ARRAY_SIZE(f), 0) <= 0)
			break;
		take(&p.out, out, STDOUT_FILENO);
		take(&p.err, err, STDERR_FILENO);
	}
	proc_stop(list, 1, END_MS);
	if (!ret)
		ret = WIFEXITED(p.status) ? WEXITSTATUS(p.status) : 128 + WTERMSIG(p.status);
	proc_free(&p);
	return ret;
}

/* SIGKILL to each child that there is. */
static void kill_children(void)
{
	char *path = xasprintf("/proc/self/task/%d/children", getpid()), *text, *next, *word;

	if (read_file(path, CHILDREN_MAX, &text, NULL) == 0) {
		for (next = text; (word = strsep(&next, " \n"));) {
			const pid_t pid = (pid_t)strtol(word, NULL, 10);

			if (pid > 0)
				kill(pid, SIGKILL);
		}
		free(text);
	}
	free(path);
}

void proc_end_orphans(void)
{
	const uint64_t end = now_ms() + ORPHANS_MS;
	pid_t pid;

	do {
		kill_children();
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (pid == 0)
			poll(NULL, 0, 2);
	} while (pid == 0 && now_ms() < end);
}

void proc_free(struct proc *p)
{
	if (p->pid || p->log > 0) {
		close_fd(&p->out);
		close_fd(&p->err);
		close_fd(&p->pidfd);
		close_fd(&p->log);
	}
	free(p->name);
	strv_free(&p->tail);
	sbuf_free(&p->partial);
	memset(p, 0, sizeof(*p));
}

char *proc_describe(const struct proc *p)
{
	if (!p->exited)
		return xstrdup("is running");
	if (WIFSIGNALED(p->status))
		return xasprintf("was ended by signal %d (%s)", WTERMSIG(p->status),
				 strsignal(WTERMSIG(p->status)));
	return xasprintf("exited with status %d", WEXITSTATUS(p->status));
}

bool proc_crashed(const struct proc *p)
{
	if (!p->exited || !WIFSIGNALED(p->status))
		return false;
	switch (WTERMSIG(p->status)) {
	case SIGSEGV:
	case SIGBUS:
	case SIGABRT:
	case SIGILL:
	case SIGFPE:
	case SIGTRAP:
	case SIGSYS:
		return true;
	default:
		return false;
	}
}
