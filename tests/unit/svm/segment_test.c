/* segment_test.c - seals hold, layouts parse, garbage headers are refused, descriptors travel */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "svm/svm_msgq.h"
#include "svm/svm_segment.h"
#include "tests/unit/svm/svm_test.h"

Test(segment, seals)
{
    struct svm_segment s, c, m;
    int fd;

    cr_assert_eq(svm_segment_create(&s, "s", 100000, 4096, true), 0);
    cr_assert_eq(s.size % 4096, 0);
    s.base[5] = 1;
    cr_assert_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, s.fd, 0), MAP_FAILED, "S: no writable mapping");
    cr_assert(pwrite(s.fd, "x", 1, 0) < 0);
    cr_assert(ftruncate(s.fd, 4096) < 0, "no shrinking");
    cr_assert(ftruncate(s.fd, 1 << 20) < 0, "no growing");
    cr_assert(fcntl(s.fd, F_ADD_SEALS, F_SEAL_WRITE) < 0, "no more seals");
    cr_assert_eq(svm_segment_reserve(&s, 4096, 8192), 0);
    cr_assert_eq(svm_segment_reserve(&s, 4096, s.size), -EINVAL);
    cr_assert_eq(svm_segment_map(&m, dup(s.fd), true), -EPERM);
    cr_assert_eq(svm_segment_map(&m, dup(s.fd), false), 0);
    cr_assert_eq(m.base[5], 1);
    svm_segment_unmap(&m);
    svm_segment_unmap(&m);
    cr_assert_eq(svm_segment_create(&c, "c", 8192, 0, false), 0);
    cr_assert_eq(svm_segment_map(&m, dup(c.fd), true), 0);
    m.base[1] = 7;
    cr_assert_eq(c.base[1], 7);
    svm_segment_unmap(&m);
    fd = svm_segment_reopen_readonly(&c);
    cr_assert(fd >= 0);
    cr_assert_eq(svm_segment_map(&m, dup(fd), true), -EACCES, "read-only descriptor");
    cr_assert_eq(svm_segment_map(&m, fd, false), 0);
    svm_segment_unmap(&m);
    svm_segment_unmap(&c);
    svm_segment_unmap(&s);
}

Test(segment, unsealed_is_refused)
{
    struct svm_segment m;
    int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert_eq(ftruncate(fd, 4096), 0);
    cr_assert_eq(svm_segment_map(&m, fd, false), -EPROTO);
    cr_assert(fcntl(fd, F_GETFD) < 0, "closed");
}

Test(segment, bank_layout)
{
    struct svm_bank_layout l = { .n_slots = 100, .n_queues = 2, .queue_log2 = 6, .s_ring_size = 1 << 20, .c_ring_size = 1 << 19 };
    struct svm_segment s, c;
    struct svm_seg_info i;
    struct svm_msgq_prod p;
    struct svm_msgq_cons q;
    struct svm_msg m = { .ctx = 42 };

    cr_assert_eq(svm_bank_layout(&l), 0);
    cr_assert_eq(svm_segment_create(&s, "s", l.s_size, l.ring_off, true), 0);
    cr_assert_eq(svm_segment_create(&c, "c", l.c_size, l.ring_off, false), 0);
    svm_bank_format(&l, 9, s.base, c.base);
    cr_assert_eq(svm_seg_parse(&s, SVM_SEG_BANK, &i), 0);
    cr_assert(i.seg_id == 9 && i.n_slots == 100 && i.ring_size[0] == 1 << 20);
    cr_assert_eq(svm_seg_parse(&c, SVM_SEG_BANK, &i), 0);
    cr_assert_eq(i.ring_size[0], 1 << 19);
    for (int w = 0; w < 2; w++) {
        cr_assert_eq(svm_msgq_prod_init(&p, &l.to_server[w], c.base, c.size, s.base, s.size), 0);
        cr_assert_eq(svm_msgq_cons_init(&q, &l.to_server[w], c.base, c.size, s.base, s.size), 0);
        cr_assert_eq(svm_msgq_post(&p, &m), 0);
        cr_assert_eq(svm_msgq_take(&q, &m, 1), 1);
        cr_assert(l.to_server[w].entries_off + (64u << 6) <= (w ? l.slots_off : l.to_server[1].prod_off));
    }
    cr_assert_eq(m.ctx, 42);
    memset(svm_slot_srv_at(&s, i.slots_off, 99), 1, sizeof(struct svm_slot_srv));
    memset(svm_slot_cli_at(&c, i.slots_off, 99), 1, sizeof(struct svm_slot_cli));
    cr_assert_eq(svm_segment_set_readonly(&c, 0, l.slots_off), 0);
    cr_assert_eq(svm_segment_set_readonly(&c, l.ring_off, l.c_ring_size), 0);
    svm_slot_clear(svm_slot_srv_at(&s, i.slots_off, 99), svm_slot_cli_at(&c, i.slots_off, 99));
    cr_assert_eq(svm_slot_cli_at(&c, i.slots_off, 99)->tx.tail, 0);
    svm_segment_unmap(&s);
    svm_segment_unmap(&c);
    l.n_queues = 17;
    cr_assert_eq(svm_bank_layout(&l), -EINVAL);
}

