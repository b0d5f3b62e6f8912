"""A virtual machine that runs one command under one of Debian's kernels. Standard library only."""
