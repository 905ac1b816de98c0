#!/bin/sh
# Documents each published crate as docs.rs does: by itself, with the features that its manifest names for that. Where the whole
# workspace is documented at once, a link may lead to what only another crate's features bring.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. scripts/lib.sh
find_libpq

RUSTDOCFLAGS="-D warnings"
export RUSTDOCFLAGS
for manifest in rr-*/Cargo.toml; do
  crate=$(dirname "$manifest")
  settings=$(sed -n '/^\[package\.metadata\.docs\.rs\]/,/^$/s/^\([a-z-]* = .*\)$/\1/p' "$manifest")
  features=$(printf '%s\n' "$settings" | sed -n 's/^features = \[\(.*\)\]$/\1/p' | tr -d '" ')
  [ -n "$features" ] || die "$manifest names no features for docs.rs, or not in one line"
  [ "$(printf '%s\n' "$settings" | wc -l)" -eq 1 ] || die "$manifest: of the settings for docs.rs only \`features\` is understood here"
  cargo doc --locked --no-deps -p "$crate" --features "$features"
done
say "documentation: each crate by itself is sound, with its features of docs.rs"
