"""Read, write and delete many items with one system call."""
