# Shared by the scripts in this folder: `. scripts/lib.sh` from the top of the repository.
# shellcheck shell=sh

say() { printf '==> %s\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# timed LABEL COMMAND...: runs the command and says how long it took, unless it fails.
timed() {
  label=$1
  shift
  say "$label"
  began=$(date +%s)
  "$@" || return
  say "$label: $(($(date +%s) - began)) s"
}

# bounded SECONDS COMMAND...: ends a command that takes longer, where the system has a `timeout` program.
bounded() {
  limit=$1
  shift
  if have timeout; then
    timeout "$limit" "$@"
  elif have gtimeout; then
    gtimeout "$limit" "$@"
  else
    "$@"
  fi
}

# What is off by default in the crates that are published.
# shellcheck disable=SC2034
optional="rr-diesel/blocking,rr-core/axum,rr-core/prometheus,rr-diesel/axum,rr-seaorm/axum"

# Exports PQ_LIB_DIR where Homebrew keeps libpq off the linker's path.
find_libpq() {
  for lib in /opt/homebrew/opt/libpq/lib /usr/local/opt/libpq/lib /home/linuxbrew/.linuxbrew/opt/libpq/lib; do
    if [ -z "${PQ_LIB_DIR:-}" ] && [ -d "$lib" ]; then
      export PQ_LIB_DIR="$lib"
    fi
  done
}
