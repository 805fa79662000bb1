/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.config.*: what a virtio-iommu says of itself (virtio 1.4, 5.13.3, 5.13.4), and iommu.dma.bypass, iommu.dma.device_reset:
 * what its endpoints reach then.
 *
 * How hosts break it: a range whose end is exclusive, a probe_size that the buffer of PROBE has not, a bypass bit that a
 * device reset brings back, so that a driver that starts again runs with its endpoints open.
 */
#include <errno.h>

#include "lib/errname.h"
#include "tests/iommu/env.h"

#define OWNER OWNER_VIOMMU

TEST(iommu_features,
     .id = "iommu.config.features",
     .clause = "virtio 1.4, 6.2 MUST: VERSION_1 is offered; 5.13.3.2 SHOULD: MAP_UNMAP is offered; BYPASS is not offered, and not together with BYPASS_CONFIG",
     .owner = OWNER,
     .needs = NEED_VIOMMU)
{
	const uint64_t offered = viommu_device(viommu_get(0))->offered;
	const uint64_t old = VIRTIO_BIT(VIOMMU_F_BYPASS),
		       both = old | VIRTIO_BIT(VIOMMU_F_BYPASS_CONFIG);

	expect(t, offered & VIRTIO_BIT(VIRTIO_F_VERSION_1), "VERSION_1 is not offered");
	if (!(offered & VIRTIO_BIT(VIOMMU_F_MAP_UNMAP)))
		test_note(t, "MAP_UNMAP is not offered: there is nothing that a driver could use");
	if (offered & old)
		test_note(t, "BYPASS is offered, which BYPASS_CONFIG supersedes");
	if ((offered & both) == both)
		test_note(t, "BYPASS and BYPASS_CONFIG are both offered");
}

TEST(iommu_layout,
     .id = "iommu.config.layout",
     .clause = "virtio 1.4, 5.13.4.2 MUST: page_size_mask has a bit set, bypass is 0 or 1; ranges have a start and an end",
     .owner = OWNER,
     .needs = NEED_VIOMMU)
{
	struct viommu *v = viommu_up(t);
	const uint64_t offered = viommu_device(v)->offered;
	struct viommu_config c;
	int ret;

	ret = viommu_config_read(v, &c);
	require(t, ret == 0, "the configuration cannot be read: %s", err_text(ret));
	expect(t, c.page_size_mask, "page_size_mask is 0");
	expect(t, c.input_start <= c.input_end, "input_range: 0x%llx to 0x%llx",
	       (unsigned long long)c.input_start, (unsigned long long)c.input_end);
	expect(t, c.domain_start <= c.domain_end, "domain_range: 0x%x to 0x%x",
	       (unsigned int)c.domain_start, (unsigned int)c.domain_end);
	expect(t, c.bypass <= 1, "bypass is %u", c.bypass);
	if (offered & VIRTIO_BIT(VIOMMU_F_PROBE))
		expect(t, c.probe_size >= sizeof(struct viommu_property),
		       "PROBE is offered, probe_size is %u", (unsigned int)c.probe_size);
}

static unsigned int bypass_now(struct test_ctx *t, struct viommu *v)
{
	struct viommu_config c;

	require(t, viommu_config_read(v, &c) == 0, "the configuration cannot be read");
	return c.bypass;
}

/* What a reset does to it is recommended. */
static void bypass_should_be(struct test_ctx *t, unsigned int now, unsigned int due,
			     const char *when)
{
	expect(t, now <= 1, "bypass is %u %s", now, when);
	if (now != due)
		test_note(t, "bypass is %u %s, %u is recommended", now, when, due);
}

