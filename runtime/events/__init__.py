"""Records from programs and to them: ring buffers, perf buffers, user ring buffers."""
