/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/kvm/kvm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { /* uapi kvm_para.h: results are these, not Linux's errno */
	KVM_EPERM = 1,
	KVM_ENOSYS = 1000,
};

enum {
	KVM_HC_VAPIC_POLL_IRQ = 1,
	KVM_HC_ENABLE_MEM_PROTECTED = 12, /* RFCv2; upstream's MAP_GPA_RANGE has the same number */
	KVM_HC_MAP_GPA_RANGE = 12,
	KVM_HC_MEM_SHARE = 13,
	KVM_HC_MEM_UNSHARE = 14,
};

enum {
	KVM_FEATURE_CLOCKSOURCE = 0,
	KVM_FEATURE_NOP_IO_DELAY = 1,
	KVM_FEATURE_MMU_OP = 2,
	KVM_FEATURE_CLOCKSOURCE2 = 3,
	KVM_FEATURE_STEAL_TIME = 5,
	KVM_FEATURE_MEM_PROTECTED = 15, /* RFCv2 */
	KVM_FEATURE_HC_MAP_GPA_RANGE = 16,
	KVM_FEATURE_CLOCKSOURCE_STABLE_BIT = 24,
	KVM_FEATURE_UNASSIGNED = 31,
};

enum {
	MSR_KVM_WALL_CLOCK = 0x11,
	MSR_KVM_SYSTEM_TIME = 0x12,
	MSR_KVM_WALL_CLOCK_NEW = 0x4b564d00,
	MSR_KVM_SYSTEM_TIME_NEW = 0x4b564d01,
};

#define PVCLOCK_GUEST_STOPPED 2
#define PAGE_MASK	      ((1ull << PAGE_STATE_SHIFT) - 1)
#define MAP_GPA_ENCRYPTED     (1u << 4)
#define FRAMES_1M	      256
#define FRAMES_2M	      512
#define FRAMES_4G	      (1ull << (32 - PAGE_STATE_SHIFT))

struct pvclock_vcpu_time_info { /* msr.rst */
	uint32_t version;
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad[2];
} __attribute__((packed));
_Static_assert(sizeof(struct pvclock_vcpu_time_info) == 32, "msr.rst");

struct pvclock_wall_clock {
	uint32_t version;
	uint32_t sec;
	uint32_t nsec;
} __attribute__((packed));

static void __attribute__((format(printf, 2, 3))) say(const struct refkvm *k, const char *fmt, ...)
{
	va_list ap;

	if (!k->log)
		return;
	va_start(ap, fmt);
	vfprintf(k->log, fmt, ap);
	va_end(ap);
	fputc('\n', k->log);
	fflush(k->log);
}

static void set_page(struct refkvm *k, uint64_t gfn, enum page_state_value v)
{
	__atomic_store_n(&k->pages.file->state[gfn], (uint8_t)v, __ATOMIC_RELEASE);
}

static uint8_t get_page(const struct refkvm *k, uint64_t gfn)
{
	return __atomic_load_n(&k->pages.file->state[gfn], __ATOMIC_ACQUIRE);
}

static void set_protected(struct refkvm *k, bool on)
{
	__atomic_store_n(&k->pages.file->is_protected, on, __ATOMIC_RELEASE);
}

static void fill_slots(struct refkvm *k, enum page_state_value v)
{
	uint64_t gfn;
	unsigned int i;

	for (i = 0; i < k->slots; i++)
		for (gfn = 0; gfn < k->slot[i].count; gfn++)
			set_page(k, k->slot[i].first + gfn, v);
}

static const struct refkvm_range *find_slot(const struct refkvm *k, uint64_t gfn)
{
	unsigned int i;

	for (i = 0; i < k->slots; i++)
		/* Below the slot the difference, which is unsigned, is larger than any slot. */
		if (gfn - k->slot[i].first < k->slot[i].count)
			return &k->slot[i];
	return NULL;
}

/*
 * RFCv2 starts with the VM unprotected. MAP_GPA_RANGE's host tracks attributes from the start, all
 * pages shared until the guest encrypts them (KVM_MEMORY_ATTRIBUTE_PRIVATE clear).
 */
static void start_state(struct refkvm *k)
{
	fill_slots(k, PAGE_SHARED);
	set_protected(k, k->mode == REFKVM_MAP_GPA);
	memset(k->was_shared, 0, k->pages.file->frames);
	memset(k->clock, 0, sizeof(k->clock));
	k->wall_clock_msr = 0;
	k->calls = 0;
	k->retry_pending = false;
	memset(k->last_of, 0, sizeof(k->last_of));
}

static bool set_up_wrong(const struct refkvm *k)
{
	return k->slots == 0 || k->slots > REFKVM_MAX_SLOTS || k->slot[0].count == 0 ||
	       k->tsc_hz == 0;
}

int refkvm_init(struct refkvm *k, const char *state_path)
{
	uint64_t frames = 1; /* of the first slot, at the least */
	unsigned int i;
	int ret;

	if (set_up_wrong(k))
		return -EINVAL;
	for (i = 0; i < k->slots; i++)
		if (k->slot[i].first + k->slot[i].count > frames)
			frames = k->slot[i].first + k->slot[i].count;
	k->was_shared = calloc(2, frames);
	if (!k->was_shared)
		return -ENOMEM;
	k->kept = k->was_shared + frames;
	ret = page_states_create(state_path, frames, &k->pages);
	if (ret) {
		free(k->was_shared);
		return ret;
	}
	pthread_mutex_init(&k->lock, NULL);
	start_state(k);
	return 0;
}

