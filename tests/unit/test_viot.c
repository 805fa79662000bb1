/* SPDX-License-Identifier: BSD-2-Clause */
/* drivers/virtio/viot.h: which device is whose endpoint; a table that makes no sense gives nobody one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/iommu.h"
#include "drivers/virtio/viot.h"
#include "lib/acpi.h"

/* --- what the rest of the payload gives ---------------------------------------------------------- */

static struct {
	struct acpi_header header;
	uint16_t nodes, first;
	uint8_t reserved[8];
	uint8_t node[256];
} __attribute__((packed)) table;
static bool has_table;
static struct virtio_device iommu[2];

const struct acpi_header *acpi_table(const char signature[4], unsigned int n)
{
	assert_memory_equal(signature, "VIOT", 4);
	return has_table && n == 0 ? &table.header : NULL;
}

const struct dma_ops dma_direct_ops;

int dma_push(struct device *d, const struct dma_ops *ops, void *priv)
{
	(void)d;
	(void)ops;
	(void)priv;
	return 0;
}

/* The handle is the device itself here. */
struct viommu *viommu_get(unsigned int n)
{
	return n < 2 ? (struct viommu *)&iommu[n] : NULL;
}

struct virtio_device *viommu_device(struct viommu *v)
{
	return (struct virtio_device *)v;
}

/* --- tables ----------------------------------------------------------------------------------------- */

#define FIRST 48u

static unsigned int end; /* of what is there in table.node */

static void put(const void *node, size_t len)
{
	memcpy(table.node + end, node, len);
	end += (unsigned int)len;
	table.nodes++;
	table.header.length = FIRST + end;
}

static void put_iommu(uint16_t segment, uint16_t bdf)
{
	const uint16_t n[8] = { 3, 16, segment, bdf };

	put(n, sizeof(n));
}

static void put_iommu_mmio(uint64_t base)
{
	uint16_t n[8] = { 4, 16 };

	memcpy(n + 4, &base, sizeof(base));
	put(n, sizeof(n));
}

static void put_range(uint32_t endpoint, uint16_t segment, uint16_t last_segment, uint16_t from,
		      uint16_t to, uint16_t output)
{
	const uint16_t n[12] = { 1,
				 24,
				 (uint16_t)endpoint,
				 (uint16_t)(endpoint >> 16),
				 segment,
				 last_segment,
				 from,
				 to,
				 output };

	put(n, sizeof(n));
}

static void put_mmio(uint32_t endpoint, uint64_t base, uint16_t output)
{
	uint16_t n[12] = { 2, 24, (uint16_t)endpoint, (uint16_t)(endpoint >> 16) };

	memcpy(n + 4, &base, sizeof(base));
	n[8] = output;
	put(n, sizeof(n));
}

static int setup(void **state)
{
	(void)state;
	memset(&table, 0, sizeof(table));
	table.first = FIRST;
	table.header.length = FIRST;
	has_table = true;
	end = 0;
	device_init_pci(&iommu[0].dev, 0, 0x0010);
	device_init_mmio(&iommu[1].dev, 0xfeb00e00);
	return 0;
}

/* The endpoint of a function, or -1; *v is its IOMMU. */
static int64_t endpoint_of(uint16_t segment, uint16_t bdf, struct viommu **v)
{
	struct device d;
	uint32_t id = 0xdead;

	device_init_pci(&d, segment, bdf);
	return viot_endpoint(&d, v, &id) ? (int64_t)id : -1;
}

/* --- tests -------------------------------------------------------------------------------------------- */

static void no_table(void **state)
{
	struct viommu *v;

	(void)state;
	has_table = false;
	assert_int_equal(endpoint_of(0, 0x18, &v), -1);
	has_table = true;
	assert_int_equal(endpoint_of(0, 0x18, &v), -1);
	/* One that ends before its own fields is none, whatever stands behind it. */
	put_iommu(0, 0x0010);
	put_range(0, 0, 0, 0, 0xffff, FIRST);
	assert_int_equal(endpoint_of(0, 0x18, &v), 0x18);
	for (table.header.length = 0; table.header.length < FIRST; table.header.length++)
		assert_int_equal(endpoint_of(0, 0x18, &v), -1);
}

