/*
 * BTF's type section, walked without making anything of it (btf.c). `at` has a type's offset in
 * it, in bytes; type i of the arrays is the one with the id first_id + i. Names beyond `base` are
 * the base's own: a split BTF's string offsets go on where its base's end. A name's essence is what
 * stands before its last `___`, which begins a flavour (libbpf's CO-RE).
 */
#define EBPFASM_BTF_SHAPES 20

typedef struct {
	const unsigned char *types, *strings, *base;
	size_t types_size, strings_size, base_size;
	uint32_t *at;     /* offsets; room for types_size / 12 of them */
	uint32_t *next;   /* 1 + the next type whose essence has the same hash, 0 for none */
	uint32_t *heads;  /* the first such type by hash & mask */
	uint32_t count, first_id, mask;
	int swapped;      /* written in the other byte order */
} ebpfasm_btf;

/*
 * Fill `at`. shape[kind] is the bytes that follow the first twelve,
 * in its low 16 bits, and in its high ones the bytes for each of the type's entries; 0xffffffff for
 * no such kind. Returns the number of types, -1 where one is cut short or of an unknown kind.
 */
long ebpfasm_btf_scan(ebpfasm_btf *btf, const uint32_t *shape);

/* Fill `next` and `heads`, which hold zeros. Types without a name, or a wrong one, are left out. */
void ebpfasm_btf_hash(ebpfasm_btf *btf);

/*
 * Ids of the types with that name (essence not 0: of those with the name's essence), in their order;
 * bit k of `kinds` admits kind k. Returns how many there are and fills in as many as fit.
 */
long ebpfasm_btf_find(const ebpfasm_btf *btf, const char *name, size_t length, int essence,
                      uint32_t kinds, uint32_t *ids, size_t capacity);
