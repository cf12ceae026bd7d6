/* daemon.c - starts the parts of the server in order, runs the control thread, ends them in reverse order */
#include "server/ctl/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "server/app/app_server.h"
#include "server/autoconf/autoconf.h"
#include "server/ctl/ctl_server.h"
#include "server/dhcp/dhcp.h"
#include "server/linux_sync/linux_sync.h"
#include "server/ctl/privileges.h"
#include "server/session/transport.h"
#include "server/sctp/sctp.h"
#include "server/udp/udp.h"
#include "server/worker/eal.h"
#include "server/worker/worker_thread.h"

static const char *const sockets[] = { "app.sock", "cli.sock" };

void daemon_init(struct daemon *d, struct stack_config *cfg)
{
    memset(d, 0, sizeof(*d));
    d->config = cfg;
    d->lock.dir_fd = d->lock.lock_fd = -1;
    d->signal_fd = d->timer_fd = d->epoll_fd = -1;
    hs_log_init(&d->log, STDERR_FILENO, (int)cfg->unx.log_level, "hoststackd");
}

/* ---------------------------------------------------------------- parts */

static int start_eal(struct daemon *d)
{
    const struct stack_config *cfg = d->config;
    const char *pci[STACK_MAX_PORTS];
    char address[STACK_MAX_PORTS][32], prefix[64], err[256];
    unsigned n_small, n_big;
    struct eal_options opt = {
        .hugepages = cfg->dpdk.hugepages,
        .memory_bytes = config_memory(cfg),
        .file_prefix = prefix,
        .pci_devices = pci,
    };

    for (unsigned i = 0; i < cfg->n_ports; i++) {
        size_t n = strcspn(cfg->port[i].device, " ,");
        if (!eal_is_pci_address(cfg->port[i].device, n))
            continue;
        snprintf(address[opt.n_pci_devices], sizeof(address[0]), "%.*s", (int)n, cfg->port[i].device);
        pci[opt.n_pci_devices] = address[opt.n_pci_devices];
        opt.n_pci_devices++;
    }
    snprintf(prefix, sizeof(prefix), "hoststack-%ld", (long)getpid());
    int rc = eal_start(&opt, err, sizeof(err));
    if (rc != 0) {
        hs_log(&d->log, HS_LOG_ERROR, "%s", err);
        return rc;
    }
    d->is_eal_up = true;
    config_packets(cfg, &n_small, &n_big);
    struct stack_options so = {
        .n_workers = cfg->cpu.workers, .n_small_pkts = n_small, .n_big_pkts = n_big, .pool_name = "pkts",
    };
    rc = stack_create(&so, &d->stack);
    if (rc != 0) {
        hs_log(&d->log, HS_LOG_ERROR, "cannot make the stack with %u small and %u big packets in %llu MiB: %s", n_small,
               n_big, (unsigned long long)opt.memory_bytes >> 20, strerror(-rc));
        return rc;
    }
    d->stack->config = d->config;
    d->stack->log = &d->log;
    return 0;
}

static int open_ports(struct daemon *d)
{
    for (unsigned i = 0; i < d->config->n_ports; i++) {
        struct port_config pc = d->config->port[i];
        struct port *p = NULL;
        char err[256] = "";
        if (pc.n_queues == 0)
            pc.n_queues = d->stack->n_workers;
        if (pc.is_member) {
            if (port_member_open(&pc, err, sizeof(err)) == 0)
                continue;
            hs_log(&d->log, HS_LOG_ERROR, "port %s: %s", pc.name, err);
            return -ENODEV;
        }
        int rc = port_open(&pc, &d->stack->pools, &p, err, sizeof(err));
        if (rc == 0) {
            rc = stack_add_port(d->stack, p);
            if (rc != 0)
                port_close(p);
        }
        if (rc != 0) {
            hs_log(&d->log, HS_LOG_ERROR, "port %s: %s", pc.name, err[0] ? err : strerror(-rc));
            return rc;
        }
        hs_log(&d->log, HS_LOG_INFO, "port %s: %s, mtu %u, %02x:%02x:%02x:%02x:%02x:%02x", p->name, p->ops->kind, p->mtu,
               p->mac[0], p->mac[1], p->mac[2], p->mac[3], p->mac[4], p->mac[5]);
    }
    return 0;
}

