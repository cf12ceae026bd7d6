/* ctl_capture_file.c - opens a capture's file and compiles its filter, before the server is asked */
#include "server/ctl/ctl_capture_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SNAP_LEN = 65535, FILTER_TEXT_MAX = 8192, FILTER_MAX = 1500 /* instructions: fit a request */ };

static int compile(struct capture_file *f, const char *text)
{
    pcap_t *pcap = pcap_open_dead(DLT_EN10MB, SNAP_LEN);
    struct bpf_program program;
    int rc = -1;

    if (!pcap || pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN) != 0) {
        fprintf(stderr, "hoststackctl: filter: %s\n", pcap ? pcap_geterr(pcap) : "no memory");
        goto end;
    }
    if (program.bf_len > FILTER_MAX) {
        fprintf(stderr, "hoststackctl: filter: %u instructions, at most %d are accepted\n", program.bf_len, FILTER_MAX);
    } else {
        f->filter = json_array();
        for (unsigned i = 0; i < program.bf_len; i++) {
            const struct bpf_insn *n = &program.bf_insns[i];
            json_array_append_new(f->filter, json_integer(n->code));
            json_array_append_new(f->filter, json_integer(n->jt));
            json_array_append_new(f->filter, json_integer(n->jf));
            json_array_append_new(f->filter, json_integer(n->k));
        }
        rc = 0;
    }
    pcap_freecode(&program);
end:
    if (pcap)
        pcap_close(pcap);
    return rc;
}

static int join(char *text, char **words, int n_words)
{
    size_t used = 0;

    for (int i = 0; i < n_words; i++) {
        int n = snprintf(text + used, FILTER_TEXT_MAX - used, "%s%s", i ? " " : "", words[i]);
        if (n < 0 || used + (size_t)n >= FILTER_TEXT_MAX) {
            fprintf(stderr, "hoststackctl: filter: longer than %d bytes\n", FILTER_TEXT_MAX);
            return -1;
        }
        used += (size_t)n;
    }
    return 0;
}

int capture_file_open(struct capture_file *f, char **words, int n_words)
{
    char text[FILTER_TEXT_MAX] = "";

    *f = (struct capture_file){ .fd = -1 };
    if (n_words > 1 && (join(text, words + 1, n_words - 1) != 0 || compile(f, text) != 0))
        return -1;
    /* What is there is not touched before the server has agreed: it empties the file. */
    f->fd = open(words[0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    f->is_new = f->fd >= 0;
    if (f->fd < 0 && errno == EEXIST)
        f->fd = open(words[0], O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd >= 0 && realpath(words[0], f->path))
        return 0;
    fprintf(stderr, "hoststackctl: %s: %s\n", words[0], strerror(errno));
    capture_file_close(f, false);
    return -1;
}

void capture_file_close(struct capture_file *f, bool is_used)
{
    if (f->is_new && !is_used && f->path[0])
        unlink(f->path);
    if (f->fd >= 0)
        close(f->fd);
    json_decref(f->filter);
    f->filter = NULL;
    f->fd = -1;
}
