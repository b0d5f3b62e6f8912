/*
 * Index a pcap file's records: offset and captured length of each. Returns how many there are (at
 * most `capacity` are stored), or -1 where the bytes are no such file or end inside a record.
 */
long ebpfasm_pcap_index(const unsigned char *file, size_t size, uint64_t *offsets,
                        uint32_t *lengths, size_t capacity);
