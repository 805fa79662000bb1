/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The faults of reffront. Beside each stands how a VMM comes to it; host/ref/front/faults says which clause
 * it breaks and which tests have to see it.
 */
#include <stdio.h>
#include <string.h>

#include "host/ref/front/rules.h"

#define VSOCK_SEQPACKET_BIT (1u << 1)	/* 5.10.3 */
#define NOBODY		    0xfeefe000u /* an MSI address: APIC 254, which no machine here has */
#define AFTER		    20 /* waits of the guest until a thread hears of it that nobody has told */
#define CFG_STATUS	    6
#define MASTER_PARITY	    (1u << 8)

/* --- when ---------------------------------------------------------------------------------- */

static bool after_failed(const struct place *p)
{
	return p->status == 0 && p->before_reset & VIRTIO_S_FAILED;
}

/* A reset of a device that was in use. */
static bool was_in_use(const struct place *p)
{
	return p->status == 0 && p->before_reset & VIRTIO_S_DRIVER_OK;
}

static bool in_reset(const struct place *p)
{
	return p->status == 0;
}

static bool has_driver(const struct place *p)
{
	return p->status & VIRTIO_S_DRIVER;
}

static bool before_features_ok(const struct place *p)
{
	return has_driver(p) && !(p->status & VIRTIO_S_FEATURES_OK);
}

static bool started(const struct place *p)
{
	return p->status & VIRTIO_S_DRIVER_OK;
}

static bool not_started(const struct place *p)
{
	return !started(p);
}

static bool worked(const struct place *p)
{
	return started(p) && p->kicks > 2;
}

static bool fifth_time(const struct place *p)
{
	return p->negotiations % 5 == 0;
}

static bool worn_out(const struct place *p)
{
	return p->resets > 30;
}

static bool low_features(const struct place *p)
{
	return p->device_select == 0;
}

static bool low_features_started(const struct place *p)
{
	return low_features(p) && started(p);
}

static bool high_features(const struct place *p)
{
	return p->device_select == 1;
}

static bool beyond_features(const struct place *p)
{
	return p->device_select > 1;
}

static bool unoffered(const struct place *p)
{
	return p->unoffered;
}

static bool seqpacket_accepted(const struct place *p)
{
	return p->accepted[0] & VSOCK_SEQPACKET_BIT;
}

static bool queue_was_reset(const struct place *p)
{
	return p->queue_reset;
}

static bool queue_unmapped(const struct place *p)
{
	return p->queue_vector == VIRTIO_NO_VECTOR;
}

static bool no_such_queue(const struct place *p)
{
	return p->queue_select >= QUEUE_FAR;
}

static bool isr_was_set(const struct place *p)
{
	return p->used_isr;
}

static bool behind_upper_half(const struct place *p)
{
	return p->config_at == 4;
}

static bool now_and_then(const struct place *p)
{
	return p->config_reads % 15 == 0;
}

/* --- what a rule cannot say ------------------------------------------------------------------- */

/*
 * While an entry is masked its message goes to nobody. At the unmasking QEMU sends what is pending, and only
 * then the driver's address is back.
 */
static void lose_pending(const struct access *a)
{
	const struct place *p = a->place;

	if (p->region != TABLE || !a->store)
		return;
	if (a->at == ENTRY_CONTROL || (a->at == ENTRY_ADDRESS && p->word[3] & ENTRY_MASKED))
		plugin_inject(p->base + ENTRY_ADDRESS,
			      p->word[3] & ENTRY_MASKED ? NOBODY : p->word[0], 4);
}

static void acknowledge_by_read(const struct access *a)
{
	if (a->place->region == MMIO && !a->store && a->at == VIRTIO_MMIO_INTERRUPT_STATUS &&
	    a->value)
		plugin_inject(a->place->base + VIRTIO_MMIO_INTERRUPT_ACK, a->value, 4);
}

/* The device starts some waits of the guest after the last queue_enable, unless DRIVER_OK comes first. */
static void start_early(const struct access *a)
{
	if (a->place->region != COMMON || !a->store)
		return;
	if (a->at == COMMON_AT(queue_enable))
		a->place->due = AFTER;
	if (a->at == COMMON_AT(device_status))
		a->place->due = 0;
}

static void start_now(struct place *p)
{
	unsigned int q;

	plugin_inject(p->base + COMMON_AT(device_status), p->status | VIRTIO_S_DRIVER_OK, 1);
	for (q = 0; q < 2; q++)
		plugin_inject(p->base + NOTIFY_OFFSET + (uint64_t)4 * q, q, 2);
}

/* Only the registers know of a queue reset: the queue's thread looks at the ring once more. */
static void run_on(const struct access *a)
{
	struct place *p = a->place;

	if (p->region != COMMON || !a->store || a->at != COMMON_AT(queue_reset))
		return;
	plugin_inject(p->base + COMMON_AT(queue_enable), 1, 2);
	p->due = AFTER;
}

