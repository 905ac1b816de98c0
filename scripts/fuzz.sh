#!/bin/sh
# Looks for texts that break what must hold for every text: FUZZ_SECONDS=60 for each target where cargo-fuzz is installed,
# else CASES=1000000 mutations of real texts for each property. Stable Rust will do for both. Where CI is set, cargo-fuzz is installed.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. scripts/lib.sh

seconds=${FUZZ_SECONDS:-60}
cases=${CASES:-1000000}
targets='statements appending positions urls configs tokens'

# Runs a command with a PostgreSQL server to settle what our scanner and the parser disagree about.
with_server() {
  cargo run --locked -q -p rr-tests --bin rr-cluster -- --replicas 0 -- \
    sh -c 'RR_TEST_FUZZ_SERVER=$RR_PRIMARY_URL exec "$@"' sh "$@"
}

if [ "${RR_TEST_FUZZ:-}" = proptest ]; then
  reason="RR_TEST_FUZZ=proptest"
elif ! cargo fuzz --version >/dev/null 2>&1 && ! { [ -n "${CI:-}" ] && cargo install --locked cargo-fuzz; }; then
  reason="cargo-fuzz is not installed"
else
  reason=
fi

if [ -n "$reason" ]; then
  say "proptest ($reason): $cases cases of each property"
  export RR_TEST_FUZZ_CASES="$cases"
  with_server cargo test --locked --release -p rr-properties
  exit
fi

say "cargo-fuzz: $seconds s for each of: $targets"
# The instrumentation is only nightly's by name.
export RUSTC_BOOTSTRAP=1
cargo run --locked -q -p rr-properties --bin rr-seeds -- fuzz/corpus
host=$(rustc -vV | sed -n 's/^host: //p')
for target in $targets; do
  say "$target"
  with_server cargo fuzz run --target "$host" "$target" -- -max_total_time="$seconds" -max_len=512 -print_final_stats=1 -verbosity=1
done
