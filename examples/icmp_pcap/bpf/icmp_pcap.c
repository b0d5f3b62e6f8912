// Keep ICMP over IPv4 and nothing else, as a filter of packet sockets.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

/* The packet loads of classic BPF: in host order; one outside the packet ends the program with 0. */
unsigned long long load_byte(void *skb, unsigned long long at) asm("llvm.bpf.load.byte");
unsigned long long load_half(void *skb, unsigned long long at) asm("llvm.bpf.load.half");

SEC("socket")
int icmp_only(struct __sk_buff *skb)
{
	if (load_half(skb, 12) != ETH_P_IP) return 0;
	if (load_byte(skb, ETH_HLEN + 9) != IPPROTO_ICMP) return 0;
	return skb->len; // how many bytes to keep: all
}

char _license[] SEC("license") = "GPL";
