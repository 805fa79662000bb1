/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * assay-irqfd: races on KVM_IRQFD, straight through KVM's API, since a guest cannot close an eventfd.
 *
 * The promise: KVM_IRQFD's assignment ends by KVM_IRQFD_FLAG_DEASSIGN, by the last close() of the
 * eventfd (POLLHUP) or with the VM, in any order and while others write(), and no irqfd is used after it
 * was freed. The 2013 report "kvm: fix a race when closing irq eventfd" doubted it. A host breaks it by
 * touching freed memory: an oops, KASAN's report, a hang, an interrupt from an eventfd that is gone.
 * No vCPU runs: what arrived is read from the interrupt controllers' state. Needs nothing but /dev/kvm,
 * so that it runs in an initramfs; prints KTAP.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/kvm.h>

#ifndef ASSAY_VERSION
#define ASSAY_VERSION "0"
#endif

#define NS	   1000000000ull
#define HANG_S	   20  /* one cycle takes milliseconds, even where KVM itself is emulated */
#define VM_CYCLES  256 /* after so many, a new VM */
#define ARRIVE_NS  (2 * NS)
#define MANY	   8  /* irqfds of a VM that is destroyed */
#define GSI_PIN	   5  /* an I/O APIC and PIC input */
#define GSI_MSI	   24 /* routed to an MSI */
#define MSI_VECTOR 0x51
#define APIC_SVR   0xf0
#define APIC_IRR   0x200

enum {
	STATUS_OK,
	STATUS_FAIL,
	STATUS_ERROR,
	STATUS_NO_REPORT,
	STATUS_USAGE,
	STATUS_SKIPPED = 77
};

static struct {
	double seconds;
	unsigned long cycles; /* 0: as many as the time allows */
} options = { .seconds = 30 };

static struct {
	int kvm;
	unsigned int number, pass, fail, skip, error;
	const char *running;
	atomic_ulong beat; /* grows with each cycle: the watchdog looks at it */
	uint64_t random;
	unsigned long closes; /* cycles that ended by a close of an eventfd or of the VM */
	uint64_t close_ns;
} all = { .kvm = -1, .random = 0x9e3779b97f4a7c15ull };

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static unsigned int random_below(unsigned int n)
{
	all.random ^= all.random << 13;
	all.random ^= all.random >> 7;
	all.random ^= all.random << 17;
	return (unsigned int)(all.random >> 33) % n;
}

static void spin(unsigned int n)
{
	while (n--)
		__asm__ volatile("" : : : "memory");
}

/* --- KTAP -------------------------------------------------------------------------------- */

enum verdict {
	PASS,
	FAIL,
	SKIP,
	ERROR
};

static void __attribute__((format(printf, 2, 3))) result(enum verdict v, const char *fmt, ...)
{
	static const char *const tags[] = { "", "", " # SKIP ", " # ERROR " };
	char text[256] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	all.number++;
	all.pass += v == PASS;
	all.fail += v == FAIL;
	all.skip += v == SKIP;
	all.error += v == ERROR;
	if (v == FAIL)
		printf("    # %s: %s\n    # owner: KVM's irqfd\n", all.running, text);
	printf("    %sok %u %s%s%s\n", v == FAIL || v == ERROR ? "not " : "", all.number,
	       all.running, tags[v], v == SKIP || v == ERROR ? text : "");
	fflush(stdout);
}

