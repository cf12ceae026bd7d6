/* port_ethdev.c - any DPDK device: a network card by its address, or a virtual device by its driver's name
 *
 *   device 0000:01:00.0[,ARGS]          device net_vhost iface=/run/x.sock      device net_virtio_user0,path=/run/x.sock
 *
 * Offloads are used when the device reports them, and net_vhost's segmentation while its guest takes super-frames (port_vhost.c).
 * Each transmit queue has a lock, so that any worker may send on it: uncontended it costs a few cycles, and ports with fewer queues than
 * workers need nothing special. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_spinlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/port/port_vnet.h"

enum ethdev_limits {
    ETHDEV_MAX_QUEUES = 16,
    ETHDEV_DESCRIPTORS = 512,
    ETHDEV_VIRTIO_RX = 1024,     /* a super-frame of 64 KB takes 19 */
    ETHDEV_MIN_RX = 64,
    ETHDEV_TSO_MAX = 65000,
    ETHDEV_L2_OVERHEAD = 22,     /* with an 802.1Q tag and the check sum */
};

struct ethdev {
    uint16_t id;
    bool started;
    struct rte_device *device;
    int wait_fd[ETHDEV_MAX_QUEUES];     /* -1: the driver cannot wake us */
    uint64_t rx_offloads, tx_offloads;
    struct port_vhost *vhost;           /* net_vhost: what its guest decides; else NULL */
    uint64_t bad_tx;                    /* packets that the driver cannot send; atomic */
    struct { rte_spinlock_t lock; } HS_ALIGNED_LINE tx[ETHDEV_MAX_QUEUES];
};

/* ---------------------------------------------------------------- data path */

static unsigned ethdev_rx_burst(struct port *p, unsigned queue, struct pkt **pkts, unsigned n)
{
    struct ethdev *e = p->priv;
    struct rte_mbuf **m = (struct rte_mbuf **)pkts; /* a struct pkt begins with its mbuf */
    unsigned got = rte_eth_rx_burst(e->id, (uint16_t)queue, m, (uint16_t)n);

    for (unsigned i = 0; i < got; i++) {
        struct pkt_meta *meta = pkt_meta(pkts[i]);
        uint64_t l4 = m[i]->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
        /* The driver knows nothing of the private area. NONE means: open, but the data never crossed a wire (virtio). */
        memset(meta, 0, sizeof(*meta));
        if (e->rx_offloads && (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD || l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE))
            meta->flags = PKT_L4_CSUM_GOOD;
        if (hs_unlikely(m[i]->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED))
            meta->flags |= PKT_VLAN;
    }
    return got;
}

/* DPDK wants the pseudo-header sum of a TSO packet without the length; ours has it (as virtio does). */
static void tso_fix_pseudo_sum(struct rte_mbuf *m, const struct pkt_meta *meta)
{
    uint16_t sum = pkt_pseudo_sum(meta, 0);

    memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, meta->l2_len + meta->l3_len + 16), &sum, 2);
}

static void tx_flags(const struct ethdev *e, struct rte_mbuf *m, const struct pkt_meta *meta)
{
    bool v4 = ip_addr_is_v4(&meta->dst);

    m->ol_flags = meta->flags & PKT_VLAN ? RTE_MBUF_F_TX_VLAN : 0;
    if (!(meta->flags & (PKT_L4_CSUM_NEEDED | PKT_GSO)))
        return;
    m->l2_len = meta->l2_len;
    m->l3_len = meta->l3_len;
    m->ol_flags |= v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
    if (meta->flags & PKT_GSO) {
        m->l4_len = meta->l4_len;
        m->tso_segsz = meta->gso_size;
        m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM;
        /* Pieces cut by a card need header checksums of their own. virtio hands the super-frame on as it is, with our checksum. */
        if (v4 && (e->tx_offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM)) {
            m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
            memset(rte_pktmbuf_mtod_offset(m, uint8_t *, meta->l2_len + 10), 0, 2);
        }
        tso_fix_pseudo_sum(m, meta);
    } else {
        m->ol_flags |= meta->ip_proto == IPPROTO_UDP ? RTE_MBUF_F_TX_UDP_CKSUM :
                       meta->ip_proto == IPPROTO_SCTP ? RTE_MBUF_F_TX_SCTP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM;
    }
}

/* What was not sent comes again. A driver that puts tags in by itself has done so when it prepared the packet. */
static void keep_tags(struct pkt **pkts, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct pkt_meta *meta = pkt_meta(pkts[i]);
        if (hs_unlikely(meta->flags & PKT_VLAN) && !(pkt_mbuf(pkts[i])->ol_flags & RTE_MBUF_F_TX_VLAN)) {
            meta->flags &= (uint16_t)~PKT_VLAN;
            meta->l2_len += RTE_VLAN_HLEN;
        }
    }
}

