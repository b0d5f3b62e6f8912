// Loads objects with libbpf: a path a line in, the nanoseconds from open to loaded out.
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static int silent(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

int main(void)
{
	char path[4096];

	libbpf_set_print(silent);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = 0;
		long begin = now();
		struct bpf_object *object = bpf_object__open(path);
		int failed = !object || bpf_object__load(object);
		printf("%ld\n", failed ? -1 : now() - begin);
		bpf_object__close(object);
	}
	return 0;
}
