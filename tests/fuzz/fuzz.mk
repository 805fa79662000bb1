fuzz-virtio := tests/unit/fake_virtio.c drivers/virtio/virtio.c drivers/virtio/vq.c drivers/virtio/split.c lib/dma.c
fuzz-tests += split
fuzz-split := $(fuzz-virtio)
