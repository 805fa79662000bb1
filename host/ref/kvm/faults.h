/* SPDX-License-Identifier: BSD-2-Clause */
/* The reference KVM's injected faults: what a real host bug would do, one thing each. */
#ifndef HOST_REF_KVM_FAULTS_H
#define HOST_REF_KVM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum refkvm_fault {
	RF_CPUID_SIGNATURE,
	RF_CPUID_MAX_LEAF,
	RF_CPUID_FEATURE_LIES,
	RF_CPUID_NO_FEATURES,
	RF_HC_UNKNOWN_OK,
	RF_HC_UNKNOWN_EINVAL,
	RF_HC_CLOBBER_RBX,
	RF_HC_CLOBBER_RCX,
	RF_HC_CPL3_ALLOWED,
	RF_HC_CPL3_WRONG_ERROR,
	RF_HC_MODE32,
	RF_HC_VMMCALL_ENOSYS,
	RF_ENABLE_NOT_STICKY,
	RF_ENABLE_ERROR,
	RF_ENABLE_PARTIAL,
	RF_ENABLE_NO_EFFECT,
	RF_ENABLE_RACE,
	RF_ENABLE_KEEPS_EARLY_SHARE,
	RF_SHARE_NEIGHBOUR,
	RF_SHARE_ONE_SHORT,
	RF_SHARE_ZERO_ERROR,
	RF_SHARE_ZERO_SHARES_ONE,
	RF_SHARE_REPEAT_FAILS,
	RF_SHARE_HOLE_ERROR,
	RF_SHARE_CROSSING_OK,
	RF_SHARE_WRAP_OK,
	RF_SHARE_POSITIVE_ERRNO,
	RF_UNSHARE_IGNORED,
	RF_UNSHARE_NEIGHBOUR,
	RF_UNSHARE_OTHER,
	RF_STATE_LOST_ON_AP,
	RF_CONVERT_CORRUPTS_NEIGHBOUR,
	RF_CONVERT_SCRAMBLES,
	RF_MAP_GPA_UNALIGNED_OK,
	RF_MAP_GPA_RESERVED_OK,
	RF_MAP_GPA_ZERO_OK,
	RF_MAP_GPA_WRAP_OK,
	RF_MAP_GPA_ENCRYPT_IGNORED,
	RF_MAP_GPA_SIZE_HINT_ROUNDS,
	RF_MAP_GPA_WITHOUT_FEATURE,
	RF_CLOCK_STEPS_BACK,
	RF_CLOCK_VERSION_ODD,
	RF_CLOCK_RATE,
	RF_CLOCK_AP_OFFSET,
	RF_CLOCK_FLAG_UNSTABLE,
	RF_CLOCK_WALL_GARBAGE,
	RF_RESET_KEEPS_PRIVATE,
	RF_COUNT,
};

typedef uint64_t fault_set_t;
_Static_assert(RF_COUNT <= 64, "fault_set_t is a bit set");

struct refkvm_fault_info {
	const char *id;
	const char *
		needs; /* of the run, by commas: NAME=VALUE of the recipe's variables, cpus=N; "any" */
	const char *clause; /* what it breaks */
	const char *expect; /* glob of the test ids that must FAIL */
	const char *what;   /* what the host does */
};
extern const struct refkvm_fault_info refkvm_faults[RF_COUNT];

/* 0 (bit set in *set), -ENOENT. */
int refkvm_fault_add(fault_set_t *set, const char *id);
/* Tab-separated as `assay faults` reads it: id, clause, expect, needs, what. */
void refkvm_fault_list(FILE *out);

static inline bool fault_on(fault_set_t set, enum refkvm_fault f)
{
	return set >> f & 1;
}

#endif
