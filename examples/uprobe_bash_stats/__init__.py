"""Count the lines that people type into bash, by a uprobe on its function readline."""
