/* SPDX-License-Identifier: BSD-2-Clause */
/* kvm_stubs.S: hypercalls with every register loaded from memory and stored back. */
#ifndef LIB_X86_64_KVM_STUBS_H
#define LIB_X86_64_KVM_STUBS_H

#include <stdint.h>

enum {
	KVM_RAX,
	KVM_RBX,
	KVM_RCX,
	KVM_RDX,
	KVM_RSI,
	KVM_RDI,
	KVM_RBP,
	KVM_R8,
	KVM_R9,
	KVM_R10,
	KVM_R11,
	KVM_R12,
	KVM_R13,
	KVM_R14,
	KVM_R15,
	KVM_REGS,
};

struct kvm_regs {
	uint64_t r[KVM_REGS];
};

void kvm_stub_vmcall(struct kvm_regs *r);
void kvm_stub_vmmcall(struct kvm_regs *r);
/* Calls from the 32-bit code segment, with the first six registers loaded. amd: by VMMCALL. */
void kvm_stub_compat(struct kvm_regs *r, int amd);
/* Enters the ring of these selectors at rip with rsp and rdi = regs. Only an exception comes back from there. */
_Noreturn void kvm_stub_iret(const void *rip, const void *rsp, struct kvm_regs *regs, uint64_t cs,
			     uint64_t ss);
/* Position-independent code for CPL > 0, copied to a page of its own; rdi = regs, ends with INT3. */
extern const char kvm_user_vmcall[], kvm_user_vmmcall[], kvm_user_rdmsr[], kvm_user_wrmsr[],
	kvm_user_end[];

#endif
