unit-virtio := tests/unit/fake_virtio.c drivers/virtio/virtio.c drivers/virtio/vq.c drivers/virtio/split.c lib/dma.c
unit-tests += virtio_split virtio_init
unit-virtio_split := $(unit-virtio)
unit-virtio_init := $(unit-virtio) drivers/virtio/rng.c
unit-refdev := tests/unit/fake_guest.c host/common/page_state.c host/peer/peer.c host/peer/control.c \
	$(addprefix host/refdev/,ring.c mem.c log.c faults.c config.c conn.c device.c transport.c)
unit-tests += refdev_ring
unit-refdev_ring := $(unit-refdev)
unit-tests += refdev_vsock refdev_vhost refdev_config
unit-refdev_vsock := $(unit-refdev)
unit-refdev_vhost := $(unit-refdev) host/refdev/vhost_user.c
unit-refdev_config := host/refdev/config.c host/refdev/faults.c drivers/virtio/vsock_config.c
unit-tests += vsock_config
unit-vsock_config := drivers/virtio/vsock_config.c
unit-tests += vsock
unit-vsock := $(unit-virtio) $(addprefix drivers/virtio/,vsock.c vsock_conn.c vsock_config.c)
unit-tests += lib_text lib_mem lib_acpi lib_pci
unit-lib_text := lib/glob.c
