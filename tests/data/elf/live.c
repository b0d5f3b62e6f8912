/* Variables that are looked at and changed while the program is in the kernel. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct pair {
	__s32 first;
	__u64 second;
	char name[8];
};

enum mood { CALM, CROSS = 7 };

const volatile __u32 threshold = 5;
const volatile struct pair limits = { -1, 2, "limit" };
__u64 runs;
__s16 step = -3;
_Bool flag = 1;
enum mood mood = CROSS;
struct pair last = { 1, 2, "first" };
__u8 bytes[6] = { 1, 2, 3 };
__u32 table[3] = { 10, 20, 30 };
static volatile __u32 hidden = 77;

SEC("xdp")
int count(struct xdp_md *ctx)
{
	runs += 1;
	hidden += 1;
	last.first += step;
	last.second = limits.second;
	table[1] += flag;
	return runs > threshold ? XDP_DROP : XDP_PASS;
}

char license_text[] SEC("license") = "GPL";
