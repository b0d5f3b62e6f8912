/* Variables of every kind, and what points into them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct pair {
	char first;
	long second;
};

const volatile int threshold = 7;
const volatile struct pair limits = { 1, -2 };
int counter = 5;
static int table[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
int weak_one __attribute__((weak)) = 3;
long zeroed;
static volatile char scratch[64];
int hidden __attribute__((visibility("hidden"))) = 9;
unsigned short custom SEC(".data.custom") = 0xabcd;
const char names[2][4] SEC(".rodata.names") = { "one", "two" };
long apart SEC(".bss.apart");

static __attribute__((noinline)) int previous(unsigned long index)
{
	index &= 7;
	return index ? table[index - 1] : 0;
}

SEC("tc")
int uses_all(struct __sk_buff *skb)
{
	static int calls;
	unsigned long index = skb->mark & 7;

	calls++;
	counter += threshold;
	zeroed += limits.second;
	scratch[index] = names[index & 1][index & 3];
	weak_one++;
	hidden += custom;
	table[index] += index;
	apart++;
	bpf_printk("seen %d", calls);
	return previous(index) + table[index];
}

char license_text[] SEC("license") = "GPL";
