/* A table of functions for the kernel, with numbers and text beside them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct sock;

struct tcp_congestion_ops {
	unsigned int (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, unsigned int ack, unsigned int acked);
	unsigned int (*undo_cwnd)(struct sock *sk);
	unsigned int flags;
	char name[16];
};

SEC("struct_ops/plain_ssthresh")
unsigned int plain_ssthresh(unsigned long long *ctx)
{
	return 2;
}

SEC("struct_ops/plain_cong_avoid")
void plain_cong_avoid(unsigned long long *ctx)
{
}

SEC("struct_ops/plain_undo")
unsigned int plain_undo(unsigned long long *ctx)
{
	return 10;
}

SEC(".struct_ops")
struct tcp_congestion_ops plain = {
	.ssthresh = (void *)plain_ssthresh,
	.cong_avoid = (void *)plain_cong_avoid,
	.undo_cwnd = (void *)plain_undo,
	.name = "bpf_plain",
};

char license_text[] SEC("license") = "GPL";
