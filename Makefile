# SPDX-License-Identifier: BSD-2-Clause
# `make help` names the targets. Each works from a clean clone: set-up comes first.
#
# The file is read twice. First without set-up's results, when not even a compiler may be there: that
# part has the targets for people. Each of them runs scripts/setup, then this file again with
# SETUP=1: that part has the real rules, and the paths that set-up wrote to $(O)/setup.env.
O ?= build
JOBS ?= $(shell nproc)
Q := $(if $(V),,@)
MAKEFLAGS += --no-print-directory -r

# What is empty here is a mistake, such as a shell's variable that is not set; -j without a number knows no bound.
$(foreach v,O CC LD OBJCOPY JOBS,$(if $(or $(strip $($v)),$(filter default undefined,$(origin $v))),,$(error $v=: it is empty)))
ifneq ($(origin JOBS),file)
$(if $(shell echo '$(subst ',x,$(JOBS))' | grep -xE '[1-9][0-9]?'),,$(error JOBS=$(JOBS): a number from 1 to 99 is wanted))
endif
# Make knows no names with blanks.
$(if $(filter-out 1,$(words $(O))),$(error O=$(O): the build folder's name has a blank; choose one without))
# The compiler, as usual: make CC=gcc-13 CFLAGS=-O0 WERROR=0. GUEST_CFLAGS is the payload's.
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin LD),default)
LD := ld
endif
OBJCOPY ?= objcopy
WERROR ?= 1
# make -s says nothing but errors.
export SILENT ?= $(findstring s,$(filter-out -%,$(firstword $(MAKEFLAGS))))
say = $(if $(SILENT),@:,@echo "  $(1)")

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# --- targets for people ----------------------------------------------------------------------
.PHONY: setup all run test unit faults mutants mutants-ci bench bench-boot hosts matrix chaos nested nested-all linux-guest nested-regression images dist \
	lint format fuzz conformance \
	clean help
# Jobs come from the first make where it has some. Two at a time would link what the other one is writing.
inner = +@exec 7>"$(O)/build.lock"; flock -n 7 || { echo "another make builds in $(O): it is waited for" >&2; flock 7; }; \
	$(MAKE) -s $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS)) SETUP=1

setup:
	@mkdir -p $(O)
	@scripts/setup --env $(O)/setup.env

all: setup
	$(inner) build
# Every test on one of three hosts, which run beside each other: firmware takes its time, so the others have what lasts.
run: setup
	$(inner) build
	@$(O)/assay run --host ref:-irq.storm,-virtio.ring,-hostile,-vsock.shapes,-vsock.states \
		--host ref-protected:kvmpv,vsock.stream,vsock_protected,irq.storm \
		--host ref-mmio:virtio.mmio,virtio.ring,vsock.credit,vsock.shapes,vsock.states,hostile
# Fuzzers run for some seconds where clang can build them; `make fuzz` sets it up and runs them for long.
can_fuzz = $(shell echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | \
	clang -fsanitize=fuzzer -x c - -o /dev/null 2>/dev/null && echo fuzzers)
# So is the tool that lists mutants.
can_mutate = $(shell [ -e "$$(clang -print-resource-dir 2>/dev/null)/../../../include/clang-c/Index.h" ] && echo mutants-files)
test: setup
	$(inner) build units $(can_fuzz) $(can_mutate)
	@scripts/test $(O)
unit: setup
	$(inner) units
	@scripts/test $(O) unit
faults: setup
	$(inner) build
	@$(O)/assay faults
# What the suite does not see: changes of the reference host that nobody chose (scripts/mutants has the variables).
mutants: setup
	@scripts/setup mutants
	$(inner) mutants-files $(if $(filter drivers,$(OF)),units)
	@scripts/mutants $(O)
mutants-ci: setup
	@scripts/setup mutants
	$(inner) mutants-files
	@scripts/test $(O) mutants
bench: setup
	$(inner) build
	@scripts/bench $(O)
bench-boot: setup
	$(inner) build
	@scripts/bench-boot $(O)
hosts: setup
	@scripts/setup --env $(O)/setup.env qemu-7.2 qemu-10.0 vhost-device-vsock
	$(inner) build
	@scripts/hosts $(O)
chaos: setup
	$(inner) build
	@scripts/chaos $(O)
matrix: setup
	$(inner) build
	@scripts/matrix $(O)
nested: setup
	@scripts/setup --env $(O)/setup.env nested
	$(inner) build
	@$(O)/assay run --host nested
