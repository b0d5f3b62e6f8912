/* The peer: the same loops over a hash map with libbpf's wrappers. Prints nanoseconds a call. */
#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv)
{
    int fd = bpf_map_get_fd_by_id(atoi(argv[1]));
    unsigned int count = atoi(argv[2]), key, previous, seen = 0;
    unsigned long long value;
    double begin = now();

    (void)argc;
    for (key = 0; key < count; key++)
        if (bpf_map_lookup_elem(fd, &key, &value))
            return 1;
    printf("%f\n", (now() - begin) / count);
    begin = now();
    for (key = 0; key < count; key++)
        if (value = key, bpf_map_update_elem(fd, &key, &value, 0))
            return 1;
    printf("%f\n", (now() - begin) / count);
    begin = now();
    for (int first = 1; !bpf_map_get_next_key(fd, first ? NULL : &previous, &key); first = 0) {
        if (!bpf_map_lookup_elem(fd, &key, &value))
            seen++;
        previous = key;
    }
    printf("%f\n", (now() - begin) / seen);
    return 0;
}
