#!/bin/sh
# Two promises of rr-core that a reviewer would otherwise have to check by eye:
#
# 1. it depends on no database driver and no connection pool, whatever the features and the target;
# 2. its pure modules take time and randomness as arguments: they name no runtime, no clock and no random source.
#    Comments and test modules are free to.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. scripts/lib.sh

drivers='diesel|sea-orm|sqlx|postgres|tokio-postgres|mysql|rusqlite|libsqlite3|bb8|deadpool|r2d2'
impure='tokio|Instant::now|SystemTime|Wall::now|fastrand|Clock::start'
pure='discovery position requirement topology select balance health lag consistency session token sql failover world config'
# Parts of modules that are not pure as a whole.
pure="$pure notify/gate notify/outbox notify/retry notify/format"
status=0

tree=$(cargo tree --locked -p rr-core -e normal --all-features --target all --prefix none)
if found=$(printf '%s\n' "$tree" | grep -E "^($drivers)([-_][a-z0-9_-]+)? v"); then
  printf 'error: rr-core depends on a database driver:\n%s\n' "$found" >&2
  status=1
fi

files=
for module in $pure; do
  # What is not looked at any more passes for pure.
  [ -e "rr-core/src/$module.rs" ] || die "rr-core/src/$module.rs is gone: take it off this script's list, or put its new name there"
  files="$files $(find "rr-core/src/$module.rs" "rr-core/src/$module" -name '*.rs' 2>/dev/null | sort | tr '\n' ' ')"
done

# A module declared under #[cfg(test)] lives in its own file: position.rs + `mod laws;` = position/laws.rs.
# shellcheck disable=SC2086 # a list of words; the paths hold no spaces
tests=$(awk '
  test && /^ *(pub(\([a-z]+\))? +)?mod +[a-z0-9_]+ *;/ {
    name = $0; sub(/.*mod +/, "", name); sub(/ *;.*/, "", name)
    folder = FILENAME; sub(/\.rs$/, "", folder)
    print folder "/" name ".rs"
  }
  { test = /^ *#\[cfg\(test\)\]/ || (test && /^ *#\[/) }
' $files)

checked=0
for file in $files; do
  case " $(printf '%s' "$tests" | tr '\n' ' ') " in *" $file "*) continue ;; esac
  checked=$((checked + 1))
  # An inline test module closes its file (clippy: items_after_test_module), so reading stops there.
  awk -v impure="$impure" '
    test && /^ *mod +[a-z0-9_]+ *\{/ { exit }
    { test = /^ *#\[cfg\(test\)\]/ || (test && /^ *#\[/) }
    /^ *\/\// { next }
    $0 ~ impure { printf "%s:%d: %s\n", FILENAME, FNR, $0; bad = 1 }
    END { exit bad }
  ' "$file" >&2 || status=1
done
if [ "$status" -ne 0 ]; then
  die "rr-core is not pure (see above): pass time and randomness as arguments, leave drivers to the adapters"
fi
say "purity: no driver under rr-core, $checked files of its pure modules take time and randomness as arguments"