nested-all: setup
	@scripts/setup --env $(O)/setup.env nested
	$(inner) build
	@$(O)/assay run --host nested --tests '*'
linux-guest: setup
	@scripts/setup --env $(O)/setup.env nested
	$(inner) build
	@$(O)/assay run --host linux-guest
nested-regression: setup
	@scripts/setup --env $(O)/setup.env nested-regression
	$(inner) build
	@scripts/nested-regression $(O)
images: setup
	$(inner) build
	@echo "$(O)/assay.elf (PVH), $(O)/assay.efi, $(O)/assay.img (ESP disk)"
dist: setup
	$(inner) dist-files
lint: setup
	@scripts/setup lint
	$(inner) lint-all
conformance: setup
	$(inner) build
	@scripts/conformance $(O)
format:
	@scripts/setup lint
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i
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
	@echo "make mutants     changes the reference host at random places: which of them does the suite see?"
	@echo "                 OF=drivers: the guest's drivers; do the unit tests and the payload see it?"
	@echo "                 SAMPLE=100 SEED=N FILE=GLOB HOST=NAME,...; make mutants-ci: 30 of them, 80 % or it fails"
	@echo "make bench       throughput and latency of vsock"
	@echo "make bench-boot  from QEMU's start to the first line, PVH and OVMF"
	@echo "make hosts       the payload on QEMU 7.2, 10.0 and 11.1, with devices of other projects"
	@echo "make chaos       SEEDS=20 runs on a device that answers at random: each must end with a report"
	@echo "make matrix      subsets of features, kinds of interrupts and SHUFFLES=10 random orders on healthy hosts"
	@echo "make nested      the payload on real KVM and vhost-vsock, inside an emulated machine: what they take part in, a minute"
	@echo "make nested-all  the same with every test, two minutes"
	@echo "make linux-guest a Linux guest with its own driver on the reference device"
	@echo "make nested-regression  a broken vhost_vsock module is caught there, the healthy one passes"
	@echo "make images      assay.elf (PVH), assay.efi, assay.img (ESP disk)"
	@echo "make dist        an archive with the images and the programs"
	@echo "make lint        clang-format, layers, shellcheck, cppcheck, clang-tidy, until one objects;"
	@echo "                 LINT_SINCE=REF only what differs from that commit, LINT_ALL=1 all of them"
	@echo "make format      clang-format, in place"
	@echo "make conformance docs/conformance.md, from the clauses that the tests name"
	@echo "make fuzz        the drivers facing a hostile device, FUZZ_SECONDS=60 or FUZZ_RUNS=N each"
	@echo "make clean       removes the build folder; downloads stay in the cache"
	@echo "O=DIR            another build folder than build/"
	@echo "JOBS=N, V=1, -s  jobs at once (all CPUs); show the commands; say nothing"
	@echo "CC=, CFLAGS=, LDFLAGS=, LD=, OBJCOPY=, GUEST_CFLAGS=  tools, and flags behind the own ones"
	@echo "WERROR=0         warnings are no errors (newer compilers know more of them)"

ifdef SETUP
# --- the real rules --------------------------------------------------------------------------
include $(O)/setup.env
# A release archive has no history: there the version stands in a file.
VERSION := $(or $(shell cat VERSION 2>/dev/null),$(shell git describe --always --dirty 2>/dev/null),0)

.PHONY: build units fuzzers fuzz-all mutants-files lint-all dist-files FORCE

# $(call stamp,FILE,TEXT): a file that changes only when its text does.
stamp = $(shell mkdir -p $(dir $(1)); echo '$(2)' | cmp -s - $(1) || echo '$(2)' >$(1))

WARN := -Wall -Wextra $(if $(filter 0,$(WERROR)),,-Werror) -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wundef \
	-Wwrite-strings

# --- the payload
GCC_INC := $(shell $(CC) -print-file-name=include)
libgcc := $(shell $(CC) -print-libgcc-file-name)
# A folder named by an architecture has what only that one has.
ARCH := x86_64
include boot/$(ARCH)/arch.mk
# Position-independent, since the same objects go into the EFI image.
G_CFLAGS := -std=gnu11 -Os -g -ffreestanding -fpie -fvisibility=hidden $(ARCH_CFLAGS) \
	-fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -ffunction-sections \
	-fdata-sections -nostdinc -isystem "$(PICOLIBC)/include" -isystem "$(GCC_INC)" -I. -Ilib/$(ARCH)/include $(WARN) $(GUEST_CFLAGS)
