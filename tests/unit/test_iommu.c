/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drivers/virtio/iommu.h against a device in the same process: what a request has in it (5.13.6), what becomes of an answer
 * that is short, late or none, and who has the buffers for faults.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Its state is private. */
#include "drivers/virtio/iommu.c" /* NOLINT(bugprone-suspicious-include) */
#include "tests/unit/fake_virtio.h"
#include "tests/unit/held_lock.h"

#define V1  VIRTIO_BIT(VIRTIO_F_VERSION_1)
#define OWN VIRTIO_BIT(VIOMMU_F_MAP_UNMAP)
#define ALL (V1 | OWN_FEATURES)

static struct fake_device iommu[3]; /* registered: they stay */
static struct viommu *v;

/* --- the device ------------------------------------------------------------------------------------ */

static struct {
	uint8_t request[VIOMMU_REQ_MAX];
	uint32_t len, room; /* of the last request */
	unsigned int requests;
	uint8_t answer[VIOMMU_REQ_MAX + 4];
	uint32_t written;   /* bytes of the answer */
	uint32_t used;	    /* that it says it wrote */
	uint32_t id;	    /* it adds this to the buffer's */
	unsigned int late;  /* it answers when its status was asked for so many times; 0: at once */
	unsigned int asked; /* for its status */
	bool silent;
} host;

static struct virtio_transport_ops ops;

static void answer(struct fake_device *f)
{
	struct fake_chain c;

	while (fake_pop(f, 0, &c)) {
		host.requests++;
		host.len = fake_copy_out(&c, host.request, sizeof(host.request));
		host.room = c.writable;
		fake_copy_in(&c, host.answer, host.written);
		fake_push(f, 0, c.head + host.id, host.used);
	}
}

static void on_notify(struct fake_device *f, uint16_t queue)
{
	if (queue == 0 && !host.silent && !host.late)
		answer(f);
}

static uint8_t get_status(struct virtio_device *d)
{
	struct fake_device *f = d->transport;

	host.asked++;
	if (host.late && host.asked == host.late)
		answer(f);
	return f->status;
}

static void put(unsigned int at, uint64_t value, unsigned int size)
{
	memcpy(iommu[0].config + at, &value, size);
}

/* A device that offers these, with its configuration; nothing of it is set up. */
static void fresh(uint64_t offered)
{
	(void)virtio_reset(&iommu[0].vdev); /* what is left of before */
	fake_init(&iommu[0], VIRTIO_ID_IOMMU, offered, 2, false);
	ops = *iommu[0].vdev.ops;
	ops.get_status = get_status;
	iommu[0].vdev.ops = &ops;
	iommu[0].on_notify = on_notify;
	memset(&host, 0, sizeof(host));
	host.written = host.used = sizeof(struct viommu_tail);
	put(0, 0xfffffffffffff000, 8);
	put(8, 0x1000, 8);
	put(16, 0x7fffffffff, 8);
	put(24, 3, 4);
	put(28, 0x4000, 4);
	put(32, 0x200, 4);
	put(36, 1, 1);
}

static void start(uint64_t offered)
{
	fresh(offered);
	assert_int_equal(viommu_start(v), 0);
	host.asked = 0;
}

static void stop(void)
{
	viommu_stop(v);
	assert_int_equal(iommu[0].status, 0);
	assert_int_equal(fake_pages_out(), 0);
	assert_int_equal(fake_maps_out(), 0);
}

/* --- which there are, and their configuration ---------------------------------------------------------- */

static void found(void **state)
{
	unsigned int i;

	(void)state;
	assert_null(viommu_get(0));
	for (i = 0; i < 3; i++)
		fake_init(&iommu[i], VIRTIO_ID_IOMMU, ALL, 2, true);
	fake_fail = 1;
	assert_null(viommu_get(0));
	assert_int_equal(fake_fail, 0);
	v = viommu_get(0);
	assert_non_null(v);
	assert_ptr_equal(viommu_get(0), v);
	assert_ptr_equal(viommu_device(v), &iommu[0].vdev);
	assert_ptr_equal(viommu_device(viommu_get(1)), &iommu[1].vdev);
	assert_null(viommu_get(MAX_IOMMUS));
	assert_null(viommu_get(MAX_IOMMUS + 1));
	assert_int_equal(viommu_epoch(v), 0);
}

