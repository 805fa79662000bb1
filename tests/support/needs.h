/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a test may need of its host, probed once a boot (NEED() beside the code that can tell). A
 * need asks whether something is there, never whether it works: what a host offers and cannot do is
 * a FAIL.
 */
#ifndef TESTS_SUPPORT_NEEDS_H
#define TESTS_SUPPORT_NEEDS_H

enum {
	NEED_SMP = 1ull << 0, /* more than one CPU online */
	NEED_ACPI = 1ull << 1,
	NEED_PCI = 1ull << 2,
	NEED_VIRTIO = 1ull << 3, /* any modern virtio device */
	NEED_VIRTIO_PCI = 1ull << 4,
	NEED_VIRTIO_MMIO = 1ull << 5,
	NEED_MSIX = 1ull << 6, /* a virtio device with MSI-X */
	NEED_RNG = 1ull << 7,
	NEED_VSOCK = 1ull << 8, /* a vsock device */
	NEED_PEER = 1ull << 9, /* a peer on the host: promised (vsock.peer=), or one that answers */
	NEED_MULTI_CID = 1ull << 10,	/* more than one guest CID */
	NEED_HOST_CIDS = 1ull << 11,	/* additional host CIDs */
	NEED_SEQPACKET = 1ull << 12,	/* offered, and the peer can */
	NEED_HOST_CONNECT = 1ull << 13, /* the peer can connect to the guest */
	NEED_GUEST_ADDRS = 1ull << 14,	/* the peer reports which CID it saw */
	NEED_DEVICE_CTL = 1ull << 15,	/* the peer lives in the device */
	NEED_PEER_CREDIT = 1ull << 16,	/* the peer reports credit and sets its buffer */
	NEED_PEER_RESET = 1ull << 17,
	NEED_HALF_CLOSE = 1ull << 18,
	NEED_KVM = 1ull << 20, /* kvmpv.*: see tests/kvmpv/ */
	NEED_PROTECT = 1ull << 21,
	NEED_MEM_STATE = 1ull << 22,
	NEED_CID_LIST = 1ull << 24,	   /* a configuration that lists CIDs, be it one */
	NEED_VSOCK_DEVICES = 1ull << 32,   /* more than one vsock device */
	NEED_VIRTIO_FUNCTION = 1ull << 33, /* what says that it is virtio, usable or not */
	NEED_PACKED = 1ull << 34,	   /* a rng or vsock device with packed rings */
	NEED_IOMMU = 1ull << 35,	   /* an IOMMU of any kind */
	NEED_ENDPOINT = 1ull << 36,	   /* a DMA agent behind it */
	NEED_READER = 1ull << 37,	   /* one that reads and writes */
	NEED_ENDPOINTS = 1ull << 38,	   /* two that write */
	NEED_VIOMMU = 1ull << 39,	   /* a virtio-iommu */
	NEED_VTD = 1ull << 40,		   /* an Intel VT-d unit */
};

#endif
