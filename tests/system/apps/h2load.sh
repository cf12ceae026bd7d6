#!/bin/bash
# h2load.sh - HTTP/2: h2load and curl against nginx, many streams on few connections, over TLS and without
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin h2load nginx curl openssl
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$TMP/key" -out "$TMP/cert" -days 2 -subj /CN=hoststack -batch 2>/dev/null ||
    bail "all ways: a certificate can be made"
mkdir "$TMP/html" "$TMP/tmp"
echo "hoststack test page" >"$TMP/html/index.html"
random_file "$TMP/html/big" 1000000
chmod -R a+rX "$TMP/html"
conf() {
    cat <<NGINX
daemon off;
worker_processes 2;
pid $TMP/$1.pid;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path $TMP/tmp/b; proxy_temp_path $TMP/tmp/p; fastcgi_temp_path $TMP/tmp/f;
    uwsgi_temp_path $TMP/tmp/u; scgi_temp_path $TMP/tmp/s;
    ssl_certificate $TMP/cert; ssl_certificate_key $TMP/key;
    server {
        listen $2:8200 http2; listen [$3]:8200 http2;
        listen $2:8201 ssl http2; listen [$3]:8201 ssl http2;
        root $TMP/html;
    }
}
NGINX
}
conf s $S4 $S6 >"$TMP/s.conf"
conf k $K4 $K6 >"$TMP/k.conf"
app_start "$TMP/out" stack nginx -e "$TMP/s.log" -c "$TMP/s.conf"
app_start "$TMP/kout" in_k nginx -e "$TMP/k.log" -c "$TMP/k.conf"
for p in 8200 8201; do
    app_ready nginx $p "$TMP/s.log"
    kernel_ready nginx $p "$TMP/k.log"
done
load() { # URL REQUESTS: all done, all well
    local out
    out=$("$client" h2load -n "$2" -c 4 -m 32 "$1" 2>&1)
    grep -q "$2 total, $2 started, $2 done, $2 succeeded, 0 failed, 0 errored, 0 timeout" <<<"$out" || { echo "$out"; return 1; }
}
parallel() { # twenty of 1 MB at once
    local i args=()
    rm -f "$TMP"/got.*
    for i in {1..20}; do args+=(-o "$TMP/got.$i" "https://$host:8201/big"); done
    "$client" curl -sSk --http2 --parallel --parallel-max 20 "${args[@]}" || return 1
    for i in {1..20}; do cmp "$TMP/html/big" "$TMP/got.$i" || return 1; done
}
cases() {
    way_check "2,000 pages, 32 streams on 4 connections" load "http://$host:8200/" 2000
    way_check "the same over TLS" load "https://$host:8201/" 2000
    way_check "100 of 1 MB, over TLS" load "https://$host:8201/big" 100
    way_check "curl, twenty of 1 MB in parallel" parallel
}
each_way_in cases
each_way_out cases
app_end