static unsigned ethdev_tx_burst(struct port *p, unsigned queue, struct pkt **pkts, unsigned n)
{
    struct ethdev *e = p->priv;
    struct rte_mbuf **m = (struct rte_mbuf **)pkts;
    bool takes_gso = port_offloads(p) & PORT_TX_TSO;
    unsigned ready = 0;

    for (; ready < n && (takes_gso || !(pkt_meta(pkts[ready])->flags & PKT_GSO)); ready++)
        tx_flags(e, m[ready], pkt_meta(pkts[ready]));
    rte_spinlock_lock(&e->tx[queue].lock);
    ready = rte_eth_tx_prepare(e->id, (uint16_t)queue, m, (uint16_t)ready);
    unsigned sent = rte_eth_tx_burst(e->id, (uint16_t)queue, m, (uint16_t)ready);
    rte_spinlock_unlock(&e->tx[queue].lock);
    keep_tags(pkts + sent, ready - sent);
    /* The next one cannot go: a super-frame made for the former guest, or what the driver refuses. */
    if (hs_unlikely(sent == ready && ready < n)) {
        __atomic_fetch_add(&e->bad_tx, 1, __ATOMIC_RELAXED);
        pkt_free(pkts[sent++]);
    }
    return sent;
}

/* ---------------------------------------------------------------- sleeping */

static int ethdev_rx_wait_fd(struct port *p, unsigned queue)
{
    struct ethdev *e = p->priv;

    return e->vhost ? port_vhost_wait_fd(e->vhost, queue) : e->wait_fd[queue];
}

static int ethdev_rx_intr(struct port *p, unsigned queue, bool enable)
{
    struct ethdev *e = p->priv;
    uint64_t count;

    if (e->vhost) {
        port_vhost_notify(e->vhost, queue, enable);
        return 0;
    }
    if (e->wait_fd[queue] < 0)
        return -ENOTSUP;
    if (enable)
        return rte_eth_dev_rx_intr_enable(e->id, (uint16_t)queue);
    int ret = rte_eth_dev_rx_intr_disable(e->id, (uint16_t)queue);
    /* The driver leaves the counter of its eventfd to whoever waits on it. */
    if (read(e->wait_fd[queue], &count, sizeof(count)) < 0 && errno != EAGAIN)
        return -errno;
    return ret;
}

/* Interrupt descriptors that are known to work: virtio_user's are eventfds of the other side's kicks (vhost's: port_vhost.c). Others either need VFIO
 * or are no plain eventfd; a worker polls those in bounded intervals. */
static void setup_wait(struct ethdev *e, const char *driver, unsigned n_rx)
{
    for (unsigned i = 0; i < n_rx; i++) {
        e->wait_fd[i] = -1;
        if (strcmp(driver, "net_virtio_user") != 0)
            continue;
        int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(e->id, (uint16_t)i);
        if (fd >= 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0)
            e->wait_fd[i] = fd;
    }
}

/* ---------------------------------------------------------------- control */

static void ethdev_stats(struct port *p, struct port_stats *out)
{
    struct ethdev *e = p->priv;
    struct rte_eth_stats s = { 0 };

    rte_eth_stats_get(e->id, &s);
    *out = (struct port_stats){ .rx_packets = s.ipackets, .rx_bytes = s.ibytes, .tx_packets = s.opackets, .tx_bytes = s.obytes,
                                .rx_errors = s.ierrors + s.imissed, .rx_nombuf = s.rx_nombuf,
                                .tx_drops = s.oerrors + __atomic_load_n(&e->bad_tx, __ATOMIC_RELAXED) };
}

