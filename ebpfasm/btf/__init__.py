"""What a type is: BTF types as values, and the kernel's bytes for them."""
