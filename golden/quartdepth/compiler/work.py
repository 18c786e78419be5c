"""What a step does on the chip, as far as planning and emission have to know: the contract of lowered layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler.emitter import Emitter, View
from triptych.golden.quartdepth.compiler.geometry import Piece, PieceKey, Tile
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Slots

Pair = tuple[int, int]
Tiling = tuple[int, int, int]  # rows and columns of a tile, buffers of each operand


@dataclass(frozen=True)
class Group:
    """Output elements [first, last) of all jobs: their weights and parameters, as one block of bytes.

    weights, params: by job, bytes from the start of the block.
    """

    first: int
    last: int
    data: bytes
    weights: tuple[int, ...]
    params: tuple[int, ...]


@dataclass(frozen=True)
class AtHand:
    """What a tile's instructions work on. views: pieces in the scratchpad. group, block: the weights and where they
    lie. slots: of code tables. maps: the network's. scratch: addresses of `Work.scratch`. cycles: of the MXU (of the
    VPU without products) that one instruction may take."""

    views: dict[PieceKey, View]
    group: Group | None
    block: int
    slots: Slots
    maps: FeatureMaps
    scratch: list[int]
    cycles: int


class Work(ABC):
    """A layer's work, over a grid of points that tiles cut into rectangles."""

    @property
    @abstractmethod
    def grid(self) -> Pair:
        """Rows and columns of points."""

    @property
    def overlap(self) -> int:
        """Input rows that neighbouring tiles both read, less those that neither reads."""
        return 0

    def groups(self, config: ChipConfig, group_bytes: int, least_bytes: int) -> list[Group]:
        """Weights and parameters in groups of at most `group_bytes`, or of one column tile if that takes no more than
        `least_bytes`; [] without either. Raises CompileError where it takes more."""
        return []

    @abstractmethod
    def pieces(self, tile: Tile) -> dict[PieceKey, Piece]:
        """What a tile reads and writes."""

    @abstractmethod
    def emit(self, emitter: Emitter, tile: Tile, at_hand: AtHand) -> None:
        """The instructions of a tile, of one group of weights."""

    def least_vectors(self, tile: Tile, group: Group | None, cycles: int, config: ChipConfig) -> int:
        """How many VECTORs `emit` makes at least of a tile and one group of weights. cycles: as in `AtHand`."""
        return 0

    def keeps_vpu(self, config: ChipConfig) -> bool:
        """Its products feed the VPU faster than it takes them."""
        return False

    def scratch(self, config: ChipConfig) -> int:
        """Bytes of each of two buffers that the work needs besides its operands."""
        return 0

    def tilings(self, comfortable: bool) -> list[Tiling] | None:
        """The tilings that suit it, best first; None: those that suit a picture. Comfortable ones are of a sensible
        size."""
        return None


@dataclass
class PieceTable:
    """Pieces by operand; rectangles of one operand are joined."""

    pieces: dict[PieceKey, Piece]

    def add(self, role: str, number: int, piece: Piece) -> None:
        """One more rectangle of an operand."""
        key = PieceKey(role, number)
        old = self.pieces.get(key)
        self.pieces[key] = piece if old is None else Piece(piece.place, piece.rect.join(old.rect))
