#!/bin/sh
# Makes sure that what a make target needs is there, and installs it where that is safe:
#
#   scripts/setup.sh rust        a Rust toolchain and a linker
#   scripts/setup.sh lints       rustfmt and clippy
#   scripts/setup.sh postgres    PostgreSQL's server programs (no server is started, no cluster is created)
#   scripts/setup.sh locales     what a German locale is made from, for servers that do not speak English (none is made)
#   scripts/setup.sh libpq       PostgreSQL's client library, to link the synchronous connections with
#   scripts/setup.sh browser     Chromium and its driver, to look at the examples' page (no snap is installed)
#   scripts/setup.sh prometheus  Prometheus and promtool (no service is installed)
#   scripts/setup.sh proxies     PgBouncer and pgpool-II, to compare with (no service is installed; only where there is apt)
#
# Nothing is touched when it is there already.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. scripts/lib.sh
find_libpq

# as_root COMMAND...: runs it as root, or fails when there is no way to become root without hanging.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif ! have sudo; then
    return 1
  elif sudo -n true 2>/dev/null; then
    sudo -n "$@"
  elif [ -t 0 ] && [ -z "${CI:-}" ]; then
    sudo "$@"
  else
    return 1
  fi
}

# Quiet while it works; what it had to say follows when it fails.
apt_get() {
  if said=$(as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" 2>&1); then
    return
  fi
  printf '%s\n' "$said" | tail -n 5 >&2
  return 1
}

apt_install() {
  apt_get update || say "apt-get update failed: going on with the package lists there are"
  apt_get install -y --no-install-recommends "$@"
}

need_rust() {
  have cargo || die "cargo was not found: install Rust from https://rustup.rs and open a new shell"
  if have cc; then
    return
  fi
  if have apt-get && as_root true; then
    say "installing a linker (gcc)"
    apt_install gcc libc6-dev || :
  fi
  if ! have cc; then
    die "no C linker was found, and Rust needs one: install gcc or clang (Debian and Ubuntu: build-essential, macOS: xcode-select --install)"
  fi
}

need_lints() {
  for component in rustfmt clippy; do
    case $component in
      rustfmt) program=cargo-fmt ;;
      *) program=cargo-clippy ;;
    esac
    if "$program" --version >/dev/null 2>&1; then
      continue
    elif have rustup && rustup component add "$component"; then
      say "installed $component"
    else
      die "$component is missing: run \`rustup component add $component\`"
    fi
  done
}

# The harness asks servers what older ones do not know; so says `OLDEST` in tests/src/cluster/programs.rs.
oldest_postgres=14

# has_servers FOLDER: whether PostgreSQL's server programs are in it, of a version that will do. One that cannot be read will.
has_servers() {
  [ -x "$1/initdb" ] && [ -x "$1/postgres" ] || return 1
  major=$("$1/postgres" --version 2>/dev/null | sed -n '1s/^[^0-9]*\([0-9][0-9]*\).*/\1/p')
  [ "${major:-$oldest_postgres}" -ge "$oldest_postgres" ] && return
  say "passing over PostgreSQL $major in $1: $oldest_postgres or newer is needed" >&2
  return 1
}

# Prints the folder of PostgreSQL's server programs, looking where the tests look (`rr_tests::cluster::Programs`):
# Debian and Homebrew keep them off the PATH.
find_postgres() {
  if has_servers "$(pg_config --bindir 2>/dev/null)"; then
    pg_config --bindir
    return
  elif has_servers "$(dirname "$(command -v postgres)")"; then
    dirname "$(command -v postgres)"
    return
  fi
  for bin in \
    /usr/lib/postgresql/*/bin \
    /usr/pgsql-*/bin \
    /opt/homebrew/opt/postgresql@*/bin \
    /usr/local/opt/postgresql@*/bin \
    /home/linuxbrew/.linuxbrew/opt/postgresql@*/bin; do
    if has_servers "$bin"; then
      printf '%s\n' "$bin"
      return
    fi
  done
  return 1
}

# Debian's package creates a cluster and starts a server on port 5432, and it starts clusters that an earlier
# installation left. The tests boot their own servers in temporary folders, so both are prevented: the first by
# a setting that exists only while the package is being installed, the second by not installing at all.
postgres_by_apt() {
  if ls /etc/postgresql/*/*/postgresql.conf >/dev/null 2>&1; then
    die "/etc/postgresql has clusters but their server programs are gone: installing would start them, so run \`apt-get install postgresql\` yourself if you want that"
  fi
  as_root true || die "PostgreSQL's server programs are missing and installing them needs root: run \`make setup\` as root or as a user with sudo"

  apt_install postgresql-common || return 1
  version=$(apt-cache --no-all-versions show postgresql 2>/dev/null |
    sed -n 's/^Depends:.*postgresql-\([0-9][0-9]*\).*/\1/p')
  [ -n "$version" ] || return 1
  if [ "$version" -lt "$oldest_postgres" ]; then
    say "this system's PostgreSQL is $version"
    return 1
  fi

  conf=/etc/postgresql-common/createcluster.conf
  override=/etc/postgresql-common/createcluster.d/rr-no-main-cluster.conf
  grep -q "^include_dir.*$(dirname "$override")" "$conf" ||
    die "this postgresql-common cannot be told to create no cluster: install postgresql-$version yourself"
  trap 'as_root rm -f "$override"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  as_root mkdir -p "$(dirname "$override")" &&
    as_root sh -c "echo 'create_main_cluster = false' >'$override'" &&
    apt_get install -y --no-install-recommends "postgresql-$version"
}

