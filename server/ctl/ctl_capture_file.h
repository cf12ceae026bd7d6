/* ctl_capture_file.h - hoststackctl's part of capture start: the file, with the rights and in the directory of who asks, and the filter
 * Owner:  the caller; capture_file_close() ends it.
 * Thread: any; hoststackctl only.
 * Errors: a sentence on standard error and -1. */
#ifndef HOSTSTACK_SERVER_CTL_CAPTURE_FILE_H
#define HOSTSTACK_SERVER_CTL_CAPTURE_FILE_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

struct capture_file {
    int fd;                  /* -1 = none */
    bool is_new;             /* made by us */
    char path[PATH_MAX];     /* absolute */
    json_t *filter;          /* [code, jt, jf, k] times the instructions; NULL = everything */
};
/* words: FILE [FILTER...], the filter in the syntax of pcap-filter(7). */
int capture_file_open(struct capture_file *f, char **words, int n_words);
/* A file that we made and that nobody writes to is removed again. */
void capture_file_close(struct capture_file *f, bool is_used);

#endif
