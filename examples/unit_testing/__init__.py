"""A program with unit tests that run in both engines."""