postgres_by_brew() {
  HOMEBREW_NO_INSTALL_UPGRADE=1 HOMEBREW_NO_INSTALL_CLEANUP=1 HOMEBREW_NO_INSTALLED_DEPENDENTS_CHECK=1 \
    brew install postgresql@17
}

need_postgres() {
  if [ -n "${RR_PG_BIN:-}" ]; then
    has_servers "$RR_PG_BIN" || die "RR_PG_BIN=$RR_PG_BIN has no initdb and postgres of PostgreSQL $oldest_postgres or newer in it: name the folder of such server programs, or unset it"
    return
  elif find_postgres >/dev/null; then
    return
  fi
  say "installing PostgreSQL's server programs"
  if have brew && ! { have apt-get && as_root true; }; then
    postgres_by_brew || :
  elif have apt-get; then
    postgres_by_apt || :
  fi
  found=$(find_postgres) || die "PostgreSQL's server programs (initdb, postgres) were not found and could not be installed: install PostgreSQL $oldest_postgres or newer (Debian and Ubuntu: postgresql, Fedora: postgresql-server, Arch: postgresql, Homebrew: postgresql@17), or let RR_PG_BIN name their folder"
  say "PostgreSQL's server programs are in $found"
}

# These look where the tests look: tests/src/cluster/language.rs.
has_locales() { locale -a 2>/dev/null | tr -d - | grep -qix 'de_DE.utf8' || { have localedef && [ -e /usr/share/i18n/locales/de_DE ]; }; }

# The tests that need it are skipped without, and say so.
need_locales() {
  if has_locales; then
    return
  fi
  if have apt-get; then
    say "installing the sources of locales"
    apt_install locales || :
  fi
  has_locales || say "there is no German locale and nothing to make it from: tests on servers that speak German are skipped (Debian and Ubuntu: locales, Fedora: glibc-locale-source)"
}

links_libpq() { echo 'int main(void) { return 0; }' | cc -x c - ${PQ_LIB_DIR:+"-L$PQ_LIB_DIR"} -lpq -o /dev/null 2>/dev/null; }

need_libpq() {
  if links_libpq; then
    return
  fi
  say "installing PostgreSQL's client library (libpq)"
  if have apt-get; then
    apt_install libpq-dev || :
  elif have brew; then
    HOMEBREW_NO_INSTALL_UPGRADE=1 HOMEBREW_NO_INSTALL_CLEANUP=1 brew install libpq || :
    find_libpq
  fi
  links_libpq || die "PostgreSQL's client library was not found and could not be installed: install libpq with its header files (Debian and Ubuntu: libpq-dev, Fedora: libpq-devel, Arch: postgresql-libs, Homebrew: libpq), or let PQ_LIB_DIR name its folder"
}

# first_of NAME...: prints the first of these programs that there is.
first_of() {
  for name in "$@"; do
    command -v "$name" && return
  done
  return 1
}

# These look where the browser's test looks: examples/axum-diesel/tests/browser/web_driver.rs.
find_browser() {
  first_of "${RR_TEST_CHROMIUM:-chromium}" chromium-browser google-chrome \
    /Applications/Chromium.app/Contents/MacOS/Chromium "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
}

find_driver() {
  first_of "${RR_TEST_CHROMEDRIVER:-chromedriver}" /usr/lib/chromium-browser/chromedriver \
    /usr/lib64/chromium-browser/chromedriver
}

has_browser() { find_browser >/dev/null && find_driver >/dev/null; }

# apt_has PACKAGE...: whether apt could install these, and not a snap in their place, as Ubuntu does with browsers.
apt_has() {
  for package in "$@"; do
    case $(LC_ALL=C apt-cache policy "$package" 2>/dev/null | sed -n 's/^ *Candidate: //p') in
      '' | '(none)' | *snap*) return 1 ;;
    esac
    ! apt-cache --no-all-versions show "$package" 2>/dev/null | grep -Eq '^(Pre-)?Depends:.*snapd' || return 1
  done
}

