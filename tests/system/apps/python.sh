#!/bin/bash
# python.sh - Python 3: asyncio, selectors, threading and forking socketservers, http.server, UDP; clients of both kinds
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin "$PYTHON"
export PYTHONDONTWRITEBYTECODE=1
kinds="asyncio selectors threading forking"
port=7201
for kind in $kinds; do
    app_start "$TMP/$kind" stack "$PYTHON" "$APPS_DIR/python_server.py" "$kind" $port $S4 $S6
    app_start "$TMP/k.$kind" in_k "$PYTHON" "$APPS_DIR/python_server.py" "$kind" $port $K4 $K6
    port=$((port + 1))
done
app_start "$TMP/udp" stack "$PYTHON" "$APPS_DIR/python_server.py" udp 7205 $S4 $S6
mkdir "$TMP/html"
random_file "$TMP/html/big" 1000000
app_start "$TMP/http4" stack "$PYTHON" -m http.server --bind $S4 --directory "$TMP/html" 7206
app_start "$TMP/http6" stack "$PYTHON" -m http.server --bind $S6 --directory "$TMP/html" 7206
for port in 7201 7202 7203 7204 7206; do app_ready "python3, port $port" $port "$TMP/asyncio"; done
for port in 7201 7202 7203 7204; do kernel_ready "python3, port $port" $port; done
echo_by() { "$client" "$PYTHON" "$APPS_DIR/python_client.py" "$1" "$addr" "$2" "$3" "$4"; }
page() {
    same_as "$TMP/html/big" "$client" "$PYTHON" -c 'import sys, urllib.request
sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], timeout=20).read())' "http://$host:7206/big"
}
servers() {
    local port=7201 kind
    for kind in $kinds; do
        way_check "server by $kind, 20 connections of threads" echo_by threads $port 20 20
        port=$((port + 1))
    done
    way_check "UDP by socketserver" echo_by udp 7205 4 50
    way_check "http.server and urllib" page
}
clients() {
    way_check "asyncio client, 50 connections" echo_by asyncio 7201 50 20
    way_check "selectors client, 50 connections" echo_by selectors 7202 50 20
    way_check "clients by multiprocessing" echo_by processes 7203 8 20
}
each_way_in servers
each_way_out clients
app_end
