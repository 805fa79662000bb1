/* SPDX-License-Identifier: BSD-2-Clause */
/* Reports of several hosts, side by side: a column for each host. */
#ifndef HOST_CLI_COLUMNS_H
#define HOST_CLI_COLUMNS_H

#include "host/common/report.h"

struct column {
	char *identity; /* what makes two reports those of one host */
	char *name;	/* short, and different from the others' */
	struct report report;
};

struct columns {
	struct column *v;
	size_t n;
};

/* Takes a report (r is empty afterwards): shards and repetitions unite with the column of their host. */
void columns_add(struct columns *c, struct report *r);
/* All were added: names the columns, and cuts those whose shards are not all there. */
void columns_finish(struct columns *c);
/* The exit status: the gravest one of 3, 1, 2, 0 and 77. */
int columns_status(const struct columns *c);
void columns_free(struct columns *c);

/* The ids of all columns as results of one report, each id once: the rows of a table. */
void columns_rows(const struct columns *c, struct report *rows);

#endif
