/* device_test.c - sessions bound to an interface (SO_BINDTODEVICE): two stacks on two links, TCP and UDP, IPv4 and IPv6 */
#include "tests/unit/core/core_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include "server/ip/interface.h"
#include "server/session/session.h"
#include "server/udp/udp.h"

static struct core_fixture fx; /* criterion runs each test in a process of its own */
static struct sim_app *client, *server;
static const int32_t dev[2] = { SVM_DEVICE_OWN, SVM_DEVICE_OWN + 1 };
/* Of the second stack, on the first and on the second link. */
static const char *const at4[2] = { "10.7.0.2", "10.8.0.2" }, *const at6[2] = { "fd07::2", "fd08::2" };

static void setup(void)
{
    static const struct sim_params perfect;
    struct sim_link *link;
    char text[32];

    core_eal_init();
    cr_assert_eq(transport_register(&udp_transport_ops), 0);
    core_fixture_make(&fx, 42, 1, NULL);
    cr_assert_eq(sim_net_link(fx.net, fx.stack[0], fx.stack[1], &perfect, &link), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct interface *ifc;
        struct ip_prefix p;
        cr_assert_eq(interface_add(fx.stack[i], 1, 0, 0, INTERFACE_ADDR_NO_DAD, &ifc), 0);
        snprintf(text, sizeof(text), "10.8.0.%u/24", i + 1);
        cr_assert_eq(ip_prefix_parse(text, &p), 0);
        cr_assert_eq(interface_add_address(ifc, &p, INTERFACE_ADDR_NO_DAD), 0);
        snprintf(text, sizeof(text), "fd08::%u/64", i + 1);
        cr_assert_eq(ip_prefix_parse(text, &p), 0);
        cr_assert_eq(interface_add_address(ifc, &p, INTERFACE_ADDR_NO_DAD), 0);
    }
    cr_assert_eq(sim_app_create(fx.stack[0]->worker[0], NULL, &client), 0);
    cr_assert_eq(sim_app_create(fx.stack[1]->worker[0], NULL, &server), 0);
}

static void teardown(void)
{
    sim_app_destroy(client);
    sim_app_destroy(server);
    core_fixture_end(&fx);
}

TestSuite(device, .init = setup, .fini = teardown);

static struct sim_sock *listen_by(int32_t device, const char *ip, int want)
{
    struct ip_endpoint e = core_endpoint(ip, 80);
    struct sim_sock *s = NULL;

    sim_app_device(server, device);
    cr_assert_eq(sim_listen(server, SVM_PROTO_TCP, &e, 8, &s), want);
    return s;
}

/* What comes of a connect: 0 or -errno. */
static int connect_by(int32_t device, const char *ip)
{
    struct ip_endpoint e = core_endpoint(ip, 80);
    struct sim_sock *s;
    int rc;

    sim_app_device(client, device);
    rc = sim_connect(client, SVM_PROTO_TCP, NULL, &e, &s);
    if (rc != 0)
        return rc;
    core_run(&fx, 10000);
    rc = s->connect_done ? s->connect_error : -EINPROGRESS;
    return rc;
}

static int32_t device_of(struct sim_sock *s)
{
    int32_t v = -1;
    uint32_t len = sizeof(v);

    cr_assert_eq(session_attr_get(fx.stack[1]->worker[0], s->session, SVM_ATTR_DEVICE, &v, &len), 0);
    return v;
}

static int set_device(struct stack *stack, struct sim_sock *s, int32_t device)
{
    return session_attr_set(stack->worker[0], s->session, SVM_ATTR_DEVICE, &device, sizeof(device));
}

static void one_each(const char *any, const char *const at[2])
{
    struct sim_sock *l[2] = { listen_by(dev[0], any, 0), listen_by(dev[1], any, 0) }, *s;

    listen_by(0, any, -EADDRINUSE);
    listen_by(dev[1], any, -EADDRINUSE);
    listen_by(SVM_DEVICE_OWN + 2, any, -ENODEV);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(connect_by(0, at[i]), 0);
        s = sim_accept(l[i]);
        cr_assert_not_null(s, "what came in by %u is for the one bound to it", i);
        cr_assert_null(sim_accept(l[!i]));
        cr_assert_eq(device_of(s), dev[i], "and is bound, too");
    }
    sim_close(l[1], -1);
    core_run(&fx, 10000);
    cr_assert_eq(connect_by(0, at[0]), 0);
    cr_assert_eq(connect_by(0, at[1]), -ECONNREFUSED);
}
Test(device, one_each_v4) { one_each("0.0.0.0", at4); }
Test(device, one_each_v6) { one_each("::", at6); }

