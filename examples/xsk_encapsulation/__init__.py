"""Frames sent on in a tunnel, without a copy."""
