#!/bin/sh
# Checks the types of rr-diesel over MySQL's and SQLite's synchronous connections. Nothing is linked, so that their client
# libraries are not needed: the build script of the one for MySQL is content with a version and a folder.
set -eu
cd "$(dirname "$0")/.."
: "${MYSQLCLIENT_VERSION:=8.0.36}" "${MYSQLCLIENT_LIB_DIR:=$PWD/target}"
export MYSQLCLIENT_VERSION MYSQLCLIENT_LIB_DIR
exec cargo clippy --locked -p rr-diesel --features blocking-mysql,blocking-sqlite -- -D warnings