static void __attribute__((format(printf, 1, 2))) note(const char *fmt, ...)
{
	va_list ap;

	printf("    # %s: ", all.running);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* A cycle that does not end is a verdict, too. The thread that hangs may be beyond any signal. */
static void *watchdog(void *arg)
{
	unsigned long last = 0;
	unsigned int idle = 0;

	(void)arg;
	for (;;) {
		sleep(1);
		idle = atomic_load(&all.beat) == last ? idle + 1 : 0;
		last = atomic_load(&all.beat);
		if (idle < HANG_S)
			continue;
		printf("    # %s: nothing ended for %d s: a call into KVM hangs\n    # owner: KVM's irqfd\n"
		       "    not ok %u %s # TIMEOUT watchdog after %d s\nnot ok 1 irqfd\n"
		       "# Totals: pass:%u fail:%u xfail:0 xpass:0 skip:%u error:%u\n# end\n",
		       all.running, HANG_S, all.number + 1, all.running, HANG_S, all.pass,
		       all.fail + 1, all.skip, all.error);
		fflush(stdout);
		_exit(STATUS_FAIL);
	}
	return NULL;
}

/* --- KVM --------------------------------------------------------------------------------- */

struct vm {
	int fd, vcpu; /* -1: none */
	bool split;   /* no I/O APIC and PIC in the kernel */
};

/* What could not be done, for the verdict. */
static char trouble[160];

static int __attribute__((format(printf, 1, 2))) failed(const char *fmt, ...)
{
	const int err = errno;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(trouble, sizeof(trouble), fmt, ap);
	va_end(ap);
	snprintf(trouble + strlen(trouble), sizeof(trouble) - strlen(trouble), ": %s",
		 strerror(err));
	return -err;
}

static int route_msi(const struct vm *vm, uint32_t vector)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[3];
	} r = { .head.nr = vm->split ? 1 : 3 };

	r.entry[0].gsi = GSI_MSI;
	r.entry[0].type = KVM_IRQ_ROUTING_MSI;
	r.entry[0].u.msi.address_lo = 0xfee00000;
	r.entry[0].u.msi.data = vector;
	r.entry[1].gsi = GSI_PIN;
	r.entry[1].type = KVM_IRQ_ROUTING_IRQCHIP;
	r.entry[1].u.irqchip.irqchip = KVM_IRQCHIP_PIC_MASTER;
	r.entry[1].u.irqchip.pin = GSI_PIN;
	r.entry[2] = r.entry[1];
	r.entry[2].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r) ? failed("KVM_SET_GSI_ROUTING") : 0;
}

/* The local APIC takes messages only once it is enabled by software. */
static int enable_apic(const struct vm *vm)
{
	struct kvm_lapic_state s;

	if (ioctl(vm->vcpu, KVM_GET_LAPIC, &s))
		return failed("KVM_GET_LAPIC");
	s.regs[APIC_SVR + 1] |= 1;
	return ioctl(vm->vcpu, KVM_SET_LAPIC, &s) ? failed("KVM_SET_LAPIC") : 0;
}

static void vm_close(struct vm *vm)
{
	if (vm->vcpu >= 0)
		close(vm->vcpu);
	if (vm->fd >= 0)
		close(vm->fd);
	vm->fd = vm->vcpu = -1;
}

static int vm_open(struct vm *vm, bool split)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	int ret;

	*vm = (struct vm){ .fd = ioctl(all.kvm, KVM_CREATE_VM, 0), .vcpu = -1, .split = split };
	if (vm->fd < 0)
		return failed("KVM_CREATE_VM");
	if (split ? ioctl(vm->fd, KVM_ENABLE_CAP, &cap) : ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0)) {
		ret = failed("%s", split ? "KVM_CAP_SPLIT_IRQCHIP" : "KVM_CREATE_IRQCHIP");
		goto out;
	}
	vm->vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vm->vcpu < 0) {
		ret = failed("KVM_CREATE_VCPU");
		goto out;
	}
	ret = enable_apic(vm);
	if (!ret)
		ret = route_msi(vm, MSI_VECTOR);
out:
	if (ret)
		vm_close(vm);
	return ret;
}

