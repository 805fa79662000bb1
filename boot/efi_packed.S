/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The payload in the EFI image (boot/efi_unpack.c). Its first bytes are there as they are as well, since they tell how much
 * memory it wants.
 */
	.section .rodata.packed, "a"
	.globl packed_start, packed_stop, payload_head
	.hidden packed_start, packed_stop, payload_head
packed_start:
	.incbin "payload.lz4"
packed_stop:
	.balign 8
payload_head:
	.incbin "payload.bin", 0, 24
	.section .note.GNU-stack, "", @progbits
