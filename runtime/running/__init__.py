"""Programs that are run without being attached: once, on many packets, in whichever engine."""
