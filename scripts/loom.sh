#!/bin/sh
# Runs every interleaving of the core's own atomics, with loom. In a target folder of its own: the flag rebuilds everything.
set -eu
cd "$(dirname "$0")/.."
for loads in plain exchange; do # rr-core/src/sync/atomics.rs says why
  echo "==> models, loads: $loads"
  RR_TEST_LOOM_LOADS=$loads RUSTFLAGS="${RUSTFLAGS:-} --cfg rr_loom" CARGO_TARGET_DIR=target/loom \
    cargo test --locked -p rr-core --lib --no-default-features -- models::
done
