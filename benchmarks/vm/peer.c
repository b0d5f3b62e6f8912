/* uBPF's interpreter on a program and 64 bytes of memory: nanoseconds of a run, printed. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ubpf.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv)
{
    static unsigned char code[1 << 16], memory[64];
    char *message = NULL;
    uint64_t result = 0;
    if (argc != 3)
        return 2;
    FILE *file = fopen(argv[1], "rb");
    size_t size = file ? fread(code, 1, sizeof code, file) : 0;
    long runs = atol(argv[2]);
    struct ubpf_vm *vm = ubpf_create();
    if (!vm || ubpf_load(vm, code, size, &message) != 0) {
        fprintf(stderr, "%s\n", message ? message : "no machine");
        return 1;
    }
    memory[12] = 8;
    memory[23] = 17;
    double begin = now();
    for (long i = 0; i < runs; i++)
        if (ubpf_exec(vm, memory, sizeof memory, &result) != 0)
            return 1;
    printf("%.3f %llx\n", (now() - begin) / runs, (unsigned long long)result);
    return 0;
}
