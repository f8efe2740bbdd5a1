# `make` runs the ci suite, `make test` tests everything; the first of either also installs what the build needs.
# The C++ of RocksDB is compiled once, whatever the profile and the build, as long as ccache keeps it.

target_dir := $(or $(CARGO_TARGET_DIR),target)
# Built for tokio and the operating system instead of the simulated world: no flags, a folder of its own.
real := RUSTFLAGS="" CARGO_TARGET_DIR="$(target_dir)/real" cargo

real_binaries := build --release -p metanode-core -p mock-go-executor
build_real := $(real) $(real_binaries)
# The same binaries with the known bugs in them, beside the others: tests plant some.
build_buggy := $(real) $(real_binaries) --features metanode-core/museum && mkdir -p "$(target_dir)/real/museum" \
	&& cp "$(target_dir)/real/release/metanode" "$(target_dir)/real/release/mock-go-executor" "$(target_dir)/real/museum"

rocksdb := $(wildcard $(target_dir)/release/build/librocksdb-sys-*/out/librocksdb.a)

.DEFAULT_GOAL := run
.PHONY: run first-run test schedules soak check real bench install

run: install $(if $(rocksdb),,first-run) ## The ci suite, with progress and a verdict
	cargo run --release -p metasim -- suite ci

first-run: install ## One run with its whole story, in a build without RocksDB: a minute or two on a new machine
	cargo run --profile first-run -p metasim --no-default-features -- run resume_at_8_of_10
	@echo
	@echo "That was one run. Now the whole is built, with RocksDB, which is ten to fifteen minutes of C++ on two cores,"
	@echo "once: the compiler cache keeps it. Then the suite of all scenarios runs."
	@echo

test: install ## Everything: the simulated world, then real sockets and processes
	cargo test --release --workspace
	cargo build --release -p metasim
	$(build_buggy)
	$(build_real)
	$(real) test --release -p metanode-tests
	$(MAKE) schedules

schedules: install ## Many schedules of what threads share; SCHEDULES=100000 for more of them
	RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR="$(target_dir)/shuttle" \
		cargo test --release -p metanode-core --no-default-features --test schedules

soak: install ## Real processes under load and faults, for an hour
	cargo build --release -p metasim
	$(build_real)
	$(real) test --release -p metanode-tests --test real_processes --test threads -- --ignored

check: install ## Formatting, lints, and what lints cannot see
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(real) clippy --release -p metanode-core -p mock-go-executor -- -D warnings
	$(real) clippy --release -p metanode-tests --all-targets -- -D warnings
	cargo test --release -p metanode-tests --test tidy
	cargo test --release -p metasim --test readme

real: install ## The binaries `metanode` and `mock-go-executor` for a real machine
	$(build_real)
	@echo "built $(target_dir)/real/release/metanode and $(target_dir)/real/release/mock-go-executor"

bench: install ## Simulated seconds per second of one core, commit latency; real delivery, ingestion and transactions per second
	cargo bench -p metanode-sim --bench speed
	$(build_real)
	$(real) bench --profile release -p metanode-tests --bench real
	cargo build --release -p metasim
	@echo "a network of four nodes and four executors, whose clients send as fast as they are answered:"
	@net=$$(mktemp -d) && "$(target_dir)/release/metasim" localnet --dir "$$net" --subs 0 --for 20s --load 200000 >"$$net.report" 2>&1 \
		|| { cat "$$net.report"; exit 1; }; tail -1 "$$net.report"; rm -rf "$$net" "$$net.report"

install:
	@.ci/install
