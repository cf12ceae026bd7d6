#!/bin/bash
# redis.sh - redis-server with I/O threads and a replica, redis-cli, redis-benchmark
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin redis-server redis-cli redis-benchmark
redis_conf=(--save '' --appendonly no --protected-mode no)
mkdir "$TMP/r1" "$TMP/r2"
app_start "$TMP/redis.out" stack redis-server --bind $S4 $S6 --port 6379 --dir "$TMP/r1" --io-threads 2 "${redis_conf[@]}"
app_ready redis-server 6379 "$TMP/redis.out"
random_file "$TMP/raw" 300000
base64 -w 0 <"$TMP/raw" >"$TMP/value"
value() {
    [ "$("$client" redis-cli -h "$addr" -x set "$way" <"$TMP/value")" = OK ] && same_as "$TMP/wanted" "$client" redis-cli -h "$addr" get "$way"
}
(cat "$TMP/value"; echo) >"$TMP/wanted"
bench() {
    local out
    out=$("$client" redis-benchmark -h "$addr" -t set,get,incr,lpush,lrange_100 -q "$@" 2>&1 | tr '\r' '\n')
    [ "$(grep -c 'requests per second' <<<"$out")" -ge 5 ] && ! grep -qi error <<<"$out" || { echo "$out"; return 1; }
}
published() {
    local pid
    : >"$TMP/sub"
    bg "$TMP/sub" "$client" redis-cli -h "$addr" subscribe news
    pid=$bg_pid
    wait_for 10 grep -q subscribe "$TMP/sub" || return 1
    "$client" redis-cli -h "$addr" publish news "good news" >/dev/null && wait_for 10 grep -q 'good news' "$TMP/sub"
    local rc=$?
    end_pid "$pid"
    return $rc
}
cases() {
    way_check "400 KB set and got by redis-cli" value
    way_check "publish and subscribe" published
    way_check "redis-benchmark, 50 clients" bench -n 5000 -c 50
    way_check "redis-benchmark, pipelines of 16, threads" bench -n 10000 -c 20 -P 16 --threads 2
}
each_way_in cases
replica() {
    local pid n rc
    app_start "$TMP/replica.out" "$1" redis-server --bind "$2" --port 6380 --dir "$TMP/r2" --replicaof "$3" 6379 "${redis_conf[@]}"
    pid=$bg_pid
    in_sync() { [ "$("$client" redis-cli -h "$1" -p 6380 dbsize)" = "$(stack redis-cli -h $S4 dbsize)" ]; }
    wait_for 20 in_sync "$2"
    rc=$?
    [ $rc = 0 ] || tail -n 15 "$TMP/replica.out"
    end_pid "$pid"
    return $rc
}
client=stack
check "cut-through IPv4: a replica follows (BGSAVE forks)" replica stack $S4 $S4
check "cut-through IPv6: a replica follows (BGSAVE forks)" replica stack $S6 $S6
client=in_k
check "port IPv4: a replica follows (BGSAVE forks)" replica in_k $K4 $S4
check "port IPv6: a replica follows (BGSAVE forks)" replica in_k $K6 $S6
app_end
