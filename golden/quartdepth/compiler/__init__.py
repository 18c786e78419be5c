"""From an integer network to a program and a memory image."""
