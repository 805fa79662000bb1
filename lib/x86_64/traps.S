/* SPDX-License-Identifier: BSD-2-Clause */
/* 256 entries push what the CPU does not, and go on to one common path. */
	.text
	.code64

	/* 8 bytes each: the return address that the call pushes tells the vector. */
	.macro	stub vec
	.align	8
	.if	(\vec == 8) || (\vec >= 10 && \vec <= 14) || (\vec == 17) || (\vec == 21) || (\vec == 29) || (\vec == 30)
	.else
	pushq	$0			/* no error code: a zero in its place */
	.endif
	call	trap_common
	.endm

	.globl	trap_stubs
	.align	8
trap_stubs:
	.set	vec, 0
	.rept	256
	stub	vec
	.set	vec, vec + 1
	.endr

trap_common:
	pushq	%rax
	pushq	%rbx
	movq	16(%rsp), %rax
	leaq	trap_stubs(%rip), %rbx
	subq	%rbx, %rax
	shrl	$3, %eax
	movq	%rax, 16(%rsp)		/* the vector, in place of the return address */
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rbp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	movq	%rsp, %rbp
	andq	$-16, %rsp
	subq	$512, %rsp
	fxsave	(%rsp)			/* handlers may call C library code that uses SSE */
	call	trap_handler
	fxrstor	(%rsp)
	movq	%rbp, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rbp
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp		/* vector, error code */
	iretq
	.section .note.GNU-stack, "", @progbits
