# rr: `make test` and `make demo` do all the set-up; `make help` lists the rest.
.DEFAULT_GOAL := help
.NOTPARALLEL:

# The package that `make demo` runs.
DEMO  := rr-axum-diesel -- --instances 2
# How many seeds `make sim` runs.
SEEDS ?= 100000
# How long `make torture` runs, what decides it, and how the primary changes; drawn by lot unless given.
MINUTES ?= 10
SEED ?=
CHANGE ?=
# How many statements `make soak` runs.
STATEMENTS ?= 1000000

.PHONY: help
help: ## show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: setup ## boot a primary and two replicas and run the example; Ctrl-C ends and removes them
	cargo run -p $(DEMO)

.PHONY: test
test: setup setup-locales setup-libpq setup-browser setup-prometheus ## install what the tests need and run all of them
	@scripts/test.sh

.PHONY: lint
lint: lint-fmt lint-clippy lint-fuzz lint-doc lint-api lint-purity lint-deny lint-msrv ## formatting, clippy, documentation, public API, purity, dependencies

.PHONY: lint-fmt lint-clippy lint-fuzz lint-doc lint-api lint-purity lint-deny lint-msrv
lint-fmt: setup-lints
	cargo fmt --all --check
lint-clippy: setup-lints setup-libpq
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p rr-core --all-targets --no-default-features -- -D warnings
	cargo clippy --locked -p rr-core --all-targets --features axum -- -D warnings
	cargo clippy --locked -p rr-core --all-targets --features axum,prometheus -- -D warnings
	cargo clippy --locked -p rr-core --all-targets --features notify-http -- -D warnings
	cargo clippy --locked -p rr-core --all-targets --no-default-features --features notify-smtp -- -D warnings
	cargo clippy --locked -p rr-diesel --all-targets --features blocking -- -D warnings
	cargo clippy --locked -p rr-torture --all-targets --features blocking -- -D warnings
	cargo clippy --locked -p rr-bench --all-targets --features blocking,sqlx-pool-router -- -D warnings
	cargo clippy --locked -p rr-diesel -p rr-seaorm --all-targets --features rr-diesel/axum,rr-seaorm/axum -- -D warnings
	@scripts/check-backends.sh
	@scripts/check-facade.sh
lint-fuzz: setup-lints
	@scripts/check-fuzz.sh
lint-doc: setup-lints setup-libpq
	@. scripts/lib.sh; find_libpq; set -x; RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --features "$$optional"
	@scripts/check-docsrs.sh
	@scripts/check-docs.sh
lint-api: setup-libpq
	@scripts/check-api.sh
lint-purity: setup-lints
	@scripts/check-purity.sh
lint-deny: setup-lints
	@scripts/deny.sh
lint-msrv:
	@scripts/check-msrv.sh

.PHONY: msrv
msrv: setup-libpq ## compile everything with the oldest compiler that is promised
	@scripts/msrv.sh

.PHONY: fmt
fmt: setup-lints ## format the code
	cargo fmt --all

.PHONY: doc
doc: ## build the documentation into target/doc
	cargo doc --workspace --no-deps

.PHONY: api
api: lint-api ## hold the public API against docs/api; ACCEPT=1 writes that anew

.PHONY: package
package: ## pack the crates as for a registry, and build each from what was packed
	cargo package --locked -p rr-core -p rr-diesel -p rr-diesel-async -p rr-seaorm -p rr-sea-orm

.PHONY: sim
sim: ## run the simulation (SEEDS=100000)
	cargo run --release -p rr-tests --bin rr-sim -- --seeds $(SEEDS)

.PHONY: torture
torture: setup ## check histories of both ORMs on real servers under faults (MINUTES=10 SEED=…)
	cargo run -p rr-torture -- run --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(CHANGE),--change $(CHANGE))

.PHONY: soak
soak: setup setup-libpq ## run statements of both ORMs, blocking ones too, and look for what they leave behind (STATEMENTS=1000000)
	@. scripts/lib.sh; find_libpq; set -x; RR_TEST_STATEMENTS=$(STATEMENTS) cargo test -p rr-torture --features blocking --test leaks -- --nocapture

.PHONY: loom
loom: ## run every interleaving of the atomics of the core
	@scripts/loom.sh

.PHONY: fuzz
fuzz: setup ## look for texts that break a parser or the classification (FUZZ_SECONDS=60 a target, or CASES=1000000)
	@scripts/fuzz.sh

.PHONY: bench
bench: setup setup-libpq setup-bench ## run all benchmarks (a quarter of an hour) and write benches/RESULTS.md; bench-NAME runs one
	cargo run --release -p rr-bench --features blocking,sqlx-pool-router -- all

# As in `make bench-route`; `cargo run -p rr-bench` lists them.
bench-%: setup setup-libpq
	cargo run --release -p rr-bench --features blocking,sqlx-pool-router -- $*

bench-compare: setup-bench

.PHONY: setup setup-locales setup-libpq setup-browser setup-prometheus setup-bench setup-lints
setup: ## install PostgreSQL's server programs if they are absent (demo and test do this)
	@scripts/setup.sh rust postgres
setup-locales:
	@scripts/setup.sh locales
setup-libpq:
	@scripts/setup.sh rust libpq
setup-browser:
	@scripts/setup.sh rust browser
setup-prometheus:
	@scripts/setup.sh prometheus
setup-bench:
	@scripts/setup.sh proxies
setup-lints:
	@scripts/setup.sh rust lints
