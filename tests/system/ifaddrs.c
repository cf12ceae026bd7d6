/* ifaddrs.c - what getifaddrs() says, a line an address: NAME ADDRESS MASK BROADCAST FLAGS; each one can be bound to
 * usage: ifaddrs [ROUNDS]
 *
 * Asked ROUNDS times, by a thread and by a child, too: all of them say the same, and what was allocated is free again. */
#include <ifaddrs.h>
#include <malloc.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_MAX = 16384, WARM = 32, FLAGS = IFF_UP | IFF_RUNNING | IFF_BROADCAST | IFF_MULTICAST | IFF_LOOPBACK };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static const char *name_of(const struct sockaddr *sa, char text[NI_MAXHOST])
{
    socklen_t len = !sa || sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

    if (!sa)
        return "-";
    if (getnameinfo(sa, len, text, NI_MAXHOST, NULL, 0, NI_NUMERICHOST) != 0)
        die("getnameinfo");
    return text;
}

static void bind_to(const struct sockaddr *sa)
{
    for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
        int fd = socket(sa->sa_family, type | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, sa, sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) != 0)
            die("bind");
        close(fd);
    }
}

static void list(char text[TEXT_MAX])
{
    char addr[NI_MAXHOST], mask[NI_MAXHOST], all[NI_MAXHOST];
    struct ifaddrs *first;
    size_t at = 0;

    if (getifaddrs(&first) != 0)
        die("getifaddrs");
    text[0] = '\0';
    for (const struct ifaddrs *i = first; i; i = i->ifa_next) {
        if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
            continue;
        bind_to(i->ifa_addr);
        at += (size_t)snprintf(text + at, TEXT_MAX - at, "%s %s %s %s %x\n", i->ifa_name, name_of(i->ifa_addr, addr), name_of(i->ifa_netmask, mask),
                               i->ifa_flags & IFF_BROADCAST ? name_of(i->ifa_broadaddr, all) : "-", i->ifa_flags & FLAGS);
        if (at >= TEXT_MAX)
            exit(1);
    }
    freeifaddrs(first);
}

/* Nothing else, so that what it allocates can be told. */
static void ask(int times)
{
    struct ifaddrs *first;

    while (times--) {
        if (getifaddrs(&first) != 0)
            die("getifaddrs");
        freeifaddrs(first);
    }
}

static void compare(const char *wanted)
{
    static _Thread_local char text[TEXT_MAX];

    list(text);
    if (strcmp(text, wanted) != 0) {
        fprintf(stderr, "now it is\n%swhere it was\n%s", text, wanted);
        exit(1);
    }
}

static void *in_thread(void *wanted)
{
    compare(wanted);
    return NULL;
}

int main(int argc, char **argv)
{
    static char text[TEXT_MAX];
    int rounds = argc == 2 ? atoi(argv[1]) : 1;
    size_t before;
    pthread_t t;
    pid_t pid;
    int status;

    list(text);
    for (int i = 0; i < rounds; i++)
        compare(text);
    ask(WARM);
    before = mallinfo2().uordblks;
    ask(rounds);
    if (mallinfo2().uordblks != before) {
        fprintf(stderr, "%zu bytes allocated, %zu before\n", mallinfo2().uordblks, before);
        return 1;
    }
    pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        compare(text);
        return 0;
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        die("the child");
    if (pthread_create(&t, NULL, in_thread, text) != 0 || pthread_join(t, NULL) != 0)
        die("thread");
    fputs(text, stdout);
    return 0;
}
