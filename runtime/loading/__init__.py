"""From a collection to the kernel: maps made, names found, programs filled in and loaded."""
