#!/bin/bash
# mariadb.sh - MariaDB, a thread a connection: 3 MB there and back, mysqlslap with eight clients, the same compressed
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin mariadbd mariadb mariadb-slap mariadb-install-db
mkdir "$TMP/db"
mariadb-install-db --no-defaults --datadir="$TMP/db" --auth-root-authentication-method=normal --user=root --skip-test-db >"$TMP/install" 2>&1 ||
    bail "all ways: a database can be made" "$(tail "$TMP/install")"
app_start "$TMP/out" stack mariadbd --no-defaults --user=root --datadir="$TMP/db" --socket="$TMP/sock" --pid-file="$TMP/pid" \
    --bind-address="$S4,$S6" --port=3307 --skip-name-resolve --innodb-flush-log-at-trx-commit=0
wait_for 60 grep -q "ready for connections" "$TMP/out" || bail "all ways: mariadbd starts" "$(tail "$TMP/out")"
app_ready mariadbd 3307 "$TMP/out"
mariadb --no-defaults -S "$TMP/sock" -u root -e "create user t@'%' identified by 'x'; grant all on *.* to t@'%'" ||
    bail "all ways: a user can be made"
at() { "$client" "$1" --no-defaults -h "$addr" -P 3307 --protocol=TCP -u t -px "${@:2}"; }
rows() {
    local wanted
    wanted=$(head -c 3000000 "$TMP/text" | md5sum | cut -c-32)
    { printf "select length(x), md5(x), x from (select '"; head -c 3000000 "$TMP/text"; printf "' as x) as t"; } >"$TMP/sql"
    at mariadb --max-allowed-packet=16M -N <"$TMP/sql" >"$TMP/row"
    [ "$(cut -f 1,2 "$TMP/row")" = "3000000	$wanted" ] && [ "$(cut -f 3 "$TMP/row" | tr -d '\n' | md5sum | cut -c-32)" = "$wanted" ]
}
slap() { at mariadb-slap --concurrency=8 --number-of-queries=1000 --auto-generate-sql --auto-generate-sql-load-type=mixed "$@"; }
head -c 3000000 /dev/urandom | base64 -w 0 >"$TMP/text"
cases() {
    way_check "3 MB there and back" rows
    way_check "mariadb-slap, 8 clients" slap --create-schema="s$fam$client"
    way_check "the same, compressed" slap --create-schema="z$fam$client" --compress
}
each_way_in cases
app_end