/* 0 or -errno; resample -1: a plain edge. */
static int irqfd(const struct vm *vm, int fd, uint32_t gsi, int resample, uint32_t flags)
{
	struct kvm_irqfd a = { .fd = (uint32_t)fd, .gsi = gsi, .flags = flags };

	if (resample >= 0) {
		a.flags |= KVM_IRQFD_FLAG_RESAMPLE;
		a.resamplefd = (uint32_t)resample;
	}
	return ioctl(vm->fd, KVM_IRQFD, &a) ? -errno : 0;
}

/* Whether what the GSI leads to is requested: the PIC's IRR, or the local APIC's. */
static bool requested(const struct vm *vm, uint32_t gsi)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
	struct kvm_lapic_state s;
	uint32_t irr;

	if (gsi == GSI_PIN)
		return ioctl(vm->fd, KVM_GET_IRQCHIP, &chip) == 0 &&
		       (chip.chip.pic.irr >> GSI_PIN & 1);
	if (ioctl(vm->vcpu, KVM_GET_LAPIC, &s))
		return false;
	memcpy(&irr, s.regs + APIC_IRR + MSI_VECTOR / 32 * 16, sizeof(irr));
	return irr >> (MSI_VECTOR % 32) & 1;
}

/* Forgets it, as an end of interrupt would. */
static int withdraw(const struct vm *vm, uint32_t gsi)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
	struct kvm_lapic_state s;

	if (gsi == GSI_PIN) {
		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &chip))
			return failed("KVM_GET_IRQCHIP");
		chip.chip.pic.irr &= (__u8) ~(1u << GSI_PIN);
		chip.chip.pic.last_irr &= (__u8) ~(1u << GSI_PIN);
		return ioctl(vm->fd, KVM_SET_IRQCHIP, &chip) ? failed("KVM_SET_IRQCHIP") : 0;
	}
	if (ioctl(vm->vcpu, KVM_GET_LAPIC, &s))
		return failed("KVM_GET_LAPIC");
	memset(s.regs + APIC_IRR + MSI_VECTOR / 32 * 16, 0, 4);
	return ioctl(vm->vcpu, KVM_SET_LAPIC, &s) ? failed("KVM_SET_LAPIC") : 0;
}

static bool arrives(const struct vm *vm, uint32_t gsi, uint64_t ns)
{
	const uint64_t end = now() + ns;

	while (!requested(vm, gsi)) {
		if (now() >= end)
			return false;
		sched_yield();
	}
	return true;
}

static void poke(int fd)
{
	const uint64_t one = 1;
	const ssize_t n = write(fd, &one, sizeof(one)); /* full or closed meanwhile: as good */

	(void)n;
}

/* --- delivery: what the races must not have broken ---------------------------------------- */

/* A fresh eventfd works, and after its end it does not. NULL, or what is wrong. */
static const char *try_delivery(const struct vm *vm, uint32_t gsi, bool by_close)
{
	const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const int other = by_close || fd < 0 ? -1 : dup(fd);
	const char *bad = NULL;

	if (fd < 0)
		return "no eventfd";
	if (withdraw(vm, gsi))
		bad = trouble;
	else if (irqfd(vm, fd, gsi, -1, 0))
		bad = "KVM_IRQFD refuses a fresh eventfd";
	if (!bad) {
		poke(fd);
		if (!arrives(vm, gsi, ARRIVE_NS))
			bad = "an eventfd was written, and no interrupt is requested within 2 s";
	}
	if (!bad && !by_close && irqfd(vm, fd, gsi, -1, KVM_IRQFD_FLAG_DEASSIGN))
		bad = "KVM_IRQFD refuses to deassign";
	close(fd);
	if (!bad && other >= 0) {
		if (withdraw(vm, gsi))
			bad = trouble;
		poke(other);
		if (!bad && arrives(vm, gsi, NS / 50))
			bad = "an interrupt came from an eventfd that was deassigned";
	}
	if (other >= 0)
		close(other);
	return bad;
}

