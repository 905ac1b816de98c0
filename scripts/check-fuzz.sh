#!/bin/sh
# Compiles the targets of cargo-fuzz, a workspace of their own that nothing else here compiles, as far as stable Rust does: nothing
# is linked, so that the fuzzer itself is not needed, nor a compiler for it.
set -eu
cd "$(dirname "$0")/.."
: "${CUSTOM_LIBFUZZER_PATH:=$PWD/fuzz/libfuzzer.a}"
export CUSTOM_LIBFUZZER_PATH
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/fuzz exec cargo check --locked --manifest-path fuzz/Cargo.toml
