fuzz-virtio := tests/unit/fake_virtio.c drivers/virtio/virtio.c drivers/virtio/without.c drivers/virtio/vq.c drivers/virtio/chain.c drivers/virtio/split.c drivers/virtio/packed.c lib/dma.c lib/device.c
fuzz-tests += split
fuzz-split := $(fuzz-virtio) tests/fuzz/tokens.c
fuzz-tests += packed
fuzz-packed := $(fuzz-virtio) tests/fuzz/tokens.c tests/unit/fake_packed.c
fuzz-refdev := host/common/page_state.c host/peer/peer.c host/peer/control.c \
	$(addprefix host/ref/dev/,ring.c ring_packed.c mem.c iotlb.c log.c faults.c config.c conn.c device.c transport.c chaos.c) \
	host/ref/fault/fault.c host/common/injected.c
fuzz-tests += refdev_packed
fuzz-refdev_packed := tests/unit/fake_guest.c $(fuzz-refdev)
fuzz-tests += refdev_tx
fuzz-refdev_tx := tests/unit/fake_guest.c $(fuzz-refdev)
fuzz-tests += vhost_user
fuzz-vhost_user := tests/fuzz/vmm.c $(fuzz-refdev) host/ref/dev/vhost_user.c host/ref/dev/usock.c
fuzz-tests += vfio_user
fuzz-vfio_user := tests/fuzz/vmm.c $(fuzz-refdev) $(addprefix host/ref/dev/,vfio_user.c virtio_pci.c virtio_admin.c pci_function.c usock.c)
fuzz-tests += vsock_rx
fuzz-vsock_rx := $(fuzz-virtio) $(addprefix drivers/virtio/,vsock.c vsock_conn.c vsock_config.c)
fuzz-tests += ktap
fuzz-ktap := $(report-src)