/* What a feature would tell that is not offered has its whole range. */
static void configuration(void **state)
{
	static const struct {
		uint64_t offered, start, end;
		uint32_t first, last, probe;
		uint8_t bypass;
	} c[] = {
		{ OWN, 0, UINT64_MAX, 0, UINT32_MAX, 0, 0 },
		{ VIRTIO_BIT(VIOMMU_F_INPUT_RANGE), 0x1000, 0x7fffffffff, 0, UINT32_MAX, 0, 0 },
		{ VIRTIO_BIT(VIOMMU_F_DOMAIN_RANGE), 0, UINT64_MAX, 3, 0x4000, 0, 0 },
		{ VIRTIO_BIT(VIOMMU_F_PROBE), 0, UINT64_MAX, 0, UINT32_MAX, 0x200, 0 },
		{ VIRTIO_BIT(VIOMMU_F_BYPASS_CONFIG), 0, UINT64_MAX, 0, UINT32_MAX, 0, 1 },
	};
	struct viommu_config got;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		fresh(V1 | c[i].offered);
		iommu[0].vdev.offered = V1 | c[i].offered;
		/* The last byte is there with its feature only. */
		iommu[0].config_len = c[i].bypass ? 40 : 36;
		assert_int_equal(viommu_config_read(v, &got), 0);
		assert_true(got.page_size_mask == 0xfffffffffffff000);
		assert_true(got.input_start == c[i].start);
		assert_true(got.input_end == c[i].end);
		assert_int_equal(got.domain_start, c[i].first);
		assert_int_equal(got.domain_end, c[i].last);
		assert_int_equal(got.probe_size, c[i].probe);
		assert_int_equal(got.bypass, c[i].bypass);
	}
	iommu[0].config_len = 36;
	memset(&got, 0xee, sizeof(got));
	assert_int_equal(viommu_config_read(v, &got), -ERANGE);
	assert_int_equal(got.probe_size, 0xeeeeeeee);
}

static void bypass(void **state)
{
	(void)state;
	start(ALL & ~VIRTIO_BIT(VIOMMU_F_BYPASS_CONFIG));
	put(35, 0xeeeeee, 3);
	assert_int_equal(viommu_bypass(v, true), -EOPNOTSUPP);
	assert_memory_equal(iommu[0].config + 35, "\xee\xee\xee", 3);
	stop();
	start(ALL);
	put(35, 0xeeeeee, 3);
	assert_int_equal(viommu_bypass(v, true), 0);
	assert_memory_equal(iommu[0].config + 35, "\xee\x01\xee", 3);
	assert_int_equal(viommu_bypass(v, false), 0);
	assert_memory_equal(iommu[0].config + 35, "\xee\x00\xee", 3);
	iommu[0].config_len = 36;
	assert_int_equal(viommu_bypass(v, true), -ERANGE);
	stop();
}

/* --- life ---------------------------------------------------------------------------------------------- */

static void comes_up(void **state)
{
	struct fake_queue *const q = iommu[0].q;
	unsigned int epoch;

	(void)state;
	start(ALL | VIRTIO_BIT(VIOMMU_F_BYPASS) | VIRTIO_BIT(7));
	epoch = viommu_epoch(v);
	assert_true(epoch > 0);
	/* BYPASS is of an older draft, and nobody knows bit 7. */
	assert_true(iommu[0].accepted == ALL);
	assert_int_equal(iommu[0].status, 15);
	assert_int_equal(viommu_config(v)->probe_size, 0x200);
	/* It is polled; of the buffers for faults the device has each, and was told once. */
	assert_int_equal(q[0].avail->flags, 1);
	assert_int_equal(q[1].avail->flags, 1);
	assert_int_equal(q[1].avail->idx, FAULTS);
	assert_int_equal(q[1].notifies, 1);
	assert_int_equal(q[0].notifies, 0);
	/* A lock that a test was ended with is no hindrance. */
	v->lock.taken = true;
	assert_int_equal(viommu_start(v), 0);
	assert_int_equal(viommu_epoch(v), epoch + 1);
	assert_int_equal(viommu_detach(v, 1, 2), 0);
	stop();
	assert_int_equal(viommu_epoch(v), 0);
	assert_int_equal(viommu_detach(v, 1, 2), -ENODEV);
	start(ALL);
	assert_int_equal(viommu_epoch(v), epoch + 2);
	stop();
}

static void expect_down(int ret, int want)
{
	assert_int_equal(ret, want);
	assert_int_equal(iommu[0].status, 0);
	assert_int_equal(viommu_epoch(v), 0);
	assert_int_equal(viommu_detach(v, 1, 2), -ENODEV);
	assert_int_equal(host.requests, 0);
	assert_int_equal(fake_pages_out(), 0);
}

