/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The code by which another CPU starts. smp.c copies it to a page below 1 MiB and fills in the fields behind ap_params;
 * the CPU enters it in real mode at its first byte.
 */
	.section .rodata
	.globl	ap_start, ap_end, ap_params
	.code16
ap_start:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	movzwl	%ax, %ebx
	shll	$4, %ebx		/* the page's address */
	/* The descriptor table's and the far jump's addresses, relative to the page. */
	leal	(ap_gdt - ap_start)(%ebx), %eax
	movl	%eax, ap_gdt_ptr - ap_start + 2
	leal	(ap_32 - ap_start)(%ebx), %eax
	movl	%eax, ap_jump32 - ap_start
	leal	(ap_64 - ap_start)(%ebx), %eax
	movl	%eax, ap_jump64 - ap_start
	lgdtl	ap_gdt_ptr - ap_start
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	*(ap_jump32 - ap_start)

	.code32
ap_32:
	movw	$16, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	/*
	 * A CPU that comes late, when another CPU's fields are here, must not take that CPU's place. The local APIC
	 * tells which CPU this is: by MSR in x2APIC mode (which INIT leaves on), else at its page. CPUID would not
	 * do: some hosts show that of another processor.
	 */
	movl	$0x1b, %ecx		/* IA32_APIC_BASE */
	rdmsr
	testl	$0x400, %eax		/* x2APIC */
	jz	1f
	movl	$0x802, %ecx
	rdmsr
	jmp	2f
1:	andl	$0xfffff000, %eax
	movl	0x20(%eax), %eax
	shrl	$24, %eax
2:	cmpl	%eax, (ap_params - ap_start + 40)(%ebx)
	je	1f
2:	hlt
	jmp	2b
1:	movl	(ap_params - ap_start + 8)(%ebx), %eax
	movl	%eax, %cr4		/* as on the first CPU: PAE, SSE, maybe five levels */
	movl	(ap_params - ap_start)(%ebx), %eax
	movl	%eax, %cr3		/* below 4 GiB, which smp.c ensures */
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax		/* LME */
	cmpl	$0, (ap_params - ap_start + 4)(%ebx)
	je	1f
	orl	$0x800, %eax		/* NXE, where the tables use it */
1:	wrmsr
	movl	%cr0, %eax
	andl	$~0x6000000c, %eax
	orl	$0x80010022, %eax
	movl	%eax, %cr0
	ljmpl	*(ap_jump64 - ap_start)(%ebx)

	.code64
ap_64:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	/* A CPU that two STARTUPs start comes here twice; only the first time there is a stack. */
	xorl	%eax, %eax
	xchgq	%rax, (ap_params - ap_start + 16)(%rbx)
	testq	%rax, %rax
	jz	2f
	movq	%rax, %rsp
	movq	(ap_params - ap_start + 32)(%rbx), %rdi
	movq	(ap_params - ap_start + 24)(%rbx), %rax
	xorl	%ebp, %ebp
	call	*%rax
2:	hlt
	jmp	2b

	.align	8
ap_gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 32-bit code */
	.quad	0x00cf93000000ffff	/* data */
	.quad	0x00af9b000000ffff	/* 64-bit code */
ap_gdt_ptr:
	.word	ap_gdt_ptr - ap_gdt - 1
	.long	0
	.align	4
ap_jump32:
	.long	0
	.word	8
	.align	4
ap_jump64:
	.long	0
	.word	24
	.align	8
ap_params:				/* struct ap_params of smp.c */
	.quad	0, 0, 0, 0, 0, 0
ap_end:
	.section .note.GNU-stack, "", @progbits
