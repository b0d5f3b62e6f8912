"""Functions that call each other: packets and bytes per protocol and port."""
