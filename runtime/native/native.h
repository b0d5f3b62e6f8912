/*
 * What the C files offer to Python, as declarations only: cffi reads this file too, and it knows no
 * preprocessor. Every function works on plain buffers, knows no Python type and runs without the
 * interpreter's lock. Failure is a negative errno.
 */

/* bpf(2) itself: the kernel's answer (a descriptor, or 0), or -errno. */
long ebpfasm_bpf(int cmd, void *attr, unsigned int size);

/*
 * Walk a map and gather its items: item i is keys[i * key_size] and values[i * value_size].
 *
 * value_size is what the kernel writes for one look-up: in per-CPU maps the value rounded up to 8
 * bytes, times the possible CPUs. Both arrays have room for `capacity` items.
 *
 * The first `count` items of the arrays are already there, from an earlier call; with 0 the walk
 * begins at the map's first key. It goes on behind the last of them that the map still holds, which
 * is why a caller with little memory keeps not only one item but the last few at the front.
 *
 * keys_are_fixed says that the keys are indices, as in arrays: a key without a value is an empty
 * slot there, and elsewhere one that was deleted since the kernel named it. Both are left out.
 *
 * Returns how many items the arrays now hold (count or more), or -errno. *more is 1 where the walk
 * stopped before the map's end: the arrays are full, or so many keys vanished meanwhile that it gave
 * way to the caller, possibly without a new item. *more is 0 at the end, also where the last item
 * just fitted. Where nothing is deleted meanwhile each item comes once. A key deleted and put back,
 * or all kept items deleted between two calls, can make items come again.
 */
long ebpfasm_map_items(int fd, uint32_t key_size, uint32_t value_size, int keys_are_fixed,
                       unsigned char *keys, unsigned char *values, size_t capacity, size_t count,
                       int *more);

/*
 * Assembly text, cut into statements (text.c). Statement i is length[i] bytes from start[i]; its
 * values are the EBPFASM_VALUES from there on: registers and numbers as they are, names by number.
 */
#define EBPFASM_VALUES 6
#define EBPFASM_SHAPE_SLOW 0 /* the grammar has to read it */
#define EBPFASM_SHAPE_LABEL 1 /* a label: its value is the name */
#define EBPFASM_SHAPE_FIRST 2 /* shapes count from here */

typedef struct {
	size_t statements, shapes, names;
	uint32_t *start, *length, *shape;
	uint64_t *value;
	const char **shape_text; /* not terminated */
	uint32_t *shape_length, *name_start, *name_length;
} ebpfasm_text;

/* How a shape becomes code: which value goes where, -1 for none; what is not named is fixed. */
#define EBPFASM_SLOW 0
#define EBPFASM_PLAIN 1
#define EBPFASM_JUMP 2 /* to the label that value `name` names */
#define EBPFASM_SYMBOL 3 /* its name has to be looked up: encoding stops there */

typedef struct {
	uint8_t kind, opcode, slots, fixed_src;
	int8_t dst, src, off, imm, name;
	uint8_t off_negative, imm_negative, imm_bits;
	int8_t same[6]; /* value i equals value same[i], -1 where it is free */
	uint8_t zero; /* bit i: value i is 0 */
	int16_t fixed_off;
	int32_t fixed_imm;
} ebpfasm_recipe;

/*
 * Code as it grows: instruction i begins at slot[i] and stands at start[i], length[i] in the text.
 * jump: pairs (instruction, name). label: triples (instruction, name, statement). The caller gives
 * arrays that hold as many as there are statements, and 16 bytes of code for each.
 */
typedef struct {
	size_t instructions, slots, jumps, labels;
	unsigned char *code;
	uint32_t *start, *length, *slot, *jump, *label;
} ebpfasm_code;

/*
 * Read text, which must outlive the result. `words`, with blanks between, are those that a shape
 * keeps as they are; other words are names. Returns 0; 1 for text that only the grammar can cut
 * into statements; -1 without memory. The result is to be freed in every case.
 */
