# SPDX-License-Identifier: BSD-2-Clause
# `make help` names the targets. Each works from a clean clone: set-up comes first.
O ?= build
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo 0)
MAKEFLAGS += --no-print-directory
JOBS ?= $(shell nproc)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

# --- targets for people: set-up, then the real rules with its results -----------------------
.PHONY: all run test unit faults bench bench-boot nested nested-regression lint format fuzz clean help \
	setup dist images
setup:
	@mkdir -p $(O)
	@scripts/setup --env $(O)/setup.env $(COMPONENTS)

inner = +@$(MAKE) -s -j$(JOBS) SETUP=1

all: setup
	$(inner) build
run: setup
	$(inner) build
	@$(O)/assay run --host ref
test: setup
	$(inner) build units
	@scripts/test $(O)
unit: setup
	$(inner) units
	@scripts/test $(O) unit
faults: setup
	$(inner) build
	@$(O)/assay faults
bench: setup
	$(inner) build
	@scripts/bench $(O)
bench-boot: setup
	$(inner) build
	@scripts/bench-boot $(O)
images: setup
	$(inner) build
	@echo "$(O)/assay.elf $(O)/assay.efi $(O)/assay.img"
lint: setup
	@scripts/setup lint
	$(inner) lint-all
format:
	@scripts/setup lint
	@git ls-files '*.c' '*.h' | xargs clang-format -i
fuzz: setup
	@scripts/setup fuzz
	$(inner) fuzz-all
clean:
	rm -rf $(O)
help:
	@echo "make run         set-up, build, boot the payload under QEMU/OVMF against the reference host"
	@echo "make test        set-up, build, all tests; ends with 'N passed, N failed, N skipped'"
	@echo "make unit        unit tests on the host only"
	@echo "make faults      every injected host fault must be caught"
	@echo "make bench       throughput and latency of vsock"
	@echo "make bench-boot  from QEMU's start to the first line, PVH and OVMF"
	@echo "make lint        clang-format, clang-tidy, cppcheck, shellcheck"
	@echo "make fuzz        the drivers facing a hostile device"
	@echo "make images      assay.elf (PVH), assay.efi, assay.img (ESP disk)"
	@echo "O=DIR            another build folder than build/"

ifdef SETUP
include $(O)/setup.env

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wvla -Wundef -Wwrite-strings

# --- the payload ---------------------------------------------------------------------------
GCC_INC := $(shell gcc -print-file-name=include)
G_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fpie -fvisibility=hidden -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
	-ffunction-sections -fdata-sections -nostdinc -isystem $(PICOLIBC)/include -isystem $(GCC_INC) \
	-I. $(WARN)
EFI_CFLAGS := -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 -fshort-wchar -maccumulate-outgoing-args

