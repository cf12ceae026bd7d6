# shellcheck shell=bash
# bench_tls.sh - TLS: an nginx that speaks no TLS of its own under the preload library, beside one with its own TLS on the kernel (sourced)

# shellcheck source=tests/system/tls_certs.sh
. "$(dirname "${BASH_SOURCE[0]}")/../system/tls_certs.sh"
tls_suite=TLS_AES_128_GCM_SHA256

s_tls_wrk() { # RUN ADDRESS PATH CONNECTIONS: requests a second
    TMO=15 "$1" wrk -t 1 -c "$4" -d 1 "https://$2:8443/$3" >"$TMP/wrk" 2>&1
    wrk_clean "$TMP/wrk" && sed -n 's/^Requests.sec: *//p' "$TMP/wrk"
}
s_tls_bulk() { s_tls_wrk "$1" "$2" 1m 4 | awk '{ print $1 * 1048576 * 8 / 1e9 }'; } # RUN ADDRESS: Gbit/s
s_tls_handshakes() { # RUN ADDRESS OPTION...: one client, as fast as it can
    TMO=15 "$1" openssl s_time -connect "$2:8443" -time 1 "${@:3}" 2>/dev/null |
        awk '/connections in .* real seconds/ { if ($1 > 0 && $4 > 0) print $1 / $4 }'
}
# What a core of this machine encrypts, with nothing else to do; or what a worker core does, TCP and packets included.
s_tls_core() {
    case $1 in
    speed) TMO=15 in_s openssl speed -evp aes-128-gcm -bytes 16384 -seconds 1 2>/dev/null | awk 'END { sub("k", "", $NF); print $NF * 8000 / 1e9 }' ;;
    *) per_core 1 s_tls_bulk "$@" ;;
    esac
}

group_tls() {
    side tls_k in_k $L4 "kernel, nginx's TLS"
    side tls_h in_k $S4 'hoststack, transparent TLS'
    side tls_c stack $S4 "hoststack, both ends on one host"
    side speed speed - 'openssl speed, no network'
    row tls/link/bulk Gbit/s higher - s_tls_bulk tls_k tls_h
    row tls/link/keep/1k req/s higher - s_tls_wrk tls_k tls_h 1k 32
    row tls/link/handshakes/full conn/s higher - s_tls_handshakes tls_k tls_h -new
    row tls/link/handshakes/resumed conn/s higher - s_tls_handshakes tls_k tls_h -reuse -tls1_2
    full row core/tls/bulk Gbit/s higher - s_tls_core speed tls_h
    full row core/tls/cut Gbit/s higher - s_tls_core speed tls_c
}
tls() {
    local dir with_tls
    group_begin 5 1500
    mkdir -p "$PKI"
    authority ca && cert server "IP:$S4" || { echo "bench: no certificates" >&2; exit 1; }
    chmod -R a+rX "$TMP"
    { conf_packet a; printf 'tcp { cc-algo cubic  msl 100ms }\ntls { ca-cert-path %s ciphersuites %s }\n' "$PKI/ca.pem" $tls_suite; } >"$TMP/a.conf"
    FIFO=4m server_start a "$NS_S"
    for dir in "$TMP/tls.h" "$TMP/tls.k"; do
        ngx_conf "$dir" 8443 1
        head -c 1024 /dev/zero >"$dir/html/1k"
        head -c 1048576 /dev/zero >"$dir/html/1m"
    done
    with_tls="ssl_certificate $PKI/server.pem; ssl_certificate_key $PKI/server.key; ssl_protocols TLSv1.2 TLSv1.3"
    sed -i "s|listen .*root|listen $L4:8443 ssl backlog=4096; $with_tls; ssl_conf_command Ciphersuites $tls_suite; root|" "$TMP/tls.k/nginx.conf"
    bg "$TMP/tls.k/out" in_s nginx -e "$TMP/tls.k/logs/error.log" -c "$TMP/tls.k/nginx.conf"
    group_pids+=("$bg_pid")
    bg "$TMP/tls.h/out" in_s env VCL_CONFIG="$TMP/a.vcl" "$top_builddir/hoststack" --tls-cert "$PKI/server.pem" --tls-key "$PKI/server.key" \
        nginx -e "$TMP/tls.h/logs/error.log" -c "$TMP/tls.h/nginx.conf"
    group_pids+=("$bg_pid")
    both_serve() { in_k curl -skf -o /dev/null "https://$L4:8443/1k" && in_k curl -skf -o /dev/null "https://$S4:8443/1k"; }
    wait_for 15 both_serve || { echo "bench: no TLS: $(tail -n 5 "$TMP"/tls.?/out "$TMP"/tls.?/logs/error.log)" >&2; exit 1; }
}
