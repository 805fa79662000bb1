/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults of reffront that come from outside of the project: bugs that other VMMs had in their virtio-pci, virtio-mmio,
 * MSI-X and configuration space, made again here, and what the specification forbids. host/ref/front/faults names the
 * source of each. Most of them answer a load with what the driver wrote (place), and not with what QEMU made of it.
 */
#include "host/ref/front/rules.h"

enum { /* configuration space (PCI 3.0, 6.1, 6.2) */
	CFG_COMMAND = 4,
	COMMAND_MEMORY = 1u << 1,
	COMMAND_MASTER = 1u << 2,
	COMMAND_INTX_OFF = 1u << 10,
	CFG_STATUS = 6,
	STATUS_INTERRUPT = 1u << 3,
	CFG_BAR0 = 0x10,
	CFG_BAR2 = 0x18, /* no reference device has it */
	CFG_BAR5 = 0x24,
	FUNCTION_MASK = 1u << 14, /* MSI-X Message Control */
	MSIX_ENABLE = 1u << 15,
	TABLE_SIZE = 0x7ff,
};

enum {
	ISR_CONFIG = 2,
	BYTE = 256,	     /* selectors that do not fit into 8 bits */
	ABSENT_QUEUE = 1000, /* a notification of it is ignored */
	QUEUES_MAX = 128,    /* entries; what the reference devices have */
	VSOCK_QUEUES = 3,    /* 5.10.2 */
	LOST_EACH = 100,     /* loads of InterruptStatus */
};

static bool loads(const struct access *a, enum region r, uint32_t at)
{
	return !a->store && a->region == r && a->at == at;
}

static bool stores(const struct access *a, enum region r, uint32_t at)
{
	return a->store && a->region == r && a->at == at;
}

/* The field `at` of the function's capability c. */
static bool at_cap(const struct access *a, unsigned int c, uint32_t at)
{
	return a->region == CONFIG && a->place->is_virtio && a->place->cap[c] &&
	       a->at == a->place->cap[c] + at;
}

static uint32_t cap_field(const struct place *p, unsigned int c, uint32_t at, unsigned int size)
{
	return p->cap[c] ? (uint32_t)plugin_load(p->base + p->cap[c] + at, size) : 0;
}

/* The selected queue; NULL: one that is not followed. */
static struct queue_seen *selected(struct place *p)
{
	return p->queue_select < FRONT_QUEUES ? &p->queue[p->queue_select] : NULL;
}

static unsigned int num_queues(const struct place *p)
{
	return (unsigned int)plugin_load(p->base + COMMON_AT(num_queues), 2);
}

static bool last_is_selected(const struct place *p)
{
	const unsigned int n = p->region == MMIO ? VSOCK_QUEUES : num_queues(p);

	return n && p->queue_select == n - 1;
}

/* --- when ---------------------------------------------------------------------------------- */

static bool in_reset(const struct place *p)
{
	return p->status == 0;
}

static bool was_in_use(const struct place *p)
{
	return p->status == 0 && p->before_reset & VIRTIO_S_DRIVER_OK;
}

static bool started(const struct place *p)
{
	return p->status & VIRTIO_S_DRIVER_OK;
}

static bool long_queue_select(const struct place *p)
{
	return p->queue_select >= BYTE;
}

static bool long_feature_select(const struct place *p)
{
	return p->device_select >= BYTE;
}

static bool config_unmapped(const struct place *p)
{
	return p->config_vector == VIRTIO_NO_VECTOR;
}

static bool intx_off(const struct place *p)
{
	return p->command & COMMAND_INTX_OFF;
}

static bool later_entry(const struct place *p)
{
	return (p->base & 0x7ff) >= 16;
}

/* --- queues --------------------------------------------------------------------------------- */

static uint64_t size_written(const struct access *a, uint64_t v)
{
	const struct queue_seen *q = selected(a->place);

	return loads(a, COMMON, COMMON_AT(queue_size)) && q && q->size ? q->size : v;
}