static int find_port(const struct stack *s, const char *name)
{
    for (unsigned i = 0; i < s->n_ports; i++)
        if (strcmp(s->port[i]->name, name) == 0)
            return (int)i;
    return -ENODEV;
}

/* As configured, else systemd's StateDirectory=, else the runtime directory, which a boot empties. */
static const char *state_dir(const struct daemon *d)
{
    const char *given = d->config->unx.state_dir[0] ? d->config->unx.state_dir : getenv("STATE_DIRECTORY");

    return given && given[0] ? given : d->lock.dir;
}

static int add_interfaces(struct daemon *d)
{
    for (unsigned i = 0; i < d->config->n_interfaces; i++) {
        const struct config_interface *ci = &d->config->interface[i];
        unsigned flags = ci->no_dad ? INTERFACE_ADDR_NO_DAD : 0;
        struct interface *ifc;
        int port = find_port(d->stack, ci->port), rc = port;
        if (port >= 0 && ci->vlan)
            rc = interface_add_vlan(d->stack, (unsigned)port, ci->vlan, (uint16_t)ci->table, (uint16_t)ci->mtu, flags, &ifc);
        else if (port >= 0)
            rc = interface_add(d->stack, (unsigned)port, (uint16_t)ci->table, (uint16_t)ci->mtu, flags, &ifc);
        if (rc != 0) {
            hs_log(&d->log, HS_LOG_ERROR, "%s:%u: interface %s: %s", d->config->file, ci->line, ci->name, strerror(-rc));
            return rc;
        }
        if (ci->autoconf && (rc = autoconf_enable(ifc, flags)) != 0) {
            hs_log(&d->log, HS_LOG_ERROR, "%s:%u: interface %s: autoconf: %s", d->config->file, ci->line, ci->name, strerror(-rc));
            return rc;
        }
        if (ci->dhcp && (rc = dhcp_enable(ifc, flags, state_dir(d))) != 0) {
            hs_log(&d->log, HS_LOG_ERROR, "%s:%u: interface %s: dhcp: %s", d->config->file, ci->line, ci->name, strerror(-rc));
            return rc;
        }
        for (unsigned k = 0; k < ci->n_addresses; k++) {
            char text[IP_ADDR_TEXT_MAX];
            rc = interface_add_address(ifc, &ci->address[k], flags);
            if (rc != 0) {
                hs_log(&d->log, HS_LOG_ERROR, "%s:%u: interface %s: address %s/%u: %s", d->config->file, ci->line, ci->name,
                       ip_addr_format(&ci->address[k].ip, text), ci->address[k].len, strerror(-rc));
                return rc;
            }
        }
    }
    return 0;
}

/* After what is configured: that has precedence. */
static int mirror_kernel(struct daemon *d)
{
    for (unsigned i = 0; i < d->config->n_interfaces; i++) {
        const struct config_interface *ci = &d->config->interface[i];
        if (ci->linux_sync[0] == '\0')
            continue;
        int rc = linux_sync_enable(interface_by_name(d->stack, ci->name), ci->linux_sync, ci->no_dad ? INTERFACE_ADDR_NO_DAD : 0);
        if (rc != 0) {
            hs_log(&d->log, HS_LOG_ERROR, "%s:%u: interface %s: linux-sync %s: %s", d->config->file, ci->line, ci->name, ci->linux_sync,
                   strerror(-rc));
            return rc;
        }
    }
    return 0;
}

static int add_routes(struct daemon *d)
{
    for (unsigned i = 0; i < d->config->n_routes; i++) {
        const struct config_route *cr = &d->config->route[i];
        char text[IP_ADDR_TEXT_MAX];
        int rc = 0;
        for (unsigned k = 0; k < cr->n_hops && rc == 0; k++) {
            const struct config_hop *h = &cr->hop[k];
            rc = (k == 0 ? route_add : route_add_hop)(d->stack, (uint16_t)cr->table, &cr->prefix, h->has_via ? &h->via : NULL,
                                                      h->dev[0] ? interface_by_name(d->stack, h->dev) : NULL);
        }
        if (rc != 0) {
            hs_log(&d->log, HS_LOG_ERROR, "%s:%u: route %s/%u: %s", d->config->file, cr->line,
                   ip_addr_format(&cr->prefix.ip, text), cr->prefix.len,
                   rc == -ENETUNREACH ? "no interface reaches its via" : strerror(-rc));
            return rc;
        }
    }
    return 0;
}

