"""What the chip is tested with: example and random programs, traps, golden vectors."""
