/* Keys and values of every look, for the tests of typed maps. */
#include "../c/bpf.h"

typedef short s16;

enum kind { NONE, TCP = 6, UDP = 17 };
enum level { LOW = -1, HIGH = 1 };

struct end {
	u16 port;
	char name[8];
};

struct flow {
	u32 source;
	u8 mac[6];
	u16 vlan;
};

struct traffic {
	u64 packets;
	s32 delta;
	enum kind kind;
	_Bool up;
	struct end ends[2];
	u32 low : 3;
	s32 middle : 5;
	u32 high : 24;
	union {
		u32 v4;
		u8 v6[16];
	};
	void *place;
	u32 hist[4];
	signed char moods[3];
};

struct flat {
	u32 a;
	u64 b;
	s16 c;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct flow);
	__type(value, struct traffic);
	__uint(max_entries, 16);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, struct flat);
	__uint(max_entries, 4096);
} flats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, enum level);
	__uint(max_entries, 2);
} levels SEC(".maps");

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	struct flow flow = {};
	u32 zero = 0;

	bpf_map_lookup_elem(&flows, &flow);
	bpf_map_lookup_elem(&flats, &zero);
	bpf_map_lookup_elem(&levels, &zero);
	return XDP_PASS;
}
