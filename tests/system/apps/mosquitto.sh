#!/bin/bash
# mosquitto.sh - mosquitto and its clients: every message to every subscriber, told once and told until it is acknowledged; one of 2 MB, retained
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin mosquitto mosquitto_pub mosquitto_sub
conf() { printf 'listener 1883 %s\nlistener 1883 %s\nallow_anonymous true\nuser root\nmax_queued_messages 0\n' "$1" "$2"; }
conf $S4 $S6 >"$TMP/s.conf"
conf $K4 $K6 >"$TMP/k.conf"
app_start "$TMP/out" stack mosquitto -c "$TMP/s.conf"
app_start "$TMP/kout" in_k mosquitto -c "$TMP/k.conf"
app_ready mosquitto 1883 "$TMP/out"
kernel_ready mosquitto 1883 "$TMP/kout"
random_file "$TMP/big" 2000000
yes message | head -n 300 >"$TMP/wanted"
messages() { # QOS: 300 to each of four. Of them alone it is known what has come: mosquitto_pub ends with 1 now and then, on the kernel, too
    local i topic=few/$hs_n subs=() rc=0
    rm -f "$TMP"/sub.*
    for i in 1 2 3 4; do
        TMO=60 "$client" stdbuf -oL mosquitto_sub -V 5 -h "$addr" -q "$1" -t "$topic" -C 301 >"$TMP/sub.$i" 2>&1 & subs+=($!)
    done
    # All have subscribed once a retained message has come to all.
    "$client" mosquitto_pub -h "$addr" -r -q 1 -t "$topic" -m subscribed
    subscribed() { [ "$(cat "$TMP"/sub.* | grep -c subscribed)" = 4 ]; }
    wait_for 60 subscribed || { head "$TMP"/sub.*; rc=1; }
    TMO=60 "$client" mosquitto_pub -h "$addr" -q "$1" -t "$topic" --repeat 300 -m message
    for i in 1 2 3 4; do
        wait "${subs[i - 1]}" && grep -v subscribed "$TMP/sub.$i" | cmp - "$TMP/wanted" || rc=1
    done
    return $rc
}
big() {
    "$client" mosquitto_pub -h "$addr" -r -t big -q 1 -f "$TMP/big" && same_as "$TMP/big" "$client" mosquitto_sub -h "$addr" -t big -C 1 -N
}
cases() {
    local q
    for q in 0 1; do way_check "four subscribers, quality $q" messages $q; done
    way_check "a message of 2 MB" big
}
each_way_in cases
each_way_out cases
app_end
