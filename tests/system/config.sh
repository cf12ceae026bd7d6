#!/bin/bash
# config.sh - hoststackd --check-config: right files pass, wrong ones end with 2 and one line FILE:LINE: what
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_stack
only_hoststack
conf_case() { # DESCRIPTION LINE TEXT WORDS: the error is at LINE and names all WORDS
    local what=$1 line=$2 text=$3 w out rc
    shift 3
    printf '%s\n' "$text" >"$TMP/c.conf"
    out=$(timeout 60 "$HOSTSTACKD" -c "$TMP/c.conf" --check-config 2>&1)
    rc=$?
    [ "$rc" = 2 ] || { not_ok "$what: exit code 2" "exit $rc: $out"; return; }
    grep -q "c.conf:$line: " <<<"$out" || { not_ok "$what: names line $line" "$out"; return; }
    for w in "$@"; do grep -qF -- "$w" <<<"$out" || { not_ok "$what: names $w" "$out"; return; }; done
    ok "$what: $(sed "s,.*/c.conf,c.conf,; q" <<<"$out")"
}
good() {
    local what=$1
    printf '%s\n' "$2" >"$TMP/c.conf"
    check "$what" timeout 60 "$HOSTSTACKD" -c "$TMP/c.conf" --check-config
}
good "an empty file" ""
good "everything a first configuration has" "
# comment
unix { runtime-dir $TMP/r }
cpu { workers 2 }
dpdk { no-huge memory 128m }
port wire0 { device packet iface=veth0  mtu 1500  rx-queues 2 }
interface wire0 { address 10.0.0.1/24  address fd00::1/64 }
route 0.0.0.0/0 via 10.0.0.254
session { segment-size 64m  add-segment-size 64m  evt-q-length 1024 }
tcp { cc-algo cubic }
namespace blue { secret 7  interface wire0 }
rule { namespace blue scope global action deny proto tcp remote 10.9.0.0/16 lcl-port 80-90 rmt-port 1024 }"
conf_case "unknown stanza" 2 $'\nfrobnicate { }' frobnicate
conf_case "unknown word" 1 'cpu { wokers 2 }' wokers
conf_case "a number that is none" 1 'cpu { workers many }' many
conf_case "a number out of range" 1 'cpu { workers 0 }' workers
conf_case "a brace that never closes" 1 'cpu { workers 1'
conf_case "an address that is none" 2 $'port w { device net_null0 }\ninterface w { address 10.0.0.300/24 }' 10.0.0.300
conf_case "a prefix too long" 2 $'port w { device net_null0 }\ninterface w { address 10.0.0.3/33 }' 10.0.0.3/33
conf_case "an interface without a port" 1 'interface nope { address 10.0.0.3/24 }' nope
conf_case "a size that is none" 1 'dpdk { memory 12q }' 12q
conf_case "an unknown congestion control" 1 'tcp { cc-algo vegas }' vegas cubic
conf_case "a rule without an action" 1 'rule { scope global }' action
conf_case "a rule without a scope" 1 'rule { action deny }' scope
conf_case "a rule of a namespace that is not there" 1 'rule { namespace blue scope global action deny }' blue
conf_case "a redirect that says not where to" 1 'rule { scope global action redirect proto tcp }' to-port
conf_case "a rule with ports turned round" 1 'rule { scope global action deny lcl-port 9-8 }' 9-8
conf_case "a rule of two families" 1 'rule { scope global action deny local 10.0.0.1 remote fd00::1 }' families
conf_case "a port twice" 3 $'port w { device net_null0 }\n\nport w { device net_null0 }' w
timeout 60 "$HOSTSTACKD" -c "$TMP/none.conf" --check-config >"$TMP/out" 2>&1
check_eq "a file that is not there: exit code 2" $? 2
check "and it is named" grep -qF none.conf "$TMP/out"
timeout 60 "$HOSTSTACKD" --no-such-option >"$TMP/out" 2>&1
check_eq "an unknown option: exit code 2" $? 2
check "hoststackd --version" "$HOSTSTACKD" --version
timeout 60 "$CTL" -s "$TMP/none.sock" show version >"$TMP/out" 2>&1
check_eq "hoststackctl without a server: exit code 1" $? 1
check "and the socket is named" grep -qF none.sock "$TMP/out"
# Memory: from the smallest to what a card takes, the server starts with each.
for size in 32m 48m 96m 128m 192m 256m 320m 512m 1g; do
    printf 'unix { runtime-dir %s/r }\ndpdk { no-huge  memory %s }\nport p { device net_null0 }\n' "$TMP" $size >"$TMP/mem$size.conf"
    sed -i "s,$TMP/r ,$TMP/mem$size.run ," "$TMP/mem$size.conf"
    server_start mem$size ''
    server_stop mem$size
    check "memory $size: the server starts and ends" grep -q 'serving' "$TMP/mem$size.log"
done
printf 'unix { runtime-dir %s/r }\nport w { device packet iface=%s }\n' "$TMP" nosuchif0 >"$TMP/c.conf"
timeout 60 "$HOSTSTACKD" -c "$TMP/c.conf" --foreground >"$TMP/out" 2>&1
check_eq "a port that cannot be opened: exit code 1" $? 1
check "and the device is named" grep -qF nosuchif0 "$TMP/out"
finish
