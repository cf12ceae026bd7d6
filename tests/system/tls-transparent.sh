#!/bin/bash
# tls-transparent.sh - unmodified plain nginx, redis-server and curl speak TLS under the preload library, and never in clear
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/tls_certs.sh
. "$(dirname "$0")/tls_certs.sh"
need_root
need openssl
only_hoststack
need_stack
# shellcheck source=tests/system/ngx.sh
. "$(dirname "$0")/ngx.sh"
topo_veth
make_certs || bail "certificates can be made"
chmod -R a+rX "$TMP/pki"
{ conf_packet a; conf_tls; } >"$TMP/a.conf"
server_start a "$NS_S"
stack() { spre a "$@"; }
# secret NAME COMMAND...: preloaded, with transparent TLS and the certificate NAME ("": none)
secret() {
    local files=()
    [ -z "$1" ] || files=(LDP_TLS_CERT_FILE="$PKI/$1.pem" LDP_TLS_KEY_FILE="$PKI/$1.key")
    : "${hs_pre:=$(hs_preload_libs)}"
    in_s env LD_LIBRARY_PATH="$PRELOAD_DIR" ASAN_OPTIONS=detect_leaks=0 LDP_TRANSPARENT_TLS=1 "${files[@]}" \
        VCL_CONFIG="$TMP/a.vcl" LD_PRELOAD="$hs_pre" "${@:2}"
}
get() { TMO=30 "$1" curl -sS --cacert "$PKI/ca.pem" -o "$TMP/page" "$2" && cmp "$TMP/page" "$3"; }

# ---- nginx, by the wrapper's options
ngx_conf "$TMP/n" 8080
sed -i "s/listen $S4/listen 127.0.0.1:8080; listen $S4/" "$TMP/n/nginx.conf"
bg "$TMP/n/out" in_s env VCL_CONFIG="$TMP/a.vcl" "$top_builddir/hoststack" --tls-cert "$PKI/server.pem" --tls-key "$PKI/server.key" \
    nginx -e "$TMP/n/logs/error.log" -c "$TMP/n/nginx.conf"
ngx_pid=$bg_pid
serves() { get in_k "https://$S4:8080/" "$TMP/n/html/index.html"; }
wait_for 15 serves || bail "nginx serves a page" "$(tail -n 15 "$TMP/n/out" "$TMP/n/logs/error.log")"
for f in 4 6; do
    s=S$f
    url=https://${!s}:8080
    [ $f = 4 ] || url=https://[${!s}]:8080
    for side in in_k stack; do
        check "$side curl gets the page, v$f" get $side "$url/" "$TMP/n/html/index.html"
        check "$side curl gets 1 MB by sendfile, v$f" get $side "$url/big" "$TMP/n/html/big"
    done
done
check "a preloaded curl gets the page at loopback" get stack "https://127.0.0.1:8080/" "$TMP/n/html/index.html"
get_http() { TMO=30 secret "" curl -sS -o "$TMP/page" "http://$S4:8080/" && cmp "$TMP/page" "$TMP/n/html/index.html"; }
check "a program that speaks transparent TLS itself gets the page" get_http

# ---- never in clear
no_clear() { ! TMO=10 "$@" curl -s -o /dev/null "http://${CLEAR:-$S4}:8080/"; }
check "no page in clear over the port" no_clear in_k
check "no page in clear on this host" no_clear stack
CLEAR=127.0.0.1 check "no page in clear from the stack's loopback" no_clear stack
CLEAR=127.0.0.1 check "no page in clear from the kernel's loopback" no_clear in_s
check "the kernel listens nowhere for nginx" test -z "$(in_s ss -Hltn 'sport = :8080')"

# ---- load
url=https://$S4:8080
if [ "${LONG:-0}" = 1 ]; then
    WRK_RUNS=100 wrk_case "kernel's wrk, kept connections, 100,000 requests" in_k 100000 $url/ 32
else
    wrk_case "kernel's wrk, kept connections" in_k 20000 $url/ 32
fi
wrk_case "kernel's wrk, a connection a request" in_k 500 $url/ 16 -H 'Connection: close'
wrk_case "kernel's wrk, 1 MB pages" in_k 100 $url/big 8
wrk_case "preloaded wrk, kept connections" stack 10000 $url/ 32
wrk_case "preloaded wrk, a connection a request" stack 300 $url/ 16 -H 'Connection: close'
before=$(stat_of direct)
slowly() { TMO=30 stack curl -sS --cacert "$PKI/ca.pem" --limit-rate 4M -o "$TMP/page" $url/big && cmp "$TMP/page" "$TMP/n/html/big"; }
check "preloaded curl, which reads slowly" slowly
check "got records made where it reads them" test "$(stat_of direct)" -gt "$before"
kill -HUP "$ngx_pid"
check "after a reload it serves on" wait_for 10 serves
kill -QUIT "$ngx_pid"
wait_for 15 pid_gone "$ngx_pid" && ok "quit ends nginx" || not_ok "quit ends nginx"
check_eq "no emergency, alert or crash in nginx's log" \
    "$(grep -Ec '\[(emerg|alert|crit)\]|exited on signal' "$TMP/n/logs/error.log")" 0

