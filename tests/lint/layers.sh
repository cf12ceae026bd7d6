#!/bin/bash
# layers.sh - who may include whom (ARCHITECTURE.md): common <- svm <- {server, vcl}, vcl <- preload
. "${top_srcdir:?}/tests/lint/lib.sh"

# includes FOLDER PATTERN: lines of FOLDER that include what PATTERN matches.
includes() { grep -rnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include[[:space:]]*[\"<]$2" "$1"; }

includes common '(svm|server|vcl|preload|examples)/' | check "common includes nothing above it"
includes svm '(server|vcl|preload|examples)/' | check "svm includes common only"
includes server '(vcl|preload|examples)/' | check "server includes neither vcl nor preload"
includes vcl '(server|preload|examples)/' | check "vcl includes neither server nor preload"
includes preload '(server|examples)/' | check "preload does not include server"
includes preload '(svm|common)/' | grep -vE '"common/(types|ip_addr)\.h"' |
    check "preload sees only what vcl exports (and plain types)"
includes examples '(common|svm|server|preload)/' | check "examples include installed headers only"
for folder in common svm vcl preload; do
    includes $folder '(rte_|openssl/|jansson|systemd/)' | check "$folder needs libc only"
done
# and where a DPDK library does the job: the Internet checksum in ip/
includes server 'rte_' | grep -vE '^server/(pkt|port|worker)/|^server/(ip|mcast)/[a-z_0-9]+\.c:[0-9]+:#include <rte_ip\.h>' |
    check "rte_*.h only in pkt, port and worker"
includes server 'pcap' | grep -vE '^server/(capture/|ctl/ctl_capture)' | check "libpcap only where packets are captured"
includes server 'intel-ipsec-mb' | grep -v '^server/tls/tls_aead_mb\.c:' | check "ipsec-mb only behind tls_aead.h"
includes server/capture 'server/(eth|ip|icmp|neigh|route|session)/' | check "server/capture knows no layer but ports and workers"
for t in server/tcp server/udp server/sctp server/tls; do
    [ -d "$t" ] || continue
    includes "$t" 'server/(tcp|udp|sctp|tls)/' | grep -v "[\"<]$t/" | check "$t includes no other transport"
done
# Upward calls go through tables that the lower layer declares.
for low in pkt port capture mcast autoconf dhcp linux_sync eth neigh route ip icmp; do
    [ -d server/$low ] || continue
    includes server/$low 'server/(tcp|udp|local|app|ctl|config)/' | check "server/$low includes no layer above the session interface"
done
# local/ is the session layer's own short cut, not a transport.
includes server/session 'server/(tcp|udp|app|ctl)/' | check "session knows transports and programs by their tables only"
finish
