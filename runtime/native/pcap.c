/* Where the packets of a capture file are. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "native.h"

long ebpfasm_pcap_index(const unsigned char *file, size_t size, uint64_t *offsets,
                        uint32_t *lengths, size_t capacity)
{
    uint32_t magic, length;
    size_t at = 24, count = 0;
    if (size < at)
        return -1;
    memcpy(&magic, file, 4);
    int swapped = magic == 0xd4c3b2a1u || magic == 0x4d3cb2a1u;
    if (!swapped && magic != 0xa1b2c3d4u && magic != 0xa1b23c4du)
        return -1;
    while (at < size) {
        if (size - at < 16)
            return -1;
        memcpy(&length, file + at + 8, 4);
        length = swapped ? __builtin_bswap32(length) : length;
        at += 16;
        if (length > size - at)
            return -1;
        if (count < capacity) {
            offsets[count] = at;
            lengths[count] = length;
        }
        count++;
        at += length;
    }
    return (long)count;
}
