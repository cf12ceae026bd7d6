# shellcheck shell=bash
# tls_certs.sh - certificates for the TLS tests, in $PKI: an authority of our own, good ones and bad ones; and how those tests begin
PKI=$TMP/pki
# authority NAME
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$PKI/$1.key" -out "$PKI/$1.pem" -subj "/CN=$1" \
        -days 30 -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}
# cert NAME SUBJECT-ALT-NAMES [AUTHORITY [DAYS]]
cert() {
    local ca=${3:-ca}
    openssl req -newkey "${KEY:-ec}" ${KEYOPT--pkeyopt ec_paramgen_curve:P-256} -nodes -keyout "$PKI/$1.key" -subj "/CN=$1" \
        -out "$PKI/$1.csr" 2>/dev/null &&
        openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/$ca.pem" -CAkey "$PKI/$ca.key" -set_serial "$RANDOM$RANDOM" -days "${4:-30}" \
            -extfile <(printf 'subjectAltName=%s\n' "$2") -out "$PKI/$1.pem" 2>/dev/null
}
make_certs() {
    local here="DNS:server.test,IP:$S4,IP:$S6,IP:$K4,IP:$K6,IP:127.0.0.1,IP:::1"
    mkdir -p "$PKI"
    authority ca && authority otherca && cert server "$here" && cert second DNS:second.test && cert wrongname DNS:elsewhere.test &&
        cert wrongca "$here" otherca && cert expired "$here" ca -1 && cert client DNS:client.test && cert badclient DNS:client.test otherca &&
        KEY=rsa:2048 KEYOPT='' cert rsa "$here" &&
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$PKI/self.key" -out "$PKI/self.pem" \
            -subj /CN=self -days 30 -addext "subjectAltName=$here" 2>/dev/null
}
# make_crl NAME: a certificate that is revoked, and the list of our authority, in $PKI/crl.pem
make_crl() {
    cert "$1" "DNS:server.test" || return 1
    : >"$PKI/index"
    echo 01 >"$PKI/crlnumber"
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s\ncrlnumber=%s\ndefault_md=sha256\ndefault_crl_days=30\n' "$PKI/index" "$PKI/crlnumber" >"$PKI/ca.cnf"
    openssl ca -config "$PKI/ca.cnf" -cert "$PKI/ca.pem" -keyfile "$PKI/ca.key" -revoke "$PKI/$1.pem" 2>/dev/null &&
        openssl ca -config "$PKI/ca.cnf" -cert "$PKI/ca.pem" -keyfile "$PKI/ca.key" -gencrl -out "$PKI/crl.pem" 2>/dev/null
}
# conf_tls NAME [WORDS]: what is to be added to a server's configuration
conf_tls() { printf 'tls { ca-cert-path %s %s }\n' "$PKI/ca.pem" "${1-}"; }
# tls_begin PROGRAMS...: what is needed is there, namespaces and certificates are made
tls_begin() {
    need_root
    need openssl "$@"
    only_hoststack
    need_stack
    topo_veth
    make_certs || bail "certificates can be made"
    PROBE=$top_builddir/tests/system/tls_probe
    [ -x "$PROBE" ] || bail "tls_probe is built"
}
# Programs of the native API at server a; its counters; a certificate and key as their arguments
probe() { in_s env VCL_CONFIG="$TMP/a.vcl" "$PROBE" "$@"; }
stat_of() { ctl a --json show tls | jq "[.. | objects | .$1? // 0] | add"; }
pair_of() { printf -- '-c %s -k %s' "$PKI/$1.pem" "$PKI/$1.key"; }
# tls_server ARGUMENTS: of the probe; at :: and the next $port
tls_server() {
    port=$((port + 1))
    bg "$TMP/srv.$port" probe server "$@" :: $port
    server_of_port=$bg_pid
    wait_for 10 listening "$TMP/srv.$port" || bail "the server at port $port listens" "$(cat "$TMP/srv.$port")"
}
