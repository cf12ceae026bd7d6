/* scribbler.c - sends bytes of one value, and meanwhile changes them wherever they lie in the memory that it shares with the server
 *
 *   scribbler ADDRESS PORT MEBIBYTES       over the preload library
 *
 * Pages of the sent value get another one, or are given back to the kernel (MADV_REMOVE), while the server sends from them; it tries
 * to cut the memory off as well. Prints how many pages it changed and removed, and "sealed" when nothing could be cut off. */
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SENT = 0xa5, CHANGED = 0x5a, PAGE = 4096, WRITE = 1 << 20 };

static atomic_bool is_over;
static unsigned long n_changed, n_removed, n_tried, n_cut;

static void scribble(uint8_t *page, unsigned long turn)
{
    static uint8_t of_sent[PAGE];

    if (of_sent[0] != SENT)
        memset(of_sent, SENT, PAGE);
    if (memcmp(page, of_sent, PAGE) != 0)
        return;
    if (turn % 16 == 0 && madvise(page, PAGE, MADV_REMOVE) == 0) {
        n_removed++;
    } else {
        memset(page, CHANGED, PAGE);
        n_changed++;
    }
}

/* Does something to all that is mapped shared and writable from an anonymous file. */
static void for_each_mapping(void (*act)(uintptr_t from, uintptr_t to))
{
    char line[512], perms[8];
    uintptr_t from, to;
    FILE *maps = fopen("/proc/self/maps", "r");

    if (!maps)
        return;
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, perms) == 3 && strcmp(perms, "rw-s") == 0 && strstr(line, "memfd:"))
            act(from, to);
    }
    fclose(maps);
}

static void scribble_mapping(uintptr_t from, uintptr_t to)
{
    static unsigned long turn;

    for (uintptr_t at = from; at < to && !atomic_load(&is_over); at += PAGE)
        scribble((uint8_t *)at, turn++);
}

static void *scribble_on(void *arg)
{
    while (!atomic_load(&is_over))
        for_each_mapping(scribble_mapping);
    return arg;
}

/* Whoever maps the file would get SIGBUS. */
static void cut_off(uintptr_t from, uintptr_t to)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", from, to);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    n_tried++;
    n_cut += ftruncate(fd, 0) == 0;
    close(fd);
}

int main(int argc, char **argv)
{
    struct addrinfo hint = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *ai;
    uint8_t *bytes = malloc(WRITE);
    pthread_t other;
    uint64_t left;
    int fd;

    if (argc != 4 || !bytes || getaddrinfo(argv[1], argv[2], &hint, &ai) != 0)
        return 2;
    left = strtoull(argv[3], NULL, 10) << 20;
    memset(bytes, SENT, WRITE);
    fd = socket(ai->ai_family, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen) != 0 || pthread_create(&other, NULL, scribble_on, NULL) != 0) {
        perror("scribbler");
        return 1;
    }
    while (left > 0) {
        ssize_t n = send(fd, bytes, left < WRITE ? left : WRITE, 0);
        if (n < 0) {
            perror("scribbler: send");
            return 1;
        }
        left -= (uint64_t)n;
    }
    for_each_mapping(cut_off);
    shutdown(fd, SHUT_WR);
    ssize_t rest = recv(fd, bytes, 1, 0); /* the peer has all */
    atomic_store(&is_over, true);
    pthread_join(other, NULL);
    printf("%lu changed, %lu removed%s\n", n_changed, n_removed, n_tried > 0 && n_cut == 0 ? ", sealed" : "");
    freeaddrinfo(ai);
    free(bytes);
    return rest == 0 ? 0 : 1;
}
