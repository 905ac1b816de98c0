#!/bin/sh
# Compiles each ORM under our connections with every feature that is passed on to it, as the manifests list them.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. scripts/lib.sh

# features CRATE KNOWN...: its features, one a line; those that are known must be among them.
features() {
  crate=$1
  shift
  found=$(sed -n '/^\[features\]/,/^\[dependencies\]/s/^\([a-z][a-z0-9_-]*\) = .*/\1/p' "$crate/Cargo.toml")
  for known in "$@"; do
    printf '%s\n' "$found" | grep -qx "$known" || die "the features of $crate were not understood: $known is missing"
  done
  printf '%s\n' "$found"
}

orm=$(features rr-sea-orm mock rbac schema-sync sqlx-all)
# `proxy` by itself: SeaORM 2.0.4 does not compile it beside MySQL, SQLite or `with-bigdecimal`.
cargo check --locked -p rr-sea-orm --features "$(printf '%s\n' "$orm" | grep -vx proxy | paste -sd, -)"
cargo check --locked -p rr-sea-orm --features mock,proxy,rbac
orm=$(features rr-diesel-async async-connection-wrapper mobc mysql r2d2 sqlite sync-connection-wrapper)
cargo check --locked -p rr-diesel-async --features "$(printf '%s\n' "$orm" | paste -sd, -)"
