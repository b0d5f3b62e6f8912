"""Maps that outlive the process that made them: pins in the BPF file system."""
