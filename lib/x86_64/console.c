/* SPDX-License-Identifier: BSD-2-Clause */
/* Drives 16550 UARTs at the ISA ports and QEMU's debug port, where they answer. */
#include "lib/console.h"

#include <stdbool.h>
#include <string.h>

#include "lib/arch.h"
#include "lib/cmdline.h"
#include "lib/x86_64/io.h"
#include "lib/time.h"
#include "lib/x86_64/console.h"
#include "lib/x86_64/cpu.h"

OPTION("console",
       "outputs, separated by commas: com1 to com4, debugcon; default: com1, else debugcon");

enum {
	UART_DATA,
	UART_IER,
	UART_FCR,
	UART_LCR,
	UART_MCR,
	UART_LSR,
	UART_SCR = 7
};
enum {
	LSR_EMPTY = 0x20,
	LCR_DLAB = 0x80,
	LCR_8N1 = 3,
	FCR_ON = 7,
	MCR_READY = 3,
	IIR_FIFO = 0xc0
};

#define DEBUGCON      0x402
#define DEBUGCON_READ 0xe9	 /* what QEMU's and Bochs's port reads */
#define STUCK_NS      (10 * SEC) /* a UART that takes nothing for so long is given up */
#define FIFO	      16

struct uart {
	uint16_t port;
	unsigned int burst; /* bytes that it takes when it is empty */
	bool dead;
};

static struct uart uarts[] = { { .port = 0x3f8 },
			       { .port = 0x2f8 },
			       { .port = 0x3e8 },
			       { .port = 0x2e8 } };

static bool uart_wait(const struct uart *u)
{
	return wait_for(io_in8((uint16_t)(u->port + UART_LSR)) & LSR_EMPTY, STUCK_NS);
}

static void uart_write(struct uart *u, const char *s, size_t n)
{
	size_t i;

	while (n && !u->dead) {
		if (!uart_wait(u)) {
			u->dead = true;
			return;
		}
		for (i = 0; i < u->burst && n; i++, n--)
			io_out8(u->port, (uint8_t)*s++);
	}
}

static void com1_write(const char *s, size_t n)
{
	uart_write(&uarts[0], s, n);
}

static void com2_write(const char *s, size_t n)
{
	uart_write(&uarts[1], s, n);
}

static void com3_write(const char *s, size_t n)
{
	uart_write(&uarts[2], s, n);
}

static void com4_write(const char *s, size_t n)
{
	uart_write(&uarts[3], s, n);
}

static void debugcon_write(const char *s, size_t n)
{
	const uint16_t port = DEBUGCON;

	__asm__ volatile("rep outsb" : "+S"(s), "+c"(n) : "d"(port) : "memory");
}

static const struct console consoles[] = {
	{ "com1", com1_write }, { "com2", com2_write },		{ "com3", com3_write },
	{ "com4", com4_write }, { "debugcon", debugcon_write },
};
#define CONSOLES (sizeof(consoles) / sizeof(consoles[0]))
#define UARTS	 (sizeof(uarts) / sizeof(uarts[0]))

static bool uart_probe(struct uart *u)
{
	const uint16_t p = u->port;

	if (u->burst)
		return true;
	io_out8((uint16_t)(p + UART_SCR), 0x5a);
	if (io_in8((uint16_t)(p + UART_SCR)) != 0x5a)
		return false;
	io_out8((uint16_t)(p + UART_IER), 0); /* no interrupts */
	io_out8((uint16_t)(p + UART_LCR), LCR_DLAB);
	io_out8((uint16_t)(p + UART_DATA), 1); /* 115200 */
	io_out8((uint16_t)(p + UART_IER), 0);
	io_out8((uint16_t)(p + UART_LCR), LCR_8N1);
	io_out8((uint16_t)(p + UART_FCR), FCR_ON);
	io_out8((uint16_t)(p + UART_MCR), MCR_READY);
	u->burst = (io_in8((uint16_t)(p + UART_FCR)) & IIR_FIFO) == IIR_FIFO ? FIFO : 1;
	return true;
}

static bool add(unsigned int i)
{
	if (i < UARTS ? !uart_probe(&uarts[i]) : io_in8(DEBUGCON) != DEBUGCON_READ)
		return false;
	return console_add(&consoles[i]) == 0;
}

void x86_consoles_init(void)
{
	if (!add(0))
		add(UARTS);
}

/* The console that a list's word of n bytes names; CONSOLES: none. */
static unsigned int find(const char *word, size_t n)
{
	unsigned int i;

	for (i = 0; i < CONSOLES; i++)
		if (strlen(consoles[i].name) == n && memcmp(consoles[i].name, word, n) == 0)
			break;
	return i;
}

bool arch_console_select(const char *list)
{
	bool cleared = false, all = true;
	unsigned int i;
	size_t n;

	for (; *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		i = find(list, n);
		if (i == CONSOLES || (i < UARTS && !uart_probe(&uarts[i])) ||
		    (i >= UARTS && io_in8(DEBUGCON) != DEBUGCON_READ)) {
			all = false;
			continue;
		}
		if (!cleared)
			console_clear();
		cleared = true;
		console_add(&consoles[i]);
	}
	return all;
}
