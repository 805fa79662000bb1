/* SPDX-License-Identifier: BSD-2-Clause */
/* EFI entry (GNU-EFI's crt0 has relocated us): collect, ExitBootServices, leave the firmware behind. */
#define GNU_EFI_USE_MS_ABI 1
#include <efi.h>

#include <stdio.h>
#include <string.h>

#include "boot/boot_info.h"
#include "boot/mem_map.h"
#include "lib/image.h"

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st);

#define EXIT_TRIES 8
#define STACK_SIZE 65536

static struct boot_info info;
static EFI_GUID loaded_image_guid = LOADED_IMAGE_PROTOCOL;
static EFI_GUID file_system_guid = SIMPLE_FILE_SYSTEM_PROTOCOL;

/* UCS-2 to ASCII; what is not ASCII becomes '?'. */
static void copy_ucs2(char *dst, size_t size, const CHAR16 *src, size_t chars)
{
	size_t i;

	for (i = 0; i < chars && i + 1 < size && src[i]; i++)
		dst[i] = src[i] < 0x80 ? (char)src[i] : '?';
	dst[i] = '\0';
}

/* A load option may begin with the program's own name (the shell's habit): no '=' in the first word. */
static void drop_program_name(char *s)
{
	const size_t first = strcspn(s, " ");

	if (memchr(s, '=', first) || first == 0)
		return;
	memmove(s, s + first, strlen(s + first) + 1);
}

static void read_load_options(const EFI_LOADED_IMAGE *li)
{
	const CHAR16 *o = li->LoadOptions;
	const size_t chars = li->LoadOptionsSize / sizeof(CHAR16);

	if (!o || chars == 0)
		return;
	copy_ucs2(info.cmdline, sizeof(info.cmdline), o, chars);
	drop_program_name(info.cmdline);
}

/* assay.cfg in the root of the volume that we were loaded from. Line ends count as blanks. */
static void read_config_file(EFI_BOOT_SERVICES *bs, EFI_HANDLE volume)
{
	static CHAR16 name[] = L"\\assay.cfg";
	EFI_FILE_IO_INTERFACE *fs = NULL;
	EFI_FILE *root = NULL, *file = NULL;
	UINTN n = sizeof(info.file_cfg) - 1;
	size_t i;

	if (!volume || EFI_ERROR(bs->HandleProtocol(volume, &file_system_guid, (void **)&fs)))
		return;
	if (EFI_ERROR(fs->OpenVolume(fs, &root)))
		return;
	if (!EFI_ERROR(root->Open(root, &file, name, EFI_FILE_MODE_READ, 0))) {
		if (EFI_ERROR(file->Read(file, &n, info.file_cfg)))
			n = 0;
		info.file_cfg[n] = '\0';
		for (i = 0; i < n; i++)
			if (info.file_cfg[i] == '\n' || info.file_cfg[i] == '\r')
				info.file_cfg[i] = ' ';
		file->Close(file);
	}
	root->Close(root);
}

static uint64_t find_rsdp(const EFI_SYSTEM_TABLE *st)
{
	static const EFI_GUID acpi20 = ACPI_20_TABLE_GUID, acpi10 = ACPI_TABLE_GUID;
	uint64_t old = 0;
	UINTN i;

	for (i = 0; i < st->NumberOfTableEntries; i++) {
		const EFI_CONFIGURATION_TABLE *t = &st->ConfigurationTable[i];

		if (memcmp(&t->VendorGuid, &acpi20, sizeof(acpi20)) == 0)
			return (uint64_t)(uintptr_t)t->VendorTable;
		if (memcmp(&t->VendorGuid, &acpi10, sizeof(acpi10)) == 0)
			old = (uint64_t)(uintptr_t)t->VendorTable;
	}
	return old;
}

static enum boot_mem_type mem_type(UINT32 type)
{
	switch (type) {
	case EfiConventionalMemory:
	case EfiBootServicesCode:
	case EfiBootServicesData:
	case EfiLoaderCode:
	case EfiLoaderData:
		return BOOT_MEM_RAM;
	case EfiACPIReclaimMemory:
		return BOOT_MEM_RECLAIM;
	case EfiACPIMemoryNVS:
		return BOOT_MEM_NVS;
	case EfiMemoryMappedIO:
	case EfiMemoryMappedIOPortSpace:
		return BOOT_MEM_MMIO;
	case EfiUnusableMemory:
		return BOOT_MEM_UNUSABLE;
	default:
		return BOOT_MEM_RESERVED;
	}
}

