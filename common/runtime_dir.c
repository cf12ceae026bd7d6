/* runtime_dir.c - the default runtime directory of server, control client and programs */
#include "common/runtime_dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int runtime_dir_default(char out[RUNTIME_DIR_MAX])
{
    /* secure_getenv: a set-user-ID program must not be led to a server of its caller's choice */
    const char *xdg = secure_getenv("XDG_RUNTIME_DIR");
    uid_t uid = geteuid();
    int n;

    if (uid == 0)
        n = snprintf(out, RUNTIME_DIR_MAX, "%s", RUNTIME_DIR_ROOT);
    else if (xdg && xdg[0] == '/')
        n = snprintf(out, RUNTIME_DIR_MAX, "%s/hoststack", xdg);
    else
        n = snprintf(out, RUNTIME_DIR_MAX, "/tmp/hoststack-%u", (unsigned)uid);
    return n >= 0 && n < RUNTIME_DIR_MAX ? 0 : -ENAMETOOLONG;
}
