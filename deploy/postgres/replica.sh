#!/bin/sh
# Makes a standby of a running server: a replication slot, a copy of the data, and whom to follow. To be run on the new
# machine as the owner of the data folder to be (not as root), with PostgreSQL's programs (13 or newer) in the PATH. Start
# the server afterwards.
#
#   replica.sh DATA 'host=db-1 port=5432 user=replicator' NAME [SLOT]
#
# DATA is absent or empty. The connection string becomes `primary_conninfo`; its password comes from a passfile
# (`~/.pgpass`, or `passfile=…` in it), which the server needs later as well. NAME is the standby's `application_name`: what
# `synchronous_standby_names`, and rr's `discovery.host` and `discovery.map`, know it by. SLOT is NAME with `_` for what a
# slot's name may not have, unless given. If the copy fails, neither the slot nor a part of the copy is left.
#
# Where the settings live outside of DATA (Debian: /etc/postgresql), they are not copied. `max_connections`,
# `max_worker_processes`, `max_wal_senders`, `max_prepared_transactions` and `max_locks_per_transaction` must not be lower
# than on the primary.
set -eu
umask 077

die() {
  printf 'replica: %s\n' "$1" >&2
  exit 1
}

[ $# -ge 3 ] && [ $# -le 4 ] || die "usage: replica.sh DATA PRIMARY_CONNINFO NAME [SLOT]"
data=$1 conninfo=$2 name=$3
slot=${4:-$(printf '%s' "$name" | tr 'A-Z' 'a-z' | tr -c 'a-z0-9_' '_')}

[ "$(id -u)" != 0 ] || die "run it as the owner of the data folder (postgres, say), not as root"
for program in pg_basebackup psql; do
  command -v "$program" >/dev/null 2>&1 || die "$program is not in the PATH"
done
case $name in
'' | *[!A-Za-z0-9._-]*) die "NAME may have letters, digits, dots, hyphens and underscores" ;;
esac
case $slot in
*[!a-z0-9_]*) die "SLOT may have small letters, digits and underscores" ;;
esac
# libpq allows blanks around the sign.
case $(printf '%s' "$conninfo" | tr -d '[:space:]') in
*://*) die "write the connection as host=… port=… user=…, not as a URL" ;;
*password=*) die "keep the password in a passfile: here all users of this machine would see it" ;;
*application_name=*) die "leave out application_name: it is NAME" ;;
esac
if [ -e "$data" ]; then
  [ -d "$data" ] || die "$data is no folder"
  [ -z "$(ls -A "$data")" ] || die "$data is not empty; to take the copy anew, stop its server and move it away"
fi

# Replication commands, on the connection that the standby itself will use: whoever gets through here gets through later.
replication() {
  psql -X -q -A -t -w -v ON_ERROR_STOP=1 -d "$conninfo application_name=$name replication=true" -c "$1"
}

replication IDENTIFY_SYSTEM >/dev/null ||
  die "no replication connection: look at pg_hba.conf there (database \"replication\"), the role's REPLICATION, the passfile"
replication "CREATE_REPLICATION_SLOT \"$slot\" PHYSICAL RESERVE_WAL" >/dev/null ||
  die "cannot make the slot. If it is left over from a standby that is gone: SELECT pg_drop_replication_slot('$slot')"
# From here on what was begun is taken back, also when somebody ends us.
undo() {
  replication "DROP_REPLICATION_SLOT \"$slot\" WAIT" >/dev/null || printf 'replica: drop the slot %s by hand\n' "$slot" >&2
  if [ -e "$data/PG_VERSION" ]; then printf 'replica: throw the copy in %s away\n' "$data" >&2; fi
}
trap undo EXIT
trap 'exit 1' HUP INT TERM

# -R makes standby.signal before the copy counts as complete: a copy without it would start as a second primary.
pg_basebackup -w -d "$conninfo application_name=$name" -D "$data" -X stream -S "$slot" -R -c fast

# What -R writes has every default of this connection in it, and a password if there was one in the environment.
auto=$data/postgresql.auto.conf
quote() { printf "%s" "$1" | sed -e 's/\\/\\\\/g' -e "s/'/''/g"; }
sed -e '/^ *primary_conninfo *=/d' -e '/^ *primary_slot_name *=/d' "$auto" >"$auto.replica"
{
  printf "primary_conninfo = '%s'\n" "$(quote "$conninfo application_name=$name")"
  printf "primary_slot_name = '%s'\n" "$slot"
} >>"$auto.replica"
mv "$auto.replica" "$auto"
trap - EXIT
printf 'replica: %s follows as %s when it is started\n' "$data" "$name"
