/* preload_tls.c - transparent TLS: with LDP_TRANSPARENT_TLS=1 every TCP socket of the program speaks TLS, and none ever speaks in clear
 *
 * Such a socket is the stack's alone: the kernel has no part in it, not at loopback and not without a server. The certificate is read by
 * the process that listens, at listen(), and again by accept() when the files have changed: connections after that one use the new ones. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "preload/preload.h"

void preload_tls_start(void)
{
    const char *on = getenv("LDP_TRANSPARENT_TLS");
    const char *cert = getenv("LDP_TLS_CERT_FILE"), *key = getenv("LDP_TLS_KEY_FILE"), *name = getenv("LDP_TLS_SERVER_NAME");
    struct preload_tls *t = &preload.tls;
    static _Atomic bool said;

    if (!on || !*on || strcmp(on, "0") == 0)
        return;
    t->on = true;
    if ((cert && strlen(cert) >= sizeof(t->cert)) || (key && strlen(key) >= sizeof(t->key)) ||
        (name && strlen(name) >= sizeof(t->name))) {
        preload_log_once(&said, "a value of LDP_TLS_* is too long: no TCP socket of this program will work");
        t->is_unusable = true;
        return;
    }
    strcpy(t->cert, cert ? cert : "");
    strcpy(t->key, key ? key : "");
    strcpy(t->name, name ? name : "");
}

static struct preload_stamp stamp_of(const struct stat *st)
{
    return (struct preload_stamp){ st->st_ino, st->st_mtim.tv_sec, st->st_mtim.tv_nsec, st->st_size };
}

/* The whole of a small file, or NULL. stamp: its identity and when it was changed. */
static char *slurp(const char *path, size_t *len, struct preload_stamp *stamp)
{
    enum { FILE_MAX = 128 << 10 };
    PRELOAD_UNCANCELLED;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *text = NULL;

    *len = 0;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= FILE_MAX)
        text = malloc((size_t)st.st_size);
    while (text && *len < (size_t)st.st_size) {
        ssize_t n = LIBC_UNCANCELLED(read)(fd, text + *len, (size_t)st.st_size - *len);
        if (n <= 0)
            break;
        *len += (size_t)n;
    }
    LIBC_UNCANCELLED(close)(fd);
    if (text)
        *stamp = stamp_of(&st);
    return text;
}

static int load(struct preload_tls *t)
{
    static _Atomic bool said_file, said_bad;
    struct preload_stamp cs = { 0 }, ks = { 0 };
    size_t cert_len, key_len = 0;
    char *cert = slurp(t->cert, &cert_len, &cs), *key = slurp(t->key, &key_len, &ks);
    int rc;

    if (!cert || !key) {
        preload_log_once(&said_file, "transparent TLS: LDP_TLS_CERT_FILE and LDP_TLS_KEY_FILE do not name files that can be read");
        rc = -ENOKEY;
    } else if (t->pair && memcmp(&cs, &t->cert_stamp, sizeof(cs)) == 0 && memcmp(&ks, &t->key_stamp, sizeof(ks)) == 0) {
        rc = 0;
    } else {
        rc = t->pair ? vcl_tls_replace_pair(t->pair, cert, cert_len, key, key_len) : vcl_tls_add_pair(cert, cert_len, key, key_len);
        if (rc == -EINVAL)
            preload_log_once(&said_bad, "transparent TLS: the server cannot use the certificate and key; its log says why");
        if (rc > 0)
            t->pair = (uint32_t)rc;
        if (rc >= 0) {
            t->cert_stamp = cs;
            t->key_stamp = ks;
        }
    }
    if (key)
        explicit_bzero(key, key_len);
    free(cert);
    free(key);
    return rc < 0 ? rc : 0;
}

int preload_tls_listen(struct fd_file *f)
{
    struct preload_tls *t = &preload.tls;
    int rc;

    if (f->sock.proto != SVM_PROTO_TLS)
        return 0;
    if (t->is_unusable)
        return -EINVAL;
    pthread_mutex_lock(&t->lock);
    rc = load(t);
    pthread_mutex_unlock(&t->lock);
    return rc;
}

static bool is_changed(const char *path, const struct preload_stamp *before)
{
    struct preload_stamp now;
    struct stat st;

    if (stat(path, &st) != 0)
        return false;
    now = stamp_of(&st);
    return memcmp(&now, before, sizeof(now)) != 0;
}

/* At most once a second. What cannot be read or used, as half of a pair that somebody is just writing, leaves the old one in use, and is
 * looked at again. */
void preload_tls_accepted(void)
{
    struct preload_tls *t = &preload.tls;
    struct timespec now;
    int saved = errno;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (!t->on || atomic_load_explicit(&t->looked_s, memory_order_relaxed) == now.tv_sec || pthread_mutex_trylock(&t->lock) != 0)
        return;
    atomic_store_explicit(&t->looked_s, now.tv_sec, memory_order_relaxed);
    if (t->pair && (is_changed(t->cert, &t->cert_stamp) || is_changed(t->key, &t->key_stamp)))
        (void)load(t);
    pthread_mutex_unlock(&t->lock);
    errno = saved;
}

/* The name that the certificate of whom it connects to must be for; without one, it must be for the address. */
int preload_tls_connect(struct fd_file *f)
{
    const struct preload_tls *t = &preload.tls;
    struct svm_tls_config cfg = { 0 };

    if (f->sock.proto != SVM_PROTO_TLS)
        return 0;
    if (t->is_unusable)
        return -EINVAL;
    if (!t->name[0] || f->sock.tls_named)
        return 0;
    strcpy(cfg.hostname, t->name);
    int rc = vcl_tls_configure(f->sock.vcl, &cfg);
    f->sock.tls_named = rc == 0;
    return rc;
}
