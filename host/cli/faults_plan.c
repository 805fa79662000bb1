/* SPDX-License-Identifier: BSD-2-Clause */
/* What `assay faults` runs: each fault where a host can show it, and the hosts without faults. */
#include "host/cli/faults.h"

#include <stdlib.h>
#include <string.h>

#include "host/cli/run.h"
#include "lib/glob.h"

#define SMOKE                                                                                      \
	"vsock.stream.connect" /* runs beside the tests of a fault: is the host alive at all? */

static void trial_free(struct trial *x)
{
	free(x->fault.id);
	free(x->fault.clause);
	free(x->fault.tests);
	free(x->fault.where);
	free(x->fault.what);
	fault_place_free(&x->place);
	free(x->name);
	free(x->dir);
	free(x->tests);
	free(x->said);
	proc_free(&x->proc);
}

void faults_free(struct faults *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		trial_free(&f->v[i]);
	free(f->v);
	strv_free(&f->elsewhere);
	image_tests_free(&f->tests);
	free(f->dir);
	*f = (struct faults){ .o = f->o };
}

static void add(struct faults *f, const struct trial *x)
{
	f->v = xrealloc(f->v, (f->n + 1) * sizeof(*f->v));
	f->v[f->n++] = *x;
}

/* --- faults -------------------------------------------------------------------------------------- */

static bool wanted(const struct faults_options *o, const char *id)
{
	size_t i;

	for (i = 0; i < o->only.n; i++)
		if (glob_selects(o->only.v[i], strlen(o->only.v[i]), id))
			return true;
	return !o->only.n;
}

static bool planned(const struct faults *f, const char *id)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (strcmp(f->v[i].fault.id, id) == 0)
			return true;
	return false;
}

static void add_fault(struct faults *f, const struct recipe *r, const char *host,
		      const struct fault_entry *e)
{
	struct trial x = { .host = host };
	const char *globs;
	bool open;

	if (!wanted(f->o, e->id) || planned(f, e->id))
		return;
	/* An open fault takes a run of all tests, so that it is planned only where it is asked for. */
	open = fault_expects(e, &globs) == FAULT_OPEN;
	if (f->o->open ? !open : open && !f->o->only.n)
		return;
	if (!fault_place(r, e, &x.place)) {
		if (!strv_has(&f->elsewhere, e->id))
			strv_add(&f->elsewhere, e->id);
		return;
	}
	x.fault = (struct fault_entry){
		.id = xstrdup(e->id),
		.clause = xstrdup(e->clause),
		.tests = xstrdup(e->tests),
		.where = xstrdup(e->where),
		.what = xstrdup(e->what),
	};
	x.name = xstrdup(e->id);
	add(f, &x);
}

/* The lists of the recipe. ids: all that there are, for a hint. */
static bool add_faults(struct faults *f, const struct recipe *r, const char *host, struct strv *ids)
{
	struct fault_list list;
	struct sbuf err = { 0 };
	const bool ok = fault_list_read(r, &list, &err);
	size_t i;

	if (!ok)
		fprintf(stderr, "assay: %s", err.s);
	for (i = 0; i < list.n; i++) {
		strv_add(ids, list.v[i].id);
		add_fault(f, r, host, &list.v[i]);
	}
	fault_list_free(&list);
	sbuf_free(&err);
	return ok;
}

/* The first of each kind (the id up to its last dot), and every tenth of the rest. */
static void keep_some(struct faults *f)
{
	struct strv kinds = { 0 };
	size_t i, kept = 0, rest = 0;

	for (i = 0; i < f->n; i++) {
		const char *id = f->v[i].fault.id, *dot = strrchr(id, '.');
		char *kind = xstrndup(id, dot ? (size_t)(dot - id) : strlen(id));

		if (!strv_has(&kinds, kind)) {
			strv_add(&kinds, kind);
			f->v[kept++] = f->v[i];
		} else if (++rest % 10 == 0) {
			f->v[kept++] = f->v[i];
		} else {
			trial_free(&f->v[i]);
		}
		free(kind);
	}
	f->n = kept;
	strv_free(&kinds);
}

/* --- healthy hosts ------------------------------------------------------------------------------- */

