/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ap_probe.h. smp.c copies this to the page below 1 MiB where a CPU starts, in front of ap.S's code. The CPU enters it in
 * real mode at its first byte, and may change nothing before all of its registers are stored.
 */
#include "lib/x86_64/ap_probe.h"

#define AT(label) ((label) - ap_probe_start)
#define DATA(off) (ap_probe_data - ap_probe_start + (off))
#define STACK	  2048			/* smp.h, SMP_CODE_SIZE: ap.S's code stands above */
#define STACK_MIN 64

	.macro	call_of n, k, nr	/* the k-th hypercall of the n-th mode */
	movl	$\nr, %eax
	movl	$AP_PROBE_EBX, %ebx
	movl	$AP_PROBE_ECX, %ecx
	movl	$AP_PROBE_EDX, %edx
	movl	$AP_PROBE_ESI, %esi
	cmpl	$0, DATA(AP_PROBE_AMD)
	jne	1f
	vmcall
	jmp	2f
1:	vmmcall
2:	movl	%eax, DATA(AP_PROBE_MODE + \n * AP_PROBE_MODE_SIZE + AP_PROBE_CALL + \k * AP_PROBE_CALL_SIZE)
	movl	%ebx, DATA(AP_PROBE_MODE + \n * AP_PROBE_MODE_SIZE + AP_PROBE_CALL + \k * AP_PROBE_CALL_SIZE + 4)
	movl	%ecx, DATA(AP_PROBE_MODE + \n * AP_PROBE_MODE_SIZE + AP_PROBE_CALL + \k * AP_PROBE_CALL_SIZE + 8)
	movl	%edx, DATA(AP_PROBE_MODE + \n * AP_PROBE_MODE_SIZE + AP_PROBE_CALL + \k * AP_PROBE_CALL_SIZE + 12)
	movl	%esi, DATA(AP_PROBE_MODE + \n * AP_PROBE_MODE_SIZE + AP_PROBE_CALL + \k * AP_PROBE_CALL_SIZE + 16)
	.endm

	.macro	leaf_of n, k
	movl	DATA(AP_PROBE_LEAF), %eax
	addl	$\k, %eax
	xorl	%ecx, %ecx
	cpuid
	movl	%eax, DATA(AP_PROBE_MODE + \n * AP_PROBE_MODE_SIZE + \k * 16)
	movl	%ebx, DATA(AP_PROBE_MODE + \n * AP_PROBE_MODE_SIZE + \k * 16 + 4)
	movl	%ecx, DATA(AP_PROBE_MODE + \n * AP_PROBE_MODE_SIZE + \k * 16 + 8)
	movl	%edx, DATA(AP_PROBE_MODE + \n * AP_PROBE_MODE_SIZE + \k * 16 + 12)
	.endm

	.macro	mode_is n		/* ds leads to the page's first byte, in each mode */
	leaf_of	\n, 0
	leaf_of	\n, 1
	cmpl	$0, DATA(AP_PROBE_CALLS)
	je	9f
	call_of	\n, 0, AP_PROBE_KNOWN
	call_of	\n, 1, AP_PROBE_UNKNOWN
9:
	.endm

	.section .rodata
	.globl	ap_probe_start, ap_probe_data, ap_probe_end
	.code16
ap_probe_start:
	movl	%eax, %cs:DATA(AP_PROBE_GPR)
	movl	%ecx, %cs:DATA(AP_PROBE_GPR + 4)
	movl	%edx, %cs:DATA(AP_PROBE_GPR + 8)
	movl	%ebx, %cs:DATA(AP_PROBE_GPR + 12)
	movl	%esp, %cs:DATA(AP_PROBE_GPR + 16)
	movl	%ebp, %cs:DATA(AP_PROBE_GPR + 20)
	movl	%esi, %cs:DATA(AP_PROBE_GPR + 24)
	movl	%edi, %cs:DATA(AP_PROBE_GPR + 28)
	movl	%cr0, %eax
	movl	%eax, %cs:DATA(AP_PROBE_CR)
	movl	%cr2, %eax
	movl	%eax, %cs:DATA(AP_PROBE_CR + 4)
	movl	%cr3, %eax
	movl	%eax, %cs:DATA(AP_PROBE_CR + 8)
	movl	%cr4, %eax
	movl	%eax, %cs:DATA(AP_PROBE_CR + 12)
	movl	%dr6, %eax
	movl	%eax, %cs:DATA(AP_PROBE_DR)
	movl	%dr7, %eax
	movl	%eax, %cs:DATA(AP_PROBE_DR + 4)
	movw	%es, %cs:DATA(AP_PROBE_SEG)
	movw	%cs, %cs:DATA(AP_PROBE_SEG + 2)
	movw	%ss, %cs:DATA(AP_PROBE_SEG + 4)
	movw	%ds, %cs:DATA(AP_PROBE_SEG + 6)
	movw	%fs, %cs:DATA(AP_PROBE_SEG + 8)
	movw	%gs, %cs:DATA(AP_PROBE_SEG + 10)
	sgdtl	%cs:DATA(AP_PROBE_GDTR)
	sidtl	%cs:DATA(AP_PROBE_IDTR)
	movw	%cs, %ax		/* nothing so far changes a flag */
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$STACK, %sp
	pushfl
	popl	DATA(AP_PROBE_FLAGS)
	cli
	cld
	movl	$0xc0000080, %ecx	/* IA32_EFER */
	rdmsr
	movl	%eax, DATA(AP_PROBE_EFER)

	/* The page's address goes into what needs linear addresses. */
	movw	%cs, %ax
	movzwl	%ax, %ebx
	shll	$4, %ebx
	movw	$AT(vectors), %di
	movw	$14, %cx