static int add_rules(struct daemon *d)
{
    for (unsigned i = 0; i < d->config->n_rules; i++) {
        int rc = session_rule_add(d->stack, &d->config->rule[i].rule);
        if (rc != 0) {
            hs_log(&d->log, HS_LOG_ERROR, "%s:%u: rule: %s", d->config->file, d->config->rule[i].line, strerror(-rc));
            return rc;
        }
    }
    return 0;
}

static int start_apps(struct daemon *d, gid_t socket_gid)
{
    const struct config_session *cs = &d->config->session;
    struct app_namespace_options *ns = calloc(d->config->n_namespaces + 1, sizeof(*ns));
    char path[RUNTIME_DIR_MAX + 16];
    int rc;

    if (!ns)
        return -ENOMEM;
    for (unsigned i = 0; i < d->config->n_namespaces; i++) {
        const struct config_namespace *cn = &d->config->ns[i];
        const struct config_interface *ifc = config_find_interface(d->config, cn->interface);
        snprintf(ns[i].name, sizeof(ns[i].name), "%.*s", (int)sizeof(ns[i].name) - 1, cn->name);
        ns[i].secret = cn->secret;
        ns[i].fib = ifc ? (uint16_t)ifc->table : 0;
    }
    snprintf(path, sizeof(path), "%s/%s", d->lock.dir, sockets[0]);
    struct app_server_options opt = {
        .socket_path = path,
        .socket_gid = socket_gid == (gid_t)-1 ? -1 : (int64_t)socket_gid,
        .namespaces = ns,
        .n_namespaces = d->config->n_namespaces,
        .segment_mb = (uint32_t)(cs->segment_size >> 20),
        .add_segment_mb = (uint32_t)(cs->add_segment_size >> 20),
        .evt_queue_len = cs->evt_q_length,
        .max_fifo_size = cs->max_fifo_size,
        .max_clients = cs->max_clients,
        .max_sessions = cs->max_sessions,
        .max_listeners = cs->max_listeners,
        .max_banks = cs->max_segments,
    };
    rc = app_server_create(d->stack, &opt, &d->stack->apps);
    free(ns);
    if (rc != 0) {
        hs_log(&d->log, HS_LOG_ERROR, "cannot serve %s: %s", path, strerror(-rc));
        return rc;
    }
    snprintf(path, sizeof(path), "%s/%s", d->lock.dir, sockets[1]);
    rc = ctl_server_create(d->stack, path, socket_gid, &d->ctl);
    if (rc != 0)
        hs_log(&d->log, HS_LOG_ERROR, "cannot serve %s: %s", path, strerror(-rc));
    return rc;
}

static int start_workers(struct daemon *d)
{
    static const enum worker_poll_mode mode[] = {
        [CONFIG_POLL_ADAPTIVE] = WORKER_POLL_ADAPTIVE,
        [CONFIG_POLL_BUSY] = WORKER_POLL_BUSY,
        [CONFIG_POLL_INTERRUPT] = WORKER_POLL_INTERRUPT,
    };
    const struct config_cpu *cpu = &d->config->cpu;

    sctp_configure(d->stack, &d->config->sctp);
    for (unsigned i = 0; i < d->stack->n_workers; i++) {
        struct worker_thread_options opt = {
            .poll_mode = mode[cpu->poll_mode],
            .core = cpu->n_cores ? (int)cpu->core[i % cpu->n_cores] : -1,
        };
        int rc = tcp_worker_config(d->stack->worker[i], &d->config->tcp);
        if (rc == 0)
            rc = worker_start(d->stack->worker[i], &opt);
        if (rc != 0) {
            hs_log(&d->log, HS_LOG_ERROR, "cannot start worker %u on core %d: %s", i, opt.core, strerror(-rc));
            return rc;
        }
        d->n_workers_started++;
    }
    return 0;
}

/* Programs that start once we are ready bind to these addresses. A second or so; on a link that is down as well. */
static void wait_for_addresses(const struct daemon *d)
{
    enum { STEP_US = 10000, LIMIT_US = 3000000 };

    for (unsigned waited = 0; waited < LIMIT_US && interfaces_have_tentative(d->stack); waited += STEP_US)
        usleep(STEP_US);
}

