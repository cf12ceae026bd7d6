#!/bin/bash
# git.sh - git daemon, a program on each connection: clone, push, fetch; ten clones at once
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin git
export GIT_CONFIG_NOSYSTEM=1 HOME=$TMP GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git config --global safe.directory '*'
mkdir "$TMP/g"
(git init -q -b main "$TMP/w" && cd "$TMP/w" && for i in {1..10}; do random_file $i $((i * 3000)); done && random_file big 1000000 &&
    git add . && git commit -qm one && git clone -q --bare . "$TMP/g/r.git") >"$TMP/init.out" 2>&1 || bail "all ways: a repository" "$(cat "$TMP/init.out")"
app_start "$TMP/s.out" stack git daemon --base-path="$TMP/g" --export-all --enable=receive-pack --listen=$S4 --listen=$S6 --port=9418 --reuseaddr
app_start "$TMP/k.out" in_k git daemon --base-path="$TMP/g" --export-all --enable=receive-pack --listen=$K4 --listen=$K6 --port=9418 --reuseaddr
app_ready "git daemon" 9418 "$TMP/s.out"
kernel_ready "git daemon" 9418 "$TMP/k.out"
cloned() { # DIR
    rm -rf "$1"
    "$client" git clone -q "git://$host/r.git" "$1" && cmp "$1/big" "$TMP/w/big"
}
pushed() {
    (cd "$TMP/c" && random_file "n$hs_n" 200000 && git add . && git commit -qm two && "$client" git push -q origin "main:b$hs_n") &&
        (cd "$TMP/w" && "$client" git fetch -q "git://$host/r.git" "b$hs_n" && git show "FETCH_HEAD:n$hs_n" | cmp - "$TMP/c/n$hs_n")
}
ten() {
    local i pids=() rc=0
    for i in {1..10}; do cloned "$TMP/c$i" & pids+=($!); done
    for i in "${pids[@]}"; do wait "$i" || rc=1; done
    return $rc
}
cases() {
    way_check "clone" cloned "$TMP/c"
    way_check "push and fetch" pushed
    way_check "ten at once" ten
}
each_way_in cases
each_way_out cases
app_end
