"""Rendered training scenes: furnished rooms and streets, ray-cast in batches, with exact depth."""