static void ranges(void **state)
{
	struct viommu *v = NULL;

	(void)state;
	put_iommu(0, 0x0010);
	put_range(0x100, 0, 0, 0x0018, 0x001f, FIRST);
	put_range(0x5000, 1, 2, 0x0100, 0xffff, FIRST);
	assert_int_equal(endpoint_of(0, 0x17, &v), -1);
	assert_int_equal(endpoint_of(0, 0x18, &v), 0x100);
	assert_ptr_equal(v, viommu_get(0));
	assert_int_equal(endpoint_of(0, 0x1f, &v), 0x107);
	assert_int_equal(endpoint_of(0, 0x20, &v), -1);
	assert_int_equal(endpoint_of(1, 0x18, &v), -1);
	assert_int_equal(endpoint_of(0, 0x0100, &v), -1);
	assert_int_equal(endpoint_of(1, 0x00ff, &v), -1);
	assert_int_equal(endpoint_of(1, 0xffff, &v), 0x14eff);
	assert_int_equal(endpoint_of(1, 0x0100, &v), 0x5000);
	assert_int_equal(endpoint_of(2, 0x0101, &v), 0x15001);
	assert_int_equal(endpoint_of(3, 0x0100, &v), -1);
}

/* A range that covers the IOMMU does not put it behind itself. */
static void itself(void **state)
{
	struct viommu *v;
	uint32_t id;

	(void)state;
	put_iommu(0, 0x0010);
	put_range(0, 0, 0, 0, 0xffff, FIRST);
	assert_false(viot_endpoint(&iommu[0].dev, &v, &id));
	assert_int_equal(endpoint_of(0, 0x0008, &v), 8);
}

static void on_mmio(void **state)
{
	struct viommu *v = NULL;
	struct device d;
	uint32_t id;

	(void)state;
	put_iommu_mmio(0xfeb00e00);
	put_mmio(7, 0xfeb00c00, FIRST);
	device_init_mmio(&d, 0xfeb00c00);
	assert_true(viot_endpoint(&d, &v, &id));
	assert_int_equal(id, 7);
	assert_ptr_equal(v, viommu_get(1));
	device_init_mmio(&d, 0xfeb00a00);
	assert_false(viot_endpoint(&d, &v, &id));
}

static bool mmio_endpoint(uint64_t base)
{
	struct viommu *v;
	struct device d;
	uint32_t id;

	device_init_mmio(&d, base);
	return viot_endpoint(&d, &v, &id);
}

/* Functions and windows have names of their own, which may be the same numbers. */
static void other_bus(void **state)
{
	struct viommu *v;

	(void)state;
	put_iommu(0, 0x0010);
	put_range(0, 0, 0, 0, 0xffff, FIRST);
	assert_int_equal(endpoint_of(0, 0, &v), 0);
	assert_false(mmio_endpoint(0));
	setup(NULL);
	put_iommu(0, 0x0010);
	put_mmio(7, 0, FIRST);
	assert_int_equal(endpoint_of(0, 0, &v), -1);
	assert_true(mmio_endpoint(0));
	/* The IOMMU on MMIO has no bus number, the one on PCI no window. */
	setup(NULL);
	put_iommu(0, 0);
	put_mmio(7, 0xfeb00c00, FIRST);
	assert_false(mmio_endpoint(0xfeb00c00));
	setup(NULL);
	put_iommu_mmio(0);
	put_mmio(7, 0xfeb00c00, FIRST);
	assert_false(mmio_endpoint(0xfeb00c00));
	/* There is one in another window, on another bus. */
	setup(NULL);
	put_iommu_mmio(0xfeb00c00);
	put_mmio(7, 0xfeb00c00, FIRST);
	assert_false(mmio_endpoint(0xfeb00c00));
	setup(NULL);
	put_iommu(1, 0x0010);
	put_mmio(7, 0xfeb00c00, FIRST);
	assert_false(mmio_endpoint(0xfeb00c00));
}

/* A node says what it is by its type, whatever else fits. */
static void types(void **state)
{
	struct viommu *v;
	unsigned int type;

	(void)state;
	for (type = 0; type < 256; type++) {
		setup(NULL);
		put_iommu(0, 0x0010);
		put_range(0, 0, 0, 0, 0xffff, FIRST);
		table.node[0] = (uint8_t)type;
		assert_int_equal(endpoint_of(0, 0x18, &v), type == 3 ? 0x18 : -1);
		table.node[0] = 3;
		table.node[16] = (uint8_t)type;
		assert_int_equal(endpoint_of(0, 0x18, &v), type == 1 ? 0x18 : -1);
		setup(NULL);
		put_iommu_mmio(0xfeb00e00);
		put_mmio(7, 0xfeb00c00, FIRST);
		table.node[0] = (uint8_t)type;
		assert_int_equal(mmio_endpoint(0xfeb00c00), type == 4);
		table.node[0] = 4;
		table.node[16] = (uint8_t)type;
		assert_int_equal(mmio_endpoint(0xfeb00c00), type == 2);
	}
}

