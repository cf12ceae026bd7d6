/* tls_load_test.c - which engine is taken: the one that is built in, one of a shared object, and those that are refused */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/tls/tls_engine.h"

static char err[400];

static int load(const char *name, const struct tls_engine **e)
{
    void *object;
    int rc;

    err[0] = 0;
    *e = NULL;
    rc = tls_engine_load(name, e, &object, err, sizeof(err));
    cr_assert_eq(rc == 0, *e != NULL);
    if (rc == 0 && object) { /* what is asserted of it is a copy */
        static struct tls_engine copy;
        static char text[20];
        copy = **e;
        snprintf(text, sizeof(text), "%s", copy.name);
        copy.name = text;
        *e = &copy;
    }
    tls_engine_unload(object);
    return rc;
}

static int load_module(const char *name, const struct tls_engine **e)
{
    const char *dir = getenv("top_builddir");
    char cwd[300], path[600];

    if (dir && dir[0] == '/')
        snprintf(path, sizeof(path), "%s/tests/engine/.libs/%s.so", dir, name);
    else
        snprintf(path, sizeof(path), "%s/%s/tests/engine/.libs/%s.so", getcwd(cwd, sizeof(cwd)), dir ? dir : ".", name);
    return load(path, e);
}

Test(tls_load, the_one_that_is_built_in)
{
    const struct tls_engine *e;

    cr_assert_eq(load("", &e), 0, "%s", err);
    cr_assert_eq(e, &tls_openssl_engine);
    cr_assert_eq(load("openssl", &e), 0, "%s", err);
    cr_assert_eq(e, &tls_openssl_engine);
    cr_assert(tls_engine_has_dtls(e));
}

Test(tls_load, one_of_a_shared_object)
{
    const struct tls_engine *e;

    cr_assert_eq(load_module("toy_engine", &e), 0, "%s", err);
    cr_assert_str_eq(e->name, "toy");
    cr_assert_not(tls_engine_has_dtls(e));
}

Test(tls_load, what_is_none)
{
    const struct tls_engine *e;

    cr_assert_eq(load("gnutls", &e), -EINVAL);
    cr_assert_str_eq(err, "tls { engine gnutls }: neither 'openssl' nor the full path of a shared object");
    cr_assert_eq(load("toy_engine.so", &e), -EINVAL, "it is not searched for");
    cr_assert_eq(load("/nowhere/engine.so", &e), -EINVAL);
    cr_assert(strstr(err, "/nowhere/engine.so") && strstr(err, "No such file"), "%s", err);
    cr_assert_eq(load_module("toy_other", &e), -EINVAL);
    cr_assert(strstr(err, "made for another version of the server"), "%s", err);
    cr_assert_eq(load_module("toy_part", &e), -EINVAL);
    cr_assert(strstr(err, "functions are missing"), "%s", err);
}

/* A shared object that is something else. */
Test(tls_load, no_engine_in_it)
{
    const struct tls_engine *e;
    char path[300] = "";
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];

    cr_assert(maps);
    while (!path[0] && fgets(line, sizeof(line), maps))
        if (strstr(line, "/libc.so"))
            sscanf(strchr(line, '/'), "%299s", path);
    fclose(maps);
    cr_assert(path[0]);
    cr_assert_eq(load(path, &e), -EINVAL);
    cr_assert(strstr(err, TLS_ENGINE_SYMBOL), "%s", err);
}
