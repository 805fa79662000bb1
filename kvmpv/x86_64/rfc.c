/* SPDX-License-Identifier: BSD-2-Clause */
/* The RFCv2 of 20 October 2020 ("KVM protected memory extension"): three hypercalls of its own. */
#include "kvmpv/x86_64/kvm.h"

static int64_t rfc_enable(void)
{
	return kvm_hypercall(KVM_HC_ENABLE_MEM_PROTECTED, 0, 0, 0, 0);
}

static int64_t rfc_share(uint64_t gfn, uint64_t npages)
{
	return kvm_hypercall(KVM_HC_MEM_SHARE, gfn, npages, 0, 0);
}

static int64_t rfc_unshare(uint64_t gfn, uint64_t npages)
{
	return kvm_hypercall(KVM_HC_MEM_UNSHARE, gfn, npages, 0, 0);
}

const struct protect_ops protect_rfc_ops = { "rfc", rfc_enable, rfc_share, rfc_unshare };
