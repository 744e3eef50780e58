# A thin front: each target calls a script or CMake, which a packager can call alone. `make help` lists them.
#
# Ninja is the default because scripts/setup installs it; an existing build folder keeps its generator.
BUILD = build
SANITIZE_BUILD = build-sanitize
FUZZ_BUILD = build-fuzz
GENERATOR = Ninja
PREFIX = /usr/local
MINUTES = 10
configure = cmake -S . -B $(1) $(if $(wildcard $(1)/CMakeCache.txt),,-G $(GENERATOR)) $(2)

.PHONY: help build demo demo-debug demo-fix test bench soak fuzz sanitize format check-format install clean
.DEFAULT_GOAL := build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

build: ## what is needed is installed (root), pylu-bpf is built in build/
	scripts/setup build
	$(call configure,$(BUILD),-DCMAKE_INSTALL_PREFIX=$(PREFIX))
	cmake --build $(BUILD)

demo: ## profile a Django site under load, print the call tree, leave a flame graph in pylu-demo.svg
	scripts/setup build demo
	$(MAKE) --no-print-directory build
	scripts/demo $(BUILD)/cli/pylu-bpf

demo-debug: ## find a wrong total in a running Django site: trace, debug and var from outside, without a restart
	scripts/setup build demo
	$(MAKE) --no-print-directory build
	scripts/demo-debug $(BUILD)/cli/pylu-bpf

demo-fix: ## repair a running Django site under load, in both workers and without a failed request, and take it back
	scripts/setup build demo
	$(MAKE) --no-print-directory build
	scripts/demo-fix $(BUILD)/cli/pylu-cli

test: ## everything: build, formatting, unit tests (also with sanitizers), fuzzing for FUZZ_SECONDS (75), BPF programs, whole processes
	scripts/setup
	tests/interpreters
	$(MAKE) --no-print-directory build build-sanitize
	scripts/test $(BUILD) $(SANITIZE_BUILD):unit

bench: build ## the figures that the documentation quotes
	scripts/setup
	bench/run $(BUILD)/cli/pylu-bpf

soak: build ## targets that are hard to watch, for MINUTES=N, on PYTHON=PATH or all interpreters: all must stay right
	scripts/setup
	PYLU_BPF=$(abspath $(BUILD))/cli/pylu-bpf tests/soak/soak --minutes $(MINUTES) $(if $(PYTHON),--python $(PYTHON))

sanitize: build-sanitize ## unit tests under the address and undefined behaviour sanitizers
	scripts/test $(SANITIZE_BUILD):unit

fuzz: ## all fuzzers for MINUTES (10) together; what they find is kept in a temporary folder
	scripts/setup build test
	scripts/fuzz --seconds $$(($(MINUTES) * 60)) --keep

.PHONY: build-sanitize
build-sanitize:
	scripts/setup build
	$(call configure,$(SANITIZE_BUILD),-DPYLU_SANITIZE=ON)
	cmake --build $(SANITIZE_BUILD)

format: ## format all C files in place
	scripts/check-format --fix

check-format: ## fail when a C file is not formatted
	@scripts/check-format || [ $$? -eq 77 ]

install: build ## into PREFIX (default /usr/local), below DESTDIR
	cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## remove what was built
	rm -rf $(BUILD) $(SANITIZE_BUILD) $(FUZZ_BUILD)