static int watch(struct daemon *d, int fd)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

    return epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

/* Signals come as a descriptor. They were blocked by main() before any thread existed. */
static int start_loop(struct daemon *d)
{
    sigset_t set;
    uint64_t usec = 0;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    d->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (d->epoll_fd < 0 || d->signal_fd < 0 || d->timer_fd < 0)
        return -errno;
    if (sd_watchdog_enabled(0, &usec) > 0) {
        struct itimerspec every = { .it_interval.tv_sec = (time_t)(usec / 3000000), .it_interval.tv_nsec = (long)(usec / 3 % 1000000) * 1000 };
        every.it_value = every.it_interval;
        d->watchdog_us = usec;
        if (timerfd_settime(d->timer_fd, 0, &every, NULL) != 0)
            return -errno;
    }
    int rc = watch(d, d->signal_fd);
    if (rc == 0)
        rc = watch(d, d->timer_fd);
    if (rc == 0)
        rc = watch(d, app_server_fd(d->stack->apps));
    if (rc == 0)
        rc = watch(d, ctl_server_fd(d->ctl));
    if (rc == 0 && autoconf_fd(d->stack) >= 0)
        rc = watch(d, autoconf_fd(d->stack));
    if (rc == 0 && dhcp_fd(d->stack) >= 0)
        rc = watch(d, dhcp_fd(d->stack));
    if (rc == 0 && linux_sync_fd(d->stack) >= 0)
        rc = watch(d, linux_sync_fd(d->stack));
    return rc;
}

/* As configured, else systemd's RuntimeDirectory=, else the default of the user. */
static int choose_runtime_dir(const struct config_unix *u, char dir[RUNTIME_DIR_MAX])
{
    const char *given = u->runtime_dir[0] ? u->runtime_dir : getenv("RUNTIME_DIRECTORY");

    if (!given || given[0] == '\0')
        return runtime_dir_default(dir);
    return snprintf(dir, RUNTIME_DIR_MAX, "%s", given) < RUNTIME_DIR_MAX ? 0 : -ENAMETOOLONG;
}

int daemon_start(struct daemon *d)
{
    const struct config_unix *u = &d->config->unx;
    char dir[RUNTIME_DIR_MAX], err[256];
    uid_t uid;
    gid_t gid, socket_gid;
    int rc;

    rc = privileges_find_user(u->user, &uid, &gid, err, sizeof(err));
    if (rc == 0)
        rc = privileges_find_group(u->socket_group, &socket_gid, err, sizeof(err));
    if (rc != 0)
        goto say;
    rc = choose_runtime_dir(u, dir);
    if (rc == 0)
        rc = runtime_lock_take(dir, &d->lock, err, sizeof(err));
    else
        snprintf(err, sizeof(err), "the runtime directory's name is too long for a socket; set unix { runtime-dir }");
    if (rc != 0)
        goto say;
    privileges_raise_descriptors();
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* workers sleep for tens of microseconds; threads inherit it */

    /* Transports first: each worker gets its state of every transport when the stack is made. */
    if ((rc = transport_register(&tcp_transport_ops)) != 0 || (rc = transport_register(&udp_transport_ops)) != 0 ||
        (rc = transport_register(&tls_transport_ops)) != 0 || (rc = transport_register(&dtls_transport_ops)) != 0 ||
        (rc = transport_register(&sctp_transport_ops)) != 0 ||
        (rc = start_eal(d)) != 0 || (rc = open_ports(d)) != 0 || (rc = add_interfaces(d)) != 0 || (rc = add_routes(d)) != 0 ||
        (rc = mirror_kernel(d)) != 0 ||
        (rc = add_rules(d)) != 0)
        return rc;
    rc = tcp_keys_create(d->stack);
    if (rc != 0)
        return rc;
    rc = tls_stack_create(d->stack, &d->config->tls, err, sizeof(err));
    if (rc != 0)
        goto say;
    if (uid != (uid_t)-1 && (rc = runtime_lock_chown(&d->lock, uid)) != 0) {
        snprintf(err, sizeof(err), "cannot give %s to user %s: %s", d->lock.dir, u->user, strerror(-rc));
        goto say;
    }
    if ((rc = privileges_drop(u->user, uid, gid, socket_gid, err, sizeof(err))) != 0 || (rc = tls_stack_start(d->stack, err, sizeof(err))) != 0)
        goto say;
    if ((rc = start_apps(d, socket_gid)) != 0 || (rc = start_loop(d)) != 0 || (rc = start_workers(d)) != 0)
        return rc;
    wait_for_addresses(d);
    hs_log(&d->log, HS_LOG_NOTICE, "serving %s with %u worker%s and %u port%s", d->lock.dir, d->stack->n_workers,
           d->stack->n_workers == 1 ? "" : "s", d->stack->n_ports, d->stack->n_ports == 1 ? "" : "s");
    sd_notifyf(0, "READY=1\nSTATUS=serving %s", d->lock.dir);
    return 0;

say:
    hs_log(&d->log, HS_LOG_ERROR, "%s", err);
    return rc;
}

