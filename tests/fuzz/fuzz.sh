#!/bin/bash
# fuzz.sh - a fixed number of arbitrary inputs for the TLS and DTLS engine and SCTP; FUZZ_RUNS and FUZZ_SEED ask for others. fuzz.sh long:
# libFuzzer, see README; FUZZ_TARGET=fuzz_dtls for the other one, fuzz_sctp for SCTP
if [ "${1-}" != long ]; then
    echo "1..3"
    n=0
    run() { # TARGET RUNS WHAT [FAMILY]
        n=$((n + 1))
        if out=$("${top_builddir:?}/tests/fuzz/$1" ${4:+"$4"} "${FUZZ_RUNS:-$2}" "${FUZZ_SEED:-1}" 2>&1); then
            echo "ok $n - $3 with arbitrary input: $out"
        else
            echo "not ok $n - $3 with arbitrary input"
            sed 's/^/# /' <<<"$out"
        fi
    }
    run fuzz_tls 1500 TLS
    run fuzz_dtls 600 DTLS
    run fuzz_sctp 200 SCTP all
    exit 0
fi
if [ "${FUZZ_TARGET-}" = fuzz_sctp ]; then # every family for FUZZ_SECONDS; best in a build with --enable-sanitizers
    for family in setup data control reconf asconf auth; do
        echo "$family: $("${top_builddir:?}/tests/fuzz/fuzz_sctp" $family 1000000000 "${FUZZ_SEED:-$(date +%s)}" "${FUZZ_SECONDS:-600}")" || exit 1
    done
    exit 0
fi
command -v clang >/dev/null || { echo "fuzz: no program 'clang' here (Debian: clang, with libclang-rt)" >&2; exit 1; }
out=${top_builddir:?}/fuzz-corpus
target=${FUZZ_TARGET:-fuzz_tls}
mkdir -p "$out/$target" || exit 1
src=${top_srcdir:?}
mb=
! grep -q '^#define HAVE_IPSEC_MB' "${top_builddir:?}/config.h" || mb=-lIPSec_MB
clang -g -O1 -std=gnu11 -D_GNU_SOURCE -DHS_LIBFUZZER -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -I"$src" -I"${top_builddir:?}" \
    "$src/tests/fuzz/$target.c" "$src"/tests/fuzz/fuzz_pair.c "$src"/server/tls/tls_openssl*.c "$src"/server/tls/tls_record.c "$src"/server/tls/tls_aead*.c "$src"/server/tls/tls_keymem.c "$src"/common/siphash.c \
    -lssl -lcrypto $mb -o "$out/$target.bin" || exit 1
exec "$out/$target.bin" -max_total_time="${FUZZ_SECONDS:-600}" -max_len=16384 -artifact_prefix="$out/" "$out/$target"
