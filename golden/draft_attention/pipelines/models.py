"""The transformers of `diffusers` that draft attention knows: one entry of a table each.

An entry says which layers are self-attention over the video, how the latent's grid follows from the arguments of
`forward`, and which tokens of the sequence are text. `Arguments` are those of the forward pass, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from triptych.golden.draft_attention.terms.errors import DraftAttentionError

Arguments = dict[str, Any]
Grid = tuple[int, int, int]


@dataclass(frozen=True)
class KnownModel:
    """How one transformer lays out its sequence.

    `layers`: paths of the self-attention modules, `*` for every member of a list, in order of execution.
    `grid`: (frames, height, width) in tokens; None where this call does not tell.
    `text`: text tokens in each attention's sequence; None where that differs from call to call.
    `text_lengths`: int `[batch]`, how many of them are real (the first ones); None where all are. An attention mask
    that says just this is then understood.
    """

    layers: tuple[str, ...]
    grid: Callable[[Any, Arguments], Grid | None]
    text: Callable[[Arguments], int | None] = lambda arguments: 0
    text_lengths: Callable[[Arguments], torch.Tensor | None] = lambda arguments: None
    text_first: bool = False

    def attention_layers(self, model: Any) -> Iterator[tuple[int, Any]]:
        """Number and module of each layer; lists that run side by side are numbered from 0 each."""
        number = 0
        for path in self.layers:
            before, _, after = path.partition(".*.")
            side_by_side = before.startswith("|")
            blocks = getattr(model, before.lstrip("|"), None) or ()
            for place, block in enumerate(blocks):
                yield (place if side_by_side else number + place), getattr(block, after)
            number += 0 if side_by_side else len(blocks)


def _patches(hidden: torch.Tensor, patch: tuple[int, int, int]) -> Grid:
    """Grid of a latent `[batch, channels, frames, height, width]`."""
    frames, height, width = hidden.shape[-3:]
    return frames // patch[0], height // patch[1], width // patch[2]


def _patch_size_3d(model: Any, arguments: Arguments) -> Grid:
    return _patches(arguments["hidden_states"], tuple(model.config.patch_size))


def _patch_size_and_t(model: Any, arguments: Arguments) -> Grid:
    side = model.config.patch_size
    return _patches(arguments["hidden_states"], (model.config.patch_size_t or 1, side, side))


def _mochi_grid(model: Any, arguments: Arguments) -> Grid:
    side = model.config.patch_size
    return _patches(arguments["hidden_states"], (1, side, side))


def _cog_grid(model: Any, arguments: Arguments) -> Grid:
    """CogVideoX keeps `[batch, frames, channels, height, width]`."""
    return _patch_size_and_t(model, {"hidden_states": arguments["hidden_states"].transpose(1, 2)})


def _named_grid(model: Any, arguments: Arguments) -> Grid | None:
    """LTX packs its latent and names the sides (when it is not given coordinates instead)."""
    sides = tuple(arguments.get(name) for name in ("num_frames", "height", "width"))
    return None if None in sides else sides  # type: ignore[return-value]


def _flux_grid(model: Any, arguments: Arguments) -> Grid:
    """Flux numbers its tokens by (image, row, column): the grid of image 0."""
    ids = arguments["img_ids"]
    ids = ids[0] if ids.dim() == 3 else ids
    _, height, width = (int(side) + 1 for side in ids[ids[:, 0] == ids[0, 0]].amax(0).tolist())
    return 1, height, width


def _qwen_grid(model: Any, arguments: Arguments) -> Grid | None:
    """The first image; several (editing) do not make one grid, which the sequence's length then shows."""
    shapes = arguments.get("img_shapes")
    if not shapes:
        return None
    first = shapes[0][0] if isinstance(shapes[0], (list, tuple)) and not isinstance(shapes[0][0], int) else shapes[0]
    return tuple(first)


def _text(arguments: Arguments) -> int:
    return int(arguments["encoder_hidden_states"].shape[1])


def _mask_lengths(name: str) -> Callable[[Arguments], torch.Tensor | None]:
    def lengths(arguments: Arguments) -> torch.Tensor | None:
        mask = arguments.get(name)
        return None if mask is None else mask.sum(dim=1)

    return lengths


_HUNYUAN_15_PARTS = ("encoder_hidden_states", "encoder_hidden_states_2", "image_embeds")


def _hunyuan_15_text(arguments: Arguments) -> int:
    return sum(int(arguments[name].shape[1]) for name in _HUNYUAN_15_PARTS)


def _hunyuan_15_lengths(arguments: Arguments) -> torch.Tensor:
    """Real tokens of both texts come first, and those of the image unless it is all zeros (no image)."""
    image = arguments["image_embeds"]
    of_image = torch.where((image == 0).all(), 0, image.shape[1])
    return arguments["encoder_attention_mask"].sum(1) + arguments["encoder_attention_mask_2"].sum(1) + of_image


_DOUBLE_AND_SINGLE = ("transformer_blocks.*.attn", "single_transformer_blocks.*.attn")
_WAN = KnownModel(("blocks.*.attn1",), _patch_size_3d)

KNOWN_MODELS = {
    "CogVideoXTransformer3DModel": KnownModel(("transformer_blocks.*.attn1",), _cog_grid, _text, text_first=True),
    "CosmosTransformer3DModel": KnownModel(("transformer_blocks.*.attn1",), _patch_size_3d),
    "FluxTransformer2DModel": KnownModel(_DOUBLE_AND_SINGLE, _flux_grid, _text, text_first=True),
    "HunyuanVideoTransformer3DModel": KnownModel(
        _DOUBLE_AND_SINGLE, _patch_size_and_t, _text, _mask_lengths("encoder_attention_mask")
    ),
    "HunyuanVideo15Transformer3DModel": KnownModel(
        ("transformer_blocks.*.attn",), _patch_size_and_t, _hunyuan_15_text, _hunyuan_15_lengths
    ),
    "LTXVideoTransformer3DModel": KnownModel(("transformer_blocks.*.attn1",), _named_grid),
    "MochiTransformer3DModel": KnownModel(("transformer_blocks.*.attn1",), _mochi_grid, lambda arguments: None),
    "QwenImageTransformer2DModel": KnownModel(
        ("transformer_blocks.*.attn",), _qwen_grid, _text, _mask_lengths("encoder_hidden_states_mask"), text_first=True
    ),
    "SkyReelsV2Transformer3DModel": _WAN,
    "WanTransformer3DModel": _WAN,
    "WanVACETransformer3DModel": KnownModel(("blocks.*.attn1", "|vace_blocks.*.attn1"), _patch_size_3d),
}


def known_model(model: Any) -> KnownModel:
    """The entry of a transformer, by its class or one that it derives from. Raises DraftAttentionError without one."""
    for kind in type(model).__mro__:
        if kind.__name__ in KNOWN_MODELS:
            return KNOWN_MODELS[kind.__name__]
    raise DraftAttentionError(f"draft attention knows {', '.join(KNOWN_MODELS)}; got {type(model).__name__}")
