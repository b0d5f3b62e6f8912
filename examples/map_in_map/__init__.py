"""Swap the map that a program counts in while it counts: a map of maps."""
