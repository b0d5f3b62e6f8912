/* Runs an XDP program COUNT times on one frame with libbpf: its id and COUNT are the arguments. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <bpf/bpf.h>

int main(int count, char **arguments)
{
	int fd = count > 2 ? bpf_prog_get_fd_by_id(atoi(arguments[1])) : -1;
	long runs = count > 2 ? atol(arguments[2]) : 0;
	static char in[64], out[8192];
	struct timespec begin, end;

	if (fd < 0)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (long i = 0; i < runs; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = sizeof(in),
			    .data_out = out, .data_size_out = sizeof(out));

		if (bpf_prog_test_run_opts(fd, &opts))
			return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%f\n", (end.tv_sec - begin.tv_sec) + (end.tv_nsec - begin.tv_nsec) / 1e9);
	return 0;
}
