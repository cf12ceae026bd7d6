/* vcl_device.c - the interface that a socket is bound to: SO_BINDTODEVICE, SO_BINDTOIFINDEX, sin6_scope_id (socket(7), ipv6(7)); the one that
 * its datagrams leave by: IP_UNICAST_IF, IPV6_UNICAST_IF
 *
 * Which interfaces the stack has the server tells; BIND and CONNECT say which it is, and of a session that is there an attribute. */
#include <netinet/in.h>
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sys.h"

/* One of the stack's, or -ENODEV. name empty: by its index. Both are complete then. */
static int find(struct vcl_socket *s, struct svm_att_device *d)
{
    int rc;

    if (s->sctp)
        return -ENODEV;
    if (d->index == SVM_DEVICE_LO || !strcmp(d->name, "lo")) {
        *d = (struct svm_att_device){ .index = SVM_DEVICE_LO, .name = "lo" };
        return 0;
    }
    if (!vcl_server_is_there())
        return -ENODEV;
    rc = vcl_worker_device(s->w, d);
    return rc || d->index == 0 ? -ENODEV : 0;
}

/* socket(7), since Linux 5.7: who is bound changes it with CAP_NET_RAW only, in the user namespace that the network belongs to. That one the
 * kernel knows: it is asked with a socket that nobody else has. */
static bool may_change(void)
{
    int fd = sys_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), lo = SVM_DEVICE_LO, rc = 0;

    if (fd < 0)
        return false;
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = (int)syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_BINDTOIFINDEX, &lo, sizeof(lo));
    sys_close(fd);
    return rc == 0;
}

static int use(struct vcl_socket *s, const struct svm_att_device *d)
{
    struct vcl_rare_opts *o = s->rare_opt->device == d->index ? NULL : vcl_options_rare(s);
    int rc = 0;

    if (s->rare_opt->device == d->index)
        return 0;
    if (!o)
        return -ENOBUFS;
    if (!vcl_handle_is_none(s->handle) && !s->local)
        rc = vcl_attr_request(s, SVM_MSG_ATTR_SET, SVM_ATTR_DEVICE, &d->index, sizeof(d->index));
    if (rc)
        return rc;
    o->device = d->index;
    memset(o->device_name, 0, sizeof(o->device_name));
    memcpy(o->device_name, d->name, strnlen(d->name, sizeof(o->device_name) - 1));
    if (vcl_state(s) == VCL_CONNECTING && vcl_handle_is_none(s->handle)) {
        pthread_mutex_lock(&s->w->lock);
        s->opt.changed |= UINT64_C(1) << SVM_ATTR_DEVICE;
        pthread_mutex_unlock(&s->w->lock);
    }
    return 0;
}

static bool is_unicast_if(int level, int name)
{
    return (level == IPPROTO_IP && name == IP_UNICAST_IF) || (level == IPPROTO_IPV6 && name == IPV6_UNICAST_IF);
}

bool vcl_device_has(struct vcl_socket *s, int32_t index)
{
    struct svm_att_device d = { .type = SVM_ATT_DEVICE, .index = index };

    return find(s, &d) == 0;
}

/* The index is in network byte order. Who is bound has no choice. */
static int set_unicast_if(struct vcl_socket *s, int level, const void *val, socklen_t len)
{
    struct vcl_rare_opts *o;
    be32 v;

    if (len != sizeof(v))
        return -EINVAL;
    if (!val)
        return -EFAULT;
    memcpy(&v, val, sizeof(v));
    int32_t index = (int32_t)be32_get(v);
    if (index && !vcl_device_has(s, index))
        return -EADDRNOTAVAIL;
    if (index && s->rare_opt->device)
        return -EINVAL;
    if (!(o = vcl_options_rare(s)))
        return -ENOBUFS;
    *(level == IPPROTO_IP ? &o->unicast_if : &o->unicast_if6) = index;
    return 0;
}

static int get_unicast_if(const struct vcl_socket *s, int level, void *val, socklen_t *len)
{
    be32 v = be32_of((uint32_t)(level == IPPROTO_IP ? s->rare_opt->unicast_if : s->rare_opt->unicast_if6));

    if (level == IPPROTO_IP && *len > 0 && *len < sizeof(v) && v.raw <= UINT8_MAX) /* Linux: a byte is enough */
        *len = 1;
    *len = hs_min_u32(*len, sizeof(v));
    memcpy(val, &v, *len);
    return 0;
}