static void keep_size(const struct access *a)
{
	const struct queue_seen *q = selected(a->place);

	if (stores(a, COMMON, COMMON_AT(queue_size)) && q && q->max && q->size < q->max)
		plugin_inject(a->phys, q->max, 2);
}

static uint64_t old_size(const struct access *a, uint64_t v)
{
	const struct queue_seen *q = selected(a->place);

	return loads(a, COMMON, COMMON_AT(queue_size)) && q && !q->size && q->old_size ?
		       q->old_size :
		       v;
}

static uint64_t behind_last(const struct access *a, uint64_t v)
{
	const struct place *p = a->place;

	if (loads(a, COMMON, COMMON_AT(queue_size)))
		return p->queue_select == num_queues(p) ? QUEUES_MAX : v;
	return v;
}

static uint64_t enabled_before(const struct access *a, uint64_t v)
{
	const struct queue_seen *q = selected(a->place);

	return loads(a, COMMON, COMMON_AT(queue_enable)) && in_reset(a->place) && q &&
			       q->was_enabled && last_is_selected(a->place) ?
		       1 :
		       v;
}

static void keep_addresses(const struct access *a)
{
	const uint32_t first = COMMON_AT(queue_desc_lo);
	const struct queue_seen *q = selected(a->place);

	if (!a->store || a->region != COMMON || a->at < first || a->at % 4 || !q ||
	    a->at >= first + sizeof(q->address) || !q->was_stopped)
		return;
	if (q->old_address[(a->at - first) / 4] != a->value)
		plugin_inject(a->phys, q->old_address[(a->at - first) / 4], 4);
}

/* --- vectors --------------------------------------------------------------------------------- */

/* What the driver wrote for the queue, whatever became of it. */
static uint64_t vector_written(const struct access *a, uint64_t v)
{
	const struct queue_seen *q = selected(a->place);

	return loads(a, COMMON, COMMON_AT(queue_msix_vector)) && q &&
			       q->vector != VIRTIO_NO_VECTOR ?
		       q->vector :
		       v;
}

static uint64_t config_vector_written(const struct access *a, uint64_t v)
{
	return loads(a, COMMON, COMMON_AT(config_msix_vector)) ? a->place->config_vector : v;
}

static uint64_t vector_of_any(const struct access *a, uint64_t v)
{
	return loads(a, COMMON, COMMON_AT(queue_msix_vector)) ? a->place->queue_vector : v;
}

static uint64_t vector_of_nobody(const struct access *a, uint64_t v)
{
	return loads(a, COMMON, COMMON_AT(queue_msix_vector)) &&
			       a->place->queue_select >= num_queues(a->place) ?
		       0 :
		       v;
}

static uint64_t vector_before_reset(const struct access *a, uint64_t v)
{
	const struct queue_seen *q = selected(a->place);

	return loads(a, COMMON, COMMON_AT(queue_msix_vector)) && q &&
			       q->vector == VIRTIO_NO_VECTOR && last_is_selected(a->place) ?
		       q->old_vector :
		       v;
}

static void keep_vector(const struct access *a)
{
	const struct queue_seen *q = selected(a->place);

	if (stores(a, COMMON, COMMON_AT(queue_msix_vector)) && q && started(a->place) &&
	    q->vector != q->start_vector)
		plugin_inject(a->phys, q->start_vector, 2);
}

static void vector_of_first(const struct access *a)
{
	struct place *p = a->place;

	if (stores(a, COMMON, COMMON_AT(queue_msix_vector)) && p->queue_select && selected(p) &&
	    p->queue[0].vector != p->queue_vector && p->queue[0].vector != VIRTIO_NO_VECTOR &&
	    p->queue_vector != VIRTIO_NO_VECTOR)
		plugin_inject(a->phys, p->queue[0].vector, 2);
}

/* --- features and status ------------------------------------------------------------------------- */

static uint64_t first_word(const struct access *a, uint64_t v)
{
	return loads(a, COMMON, COMMON_AT(driver_feature)) && a->place->driver_select == 1 ?
		       a->place->accepted[0] :
		       v;
}

