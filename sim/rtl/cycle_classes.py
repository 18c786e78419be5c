"""What each engine may spend a cycle on: the counters' names, without anything that a simulator would have to load."""

from triptych.golden.quartdepth.chip.isa import Engine

CLASSES = {
    Engine.LOAD: ("active", "empty", "token", "bus", "spad", "fill"),
    Engine.MXU: ("active", "empty", "token", "weights", "acc", "spad", "fill"),
    Engine.VPU: ("active", "empty", "token", "acc", "spad", "param", "fill"),
    Engine.STORE: ("active", "empty", "token", "bus", "spad", "fill"),
}
"""Cycle classes of each engine, as `docs/architecture.md` defines them."""
