/*
 * The peer: AF_XDP in C on libxdp, and the traffic for both sides.
 *
 *   peer traffic IFINDEX LENGTH HOSTS
 *       frames to the other end of a veth pair until it is killed, as fast as can be: live frames of
 *       BPF_PROG_TEST_RUN, redirected to IFINDEX, from one source address or from 256
 *   peer drop|echo|send IFACE MAP SECONDS
 *
 * MAP is the id of the XSKMAP of a program that is attached already. Prints packets a second, and
 * microseconds of processor time a packet, the kernel's included.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <limits.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <xdp/xsk.h>

#define FRAMES 4096
#define FRAME 4096
#define RING 2048
#define BURST 64
#define LENGTH 60

#ifndef BPF_F_TEST_XDP_LIVE_FRAMES
#define BPF_F_TEST_XDP_LIVE_FRAMES (1U << 1)
#endif

#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif
#define BUDGET 256 /* packets that one sendto may send, as ours asks for */

static struct xsk_ring_prod fill, tx;
static struct xsk_ring_cons done, rx;
static struct xsk_socket *xsk;
static unsigned char *area;
static unsigned long long pool[FRAMES];
static unsigned int pooled;
static unsigned long packets;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double processor_time(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static void check(int result, const char *what)
{
    if (result) {
        fprintf(stderr, "peer: %s: %s\n", what, strerror(result < 0 ? -result : result));
        exit(1);
    }
}

#define INSN(c, d, s, o, i) { .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) }
#define CALL(helper) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_##helper)

/* r0 = bpf_redirect(ifindex, 0); before it, with many hosts, a random end of the source address */
static int redirecting(unsigned int ifindex, int hosts)
{
    struct bpf_insn code[] = {
        INSN(BPF_LDX | BPF_MEM | BPF_W, 6, 1, offsetof(struct xdp_md, data), 0),
        INSN(BPF_LDX | BPF_MEM | BPF_W, 7, 1, offsetof(struct xdp_md, data_end), 0),
        INSN(BPF_ALU64 | BPF_MOV | BPF_X, 2, 6, 0, 0),
        INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, 12),
        INSN(BPF_JMP | BPF_JGT | BPF_X, 2, 7, 2, 0),
        CALL(get_prandom_u32),
        INSN(BPF_STX | BPF_MEM | BPF_B, 6, 0, 11, 0),
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, (int)ifindex),
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 0),
        CALL(redirect),
        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    int skipped = hosts > 1 ? 0 : 7;

    return bpf_prog_load(BPF_PROG_TYPE_XDP, "traffic", "GPL", code + skipped,
                         sizeof(code) / sizeof(*code) - (size_t)skipped, NULL);
}

/* One run for all of it: between two the kernel waits for RCU, and there would be no traffic. */
static void traffic(unsigned int ifindex, int length, int hosts)
{
    unsigned char frame[2048] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5 };
    struct xdp_md context = { .data_end = (unsigned int)length };
    int program = redirecting(ifindex, hosts);
    struct bpf_test_run_opts run = {
        .sz = sizeof(run),
        .data_in = frame,
        .data_size_in = (unsigned int)length,
        .ctx_in = &context,
        .ctx_size_in = sizeof(context),
        .repeat = INT_MAX,
        .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
        .batch_size = BURST,
    };

    check(program < 0 ? program : 0, "load");
    puts("ready");
    fflush(stdout);
    for (;;)
        check(bpf_prog_test_run_opts(program, &run), "test run");
}

