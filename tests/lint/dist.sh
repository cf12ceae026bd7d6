#!/bin/bash
# dist.sh - `make dist` packs every file that is under version control
. "${top_srcdir:?}/tests/lint/lib.sh"

if ! git -C "$top_srcdir" rev-parse --git-dir >/dev/null 2>&1 || [ ! -e "$top_srcdir/.git" ]; then
    printf '1..0 # SKIP skipped: not a git working tree\n'
    exit 0
fi
packed=$(mktemp) || exit 99
trap 'rm -f "$packed"' EXIT
# Lists in Makefiles may hold paths with $(srcdir) in front.
make -s -C "${top_builddir:?}" print-distfiles 2>/dev/null | sed "s|^$top_srcdir/||; s|^\(\.\./\)*||; s|^\./||" | sort -u >"$packed"
{ [ "$(wc -l <"$packed")" -gt 100 ] || echo "make print-distfiles lists too little"; } | check "the list of packed files is there"
git ls-files | grep -vE '^(\.gitignore|m4/\.gitkeep)$' | sort | comm -13 "$packed" - | check "every file is packed by make dist"
finish
