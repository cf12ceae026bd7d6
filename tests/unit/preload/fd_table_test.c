/* fd_table_test.c - the descriptor table: numbers, shared files, look-up against concurrent close and reuse */
#include "preload/fd_table.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct fd_table table;
static _Atomic unsigned n_released;
static _Atomic unsigned n_wrong;

/* The test's mark: `first_fd` says what the file was made for, and turns to -1 when it is released. */
static void release(struct fd_file *f)
{
    if (f->first_fd < 0)
        atomic_fetch_add(&n_wrong, 1); /* released twice */
    f->first_fd = -1;
    atomic_fetch_add(&n_released, 1);
}

static void setup(void) { fd_table_init(&table, release); }
TestSuite(fd_table, .init = setup);

static struct fd_file *open_at(int fd)
{
    struct fd_file *f = fd_file_new(&table, FD_SOCKET);
    cr_assert_not_null(f);
    f->first_fd = fd;
    cr_assert_eq(fd_table_install(&table, fd, f), 0);
    return f;
}

static void close_at(int fd)
{
    struct fd_file *f = fd_table_take(&table, fd);
    cr_assert_not_null(f);
    fd_file_put(&table, f);
}

Test(fd_table, unknown_numbers_are_the_kernels)
{
    const int fds[] = { -1, 0, 5, FD_PAGE_SLOTS, FD_TABLE_MAX - 1, FD_TABLE_MAX, INT32_MAX };
    open_at(6);
    for (unsigned i = 0; i < HS_ARRAY_LEN(fds); i++) {
        cr_assert_null(fd_table_get(&table, fds[i]));
        cr_assert(!fd_table_has(&table, fds[i]));
        cr_assert_null(fd_table_take(&table, fds[i]));
    }
    struct fd_file *f = fd_file_new(&table, FD_SOCKET);
    cr_assert_eq(fd_table_install(&table, FD_TABLE_MAX, f), -EMFILE);
    cr_assert_eq(fd_table_install(&table, -1, f), -EMFILE);
}

Test(fd_table, file_lives_to_its_last_number_and_call)
{
    struct fd_file *f = open_at(3);
    fd_file_hold(f);
    cr_assert_eq(fd_table_install(&table, 4000, f), 0); /* dup */
    struct fd_file *call = fd_table_get(&table, 3);
    cr_assert_eq(call, f);
    close_at(3);
    cr_assert_null(fd_table_get(&table, 3));
    close_at(4000);
    cr_assert_eq(n_released, 0, "a call still runs on it");
    fd_file_put(&table, call);
    cr_assert_eq(n_released, 1);
    cr_assert_eq(table.n_files, 0);
}

Test(fd_table, installing_over_an_entry_closes_it)
{
    open_at(9);
    struct fd_file *b = open_at(9);
    cr_assert_eq(n_released, 1);
    struct fd_file *got = fd_table_get(&table, 9);
    cr_assert_eq(got, b);
}

Test(fd_table, next_finds_all_in_order)
{
    const int fds[] = { 0, 7, FD_PAGE_SLOTS - 1, FD_PAGE_SLOTS, 5 * FD_PAGE_SLOTS + 3, FD_TABLE_MAX - 1 };
    for (unsigned i = 0; i < HS_ARRAY_LEN(fds); i++)
        open_at(fds[i]);
    int at = -1;
    for (unsigned i = 0; i < HS_ARRAY_LEN(fds); i++) {
        at = fd_table_next(&table, (unsigned)(at + 1));
        cr_assert_eq(at, fds[i]);
    }
    cr_assert_eq(fd_table_next(&table, (unsigned)at + 1), -1);
}

Test(fd_table, weak_reference_knows_the_generation)
{
    struct fd_file *f = open_at(3);
    uint32_t generation = f->generation;
    cr_assert(fd_file_try_hold(&table, f, generation));
    fd_file_put(&table, f);
    close_at(3);
    cr_assert(!fd_file_try_hold(&table, f, generation), "free");
    cr_assert_eq(open_at(3), f, "the file just freed is used again");
    cr_assert(!fd_file_try_hold(&table, f, generation), "another life");
    cr_assert_eq(f->refs, 1, "the vain try left no reference");
}

/* Threads open and close a few numbers as fast as they can while others look them up. A reader must only ever see a file that lives
 * and that belongs to the number it asked for. */
enum { N_FDS = 4, N_THREADS = 2, N_ROUNDS = 20000 };
static _Atomic bool stop;

static void *churn(void *arg)
{
    int base = (int)(intptr_t)arg * N_FDS;
    for (int i = 0; i < N_ROUNDS; i++) {
        struct fd_file *f = fd_file_new(&table, FD_SOCKET);
        f->first_fd = base + i % N_FDS;
        fd_table_install(&table, f->first_fd, f);
        if (i % 3)
            f = fd_table_take(&table, base + i % N_FDS);
        if (i % 3 && f)
            fd_file_put(&table, f);
    }
    return NULL;
}

static void *look(void *arg)
{
    (void)arg;
    for (int fd = 0; !stop; fd = (fd + 1) % (N_FDS * N_THREADS)) {
        struct fd_file *f = fd_table_get(&table, fd);
        if (!f)
            continue;
        if (f->first_fd != fd || f->refs == 0)
            atomic_fetch_add(&n_wrong, 1);
        fd_file_put(&table, f);
    }
    return NULL;
}

Test(fd_table, lookup_against_close_and_reuse, .timeout = 600)
{
    pthread_t writers[N_THREADS], readers[N_THREADS];
    for (intptr_t i = 0; i < N_THREADS; i++) {
        cr_assert_eq(pthread_create(&readers[i], NULL, look, NULL), 0);
        cr_assert_eq(pthread_create(&writers[i], NULL, churn, (void *)i), 0);
    }
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(writers[i], NULL);
    stop = true;
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(readers[i], NULL);
    for (int fd = fd_table_next(&table, 0); fd >= 0; fd = fd_table_next(&table, (unsigned)fd + 1))
        close_at(fd);
    cr_assert_eq(n_wrong, 0);
    cr_assert_eq(n_released, N_THREADS * N_ROUNDS);
    cr_assert_eq(table.n_files, 0);
}