static void stays_down(void **state)
{
	(void)state;
	fresh(ALL & ~OWN);
	expect_down(viommu_start(v), -ENOTSUP);
	assert_non_null(strstr(viommu_device(v)->error, "MAP_UNMAP is not offered"));
	fresh(ALL);
	iommu[0].refuse_features_ok = true;
	expect_down(viommu_start(v), -EINVAL);
	fresh(ALL);
	iommu[0].config_len = 8;
	expect_down(viommu_start(v), -ERANGE);
	fresh(ALL);
	iommu[0].q[1].max = 0;
	expect_down(viommu_start(v), -ENODEV);
	fresh(ALL);
	iommu[0].refuse_driver_ok = true;
	expect_down(viommu_start(v), -EIO);
	/* Also what was up before. */
	start(ALL);
	iommu[0].refuse_driver_ok = true;
	expect_down(viommu_start(v), -EIO);
}

/* --- requests -------------------------------------------------------------------------------------------- */

static void expect_request(const void *bytes, uint32_t len)
{
	assert_int_equal(host.len, len);
	assert_memory_equal(host.request, bytes, len);
	assert_int_equal(host.room, sizeof(struct viommu_tail));
}

/* 5.13.6: little-endian numbers, what is reserved is 0. */
static void wire(void **state)
{
	static const uint8_t attach[] = { 1,	0,    0,    0,	  0x44, 0x33, 0x22,
					  0x11, 0x88, 0x77, 0x66, 0x55, 0xcc, 0xbb,
					  0xaa, 0x99, 0,    0,	  0,	0 };
	static const uint8_t detach[] = { 2,	0,    0, 0, 0x44, 0x33, 0x22, 0x11, 0x88, 0x77,
					  0x66, 0x55, 0, 0, 0,	  0,	0,    0,    0,	  0 };
	static const uint8_t map[] = { 3,    0,	   0, 0, 0x44, 0x33, 0x22, 0x11, 0,    0x10, 0, 0,
				       0x01, 0,	   0, 0, 0xff, 0x2f, 0,	   0,	 0x02, 0,    0, 0,
				       0,    0x40, 0, 0, 0x03, 0,    0,	   0,	 5,    0,    0, 0 };
	static const uint8_t unmap[] = { 4,    0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0, 0x10,
					 0,    0, 1, 0, 0,    0,    0xff, 0x2f, 0, 0,
					 0x02, 0, 0, 0, 0,    0,    0,	  0 };
	unsigned int i;

	(void)state;
	start(ALL);
	assert_int_equal(viommu_attach(v, 0x11223344, 0x55667788, 0x99aabbcc), VIOMMU_S_OK);
	expect_request(attach, sizeof(attach));
	assert_int_equal(viommu_detach(v, 0x11223344, 0x55667788), VIOMMU_S_OK);
	expect_request(detach, sizeof(detach));
	assert_int_equal(viommu_map(v, 0x11223344, 0x100001000, 0x200002fff, 0x300004000, 5),
			 VIOMMU_S_OK);
	expect_request(map, sizeof(map));
	assert_int_equal(viommu_unmap(v, 0x11223344, 0x100001000, 0x200002fff), VIOMMU_S_OK);
	expect_request(unmap, sizeof(unmap));
	assert_int_equal(host.requests, 4);
	/* An answer in time costs no look at the status. */
	assert_int_equal(host.asked, 0);
	for (i = 0; i < 256; i++) {
		host.answer[0] = (uint8_t)i;
		assert_int_equal(viommu_unmap(v, 1, 0, 0xfff), i);
	}
	/* More of them than the queue has room for. */
	assert_int_equal(host.requests, 260);
	host.used = 0;
	assert_int_equal(viommu_unmap(v, 1, 0, 0xfff), -EIO);
	host.used = 1;
	assert_int_equal(viommu_unmap(v, 1, 0, 0xfff), 255);
	stop();
}

