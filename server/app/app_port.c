/* app_port.c - a worker's end of all client queues: taking turns, waking, coming and going of clients */
#include "server/app/app_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "server/session/session_run.h"
#include "server/worker/worker_sure.h"

int app_port_create(struct worker *w)
{
    struct app_port *port = calloc(1, sizeof(*port));

    if (!port)
        return -ENOMEM;
    port->w = w;
    port->as = w->stack->apps;
    port->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (port->epfd < 0) {
        int err = -errno;
        free(port);
        return err;
    }
    w->app = port;
    return 0;
}

void app_port_destroy(struct worker *w)
{
    struct app_port *port = w->app;

    if (!port)
        return;
    close(port->epfd);
    w->app = NULL;
    free(port);
}

/* Nobody else reads the pipe, so that what we do not read now is still there; a client that fills it only finds it full. */
static void bell_watch(struct app_port *port, struct app_port_client *pc)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = pc };

    if (pc->bell_rd >= 0)
        (void)epoll_ctl(port->epfd, EPOLL_CTL_ADD, pc->bell_rd, &ev);
}

static void bell_unwatch(struct app_port *port, struct app_port_client *pc)
{
    if (pc->bell_rd >= 0) {
        (void)epoll_ctl(port->epfd, EPOLL_CTL_DEL, pc->bell_rd, NULL);
        close(pc->bell_rd);
        pc->bell_rd = -1;
    }
}

/* By worker_call(): a new client worker, or a fork child that has attached now (then it may hold sessions already). */
void app_port_add(struct worker *w, void *port_client)
{
    struct app_port *port = w->app;
    struct app_port_client *pc = port_client;

    if (!pc->on_list) {
        pc->next = port->clients;
        pc->prev = NULL;
        if (pc->next)
            pc->next->prev = pc;
        port->clients = pc;
        pc->on_list = true;
    }
    if (pc->has_queues)
        bell_watch(port, pc);
}

static void list_remove(struct app_port *port, struct app_port_client *pc)
{
    struct app_port_client **p;

    if (!pc->on_list)
        return;
    if (pc->prev)
        pc->prev->next = pc->next;
    else
        port->clients = pc->next;
    if (pc->next)
        pc->next->prev = pc->prev;
    pc->on_list = false;
    for (p = &port->dirty; *p; p = &(*p)->dirty_next) {
        if (*p == pc) {
            *p = pc->dirty_next;
            break;
        }
    }
    pc->is_dirty = false;
}

/* One burst of a client's messages: how many. */
static unsigned take_burst(struct app_port_client *pc)
{
    struct svm_msg m[APP_BURST];
    uint64_t mark = worker_sure_mark(pc->w);
    int n = svm_msgq_take(&pc->in, m, APP_BURST);

    if (hs_unlikely(n < 0)) {
        app_port_fail(pc, "its queue's counters are out of bounds");
        return 0;
    }
    if (n > 0)
        pc->heard_us = pc->w->now_us;
    if (n > 1)
        session_ahead_of(pc->w, m, (unsigned)n);
    for (int i = 0; i < n && !pc->is_failed; i++)
        app_dispatch(pc, &m[i]);
    if (hs_unlikely(worker_sure_mark(pc->w) != mark))
        pc->calls_mark = worker_sure_mark(pc->w);
    return (unsigned)n;
}

/* No more than a queue holds: it may go on writing. */
void app_port_drain(struct app_port_client *pc)
{
    for (uint32_t n = 0, got = 1; pc->has_queues && !pc->is_leaving && !pc->is_failed && n <= pc->in.mask && got; n += got)
        got = take_burst(pc);
}

/* By worker_call(): the client has gone. Its sessions end in order; what it wrote is still sent. */
void app_port_leave(struct worker *w, void *port_client)
{
    struct app_port_client *pc = port_client;

    if (!pc->is_leaving) {
        app_port_drain(pc); /* what it said before it went counts: it may have accepted a connection, and answered */
        pc->is_leaving = true;
        bell_unwatch(w->app, pc);
        app_pair_client_gone(w, pc->client);
        app_worker_detach(w, &pc->aw);
    }
    app_port_mark(pc); /* is anything left? looked at when this turn is over (app_port_flush) */
}

/* No session knows this client any more: the control thread may free it as soon as the event is posted. */
static void check_done(struct app_port *port, struct app_port_client *pc)
{
    if (pc->done_told || pc->aw.n_sessions != 0 || pc->aw.n_fifos != 0)
        return;
    pc->done_told = true;
    list_remove(port, pc);
    free(pc->pending);
    free(pc->early);
    pc->pending = NULL;
    pc->early = NULL;
    pc->n_pending = 0;
    pc->done_event.type = APP_EVENT_DONE;
    app_event_post(pc->client->as, &pc->done_event);
}

