#!/bin/sh
# The public API of the published crates is what docs/api/ lists, with all features of ours. ACCEPT=1 writes the listings anew.
#
# The lister (tests/api) is a package of the workspace: there is nothing to install. It reads rustdoc's JSON, which changes with
# compilers, as its words do: with another compiler than the one that wrote the listings this is skipped, and the reason printed.
# Where CI is set nothing is skipped: rustup brings that compiler, for this alone.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. scripts/lib.sh
find_libpq

# Whose words the listings are in.
written_by=1.95
is_theirs() {
  case $(rustdoc --version) in "rustdoc $written_by."*) ;; *) return 1 ;; esac
}
if ! is_theirs && [ -n "${CI:-}" ] && have rustup; then
  rustup toolchain install --profile minimal --no-self-update "$written_by"
  export RUSTUP_TOOLCHAIN="$written_by"
fi
if ! is_theirs; then
  why="the listings are rustdoc $written_by's, and other compilers list the same in other words: $(rustdoc --version)"
  [ "${ACCEPT:-}" != 1 ] && [ -z "${CI:-}" ] || die "$why"
  say "SKIPPED the comparison of the public API: $why"
  exit 0
fi

target=${CARGO_TARGET_DIR:-target}
work=$target/api
rm -rf "$work"
mkdir -p "$work/listings" docs/api

# The features of check-backends.sh, and for its reasons: nothing is linked.
: "${MYSQLCLIENT_VERSION:=8.0.36}" "${MYSQLCLIENT_LIB_DIR:=$PWD/target}"
export MYSQLCLIENT_VERSION MYSQLCLIENT_LIB_DIR
features=rr-core/axum,rr-core/dns,rr-core/notify-http,rr-core/notify-smtp,rr-core/prometheus
features=$features,rr-diesel/axum,rr-diesel/blocking-mysql,rr-diesel/blocking-sqlite,rr-seaorm/axum,rr-seaorm/schema-sync
# All of the workspace, since `make lint-doc` has just compiled what that needs.
RUSTDOC=$PWD/scripts/rustdoc-json.sh RUSTDOCFLAGS="-Z unstable-options --output-format json" \
  cargo doc --quiet --locked --workspace --lib --no-deps --features "$features"

cargo metadata --locked --no-deps --format-version 1 >"$work/metadata.json"
cargo run --quiet --locked -p rr-api -- "$work/metadata.json" "$target/doc" "$work/listings"

if [ "${ACCEPT:-}" = 1 ]; then
  rm -f docs/api/*.txt
  cp "$work"/listings/*.txt docs/api/
  say "docs/api/ lists the public API as it is"
elif ! diff -ru docs/api "$work/listings"; then
  die "the public API is not what docs/api/ lists (above: - listed, + found). If it is meant: make api ACCEPT=1, and CONTRIBUTING.md says what else"
else
  say "the public API is what docs/api/ lists"
fi
