# tidemark - `make help` explains every target.
#
# Objects and tests of a flavour live in build/<flavour>/, so that plain and
# sanitized code never mix; the release programs are copied to build/bin/.

FLAVOUR ?= release
B       := build/$(FLAVOUR)
CC      := gcc
PREFIX  ?= /usr/local
VERSION := 0.1.0

WARN  := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
         -Wundef -Wpointer-arith -Wcast-qual -Wwrite-strings -Wimplicit-fallthrough
HARD  := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
LHARD := -pie -Wl,-z,relro,-z,now -Wl,--as-needed

OPT.release := -O2 -g -D_FORTIFY_SOURCE=2
# (-Wno: instrumented, the compiler no longer sees that a fixed pack_out is never grown, or that a name was set before its use)
OPT.asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-free-nonheap-object
OPT.tsan    := -O1 -g -fsanitize=thread -Wno-maybe-uninitialized
# (-Wno: clang counts tables that only sizeof sees, and does not read the comments that say "falls through")
OPT.fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-unneeded-internal-declaration -Wno-implicit-fallthrough
# Bugs that are put in on purpose, one at a time (src/base/planted.h).
OPT.planted := -O2 -g -D_FORTIFY_SOURCE=2 -DTIDEMARK_WITH_PLANTED
OPT         := $(OPT.$(FLAVOUR))

CPPFLAGS += -I. -Isrc -D_GNU_SOURCE
CFLAGS   += -std=gnu11 $(WARN) $(HARD) $(OPT)
LDFLAGS  += $(LHARD) $(filter -fsanitize=%,$(OPT))

# A folder is a library.  A program takes only the objects it refers to: that
# keeps OpenSSL out of the watcher and libinotifytools out of everything else.
FOLDERS := src/collector src/server src/keeper src/control replicator watcher journal src/release src/wire src src/base
MAINS   := tidemark tidemark-collector tidemark-watcher tidemark-server tidemark-keeper tidemark-dbcopy tidemark-release
# What a release holds, and the version of the one that tests upgrade to.
RELEASED := tidemark-collector tidemark-watcher tidemark-dbcopy
NEXT     := 999.0.0
libs    = $(foreach f,$(1),$(B)/lib/$(subst /,-,$(f)).a)
LIBS    := $(call libs,$(FOLDERS))

# What each program is made of: the other side's folders are out of its reach.
SHARED            := src/release src/wire src src/base
PARTS.tidemark           := src/control src/collector src/server $(SHARED)
PARTS.tidemark-collector := src/control src/collector replicator journal $(SHARED)
PARTS.tidemark-watcher   := src/control src/collector watcher journal $(SHARED)
PARTS.tidemark-server    := src/control src/server src/keeper $(SHARED)
PARTS.tidemark-keeper    := src/keeper src/server src/control $(SHARED)
PARTS.tidemark-dbcopy    := src/collector $(SHARED)
PARTS.tidemark-release   := $(SHARED)

LINK         := -levent_core -levent_extra -ljansson -lssl -lcrypto -lzstd -llmdb -lxxhash -lseccomp -lpthread
LINK.watcher := -linotifytools -levent_core -llmdb -lxxhash -lseccomp -lpthread

