/* vcl_option_share.c - the options of a socket that a fork's parent and its children hold: what one of them sets is there for the others
 *
 * A record for each such socket lies in memory that the processes share, made for all of a fork at once. It has the values that somebody has
 * set since; nothing in it is a lock: a value is one word, and behind it comes the version, which a call on the socket looks at first. So who
 * dies in the middle, or is stopped there, harms nobody. Every process can write to it, children that have given up rights too: what is read
 * is looked at as what comes from anywhere (vcl_option_take()).
 *   said by this process   between the calls of its threads by `lock`; who only looks does without when it is taken, and looks the next time */
#include <stdlib.h>
#include <sys/mman.h>
#include "vcl/vcl_option_copy.h"
#include "vcl/vcl_sys.h"

struct record {                      /* SHARED */
    uint32_t version;                /* of all below: grows when something was set */
    uint32_t pad;
    uint64_t is_set[VCL_OPTIONS_MAX / 64];
    int64_t value[VCL_OPTIONS_MAX];
};

struct vcl_option_share {
    struct option_region *region;
    struct record *record;
    pthread_mutex_t lock;
    atomic_uint seen;                /* version */
    atomic_uint due;                 /* bits of enum vcl_option_how: to be done with a lock */
};

/* Of one fork; each process that has come of it counts for itself. */
struct option_region {
    atomic_uint refs;
    struct record *records;
    size_t size;
    struct vcl_option_share share[];
};

/* ---- fork ---- */

static bool lacks_one(const struct vcl_socket *s) { return s && !s->share && vcl_state(s) != VCL_ZOMBIE; }

void vcl_options_share(struct vcl_worker *w)
{
    struct option_region *r;
    uint32_t n = 0, at = 0;

    for (uint32_t i = 0; i < w->table_size; i++)
        n += lacks_one(w->table[i]);
    if (!n || !(r = malloc(sizeof(*r) + n * sizeof(r->share[0]))))
        return;
    r->size = n * sizeof(struct record);
    r->records = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r->records == MAP_FAILED) { /* each has its own from now on */
        free(r);
        return;
    }
    atomic_init(&r->refs, n);
    for (uint32_t i = 0; i < w->table_size; i++) {
        struct vcl_socket *s = w->table[i];

        if (!lacks_one(s))
            continue;
        r->share[at] = (struct vcl_option_share){ .region = r, .record = &r->records[at], .lock = PTHREAD_MUTEX_INITIALIZER };
        __atomic_store_n(&s->share, &r->share[at++], __ATOMIC_RELEASE); /* other threads may be in a call on it */
    }
}

/* Another thread of the parent may have had it. */
void vcl_options_in_child(struct vcl_socket *s)
{
    if (s->share)
        pthread_mutex_init(&s->share->lock, NULL);
}

void vcl_options_unshare(struct vcl_socket *s)
{
    struct option_region *r = s->share ? s->share->region : NULL;

    s->share = NULL;
    if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    munmap(r->records, r->size);
    free(r);
}

/* ---- what others have set ---- */

static void take_value(struct vcl_socket *s, unsigned i, int64_t v)
{
    uint8_t how = vcl_option_how(i);

    if (how == VCL_OPTION_PEEK) {
        atomic_fetch_or(&s->share->due, 1u << how);
        return;
    }
    if (how == VCL_OPTION_ADDED)
        v |= vcl_option_value(s, i);
    if (vcl_option_take(s, i, v) == 1 && how != VCL_OPTION_PLAIN)
        atomic_fetch_or(&s->share->due, 1u << how);
}

static void take_all(struct vcl_socket *s, const struct record *r)
{
    for (unsigned i = 0; i < vcl_option_count(); i++)
        if (__atomic_load_n(&r->is_set[i / 64], __ATOMIC_RELAXED) & UINT64_C(1) << i % 64)
            take_value(s, i, __atomic_load_n(&r->value[i], __ATOMIC_RELAXED));
    vcl_options_settle(s);
}

/* Acquire: pairs with the release in say(). */
static void look_locked(struct vcl_socket *s)
{
    uint32_t version = __atomic_load_n(&s->share->record->version, __ATOMIC_ACQUIRE);

    if (version == atomic_load_explicit(&s->share->seen, memory_order_relaxed))
        return;
    atomic_store_explicit(&s->share->seen, version, memory_order_relaxed);
    take_all(s, s->share->record);
}

void vcl_options_look_shared(struct vcl_socket *s)
{
    struct vcl_option_share *sh = s->share;

    if (__atomic_load_n(&sh->record->version, __ATOMIC_RELAXED) == atomic_load_explicit(&sh->seen, memory_order_relaxed) ||
        pthread_mutex_trylock(&sh->lock) != 0)
        return;
    look_locked(s);
    pthread_mutex_unlock(&sh->lock);
}

static void take_peek_offset(struct vcl_socket *s)
{
    for (unsigned i = 0; i < vcl_option_count(); i++)
        if (vcl_option_how(i) == VCL_OPTION_PEEK)
            (void)vcl_option_take(s, i, __atomic_load_n(&s->share->record->value[i], __ATOMIC_RELAXED)); /* one that cannot be is none */
    s->peeks_on = s->rare_opt->peek_off >= 0;
}

/* What has to be done with locks. */
static void do_due(struct vcl_socket *s)
{
    uint32_t due = atomic_exchange(&s->share->due, 0);

    if (!(due & (1u << VCL_OPTION_PEEK | 1u << VCL_OPTION_TX | 1u << VCL_OPTION_STAMP)))
        return;
    vcl_socket_lock(s);
    if (due & 1u << VCL_OPTION_PEEK)
        take_peek_offset(s);
    if (due & 1u << VCL_OPTION_TX)
        vcl_options_limit_tx(s);
    if (due & 1u << VCL_OPTION_STAMP)
        vcl_stamps_want(s);
    vcl_socket_unlock(s);
}

void vcl_options_follow_shared(struct vcl_socket *s)
{
    vcl_options_look_shared(s);
    if (hs_unlikely(atomic_load_explicit(&s->share->due, memory_order_relaxed)))
        do_due(s);
}

/* ---- what this one sets ---- */

static void say(struct vcl_socket *s, unsigned i)
{
    struct record *r = s->share->record;

    __atomic_store_n(&r->value[i], vcl_option_value(s, i), __ATOMIC_RELAXED);
    __atomic_fetch_or(&r->is_set[i / 64], UINT64_C(1) << i % 64, __ATOMIC_RELAXED);
    __atomic_fetch_add(&r->version, 1, __ATOMIC_RELEASE);
}

int vcl_options_set_shared(struct vcl_socket *s, int level, int name, const void *val, socklen_t len)
{
    int64_t before[VCL_OPTIONS_MAX];
    int rc;

    pthread_mutex_lock(&s->share->lock);
    look_locked(s);
    do_due(s);
    for (unsigned i = 0; i < vcl_option_count(); i++)
        before[i] = vcl_option_value(s, i);
    rc = vcl_options_set(s, level, name, val, len);
    for (unsigned i = 0; i < vcl_option_count(); i++)
        if (vcl_option_value(s, i) != before[i] && vcl_option_how(i) != VCL_OPTION_OWN)
            say(s, i);
    pthread_mutex_unlock(&s->share->lock);
    return rc;
}

void vcl_options_say_shared(struct vcl_socket *s, uint8_t how)
{
    for (unsigned i = 0; i < vcl_option_count(); i++)
        if (vcl_option_how(i) == how)
            say(s, i);
}