static void any_request(void **state)
{
	static uint8_t req[VIOMMU_REQ_MAX + 1], in[sizeof(v->in) + 1];
	uint32_t used = 77;
	unsigned int i;

	(void)state;
	start(ALL);
	for (i = 0; i < sizeof(req); i++)
		req[i] = (uint8_t)(i * 5 + 1);
	for (i = 0; i < sizeof(host.answer); i++)
		host.answer[i] = (uint8_t)(i * 3 + 7);
	assert_int_equal(viommu_request(v, req, VIOMMU_REQ_MAX + 1, in, 4, &used), -EINVAL);
	assert_int_equal(viommu_request(v, req, 4, in, sizeof(v->in) + 1, &used), -EINVAL);
	assert_int_equal(host.requests, 0);
	host.written = host.used = sizeof(host.answer);
	assert_int_equal(viommu_request(v, req, VIOMMU_REQ_MAX, in, sizeof(v->in), &used), 0);
	assert_int_equal(used, VIOMMU_REQ_MAX + 4);
	assert_int_equal(host.len, VIOMMU_REQ_MAX);
	assert_memory_equal(host.request, req, VIOMMU_REQ_MAX);
	assert_memory_equal(in, host.answer, sizeof(host.answer));
	/* What the device did not write is told from what it wrote; nothing else of the caller's changes. */
	memset(in, 0x11, sizeof(in));
	host.written = host.used = 5;
	assert_int_equal(viommu_request(v, req, 1, in, 8, &used), 0);
	assert_int_equal(used, 5);
	assert_int_equal(host.len, 1);
	assert_int_equal(host.room, 8);
	assert_memory_equal(in, host.answer, 5);
	assert_memory_equal(in + 5, "\xa5\xa5\xa5\x11", 4);
	/* A request without an answer has no writable part. */
	host.written = host.used = 0;
	assert_int_equal(viommu_request(v, req, 9, in, 0, &used), 0);
	assert_int_equal(used, 0);
	assert_int_equal(host.len, 9);
	assert_int_equal(host.room, 0);
	stop();
}

/* Virtual time that the call takes, in ms; a look at the clock is one. */
#define took(call)                                                                                 \
	({                                                                                         \
		const uint64_t before_ = time_now();                                               \
		call;                                                                              \
		(time_now() - before_) / MSEC;                                                     \
	})

static void slow_answers(void **state)
{
	const uint64_t step = fake_time_step;
	struct viommu_tail tail = { 0 };
	uint32_t used = 77;
	uint64_t ms;

	(void)state;
	fake_time_step = MSEC;
	start(ALL);
	host.late = 3; /* it is asked for NEEDS_RESET meanwhile */
	ms = took(assert_int_equal(viommu_detach(v, 1, 2), 0));
	assert_in_range(ms, 9, 20); /* of which the first five without a look */
	assert_int_equal(host.asked, 3);
	host.late = 0;
	host.silent = true;
	ms = took(assert_int_equal(viommu_request(v, &tail, 4, &tail, 4, &used), -ETIMEDOUT));
	assert_int_equal(used, 0);
	assert_in_range(ms, 2000, 2020);
	/* The buffer is the device's: nothing goes on. */
	host.silent = false;
	assert_int_equal(viommu_epoch(v), 0);
	assert_int_equal(viommu_detach(v, 1, 2), -ENODEV);
	start(ALL);
	fake_sec = 3 * SEC;
	host.silent = true;
	ms = took(assert_int_equal(viommu_detach(v, 1, 2), -ETIMEDOUT));
	assert_in_range(ms, 6000, 6020);
	fake_sec = SEC;
	start(ALL);
	v->lock.taken = true;
	ms = took(assert_int_equal(viommu_detach(v, 1, 2), -EBUSY));
	assert_in_range(ms, 4000, 4010);
	assert_int_equal(host.requests, 0);
	v->lock.taken = false;
	assert_int_equal(viommu_detach(v, 1, 2), 0);
	stop();
	fake_time_step = step;
}

static void broken_answers(void **state)
{
	(void)state;
	start(ALL);
	host.id = 7;
	assert_int_equal(viommu_detach(v, 1, 2), -EPROTO);
	assert_int_equal(viommu_detach(v, 1, 2), -ENODEV);
	start(ALL);
	host.id = 7;
	host.late = 1;
	assert_int_equal(viommu_detach(v, 1, 2), -EPROTO);
	start(ALL);
	host.silent = true;
	iommu[0].status |= VIRTIO_S_NEEDS_RESET;
	assert_int_equal(viommu_detach(v, 1, 2), -EPROTO);
	assert_in_range(host.asked, 1, 3);
	start(ALL);
	fake_fail = 1;
	assert_int_equal(viommu_detach(v, 1, 2), -EIO);
	assert_int_equal(host.requests, 0);
	stop();
}

