#!/bin/bash
# squid.sh - squid with two workers that are given their listeners: a proxy to nginx on the stack and on the kernel, tunnels, and an accelerator under load
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin squid setpriv nginx curl wrk
web_servers 8080
mkdir "$TMP/squid"
chmod 777 "$TMP/squid"
any_user
cat >"$TMP/squid.conf" <<CONF
workers 2
http_port $S4:3128
http_port [$S6]:3128
http_port $S4:3129 accel defaultsite=stack
http_port [$S6]:3129 accel defaultsite=stack
cache_peer $S4 parent 8080 0 no-query originserver name=stack
cache_peer $K4 parent 8080 0 no-query originserver name=kernel
http_access allow all
cache_mem 32 MB
maximum_object_size_in_memory 2 MB
shutdown_lifetime 1 seconds
pid_filename $TMP/squid/pid
access_log none
cache_log $TMP/squid/log
coredump_dir $TMP/squid
cache_store_log none
pinger_enable off
CONF
# Started as root it would keep root as its real user, and a program that is executed so is not preloaded.
app_start "$TMP/squid.out" stack bash -c 'for d in /run /dev/shm; do mount -t tmpfs -o mode=777 tmpfs $d || exit; done; mkdir -m 777 /run/squid && exec "$@"' \
    squid setpriv --reuid 65534 --regid 65534 --clear-groups squid --foreground -f "$TMP/squid.conf"
app_ready squid 3128 "$TMP/squid.out"
through() { "$client" curl -sS -x "http://$host:3128" "$@"; }
cases() {
    local a
    for a in $S4 "[$S6]" $K4 "[$K6]"; do
        way_check "a page of $a" same_as "$WEB_PAGE" through "http://$a:8080/"
        way_check "1 MB of $a" same_as "$WEB_BIG" through "http://$a:8080/big?$hs_n"
        way_check "tunnel, 1 MB of $a" same_as "$WEB_BIG" through -p "http://$a:8080/big"
    done
    web_load 3129 "$WEB_PAGE" "$WEB_BIG"
}
each_way_in cases
app_end
