"""Mutation of the RTL: small wrong changes, one by one, and which of them the tests notice (docs/verification.md)."""
