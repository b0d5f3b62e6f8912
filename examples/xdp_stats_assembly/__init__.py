"""The packet counter, from assembly text."""
