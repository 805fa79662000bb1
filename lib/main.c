/* SPDX-License-Identifier: BSD-2-Clause */
/* From the entry to the end of the run. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/boot_info.h"
#include "lib/acpi.h"
#include "lib/arch.h"
#include "lib/cmdline.h"
#include "lib/config_section.h"
#include "lib/init.h"
#include "lib/libc.h"
#include "lib/mem.h"
#include "lib/paging.h"
#include "lib/pci.h"
#include "lib/reboot.h"
#include "lib/test.h"

#ifndef ASSAY_VERSION
#define ASSAY_VERSION "unknown"
#endif

OPTION("exit", "how the machine ends: debug, acpi, reset or halt; default: each in turn");

extern const init_fn start_assay_init[], stop_assay_init[];
extern const env_fn start_assay_env[], stop_assay_env[];

#define HEAP_DIVISOR 8
#define HEAP_MAX     (64u << 20)

void env_line(const char *key, const char *fmt, ...)
{
	va_list ap;

	printf("# env %s: ", key);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static void read_config(const struct boot_info *info)
{
	static char text[BOOT_CMDLINE_MAX * 2];
	uint32_t i, n = config_section.len;

	if (n > 0 && n < sizeof(config_section.text)) {
		for (i = 0; i < n; i++)
			text[i] = config_section.text[i];
		cmdline_add(text, "the image");
		memset(text, 0, sizeof(text));
	}
	cmdline_add(info->file_cfg, "assay.cfg");
	cmdline_add(info->cmdline, info->method == BOOT_EFI ? "load options" : "the command line");
	if (arch_fw_cfg_read("opt/assay/cmdline", text, sizeof(text)) > 0)
		cmdline_add(text, "fw_cfg");
}

static void print_env(const struct boot_info *info, int acpi_ret)
{
	const char *const *refused;
	unsigned int n, i;
	const env_fn *e;

	env_line("boot", "%s", info->method == BOOT_EFI ? "efi" : "pvh");
	env_line("firmware", "%s", info->firmware);
	env_line("memory", "%llu MiB in %u ranges, image %llu KiB at 0x%llx",
		 (unsigned long long)(mem_total() >> 20), (unsigned int)info->mem_count,
		 (unsigned long long)(info->image_size >> 10),
		 (unsigned long long)info->image_base);
	arch_env();
	env_line("acpi", "%s", acpi_ret == 0 ? "present" : "none found");
	n = acpi_refused(&refused);
	for (i = 0; i < n; i++)
		env_line("acpi refused", "%s", refused[i]);
	for (n = 0; pci_get(n); n++)
		;
	env_line("pci", "%u functions by %s", n, pci_access());
	for (e = start_assay_env; e < stop_assay_env; e++)
		(*e)();
}

static enum end_status status_of(const struct test_totals *t)
{
	if (t->error)
		return END_ERROR;
	if (t->fail)
		return END_FAIL;
	return t->pass ? END_PASS : END_SKIP;
}

static const struct boot_info *boot;

const struct boot_info *boot_info_get(void)
{
	return boot;
}

_Noreturn void assay_main(const struct boot_info *info)
{
	struct test_totals totals;
	const init_fn *f;
	size_t heap;
	int acpi_ret;

	boot = info;
	arch_early_init();
	reboot_init();
	/* Firmware leaves its own escape sequences on the line. */
	printf("%sKTAP version 1\n# assay %s boot=%s\n", info->method == BOOT_EFI ? "\n" : "",
	       ASSAY_VERSION, info->method == BOOT_EFI ? "efi" : "pvh");
	mem_init(info);
	arch_init(info);
	mem_add_high(info, 1ull << paging_phys_bits());
	heap = mem_free_bytes() / HEAP_DIVISOR;
	if (mem_free_bytes() == 0 || libc_heap_init(heap < HEAP_MAX ? heap : HEAP_MAX)) {
		printf("Bail out! no memory: %u ranges, %llu bytes free\n",
		       (unsigned int)info->mem_count, (unsigned long long)mem_free_bytes());
		arch_end(END_ERROR, NULL);
	}
	read_config(info);
	if (cmdline_get("console") && !arch_console_select(cmdline_get("console")))
		printf("# warning: console=%s: not all of them are there\n",
		       cmdline_get("console"));
	acpi_ret = acpi_init(info->rsdp);
	arch_late_init();
	smp_init();
	pci_init();
	for (f = start_assay_init; f < stop_assay_init; f++)
		(*f)();
	print_env(info, acpi_ret);
	cmdline_warn_unknown();
	reboot_begin();
	totals = test_run_all();
	reboot_end();
	printf("# end\n");
	fflush(stdout);
	arch_end(status_of(&totals), cmdline_get("exit"));
}
