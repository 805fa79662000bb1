/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drivers/virtio/iommu_ops.c over virtio-iommus that answer what they are told to: each request that it makes of a call,
 * what it makes of statuses, reserved ranges and fault reports, and that bypass is off while it is up and as before
 * afterwards. The list that iommu_get() shows is drivers/iommu/iommu.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/iommu/iommu.h"
#include "drivers/virtio/iommu.h"
#include "drivers/virtio/iommu_ops.h"
#include "drivers/virtio/viot.h"
#include "lib/init.h"

/* --- the devices --------------------------------------------------------------------------------------- */

struct viommu {
	struct virtio_device d;
	bool up;
	unsigned int epoch;
	struct viommu_config found, config; /* in the device; as the driver read it */
};

/* The adapter has room for two. */
static struct viommu viommu[3];

static struct {
	char calls[256];
	int start, bypass, status, probe, fault; /* what is answered */
	struct viommu_fault report;
	uint32_t len; /* of the report */
	unsigned int properties;
	struct viommu_resv_mem property[3];
	struct viommu *by; /* whose endpoint each device is, NULL: nobody's */
} host;

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	const size_t n = strlen(host.calls);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(host.calls + n, sizeof(host.calls) - n, fmt, ap);
	va_end(ap);
	strncat(host.calls, ";", sizeof(host.calls) - strlen(host.calls) - 1);
}

static void expect_calls(const char *want)
{
	assert_string_equal(host.calls, want);
	host.calls[0] = '\0';
}

static unsigned int number_of(const struct viommu *v)
{
	assert_true(v >= viommu && v < viommu + 3);
	return (unsigned int)(v - viommu);
}

struct viommu *viommu_get(unsigned int n)
{
	return n < 3 ? &viommu[n] : NULL;
}

struct virtio_device *viommu_device(struct viommu *v)
{
	return &v->d;
}

const struct viommu_config *viommu_config(const struct viommu *v)
{
	return &v->config;
}

int viommu_start(struct viommu *v)
{
	note("start %u", number_of(v));
	v->up = false;
	if (host.start)
		return host.start;
	v->config = v->found;
	v->up = true;
	v->epoch++;
	return 0;
}

unsigned int viommu_epoch(const struct viommu *v)
{
	return v->up ? v->epoch : 0;
}

void viommu_stop(struct viommu *v)
{
	note("stop %u", number_of(v));
	v->up = false;
}

int viommu_bypass(struct viommu *v, bool on)
{
	note("bypass %u %d", number_of(v), on);
	if (host.bypass)
		return host.bypass;
	assert_true(v->up);
	v->found.bypass = on;
	return 0;
}

int viommu_attach(struct viommu *v, uint32_t domain, uint32_t endpoint, uint32_t flags)
{
	note("attach %u %x %x %x", number_of(v), domain, endpoint, flags);
	return host.status;
}

int viommu_detach(struct viommu *v, uint32_t domain, uint32_t endpoint)
{
	note("detach %u %x %x", number_of(v), domain, endpoint);
	return host.status;
}

int viommu_map(struct viommu *v, uint32_t domain, uint64_t start, uint64_t end, uint64_t phys,
	       uint32_t flags)
{
	note("map %u %x %llx %llx %llx %x", number_of(v), domain, (unsigned long long)start,
	     (unsigned long long)end, (unsigned long long)phys, flags);
	return host.status;
}

int viommu_unmap(struct viommu *v, uint32_t domain, uint64_t start, uint64_t end)
{
	note("unmap %u %x %llx %llx", number_of(v), domain, (unsigned long long)start,
	     (unsigned long long)end);
	return host.status;
}

/* Its ranges are there whatever it answers: nobody may read them where that is no OK. */
int viommu_probe(struct viommu *v, uint32_t endpoint, uint8_t *properties)
{
	note("probe %u %x", number_of(v), endpoint);
	memcpy(properties, host.property, sizeof(host.property));
	return host.probe;
}

const struct viommu_resv_mem *viommu_resv_next(const uint8_t *properties, size_t n, size_t *at)
{
	assert_int_equal(n, sizeof(host.property));
	if (*at == host.properties * sizeof(host.property[0]))
		return NULL;
	*at += sizeof(host.property[0]);
	return (const void *)(properties + *at - sizeof(host.property[0]));
}

int viommu_fault_get(struct viommu *v, struct viommu_fault *f, uint32_t *len)
{
	note("fault %u", number_of(v));
	*f = host.report;
	*len = host.len;
	return host.fault;
}

