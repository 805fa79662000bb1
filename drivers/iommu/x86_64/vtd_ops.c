/* SPDX-License-Identifier: BSD-2-Clause */
/* iommu.h for a VT-d unit: its life, domains and mappings, in each mode that it has. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "drivers/iommu/x86_64/vtd_internal.h"
#include "lib/env.h"
#include "lib/init.h"
#include "lib/mem.h"
#include "lib/mmio.h"

#define MAX_UNITS      4u
#define DEFAULT_LEVELS 4u
#define LOCK_NS	       (4 * time_sec())

#define MESSAGES_FIRST 0xfee00000ull
#define MESSAGES_LAST  0xfeefffffull

enum {
	PROTECTED_ON = 1u << 31,
	PROTECTED_IS = 1u << 0,

	/* 7.1.3: the reasons of scalable mode, by what the unit was at */
	SCALABLE_DOMAIN = 0x30, /* root and context entries, PASID directories and tables */
	SCALABLE_DOMAIN_LAST = 0x5f,
	SCALABLE_MAPPING = 0x70, /* page tables of both stages, what they allow */
	SCALABLE_MAPPING_LAST = 0x91,
};

static struct vtd units[MAX_UNITS];
static unsigned int count;

/* --- life ------------------------------------------------------------------------------------------------ */

static void give_back(struct vtd *v)
{
	unsigned int i;

	for (i = 0; i < VTD_MAX_TABLES; i++)
		vtd_free_table(v, v->table[i].page);
	memset(v->table, 0, sizeof(v->table));
	memset(v->domain, 0, sizeof(v->domain));
	memset(v->seat, 0, sizeof(v->seat));
	for (i = 0; i < 2 * 256; i++) {
		vtd_free_table(v, v->context[i]);
		v->context[i] = NULL;
	}
	vtd_free_table(v, v->root);
	vtd_free_table(v, v->queue);
	vtd_free_table(v, v->messages);
	v->root = NULL;
	v->queue = NULL;
	v->messages = NULL;
}

/* Everything off. What the unit may still read stays taken where it does not obey. */
static int turn_off(struct vtd *v)
{
	int ret = vtd_is_on(v, VTD_ON_INTERRUPTS) ? vtd_command(v, VTD_ON_INTERRUPTS, false) : 0;

	if (!ret && vtd_is_on(v, VTD_ON_TRANSLATION))
		ret = vtd_command(v, VTD_ON_TRANSLATION, false);
	if (!ret && vtd_is_on(v, VTD_ON_QUEUE))
		ret = v->queue ? vtd_queue_off(v) : vtd_command(v, VTD_ON_QUEUE, false);
	v->queued = false;
	v->up = false;
	return ret;
}

static struct vtd *unit_of(struct iommu *m)
{
	return ((struct vtd_face *)m)->v;
}

static int protection_off(struct vtd *v)
{
	if (!v->f.protected_low && !v->f.protected_high)
		return 0;
	vtd_write32(v, VTD_PROTECTED, vtd_read32(v, VTD_PROTECTED) & ~(uint32_t)PROTECTED_ON);
	return wait_for(!(vtd_read32(v, VTD_PROTECTED) & PROTECTED_IS), VTD_ANSWER_NS) ? 0 :
											 -ETIMEDOUT;
}

static unsigned int epoch(const struct iommu *m)
{
	const struct vtd_face *f = (const struct vtd_face *)m;

	return f->v->up && f->v->mode == f->mode ? f->v->epoch : 0;
}

static void lasting(struct iommu *m)
{
	unit_of(m)->lasting = true;
}

/* An address of the first stage has its highest bit in all those above it: half of them are like others. */
static uint64_t beyond(const struct vtd *v, unsigned int levels)
{
	const unsigned int by_table = vtd_shift_of(levels + 1) - (v->mode == VTD_FIRST_STAGE);

	return 1ull << (by_table < v->f.address_bits ? by_table : v->f.address_bits);
}

static int failed(struct iommu *m, const char *why, int ret)
{
	m->error = why;
	return ret;
}

