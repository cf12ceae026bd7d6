#!/bin/bash
# soak.sh - make soak: many more seeds than make check has time for; SOAK_SEEDS=A-B and SOAK_SCTP_SEEDS=A-B choose them
#
# Slices of 500 seeds, so that progress shows and a failure stops the run near where it happened.
set -u

soak() { # program first-last
    local first=${2%-*} last=${2#*-} a b out
    for ((a = first; a <= last; a += 500)); do
        b=$((a + 499 < last ? a + 499 : last))
        if ! out=$("${top_builddir:?}/tests/sim/$1" --seeds "$a-$b" 2>&1); then
            printf '%s\n' "$out"
            printf 'FAIL: seeds %d-%d; replay one with: tests/sim/%s --seed N\n' "$a" "$b" "$1"
            exit 1
        fi
        printf '%(%H:%M:%S)T %s: seeds %d-%d fine\n' -1 "$1" "$a" "$b"
    done
}
LONG=1 bash "$(dirname "$0")/rate.sh" | tee /dev/stderr | grep -q '^not ok' && exit 1
soak sim_tcp "${SOAK_SEEDS:-2001-22000}"
soak sim_sctp "${SOAK_SCTP_SEEDS:-1001-11000}"
