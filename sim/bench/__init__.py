"""What measures and writes docs/results.md."""