EFI_CFLAGS := -isystem /usr/include/efi -isystem /usr/include/efi/$(ARCH) -fshort-wchar $(ARCH_EFI_CFLAGS)
G_LDFLAGS := -nostdlib --gc-sections -z noexecstack --no-warn-rwx-segments

g_dirs := lib drivers/virtio drivers/agent drivers/iommu kvmpv $(addprefix tests/,boot irq virtio vsock hostile kvmpv iommu bench support)
# Of boot/, efi* is the entry of the EFI image, elf* that of the other; the rest is in both.
efi_unpack := boot/efi_unpack.c
efi_entry := $(filter-out $(efi_unpack),$(wildcard boot/efi*.c boot/$(ARCH)/efi*.c))
elf_entry := $(wildcard boot/$(ARCH)/elf*.[cS])
entries := $(efi_entry) $(efi_unpack) $(elf_entry)
g_src := $(filter-out $(entries),$(wildcard $(foreach d,$(g_dirs),$(d)/*.c $(d)/$(ARCH)/*.[cS]) \
	tests/$(ARCH)/*.c boot/*.c boot/$(ARCH)/*.[cS]))
g_obj := $(patsubst %,$(O)/guest/%.o,$(g_src))
elf_obj := $(patsubst %,$(O)/guest/%.o,$(elf_entry))
efi_obj := $(patsubst %,$(O)/guest/%.o,$(efi_entry))
# The program that unpacks the EFI image, and what it has in common with the payload.
unpack_obj := $(patsubst %,$(O)/guest/%.o,$(efi_unpack) boot/efi_packed.S boot/$(ARCH)/efi_reloc.c lib/config_section.c)
g_libs := --start-group "$(PICOLIBC)/lib/libc.a" "$(libgcc)"

$(O)/guest/boot/efi.c.o $(O)/guest/$(efi_unpack).o: G_CFLAGS += $(EFI_CFLAGS)
g_stamp := $(O)/guest/flags
$(call stamp,$(g_stamp),$(G_CFLAGS) $(EFI_CFLAGS) $(G_LDFLAGS))
$(O)/guest/%.c.o: %.c $(g_stamp)
	@mkdir -p $(@D)
	$(call say,CC      $<)
	$(Q)$(CC) $(G_CFLAGS) -MMD -MP -c $< -o $@
$(O)/guest/%.S.o: %.S $(g_stamp)
	@mkdir -p $(@D)
	$(call say,AS      $<)
	$(Q)$(CC) -I. $(S_FLAGS) -MMD -MP -g -c $< -o $@

# A source that is gone is no newer file: what is linked depends on the list as well.
g_list := $(O)/guest/objects
$(call stamp,$(g_list),$(g_obj) $(elf_obj) $(efi_obj))
$(O)/assay.elf: $(g_obj) $(elf_obj) linker/payload.lds $(g_list)
	$(call say,LD      $@)
	$(Q)$(LD) -static $(G_LDFLAGS) -z max-page-size=4096 $(ELF_LDFLAGS) -T linker/payload.lds -o $@ $(g_obj) $(elf_obj) \
		$(g_libs) --end-group

# Two shared objects, which GNU-EFI's start-up code relocates: the payload, and the program that has it in packed form and
# unpacks it. objcopy makes a PE file of the latter.
# GNU-EFI's start-up code; distributions keep it in different folders. Since version 4 it calls _entry(), of a
# library that is not needed here, in place of efi_main().
EFI_CRT0 := $(firstword $(wildcard $(foreach d,/usr/lib /usr/lib/gnuefi /usr/lib64/gnuefi /usr/lib/x86_64-linux-gnu/gnuefi,\
	$(d)/crt0-efi-$(ARCH).o $(d)/$(ARCH)/crt0-efi-$(ARCH).o)) /usr/lib/crt0-efi-$(ARCH).o)
EFI_LINK = $(Q)$(LD) -shared -Bsymbolic -znocombreloc -z pack-relative-relocs --no-undefined --defsym=_entry=efi_main $(G_LDFLAGS) \
	-T linker/efi.lds -o $@ $(EFI_CRT0) $(filter %.o,$^) $(g_libs) --end-group
sections = $(1:%=-j %)
$(O)/assay.efi.so: $(g_obj) $(efi_obj) linker/efi.lds $(g_list)
	$(call say,LD      $@)
	$(EFI_LINK)
$(O)/gen/payload.bin: $(O)/assay.efi.so
	$(Q)$(OBJCOPY) $(call sections,.head .text .rodata .data .dynamic .rela .relr.dyn) -O binary $< $@
$(O)/gen/payload.lz4: $(O)/gen/payload.bin
	$(Q)lz4 -q -f -12 -B7 --content-size --no-frame-crc $< $@
$(O)/guest/boot/efi_packed.S.o: $(O)/gen/payload.lz4 $(O)/gen/payload.bin
$(O)/guest/boot/efi_packed.S.o: S_FLAGS := -Wa,-I$(O)/gen
$(O)/unpack.efi.so: $(unpack_obj) linker/efi.lds $(g_list)
	$(call say,LD      $@)
	$(EFI_LINK)
$(O)/assay.efi: $(O)/unpack.efi.so
	$(call say,PE      $@)
	$(Q)$(OBJCOPY) $(call sections,.text .reloc .rodata .data .config .dynamic .rela .relr.dyn .bss) --rename-section .relr.dyn=.relr \
		--strip-unneeded --output-target $(EFI_TARGET) --subsystem 10 $< $@

$(O)/assay.img: $(O)/assay.efi images/esp
	$(call say,IMG     $@)
	$(Q)images/esp $@ $<

# --- the host's programs
H_CFLAGS := -std=gnu11 -O2 -g -D_GNU_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -I. -Ilib/$(ARCH)/include -I$(O)/gen $(WARN) $(CFLAGS)
# A release archive has the libraries beside the programs.
H_LIBS := $(LDFLAGS) -Wl,-rpath,'$$ORIGIN/lib' -Wl,--as-needed -lcjson -lz -lpthread
h_obj = $(patsubst %,$(O)/host/%.o,$(1))
common_obj := $(call h_obj,$(wildcard host/common/*.c) lib/glob.c)
peer_obj := $(call h_obj,$(filter-out host/peer/main.c,$(wildcard host/peer/*.c)))
cli_obj := $(call h_obj,$(wildcard host/cli/*.c host/peer/main.c))
refdev_obj := $(call h_obj,$(wildcard host/ref/dev/*.c host/ref/fault/*.c))
# QEMU plugins: libraries, with what they share in them.
plugins := refkvm refirq reffront refcpu
pic_obj = $(patsubst %,$(O)/pic/%.o,$(wildcard $(1)))
plugin_obj := $(call pic_obj,host/ref/plugin/*.c host/ref/fault/*.c host/common/injected.c host/common/page_state.c)

# Injected faults: each part lists its own, and the build makes the C enumeration of the list.
fault_parts := dev kvm front irq cpu
fault_ids := $(fault_parts:%=$(O)/gen/host/ref/%/fault_ids.h)
fault_lists := $(patsubst %,$(O)/ref%.faults,$(fault_parts))
$(fault_ids): $(O)/gen/host/ref/%/fault_ids.h: host/ref/%/faults host/ref/fault/ids.awk
	@mkdir -p $(@D)
	$(Q)awk -f host/ref/fault/ids.awk $< >$@.new && mv $@.new $@
$(fault_lists): $(O)/ref%.faults: host/ref/%/faults
	$(Q)install -m 644 $< $@

h_stamp := $(O)/host/flags
$(call stamp,$(h_stamp),$(H_CFLAGS) $(H_LIBS))
$(O)/host/%.c.o: %.c $(h_stamp) | $(fault_ids)
	@mkdir -p $(@D)
	$(call say,HOSTCC  $<)
	$(Q)$(CC) $(H_CFLAGS) -MMD -MP -c $< -o $@
h_list := $(O)/host/objects
$(call stamp,$(h_list),$(cli_obj) $(peer_obj) $(common_obj) $(refdev_obj) $(plugin_obj) $(wildcard tests/linux/*.c))
$(O)/assay: $(cli_obj) $(peer_obj) $(common_obj) $(h_list)
	$(call say,HOSTLD  $@)
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(H_LIBS)
# The peer for a host without libraries: the nested one's initramfs.
$(O)/assay-static: $(call h_obj,images/nested/peer.c host/peer/main.c) $(peer_obj) $(common_obj) $(h_list)
	$(call say,HOSTLD  $@)
	$(Q)$(CC) -static -o $@ $(filter %.o,$^) -lz -lpthread
# The first program of a Linux guest, with a table of tests like the payload's.
linux_guest_obj := $(call h_obj,$(wildcard tests/linux/*.c) lib/glob.c)
$(O)/linux-guest: $(linux_guest_obj) $(h_list)
	$(call say,HOSTLD  $@)
	$(Q)$(CC) -static -no-pie -Wl,--defsym=start_assay_tests=__start_assay_tests \
		-Wl,--defsym=stop_assay_tests=__stop_assay_tests -o $@ $(filter %.o,$^) -lz
$(O)/assay-refdev: $(refdev_obj) $(peer_obj) $(common_obj) $(h_list)
	$(call say,HOSTLD  $@)
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(H_LIBS)
# Static: it also runs in an initramfs.
$(O)/assay-irqfd: $(call h_obj,host/stress/irqfd.c)
	$(call say,HOSTLD  $@)
	$(Q)$(CC) -static -o $@ $^ -lpthread
P_CFLAGS := -fPIC -fvisibility=hidden $(shell pkg-config --cflags glib-2.0 2>/dev/null)
$(O)/pic/%.c.o: %.c $(h_stamp) | $(fault_ids)
	@mkdir -p $(@D)
	$(call say,PLUGCC  $<)
	$(Q)$(CC) $(H_CFLAGS) $(P_CFLAGS) -MMD -MP -c $< -o $@
# Undefined symbols are QEMU's.
define plugin_rule
$(O)/$(1).so: $$(call pic_obj,host/ref/$(1:ref%=%)/*.c) $$(plugin_obj) $$(h_list)
	$$(call say,PLUGLD  $$@)
	$$(Q)$(CC) -shared -o $$@ $$(filter %.o,$$^)
endef
$(foreach p,$(plugins),$(eval $(call plugin_rule,$(p))))

# --- the tool that lists mutants: clang's own library reads the sources
clang_dir := $(shell clang -print-resource-dir 2>/dev/null)
llvm := $(patsubst %/lib/clang/,%,$(dir $(clang_dir)))
mutate_obj := $(call h_obj,$(wildcard host/mutate/*.c) host/common/util.c)
$(call h_obj,$(wildcard host/mutate/*.c)): H_CFLAGS += -isystem $(llvm)/include
$(O)/assay-mutate: $(mutate_obj)
	$(call say,HOSTLD  $@)
	$(Q)$(CC) -o $@ $^ -L$(llvm)/lib -Wl,-rpath,$(llvm)/lib -lclang
# How scripts/mutants compiles and links.
define mutants_flags
CC $(CC)
H_CFLAGS $(H_CFLAGS)
P_CFLAGS $(H_CFLAGS) $(P_CFLAGS)
H_LIBS $(H_LIBS)
REFDEV_OBJ $(refdev_obj) $(peer_obj) $(common_obj)
REFKVM_OBJ $(call pic_obj,host/ref/kvm/*.c) $(plugin_obj)
CLANG_FLAGS -resource-dir $(clang_dir) -w $(filter -std=% -D% -I%,$(H_CFLAGS)) $(P_CFLAGS)
G_CFLAGS $(G_CFLAGS)
G_LINK $(LD) -static $(G_LDFLAGS) -z max-page-size=4096 $(ELF_LDFLAGS) -T linker/payload.lds
G_OBJ $(g_obj) $(elf_obj)
G_LIBS $(g_libs) --end-group
U_CFLAGS $(U_CFLAGS)
U_LINK $(CC) $(SANITIZE)
U_LIBS -lcmocka $(H_LIBS)
$(foreach t,$(unit-tests),UNIT $(t) $(or $(unit-link-$(t)),-) tests/unit/test_$(t).c $(unit-$(t))$(newline))
endef
define newline


endef
mutants-files: build $(O)/assay-mutate
	$(shell mkdir -p $(O)/mutants)$(file >$(O)/mutants/flags,$(mutants_flags))

# --- the version: only what names it is built again when it changes
v_stamp := $(O)/version
$(call stamp,$(v_stamp),$(VERSION))
v_src := $(shell grep -lw ASSAY_VERSION $(g_src) $(wildcard host/*/*.c host/*/*/*.c tests/linux/*.c))
$(foreach s,$(v_src),$(eval $(O)/guest/$(s).o $(O)/host/$(s).o: $(v_stamp)))
$(foreach s,$(v_src),$(eval $(O)/guest/$(s).o: G_CFLAGS += -DASSAY_VERSION='"$(VERSION)"'))
$(foreach s,$(v_src),$(eval $(O)/host/$(s).o: H_CFLAGS += -DASSAY_VERSION='"$(VERSION)"'))

# --- unit tests and fuzzers
include tests/unit/unit.mk
include tests/fuzz/fuzz.mk
SANITIZE := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
# Device registers are tests/unit's own: its arch/mmio.h comes first.
U_CFLAGS := -Itests/unit/include $(filter-out -O2 -D_FORTIFY_SOURCE=2 -Wmissing-prototypes,$(H_CFLAGS)) $(SANITIZE)
u_stamp := $(O)/unit/flags
$(call stamp,$(u_stamp),$(U_CFLAGS))
$(O)/unit/obj/%.c.o: %.c $(u_stamp) | $(fault_ids)
	@mkdir -p $(@D)
	$(call say,UNITCC  $<)
	$(Q)$(CC) $(U_CFLAGS) -MMD -MP -c $< -o $@
define unit_rule
$(O)/unit/$(1): $(patsubst %,$(O)/unit/obj/%.o,tests/unit/test_$(1).c $(unit-$(1)))
	$$(call say,UNITLD  $$@)
	$$(Q)$(CC) $$(SANITIZE) $$(unit-link-$(1)) -o $$@ $$^ -lcmocka $$(H_LIBS)
endef
$(foreach t,$(unit-tests),$(eval $(call unit_rule,$(t))))

F_CFLAGS := -std=gnu11 -g -O1 -D_GNU_SOURCE -I. -Ilib/$(ARCH)/include -I$(O)/gen -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined
f_stamp := $(O)/fuzz/flags
$(call stamp,$(f_stamp),$(F_CFLAGS))
$(O)/fuzz/obj/%.c.o: %.c $(f_stamp) | $(fault_ids)
	@mkdir -p $(@D)
	$(call say,FUZZCC  $<)
	$(Q)clang $(F_CFLAGS) -MMD -MP -c $< -o $@
define fuzz_rule
$(O)/fuzz/$(1): $(patsubst %,$(O)/fuzz/obj/%.o,tests/fuzz/fuzz_$(1).c $(fuzz-$(1)))
	$$(call say,FUZZLD  $$@)
	$$(Q)clang -fsanitize=fuzzer,address,undefined -o $$@ $$^ $$(H_LIBS)
endef
$(foreach t,$(fuzz-tests),$(eval $(call fuzz_rule,$(t))))

# --- what the targets for people ask for
build: $(O)/assay.elf $(O)/assay.efi $(O)/assay.img $(plugins:%=$(O)/%.so) $(fault_lists) \
	$(addprefix $(O)/,assay assay-refdev assay-static assay-irqfd linux-guest)
	@ln -sfn "$(CURDIR)" $(O)/source

units: $(unit-tests:%=$(O)/unit/%)
	@echo '$(unit-tests)' >$(O)/unit/list

fuzz_bin := $(patsubst %,$(O)/fuzz/%,$(fuzz-tests))
fuzzers: $(fuzz_bin)
	@echo '$(notdir $(fuzz_bin))' >$(O)/fuzz/list
fuzz-all: $(fuzz_bin)
	@scripts/fuzz $(O) $(fuzz_bin)

# The build makes headers that the linters read.
lint-all: build
	@G_CFLAGS='$(filter-out -maccumulate-outgoing-args,$(G_CFLAGS))' \
		EFI_CFLAGS='$(filter-out -maccumulate-outgoing-args,$(EFI_CFLAGS))' \
		H_CFLAGS='$(H_CFLAGS)' CC='$(CC)' scripts/lint $(O)

dist-files: build
	@scripts/dist $(O) $(VERSION)

# What the compiler saw included, of each object that a rule above makes.
all_obj := $(linux_guest_obj) $(g_obj) $(elf_obj) $(efi_obj) $(cli_obj) $(peer_obj) $(common_obj) $(refdev_obj) $(plugin_obj) \
	$(call h_obj,images/nested/peer.c $(wildcard host/stress/*.c)) \
	$(foreach p,$(plugins),$(call pic_obj,host/ref/$(p:ref%=%)/*.c)) \
	$(foreach t,$(unit-tests),$(patsubst %,$(O)/unit/obj/%.o,tests/unit/test_$(t).c $(unit-$(t)))) \
	$(foreach t,$(fuzz-tests),$(patsubst %,$(O)/fuzz/obj/%.o,tests/fuzz/fuzz_$(t).c $(fuzz-$(t))))
-include $(patsubst %.o,%.d,$(sort $(all_obj)))
endif