static void test_delivery(const char *id, bool split, uint32_t gsi)
{
	const char *bad = NULL;
	struct vm vm;

	all.running = id;
	printf("    # start %s\n", id);
	if (vm_open(&vm, split)) {
		result(SKIP, "%s", trouble);
		return;
	}
	for (unsigned int i = 0; i < 20 && !bad; i++) {
		bad = try_delivery(&vm, gsi, i % 2);
		atomic_fetch_add(&all.beat, 1);
	}
	vm_close(&vm);
	result(bad ? FAIL : PASS, "%s", bad ? bad : "");
}

/* A level: it stays until it is resampled, which needs an end of interrupt; here: until deassigned. */
static void test_resample(const char *id)
{
	const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		  re = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const char *bad = NULL;
	struct vm vm;
	int ret;

	all.running = id;
	printf("    # start %s\n", id);
	ret = vm_open(&vm, false);
	if (!ret) {
		ret = irqfd(&vm, fd, GSI_PIN, re, 0);
		if (ret)
			snprintf(trouble, sizeof(trouble), "KVM_IRQFD_FLAG_RESAMPLE: %s",
				 strerror(-ret));
	}
	if (ret) {
		result(SKIP, "%s", trouble);
		goto out;
	}
	poke(fd);
	if (!arrives(&vm, GSI_PIN, ARRIVE_NS))
		bad = "no level is raised within 2 s";
	if (!bad && irqfd(&vm, fd, GSI_PIN, re, KVM_IRQFD_FLAG_DEASSIGN))
		bad = "KVM_IRQFD refuses to deassign";
	if (!bad && try_delivery(&vm, GSI_PIN, false))
		bad = "the pin is of no use after a resampling irqfd was deassigned";
	result(bad ? FAIL : PASS, "%s", bad ? bad : "");
out:
	vm_close(&vm);
	if (fd >= 0)
		close(fd);
	if (re >= 0)
		close(re);
}

/* --- the races ---------------------------------------------------------------------------- */

/* Two helpers stand by, so that a cycle costs no thread. */
enum job {
	WRITE,
	CLOSE,
	DEASSIGN,
	ROUTE
};

struct helper {
	pthread_t thread;
	enum job job;
	const struct vm *vm;
	int fd;
	uint32_t gsi;
	unsigned int delay;
	sem_t go;
	atomic_bool begun, done;
	atomic_ulong writes;
};

static struct helper helpers[2];
static atomic_bool stop_writing;

static void work(struct helper *h)
{
	uint32_t vector = MSI_VECTOR;

	switch (h->job) {
	case WRITE:
		while (!atomic_load_explicit(&stop_writing, memory_order_relaxed)) {
			poke(h->fd);
			atomic_fetch_add_explicit(&h->writes, 1, memory_order_relaxed);
			atomic_store(&h->begun, true);
		}
		break;
	case CLOSE:
		atomic_store(&h->begun, true);
		spin(h->delay);
		close(h->fd);
		break;
	case DEASSIGN:
		atomic_store(&h->begun, true);
		spin(h->delay);
		irqfd(h->vm, h->fd, h->gsi, -1,
		      KVM_IRQFD_FLAG_DEASSIGN); /* EBADF: it was closed first */
		break;
	case ROUTE:
		atomic_store(&h->begun, true);
		while (!atomic_load_explicit(&stop_writing, memory_order_relaxed))
			route_msi(h->vm, ++vector & 0x7f ? vector & 0x7f : MSI_VECTOR);
		break;
	}
}

static void *helper_main(void *arg)
{
	struct helper *h = arg;

	for (;;) {
		while (sem_wait(&h->go))
			;
		work(h);
		atomic_store(&h->done, true);
	}
	return NULL;
}

/* Returns when the helper is at it. */
static void start(unsigned int i, enum job job, const struct vm *vm, int fd, uint32_t gsi)
{
	struct helper *h = &helpers[i];

	h->job = job;
	h->vm = vm;
	h->fd = fd;
	h->gsi = gsi;
	h->delay = random_below(3000);
	atomic_store(&h->begun, false);
	atomic_store(&h->done, false);
	sem_post(&h->go);
	/* Without this the race would be over before it began. */
	while (!atomic_load(&h->begun))
		sched_yield();
}

