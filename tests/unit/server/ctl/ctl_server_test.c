/* ctl_server_test.c - the control socket: answers, pieces from workers, rude clients, clients that leave
 *
 * The commands and the workers are the test's own: worker_call() keeps the call until the test lets the worker run. */
#include "server/ctl/ctl_server.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/ctl/ctl_command.h"

static struct {
    void (*fn)(struct worker *w, void *arg);
    void *arg;
    struct worker *w;
    unsigned refuse;   /* that many calls are answered with -EAGAIN */
    unsigned calls;
} pending;

int worker_call(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg)
{
    pending.calls++;
    if (pending.refuse > 0) {
        pending.refuse--;
        return -EAGAIN;
    }
    cr_assert_null(pending.fn, "one piece at a time");
    pending.fn = fn;
    pending.arg = arg;
    pending.w = w;
    return 0;
}

static bool run_worker(void)
{
    void (*fn)(struct worker *, void *) = pending.fn;

    if (!fn)
        return false;
    pending.fn = NULL;
    fn(pending.w, pending.arg);
    return true;
}

static void begin_hello(struct stack *s HS_UNUSED, json_t *result, bool with_argument)
{
    json_object_set_new(result, "hello", json_boolean(with_argument));
}

static uint32_t piece_rows(struct worker *w, uint32_t from, json_t *result, bool with_argument HS_UNUSED)
{
    json_array_append_new(result, json_integer(w->index * 10 + from));
    return from == 2 ? CTL_DONE : from + 1;
}

static void begin_big(struct stack *s HS_UNUSED, json_t *result, bool with_argument HS_UNUSED)
{
    for (int i = 0; i < 200000; i++)
        json_array_append_new(result, json_string("0123456789"));
}

static const struct ctl_command commands[] = {
    { "hello", "loud", "", false, begin_hello, NULL, NULL, NULL },
    { "rows", NULL, "", true, NULL, piece_rows, NULL, NULL },
    { "big", NULL, "", true, begin_big, NULL, NULL, NULL },
};

const struct ctl_command *ctl_command_find(const json_t *words, bool *with_argument, size_t *first HS_UNUSED, json_t **error)
{
    const char *word = json_string_value(json_array_get(words, 0));

    *with_argument = json_array_size(words) > 1;
    for (unsigned i = 0; i < HS_ARRAY_LEN(commands); i++)
        if (word && strcmp(commands[i].name, word) == 0)
            return &commands[i];
    *error = json_string("no such command");
    return NULL;
}

/* ---------------------------------------------------------------- */

struct fixture {
    char dir[64], path[128];
    struct stack stack;
    struct worker worker[2];
    struct ctl_server *cs;
};

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    memset(&pending, 0, sizeof(pending));
    strcpy(f->dir, "/tmp/hoststack-ctl.XXXXXX");
    cr_assert_not_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/cli.sock", f->dir);
    f->stack.n_workers = 2;
    for (unsigned i = 0; i < 2; i++) {
        f->worker[i].index = i;
        f->stack.worker[i] = &f->worker[i];
    }
    cr_assert_eq(ctl_server_create(&f->stack, f->path, (gid_t)-1, &f->cs), 0);
}

static void teardown(struct fixture *f)
{
    ctl_server_destroy(f->cs);
    unlink(f->path);
    rmdir(f->dir);
}

static int client(struct fixture *f)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(sun.sun_path, f->path);
    cr_assert_eq(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Lets server and worker work until a line is there; NULL: hung up. */
static char *answer(struct fixture *f, int fd)
{
    static char line[4 << 20];
    size_t n = 0;

    for (int i = 0; i < 100000; i++) {
        struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = ctl_server_fd(f->cs), .events = POLLIN } };
        cr_assert_gt(poll(p, 2, 60000), 0, "nothing happens any more");
        if (p[1].revents)
            ctl_server_poll(f->cs);
        run_worker();
        if (!p[0].revents)
            continue;
        ssize_t got = recv(fd, line + n, sizeof(line) - n - 1, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno == ECONNRESET))
            return NULL;
        n += got > 0 ? (size_t)got : 0;
        line[n] = '\0';
        if (n > 0 && line[n - 1] == '\n') {
            line[n - 1] = '\0';
            return line;
        }
    }
    cr_assert_fail("no answer");
    return NULL;
}

