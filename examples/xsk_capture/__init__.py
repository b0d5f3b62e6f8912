"""Packets written to a capture file, by a loop in C."""