# The tests that need it are skipped without, and say so. In CI that has to be nobody's fault.
need_browser() {
  if has_browser; then
    return
  fi
  could=yes
  why="they could not be installed"
  if have apt-get; then
    apt_get update || say "apt-get update failed: going on with the package lists there are"
    if apt_has chromium chromium-driver; then
      say "installing Chromium and its driver"
      apt_get install -y --no-install-recommends chromium chromium-driver || :
    else
      could= why="apt-get has none, or a snap in their place"
    fi
  elif have brew; then
    say "installing Chromium and its driver"
    HOMEBREW_NO_INSTALL_UPGRADE=1 HOMEBREW_NO_INSTALL_CLEANUP=1 brew install --cask chromium chromedriver || :
  else
    could= why="there is neither apt-get nor brew to install them with"
  fi
  if has_browser; then
    return
  fi
  remedy="install both, of one version (Debian: chromium and chromium-driver, Ubuntu: Google Chrome from https://www.google.com/chrome and its driver from https://googlechromelabs.github.io/chrome-for-testing, Fedora: chromium and chromedriver, Arch: chromium, Homebrew: the casks chromium and chromedriver), or let RR_TEST_CHROMIUM and RR_TEST_CHROMEDRIVER name the two programs"
  if [ -n "${CI:-}" ] && [ -n "$could" ]; then
    die "Chromium and its driver were not found: $why; $remedy"
  fi
  say "the tests of the live page are skipped, since Chromium and its driver were not found ($why): to run them, $remedy"
}

# These look where the tests look: tests/src/prometheus/programs.rs.
unpacked=${CARGO_TARGET_DIR:-target}/tools/prometheus

has_prometheus() {
  first_of "${RR_TEST_PROMETHEUS:-prometheus}" "$unpacked/usr/bin/prometheus" >/dev/null &&
    first_of "${RR_TEST_PROMTOOL:-promtool}" "$unpacked/usr/bin/promtool" >/dev/null
}

# Debian's package makes a user, starts a service on port 9090, and starts it again at each boot. The tests need its two
# programs and none of that, so it is unpacked, not installed; that needs no root either.
prometheus_by_apt() (
  packages=$(mktemp -d) || return 1
  trap 'rm -rf "$packages"' EXIT
  apt_get update || say "apt-get update failed: going on with the package lists there are"
  (cd "$packages" && apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=3 download prometheus) &&
    mkdir -p "$unpacked" && dpkg-deb -x "$packages"/prometheus_*.deb "$unpacked"
)

need_prometheus() {
  if has_prometheus; then
    return
  fi
  say "fetching Prometheus"
  if have apt-get; then
    prometheus_by_apt || :
  elif have brew; then
    HOMEBREW_NO_INSTALL_UPGRADE=1 HOMEBREW_NO_INSTALL_CLEANUP=1 brew install prometheus || :
  fi
  has_prometheus || die "Prometheus was not found and could not be fetched: install prometheus and promtool (Debian, Ubuntu and Arch: prometheus, Fedora: golang-github-prometheus, Homebrew: prometheus), or let RR_TEST_PROMETHEUS and RR_TEST_PROMTOOL name the two programs"
}

# These look where the benchmark looks: benches/src/proxies/installed.rs.
proxies=${CARGO_TARGET_DIR:-target}/tools/proxies

has_proxies() {
  first_of pgbouncer /usr/sbin/pgbouncer "$proxies/usr/sbin/pgbouncer" >/dev/null &&
    first_of pgpool /usr/sbin/pgpool "$proxies/usr/sbin/pgpool" >/dev/null
}

# Debian's packages start services. Unpacked, with the libraries that are not installed, they are two programs and no more;
# that needs no root either.
proxies_by_apt() (
  packages=$(mktemp -d) || return 1
  trap 'rm -rf "$packages"' EXIT
  apt_get update || say "apt-get update failed: going on with the package lists there are"
  missing=$(apt-get -qq -s install --no-install-recommends pgbouncer pgpool2 | sed -n 's/^Inst \([^ ]*\).*/\1/p')
  # One name a word.
  # shellcheck disable=SC2086
  (cd "$packages" && apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=3 download $missing) &&
    mkdir -p "$proxies" &&
    for package in "$packages"/*.deb; do dpkg-deb -x "$package" "$proxies" || return; done
)

# A comparison without them is possible, and says who is absent.
need_proxies() {
  if has_proxies; then
    return
  fi
  if have apt-get; then
    say "fetching PgBouncer and pgpool-II"
    proxies_by_apt || :
  fi
  has_proxies || say "PgBouncer and pgpool-II are not both there: the comparison goes without the absent (install them, or put them on the PATH)"
}

[ $# -gt 0 ] || die "usage: scripts/setup.sh rust|lints|postgres|locales|libpq|browser|prometheus|proxies..."
for what in "$@"; do
  case $what in
    rust) need_rust ;;
    lints) need_lints ;;
    postgres) need_postgres ;;
    locales) need_locales ;;
    libpq) need_libpq ;;
    browser) need_browser ;;
    prometheus) need_prometheus ;;
    proxies) need_proxies ;;
    *) die "unknown: $what (rust, lints, postgres, locales, libpq, browser, prometheus or proxies)" ;;
  esac
done
