/* vcl_process.c - the one context of the process: configuration, workers, descriptors of our own, log */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sys.h"

enum { FD_WORD_BITS = 8 * sizeof(unsigned long), FD_RANGE = 16 * FD_WORD_BITS };

/* A client library has one process to live in: this is the only state that no caller passes in. */
static struct vcl_process the_process = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd_base = -1, .tls = { .lock = PTHREAD_MUTEX_INITIALIZER } };
static __thread struct vcl_worker *thread_worker __attribute__((tls_model("initial-exec")));

struct vcl_process *vcl_process(void) { return &the_process; }
const struct vcl_config *vcl_config(void)
{
    vcl_process_init();
    return &the_process.cfg;
}

/* One write(2), errno kept, nothing allocated. */
void vcl_log(int level, const char *fmt, ...)
{
    char line[512];
    int saved = errno, n;
    va_list ap;

    if (level > the_process.cfg.debug)
        return;
    n = snprintf(line, sizeof(line), "hoststack[%d]: ", (int)getpid());
    va_start(ap, fmt);
    n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    va_end(ap);
    if (n > (int)sizeof(line) - 2)
        n = sizeof(line) - 2;
    line[n++] = '\n';
    if (sys_write(STDERR_FILENO, line, (size_t)n) < 0)
        errno = saved; /* a closed standard error is the program's choice */
    errno = saved;
}

