#!/bin/bash
# rsync.sh - rsync daemon, a child for each connection: a tree pulled, pushed, and brought up to date
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin rsync
mkdir -p "$TMP/src/a/b" "$TMP/in" "$TMP/copy"
for i in {1..60}; do random_file "$TMP/src/a/$i" $((i * 1000)); done
random_file "$TMP/src/a/b/big" 5000000
for fam in 4 6; do
    [ $fam = 4 ] && addr=$S4 || addr=$S6
    cat >"$TMP/rsyncd$fam.conf" <<CONF
use chroot = no
uid = root
gid = root
pid file = $TMP/rsyncd$fam.pid
log file = $TMP/rsyncd$fam.log
[src]
    path = $TMP/src
[in]
    path = $TMP/in
    read only = no
CONF
    app_start "$TMP/rsyncd$fam" stack rsync --daemon --no-detach --config="$TMP/rsyncd$fam.conf" --address=$addr --port=8730
done
app_ready rsync 8730 "$TMP/rsyncd4.log"
pull() {
    rm -rf "$TMP/copy"
    "$client" rsync -a "rsync://$host:8730/src/" "$TMP/copy/" && diff -r "$TMP/src" "$TMP/copy"
}
push() {
    rm -rf "$TMP/in/t"
    "$client" rsync -az "$TMP/src/" "rsync://$host:8730/in/t/" && diff -r "$TMP/src" "$TMP/in/t"
}
update() { # the daemon's copy differs in the middle of a file and lacks another
    printf 'changed' | dd of="$TMP/in/t/a/b/big" bs=1 seek=2500000 conv=notrunc status=none
    rm "$TMP/in/t/a/7"
    "$client" rsync -ac --no-whole-file "$TMP/src/" "rsync://$host:8730/in/t/" && diff -r "$TMP/src" "$TMP/in/t"
}
cases() {
    way_check "pulls a tree" pull
    way_check "pushes a tree" push
    way_check "brings it up to date" update
}
each_way_in cases
app_end
