/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.ring.high_addresses: the address in a descriptor has 64 bits (2.7.5). A device that keeps 32 of them
 * works in each guest of less than some GiB, and there reads and writes memory of somebody else.
 *
 * The buffers lie above 4 GiB. At the lower 32 bits of their addresses lies a decoy: for vsock another request
 * to be answered, for both kinds bytes that must not change. A device that takes the decoy is caught, whether
 * it answers or writes there.
 */
#include <string.h>

#include "drivers/virtio/vsock.h"
#include "lib/mem.h"
#include "tests/virtio/util.h"

#define PAGES (ACTOR_MEM / PAGE_SIZE)

/* Some word of the actor's memory says that the decoy's request was answered. */
static bool decoy_answered(const struct actor *a, uint32_t port)
{
	uint32_t off, word;

	for (off = 0; off + sizeof(word) <= ACTOR_MEM; off += sizeof(word)) {
		memcpy(&word, a->mem + off, sizeof(word));
		if (le32_to_cpu((le32)word) == port)
			return true;
	}
	return false;
}

/* The decoy and what it was before the device had its turn. */
static void high_buffer(struct test_ctx *t, struct actor *a, uint8_t *decoy, uint8_t *before)
{
	struct vsock_hdr *h = (struct vsock_hdr *)decoy;
	const uint32_t port = a->port + 0x10000;
	uint32_t id, len = 0;
	bool used;

	actor_prepare(a, false);
	memcpy(decoy, a->mem, ACTOR_MEM);
	if (!a->writes)
		h->src_port = cpu_to_le32(port);
	memcpy(before, decoy, ACTOR_MEM);
	used = actor_used_in_time(a);
	expect(t, used, "%s: a buffer at 0x%llx is not used in time", actor_who(a),
	       (unsigned long long)a->addr);
	if (!used)
		return;
	actor_used(a, 0, &id, &len);
	actor_done(a, 1);
	expect(t, actor_understood(a, len), "%s: %s at 0x%llx", actor_who(a),
	       a->writes ? "none of the bytes was written" : "no RST answers the request",
	       (unsigned long long)a->addr);
	(void)wait_for(memcmp(decoy, before, ACTOR_MEM) != 0 ||
			       (!a->writes && decoy_answered(a, port)),
		       QUIET_NS);
	expect(t, memcmp(decoy, before, ACTOR_MEM) == 0,
	       "%s: bytes at 0x%llx changed, the buffers are at 0x%llx", actor_who(a),
	       (unsigned long long)virt_to_phys(decoy), (unsigned long long)a->addr);
	expect(t, a->writes || !decoy_answered(a, port),
	       "%s: the request at 0x%llx is answered, not the one at 0x%llx", actor_who(a),
	       (unsigned long long)virt_to_phys(decoy), (unsigned long long)a->addr);
}

TEST(ring_high,
     .id = "virtio.ring.high_addresses",
     .clause = "virtio 1.4, 2.7.5: a descriptor's address has 64 bits",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO)
{
	const struct bring_up plain = { .irq = VIRTIO_IRQ_POLL };
	static uint8_t before[ACTOR_MEM];
	unsigned int i, tried = 0;
	struct actor a;
	uint8_t *decoy;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++) {
		actor_up(t, &a, &plain);
		decoy = a.addr >> 32 ? mem_pages_at((uint32_t)a.addr, PAGES) : NULL;
		if (!decoy)
			continue;
		tried++;
		high_buffer(t, &a, decoy, before);
		vt_reset_all(); /* nothing is written to the decoy any more */
		mem_pages_free(decoy, PAGES);
	}
	if (!tried)
		test_skip(t,
			  "no buffer has an address above 4 GiB whose lower 32 bits are free RAM");
}
