"""An object for libbpf, made from assembly text."""