TEST(iommu_bypass,
     .id = "iommu.config.bypass",
     .clause = "virtio 1.4, 5.13.4.2 SHOULD NOT: bypass changes on device reset; MUST NOT: it is none of 0 and 1",
     .owner = OWNER,
     .needs = NEED_VIOMMU)
{
	struct viommu *v = viommu_up(t);
	unsigned int i;

	if (viommu_bypass(v, true) == -EOPNOTSUPP)
		test_skip(t, "BYPASS_CONFIG is not offered");
	for (i = 0; i < 4; i++) {
		expect_eq(t, bypass_now(t, v), !(i & 1), "bypass after %u was written", !(i & 1));
		viommu_stop(v);
		v = viommu_up(t);
		/* viommu_up() writes 0. */
		bypass_should_be(t, viommu_config(v)->bypass, !(i & 1), "behind a device reset");
		(void)viommu_bypass(v, i & 1);
	}
}

TEST(iommu_bypass_reboot,
     .id = "iommu.config.bypass_system_reset",
     .clause = "virtio 1.4, 5.13.4.2 SHOULD: a system reset restores the first value of bypass",
     .owner = OWNER,
     .needs = NEED_VIOMMU,
     .timeout = 30 * SEC)
{
	uint32_t first = 0;
	const unsigned int step = test_step(t, &first);
	struct viommu_config c;
	struct viommu *v = viommu_get(0);

	require(t, v && viommu_config_read(v, &c) == 0, "the configuration cannot be read");
	if (step) {
		bypass_should_be(t, c.bypass, first, "behind a reset of the machine");
		return;
	}
	v = viommu_up(t);
	if (viommu_bypass(v, !c.bypass))
		test_skip(t, "BYPASS_CONFIG is not offered");
	require_eq(t, bypass_now(t, v), !c.bypass, "bypass after it was written");
	test_reboot(t, 1, c.bypass);
}

/* --- what the endpoints reach then ------------------------------------------------------------------ */

TEST(dma_bypass,
     .id = "iommu.dma.bypass",
     .clause = "virtio 1.4, 5.13.6: accesses in bypass mode are allowed, and translated by the identity",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT,
     .timeout = 30 * SEC)
{
	struct viommu *v = viommu_up(t);
	struct endpoint e;
	uint8_t *page = iommu_pages(t, 1);
	const uint64_t at = virt_to_phys(page);
	unsigned int i;

	if (!virtio_has(viommu_device(v), VIOMMU_F_BYPASS_CONFIG))
		test_skip(t, "BYPASS_CONFIG is not offered");
	for (i = 0; endpoint_get(t, i, &e); i++) {
		require(t,
			viommu_attach(v, domain_of(1), e.id, VIOMMU_ATTACH_BYPASS) == VIOMMU_S_OK,
			"ATTACH with BYPASS fails");
		dma_reaches(t, &e, at + 8, page, 8, 100, "in a bypass domain");
		attach(t, &e, domain_of(0));
		dma_is_stopped(t, &e, at, page, 1, "in an empty domain");
		(void)viommu_bypass(v, true);
		dma_is_stopped(t, &e, at, page, 1, "though bypass is 1");
		detach(t, &e, domain_of(0));
		dma_reaches(t, &e, at + 8, page, 8, 100, "without a domain, bypass is 1");
		(void)viommu_bypass(v, false);
		dma_is_stopped(t, &e, at, page, 1, "without a domain again");
	}
}

TEST(dma_reset,
     .id = "iommu.dma.device_reset",
     .clause = "virtio 1.4, 5.13.5: when the device is reset, endpoints are not attached to any domain",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT,
     .timeout = 30 * SEC)
{
	struct viommu *v = viommu_up(t);
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 2);
	const uint64_t at = iova_of(0);
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		attach(t, &e, domain);
		map(t, domain, at, page, 1, RW);
		dma_reaches(t, &e, at, page, 0, 64, "attached");
		viommu_stop(v);
		dma_is_stopped(t, &e, at, page, 2, "while the IOMMU is in reset");
		v = viommu_up(t);
		dma_is_stopped(t, &e, at, page, 2, "behind the IOMMU's reset");
		answers(t, viommu_map(v, domain, at, at + granule() - 1, 0x100000, RW),
			VIOMMU_S_NOENT, SHOULD, "MAP in a domain of before the reset");
	}
}
