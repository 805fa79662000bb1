/* SPDX-License-Identifier: BSD-2-Clause */
/* COM1 (16550) and QEMU's debug port, where they answer. */
#include "lib/console.h"

#include "lib/io.h"
#include "lib/x86_64/console.h"
#include "lib/x86_64/cpu.h"

#define COM1	 0x3f8
#define DEBUGCON 0x402
#define SPINS	 200000 /* a byte at 9600 baud takes 1 ms; more is a UART that hangs */

static struct {
	bool dead;
} uart;

static void uart_write(const char *s, size_t n)
{
	unsigned int spins;
	size_t i;

	for (i = 0; i < n && !uart.dead; i++) {
		for (spins = 0; !(io_in8(COM1 + 5) & 0x20); spins++) {
			if (spins > SPINS) {
				uart.dead = true;
				return;
			}
			__asm__ volatile("pause");
		}
		io_out8(COM1, (uint8_t)s[i]);
	}
}

static void debugcon_write(const char *s, size_t n)
{
	const uint16_t port = DEBUGCON;

	__asm__ volatile("rep outsb" : "+S"(s), "+c"(n) : "d"(port) : "memory");
}

static bool uart_probe(void)
{
	io_out8(COM1 + 7, 0x5a);
	if (io_in8(COM1 + 7) != 0x5a)
		return false;
	io_out8(COM1 + 1, 0);	 /* no interrupts */
	io_out8(COM1 + 3, 0x80); /* 115200 8n1 */
	io_out8(COM1 + 0, 1);
	io_out8(COM1 + 1, 0);
	io_out8(COM1 + 3, 3);
	io_out8(COM1 + 2, 7); /* FIFOs */
	io_out8(COM1 + 4, 3);
	return true;
}

void x86_consoles_init(void)
{
	static const struct console com1 = { "com1", uart_write };
	static const struct console debugcon = { "debugcon", debugcon_write };

	if (uart_probe())
		console_add(&com1);
	else if (io_in8(DEBUGCON) == 0xe9) /* what QEMU's and Bochs's port reads */
		console_add(&debugcon);
}
