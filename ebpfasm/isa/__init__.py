"""What an instruction is: the table, its codec and semantics, and the kernel's other tables.

This room knows numbers and names. It does not know programs, files or the kernel that runs.
"""