/* The watchdog ends a wait that is in vain. */
static void join(unsigned int i)
{
	while (!atomic_load(&helpers[i].done))
		sched_yield();
}

/* One cycle: 0 or -errno (trouble says what). */
typedef int (*cycle_fn)(struct vm *vm, uint32_t gsi, bool resample);

struct way {
	const char *id, *what;
	cycle_fn cycle;
	bool split, resample, closes, own_vm;
	uint32_t gsi;
};

static int open_eventfd(void)
{
	const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	return fd < 0 ? failed("eventfd") : fd;
}

/* An eventfd, assigned; with resample a second one, kept in *re (else -1). */
static int assigned(const struct vm *vm, uint32_t gsi, bool resample, int *re)
{
	const int fd = open_eventfd();
	int ret;

	*re = -1;
	if (fd < 0)
		return fd;
	if (resample) {
		*re = open_eventfd();
		if (*re < 0) {
			close(fd);
			return *re;
		}
	}
	ret = irqfd(vm, fd, gsi, *re, 0);
	if (ret == 0)
		return fd;
	errno = -ret;
	ret = failed("KVM_IRQFD");
	close(fd);
	if (*re >= 0)
		close(*re);
	return ret;
}

static void end_writing(void)
{
	atomic_store(&stop_writing, true);
	join(0);
	join(1);
	atomic_store(&stop_writing, false);
}

/* write() against the last close(): POLLHUP deactivates while POLLIN injects. */
static int cycle_close(struct vm *vm, uint32_t gsi, bool resample)
{
	int re, fd = assigned(vm, gsi, resample, &re);

	if (fd < 0)
		return fd;
	start(0, WRITE, vm, fd, gsi);
	spin(random_below(3000));
	close(fd);
	if (re >= 0)
		close(re);
	end_writing();
	return 0;
}

/* write() against KVM_IRQFD_FLAG_DEASSIGN. */
static int cycle_deassign(struct vm *vm, uint32_t gsi, bool resample)
{
	int ret, re, fd = assigned(vm, gsi, resample, &re);

	if (fd < 0)
		return fd;
	start(0, WRITE, vm, fd, gsi);
	spin(random_below(3000));
	ret = irqfd(vm, fd, gsi, re, KVM_IRQFD_FLAG_DEASSIGN);
	end_writing();
	close(fd);
	if (re >= 0)
		close(re);
	errno = -ret;
	return ret ? failed("KVM_IRQFD_FLAG_DEASSIGN") : 0;
}

/* The report's race: deassign on one CPU, close on the other, and a writer where there are more. */
static int cycle_both(struct vm *vm, uint32_t gsi, bool resample)
{
	int re, fd = assigned(vm, gsi, resample, &re);

	if (fd < 0)
		return fd;
	poke(fd);
	if (random_below(2))
		start(0, WRITE, vm, fd, gsi);
	start(1, DEASSIGN, vm, fd, gsi);
	spin(random_below(3000));
	close(fd);
	if (re >= 0)
		close(re);
	end_writing();
	return 0;
}

/* close() in one thread, assignment of the same eventfd in another. */
static int cycle_assign(struct vm *vm, uint32_t gsi, bool resample)
{
	const int fd = open_eventfd();

	(void)resample;
	if (fd < 0)
		return fd;
	poke(fd); /* pending already: assignment injects at once */
	start(0, CLOSE, vm, fd, gsi);
	spin(random_below(3000));
	irqfd(vm, fd, gsi, -1, 0); /* EBADF: it was closed first */
	end_writing();
	return 0;
}

