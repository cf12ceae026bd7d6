#!/bin/bash
# tls.sh - TLS and DTLS over the simulated network, with damaged records in between; SIM_TLS_SEEDS=A-B asks for other seeds
command -v openssl >/dev/null || { echo "1..0 # SKIP skipped: no program 'openssl' here"; exit 0; }
seeds=${SIM_TLS_SEEDS:-1-60}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
ec="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
# shellcheck disable=SC2086
openssl req -x509 $ec -keyout "$dir/ca.key" -out "$dir/ca.pem" -subj /CN=ca -days 30 2>/dev/null &&
    openssl req $ec -keyout "$dir/server.key" -out "$dir/server.csr" -subj /CN=server 2>/dev/null &&
    openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -set_serial 1 -days 30 \
        -extfile <(echo subjectAltName=IP:10.9.0.2,IP:fd09::2) -out "$dir/server.pem" 2>/dev/null || exit 1
echo "1..3"
n=0
run() { # PROGRAM WHAT [ENGINE]
    local out
    n=$((n + 1))
    if out=$("$top_builddir/tests/sim/$1" "$dir" --seeds "$seeds" "${@:3}" 2>&1); then
        echo "ok $n - $2 of seeds $seeds: $out"
    else
        echo "not ok $n - $2 of seeds $seeds"
        sed 's/^/# /' <<<"$out"
    fi
}
run sim_tls "TLS: every byte arrives, nothing is left,"
run sim_tls "a second engine: the same" "$(realpath "$top_builddir")/tests/engine/.libs/toy_engine.so"
run sim_dtls "DTLS: every message once or never, nothing is left,"