static bool same_place(const struct trial *a, const char *host, const struct fault_place *b)
{
	size_t i;

	if (strcmp(a->host, host) != 0 || a->place.set.n != b->set.n ||
	    strcmp(a->place.machine ? a->place.machine : "", b->machine ? b->machine : "") != 0)
		return false;
	for (i = 0; i < b->set.n; i++)
		if (strcmp(a->place.set.v[i], b->set.v[i]) != 0)
			return false;
	return true;
}

/* A run without a fault, unless there is one already. */
static void add_healthy(struct faults *f, const char *host, const struct fault_place *place)
{
	const char *base = strrchr(host, '/') ? strrchr(host, '/') + 1 : host;
	struct trial x = { .host = host, .place.cpus = 2 };
	struct sbuf name = { 0 };
	size_t i;

	for (i = 0; i < f->n; i++)
		if (trial_is_healthy(&f->v[i]) && same_place(&f->v[i], host, place))
			return;
	x.fault = (struct fault_entry){ .id = xstrdup(""), .tests = xstrdup("") };
	sbuf_addf(&name, "healthy-%s", base);
	if (place->machine) {
		x.place.machine = xstrdup(place->machine);
		sbuf_addf(&name, "-%s", place->machine);
	}
	for (i = 0; i < place->set.n; i++) {
		strv_add(&x.place.set, place->set.v[i]);
		/* With its name: values such as "on" are those of several variables. */
		sbuf_addf(&name, "-%s", place->set.v[i]);
	}
	x.name = sbuf_steal(&name);
	add(f, &x);
}

/* As it is by default; the first host also in each layout and on each machine. */
static void add_host(struct faults *f, const struct recipe *r, const char *host, bool first)
{
	const char *own = recipe_get(r, "host", "", "machine");
	struct fault_place place = { 0 };
	struct strv names = { 0 };
	size_t i;

	add_healthy(f, host, &place);
	if (!first || f->o->quick)
		return;
	recipe_names(r, "layout", &names);
	for (i = 0; i < names.n; i++) {
		strv_take(&place.set, xasprintf("LAYOUT=%s", names.v[i]));
		add_healthy(f, host, &place);
		strv_free(&place.set);
	}
	strv_free(&names);
	recipe_names(r, "machine", &names);
	for (i = 0; i < names.n && !f->o->machine; i++) {
		place.machine = names.v[i];
		if (!own || strcmp(own, names.v[i]) != 0)
			add_healthy(f, host, &place);
	}
	strv_free(&names);
}

/* --- tests ---------------------------------------------------------------------------------------- */

/* A healthy host's test: one that has to see some fault of the same place. */
static bool has_fault_for(const struct faults *f, const struct trial *healthy, const char *id)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (!trial_is_healthy(&f->v[i]) && !trial_is_open(&f->v[i]) &&
		    same_place(&f->v[i], healthy->host, &healthy->place) &&
		    trial_expects(&f->v[i], id))
			return true;
	return false;
}

/*
 * The first host without a fault runs all tests; every other run those that matter to it, and a smoke test. Tests that are
 * to pass show by themselves that the host is alive.
 */
static void choose_tests(const struct faults *f, struct trial *x)
{
	const char *globs;
	const bool healthy = trial_is_healthy(x);
	/* A run that ends at its first failure must not end at the smoke test's. */
	const bool smoke = healthy || (fault_expects(&x->fault, &globs) != FAULT_NOTED &&
				       !trial_ends_early(x));
	struct strv ids = { 0 };
	bool any = false;
	size_t i;

	if ((healthy && strcmp(x->host, f->o->hosts.v[0]) == 0) || (!healthy && trial_is_open(x)))
		return;
	for (i = 0; i < f->tests.n; i++) {
		const char *id = f->tests.v[i].id;
		const bool mine = healthy ? has_fault_for(f, x, id) : trial_expects(x, id);

		any |= mine;
		if (mine || (smoke && strcmp(id, SMOKE) == 0))
			strv_add(&ids, id);
	}
	if (any || healthy)
		x->tests = tests_list(&f->tests, &ids);
	else
		x->state = TRIAL_NO_TEST;
	strv_free(&ids);
}

