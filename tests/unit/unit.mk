unit-virtio := tests/unit/fake_virtio.c drivers/virtio/virtio.c drivers/virtio/vq.c drivers/virtio/split.c lib/dma.c
unit-tests += virtio_split virtio_init
unit-virtio_split := $(unit-virtio)
unit-virtio_init := $(unit-virtio) drivers/virtio/rng.c