static void open_socket(const char *iface, int map)
{
    struct xsk_umem_config memory = {
        .fill_size = RING, .comp_size = RING, .frame_size = FRAME, .frame_headroom = 0,
    };
    struct xsk_socket_config rings = {
        .rx_size = RING, .tx_size = RING,
        .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
        .bind_flags = XDP_USE_NEED_WAKEUP,
    };
    struct xsk_umem *umem;
    int fd = bpf_map_get_fd_by_id((unsigned int)map);
    unsigned int at = 0, budget = BUDGET;

    area = mmap(NULL, FRAMES * FRAME, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    check(xsk_umem__create(&umem, area, FRAMES * FRAME, &fill, &done, &memory), "UMEM");
    check(xsk_socket__create(&xsk, iface, 0, umem, &rx, &tx, &rings), "socket");
    check(xsk_socket__update_xskmap(xsk, fd), "XSKMAP");
    setsockopt(xsk_socket__fd(xsk), SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
    xsk_ring_prod__reserve(&fill, RING, &at);
    for (unsigned int i = 0; i < RING; i++)
        *xsk_ring_prod__fill_addr(&fill, at + i) = (unsigned long long)i * FRAME;
    xsk_ring_prod__submit(&fill, RING);
    for (unsigned int i = RING; i < FRAMES; i++)
        pool[pooled++] = (unsigned long long)i * FRAME;
}

static void refill(unsigned int wanted)
{
    unsigned int at;

    wanted = wanted < pooled ? wanted : pooled;
    if (!wanted || !xsk_ring_prod__reserve(&fill, wanted, &at))
        return;
    for (unsigned int i = 0; i < wanted; i++)
        *xsk_ring_prod__fill_addr(&fill, at + i) = pool[--pooled];
    xsk_ring_prod__submit(&fill, wanted);
}

static void complete(void)
{
    unsigned int at, count = xsk_ring_cons__peek(&done, RING, &at);

    for (unsigned int i = 0; i < count; i++)
        pool[pooled++] = *xsk_ring_cons__comp_addr(&done, at + i) & ~(unsigned long long)(FRAME - 1);
    if (count)
        xsk_ring_cons__release(&done, count);
}

static void kick(void)
{
    if (xsk_ring_prod__needs_wakeup(&tx))
        sendto(xsk_socket__fd(xsk), NULL, 0, MSG_DONTWAIT, NULL, 0);
}

static void wait(void)
{
    struct pollfd fds = { .fd = xsk_socket__fd(xsk), .events = POLLIN };

    poll(&fds, 1, 50);
}

static void drop(void)
{
    unsigned int at, count = xsk_ring_cons__peek(&rx, BURST, &at);

    if (!count) {
        wait();
        return;
    }
    for (unsigned int i = 0; i < count; i++)
        pool[pooled++] = xsk_ring_cons__rx_desc(&rx, at + i)->addr & ~(unsigned long long)(FRAME - 1);
    xsk_ring_cons__release(&rx, count);
    refill(count);
    packets += count;
}

static void swap_addresses(unsigned char *p)
{
    unsigned char kept[6];

    memcpy(kept, p, 6);
    memcpy(p, p + 6, 6);
    memcpy(p + 6, kept, 6);
}

static void echo(void)
{
    unsigned int at, out, count = xsk_ring_cons__peek(&rx, BURST, &at);

    complete();
    if (!count) {
        kick();
        wait();
        return;
    }
    while (xsk_ring_prod__reserve(&tx, count, &out) != count) {
        kick();
        complete();
    }
    for (unsigned int i = 0; i < count; i++) {
        const struct xdp_desc *from = xsk_ring_cons__rx_desc(&rx, at + i);
        struct xdp_desc *to = xsk_ring_prod__tx_desc(&tx, out + i);

        swap_addresses(xsk_umem__get_data(area, from->addr));
        to->addr = from->addr;
        to->len = from->len;
        to->options = 0;
    }
    xsk_ring_prod__submit(&tx, count);
    xsk_ring_cons__release(&rx, count);
    kick();
    complete();
    refill(count);
    packets += count;
}

static void transmit(void)
{
    unsigned int at;

    complete();
    if (pooled < BURST || xsk_ring_prod__reserve(&tx, BURST, &at) != BURST) {
        kick();
        return;
    }
    for (unsigned int i = 0; i < BURST; i++) {
        struct xdp_desc *to = xsk_ring_prod__tx_desc(&tx, at + i);

        to->addr = pool[--pooled];
        to->len = LENGTH;
        to->options = 0;
        memset(area + to->addr, 2, LENGTH);
    }
    xsk_ring_prod__submit(&tx, BURST);
    kick();
    packets += BURST;
}

int main(int argc, char **argv)
{
    void (*step)(void);
    double begin, end, used;

    if (argc != 5)
        return 2;
    if (!strcmp(argv[1], "traffic"))
        traffic((unsigned int)atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
    step = !strcmp(argv[1], "drop") ? drop : !strcmp(argv[1], "echo") ? echo : transmit;
    open_socket(argv[2], atoi(argv[3]));
    used = processor_time();
    begin = now();
    end = begin + atof(argv[4]);
    while (now() < end)
        for (int i = 0; i < 16; i++)
            step();
    used = processor_time() - used;
    printf("%f %f\n", packets / (now() - begin), used / packets * 1e6);
    return 0;
}