Test(segment, pair_layout)
{
    struct svm_pair_layout l = { .n_slots = 8, .queue_log2 = 5, .arena_size = 1 << 16 };
    struct svm_segment s;
    struct svm_seg_info i;
    struct svm_msgq_prod p;

    cr_assert_eq(svm_pair_layout(&l), 0);
    cr_assert_eq(svm_segment_create(&s, "pair", l.size, l.arena_off[0], false), 0);
    svm_pair_format(&l, 3, s.base);
    cr_assert_eq(svm_seg_parse(&s, SVM_SEG_PAIR, &i), 0);
    cr_assert(i.ring_off[1] >= i.ring_off[0] + i.ring_size[0] && i.ring_off[1] + i.ring_size[1] == s.size);
    for (int k = 0; k < 2; k++)
        cr_assert_eq(svm_msgq_prod_init(&p, &i.q[k], s.base, s.size, s.base, s.size), 0);
    svm_segment_unmap(&s);
}

Test(segment, garbage_headers)
{
    struct svm_bank_layout l = { .n_slots = 10, .n_queues = 1, .queue_log2 = 4, .s_ring_size = 8192, .c_ring_size = 8192 };
    struct svm_segment s = { .fd = -1 };
    struct svm_seg_info i;
    uint64_t seed = 99;
    unsigned refused = 0;

    cr_assert_eq(svm_bank_layout(&l), 0);
    s.size = l.s_size;
    s.base = aligned_alloc(4096, s.size);
    for (int k = 0; k < 20000; k++) {
        uint32_t *w = (uint32_t *)(void *)s.base;
        uint8_t other[64];

        svm_bank_format(&l, 1, s.base, other);
        for (int n = rnd(&seed) % 3; n >= 0; n--)
            w[rnd(&seed) % 16] = rnd(&seed) >> rnd(&seed) % 32;
        for (int kind = SVM_SEG_BANK; kind <= SVM_SEG_PAIR; kind++) {
            uint64_t slot = kind == SVM_SEG_PAIR ? 256 : 128;

            if (svm_seg_parse(&s, (enum svm_seg_kind)kind, &i) < 0) {
                refused++;
                continue;
            }
            cr_assert(i.slots_off <= s.size && i.n_slots * slot <= s.size - i.slots_off);
            for (int r = 0; r < kind; r++)
                cr_assert(i.ring_off[r] <= s.size && i.ring_size[r] <= s.size - i.ring_off[r]);
        }
    }
    cr_assert(refused > 1000);
    s.size = 63;
    cr_assert_eq(svm_seg_parse(&s, SVM_SEG_BANK, &i), -EPROTO);
    free(s.base);
}

static int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void send_without_a_byte(int sock)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .align = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) } };
    struct msghdr m = { .msg_control = &control, .msg_controllen = sizeof(control) };

    memcpy(CMSG_DATA(&control.align), &sock, sizeof(sock));
    cr_assert_eq(sendmsg(sock, &m, 0), 0);
}

Test(segment, messages_with_descriptors)
{
    int sv[2], fds[SVM_ATT_MAX_FDS], got[4], n_got, before;
    char buf[8];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
    for (int i = 0; i < SVM_ATT_MAX_FDS; i++)
        fds[i] = sv[0];
    before = count_fds();
    cr_assert_eq(svm_sock_send(sv[0], "hello", 6, fds, 2, 0), 0);
    cr_assert_eq(svm_sock_recv(sv[1], buf, sizeof(buf), got, 4, &n_got, 0), 6);
    cr_assert_eq(n_got, 2);
    cr_assert(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
    close(got[0]);
    close(got[1]);
    cr_assert_eq(svm_sock_send(sv[0], "many", 5, fds, SVM_ATT_MAX_FDS, 0), 0);
    cr_assert_eq(svm_sock_recv(sv[1], buf, sizeof(buf), got, 4, &n_got, 0), -EPROTO, "more than asked for");
    cr_assert_eq(svm_sock_send(sv[0], "far too long", 13, fds, 3, 0), 0);
    cr_assert_eq(svm_sock_recv(sv[1], buf, sizeof(buf), got, 4, &n_got, 0), -EPROTO, "cut off");
    cr_assert_eq(n_got, 0);
    send_without_a_byte(sv[0]);
    cr_assert_eq(svm_sock_recv(sv[1], buf, sizeof(buf), got, 4, &n_got, 0), 0, "descriptors without a byte");
    cr_assert_eq(n_got, 0);
    cr_assert_eq(count_fds(), before, "nothing leaked");
    cr_assert_eq(svm_sock_recv(sv[1], buf, sizeof(buf), got, 4, &n_got, MSG_DONTWAIT), -EAGAIN);
    close(sv[0]);
    cr_assert_eq(svm_sock_recv(sv[1], buf, sizeof(buf), got, 4, &n_got, 0), 0, "hang-up");
    cr_assert_eq(svm_sock_send(sv[1], "x", 1, NULL, 0, 0), -EPIPE);
    close(sv[1]);
}
