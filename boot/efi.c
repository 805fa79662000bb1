/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The EFI entry, once GNU-EFI's crt0 has relocated the image. It collects boot_info, calls ExitBootServices, and leaves
 * the firmware behind.
 */
#define GNU_EFI_USE_MS_ABI 1
#include <efi.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/boot_info.h"
#include "boot/efi_leave.h"
#include "boot/mem_map.h"

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st);

#define EXIT_TRIES 8

static struct boot_info info;
static EFI_GUID loaded_image_guid = LOADED_IMAGE_PROTOCOL;
static EFI_GUID file_system_guid = SIMPLE_FILE_SYSTEM_PROTOCOL;

/* Converts UCS-2 to ASCII. A character that is not ASCII becomes '?'. */
static void copy_ucs2(char *dst, size_t size, const CHAR16 *src, size_t chars)
{
	size_t i;

	for (i = 0; i < chars && i + 1 < size && src[i]; i++)
		dst[i] = src[i] < 0x80 ? (char)src[i] : '?';
	dst[i] = '\0';
}

/* The EFI shell puts the program's own name before its load options: it is skipped. */
static void drop_program_name(char *s)
{
	const size_t n = strcspn(s, " ");

	if (n >= 4 && strncasecmp(s + n - 4, ".efi", 4) == 0)
		memmove(s, s + n, strlen(s + n) + 1);
}

/* The options of a boot manager's entry may be any bytes. Only text is taken for a command line. */
static bool is_text(const CHAR16 *o, size_t chars)
{
	size_t i;

	for (i = 0; i < chars && o[i]; i++)
		if (o[i] != L'\t' && o[i] != L'\n' && o[i] != L'\r' && (o[i] < 0x20 || o[i] > 0x7e))
			return false;
	return true;
}

static void read_load_options(const EFI_LOADED_IMAGE *li)
{
	const CHAR16 *o = li->LoadOptions;
	const size_t chars = li->LoadOptionsSize / sizeof(CHAR16);

	if (!o || chars == 0 || ((uintptr_t)o & 1) || !is_text(o, chars))
		return;
	copy_ucs2(info.cmdline, sizeof(info.cmdline), o, chars);
	drop_program_name(info.cmdline);
}

/* Line ends count as blanks, and a comment ends with its line. */
static void flatten(char *s)
{
	bool comment = false, word = false;

	for (; *s; s++) {
		if (*s == '\n' || *s == '\r')
			comment = false;
		else if (*s == '#' && !word)
			comment = true;
		if (comment || (unsigned char)*s < 0x20)
			*s = ' ';
		word = *s != ' ';
	}
}

static bool read_file(EFI_FILE *root, CHAR16 *name)
{
	UINTN n = sizeof(info.file_cfg) - 1;
	EFI_FILE *file = NULL;

	if (EFI_ERROR(root->Open(root, &file, name, EFI_FILE_MODE_READ, 0)))
		return false;
	if (EFI_ERROR(file->Read(file, &n, info.file_cfg)))
		n = 0;
	info.file_cfg[n] = '\0';
	flatten(info.file_cfg);
	file->Close(file);
	return true;
}

#define CONFIG_FILE L"assay.cfg"
#define PATH_MAX_16 256

/* The name of the configuration file in our own directory, from the image's device path. */
static bool name_beside_us(const EFI_LOADED_IMAGE *li, CHAR16 *name)
{
	static const CHAR16 file[] = CONFIG_FILE;
	const EFI_DEVICE_PATH *p = li->FilePath;
	size_t dir = 0, i, chars;
	const CHAR16 *s;

	if (!p || p->Type != MEDIA_DEVICE_PATH || p->SubType != MEDIA_FILEPATH_DP)
		return false;
	chars = ((size_t)p->Length[0] | (size_t)p->Length[1] << 8) / sizeof(CHAR16);
	if (chars < 3 || chars > PATH_MAX_16)
		return false;
	s = (const CHAR16 *)(const void *)(p + 1);
	for (i = 0; i < chars - 2 && s[i]; i++)
		if (s[i] == L'\\')
			dir = i + 1;
	memcpy(name, s, dir * sizeof(CHAR16));
	memcpy(name + dir, file, sizeof(file));
	return true;
}

/* assay.cfg beside the image, else in the root of the volume that it was loaded from. */
static void read_config_file(EFI_BOOT_SERVICES *bs, const EFI_LOADED_IMAGE *li)
{
	static CHAR16 in_root[] = L"\\" CONFIG_FILE;
	static CHAR16 beside[PATH_MAX_16 + sizeof(CONFIG_FILE)];
	EFI_FILE_IO_INTERFACE *fs = NULL;
	EFI_FILE *root = NULL;

	if (!li->DeviceHandle ||
	    EFI_ERROR(bs->HandleProtocol(li->DeviceHandle, &file_system_guid, (void **)&fs)))
		return;
	if (EFI_ERROR(fs->OpenVolume(fs, &root)))
		return;
	if (!name_beside_us(li, beside) || !read_file(root, beside))
		read_file(root, in_root);
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
		/* Neighbours are merged, so that a long map fits. */
		if (info.mem_count >= 2) {
			struct boot_mem *a = &info.mem[info.mem_count - 2], *b = a + 1;

			if (a->type == b->type && a->base + a->size == b->base) {
				a->size += b->size;
				info.mem_count--;
			}
		}
	}
}

/* Any event since the map was read makes its key stale. Then the map is read again. */
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

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st)
{
	EFI_BOOT_SERVICES *bs = st->BootServices;
	EFI_LOADED_IMAGE *li = NULL;
	EFI_STATUS status;

	info.method = BOOT_EFI;
	copy_ucs2(info.firmware, sizeof(info.firmware) - 16, st->FirmwareVendor, 32);
	snprintf(info.firmware + strlen(info.firmware), 16, " %u.%u",
		 (unsigned int)(st->FirmwareRevision >> 16),
		 (unsigned int)(st->FirmwareRevision & 0xffff));
	if (!EFI_ERROR(bs->HandleProtocol(image, &loaded_image_guid, (void **)&li))) {
		read_load_options(li);
		read_config_file(bs, li);
	}
	info.rsdp = find_rsdp(st);
	status = exit_boot_services(bs, image);
	if (EFI_ERROR(status)) {
		static CHAR16 msg[] = L"assay: ExitBootServices failed\r\n";

		st->ConOut->OutputString(st->ConOut, msg);
		return status;
	}
	boot_map_finish(&info);
	efi_leave(&info);
}