bool viot_endpoint(const struct device *d, struct viommu **v, uint32_t *endpoint)
{
	*v = host.by;
	*endpoint = d->requester + 0x5000u;
	return host.by != NULL;
}

const struct dma_ops dma_direct_ops;

int dma_push(struct device *d, const struct dma_ops *ops, void *priv)
{
	(void)d;
	(void)ops;
	(void)priv;
	return 0;
}

/* --- fixture ------------------------------------------------------------------------------------------- */

extern const init_fn __start_assay_init[], __stop_assay_init[];

#define OFFERED VIRTIO_BIT(VIOMMU_F_BYPASS_CONFIG)

static struct iommu *m;

/* The adapter keeps what it knows of a device: each test begins with one that was stopped. */
static int setup(void **state)
{
	unsigned int i;

	(void)state;
	m = iommu_get(0);
	assert_non_null(m);
	m->ops->stop(m);
	m->error = NULL;
	memset(&m->limits, 0, sizeof(m->limits));
	memset(&host, 0, sizeof(host));
	memset(viommu, 0, sizeof(viommu));
	for (i = 0; i < 3; i++) {
		struct viommu *v = &viommu[i];

		device_init_pci(&v->d.dev, 0, (uint16_t)(0x0110 + 8 * i));
		v->d.accepted = OFFERED;
		v->found = (struct viommu_config){ .page_size_mask = 0xfffff000 + i,
						   .input_start = 0x1000,
						   .input_end = 0xffffffffffff,
						   .domain_start = 3,
						   .domain_end = 0xfffffffe,
						   .probe_size = sizeof(host.property),
						   .bypass = 1 };
	}
	return 0;
}

static int setup_up(void **state)
{
	setup(state);
	assert_int_equal(m->ops->start(m), 0);
	host.calls[0] = '\0';
	return 0;
}

/* --- which there are --------------------------------------------------------------------------------------- */

static struct iommu others[2];

static struct iommu *get_other(unsigned int n)
{
	return n < 2 ? &others[n] : NULL;
}

static struct iommu *get_none(unsigned int n)
{
	(void)n;
	return NULL;
}

static void finds(void **state)
{
	static struct iommu_driver other = { .get = get_other }, none = { .get = get_none };
	struct iommu *second = iommu_get(1);
	unsigned int i, seen = 0;

	(void)state;
	assert_string_equal(m->ops->kind, "virtio-iommu");
	assert_string_equal(m->name, "virtio-iommu pci 01:02.0");
	assert_string_equal(second->name, "virtio-iommu pci 01:03.0");
	assert_null(iommu_get(2));
	assert_ptr_equal(viommu_iommu(&viommu[0]), m);
	assert_ptr_equal(viommu_iommu(&viommu[1]), second);
	assert_null(viommu_iommu(&viommu[2]));
	/* Each of several drivers, one that has none in the middle: all are there once, and none past the last. */
	iommu_driver_add(&none);
	iommu_driver_add(&other);
	for (i = 0; i < 4; i++) {
		const struct iommu *p = iommu_get(i);

		seen |= p == m		? 1u :
			p == second	? 2u :
			p == &others[0] ? 4u :
			p == &others[1] ? 8u :
					  0u;
	}
	assert_int_equal(seen, 15);
	assert_null(iommu_get(4));
	assert_null(iommu_get(5));
}

static void endpoints(void **state)
{
	struct iommu *second = viommu_iommu(&viommu[1]);
	struct device d;
	uint32_t id = 0;

	(void)state;
	device_init_pci(&d, 0, 0x0218);
	assert_false(m->ops->endpoint(m, &d, &id));
	assert_false(second->ops->endpoint(second, &d, &id));
	host.by = &viommu[1];
	assert_false(m->ops->endpoint(m, &d, &id));
	assert_true(second->ops->endpoint(second, &d, &id));
	assert_int_equal(id, 0x5218);
	host.by = &viommu[0];
	assert_true(m->ops->endpoint(m, &d, &id));
	/* It was not brought up for that. */
	expect_calls("");
}

/* --- life -------------------------------------------------------------------------------------------------- */

