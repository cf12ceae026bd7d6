#!/bin/bash
# postgresql.sh - PostgreSQL, a process for each connection: psql, pgbench, COPY; parallel queries, cancel, restart
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
for d in /usr/lib/postgresql/*/bin; do [ ! -d "$d" ] || PATH=$d:$PATH; done
app_begin initdb postgres psql pgbench setpriv
# PostgreSQL refuses to run as root: an unprivileged user, which may attach because the sockets belong to its group.
id=65534
as_user=(setpriv --reuid $id --regid $id --clear-groups --inh-caps=-all)
mkdir "$TMP/db" "$TMP/sock"
chown $id:$id "$TMP/db" "$TMP/sock"
chmod 755 "$TMP/a.run"
chown $id "$TMP/a.run/app.sock"
"${as_user[@]}" initdb -D "$TMP/db" -U pg -A trust -E UTF8 --locale=C --no-sync >"$TMP/initdb.out" 2>&1 ||
    bail "all ways: initdb" "$(tail -n 15 "$TMP/initdb.out")"
cat >>"$TMP/db/pg_hba.conf" <<CONF
host all all 0.0.0.0/0 trust
host all all ::/0 trust
CONF
app_start "$TMP/pg.out" stack "${as_user[@]}" postgres -D "$TMP/db" -c listen_addresses="$S4,$S6" -c port=5433 \
    -c unix_socket_directories="$TMP/sock" -c fsync=off -c max_connections=100 -c shared_buffers=32MB
pg_pid=$bg_pid
app_ready postgres 5433 "$TMP/pg.out"
sql() { "$client" psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$addr" -p 5433 -U pg "$@"; }
sum() { [ "$(sql -d postgres -c 'select sum(i) from generate_series(1, 100000) i')" = 5000050000 ]; }
copy() {
    sql -d postgres -c 'drop table if exists t; create table t (i int, s text)' &&
        seq 1 50000 | awk '{ print $1 "\t" "value " $1 }' >"$TMP/rows" &&
        sql -d postgres -c '\copy t from stdin' <"$TMP/rows" && same_as "$TMP/rows" sql -d postgres -c '\copy (select * from t order by i) to stdout'
}
cancelled() { # a cancel request is a connection of its own to another process
    local out
    out=$("$client" timeout -s INT 1 psql -X -h "$addr" -p 5433 -U pg -d postgres -c 'select pg_sleep(30)' 2>&1)
    grep -q 'canceling statement' <<<"$out" || { echo "$out"; return 1; }
}
bench() {
    local out
    sql -d postgres -c 'drop database if exists b' -c 'create database b' || return 1
    "$client" pgbench -q -i -s 2 -h "$addr" -p 5433 -U pg b >"$TMP/pgi" 2>&1 || { tail -n 5 "$TMP/pgi"; return 1; }
    out=$("$client" pgbench -h "$addr" -p 5433 -U pg "$@" b 2>&1) || { echo "$out"; return 1; }
    grep -q 'number of failed transactions: 0 ' <<<"$out" || { echo "$out"; return 1; }
}
cases() {
    way_check "a query" sum
    way_check "50,000 rows copied in and out" copy
    way_check "a query is cancelled" cancelled
    way_check "pgbench, 10 clients, 2 threads" bench -c 10 -j 2 -t 100
    way_check "pgbench, a connection a transaction" bench -c 4 -j 2 -t 20 -C -S
}
each_way_in cases
kill -INT "$pg_pid"
wait_for 20 pid_gone "$pg_pid" && ok "all ways: fast shutdown" || not_ok "all ways: fast shutdown" "$(tail -n 10 "$TMP/pg.out")"
check_eq "all ways: no process crashed" "$(grep -Ec 'terminated by signal|PANIC' "$TMP/pg.out")" 0
app_end
