#!/bin/bash
# samba.sh - smbd, a process for each client, with smbclient: files to and fro, a tree, ten clients at once
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin smbd smbclient
conf() { # DIR ADDRESS...
    mkdir -p "$1"/{share,lock,state,cache,pid,private,ncalrpc}
    chmod 777 "$1/share"
    cat <<CONF
[global]
server role = standalone server
map to guest = Bad User
guest account = root
disable netbios = yes
smb ports = 1445
bind interfaces only = no
lock directory = $1/lock
state directory = $1/state
cache directory = $1/cache
pid directory = $1/pid
private dir = $1/private
ncalrpc dir = $1/ncalrpc
log file = $1/log
load printers = no
printcap name = /dev/null
disable spoolss = yes
[share]
path = $1/share
guest ok = yes
read only = no
CONF
}
conf "$TMP/s" >"$TMP/s.conf"
conf "$TMP/k" >"$TMP/k.conf"
app_start "$TMP/s.out" stack setsid smbd -F --no-process-group -s "$TMP/s.conf"
app_start "$TMP/k.out" in_k setsid smbd -F --no-process-group -s "$TMP/k.conf"
app_ready smbd 1445 "$TMP/s/log"
kernel_ready smbd 1445 "$TMP/k/log"
random_file "$TMP/in" 5000000
mkdir -p "$TMP/tree/a/b"
for i in {1..30}; do random_file "$TMP/tree/a/b/$i" $((i * 1000)); done
smb() { "$client" smbclient "//$addr/share" -N -p 1445 -s "$TMP/s.conf" -c "$1" </dev/null; }
there() { rm -f "$TMP/back.$fam"; smb "put $TMP/in in$fam; get in$fam $TMP/back.$fam" && cmp "$TMP/in" "$TMP/back.$fam"; }
tree() { rm -rf "$TMP/got"; mkdir "$TMP/got"; smb "prompt off; recurse on; lcd $TMP/tree; mput *; lcd $TMP/got; mget *" && diff -r "$TMP/tree/a" "$TMP/got/a"; }
ten() {
    local i pids=() rc=0
    for i in {1..10}; do { smb "get in$fam $TMP/ten.$i" && cmp "$TMP/in" "$TMP/ten.$i"; } & pids+=($!); done
    for i in "${pids[@]}"; do wait "$i" || rc=1; done
    return $rc
}
cases() {
    way_check "a file there and back" there
    way_check "a tree there and back" tree
    way_check "ten at once" ten
}
each_way_in cases
each_way_out cases
app_end