static void probe(void **state)
{
	static uint8_t properties[VIOMMU_REQ_MAX + 4];
	static const uint8_t request[72] = { 5, 0, 0, 0, 0x88, 0x77, 0x66, 0x55 };
	unsigned int i;

	(void)state;
	start(ALL & ~VIRTIO_BIT(VIOMMU_F_PROBE));
	assert_int_equal(viommu_probe(v, 1, properties), VIOMMU_S_UNSUPP);
	assert_int_equal(host.requests, 0);
	stop();
	fresh(ALL);
	put(32, 12, 4);
	assert_int_equal(viommu_start(v), 0);
	for (i = 0; i < 16; i++)
		host.answer[i] = (uint8_t)(i + 1);
	host.written = host.used = 16;
	assert_int_equal(viommu_probe(v, 0x55667788, properties), 13);
	assert_int_equal(host.len, sizeof(request));
	assert_memory_equal(host.request, request, sizeof(request));
	assert_int_equal(host.room, 16);
	assert_memory_equal(properties, host.answer, 12);
	assert_int_equal(properties[12], 0);
	host.used = 0;
	assert_int_equal(viommu_probe(v, 1, properties), -EIO);
	memset(properties, 0, sizeof(properties));
	fake_fail = 1;
	assert_int_equal(viommu_probe(v, 1, properties), -ENOMEM);
	host.id = 7;
	assert_int_equal(viommu_probe(v, 1, properties), -EPROTO);
	assert_int_equal(properties[0], 0);
	fresh(ALL);
	put(32, VIOMMU_REQ_MAX + 1, 4);
	assert_int_equal(viommu_start(v), 0);
	assert_int_equal(viommu_probe(v, 1, properties), -EINVAL);
	assert_int_equal(host.requests, 0);
	stop();
	fresh(ALL);
	put(32, VIOMMU_REQ_MAX, 4);
	assert_int_equal(viommu_start(v), 0);
	host.written = host.used = VIOMMU_REQ_MAX + 4;
	assert_int_equal(viommu_probe(v, 1, properties), 0);
	assert_int_equal(host.room, VIOMMU_REQ_MAX + 4);
	stop();
}

static size_t property(uint8_t *p, size_t at, uint16_t type, uint16_t length)
{
	memcpy(p + at, &type, 2);
	memcpy(p + at + 2, &length, 2);
	return at + 4 + length;
}

static void reserved_regions(void **state)
{
	uint8_t p[200] = { 0 };
	size_t end, at = 0, i;

	(void)state;
	assert_null(viommu_resv_next(p, sizeof(p), &at));
	/* Others are skipped, also those that are too short; the four upper bits say nothing. */
	end = property(p, 0, 2, 8);
	end = property(p, end, VIOMMU_PROBE_T_RESV_MEM, 20);
	end = property(p, end, VIOMMU_PROBE_T_RESV_MEM, 19);
	end = property(p, end, 0xfff, 0);
	end = property(p, end, 0x3000 | VIOMMU_PROBE_T_RESV_MEM, 28);
	end = property(p, end, 0xf000, 20); /* type 0: the last */
	property(p, end, VIOMMU_PROBE_T_RESV_MEM, 20);
	at = 0;
	assert_ptr_equal(viommu_resv_next(p, sizeof(p), &at), p + 12);
	assert_int_equal(at, 36);
	assert_ptr_equal(viommu_resv_next(p, sizeof(p), &at), p + 63);
	assert_int_equal(at, 95);
	assert_null(viommu_resv_next(p, sizeof(p), &at));
	/* One that does not fit is none. */
	for (i = 0; i <= 36; i++) {
		at = 0;
		assert_true(!viommu_resv_next(p, i, &at) == (i < 36));
	}
}

/* --- faults --------------------------------------------------------------------------------------------- */

static unsigned int posted(void)
{
	return le16_to_cpu(iommu[0].q[1].avail->idx);
}

static void report(const char *bytes, uint32_t len)
{
	struct fake_chain c;

	assert_true(fake_pop(&iommu[0], 1, &c));
	assert_int_equal(c.writable, FAULT_BYTES);
	assert_int_equal(c.n, 1);
	fake_copy_in(&c, bytes, len);
	fake_push(&iommu[0], 1, c.head, len);
}

