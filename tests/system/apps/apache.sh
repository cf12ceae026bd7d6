#!/bin/bash
# apache.sh - Apache, each of its ways to share the work: pages, kept connections, a connection a request, CGI, graceful restarts under load
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
conf() { # MPM CGI-MODULE
    cat <<CONF
ServerRoot $TMP
ServerName hoststack
PidFile $TMP/$1.pid
ErrorLog $TMP/$1.log
LogLevel notice
Mutex file:$TMP default
User www-data
Group www-data
LoadModule mpm_$1_module $modules/mod_mpm_$1.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule dir_module $modules/mod_dir.so
LoadModule $2_module $modules/mod_$2.so
LoadModule alias_module $modules/mod_alias.so
Listen $S4:$port
Listen [$S6]:$port
DocumentRoot $TMP/html
ScriptAlias /cgi $TMP/cgi
MaxKeepAliveRequests 0
StartServers 2
CONF
    [ "$2" = cgi ] || echo "ScriptSock $TMP/$1.sock"
}
digest() { [ "$("$client" curl -sS --data-binary "@$TMP/html/big" "http://$host:$port/cgi/digest")" = "$(sha256sum <"$TMP/html/big")" ]; }
restarts() { grep -c 'resuming normal operations' "$TMP/$mpm.log"; }
graceful() { # 2,000 requests, a connection each, and three restarts meanwhile
    local load before i
    TMO=60 "$client" ab -q -n 2000 -c 8 "http://$host:$port/" >"$TMP/ab" 2>&1 & load=$!
    for i in 1 2 3; do
        before=$(restarts)
        kill -USR1 "$master"
        again() { [ "$(restarts)" -gt "$before" ]; }
        wait_for 20 again || { echo "no restart $i"; return 1; }
    done
    wait "$load" && grep -Eq '^Failed requests: +0$' "$TMP/ab" && grep -Eq '^Complete requests: +2000$' "$TMP/ab" || { cat "$TMP/ab"; return 1; }
}
cases() {
    way="$way, $mpm"
    web_load $port "$TMP/html/index.html" "$TMP/html/big"
    way_check "CGI by a process of its own" digest
    way_check "graceful restarts under load" graceful
}
port=8100
for mpm in ${APACHE_MPMS:-event worker prefork}; do
    conf "$mpm" "$([ "$mpm" = prefork ] && echo cgi || echo cgid)" >"$TMP/$mpm.conf"
    # of its own session: prefork ends its whole process group
    app_start "$TMP/$mpm.out" stack setsid apache2 -DFOREGROUND -f "$TMP/$mpm.conf"
    master=$bg_pid
    app_ready "apache, $mpm" $port "$TMP/$mpm.log"
    each_way_in cases
    port=$((port + 1))
done
app_end