static int turn_on(struct vtd *v, struct iommu *m)
{
	if (vtd_set_root(v))
		return failed(m, "its root table is not taken", -ETIMEDOUT);
	if (v->mode != VTD_LEGACY && vtd_by_queue(v, true))
		return failed(m, "its invalidation queue does not go on", -ETIMEDOUT);
	if (vtd_forget_all(v))
		return failed(m, "it does not invalidate", -EPROTO);
	if (protection_off(v))
		return failed(m, "its protected regions stay on", -ETIMEDOUT);
	if (vtd_command(v, VTD_ON_TRANSLATION, true))
		return failed(m, "translation does not go on", -ETIMEDOUT);
	vtd_clear_faults(v);
	return 0;
}

/* The usual number where it is offered, else one that is. */
static unsigned int choose_levels(const struct vtd *v)
{
	unsigned int levels = DEFAULT_LEVELS;

	if (v->mode == VTD_FIRST_STAGE)
		return levels;
	while (levels > 3 && !(v->f.levels & VTD_BIT(levels)))
		levels--;
	return v->f.levels & VTD_BIT(levels) ? levels : 5;
}

static int start(struct iommu *m)
{
	struct vtd *v = unit_of(m);
	int ret;

	v->lock = (spinlock_t){ 0 };
	if (turn_off(v))
		return failed(m, "it does not go off", -ETIMEDOUT);
	give_back(v);
	v->mode = ((struct vtd_face *)m)->mode;
	v->levels = choose_levels(v);
	if (v->f.queue)
		vtd_write32(v, VTD_DONE_CONTROL, VTD_EVENT_MASKED);
	vtd_write32(v, VTD_FAULT_CONTROL, VTD_EVENT_MASKED);
	m->limits = (struct iommu_limits){ .page_sizes = PAGE_SIZE,
					   .last = beyond(v, v->levels) - 1,
					   .domain_first = 1, /* 6.1: 0 is the unit's own */
					   .domain_last = (1u << v->f.domain_bits) - 1 };
	v->root = vtd_new_table(v);
	if (!v->root)
		return failed(m, "no memory for its root table", -ENOMEM);
	ret = turn_on(v, m);
	if (ret)
		(void)turn_off(v);
	v->up = !ret;
	v->epoch += !ret;
	return ret;
}

static void stop(struct iommu *m)
{
	struct vtd *v = unit_of(m);

	if (turn_off(v) == 0)
		give_back(v);
}

/* --- domains ------------------------------------------------------------------------------------------------ */

/* A test that was ended by force may have left it taken: start() ends that. */
static bool enter(struct vtd *v)
{
	return v->up && wait_for(spin_trylock(&v->lock), LOCK_NS);
}

static int leave(struct vtd *v, int ret)
{
	spin_unlock(&v->lock);
	return ret;
}

static bool endpoint(struct iommu *m, const struct device *d, uint32_t *id)
{
	unsigned int n;

	if (!dmar_unit_of(d, &n) || n != unit_of(m)->number)
		return false;
	*id = d->alias;
	return true;
}

static bool reserved(struct iommu *m, uint32_t id, uint64_t first, uint64_t last)
{
	struct dmar_region r;
	unsigned int i;

	(void)id;
	for (i = 0; dmar_region(i, &r); i++)
		if (r.segment == unit_of(m)->unit.segment && r.first <= last && r.last >= first)
			return true;
	return first <= MESSAGES_LAST && last >= MESSAGES_FIRST;
}

static struct vtd_seat *seat_of(struct vtd *v, uint32_t requester)
{
	unsigned int i;

	for (i = 0; i < VTD_MAX_SEATS; i++)
		if (v->seat[i].d && v->seat[i].requester == requester)
			return &v->seat[i];
	return NULL;
}

static struct vtd_domain *domain_get(struct vtd *v, uint32_t id, bool identity)
{
	struct vtd_domain *d = vtd_domain_find(v, id);
	unsigned int i;

