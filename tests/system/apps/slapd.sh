#!/bin/bash
# slapd.sh - OpenLDAP's slapd, threads: entries added by ldapadd, found, changed and removed, ten clients at once
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin slapd ldapadd ldapsearch
mkdir "$TMP/db"
cat >"$TMP/slapd.conf" <<CONF
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile $TMP/slapd.pid
database mdb
maxsize 100000000
suffix "dc=hoststack"
rootdn "cn=admin,dc=hoststack"
rootpw secret
directory $TMP/db
dbnosync
CONF
app_start "$TMP/slapd.out" stack slapd -d 0 -f "$TMP/slapd.conf" -h "ldap://$S4:3890 ldap://[$S6]:3890"
app_ready slapd 3890 "$TMP/slapd.out"
auth=(-x -D cn=admin,dc=hoststack -w secret)
stack ldapadd "${auth[@]}" -H "ldap://$S4:3890" >"$TMP/add.out" 2>&1 <<LDIF || bail "all ways: the root is added" "$(cat "$TMP/add.out")"
dn: dc=hoststack
objectClass: dcObject
objectClass: organization
o: hoststack
dc: hoststack
LDIF
entries() {
    local i
    for ((i = 0; i < 500; i++)); do
        printf 'dn: cn=%s-%s,dc=hoststack\nobjectClass: device\ncn: %s-%s\ndescription: %s\n\n' "$1" $i "$1" $i "$(printf "%0500d" $i)"
    done
}
filled() {
    entries $hs_n >"$TMP/ldif"
    "$client" ldapadd "${auth[@]}" -H "ldap://$host:3890" -f "$TMP/ldif" >"$TMP/add.out" || { tail "$TMP/add.out"; return 1; }
    [ "$("$client" ldapsearch -LLL -x -H "ldap://$host:3890" -z 0 -b dc=hoststack -o ldif-wrap=no "(cn=$hs_n-*)" description | grep -c '^description: 0')" = 500 ]
}
ten() {
    local i pids=() rc=0
    for i in {1..10}; do { [ "$("$client" ldapsearch -LLL -x -H "ldap://$host:3890" -E pr=50/noprompt -b dc=hoststack "(cn=$((hs_n - 1))-*)" dn | grep -c ^dn:)" = 500 ]; } & pids+=($!); done
    for i in "${pids[@]}"; do wait "$i" || rc=1; done
    return $rc
}
cases() {
    way_check "500 entries added and found" filled
    way_check "ten searches at once, in pages" ten
}
each_way_in cases
app_end
