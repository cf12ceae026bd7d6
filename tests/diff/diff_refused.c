/* diff_refused.c - what a stream can still do after connect() was refused: connect again, listen, close
 * usage: diff_refused kernel|ours tcp FROM TO [hold]      hold: then sleeps until it is ended, with all sockets closed */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/diff/diff_pair.h"

enum { N_MORE = 21, PATIENCE_MS = 60000 };

static void say(const char *what, long r) { printf("%s: %s\n", what, r < 0 ? strerrorname_np(errno) : "ok"); }

int main(int argc, char **argv)
{
    struct sockaddr_storage own, own2, nobody;
    socklen_t len = sizeof(nobody), own_len = sizeof(own), own2_len = sizeof(own2);
    int other[2], fd, c;
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(180);
    if (argc < 5)
        return 2;
    fd = diff_connected(argv[3], argv[4], false, other); /* an address of ours with a free port, and one that nobody listens at */
    if (getsockname(fd, (struct sockaddr *)&own, &own_len) < 0 || getsockname(other[0], (struct sockaddr *)&nobody, &len) < 0)
        diff_die("getsockname");
    close(fd);
    close(other[0]);
    close(other[1]);
    ((struct sockaddr_in *)&own)->sin_port = htons(7400); /* at the same place for both families */
    fd = socket(own.ss_family, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    say("bind", bind(fd, (struct sockaddr *)&own, own_len));
    for (int i = 0; i < 2; i++)
        say("connect", connect(fd, (struct sockaddr *)&nobody, len));
    getsockname(fd, (struct sockaddr *)&own2, &own2_len);
    printf("the same name: %d\n", own_len == own2_len && memcmp(&own, &own2, own_len) == 0);
    say("listen", listen(fd, 5));
    c = socket(own.ss_family, SOCK_STREAM, 0);
    say("somebody connects", connect(c, (struct sockaddr *)&own, own_len));
    say("accept", other[0] = accept(fd, NULL, NULL));
    close(c);
    close(other[0]);
    close(fd);
    for (int i = 0; i < N_MORE; i++) { /* nothing of them stays; the last one waits, and hears of the others */
        struct pollfd p = { .events = POLLOUT };
        fd = p.fd = socket(own.ss_family, SOCK_STREAM | (i % 2 ? SOCK_NONBLOCK : 0), 0);
        if (connect(fd, (struct sockaddr *)&nobody, len) == 0 || (i % 4 == 1 && poll(&p, 1, PATIENCE_MS) != 1))
            diff_die("connect");
        close(fd);
    }
    puts("done");
    if (argc > 5) {
        alarm(0);
        pause();
    }
    return 0;
}
