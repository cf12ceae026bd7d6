#!/bin/bash
# stunnel.sh - stunnel, a thread a connection, between clients and nginx: TLS on the way to it, and between two of them
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin stunnel4 nginx curl wrk openssl
web_servers 8080
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$TMP/key.pem" -out "$TMP/cert.pem" -days 2 -subj /CN=hoststack 2>/dev/null
conf() {
cat <<CONF
foreground = yes
pid =
syslog = no
debug = 4
[in4]
accept = $S4:8443
connect = $S4:8080
cert = $TMP/cert.pem
key = $TMP/key.pem
[in6]
accept = $S6:8443
connect = $S6:8080
cert = $TMP/cert.pem
key = $TMP/key.pem
[out4]
client = yes
accept = $S4:8444
connect = $S4:8443
[out6]
client = yes
accept = $S6:8444
connect = $S6:8443
[k4]
client = yes
accept = $S4:8445
connect = $K4:8443
[k6]
client = yes
accept = $S6:8445
connect = $K6:8443
CONF
}
conf >"$TMP/s.conf"
S4=$K4 S6=$K6 conf >"$TMP/k.conf"
app_start "$TMP/s.out" stack stunnel4 "$TMP/s.conf"
app_start "$TMP/k.out" in_k stunnel4 "$TMP/k.conf"
for p in 8443 8444 8445; do app_ready stunnel $p "$TMP/s.out"; done
kernel_ready stunnel 8443 "$TMP/k.out"
cases() {
    way_check "TLS: curl gets a page" same_as "$WEB_PAGE" "$client" curl -ksS "https://$host:8443/"
    way_check "TLS: curl gets 1 MB" same_as "$WEB_BIG" "$client" curl -ksS "https://$host:8443/big"
    WRK_RUNS=2 wrk_case "$way: TLS: wrk, a connection a request" "$client" 50 "https://$host:8443/" 16 -H 'Connection: close'
    web_load 8444 "$WEB_PAGE" "$WEB_BIG"
    way_check "through the kernel's: curl gets 1 MB" same_as "$WEB_BIG" "$client" curl -ksS "http://$host:8445/big"
}
each_way_in cases
app_end
