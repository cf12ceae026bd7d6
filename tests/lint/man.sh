#!/bin/bash
# man.sh - the manual pages are well-formed, and describe every configuration word and every command
. "${top_srcdir:?}/tests/lint/lib.sh"

if command -v mandoc >/dev/null; then
    for f in man/*.[1-9]; do
        # -W style would also complain of pages that are not installed here
        mandoc -T lint -W warning "$f" 2>&1 | check "$f is well-formed"
    done
else
    skip "manual pages are well-formed" "no mandoc here"
fi

sed -n 's/^CONFIG_WORD(\([a-z]*\), "\([^"]*\)".*/\1 \2/p' server/config/config_words.def | while read -r stanza word; do
    sed -n "/^\.Ss $stanza/,/^\.S[sh] /p" man/hoststackd.conf.5 | sed '1d' | grep -qE "^\.It Cm $word( |\$)" ||
        echo "$word of $stanza { } is not in hoststackd.conf(5)"
done | check "every word of the parser is in hoststackd.conf(5)"

sed -n '/^\.Ss unix/,/^\.Sh FILES/p' man/hoststackd.conf.5 | awk '
    /^\.Ss / { stanza = $2; depth = 0 }
    /^\.Bl / { depth++ } /^\.El/ { depth-- }
    /^\.It Cm / && depth == 1 { print stanza, $3 }' | while read -r stanza word; do
    grep -qF "CONFIG_WORD($stanza, \"$word\"," server/config/config_words.def || echo "$word of $stanza { }"
done | check "hoststackd.conf(5) describes no word that the parser does not take"

sed -n 's/^    { "\([a-z]*\)", take_.*/\1/p' server/config/config.c | while read -r stanza; do
    grep -qE "^\.Ss $stanza( |\$)" man/hoststackd.conf.5 || echo "$stanza"
done | check "every stanza is in hoststackd.conf(5)"

sed -n 's/^    { "\(help\|[a-z]* [a-z ]*\)", .*/\1/p' server/ctl/ctl_commands.c | while read -r command; do
    grep -qE "^\.It Cm $command( |\$)" man/hoststackctl.1 || echo "$command"
done | check "every command is in hoststackctl(1)"
{ [ "$(sed -n 's/^    { "\(help\|show [a-z]*\)", .*/\1/p' server/ctl/ctl_commands.c | wc -l)" -ge 10 ] || echo "found too few commands"; } |
    check "the commands were found"

if [ -f vcl/vcl_config.c ]; then
    sed -n 's/^    { "\([a-z_-]*\)", WORD_.*/\1/p' vcl/vcl_config.c | while read -r word; do
        grep -qE "^\.(It )?Cm $word( |\$)" man/vcl.conf.5 || echo "$word"
    done | check "every word of the parser is in vcl.conf(5)"
    grep -ohE '"(VCL|LDP)_[A-Z_]+"' vcl/*.c preload/*.c | tr -d '"' | sort -u | while read -r name; do
        grep -qE "Ev $name( |\$)" man/vcl.conf.5 || echo "$name"
    done | check "every environment variable is in vcl.conf(5)"
fi
finish
