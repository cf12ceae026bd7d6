#!/bin/bash
# soak.sh - make soak: many more seeds than make check has time for; SOAK_SEEDS=A-B chooses them
#
# Slices of 500 seeds, so that progress shows and a failure stops the run near where it happened.
set -u
seeds=${SOAK_SEEDS:-2001-22000}
first=${seeds%-*} last=${seeds#*-}
for ((a = first; a <= last; a += 500)); do
    b=$((a + 499 < last ? a + 499 : last))
    if ! out=$("${top_builddir:?}/tests/sim/sim_tcp" --seeds "$a-$b" 2>&1); then
        printf '%s\n' "$out"
        printf 'FAIL: seeds %d-%d; replay one with: tests/sim/sim_tcp --seed N\n' "$a" "$b"
        exit 1
    fi
    printf '%(%H:%M:%S)T seeds %d-%d fine\n' -1 "$a" "$b"
done
