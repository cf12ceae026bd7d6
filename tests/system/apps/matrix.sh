#!/bin/bash
# matrix.sh - make check-apps: every program of this folder (or those named), one after the other, then the matrix
#
#   APPS_LOGS=DIR      where each script's output goes (default: apps-logs/ in the build directory)
#   APPS_ONLY_TABLE=1  no runs, the table of the logs that are there
#   APPS_WRAP=CMD      runs each script
# Exit status 1 when a case failed. A program that is not installed is `skipped: why`, never ok.

set -u
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top_builddir=${top_builddir:-$PWD}
top_srcdir=${top_srcdir:-$(cd "$here/../../.." && pwd)}
export top_builddir top_srcdir
logs=${APPS_LOGS:-$top_builddir/apps-logs}
matrix=$logs/matrix.md
mkdir -p "$logs" || exit 99
ways=("cut-through IPv4" "cut-through IPv6" "port IPv4" "port IPv6")
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for f in "$here"/*.sh; do
        f=${f##*/}
        case $f in apps.sh | matrix.sh | reload.sh) ;; *) names+=("${f%.sh}") ;; esac
    done
fi

# cell LOG WAY: ok, what fails, or - where the program has no such case
cell() {
    awk -v way="$2: " '
        { at = index($0, " - " way) }
        !at { next }
        /^ok / && !/# SKIP/ { n++ }
        /^not ok / { n++; what = substr($0, at + 3 + length(way)); bad = bad (bad ? "; " : "") what }
        END { print bad ? bad : n ? "ok" : "-" }' "$1"
}
row() { # NAME
    local log=$logs/$1.log why way line all
    why=$(sed -n 's/^1\.\.0 # SKIP //p' "$log")
    if [ -n "$why" ]; then
        printf '| %s | %s | | | |\n' "$1" "$why"
        return
    fi
    line="| $1 |"
    all=$(cell "$log" "all ways")
    for way in "${ways[@]}"; do line+=" $(cell "$log" "$way") |"; done
    case $all in ok | -) ;; *) line+=" $all |" ;; esac
    printf '%s\n' "$line"
}

bad=0 cases=0 failed=0 skipped=0
for name in "${names[@]}"; do
    log=$logs/$name.log
    [ -z "${APPS_ONLY_TABLE:-}" ] || continue
    printf '%-14s ' "$name"
    start=$SECONDS
    ${APPS_WRAP:-} timeout -k 20 "${APPS_TIMEOUT:-600}" bash "$here/$name.sh" >"$log" 2>&1
    rc=$?
    n=$(grep -Ec '^(not )?ok ' "$log") f=$(grep -c '^not ok ' "$log")
    if [ $rc -gt 1 ] && [ "$f" = 0 ]; then
        printf 'not ok - all ways: the script ends orderly (exit status %s)\n' $rc >>"$log"
        n=$((n + 1)) f=$((f + 1))
    fi
    cases=$((cases + n)) failed=$((failed + f))
    if grep -q '^1\.\.0 # SKIP' "$log"; then
        skipped=$((skipped + 1))
        sed -n 's/^1\.\.0 # SKIP //p' "$log"
        continue
    fi
    printf '%3d cases, %d failed, %d s\n' "$n" "$f" $((SECONDS - start))
    [ "$f" = 0 ] || { bad=1; grep '^not ok ' "$log" | sed 's/^not ok [0-9]* - /    /'; }
done
{
    printf '| program | cut-through IPv4 | cut-through IPv6 | port IPv4 | port IPv6 |\n|---|---|---|---|---|\n'
    for name in "${names[@]}"; do row "$name"; done
} >"$matrix"
printf '\n'
cat "$matrix"
printf '\n%d cases, %d failed, %d programs skipped; logs in %s\n' $cases $failed $skipped "$logs"
exit $bad
