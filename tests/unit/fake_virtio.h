/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device in the same process: a transport without hardware, and the
 * device's side of the split ring, obedient or not. For unit tests and fuzzers.
 * fake_virtio.c also stands in for the parts of lib/ that need a machine.
 */
#ifndef TESTS_UNIT_FAKE_VIRTIO_H
#define TESTS_UNIT_FAKE_VIRTIO_H

#include "drivers/virtio/split.h"
#include "drivers/virtio/virtio.h"
#include "drivers/virtio/virtqueue.h"

#define FAKE_MAX_SEGS 64

/* What a ring of a device may be whose side fake_take() and fake_use() play. */
#define FAKE_RING_FEATURES (VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_EVENT_IDX))

struct fake_queue {
	uint16_t max; /* 0: does not exist */
	uint16_t size;
	bool enabled;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t last_avail;
	unsigned int notifies;
	uint32_t notify_data; /* of the last one */
};

struct fake_device {
	struct virtio_device vdev;
	uint8_t status;
	uint64_t offered, accepted;
	uint8_t config[256];
	uint32_t config_len, generation;
	struct fake_queue q[VIRTIO_MAX_QUEUES];
	/* Called after each notification; may answer at once. */
	void (*on_notify)(struct fake_device *f, uint16_t queue);
	void *arg;
	/* Misbehaviour. */
	bool refuse_features_ok, refuse_driver_ok, refuse_enable;
	bool drop_driver_ok;	       /* it does not stick, and nothing else is wrong */
	unsigned int slow_reset;       /* status reads that are not 0 yet */
	bool never_resets;	       /* the status never gets 0 */
	unsigned int torn_reads;       /* config reads after which the generation moves on */
	enum virtio_irq_mode best_irq; /* irq_setup() refuses better ones */
	/* What the driver did: status bytes written, in order. */
	uint8_t status_log[64];
	unsigned int num_status;
	unsigned int teardowns;
	int irq_asked; /* the mode that irq_setup() was asked for last */
	unsigned int resetting;
};

/* id, features and queues (`queues` of 64 entries); registers it if add is set. */
void fake_init(struct fake_device *f, uint32_t id, uint64_t offered, unsigned int queues, bool add);

/* One buffer as the device sees it. */
struct fake_chain {
	uint16_t head;
	unsigned int n;
	bool indirect;
	struct {
		uint8_t *p;
		uint32_t len;
		bool write;
	} seg[FAKE_MAX_SEGS];
	uint32_t readable, writable; /* bytes */
};

/* Takes the next available buffer. false: none. */
bool fake_pop(struct fake_device *f, uint16_t queue, struct fake_chain *c);
/* Puts a used element and moves idx; nothing is checked. */
void fake_push(struct fake_device *f, uint16_t queue, uint32_t id, uint32_t len);
/* Copies from the readable, or to the writable segments; bytes copied. */
uint32_t fake_copy_out(const struct fake_chain *c, void *buf, uint32_t len);
uint32_t fake_copy_in(const struct fake_chain *c, const void *buf, uint32_t len);

/* Bytes of pages that lib/mem.h gave out and has not got back; buffers mapped for DMA. */
size_t fake_pages_out(void);
/* Pages that were given up for good (mem_keep()). */
size_t fake_pages_kept(void);
long fake_maps_out(void);
/* Bytes that the driver took over from the device since it was asked. */
size_t fake_synced(void);
/* The how-manieth allocation or mapping from now on fails; 0: none. */
extern unsigned int fake_fail;
/* Devices that are attached from now on must come through a back end of DMA. */
extern bool fake_restricted;
/* The value of any command-line key that is asked for; NULL: none is given. */
extern const char *fake_cmdline_key, *fake_cmdline_value;
/* The last line of the environment block: "KEY: VALUE". */
extern char fake_env[512];
/* The clock moves by this much with each look at it, ns. */
extern uint64_t fake_time_step;
extern uint64_t fake_sec; /* what time_sec() answers */

#endif
