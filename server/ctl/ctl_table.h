/* ctl_table.h - answers of the server as aligned text
 * Owner:  plain function of hoststackctl.
 * Thread: any.
 * Errors: none; a field that is missing prints as "-". */
#ifndef HOSTSTACK_SERVER_CTL_TABLE_H
#define HOSTSTACK_SERVER_CTL_TABLE_H

#include <jansson.h>
#include <stdio.h>

/* A list of objects prints as a table: columns are the fields of the first row that are no lists or objects, and of any later row
 * (in that order); nested values follow as indented lines. An object prints as "name  value" lines. */
void ctl_table_print(FILE *to, const json_t *result);

#endif
