// Let a UDP socket receive what is sent to 127.0.0.1 and nothing else.
#include <linux/bpf.h>
#include <linux/filter.h>
#include <bpf/bpf_helpers.h>

/* A packet load of classic BPF: in host order; one outside the packet ends the program with 0. */
unsigned long long load_word(void *skb, unsigned long long at) asm("llvm.bpf.load.word");

SEC("socket")
int to_localhost(struct __sk_buff *skb)
{
	if (load_word(skb, (__u32)SKF_NET_OFF + 16) != 0x7f000001) return 0;
	return skb->len;
}

char _license[] SEC("license") = "GPL";
