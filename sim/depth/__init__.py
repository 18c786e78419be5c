"""Depth networks by name, from photo to picture: float weights, quantised files, runs on RTL."""