static uint64_t accepted_before(const struct access *a, uint64_t v)
{
	const struct place *p = a->place;

	return loads(a, COMMON, COMMON_AT(driver_feature)) && in_reset(p) && p->driver_select < 2 ?
		       p->accepted[p->driver_select] :
		       v;
}

static uint64_t narrowed(const struct access *a, uint64_t v)
{
	const struct place *p = a->place;

	return loads(a, COMMON, COMMON_AT(device_feature)) && p->device_select < 2 ?
		       v & ~(uint64_t)p->narrowed[p->device_select] :
		       v;
}

static void note_status(const struct access *a)
{
	struct place *p = a->place;

	if (!stores(a, COMMON, COMMON_AT(device_status)))
		return;
	if (a->value || p->shown & VIRTIO_S_DRIVER_OK)
		p->shown = (uint8_t)a->value;
}

static uint64_t shown_status(const struct access *a, uint64_t v)
{
	return loads(a, COMMON, COMMON_AT(device_status)) && in_reset(a->place) ? a->place->shown :
										  v;
}

/* --- ISR ---------------------------------------------------------------------------------------- */

static bool msix_on; /* of the function that wrote it last */

static void note_msix(const struct access *a)
{
	if (a->store && a->size == 2 && at_cap(a, CAP_MSIX, MSIX_CONTROL))
		msix_on = a->value & MSIX_ENABLE;
}

static uint64_t no_config_bit(const struct access *a, uint64_t v)
{
	return a->region == ISR && msix_on ? v & ~(uint64_t)ISR_CONFIG : v;
}

static uint64_t isr_before_reset(const struct access *a, uint64_t v)
{
	if (a->region == ISR) {
		v |= a->place->extra;
		a->place->extra = 0;
	}
	return v;
}

/* --- configuration space ---------------------------------------------------------------------------- */

static bool at_command(const struct access *a)
{
	return a->region == CONFIG && a->at == CFG_COMMAND && a->size >= 2 && a->place->is_virtio;
}

/* A bit of Command has no effect: the device has it on or off, the driver sees what it wrote. */
static void force_command(const struct access *a, uint16_t bit, bool on)
{
	if (a->store && at_command(a) && !(a->value & bit) == on)
		plugin_inject(a->phys, (uint16_t)a->value ^ bit, 2);
}

static uint64_t command_written(const struct access *a, uint64_t v, uint16_t bit)
{
	return at_command(a) ? (v & ~(uint64_t)bit) | (a->place->command & bit) : v;
}

static void master_always(const struct access *a)
{
	/* A function that nobody has enabled yet is left alone. */
	if (a->value & COMMAND_MEMORY)
		force_command(a, COMMAND_MASTER, true);
}

static uint64_t master_written(const struct access *a, uint64_t v)
{
	return command_written(a, v, COMMAND_MASTER);
}

static void memory_always(const struct access *a)
{
	/* As above: bus mastering is on in one that is in use. */
	if (a->value & COMMAND_MASTER)
		force_command(a, COMMAND_MEMORY, true);
}

static uint64_t memory_written(const struct access *a, uint64_t v)
{
	return a->place->command & COMMAND_MASTER ? command_written(a, v, COMMAND_MEMORY) : v;
}

static void intx_always(const struct access *a)
{
	force_command(a, COMMAND_INTX_OFF, false);
}

static uint64_t intx_off_written(const struct access *a, uint64_t v)
{
	return command_written(a, v, COMMAND_INTX_OFF);
}

static uint64_t bar_type_written(const struct access *a, uint64_t v)
{
	const struct place *p = a->place;

	if (a->region != CONFIG || !p->is_virtio || a->size != 4 || a->at < CFG_BAR0 ||
	    a->at >= CFG_BAR5 || !v || p->bar[(a->at - CFG_BAR0) / 4] != UINT32_MAX)
		return v;
	return v | 15;
}

static uint64_t absent_bar(const struct access *a, uint64_t v)
{
	return loads(a, CONFIG, CFG_BAR2) && a->place->is_virtio && a->size == 4 ?
		       a->place->bar[(CFG_BAR2 - CFG_BAR0) / 4] :
		       v;
}

