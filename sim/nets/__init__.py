"""Anybody's network on the chip: what it is by name or file, compiled into a file, and run."""