static void later(const char *any, const char *const at[2])
{
    struct sim_sock *l = listen_by(0, any, 0);

    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(connect_by(0, at[i]), 0);
    cr_assert_eq(set_device(fx.stack[1], l, dev[1]), 0);
    cr_assert_eq(connect_by(0, at[0]), -ECONNREFUSED);
    cr_assert_eq(connect_by(0, at[1]), 0);
    listen_by(dev[0], any, 0);
    cr_assert_eq(set_device(fx.stack[1], l, SVM_DEVICE_OWN + 2), -ENODEV);
    cr_assert_eq(device_of(l), dev[1]);
    cr_assert_eq(set_device(fx.stack[1], l, 0), 0);
}
Test(device, set_on_a_listener_v4) { later("0.0.0.0", at4); }
Test(device, set_on_a_listener_v6) { later("::", at6); }

static void way_out(const char *any, const char *const at[2], int elsewhere)
{
    listen_by(0, any, 0);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(connect_by(dev[i], at[i]), 0);
        cr_assert_eq(connect_by(dev[i], at[!i]), elsewhere);
    }
    cr_assert_eq(connect_by(SVM_DEVICE_LO, at[0]), -ENETUNREACH);
}
/* IPv4 asks for the address on the link that the program names: the other stack has it, but answers for those of the link alone. */
Test(device, connects_by_it_v4) { way_out("0.0.0.0", at4, -EINPROGRESS); }
Test(device, connects_by_it_v6) { way_out("::", at6, -ENETUNREACH); }

static void taken_away(const char *any, const char *const at[2])
{
    struct sim_sock *l = listen_by(0, any, 0), *c, *s;
    struct ip_endpoint e = core_endpoint(at[0], 80);

    sim_app_device(client, 0);
    cr_assert_eq(sim_connect(client, SVM_PROTO_TCP, NULL, &e, &c), 0);
    core_run(&fx, 300000); /* a small segment waits for the ACK of the one before */
    s = sim_accept(l);
    cr_assert_not_null(s);
    cr_assert_eq(sim_write_pattern(s, 1, 100), 100);
    core_run(&fx, 300000);
    cr_assert_eq(sim_read_check(c, 1, 1000), 100);
    cr_assert_eq(set_device(fx.stack[0], c, dev[0]), 0);
    cr_assert_eq(sim_write_pattern(s, 1, 100), 100);
    core_run(&fx, 300000);
    cr_assert_eq(sim_read_check(c, 1, 1000), 100, "by the interface that it comes in by all goes on");
    cr_assert_eq(set_device(fx.stack[0], c, dev[1]), 0);
    cr_assert_eq(sim_write_pattern(s, 1, 100), 100);
    core_run(&fx, 300000);
    cr_assert_leq(sim_read_check(c, 1, 1000), 0, "what comes in by another one is not for it");
}
Test(device, of_a_connection_v4) { taken_away("0.0.0.0", at4); }
Test(device, of_a_connection_v6) { taken_away("::", at6); }

/* Programs of one host meet where the address is. */
static void on_one_host(const char *any, const char *const at[2])
{
    struct sim_sock *l = listen_by(dev[0], any, 0);

    client = (sim_app_destroy(client), NULL);
    cr_assert_eq(sim_app_create(fx.stack[1]->worker[0], &(struct sim_app_options){ .client_id = 7 }, &client), 0);
    cr_assert_eq(connect_by(0, at[0]), 0);
    cr_assert_not_null(sim_accept(l));
    cr_assert_eq(connect_by(dev[0], at[0]), 0);
    cr_assert_eq(connect_by(0, at[1]), -ECONNREFUSED);
    cr_assert_eq(set_device(fx.stack[1], l, SVM_DEVICE_LO), 0);
    cr_assert_eq(connect_by(0, at[0]), -ECONNREFUSED);
}
Test(device, on_one_host_v4) { on_one_host("0.0.0.0", at4); }
Test(device, on_one_host_v6) { on_one_host("::", at6); }

Test(device, names)
{
    char name[SVM_DEVICE_NAME] = "";
    int32_t index = dev[1];

    cr_assert_eq(interface_find_device(fx.stack[0], 0, name, &index), 0);
    cr_assert_str_eq(name, fx.stack[0]->port[1]->name);
    index = 0;
    cr_assert_eq(interface_find_device(fx.stack[0], 0, name, &index), 0);
    cr_assert_eq(index, dev[1]);
    cr_assert_eq(interface_find_device(fx.stack[0], 1, name, &index), -ENODEV, "of another table");
    strcpy(name, "nonesuch");
    cr_assert_eq(interface_find_device(fx.stack[0], 0, name, &index), -ENODEV);
    /* A port on an interface of the kernel's has both names: here lo's. */
    snprintf(fx.stack[0]->port[1]->kernel_name, sizeof(fx.stack[0]->port[1]->kernel_name), "lo");
    strcpy(name, "lo");
    cr_assert_eq(interface_find_device(fx.stack[0], 0, name, &index), 0);
    cr_assert_eq(index, dev[1], "which it got when it was made");
}
