/* Switches that LLVM 22 makes jump tables of, at -mcpu=v4. */
#define SEC(name) __attribute__((section(name), used))
typedef unsigned int u32;

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

volatile u32 total = 3;

#define EACH(X) \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

static __attribute__((noinline)) u32 weigh(u32 kind, u32 by)
{
	switch (kind) {
#define CASE(n) case n: total += n * 3; return by * (n + 3);
		EACH(CASE)
#undef CASE
	}
	return 5;
}

SEC("xdp") int by_length(struct xdp_md *ctx)
{
	u32 length = ctx->data_end - ctx->data - 60;

	switch (length) {
#define CASE(n) case n: return weigh(n ^ 5, ctx->rx_queue_index + 1) + n;
		EACH(CASE)
#undef CASE
	}
	return weigh(length & 31, 4);
}

SEC("xdp") int counted(struct xdp_md *ctx)
{
	u32 length = (ctx->data_end - ctx->data) & 31;

	switch (length) {
#define CASE(n) case n: total += n; return total ^ n;
		EACH(CASE)
#undef CASE
	}
	return weigh(length - 16, 3);
}

char _license[] SEC("license") = "GPL";
