#!/bin/bash
# apache.sh - Apache, mpm_event: pages, kept connections, a connection a request, CGI, graceful restarts under load
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin apache2 curl wrk ab
# shellcheck source=tests/system/ngx.sh
. "$APPS_DIR/../ngx.sh"
modules=/usr/lib/apache2/modules
mkdir "$TMP/html" "$TMP/cgi"
echo "hoststack test page" >"$TMP/html/index.html"
random_file "$TMP/html/big" 1000000
printf '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n"\nexec sha256sum\n' >"$TMP/cgi/digest"
chmod 755 "$TMP/cgi/digest"
cat >"$TMP/conf" <<CONF
ServerRoot $TMP
ServerName hoststack
PidFile $TMP/pid
ErrorLog $TMP/error.log
LogLevel notice
Mutex file:$TMP default
User www-data
Group www-data
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule dir_module $modules/mod_dir.so
LoadModule cgid_module $modules/mod_cgid.so
LoadModule alias_module $modules/mod_alias.so
ScriptSock $TMP/cgid.sock
Listen $S4:8100
Listen [$S6]:8100
DocumentRoot $TMP/html
ScriptAlias /cgi $TMP/cgi
MaxKeepAliveRequests 0
StartServers 2
CONF
app_start "$TMP/out" stack apache2 -DFOREGROUND -f "$TMP/conf"
master=$bg_pid
app_ready apache 8100 "$TMP/error.log"
digest() { [ "$("$client" curl -sS --data-binary "@$TMP/html/big" "http://$host:8100/cgi/digest")" = "$(sha256sum <"$TMP/html/big")" ]; }
restarts() { grep -c 'resuming normal operations' "$TMP/error.log"; }
graceful() { # 2,000 requests, a connection each, and three restarts meanwhile
    local load before i
    TMO=60 "$client" ab -q -n 2000 -c 8 "http://$host:8100/" >"$TMP/ab" 2>&1 & load=$!
    for i in 1 2 3; do
        before=$(restarts)
        kill -USR1 "$master"
        again() { [ "$(restarts)" -gt "$before" ]; }
        wait_for 20 again || { echo "no restart $i"; return 1; }
    done
    wait "$load" && grep -Eq '^Failed requests: +0$' "$TMP/ab" && grep -Eq '^Complete requests: +2000$' "$TMP/ab" || { cat "$TMP/ab"; return 1; }
}
cases() {
    web_load 8100 "$TMP/html/index.html" "$TMP/html/big"
    way_check "CGI by a process of its own" digest
    way_check "graceful restarts under load" graceful
}
each_way_in cases
app_end