void refkvm_fini(struct refkvm *k)
{
	page_states_close(&k->pages);
	free(k->was_shared);
	pthread_mutex_destroy(&k->lock);
}

/* The list of shared pages is the VMM's own, and outlives the machine that made it. */
static void keep_shares(struct refkvm *k)
{
	uint64_t gfn;

	for (gfn = 0; fault_on(F_OUTSIDE_KV_RESET_KEEPS_SHARES) && gfn < k->pages.file->frames;
	     gfn++)
		if (k->was_shared[gfn] && page_states_protected(&k->pages) &&
		    get_page(k, gfn) == PAGE_SHARED)
			k->kept[gfn] = 1;
}

void refkvm_reset(struct refkvm *k)
{
	pthread_mutex_lock(&k->lock);
	keep_shares(k);
	if (!(page_states_protected(&k->pages) && fault(F_KVM_RESET_KEEPS_STATE)))
		start_state(k);
	say(k, "system reset");
	pthread_mutex_unlock(&k->lock);
}

void refkvm_init_sent(struct refkvm *k)
{
	pthread_mutex_lock(&k->lock);
	if (k->mode == REFKVM_RFC && page_states_protected(&k->pages) &&
	    fault(F_OUTSIDE3_CP_INIT_UNPROTECTS))
		set_protected(k, false);
	pthread_mutex_unlock(&k->lock);
}

bool refkvm_cpuid(struct refkvm *k, uint32_t leaf, uint32_t out[4])
{
	uint32_t f = 1u << KVM_FEATURE_CLOCKSOURCE | 1u << KVM_FEATURE_NOP_IO_DELAY |
		     1u << KVM_FEATURE_CLOCKSOURCE2 | 1u << KVM_FEATURE_CLOCKSOURCE_STABLE_BIT;

	if (leaf < 0x40000000 || leaf > 0x400000ff)
		return false;
	memset(out, 0, 4 * sizeof(out[0]));
	if (leaf == 0x40000000) {
		out[0] = fault(F_KVM_CPUID_MAX_LEAF) ? 0x3fffffff : 0x40000001;
		out[1] = 0x4b4d564b;
		out[2] = 0x564b4d56;
		out[3] = fault(F_KVM_CPUID_SIGNATURE) ? 0x4e : 0x4d;
	} else if (leaf == 0x40000001) {
		if (k->mode == REFKVM_RFC)
			f |= 1u << KVM_FEATURE_MEM_PROTECTED;
		if (k->mode == REFKVM_MAP_GPA)
			f |= 1u << KVM_FEATURE_HC_MAP_GPA_RANGE;
		if (fault(F_KVM_CLOCK_UNSTABLE_FLAG))
			f &= ~(1u << KVM_FEATURE_CLOCKSOURCE_STABLE_BIT);
		if (fault(F_KVM_CPUID_RESERVED_BITS))
			f |= 1u << KVM_FEATURE_UNASSIGNED;
		if (fault(F_KVM_CPUID_MMU_OP))
			f |= 1u << KVM_FEATURE_MMU_OP;
		if (fault(F_OUTSIDE_KV_STEAL_TIME_DEAD))
			f |= 1u << KVM_FEATURE_STEAL_TIME;
		out[0] = f;
	}
	return true;
}

/* Contents that a conversion loses, as encryption with another key would. */
static void scramble(struct refkvm *k, uint64_t gfn)
{
	uint8_t junk[1 << PAGE_STATE_SHIFT];

	memset(junk, 0xa5, sizeof(junk));
	if (!k->io.write(k->io.arg, gfn << PAGE_STATE_SHIFT, junk, sizeof(junk)))
		say(k, "page 0x%llx: contents could not be overwritten",
		    (unsigned long long)gfn << PAGE_STATE_SHIFT);
}

static void corrupt_byte(struct refkvm *k, uint64_t gfn)
{
	uint8_t b;

	if (!k->io.read(k->io.arg, gfn << PAGE_STATE_SHIFT, &b, 1))
		return;
	b ^= 0x10;
	k->io.write(k->io.arg, gfn << PAGE_STATE_SHIFT, &b, 1);
}

static unsigned int shared_ranges(const struct refkvm *k)
{
	unsigned int n = 0, i;
	uint64_t g;

	for (i = 0; i < k->slots; i++) {
		bool before = false;

		for (g = 0; g < k->slot[i].count; g++) {
			const bool now = get_page(k, k->slot[i].first + g) == PAGE_SHARED;

			n += now && !before;
			before = now;
		}
	}
	return n;
}

static bool loses_contents(const struct refkvm *k)
{
	return k->behave.lose_contents || fault(F_KVM_CONVERT_LOSES_CONTENTS);
}

/* Sharing nests, as pins of a page do: it takes as many calls to end it. True: the page stays shared. */
static bool nested_share(struct refkvm *k, uint64_t gfn, enum page_state_value to)
{
	if (!fault_on(F_OUTSIDE_KV_SHARE_NESTS))
		return false;
	if (to == PAGE_SHARED) {
		k->kept[gfn] += k->kept[gfn] < UINT8_MAX;
		return false;
	}
	return k->kept[gfn] && --k->kept[gfn] && fault(F_OUTSIDE_KV_SHARE_NESTS);
}

