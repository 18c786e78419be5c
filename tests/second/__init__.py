"""Chip arithmetic a second time, written from docs/numerics.md alone: one element at a time, in Python's integers.

Nothing of golden/ computes here but the four functions, whose tables are no rule of that page;
tests/golden/test_second.py judges them against float64 by themselves.
"""
