"""Instructions, collections and objects to text."""
