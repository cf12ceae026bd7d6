/* vcl_option_share_test.c - options that processes of a fork share: who dies in the middle or writes nonsense harms nobody, and nothing is left */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "vcl/vcl_internal.h"

static unsigned shared_mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512];
    unsigned n = 0;

    cr_assert(f);
    while (fgets(line, sizeof(line), f))
        n += strstr(line, "/dev/zero (deleted)") != NULL;
    fclose(f);
    return n;
}

/* With a number, as one has that is bound; the worker shares it as fork does. */
static struct vcl_socket *fresh(void)
{
    struct vcl_socket *s;

    cr_assert_eq(vcl_socket_new(SVM_PROTO_TCP, false, &s), 0);
    pthread_mutex_lock(&s->w->lock);
    cr_assert_eq(vcl_socket_number(s), 0);
    pthread_mutex_unlock(&s->w->lock);
    return s;
}

static void share(struct vcl_worker *w)
{
    pthread_mutex_lock(&w->lock);
    vcl_options_share(w);
    pthread_mutex_unlock(&w->lock);
}

static int get(struct vcl_socket *s, int level, int name)
{
    int v = -1;
    socklen_t len = sizeof(v);

    cr_assert_eq(vcl_getsockopt(s, level, name, &v, &len), 0);
    return v;
}

static int set(struct vcl_socket *s, int level, int name, int v) { return vcl_setsockopt(s, level, name, &v, sizeof(v)); }

static pid_t child(void (*does)(struct vcl_socket *s), struct vcl_socket *s)
{
    pid_t pid;

    share(s->w);
    pid = fork();
    if (pid == 0) {
        vcl_options_in_child(s);
        does(s);
        _exit(0);
    }
    cr_assert_gt(pid, 0);
    return pid;
}

static void sets_some(struct vcl_socket *s)
{
    if (set(s, SOL_SOCKET, SO_OOBINLINE, 1) || set(s, IPPROTO_IP, IP_TTL, 9) || set(s, SOL_SOCKET, SO_PEEK_OFF, 4))
        _exit(1);
    vcl_socket_set_nonblock(s, true);
}

Test(vcl_option_share, what_a_child_sets_the_parent_reads)
{
    struct vcl_socket *s = fresh();
    int status;

    cr_assert_eq(waitpid(child(sets_some, s), &status, 0) > 0 && status == 0, 1);
    cr_assert(vcl_socket_is_nonblock(s));
    cr_assert_eq(get(s, SOL_SOCKET, SO_OOBINLINE), 1);
    cr_assert_eq(get(s, IPPROTO_IP, IP_TTL), 9);
    cr_assert_eq(get(s, SOL_SOCKET, SO_PEEK_OFF), 4);
    cr_assert(s->peeks_on);
    cr_assert_eq(get(s, SOL_SOCKET, SO_KEEPALIVE), 0);
    vcl_socket_put(s);
    cr_assert_eq(shared_mappings(), 0);
}

/* Of this side alone: no server is there. */
static void sets_for_ever(struct vcl_socket *s)
{
    for (int i = 0;; i++)
        set(s, SOL_SOCKET, SO_RCVLOWAT, 1 + i % 1000);
}

Test(vcl_option_share, a_child_that_is_killed_while_it_sets)
{
    struct vcl_socket *s = fresh();

    for (int i = 0; i < 50; i++) {
        pid_t pid = child(sets_for_ever, s);

        while (get(s, SOL_SOCKET, SO_RCVLOWAT) == 1)
            ;
        kill(pid, i % 2 ? SIGKILL : SIGSTOP); /* nobody waits for who has stopped, either */
        cr_assert_eq(set(s, SOL_SOCKET, SO_OOBINLINE, i & 1), 0);
        cr_assert_eq(get(s, SOL_SOCKET, SO_OOBINLINE), i & 1);
        kill(pid, SIGKILL);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        cr_assert_eq(set(s, SOL_SOCKET, SO_RCVLOWAT, 1), 0);
    }
    cr_assert_eq(shared_mappings(), 1, "one for all forks");
    vcl_socket_put(s);
    cr_assert_eq(shared_mappings(), 0);
}

/* The second word of a share is where its record is; what follows there are its version, what is set, and the values. */
static void writes_nonsense(struct vcl_socket *s)
{
    uint8_t *record = ((uint8_t **)(void *)s->share)[1];
    unsigned x = 12345;

    for (unsigned round = 0; round < 300; round++)
        for (unsigned at = 0; at < 800; at++) {
            x = x * 1103515245 + 12345;
            record[at] = x >> 28 & 1 ? (uint8_t)(x >> 16) : at < 24 ? 255 : 0;
        }
}

Test(vcl_option_share, nonsense_is_taken_for_none)
{
    struct vcl_socket *s = fresh();
    pid_t pid = child(writes_nonsense, s);
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        int ttl = get(s, IPPROTO_IP, IP_TTL), lowat = get(s, SOL_SOCKET, SO_RCVLOWAT), inlined = get(s, SOL_SOCKET, SO_OOBINLINE);

        cr_assert(ttl >= 1 && ttl <= 255, "%d", ttl);
        cr_assert_geq(lowat, 1);
        cr_assert(inlined == 0 || inlined == 1, "%d", inlined);
        cr_assert_leq(s->rare_opt->n_fastopen_keys, 2);
        cr_assert(memchr(s->rare_opt->congestion, 0, sizeof(s->rare_opt->congestion)) != NULL);
    }
    cr_assert_eq(status, 0);
    vcl_socket_put(s);
}

/* A program that forks a process for each connection, and keeps its listener. */
Test(vcl_option_share, forks_leave_nothing_behind)
{
    struct vcl_socket *listener = fresh(), *s;

    for (int i = 0; i < 200; i++) {
        s = fresh();
        share(s->w);
        cr_assert(s->share && listener->share && s->share != listener->share);
        vcl_socket_put(s);
        cr_assert_eq(shared_mappings(), 1);
    }
    vcl_socket_put(listener);
    cr_assert_eq(shared_mappings(), 0);
}
