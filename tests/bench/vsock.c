/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Measured here: throughput, latency and connections of a vsock device, as medians over slices of
 * one run. These tests run only when named (tests=bench); the numbers are notes, "# VALUE UNIT,
 * ...", which scripts/bench reads.
 *
 * What a host can get wrong: nothing but to move no data at all. That is all that a benchmark
 * judges.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/errname.h"
#include "tests/vsock/pair.h"

#define OWNER  "vsock device back end"
#define SLICES 15
#define SLICE  (60 * MSEC)
#define CHUNK  16384
#define SKEW   64 /* each chunk is cut from the pattern a byte further on */

static int compare_u64(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* "ID: MEDIAN UNIT, MIN to MAX, N WHAT": integers with two decimals. */
static void publish(struct test_ctx *t, uint64_t *v, unsigned int n, const char *unit,
		    const char *what)
{
	qsort(v, n, sizeof(*v), compare_u64);
	test_note(t, "%" PRIu64 ".%02u %s, %" PRIu64 ".%02u to %" PRIu64 ".%02u, median of %u %s",
		  v[n / 2] / 100, (unsigned int)(v[n / 2] % 100), unit, v[0] / 100,
		  (unsigned int)(v[0] % 100), v[n - 1] / 100, (unsigned int)(v[n - 1] % 100), n,
		  what);
}

/* Hundredths of MiB/s. */
static uint64_t rate(uint64_t bytes, uint64_t ns)
{
	return ns ? bytes * 100 * 1000 / 1048576 * 1000000 / ns : 0;
}

#define ROOM (256u << 10) /* our receive buffer */

/*
 * Moves up to CHUNK bytes one way: their number, or -errno. fresh: what the application has to
 * send.
 */
typedef ssize_t (*move_fn)(struct vsock_conn *c, void *buf, const void *fresh);

/*
 * An application writes what it sends: a buffer that never changes would stay in the host's cache.
 */
static ssize_t move_out(struct vsock_conn *c, void *buf, const void *fresh)
{
	memcpy(buf, fresh, CHUNK);
	return vsock_send(c, buf, CHUNK, IO_NS);
}

static ssize_t move_in(struct vsock_conn *c, void *buf, const void *fresh)
{
	(void)fresh;
	return vsock_recv(c, buf, CHUNK, IO_NS);
}

static void throughput(struct test_ctx *t, uint32_t port, move_fn move)
{
	static uint8_t buf[CHUNK], fresh[CHUNK + SKEW];
	struct pair *p = pair_open(t, .at = port, .guest_buf = ROOM);
	uint64_t rates[SLICES], bytes, start, now;
	unsigned int i;

	pattern_fill(fresh, sizeof(fresh), 1, 0);
	for (i = 0; i < SLICES; i++) {
		start = time_now();
		for (bytes = 0, now = start; now - start < SLICE; now = time_now()) {
			const ssize_t n = move(p->conn, buf, fresh + bytes / CHUNK % SKEW);

			require(t, n > 0, "after %" PRIu64 " bytes of slice %u: %s", bytes, i,
				err_text((int)n));
			bytes += (uint64_t)n;
		}
		rates[i] = rate(bytes, now - start);
	}
	publish(t, rates, SLICES, "MiB/s", "slices, 16 KiB at a time");
	expect(t, rates[0] > 0, "a slice of 60 ms moved nothing");
	pair_drop(p);
}

TEST(bench_to_host,
     .id = "bench.vsock.to_host",
     .clause = "a measurement: stream to the host's sink",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 30 * SEC)
{
	throughput(t, ASSAY_SINK_PORT, move_out);
}

TEST(bench_from_host,
     .id = "bench.vsock.from_host",
     .clause = "a measurement: stream from the host's source",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 30 * SEC)
{
	throughput(t, ASSAY_SOURCE_PORT, move_in);
}

TEST(bench_round_trip,
     .id = "bench.vsock.round_trip",
     .clause = "a measurement: 64 bytes to the host's echo and back",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 30 * SEC)
{
	enum {
		ROUNDS = 1001,
		WARM = 50
	};
	static uint64_t ns[ROUNDS];
	struct pair *p = pair_open(t, .at = ASSAY_ECHO_PORT, .guest_buf = ROOM);
	uint8_t out[64], in[64];
	unsigned int i;
	uint64_t start;
	int ret;

	/* Without the pair's own steps: what they check would be measured, too. */
	for (i = 0; i < WARM + ROUNDS; i++) {
		pattern_fill(out, sizeof(out), i, 0);
		start = time_now();
		ret = (int)vsock_send(p->conn, out, sizeof(out), IO_NS);
		require(t, ret == sizeof(out), "send %u: %s", i, err_text(ret));
		ret = recv_exact(p->conn, in, sizeof(in), IO_NS);
		require(t, ret == 0, "echo %u: %s", i, err_text(ret));
		if (i >= WARM)
			ns[i - WARM] = (time_now() - start) / 10;
	}
	expect(t, memcmp(in, out, sizeof(in)) == 0, "the last echo differs");
	publish(t, ns, ROUNDS, "us", "round trips of 64 bytes");
	pair_drop(p);
}

TEST(bench_connect,
     .id = "bench.vsock.connect",
     .clause = "a measurement: connects with an orderly close",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 30 * SEC)
{
	struct vsock_env *e = vsock_env_ctl(t);
	uint64_t rates[SLICES], start, now;
	unsigned int i, n;

	for (i = 0; i < SLICES; i++) {
		start = time_now();
		for (n = 0, now = start; now - start < SLICE; now = time_now(), n++) {
			struct vsock_conn *c;
			int ret = vsock_connect(e->vs, VSOCK_STREAM, any_port(0),
						host_port(ASSAY_ECHO_PORT), CONNECT_NS, &c);

			require(t, ret == 0, "connect %u of slice %u: %s", n, i, err_text(ret));
			ret = vsock_conn_close(c, IO_NS);
			require(t, ret == 0, "close %u of slice %u: %s", n, i, err_text(ret));
		}
		rates[i] = (uint64_t)n * 100 * SEC / (now - start);
	}
	publish(t, rates, SLICES, "per second", "slices of 60 ms");
	expect(t, rates[0] > 0, "no connect in 60 ms");
}
