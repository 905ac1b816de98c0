#!/bin/sh
# Compiles SeaORM under our connections with every feature that is passed on to it, as the manifest lists them.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. scripts/lib.sh

features=$(sed -n '/^\[features\]/,/^\[dependencies\]/s/^\([a-z][a-z0-9_-]*\) = .*/\1/p' rr-sea-orm/Cargo.toml)
for known in mock rbac schema-sync sqlx-all; do
  printf '%s\n' "$features" | grep -qx "$known" || die "the features of rr-sea-orm were not understood: $known is missing"
done
# `proxy` by itself: SeaORM 2.0.4 does not compile it beside MySQL, SQLite or `with-bigdecimal`.
cargo check --locked -p rr-sea-orm --features "$(printf '%s\n' "$features" | grep -vx proxy | paste -sd, -)"
cargo check --locked -p rr-sea-orm --features mock,proxy,rbac
