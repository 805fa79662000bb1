/* SPDX-License-Identifier: BSD-2-Clause */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/output.h"

#define FORMAT 2

/* --- writing ----------------------------------------------------------------------------- */

/* cJSON says by a NULL that there is no memory, which ends this program as it does elsewhere. */
static cJSON *must(cJSON *item)
{
	if (!item)
		abort();
	return item;
}

/* As printable ASCII, whatever a console or a file had in it. */
static cJSON *text_item(const char *s)
{
	struct sbuf b = { 0 };
	cJSON *item;

	sbuf_add_clean(&b, s);
	item = must(cJSON_CreateString(b.s ? b.s : ""));
	sbuf_free(&b);
	return item;
}

static void add_text(cJSON *o, const char *key, const char *value)
{
	if (value)
		cJSON_AddItemToObject(o, key, text_item(value));
}

static void add_list(cJSON *o, const char *key, const struct strv *l)
{
	cJSON *list;
	size_t i;

	if (!l->n)
		return;
	list = must(cJSON_AddArrayToObject(o, key));
	for (i = 0; i < l->n; i++)
		cJSON_AddItemToArray(list, text_item(l->v[i]));
}

static cJSON *result_item(const struct result *t)
{
	cJSON *o = must(cJSON_CreateObject());

	add_text(o, "id", t->id);
	add_text(o, "verdict", result_name(t));
	add_text(o, "reason", t->reason);
	add_text(o, "clause", t->clause);
	add_text(o, "owner", t->owner);
	add_list(o, "diagnostics", &t->diag);
	if (t->ms)
		must(cJSON_AddNumberToObject(o, "ms", (double)t->ms));
	return o;
}

static cJSON *report_item(const struct report *r)
{
	const struct counts c = report_counts(r);
	cJSON *o = must(cJSON_CreateObject()), *part, *pair;
	char *why = report_incomplete(r);
	size_t i;

	must(cJSON_AddNumberToObject(o, "format", FORMAT));
	must(cJSON_AddBoolToObject(o, "complete", !why));
	add_text(o, "incomplete", why);
	free(why);
	must(cJSON_AddNumberToObject(o, "status", report_status(r)));
	add_text(o, "version", r->version);
	add_text(o, "boot", r->boot);
	add_text(o, "bail", r->bail);
	part = must(cJSON_AddObjectToObject(o, "meta"));
	for (i = 0; i < r->metas; i++)
		add_text(part, r->meta[i].key, r->meta[i].value);
	part = must(cJSON_AddObjectToObject(o, "counts"));
	for (i = 0; i < VERDICTS; i++)
		must(cJSON_AddNumberToObject(part, verdict_name((enum verdict)i), c.by[i]));
	must(cJSON_AddNumberToObject(o, "unparsable_lines", r->garbage));
	add_list(o, "notes", &r->notes);
	add_list(o, "warnings", &r->warnings);
	add_list(o, "problems", &r->problems);
	part = must(cJSON_AddArrayToObject(o, "environment"));
	for (i = 0; i < r->envs; i++) {
		pair = must(cJSON_CreateArray());
		cJSON_AddItemToArray(pair, text_item(r->env[i].key));
		cJSON_AddItemToArray(pair, text_item(r->env[i].value));
		cJSON_AddItemToArray(part, pair);
	}
	part = must(cJSON_AddArrayToObject(o, "results"));
	for (i = 0; i < r->n; i++)
		cJSON_AddItemToArray(part, result_item(&r->results[i]));
	return o;
}

static void print_item(cJSON *o, struct sbuf *out)
{
	char *text = cJSON_Print(o);

	if (!text)
		abort();
	sbuf_add(out, text);
	sbuf_add(out, "\n");
	cJSON_free(text);
	cJSON_Delete(o);
}

void report_to_json(const struct report *r, struct sbuf *out)
{
	print_item(report_item(r), out);
}

void columns_to_json(const struct columns *c, struct sbuf *out)
{
	cJSON *o, *hosts;
	size_t i;

	if (c->n == 1) {
		report_to_json(&c->v[0].report, out);
		return;
	}
	o = must(cJSON_CreateObject());
	must(cJSON_AddNumberToObject(o, "format", FORMAT));
	hosts = must(cJSON_AddArrayToObject(o, "hosts"));
	for (i = 0; i < c->n; i++) {
		cJSON *host = report_item(&c->v[i].report);

		add_text(host, "name", c->v[i].name);
		cJSON_AddItemToArray(hosts, host);
	}
	print_item(o, out);
}

/* --- reading ----------------------------------------------------------------------------- */

/* The member as text that a terminal may be shown, to be freed; NULL: there is none. */
static char *get_text(const cJSON *o, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
	struct sbuf b = { 0 };

	if (!s)
		return NULL;
	sbuf_add_clean(&b, s);
	return sbuf_steal(&b);
}

static void get_list(const cJSON *o, const char *key, struct strv *out)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(o, key))
	{
		struct sbuf b = { 0 };

		if (!cJSON_IsString(item))
			continue;
		sbuf_add_clean(&b, item->valuestring);
		strv_take(out, sbuf_steal(&b));
	}
}

