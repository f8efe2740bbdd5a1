# `make` runs the ci suite, `make test` tests everything; the first of either also installs what the build needs.
# The C++ of RocksDB is compiled once, whatever the profile and the build, as long as ccache keeps it.

target_dir := $(or $(CARGO_TARGET_DIR),target)
# Built for tokio and the operating system instead of the simulated world: no flags, a folder of its own.
real := RUSTFLAGS="" CARGO_TARGET_DIR="$(target_dir)/real" cargo

build_real := $(real) build --release -p metanode-core -p mock-go-executor

.DEFAULT_GOAL := run
.PHONY: run test check real bench install

run: install ## The ci suite, with progress and a verdict
	cargo run --release -p metasim -- suite ci

test: install ## Everything: the simulated world, then real sockets and processes
	cargo test --release --workspace
	$(build_real)
	$(real) test --release -p metanode-tests

check: install ## Formatting, lints, and what lints cannot see
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --release -p metanode-tests --test tidy

real: install ## The binaries `metanode` and `mock-go-executor` for a real machine
	$(build_real)
	@echo "built $(target_dir)/real/release/metanode and $(target_dir)/real/release/mock-go-executor"

bench: install ## Simulated seconds per second of one core
	cargo run --release -p metasim -- run happy_path --seeds 200 --jobs 1

install:
	@.ci/install
