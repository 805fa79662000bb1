/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's hypercalls and features on x86. */
#ifndef KVMPV_X86_64_KVM_H
#define KVMPV_X86_64_KVM_H

#include <stdint.h>

#include "kvmpv/protect.h"

enum kvm_hypercall_nr { /* uapi kvm_para.h; 12 to 14 of the RFC collide with upstream */
	KVM_HC_VAPIC_POLL_IRQ = 1,
	KVM_HC_MMU_OP = 2, /* deprecated */
	KVM_HC_MAP_GPA_RANGE = 12,
	KVM_HC_ENABLE_MEM_PROTECTED = 12,
	KVM_HC_MEM_SHARE = 13,
	KVM_HC_MEM_UNSHARE = 14,
	KVM_HC_UNASSIGNED = 0x3fff,
};

enum kvm_feature {
	KVM_FEATURE_MMU_OP = 2,
	KVM_FEATURE_CLOCKSOURCE2 = 3,
	KVM_FEATURE_STEAL_TIME = 5,
	KVM_FEATURE_MEM_PROTECTED = 15, /* RFC; upstream: MSI_EXT_DEST_ID */
	KVM_FEATURE_HC_MAP_GPA_RANGE = 16,
	KVM_FEATURE_MIGRATION_CONTROL = 17,
	KVM_FEATURE_CLOCKSOURCE_STABLE = 24,
};

/* One hypercall by the vendor's instruction: its result, -KVM_ENOSYS when the instruction traps. */
int64_t kvm_hypercall(uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3);

extern const struct protect_ops protect_rfc_ops, protect_map_gpa_ops;

#endif
