"""Pictures to tokens and back: 128 x 128 pixels are 16 x 16 tokens of 1024 codes.

The codes are a product of five scalars with four levels each (finite scalar quantisation, arXiv 2309.15505), which
is vector quantisation with a fixed codebook: no code can die.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 128  # pixels
GRID = 16  # tokens a side
LEVELS, SCALARS = 4, 5
CODES = LEVELS**SCALARS
TOKENIZER_FILE = Path(__file__).parent / "weights" / "tokenizer.npz"


class PixelNorm(nn.Module):
    """Each pixel's channels to mean 0 and deviation 1, times a gain, plus a bias: motion elsewhere changes nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w), the shape is kept."""
        return F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias).permute(0, 3, 1, 2)


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity. per_pixel: the norm is of each pixel, else of groups over the frame."""

    def __init__(self, channels: int, per_pixel: bool) -> None:
        super().__init__()
        self.norm: nn.Module = PixelNorm(channels) if per_pixel else nn.GroupNorm(8, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w), the shape is kept."""
        return x + self.second(F.silu(self.first(F.silu(self.norm(x)))))


class Tokenizer(nn.Module):
    """Encoder and decoder, 1.8 M parameters. per_pixel: False takes norms over the frame, to compare."""

    def __init__(self, per_pixel: bool = True) -> None:
        super().__init__()

        def residual(channels: int) -> Residual:
            return Residual(channels, per_pixel)

        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4), nn.Conv2d(48, 96, 3, padding=1), residual(96),
            nn.Conv2d(96, 128, 4, stride=2, padding=1), residual(128), nn.Conv2d(128, SCALARS, 1),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Conv2d(SCALARS, 128, 3, padding=1), residual(128), residual(128),
            nn.Conv2d(128, 96 * 4, 1), nn.PixelShuffle(2), residual(96), residual(96),
            nn.Conv2d(96, 48 * 4, 1), nn.PixelShuffle(2), residual(48), nn.Conv2d(48, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )  # fmt: skip

    def levels(self, pictures: Tensor) -> Tensor:
        """(b, 3, 128, 128) in 0..1 -> (b, 5, 16, 16) in 0..3, not yet rounded."""
        return torch.sigmoid(self.encoder(pictures * 2 - 1).float()) * (LEVELS - 1)

    def encode(self, pictures: Tensor) -> Tensor:
        """(b, 3, 128, 128) in 0..1 -> tokens (b, 256), int64, 0..1023."""
        digits = self.levels(pictures).round().long()
        weights = LEVELS ** torch.arange(SCALARS, device=digits.device)
        return (digits * weights[:, None, None]).sum(1).flatten(1)

    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens (b, 256) -> pictures (b, 3, 128, 128), about 0..1, not clamped."""
        weights = LEVELS ** torch.arange(SCALARS, device=tokens.device)
        digits = tokens.view(-1, 1, GRID, GRID) // weights[:, None, None] % LEVELS
        return self.pictures(digits.float())

    def pictures(self, levels: Tensor) -> Tensor:
        """Pictures of (b, 5, 16, 16) levels in 0..3."""
        return (self.decoder(levels * (2 / (LEVELS - 1)) - 1) + 1) / 2

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures through their tokens; gradients pass the rounding."""
        levels = self.levels(pictures)
        return self.pictures(levels + (levels.round() - levels).detach())


def load_tokenizer(path: Path = TOKENIZER_FILE) -> Tokenizer:
    """The tokenizer of a file, in float32. Raises ValueError for a file that holds none."""
    model = Tokenizer()
    try:
        with np.load(path) as file:
            model.load_state_dict({name: torch.from_numpy(file[name]).float() for name in file.files})
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} holds no FastCar tokenizer: golden/fastcar/weights/tokenizer.npz is one") from error
    return model.eval()


def picture_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error and half of 1 - SSIM over 7 x 7 windows."""
    mean_a, mean_b = F.avg_pool2d(made, 7, 1), F.avg_pool2d(wanted, 7, 1)
    var_a = F.avg_pool2d(made**2, 7, 1) - mean_a**2
    var_b = F.avg_pool2d(wanted**2, 7, 1) - mean_b**2
    both = F.avg_pool2d(made * wanted, 7, 1) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    ssim = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return F.l1_loss(made, wanted) + (1 - ssim.mean()) / 2