static void starts(void **state)
{
	struct iommu *second = viommu_iommu(&viommu[1]);

	(void)state;
	assert_int_equal(m->ops->epoch(m), 0);
	m->ops->lasting(m);
	assert_true(viommu[0].d.dev.lasting);
	assert_false(viommu[1].d.dev.lasting);
	assert_int_equal(m->ops->start(m), 0);
	expect_calls("start 0;bypass 0 0;");
	assert_int_equal(m->ops->epoch(m), 1);
	assert_int_equal(second->ops->epoch(second), 0);
	assert_true(m->limits.page_sizes == 0xfffff000);
	assert_true(m->limits.first == 0x1000);
	assert_true(m->limits.last == 0xffffffffffff);
	assert_int_equal(m->limits.domain_first, 3);
	assert_int_equal(m->limits.domain_last, 0xfffffffe);
	/* Once more, with another configuration: limits are those of the last start. */
	viommu[0].found.input_start = 0x3000;
	assert_int_equal(m->ops->start(m), 0);
	assert_int_equal(m->ops->epoch(m), 2);
	assert_true(m->limits.first == 0x3000);
	m->ops->stop(m);
	assert_int_equal(m->ops->epoch(m), 0);
	host.calls[0] = '\0';
	assert_int_equal(second->ops->start(second), 0);
	assert_true(second->limits.page_sizes == 0xfffff001);
	second->ops->stop(second);
	expect_calls("start 1;bypass 1 0;bypass 1 1;stop 1;");
}

/* Bypass is written while the device is up, since nobody knows its features before and after. */
static void bypass(void **state)
{
	(void)state;
	assert_int_equal(m->ops->start(m), 0);
	assert_int_equal(viommu[0].found.bypass, 0);
	/* What another start finds is our own. */
	assert_int_equal(m->ops->start(m), 0);
	host.calls[0] = '\0';
	m->ops->stop(m);
	expect_calls("bypass 0 1;stop 0;");
	assert_int_equal(viommu[0].found.bypass, 1);
	/* What is down has nothing to put back. */
	m->ops->stop(m);
	expect_calls("stop 0;");
	/* Off before, off afterwards: it is looked at anew. */
	viommu[0].found.bypass = 0;
	assert_int_equal(m->ops->start(m), 0);
	m->ops->stop(m);
	expect_calls("start 0;bypass 0 0;bypass 0 0;stop 0;");
	/* A device need not offer it. */
	host.bypass = -EOPNOTSUPP;
	assert_int_equal(m->ops->start(m), 0);
	assert_int_equal(m->ops->epoch(m), 4);
	m->ops->stop(m);
	expect_calls("start 0;bypass 0 0;bypass 0 0;stop 0;");
}

static void no_start(void **state)
{
	static const char words[] = "iommu: MAP_UNMAP is not offered";

	(void)state;
	memcpy(viommu[0].d.error, words, sizeof(words));
	host.start = -ENOTSUP;
	assert_int_equal(m->ops->start(m), -ENOTSUP);
	assert_string_equal(m->error, words);
	assert_int_equal(m->limits.page_sizes, 0);
	expect_calls("start 0;");
	m->ops->stop(m);
	expect_calls("stop 0;");
	/* Where bypass stays on, devices would go past it: it does not come up. */
	host.start = 0;
	host.bypass = -EIO;
	assert_int_equal(m->ops->start(m), -EIO);
	assert_string_equal(m->error, "its bypass field cannot be written");
	expect_calls("start 0;bypass 0 0;stop 0;");
	assert_int_equal(m->ops->epoch(m), 0);
}

/* --- requests ---------------------------------------------------------------------------------------------- */

static void requests(void **state)
{
	struct iommu *second = viommu_iommu(&viommu[1]);
	const struct iommu_ops *o = m->ops;

	(void)state;
	assert_int_equal(o->attach(m, 0xfffffffe, 0x5118), 0);
	assert_int_equal(o->identity(m, 7, 0x80005118), 0);
	assert_int_equal(o->detach(m, 0xfffffffd, 0x5119), 0);
	expect_calls("attach 0 fffffffe 5118 0;attach 0 7 80005118 1;detach 0 fffffffd 5119;");
	assert_int_equal(o->map(m, 7, 0x123456789000, 0x123456789fff, 0xabcdef123000, IOMMU_READ),
			 0);
	assert_int_equal(o->map(m, 8, 0, 0xfff, 0x1000, IOMMU_WRITE), 0);
	expect_calls("map 0 7 123456789000 123456789fff abcdef123000 1;map 0 8 0 fff 1000 2;");
	/* Tests ask for what a device must refuse: that goes there as it is. */
	assert_int_equal(o->map(m, 9, 1, 0, 2, IOMMU_READ | IOMMU_WRITE), 0);
	assert_int_equal(o->map(m, 9, 1, 0, 2, 0), 0);
	assert_int_equal(o->unmap(m, 9, 0x8000000000001000, UINT64_MAX), 0);
	expect_calls(
		"map 0 9 1 0 2 3;map 0 9 1 0 2 0;unmap 0 9 8000000000001000 ffffffffffffffff;");
	assert_int_equal(second->ops->attach(second, 1, 2), 0);
	assert_int_equal(second->ops->unmap(second, 1, 0, 0xfff), 0);
	expect_calls("attach 1 1 2 0;unmap 1 1 0 fff;");
	/* Nothing is asked of a device that does not know bypass of a domain. */
	viommu[0].d.accepted = ~OFFERED;
	assert_int_equal(o->identity(m, 7, 0x5118), -EOPNOTSUPP);
	expect_calls("");
	assert_int_equal(o->attach(m, 7, 0x5118), 0);
}

