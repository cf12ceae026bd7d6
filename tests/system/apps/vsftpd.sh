#!/bin/bash
# vsftpd.sh - vsftpd, which limits its address space to 200 MB, with curl: files to and fro and listings, connections for data made by either
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin vsftpd curl
mkdir -p "$TMP/ftp/in" "$TMP/empty"
chmod 755 "$TMP/ftp" "$TMP/empty"
chmod 777 "$TMP/ftp/in"
random_file "$TMP/ftp/big" 5000000
random_file "$TMP/ftp/page" 3000
conf() { # ADDRESS 4|6
    cat <<CONF
listen=$([ "$2" = 6 ] && echo NO || echo YES)
listen_ipv6=$([ "$2" = 6 ] && echo YES || echo NO)
listen_address$([ "$2" = 6 ] && echo 6)=$1
listen_port=2121
background=NO
run_as_launching_user=NO
nopriv_user=nobody
ftp_username=ftp
secure_chroot_dir=$TMP/empty
anonymous_enable=YES
local_enable=NO
write_enable=YES
anon_upload_enable=YES
anon_umask=022
anon_root=$TMP/ftp
no_anon_password=YES
connect_from_port_20=NO
port_promiscuous=NO
xferlog_enable=NO
CONF
}
for f in 4 6; do
    s=S$f k=K$f
    conf "${!s}" $f >"$TMP/s$f.conf"
    conf "${!k}" $f >"$TMP/k$f.conf"
    app_start "$TMP/s$f.out" stack vsftpd "$TMP/s$f.conf"
    app_start "$TMP/k$f.out" in_k vsftpd "$TMP/k$f.conf"
done
app_ready vsftpd 2121 "$TMP/s4.out"
kernel_ready vsftpd 2121 "$TMP/k4.out"
ftp() { "$client" curl -sS --connect-timeout 20 "$@"; }
listing() { [ "$(ftp "$@" "ftp://$host:2121/" | awk '{ print $NF }' | sort | tr '\n' ' ')" = "big in page " ]; }
there() { ftp "$@" -T "$TMP/ftp/big" "ftp://$host:2121/in/$hs_n" && cmp "$TMP/ftp/in/$hs_n" "$TMP/ftp/big"; }
many() { # one control connection, a connection for each file
    ftp "$@" $(for _ in {1..20}; do echo "-o - ftp://$host:2121/page"; done) | cmp - "$TMP/pages"
}
ten() {
    local i pids=() rc=0
    for i in {1..10}; do { ftp "$@" "ftp://$host:2121/big" | cmp - "$TMP/ftp/big"; } & pids+=($!); done
    for i in "${pids[@]}"; do wait "$i" || rc=1; done
    return $rc
}
for _ in {1..20}; do cat "$TMP/ftp/page"; done >"$TMP/pages"
cases() {
    local active
    way_check "a listing" listing
    way_check "a file" same_as "$TMP/ftp/big" ftp "ftp://$host:2121/big"
    way_check "a file to the server" there
    way_check "20 files, one after the other" many
    way_check "ten at once" ten
    active=(--ftp-port -)
    way_check "active, a listing" listing "${active[@]}"
    way_check "active, a file" same_as "$TMP/ftp/big" ftp "${active[@]}" "ftp://$host:2121/big"
    way_check "active, a file to the server" there "${active[@]}"
}
each_way_in cases
each_way_out cases
app_end
