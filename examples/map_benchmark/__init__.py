"""How long a map's operations take from Python: by system call, in batches, in shared memory."""
