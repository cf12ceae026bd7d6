/* dhcp_lease.c - the file with the address of the last lease */
#include "server/dhcp/dhcp_lease.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int path_of(const char *dir, const char *interface, const char *tail, char path[PATH_MAX])
{
    return snprintf(path, PATH_MAX, "%s/dhcp-%s%s", dir, interface, tail) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

bool dhcp_lease_read(const char *dir, const char *interface, const uint8_t mac[6], int64_t now_s, struct ip_addr *address)
{
    char path[PATH_MAX], text[IP_ADDR_TEXT_MAX];
    unsigned m[6];
    int64_t end_s;

    if (path_of(dir, interface, "", path) != 0)
        return false;
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    int n = fscanf(f, "%45s %2x:%2x:%2x:%2x:%2x:%2x %" SCNd64, text, &m[0], &m[1], &m[2], &m[3], &m[4], &m[5], &end_s);
    fclose(f);
    if (n != 8 || ip_addr_parse(text, address) != 0 || !ip_addr_is_v4(address) || ip_addr_is_any(address) || ip_addr_is_multicast(address) ||
        ip_addr_is_broadcast(address) || ip_addr_is_loopback(address))
        return false;
    for (unsigned i = 0; i < 6; i++)
        if (m[i] != mac[i])
            return false;
    return end_s > now_s;
}

/* Whole or not at all: a new file takes the place of the old one. */
int dhcp_lease_write(const char *dir, const char *interface, const struct dhcp_lease *l)
{
    char path[PATH_MAX], new_path[PATH_MAX], text[IP_ADDR_TEXT_MAX];
    const uint8_t *m = l->mac;
    int rc = path_of(dir, interface, "", path);

    if (rc == 0)
        rc = path_of(dir, interface, ".new", new_path);
    FILE *f = rc == 0 ? fopen(new_path, "we") : NULL;
    if (!f)
        return rc ? rc : -errno;
    int n = fprintf(f, "%s %02x:%02x:%02x:%02x:%02x:%02x %" PRId64 "\n", ip_addr_format(&l->address, text), m[0], m[1], m[2], m[3], m[4], m[5],
                    l->end_s);
    rc = n < 0 ? -EIO : 0;
    if (fclose(f) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(new_path, path) != 0)
        rc = -errno;
    if (rc != 0)
        unlink(new_path);
    return rc;
}

void dhcp_lease_remove(const char *dir, const char *interface)
{
    char path[PATH_MAX];

    if (path_of(dir, interface, "", path) == 0)
        unlink(path);
}
