"""Packets written in place and sent."""
