/*
 * The peer: the same work on the same maps with libbpf's wrappers.
 *
 *     peer HASH ARRAY COUNT        ids of a hash map and of a mmapable array, and their entries
 *
 * Prints a line for each operation: its name and nanoseconds an item.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static unsigned int count;
static double begin;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void report(const char *name, double items)
{
    printf("%s %f\n", name, (now() - begin) / items);
}

static void check(int failed, const char *name)
{
    if (failed) {
        perror(name);
        exit(1);
    }
}

static void elements(int fd)
{
    unsigned long long value;

    begin = now();
    for (unsigned int key = 0; key < count; key++)
        check(bpf_map_lookup_elem(fd, &key, &value), "lookup");
    report("lookup", count);

    begin = now();
    for (unsigned int key = 0; key < count; key++)
        value = key, check(bpf_map_update_elem(fd, &key, &value, 0), "update");
    report("update", count);
}

static void walk(int fd)
{
    unsigned int key, previous, seen = 0;
    unsigned long long value;

    begin = now();
    for (int first = 1; !bpf_map_get_next_key(fd, first ? NULL : &previous, &key); first = 0) {
        if (!bpf_map_lookup_elem(fd, &key, &value))
            seen++;
        previous = key;
    }
    report("walk", seen);
}

static void all(int fd, unsigned int *keys, unsigned long long *values)
{
    unsigned int cursor, done = count;

    check(bpf_map_lookup_batch(fd, NULL, &cursor, keys, values, &done, NULL) && errno != ENOENT,
          "lookup_batch");
    check(done != count, "lookup_batch found all");
}

/* Each begins behind a reading of all, here as there: the map is then in the same caches. */
static void batches(int fd)
{
    unsigned int *keys = malloc(count * sizeof(*keys)), done = count;
    unsigned long long *values = malloc(count * sizeof(*values));

    all(fd, keys, values);
    begin = now();
    all(fd, keys, values);
    report("lookup_batch", count);

    all(fd, keys, values);
    begin = now();
    check(bpf_map_update_batch(fd, keys, values, &done, NULL), "update_batch");
    report("update_batch", done);

    all(fd, keys, values);
    begin = now();
    check(bpf_map_delete_batch(fd, keys, &done, NULL), "delete_batch");
    report("delete_batch", done);
    check(bpf_map_update_batch(fd, keys, values, &done, NULL), "update_batch");
}

static void deletions(int fd)
{
    unsigned long long value;

    begin = now();
    for (unsigned int key = 0; key < count; key++)
        check(bpf_map_delete_elem(fd, &key), "delete");
    report("delete", count);
    for (unsigned int key = 0; key < count; key++)
        value = key, check(bpf_map_update_elem(fd, &key, &value, 0), "update");
}

static void memory(int fd)
{
    const int rounds = 100;
    size_t size = (count * 8 + 4095) & ~4095ul;
    volatile unsigned long long *shared = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    unsigned long long sum = 0;

    check(shared == MAP_FAILED, "mmap");
    for (unsigned int i = 0; i < count; i++) /* the first touch of each page is its own affair */
        sum += shared[i];
    begin = now();
    for (int round = 0; round < rounds; round++)
        for (unsigned int i = 0; i < count; i++)
            sum += shared[i];
    report("memory", (double)rounds * count);
    if (sum == 1)
        puts("");
}

int main(int argc, char **argv)
{
    int hash, array;

    if (argc != 4)
        return 2;
    hash = bpf_map_get_fd_by_id(atoi(argv[1]));
    array = bpf_map_get_fd_by_id(atoi(argv[2]));
    count = atoi(argv[3]);
    check(hash < 0 || array < 0, "open");
    elements(hash);
    walk(hash);
    batches(hash);
    deletions(hash);
    memory(array);
    return 0;
}
