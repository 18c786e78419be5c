"""Shapes of feature maps, and the two ways in which pixels become other pixels without arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Height, width and channels of a feature map."""

    height: int
    width: int
    channels: int

    def __len__(self) -> int:
        """Pixels."""
        return self.height * self.width


@dataclass(frozen=True)
class Regrid:
    """A map's pixels, counted row by row, from pixel `skip` on, as a map of height x width: tokens of a vision
    transformer without its class token, at their places in the photo."""

    skip: int
    height: int
    width: int

    def apply(self, x: Tensor) -> Tensor:
        """[B,C,h,w] -> [B,C,height,width]."""
        last = self.skip + self.height * self.width
        return x.flatten(2)[:, :, self.skip : last].unflatten(2, (self.height, self.width))


@dataclass(frozen=True)
class Patches:
    """The input as tokens: rows x columns patches of size x size photo pixels, each one pixel of the input map,
    which is one row high and begins with an all-zero pixel, the place of a class token."""

    size: int
    rows: int
    cols: int

    def arrange(self, photo: Tensor, zero: float = 0.0) -> Tensor:
        """[B,c,rows size,cols size] -> [B,c size^2,1,1 + rows cols], channel (c, y, x). Raises ValueError."""
        if photo.shape[-2:] != (self.rows * self.size, self.cols * self.size):
            wanted = f"{self.rows * self.size} x {self.cols * self.size}"
            raise ValueError(f"the photo must be {wanted}, not {photo.shape[-2]} x {photo.shape[-1]}")
        tokens = F.unfold(photo, self.size, stride=self.size)
        return F.pad(tokens, (1, 0), value=zero)[:, :, None]