/* [gfn, gfn+n) lies in one slot. */
static void convert_pages(struct refkvm *k, uint64_t gfn, uint64_t n, enum page_state_value to)
{
	uint64_t i;

	for (i = gfn; i < gfn + n; i++) {
		const bool was_shared = k->was_shared[i];

		if (to == PAGE_SHARED)
			k->was_shared[i] = 1;
		if (nested_share(k, i, to))
			continue;
		if (get_page(k, i) == to)
			continue;
		set_page(k, i, to);
		/* Not when a guest in map_gpa mode makes its memory private at first: it runs there. */
		if ((to == PAGE_SHARED || was_shared) && loses_contents(k))
			scramble(k, i);
	}
	__atomic_fetch_add(&k->pages.file->conversions, 1, __ATOMIC_RELEASE);
}

static bool all_are(const struct refkvm *k, uint64_t gfn, uint64_t n, enum page_state_value v)
{
	uint64_t i;

	for (i = gfn; i < gfn + n; i++)
		if (get_page(k, i) != v)
			return false;
	return true;
}

/* Behaviours that ask the guest to try again. 0 or the error to answer. */
static int64_t transient_error(struct refkvm *k)
{
	if (!k->behave.eintr_once && !k->behave.enomem_once)
		return 0;
	k->retry_pending = !k->retry_pending;
	if (!k->retry_pending)
		return 0;
	return k->behave.eintr_once ? -EINTR : -ENOMEM;
}

static uint64_t room_from(const struct refkvm_range *s, uint64_t gfn)
{
	return s->first + s->count - gfn;
}

/* Frames of the request that a faulty host really converts. */
static uint64_t faulty_count(const struct refkvm_range *s, uint64_t gfn, uint64_t n, bool share)
{
	const uint64_t room = room_from(s, gfn);

	if (share && n < room && fault(F_KVM_SHARE_NEIGHBOUR))
		return n + 1;
	if (!share && n < room && fault(F_KVM_UNSHARE_NEIGHBOUR))
		return n + 1;
	if (share && fault(F_KVM_SHARE_ONE_SHORT))
		return n - 1;
	if (n > FRAMES_2M && fault(F_OUTSIDE2_KV_RANGE_OVER_2M))
		return FRAMES_2M;
	if (n < FRAMES_2M && gfn / FRAMES_2M != (gfn + n - 1) / FRAMES_2M &&
	    fault(F_OUTSIDE_KV_SPLIT_AT_2M))
		return FRAMES_2M - gfn % FRAMES_2M;
	return n;
}

/* Frames of [gfn, gfn + n) before the first that is private already; 0: it begins with one. */
static uint64_t shared_run(const struct refkvm *k, uint64_t gfn, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n && get_page(k, gfn + i) == PAGE_SHARED; i++)
		;
	return i;
}

/* Splitting a list's range in two forgets the second half: what is shared behind [gfn, gfn + n) goes with it. */
static bool splits_range(const struct refkvm *k, const struct refkvm_range *s, uint64_t gfn,
			 uint64_t n)
{
	return gfn > s->first && get_page(k, gfn - 1) == PAGE_SHARED &&
	       shared_run(k, gfn, room_from(s, gfn)) > n && fault(F_OUTSIDE_KV_UNSHARE_SPLITS);
}

/* Host code that looks at a page instead of a range, or that has run out of something. True: nothing is done. */
static bool does_nothing(struct refkvm *k, uint64_t gfn, uint64_t n, bool share)
{
	if (share && n > 1 && get_page(k, gfn) == PAGE_SHARED && !all_are(k, gfn, n, PAGE_SHARED) &&
	    fault(F_OUTSIDE_KV_OVERLAP_IGNORED))
		return true;
	if (!share && gfn >= FRAMES_4G && fault(F_OUTSIDE_KV_HIGH_UNSHARE_IGNORED))
		return true;
	return share && ++k->shares > 256 && fault(F_OUTSIDE_KV_SHARES_RUN_OUT);
}

/* The host zeroes a page that it takes back, and takes only the last of a range. */
static void zero_page(struct refkvm *k, uint64_t gfn)
{
	static const uint8_t zero[1 << PAGE_STATE_SHIFT];

	k->io.write(k->io.arg, gfn << PAGE_STATE_SHIFT, zero, sizeof(zero));
}

static bool any_was_shared(const struct refkvm *k, uint64_t gfn, uint64_t n)
{
	uint64_t i;

	for (i = gfn; i < gfn + n; i++)
		if (k->was_shared[i])
			return true;
	return k->mode == REFKVM_RFC; /* there the call itself is what is missing */
}

