#!/bin/bash
# varnish.sh - varnish, hundreds of threads, before nginx on the stack and on the kernel; hitch, two processes, does TLS for it and says by the
# PROXY protocol who asks
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin varnishd hitch nginx curl wrk openssl gcc
any_user
web_servers 8080
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$TMP/both.pem" -out "$TMP/cert.pem" -days 2 -subj /CN=hoststack 2>/dev/null
cat "$TMP/cert.pem" >>"$TMP/both.pem"
chmod 644 "$TMP/both.pem"
cat >"$TMP/varnish.vcl" <<VCL
vcl 4.1;
backend s4 { .host = "$S4"; .port = "8080"; }
backend s6 { .host = "$S6"; .port = "8080"; }
backend k4 { .host = "$K4"; .port = "8080"; }
backend k6 { .host = "$K6"; .port = "8080"; }
sub vcl_recv {
    if (req.http.from == "s6") { set req.backend_hint = s6; }
    if (req.http.from == "k4") { set req.backend_hint = k4; }
    if (req.http.from == "k6") { set req.backend_hint = k6; }
    if (req.http.from) { return (pass); }
}
sub vcl_deliver { set resp.http.client = client.ip; }
VCL
app_start "$TMP/varnish.out" stack varnishd -F -n "$TMP/v" -j none -f "$TMP/varnish.vcl" -s malloc,32m -p thread_pool_min=50 \
    -a "$S4:8000" -a "[$S6]:8000" -a "p4=$S4:8001,PROXY" -a "p6=[$S6]:8001,PROXY"
app_start "$TMP/hitch4.out" stack hitch -f "[$S4]:8443" -b "[$S4]:8001" --write-proxy-v2 -n 2 -u nobody "$TMP/both.pem"
app_start "$TMP/hitch6.out" stack hitch -f "[$S6]:8443" -b "[$S6]:8001" --write-proxy-v2 -n 2 -u nobody "$TMP/both.pem"
app_ready varnish 8000 "$TMP/varnish.out"
app_ready hitch 8443 "$TMP/hitch4.out"
said() { # whom varnish takes the client behind hitch for: one of our addresses, not hitch's connection
    local own=$addr
    [ "$client" = stack ] || { own=K$fam; own=${!own}; }
    "$client" curl -ksS -D - -o "$TMP/said" "https://$host:8443/" | tr -d '\r' | grep -Fx "client: $own" && cmp "$TMP/said" "$WEB_PAGE"
}
cases() {
    local from
    web_load 8000 "$WEB_PAGE" "$WEB_BIG"
    for from in s4 s6 k4 k6; do way_check "passed on from $from" same_as "$WEB_BIG" "$client" curl -sS -H "From: $from" "http://$host:8000/big"; done
    way_check "hitch: who asks" said
    way_check "hitch: 1 MB" same_as "$WEB_BIG" "$client" curl -ksS "https://$host:8443/big"
    WRK_RUNS=1 wrk_case "$way: hitch: wrk, a connection a request" "$client" 30 "https://$host:8443/" 8 -H 'Connection: close'
}
each_way_in cases
app_end
