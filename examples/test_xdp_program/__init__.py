"""A BPF_PROG_TEST_RUN of a program from text."""
