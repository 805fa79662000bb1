/* SPDX-License-Identifier: BSD-2-Clause */
/* The peer alone, linked statically: it runs where no library is. */
#include "host/peer/peer.h"

int main(int argc, char **argv)
{
	return peer_main(argc, argv);
}