# ---- clients: plain HTTP in the program, TLS on the wire
bg "$TMP/ks" in_k openssl s_server -accept 8443 -cert "$PKI/server.pem" -key "$PKI/server.key" -www
kserver=$bg_pid
wait_for 10 grep -q ACCEPT "$TMP/ks" || bail "s_server listens" "$(cat "$TMP/ks")"
fetches() { TMO=20 secret "" curl -sS "http://$1:8443/" 2>&1 | grep -q 'TLSv1.3'; }
check "a plain client to a TLS server, v4" fetches $K4
check "a plain client to a TLS server, v6" fetches "[$K6]"
env_name() { TMO=20 in_s env LD_LIBRARY_PATH="$PRELOAD_DIR" LDP_TRANSPARENT_TLS=1 LDP_TLS_SERVER_NAME="$1" VCL_CONFIG="$TMP/a.vcl" \
    LD_PRELOAD="$hs_pre" curl -sS "http://$K4:8443/" 2>&1 | grep -q 'TLSv1.3'; }
check "with the name that it asks for" env_name server.test
not_name() { ! env_name another.test; }
check "another name is refused" not_name
end_pid "$kserver"

# ---- redis
if command -v redis-server >/dev/null && redis-cli --help 2>&1 | grep -q -- --tls; then
    cp "$PKI/server.pem" "$PKI/redis.pem"
    cp "$PKI/server.key" "$PKI/redis.key"
    chmod a+r "$PKI/redis.pem" "$PKI/redis.key"
    bg "$TMP/redis.out" secret redis redis-server --bind $S4 $S6 --port 6379 --save '' --appendonly no --dir "$TMP" --protected-mode no
    redis_pid=$bg_pid
    answers() { [ "$(TMO=5 "$1" redis-cli --tls --cacert "$PKI/ca.pem" -h "$2" ping)" = PONG ]; }
    wait_for 10 answers in_k $S4 || bail "redis answers" "$(tail -n 15 "$TMP/redis.out")"
    for a in $S4 $S6; do
        check "kernel's redis-cli --tls, $a" answers in_k $a
        check "preloaded redis-cli --tls, $a" answers stack $a
    done
    in_clear() { TMO=5 in_k redis-cli -h $S4 ping 2>&1 | grep -q PONG; }
    in_clear && not_ok "redis in clear is refused" || ok "redis in clear is refused"
    # ---- another certificate: the program knows nothing of it, and a connection that is open goes on
    mkfifo "$TMP/hold.in"
    TMO=60 in_k redis-cli --tls --cacert "$PKI/ca.pem" -h $S4 <"$TMP/hold.in" >"$TMP/hold.out" 2>&1 &
    hold_pid=$!
    exec 9>"$TMP/hold.in"
    echo 'echo before' >&9
    check "a connection with the first certificate" wait_for 10 grep -q before "$TMP/hold.out"
    cp "$PKI/second.pem" "$PKI/new.pem"
    cp "$PKI/second.key" "$PKI/new.key"
    chmod a+r "$PKI/new.pem" "$PKI/new.key"
    mv "$PKI/new.key" "$PKI/redis.key"
    check "half of a new pair is not used" answers in_k $S4
    mv "$PKI/new.pem" "$PKI/redis.pem"
    renewed() { : | TMO=5 in_k openssl s_client -connect $S4:6379 2>/dev/null | grep -q 'subject=CN = second'; }
    check "the new certificate comes into use by itself" wait_for 15 renewed
    echo 'echo after' >&9
    check "the open connection goes on" wait_for 10 grep -q after "$TMP/hold.out"
    exec 9>&-
    wait "$hold_pid"
    end_pid "$redis_pid"
else
    skip "redis over TLS" "no redis-cli with TLS here"
fi

# ---- without what it needs it fails, and is not served in clear
listens() { TMO=10 secret "$1" timeout 60 python3 -c "
import socket, os
s = socket.socket()
s.bind(('$2', 7555))
try:
    s.listen(5)
    print('listens')
except OSError as e:
    print(os.strerror(e.errno))"; }
check_eq "without a certificate listen fails" "$(listens '' 0.0.0.0 2>/dev/null)" "Required key not available"
check_eq "with a certificate that is none, too" "$(listens nosuch 0.0.0.0 2>/dev/null)" "Required key not available"
check_eq "at the wildcard it listens" "$(listens server 0.0.0.0 2>/dev/null)" listens
server_alive a && ok "the server lives" || not_ok "the server lives"
server_stop a
hs_servers=()
check_eq "without a server it does not listen" "$(listens server 0.0.0.0 2>/dev/null || echo failed)" failed
finish
