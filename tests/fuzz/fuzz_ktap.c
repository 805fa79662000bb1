/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The harness's reader facing any console output, in any pieces. Results, problems and garbage are
 * counted the same way however the bytes are cut, and merging reports loses no id.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/common/ktap.h"
#include "tests/fuzz/input.h"

/* Reads it in pieces of n bytes. */
static void read_all(struct report *r, const uint8_t *data, size_t size, size_t n)
{
	struct ktap k;
	size_t i;

	report_init(r);
	ktap_init(&k, r, NULL, NULL);
	for (i = 0; i < size; i += n)
		ktap_feed(&k, (const char *)data + i, size - i < n ? size - i : n);
	ktap_finish(&k, true);
	ktap_free(&k);
}

static bool has(const struct report *r, const char *id)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (strcmp(r->results[i].id, id) == 0)
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report a, b;
	size_t i;

	if (size < 1)
		return 0;
	read_all(&a, data + 1, size - 1, size);
	read_all(&b, data + 1, size - 1, 1 + data[0] % 16u);
	must(a.n == b.n && a.nproblems == b.nproblems && a.garbage == b.garbage);
	must(a.envs == b.envs && a.ended == b.ended && a.started == b.started);
	for (i = 0; i < a.n; i++) {
		must(a.results[i].id && strcmp(a.results[i].id, b.results[i].id) == 0);
		must(a.results[i].verdict == b.results[i].verdict);
	}
	must(report_counts(&a).total == a.n);
	report_judge(&a);
	report_merge(&b, &a);
	for (i = 0; i < a.n; i++)
		must(has(&b, a.results[i].id));
	must(report_status(&b) >= 0);
	report_free(&a);
	report_free(&b);
	return 0;
}
