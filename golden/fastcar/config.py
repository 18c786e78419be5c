"""Shapes of a decoder and the registers that steer replay, with their legal ranges (docs/fastcar.md, Numerics)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

MAX_ROWS = 32
MAX_WIDTH = 16384  # inputs of a projection: the exact sum of int8 x int4 stays within 2^24, a float32 holds it
MAX_HEAD_DIM = 256
MAX_CONTEXT = 4096  # keys of a row: 4095 x 128 x 4096 < 2^31, so the sums of P.V fit in 32 bits
MAX_LANES = 32

NEVER_REPLAY = (1 << 31) - 1  # a threshold that no score exceeds: |score| <= 7 * 2^28
ALWAYS_REPLAY = -(1 << 31)


class Policy(IntEnum):
    """Who decides together. The numbers are those of the policy register."""

    PER_SAMPLE = 0
    PAIR = 1
    ALL = 2
    MEAN = 3


class Chooser(IntEnum):
    """What scores a token for replay, a row a score; the numbers are those of the chooser register.

    PUBLISHED: TAS of the pre-RoPE query with the post-RoPE key, as the paper's code has it. CONSISTENT: TAS, both after
    RoPE. HEADS: as CONSISTENT, each head times its weight of -7..7. VALUE: minus the squared distance of the value from
    that of the same place one frame earlier. KEY: likewise of the key, turned to the old key's place.
    """

    PUBLISHED = 0
    CONSISTENT = 1
    HEADS = 2
    VALUE = 3
    KEY = 4

    @property
    def is_distance(self) -> bool:
        """Of keys or values, not a product of a query and a key."""
        return self >= Chooser.VALUE


@dataclass(frozen=True)
class LayerConfig:
    """Shape of a decoder layer.

    width: elements of the residual stream; ffn: of the MLP's hidden; heads, kv_heads: query heads and key/value
    heads (grouped-query attention when fewer), of head_dim elements; frame_tokens: tokens of a frame, so the depth of
    the replay ring; context: the most tokens a row can hold. Raises ValueError for a shape outside the contract.
    """

    width: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    frame_tokens: int = 256
    context: int = 2048

    def __post_init__(self) -> None:
        for name, limit in (
            ("width", MAX_WIDTH), ("ffn", MAX_WIDTH), ("heads", 128), ("kv_heads", 128), ("head_dim", MAX_HEAD_DIM),
            ("frame_tokens", MAX_CONTEXT), ("context", MAX_CONTEXT),
        ):  # fmt: skip
            if not 1 <= getattr(self, name) <= limit:
                raise ValueError(f"{name} must be in 1..{limit}, not {getattr(self, name)}")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})")
        if self.head_dim % 2:
            raise ValueError(f"head_dim must be even (RoPE turns pairs), not {self.head_dim}")
        if self.q_width > MAX_WIDTH:
            raise ValueError(f"heads * head_dim must be at most {MAX_WIDTH}, not {self.q_width}")

    @property
    def q_width(self) -> int:
        """Elements of a query, all heads."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Elements of a key or a value, all heads."""
        return self.kv_heads * self.head_dim


@dataclass(frozen=True)
class Controls:
    """The registers of one layer at one step.

    threshold: int32, replay when score > threshold; chooser: what the score is; chain_cap: the most replays in a row at
    a slot, 0 for no limit; window: the newest keys that attention sees (0: all), sink: the oldest that it always sees
    beside them.
    Raises ValueError for a value that the register cannot hold.
    """

    threshold: int = NEVER_REPLAY
    policy: Policy = Policy.PER_SAMPLE
    chooser: Chooser = Chooser.PUBLISHED
    chain_cap: int = 0
    window: int = 0
    sink: int = 0

    def __post_init__(self) -> None:
        if not ALWAYS_REPLAY <= self.threshold <= NEVER_REPLAY:
            raise ValueError(f"the threshold is an int32, not {self.threshold}")
        if not 0 <= self.chain_cap <= 255:
            raise ValueError(f"the chain cap must be in 0..255, not {self.chain_cap}")
        if not (0 <= self.window <= MAX_CONTEXT and 0 <= self.sink <= MAX_CONTEXT):
            raise ValueError(f"window and sink must be in 0..{MAX_CONTEXT}, not {self.window} and {self.sink}")


@dataclass(frozen=True)
class ModelConfig:
    """A video model: `layers` alike layers, `tokens` codes of a picture's places, `conditions` kinds of motion.

    Position 0 gets the condition, position t the token t - 1, and answers with token t. Condition 0 says nothing.
    """

    layer: LayerConfig
    layers: int
    tokens: int
    conditions: int


LLAMA_7B = LayerConfig(width=4096, ffn=11008, heads=32, kv_heads=32, head_dim=128)
SMALL = LayerConfig(width=384, ffn=1024, heads=6, kv_heads=2, head_dim=64)
VIDEO = ModelConfig(SMALL, layers=6, tokens=1024, conditions=10)
TINY = LayerConfig(width=32, ffn=48, heads=4, kv_heads=2, head_dim=8, frame_tokens=8, context=64)
