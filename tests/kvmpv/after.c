/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vsock_protected.*: after all traffic of a run no device has reached for private memory, and nothing private stands in
 * what the host can read.
 *
 * How it is broken: a host leaves a page shared, or with its old bytes in the host's view, when it is made private; a
 * device looks for a ring or a buffer behind what is shared. The guest's driver is the suspect as well: a buffer that it
 * hands out past the bounce buffers makes the device reach for private memory.
 *
 * How it is seen here: the suite runs behind all others (.last) and asks the host's side of the device, which counts what
 * it was refused. Before the run secrets are planted between what tests and drivers allocate; the host looks for them in
 * all that it can read.
 */
#include "tests/kvmpv/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/init.h"
#include "lib/mem.h"
#include "lib/mmio.h"

#define OWNER "vsock device back end, KVM (memory protection)"
#define STATE (NEED_KVM | NEED_PROTECT | NEED_PEER | NEED_MEM_STATE)

#define SEED	0x5ec4e7
#define SECRETS 24

static struct {
	uint8_t text[32];
	uint8_t *page[SECRETS];
	uint8_t *heap[SECRETS]; /* between what the tests and drivers allocate */
} planted;

static void plant(void)
{
	unsigned int i;

	if (!protect_wanted())
		return;
	pattern_fill(planted.text, sizeof(planted.text), SEED, 0);
	for (i = 0; i < SECRETS; i++) {
		planted.page[i] = mem_pages(1, PAGE_SIZE);
		planted.heap[i] = malloc(64 + 97 * i);
		if (planted.page[i])
			memcpy(planted.page[i] + 16 * i, planted.text, sizeof(planted.text));
		if (planted.heap[i])
			memcpy(planted.heap[i], planted.text, sizeof(planted.text));
	}
}
INIT(secrets, plant);

static struct vsock_env *device(struct test_ctx *t)
{
	if (!protect_enabled())
		test_skip(t, "memory is not protected in this run (protect=on)");
	return kvmpv_device(t);
}

TEST(after_violations,
     .id = "vsock_protected.violations",
     .clause = "RFCv2, map_gpa: devices touch shared memory only; the driver gives them no other",
     .owner = OWNER,
     .needs = STATE)
{
	static const char *const reasons[] = { "nothing", "a ring", "an indirect table", "a header",
					       "payload" };
	struct vsock_env *e = device(t);
	struct ctl_mem_state s;
	uint32_t reason;

	CTL_OK(t, ctl_mem_state(e->ctl, &s));
	reason = s.last_reason;
	expect(t, s.violations == kvmpv_provoked_so_far(),
	       "the host refused private memory %u times, %u of them provoked; last: %s at 0x%llx, queue %u",
	       (unsigned int)s.violations, (unsigned int)kvmpv_provoked_so_far(),
	       reasons[reason < 5 ? reason : 0], (unsigned long long)s.last_addr,
	       (unsigned int)s.last_queue);
	expect_eq(t, s.protected_mode, 1, "protection at the end");
}

TEST(after_secrets,
     .id = "vsock_protected.secrets",
     .clause = "RFCv2, map_gpa: what is private is nowhere in what the host can read, after all traffic",
     .owner = OWNER,
     .needs = STATE,
     .timeout = 40 * SEC)
{
	struct vsock_env *e = device(t);
	struct ctl_mem_scan_reply r;

	if (!protect_wanted())
		test_skip(t, "memory was not protected from the start (protect=on)");
	if (!planted.page[0])
		test_error(t, "nothing was planted");
	CTL_OK(t, ctl_mem_scan(e->ctl, planted.text, sizeof(planted.text), &r));
	expect(t, r.scanned_pages > 0, "the host scanned nothing");
	expect_eq(t, r.matches, 0, "places where the host reads a planted secret (first 0x%llx)",
		  (unsigned long long)r.first_addr);
}

FIXTURE(vsock_protected, .suite = "vsock_protected.", .teardown = vsock_env_drop, .last = true);
