"""What the kernel says of programs, maps, links and BTF that it has."""
