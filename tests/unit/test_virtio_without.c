/* SPDX-License-Identifier: BSD-2-Clause */
/* without.c: which bits a list of names and numbers leaves out, and which words are warned of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/env.h"
#include "tests/unit/fake_virtio.h"

#define SEQPACKET VIRTIO_BIT(1)
#define EVENT_IDX VIRTIO_BIT(VIRTIO_F_EVENT_IDX)
#define PACKED	  VIRTIO_BIT(VIRTIO_F_RING_PACKED)

static char warned[256];

/* In place of the C library's: the warnings. */
int __wrap_printf(const char *fmt, ...)
{
	const size_t n = strlen(warned);
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = vsnprintf(warned + n, sizeof(warned) - n, fmt, ap);
	va_end(ap);
	return ret;
}

static uint64_t left_out(uint32_t id, const char *list)
{
	fake_cmdline_key = "virtio.without";
	fake_cmdline_value = list;
	return virtio_left_out(id);
}

static void lists(void **state)
{
	static const struct {
		const char *list;
		uint64_t vsock, rng; /* what of them is left out */
	} c[] = {
		{ NULL, 0, 0 },
		{ "", 0, 0 },
		{ ",", 0, 0 },
		{ "EVENT_IDX", EVENT_IDX, EVENT_IDX },
		{ "29", EVENT_IDX, EVENT_IDX },
		{ "EVENT_IDX,RING_PACKED", EVENT_IDX | PACKED, EVENT_IDX | PACKED },
		{ ",29,,34,", EVENT_IDX | PACKED, EVENT_IDX | PACKED },
		{ "SEQPACKET", SEQPACKET, 0 }, /* a name of vsock's own */
		{ "STREAM", VIRTIO_BIT(0), 0 },
		{ "1", SEQPACKET, VIRTIO_BIT(1) },
		{ "0", VIRTIO_BIT(0), VIRTIO_BIT(0) },
		{ "009", VIRTIO_BIT(9), VIRTIO_BIT(9) },
		{ "63", VIRTIO_BIT(63), VIRTIO_BIT(63) },
		{ "64", 0, 0 },
		{ "640", 0, 0 },
		{ "4294967325", 0, 0 }, /* 2^32 + 29 */
		{ "EVENT_ID", 0, 0 },
		{ "EVENT_IDXX", 0, 0 },
		{ "event_idx", 0, 0 },
		{ "29x", 0, 0 },
		{ "x29", 0, 0 },
		{ "2:", 0, 0 }, /* the characters beside the digits */
		{ "2/", 0, 0 },
		{ "-1", 0, 0 },
		{ "29 34", 0, 0 },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		assert_int_equal(left_out(VIRTIO_ID_VSOCK, c[i].list), c[i].vsock);
		assert_int_equal(left_out(VIRTIO_ID_RNG, c[i].list), c[i].rng);
	}
	fake_cmdline_key = "virtio.with";
	assert_int_equal(virtio_left_out(VIRTIO_ID_RNG), 0);
}

/* What is left out is not offered: neither where a device is found, nor where its features are agreed on. */
static void not_offered(void **state)
{
	static struct fake_device dev;

	(void)state;
	left_out(VIRTIO_ID_RNG, "EVENT_IDX");
	fake_init(&dev, VIRTIO_ID_RNG, VIRTIO_BIT(VIRTIO_F_VERSION_1) | EVENT_IDX | PACKED, 1,
		  true);
	assert_int_equal(dev.vdev.offered, VIRTIO_BIT(VIRTIO_F_VERSION_1) | PACKED);
	assert_int_equal(virtio_negotiate(&dev.vdev, EVENT_IDX | PACKED), 0);
	assert_int_equal(dev.vdev.offered, VIRTIO_BIT(VIRTIO_F_VERSION_1) | PACKED);
	assert_int_equal(dev.accepted, VIRTIO_BIT(VIRTIO_F_VERSION_1) | PACKED);
}

extern const env_fn __start_assay_env[], __stop_assay_env[];

static void report(const char *list)
{
	const env_fn *f;

	warned[0] = fake_env[0] = '\0';
	fake_cmdline_key = "virtio.without";
	fake_cmdline_value = list;
	for (f = __start_assay_env; f < __stop_assay_env; f++)
		(*f)();
}

#define NO_FEATURE(word) "# warning: virtio.without=" word ": no feature has this name\n"

static void warnings(void **state)
{
	(void)state;
	report(NULL);
	assert_null(strstr(fake_env, "virtio without"));
	report("");
	assert_null(strstr(fake_env, "virtio without"));
	report("EVENT_IDX,SEQPACKET,5,");
	assert_non_null(strstr(fake_env, "virtio without: EVENT_IDX,SEQPACKET,5,, which count as"));
	assert_string_equal(warned, "");
	report("EVENT_IDX,NONSENSE,,64,RING_PACKED,640,99");
	assert_string_equal(warned, NO_FEATURE("NONSENSE") NO_FEATURE("64") NO_FEATURE("640")
					    NO_FEATURE("99"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),
		cmocka_unit_test(not_offered),
		cmocka_unit_test(warnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
