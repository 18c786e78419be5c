"""Photos, depth sequences, rendered rooms, and the metrics of depth."""
