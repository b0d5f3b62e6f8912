"""Examples, one folder each: the program, a runner and a README."""
