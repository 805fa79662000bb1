/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PVH entry: 32-bit protected mode, paging off, %ebx = struct hvm_start_info
 * (Xen, docs/misc/pvh.pandoc). Leaves in long mode with the first 4 GiB mapped.
 */
	.section .note.Xen, "a", @note
	.align	4
	.long	4, 4, 18	/* namesz, descsz, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	pvh_entry

	.section .text.pvh, "ax"
	.code32
	.globl	pvh_entry
pvh_entry:
	cli
	cld
	movl	$boot_stack_top, %esp
	movl	%ebx, %ebp		/* kept until 64-bit code reads it */

	/* Four page directories of 2 MiB pages: 4 GiB, present and writable. */
	movl	$boot_pd, %edi
	movl	$0x83, %eax
	movl	$2048, %ecx
1:	movl	%eax, (%edi)
	movl	$0, 4(%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	1b
	movl	$boot_pdpt, %edi
	movl	$boot_pd + 3, %eax
	movl	$4, %ecx
2:	movl	%eax, (%edi)
	movl	$0, 4(%edi)
	addl	$4096, %eax
	addl	$8, %edi
	loop	2b
	movl	$boot_pdpt + 3, boot_pml4

	movl	%cr4, %eax
	orl	$0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	movl	%eax, %cr4
	movl	$boot_pml4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx	/* EFER: LME */
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	%cr0, %eax
	andl	$~0x6000000c, %eax	/* caches on; EM, TS off */
	orl	$0x80010022, %eax	/* PG, WP, NE, MP */
	movl	%eax, %cr0
	lgdt	boot_gdt_ptr
	ljmp	$8, $pvh_64

	.code64
pvh_64:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%ebp, %edi		/* hvm_start_info */
	xorl	%ebp, %ebp		/* the backtrace ends here */
	call	pvh_main
3:	hlt
	jmp	3b

	.section .rodata
	.align	8
boot_gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* 64-bit code */
	.quad	0x00cf93000000ffff	/* data */
boot_gdt_ptr:
	.word	boot_gdt_ptr - boot_gdt - 1
	.long	boot_gdt

	.bss
	.align	4096
boot_pml4:	.skip	4096
boot_pdpt:	.skip	4096
boot_pd:	.skip	4 * 4096
	.section .note.GNU-stack, "", @progbits
