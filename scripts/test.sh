#!/bin/sh
# Builds and runs every test of the workspace. The runner is cargo-nextest where it is installed, else cargo
# test; RR_TEST_RUNNER=cargo asks for the latter. The main run comes last, so that its summary closes the output.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. scripts/lib.sh
find_libpq

features="$optional,rr-torture/blocking,rr-bench/sqlx-pool-router"

runner=nextest
if [ "${RR_TEST_RUNNER:-}" = cargo ]; then
  runner=cargo reason="RR_TEST_RUNNER=cargo"
elif ! cargo nextest --version >/dev/null 2>&1; then
  runner=cargo reason="cargo-nextest is not installed"
elif ! cargo nextest show-config version >/dev/null 2>&1; then
  runner=cargo reason="this cargo-nextest is older than .config/nextest.toml asks for"
fi

if [ "$runner" = nextest ]; then
  say "test runner: cargo nextest"
  timed "building the tests" cargo nextest run --workspace --features "$features" --no-run
else
  say "test runner: cargo test ($reason)"
  timed "building the tests" cargo test --workspace --features "$features" --lib --bins --tests --examples --no-run
fi

# Only cargo test runs documentation tests.
timed "documentation tests" cargo test --workspace --features "$features" --doc

say "unit and integration tests"
if [ "$runner" = nextest ]; then
  exec cargo nextest run --workspace --features "$features"
fi

# Each cluster test boots several servers: as in .config/nextest.toml, no more than four of them at once.
if [ -z "${RUST_TEST_THREADS:-}" ]; then
  RUST_TEST_THREADS=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
  [ "$RUST_TEST_THREADS" -le 4 ] || RUST_TEST_THREADS=4
  export RUST_TEST_THREADS
fi
exec cargo test --workspace --features "$features" --lib --bins --tests --examples --no-fail-fast
