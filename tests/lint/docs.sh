#!/bin/bash
# docs.sh - names in README.md and ARCHITECTURE.md exist in the code
. "${top_srcdir:?}/tests/lint/lib.sh"

code() { sources '*.[ch]' '*.def' | xargs cat; }
all=$(mktemp) || exit 99
trap 'rm -f "$all"' EXIT
code >"$all"

for doc in README.md ARCHITECTURE.md; do
    { [ -s "$doc" ] || echo "empty"; } | check "$doc is written"
    grep -oE '`[A-Za-z_][A-Za-z0-9_]*\(\)`' "$doc" | tr -d '`()' | sort -u | while read -r name; do
        grep -qw "$name" "$all" || echo "$name()"
    done | check "functions named in $doc exist"
    grep -oE '`struct [a-z_0-9]+`' "$doc" | tr -d '`' | sort -u | while read -r name; do
        grep -qE "$name( |;|\$)" "$all" || echo "$name"
    done | check "structs named in $doc exist"
    # folder/file.c, folder/ and file.h in backticks
    grep -oE '`[a-z_./-]+(\.[ch]|\.def|\.sh|/)`' "$doc" | tr -d '`' | sort -u | while read -r path; do
        case $path in
        build*/ | /*) continue ;;
        esac
        [ -e "$path" ] || [ -n "$(find . -path "*/$path" -not -path './build*' 2>/dev/null | head -n 1)" ] ||
            [ -n "$(find . -path "*/${path%/}" -not -path './build*' 2>/dev/null | head -n 1)" ] || echo "$path"
    done | check "files and folders named in $doc exist"
done
finish
