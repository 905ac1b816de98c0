#!/bin/sh
# Makes an old primary a standby of the new one, by pg_rewind. To be run on the old primary's machine as the owner of its
# data folder, with the server stopped and PostgreSQL's programs (13 or newer) in the PATH. Start the server afterwards.
#
#   rejoin.sh DATA 'host=db-2 port=5432 user=postgres' 'host=db-2 port=5432 user=replicator' [SLOT]
#
# The first connection string is for pg_rewind: a superuser, or a role with EXECUTE on the functions that its manual lists.
# The second becomes `primary_conninfo`. SLOT is a replication slot to make on the new primary and to use.
#
# It needs `wal_log_hints = on` or checksums, and the log since the two histories parted. Where that is gone, or pg_rewind
# fails half-way, take a new copy instead: pg_basebackup -R.
set -eu

die() {
  printf 'rejoin: %s\n' "$1" >&2
  exit 1
}

[ $# -ge 3 ] || die "usage: rejoin.sh DATA SOURCE PRIMARY_CONNINFO [SLOT]"
data=$1 source=$2 conninfo=$3 slot=${4:-}
[ -f "$data/PG_VERSION" ] || die "$data is no data folder"
data=$(cd "$data" && pwd)
if pg_ctl status -D "$data" >/dev/null 2>&1; then
  die "the server of $data is running; stop it first"
fi

ask() {
  psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$source dbname=postgres" "$@"
}

# Right after a promotion the control file of the new primary still has the old timeline, and pg_rewind finds nothing to do.
ask -c CHECKPOINT
[ "$(ask -c 'SELECT pg_is_in_recovery()')" = f ] || die "the server at SOURCE is no primary"

# pg_rewind brings the settings of the new primary as well, and removes from the data folder what that one does not have.
kept=$(mktemp -d "$data.rejoin.XXXXXX" 2>/dev/null) || kept=$(mktemp -d)
for file in postgresql.conf postgresql.auto.conf pg_hba.conf pg_ident.conf; do
  if [ -f "$data/$file" ]; then cp -p "$data/$file" "$kept/$file"; fi
done
restore() {
  for file in "$kept"/*; do
    if [ -f "$file" ]; then cp -p "$file" "$data/"; fi
  done
  rm -rf "$kept"
}
trap restore EXIT
trap 'exit 1' HUP INT TERM

# After a crash this first starts the server by itself, to end its recovery.
pg_rewind --target-pgdata="$data" --source-server="$source dbname=postgres"

trap - EXIT
restore
if [ -n "$slot" ]; then
  ask -v slot="$slot" <<'SQL' >/dev/null
SELECT pg_create_physical_replication_slot(:'slot', true)
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = :'slot');
SQL
fi

# What a switchover and an earlier life have left there, and where to go from now on.
auto=$data/postgresql.auto.conf
touch "$auto"
sed -i.rejoin -e '/^ *default_transaction_read_only *=/d' -e '/^ *primary_conninfo *=/d' \
  -e '/^ *primary_slot_name *=/d' "$auto"
rm -f "$auto.rejoin"
quote() { printf "%s" "$1" | sed -e 's/\\/\\\\/g' -e "s/'/''/g"; }
{
  printf "primary_conninfo = '%s'\n" "$(quote "$conninfo")"
  if [ -n "$slot" ]; then printf "primary_slot_name = '%s'\n" "$(quote "$slot")"; fi
} >>"$auto"
touch "$data/standby.signal"
printf 'rejoin: %s follows the new primary when it is started\n' "$data"