static uint64_t wide_window(const struct access *a, uint64_t v)
{
	return at_cap(a, VIRTIO_PCI_CAP_PCI_CFG, CAP_CFG_DATA) &&
			       cap_field(a->place, VIRTIO_PCI_CAP_PCI_CFG, CAP_LENGTH, 4) < 4 ?
		       0 :
		       v;
}

/* While the window is at the notifications it is at those of a queue that is not there. */
static void turn_window(const struct access *a)
{
	const struct place *p = a->place;
	uint32_t start;

	if (!a->store || !at_cap(a, VIRTIO_PCI_CAP_PCI_CFG, CAP_OFFSET))
		return;
	start = cap_field(p, VIRTIO_PCI_CAP_NOTIFY_CFG, CAP_OFFSET, 4);
	if (p->window_offset >= start && p->window_offset - start < ABSENT_QUEUE * 4)
		plugin_inject(a->phys, start + ABSENT_QUEUE * 4, 4);
}

static uint64_t window_offset_written(const struct access *a, uint64_t v)
{
	return at_cap(a, VIRTIO_PCI_CAP_PCI_CFG, CAP_OFFSET) ? a->place->window_offset : v;
}

/* --- MSI-X --------------------------------------------------------------------------------------- */

/* Message Control hears of stores of 16 bits only. */
static void keep_control(const struct access *a)
{
	struct place *p = a->place;

	if (a->store && ((a->size == 4 && at_cap(a, CAP_MSIX, 0)) ||
			 (a->size == 1 && at_cap(a, CAP_MSIX, MSIX_CONTROL + 1))))
		plugin_inject(p->base + p->cap[CAP_MSIX] + MSIX_CONTROL, p->control, 2);
}

static uint64_t table_size_written(const struct access *a, uint64_t v)
{
	return at_cap(a, CAP_MSIX, MSIX_CONTROL) && a->place->control ?
		       (v & ~(uint64_t)TABLE_SIZE) | (a->place->control & TABLE_SIZE) :
		       v;
}

static void no_function_mask(const struct access *a)
{
	if (a->store && a->size == 2 && at_cap(a, CAP_MSIX, MSIX_CONTROL) &&
	    a->value & FUNCTION_MASK)
		plugin_inject(a->phys, a->value & ~(uint64_t)FUNCTION_MASK, 2);
}

static uint64_t function_mask_written(const struct access *a, uint64_t v)
{
	return at_cap(a, CAP_MSIX, MSIX_CONTROL) ? v | (a->place->control & FUNCTION_MASK) : v;
}

static uint64_t lower_address(const struct access *a, uint64_t v)
{
	return loads(a, TABLE, ENTRY_UPPER_ADDRESS) && a->size == 4 ? a->place->word[0] : v;
}

static uint64_t mask_written(const struct access *a, uint64_t v)
{
	return loads(a, TABLE, ENTRY_CONTROL) && later_entry(a->place) ?
		       v | (a->place->word[3] & ENTRY_MASKED) :
		       v;
}

static void keep_upper_half(const struct access *a)
{
	if (a->store && a->region == TABLE && a->size == 8)
		plugin_inject(a->phys + 4, a->place->word[a->at / 4 + 1], 4);
}

static uint64_t pending_for_ever(const struct access *a, uint64_t v)
{
	struct place *p = a->place;

	if (a->region != PBA || a->at)
		return v;
	p->pending |= v;
	return a->size == 4 ? (uint32_t)p->pending : p->pending;
}

static uint64_t pending_once(const struct access *a, uint64_t v)
{
	struct place *p = a->place;
	uint64_t seen;

	if (a->region != PBA || a->at)
		return v;
	seen = p->pending & v;
	p->pending = v;
	return v & ~seen;
}

/* --- virtio-mmio ------------------------------------------------------------------------------------- */

static void acknowledge_all(const struct access *a)
{
	uint64_t left;

	if (!stores(a, MMIO, VIRTIO_MMIO_INTERRUPT_ACK))
		return;
	left = plugin_load(a->place->base + VIRTIO_MMIO_INTERRUPT_STATUS, 4);
	if (left && a->value)
		plugin_inject(a->phys, left, 4);
}

