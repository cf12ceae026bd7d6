/* ctl_table.c - JSON rows as aligned columns: numbers to the right, text to the left */
#include "server/ctl/ctl_table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_MAX_COLUMNS = 48, TABLE_MAX_WIDTH = 180, TABLE_CELL_MAX = 128 };

struct column {
    const char *key;
    size_t width;
    bool is_number;
};

/* Into buf unless it is a string, which is returned as it is. */
static const char *cell_text(const json_t *v, char buf[TABLE_CELL_MAX])
{
    switch (json_typeof(v ? v : json_null())) {
    case JSON_STRING: return json_string_value(v);
    case JSON_INTEGER: snprintf(buf, TABLE_CELL_MAX, "%lld", (long long)json_integer_value(v)); return buf;
    case JSON_REAL: snprintf(buf, TABLE_CELL_MAX, "%.3f", json_real_value(v)); return buf;
    case JSON_TRUE: return "yes";
    case JSON_FALSE: return "no";
    default: return "-";
    }
}

static bool is_nested(const json_t *v)
{
    return json_is_array(v) || json_is_object(v);
}

/* An array of plain values is one cell: "a, b". */
static bool is_plain_list(const json_t *v)
{
    size_t i;
    json_t *e;

    if (!json_is_array(v))
        return false;
    json_array_foreach(v, i, e)
        if (is_nested(e))
            return false;
    return true;
}

static void print_list(FILE *to, const json_t *v)
{
    char buf[TABLE_CELL_MAX];
    size_t i;
    json_t *e;

    json_array_foreach(v, i, e)
        fprintf(to, "%s%s", i ? ", " : "", cell_text(e, buf));
}

static unsigned find_columns(const json_t *rows, struct column *col)
{
    unsigned n = 0, k;
    size_t i;
    json_t *row, *v;
    const char *key;
    char buf[TABLE_CELL_MAX];

    json_array_foreach(rows, i, row) {
        json_object_foreach(row, key, v) {
            if (is_nested(v))
                continue;
            for (k = 0; k < n && strcmp(col[k].key, key) != 0; k++)
                ;
            if (k == n) {
                if (n == TABLE_MAX_COLUMNS)
                    continue;
                col[n++] = (struct column){ .key = key, .width = strlen(key), .is_number = true };
            }
            size_t width = strlen(cell_text(v, buf));
            if (width > col[k].width)
                col[k].width = width;
            if (!json_is_number(v))
                col[k].is_number = false;
        }
    }
    return n;
}

static void print_cell(FILE *to, const struct column *c, const char *text, bool is_last)
{
    if (c->is_number)
        fprintf(to, "%*s", (int)c->width, text);
    else
        fprintf(to, "%-*s", is_last ? 0 : (int)c->width, text);
    fputs(is_last ? "\n" : "  ", to);
}

static void print_object(FILE *to, const json_t *o, int indent);

static bool is_too_wide(const struct column *col, unsigned n)
{
    size_t width = 0;

    for (unsigned k = 0; k < n; k++)
        width += col[k].width + 2;
    return width > TABLE_MAX_WIDTH;
}

/* What does not fit beside the others stands below them: a block of lines for each row. */
static void print_blocks(FILE *to, const json_t *rows, int indent)
{
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row) {
        if (i)
            fputc('\n', to);
        print_object(to, row, indent);
    }
}

static void print_rows(FILE *to, const json_t *rows, int indent)
{
    struct column col[TABLE_MAX_COLUMNS];
    unsigned n = find_columns(rows, col);
    char buf[TABLE_CELL_MAX];
    size_t i;
    json_t *row, *v;
    const char *key;

    if (json_array_size(rows) == 0) {
        fprintf(to, "%*snone\n", indent, "");
        return;
    }
    if (n == 0 || is_too_wide(col, n)) {
        print_blocks(to, rows, indent);
        return;
    }
    fprintf(to, "%*s", indent, "");
    for (unsigned k = 0; k < n; k++)
        print_cell(to, &col[k], col[k].key, k + 1 == n);
    json_array_foreach(rows, i, row) {
        fprintf(to, "%*s", indent, "");
        for (unsigned k = 0; k < n; k++)
            print_cell(to, &col[k], cell_text(json_object_get(row, col[k].key), buf), k + 1 == n);
        json_object_foreach(row, key, v) {
            if (!is_nested(v))
                continue;
            if (is_plain_list(v)) {
                fprintf(to, "%*s%s: ", indent + 4, "", key);
                print_list(to, v);
                fputc('\n', to);
            } else if (json_is_array(v)) {
                fprintf(to, "%*s%s:\n", indent + 4, "", key);
                print_rows(to, v, indent + 8);
            } else {
                fprintf(to, "%*s%s:\n", indent + 4, "", key);
                print_object(to, v, indent + 8);
            }
        }
    }
}

static void print_object(FILE *to, const json_t *o, int indent)
{
    size_t width = 0;
    const char *key;
    json_t *v;
    char buf[TABLE_CELL_MAX];

    json_object_foreach((json_t *)o, key, v)
        if (!is_nested(v) && strlen(key) > width)
            width = strlen(key);
    json_object_foreach((json_t *)o, key, v) {
        if (!is_nested(v)) {
            fprintf(to, "%*s%-*s  %s\n", indent, "", (int)width, key, cell_text(v, buf));
        } else if (is_plain_list(v)) {
            fprintf(to, "%*s%-*s  ", indent, "", (int)width, key);
            print_list(to, v);
            fputc('\n', to);
        } else {
            fprintf(to, "%*s%s:\n", indent, "", key);
            if (json_is_array(v))
                print_rows(to, v, indent + 4);
            else
                print_object(to, v, indent + 4);
        }
    }
}

void ctl_table_print(FILE *to, const json_t *result)
{
    if (json_is_array(result))
        print_rows(to, result, 0);
    else if (json_is_object(result))
        print_object(to, result, 0);
    else
        json_dumpf(result, to, JSON_ENCODE_ANY);
}
