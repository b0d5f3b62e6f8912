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
    /*
     * The context: offsets and bytes of pointer fields, and what they load as, by place in
     * `pointers` (data, data_end, data_meta; 3 for what lies there); ranges that can be written.
     */
    uint32_t ctx;
    uint32_t pointer_count;
    uint32_t pointer_at[8];
    uint32_t pointer_width[8];
    uint32_t pointer_to[8];
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
