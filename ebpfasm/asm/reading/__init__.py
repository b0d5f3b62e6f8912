"""Text to statements: lines, macros, expressions, the grammar and the ways around it."""
