/* diff_pair.h - what the small programs of this folder share: two sockets that are connected
 * Thread: one.
 * Errors: the program ends, and says why. */
#ifndef HOSTSTACK_TESTS_DIFF_PAIR_H
#define HOSTSTACK_TESTS_DIFF_PAIR_H

#include <stdbool.h>

void diff_die(const char *what);
/* A connected socket from `from` to a listener or datagram socket at `to`; the other end is left in *other: that, and what it accepted. */
int diff_connected(const char *from, const char *to, bool udp, int other[2]);
/* Begins a program that is called with `kernel|ours tcp|udp FROM TO`: it prints line by line, ends after so many seconds, and has two
 * sockets, each connected with the other. Are they datagram sockets? */
bool diff_ends(int argc, char **argv, unsigned limit_s, int ends[2]);

#endif