/* --- all ------------------------------------------------------------------------------------------ */

/* Faults go to *faulty, so that the hosts without one can come first. */
static int read_hosts(struct faults *f, struct faults *faulty, struct strv *ids)
{
	struct sbuf err = { 0 };
	int status = STATUS_OK;
	size_t i;

	for (i = 0; i < f->o->hosts.n && status == STATUS_OK; i++) {
		const char *host = f->o->hosts.v[i];
		struct recipe *r = recipe_load(host, &err);

		if (!r) {
			fprintf(stderr, "assay: %s", err.s);
			status = STATUS_USAGE;
		} else if (!add_faults(faulty, r, host, ids)) {
			status = STATUS_ERROR;
		} else if (!f->o->only.n && !f->o->open) {
			add_host(f, r, host, i == 0);
		}
		recipe_free(r);
	}
	sbuf_free(&err);
	return status;
}

/* The first of --fault that selects none of the ids, or NULL. */
static const char *unknown_fault(const struct faults_options *o, const struct strv *ids)
{
	size_t i, k;

	for (i = 0; i < o->only.n; i++) {
		for (k = 0; k < ids->n; k++)
			if (glob_selects(o->only.v[i], strlen(o->only.v[i]), ids->v[k]))
				break;
		if (k == ids->n)
			return o->only.v[i];
	}
	return NULL;
}

static void say_no_such_fault(const struct faults_options *o, const struct strv *ids)
{
	const char *id = unknown_fault(o, ids);

	fputs("assay: these hosts have no such fault", stderr);
	if (id) {
		fprintf(stderr, ": \"%s\"", id);
		print_suggestions(stderr, id, (const char *const *)ids->v, ids->n);
	}
	fputc('\n', stderr);
}

/* --repeat: each trial again, in a folder of its own. */
static void add_repetitions(struct faults *f)
{
	const size_t n = f->n;
	unsigned int round;
	size_t i, k;

	for (round = 2; round <= f->o->repeat; round++) {
		for (i = 0; i < n; i++) {
			const struct trial *from = &f->v[i];
			struct trial x = { .host = from->host, .state = from->state };

			x.place.cpus = from->place.cpus;
			x.place.machine = from->place.machine ? xstrdup(from->place.machine) : NULL;
			for (k = 0; k < from->place.set.n; k++)
				strv_add(&x.place.set, from->place.set.v[k]);
			x.fault.id = xstrdup(from->fault.id);
			x.fault.tests = xstrdup(from->fault.tests);
			x.fault.clause = from->fault.clause ? xstrdup(from->fault.clause) : NULL;
			x.fault.what = from->fault.what ? xstrdup(from->fault.what) : NULL;
			x.name = xasprintf("%s.%u", from->name, round);
			x.tests = from->tests ? xstrdup(from->tests) : NULL;
			add(f, &x);
		}
	}
}

int faults_plan(struct faults *f)
{
	struct faults faulty = { .o = f->o };
	struct strv ids = { 0 };
	const int status = read_hosts(f, &faulty, &ids);
	const bool none = !faulty.n || unknown_fault(f->o, &ids);
	size_t i;

	if (status == STATUS_OK && none)
		say_no_such_fault(f->o, &ids);
	for (i = 0; i < faulty.elsewhere.n; i++)
		if (!planned(&faulty, faulty.elsewhere.v[i]))
			strv_add(&f->elsewhere, faulty.elsewhere.v[i]);
	if (f->o->quick)
		keep_some(&faulty);
	for (i = 0; i < faulty.n && !f->o->only.n && !f->o->quick && !f->o->open; i++)
		add_healthy(f, faulty.v[i].host, &faulty.v[i].place);
	for (i = 0; i < faulty.n; i++)
		add(f, &faulty.v[i]);
	faulty.n = 0; /* they are f's now */
	for (i = 0; i < f->n; i++)
		choose_tests(f, &f->v[i]);
	add_repetitions(f);
	for (i = 0; i < f->n; i++)
		f->v[i].dir = xasprintf("%s/%s", f->dir, f->v[i].name);
	faults_free(&faulty);
	strv_free(&ids);
	return status == STATUS_OK && none ? STATUS_USAGE : status;
}
