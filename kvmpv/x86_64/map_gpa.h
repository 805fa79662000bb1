/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KVMPV_MAP_GPA_H
#define KVMPV_MAP_GPA_H

#include <stdint.h>

enum map_gpa_attr { /* uapi kvm_para.h: KVM_MAP_GPA_RANGE_* */
	MAP_GPA_4K = 0,
	MAP_GPA_2M = 1,
	MAP_GPA_1G = 2,
	MAP_GPA_DECRYPTED = 0 << 4,
	MAP_GPA_ENCRYPTED = 1 << 4,
};

/* The raw call: gpa in bytes. 0 or -KVM_E*. */
int64_t map_gpa_range(uint64_t gpa, uint64_t npages, uint64_t attrs);

#endif
