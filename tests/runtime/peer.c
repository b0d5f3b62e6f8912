/*
 * Load an object with libbpf, write down what there is, and keep it until standard input ends.
 *
 *   program NAME ID
 *   map NAME ID
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static int warnings(enum libbpf_print_level level, const char *format, va_list list)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, list) : 0;
}

int main(int count, char **arguments)
{
	struct bpf_program *program;
	struct bpf_object *object;
	struct bpf_map *map;
	char end;

	libbpf_set_print(warnings);
	object = count > 1 ? bpf_object__open_file(arguments[1], NULL) : NULL;
	if (!object || bpf_object__load(object))
		return 1;
	bpf_object__for_each_program(program, object) {
		struct bpf_prog_info info = {};
		unsigned int size = sizeof(info);

		if (bpf_program__fd(program) >= 0 &&
		    !bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			printf("program %s %u\n", bpf_program__name(program), info.id);
	}
	bpf_object__for_each_map(map, object) {
		struct bpf_map_info info = {};
		unsigned int size = sizeof(info);

		if (!bpf_obj_get_info_by_fd(bpf_map__fd(map), &info, &size))
			printf("map %s %u\n", bpf_map__name(map), info.id);
	}
	printf("ready\n");
	fflush(stdout);
	while (read(0, &end, 1) > 0)
		;
	bpf_object__close(object);
	return 0;
}
