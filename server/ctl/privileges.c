/* privileges.c - user, group, capabilities and limits of the running server */
#include "server/ctl/privileges.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int privileges_find_user(const char *user, uid_t *uid, gid_t *gid, char *err, size_t err_len)
{
    struct passwd *pw;

    *uid = (uid_t)-1;
    *gid = (gid_t)-1;
    if (user[0] == '\0')
        return 0;
    pw = getpwnam(user);
    if (!pw) {
        snprintf(err, err_len, "unix { user %s }: there is no such user", user);
        return -ENOENT;
    }
    if (geteuid() != 0 && pw->pw_uid != geteuid()) {
        snprintf(err, err_len, "unix { user %s }: only root can become another user", user);
        return -EPERM;
    }
    *uid = pw->pw_uid;
    *gid = pw->pw_gid;
    return 0;
}

int privileges_find_group(const char *group, gid_t *gid, char *err, size_t err_len)
{
    struct group *gr;

    *gid = (gid_t)-1;
    if (group[0] == '\0')
        return 0;
    gr = getgrnam(group);
    if (!gr) {
        snprintf(err, err_len, "unix { socket-group %s }: there is no such group", group);
        return -ENOENT;
    }
    *gid = gr->gr_gid;
    return 0;
}

/* While we still may: without the bounding set no file capability of a program can bring one back. */
static int drop_bounding_set(void)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EPERM) /* EPERM: no CAP_SETPCAP, started without privilege */
            return -errno;
    return 0;
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];

    memset(none, 0, sizeof(none));
    return syscall(SYS_capset, &header, none) == 0 ? 0 : -errno;
}

static int set_groups(const char *user, gid_t gid, gid_t socket_gid)
{
    gid_t groups[NGROUPS_MAX];
    int n = NGROUPS_MAX - 1;

    if (getgrouplist(user, gid, groups, &n) < 0)
        return -1;
    if (socket_gid != (gid_t)-1)
        groups[n++] = socket_gid;
    return setgroups((size_t)n, groups);
}

int privileges_drop(const char *user, uid_t uid, gid_t gid, gid_t socket_gid, char *err, size_t err_len)
{
    int rc = drop_bounding_set();

    if (rc == 0 && uid != (uid_t)-1 && uid != geteuid()) {
        if (set_groups(user, gid, socket_gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) {
            rc = -errno;
            snprintf(err, err_len, "cannot become user %s: %s", user, strerror(-rc));
            return rc;
        }
    }
    if (rc == 0)
        rc = drop_capabilities();
    if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        rc = -errno;
    if (rc != 0)
        snprintf(err, err_len, "cannot drop capabilities: %s", strerror(-rc));
    return rc;
}

unsigned long privileges_raise_descriptors(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) != 0)
        return 1024;
    if (lim.rlim_cur < lim.rlim_max) {
        struct rlimit more = { lim.rlim_max, lim.rlim_max };
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            lim = more;
    }
    return (unsigned long)lim.rlim_cur;
}