static bool get_verdict(const char *name, struct result *t)
{
	unsigned int v;

	t->timeout = strcmp(name, "TIMEOUT") == 0;
	t->verdict = V_FAIL;
	if (t->timeout)
		return true;
	for (v = 0; v < VERDICTS; v++) {
		t->verdict = (enum verdict)v;
		if (strcmp(name, verdict_name(t->verdict)) == 0)
			return true;
	}
	return false;
}

/* NULL, or what is wrong with it. */
static const char *get_result(const cJSON *o, struct report *r)
{
	char *id = get_text(o, "id"), *verdict = get_text(o, "verdict");
	const cJSON *ms = cJSON_GetObjectItemCaseSensitive(o, "ms");
	const char *why = NULL;
	struct result *t;

	if (r->n >= REPORT_RESULTS_MAX) {
		why = "too many results";
	} else if (!id || !*id || strpbrk(id, " #") || !verdict) {
		why = "a result without an id and a verdict";
	} else {
		t = report_add(r, id, V_PASS, NULL);
		if (!get_verdict(verdict, t))
			why = "an unknown verdict";
		t->reason = get_text(o, "reason");
		t->clause = get_text(o, "clause");
		t->owner = get_text(o, "owner");
		get_list(o, "diagnostics", &t->diag);
		if (cJSON_IsNumber(ms) && ms->valuedouble > 0 && ms->valuedouble < 1e12)
			t->ms = (uint64_t)ms->valuedouble;
	}
	free(id);
	free(verdict);
	return why;
}

static void get_pairs(const cJSON *o, struct report *r)
{
	const cJSON *item, *meta;

	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(o, "environment"))
	{
		const char *key = cJSON_GetStringValue(cJSON_GetArrayItem(item, 0));
		const char *value = cJSON_GetStringValue(cJSON_GetArrayItem(item, 1));
		struct sbuf k = { 0 }, v = { 0 };

		if (!key || !value)
			continue;
		sbuf_add_clean(&k, key);
		sbuf_add_clean(&v, value);
		r->env = xrealloc(r->env, (r->envs + 1) * sizeof(*r->env));
		r->env[r->envs].key = sbuf_steal(&k);
		r->env[r->envs++].value = sbuf_steal(&v);
	}
	meta = cJSON_GetObjectItemCaseSensitive(o, "meta");
	if (!meta) /* format 1 */
		meta = cJSON_GetObjectItemCaseSensitive(o, "run");
	cJSON_ArrayForEach(item, meta)
	{
		char *value = get_text(meta, item->string);
		struct sbuf k = { 0 };

		if (!value)
			continue;
		sbuf_add_clean(&k, item->string);
		report_meta_set(r, k.s ? k.s : "", value);
		sbuf_free(&k);
		free(value);
	}
}

/* Whoever writes says whether all is there: no word of it is a no. */
static void get_complete(const cJSON *o, struct report *r)
{
	char *why;

	r->started = true;
	r->ended = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "complete"));
	if (r->ended)
		return;
	why = get_text(o, "incomplete");
	report_cut(r, why && *why ? why : "the run did not come to its end");
	free(why);
}

static const char *get_report(const cJSON *o, struct report *r)
{
	const cJSON *format = cJSON_GetObjectItemCaseSensitive(o, "format");
	const cJSON *garbage = cJSON_GetObjectItemCaseSensitive(o, "unparsable_lines");
	const cJSON *results = cJSON_GetObjectItemCaseSensitive(o, "results"), *item;
	const char *why = NULL;

	if (!cJSON_IsNumber(format) || !cJSON_IsArray(results))
		return "no report of assay";
	if (format->valueint < 1 || format->valueint > FORMAT)
		return "the report of a newer version of assay";
	r->version = get_text(o, "version");
	r->boot = get_text(o, "boot");
	r->bail = get_text(o, "bail");
	get_pairs(o, r);
	get_complete(o, r);
	if (cJSON_IsNumber(garbage) && garbage->valuedouble > 0)
		r->garbage = (unsigned int)garbage->valueint;
	get_list(o, "notes", &r->notes);
	get_list(o, "warnings", &r->warnings);
	get_list(o, "problems", &r->problems);
	r->nproblems = r->harness = (unsigned int)r->problems.n; /* they are a result already */
	cJSON_ArrayForEach(item, results)
	{
		why = get_result(item, r);
		if (why)
			break;
	}
	return why;
}

int reports_from_json(const char *text, size_t size, struct report **out, size_t *n,
		      const char **why)
{
	cJSON *o = cJSON_ParseWithLength(text, size);
	const cJSON *hosts = cJSON_GetObjectItemCaseSensitive(o, "hosts"), *item;
	size_t i = 0;

	*n = cJSON_IsArray(hosts) ? (size_t)cJSON_GetArraySize(hosts) : 1;
	*out = xcalloc(*n, sizeof(**out));
	*why = o ? NULL : "damaged JSON";
	if (*n == 0)
		*why = "no report of assay";
	if (cJSON_IsArray(hosts)) {
		cJSON_ArrayForEach(item, hosts)
		{
			if (!*why)
				*why = get_report(item, &(*out)[i++]);
		}
	} else if (o) {
		*why = get_report(o, *out);
	}
	cJSON_Delete(o);
	if (!*why)
		return 0;
	for (i = 0; i < *n; i++)
		report_free(&(*out)[i]);
	free(*out);
	*out = NULL;
	*n = 0;
	return -EBADMSG;
}
