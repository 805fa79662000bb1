/* SPDX-License-Identifier: BSD-2-Clause */
/* Little-endian fields have types of their own, and are converted where they are read and written. */
#ifndef LIB_ENDIAN_H
#define LIB_ENDIAN_H

#include <stdint.h>

typedef uint16_t le16;
typedef uint32_t le32;
typedef uint64_t le64;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define cpu_to_le16(x) ((le16)(x))
#define cpu_to_le32(x) ((le32)(x))
#define cpu_to_le64(x) ((le64)(x))
#else
#define cpu_to_le16(x) ((le16)__builtin_bswap16(x))
#define cpu_to_le32(x) ((le32)__builtin_bswap32(x))
#define cpu_to_le64(x) ((le64)__builtin_bswap64(x))
#endif
#define le16_to_cpu(x) cpu_to_le16(x)
#define le32_to_cpu(x) cpu_to_le32(x)
#define le64_to_cpu(x) cpu_to_le64(x)

#endif
