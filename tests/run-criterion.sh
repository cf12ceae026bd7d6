#!/bin/sh
# run-criterion.sh - runs one criterion program and gives automake's tap-driver its TAP report, case by case
#
# The report goes to a file of its own, so that nothing the tests print can be taken for a result; what they print comes
# out as comments. An exit status that no failed case explains (a leak found at exit, a time-out) is an error of its own.
prog=$1
limit=${HS_TEST_TIMEOUT:-1800}
dir=$(mktemp -d "${TMPDIR:-/tmp}/hoststack-test.XXXXXX") || exit 99
trap 'rm -rf "$dir"' EXIT
trap 'exit 99' HUP INT TERM

HS_TEST_TMP=$dir
export HS_TEST_TMP
# In the foreground, so that an interrupted make check takes its tests with it. Criterion ends its own children; the outer
# limit is for a criterion that hangs itself.
timeout --foreground -k 10 $((limit + 30)) "$prog" --tap="$dir/tap" --timeout "$limit" ${CRITERION_ARGS-} >"$dir/out" 2>&1
rc=$?

sed 's/^/# /' "$dir/out"
if [ -s "$dir/tap" ]; then
    cat "$dir/tap"
    echo
fi
if [ $rc -eq 124 ] || [ $rc -eq 137 ]; then
    echo "Bail out! $prog: stopped after $limit s"
elif [ $rc -ne 0 ] && ! grep -q '^not ok' "$dir/tap" 2>/dev/null; then
    echo "Bail out! $prog: exit status $rc"
fi
exit 0
