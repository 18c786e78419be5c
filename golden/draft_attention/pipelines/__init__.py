"""Draft attention inside `diffusers` models: which models, which steps, and the door through which it is called."""
