/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packed EFI image. What the firmware loads is small: this file, the command line that `assay configure` writes, and
 * the payload as one LZ4 frame. The payload is unpacked into memory of its own and entered as the firmware would do it; it
 * relocates itself. A firmware reads half the bytes then, and the image stays below its limit however many tests there are.
 *
 * Source: the LZ4 frame and block formats, version 1.6.
 */
#define GNU_EFI_USE_MS_ABI 1
#include <efi.h>

#include <stdint.h>
#include <string.h>

#include "lib/config_section.h"

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st);

/* The first bytes of the payload (linker/efi.lds): offsets from there. */
struct payload_head {
	uint64_t entry;
	uint64_t size; /* of the memory that it wants, in bytes */
	uint64_t config;
};
_Static_assert(sizeof(struct payload_head) == 24, "as many as efi_packed.S takes");

/* efi_packed.S: an LZ4 frame lies between the first two. */
extern const uint8_t packed_start[], packed_stop[];
extern const struct payload_head payload_head;

typedef EFI_STATUS(EFIAPI *entry_fn)(EFI_HANDLE image, EFI_SYSTEM_TABLE *st);

#define FRAME_MAGIC   0x184d2204u
#define FRAME_VERSION 0x40u
#define HAS_SIZE      0x08u /* in FLG: the content's size follows */
#define HAS_CHECKSUM  0x10u /* in FLG: each block has one; not asked for */
#define BLOCK_IS_RAW  0x80000000u
#define PAYLOAD_MAX   (16u << 20)

/* What is left of the input. */
struct input {
	const uint8_t *at, *end;
};

static uint32_t take(struct input *in, unsigned int bytes)
{
	uint32_t v = 0;
	unsigned int i;

	for (i = 0; i < bytes && in->at < in->end; i++)
		v |= (uint32_t)*in->at++ << 8 * i;
	return v;
}

/* A length of four bits goes on in bytes while they are 255. */
static size_t take_length(struct input *in, size_t n)
{
	uint32_t more;

	if (n < 15)
		return n;
	do {
		more = take(in, 1);
		n += more;
	} while (more == 255);
	return n;
}

/* How many of room bytes a block fills; 0 if it is broken. */
static size_t unpack_block(struct input in, uint8_t *out, size_t room)
{
	size_t done = 0, n, distance;
	uint32_t token;

	while (in.at < in.end) {
		token = take(&in, 1);
		n = take_length(&in, token >> 4);
		if (n > (size_t)(in.end - in.at) || n > room - done)
			return 0;
		memcpy(out + done, in.at, n);
		in.at += n;
		done += n;
		if (in.at == in.end)
			return done; /* the last sequence is of literals only */
		distance = take(&in, 2);
		n = take_length(&in, token & 15) + 4;
		if (!distance || distance > done || n > room - done)
			return 0;
		for (; n; n--, done++)
			out[done] = out[done -
					distance]; /* what is copied may be written by this very copy */
	}
	return 0;
}

/* The size that the frame tells of its one block; in stands at the block then. 0: it is none of ours. */
static size_t open_frame(struct input *in)
{
	uint32_t flags, block;
	uint64_t size;

	if (take(in, 4) != FRAME_MAGIC)
		return 0;
	flags = take(in, 2);
	if ((flags & 0xc0) != FRAME_VERSION || !(flags & HAS_SIZE) || flags & HAS_CHECKSUM)
		return 0;
	size = take(in, 4);
	if (take(in, 4) || size > PAYLOAD_MAX)
		return 0;
	(void)take(in, 1); /* the header's checksum */
	block = take(in, 4);
	if (block & BLOCK_IS_RAW || block > (size_t)(in->end - in->at))
		return 0;
	in->end = in->at + block;
	return size;
}

static EFI_STATUS give_up(EFI_SYSTEM_TABLE *st, CHAR16 *why, EFI_STATUS status)
{
	st->ConOut->OutputString(st->ConOut, why);
	return status;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st)
{
	static CHAR16 broken[] = L"assay: the image is damaged\r\n",
		      no_memory[] = L"assay: no memory to unpack the image\r\n";
	struct input in = { packed_start, packed_stop };
	EFI_PHYSICAL_ADDRESS base = 0;
	const struct payload_head *const head = &payload_head;
	size_t size;
	uint8_t *to;
	EFI_STATUS status;

	size = open_frame(&in);
	if (!size || head->size > PAYLOAD_MAX || head->size < size || head->entry >= size ||
	    head->config > head->size - sizeof(config_section))
		return give_up(st, broken, EFI_LOAD_ERROR);
	status = st->BootServices->AllocatePages(AllocateAnyPages, EfiLoaderCode,
						 EFI_SIZE_TO_PAGES(head->size), &base);
	if (EFI_ERROR(status))
		return give_up(st, no_memory, status);
	to = (uint8_t *)(uintptr_t)base;
	if (unpack_block(in, to, size) != size) {
		st->BootServices->FreePages(base, EFI_SIZE_TO_PAGES(head->size));
		return give_up(st, broken, EFI_LOAD_ERROR);
	}
	memset(to + size, 0, head->size - size);
	memcpy(to + head->config, (const void *)&config_section, sizeof(config_section));
	__builtin___clear_cache((char *)to, (char *)to + size);
	return ((entry_fn)(uintptr_t)(base + head->entry))(image, st);
}
