#!/bin/bash
# style.sh - what every source file must have and must not have
. "${top_srcdir:?}/tests/lint/lib.sh"

sources '*.[ch]' '*.def' '*.sh' '*.py' | xargs wc -l | awk '$2 != "total" && $1 > 1000 { print $2 ": " $1 " lines" }' |
    check "no file has more than 1000 lines"

for f in $(sources '*.[ch]' '*.def'); do
    b=${f##*/}
    head -n 1 "$f" | grep -qF "/* $b - " || echo "$f: the first line is not '/* $b - what it is for'"
done | check "every C file begins with its name and purpose"

for f in $(sources '*.h'); do
    case $f in vcl/vppcom.h | tests/*) continue ;; esac
    sed -n '1,40p' "$f" | sed '/\*\//q' | grep -qE '^ \* (Owner|Thread|Memory)' || echo "$f: the header comment names no owner, thread or memory"
done | check "every header says who owns it and which thread may call it"

for f in $(sources '*.sh'); do
    b=${f##*/}
    sed -n '1,3p' "$f" | grep -qF "# $b - " || echo "$f: no line '# $b - what it is for' at the top"
done | check "every script begins with its name and purpose"

sources '*.[ch]' '*.def' '*.sh' '*.py' '*.am' | grep -v '^tests/lint/' |
    xargs grep -nwE 'TODO|FIXME|XXX|HACK' | grep -vE 'mktemp|XXXXXX' | check "nothing is left to be done later"

# Paths of the machines we work on, and addresses that packages come from.
{
    sources '*' | grep -v '^tests/lint/style.sh$'
    find ./*.md quickstart configure.ac Makefile.am hoststack.in man systemd .ci -type f 2>/dev/null
} | xargs grep -nIE '(^|[^a-z.])/wor[k]/|/root/|/home/[a-z]+/|[0-9a-z.-]+\.internal\b|(deb|npm|pip)[a-z]*:?//' |
    check "no path of a developer's machine, no package host"

for d in common svm server/* vcl preload examples tests/* man systemd; do
    [ -d "$d" ] || continue
    [ -n "$(find "$d" -maxdepth 1 -name '*.[ch]')" ] || [ -f "$d/README" ] || continue
    if [ ! -f "$d/README" ]; then
        case $d in tests/unit) ;; *) echo "$d has no README" ;; esac
    elif [ "$(wc -l <"$d/README")" -gt 15 ]; then
        echo "$d/README has more than 15 lines"
    fi
done | check "every folder has a README of at most 15 lines"

sources '*.[ch]' | xargs grep -nE '[[:space:]]+$' | head -n 20 | check "no blanks at line ends"
sources '*.[ch]' | xargs awk 'length($0) > 150 { print FILENAME ":" FNR ": " length($0) " columns" }' | check "no line is longer than 150 columns"
finish
