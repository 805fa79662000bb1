/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost-user messages, named as in QEMU's docs/interop/vhost-user.rst. */
#ifndef HOST_REF_DEV_VHOST_PROTO_H
#define HOST_REF_DEV_VHOST_PROTO_H

#include <stddef.h>
#include <stdint.h>

enum vhu_request {
	VHU_GET_FEATURES = 1,
	VHU_SET_FEATURES = 2,
	VHU_SET_OWNER = 3,
	VHU_RESET_OWNER = 4,
	VHU_SET_MEM_TABLE = 5,
	VHU_SET_LOG_BASE = 6,
	VHU_SET_LOG_FD = 7,
	VHU_SET_VRING_NUM = 8,
	VHU_SET_VRING_ADDR = 9,
	VHU_SET_VRING_BASE = 10,
	VHU_GET_VRING_BASE = 11,
	VHU_SET_VRING_KICK = 12,
	VHU_SET_VRING_CALL = 13,
	VHU_SET_VRING_ERR = 14,
	VHU_GET_PROTOCOL_FEATURES = 15,
	VHU_SET_PROTOCOL_FEATURES = 16,
	VHU_GET_QUEUE_NUM = 17,
	VHU_SET_VRING_ENABLE = 18,
	VHU_SET_BACKEND_REQ_FD = 21,
	VHU_IOTLB_MSG = 22,
	VHU_GET_CONFIG = 24,
	VHU_SET_CONFIG = 25,
	VHU_RESET_DEVICE = 34,
	VHU_GET_MAX_MEM_SLOTS = 36,
	VHU_ADD_MEM_REG = 37,
	VHU_REM_MEM_REG = 38,
	VHU_SET_STATUS = 39,
	VHU_GET_STATUS = 40,
};

enum vhu_backend_request {
	VHU_BACKEND_IOTLB_MSG = 1,
	VHU_BACKEND_CONFIG_CHANGE_MSG = 2
};

enum vhu_flags {
	VHU_VERSION = 1,
	VHU_VERSION_MASK = 3,
	VHU_REPLY = 4,
	VHU_NEED_REPLY = 8,
};

#define VHU_F_PROTOCOL_FEATURES 30 /* a feature bit */

enum vhu_protocol_feature {
	VHU_P_MQ = 0,
	VHU_P_REPLY_ACK = 3,
	VHU_P_BACKEND_REQ = 5,
	VHU_P_CONFIG = 9,
	VHU_P_RESET_DEVICE = 13,
	VHU_P_CONFIGURE_MEM_SLOTS = 15,
	VHU_P_STATUS = 16,
};

enum vhu_iotlb_type {
	VHU_IOTLB_MISS = 1,
	VHU_IOTLB_UPDATE = 2,
	VHU_IOTLB_INVALIDATE = 3,
	VHU_IOTLB_ACCESS_FAIL = 4,
};

enum vhu_access {
	VHU_ACCESS_RO = 1,
	VHU_ACCESS_WO = 2,
};

struct vhu_iotlb {
	uint64_t iova, size, uva;
	uint8_t access, type, padding[6];
} __attribute__((packed));

#define VHU_VRING_INDEX 0xffu
#define VHU_VRING_NOFD	0x100u
#define VHU_MAX_REGIONS 8 /* of SET_MEM_TABLE */
#define VHU_CONFIG_MAX	256

struct vhu_header {
	uint32_t request, flags, size;
} __attribute__((packed));

struct vhu_region {
	uint64_t gpa, size, uva, offset;
} __attribute__((packed));

struct vhu_msg {
	struct vhu_header h;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t count, padding;
			struct vhu_region region[VHU_MAX_REGIONS];
		} mem;
		struct {
			uint64_t padding;
			struct vhu_region region;
		} mem_reg;
		struct {
			uint32_t offset, size, flags;
			uint8_t data[VHU_CONFIG_MAX];
		} config;
		struct vhu_iotlb iotlb;
		uint8_t raw[512];
	};
} __attribute__((packed));
_Static_assert(offsetof(struct vhu_msg, raw) == 12, "wire format");

#endif