	if (d)
		return d->identity == identity ? d : NULL;
	for (i = 0; i < VTD_MAX_DOMAINS && v->domain[i].used; i++)
		;
	if (i == VTD_MAX_DOMAINS)
		return NULL;
	d = &v->domain[i];
	*d = (struct vtd_domain){ .id = id, .identity = identity, .levels = v->levels };
	d->table = identity ? NULL : vtd_table_of(v, d);
	d->used = identity || d->table;
	return d->used ? d : NULL;
}

/* Tables of an owner that goes. Where the unit may still read them they stay as they are, and taken. */
static void put_tables(struct vtd *v, const void *owner, int ret)
{
	if (ret)
		vtd_disown_tables(v, owner);
	else
		vtd_free_tables(v, owner);
}

/* One endpoint less; with the last one nothing of it stays in the unit's caches. ret: whether all went well so far. */
static int domain_put(struct vtd *v, struct vtd_domain *d, int ret)
{
	if (!ret)
		ret = vtd_forget(v, VTD_OF_DOMAIN, (uint16_t)d->id, 0, 0);
	if (--d->seats)
		return ret;
	put_tables(v, d, ret);
	*d = (struct vtd_domain){ 0 };
	return ret;
}

/* 6.2.2, 6.5: an entry that was present may be cached. */
static int leave_seat(struct vtd *v, struct vtd_seat *s)
{
	struct vtd_entry *c = v->mode == VTD_LEGACY ? vtd_context_entry(v, s->requester) :
						      vtd_scalable_entry(v, s->requester);
	struct vtd_domain *d = s->d;
	int ret;

	vtd_entry_set(v, c, 0, 0);
	s->d = NULL;
	ret = vtd_forget_context(v, VTD_OF_ONE, (uint16_t)d->id, s->requester);
	if (!ret && v->mode != VTD_LEGACY)
		ret = vtd_queued(
			v, VTD_DESC_PASID_CACHE | VTD_PASID_OF_DOMAIN | (uint64_t)d->id << 16, 0);
	put_tables(v, s, ret);
	return domain_put(v, d, ret);
}

static bool context_make(struct vtd *v, uint16_t requester)
{
	const bool upper = v->mode != VTD_LEGACY && requester & 0x80;
	struct vtd_entry **page = &v->context[(requester >> 8 << 1) + upper];
	struct vtd_entry *root = &v->root[requester >> 8];

	if (*page)
		return true;
	*page = vtd_new_table(v);
	if (!*page)
		return false;
	WRITE_ONCE(*(upper ? &root->high : &root->low),
		   cpu_to_le64(virt_to_phys(*page) | VTD_PRESENT));
	vtd_written(v, root, sizeof(*root));
	return true;
}

static uint64_t width_of(const struct vtd *v, const struct vtd_domain *d)
{
	unsigned int n = 5;

	/* 9.3: without translation the widest that there is. */
	while (d->identity && n > 3 && !(v->f.levels & VTD_BIT(n)))
		n--;
	return VTD_WIDTH(d->identity ? n : d->levels);
}

static void sit_legacy(struct vtd *v, const struct vtd_seat *s)
{
	struct vtd_entry *c = vtd_context_entry(v, s->requester);
	const struct vtd_domain *d = s->d;

	vtd_entry_set(v, c, VTD_PRESENT | (d->identity ? VTD_PASS_THROUGH : virt_to_phys(d->table)),
		      VTD_DOMAIN_ID(d->id) | width_of(v, d));
}

