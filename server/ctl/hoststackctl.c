/* hoststackctl.c - control client: sends a command to cli.sock and prints the answer as a table or as JSON */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "config.h"
#include "common/runtime_dir.h"
#include "server/ctl/ctl_capture_file.h"
#include "server/ctl/ctl_table.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, ANSWER_TIMEOUT_S = 30 };

static void usage(FILE *to)
{
    fputs("usage: hoststackctl [-s SOCK] [--json] COMMAND...\n"
          "  -s, --socket SOCK  control socket of the server (default cli.sock in the runtime directory)\n"
          "      --json         print the answer as JSON\n"
          "      --version      print the version of hoststackctl\n"
          "hoststackctl help lists the commands of the running server; show version is one.\n"
          "exit codes: 0 fine, 1 no answer, 2 wrong usage or no such command\n",
          to);
}

static int connect_to(const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    struct timeval limit = { .tv_sec = ANSWER_TIMEOUT_S };
    int fd;

    if (strlen(path) >= sizeof(sun.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(sun.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
        connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
        return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

/* file: goes with the first byte; -1 = none. */
static int send_all(int fd, const char *text, size_t len, int file)
{
    while (len > 0) {
        union { struct cmsghdr align; char room[CMSG_SPACE(sizeof(int))]; } u = { .room = { 0 } };
        struct iovec iov = { (void *)text, len };
        struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
        if (file >= 0) {
            mh.msg_control = &u;
            mh.msg_controllen = sizeof(u);
            struct cmsghdr *h = CMSG_FIRSTHDR(&mh);
            h->cmsg_level = SOL_SOCKET;
            h->cmsg_type = SCM_RIGHTS;
            h->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(h), &file, sizeof(int));
        }
        ssize_t n = sendmsg(fd, &mh, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        text += n;
        len -= (size_t)n;
        file = -1;
    }
    return 0;
}

/* The line of the answer, or NULL with errno. */
static char *read_line(int fd)
{
    size_t room = 0, used = 0;
    char *buf = NULL;

    for (;;) {
        if (used + 1 >= room) {
            char *more = realloc(buf, room = room ? 2 * room : 65536);
            if (!more)
                goto undo_buf;
            buf = more;
        }
        ssize_t n = recv(fd, buf + used, room - used - 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ECONNRESET;
        if (n <= 0)
            goto undo_buf;
        char *end = memchr(buf + used, '\n', (size_t)n);
        used += (size_t)n;
        if (end) {
            *end = '\0';
            return buf;
        }
    }
undo_buf:
    free(buf);
    return NULL;
}

/* The answer's object, or NULL after a message. */
static json_t *ask(const char *socket_path, char **words, int n_words, const struct capture_file *file)
{
    json_t *list = json_array(), *request, *answer = NULL;
    char *line = NULL, *text;
    int fd = connect_to(socket_path);

    for (int i = 0; i < n_words; i++)
        json_array_append_new(list, json_string(words[i]));
    request = json_pack("{s:o}", "command", list);
    if (file->filter)
        json_object_set(request, "filter", file->filter);
    text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (fd < 0) {
        fprintf(stderr, "hoststackctl: no server answers at %s: %s\n", socket_path, strerror(errno));
    } else if (!text) {
        fprintf(stderr, "hoststackctl: a word of the command is not UTF-8\n");
    } else if (send_all(fd, text, strlen(text), file->fd) != 0 || send_all(fd, "\n", 1, -1) != 0 || !(line = read_line(fd))) {
        fprintf(stderr, "hoststackctl: no answer from %s: %s\n", socket_path,
                errno == EAGAIN ? "the server does not react" : strerror(errno));
    } else {
        answer = json_loads(line, 0, NULL);
        if (!answer)
            fprintf(stderr, "hoststackctl: the answer of %s is not JSON\n", socket_path);
    }
    if (fd >= 0)
        close(fd);
    free(text);
    free(line);
    return answer;
}

static int print_answer(const json_t *answer, bool as_json)
{
    const char *error = json_string_value(json_object_get(answer, "error"));
    const json_t *result = json_object_get(answer, "result");

    if (error || !result) {
        fprintf(stderr, "hoststackctl: %s\n", error ? error : "the answer holds no result");
        return EXIT_USAGE;
    }
    if (as_json) {
        json_dumpf(result, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
        putchar('\n');
    } else {
        ctl_table_print(stdout, result);
    }
    if (fflush(stdout) != 0) {
        fprintf(stderr, "hoststackctl: cannot write: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        { "socket", required_argument, NULL, 's' }, { "json", no_argument, NULL, 'j' },
        { "version", no_argument, NULL, 'v' },      { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    char dir[RUNTIME_DIR_MAX], standard[RUNTIME_DIR_MAX + 16];
    const char *socket_path = NULL;
    bool as_json = false;
    int opt;

    while ((opt = getopt_long(argc, argv, "s:h", longs, NULL)) != -1) { /* options may also follow the command */
        switch (opt) {
        case 's': socket_path = optarg; break;
        case 'j': as_json = true; break;
        case 'v': printf("hoststackctl %s\n", PACKAGE_VERSION); return 0;
        case 'h': usage(stdout); return 0;
        default: usage(stderr); return EXIT_USAGE;
        }
    }
    if (optind == argc) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (!socket_path) {
        if (runtime_dir_default(dir) != 0) {
            fprintf(stderr, "hoststackctl: XDG_RUNTIME_DIR is too long for a socket; use -s\n");
            return EXIT_FAILED;
        }
        snprintf(standard, sizeof(standard), "%s/cli.sock", dir);
        socket_path = standard;
    }
    struct capture_file file = { .fd = -1 };
    char *words[4], **ask_words = argv + optind;
    int n_words = argc - optind;
    if (n_words > 2 && strcmp(ask_words[0], "capture") == 0 && strcmp(ask_words[1], "start") == 0) {
        if (capture_file_open(&file, ask_words + 2, n_words - 2) != 0)
            return EXIT_USAGE;
        words[0] = ask_words[0];
        words[1] = ask_words[1];
        words[2] = file.path;
        ask_words = words;
        n_words = 3;
    }
    json_t *answer = ask(socket_path, ask_words, n_words, &file);
    int code = answer ? print_answer(answer, as_json) : EXIT_FAILED;
    capture_file_close(&file, code == 0);
    json_decref(answer);
    return code;
}
