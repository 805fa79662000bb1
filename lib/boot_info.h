/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What either entry (EFI, PVH) hands to assay_main(). Everything here was
 * copied out of firmware memory: nothing points into memory that the page
 * allocator may give away.
 */
#ifndef LIB_BOOT_INFO_H
#define LIB_BOOT_INFO_H

#include <stddef.h>
#include <stdint.h>

enum boot_method {
	BOOT_EFI,
	BOOT_PVH,
};

enum boot_mem_type {
	BOOT_MEM_RAM,	   /* free for us */
	BOOT_MEM_RECLAIM,  /* ACPI tables: readable RAM, not given away */
	BOOT_MEM_RESERVED, /* neither read nor written */
	BOOT_MEM_NVS,
	BOOT_MEM_MMIO,
	BOOT_MEM_UNUSABLE,
};

struct boot_mem {
	uint64_t base; /* bytes */
	uint64_t size; /* bytes */
	enum boot_mem_type type;
};

#define BOOT_MEM_MAX	 256
#define BOOT_CMDLINE_MAX 4096

struct boot_info {
	enum boot_method method;
	char firmware[64];		 /* "EDK II 2.70", "PVH (Xen ABI version 1)" */
	uint64_t rsdp;			 /* physical address, 0 when unknown */
	char cmdline[BOOT_CMDLINE_MAX];	 /* load options or PVH command line */
	char file_cfg[BOOT_CMDLINE_MAX]; /* assay.cfg of the ESP, "" without */
	uint32_t mem_count;
	struct boot_mem mem[BOOT_MEM_MAX]; /* sorted by base, no overlaps */
	uint64_t image_base, image_size;   /* the payload itself, page-aligned */
	/* What was wrong with the map as the host gave it; mem[] is corrected. */
	uint32_t map_given, map_wrapping, map_overlaps, map_surplus;
};

/* Either entry calls this once, on our own stack and page tables. */
_Noreturn void assay_main(const struct boot_info *info);

/* What the entry handed over, for tests. */
const struct boot_info *boot_info_get(void);

#endif
