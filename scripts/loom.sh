#!/bin/sh
# Runs every interleaving of the core's own atomics, with loom. In a target folder of its own: the flag rebuilds everything.
set -eu
cd "$(dirname "$0")/.."
RUSTFLAGS="${RUSTFLAGS:-} --cfg rr_loom" CARGO_TARGET_DIR=target/loom \
  cargo test --locked -p rr-core --lib --no-default-features -- models::