/* Each CPU has a cache of what it asked for, which others do not clear. True: nothing is done. */
static bool asked_before(struct refkvm *k, unsigned int cpu, uint64_t gfn, uint64_t n, bool share)
{
	bool same;

	if (!fault_on(F_OUTSIDE3_CP_CONVERSION_CACHED) || cpu >= REFKVM_MAX_CPUS)
		return false;
	same = k->last_of[cpu].gfn == gfn && k->last_of[cpu].n == n &&
	       k->last_of[cpu].share == share;
	k->last_of[cpu].gfn = gfn;
	k->last_of[cpu].n = n;
	k->last_of[cpu].share = share;
	return same && !all_are(k, gfn, n, share ? PAGE_SHARED : PAGE_PRIVATE) &&
	       fault(F_OUTSIDE3_CP_CONVERSION_CACHED);
}

/* What a correct host may do as well, if it was asked to: 0, or the error that it answers with. */
static int64_t behaves(struct refkvm *k, uint64_t gfn, uint64_t n, bool share)
{
	const int64_t again = transient_error(k);

	if (again)
		return again;
	if (!share && k->behave.no_unshare && any_was_shared(k, gfn, n))
		return -EOPNOTSUPP;
	if (share && k->behave.max_shared && !all_are(k, gfn, n, PAGE_SHARED) &&
	    shared_ranges(k) >= k->behave.max_shared)
		return -ENOSPC;
	return 0;
}

/* Applies one conversion inside a slot, faults included. */
static int64_t convert(struct refkvm *k, const struct refkvm_range *s, uint64_t gfn, uint64_t n,
		       bool share)
{
	const int64_t err = behaves(k, gfn, n, share);

	if (err)
		return err;
	if (!share && k->was_shared[gfn] && all_are(k, gfn, n, PAGE_PRIVATE) &&
	    fault(F_OUTSIDE_KV_PRIVATE_REPEAT_FAILS))
		return -ENOENT;
	if (share && fault_on(F_KVM_SHARE_REPEAT_FAILS) && all_are(k, gfn, n, PAGE_SHARED) &&
	    fault(F_KVM_SHARE_REPEAT_FAILS))
		return -EEXIST;
	if (!share && (fault(F_KVM_UNSHARE_IGNORED) || fault(F_KVM_MAP_GPA_ENCRYPT_IGNORED)))
		return 0;
	if (does_nothing(k, gfn, n, share))
		return 0;
	if (!share && splits_range(k, s, gfn, n))
		n = shared_run(k, gfn, room_from(s, gfn));
	if (!share && shared_run(k, gfn, n) > 0 && shared_run(k, gfn, n) < n &&
	    fault(F_OUTSIDE_KV_UNSHARE_STOPS))
		n = shared_run(k, gfn, n);
	if (!share && n > 1 && k->was_shared[gfn + n - 1] && fault(F_OUTSIDE2_KV_UNSHARE_ONE_SHORT))
		n--;
	if (!share && n > 1 && k->was_shared[gfn + n - 1] && fault(F_OUTSIDE_KV_UNSHARE_ZEROES))
		zero_page(k, gfn + n - 1);
	convert_pages(k, gfn, faulty_count(s, gfn, n, share), share ? PAGE_SHARED : PAGE_PRIVATE);
	if (find_slot(k, gfn + n) && fault(F_KVM_CONVERT_CORRUPTS_NEIGHBOUR))
		corrupt_byte(k, gfn + n);
	return 0;
}

/* The first page of the longest shared range of a slot: a guest's pool of bounce buffers. gfn where there is none. */
static uint64_t longest_shared(const struct refkvm *k, uint64_t gfn)
{
	uint64_t g, start = 0, longest = 0;
	unsigned int i;

	for (i = 0; i < k->slots; i++) {
		for (g = 0; g <= k->slot[i].count; g++) {
			if (g < k->slot[i].count &&
			    get_page(k, k->slot[i].first + g) == PAGE_SHARED)
				continue;
			if (g - start > longest) {
				longest = g - start;
				gfn = k->slot[i].first + start;
			}
			start = g + 1;
		}
		start = 0;
	}
	return gfn;
}

/* Frame numbers in types that are too narrow. */
static uint64_t cut_frame(uint64_t gfn)
{
	if (gfn >> 32 && fault(F_OUTSIDE_KV_FRAME_32))
		gfn = (uint32_t)gfn;
	if (gfn >> 52 && fault(F_OUTSIDE2_KV_FRAME_52))
		gfn &= (1ull << 52) - 1;
	if (gfn >> 40 && fault(F_OUTSIDE_KV_FRAME_40))
		gfn &= (1ull << 40) - 1;
	return gfn;
}

/* What another CPU asked for, at the next call of any. */
static void do_later(struct refkvm *k)
{
	const struct refkvm_range *s;

	if (!k->later.n)
		return;
	s = find_slot(k, k->later.gfn);
	if (s)
		convert(k, s, k->later.gfn, k->later.n, k->later.share);
	k->later.n = 0;
}

