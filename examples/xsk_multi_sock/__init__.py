"""The same on all queues of an interface."""
