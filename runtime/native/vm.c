/* The virtual machine: helpers that C answers, frames, and the two versions of the loop. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "native.h"
#include "vm_ops.h"

enum { DONE, HELPER, FAULT, TOO_LONG };
enum { WRITABLE = 1, CONTEXT = 2 };
enum { ARRAY = 1, HASH = 2 };
enum { NOEXIST = 1, EXIST = 2 }; /* flags of an update */
enum { AS_IT_LIES = 3 };         /* a pointer field that holds its address */
/* In a step's `writes`: a function begins here, a jump table leads here. */
enum { START = 1 << 15, LANDING = 1 << 14 };
enum { FRAME = 512, DEPTH = 8, CLOBBERED = 0x3e, TO_PYTHON = -1, TO_LOOP = -2 };

#define PLACE 48
#define LOW_MASK ((UINT64_C(1) << PLACE) - 1)
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define NAME4(op) #op "64_imm", #op "64_reg", #op "32_imm", #op "32_reg",
#define NAME1(op) #op,
static const char *const names[] = {ALU_OPS(NAME4) JUMP_OPS(NAME4) OTHER_OPS(NAME1)};

#define ENUM4(op) OP_##op##64_imm, OP_##op##64_reg, OP_##op##32_imm, OP_##op##32_reg,
#define ENUM1(op) OP_##op,
enum { ALU_OPS(ENUM4) JUMP_OPS(ENUM4) OTHER_OPS(ENUM1) OP_COUNT };

const char *ebpfasm_vm_op(uint32_t number)
{
    return number < OP_COUNT ? names[number] : NULL;
}

/* ---- memory */

static inline unsigned char *reach(const struct ebpfasm_vm_region *region, uint64_t address,
                                   uint64_t length)
{
    uint64_t offset = (address & LOW_MASK) - region->base;
    if (likely(region->shift == 0)) {
        uint64_t inside = offset - region->low, span = region->high - region->low;
        return likely(inside < span && span - inside >= length) ? region->host + offset : NULL;
    }
    uint64_t index = offset >> region->shift;
    uint64_t within = offset & ((UINT64_C(1) << region->shift) - 1);
    if (index >= region->high || within + length > region->size)
        return NULL;
    return region->host + index * region->stride + within;
}

static inline const struct ebpfasm_vm_region *find(const struct ebpfasm_vm *vm, uint64_t address)
{
    uint64_t number = address >> PLACE;
    return likely(number < vm->region_count) ? &vm->regions[number] : &vm->regions[0];
}

static inline unsigned char *readable(const struct ebpfasm_vm *vm, uint64_t address, uint64_t length)
{
    return reach(find(vm, address), address, length);
}

static inline unsigned char *writable(const struct ebpfasm_vm *vm, uint64_t address, uint64_t length)
{
    const struct ebpfasm_vm_region *region = find(vm, address);
    return likely(region->flags & WRITABLE) ? reach(region, address, length) : NULL;
}

/* Loads of fields that are pointers: 1 with *value, 0 for plain bytes, -1 for a part of one. */
static int load_context(const struct ebpfasm_vm *vm, const struct ebpfasm_vm_region *region,
                        uint64_t address, uint64_t length, uint64_t *value)
{
    uint64_t offset = (address & LOW_MASK) - region->base;
    for (uint32_t i = 0; i < vm->pointer_count; i++) {
        uint64_t at = vm->pointer_at[i];
        if (offset + length <= at || at + vm->pointer_width[i] <= offset)
            continue;
        if (offset != at || length != vm->pointer_width[i])
            return -1;
        if (vm->pointer_to[i] == AS_IT_LIES)
            return 0;
        *value = vm->pointers[vm->pointer_to[i]];
        return 1;
    }
    return 0;
}

static int may_write_context(const struct ebpfasm_vm *vm, const struct ebpfasm_vm_region *region,
                             uint64_t address, uint64_t length)
{
    uint64_t offset = (address & LOW_MASK) - region->base;
    if (vm->ranges_all)
        return 1;
    for (uint32_t i = 0; i < vm->range_count; i++)
        if (vm->ranges[2 * i] <= offset && offset + length <= vm->ranges[2 * i + 1])
            return 1;
    return 0;
}

/* ---- helpers that C answers; 0 means that Python shall */

static const struct ebpfasm_vm_map *map_at(const struct ebpfasm_vm *vm, uint64_t address)
{
    const struct ebpfasm_vm_region *region = find(vm, address);
    if (!region->map || (address & LOW_MASK) != region->base)
        return NULL;
    return &vm->maps[region->map - 1];
}

static int64_t slot_of(const struct ebpfasm_vm_map *map, const unsigned char *key)
{
    if (map->kind == HASH)
        return ebpfasm_vm_find(map->index, key);
    uint32_t index;
    memcpy(&index, key, 4);
    return index < map->max_entries ? (int64_t)index : -1;
}

