/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/refkvm/faults.h"

#include <errno.h>
#include <string.h>

#define CPUID_RST "kvm cpuid.rst"
#define HC_RST	  "kvm hypercalls.rst"
#define MSR_RST	  "kvm msr.rst"
#define RFC	  "kvm protected memory RFCv2"

const struct refkvm_fault_info refkvm_faults[RF_COUNT] = {
	[RF_CPUID_SIGNATURE] = { "kvm.cpuid.signature", "any", CPUID_RST ": 0x40000000 signature",
				 "kvmpv.cpuid.*", "the signature's last word is not 0x4d" },
	[RF_CPUID_MAX_LEAF] = { "kvm.cpuid.max_leaf", "any", CPUID_RST ": 0x40000000 eax",
				"kvmpv.cpuid.*", "the maximum leaf is below its base" },
	[RF_CPUID_FEATURE_LIES] = { "kvm.cpuid.feature_lies", "MODE=map_gpa",
				    CPUID_RST ": bit 16 HC_MAP_GPA_RANGE", "kvmpv.cpuid.*",
				    "bit 16 is set, the hypercall answers -1000" },
	[RF_CPUID_NO_FEATURES] = { "kvm.cpuid.reserved_bits", "any", CPUID_RST ": 0x40000001",
				   "kvmpv.cpuid.*", "unassigned feature bits are set" },
	[RF_HC_UNKNOWN_OK] = { "kvm.hypercall.unknown_ok", "any", HC_RST ": -KVM_ENOSYS",
			       "kvmpv.hypercall.*", "an unknown number answers 0" },
	[RF_HC_UNKNOWN_EINVAL] = { "kvm.hypercall.unknown_einval", "any", HC_RST ": -KVM_ENOSYS",
				   "kvmpv.hypercall.*", "an unknown number answers -22" },
	[RF_HC_CLOBBER_RBX] = { "kvm.hypercall.clobbers_rbx", "any",
				HC_RST ": no other register is clobbered", "kvmpv.hypercall.*",
				"rbx changes" },
	[RF_HC_CLOBBER_RCX] = { "kvm.hypercall.clobbers_rcx", "any",
				HC_RST ": no other register is clobbered", "kvmpv.hypercall.*",
				"rcx changes" },
	[RF_HC_CPL3_ALLOWED] = { "kvm.hypercall.cpl3_allowed", "any", HC_RST ": -KVM_EPERM",
				 "kvmpv.hypercall.*", "user mode may call" },
	[RF_HC_CPL3_WRONG_ERROR] = { "kvm.hypercall.cpl3_wrong_error", "any", HC_RST ": -KVM_EPERM",
				     "kvmpv.hypercall.*", "user mode gets -1000 instead of -1" },
	[RF_HC_MODE32] = { "kvm.hypercall.mode32_refused", "any",
			   HC_RST ": 32-bit callers are served, truncated", "kvmpv.hypercall.*",
			   "a call from 32-bit code answers -1000" },
	[RF_HC_VMMCALL_ENOSYS] = { "kvm.hypercall.one_opcode", "any", HC_RST ": either instruction",
				   "kvmpv.hypercall.*", "VMMCALL does nothing: rax stays" },
	[RF_ENABLE_NOT_STICKY] = { "kvm.enable.not_sticky", "MODE=rfc", RFC ": mem_protected stays",
				   "kvmpv.enable.*",
				   "protection is off again after the next hypercall" },
	[RF_ENABLE_ERROR] = { "kvm.enable.error", "MODE=rfc", RFC ": enable returns 0",
			      "kvmpv.enable.*", "it enables and answers -22" },
	[RF_ENABLE_PARTIAL] = { "kvm.enable.partial", "MODE=rfc", RFC ": every memory slot",
				"kvmpv.enable.*", "the upper half of each slot stays shared" },
	[RF_ENABLE_NO_EFFECT] = { "kvm.enable.no_effect", "MODE=rfc", RFC ": every memory slot",
				  "kvmpv.enable.*", "it answers 0 and protects nothing" },
	[RF_ENABLE_RACE] = { "kvm.enable.race", "MODE=rfc,cpus=4",
			     "s390 series review: state changes under a lock", "kvmpv.enable.*",
			     "of several callers some succeed and some fail" },
	[RF_ENABLE_KEEPS_EARLY_SHARE] = { "kvm.enable.keeps_early_share", "MODE=rfc",
					  RFC ": every memory slot", "kvmpv.enable.*",
					  "what was shared before stays shared" },
	[RF_SHARE_NEIGHBOUR] = { "kvm.share.neighbour", "MODE=rfc", RFC ": MEM_SHARE gfn, npages",
				 "kvmpv.share.*", "the page behind the range is shared too" },
	[RF_SHARE_ONE_SHORT] = { "kvm.share.one_short", "MODE=rfc", RFC ": MEM_SHARE gfn, npages",
				 "kvmpv.share.*", "the last page of the range stays private" },
	[RF_SHARE_ZERO_ERROR] = { "kvm.share.zero_error", "MODE=rfc", RFC ": npages 0 answers 0",
				  "kvmpv.share.*", "npages 0 answers -22" },
	[RF_SHARE_ZERO_SHARES_ONE] = { "kvm.share.zero_shares_one", "MODE=rfc",
				       RFC ": npages 0 does nothing", "kvmpv.share.*",
				       "npages 0 shares one page" },
	[RF_SHARE_REPEAT_FAILS] = { "kvm.share.repeat_fails", "MODE=rfc",
				    RFC ": sharing what is shared is harmless", "kvmpv.share.*",
				    "sharing a shared page answers -17" },
	[RF_SHARE_HOLE_ERROR] = { "kvm.share.hole_error", "MODE=rfc",
				  RFC ": no memory slot there answers 0", "kvmpv.share.*",
				  "a frame without memory answers -14" },
	[RF_SHARE_CROSSING_OK] = { "kvm.share.crossing_ok", "MODE=rfc",
				   RFC ": crossing a memory slot's end answers -22",
				   "kvmpv.share.*", "it answers 0 and shares what it can" },
	[RF_SHARE_WRAP_OK] = { "kvm.share.wrap_ok", "MODE=rfc",
			       RFC ": npages beyond the slot is -22", "kvmpv.share.*",
			       "npages is cut to 32 bits" },
	[RF_SHARE_POSITIVE_ERRNO] = { "kvm.share.positive_errno", "MODE=rfc",
				      HC_RST ": negative error codes", "kvmpv.share.*",
				      "errors come as positive numbers" },
	[RF_UNSHARE_IGNORED] = { "kvm.unshare.ignored", "MODE=rfc", RFC ": MEM_UNSHARE",
				 "kvmpv.*share.*", "it answers 0 and leaves the page shared" },
	[RF_UNSHARE_NEIGHBOUR] = { "kvm.unshare.neighbour", "MODE=rfc",
				   RFC ": MEM_UNSHARE gfn, npages", "kvmpv.*share.*",
				   "the page behind the range goes private too" },
	[RF_STATE_LOST_ON_AP] = { "kvm.state.lost_on_ap", "MODE=rfc,cpus=4",
				  RFC ": the state is the VM's", "kvmpv.share.from_another_cpu",
				  "a call from another CPU changes nothing" },
	[RF_CONVERT_CORRUPTS_NEIGHBOUR] = { "kvm.convert.corrupts_neighbour", "MODE=rfc",
					    RFC ": only the range is converted", "kvmpv.*share.*",
					    "a byte of the page behind the range changes" },
	[RF_CONVERT_SCRAMBLES] = { "kvm.convert.loses_contents", "MODE=rfc",
				   RFC ": mprotect keeps the contents", "kvmpv.*share.*",
				   "a converted page loses its contents, against RFCv2" },
	[RF_MAP_GPA_UNALIGNED_OK] = { "kvm.map_gpa.unaligned_ok", "MODE=map_gpa",
				      HC_RST ": gpa is page-aligned", "kvmpv.map_gpa.*",
				      "an unaligned address is rounded down" },
	[RF_MAP_GPA_RESERVED_OK] = { "kvm.map_gpa.reserved_bits_ok", "MODE=map_gpa",
				     HC_RST ": attribute bits 63:5 are zero", "kvmpv.map_gpa.*",
				     "reserved attribute bits are taken" },
	[RF_MAP_GPA_ZERO_OK] = { "kvm.map_gpa.zero_ok", "MODE=map_gpa", HC_RST ": npages > 0",
				 "kvmpv.map_gpa.*", "npages 0 answers 0" },
	[RF_MAP_GPA_WRAP_OK] = { "kvm.map_gpa.wrap_ok", "MODE=map_gpa", HC_RST ": no wrap-around",
				 "kvmpv.map_gpa.*", "a range past the top of memory answers 0" },
	[RF_MAP_GPA_ENCRYPT_IGNORED] = { "kvm.map_gpa.encrypt_ignored", "MODE=map_gpa",
					 HC_RST ": bit 4 encrypted", "kvmpv.enable.all_private",
					 "encrypting answers 0 and does nothing" },
	[RF_MAP_GPA_SIZE_HINT_ROUNDS] = { "kvm.map_gpa.size_hint_rounds", "MODE=map_gpa",
					  HC_RST ": the size is a preference only",
					  "kvmpv.map_gpa.*",
					  "with the 2M hint the whole 2M around is converted" },
	[RF_MAP_GPA_WITHOUT_FEATURE] = { "kvm.map_gpa.without_feature", "MODE=none",
					 HC_RST ": -KVM_ENOSYS when not exposed", "kvmpv.*",
					 "MAP_GPA_RANGE answers 0 where bit 16 is clear" },
	[RF_CLOCK_STEPS_BACK] = { "kvm.clock.steps_back", "any", MSR_RST ": monotonic",
				  "kvmpv.clock.*",
				  "each registration sets the clock back by a second" },
	[RF_CLOCK_VERSION_ODD] = { "kvm.clock.version_odd", "any",
				   MSR_RST ": version is even after an update", "kvmpv.clock.*",
				   "the version stays odd" },
	[RF_CLOCK_RATE] = { "kvm.clock.rate", "any", MSR_RST ": tsc_to_system_mul, tsc_shift",
			    "kvmpv.clock.*", "the clock runs at twice its rate" },
	[RF_CLOCK_AP_OFFSET] = { "kvm.clock.ap_offset", "cpus=4",
				 MSR_RST ": stable bit, one clock for all CPUs", "kvmpv.clock.*",
				 "other CPUs are three seconds behind" },
	[RF_CLOCK_FLAG_UNSTABLE] = { "kvm.clock.unstable_flag", "any",
				     MSR_RST ": flag bit 0 has to be announced by CPUID bit 24",
				     "kvmpv.clock.page",
				     "the flag in the page without CPUID bit 24" },
	[RF_CLOCK_WALL_GARBAGE] = { "kvm.clock.wall_nsec", "any", MSR_RST ": wall clock nsec",
				    "kvmpv.clock.*", "nanoseconds of the wall clock exceed 10^9" },
	[RF_RESET_KEEPS_PRIVATE] = { "kvm.reset.keeps_state", "MODE=rfc",
				     "a reset machine is a new machine", "kvmpv.lifecycle.*",
				     "after a platform reset protection is still on" },
};

int refkvm_fault_add(fault_set_t *set, const char *id)
{
	unsigned int i;

	for (i = 0; i < RF_COUNT; i++) {
		if (strcmp(refkvm_faults[i].id, id) != 0)
			continue;
		*set |= (fault_set_t)1 << i;
		return 0;
	}
	return -ENOENT;
}

void refkvm_fault_list(FILE *out)
{
	unsigned int i;

	for (i = 0; i < RF_COUNT; i++)
		fprintf(out, "%s\t%s\t%s\t%s\t%s\n", refkvm_faults[i].id, refkvm_faults[i].clause,
			refkvm_faults[i].expect, refkvm_faults[i].needs, refkvm_faults[i].what);
}