static void look_again(struct place *p)
{
	plugin_inject(p->base + NOTIFY_OFFSET + (uint64_t)4 * p->queue_select, p->queue_select, 2);
}

/* --- the faults -------------------------------------------------------------------------------- */

FAULT_TABLE("reffront");

const struct fault front_faults[F_COUNT] = {
	/* The first reset ends the error, the second one the initialisation. */
	[F_FRONT_FAILED_STICKS] = { .rule = { STATUS(OR, VIRTIO_S_FAILED, .when = after_failed) } },
	/* The back end does not say that it has let go of the queues. */
	[F_FRONT_RESET_UNFINISHED] = { .rule = { STATUS(OR, VIRTIO_S_ACKNOWLEDGE,
							.when = was_in_use) } },
	/* The status is kept as a stage of the initialisation, and shown as one bit. */
	[F_FRONT_STATUS_STAGE] = { .rule = { STATUS(AND, ~(uint32_t)VIRTIO_S_ACKNOWLEDGE,
						    .when = has_driver) } },
	/* An early error is found late. */
	[F_FRONT_NEEDS_RESET] = { .rule = { STATUS(OR, VIRTIO_S_NEEDS_RESET, .when = worked) } },
	/* The driver's features are added to those of the last time before they are compared. */
	[F_FRONT_FEATURES_OK_REFUSED] = { .rule = { STATUS(AND, ~(uint32_t)VIRTIO_S_FEATURES_OK,
							   .when = fifth_time) } },
	/* The back end takes none of the features that the front end offers for it. */
	[F_FRONT_FEATURES_OK_NEVER] = { .rule = { STATUS(AND, ~(uint32_t)VIRTIO_S_FEATURES_OK) } },
	/* The bit was added to what is offered, and not to what is checked. */
	[F_FRONT_SEQPACKET_REFUSED] = { .rule = { STATUS(AND, ~(uint32_t)VIRTIO_S_FEATURES_OK,
							 .when = seqpacket_accepted) } },
	/* The back end is not there when the queues are to start. */
	[F_FRONT_DRIVER_OK_LOST] = { .rule = { STATUS(AND, ~(uint32_t)VIRTIO_S_DRIVER_OK) } },
	/* A queue's event descriptor leaks at each reset, until there is none. */
	[F_FRONT_QUEUE_LEAK] = { .rule = { LOAD(COMMON, COMMON_AT(queue_enable), 2, SET, 0,
						.when = worn_out) } },
	/* What was not accepted is taken from what is offered. */
	[F_FRONT_FEATURES_SHRINK] = { .rule = { FEATURES(AND, ~(1u << VIRTIO_F_EVENT_IDX),
							 .when = low_features_started) } },
	/* The back end gives its configuration only once it has its features. */
	[F_FRONT_CONFIG_LATE] = { .rule = { LOAD(DEVICE, 0, 0, XOR, UINT32_MAX,
						 .when = before_features_ok) } },
	/* The queues are reset when they are used next. */
	[F_FRONT_QUEUE_ENABLED_IN_RESET] = { .rule = { LOAD(COMMON, COMMON_AT(queue_enable), 2, SET,
							    1, .when = in_reset) } },
	/* The back end starts when it has its queues. */
	[F_FRONT_EARLY_START] = { .rule = { STATUS(AND, ~(uint32_t)VIRTIO_S_DRIVER_OK,
						   .when = not_started) },
				  .hook = start_early,
				  .later = start_now },
	/* Offloads are switched one by one in the VMM's options: here without GUEST_CSUM. */
	[F_FRONT_PREREQUISITES] = { .rule = { LOAD(CONFIG, 2, 2, SET,
						   VIRTIO_PCI_MODERN + VIRTIO_ID_NET),
					      FEATURES(AND, ~2u, .when = low_features),
					      FEATURES(OR, 1 << 7, .when = low_features) } },
	/* SUSPEND is offered, and status bits are only kept, as QEMU does. */
	[F_FRONT_SUSPEND_OFFERED] = { .rule = { FEATURES(OR, 1u << (VIRTIO_F_SUSPEND - 32),
							 .when = high_features) } },
	/* A driver that asked for too much is not trusted again. */
	[F_FRONT_UNOFFERED_WEDGES] = { .rule = { STATUS(AND, ~(uint32_t)VIRTIO_S_FEATURES_OK,
							.when = unoffered) } },
	/* The queue is stopped, its registers are left. */
	[F_FRONT_QUEUE_RESET_ENABLED] = { .rule = { LOAD(COMMON, COMMON_AT(queue_enable), 2, SET, 1,
							 .when = queue_was_reset) } },
	[F_FRONT_QUEUE_RESET_PENDING] = { .rule = { LOAD(COMMON, COMMON_AT(queue_reset), 2, SET, 1,
							 .when = queue_was_reset) } },
	/* The queue's thread is not told. */
	[F_FRONT_QUEUE_RESET_RUNS_ON] = { .rule = { LOAD(COMMON, COMMON_AT(queue_enable), 2, SET, 0,
							 .when = queue_was_reset) },
					  .hook = run_on,
					  .later = look_again },

	/* Mask bits are kept, and not looked at. */
	[F_FRONT_MASK_IGNORED] = { .rule = { STORE(TABLE, ENTRY_CONTROL, 4, AND,
						   ~(uint32_t)ENTRY_MASKED) } },
	/* The pending bit is cleared before the message can go. */
	[F_FRONT_PENDING_LOST] = { .hook = lose_pending },
	/* NO_VECTOR is only kept. */
	[F_FRONT_VECTOR_STAYS] = { .rule = { STORE(COMMON, COMMON_AT(queue_msix_vector), 2, SET, 0,
						   .when = queue_unmapped),
					     LOAD(COMMON, COMMON_AT(queue_msix_vector), 2, SET,
						  VIRTIO_NO_VECTOR, .when = queue_unmapped) } },
	/* Configuration changes were thought of as those of the configuration space only. */
	[F_FRONT_CONFIG_VECTOR_LOST] = { .rule = { STORE(COMMON, COMMON_AT(config_msix_vector), 2,
							 SET, VIRTIO_NO_VECTOR),
						   LOAD(COMMON, COMMON_AT(config_msix_vector), 2,
							SET, 0) } },

	/* The id of the transitional device, with a modern one's subsystem. */
	[F_FRONT_TRANSITIONAL_ID] = { .rule = { LOAD(CONFIG, 2, 2, SET, 0x1005) } },
	[F_FRONT_NO_WINDOW] = { .rule = { CAPABILITY(VIRTIO_PCI_CAP_PCI_CFG, CAP_CFG_TYPE, 1, SET,
						     0x7f) } },
	/* pci_cfg_data was forgotten in the length. */
	[F_FRONT_WINDOW_CAP_SHORT] = { .rule = { CAPABILITY(VIRTIO_PCI_CAP_PCI_CFG, CAP_LEN, 1, SET,
							    16) } },
	[F_FRONT_ISR_OUTSIDE] = { .rule = { CAPABILITY(VIRTIO_PCI_CAP_ISR_CFG, CAP_LENGTH, 4, OR,
						       1u << 28) } },
	/* The type of a structure that a later version of the VMM calls otherwise. */
	[F_FRONT_NO_COMMON] = { .rule = { CAPABILITY(VIRTIO_PCI_CAP_COMMON_CFG, CAP_CFG_TYPE, 1,
						     SET, 0x7f) } },
	[F_FRONT_NO_NOTIFY] = { .rule = { CAPABILITY(VIRTIO_PCI_CAP_NOTIFY_CFG, CAP_CFG_TYPE, 1,
						     SET, 0x7f) } },
	[F_FRONT_NO_DEVICE_CONFIG] = { .rule = { CAPABILITY(VIRTIO_PCI_CAP_DEVICE_CFG, CAP_CFG_TYPE,
							    1, SET, 0x7f) } },
	[F_FRONT_COMMON_OUTSIDE] = { .rule = { CAPABILITY(VIRTIO_PCI_CAP_COMMON_CFG, CAP_LENGTH, 4,
							  OR, 1u << 28) } },
	/* The reset waits for a back end that is not there. */
	[F_FRONT_RESET_NEVER] = { .rule = { STATUS(OR, VIRTIO_S_ACKNOWLEDGE, .when = in_reset) } },
	/* The table moved to another BAR, the offset did not. */
	[F_FRONT_MSIX_OUTSIDE] = { .rule = { CAPABILITY(CAP_MSIX, MSIX_TABLE, 4, OR, 1u << 28) } },
	[F_FRONT_MMIO_MAGIC] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_MAGIC_VALUE, 4, SET,
						0x76697274) } },
	[F_FRONT_MMIO_VERSION_3] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_VERSION, 4, SET, 3) } },
	/* A region without a BAR behind it. */
	[F_FRONT_SHARED_MEMORY] = { .rule = { CAPABILITY(VIRTIO_PCI_CAP_PCI_CFG, CAP_CFG_TYPE, 1,
							 SET, VIRTIO_PCI_CAP_SHARED_MEMORY_CFG) } },
	[F_FRONT_VENDOR_DATA] = { .rule = { CAPABILITY(VIRTIO_PCI_CAP_PCI_CFG, CAP_CFG_TYPE, 1, SET,
						       VIRTIO_PCI_CAP_VENDOR_CFG),
					    CAPABILITY(VIRTIO_PCI_CAP_PCI_CFG, CAP_VENDOR_ID, 2,
						       SET, VIRTIO_PCI_VENDOR) } },
	[F_FRONT_NOTIFY_MULTIPLIER] = { .rule = { CAPABILITY(VIRTIO_PCI_CAP_NOTIFY_CFG,
							     CAP_MULTIPLIER, 4, SET, 6) } },
	/* The size is that of the queue selected before. */
	[F_FRONT_QUEUE_SIZE_BEYOND] = { .rule = { LOAD(COMMON, COMMON_AT(queue_size), 2, SET, 128,
						       .when = no_such_queue) } },
	/* Each address is kept in 32 bits. */
	[F_FRONT_QUEUE_HIGH] = { .rule = { STORE(COMMON, COMMON_AT(queue_desc_hi), 4, SET, 0),
					   STORE(COMMON, COMMON_AT(queue_driver_hi), 4, SET, 0),
					   STORE(COMMON, COMMON_AT(queue_device_hi), 4, SET, 0) } },
	/* Only the select register's lowest bit is decoded. */
	[F_FRONT_FEATURE_SELECT] = { .rule = { STORE(COMMON, COMMON_AT(device_feature_select), 4,
						     AND, 1, .when = beyond_features) } },
	[F_FRONT_DRIVER_FEATURE] = { .rule = { LOAD(COMMON, COMMON_AT(driver_feature), 4, SET,
						    0) } },
	/* A 64-bit field is latched by a load of either half. */
	[F_FRONT_CONFIG_LATCH] = { .rule = { LOAD(DEVICE, 0, 4, XOR, UINT32_MAX,
						  .when = behind_upper_half) } },
	[F_FRONT_WINDOW_READS_0] = { .rule = { CAPABILITY(VIRTIO_PCI_CAP_PCI_CFG, CAP_CFG_DATA, 4,
							  SET, 0) } },
	[F_FRONT_MASTER_PARITY] = { .rule = { LOAD(CONFIG, CFG_STATUS, 2, OR, MASTER_PARITY) } },
	/* The data are taken from the capability's bytes, which are not stored there. */
	[F_FRONT_WINDOW_WRITES_0] = { .rule = { STORE(CONFIG, CAP_CFG_DATA, 0, SET, 0,
						      .cap = VIRTIO_PCI_CAP_PCI_CFG) } },
	/* The table's size is a constant, whatever the device has. */
	[F_FRONT_MSIX_SIZE] = { .rule = { CAPABILITY(CAP_MSIX, MSIX_CONTROL, 2, OR, 0x1f) } },
	[F_FRONT_VECTORS_AFTER_RESET] = { .rule = { LOAD(COMMON, COMMON_AT(config_msix_vector), 2,
							 SET, 0, .when = in_reset),
						    LOAD(COMMON, COMMON_AT(queue_msix_vector), 2,
							 SET, 0, .when = in_reset) } },
	[F_FRONT_ISR_STAYS] = { .rule = { LOAD(ISR, 0, 1, OR, 1, .when = isr_was_set) } },
	/* Status.Interrupt (PCI 3.0, 6.2.3), which only polling drivers look at. */
	[F_FRONT_STATUS_INTERRUPT] = { .rule = { LOAD(CONFIG, 6, 2, AND, ~(1u << 3)) } },

	/* Legacy once it is in use: the VMM has one flag for both. */
	[F_FRONT_MMIO_VERSION] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_VERSION, 4, SET, 1,
						  .when = started) } },
	[F_FRONT_MMIO_QUEUE_BEYOND] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_QUEUE_SIZE_MAX, 4, SET,
						       128, .when = no_such_queue) } },
	[F_FRONT_MMIO_READY_IN_RESET] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_QUEUE_READY, 4, SET, 1,
							 .when = in_reset) } },
	/* As the ISR of PCI. */
	[F_FRONT_MMIO_READ_ACKNOWLEDGES] = { .hook = acknowledge_by_read },
	[F_FRONT_MMIO_GENERATION] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_CONFIG, 4, XOR, 1u << 31,
						     .when = now_and_then) } },
	[F_FRONT_MMIO_GENERATION_WRAPS] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_CONFIG_GENERATION, 4,
							   AND, 0xff) } },
	/* The features are those of PCI; there is no QueueReset. As QEMU 11.1's rng. */
	[F_FRONT_MMIO_RING_RESET] = { .rule = { LOAD(MMIO, VIRTIO_MMIO_DEVICE_FEATURES, 4, OR,
						     1u << (VIRTIO_F_RING_RESET - 32),
						     .when = high_features) } },
};
