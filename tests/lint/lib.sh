# shellcheck shell=bash
# lib.sh - TAP for lint tests: check DESCRIPTION, then what is wrong on standard input (nothing = fine)
set -u
shopt -s lastpipe # `… | check` counts in this shell
export LC_ALL=C.UTF-8
cd "${top_srcdir:?}" || exit 99
lint_n=0 lint_failed=0

# Sources under version control, or in the tarball: no build directory.
sources() { # PATTERN...: as find -name
    local args=() p
    for p in "$@"; do args+=(-o -name "$p"); done
    find common svm server vcl preload examples tests -path '*/build*' -prune -o -type f \( "${args[@]:1}" \) -print | sort
}
check() {
    local wrong
    wrong=$(cat)
    lint_n=$((lint_n + 1))
    if [ -z "$wrong" ]; then
        printf 'ok %d - %s\n' "$lint_n" "$1"
    else
        lint_failed=$((lint_failed + 1))
        printf 'not ok %d - %s\n' "$lint_n" "$1"
        sed 's/^/#   /' <<<"$wrong"
    fi
}
skip() {
    lint_n=$((lint_n + 1))
    printf 'ok %d - %s # SKIP skipped: %s\n' "$lint_n" "$1" "$2"
}
finish() {
    printf '1..%d\n' "$lint_n"
    exit $((lint_failed != 0))
}
