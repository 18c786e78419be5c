"""What shows that the hardware is right, and what does not: the figures behind docs/verification.md."""
