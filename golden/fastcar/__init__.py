"""FastCar: autoregressive video that computes only what changed; the golden half."""
