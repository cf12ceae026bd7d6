#!/bin/bash
# redis.sh - unmodified redis-server, redis-cli and redis-benchmark, from the kernel and cut-through
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need redis-server redis-cli redis-benchmark
need_stack
veth_server

bg "$TMP/redis.out" stack redis-server --bind $S4 $S6 --port 6379 --save '' --appendonly no --dir "$TMP" --protected-mode no
redis_pid=$bg_pid
answers() { [ "$(TMO=5 "$1" redis-cli -h "$2" ping)" = PONG ]; }
wait_for 10 answers stack $S4 || bail "redis answers" "$(tail -n 15 "$TMP/redis.out")"
head -c 300000 /dev/urandom | base64 -w 0 >"$TMP/value"
for way in "kernel in_k" "cut-through stack"; do
    read -r what side <<<"$way"
    for addr in $S4 $S6; do
        check "$what, $addr: PING" answers "$side" "$addr"
        check_eq "$what, $addr: a value of 400 KB is set" "$(TMO=10 "$side" redis-cli -h "$addr" -x set "$what" <"$TMP/value")" OK
        check_eq "$what, $addr: and comes back unchanged" \
            "$(TMO=10 "$side" redis-cli -h "$addr" get "$what" | sha256sum)" "$( (cat "$TMP/value"; echo) | sha256sum)"
    done
    bench() { # WHAT OPTION...
        local w=$1
        shift
        if TMO=60 "$side" redis-benchmark -h $S4 -t set,get,incr,lpush,lrange_100 -q "$@" >"$TMP/rb" 2>&1 &&
            [ "$(tr '\r' '\n' <"$TMP/rb" | grep -c 'requests per second')" -ge 5 ] && ! grep -qi error "$TMP/rb"; then
            ok "$w: $(tr '\r' '\n' <"$TMP/rb" | sed -n 's/^GET: \([0-9.]*\) requests.*/GET \1\/s/p')"
        else
            not_ok "$w" "$(tr '\r' '\n' <"$TMP/rb" | tail -n 8)"
        fi
    }
    bench "$what: redis-benchmark, 50 clients" -n 20000 -c 50
    bench "$what: redis-benchmark, pipelines of 16" -n 40000 -c 20 -P 16
done
TMO=5 stack redis-cli -h $S4 shutdown nosave >/dev/null 2>&1
wait_for 10 pid_gone "$redis_pid" && ok "redis shuts down" || not_ok "redis shuts down"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