/* The message changes while the eventfd is written, as a guest's MSI-X table writes make it. */
static int cycle_route(struct vm *vm, uint32_t gsi, bool resample)
{
	int re, fd = assigned(vm, gsi, resample, &re);

	if (fd < 0)
		return fd;
	start(0, WRITE, vm, fd, gsi);
	start(1, ROUTE, vm, fd, gsi);
	spin(2000 + random_below(3000));
	close(fd);
	end_writing();
	return route_msi(vm, MSI_VECTOR);
}

/* The VM goes with its irqfds assigned and written; half of the eventfds go at the same time. */
static int cycle_vm(struct vm *vm, uint32_t gsi, bool resample)
{
	int fd[MANY], re, n = 0, ret = 0;

	for (; n < MANY; n++) {
		fd[n] = assigned(vm, n % 2 ? gsi : GSI_MSI, resample && n == 0, &re);
		if (re >= 0)
			close(re); /* KVM holds it */
		if (fd[n] < 0) {
			ret = fd[n];
			break;
		}
	}
	if (!ret) {
		start(0, WRITE, vm, fd[0], gsi);
		start(1, CLOSE, vm, fd[1], gsi);
		spin(random_below(3000));
	}
	vm_close(vm);
	end_writing();
	while (n-- > 0)
		if (n != 1 || ret)
			close(fd[n]);
	return ret;
}

