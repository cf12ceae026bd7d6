#!/bin/bash
# gunicorn.sh - gunicorn with workers of four kinds (sync, threads, gevent, tornado): uploads, ab, a reload under load
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin gunicorn "$PYTHON" ab curl
"$PYTHON" -c 'import gevent, tornado' 2>/dev/null || skip_all "no python3-gevent or python3-tornado here"
export PYTHONDONTWRITEBYTECODE=1
cat >"$TMP/echo.py" <<'PY'
def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"hoststack test page\n"
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]
PY
random_file "$TMP/in" 1000000
kinds="sync gthread gevent tornado"
port=7401
declare -A master=()
for kind in $kinds; do
    app_start "$TMP/$kind" stack "$PYTHON" -m gunicorn -k "$kind" -w 2 --threads 4 -b "$S4:$port" -b "[$S6]:$port" --chdir "$TMP" \
        --worker-tmp-dir "$TMP" --graceful-timeout 60 echo:app
    master[$kind]=$bg_pid
    port=$((port + 1))
done
port=7401
for kind in $kinds; do
    app_ready "gunicorn, $kind" $port "$TMP/$kind"
    port=$((port + 1))
done
upload() { same_as "$TMP/in" "$client" curl -sS --data-binary "@$TMP/in" "http://$host:$1/"; }
all_served() { grep -Eq '^Failed requests: +0$' "$1" && grep -Eq "^Complete requests: +$2\$" "$1" && ! grep -q Non-2xx "$1" || { cat "$1"; return 1; }; }
load() {
    "$client" ab -q -n 300 -c 8 "http://$host:$1/" >"$TMP/ab" 2>&1
    all_served "$TMP/ab" 300
}
reload() { # PORT KIND
    local ab
    TMO=60 "$client" ab -q -n 500 -c 4 "http://$host:$1/" >"$TMP/ab" 2>&1 & ab=$!
    before=$(grep -c "Booting worker" "$TMP/$2")
    kill -HUP "${master[$2]}"
    booted() { [ "$(grep -c "Booting worker" "$TMP/$2")" -ge $((before + 2)) ]; }
    wait_for 60 booted "$@" || { tail "$TMP/$2"; return 1; }
    wait "$ab"
    all_served "$TMP/ab" 500
}
cases() {
    local port=7401 kind
    for kind in $kinds; do
        way_check "$kind: 1 MB uploaded comes back" upload $port
        way_check "$kind: 300 requests of 8 clients" load $port
        [ "$kind" != sync ] || way_check "$kind: new workers under load" reload $port "$kind"
        port=$((port + 1))
    done
}
each_way_in cases
app_end
