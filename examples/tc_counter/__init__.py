"""Count what enters and what leaves an interface, at the traffic control hooks."""
