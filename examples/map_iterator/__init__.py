"""Three ways through a map: its items, arrays of them, and an iterator of one's own."""
