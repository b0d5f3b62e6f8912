// What the CO-RE test programs share.
#define CORE __attribute__((preserve_access_index))
#define PROGRAM(name) SEC("raw_tp/" #name) long name(void *context)
#define FIELD_INFO(field, info) __builtin_preserve_field_info(field, info)
#define ALL_INFO(field)                                                                            \
	(FIELD_INFO(field, BPF_FIELD_BYTE_OFFSET) + FIELD_INFO(field, BPF_FIELD_BYTE_SIZE) +           \
	 FIELD_INFO(field, BPF_FIELD_EXISTS) + FIELD_INFO(field, BPF_FIELD_SIGNED) +                   \
	 FIELD_INFO(field, BPF_FIELD_LSHIFT_U64) + FIELD_INFO(field, BPF_FIELD_RSHIFT_U64))

typedef unsigned char __u8;
typedef unsigned short __u16, __be16;
typedef unsigned int __u32, __be32, __wsum;
typedef unsigned long long __u64, __be64;
typedef int __s32;
typedef long long __s64;

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

static void (*const use)(const void *) = (void *)6;

char _license[] SEC("license") = "GPL";
