"""Structural coverage of the RTL: what Verilator counts, merged over the tests, by module (docs/coverage.md)."""
