"""The packet counter, from builder calls."""