/* RFCv2, kvm_protect_memory(). */
static int64_t rfc_share(struct refkvm *k, unsigned int cpu, uint64_t gfn, uint64_t n, bool share)
{
	const struct refkvm_range *s;
	uint64_t room;

	if (n >> 32 && fault(F_KVM_SHARE_WRAP_OK))
		n = (uint32_t)n;
	if (n == 0) {
		if (fault(F_KVM_SHARE_ZERO_ERROR))
			return -EINVAL;
		if (!fault(F_KVM_SHARE_ZERO_SHARES_ONE))
			return 0;
		n = 1;
	}
	gfn = cut_frame(gfn);
	s = find_slot(k, gfn);
	if (!s)
		return fault(F_KVM_SHARE_HOLE_ERROR) ? -EFAULT : 0;
	room = s->first + s->count - gfn;
	if (gfn == 0 && fault(F_OUTSIDE_KV_FRAME_0_REFUSED))
		return -EINVAL;
	if (n == room && fault(F_OUTSIDE_KV_LAST_PAGE_REFUSED))
		return -EINVAL;
	if ((int64_t)n < 0 && fault(F_OUTSIDE_KV_NPAGES_SIGNED))
		return 0;
	if (n > room) {
		if (n == room + 1 && fault(F_OUTSIDE_KV_CROSSING_BY_ONE))
			return convert(k, s, gfn, room, share);
		if (fault(F_OUTSIDE_KV_CROSSING_HALF_DONE))
			convert(k, s, gfn, room, share);
		if (!fault(F_KVM_SHARE_CROSSING_OK))
			return -EINVAL;
		n = room;
	}
	if (cpu != 0 && fault(F_KVM_STATE_LOST_ON_AP))
		return 0;
	if (cpu != 0 && fault(F_OUTSIDE_KV_AP_DEFERRED)) {
		k->later.gfn = gfn;
		k->later.n = n;
		k->later.share = share;
		return 0;
	}
	if (cpu != 0 && !share && fault(F_KVM_UNSHARE_OTHER_PAGE))
		gfn = longest_shared(k, gfn);
	if (asked_before(k, cpu, gfn, n, share))
		return 0;
	return convert(k, s, gfn, n, share);
}

static void enable_partial(struct refkvm *k)
{
	unsigned int i;

	for (i = 0; i < k->slots; i++)
		convert_pages(k, k->slot[i].first, k->slot[i].count / 2, PAGE_PRIVATE);
}

/* Whatever was shared before becomes private. */
static void protect_all(struct refkvm *k, bool again)
{
	uint64_t g, gfn;
	unsigned int i;

	if (fault_on(F_OUTSIDE_KV_SHARE_NESTS))
		memset(k->kept, 0, k->pages.file->frames);
	for (i = 0; i < k->slots; i++) {
		if (i > 0 && fault(F_OUTSIDE_KV_ENABLE_ONE_SLOT))
			break;
		for (g = 0; g < k->slot[i].count; g++) {
			gfn = k->slot[i].first + g;
			if (gfn < FRAMES_1M && fault(F_OUTSIDE_KV_ENABLE_SKIPS_LOW))
				continue;
			if (fault_on(F_OUTSIDE_KV_RESET_KEEPS_SHARES) && k->kept[gfn] &&
			    fault(F_OUTSIDE_KV_RESET_KEEPS_SHARES))
				continue;
			if (again || !k->was_shared[gfn] || !fault(F_KVM_ENABLE_KEEPS_EARLY_SHARE))
				set_page(k, gfn, PAGE_PRIVATE);
		}
	}
}

/* RFCv2, kvm_protect_all_memory(): a second call succeeds as well and protects all again. */
static int64_t rfc_enable(struct refkvm *k, unsigned int cpu)
{
	const bool again = page_states_protected(&k->pages);

	if (again && cpu % 2 && fault(F_KVM_ENABLE_RACE))
		return -EBUSY;
	if (again && fault(F_OUTSIDE_KV_ENABLE_TWICE))
		return -EALREADY;
	if (fault(F_KVM_ENABLE_NO_EFFECT))
		return 0;
	if (cpu != 0 && fault(F_KVM_STATE_LOST_ON_AP))
		return 0;
	if (fault(F_KVM_ENABLE_PARTIAL))
		enable_partial(k);
	else
		protect_all(k, again);
	set_protected(k, true);
	say(k, "cpu %u: protection enabled%s", cpu, again ? " again" : "");
	return fault(F_KVM_ENABLE_ERROR) ? -EINVAL : 0;
}

/* Widens [*gfn, *gfn + *n) to whole 2M frames, inside the slot. */
static void round_to_2m(const struct refkvm_range *s, uint64_t *gfn, uint64_t *n)
{
	uint64_t first = *gfn / FRAMES_2M * FRAMES_2M;
	uint64_t end = (*gfn + *n + FRAMES_2M - 1) / FRAMES_2M * FRAMES_2M;

	if (first < s->first)
		first = s->first;
	if (end > s->first + s->count)
		end = s->first + s->count;
	*gfn = first;
	*n = end - first;
}

