#!/bin/sh
# No dependency needs a newer compiler than `rust-version` in Cargo.toml promises: of what Cargo.lock has, for every target and feature.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. scripts/lib.sh

ours=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$ours" ] || die "Cargo.toml states no rust-version"
cargo metadata --locked --all-features --format-version 1 | awk -v ours="$ours" '
  function number(version, part) { split(version, part, "."); return part[1] * 1000000 + part[2] * 1000 + part[3] }
  # A package begins with its name, version and id; names of its dependencies follow, and then what it needs.
  {
    count = split($0, parts, "\\{\"name\":\"")
    for (at = 2; at <= count; at++) {
      if (parts[at] ~ /^[^"]+","version":"[^"]+","id":/) {
        split(parts[at], name, "\"")
        seen++
      }
      if (!match(parts[at], /"rust_version":"[0-9.]+"/)) continue
      stated++
      version = substr(parts[at], RSTART + 16, RLENGTH - 17)
      if (number(version) > number(ours)) {
        printf "error: %s needs Rust %s, and Cargo.toml promises %s (cargo update --precise takes an older one)\n", name[1], version, ours
        bad = 1
      }
    }
  }
  END {
    if (seen < 100) { print "error: cargo metadata was not understood"; exit 1 }
    if (bad) exit 1
    printf "==> rust-version %s: no more is needed by any of %d packages (%d state what they need)\n", ours, seen, stated
  }
'