static void copy_map(const uint8_t *map, UINTN size, UINTN desc_size)
{
	UINTN off;

	for (off = 0; desc_size && off + desc_size <= size; off += desc_size) {
		const EFI_MEMORY_DESCRIPTOR *d = (const EFI_MEMORY_DESCRIPTOR *)(map + off);

		boot_map_add(&info, d->PhysicalStart, d->NumberOfPages << 12, mem_type(d->Type));
		/* Neighbours become one, so that a long map fits. */
		if (info.mem_count >= 2) {
			struct boot_mem *a = &info.mem[info.mem_count - 2], *b = a + 1;

			if (a->type == b->type && a->base + a->size == b->base) {
				a->size += b->size;
				info.mem_count--;
			}
		}
	}
}

/* The map's key is stale if anything happened since it was read: then read it again. */
static EFI_STATUS exit_boot_services(EFI_BOOT_SERVICES *bs, EFI_HANDLE image)
{
	UINTN cap = 0, size = 0, key, desc_size = 0;
	UINT32 version;
	EFI_STATUS status;
	void *map = NULL;
	int i;

	bs->GetMemoryMap(&size, NULL, &key, &desc_size, &version);
	cap = size + 16 * desc_size;
	status = bs->AllocatePool(EfiLoaderData, cap, &map);
	if (EFI_ERROR(status))
		return status;
	for (i = 0; i < EXIT_TRIES; i++) {
		size = cap;
		status = bs->GetMemoryMap(&size, map, &key, &desc_size, &version);
		if (EFI_ERROR(status))
			return status;
		status = bs->ExitBootServices(image, key);
		if (!EFI_ERROR(status)) {
			copy_map(map, size, desc_size);
			return EFI_SUCCESS;
		}
	}
	return status;
}

/*
 * The firmware's page tables lie in memory that is ours now and would be given away, and are read-only.
 * These map the first 4 GiB, until lib/ builds the real ones.
 */
static void load_first_tables(void)
{
	static uint64_t tables[6][512] __attribute__((aligned(4096)));
	const uint64_t present_write = 3, large = 0x83;
	unsigned int i;

	for (i = 0; i < 4 * 512; i++)
		tables[2 + i / 512][i % 512] = (uint64_t)i << 21 | large;
	for (i = 0; i < 4; i++)
		tables[1][i] = (uint64_t)(uintptr_t)tables[2 + i] | present_write;
	tables[0][0] = (uint64_t)(uintptr_t)tables[1] | present_write;
	__asm__ volatile("mov %0, %%cr3" : : "r"(tables[0]) : "memory");
}

static _Noreturn void on_own_stack(void)
{
	load_first_tables();
	assay_main(&info);
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st)
{
	EFI_BOOT_SERVICES *bs = st->BootServices;
	static uint8_t stack[STACK_SIZE] __attribute__((aligned(16)));
	EFI_LOADED_IMAGE *li = NULL;
	EFI_STATUS status;

	info.method = BOOT_EFI;
	copy_ucs2(info.firmware, sizeof(info.firmware) - 16, st->FirmwareVendor, 32);
	snprintf(info.firmware + strlen(info.firmware), 16, " %u.%u",
		 (unsigned int)(st->FirmwareRevision >> 16),
		 (unsigned int)(st->FirmwareRevision & 0xffff));
	if (!EFI_ERROR(bs->HandleProtocol(image, &loaded_image_guid, (void **)&li))) {
		read_load_options(li);
		read_config_file(bs, li->DeviceHandle);
	}
	info.rsdp = find_rsdp(st);
	if ((uintptr_t)image_end >> 32) {
		static CHAR16 high[] = L"assay: loaded above 4 GiB, which is not supported\r\n";

		st->ConOut->OutputString(st->ConOut, high);
		return EFI_UNSUPPORTED;
	}
	status = exit_boot_services(bs, image);
	if (EFI_ERROR(status)) {
		static CHAR16 msg[] = L"assay: ExitBootServices failed\r\n";

		st->ConOut->OutputString(st->ConOut, msg);
		return status;
	}
	boot_map_finish(&info);
	__asm__ volatile("cli; xor %%ebp, %%ebp; mov %0, %%rsp; call *%1"
			 :
			 : "r"(stack + STACK_SIZE), "r"(on_own_stack)
			 : "memory");
	__builtin_unreachable();
}
