/* main.c - hoststackd: options, going to the background, exit codes */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-journal.h>

#include "config.h"
#include "server/ctl/daemon.h"
#include "server/worker/eal.h"

enum { EXIT_USAGE = 2 };

struct options {
    const char *config_file;
    bool check_config, foreground;
};

static void usage(FILE *to)
{
    fputs("usage: hoststackd [-c FILE] [--check-config] [--foreground] [--version] [--help]\n"
          "  -c, --config FILE   configuration (default " HS_SYSCONFDIR "/hoststack/hoststackd.conf, if it is there)\n"
          "      --check-config  say what is wrong with the configuration and exit\n"
          "      --foreground    stay in the foreground\n"
          "      --version       print the versions of hoststackd and DPDK\n"
          "exit codes: 0 fine, 1 failed while running, 2 wrong usage or configuration\n",
          to);
}

/* -1: go on; otherwise exit with that code. */
static int take_options(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        { "config", required_argument, NULL, 'c' }, { "check-config", no_argument, NULL, 'k' },
        { "foreground", no_argument, NULL, 'f' },   { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
    };
    int opt;

    while ((opt = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        switch (opt) {
        case 'c': o->config_file = optarg; break;
        case 'k': o->check_config = true; break;
        case 'f': o->foreground = true; break;
        case 'v': printf("hoststackd %s (%s)\n", PACKAGE_VERSION, eal_version()); return 0;
        case 'h': usage(stdout); return 0;
        default: usage(stderr); return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "hoststackd: unexpected argument %s\n", argv[optind]);
        usage(stderr);
        return EXIT_USAGE;
    }
    return -1;
}

/* Every signal we handle is blocked before a thread exists, so that only the signal descriptor gets them. */
static void block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* a client that has gone shows as EPIPE */
}

/* The parent stays until the server is ready, so that its exit status and messages tell whether it is.
 * In the child: 0, and *ready is the descriptor to tell it by. In the parent: does not return. */
static int go_to_background(int *ready)
{
    int p[2];
    char status = 1;
    pid_t pid;

    if (pipe2(p, O_CLOEXEC) != 0)
        return -errno;
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid > 0) {
        close(p[1]);
        while (read(p[0], &status, 1) < 0 && errno == EINTR)
            ;
        _exit(status);
    }
    close(p[0]);
    setsid();
    *ready = p[1];
    return 0;
}

/* In the background, log lines go to the journal if there is one. */
static void leave_terminal(struct daemon *d, int ready)
{
    char ok = 0;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (d->config->unx.log[0] == '\0') {
        int journal = sd_journal_stream_fd("hoststackd", LOG_NOTICE, 1);
        if (journal >= 0) {
            d->log.fd = journal;
            d->log.to_journal = true;
        } else {
            hs_log(&d->log, HS_LOG_WARNING, "there is no journal here: later messages are lost; use unix { log FILE }");
            d->log.fd = -1;
        }
    }
    if (null >= 0) {
        for (int fd = 0; fd <= 2; fd++)
            dup2(null, fd);
        if (null > 2)
            close(null);
    }
    if (chdir("/") != 0 || write(ready, &ok, 1) != 1)
        return; /* the parent has gone: nobody waits */
    close(ready);
}

static int open_log(struct daemon *d)
{
    const char *path = d->config->unx.log;
    int fd;

    if (path[0] == '\0')
        return 0;
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0) {
        hs_log(&d->log, HS_LOG_ERROR, "unix { log %s }: %s", path, strerror(errno));
        return -errno;
    }
    d->log.fd = fd;
    return 0;
}

static int load_config(const struct options *o, struct stack_config **cfg)
{
    static const char standard[] = HS_SYSCONFDIR "/hoststack/hoststackd.conf";
    char err[CONF_ERROR_MAX];
    const char *path = o->config_file;

    if (!path && access(standard, F_OK) == 0)
        path = standard;
    if (config_load(path, cfg, err, sizeof(err)) != 0) {
        fprintf(stderr, "hoststackd: %s\n", err);
        return EXIT_USAGE;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct options o = { .config_file = NULL };
    struct stack_config *cfg = NULL;
    struct daemon d;
    int ready = -1;
    int code = take_options(argc, argv, &o);

    if (code < 0)
        code = load_config(&o, &cfg);
    if (code >= 0)
        return code;
    if (o.check_config) {
        printf("%s: fine\n", cfg->file[0] ? cfg->file : "the defaults");
        config_free(cfg);
        return 0;
    }
    block_signals();
    if (!o.foreground && go_to_background(&ready) != 0) {
        fprintf(stderr, "hoststackd: cannot go to the background: %s\n", strerror(errno));
        config_free(cfg);
        return 1;
    }
    daemon_init(&d, cfg);
    code = open_log(&d) == 0 && daemon_start(&d) == 0 ? 0 : 1;
    if (code == 0 && ready >= 0)
        leave_terminal(&d, ready);
    if (code == 0 && daemon_run(&d) != 0)
        code = 1;
    daemon_stop(&d);
    config_free(cfg);
    return code;
}