static void statuses(void **state)
{
	static const struct {
		int status, error;
	} c[] = {
		{ VIOMMU_S_OK, 0 },
		{ VIOMMU_S_IOERR, -EIO },
		{ VIOMMU_S_UNSUPP, -EOPNOTSUPP },
		{ VIOMMU_S_DEVERR, -EIO },
		{ VIOMMU_S_INVAL, -EINVAL },
		{ VIOMMU_S_RANGE, -ERANGE },
		{ VIOMMU_S_NOENT, -ENOENT },
		{ VIOMMU_S_FAULT, -EFAULT },
		{ VIOMMU_S_NOMEM, -ENOMEM },
		/* There are no others. */
		{ VIOMMU_S_NOMEM + 1, -EPROTO },
		{ 0xa5, -EPROTO },
		{ 255, -EPROTO },
		/* The driver's own. */
		{ -EPERM, -EPERM },
		{ -EIO, -EIO },
		{ -ETIMEDOUT, -ETIMEDOUT },
		{ -ENODEV, -ENODEV },
	};
	const struct iommu_ops *o = m->ops;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		host.status = c[i].status;
		assert_int_equal(o->attach(m, 1, 2), c[i].error);
		assert_int_equal(o->identity(m, 1, 2), c[i].error);
		assert_int_equal(o->detach(m, 1, 2), c[i].error);
		assert_int_equal(o->map(m, 1, 0, 0xfff, 0, IOMMU_READ), c[i].error);
		assert_int_equal(o->unmap(m, 1, 0, 0xfff), c[i].error);
		host.calls[0] = '\0';
	}
}

/* Both ends of a range belong to it. */
static void reserved(void **state)
{
	static const struct {
		uint64_t first, last;
		bool is;
	} c[] = {
		{ 0, 0xfedfffff, false },
		{ 0, 0xfee00000, true },
		{ 0xfeefffff, 0xfef00fff, true },
		{ 0xfef00000, 0xffffefff, false },
		{ 0xfee01000, 0xfee01fff, true },
		{ 0xfedff000, 0xfef00fff, true },
		{ 0x8000000000000000, 0x8000000000000fff, true },
		{ 0x8000000000001000, 0x8000000000001fff, false },
		{ 0x7ffffffffffff000, 0x7fffffffffffffff, false },
		{ 0x7ffffffffffff000, 0x8000000000000000, true },
		{ UINT64_MAX - 1, UINT64_MAX, true },
		{ UINT64_MAX - 0xfff, UINT64_MAX - 1, false },
	};
	const struct iommu_ops *o = m->ops;
	unsigned int i;

	(void)state;
	host.property[0].start = cpu_to_le64(0xfee00000);
	host.property[0].end = cpu_to_le64(0xfeefffff);
	host.property[1].start = cpu_to_le64(0x8000000000000000);
	host.property[1].end = cpu_to_le64(0x8000000000000fff);
	host.property[2].start = host.property[2].end = cpu_to_le64(UINT64_MAX);
	host.properties = 3;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++)
		assert_int_equal(o->reserved(m, 0x5118, c[i].first, c[i].last), c[i].is);
	host.calls[0] = '\0';
	/* Only what is there, and only where the device says that it is. */
	host.properties = 1;
	assert_true(o->reserved(m, 0x5118, 0xfee00000, 0xfee00fff));
	expect_calls("probe 0 5118;");
	assert_false(o->reserved(m, 0x5118, 0x8000000000000000, 0x8000000000000fff));
	host.probe = VIOMMU_S_UNSUPP;
	assert_false(o->reserved(m, 0x5118, 0xfee00000, 0xfee00fff));
	host.probe = -ENOMEM;
	assert_false(o->reserved(m, 0x5118, 0xfee00000, 0xfee00fff));
	host.probe = VIOMMU_S_OK;
	host.properties = 0;
	assert_false(o->reserved(m, 0x5118, 0, UINT64_MAX));
}