/* Linux's errors in Linux's order. */
int vcl_device_set(struct vcl_socket *s, int level, int name, const void *val, socklen_t len)
{
    struct svm_att_device d = { .type = SVM_ATT_DEVICE };
    int rc = 0;

    if (is_unicast_if(level, name) && (level == IPPROTO_IP || s->is_v6))
        return set_unicast_if(s, level, val, len);
    if (level != SOL_SOCKET || (name != SO_BINDTODEVICE && name != SO_BINDTOIFINDEX))
        return 1;
    if (name == SO_BINDTOIFINDEX && len < sizeof(d.index))
        return -EINVAL;
    if (!val && len)
        return -EFAULT;
    if (name == SO_BINDTOIFINDEX)
        memcpy(&d.index, val, sizeof(d.index));
    else if (len)
        memcpy(d.name, val, hs_min_u32(len, VCL_DEVICE_NAME - 1));
    if (d.name[0] || d.index > 0)
        rc = find(s, &d);
    if (name == SO_BINDTODEVICE && rc)
        return rc;
    if (s->rare_opt->device && !may_change())
        return -EPERM;
    if (d.index < 0)
        return -EINVAL;
    return rc ? rc : use(s, &d);
}

/* What the server says: another process may have changed it, or this one may have it from another. */
static void refresh(struct vcl_socket *s)
{
    struct svm_att_device d = { .type = SVM_ATT_DEVICE };
    struct vcl_rare_opts *o;

    if (vcl_handle_is_none(s->handle) || s->local || !s->shared)
        return;
    if (vcl_attr_ask(s, SVM_ATTR_DEVICE, &d.index, 0, &d.index, sizeof(d.index)) || d.index == s->rare_opt->device)
        return;
    if ((d.index && find(s, &d)) || !(o = vcl_options_rare(s)))
        return;
    o->device = d.index;
    memcpy(o->device_name, d.name, sizeof(o->device_name) - 1);
}

int vcl_device_get(struct vcl_socket *s, int level, int name, void *val, socklen_t *len)
{
    socklen_t n;

    if (is_unicast_if(level, name) && (level == IPPROTO_IP || s->is_v6))
        return get_unicast_if(s, level, val, len);
    if (level != SOL_SOCKET || (name != SO_BINDTODEVICE && name != SO_BINDTOIFINDEX))
        return 1;
    refresh(s);
    if (name == SO_BINDTOIFINDEX) {
        n = hs_min_u32(*len, sizeof(s->rare_opt->device));
        memcpy(val, &s->rare_opt->device, n);
    } else if (!s->rare_opt->device) {
        n = 0;
    } else if (*len < VCL_DEVICE_NAME) {
        return -EINVAL;
    } else {
        n = (socklen_t)strlen(s->rare_opt->device_name) + 1;
        memcpy(val, s->rare_opt->device_name, n);
    }
    *len = n;
    return 0;
}

int32_t vcl_device(const struct vcl_socket *s) { return s->rare_opt->device; }
bool vcl_device_is_stacks(const struct vcl_socket *s) { return s->rare_opt->device > SVM_DEVICE_LO; }

bool vcl_device_leads(const struct vcl_socket *s, const struct ip_addr *dst)
{
    struct vcl_msg_info to = { .peer = { .ip = *dst }, .has_peer = true };

    return vcl_device_is_stacks(s) || (s->is_dgram && !ip_addr_is_loopback(dst) && vcl_dgram_device(s, &to) > SVM_DEVICE_LO);
}

int vcl_device_scope(struct vcl_socket *s, const struct sockaddr *sa, socklen_t len, bool is_bind)
{
    const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)(const void *)sa;
    struct svm_att_device d = { .type = SVM_ATT_DEVICE };

    if (!sa || len < sizeof(*a) || sa->sa_family != AF_INET6 || !a->sin6_scope_id || !IN6_IS_ADDR_LINKLOCAL(&a->sin6_addr))
        return 0;
    d.index = (int32_t)a->sin6_scope_id;
    if (!is_bind && s->rare_opt->device && s->rare_opt->device != d.index)
        return -EINVAL;
    return find(s, &d) ? -ENODEV : use(s, &d);
}