static uint64_t element(const struct ebpfasm_vm *vm, const struct ebpfasm_vm_map *map, int64_t slot)
{
    const struct ebpfasm_vm_region *values = &vm->regions[map->values];
    uint64_t lane = map->lanes > 1 ? vm->cpu : 0;
    uint64_t index = (uint64_t)slot * map->lanes + lane;
    return ((uint64_t)map->values << PLACE) + values->base + (index << values->shift);
}

static int lookup(struct ebpfasm_vm *vm)
{
    const struct ebpfasm_vm_map *map = map_at(vm, vm->registers[1]);
    if (!map || !map->kind)
        return 0;
    const unsigned char *key = readable(vm, vm->registers[2], map->key_size);
    if (!key)
        return 0;
    int64_t slot = slot_of(map, key);
    vm->registers[0] = slot < 0 ? 0 : element(vm, map, slot);
    return 1;
}

/* Linux's error numbers, whatever the system's are. */
static int answer(struct ebpfasm_vm *vm, int64_t result)
{
    vm->registers[0] = (uint64_t)result;
    return 1;
}

static int update(struct ebpfasm_vm *vm)
{
    const struct ebpfasm_vm_map *map = map_at(vm, vm->registers[1]);
    if (!map || !map->kind || vm->registers[4] > EXIST)
        return 0;
    const unsigned char *key = readable(vm, vm->registers[2], map->key_size);
    const unsigned char *value = readable(vm, vm->registers[3], map->value_size);
    if (!key || !value)
        return 0;
    int64_t slot = slot_of(map, key);
    const struct ebpfasm_vm_region *values = &vm->regions[map->values];
    uint64_t lane = map->lanes > 1 ? vm->cpu : 0;
    int fresh = slot < 0;
    if (fresh) {
        struct ebpfasm_vm_index *index = map->index;
        int full = map->kind != HASH || index->count >= map->max_entries;
        if (map->kind == HASH && vm->registers[4] == EXIST)
            return answer(vm, -2); /* ENOENT */
        if (full)
            return answer(vm, -7); /* E2BIG */
        if (map->lanes > 1 || index->count >= values->high)
            return 0;
        slot = ebpfasm_vm_insert(index, key);
        if (slot < 0)
            return 0;
    } else if (vm->registers[4] == NOEXIST) {
        return answer(vm, -17); /* EEXIST */
    }
    unsigned char *place = values->host + ((uint64_t)slot * map->lanes + lane) * values->stride;
    memmove(place, value, map->value_size); /* the value may lie in this very place */
    if (fresh)
        memset(place + map->value_size, 0, values->stride - map->value_size);
    return answer(vm, 0);
}

static int delete(struct ebpfasm_vm *vm)
{
    const struct ebpfasm_vm_map *map = map_at(vm, vm->registers[1]);
    if (!map || map->kind != HASH)
        return 0;
    const unsigned char *key = readable(vm, vm->registers[2], map->key_size);
    if (!key)
        return 0;
    return answer(vm, ebpfasm_vm_remove(map->index, key) < 0 ? -2 : 0); /* ENOENT */
}

static uint64_t chance(struct ebpfasm_vm *vm)
{
    uint64_t x = vm->chance;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    vm->chance = x;
    return x * UINT64_C(0x2545f4914f6cdd1d) >> 32;
}

static int call_helper(struct ebpfasm_vm *vm, int64_t number)
{
    if (number < 0 || number > 255 || !vm->builtin[number])
        return 0;
    switch (number) {
    case 1: return lookup(vm);
    case 2: return update(vm);
    case 3: return delete(vm);
    case 5: vm->registers[0] = vm->now; return 1;
    case 7: vm->registers[0] = chance(vm); return 1;
    case 8: vm->registers[0] = vm->cpu; return 1;
    default: return 0;
    }
}

/* ---- frames */

static int enter(struct ebpfasm_vm *vm, int64_t back, uint32_t site)
{
    if (vm->depth >= DEPTH || vm->count >= vm->budget)
        return 0;
    struct ebpfasm_vm_frame *frame = &vm->frames[vm->depth];
    struct ebpfasm_vm_region *region = &vm->regions[vm->first_frame + vm->depth];
    memset(region->host, 0, FRAME);
    region->high = FRAME;
    frame->back = back;
    frame->site = site;
    frame->known = vm->known;
    frame->loops = vm->may_goto;
    memcpy(frame->kept, &vm->registers[6], sizeof frame->kept);
    vm->registers[10] = ((uint64_t)(vm->first_frame + vm->depth) << PLACE) + region->base + FRAME;
    vm->depth++;
    return 1;
}

