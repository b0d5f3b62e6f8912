"""Clang's objects to IR: the only room that will know pyelftools. Nothing reads them yet."""
