/* ctl_capture.c - capture and trace commands: words, a filter's program and a file to values */
#include "server/ctl/ctl_capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <pcap/bpf.h> /* needs sys/types.h */

#include "common/conf.h"
#include "common/log.h"
#include "server/capture/capture.h"
#include "server/ctl/ctl_command.h"

static int too_many(const json_t *words, size_t most, const char *what, char *err, size_t err_len)
{
    if (json_array_size(words) <= most)
        return 0;
    snprintf(err, err_len, "%s", what);
    return -EINVAL;
}

/* The program as numbers; what they mean is checked by capture_start(). */
static int parse_filter(const json_t *list, struct bpf_insn **out, unsigned *n)
{
    *out = NULL;
    *n = 0;
    if (!list)
        return 0;
    size_t len = json_array_size(list);
    if (len == 0 || len % 4 != 0 || len / 4 > CAPTURE_FILTER_MAX)
        return -EINVAL;
    struct bpf_insn *insn = calloc(len / 4, sizeof(*insn));
    if (!insn)
        return -ENOMEM;
    for (size_t i = 0; i < len; i += 4) {
        json_int_t v[4];
        for (unsigned k = 0; k < 4; k++) {
            const json_t *e = json_array_get(list, i + k);
            v[k] = json_integer_value(e);
            if (!json_is_integer(e) || v[k] < 0 || v[k] > (json_int_t)(k == 0 ? UINT16_MAX : k == 3 ? UINT32_MAX : UINT8_MAX)) {
                free(insn);
                return -EINVAL;
            }
        }
        insn[i / 4] = (struct bpf_insn){ (u_short)v[0], (u_char)v[1], (u_char)v[2], (bpf_u_int32)v[3] };
    }
    *out = insn;
    *n = (unsigned)(len / 4);
    return 0;
}

int ctl_capture_start(struct stack *s, const json_t *words, size_t first, const json_t *filter, int fd, char *err, size_t err_len)
{
    const char *name = json_string_value(json_array_get(words, first));
    struct bpf_insn *insn;
    unsigned n;

    if (!name || fd < 0) {
        snprintf(err, err_len, "%s", name ? "no file came with the command" : "the name of a file is needed");
        return -EINVAL;
    }
    int rc = parse_filter(filter, &insn, &n);
    if (rc != 0) {
        snprintf(err, err_len, "%s", rc == -ENOMEM ? "no memory" : "the filter is not a valid program");
        return rc;
    }
    rc = capture_start(s, fd, name, insn, n, err, err_len);
    free(insn);
    if (rc == 0 && s->log)
        hs_log(s->log, HS_LOG_NOTICE, "capture of packets to %s", name);
    return rc;
}

int ctl_capture_stop(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len)
{
    int rc = too_many(words, first, "after capture stop nothing more is accepted", err, err_len);

    return rc ? rc : capture_stop(s, err, err_len);
}

void ctl_capture_show(struct stack *s, json_t *result, bool with_argument HS_UNUSED)
{
    capture_show(s, result);
}

int ctl_trace_add(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len)
{
    const char *word = json_string_value(json_array_get(words, first));
    uint64_t n;

    if (!word || conf_parse_number(word, &n) != 0 || json_array_size(words) > first + 1 || n > TRACE_MAX_PACKETS) {
        snprintf(err, err_len, "a number of packets between 1 and %d is needed", TRACE_MAX_PACKETS);
        return -EINVAL;
    }
    return trace_add(s, (unsigned)n, err, err_len);
}

int ctl_trace_clear(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len)
{
    int rc = too_many(words, first, "after trace clear nothing more is accepted", err, err_len);

    return rc ? rc : trace_clear(s, err, err_len);
}

uint32_t ctl_show_packets(struct worker *w, uint32_t from, json_t *result, bool with_argument HS_UNUSED)
{
    return trace_show(w, from, CTL_PIECE_MAX, result);
}