static struct ebpfasm_vm_frame *leave(struct ebpfasm_vm *vm)
{
    struct ebpfasm_vm_frame *frame = &vm->frames[--vm->depth];
    vm->regions[vm->first_frame + vm->depth].high = 0;
    memcpy(&vm->registers[6], frame->kept, sizeof frame->kept);
    vm->known = (frame->known & ~(uint32_t)CLOBBERED & ~1u) | (vm->known & 1);
    return frame;
}

/* The step where the function at an address begins, -1 where there is none. */
/* The step at an address of code, -1 where it is none. */
static int64_t step_at(const struct ebpfasm_vm *vm, uint64_t address)
{
    const struct ebpfasm_vm_region *code = &vm->regions[vm->code];
    uint64_t offset = (address & LOW_MASK) - code->base;
    uint64_t index = offset >> code->shift;
    if (address >> PLACE != vm->code || index << code->shift != offset || index >= vm->step_count)
        return -1;
    return (int64_t)index;
}

static int64_t function_at(const struct ebpfasm_vm *vm, uint64_t address)
{
    int64_t index = step_at(vm, address);
    return index >= 0 && vm->steps[index].writes & START ? index : -1;
}

/* Where `gotox` goes: a step of its own function, from imm >> 32 up to the low half of imm. */
static int64_t landing_at(const struct ebpfasm_vm *vm, uint64_t address, uint64_t function)
{
    int64_t index = step_at(vm, address);
    if (index < (int64_t)(function >> 32) || index >= (int64_t)(uint32_t)function)
        return -1;
    return vm->steps[index].writes & LANDING ? index : -1;
}

long ebpfasm_vm_enter(struct ebpfasm_vm *vm, uint32_t start, uint32_t site)
{
    if (!enter(vm, TO_PYTHON, site))
        return FAULT;
    vm->at = start;
    return DONE;
}

/* ---- the loop, once with and once without a check of what each step reads */

#define TRACKED 1
#define LOOP loop_tracked
#include "vm_loop.h"
#undef TRACKED
#undef LOOP
#define TRACKED 0
#define LOOP loop_plain
#include "vm_loop.h"

long ebpfasm_vm_run(struct ebpfasm_vm *vm)
{
    return vm->tracked ? loop_tracked(vm) : loop_plain(vm);
}

long ebpfasm_vm_start(struct ebpfasm_vm *vm, uint32_t arguments, uint64_t r1, uint64_t r2)
{
    vm->count = 0;
    vm->depth = 0;
    vm->at = vm->entry;
    if (!enter(vm, TO_PYTHON, vm->entry))
        return FAULT;
    vm->registers[1] = r1;
    vm->registers[2] = r2;
    vm->known = 1 << 10 | ((1u << arguments) - 1) << 1;
    return ebpfasm_vm_run(vm);
}

/* ---- packets */

void ebpfasm_vm_place(struct ebpfasm_vm *vm, uint64_t base, uint64_t data, uint64_t data_end,
                      uint64_t meta, uint64_t link)
{
    struct ebpfasm_vm_region *region = &vm->regions[vm->packet];
    uint64_t start = ((uint64_t)vm->packet << PLACE) + base;
    vm->data = data;
    vm->data_end = data_end;
    vm->meta = meta;
    vm->link = link;
    region->base = base;
    region->low = meta;
    region->high = data_end;
    vm->pointers[0] = start + data;
    vm->pointers[1] = start + data_end;
    vm->pointers[2] = start + meta;
}

static int place_packet(struct ebpfasm_vm *vm, const unsigned char *packet, uint32_t length)
{
    struct ebpfasm_vm_region *ctx = &vm->regions[vm->ctx];
    uint64_t at = vm->headroom;
    if (length > vm->room)
        return 0;
    memcpy(vm->regions[vm->packet].host + at, packet, length);
    ebpfasm_vm_place(vm, 1 << 16, at, at + length, at, at);
    memcpy(ctx->host, vm->ctx_template, vm->ctx_size);
    if (vm->has_skb) {
        memcpy(ctx->host, &length, 4);       /* len */
        memcpy(ctx->host + 160, &length, 4); /* wire_len */
        if (length >= 14)
            memcpy(ctx->host + 16, packet + 12, 2);
    }
    return 1;
}

long ebpfasm_vm_batch(struct ebpfasm_vm *vm, const unsigned char *data, const uint64_t *offsets,
                      const uint32_t *lengths, size_t count, size_t *next, uint32_t *retvals)
{
    while (*next < count) {
        if (!place_packet(vm, data + offsets[*next], lengths[*next]))
            return TOO_LONG;
        uint64_t context = ((uint64_t)vm->ctx << PLACE) + vm->regions[vm->ctx].base;
        long status = ebpfasm_vm_start(vm, 1, context, 0);
        if (status != DONE)
            return status;
        vm->total += vm->count;
        retvals[(*next)++] = (uint32_t)vm->registers[0];
    }
    return DONE;
}