long ebpfasm_text_read(const char *text, size_t length, const char *words, size_t words_length,
                       ebpfasm_text *out);
void ebpfasm_text_free(ebpfasm_text *out);

/*
 * Encode statements first to end. Returns the statement where it stopped: the end, a label whose
 * name has its byte in `stops` set, or a statement that has no plain recipe or does not fit it.
 */
long ebpfasm_text_encode(const ebpfasm_text *text, const ebpfasm_recipe *recipes,
                         const unsigned char *stops, size_t first, size_t end, ebpfasm_code *out);

/*
 * How code becomes text (disasm.c). A template is text with marks, which are bytes below 32, where
 * an instruction's own values go. `uses` has a bit for each field that is an operand: dst, src, off,
 * imm; the others hold 0, or what the row says.
 */
#define EBPFASM_ROW_PLAIN 0
#define EBPFASM_ROW_JUMP 1 /* off is a distance to a label */
#define EBPFASM_ROW_LONG_JUMP 2 /* imm is */
#define EBPFASM_ROW_FUNCTION 3 /* imm is a distance to a function */
#define EBPFASM_ROW_HELPER 4 /* imm is a helper */

typedef struct {
	uint8_t kind, slots, uses, src;
	int16_t off;
	int32_t imm;
	uint32_t text, text_length, named, named_length; /* templates, without and with a name */
} ebpfasm_row;

/* Rows with opcode i are first[i] to first[i + 1], helper i's name is helper[i] to helper[i + 1]. */
typedef struct {
	const ebpfasm_row *rows;
	const uint32_t *first;
	const char *templates, *names, *entry; /* entry: what the first function is called */
	const uint32_t *helper;
	size_t helpers, entry_length;
} ebpfasm_format;

typedef struct {
	char *text;
	size_t length;
} ebpfasm_listing;

/*
 * Write code as functions with labels. Returns 0; 1 where it is not all instructions or a call
 * leaves it; -1 without memory. The text is to be freed after 0.
 */
long ebpfasm_disassemble(const unsigned char *code, size_t slots, int big,
                         const ebpfasm_format *format, ebpfasm_listing *out);
void ebpfasm_listing_free(ebpfasm_listing *out);

/*
 * The virtual machine's loop. Python fills these structs in and owns every pointer in them
 * (runtime/vm.py); the rules are those of ebpfasm/analysis/vm/reference.py, which explains them.
 */
struct ebpfasm_vm_step {
    uint16_t op;
    uint8_t dst;
    uint8_t src;
    int32_t off;
    int64_t imm;
    uint32_t target;
    uint16_t reads;
    uint16_t writes;
};

/* flags: 1 can be written, 2 is the context, whose fields may be more than bytes */
struct ebpfasm_vm_region {
    unsigned char *host;
    uint64_t base;
    uint64_t low;
    uint64_t high;
    uint32_t shift;
    uint32_t size;
    uint32_t stride;
    uint32_t flags;
    uint32_t map; /* 1 + index in maps, 0 for none */
    uint32_t reserved;
};

/* back: the step to go on with, or -1 for Python, or -2 for the next round of bpf_loop */
struct ebpfasm_vm_frame {
    int64_t back;
    uint64_t kept[5];
    uint64_t callback;
    uint64_t context;
    uint32_t site;
    uint32_t known;
    uint32_t loops;
    uint32_t round;
    uint32_t rounds;
    uint32_t start;
};

/* A hash index: open addressing over slots; keys[slot * key_size], free slots as a stack. */
struct ebpfasm_vm_index {
    uint32_t key_size;
    uint32_t mask;     /* of buckets */
    uint32_t capacity; /* slots that keys and the stack have room for; at most half the buckets */
    uint32_t count;
    uint32_t free_count;
    uint32_t reserved;
    int32_t *buckets;
    unsigned char *keys;
    int32_t *free;
    unsigned char *live; /* by slot: 1 where a key is */
};

