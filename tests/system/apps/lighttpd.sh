#!/bin/bash
# lighttpd.sh - lighttpd: pages, kept connections, a connection a request
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin lighttpd curl wrk nginx
# shellcheck source=tests/system/ngx.sh
. "$APPS_DIR/../ngx.sh"
mkdir -p "$TMP/html"
echo 'hoststack test page' >"$TMP/html/index.html"
random_file "$TMP/html/big" 1000000
cat >"$TMP/lighttpd.conf" <<CONF
server.document-root = "$TMP/html"
server.port = 8081
server.bind = "$S4"
server.errorlog = "$TMP/lighttpd.err"
server.max-keep-alive-requests = 100000
index-file.names = ( "index.html" )
\$SERVER["socket"] == "[$S6]:8081" { }
CONF
app_start "$TMP/lighttpd.out" stack lighttpd -D -f "$TMP/lighttpd.conf"
app_ready lighttpd 8081 "$TMP/lighttpd.err"
each_way_in web_load 8081 "$TMP/html/index.html" "$TMP/html/big"
app_end