static void faults(void **state)
{
	struct viommu_fault f = { 0 };
	uint32_t len = 77;
	unsigned int i;

	(void)state;
	start(ALL);
	assert_int_equal(viommu_fault_get(v, &f, &len), 0);
	assert_int_equal(len, 77);
	/* Each buffer once and twice: it comes back, with nothing in it of the report before. */
	for (i = 0; i < 2 * FAULTS; i++) {
		report("0123456789abcdefghijklmnopqrstuv", i < FAULTS ? 30 : 3);
		assert_int_equal(viommu_fault_get(v, &f, &len), 1);
		assert_int_equal(len, i < FAULTS ? 30 : 3);
		assert_int_equal(f.reason, '0');
		assert_memory_equal(&f.endpoint, i < FAULTS ? "89ab" : "\0\0\0\0", 4);
		assert_memory_equal(&f.address, i < FAULTS ? "ghijklmn" : "\0\0\0\0\0\0\0\0", 8);
		assert_int_equal(posted(), FAULTS + i + 1);
		assert_int_equal(iommu[0].q[1].notifies, i + 2);
		assert_int_equal(viommu_fault_get(v, &f, &len), 0);
	}
	hold(&v->lock);
	assert_int_equal(viommu_fault_get(v, &f, &len), 0);
	expect_waited();
	fake_push(&iommu[0], 1, 7000, 3);
	assert_int_equal(viommu_fault_get(v, &f, &len), -EPROTO);
	stop();
	assert_int_equal(viommu_fault_get(v, &f, &len), 0);
}

static void room_for_faults(void **state)
{
	struct viommu_fault f = { 0 };
	uint32_t len;
	unsigned int i;

	(void)state;
	start(ALL);
	viommu_fault_room(v, 2);
	for (i = 0; i < FAULTS; i++) {
		report("01234567", 8);
		assert_int_equal(viommu_fault_get(v, &f, &len), 1);
		assert_int_equal(posted(), FAULTS + (i < FAULTS - 2 ? 0 : i - (FAULTS - 3)));
	}
	viommu_fault_room(v, 5);
	assert_int_equal(posted(), FAULTS + 2 + 3);
	viommu_fault_room(v, FAULTS + 1);
	assert_int_equal(v->room, FAULTS);
	assert_int_equal(posted(), FAULTS + 2 + FAULTS - 2);
	viommu_fault_room(v, FAULTS - 1);
	assert_int_equal(v->room, FAULTS - 1);
	hold(&v->lock);
	viommu_fault_room(v, 0);
	expect_waited();
	stop();
	viommu_fault_room(v, 3); /* it is not up, and gets none */
	/* A start gives all, as far as they can be mapped. */
	fresh(ALL);
	assert_int_equal(viommu_start(v), 0);
	assert_int_equal(posted(), FAULTS);
	viommu_fault_room(v, 10);
	for (i = 0; i < FAULTS; i++) {
		report("01234567", 8);
		if (i == FAULTS - 10)
			fake_fail = 1;
		assert_int_equal(viommu_fault_get(v, &f, &len), 1);
		assert_int_equal(posted(), FAULTS + (i < FAULTS - 9 ? 0 : i - (FAULTS - 11)));
	}
	stop();
}

static void status_names(void **state)
{
	static const char *const names[] = { "OK",    "IOERR", "UNSUPP", "DEVERR", "INVAL",
					     "RANGE", "NOENT", "FAULT",	 "NOMEM" };
	int i;

	(void)state;
	for (i = 0; i < 9; i++)
		assert_string_equal(viommu_status_name(i), names[i]);
	assert_string_equal(viommu_status_name(9), "an unknown status");
	assert_string_equal(viommu_status_name(255), "an unknown status");
	assert_string_equal(viommu_status_name(-EIO), "no status");
	assert_string_equal(viommu_status_name(-ETIMEDOUT), "timed out");
	assert_string_equal(viommu_status_name(-1), "not permitted");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found),
		cmocka_unit_test(configuration),
		cmocka_unit_test(bypass),
		cmocka_unit_test(comes_up),
		cmocka_unit_test(stays_down),
		cmocka_unit_test(wire),
		cmocka_unit_test(any_request),
		cmocka_unit_test(slow_answers),
		cmocka_unit_test(broken_answers),
		cmocka_unit_test(probe),
		cmocka_unit_test(reserved_regions),
		cmocka_unit_test(faults),
		cmocka_unit_test(room_for_faults),
		cmocka_unit_test(status_names),
	};

	return cmocka_run_group_tests_name("iommu", tests, NULL, NULL);
}
