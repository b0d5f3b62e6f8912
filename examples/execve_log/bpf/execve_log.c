// Tell user space which programs are started: who starts which file.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event {
	__u32 pid;
	__u32 uid;
	char comm[16];
	char filename[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} events SEC(".maps");

__u64 lost; // records for which there was no room

struct execve {
	__u64 common;
	__u64 number;
	const char *filename; // and more, which nobody reads here
};

SEC("tracepoint/syscalls/sys_enter_execve")
int log_execve(struct execve *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	event->filename[0] = 0; // empty, should it not be readable
	bpf_probe_read_user_str(event->filename, sizeof(event->filename), ctx->filename);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char _license[] SEC("license") = "GPL";
