"""QuartDepth: 4-bit depth estimation, from a photo to the integers that the chip computes."""
