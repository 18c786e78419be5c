"""Which networks run on the chip: a fixed list, and docs/census.md."""
