/* A function to put in the place of one of calls.c. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("freplace/global_one")
int replacement(int x)
{
	return x + 1000;
}

char license_text[] SEC("license") = "GPL";
