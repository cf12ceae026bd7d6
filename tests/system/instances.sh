#!/bin/bash
# instances.sh - two servers beside each other; one with no file, unprivileged; one twice in one directory
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_stack
only_hoststack
conf_head a >"$TMP/a.conf"
conf_head b >"$TMP/b.conf"
server_start a ''
server_start b ''
ports=(17011 17012)
for i in 0 1; do
    n=$(cut -c $((i + 1)) <<<ab)
    bg "$TMP/echo.$n" pre $n "$ECHO" server 127.0.0.1 ${ports[i]}
    wait_for 5 listening "$TMP/echo.$n" || bail "echo server of $n listens" "$(cat "$TMP/echo.$n")"
    TMO=20 check "server $n: cut-through echo with no port" pre $n "$ECHO" -N -n 20 -b 300000 client 127.0.0.1 ${ports[i]}
done
sessions_of() { ctl "$1" --json show app | jq '[.. | objects | .apps? | numbers] | first'; }
check_eq "server a has one program" "$(sessions_of a)" 1
check_eq "server b has one program" "$(sessions_of b)" 1
timeout 60 "$HOSTSTACKD" -c "$TMP/a.conf" --foreground >"$TMP/second" 2>&1
check_eq "a second server in the directory of a running one: exit code 1" $? 1
TMO=20 check "which goes on undisturbed" pre a "$ECHO" -b 1000 client 127.0.0.1 ${ports[0]}

# With no file and no privilege: cut-through only.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    mkdir -m 755 "$TMP/bin" && cp "$PRELOAD_DIR"/*.so* "$ECHO" "$CTL" "$HOSTSTACKD" "$TMP/bin/" 2>/dev/null
    chmod -R a+rX "$TMP/bin"
    mkdir -m 700 "$TMP/xdg" && chown nobody "$TMP/xdg"
    nob() { $HS_EXEC ${TMO:+timeout $((TMO * HS_PATIENCE))} setpriv --reuid nobody --regid nogroup --clear-groups env XDG_RUNTIME_DIR="$TMP/xdg" HOME=/ "$@"; }
    bg "$TMP/nobody.log" nob "$TMP/bin/hoststackd" --foreground
    nobody_pid=$bg_pid
    up() { nob "$TMP/bin/hoststackctl" -s "$TMP/xdg/hoststack/cli.sock" show version; }
    if wait_for 15 up; then
        ok "hoststackd starts as nobody, with no file"
        check_eq "its directory is its own" "$(stat -c %a,%U "$TMP/xdg/hoststack")" 700,nobody
        lib=$(hs_preload_libs | sed "s,$PRELOAD_DIR,$TMP/bin,g")
        npre() { nob env LD_LIBRARY_PATH="$TMP/bin" ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$lib" "$@"; }
        bg "$TMP/echo.n" npre "$TMP/bin/net_echo" server 127.0.0.1 17013
        wait_for 5 listening "$TMP/echo.n" || not_ok "nobody's echo server listens" "$(cat "$TMP/echo.n")"
        TMO=20 check "nobody's programs meet cut-through, with no configuration at all" npre "$TMP/bin/net_echo" -n 5 -b 100000 client 127.0.0.1 17013
        end_pid "$nobody_pid"
        check "its sockets are gone after its end" test ! -e "$TMP/xdg/hoststack/cli.sock"
    else
        not_ok "hoststackd starts as nobody, with no file" "$(tail -n 15 "$TMP/nobody.log")"
    fi
else
    skip "hoststackd starts as nobody, with no file" "not root, or no setpriv"
fi
finish
