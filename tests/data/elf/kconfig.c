/* Values of the kernel's configuration, of each kind. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

extern unsigned int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_BPF __kconfig __weak;
extern enum libbpf_tristate CONFIG_BPF_SYSCALL __kconfig __weak;
extern int CONFIG_HZ __kconfig __weak;
extern char CONFIG_NO_SUCH_CHAR __kconfig __weak;
extern unsigned long CONFIG_NO_SUCH_LONG __kconfig __weak;
extern const char CONFIG_NO_SUCH_STRING[10] __kconfig __weak;

SEC("tc")
int configured(struct __sk_buff *skb)
{
	long sum = LINUX_KERNEL_VERSION;

	if (CONFIG_BPF)
		sum += CONFIG_HZ;
	if (CONFIG_BPF_SYSCALL == TRI_YES)
		sum += CONFIG_NO_SUCH_CHAR;
	return sum + CONFIG_NO_SUCH_LONG + CONFIG_NO_SUCH_STRING[skb->mark & 7];
}

char license_text[] SEC("license") = "GPL";