/* --- faults ------------------------------------------------------------------------------------------------ */

static void faults(void **state)
{
	static const struct {
		uint8_t reason;
		uint32_t flags, len;
		struct iommu_fault f;
	} c[] = {
		{ VIOMMU_FAULT_UNKNOWN,
		  VIOMMU_FAULT_READ,
		  24,
		  { .reason = IOMMU_FAULT_UNKNOWN, .read = true } },
		{ VIOMMU_FAULT_DOMAIN,
		  VIOMMU_FAULT_WRITE,
		  24,
		  { .reason = IOMMU_FAULT_DOMAIN, .write = true } },
		{ VIOMMU_FAULT_MAPPING,
		  VIOMMU_FAULT_READ | VIOMMU_FAULT_ADDRESS,
		  24,
		  { .reason = IOMMU_FAULT_MAPPING,
		    .read = true,
		    .address = 0x123456789abcdef0,
		    .known = UINT64_MAX } },
		{ VIOMMU_FAULT_MAPPING,
		  VIOMMU_FAULT_WRITE | VIOMMU_FAULT_ADDRESS,
		  64, /* newer devices write more */
		  { .reason = IOMMU_FAULT_MAPPING,
		    .write = true,
		    .address = 0x123456789abcdef0,
		    .known = UINT64_MAX } },
		/* A reason that there is not, and all flags that there are not. */
		{ 3, 0xfffffefc, 24, { .reason = IOMMU_FAULT_OTHER } },
		{ VIOMMU_FAULT_MAPPING,
		  VIOMMU_FAULT_READ | VIOMMU_FAULT_WRITE,
		  24,
		  { .reason = IOMMU_FAULT_MAPPING, .read = true, .write = true } },
		/* An address is none where it was not written as a whole. */
		{ VIOMMU_FAULT_MAPPING,
		  VIOMMU_FAULT_READ | VIOMMU_FAULT_ADDRESS,
		  23,
		  { .reason = IOMMU_FAULT_MAPPING, .read = true } },
		{ VIOMMU_FAULT_MAPPING,
		  VIOMMU_FAULT_READ | VIOMMU_FAULT_ADDRESS,
		  16,
		  { .reason = IOMMU_FAULT_MAPPING, .read = true } },
	};
	struct iommu_fault f;
	unsigned int i;

	(void)state;
	assert_int_equal(m->ops->fault(m, &f), 0);
	expect_calls("fault 0;");
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		memset(&f, 0xa5, sizeof(f));
		host.fault = 1;
		host.len = c[i].len;
		host.report = (struct viommu_fault){ .reason = c[i].reason,
						     .reserved = { 0xff, 0xff, 0xff },
						     .flags = cpu_to_le32(c[i].flags),
						     .endpoint = cpu_to_le32(0x80005118),
						     .reserved1 = cpu_to_le32(UINT32_MAX),
						     .address = cpu_to_le64(0x123456789abcdef0) };
		assert_int_equal(m->ops->fault(m, &f), 1);
		assert_int_equal(f.endpoint, 0x80005118);
		assert_int_equal(f.reason, c[i].f.reason);
		assert_int_equal(f.read, c[i].f.read);
		assert_int_equal(f.write, c[i].f.write);
		assert_true(f.address == c[i].f.address);
		assert_true(f.known == c[i].f.known);
	}
	/* Up to the address all must be there. */
	host.len = 15;
	assert_int_equal(m->ops->fault(m, &f), -EPROTO);
	host.len = 0;
	assert_int_equal(m->ops->fault(m, &f), -EPROTO);
	host.len = 24;
	host.fault = -EPROTO;
	assert_int_equal(m->ops->fault(m, &f), -EPROTO);
	host.fault = -EIO;
	assert_int_equal(m->ops->fault(m, &f), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(endpoints, setup),
		cmocka_unit_test_setup(starts, setup),
		cmocka_unit_test_setup(bypass, setup),
		cmocka_unit_test_setup(no_start, setup),
		cmocka_unit_test_setup(requests, setup_up),
		cmocka_unit_test_setup(statuses, setup_up),
		cmocka_unit_test_setup(reserved, setup_up),
		cmocka_unit_test_setup(faults, setup_up),
		/* Last, since drivers that are added stay. */
		cmocka_unit_test_setup(finds, setup),
	};
	const init_fn *f;

	for (f = __start_assay_init; f < __stop_assay_init; f++)
		(*f)();
	return cmocka_run_group_tests_name("iommu_ops", tests, NULL, NULL);
}
