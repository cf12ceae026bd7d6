/* ctl_command.h - what hoststackctl can ask for, and how an answer is put together
 *
 *   begin() on the control thread -> for each worker: piece() on that worker until it says it is done -> the answer
 *
 * Owner:  static table; struct ctl_gather belongs to one request.
 * Thread: begin: control thread. piece: the worker.
 * Errors: none; a command that does not exist is answered with the list of those that do. */
#ifndef HOSTSTACK_SERVER_CTL_COMMAND_H
#define HOSTSTACK_SERVER_CTL_COMMAND_H

#include <jansson.h>
#include "server/worker/worker.h"

enum { CTL_PIECE_MAX = 256, CTL_DONE = UINT32_MAX };

struct ctl_command {
    const char *name;       /* "show session" */
    const char *argument;   /* accepted after the name, or NULL: "verbose" */
    const char *help;
    bool is_array;          /* the result is a list */
    void (*begin)(struct stack *s, json_t *result, bool with_argument);      /* may be NULL */
    /* Adds up to CTL_PIECE_MAX rows beginning at `from`; returns where to go on, or CTL_DONE. May be NULL. */
    uint32_t (*piece)(struct worker *w, uint32_t from, json_t *result, bool with_argument);
    /* Changes something: takes what stands after the name, words[first...]; `argument` is then its form. 0, or -errno with a sentence
     * in err. May be NULL. */
    int (*run)(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len);
    /* As run, of a command that a descriptor comes with (-1: none came) and a program of the filter. Takes fd if it returns 0. */
    int (*run_file)(struct stack *s, const json_t *words, size_t first, const json_t *filter, int fd, char *err, size_t err_len);
};

extern const struct ctl_command ctl_commands[];
extern const unsigned ctl_n_commands;
/* words: array of strings; *first = the one after the name. NULL: no such command, and *error (a new string object) says what there is. */
const struct ctl_command *ctl_command_find(const json_t *words, bool *with_argument, size_t *first, json_t **error);

#endif
