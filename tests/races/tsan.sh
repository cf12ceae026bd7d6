#!/bin/bash
# tsan.sh - races under the thread sanitizer: the library and the program of tsan/, the server as built. Not part of make check.
PRELOAD_DIR=${PRELOAD_DIR:-${top_builddir:-$PWD}/tsan/.libs} RACES=${RACES:-${top_builddir:-$PWD}/tsan/tests/races/races}
RACES_SECONDS=${RACES_SECONDS:-20}
# shellcheck source=tests/races/lib.sh
. "$(dirname "$0")/lib.sh"
ldd "$RACES" | grep -q libtsan || skip_all "no build with -fsanitize=thread in tsan/"
# The library before the run-time: a call that it makes from inside of the run-time's own would be made without its eyes open.
export TSAN_OPTIONS="log_path=$TMP/report history_size=7 exitcode=0 suppressions=$top_srcdir/tests/races/tsan.supp"
races_all
# Reports of numbers that are closed while they are used are the program's, not the library's.
cat "$TMP"/report.* 2>/dev/null | awk -v RS='==================\n' '/WARNING/ && !/Location is file descriptor/' >"$TMP/reports"
n=$(grep -c WARNING "$TMP/reports")
[ "$n" = 0 ] && ok "no report" || not_ok "no report" "$n: $(head -n 120 "$TMP/reports")"
finish