static int ethdev_link_up(struct port *p)
{
    struct ethdev *e = p->priv;
    struct rte_eth_link link = { 0 };

    return rte_eth_link_get_nowait(e->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

static void ethdev_close(struct port *p)
{
    struct ethdev *e = p->priv;

    if (e->vhost)
        port_vhost_unwatch(e->vhost);
    if (e->started)
        rte_eth_dev_stop(e->id);
    rte_eth_dev_close(e->id);
    if (e->device)
        rte_dev_remove(e->device);
    free(e);
    p->priv = NULL;
}

static const struct port_ops ethdev_ops = {
    .kind = "ethdev",
    .rx_burst = ethdev_rx_burst,
    .tx_burst = ethdev_tx_burst,
    .rx_wait_fd = ethdev_rx_wait_fd,
    .rx_intr = ethdev_rx_intr,
    .stats = ethdev_stats,
    .link_up = ethdev_link_up,
    .close = ethdev_close,
};

static int add_arg(char *args, size_t args_len, size_t *used, const char *arg, size_t n)
{
    if (*used + n + 2 > args_len)
        return -ENAMETOOLONG;
    args[(*used)++] = ',';
    memcpy(args + *used, arg, n);
    *used += n;
    args[*used] = '\0';
    return 0;
}

/* What a driver does only when it is told to, and we want unless something else is asked for. The other side may refuse. */
static const struct {
    const char *driver, *key, *arg;
} default_args[] = {
    { "net_vhost", "tso=", "tso=1" },
    { "net_virtio_user", "queue_size=", "queue_size=1024" }, /* 256: no more than 13 super-frames from the other side may wait */
    { "net_virtio_user", "packed_vq=", "packed_vq=1" },
};

static int add_defaults(const char *device, uint32_t said, char *args, size_t args_len, size_t *used)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < HS_ARRAY_LEN(default_args); i++)
        if (!(said & 1u << i) && strncmp(device, default_args[i].driver, strlen(default_args[i].driver)) == 0)
            ret = add_arg(args, args_len, used, default_args[i].arg, strlen(default_args[i].arg));
    return ret;
}

/* "net_tap iface=x" -> "net_tap_<port>,iface=x": a virtual device's name is its driver's and something of its own; with a number
 * at its end the name is taken as it stands, and a PCI address always. */
static int device_args(const struct port_config *cfg, char *args, size_t args_len, char *name, size_t name_len)
{
    const char *d = cfg->device;
    size_t word = strcspn(d, " \t,");
    bool bare = strchr(d, ':') == NULL || strncmp(d, "net_", 4) == 0;

    bare = bare && word > 0 && !isdigit((unsigned char)d[word - 1]);
    if (snprintf(name, name_len, "%.*s%s%s", (int)word, d, bare ? "_" : "", bare ? cfg->name : "") >= (int)name_len)
        return -ENAMETOOLONG;
    size_t used = (size_t)snprintf(args, args_len, "%s", name);
    uint32_t said = 0;
    for (const char *s = d + word; *s;) {
        s += strspn(s, " \t,");
        size_t n = strcspn(s, " \t,");
        if (n == 0)
            break;
        if (add_arg(args, args_len, &used, s, n) < 0)
            return -ENAMETOOLONG;
        for (unsigned i = 0; i < HS_ARRAY_LEN(default_args); i++)
            said |= (uint32_t)(strncmp(s, default_args[i].key, strlen(default_args[i].key)) == 0) << i;
        s += n;
    }
    return add_defaults(d, said, args, args_len, &used);
}

static int probe(struct ethdev *e, const struct port_config *cfg, char *err, size_t err_len)
{
    char args[sizeof(cfg->device) + 64], name[RTE_ETH_NAME_MAX_LEN];
    int ret = device_args(cfg, args, sizeof(args), name, sizeof(name));

    if (ret < 0) {
        port_fail(err, err_len, "device name '%s' is too long", cfg->device);
        return ret;
    }
    if (rte_eth_dev_get_port_by_name(name, &e->id) == 0) {
        port_fail(err, err_len, "DPDK device '%s' is in use already", name);
        return -EBUSY;
    }
    ret = rte_dev_probe(args);
    if (ret < 0 || rte_eth_dev_get_port_by_name(name, &e->id) != 0) {
        port_fail(err, err_len, "DPDK has no device '%s': %s (the driver's own message is in the log)", args,
                  strerror(ret < 0 ? -ret : ENODEV));
        return ret < 0 ? ret : -ENODEV;
    }
    return 0;
}

int port_member_open(const struct port_config *cfg, char *err, size_t err_len)
{
    struct ethdev e = { .id = 0 };

    return probe(&e, cfg, err, err_len);
}

/* Tags beside the frame, both ways; segments that come as one packet, where a packet may have several pieces. */
static void choose_more(struct port *p, struct ethdev *e, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
    uint64_t rx = conf->rxmode.offloads;

    if (info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_VLAN_STRIP) {
        rx |= RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
        p->offloads |= PORT_RX_VLAN;
    }
    if (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_VLAN_INSERT) {
        e->tx_offloads |= RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
        p->offloads |= PORT_TX_VLAN;
    }
    if (rx & RTE_ETH_RX_OFFLOAD_SCATTER && e->rx_offloads && info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_LRO) {
        rx |= RTE_ETH_RX_OFFLOAD_TCP_LRO;
        conf->rxmode.max_lro_pkt_size = info->max_lro_pkt_size; /* 0: the driver has no limit of its own */
        p->offloads |= PORT_RX_LRO;
    }
    conf->rxmode.offloads = rx;
    conf->txmode.offloads = e->tx_offloads;
}

