#!/bin/bash
# run-script.sh - runs one test script, which prints TAP, for automake's tap-driver
#
# A script that ends with 1 because cases failed has said so case by case; any other failure is an error of its own.
set -u
limit=${HS_TEST_TIMEOUT:-1800}
out=$(mktemp "${TMPDIR:-/tmp}/hoststack-test.XXXXXX") || exit 99
trap 'rm -f "$out"' EXIT
# In the foreground, so that an interrupted make check takes its tests with it; scripts clean up on TERM.
timeout --foreground -k 10 "$limit" bash "$@" 2>&1 | tee "$out"
rc=${PIPESTATUS[0]}
if [ "$rc" -eq 124 ] || [ "$rc" -eq 137 ]; then
    echo "Bail out! $1: stopped after $limit s"
elif [ "$rc" -ne 0 ] && ! grep -q '^not ok' "$out"; then
    echo "Bail out! $1: exit status $rc"
fi
exit 0
