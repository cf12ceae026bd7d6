#!/bin/bash
# inetd.sh - programs that are given their sockets: xinetd, tcpserver and systemd-socket-activate, with servers that know no sockets
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin xinetd tcpserver systemd-socket-activate socat "$PYTHON"
random_file "$TMP/in" 1000000
# It hands on what it is told of its environment, no more.
activate() { stack systemd-socket-activate -E LD_PRELOAD -E LD_LIBRARY_PATH -E VCL_CONFIG "$@"; }
for f in 4 6; do
    a=S$f
    a=${!a}
    cat >"$TMP/xinetd.$f" <<CONF
defaults
{
    instances = 50
    cps = 1000 1
}
service cat
{
    type = UNLISTED
    socket_type = stream
    protocol = tcp
    port = 7501
    bind = $a
    flags = $([ $f = 4 ] && echo IPv4 || echo IPv6)
    wait = no
    user = root
    server = /bin/cat
}
CONF
    app_start "$TMP/xinetd.$f.out" stack xinetd -f "$TMP/xinetd.$f" -dontfork -pidfile "$TMP/xinetd.$f.pid" -filelog "$TMP/xinetd.$f.log"
    app_start "$TMP/each.$f.out" activate --inetd -a -l "$([ $f = 4 ] && echo $a || echo "[$a]"):7503" cat
done
# Debian's tcpserver knows IPv4 only.
app_start "$TMP/tcpserver.out" stack tcpserver -HRD -l 0 $S4 7502 cat
cat >"$TMP/given.py" <<'PY'
# An HTTP server on listener 3, which it has been given; it is started by the first connection
import http.server, socket
class Page(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
given = socket.socket(fileno=3)
server = http.server.ThreadingHTTPServer(given.getsockname()[:2], Page, bind_and_activate=False)
server.socket = given
server.serve_forever()
PY
app_start "$TMP/given4" activate -l "$S4:7504" "$PYTHON" "$TMP/given.py"
app_start "$TMP/given6" activate -l "[$S6]:7504" "$PYTHON" "$TMP/given.py"
for p in 7501 7503 7504; do app_ready "port $p" $p "$TMP/xinetd.4.log"; done
FAMILIES=4 app_ready tcpserver 7502 "$TMP/tcpserver.out"
back() { same_as "$TMP/in" "$client" socat -t 20 - "TCP:$host:$1" <"$TMP/in"; }
ten() {
    local i pids=() rc=0
    for i in {1..10}; do { "$client" socat -t 20 - "TCP:$host:$1" <"$TMP/in" | cmp "$TMP/in" -; } & pids+=($!); done
    for i in "${pids[@]}"; do wait "$i" || rc=1; done
    return $rc
}
posted() { same_as "$TMP/in" "$client" curl -sS --data-binary "@$TMP/in" "http://$host:7504/"; }
cases() {
    way_check "xinetd" back 7501
    way_check "xinetd, ten at once" ten 7501
    [ "$fam" != 4 ] || way_check "tcpserver, ten at once" ten 7502
    way_check "systemd-socket-activate, a process a connection" back 7503
    way_check "systemd-socket-activate, the listener" posted
}
each_way_in cases
app_end
