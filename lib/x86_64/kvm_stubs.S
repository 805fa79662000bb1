/* SPDX-License-Identifier: BSD-2-Clause */
/* kvm_stubs.h: the calls load every register from memory and store it there behind the hypercall. */
	.code64
	.macro	load			/* all registers from (%rdi), %rdi last */
	movq	0(%rdi), %rax
	movq	8(%rdi), %rbx
	movq	16(%rdi), %rcx
	movq	24(%rdi), %rdx
	movq	32(%rdi), %rsi
	movq	48(%rdi), %rbp
	movq	56(%rdi), %r8
	movq	64(%rdi), %r9
	movq	72(%rdi), %r10
	movq	80(%rdi), %r11
	movq	88(%rdi), %r12
	movq	96(%rdi), %r13
	movq	104(%rdi), %r14
	movq	112(%rdi), %r15
	movq	40(%rdi), %rdi
	.endm

	.macro	store			/* to the address on the stack's top, which is taken off */
	xchgq	%rdi, (%rsp)		/* rdi: regs; top: the guest's rdi */
	movq	%rax, 0(%rdi)
	movq	%rbx, 8(%rdi)
	movq	%rcx, 16(%rdi)
	movq	%rdx, 24(%rdi)
	movq	%rsi, 32(%rdi)
	movq	%rbp, 48(%rdi)
	movq	%r8, 56(%rdi)
	movq	%r9, 64(%rdi)
	movq	%r10, 72(%rdi)
	movq	%r11, 80(%rdi)
	movq	%r12, 88(%rdi)
	movq	%r13, 96(%rdi)
	movq	%r14, 104(%rdi)
	movq	%r15, 112(%rdi)
	popq	%rax
	movq	%rax, 40(%rdi)
	.endm

	.macro	function name, insn:vararg
	.globl	\name
\name:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rdi
	load
	\insn
	store
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
	.endm

	.text
	function kvm_stub_vmcall, vmcall
	function kvm_stub_vmmcall, vmmcall

/* void kvm_stub_compat(regs, amd): a far return to the 32-bit segment and a far jump back. */
	.globl	kvm_stub_compat
kvm_stub_compat:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%rdi			/* on the stack: r8 to r15 need not survive 32-bit code */
	leaq	compat_back(%rip), %rax
	movl	%eax, %ebp		/* the way back, in a register that 32-bit code has */
	pushq	$0x18			/* SEL_CODE32 */
	testl	%esi, %esi
	leaq	compat_vmcall(%rip), %rax
	leaq	compat_vmmcall(%rip), %rdx
	cmovnzq	%rdx, %rax
	pushq	%rax
	movq	0(%rdi), %rax
	movq	8(%rdi), %rbx
	movq	16(%rdi), %rcx
	movq	24(%rdi), %rdx
	movq	32(%rdi), %rsi
	lretq
	.code32
compat_vmcall:
	vmcall
	jmp	compat_return
compat_vmmcall:
	vmmcall
compat_return:
	pushl	$0x08			/* SEL_CODE64 */
	pushl	%ebp
	lretl
	.code64
compat_back:
	movl	%esp, %esp		/* upper halves are not defined after 32-bit code */
	popq	%rdi
	movl	%eax, %eax
	movq	%rax, 0(%rdi)
	movq	%rbx, 8(%rdi)
	movq	%rcx, 16(%rdi)
	movq	%rdx, 24(%rdi)
	movq	%rsi, 32(%rdi)
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	.globl	kvm_stub_iret
kvm_stub_iret:
	pushq	%r8
	pushq	%rsi
	pushq	$0x2			/* interrupts stay off: no stack of the kernel is set up for them */
	pushq	%rcx
	pushq	%rdi
	movq	%rdx, %rdi
	iretq

	.section .rodata
	.globl	kvm_user_vmcall, kvm_user_vmmcall, kvm_user_rdmsr, kvm_user_wrmsr, kvm_user_end
kvm_user_vmcall:
	pushq	%rdi
	load
	vmcall
	store
	int3
kvm_user_vmmcall:
	pushq	%rdi
	load
	vmmcall
	store
	int3
kvm_user_rdmsr:
	pushq	%rdi
	load
	rdmsr
	store
	int3
kvm_user_wrmsr:
	pushq	%rdi
	load
	wrmsr
	store
	int3
kvm_user_end:
	.section .note.GNU-stack, "", @progbits
