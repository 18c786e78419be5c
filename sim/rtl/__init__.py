"""The chip's RTL: sources, registers, one program run on it."""
