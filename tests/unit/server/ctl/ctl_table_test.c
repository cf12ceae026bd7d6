/* ctl_table_test.c - how hoststackctl prints what it gets */
#include "server/ctl/ctl_table.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void prints(const char *json, const char *expect)
{
    json_t *v = json_loads(json, JSON_DECODE_ANY, NULL);
    char *text;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    cr_assert_not_null(v, "%s", json);
    ctl_table_print(f, v);
    fclose(f);
    cr_assert_str_eq(text, expect);
    free(text);
    json_decref(v);
}

Test(ctl_table, rows_align)
{
    prints("[{\"name\":\"wire0\",\"mtu\":1500},{\"name\":\"t\",\"mtu\":90,\"late\":true}]",
           "name    mtu  late\n"
           "wire0  1500  -\n"
           "t        90  yes\n");
    prints("[]", "none\n");
}

Test(ctl_table, nested_values_follow_their_row)
{
    prints("[{\"name\":\"a\",\"addresses\":[\"1.2.3.4/8\",\"fd00::1/64\"]},{\"name\":\"b\",\"q\":[{\"n\":1}],\"o\":{\"k\":2}}]",
           "name\n"
           "a\n"
           "    addresses: 1.2.3.4/8, fd00::1/64\n"
           "b\n"
           "    q:\n"
           "        n\n"
           "        1\n"
           "    o:\n"
           "        k  2\n");
}

Test(ctl_table, objects_print_a_line_a_field)
{
    prints("{\"name\":\"x\",\"long_name\":7,\"list\":[1,2],\"rows\":[{\"a\":1}]}",
           "name       x\n"
           "long_name  7\n"
           "list       1, 2\n"
           "rows:\n"
           "    a\n"
           "    1\n");
}

Test(ctl_table, rows_that_are_too_wide_become_blocks)
{
    prints("[{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1,"
           "\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\":2}]",
           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  1\n"
           "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb          2\n");
}
