#!/bin/sh
# What the documentation names is there: files and headings of relative links, keys of the configuration and metrics in the guides.
# The tour speaks of every source file, and troubleshooting has a command for every symptom.
# (Their own pages are held against the code by tests: docs/guide/configuration.md and docs/guide/metrics.md.)
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. scripts/lib.sh

status=0
pages=$(git ls-files --cached --others --exclude-standard '*.md' | sort)

# Headings as links name them: small letters, hyphens for blanks, no other signs.
anchors() {
  sed -e '/^```/,/^```/d' "$1" | sed -n 's/^##* //p' | tr 'A-Z' 'a-z' | sed -e 's/[^a-z0-9 _-]//g' -e 's/ /-/g'
}

links=0
for page in $pages; do
  for link in $(sed -e '/^```/,/^```/d' "$page" | grep -o '](\([^)]*\))' | sed -e 's/^](//' -e 's/)$//' | sort -u); do
    case $link in *://* | mailto:*) continue ;; esac
    path=${link%%#*} anchor=
    case $link in *#*) anchor=${link#*#} ;; esac
    target=$page
    if [ -n "$path" ]; then target=$(dirname "$page")/$path; fi
    links=$((links + 1))
    if [ ! -e "$target" ]; then
      printf 'error: %s links to %s, which is not there\n' "$page" "$link" >&2
      status=1
    elif [ -n "$anchor" ] && [ -f "$target" ] && ! anchors "$target" | grep -qxF -- "$anchor"; then
      printf 'error: %s links to %s, which has no such heading\n' "$page" "$link" >&2
      status=1
    fi
  done
done

# What is written as code and looks like a key of a table, or like a metric.
words() { sed -e '/^```/,/^```/d' docs/guide/*.md README.md | grep -o '`[^`]*`' | tr -d '`' | sed 's/ = .*//' | sort -u; }
keys=$(sed -n 's/^| `\([a-z_.<>]*\)` |.*/\1/p' docs/guide/configuration.md)
metrics=$(sed -n 's/^| `\(rr\.[a-z_.]*\)` |.*/\1/p' docs/guide/metrics.md)
for word in $(words | grep -xE '(primary_reads|retries|session|pool|tls|monitor|health|lag|failover|discovery)\.[a-z_.<>]+' || true); do
  known=$(printf '%s' "$word" | sed 's/^pool\.<role>\./pool.primary./')
  if ! printf '%s\n' "$keys" | grep -qxF -- "$known"; then
    printf 'error: the guides name `%s`, which is no key of docs/guide/configuration.md\n' "$word" >&2
    status=1
  fi
done
for word in $(words | grep -xE 'rr\.[a-z_]+(\.[a-z_]+)*' || true); do
  # Labels and attributes have names of the same form.
  case $word in
  rr.node | rr.role | rr.state | rr.reason | rr.outcome | rr.level | rr.kind | rr.step | rr.source | rr.class | rr.notifier | rr.statement | rr.toml) ;;
  *)
    if ! printf '%s\n' "$metrics" | grep -qxF -- "$word"; then
      printf 'error: the guides name `%s`, which is no metric of docs/guide/metrics.md\n' "$word" >&2
      status=1
    fi
    ;;
  esac
done

# The same as Prometheus names them, or the beginning of that, as for grep.
exported=$(sed -n 's/^| `\(rr\.[a-z_.]*\)` | \([a-z]*\), `\([^`]*\)` |.*/\1 \2 \3/p' docs/guide/metrics.md | awk '{
  gsub(/[.]/, "_", $1)
  print $1 ($3 == "s" ? "_seconds" : $3 == "By" ? "_bytes" : "") ($2 == "counter" ? "_total" : "")
}')
labels=$(grep '^| `rr[.]' docs/guide/metrics.md | cut -d'|' -f4 | grep -o 'rr[.][a-z_]*' | tr . _ | sort -u)
for word in $(cat docs/guide/*.md README.md | grep -owE 'rr_[a-z_]+' | sed -E 's/_(bucket|sum|count)?$//' | sort -u); do
  # Crates, and the role for promotions.
  case $word in rr_core | rr_diesel | rr_seaorm | rr_tests | rr_failover) continue ;; esac
  if ! printf '%s\n' "$exported" | grep -q -- "^$word" && ! printf '%s\n' "$labels" | grep -qxF -- "$word"; then
    printf 'error: the guides name `%s`, which is no metric of docs/guide/metrics.md for Prometheus\n' "$word" >&2
    status=1
  fi
done

# Every kind of notice is in the table of them.
for kind in $(sed -n '/ KINDS: /,/];/s/^ *"\([a-z_]*\)",$/\1/p' rr-core/src/world/notice.rs); do
  if ! sed -n '/^| kind | says /,/^$/p' docs/guide/operating.md | cut -d'|' -f2 | grep -qF -- "\`$kind\`"; then
    printf 'error: docs/guide/operating.md does not speak of notices of the kind `%s`\n' "$kind" >&2
    status=1
  fi
done

# In troubleshooting every row has a command before what to do about it: a query, a program, or a function of the page's head.
commands=$(sed -n 's/^\([a-z]*\)() {.*/\1/p' docs/guide/troubleshooting.md | paste -sd'|' -)
bare=$(awk -v commands="\`($commands|curl|psql|env|cargo|SELECT|SHOW) [^\`]+\`" '
  /^```/ { code = !code }
  code || !/^\|/ { table = 0; next }
  /^\|-/ { table = 1; next }
  table {
    row = $0
    gsub(/\\[|]/, "", row)
    sub(/[|][^|]*[|]$/, "", row)
    if (row !~ commands) print
  }' docs/guide/troubleshooting.md)
if [ -n "$bare" ]; then
  printf 'error: docs/guide/troubleshooting.md has no command that shows this:\n%s\n' "$bare" >&2
  status=1
fi

# Every source file of the crates is somewhere in the tour.
for file in $(git ls-files 'rr-*/src/*.rs' 'tests/src/*.rs' 'benches/src/*.rs' | grep -vE '/tests(/|\.rs$)|^rr-sea-orm/tests/'); do
  if ! grep -qF -- "$(basename "$file")\`" docs/tour.md; then
    printf 'error: docs/tour.md does not speak of %s\n' "$file" >&2
    status=1
  fi
done
[ "$status" -eq 0 ] || die "the documentation names what is not there (see above)"
say "documentation: $links links lead somewhere, keys and metrics exist, the tour is complete"
