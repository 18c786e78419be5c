"""The census' networks: a fixed list. It never shrinks: what is out of scope counts as refused."""

from __future__ import annotations

from triptych.sim.bench.census import attention_decoders, backbones, early_decoders, hub_models, late_decoders
from triptych.sim.bench.census.entry import Entry


def networks() -> dict[str, Entry]:
    """By name, families one after the other."""
    listed = [
        e for part in (hub_models, early_decoders, late_decoders, attention_decoders, backbones) for e in part.entries()
    ]
    return {entry.name: entry for entry in listed}