void app_port_fail(struct app_port_client *pc, const char *what)
{
    if (pc->is_failed)
        return;
    pc->is_failed = true;
    pc->fail_text = what;
    pc->fail_event.type = APP_EVENT_FAILED;
    app_event_post(pc->client->as, &pc->fail_event);
}

/* Who makes work for other workers that are busy, a listener's coming and going, waits itself: no more than a burst of it is kept. */
static bool is_to_read(const struct app_port_client *pc)
{
    return pc->has_queues && !pc->is_leaving && !pc->is_failed && pc->n_pending < APP_PENDING_STOP &&
           !worker_sure_is_kept(pc->w, pc->calls_mark);
}

unsigned app_port_input(struct worker *w)
{
    struct app_port *port = w->app;
    unsigned total = 0;

    if (!port)
        return 0;
    for (struct app_port_client *pc = port->clients, *next; pc; pc = next) {
        next = pc->next;
        if (!is_to_read(pc))
            continue;
        total += take_burst(pc);
    }
    return total;
}

void app_port_flush(struct worker *w)
{
    struct app_port *port = w->app;

    if (!port)
        return;
    struct app_port_client *pc = port->dirty, *again = NULL;
    port->dirty = NULL;
    while (pc) {
        struct app_port_client *next = pc->dirty_next;
        pc->is_dirty = false;
        if (pc->is_leaving) {
            check_done(port, pc);
        } else {
            app_notify_flush(pc);
            if ((pc->n_pending || pc->must_ring) && !pc->is_failed) {
                pc->is_dirty = true;
                pc->dirty_next = again;
                again = pc;
            }
        }
        pc = next;
    }
    port->dirty = again;
}

bool app_port_has_work(struct worker *w)
{
    struct app_port *port = w->app;

    if (!port)
        return false;
    for (struct app_port_client *pc = port->clients; pc; pc = pc->next) {
        if (!pc->has_queues || pc->is_leaving || pc->is_failed)
            continue;
        if (is_to_read(pc) && !svm_msgq_is_empty(&pc->in))
            return true;
        if (pc->n_pending && svm_msgq_free(&pc->out) != 0)
            return true;
    }
    return false;
}

int app_port_wait_fd(struct worker *w)
{
    return w->app ? w->app->epfd : -1;
}

void app_port_clear_bells(struct worker *w)
{
    struct epoll_event ev[16];
    struct app_port *port = w->app;
    int n;

    if (!port)
        return;
    n = epoll_wait(port->epfd, ev, (int)HS_ARRAY_LEN(ev), 0);
    for (int i = 0; i < n; i++) {
        struct app_port_client *pc = ev[i].data.ptr;
        char junk[512];
        /* One read: what a misbehaving client put there beyond is read at the next waking. */
        ssize_t got = read(pc->bell_rd, junk, sizeof(junk));
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            bell_unwatch(port, pc); /* its end is closed: the attach socket tells the rest */
    }
}

void app_port_nap(struct worker *w)
{
    if (w->app)
        w->app->n_naps = APP_NAPS;
}

bool app_port_is_to_nap(struct worker *w)
{
    struct app_port *port = w->app;

    if (!port)
        return false;
    if (port->n_naps) {
        port->n_naps--;
        return true;
    }
    if (port->has_late)
        for (struct app_port_client *pc = port->clients; pc; pc = pc->next)
            app_notify_ring_late(pc);
    port->has_late = false;
    return false;
}

static struct svm_server_page *server_page(struct worker *w)
{
    return w->app ? (struct svm_server_page *)(void *)w->app->as->srv.base : NULL;
}

struct svm_sleep_line *app_port_sleep_line(struct worker *w)
{
    struct svm_server_page *page = server_page(w);

    return page ? &page->sleep[w->index] : NULL;
}

void app_port_settling(struct worker *w, bool begins)
{
    struct svm_server_page *page = server_page(w);
    uint32_t turn = page ? page->settling[w->index] : !begins;

    assert((turn & 1) != begins);
    if (!page)
        return;
    /* Release, at the end after SVM_SETTLE_DONE; the beginning is ordered by the release of SVM_SETTLE_BEGUN. Pairs with the acquire in
     * vcl_claim.c. */
    __atomic_store_n(&page->settling[w->index], turn + 1, __ATOMIC_RELEASE);
}

void app_port_moves(struct worker *w, uint32_t client_id, int n)
{
    for (struct app_port_client *pc = w->app ? w->app->clients : NULL; pc; pc = pc->next) {
        struct svm_msgq_prod_line *line = pc->out.line;

        if (pc->aw.client_id != client_id || !pc->has_queues)
            continue;
        /* Release: pairs with the acquire in vcl_claim.c. Who is told of the move, or has answered, comes after, or before. */
        __atomic_store_n(&line->moves, line->moves + (uint32_t)n, __ATOMIC_RELEASE);
        return;
    }
}
