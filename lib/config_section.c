/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/config_section.h"

/* Written by `assay configure` in the image's file; the packed EFI image hands its own to the payload. */
volatile const struct config_section config_section
	__attribute__((section(".assay_config"), used)) = {
		.magic = CONFIG_SECTION_MAGIC,
		.size = CONFIG_SECTION_SIZE - 24,
	};
