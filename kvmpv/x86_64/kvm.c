/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether this is KVM, its hypercalls, and which of them protect memory. */
#include "kvmpv/x86_64/kvm.h"

#include <stdio.h>

#include "lib/cmdline.h"
#include "lib/x86_64/kvm.h"

OPTION("kvmpv", "off: no hypercall is ever made (on some hosts they do not return)");

bool kvm_usable(char *why, size_t size)
{
	if (!cmdline_get_bool("kvmpv", true)) {
		snprintf(why, size, "kvmpv=off");
		return false;
	}
	if (kvm_arch_base())
		return true;
	snprintf(why, size, "no KVM signature in CPUID 0x40000000 to 0x4000ff00");
	return false;
}

int64_t kvm_hypercall(uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	struct kvm_call c = { .nr = nr, .arg = { a0, a1, a2, a3 } };

	kvm_arch_call(kvm_arch_opcode(), &c);
	return c.trapped ? -KVM_ENOSYS : (int64_t)c.result;
}

/*
 * The RFC and upstream share numbers and feature bit 15. Calls without effect tell them apart (MEM_SHARE of no
 * pages), never the bit alone.
 */
const struct protect_ops *protect_find(char *why, size_t size)
{
	const uint32_t f = kvm_arch_features();

	if ((f >> KVM_FEATURE_MEM_PROTECTED & 1) &&
	    kvm_hypercall(KVM_HC_MEM_SHARE, 0, 0, 0, 0) != -KVM_ENOSYS &&
	    kvm_hypercall(KVM_HC_MEM_UNSHARE, 0, 0, 0, 0) != -KVM_ENOSYS)
		return &protect_rfc_ops;
	if (f >> KVM_FEATURE_HC_MAP_GPA_RANGE & 1)
		return &protect_map_gpa_ops;
	snprintf(why, size,
		 "KVM features 0x%x: neither MEM_PROTECTED that answers nor MAP_GPA_RANGE",
		 (unsigned int)f);
	return NULL;
}
