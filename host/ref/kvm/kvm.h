/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reference KVM without QEMU: CPUID leaves, hypercalls, page states and
 * pvclock as a guest sees them. Knows no plugin API, so that it is unit-tested.
 * Every entry point may be called from any vCPU thread.
 *
 * Sources: Documentation/virt/kvm/x86/{cpuid,hypercalls,msr}.rst, uapi kvm_para.h;
 * RFCv2 "KVM protected memory extension", 20 Oct 2020 (virt/kvm/kvm_main.c there).
 */
#ifndef HOST_REF_KVM_KVM_H
#define HOST_REF_KVM_KVM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "host/common/page_state.h"
#include "host/ref/kvm/faults.h"

enum refkvm_mode {
	REFKVM_NONE,	/* KVM's leaves and hypercalls, no protection */
	REFKVM_RFC,	/* ENABLE_MEM_PROTECTED, MEM_SHARE, MEM_UNSHARE */
	REFKVM_MAP_GPA, /* KVM_HC_MAP_GPA_RANGE */
};

/* What correct hosts are seen to do, each on request. */
struct refkvm_behaviour {
	bool eintr_once;  /* every conversion answers -EINTR first, then works */
	bool enomem_once; /* -ENOMEM likewise */
	bool lose_contents; /* a page loses its contents when it is shared, and when it is private again */
	bool unstable_clock; /* no page has the stable flag, and each CPU is 2 ms behind the one before it */
	bool no_unshare;	 /* unsharing answers -EOPNOTSUPP (April 2021 follow-up) */
	unsigned int max_shared; /* shared ranges at most, 0: no limit; -ENOSPC beyond it */
};

struct refkvm_range { /* a memory slot, in frames */
	uint64_t first, count;
};

#define REFKVM_MAX_SLOTS 8
#define REFKVM_MAX_CPUS	 64

struct refkvm_io { /* what only the emulator can do; both act on guest-physical memory */
	bool (*write)(void *arg, uint64_t gpa, const void *buf, size_t len);
	bool (*read)(void *arg, uint64_t gpa, void *buf, size_t len);
	void *arg;
};

struct refkvm {
	enum refkvm_mode mode;
	struct refkvm_behaviour behave;
	struct refkvm_range slot[REFKVM_MAX_SLOTS];
	unsigned int slots;
	struct page_states pages;
	uint8_t *was_shared; /* by frame: the guest asked for it; only then has a conversion contents to lose */
	uint8_t *kept; /* by frame: what a fault remembers of it, also over a reset */
	struct refkvm_io io;
	FILE *log; /* or NULL */

	pthread_mutex_t lock; /* all below, and pages */
	uint64_t tsc_hz;
	bool clock_written;  /* tsc_hz stays as it is; it does over a reset as well */
	unsigned int calls;  /* hypercalls so far, for faults that begin later */
	bool retry_pending;  /* eintr_once/enomem_once: the next conversion works */
	unsigned int shares; /* so far */
	int64_t last_ret;    /* of the call before */
	struct {
		uint64_t gfn, n;
		bool share;
	} last_of[REFKVM_MAX_CPUS]; /* each CPU's last conversion, for a fault */
	struct {
		uint64_t gfn, n;
		bool share;
	} later; /* a conversion that a fault puts off */
	struct {
		uint64_t system_time_msr;
		uint64_t tsc, gpa; /* at the last write, and where; 0: none yet */
		uint32_t version;
		uint64_t writes;
	} clock[REFKVM_MAX_CPUS];
	uint64_t wall_clock_msr;
};

struct refkvm_call { /* registers of VMCALL/VMMCALL; rax in and out, the rest in */
	uint64_t rax, rbx, rcx, rdx, rsi;
	bool long_mode; /* 64-bit code segment */
	bool legacy;	/* protected mode without EFER.LMA */
	unsigned int cpl;
	unsigned int cpu;
	/* Out: registers that a fault changed besides rax. */
	bool clobber_rbx, clobber_rcx;
};

/* frames: size of the page-state file. 0 or -errno; the file is created. */
int refkvm_init(struct refkvm *k, const char *state_path);
void refkvm_fini(struct refkvm *k);
/* System reset: protection off, every page as at start, MSRs cleared. */
void refkvm_reset(struct refkvm *k);

/* A CPU sends INIT to another one: nothing of ours, but for a fault. */
void refkvm_init_sent(struct refkvm *k);

/* false: not ours, the emulator answers. out: eax, ebx, ecx, edx. */
bool refkvm_cpuid(struct refkvm *k, uint32_t leaf, uint32_t out[4]);
void refkvm_hypercall(struct refkvm *k, struct refkvm_call *c);
/* The guest's counter has so many ticks a second. false: a clock goes by an earlier rate already, which all keep. */
bool refkvm_tsc_hz(struct refkvm *k, uint64_t hz);
/* false: not ours. tsc: the guest's counter now. */
bool refkvm_wrmsr(struct refkvm *k, unsigned int cpu, uint32_t msr, uint64_t value, uint64_t tsc);
bool refkvm_rdmsr(struct refkvm *k, unsigned int cpu, uint32_t msr, uint64_t *value);

#endif