int vcl_process_init(void)
{
    struct vcl_process *p = &the_process;
    char err[512];

    if (__atomic_load_n(&p->inited, __ATOMIC_ACQUIRE))
        return p->init_error;
    pthread_mutex_lock(&p->lock);
    if (!p->inited) {
        p->init_error = vcl_config_load(&p->cfg, err, sizeof(err));
        if (p->init_error)
            vcl_log(0, "%s", err);
        __atomic_store_n(&p->inited, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&p->lock);
    return p->init_error;
}

static struct vcl_worker *worker_new(struct vcl_process *p)
{
    struct vcl_worker *w = calloc(1, sizeof(*w)), **at;

    if (!w)
        return NULL;
    vcl_worker_init(w);
    w->index = p->n_workers++;
    for (at = &p->workers; *at; at = &(*at)->next)
        ;
    __atomic_store_n(at, w, __ATOMIC_RELEASE);
    return w;
}

struct vcl_worker *vcl_worker_current(void)
{
    struct vcl_process *p = &the_process;
    struct vcl_worker *w = thread_worker;

    if (w)
        return w;
    w = __atomic_load_n(&p->workers, __ATOMIC_ACQUIRE);
    if (hs_likely(w != NULL))
        return w;
    vcl_process_init();
    pthread_mutex_lock(&p->lock);
    w = p->workers ? p->workers : worker_new(p);
    pthread_mutex_unlock(&p->lock);
    return w;
}

int vcl_worker_register_thread(void)
{
    struct vcl_process *p = &the_process;
    struct vcl_worker *w;

    if (thread_worker)
        return (int)thread_worker->index;
    if (!vcl_worker_current())
        return -ENOMEM;
    pthread_mutex_lock(&p->lock);
    for (w = p->workers->next; w; w = w->next) /* one that a former thread has given back */
        if (!w->taken)
            break;
    if (!w && p->n_workers < p->cfg.max_workers)
        w = worker_new(p);
    if (w)
        w->taken = true;
    pthread_mutex_unlock(&p->lock);
    if (!w)
        return -EUSERS;
    thread_worker = w;
    return (int)w->index;
}

int vcl_worker_unregister_thread(void)
{
    if (!thread_worker)
        return -EINVAL;
    /* Its sockets stay with it and may be used by any thread; the next thread that registers takes it over. */
    pthread_mutex_lock(&the_process.lock);
    thread_worker->taken = false;
    pthread_mutex_unlock(&the_process.lock);
    thread_worker = NULL;
    return 0;
}

uint32_t vcl_worker_index(void)
{
    return thread_worker ? thread_worker->index : 0;
}

int vcl_worker_index_set(uint32_t index)
{
    struct vcl_worker *w = the_process.workers;

    while (w && w->index != index)
        w = w->next;
    if (!w)
        return -EINVAL;
    thread_worker = index ? w : NULL;
    return 0;
}

/* ---- descriptors of our own ---- */

/* High enough to leave "lowest free first" to the program, low enough that the kernel's table (copied by fork) stays small. */
static int fd_base(struct vcl_process *p)
{
    int base = __atomic_load_n(&p->fd_base, __ATOMIC_ACQUIRE);
    struct rlimit lim;

    if (base >= 0)
        return base;
    if (getrlimit(RLIMIT_NOFILE, &lim) != 0 || lim.rlim_cur > 16384)
        lim.rlim_cur = 16384;
    base = lim.rlim_cur > 2048 ? (int)lim.rlim_cur - FD_RANGE : (int)lim.rlim_cur / 2;
    __atomic_store_n(&p->fd_base, base, __ATOMIC_RELEASE);
    return base;
}

static int keep_up(int up, int base)
{
    struct vcl_process *p = &the_process;

    if (up >= base && up - base < FD_RANGE)
        atomic_fetch_or(&p->fd_map[(up - base) / FD_WORD_BITS], 1ul << ((up - base) % FD_WORD_BITS));
    return up;
}

/* A program may lower its limit for descriptors once the base is chosen (systemd's tools do before they execute another). Ours are none of
 * its own: for the moment of the call the limit is what it may be; where that is too low as well, the upper half of what there is has to do. */
static int dup_above(int fd, int base)
{
    int up = sys_dup_above(fd, base), error = errno;
    struct rlimit was, high;

    if (up >= 0 || (error != EINVAL && error != EMFILE) || prlimit(0, RLIMIT_NOFILE, NULL, &was) != 0 || was.rlim_cur >= (rlim_t)base + FD_RANGE)
        goto out;
    high = was;
    high.rlim_cur = was.rlim_max < (rlim_t)base + FD_RANGE ? was.rlim_max : (rlim_t)base + FD_RANGE;
    if (high.rlim_cur > was.rlim_cur && prlimit(0, RLIMIT_NOFILE, &high, NULL) == 0) {
        up = sys_dup_above(fd, base);
        prlimit(0, RLIMIT_NOFILE, &was, NULL);
    }
    if (up < 0)
        up = sys_dup_above(fd, (int)(was.rlim_cur / 2));
out:
    errno = error;
    return up;
}

int vcl_fd_dup(int fd)
{
    int base = fd_base(&the_process), up = dup_above(fd, base);

    return up < 0 ? -errno : keep_up(up, base);
}

int vcl_fd_keep(int fd)
{
    int base = fd_base(&the_process), up;

    if (fd < 0)
        return -errno;
    up = dup_above(fd, base);
    if (up < 0) {
        int rc = -errno;

        sys_close(fd);
        return rc;
    }
    sys_close(fd);
    return keep_up(up, base);
}

void vcl_fd_close(int *fd)
{
    struct vcl_process *p = &the_process;
    int at = *fd - p->fd_base;

    if (*fd < 0)
        return;
    if (p->fd_base >= 0 && at >= 0 && at < FD_RANGE)
        atomic_fetch_and(&p->fd_map[at / FD_WORD_BITS], ~(1ul << (at % FD_WORD_BITS)));
    sys_close(*fd);
    *fd = -1;
}

bool vcl_is_internal_fd(int fd)
{
    const struct vcl_process *p = &the_process;
    int base = __atomic_load_n(&p->fd_base, __ATOMIC_ACQUIRE), at = fd - base;

    return base >= 0 && at >= 0 && at < FD_RANGE &&
           (atomic_load_explicit(&p->fd_map[at / FD_WORD_BITS], memory_order_relaxed) >> (at % FD_WORD_BITS) & 1);
}

int vcl_internal_fd_next(unsigned from)
{
    int base = __atomic_load_n(&the_process.fd_base, __ATOMIC_ACQUIRE);

    if (base < 0)
        return -1;
    for (unsigned fd = hs_max_u32(from, (unsigned)base); fd < (unsigned)base + FD_RANGE; fd++)
        if (vcl_is_internal_fd((int)fd))
            return (int)fd;
    return -1;
}

/* ---- worker's spare eventfds: one per thread that sleeps while others may drain ---- */
int vcl_worker_spare_fd(struct vcl_worker *w)
{
    if (w->n_spare_fds)
        return w->spare_fds[--w->n_spare_fds];
    return vcl_fd_keep(sys_eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

void vcl_worker_put_fd(struct vcl_worker *w, int fd)
{
    if (fd < 0)
        return;
    if (w->n_spare_fds < HS_ARRAY_LEN(w->spare_fds))
        w->spare_fds[w->n_spare_fds++] = fd;
    else
        vcl_fd_close(&fd);
}

int vcl_attach(void)
{
    struct vcl_worker *w = vcl_worker_current();

    return w ? vcl_worker_attach(w) : -ENOMEM;
}