/* 9.4 to 9.6: requests without a PASID are those of PASID 0, the first entry of the first table. */
static int sit_scalable(struct vtd *v, struct vtd_seat *s)
{
	struct vtd_entry *c = vtd_scalable_entry(v, s->requester);
	const struct vtd_domain *d = s->d;
	const uint64_t width = width_of(v, d) << 2;
	le64 *const directory = vtd_table_of(v, s), *const pasids = vtd_table_of(v, s);

	if (!directory || !pasids)
		return -ENOMEM;
	pasids[1] = cpu_to_le64(d->id);
	if (d->identity)
		pasids[0] = cpu_to_le64(VTD_PRESENT | width | VTD_STAGE_NONE);
	else if (v->mode == VTD_SECOND_STAGE)
		pasids[0] = cpu_to_le64(VTD_PRESENT | width | VTD_STAGE_SECOND |
					virt_to_phys(d->table));
	else
		/* The width is of the second stage; QEMU 11.1 takes it for the first one's as well. */
		pasids[0] = cpu_to_le64(VTD_PRESENT | width | VTD_STAGE_FIRST);
	if (!d->identity && v->mode == VTD_FIRST_STAGE)
		pasids[2] = cpu_to_le64(virt_to_phys(d->table) | (uint64_t)(d->levels - 4) << 2);
	directory[0] = cpu_to_le64(virt_to_phys(pasids) | VTD_PRESENT);
	vtd_written(v, pasids, 64);
	vtd_written(v, directory, sizeof(le64));
	WRITE_ONCE(c->low, cpu_to_le64(virt_to_phys(directory) | VTD_PRESENT));
	vtd_written(v, c, 2 * sizeof(*c));
	return 0;
}

static int take_seat(struct vtd *v, struct vtd_domain *d, uint16_t requester)
{
	struct vtd_seat *s;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < VTD_MAX_SEATS && v->seat[i].d; i++)
		;
	if (i == VTD_MAX_SEATS || !context_make(v, requester))
		return -ENOMEM;
	s = &v->seat[i];
	*s = (struct vtd_seat){ .d = d, .requester = requester };
	if (v->mode == VTD_LEGACY)
		sit_legacy(v, s);
	else
		ret = sit_scalable(v, s);
	if (ret) {
		vtd_free_tables(v, s);
		s->d = NULL;
		return ret;
	}
	d->seats++;
	/* 6.1: what was not present is cached in caching mode alone. */
	return v->f.caching_mode ? vtd_forget_all(v) : 0;
}

static int seat(struct vtd *v, uint32_t domain, uint32_t id, bool is_identity)
{
	struct vtd_seat *s = seat_of(v, id);
	struct vtd_domain *d;
	int ret = 0;

	if (id > UINT16_MAX)
		return -ENOENT;
	if (!domain || domain >> v->f.domain_bits)
		return -ERANGE;
	if (s && s->d->id == domain && s->d->identity == is_identity)
		return 0;
	if (s)
		ret = leave_seat(v, s);
	d = ret ? NULL : domain_get(v, domain, is_identity);
	if (!d)
		return ret ? ret : -ENOSPC;
	ret = take_seat(v, d, (uint16_t)id);
	if (ret && !d->seats) {
		d->seats = 1;
		(void)domain_put(v, d, 0);
	}
	return ret;
}

static int attach(struct iommu *m, uint32_t domain, uint32_t id)
{
	struct vtd *v = unit_of(m);

	return enter(v) ? leave(v, seat(v, domain, id, false)) : -EBUSY;
}

static int identity(struct iommu *m, uint32_t domain, uint32_t id)
{
	struct vtd *v = unit_of(m);

	if (!v->f.pass_through)
		return -EOPNOTSUPP;
	return enter(v) ? leave(v, seat(v, domain, id, true)) : -EBUSY;
}

static int unseat(struct vtd *v, uint32_t domain, uint32_t id)
{
	struct vtd_seat *s = seat_of(v, id);

	return s && s->d->id == domain ? leave_seat(v, s) : -ENOENT;
}

static int detach(struct iommu *m, uint32_t domain, uint32_t id)
{
	struct vtd *v = unit_of(m);

	return enter(v) ? leave(v, unseat(v, domain, id)) : -EBUSY;
}

/* --- mappings -------------------------------------------------------------------------------------------------- */

static bool fits(const struct vtd *v, const struct vtd_domain *d, uint64_t first, uint64_t last)
{
	return first % PAGE_SIZE == 0 && (last + 1) % PAGE_SIZE == 0 && first < last &&
	       last < beyond(v, d->levels);
}

