"""The virtual machine's native engine, and its maps as live ones."""