/* kind: 1 array, 2 hash */
struct ebpfasm_vm_map {
    uint32_t kind;
    uint32_t key_size;
    uint32_t value_size;
    uint32_t max_entries;
    uint32_t lanes;
    uint32_t values; /* number of the region that holds the values */
    struct ebpfasm_vm_index *index;
};

struct ebpfasm_vm {
    struct ebpfasm_vm_step *steps;
    struct ebpfasm_vm_region *regions;
    struct ebpfasm_vm_map *maps;
    uint32_t step_count;
    uint32_t region_count;
    uint64_t registers[11];
    uint32_t known;
    uint32_t tracked;  /* whether reads of unwritten registers are possible */
    uint32_t at;       /* the step that stopped, or the one to go on with */
    uint32_t depth;
    struct ebpfasm_vm_frame frames[8];
    uint64_t count;
    uint64_t budget;
    uint32_t entry;
    uint32_t may_goto;
    uint32_t first_frame;  /* number of the outermost frame's region; the others follow */
    uint32_t code;         /* number of the code's region */
    uint32_t returns_value;
    uint32_t cpu;
    uint64_t now;
    uint64_t chance;
    unsigned char builtin[256]; /* by helper id: whether C may answer */
    /* the context: offsets of pointer fields and what they load as; ranges that can be written */
    uint32_t ctx;
    uint32_t pointer_count;
    uint32_t pointer_at[4];
    uint64_t pointers[4];
    uint32_t range_count;
    uint32_t ranges[16];
    uint32_t ranges_all;
    /* the packet: its region, places in it, and what the batch runner starts from */
    uint32_t packet;
    uint32_t has_skb;
    uint64_t data;
    uint64_t data_end;
    uint64_t meta;
    uint64_t link;
    uint64_t room;
    uint64_t headroom;
    const unsigned char *ctx_template;
    uint32_t ctx_size;
    uint32_t reserved;
    uint64_t total; /* instructions of the packets that are done */
};

/* What the loop came to: 0 the outermost function returned, 1 the helper of steps[at] is Python's
 * to call, 2 the step at `at` cannot be run. */
long ebpfasm_vm_run(struct ebpfasm_vm *vm);

/* Begin a run with so many arguments (at most 2), and go on as ebpfasm_vm_run does. */
long ebpfasm_vm_start(struct ebpfasm_vm *vm, uint32_t arguments, uint64_t r1, uint64_t r2);

/* The packet is somewhere else in its buffer: tell its region and what the context's fields load. */
void ebpfasm_vm_place(struct ebpfasm_vm *vm, uint64_t base, uint64_t data, uint64_t data_end,
                      uint64_t meta, uint64_t link);

/* Enter a function as Python does for a run or callback: 0, or 2 where frames or budget are spent. */
long ebpfasm_vm_enter(struct ebpfasm_vm *vm, uint32_t start, uint32_t site);

/*
 * Run the program on packets[*next] and so on: packet i has lengths[i] bytes at data + offsets[i].
 * Stores the low half of r0 in retvals[i] and moves *next behind each packet that is done. Returns
 * 0 at the end, else what stopped packet *next: 1 and 2 as above (its run is under way), 3 where it
 * does not fit the buffer.
 */
long ebpfasm_vm_batch(struct ebpfasm_vm *vm, const unsigned char *data, const uint64_t *offsets,
                      const uint32_t *lengths, size_t count, size_t *next, uint32_t *retvals);

/* The name of an operation by number, NULL past the last one. */
const char *ebpfasm_vm_op(uint32_t number);

long ebpfasm_vm_find(const struct ebpfasm_vm_index *index, const unsigned char *key);
long ebpfasm_vm_insert(struct ebpfasm_vm_index *index, const unsigned char *key);
long ebpfasm_vm_remove(struct ebpfasm_vm_index *index, const unsigned char *key);

/*
 * Index a pcap file's records: offset and captured length of each. Returns how many there are (at
 * most `capacity` are stored), or -1 where the bytes are no such file or end inside a record.
 */
long ebpfasm_pcap_index(const unsigned char *file, size_t size, uint64_t *offsets,
                        uint32_t *lengths, size_t capacity);