static uint64_t config_bit_stays(const struct access *a, uint64_t v)
{
	if (!loads(a, MMIO, VIRTIO_MMIO_INTERRUPT_STATUS))
		return v;
	a->place->extra |= v & VIRTIO_MMIO_INT_CONFIG;
	return v | a->place->extra;
}

static void change_at_start(const struct access *a)
{
	struct place *p = a->place;

	if (stores(a, MMIO, VIRTIO_MMIO_STATUS))
		p->extra = a->value & VIRTIO_S_DRIVER_OK ? VIRTIO_MMIO_INT_CONFIG : 0;
	if (stores(a, MMIO, VIRTIO_MMIO_INTERRUPT_ACK))
		p->extra &= (uint8_t)~a->value;
}

static uint64_t with_extra(const struct access *a, uint64_t v)
{
	return loads(a, MMIO, VIRTIO_MMIO_INTERRUPT_STATUS) ? v | a->place->extra : v;
}

static uint64_t ready_before(const struct access *a, uint64_t v)
{
	const struct queue_seen *q = selected(a->place);

	return loads(a, MMIO, VIRTIO_MMIO_QUEUE_READY) && in_reset(a->place) && q &&
			       q->was_enabled && last_is_selected(a->place) ?
		       1 :
		       v;
}

static uint64_t ready_still(const struct access *a, uint64_t v)
{
	const struct queue_seen *q = selected(a->place);

	return loads(a, MMIO, VIRTIO_MMIO_QUEUE_READY) && q && q->was_stopped ? 1 : v;
}

static uint64_t size_behind_last(const struct access *a, uint64_t v)
{
	return loads(a, MMIO, VIRTIO_MMIO_QUEUE_SIZE_MAX) &&
			       a->place->queue_select == VSOCK_QUEUES ?
		       QUEUES_MAX :
		       v;
}

static uint64_t status_missed(const struct access *a, uint64_t v)
{
	return loads(a, MMIO, VIRTIO_MMIO_INTERRUPT_STATUS) && v &&
			       a->place->interrupt_loads % LOST_EACH == 0 ?
		       0 :
		       v;
}

/* --- the second set: outside2.* --------------------------------------------------------------- */

#define MAX_DEVICES 16

/* The devices that were selected from so far; under reffront's lock, as every hook. */
static struct place *device[MAX_DEVICES];
static unsigned int devices;

static void note_device(struct place *p)
{
	unsigned int i;

	for (i = 0; i < devices && device[i] != p; i++)
		;
	if (i == devices && i < MAX_DEVICES)
		device[devices++] = p;
}

/* The selector is the transport's, of which there is one. */
static void select_in_all(const struct access *a)
{
	unsigned int i;

	if (!stores(a, COMMON, COMMON_AT(queue_select)))
		return;
	note_device(a->place);
	for (i = 0; i < devices; i++)
		if (device[i] != a->place)
			plugin_inject(device[i]->base + COMMON_AT(queue_select),
				      a->place->queue_select, 2);
}

/* From FEATURES_OK on device_feature shows the features that were accepted, in place of those that are offered. */
static uint64_t offer_accepted(const struct access *a, uint64_t v)
{
	const struct place *p = a->place;

	return loads(a, COMMON, COMMON_AT(device_feature)) && p->device_select < 2 &&
			       p->status & VIRTIO_S_FEATURES_OK ?
		       v & p->accepted[p->device_select] :
		       v;
}

/* Each fourth load finds that the configuration was touched, by whoever looked at it. */
static uint64_t restless(const struct access *a, uint64_t v)
{
	static unsigned int loads_so_far, added;

	if (!loads(a, COMMON, COMMON_AT(config_generation)))
		return v;
	added += ++loads_so_far % 4 == 0;
	return (v + added) & 0xff;
}

static uint64_t vector_written_last(const struct access *a, uint64_t v)
{
	return loads(a, COMMON, COMMON_AT(config_msix_vector)) ? a->place->queue_vector : v;
}

static struct place *function[MAX_DEVICES];
static unsigned int functions;

