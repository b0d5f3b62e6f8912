/* Variables: initialised or not, static or not, constant, weak, hidden, arrays, in sections of
 * their own, and read through volatile so that no optimiser takes them away. */
#include "bpf.h"

u64 counter;
u32 start = 42;
volatile const u32 limit = 7;
volatile const u8 table[4] = { 1, 2, 3, 0xff };
static volatile int hidden_from_others;
static volatile u64 history[4] = { 1, 2, 3, 4 };
__attribute__((weak)) volatile int weakling = 3;
__attribute__((visibility("hidden"))) volatile u16 behind_the_scenes = 0x1234;
volatile u8 flag = 1;
struct pair {
	u8 small;
	u64 large;
} __attribute__((aligned(16))) pair = { 1, 0x1122334455667788 };
volatile u32 special SEC(".data.special") = 9;
volatile const u32 constant_elsewhere SEC(".rodata.elsewhere") = 10;
volatile s64 negative = -5;

SEC("xdp") int use(struct xdp_md *ctx)
{
	counter++;
	hidden_from_others += start;
	history[ctx->rx_queue_index & 3] += limit;
	history[2]++;
	flag = table[1];
	behind_the_scenes--;
	pair.large += special + constant_elsewhere;
	if (weakling > 2 && negative < 0)
		return XDP_DROP;
	return counter > limit ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp") int use_again(struct xdp_md *ctx)
{
	return hidden_from_others + pair.small;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