/* ---------------------------------------------------------------- loop */

static void pong(struct worker *w HS_UNUSED, void *arg)
{
    struct daemon *d = arg;

    __atomic_fetch_sub(&d->pings_out, 1, __ATOMIC_RELEASE);
}

/* systemd is told that we are alive only while every worker has answered the last ping: one that hangs is a reason to restart. */
static void feed_watchdog(struct daemon *d)
{
    if (__atomic_load_n(&d->pings_out, __ATOMIC_ACQUIRE) != 0)
        return;
    sd_notify(0, "WATCHDOG=1");
    for (unsigned i = 0; i < d->stack->n_workers; i++) {
        __atomic_fetch_add(&d->pings_out, 1, __ATOMIC_RELAXED);
        if (worker_call(d->stack->worker[i], pong, d) != 0)
            __atomic_fetch_sub(&d->pings_out, 1, __ATOMIC_RELAXED);
    }
}

/* True: time to end. */
static bool take_signals(struct daemon *d)
{
    struct signalfd_siginfo si;
    bool end = false;

    while (read(d->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        if (si.ssi_signo == SIGHUP) {
            hs_log(&d->log, HS_LOG_WARNING, "SIGHUP: the configuration is read at the start only; restart to change it");
            continue;
        }
        hs_log(&d->log, HS_LOG_NOTICE, "ending on %s", si.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
        end = true;
    }
    return end;
}

int daemon_run(struct daemon *d)
{
    for (;;) {
        struct epoll_event ev[8];
        int n = epoll_wait(d->epoll_fd, ev, HS_ARRAY_LEN(ev), -1);
        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < n; i++) {
            int fd = ev[i].data.fd;
            if (fd == d->signal_fd) {
                if (take_signals(d))
                    return 0;
            } else if (fd == d->timer_fd) {
                uint64_t times;
                if (read(d->timer_fd, &times, sizeof(times)) == (ssize_t)sizeof(times))
                    feed_watchdog(d);
            } else if (fd == autoconf_fd(d->stack)) {
                if (autoconf_poll(d->stack, clock_now_us()))
                    app_server_net_changed(d->stack->apps);
            } else if (fd == dhcp_fd(d->stack)) {
                if (dhcp_poll(d->stack, clock_now_us()))
                    app_server_net_changed(d->stack->apps);
            } else if (fd == linux_sync_fd(d->stack)) {
                if (linux_sync_poll(d->stack))
                    app_server_net_changed(d->stack->apps);
            } else if (fd == ctl_server_fd(d->ctl)) {
                ctl_server_poll(d->ctl);
            } else {
                app_server_poll(d->stack->apps);
            }
        }
    }
}

void daemon_stop(struct daemon *d)
{
    sd_notify(0, "STOPPING=1");
    if (d->stack && d->n_workers_started)
        dhcp_release_all(d->stack, clock_now_us());
    for (unsigned i = 0; i < d->n_workers_started; i++)
        worker_stop(d->stack->worker[i]);
    if (d->ctl)
        ctl_server_destroy(d->ctl);
    if (d->stack) {
        if (d->stack->apps)
            app_server_destroy(d->stack->apps);
        d->stack->apps = NULL;
        tls_stack_destroy(d->stack);
        tcp_keys_destroy(d->stack);
        stack_destroy(d->stack);
    }
    if (d->is_eal_up)
        eal_stop();
    runtime_lock_release(&d->lock, sockets, HS_ARRAY_LEN(sockets));
    int fds[] = { d->signal_fd, d->timer_fd, d->epoll_fd };
    for (unsigned i = 0; i < HS_ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}
