/* diff_proc.c - threads, processes and signals: a call that waits and one elsewhere that ends its waiting */
#include <signal.h>
#include <stdatomic.h>
#include "tests/diff/diff.h"

static atomic_int sigpipes;

static void on_pipe(int sig)
{
    (void)sig;
    atomic_fetch_add(&sigpipes, 1);
}

void diff_signals_init(void)
{
    struct sigaction sa = { .sa_handler = on_pipe };

    sigaction(SIGPIPE, &sa, NULL);
}

int diff_sigpipes(void) { return atomic_exchange(&sigpipes, 0); }
