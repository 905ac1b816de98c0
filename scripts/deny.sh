#!/bin/sh
# `cargo deny check`, without letting a missing tool or a missing network stand in the way of other lints:
# what cannot be checked here is skipped and the reason printed; what can be checked decides the exit code.
#
# cargo-deny is installed when that is quick (cargo-binstall, Homebrew), or when RR_TEST_INSTALL_TOOLS=1 or CI is set:
# from source, into target/tools, about three minutes on two cores. RR_TEST_INSTALL_TOOLS=0 never installs.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. scripts/lib.sh

tools=${CARGO_TARGET_DIR:-target}/tools
PATH=$PATH:$tools/bin

install_from_source() {
  timed "building cargo-deny (about three minutes on two cores)" \
    bounded 1200 cargo install --locked --quiet --version '~0.20' \
    --target-dir "$tools/build" --root "$tools" cargo-deny || return 1
  rm -rf "$tools/build"
}

install_cargo_deny() {
  [ "${RR_TEST_INSTALL_TOOLS:-}" != 0 ] || return 1
  if have cargo-binstall && cargo binstall --no-confirm --root "$tools" cargo-deny@~0.20; then
    return
  elif have brew && brew install cargo-deny; then
    return
  elif [ "${RR_TEST_INSTALL_TOOLS:-}" = 1 ] || [ -n "${CI:-}" ]; then
    install_from_source
  else
    return 1
  fi
}

if ! have cargo-deny && ! install_cargo_deny; then
  [ "${RR_TEST_INSTALL_TOOLS:-}" != 1 ] || die "cargo-deny could not be installed"
  say "SKIPPED cargo deny: it is not installed and building it takes minutes; RR_TEST_INSTALL_TOOLS=1 make lint does it"
  exit 0
fi

# Needs nothing but the dependencies themselves.
cargo deny --locked check --hide-inclusion-graph bans licenses sources

# Needs the advisory database, which is a git repository on github.com.
export GIT_TERMINAL_PROMPT=0 GIT_HTTP_LOW_SPEED_LIMIT=1000 GIT_HTTP_LOW_SPEED_TIME=30
if fetched=$(bounded 120 cargo deny fetch db 2>&1); then
  cargo deny --locked check advisories
else
  say "SKIPPED cargo deny check advisories: the advisory database could not be fetched:"
  printf '%s\n' "$fetched" | tail -n 3
fi
