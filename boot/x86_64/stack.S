/* SPDX-License-Identifier: BSD-2-Clause */
/* The first CPU's stack. paging.c unmaps the page below it, so that an overflow traps. */
	.bss
	.globl	boot_stack_guard, boot_stack_top
	.align	4096
boot_stack_guard:
	.skip	4096
	.skip	65536
boot_stack_top:
	.section .note.GNU-stack, "", @progbits
