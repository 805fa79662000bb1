/* SPDX-License-Identifier: BSD-2-Clause */
/* Child processes: each in a process group of its own, dead with this program, its output in a log. */
#ifndef HOST_CLI_PROC_H
#define HOST_CLI_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/common/util.h"

#define PROC_LOG_MAX  (16u << 20) /* bytes of a log; more is read and dropped */
#define PROC_TAIL_MAX 12	  /* last lines kept for a message */

struct proc {
	char *name;
	pid_t pid;    /* 0: not started */
	int pidfd;    /* readable when it ended */
	int out, err; /* read ends of its output; err -1 where both go to out */
	int log;
	size_t logged;
	struct strv tail; /* last lines of what went to the log */
	struct sbuf partial;
	bool exited;
	bool reaped; /* its number may be another one's by now */
	int status;  /* of waitpid() */
};

/*
 * Starts argv[0] (found through PATH). log_path gets its standard error, and its standard output unless
 * split: then p->out has the raw standard output. 0, or -errno of what failed (exec included).
 */
int proc_start(struct proc *p, const char *name, char *const argv[], const char *log_path,
	       bool split);
/* Reads what came to fd (p->out or p->err) into the log. False at its end. */
bool proc_drain(struct proc *p, int *fd);
/* True once it ended; its status is kept. Never waits. */
bool proc_ended(struct proc *p);
/* It has a thread of this name. */
bool proc_has_thread(const struct proc *p, const char *name);
/* Ends the whole group: SIGTERM, SIGKILL after grace_ms; waits, and closes everything. */
void proc_stop(struct proc *const list[], size_t n, unsigned int grace_ms);
/*
 * Runs argv[0] to its end, with nothing to read. What it prints goes into *out and *err, or, where they are NULL, to
 * our own standard output and error as it comes. At the deadline (now_ms()), and when a signal comes to us, it is
 * ended with its whole group. Its exit status (128 + N: signal N), or -ETIMEDOUT, -EINTR, or why it did not start.
 */
int proc_output(char *const argv[], uint64_t deadline, struct sbuf *out, struct sbuf *err);
/*
 * Ends all children that are left, once every program was stopped: what programs started in sessions of
 * their own, and which became ours (signals_init() asks for that).
 */
void proc_end_orphans(void);
void proc_free(struct proc *p);
/* "was killed by signal 9 (Killed)", "exited with status 1". */
char *proc_describe(const struct proc *p);
/* It ended by a signal that means a bug of its own. */
bool proc_crashed(const struct proc *p);

/* SIGINT, SIGTERM and SIGHUP: the number once one came, else 0. signals_fd() polls readable then. */
void signals_init(void);
int signals_fd(void);
int signals_seen(void);

#endif
