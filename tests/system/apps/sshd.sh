#!/bin/bash
# sshd.sh - OpenSSH: commands, files by scp and sftp, a forwarded port, into a preloaded sshd by key
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin sshd ssh scp ssh-keygen
user=$(id -un)
ssh-keygen -q -t ed25519 -N '' -f "$TMP/host_key"
ssh-keygen -q -t ed25519 -N '' -f "$TMP/key"
cp "$TMP/key.pub" "$TMP/authorized"
chmod 600 "$TMP/authorized"
for fam in 4 6; do
    [ $fam = 4 ] && addr=$S4 || addr=$S6
    cat >"$TMP/sshd$fam.conf" <<CONF
Port 2222
ListenAddress $addr
HostKey $TMP/host_key
AuthorizedKeysFile $TMP/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
PidFile none
MaxStartups 100
UseDNS no
Subsystem sftp internal-sftp
CONF
    # It wants a directory in /run that only a service has made: in the mount namespace that `ip netns exec` gives it.
    app_start "$TMP/sshd$fam.out" stack bash -c 'mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec "$@"' sshd \
        "$(command -v sshd)" -D -e -f "$TMP/sshd$fam.conf"
done
app_ready sshd 2222 "$TMP/sshd4.out"
random_file "$TMP/in" 20000000
opts=(-F none -i "$TMP/key" -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
    -o BatchMode=yes -o ConnectTimeout=15)
remote() { "$client" ssh "${opts[@]}" -p 2222 "$user@$addr" "$@"; }
says() { [ "$(remote 'echo hello; exit 3')" = hello ]; [ "$(remote 'exit 3'; echo $?)" = 3 ]; }
piped() { remote cat <"$TMP/in" | cmp - "$TMP/in"; }
many() {
    local i pids=()
    for i in {1..10}; do [ "$(remote "echo $i")" = "$i" ] & pids+=($!); done
    for i in "${pids[@]}"; do wait "$i" || return 1; done
}
copied() {
    rm -f "$TMP/there" "$TMP/back"
    "$client" scp -q "${opts[@]}" -P 2222 "$TMP/in" "$user@$host:$TMP/there" && cmp "$TMP/in" "$TMP/there" &&
        "$client" scp -q "${opts[@]}" -P 2222 "$user@$host:$TMP/there" "$TMP/back" && cmp "$TMP/in" "$TMP/back"
}
terminal() { remote -tt 'tty >/dev/null && echo terminal' | grep -q terminal; }
cases() {
    way_check "runs a command, returns its status" says
    way_check "20 MB through a command" piped
    way_check "ten at once" many
    way_check "scp there and back" copied
    way_check "a terminal" terminal
}
each_way_in cases
app_end