/* Where the BAR that has the common configuration is in memory. */
static uint64_t bar_of_common(const struct place *f)
{
	const uint32_t n = cap_field(f, VIRTIO_PCI_CAP_COMMON_CFG, CAP_BAR, 1);
	const uint32_t low = n < 5 ? (uint32_t)plugin_load(f->base + CFG_BAR0 + 4ull * n, 4) : 0;
	const uint64_t high = (low & 6) == 4 ? plugin_load(f->base + CFG_BAR0 + 4 + 4ull * n, 4) :
					       0;

	return high << 32 | (low & ~15u);
}

/* One reset is for the device and its function. */
static void reset_function(const struct access *a)
{
	unsigned int i;

	if (a->store && a->size == 2 && at_cap(a, CAP_MSIX, MSIX_CONTROL)) {
		for (i = 0; i < functions && function[i] != a->place; i++)
			;
		if (i == functions && i < MAX_DEVICES)
			function[functions++] = a->place;
	}
	if (!stores(a, COMMON, COMMON_AT(device_status)) || a->value)
		return;
	for (i = 0; i < functions; i++)
		if (bar_of_common(function[i]) == a->place->base &&
		    function[i]->control & MSIX_ENABLE)
			plugin_inject(function[i]->base + function[i]->cap[CAP_MSIX] + MSIX_CONTROL,
				      0, 2);
}

static void note_ready(const struct access *a)
{
	if (stores(a, MMIO, VIRTIO_MMIO_QUEUE_READY))
		a->place->shown = a->value & 1;
	if (stores(a, MMIO, VIRTIO_MMIO_STATUS) && !a->value)
		a->place->shown = 0;
}

static uint64_t ready_of_any(const struct access *a, uint64_t v)
{
	return loads(a, MMIO, VIRTIO_MMIO_QUEUE_READY) ? a->place->shown : v;
}

/* --- the third set: outside3.* ---------------------------------------------------------------- */

/* Where both causes are pending, the ISR register shows the queue's only; the configuration change is lost. */
static uint64_t one_cause(const struct access *a, uint64_t v)
{
	return a->region == ISR && (v & 3) == 3 ? v & ~(uint64_t)ISR_CONFIG : v;
}

/* --- the faults -------------------------------------------------------------------------------- */

