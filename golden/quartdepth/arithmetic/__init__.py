"""Integer arithmetic that golden and hardware share: requantisation, code tables, functions."""