/* 6.5.1.2: 2^n pages at a multiple of so many, the fewest that have all of the range; what else they have is looked up again. */
static int forget_pages(struct vtd *v, const struct vtd_domain *d, uint64_t first, uint64_t last)
{
	unsigned int n = 0;

	while ((first ^ last) >> (PAGE_SHIFT + n))
		n++;
	if (!v->f.by_page || n > v->f.most_pages)
		return vtd_forget(v, VTD_OF_DOMAIN, (uint16_t)d->id, 0, 0);
	first &= ~((PAGE_SIZE << n) - 1);
	if (v->mode == VTD_FIRST_STAGE)
		return vtd_queued(v, VTD_DESC_PASID_IOTLB | VTD_PASID_PAGES | (uint64_t)d->id << 16,
				  first | n);
	return vtd_forget(v, VTD_OF_ONE, (uint16_t)d->id, first, n);
}

static int clear(struct vtd *v, const struct vtd_domain *d, uint64_t first, uint64_t last)
{
	uint64_t at;
	bool any = false;

	for (at = first; at < last; at += PAGE_SIZE) {
		le64 *e = vtd_walk(v, d, at, 1, false);

		if (!e || !*e)
			continue;
		any = true;
		WRITE_ONCE(*e, 0);
		vtd_written(v, e, sizeof(*e));
	}
	return any ? forget_pages(v, d, first, last) : 0;
}

/* What is present in the first stage can be read. */
static uint64_t access_of(const struct vtd *v, unsigned int how)
{
	const uint64_t write = how & IOMMU_WRITE ? VTD_WRITE : 0u;

	if (v->mode == VTD_FIRST_STAGE)
		return VTD_PRESENT | write | VTD_USER | VTD_ACCESSED | (write ? VTD_DIRTY : 0u);
	return write | (how & IOMMU_READ ? VTD_READ : 0u);
}

static int fill(struct vtd *v, const struct vtd_domain *d, uint64_t first, uint64_t last,
		uint64_t phys, unsigned int how)
{
	const uint64_t access = access_of(v, how);
	uint64_t at;

	for (at = first; at < last; at += PAGE_SIZE) {
		const le64 *e = vtd_walk(v, d, at, 1, true);

		if (!e)
			return -ENOMEM;
		if (*e)
			return -EEXIST;
	}
	for (at = first; at < last; at += PAGE_SIZE) {
		le64 *e = vtd_walk(v, d, at, 1, false);

		WRITE_ONCE(*e, cpu_to_le64((phys + at - first) | access));
		vtd_written(v, e, sizeof(*e));
	}
	return v->f.caching_mode ? forget_pages(v, d, first, last) : 0;
}

static int map_locked(struct vtd *v, uint32_t domain, uint64_t first, uint64_t last, uint64_t phys,
		      unsigned int how)
{
	const struct vtd_domain *d = vtd_domain_find(v, domain);

	if (!d)
		return -ENOENT;
	if (d->identity || !(how & (IOMMU_READ | IOMMU_WRITE)))
		return -EINVAL;
	if (!fits(v, d, first, last) || phys % PAGE_SIZE ||
	    (phys + (last - first)) >> v->f.physical_bits ||
	    reserved(&v->face[VTD_LEGACY].m, 0, first, last))
		return -ERANGE;
	return fill(v, d, first, last, phys, how);
}

static int map(struct iommu *m, uint32_t domain, uint64_t first, uint64_t last, uint64_t phys,
	       unsigned int how)
{
	struct vtd *v = unit_of(m);

	return enter(v) ? leave(v, map_locked(v, domain, first, last, phys, how)) : -EBUSY;
}

static int unmap_locked(struct vtd *v, uint32_t domain, uint64_t first, uint64_t last)
{
	const struct vtd_domain *d = vtd_domain_find(v, domain);

	if (!d)
		return -ENOENT;
	if (d->identity || !fits(v, d, first, last))
		return -ERANGE;
	return clear(v, d, first, last);
}

static int unmap(struct iommu *m, uint32_t domain, uint64_t first, uint64_t last)
{
	struct vtd *v = unit_of(m);

	return enter(v) ? leave(v, unmap_locked(v, domain, first, last)) : -EBUSY;
}

