#!/bin/bash
# named.sh - bind9's named with two threads: dig over UDP and TCP, dnsperf, a zone's transfer to another named, notifies, forwarding
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin named dig dnsperf
zone() { # how many names
    printf '$TTL 60\n@ IN SOA ns hostmaster %s 60 60 60 60\n@ IN NS ns\nns IN A %s\n' "$1" $S4
    seq -f 'h%.0f IN A 192.0.2.1' 1 "$1"
}
conf() { # DIR ADDRESS-4 ADDRESS-6 PORT ZONE-TEXT
    mkdir -p "$1"
    cat >"$1/named.conf" <<CONF
options {
    directory "$1"; pid-file none; session-keyfile "$1/session.key"; listen-on port $4 { $2; }; listen-on-v6 port $4 { $3; };
    recursion yes; allow-recursion { any; }; dnssec-validation no; allow-transfer { any; };
    querylog no; empty-zones-enable no; tcp-clients 500;
};
controls { };
$5
CONF
}
conf "$TMP/p" $S4 $S6 5300 "zone hoststack { type primary; file \"zone\"; notify explicit; also-notify { $K4 port 5300; }; };"
zone 3000 >"$TMP/p/zone"
conf "$TMP/k" $K4 $K6 5300 "zone hoststack { type secondary; file \"zone\"; masterfile-format text; primaries { $S4 port 5300; }; };"
conf "$TMP/s6" $S4 $S6 5301 "zone hoststack { type secondary; file \"zone\"; masterfile-format text; primaries { $S6 port 5300; }; };"
conf "$TMP/f4" $S4 $S6 5302 "zone hoststack { type forward; forward only; forwarders { $K4 port 5300; }; };"
conf "$TMP/f6" $S4 $S6 5303 "zone hoststack { type forward; forward only; forwarders { $K6 port 5300; }; };"
app_start "$TMP/p.out" stack named -g -n 2 -c "$TMP/p/named.conf"
app_ready named 5300 "$TMP/p.out" # before its secondaries: they ask again after a minute only
for n in s6 f4 f6; do app_start "$TMP/$n.out" stack named -g -n 2 -c "$TMP/$n/named.conf"; done
app_start "$TMP/k.out" in_k named -g -n 2 -c "$TMP/k/named.conf"
for p in 5301 5302 5303; do app_ready "named, port $p" $p "$TMP/p.out"; done
kernel_ready named 5300 "$TMP/k.out"
has_zone() { [ "$("$1" dig +short +tries=5 +time=3 "@$2" -p "$3" h77.hoststack A)" = 192.0.2.1 ]; }
wait_for 60 has_zone in_k $K4 5300 || bail "all ways: the kernel's secondary has the zone" "$(tail -n 15 "$TMP/k.out")"
wait_for 60 has_zone stack $S6 5301 || bail "all ways: the secondary has the zone" "$(tail -n 15 "$TMP/s6.out")"
for i in {1..200}; do echo "h$i.hoststack A"; done >"$TMP/queries"
asked() { # PORT OPTION...
    [ "$("$client" dig +short +tries=5 +time=3 "@$addr" -p "$1" h77.hoststack A "${@:2}")" = 192.0.2.1 ]
}
perf() { # PORT MODE OPTION...: every query answered, and answered well
    local out
    out=$("$client" dnsperf -s "$addr" -p "$1" -m "$2" -d "$TMP/queries" -t 5 -c 8 -T 2 "${@:3}" 2>&1)
    grep -Eq 'Queries lost: +0 ' <<<"$out" && grep -Eq 'Response codes: +NOERROR [0-9]+ \(100.00%\)' <<<"$out" || { echo "$out"; return 1; }
}
transfer() { [ "$("$client" dig "@$addr" -p 5300 hoststack AXFR | grep -c 'IN.A')" = 3001 ]; }
cases() {
    way_check "dig, UDP" asked 5300
    way_check "dig, TCP" asked 5300 +tcp
    way_check "dig, the zone's transfer" transfer
    way_check "dnsperf, UDP" perf 5300 udp -n 20 -q 50
    way_check "dnsperf, TCP" perf 5300 tcp -n 10 -q 50
    way_check "forwarded to the kernel's over IPv4" asked 5302
    way_check "forwarded to the kernel's over IPv6" asked 5303
    way_check "from its secondary" asked 5301
}
each_way_in cases
app_end