/* hypercalls.rst, 8. KVM_HC_MAP_GPA_RANGE; what the VMM behind KVM_EXIT_HYPERCALL does is ours. */
static int64_t map_gpa_range(struct refkvm *k, unsigned int cpu, uint64_t gpa, uint64_t n,
			     uint64_t attrs)
{
	const bool share = !(attrs & MAP_GPA_ENCRYPTED);
	uint64_t gfn = gpa >> PAGE_STATE_SHIFT;
	const struct refkvm_range *s;

	if (fault(F_KVM_CPUID_FEATURE_LIES))
		return -KVM_ENOSYS;
	if (gpa >> 32 && fault(F_OUTSIDE_KV_MAP_GPA_32))
		gfn = (uint32_t)gpa >> PAGE_STATE_SHIFT;
	if (n >> 32 && fault(F_OUTSIDE_KV_MAP_GPA_NPAGES_32))
		n = (uint32_t)n;
	if ((attrs & 0xf) == 2 && fault(F_OUTSIDE_KV_MAP_GPA_1G_REFUSED))
		return -EINVAL;
	if ((attrs & 0xf) == 1 && gfn % FRAMES_2M && fault(F_OUTSIDE_KV_MAP_GPA_HINT_BINDS))
		return -EINVAL;
	if ((gpa & 0xfff) && !fault(F_KVM_MAP_GPA_UNALIGNED_OK))
		return -EINVAL;
	if (n == 0)
		return fault(F_KVM_MAP_GPA_ZERO_OK) ? 0 : -EINVAL;
	if (n > UINT64_MAX >> PAGE_STATE_SHIFT || gpa + (n << PAGE_STATE_SHIFT) <= gpa)
		return fault(F_KVM_MAP_GPA_WRAP_OK) ? 0 : -EINVAL;
	if ((attrs >> 5 || (attrs & 0xf) > 2) && !fault(F_KVM_MAP_GPA_RESERVED_BITS_OK))
		return -EINVAL;
	if ((attrs & 0xf) == 1 && fault(F_OUTSIDE2_KV_MAP_GPA_UNITS))
		n *= FRAMES_2M;
	s = find_slot(k, gfn);
	if (!s || n > s->first + s->count - gfn)
		return -EINVAL;
	if (cpu != 0 && fault(F_KVM_STATE_LOST_ON_AP))
		return 0;
	if ((attrs & 0xf) == 1 && fault(F_KVM_MAP_GPA_SIZE_HINT_ROUNDS))
		round_to_2m(s, &gfn, &n);
	if ((attrs & 0xf) == 1 && n > FRAMES_2M && n % FRAMES_2M &&
	    fault(F_OUTSIDE3_CP_MAP_GPA_TAIL))
		n -= n % FRAMES_2M;
	if (asked_before(k, cpu, gfn, n, share))
		return 0;
	return convert(k, s, gfn, n, share);
}

static int64_t rfc_call(struct refkvm *k, const struct refkvm_call *c)
{
	switch (c->rax) {
	case KVM_HC_ENABLE_MEM_PROTECTED:
		if ((c->rbx || c->rcx) && fault(F_OUTSIDE_KV_ENABLE_WANTS_ZERO))
			return -EINVAL;
		return rfc_enable(k, c->cpu);
	case KVM_HC_MEM_SHARE:
		return rfc_share(k, c->cpu, c->rbx, c->rcx, true);
	default:
		return rfc_share(k, c->cpu, c->rbx, c->rcx, false);
	}
}

static int64_t dispatch(struct refkvm *k, const struct refkvm_call *c)
{
	switch (c->rax) {
	case KVM_HC_VAPIC_POLL_IRQ:
		return fault(F_OUTSIDE_KV_POLL_IRQ_ENOSYS) ? -KVM_ENOSYS : 0;
	case KVM_HC_MAP_GPA_RANGE: /* and ENABLE_MEM_PROTECTED */
		if (k->mode == REFKVM_RFC)
			return rfc_call(k, c);
		if (k->mode == REFKVM_MAP_GPA)
			return map_gpa_range(k, c->cpu, c->rbx, c->rcx, c->rdx);
		return fault(F_KVM_MAP_GPA_WITHOUT_FEATURE) ? 0 : -KVM_ENOSYS;
	case KVM_HC_MEM_SHARE:
	case KVM_HC_MEM_UNSHARE:
		if (k->mode == REFKVM_RFC)
			return rfc_call(k, c);
		if (fault(F_OUTSIDE_KV_SHARE_WITHOUT_FEATURE))
			return -EINVAL;
		break;
	default:
		break;
	}
	if (c->rax == 0 && fault(F_OUTSIDE_KV_NUMBER_0_OK))
		return 0;
	if (c->rax >> 31 == 1 && fault(F_OUTSIDE_KV_NUMBER_BIT_31))
		return 0;
	if (fault(F_KVM_HYPERCALL_UNKNOWN_OK))
		return 0;
	return fault(F_KVM_HYPERCALL_UNKNOWN_EINVAL) ? -EINVAL : -KVM_ENOSYS;
}

static int64_t checked_dispatch(struct refkvm *k, const struct refkvm_call *c)
{
	int64_t ret;

	if (c->cpu && fault(F_OUTSIDE2_KV_AP_REFUSED))
		return -KVM_EPERM;
	if ((c->cpl == 1 || c->cpl == 2) && fault(F_KVM_HYPERCALL_INNER_RINGS))
		return dispatch(k, c);
	if (c->cpl > 0 && c->rax == KVM_HC_MEM_SHARE && fault(F_OUTSIDE_KV_CPL3_SHARE))
		return dispatch(k, c);
	if (c->cpl > 0 && !fault(F_KVM_HYPERCALL_CPL3_ALLOWED))
		return fault(F_KVM_HYPERCALL_CPL3_WRONG_ERROR) ? -KVM_ENOSYS : -KVM_EPERM;
	if (!c->long_mode && fault(F_KVM_HYPERCALL_MODE32_REFUSED))
		return -KVM_ENOSYS;
	if (c->legacy && fault(F_KVM_HYPERCALL_LEGACY_REFUSED))
		return -KVM_ENOSYS;
	if (!c->long_mode && c->cpu && fault(F_KVM_HYPERCALL_MODE32_AP))
		return -KVM_ENOSYS;
	ret = dispatch(k, c);
	if (ret < 0 && (c->rax == KVM_HC_MEM_SHARE || c->rax == KVM_HC_MEM_UNSHARE) &&
	    fault(F_KVM_SHARE_POSITIVE_ERRNO))
		return -ret;
	if (k->mode == REFKVM_MAP_GPA && c->rax == KVM_HC_MAP_GPA_RANGE && ret == 0 &&
	    k->last_ret && fault(F_OUTSIDE_KV_MAP_GPA_STALE_RESULT))
		ret = k->last_ret;
	k->last_ret = ret;
	return ret;
}

