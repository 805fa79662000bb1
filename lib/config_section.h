/* SPDX-License-Identifier: BSD-2-Clause */
/* The patchable command line in the image, for hosts that pass none (`assay configure`). */
#ifndef LIB_CONFIG_SECTION_H
#define LIB_CONFIG_SECTION_H

#include <stdint.h>

#define CONFIG_SECTION_MAGIC "\177ASSAY-CONFIG-1" /* 15 bytes and the terminating 0 */
#define CONFIG_SECTION_SIZE  2048

struct config_section {
	char magic[16];
	uint32_t size; /* of text[] */
	uint32_t len;  /* bytes used */
	char text[CONFIG_SECTION_SIZE - 24];
};
_Static_assert(sizeof(struct config_section) == CONFIG_SECTION_SIZE, "patched by the harness");

extern volatile const struct config_section config_section;

#endif