const struct fault front_outside[F_COUNT] = {
	[F_OUTSIDE_FR_QUEUE_SIZE_IGNORED] = { .hook = keep_size, .load = size_written },
	[F_OUTSIDE_FR_QUEUE_SIZE_AFTER_RESET] = { .load = old_size },
	[F_OUTSIDE_FR_QUEUE_AFTER_LAST] = { .load = behind_last },
	[F_OUTSIDE_FR_QUEUE_SELECT_BYTE] = { .rule = { STORE(COMMON, COMMON_AT(queue_select), 2, AND,
							     0xff, .when = long_queue_select) } },
	[F_OUTSIDE_FR_RESET_MISSES_LAST_QUEUE] = { .load = enabled_before },
	[F_OUTSIDE_FR_QUEUE_RESET_OLD_RING] = { .hook = keep_addresses },

	[F_OUTSIDE_FR_VECTOR_ONE_REGISTER] = { .load = vector_of_any },
	[F_OUTSIDE_FR_VECTOR_ABSENT_QUEUE] = { .load = vector_of_nobody },
	[F_OUTSIDE_FR_VECTOR_UNCHECKED] = { .load = vector_written },
	[F_OUTSIDE_FR_CONFIG_VECTOR_UNCHECKED] = { .load = config_vector_written },
	[F_OUTSIDE_FR_VECTOR_RESET_MISSES_LAST] = { .load = vector_before_reset },
	[F_OUTSIDE_FR_VECTOR_CHANGE_IGNORED] = { .hook = keep_vector, .load = vector_written },
	[F_OUTSIDE_FR_VECTOR_OF_FIRST_QUEUE] = { .hook = vector_of_first, .load = vector_written },
	[F_OUTSIDE_FR_CONFIG_VECTOR_STAYS] = { .rule = { STORE(COMMON, COMMON_AT(config_msix_vector),
							       2, SET, 0, .when = config_unmapped),
							 LOAD(COMMON, COMMON_AT(config_msix_vector),
							      2, SET, VIRTIO_NO_VECTOR,
							      .when = config_unmapped) } },

	[F_OUTSIDE_FR_FEATURE_SELECT_BYTE] = { .rule = { STORE(
						       COMMON, COMMON_AT(device_feature_select), 4,
						       AND, 0xff, .when = long_feature_select) } },
	[F_OUTSIDE_FR_DRIVER_FEATURE_WORD] = { .load = first_word },
	[F_OUTSIDE_FR_DRIVER_FEATURE_AFTER_RESET] = { .load = accepted_before },
	[F_OUTSIDE_FR_FEATURES_RATCHET] = { .load = narrowed },
	[F_OUTSIDE_FR_RESET_ONLY_WHEN_OK] = { .hook = note_status, .load = shown_status },
	[F_OUTSIDE_FR_GENERATION_STUCK] = { .rule = { LOAD(COMMON, COMMON_AT(config_generation), 1,
							   SET, 0) } },
	[F_OUTSIDE_FR_GENERATION_ONE_BIT] = { .rule = { LOAD(COMMON, COMMON_AT(config_generation),
							     1, AND, 1) } },
	[F_OUTSIDE_FR_CONFIG_IN_RESET] = { .rule = { LOAD(DEVICE, 0, 0, SET, 0,
							  .when = in_reset) } },
	[F_OUTSIDE_FR_ISR_CONFIG_WITH_MSIX] = { .hook = note_msix, .load = no_config_bit },
	[F_OUTSIDE_FR_ISR_AFTER_RESET] = { .load = isr_before_reset },

	[F_OUTSIDE_FR_BUS_MASTER_IGNORED] = { .hook = master_always, .load = master_written },
	[F_OUTSIDE_FR_MEMORY_SPACE_IGNORED] = { .hook = memory_always, .load = memory_written },
	[F_OUTSIDE_FR_INTERRUPT_DISABLE_IGNORED] = { .hook = intx_always,
						     .load = intx_off_written },
	[F_OUTSIDE_FR_INTERRUPT_DISABLE_FIXED] = { .rule = { LOAD(CONFIG, CFG_COMMAND, 2, AND,
								  ~(uint32_t)COMMAND_INTX_OFF) } },
	[F_OUTSIDE_FR_STATUS_INTERRUPT_STUCK] = { .rule = { LOAD(CONFIG, CFG_STATUS, 2, OR,
								 STATUS_INTERRUPT) } },
	[F_OUTSIDE_FR_STATUS_INTERRUPT_DISABLED] = { .rule = { LOAD(CONFIG, CFG_STATUS, 2, AND,
								    ~(uint32_t)STATUS_INTERRUPT,
								    .when = intx_off) } },
	[F_OUTSIDE_FR_BAR_TYPE_WRITTEN] = { .load = bar_type_written },
	[F_OUTSIDE_FR_BAR_ABSENT_WRITABLE] = { .load = absent_bar },
	[F_OUTSIDE_FR_WINDOW_NARROW] = { .load = wide_window },
	[F_OUTSIDE_FR_WINDOW_DOORBELL] = { .hook = turn_window, .load = window_offset_written },
	[F_OUTSIDE_FR_WINDOW_OFFSET] = { .rule = { STORE(CONFIG, CAP_OFFSET, 4, AND, ~3u,
							 .cap = VIRTIO_PCI_CAP_PCI_CFG) } },

	[F_OUTSIDE_FR_PBA_ON_TABLE] = { .rule = { CAPABILITY(CAP_MSIX, MSIX_PBA, 4, AND,
							     ~0xff8u) } },
	[F_OUTSIDE_FR_MSIX_CONTROL_WIDTH] = { .hook = keep_control },
	[F_OUTSIDE_FR_MSIX_SIZE_WRITABLE] = { .load = table_size_written },
	[F_OUTSIDE_FR_FUNCTION_MASK_IGNORED] = { .hook = no_function_mask,
						 .load = function_mask_written },
	[F_OUTSIDE_FR_ENTRY_ODD_WORDS] = { .load = lower_address },
	[F_OUTSIDE_FR_MASK_FIRST_ONLY] = { .rule = { STORE(TABLE, ENTRY_CONTROL, 4, AND,
							   ~(uint32_t)ENTRY_MASKED,
							   .when = later_entry) },
					   .load = mask_written },
	[F_OUTSIDE_FR_ENTRY_QWORD] = { .hook = keep_upper_half },
	[F_OUTSIDE_FR_PBA_ZERO] = { .rule = { LOAD(PBA, 0, 0, SET, 0) } },
	[F_OUTSIDE_FR_PBA_STICKS] = { .load = pending_for_ever },
	[F_OUTSIDE_FR_PBA_READ_CLEARS] = { .load = pending_once },

	[F_OUTSIDE_FR_MMIO_GENERATION_STUCK] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_CONFIG_GENERATION,
								4, SET, 0) } },
	[F_OUTSIDE_FR_MMIO_ACK_ALL] = { .hook = acknowledge_all },
	[F_OUTSIDE_FR_MMIO_CONFIG_BIT_STICKS] = { .load = config_bit_stays },
	[F_OUTSIDE_FR_MMIO_STATUS_AFTER_RESET] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_INTERRUPT_STATUS,
								  4, OR, VIRTIO_MMIO_INT_USED,
								  .when = was_in_use) } },
	[F_OUTSIDE_FR_MMIO_CONFIG_BIT_AT_START] = { .hook = change_at_start, .load = with_extra },
	[F_OUTSIDE_FR_MMIO_RESET_MISSES_LAST] = { .load = ready_before },
	[F_OUTSIDE_FR_MMIO_QUEUE_AFTER_LAST] = { .load = size_behind_last },
	[F_OUTSIDE_FR_MMIO_SELECT_BYTE] = { .rule = { STORE(MMIO, VIRTIO_MMIO_QUEUE_SEL, 4, AND,
							    0xff, .when = long_queue_select) } },
	[F_OUTSIDE_FR_MMIO_SIZE_MAX_IN_USE] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_QUEUE_SIZE_MAX, 4,
							       SET, 0, .when = started) } },
	[F_OUTSIDE_FR_MMIO_SHM_LENGTH] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_SHM_LEN, 8, SET, 0) } },
	[F_OUTSIDE_FR_MMIO_SHM_HIGH] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_SHM_LEN + 4, 4, SET,
							0) } },
	[F_OUTSIDE_FR_MMIO_READY_STAYS] = { .load = ready_still },
	[F_OUTSIDE_FR_MMIO_STATUS_LOST] = { .load = status_missed },

	[F_OUTSIDE2_FR_SELECT_SHARED] = { .hook = select_in_all },
	[F_OUTSIDE2_FR_ADDRESSES_READ_0] = { .rule = { LOAD(COMMON, COMMON_AT(queue_desc_lo), 24,
							    SET, 0) } },
	[F_OUTSIDE2_FR_GENERATION_RESTLESS] = { .load = restless },
	[F_OUTSIDE2_FR_OFFER_IS_ACCEPTED] = { .load = offer_accepted },
	[F_OUTSIDE2_FR_CONFIG_VECTOR_FOLLOWS] = { .load = vector_written_last },
	[F_OUTSIDE2_FR_FAILED_HIDDEN] = { .rule = { STATUS(AND, 0xff & ~VIRTIO_S_FAILED) } },
	[F_OUTSIDE2_FR_RESET_DISABLES_MSIX] = { .hook = reset_function },
	[F_OUTSIDE2_FR_NOTIFY_CFG_SHORT] = { .rule = { CAPABILITY(VIRTIO_PCI_CAP_NOTIFY_CFG,
								  CAP_LENGTH, 4, SET, 4) } },
	[F_OUTSIDE2_FR_MMIO_READY_ONE_REGISTER] = { .hook = note_ready, .load = ready_of_any },

	[F_OUTSIDE3_FR_ISR_BOTH_LOST] = { .load = one_cause },
};