/* What looks like a node behind the table's end is none, nor is one that begins in its last bytes. */
static void behind_the_end(void **state)
{
	struct viommu *v;
	unsigned int i;

	(void)state;
	for (i = 0; i < 40; i++) {
		setup(NULL);
		put_iommu(0, 0x0020);
		put_range(0, 0, 0, 0, 0xffff, (uint16_t)(FIRST + 40 + i));
		end += i;
		put_iommu(0, 0x0010);
		assert_int_equal(endpoint_of(0, 0x18, &v), 0x18);
		for (; table.header.length >= FIRST + 40; table.header.length--)
			if (table.header.length < FIRST + end)
				assert_int_equal(endpoint_of(0, 0x18, &v), -1);
	}
}

/* Nodes that do not fit end the search; an IOMMU that is not there, or is none, is nobody's. */
static void broken(void **state)
{
	static const uint16_t outputs[] = {
		0, 4, 36, 47, FIRST + 16, FIRST + 17, FIRST + 39, 0xffff
	};
	struct viommu *v;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(outputs) / sizeof(outputs[0]); i++) {
		setup(NULL);
		put_iommu(0, 0x0010);
		put_range(0, 0, 0, 0, 0xffff, outputs[i]);
		assert_int_equal(endpoint_of(0, 0x18, &v), -1);
	}
	setup(NULL);
	put_iommu(0, 0x0020);
	put_range(0, 0, 0, 0, 0xffff, FIRST);
	assert_int_equal(endpoint_of(0, 0x18, &v), -1);
	for (i = 0; i < 28; i++) {
		setup(NULL);
		put_iommu(0, 0x0010);
		put_range(0, 0, 0, 0, 0xffff, FIRST);
		table.node[18] = (uint8_t)
			i; /* the range's length: its fields are 18, and no more is there than 24 */
		assert_int_equal(endpoint_of(0, 0x18, &v), i < 18 || i > 24 ? -1 : 0x18);
		setup(NULL);
		put_iommu_mmio(0xfeb00e00);
		put_mmio(7, 0xfeb00c00, FIRST);
		table.node[18] = (uint8_t)i;
		assert_int_equal(mmio_endpoint(0xfeb00c00), i >= 18 && i <= 24);
	}
	setup(NULL);
	put_iommu(0, 0x0010);
	put_range(0, 0, 0, 0, 0xffff, FIRST);
	table.header.length--;
	assert_int_equal(endpoint_of(0, 0x18, &v), -1);
	table.header.length++;
	table.nodes = 0xffff;
	assert_int_equal(endpoint_of(0, 0x18, &v), 0x18);
	assert_int_equal(endpoint_of(9, 0x18, &v), -1);
	table.first = 0;
	assert_int_equal(endpoint_of(0, 0x18, &v), -1);
	/* What looks like a node in the header is none; of nodes that are not counted none counts. */
	setup(NULL);
	table.reserved[0] = 3;
	table.reserved[2] = 16;
	table.reserved[6] = 0x10;
	put_iommu(0, 0x0010);
	put_range(0, 0, 0, 0, 0xffff, FIRST - 8);
	assert_int_equal(endpoint_of(0, 0x18, &v), -1);
	setup(NULL);
	put_iommu(0, 0x0010);
	put_range(0, 0, 0, 0, 0xffff, FIRST);
	table.nodes = 1;
	assert_int_equal(endpoint_of(0, 0x18, &v), -1);
	table.nodes = 2;
	assert_int_equal(endpoint_of(0, 0x18, &v), 0x18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_table, setup),
		cmocka_unit_test_setup(ranges, setup),
		cmocka_unit_test_setup(itself, setup),
		cmocka_unit_test_setup(on_mmio, setup),
		cmocka_unit_test_setup(other_bus, setup),
		cmocka_unit_test_setup(types, setup),
		cmocka_unit_test_setup(behind_the_end, setup),
		cmocka_unit_test_setup(broken, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
