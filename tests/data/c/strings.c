/* Strings with every kind of escape, tables of strings, pointers in data. */
#include "bpf.h"

static const char *const names[] = { "aborted", "drop", "a \"quoted\" one\n", "\001\033[0m\377\\" };
const char *current = "tab\there";
static int numbers[3] = { 1, 2, 3 };
int *second_number = &numbers[1];
volatile const char greeting[24] = "gr\303\274\303\237e # // /* ;";

SEC("socket") int speak(void *ctx)
{
	char format[] = "packet %d; %s\n";
	bpf_trace_printk(format, sizeof(format), *second_number, current);
	u32 index = bpf_ktime_get_ns() & 3;
	return names[index][0] + greeting[3] + current[1] + "constant"[index];
}

char LICENSE[] SEC("license") = "GPL";
