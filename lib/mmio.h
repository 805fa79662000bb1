/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device registers, barriers, and fields in shared memory.
 *
 * lib/<arch>/include/arch/mmio.h defines, for 8, 16, 32 and 64 bits:
 * mmio_read<bits>(p): no later access to memory comes before the load has its value.
 * mmio_write<bits>(p, v): all earlier stores to memory are visible to the device before the store.
 * And between accesses to memory that a device or another CPU shares (VIRTIO_F_ORDER_PLATFORM: real hardware, too):
 * mb() orders all, wmb() stores with stores, rmb() loads with what follows.
 */
#ifndef LIB_MMIO_H
#define LIB_MMIO_H

#include <arch/mmio.h>

/* One access, not torn, not repeated by the compiler: for memory that another side writes or reads. */
#define READ_ONCE(x)	 (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

#endif