void refkvm_hypercall(struct refkvm *k, struct refkvm_call *c)
{
	int64_t ret;

	if (!c->long_mode) {
		/* hypercalls.rst: arguments and result truncated to 32 bits */
		c->rax = (uint32_t)c->rax;
		c->rbx = (uint32_t)c->rbx;
		c->rcx = (uint32_t)c->rcx;
		c->rdx = (uint32_t)c->rdx;
		c->rsi = (uint32_t)c->rsi;
	}
	if (c->long_mode && c->rax >> 32 && fault(F_OUTSIDE_KV_NUMBER_LOW_32))
		c->rax = (uint32_t)c->rax;
	pthread_mutex_lock(&k->lock);
	do_later(k);
	ret = checked_dispatch(k, c);
	if (k->mode == REFKVM_RFC && c->rax != KVM_HC_ENABLE_MEM_PROTECTED &&
	    fault(F_KVM_ENABLE_NOT_STICKY))
		set_protected(k, false);
	k->calls++;
	say(k, "cpu %u: hypercall %llu(0x%llx, 0x%llx, 0x%llx) cpl %u -> %lld", c->cpu,
	    (unsigned long long)c->rax, (unsigned long long)c->rbx, (unsigned long long)c->rcx,
	    (unsigned long long)c->rdx, c->cpl, (long long)ret);
	pthread_mutex_unlock(&k->lock);
	c->clobber_rbx = fault(F_KVM_HYPERCALL_CLOBBERS_RBX);
	c->clobber_rcx = fault(F_KVM_HYPERCALL_CLOBBERS_RCX);
	c->rax = (uint64_t)ret;
	if (!c->long_mode)
		c->rax = (uint32_t)c->rax;
	if (c->long_mode && ret < 0 && fault(F_OUTSIDE_KV_RESULT_32))
		c->rax = (uint32_t)c->rax;
}

/* tsc_to_system_mul and tsc_shift so that (tsc << shift) * mul >> 32 is nanoseconds. */
static void clock_scale(uint64_t hz, uint32_t *mul, int8_t *shift)
{
	uint64_t base = hz;
	int8_t s = 0;

	while (base > 2 * 1000000000ull) {
		base >>= 1;
		s--;
	}
	while (base <= 1000000000ull) {
		base <<= 1;
		s++;
	}
	*mul = (uint32_t)((1000000000ull << 32) / base);
	*shift = s;
}

static uint64_t tsc_to_ns(uint64_t tsc, uint64_t hz)
{
	return (uint64_t)((unsigned __int128)tsc * 1000000000ull / hz);
}

static bool may_write(const struct refkvm *k, uint64_t gpa, size_t len)
{
	uint64_t bad;

	if (page_states_allowed(&k->pages, gpa, len, &bad))
		return true;
	if (fault(F_OUTSIDE_KV_CLOCK_IN_PRIVATE))
		return true;
	say(k, "violation: clock page 0x%llx is private", (unsigned long long)bad);
	return false;
}

