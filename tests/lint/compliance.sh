#!/bin/bash
# compliance.sh - hoststack-compliance(7): its rows name functions and tests that exist, and no rule of RFC 9293 is missing
. "${top_srcdir:?}/tests/lint/lib.sh"
page=man/hoststack-compliance.7
rows=$(sed -n '/^\.Sh TCP, RULE BY RULE/,/^\.Sh SEE ALSO/p' "$page")

defined=$(sources '*.c' '*.h' | grep -E '^(common|svm|server|vcl|preload)/' | xargs cat |
    grep -E '^[a-z]' | grep -v ';$' | grep -oE '[a-z_0-9]+\(' | tr -d '(' | sort -u)
grep '^\.Fn ' <<<"$rows" | awk '{ print $2 }' | sort -u | while read -r fn; do
    grep -qxF "$fn" <<<"$defined" || echo "no function $fn"
done | check "every function of a row exists"

tests=$(sources '*.c' | grep '^tests/' | xargs cat |
    sed -nE 's/^Test\(([a-z_0-9]+), ([a-z_0-9]+).*/\1\/\2/p; s/^ParameterizedTest\([^,]*, ([a-z_0-9]+), ([a-z_0-9]+).*/\1\/\2/p' | sort -u)
grep '^\.Pa ' <<<"$rows" | awk '{ print $2 }' | sort -u | while read -r t; do
    case $t in
    tests/*) [ -e "$t" ] || echo "no file $t" ;;
    server/) ;;
    *) grep -qxF "$t" <<<"$tests" || echo "no test $t" ;;
    esac
done | check "every test of a row exists"

# A row without a function and a test is a rule that is not kept: it says why.
awk '/^\.It / { row() ; name = $0; fn = pa = dev = 0 } /^\.Fn / { fn = 1 } /^\.Pa / { pa = 1 } /^\.Em Deviation / { dev = 1 }
    /^\.El/ { row(); name = "" }
    function row() { if (name != "" && !(fn && pa) && !dev) print name }' <<<"$rows" |
    check "every row has a function and a test, or says why not"

for i in $(seq 69); do grep -qE "^\.It MUST-$i\$" <<<"$rows" || echo "MUST-$i"; done | check "every MUST of RFC 9293 has a row"
for i in $(seq 31); do grep -qE "^\.It SHLD-$i\$" <<<"$rows" || echo "SHLD-$i"; done | check "every SHOULD of RFC 9293 has a row"
{ [ "$(grep -c '^\.Fn ' <<<"$rows")" -ge 100 ] && [ "$(grep -c '^\.Pa ' <<<"$rows")" -ge 100 ] || echo "found too few rows"; } |
    check "the rows were found"
finish
