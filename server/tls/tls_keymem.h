/* tls_keymem.h - memory for the keys of connections: pages of their own, locked as far as the limit allows, in no core dump, cleansed
 *
 * OpenSSL's secure heap has a fixed size, which private keys and tickets are to find: connections must not use it up.
 *
 * Owner:  the engine's instance.
 * Thread: any; it has a lock.
 * Errors: NULL: no memory. */
#ifndef HOSTSTACK_SERVER_TLS_KEYMEM_H
#define HOSTSTACK_SERVER_TLS_KEYMEM_H

#include <stddef.h>

struct tls_keymem;

struct tls_keymem *tls_keymem_new(size_t size);          /* of each piece; aligned to 64 bytes */
void tls_keymem_free(struct tls_keymem *m);              /* all pieces have been given back */
void *tls_keymem_get(struct tls_keymem *m);              /* zero */
void tls_keymem_put(struct tls_keymem *m, void *p);      /* cleansed; NULL is nothing */
size_t tls_keymem_bytes(const struct tls_keymem *m);     /* that it has of the system; no piece is got or put meanwhile */

#endif
