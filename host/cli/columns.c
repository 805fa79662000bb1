/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/columns.h"

#include <stdlib.h>
#include <string.h>

/* What distinguishes hosts, in the order in which it distinguishes names. */
static const char *const keys[] = { "host",    "machine", "boot",	 "fault",
				    "cpus",    "memory",  "accelerator", "vmm",
				    "backend", "kernel",  "payload" };

/* A serial log has no description by the harness: then reports are told apart by what the guest saw. */
static const char *const seen_by_guest[] = { "hypervisor", "firmware", "cpu", "cpus", "memory" };

static const char *env(const struct report *r, const char *key)
{
	size_t i;

	for (i = 0; i < r->envs; i++)
		if (strcmp(r->env[i].key, key) == 0)
			return r->env[i].value;
	return "";
}

/* Shards may run on machines with different kernels, but only those of one split belong together. */
static char *identity_of(const struct report *r)
{
	const bool shard = report_meta(r, "shard") != NULL;
	struct sbuf b = { 0 };
	size_t i;

	if (!report_meta(r, "host")) {
		sbuf_addf(&b, "%s\n", r->boot ? r->boot : "");
		for (i = 0; i < ARRAY_SIZE(seen_by_guest); i++)
			sbuf_addf(&b, "%s\n", env(r, seen_by_guest[i]));
		return sbuf_steal(&b);
	}
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *value = report_meta(r, keys[i]);

		if (shard && strcmp(keys[i], "kernel") == 0)
			continue;
		sbuf_addf(&b, "%s=%s\n", keys[i], value ? value : "");
	}
	if (shard)
		sbuf_addf(&b, "selected=%s\n", report_meta(r, "selected"));
	return sbuf_steal(&b);
}

void columns_add(struct columns *c, struct report *r)
{
	char *identity = identity_of(r);
	size_t i;

	for (i = 0; i < c->n; i++)
		if (strcmp(c->v[i].identity, identity) == 0)
			break;
	if (i < c->n) {
		free(identity);
	} else {
		c->v = xrealloc(c->v, (c->n + 1) * sizeof(*c->v));
		memset(&c->v[c->n], 0, sizeof(*c->v));
		c->v[c->n++].identity = identity;
	}
	report_merge(&c->v[i].report, r);
}

/* --- names ------------------------------------------------------------------------------- */

static const char *value_of(const struct column *c, const char *key)
{
	const char *v = report_meta(&c->report, key);

	if (!v && strcmp(key, "host") == 0)
		v = c->report.version ? env(&c->report, "hypervisor") : "";
	return v ? v : "";
}

static bool same_names(const struct columns *c)
{
	size_t i, k;

	for (i = 0; i < c->n; i++)
		for (k = 0; k < i; k++)
			if (strcmp(c->v[i].name, c->v[k].name) == 0)
				return true;
	return false;
}

/* Whether the columns that are named alike differ in this. */
static bool tells_apart(const struct columns *c, const char *key)
{
	size_t i, k;

	for (i = 0; i < c->n; i++)
		for (k = 0; k < i; k++)
			if (strcmp(c->v[i].name, c->v[k].name) == 0 &&
			    strcmp(value_of(&c->v[i], key), value_of(&c->v[k], key)) != 0)
				return true;
	return false;
}

static void extend_names(struct columns *c, const char *key)
{
	size_t i;

	for (i = 0; i < c->n; i++) {
		char *old = c->v[i].name;
		const char *value = value_of(&c->v[i], key);

		c->v[i].name = *value ? xasprintf("%s%s%s", old, *old ? " " : "", value) :
					xstrdup(old);
		free(old);
	}
}

static void name_columns(struct columns *c)
{
	size_t i;

	for (i = 0; i < c->n; i++) {
		const char *host = value_of(&c->v[i], "host");

		free(c->v[i].name);
		c->v[i].name = xstrdup(*host ? host : "host");
	}
	for (i = 1; i < ARRAY_SIZE(keys) && same_names(c); i++)
		if (tells_apart(c, keys[i]))
			extend_names(c, keys[i]);
	if (!same_names(c))
		return;
	for (i = 0; i < c->n; i++) {
		char *old = c->v[i].name;

		c->v[i].name = xasprintf("%s #%zu", old, i + 1);
		free(old);
	}
}

void columns_finish(struct columns *c)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		report_judge_shards(&c->v[i].report);
	name_columns(c);
}

int columns_status(const struct columns *c)
{
	static const int by_weight[] = { 3, 1, 2, 0, 77 };
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(by_weight); i++)
		for (k = 0; k < c->n; k++)
			if (report_status(&c->v[k].report) == by_weight[i])
				return by_weight[i];
	return 3;
}

/* The ids of r, each once. */
static void ids_of(const struct report *r, struct report *ids)
{
	size_t *by_id = report_by_id(r), at;
	bool *first = xcalloc(r->n, sizeof(*first));

	for (at = 0; at < r->n; at += report_repetitions(r, by_id, at))
		first[by_id[at]] = true;
	report_init(ids);
	for (at = 0; at < r->n; at++)
		if (first[at])
			report_add(ids, r->results[at].id, V_PASS, NULL);
	free(first);
	free(by_id);
}

void columns_rows(const struct columns *c, struct report *rows)
{
	struct report one;
	size_t i;

	report_init(rows);
	for (i = 0; i < c->n; i++) {
		ids_of(&c->v[i].report, &one);
		report_merge(rows, &one);
	}
}

void columns_free(struct columns *c)
{
	size_t i;

	for (i = 0; i < c->n; i++) {
		free(c->v[i].identity);
		free(c->v[i].name);
		report_free(&c->v[i].report);
	}
	free(c->v);
	memset(c, 0, sizeof(*c));
}
