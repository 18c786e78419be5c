"""The chip as software sees it: configurations, instruction set, programs, and the bit-exact machine."""
