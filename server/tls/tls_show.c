/* tls_show.c - what `hoststackctl show session verbose` and `show stats` say of TLS */
#include <jansson.h>
#include "server/tls/tls_internal.h"

static const char *const state_names[] = {
    [TLS_S_NEW] = "new", [TLS_S_LOWER] = "connecting", [TLS_S_WAIT] = "waiting", [TLS_S_HANDSHAKE] = "handshake", [TLS_S_OFFER] = "handshake done",
    [TLS_S_OPEN] = "open", [TLS_S_CLOSING] = "closing", [TLS_S_LINGER] = "lingering", [TLS_S_DEAD] = "dead",
    [TLS_S_DOOR] = "door",
};

void tls_show(struct worker *w, const struct transport_conn *b, struct json_t *obj)
{
    const struct tls_conn *c = hs_container_of(b, struct tls_conn, base);
    struct tls_info info;

    json_object_set_new(obj, "tls_state", json_string(state_names[c->state]));
    json_object_set_new(obj, "tls_side", json_string(c->is_server ? "server" : "client"));
    if (!c->engine || (c->job && c->job->at_thread))
        return;
    w->stack->tls->engine->info(c->engine, &info);
    json_object_set_new(obj, "tls_version", json_string(info.version ? info.version : "-"));
    json_object_set_new(obj, "tls_cipher", json_string(info.cipher ? info.cipher : "-"));
    json_object_set_new(obj, "tls_sni", json_string(info.sni[0] ? info.sni : "-"));
    json_object_set_new(obj, "tls_alpn", json_string(info.alpn[0] ? info.alpn : "-"));
    json_object_set_new(obj, "tls_resumed", json_boolean(info.is_resumed));
    json_object_set_new(obj, "tls_aead", json_string(info.aead));
    json_object_set_new(obj, "tls_in_place", json_boolean(c->is_in_place));
    json_object_set_new(obj, "tls_peer_certificate", json_boolean(info.has_peer_cert));
    if (c->is_dtls && c->state == TLS_S_OPEN)
        json_object_set_new(obj, "tls_unopened", json_integer((json_int_t)info.n_unopened));
    if (c->is_dtls && c->state == TLS_S_OPEN)
        json_object_set_new(obj, "tls_data_mtu", json_integer(w->stack->tls->engine->data_mtu(c->engine)));
}

void tls_show_stats(struct worker *w, struct json_t *obj)
{
    const struct tls_worker *tw = tls_worker_of(w);

#define TLS_COUNTER(name, text) json_object_set_new(obj, #name, json_integer((json_int_t)tw->count.name));
#include "server/tls/tls_counters.def"
#undef TLS_COUNTER
    json_object_set_new(obj, "connections", json_integer(tw->n_conns - tw->n_doors));
    json_object_set_new(obj, "handshakes_now", json_integer(tw->n_handshakes));
    json_object_set_new(obj, "handshake_memory", json_integer((json_int_t)(tw->shakes[0].bytes + tw->shakes[1].bytes)));
}