static enum iommu_fault_reason kind_of(uint8_t reason)
{
	switch (reason) {
	case VTD_NO_ROOT:
	case VTD_NO_CONTEXT:
	case VTD_BAD_CONTEXT:
	case VTD_ROOT_RESERVED:
	case VTD_CONTEXT_RESERVED:
	case VTD_TYPE_BLOCKED:
		return IOMMU_FAULT_DOMAIN;
	case VTD_BEYOND_WIDTH:
	case VTD_NO_WRITE:
	case VTD_NO_READ:
	case VTD_BAD_TABLE:
	case VTD_PAGING_RESERVED:
		return IOMMU_FAULT_MAPPING;
	default:
		return reason >= SCALABLE_DOMAIN && reason <= SCALABLE_DOMAIN_LAST ?
			       IOMMU_FAULT_DOMAIN :
		       reason >= SCALABLE_MAPPING && reason <= SCALABLE_MAPPING_LAST ?
			       IOMMU_FAULT_MAPPING :
			       IOMMU_FAULT_OTHER;
	}
}

static int fault(struct iommu *m, struct iommu_fault *f)
{
	struct vtd_fault own;
	const int ret = vtd_fault_get(unit_of(m), &own);

	if (ret > 0)
		*f = (struct iommu_fault){ .endpoint = own.requester,
					   .reason = kind_of(own.reason),
					   .read = own.read,
					   .write = !own.read,
					   .address = own.page,
					   .known = ~(PAGE_SIZE - 1) };
	return ret;
}

static const struct iommu_ops ops = {
	.kind = "VT-d",
	.start = start,
	.stop = stop,
	.epoch = epoch,
	.lasting = lasting,
	.endpoint = endpoint,
	.reserved = reserved,
	.attach = attach,
	.identity = identity,
	.detach = detach,
	.map = map,
	.unmap = unmap,
	.fault = fault,
};

/* --- which units there are --------------------------------------------------------------------------------------- */

struct vtd *vtd_get(unsigned int n)
{
	return n < count ? &units[n] : NULL;
}

struct iommu *vtd_iommu(struct vtd *v)
{
	return &v->face[VTD_LEGACY].m;
}

static bool offers(const struct vtd *v, enum vtd_mode mode)
{
	return mode == VTD_LEGACY	? true :
	       mode == VTD_SECOND_STAGE ? v->f.queue && v->f.scalable && v->f.second_stage :
					  v->f.queue && v->f.scalable && v->f.first_stage;
}

static void make_faces(struct vtd *v)
{
	static const char *const names[VTD_MODES] = { "", " second stage", " first stage" };
	unsigned int i;

	for (i = 0; i < VTD_MODES; i++) {
		struct vtd_face *f = &v->face[i];

		f->m.ops = &ops;
		f->v = v;
		f->mode = (enum vtd_mode)i;
		snprintf(f->m.name, sizeof(f->m.name), "VT-d 0x%llx%s",
			 (unsigned long long)v->unit.base, names[i]);
	}
}

static void find_all(void)
{
	struct dmar_unit u;
	unsigned int i;

	for (i = 0; count < MAX_UNITS && dmar_unit(i, &u); i++) {
		struct vtd *v = &units[count];

		v->unit = u;
		v->number = i;
		make_faces(v);
		if (vtd_find_out(v))
			count++;
		else
			env_line("iommu ignored", "%s: %s", vtd_iommu(v)->name,
				 vtd_iommu(v)->error);
	}
}

static void print_env(void)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		env_line("iommu", "%s capability 0x%llx extended 0x%llx",
			 vtd_iommu(&units[i])->name,
			 (unsigned long long)vtd_read64(&units[i], VTD_CAPABILITY),
			 (unsigned long long)vtd_read64(&units[i], VTD_EXTENDED));
}
ENV(vtd, print_env);

/* Each mode of each unit. */
static struct iommu *get(unsigned int n)
{
	unsigned int i, mode;

	for (i = 0; i < count; i++)
		for (mode = 0; mode < VTD_MODES; mode++)
			if (offers(&units[i], (enum vtd_mode)mode) && n-- == 0)
				return &units[i].face[mode].m;
	return NULL;
}

static void init(void)
{
	static struct iommu_driver driver = { .get = get };

	find_all();
	iommu_driver_add(&driver);
}
INIT(vtd, init);
