"""The one error class of this package: bad input, said in one line with what to do about it."""


class DraftAttentionError(ValueError):
    """Tensors, options or a device that draft attention cannot serve."""
