"""Interfaces and network namespaces."""