g_src := $(wildcard lib/*.c lib/x86_64/*.c lib/x86_64/*.S drivers/virtio/*.c kvmpv/*.c tests/*.c) \
	boot/mem_map.c boot/ap.S
g_obj := $(patsubst %,$(O)/guest/%.o,$(basename $(g_src)))
pvh_obj := $(O)/guest/boot/pvh.c.o $(O)/guest/boot/pvh.S.o
g_obj := $(patsubst %,$(O)/guest/%.o,$(g_src))
efi_obj := $(O)/guest/boot/efi.c.o
libgcc := $(shell gcc -print-libgcc-file-name)

$(O)/guest/lib/main.c.o: G_CFLAGS += -DASSAY_VERSION='"$(VERSION)"'
$(O)/guest/boot/efi.c.o: G_CFLAGS += $(EFI_CFLAGS)
$(O)/guest/%.c.o: %.c $(O)/setup.env
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@gcc $(G_CFLAGS) -MMD -MP -c $< -o $@
$(O)/guest/%.S.o: %.S
	@mkdir -p $(@D)
	@echo "  AS      $<"
	@gcc -I. -MMD -MP -g -c $< -o $@

$(O)/assay.elf: $(g_obj) $(pvh_obj) linker/payload.lds
	@echo "  LD      $@"
	@ld -static -nostdlib --gc-sections -z noexecstack -z max-page-size=4096 --no-warn-rwx-segments \
		-T linker/payload.lds -o $@ $(g_obj) $(pvh_obj) --start-group $(PICOLIBC)/lib/libc.a $(libgcc) --end-group

EFI_MAX := 262144
$(O)/assay.efi: $(g_obj) $(efi_obj) linker/efi.lds
	@echo "  LD      $@"
	@ld -shared -Bsymbolic -nostdlib -znocombreloc -z noexecstack --gc-sections --no-undefined \
		--no-warn-rwx-segments -T linker/efi.lds -o $@.so /usr/lib/crt0-efi-x86_64.o \
		$(g_obj) $(efi_obj) --start-group $(PICOLIBC)/lib/libc.a $(libgcc) /usr/lib/libgnuefi.a --end-group
	@objcopy -j .text -j .reloc -j .rodata -j .data -j .dynamic -j .rela -j .dynsym -j .dynstr -j .bss \
		--strip-unneeded --output-target efi-app-x86_64 --subsystem 10 $@.so $@
	@size=$$(stat -c %s $@); [ $$size -le $(EFI_MAX) ] || \
		{ echo "$@ has $$size bytes, more than $(EFI_MAX)"; rm $@; exit 1; }

$(O)/assay.img: $(O)/assay.efi
	@echo "  IMG     $@"
	@images/esp $@ $<

# --- the host's programs --------------------------------------------------------------------
H_CFLAGS := -std=gnu11 -O2 -g -D_GNU_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -I. $(WARN) \
	-DASSAY_VERSION='"$(VERSION)"'
common_obj := $(patsubst %,$(O)/host/%.o,$(wildcard host/common/*.c)) $(O)/host/lib/glob.c.o
peer_obj := $(patsubst %,$(O)/host/%.o,$(filter-out host/peer/main.c,$(wildcard host/peer/*.c)))
cli_obj := $(patsubst %,$(O)/host/%.o,$(wildcard host/cli/*.c)) $(O)/host/host/peer/main.c.o
refdev_obj := $(patsubst %,$(O)/host/%.o,$(wildcard host/refdev/*.c))
refkvm_src := $(wildcard host/refkvm/*.c) host/common/page_state.c

$(O)/host/%.c.o: %.c
	@mkdir -p $(@D)
	@echo "  HOSTCC  $<"
	@gcc $(H_CFLAGS) -MMD -MP -c $< -o $@
$(O)/assay: $(cli_obj) $(peer_obj) $(common_obj)
	@echo "  HOSTLD  $@"
	@gcc -o $@ $^ -lcjson -lz
$(O)/assay-refdev: $(refdev_obj) $(peer_obj) $(common_obj)
	@echo "  HOSTLD  $@"
	@gcc -o $@ $^ -lz
$(O)/refkvm.so: $(refkvm_src) $(wildcard host/refkvm/*.h host/common/*.h)
	@echo "  PLUGIN  $@"
	@gcc $(H_CFLAGS) -fPIC -fvisibility=hidden -shared $$(pkg-config --cflags glib-2.0) -o $@ $(refkvm_src)

# --- unit tests and fuzzers ------------------------------------------------------------------
include tests/unit/unit.mk
include tests/fuzz/fuzz.mk
unit_bin := $(patsubst %,$(O)/unit/%,$(unit-tests))
define unit_rule
$(O)/unit/$(1): tests/unit/test_$(1).c $(unit-$(1))
	@mkdir -p $$(@D)
	@echo "  UNIT    $(1)"
	@gcc $$(H_CFLAGS) -Wno-missing-prototypes -O1 -fsanitize=address,undefined -MMD -MP -o $$@ $$(filter %.c,$$^) -lcmocka -lz -lcjson
endef
$(foreach t,$(unit-tests),$(eval $(call unit_rule,$(t))))
define fuzz_rule
$(O)/fuzz/$(1): tests/fuzz/fuzz_$(1).c $(fuzz-$(1))
	@mkdir -p $$(@D)
	@echo "  FUZZ    $(1)"
	@clang -std=gnu11 -g -O1 -D_GNU_SOURCE -I. -fsanitize=fuzzer,address,undefined -MMD -MP -o $$@ $$(filter %.c,$$^) -lz
endef
$(foreach t,$(fuzz-tests),$(eval $(call fuzz_rule,$(t))))

.PHONY: build units fuzz-all lint-all
build: $(O)/assay.elf $(O)/assay.efi $(O)/assay.img $(O)/assay $(O)/assay-refdev $(O)/refkvm.so
units: $(unit_bin)
fuzz-all: $(patsubst %,$(O)/fuzz/%,$(fuzz-tests))
	@for f in $^; do echo "fuzz: $$f"; $$f -max_total_time=$${FUZZ_SECONDS:-60} -print_final_stats=0 || exit 1; done
lint-all:
	@scripts/lint "$(G_CFLAGS)" "$(EFI_CFLAGS)" "$(H_CFLAGS)"

-include $(shell find $(O) -name '*.d' 2>/dev/null)
endif
