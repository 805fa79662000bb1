/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Upstream's KVM_HC_MAP_GPA_RANGE (hypercalls.rst, 8): encrypted is private, decrypted
 * is shared. There is no call that turns protection on: encrypting all RAM is it.
 */
#include "lib/boot_info.h"
#include "kvmpv/x86_64/map_gpa.h"
#include "kvmpv/x86_64/kvm.h"

int64_t map_gpa_range(uint64_t gpa, uint64_t npages, uint64_t attrs)
{
	return kvm_hypercall(KVM_HC_MAP_GPA_RANGE, gpa, npages, attrs, 0);
}

static int64_t map_gpa_share(uint64_t gfn, uint64_t npages)
{
	return npages ? map_gpa_range(gfn << 12, npages, MAP_GPA_4K | MAP_GPA_DECRYPTED) : 0;
}

static int64_t map_gpa_unshare(uint64_t gfn, uint64_t npages)
{
	return npages ? map_gpa_range(gfn << 12, npages, MAP_GPA_4K | MAP_GPA_ENCRYPTED) : 0;
}

static int64_t encrypt_range(uint64_t gpa, uint64_t npages)
{
	int64_t ret = 0;
	int i;

	for (i = 0; i < 8; i++) {
		ret = map_gpa_range(gpa, npages, MAP_GPA_4K | MAP_GPA_ENCRYPTED);
		if (ret != -KVM_EINTR && ret != -KVM_ENOMEM)
			break;
	}
	return ret;
}

static int64_t map_gpa_enable(void)
{
	const struct boot_info *b = boot_info_get();
	uint32_t i;
	int64_t ret = 0;

	for (i = 0; i < b->mem_count && !ret; i++) {
		const uint64_t first = (b->mem[i].base + 4095) & ~4095ull;
		const uint64_t end = (b->mem[i].base + b->mem[i].size) & ~4095ull;

		if (b->mem[i].type == BOOT_MEM_RAM && end > first)
			ret = encrypt_range(first, (end - first) >> 12);
	}
	return ret;
}

const struct protect_ops protect_map_gpa_ops = { "map_gpa", map_gpa_enable, map_gpa_share,
						 map_gpa_unshare };
