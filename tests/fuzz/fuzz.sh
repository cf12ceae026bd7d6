#!/bin/bash
# fuzz.sh - a fixed number of arbitrary inputs for the TLS engine; FUZZ_RUNS and FUZZ_SEED ask for others. fuzz.sh long: libFuzzer, see README
if [ "${1-}" != long ]; then
    echo "1..1"
    if out=$("${top_builddir:?}/tests/fuzz/fuzz_tls" "${FUZZ_RUNS:-1500}" "${FUZZ_SEED:-1}" 2>&1); then
        echo "ok 1 - TLS with arbitrary input: $out"
    else
        echo "not ok 1 - TLS with arbitrary input"
        sed 's/^/# /' <<<"$out"
    fi
    exit 0
fi
command -v clang >/dev/null || { echo "fuzz: no program 'clang' here (Debian: clang, with libclang-rt)" >&2; exit 1; }
out=${top_builddir:?}/fuzz-corpus
mkdir -p "$out/tls" || exit 1
src=${top_srcdir:?}
clang -g -O1 -std=gnu11 -D_GNU_SOURCE -DHS_LIBFUZZER -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -I"$src" \
    "$src"/tests/fuzz/fuzz_tls.c "$src"/server/tls/tls_openssl*.c "$src"/common/siphash.c \
    -lssl -lcrypto -o "$out/fuzz_tls" || exit 1
exec "$out/fuzz_tls" -max_total_time="${FUZZ_SECONDS:-600}" -max_len=16384 -artifact_prefix="$out/" "$out/tls"