main_src = $(patsubst tidemark-%,src/%_main.c,$(patsubst tidemark,src/tidemark_main.c,$(1)))
objs     = $(patsubst %.c,$(B)/%.o,$(1))
UNIT    := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
TESTLIB := $(call objs,$(wildcard tests/lib/*.c))
GWSIM   := $(call objs,$(wildcard bench/gwsim/*.c))

.PHONY: all help demo test unit integration chaos lint analyze crash errors power watching disk network hostile harness-check fuzz asan tsan bench bench-full benches install clean programs
.SECONDARY:

all: programs		## build the programs into build/bin
	@mkdir -p build/bin
	@[ $(FLAVOUR) != release ] || for p in $(MAINS) gwsim; do cmp -s $(B)/bin/$$p build/bin/$$p || install -m 755 $(B)/bin/$$p build/bin/$$p; done
programs: $(MAINS:%=$(B)/bin/%) $(RELEASED:%=$(B)/next/%) $(B)/bin/gwsim tools

help:			## this text
	@awk -F':.*## *' '/^[a-z -]+:.*##/ { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo:			## the whole backup on real programs, in a fresh folder; PO=DIR for a tree of yours
	@./install-deps.sh test && $(MAKE) -s all && PO='$(PO)' tests/demo.sh
test:			## build, then every test that fits ten minutes
	@./install-deps.sh test && $(MAKE) -s all && tests/run.sh unit integration
unit:			## the unit tests of this FLAVOUR
	@tests/run.sh unit
integration:		## the tests of the real programs
	@tests/run.sh integration
chaos:			## random edits and random deaths, one seed after another; SEED=7 SEEDS=12
	@./install-deps.sh test && $(MAKE) -s all && tests/run.sh chaos
lint:			## layers, and libraries known to one file
	@tests/lint/layers.sh
analyze:		## clang-tidy, cppcheck and shellcheck at zero findings
	@./install-deps.sh analyze && tests/lint/analyze.sh
crash:			## every program killed at every call that changes something, and again on its way back; STRIDE=5 SEED=7: a fifth of them
	@./install-deps.sh test && $(MAKE) -s all && BIN=$(B)/bin tests/crash.sh
power:			## the disks of either side lose power at seeded writes; STATES=1000 SEED=7, ONLY=xfs
	@./install-deps.sh test && $(MAKE) -s all && BIN=$(B)/bin tests/power.sh
watching:		## races, overflows, watch limits, odd names and mounts: the replica is the live tree after each; SEED=7 ONLY=races|minute
	@./install-deps.sh test && $(MAKE) -s all && BIN=$(B)/bin tests/watching.sh
hostile:		## a hostile collector, a hostile server, hostile users; PART=collector ONLY=C7 SEED=3: some of it, with another seed
	@./install-deps.sh test && $(MAKE) -s all && BIN=$(B)/bin ONLY='$(ONLY)' tests/hostile.sh $(PART)
errors:			## every call of every program fails, with every error it can have; STRIDE=20 SEED=7: a twentieth of them; PLACES=dir: each place once
	@./install-deps.sh test && $(MAKE) -s all && BIN=$(B)/bin tests/errors.sh
harness-check:		## each planted bug is seen by the test that must see it; ONLY=part of a bug's name
	@./install-deps.sh test && $(MAKE) -s all && tests/harness-check.sh
disk:			## disks that fill, rot and break under both ends; SIZES=20 FLIPS=200 SEED=7 ONLY=full: less of it
	@./install-deps.sh test && $(MAKE) -s all && BIN=$(B)/bin tests/disk.sh
network:		## connections that are cut, stall and lie, ends that come back from another past; FAULTS=20 SEED=7 ONLY=faults: less
	@./install-deps.sh test && $(MAKE) -s all && BIN=$(B)/bin tests/network.sh
fuzz:			## libFuzzer on every decoder, T seconds each (60); ONLY=part of a name
	@./install-deps.sh fuzz && $(MAKE) -s all && $(MAKE) -s -j$$(nproc) FLAVOUR=fuzz CC=clang fuzzers && tests/fuzz/run.sh '$(or $(T),60)' '$(ONLY)'
asan tsan:		## the tests under a sanitizer
	@./install-deps.sh test && $(MAKE) -s FLAVOUR=$@ programs && FLAVOUR=$@ tests/run.sh unit integration
bench:			## speed beside other systems, in one run: some twelve minutes
	@./install-deps.sh bench && $(MAKE) -s all benches && bench/run.sh
bench-full:		## the same with large trees and scale series: hours
	@./install-deps.sh bench && $(MAKE) -s all benches && SCALE=full bench/run.sh
install: all		## install into DESTDIR/PREFIX
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' ./install.sh
clean:			## remove build/
	rm -rf build

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC $<'
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

define folder_rule
$(B)/lib/$(subst /,-,$(1)).a: $(call objs,$(filter-out %_main.c,$(wildcard $(1)/*.c)))
	@mkdir -p $$(@D) && rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_rule,$(f))))

$(B)/src/base/version.o: CPPFLAGS += -DTIDEMARK_VERSION='"$(VERSION)"'
$(B)/next/version.o: src/base/version.c
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) -DTIDEMARK_VERSION='"$(NEXT)"' $(CFLAGS) -c -o $@ $<

# main_rule(program, folder, objects that go before the archives)
define main_rule
$(B)/$(2)/$(1): $(call objs,$(call main_src,$(1))) $(3) $(call libs,$(PARTS.$(1)))
	@mkdir -p $$(@D)
	@echo '  LD $$@'
	@$(CC) $(LDFLAGS) -o $$@ $(call objs,$(call main_src,$(1))) $(3) -Wl,--start-group $(call libs,$(PARTS.$(1))) -Wl,--end-group $(if $(filter tidemark-watcher,$(1)),$(LINK.watcher),$(LINK))
endef
$(foreach p,$(MAINS),$(eval $(call main_rule,$(p),bin)))

# The same programs of a later version.
$(foreach p,$(RELEASED),$(eval $(call main_rule,$(p),next,$(B)/next/version.o)))

$(B)/bin/gwsim: $(GWSIM)
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(LDFLAGS) -o $@ $^ -lcrypto -lpthread -lm

# A unit test includes what it tests; the archives give it the rest.
$(B)/unit/%: $(B)/tests/unit/%.o $(TESTLIB) $(LIBS)
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(LIBS) -Wl,--end-group -lcmocka -linotifytools $(LINK) -lm
$(B)/unit/test_client: LDFLAGS += -Wl,--wrap=bind
$(B)/unit/test_jobs: LDFLAGS += -Wl,--wrap=fsync
$(B)/unit/test_staging: LDFLAGS += -Wl,--wrap=calloc
$(B)/unit/test_session $(B)/unit/test_session_state: LDFLAGS += -Wl,--wrap=calloc
$(B)/unit/test_identity: LDFLAGS += -Wl,--wrap=cert_pin
$(B)/unit/test_dbcopy_proof $(B)/unit/test_releases: LDFLAGS += -Wl,--wrap=readdir
$(B)/unit/test_world_memory: LDFLAGS += -Wl,--wrap=calloc -Wl,--wrap=journal_read
$(B)/unit/test_world_faults: LDFLAGS += $(foreach f,blockmap_apply work_new sweep_new origin_near_stat livetree_check livetree_open_dir journal_ack,-Wl,--wrap=$(f))
units: $(UNIT:%=$(B)/unit/%)

# A fuzz harness is a program of libFuzzer's in the flavour fuzz; in any other one it is a function of test_fuzz_corpus,
# under the harness's name.
FUZZ    := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZRIG := $(call objs,tests/fuzz/rig.c tests/lib/scratch.c)
$(B)/fuzz/%: $(B)/tests/fuzz/fuzz_%.o $(FUZZRIG) $(LIBS)
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $< $(FUZZRIG) -Wl,--start-group $(LIBS) -Wl,--end-group $(LINK)
fuzzers: $(FUZZ:%=$(B)/fuzz/%)
ifneq ($(FLAVOUR),fuzz)
$(B)/tests/fuzz/fuzz_%.o: CPPFLAGS += -DLLVMFuzzerTestOneInput=$(notdir $*)
endif
$(B)/tests/unit/test_fuzz_corpus.o: CPPFLAGS += -DFUZZ_TARGETS='$(foreach t,$(FUZZ),X($(t)))'
$(B)/unit/test_fuzz_corpus: $(FUZZ:%=$(B)/tests/fuzz/fuzz_%.o) $(call objs,tests/fuzz/rig.c)

# Small programs that tests of the real programs look with.
TOOLS := $(patsubst tests/tools/%.c,%,$(wildcard tests/tools/*.c))
PLACES := $(call objs,tests/tools/places/places.c)
ifneq ($(shell pkg-config --exists fuse3 libdw && echo yes),yes)
TOOLS := $(filter-out blocklog crashpoint,$(TOOLS)) # a build without tests needs no FUSE and no libdw
endif
$(B)/tools/blocklog: LINK += -lfuse3
$(B)/tools/%: $(B)/tests/tools/%.o $(LIBS)
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(LIBS) -Wl,--end-group $(LINK)
$(B)/tools/crashpoint: $(call objs,$(wildcard tests/tools/crashpoint/*.c)) $(PLACES)
$(B)/tools/crashpoint: LINK += -ldw
$(B)/tools/usurper: $(call objs,$(wildcard tests/tools/usurper/*.c))
$(B)/tools/%.so: $(B)/tests/tools/preload/%.o $(PLACES)
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -o $@ $^
$(B)/tests/tools/preload/%.o $(PLACES): CFLAGS += -fPIC -fno-builtin
tools: $(TOOLS:%=$(B)/tools/%) $(patsubst tests/tools/preload/%.c,$(B)/tools/%.so,$(wildcard tests/tools/preload/*.c))

# Parts of the product alone, against the clock.
BENCHES := $(patsubst bench/%.c,%,$(wildcard bench/bench_*.c))
$(B)/bench/%: $(B)/bench/%.o $(LIBS)
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS) -Wl,--end-group $(LINK)
benches: $(BENCHES:%=$(B)/bench/%)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