1:	movw	$AT(trap16), (%di)
	movw	%ax, 2(%di)
	addw	$4, %di
	loop	1b
	leal	AT(vectors)(%ebx), %edx
	movl	%edx, AT(vectors_ptr) + 2
	leal	AT(trap32)(%ebx), %edx
	movw	%dx, AT(gates) + 6 * 8
	shrl	$16, %edx
	movw	%dx, AT(gates) + 6 * 8 + 6
	leal	AT(trap32_code)(%ebx), %edx
	movw	%dx, AT(gates) + 13 * 8
	shrl	$16, %edx
	movw	%dx, AT(gates) + 13 * 8 + 6
	leal	AT(gates)(%ebx), %edx
	movl	%edx, AT(gates_ptr) + 2
	movl	%ebx, %edx
	shrl	$16, %edx
	movw	$AT(descriptors) + 16, %di
	movw	$3, %cx
1:	movw	%bx, 2(%di)
	movb	%dl, 4(%di)
	addw	$8, %di
	loop	1b
	leal	AT(descriptors)(%ebx), %edx
	movl	%edx, AT(descriptors_ptr) + 2
	leal	AT(flat)(%ebx), %edx
	movl	%edx, AT(jump_flat)
	movw	%ax, AT(jump_real) + 2
	addw	$3, %ax			/* the lower two bits are no privilege in real mode */
	movw	%ax, AT(jump_odd) + 2
	lidtl	AT(vectors_ptr)
	ljmpw	*AT(jump_odd)
odd:
	mode_is	0
	lgdtl	AT(descriptors_ptr)
	lidtl	AT(gates_ptr)
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	*AT(jump_flat)

	.code32
flat:
	movw	$0x10, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movl	$STACK, %esp
	mode_is	1
	ljmpl	$0x18, $AT(leave)	/* real mode wants segments of 64 KiB */

	.code16
leave:
	movw	$0x20, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	%cr0, %eax
	andl	$~1, %eax
	movl	%eax, %cr0
	ljmpw	*AT(jump_real)
real:
	movw	%cs, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$STACK, %sp
	lidtl	AT(vectors_ptr)
	mode_is	2
	ljmpw	*DATA(AP_PROBE_NEXT)

/* The calls are of three bytes, all that may trap. */
trap16:
	pushw	%bp
	movw	%sp, %bp
	addw	$3, 2(%bp)
	popw	%bp
	movl	$AP_PROBE_TRAPPED, %eax
	iretw
	.code32
trap32_code:
	addl	$4, %esp		/* the error code */
trap32:
	addl	$3, (%esp)
	movl	$AP_PROBE_TRAPPED, %eax
	iretl

	.align	8
descriptors:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 32-bit code, all of the address space */
	.quad	0x00cf93000000ffff	/* data from the page on */
	.quad	0x00009b000000ffff	/* 16-bit code from the page on */
	.quad	0x000093000000ffff	/* data, likewise */
descriptors_ptr:
	.word	descriptors_ptr - descriptors - 1
	.long	0
	.align	8
gates:					/* of #UD and #GP; the others would end the CPU */
	.fill	6, 8, 0
	.quad	0x00008e0000080000
	.fill	6, 8, 0
	.quad	0x00008e0000080000
gates_ptr:
	.word	gates_ptr - gates - 1
	.long	0
	.align	4
vectors:
	.fill	14, 4, 0
vectors_ptr:
	.word	vectors_ptr - vectors - 1
	.long	0
	.align	4
jump_flat:
	.long	0
	.word	8
	.align	4
jump_odd:
	.word	AT(odd) - 3 * 16, 0
jump_real:
	.word	AT(real), 0
	.align	8
ap_probe_data:
	.fill	AP_PROBE_MODE + 3 * AP_PROBE_MODE_SIZE, 1, 0
ap_probe_end:
	.org	ap_probe_start + STACK - STACK_MIN	/* an error where no room is left for the stack */
	.section .note.GNU-stack, "", @progbits
