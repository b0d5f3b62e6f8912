"""Count how often programs are started, by a kprobe on the system call's function."""
