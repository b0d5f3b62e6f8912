/*
 * What libbpf makes of an object, without a kernel: its system calls are answered here, and those
 * that create maps and load programs are written to standard output, a line each.
 *
 *   map FD NAME TYPE KEY VALUE ENTRIES FLAGS NODE EXTRA INNER_FD
 *   fill FD KEY VALUE_FD
 *   data FD HEX
 *   program NAME TYPE ATTACH FLAGS LICENSE HEX
 *   func SLOT TYPE_ID
 *   line SLOT FILE LINE_TEXT POSITION
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static int loading; /* libbpf's own probes are not written down */

static int fake_fd(size_t size)
{
	int fd = memfd_create("map", 0);

	if (fd < 0 || ftruncate(fd, size) < 0)
		abort();
	return fd;
}

static void hex(const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t at = 0; at < size; at++)
		printf("%02x", bytes[at]);
}

static int probe(const char *name)
{
	return !strncmp(name, "libbpf_", 7);
}

static long map_create(const union bpf_attr *attr)
{
	int fd = fake_fd(1 << 20);

	if (loading && !probe(attr->map_name))
		printf("map %d %s %u %u %u %u %u %u %llu %u\n", fd, attr->map_name, attr->map_type,
		       attr->key_size, attr->value_size, attr->max_entries, attr->map_flags,
		       attr->numa_node, (unsigned long long)attr->map_extra, attr->inner_map_fd);
	return fd;
}

static long prog_load(const union bpf_attr *attr)
{
	const struct bpf_func_info *funcs = (void *)(unsigned long)attr->func_info;
	const struct bpf_line_info *lines = (void *)(unsigned long)attr->line_info;

	if (!loading || probe(attr->prog_name) || !attr->prog_name[0])
		return fake_fd(0);
	printf("program %s %u %u %u %s ", attr->prog_name, attr->prog_type,
	       attr->expected_attach_type, attr->prog_flags, (char *)(unsigned long)attr->license);
	hex((void *)(unsigned long)attr->insns, 8 * attr->insn_cnt);
	printf("\n");
	for (unsigned i = 0; i < attr->func_info_cnt; i++)
		printf("func %u %u\n", funcs[i].insn_off, funcs[i].type_id);
	for (unsigned i = 0; i < attr->line_info_cnt; i++)
		printf("line %u %u %u %u\n", lines[i].insn_off, lines[i].file_name_off,
		       lines[i].line_off, lines[i].line_col);
	return fake_fd(0);
}

static long map_update(const union bpf_attr *attr)
{
	const unsigned *key = (void *)(unsigned long)attr->key;
	const unsigned *value = (void *)(unsigned long)attr->value;

	if (loading)
		printf("fill %u %u %u\n", attr->map_fd, *key, *value);
	return 0;
}

/* libbpf calls bpf(2) and a few others through this. */
long syscall(long number, ...)
{
	va_list list;
	long a[6];

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_memfd_create)
		return memfd_create((char *)a[0], a[1]);
	if (number != SYS_bpf) {
		errno = ENOSYS;
		return -1;
	}
	switch (a[0]) {
	case BPF_MAP_CREATE:
		return map_create((void *)a[1]);
	case BPF_PROG_LOAD:
		return prog_load((void *)a[1]);
	case BPF_BTF_LOAD:
		return fake_fd(0);
	case BPF_MAP_UPDATE_ELEM:
		return map_update((void *)a[1]);
	case BPF_MAP_FREEZE:
	case BPF_OBJ_PIN:
	case BPF_PROG_BIND_MAP:
		return 0;
	case BPF_OBJ_GET:
		errno = ENOENT;
		return -1;
	default:
		errno = EINVAL;
		return -1;
	}
}

static int quiet(enum libbpf_print_level level, const char *format, va_list list)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, list) : 0;
}

int main(int count, char **arguments)
{
	struct bpf_program *program;
	struct bpf_object *object;
	struct bpf_map *map;

	if (count < 2)
		return 2;
	libbpf_set_print(quiet);
	object = bpf_object__open_file(arguments[1], NULL);
	if (!object)
		return 1;
	bpf_object__for_each_program(program, object)
		printf("open %s %s %d %d %zu %d\n", bpf_program__name(program),
		       bpf_program__section_name(program), bpf_program__type(program),
		       bpf_program__expected_attach_type(program), bpf_program__insn_cnt(program),
		       bpf_program__autoload(program));
	bpf_object__for_each_map(map, object) {
		size_t size = 0;
		const void *data = bpf_map__initial_value(map, &size);
		const char *pin = bpf_map__pin_path(map);

		printf("describe %s %d %u %u %u %u %u %llu %s ", bpf_map__name(map),
		       bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map),
		       bpf_map__max_entries(map), bpf_map__map_flags(map), bpf_map__numa_node(map),
		       (unsigned long long)bpf_map__map_extra(map), pin ? pin : "-");
		if (bpf_map__type(map) == BPF_MAP_TYPE_ARRAY && data)
			hex(data, size);
		else
			printf("-");
		printf("\n");
	}
	for (int i = 2; i < count; i++) {
		program = bpf_object__find_program_by_name(object, arguments[i]);
		if (!program)
			return 3;
		bpf_program__set_autoload(program, true);
	}
	loading = 1;
	if (bpf_object__load(object))
		return 4;
	fflush(stdout);
	_exit(0);
}