/* What the device reports and we use. */
static void choose_offloads(struct port *p, struct ethdev *e, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf,
                            unsigned n_rx)
{
    uint64_t rx = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
    uint64_t tx = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    uint64_t tso = RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;

    p->offloads = PORT_MT_TX;
    if ((info->rx_offload_capa & rx) == rx) {
        e->rx_offloads = rx | (info->rx_offload_capa & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_SCTP_CKSUM));
        p->offloads |= PORT_RX_CSUM;
    }
    if ((info->tx_offload_capa & tx) == tx) {
        e->tx_offloads = tx | (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_SCTP_CKSUM);
        p->offloads |= PORT_TX_CSUM | (e->tx_offloads & RTE_ETH_TX_OFFLOAD_SCTP_CKSUM ? PORT_TX_SCTP_CSUM : 0);
    }
    conf->rxmode.offloads = e->rx_offloads | (info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER);
    /* virtio's TSO needs no header checksum offload. */
    uint64_t need = strcmp(info->driver_name, "net_virtio_user") == 0 ? RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS : tso;
    if (e->tx_offloads && (info->tx_offload_capa & need) == need && strcmp(info->driver_name, "net_tap") != 0) {
        e->tx_offloads |= need; /* net_tap cuts in software, from a pool too small for our pieces: our own cutting is cheaper */
        p->offloads |= PORT_TX_TSO;
        p->tso_max = ETHDEV_TSO_MAX;
    } else {
        e->tx_offloads |= info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    }
    choose_more(p, e, info, conf);
    uint64_t rss = info->flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
    if (n_rx > 1 && rss) {
        conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf->rx_adv_conf.rss_conf.rss_hf = rss;
    }
}

static int setup_mtu(struct port *p, struct ethdev *e, const struct port_config *cfg, const struct rte_eth_dev_info *info,
                     struct rte_eth_conf *conf, char *err, size_t err_len)
{
    uint16_t mtu = 1500;

    if (cfg->mtu)
        mtu = cfg->mtu;
    else if (rte_eth_dev_get_mtu(e->id, &mtu) != 0 || mtu == 0)
        mtu = 1500;
    if (info->max_mtu && mtu > info->max_mtu) {
        port_fail(err, err_len, "mtu %u is larger than device '%s' takes (%u)", mtu, cfg->device, info->max_mtu);
        return -EINVAL;
    }
    conf->rxmode.mtu = mtu;
    p->mtu = mtu;
    return 0;
}

/* What waits in the queues for frames leaves half of the small packets to others. */
static uint16_t rx_descriptors(const struct port *p, const struct rte_eth_dev_info *info)
{
    unsigned n = strcmp(info->driver_name, "net_virtio_user") == 0 ? ETHDEV_VIRTIO_RX : ETHDEV_DESCRIPTORS;

    while (n > ETHDEV_MIN_RX && n * p->n_rx_queues > p->pools->small->size / 2)
        n /= 2;
    return (uint16_t)n;
}

static int setup_queues(struct port *p, struct ethdev *e, const struct rte_eth_dev_info *info, const struct rte_eth_conf *conf)
{
    uint16_t n_rxd = rx_descriptors(p, info), n_txd = ETHDEV_DESCRIPTORS;
    struct rte_eth_rxconf rx = info->default_rxconf;
    struct rte_eth_txconf tx = info->default_txconf;
    /* A frame larger than a small packet needs a driver that scatters, or big packets. What net_vhost copies out of its guest's memory is
     * mostly super-frames, and no buffer waits there for data: in one piece, a stream is twice as fast as in 19. */
    bool big = (p->mtu + ETHDEV_L2_OVERHEAD > PKT_SMALL_DATA && !(conf->rxmode.offloads & RTE_ETH_RX_OFFLOAD_SCATTER)) ||
               strcmp(info->driver_name, "net_vhost") == 0;
    int ret = rte_eth_dev_adjust_nb_rx_tx_desc(e->id, &n_rxd, &n_txd);

    rx.offloads = conf->rxmode.offloads;
    tx.offloads = conf->txmode.offloads;
    for (unsigned i = 0; ret == 0 && i < p->n_rx_queues; i++)
        ret = rte_eth_rx_queue_setup(e->id, (uint16_t)i, n_rxd, (unsigned)rte_eth_dev_socket_id(e->id), &rx,
                                     big ? p->pools->big : p->pools->small);
    for (unsigned i = 0; ret == 0 && i < p->n_tx_queues; i++)
        ret = rte_eth_tx_queue_setup(e->id, (uint16_t)i, n_txd, (unsigned)rte_eth_dev_socket_id(e->id), &tx);
    return ret;
}

