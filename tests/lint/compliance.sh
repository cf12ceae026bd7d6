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
# BOTH(name) is a test of either family in the suite of its file.
tests+=$(sources '*.c' | grep '^tests/' | xargs cat | awk -F'[(),]' '/^TestSuite\(/ { suite = $2 }
    /^BOTH\(/ { printf "\n%s/%s_v4\n%s/%s_v6", suite, $2, suite, $2 }')
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
# The sections of RFC 9260 that have a MUST or a SHOULD in them.
nine=$(awk '/^\.Ss / { on = /RFC 9260/ } on && /^\.It /' <<<"$rows")
for s in 3 3.1 3.2 3.2.1 3.2.2 3.3.1 3.3.2 3.3.2.1 3.3.3 3.3.4 3.3.5 3.3.6 3.3.7 3.3.8 3.3.10 3.3.11 3.3.12 4 5.1 5.1.1 5.1.2 5.1.3 5.1.4 \
    5.1.5 5.2.1 5.2.2 5.2.3 5.2.4 5.2.5 5.2.6 5.3.1 5.4 6 6.1 6.2 6.2.1 6.3.1 6.3.2 6.3.3 6.4 6.4.1 6.5 6.6 6.7 6.8 6.9 6.10 7.2 7.2.1 7.2.2 \
    7.2.3 7.2.4 7.2.5 7.3 8.1 8.2 8.3 8.4 8.5 8.5.1 9.1 9.2 10 12.4 12.5 16; do
    grep -qE " s${s//./\\.}( |\$)" <<<"$nine" || echo "section $s"
done | check "every section of RFC 9260 with a MUST or SHOULD has a row"
{ [ "$(grep -c '^\.Fn ' <<<"$rows")" -ge 100 ] && [ "$(grep -c '^\.Pa ' <<<"$rows")" -ge 100 ] || echo "found too few rows"; } |
    check "the rows were found"
finish