static const struct way ways[] = {
	{ "irqfd.close_race.write_close_msi", "write() against the last close(), MSI", cycle_close,
	  .gsi = GSI_MSI, .closes = true },
	{ "irqfd.close_race.write_close_pin", "write() against the last close(), I/O APIC pin",
	  cycle_close, .gsi = GSI_PIN, .closes = true },
	{ "irqfd.close_race.write_close_split", "write() against the last close(), split irqchip",
	  cycle_close, .gsi = GSI_MSI, .split = true, .closes = true },
	{ "irqfd.close_race.deassign", "write() against deassign", cycle_deassign, .gsi = GSI_MSI },
	{ "irqfd.close_race.deassign_pin", "write() against deassign, I/O APIC pin", cycle_deassign,
	  .gsi = GSI_PIN },
	{ "irqfd.close_race.deassign_close", "deassign against close()", cycle_both, .gsi = GSI_MSI,
	  .closes = true },
	{ "irqfd.close_race.assign_close", "assign against close()", cycle_assign, .gsi = GSI_MSI,
	  .closes = true },
	{ "irqfd.close_race.resample_close", "write() against close(), resampling", cycle_close,
	  .gsi = GSI_PIN, .resample = true, .closes = true },
	{ "irqfd.close_race.resample_deassign", "write() against deassign, resampling",
	  cycle_deassign, .gsi = GSI_PIN, .resample = true },
	{ "irqfd.close_race.route_change", "write() against KVM_SET_GSI_ROUTING, then close()",
	  cycle_route, .gsi = GSI_MSI, .closes = true },
	{ "irqfd.close_race.vm_destroyed", "the VM closed with eight irqfds under write()",
	  cycle_vm, .gsi = GSI_PIN, .closes = true, .own_vm = true },
	{ "irqfd.close_race.vm_destroyed_resample", "the same, one of them resampling", cycle_vm,
	  .gsi = GSI_PIN, .resample = true, .closes = true, .own_vm = true },
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* After a race: does an irqfd of this VM still work? */
static const char *still_works(const struct vm *vm)
{
	const char *bad = try_delivery(vm, GSI_MSI, false);

	return bad || vm->split ? bad : try_delivery(vm, GSI_PIN, true);
}

static void race(const struct way *w, uint64_t ns)
{
	const uint64_t begin = now();
	const unsigned long writes = atomic_load(&helpers[0].writes);
	const char *bad = NULL;
	struct vm vm = { .fd = -1, .vcpu = -1 };
	unsigned long n = 0, after_vm = 0;
	int ret = 0;

	all.running = w->id;
	printf("    # start %s\n", w->id);
	while (!bad && !ret && (n == 0 || now() - begin < ns) &&
	       (!options.cycles || n < options.cycles)) {
		if (vm.fd < 0) {
			ret = vm_open(&vm, w->split);
			after_vm = n;
			if (ret)
				break;
		}
		ret = w->cycle(&vm, w->gsi, w->resample);
		n += ret == 0;
		atomic_fetch_add(&all.beat, 1);
		if (ret || n - after_vm < VM_CYCLES || vm.fd < 0)
			continue;
		bad = still_works(&vm);
		vm_close(&vm);
	}
	if (!bad && !ret && vm.fd >= 0)
		bad = still_works(&vm);
	vm_close(&vm);
	if (w->own_vm && !bad && !ret && vm_open(&vm, w->split) == 0) {
		bad = still_works(&vm);
		vm_close(&vm);
	}
	note("%s: %lu cycles, %lu writes in %.2f s", w->what, n,
	     atomic_load(&helpers[0].writes) - writes, (double)(now() - begin) / NS);
	if (w->closes) {
		all.closes += n;
		all.close_ns += now() - begin;
	}
	if (bad)
		result(FAIL, "after %lu cycles: %s", n, bad);
	else if (ret)
		result(n ? FAIL : SKIP, "%s after %lu cycles", trouble, n);
	else
		result(PASS, " ");
}

/* --- the host's own state ------------------------------------------------------------------ */

static unsigned int count_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static unsigned long taint(void)
{
	unsigned long t = 0;
	FILE *f = fopen("/proc/sys/kernel/tainted", "re");

	if (!f)
		return ULONG_MAX;
	if (fscanf(f, "%lu", &t) != 1)
		t = ULONG_MAX;
	fclose(f);
	return t;
}

static bool is_report(const char *line)
{
	static const char *const words[] = {
		"BUG:",
		"WARNING:",
		"KASAN",
		"UBSAN",
		"KCSAN",
		"kernel BUG",
		"Oops",
		"general protection fault",
		"possible circular locking",
		"possible recursive locking",
		"rcu: INFO",
		"blocked for more than",
		"use-after-free",
		"refcount_t:",
		"list_del corruption",
		"list_add corruption",
		"Call Trace:",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(line, words[i]))
			return true;
	return false;
}

/* From now on what the kernel logs is ours to judge. */
static int kmsg_open(void)
{
	const int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

static void test_kmsg(int fd)
{
	char line[8192], *text;
	unsigned int bad = 0;
	ssize_t n;

	all.running = "irqfd.host.dmesg";
	printf("    # start %s\n", all.running);
	if (fd < 0) {
		result(SKIP, "/dev/kmsg cannot be read");
		return;
	}
	usleep(100000); /* work that is queued still runs */
	while ((n = read(fd, line, sizeof(line) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		if (n < 0)
			continue; /* overwritten before it was read */
		line[n] = '\0';
		text = strchr(line, ';');
		text = text ? text + 1 : line;
		text[strcspn(text, "\n")] = '\0';
		if (!is_report(text))
			continue;
		note("%.200s", text);
		bad++;
	}
	close(fd);
	result(bad ? FAIL : PASS, "%u lines of the kernel's log report a bug", bad);
}

static void test_state(unsigned long taint_before, unsigned int fds_before)
{
	const unsigned long t = taint();
	const unsigned int fds = count_fds();

	all.running = "irqfd.host.taint";
	printf("    # start %s\n", all.running);
	if (t == ULONG_MAX)
		result(SKIP, "/proc/sys/kernel/tainted cannot be read");
	else
		result(t == taint_before ? PASS : FAIL, "tainted was %lu, is %lu", taint_before, t);
	all.running = "irqfd.host.descriptors";
	printf("    # start %s\n", all.running);
	result(fds == fds_before ? PASS : ERROR, "%u descriptors are open, %u were", fds,
	       fds_before);
}

/* --- all ------------------------------------------------------------------------------------ */

enum {
	OPT_SECONDS = 's',
	OPT_CYCLES = 'c'
};

static error_t parse(int key, char *arg, struct argp_state *st)
{
	char *end;

	switch (key) {
	case OPT_SECONDS:
		options.seconds = strtod(arg, &end);
		if (*end || !(options.seconds >= 0) || options.seconds > 1e6)
			argp_error(st, "--seconds %s: no number of seconds", arg);
		return 0;
	case OPT_CYCLES:
		options.cycles = strtoul(arg, &end, 10);
		if (*end || !options.cycles)
			argp_error(st, "--cycles %s: no number", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const char *argp_program_version = "assay-irqfd " ASSAY_VERSION;

static const struct argp argp = {
	.options = (const struct argp_option[]){ { "seconds", OPT_SECONDS, "N", 0,
						   "time for the races; default: 30", 0 },
						 { "cycles", OPT_CYCLES, "N", 0,
						   "at most so many cycles of each race", 0 },
						 { 0 } },
	.parser = parse,
	.doc = "Races assignment, deassignment, write and close of KVM's irqfds and reports in KTAP.\v"
	       "Exit status: 0 all passed, 1 a FAIL, 2 an ERROR, 4 usage, 77 when KVM cannot be used.",
};

static int open_kvm(void)
{
	all.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (all.kvm < 0)
		return failed("/dev/kvm");
	if (ioctl(all.kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return failed("KVM's API version is not %d", KVM_API_VERSION);
	if (ioctl(all.kvm, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD) <= 0) {
		errno = EOPNOTSUPP;
		return failed("KVM_CAP_IRQFD");
	}
	return 0;
}

static int status(void)
{
	if (all.fail)
		return STATUS_FAIL;
	if (all.error)
		return STATUS_ERROR;
	return all.pass ? STATUS_OK : STATUS_SKIPPED;
}

static void run_all(void)
{
	const unsigned long taint_before = taint();
	const int kmsg = kmsg_open();
	unsigned int fds;
	pthread_t t;

	for (unsigned int i = 0; i < 2; i++) {
		sem_init(&helpers[i].go, 0, 0);
		atomic_store(&helpers[i].done, true);
		if (pthread_create(&helpers[i].thread, NULL, helper_main, &helpers[i]))
			abort();
	}
	if (pthread_create(&t, NULL, watchdog, NULL))
		abort();
	fds = count_fds();
	test_delivery("irqfd.delivery.msi", false, GSI_MSI);
	test_delivery("irqfd.delivery.pin", false, GSI_PIN);
	test_delivery("irqfd.delivery.split", true, GSI_MSI);
	test_resample("irqfd.delivery.resample");
	for (size_t i = 0; i < WAYS; i++)
		race(&ways[i], (uint64_t)(options.seconds * NS) / WAYS);
	test_state(taint_before, fds);
	test_kmsg(kmsg);
}

int main(int argc, char **argv)
{
	if (argp_parse(&argp, argc, argv, 0, NULL, NULL))
		return STATUS_USAGE;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n# assay-irqfd " ASSAY_VERSION "\n");
	if (open_kvm()) {
		printf("1..0 # SKIP %s\n# end\n", trouble);
		return STATUS_SKIPPED;
	}
	printf("1..1\n    KTAP version 1\n    # Subtest: irqfd\n    1..%zu\n", WAYS + 7);
	run_all();
	printf("%sok 1 irqfd\n", all.fail || all.error ? "not " : "");
	printf("# irqfd: %lu close cycles in %.1f s\n", all.closes, (double)all.close_ns / NS);
	printf("# Totals: pass:%u fail:%u xfail:0 xpass:0 skip:%u error:%u\n# end\n", all.pass,
	       all.fail, all.skip, all.error);
	return status();
}
