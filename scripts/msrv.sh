#!/bin/sh
# Compiles everything with the compiler that `rust-version` in Cargo.toml promises, which rustup installs where it is absent.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. scripts/lib.sh
find_libpq

ours=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$ours" ] || die "Cargo.toml states no rust-version"
have rustup || die "rustup is missing, and Rust $ours is installed by it: https://rustup.rs"
rustup toolchain install --profile minimal --no-self-update "$ours"
RUSTUP_TOOLCHAIN=$ours exec cargo check --locked --workspace --all-targets --features "$optional"
