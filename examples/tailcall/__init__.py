"""Programs that go on in other programs: the statistics of bpf_to_bpf by tail calls."""
