"""Launching Triton kernels: what Triton looks up at every launch is kept after the first.

Triton binds, specialises and looks up all arguments of a launch anew, which takes the host longer than most kernels of
a selection take the device. Here a launch is looked up by what a kernel can be specialised for, and no more.
"""

from __future__ import annotations

from typing import Any

import torch
import triton

_KEEPS = tuple(int(part) for part in triton.__version__.split(".")[:2]) >= (3, 6)
"""Compiled kernels take their constants among the arguments of a launch; older ones are launched by Triton itself."""

_LARGEST = 4096
_compiled: dict[tuple[Any, ...], Any] = {}


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """`kernel[grid](*arguments, **options)`, all of the kernel's arguments by position.

    Plain numbers count by value, tensors by type and by whether they start on 16 bytes: no less than what Triton
    compiles for.
    """
    key = (
        id(kernel),
        next(a.get_device() for a in arguments if isinstance(a, torch.Tensor)),
        *[(a.dtype, a.data_ptr() & 15 == 0) if isinstance(a, torch.Tensor) else a for a in arguments],
        *options.values(),
    )
    compiled = _compiled.get(key)
    if compiled is not None:
        compiled[(*grid, 1, 1)[:3]](*arguments)
        return
    compiled = kernel[grid](*arguments, **options)
    if _KEEPS and compiled is not None:  # the interpreter compiles nothing
        if len(_compiled) >= _LARGEST:
            _compiled.clear()
        _compiled[key] = compiled
