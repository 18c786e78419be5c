"""What measures and writes docs/results.md and docs/census.md."""
