"""Attaching programs, a module for each kind of hook; `Program.attach_*` are the ways in."""