static void write_system_time(struct refkvm *k, unsigned int cpu, uint64_t gpa, uint64_t tsc)
{
	struct pvclock_vcpu_time_info t = { .flags = !k->behave.unstable_clock };
	uint64_t ns = tsc_to_ns(tsc, k->tsc_hz);
	const uint64_t before = k->clock[cpu].tsc;
	size_t len = sizeof(t);
	uint32_t mul;
	int8_t shift;

	k->clock_written = true;
	k->clock[cpu].writes++;
	k->clock[cpu].tsc = tsc;
	if (fault(F_KVM_CLOCK_STEPS_BACK))
		ns -= ns < 1000000000ull * k->clock[cpu].writes ?
			      ns :
			      1000000000ull * k->clock[cpu].writes;
	if (k->behave.unstable_clock)
		ns -= ns < 2000000ull * cpu ? ns : 2000000ull * cpu;
	if (cpu != 0 && fault(F_KVM_CLOCK_AP_OFFSET))
		ns -= ns < 3000000000ull ? ns : 3000000000ull;
	if (cpu == 0 && fault(F_KVM_CLOCK_SOME_STABLE))
		t.flags = 0;
	if (cpu > 1 && fault(F_KVM_CLOCK_SOME_STABLE))
		ns -= ns < 3000000000ull ? ns : 3000000000ull;
	clock_scale(fault(F_KVM_CLOCK_RATE) || (cpu && fault(F_OUTSIDE2_KV_CLOCK_AP_RATE)) ?
			    k->tsc_hz / 2 :
			    k->tsc_hz,
		    &mul, &shift);
	t.tsc_to_system_mul = mul;
	t.tsc_shift = shift;
	k->clock[cpu].version += 2;
	t.version = k->clock[cpu].version - fault(F_KVM_CLOCK_VERSION_ODD);
	if (t.version > 2 && fault(F_OUTSIDE_KV_CLOCK_VERSION_SAME))
		t.version = 2;
	t.tsc_timestamp = before && fault(F_OUTSIDE_KV_CLOCK_STALE_TIMESTAMP) ? before : tsc;
	t.system_time = ns;
	if (before && fault(F_OUTSIDE_KV_CLOCK_SAYS_STOPPED))
		t.flags |= PVCLOCK_GUEST_STOPPED;
	if (gpa >> 32 && fault(F_OUTSIDE_KV_CLOCK_HIGH_PAGE))
		return;
	if (cpu != 0 && k->clock[0].gpa && fault(F_OUTSIDE_KV_CLOCK_AP_PAGE))
		gpa = k->clock[0].gpa;
	if ((gpa & PAGE_MASK) + len > PAGE_MASK + 1 && fault(F_OUTSIDE_KV_CLOCK_PAGE_END))
		len = PAGE_MASK + 1 - (gpa & PAGE_MASK);
	k->clock[cpu].gpa = gpa;
	if (may_write(k, gpa, len) && !k->io.write(k->io.arg, gpa, &t, len))
		say(k, "cpu %u: clock page 0x%llx is not memory", cpu, (unsigned long long)gpa);
}

static void write_wall_clock(struct refkvm *k, uint64_t gpa, uint64_t tsc)
{
	struct pvclock_wall_clock w = { .version = 2 };
	struct timespec now;
	uint64_t boot;

	/* The wall-clock time at which the system time was 0. */
	clock_gettime(CLOCK_REALTIME, &now);
	boot = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec -
	       (fault(F_OUTSIDE3_CP_WALL_NOW) ? 0 : tsc_to_ns(tsc, k->tsc_hz));
	w.sec = (uint32_t)(boot / 1000000000ull);
	w.nsec = (uint32_t)(boot % 1000000000ull);
	if (fault(F_KVM_CLOCK_WALL_NSEC))
		w.nsec += 1000000000u;
	if (fault(F_OUTSIDE_KV_WALL_LOCAL_TIME))
		w.sec += 3600;
	if (fault(F_OUTSIDE_KV_WALL_VERSION_ODD))
		w.version = 1;
	if (may_write(k, gpa, sizeof(w)) && !k->io.write(k->io.arg, gpa, &w, sizeof(w)))
		say(k, "wall clock page 0x%llx is not memory", (unsigned long long)gpa);
}

bool refkvm_tsc_hz(struct refkvm *k, uint64_t hz)
{
	bool taken;

	pthread_mutex_lock(&k->lock);
	taken = !k->clock_written;
	if (taken)
		k->tsc_hz = hz;
	pthread_mutex_unlock(&k->lock);
	return taken;
}

bool refkvm_wrmsr(struct refkvm *k, unsigned int cpu, uint32_t msr, uint64_t value, uint64_t tsc)
{
	bool again;

	if (cpu >= REFKVM_MAX_CPUS)
		return false;
	switch (msr) {
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		pthread_mutex_lock(&k->lock);
		if (msr == MSR_KVM_SYSTEM_TIME && value & 1 && fault(F_OUTSIDE_KV_CLOCK_OLD_MSR))
			value &= ~1ull;
		if (value & 1 && k->clock[cpu].system_time_msr & 1 &&
		    k->clock[cpu].system_time_msr != value && fault(F_OUTSIDE_KV_CLOCK_STAYS))
			value = k->clock[cpu].system_time_msr;
		again = value & 1 && k->clock[cpu].system_time_msr == value &&
			fault(F_OUTSIDE3_CP_CLOCK_SAME_ADDRESS);
		k->clock[cpu].system_time_msr = value;
		if (again) {
			pthread_mutex_unlock(&k->lock);
			return true;
		}
		if (value & 1 || (value && fault(F_OUTSIDE_KV_CLOCK_BIT_0)))
			write_system_time(k, cpu, value & ~1ull, tsc);
		pthread_mutex_unlock(&k->lock);
		return true;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		pthread_mutex_lock(&k->lock);
		k->wall_clock_msr = value;
		if (msr != MSR_KVM_WALL_CLOCK || !fault(F_OUTSIDE2_KV_WALL_OLD_MSR))
			write_wall_clock(k, value, tsc);
		pthread_mutex_unlock(&k->lock);
		return true;
	default:
		return false;
	}
}

bool refkvm_rdmsr(struct refkvm *k, unsigned int cpu, uint32_t msr, uint64_t *value)
{
	if (cpu >= REFKVM_MAX_CPUS)
		return false;
	switch (msr) {
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*value = k->clock[cpu && fault(F_OUTSIDE_KV_MSR_OF_CPU_0) ? 0 : cpu].system_time_msr;
		return true;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*value = fault(F_KVM_CLOCK_WALL_READS_0) ? 0 : k->wall_clock_msr;
		return true;
	default:
		return false;
	}
}
