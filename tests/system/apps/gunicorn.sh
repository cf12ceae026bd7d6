#!/bin/bash
# gunicorn.sh - gunicorn with workers of four kinds (sync, threads, gevent, tornado): uploads, ab, a reload under load; uvicorn, whose workers
# each listen to what their parent has only bound
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin gunicorn "$PYTHON" ab curl
"$PYTHON" -c 'import gevent, tornado, uvicorn' 2>/dev/null || skip_all "no python3-gevent, python3-tornado or python3-uvicorn here"
export PYTHONDONTWRITEBYTECODE=1
cat >"$TMP/echo.py" <<'PY'
def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"hoststack test page\n"
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]
PY
cat >"$TMP/asgi.py" <<'PY'
import os
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    body, more = b"", True
    while more:
        part = await receive()
        body, more = body + part.get("body", b""), part.get("more_body", False)
    body = body or b"%d" % os.getpid()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
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
for fam in 4 6; do
    addr=S$fam
    app_start "$TMP/uvicorn$fam" stack "$PYTHON" -m uvicorn --workers 2 --no-access-log --app-dir "$TMP" --host "${!addr}" --port $port asgi:app
done
port=7401
for kind in $kinds; do
    app_ready "gunicorn, $kind" $port "$TMP/$kind"
    port=$((port + 1))
done
app_ready uvicorn $port "$TMP/uvicorn4"
upload() { same_as "$TMP/in" "$client" curl -sS --data-binary "@$TMP/in" "http://$host:$1/"; }
all_served() { grep -Eq '^Failed requests: +0$' "$1" && grep -Eq "^Complete requests: +$2\$" "$1" && ! grep -q Non-2xx "$1" || { cat "$1"; return 1; }; }
by_both() { # PORT: what each worker of uvicorn says
    "$client" curl -sS "http://$host:$1/" >>"$TMP/who$fam.$client" && echo >>"$TMP/who$fam.$client"
    [ "$(sort -u "$TMP/who$fam.$client" | wc -l)" = 2 ]
}
both() { wait_for 10 by_both "$1" || { cat "$TMP/uvicorn$fam"; return 1; }; }
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
    way_check "uvicorn: 1 MB uploaded comes back" upload $port
    way_check "uvicorn: both workers answer" both $port
}
each_way_in cases
app_end