static void setup_mac(struct port *p, struct ethdev *e, const struct port_config *cfg, const char *driver)
{
    struct rte_ether_addr mac = { { 0 } };
    static const uint8_t none[6];
    bool own = true;

    if (rte_eth_macaddr_get(e->id, &mac) < 0 || rte_is_zero_ether_addr(&mac))
        own = false; /* net_ring has none */
    memcpy(p->mac, mac.addr_bytes, 6);
    if (strcmp(driver, "net_tap") == 0) {
        /* The driver gives its address to the kernel's interface, which is the station at the other end: ours is another. */
        if (cfg->has_mac)
            memcpy(p->mac, cfg->mac, 6);
        else
            vnet_make_mac(cfg->name, mac.addr_bytes, p->mac);
        return; /* a TAP filters nothing */
    }
    if (cfg->has_mac) {
        memcpy(p->mac, cfg->mac, 6);
        memcpy(mac.addr_bytes, cfg->mac, 6);
        own = rte_eth_dev_default_mac_addr_set(e->id, &mac) == 0;
    } else if (!own) {
        vnet_make_mac(cfg->name, none, p->mac);
    }
    /* A device that cannot take our address or our groups shows us everything; eth_input() sorts. */
    if (!own || rte_eth_allmulticast_enable(e->id) != 0)
        rte_eth_promiscuous_enable(e->id);
}

static int configure(struct port *p, struct ethdev *e, const struct port_config *cfg, char *err, size_t err_len)
{
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf = { 0 };
    int ret = rte_eth_dev_info_get(e->id, &info);

    if (ret < 0)
        goto err_device;
    unsigned n = cfg->n_queues ? cfg->n_queues : 1;
    n = n > ETHDEV_MAX_QUEUES ? ETHDEV_MAX_QUEUES : n;
    p->n_rx_queues = n < info.max_rx_queues ? n : info.max_rx_queues;
    p->n_tx_queues = n < info.max_tx_queues ? n : info.max_tx_queues;
    e->device = info.device;
    choose_offloads(p, e, &info, &conf, p->n_rx_queues);
    ret = setup_mtu(p, e, cfg, &info, &conf, err, err_len);
    if (ret < 0)
        return ret;
    if (strcmp(info.driver_name, "net_vhost") == 0 && !(e->vhost = port_vhost_watch(p, e->id))) {
        ret = -ENOMEM;
        goto err_device;
    }
    bool interrupts = strcmp(info.driver_name, "net_virtio_user") == 0;
    conf.intr_conf.rxq = interrupts;
    ret = rte_eth_dev_configure(e->id, (uint16_t)p->n_rx_queues, (uint16_t)p->n_tx_queues, &conf);
    if (ret < 0 && interrupts) { /* the other side may not offer them */
        conf.intr_conf.rxq = 0;
        ret = rte_eth_dev_configure(e->id, (uint16_t)p->n_rx_queues, (uint16_t)p->n_tx_queues, &conf);
    }
    if (ret == 0)
        ret = setup_queues(p, e, &info, &conf);
    if (ret == 0)
        ret = rte_eth_dev_start(e->id);
    if (ret < 0)
        goto err_device;
    e->started = true;
    setup_wait(e, conf.intr_conf.rxq ? info.driver_name : "", p->n_rx_queues);
    setup_mac(p, e, cfg, info.driver_name);
    if (e->vhost)
        port_vhost_opened(e->vhost);
    return 0;

err_device:
    port_fail(err, err_len, "device '%s': %s", cfg->device, strerror(-ret));
    return ret;
}

int port_ethdev_open(struct port *p, const struct port_config *cfg, char *err, size_t err_len)
{
    struct ethdev *e = aligned_alloc(HS_CACHE_LINE, sizeof(*e));

    if (!e) {
        port_fail(err, err_len, "out of memory");
        return -ENOMEM;
    }
    memset(e, 0, sizeof(*e));
    for (unsigned i = 0; i < ETHDEV_MAX_QUEUES; i++)
        rte_spinlock_init(&e->tx[i].lock);
    int ret = probe(e, cfg, err, err_len);
    if (ret < 0) {
        free(e);
        return ret;
    }
    p->priv = e;
    p->ops = &ethdev_ops;
    ret = configure(p, e, cfg, err, err_len);
    if (ret < 0)
        ethdev_close(p);
    return ret;
}