Test(ctl_server, answers_and_errors)
{
    struct fixture f;
    struct stat st;
    setup(&f);
    int fd = client(&f);

    cr_assert_eq(stat(f.path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0660);
    say(fd, "{\"command\":[\"hello\"]}\n");
    cr_assert_str_eq(answer(&f, fd), "{\"result\":{\"hello\":false}}");
    say(fd, "{\"command\":[\"hello\",\"loud\"]}\n");
    cr_assert_str_eq(answer(&f, fd), "{\"result\":{\"hello\":true}}");
    say(fd, "{\"command\":[\"what\"]}\n");
    cr_assert_str_eq(answer(&f, fd), "{\"error\":\"no such command\"}");
    const char *bad[] = { "\n", "nonsense\n", "[]\n", "{\"command\":\"hello\"}\n", "{\"command\":[7]}\n", "{\"x\":1}\n" };
    for (unsigned i = 0; i < HS_ARRAY_LEN(bad); i++) {
        say(fd, bad[i]);
        char *a = answer(&f, fd);
        cr_assert(a && strncmp(a, "{\"error\":", 9) == 0, "%s -> %s", bad[i], a);
    }
    close(fd);
    teardown(&f);
}

Test(ctl_server, gathers_pieces_of_every_worker_in_order)
{
    struct fixture f;
    setup(&f);
    int fd = client(&f);

    say(fd, "{\"command\":[\"rows\"]}\n");
    cr_assert_str_eq(answer(&f, fd), "{\"result\":[0,1,2,10,11,12]}");
    cr_assert_eq(pending.calls, 6);
    pending.refuse = 3;
    say(fd, "{\"command\":[\"rows\"]}\n");
    cr_assert_str_eq(answer(&f, fd), "{\"result\":[0,1,2,10,11,12]}", "a full command ring only delays");
    close(fd);
    teardown(&f);
}

Test(ctl_server, requests_in_one_write_are_answered_in_order)
{
    struct fixture f;
    setup(&f);
    int fd = client(&f);

    say(fd, "{\"command\":[\"rows\"]}\n{\"command\":[\"what\"]}\n{\"comm");
    char *a = answer(&f, fd);
    /* both may come in one read */
    if (!strchr(a, '\n')) {
        cr_assert_str_eq(a, "{\"result\":[0,1,2,10,11,12]}");
        a = answer(&f, fd);
        cr_assert_str_eq(a, "{\"error\":\"no such command\"}");
    } else {
        cr_assert_str_eq(a, "{\"result\":[0,1,2,10,11,12]}\n{\"error\":\"no such command\"}");
    }
    say(fd, "and\":[\"hello\"]}\n");
    cr_assert_str_eq(answer(&f, fd), "{\"result\":{\"hello\":false}}");
    close(fd);
    teardown(&f);
}

Test(ctl_server, client_leaves_while_a_worker_works)
{
    struct fixture f;
    setup(&f);
    int fd = client(&f);

    say(fd, "{\"command\":[\"rows\"]}\n");
    while (!pending.fn)
        ctl_server_poll(f.cs);
    close(fd);
    ctl_server_poll(f.cs);
    cr_assert(run_worker(), "the piece that was out comes back");
    ctl_server_poll(f.cs);
    cr_assert_null(pending.fn, "and no further one is asked for");
    fd = client(&f);
    say(fd, "{\"command\":[\"hello\"]}\n");
    cr_assert_str_eq(answer(&f, fd), "{\"result\":{\"hello\":false}}");
    close(fd);
    teardown(&f);
}

Test(ctl_server, end_while_a_piece_is_out)
{
    struct fixture f;
    setup(&f);
    int fd = client(&f);

    say(fd, "{\"command\":[\"rows\"]}\n");
    while (!pending.fn)
        ctl_server_poll(f.cs);
    teardown(&f);
    close(fd);
}

Test(ctl_server, large_answer_to_a_slow_reader)
{
    struct fixture f;
    setup(&f);
    int slow = client(&f), other = client(&f);

    say(slow, "{\"command\":[\"big\"]}\n");
    for (int i = 0; i < 10; i++)
        ctl_server_poll(f.cs);
    say(other, "{\"command\":[\"hello\"]}\n");
    cr_assert_str_eq(answer(&f, other), "{\"result\":{\"hello\":false}}", "nobody else waits");
    char *a = answer(&f, slow);
    cr_assert_eq(strlen(a), strlen("{\"result\":[]}") + 200000 * 13 - 1);
    close(slow);
    close(other);
    teardown(&f);
}

Test(ctl_server, endless_request_is_hung_up_on)
{
    struct fixture f;
    static char junk[65536];
    setup(&f);
    int fd = client(&f);

    memset(junk, 'x', sizeof(junk));
    cr_assert_gt(send(fd, junk, sizeof(junk), MSG_NOSIGNAL), 0);
    cr_assert_null(answer(&f, fd));
    close(fd);
    teardown(&f);
}

Test(ctl_server, clients_are_limited)
{
    struct fixture f;
    int fds[40], refused = 0;
    setup(&f);

    for (unsigned i = 0; i < HS_ARRAY_LEN(fds); i++) {
        fds[i] = client(&f);
        ctl_server_poll(f.cs);
    }
    for (unsigned i = 0; i < HS_ARRAY_LEN(fds); i++) {
        char c;
        refused += recv(fds[i], &c, 1, MSG_DONTWAIT) == 0;
        close(fds[i]);
    }
    cr_assert_eq(refused, 8);
    for (int i = 0; i < 5; i++)
        ctl_server_poll(f.cs);
    int fd = client(&f);
    say(fd, "{\"command\":[\"hello\"]}\n");
    cr_assert_str_eq(answer(&f, fd), "{\"result\":{\"hello\":false}}", "room again");
    close(fd);
    teardown(&f);
}

Test(ctl_server, stale_socket_is_replaced)
{
    struct fixture f;
    struct ctl_server *second;
    setup(&f);

    cr_assert_eq(ctl_server_create(&f.stack, f.path, (gid_t)-1, &second), 0);
    ctl_server_destroy(second);
    char long_path[200];
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    cr_assert_eq(ctl_server_create(&f.stack, long_path, (gid_t)-1, &second), -ENAMETOOLONG);
    cr_assert_eq(ctl_server_create(&f.stack, "/nonexistent/x.sock", (gid_t)-1, &second), -ENOENT);
    teardown(&f);
}
