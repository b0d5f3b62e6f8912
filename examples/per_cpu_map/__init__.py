"""Count packets per CPU, without atomic instructions, and sum in Python."""
