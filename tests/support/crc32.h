/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_SUPPORT_CRC32_H
#define TESTS_SUPPORT_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32 of IEEE 802.3, as zlib's: begin with 0. */
uint32_t crc32_update(uint32_t crc, const void *p, size_t n);

#endif
